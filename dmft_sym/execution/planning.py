"""From a program to its plan: everything symbolic happens here, once per run.

Scans are written out, coefficients become floats, fields and vectors become numbered slots, labels become rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeGuard

import numpy as np
import sympy as sp

from dmft_sym.program import (
    ONE,
    OUTPUT,
    OUTPUTS,
    Assign,
    Average,
    Axes,
    Compute,
    FieldRef,
    GaussianMatrix,
    Initial,
    Label,
    LayerSum,
    Learn,
    MatrixRef,
    Observe,
    Outer,
    Product,
    Program,
    Relabelled,
    ScalarRef,
    SiteFunction,
    SiteMap,
    Space,
    SquaredNorm,
    Statement,
    VectorRef,
    class_values,
    flat_statements,
    flatten,
    joined_axes,
)
from dmft_sym.program import Step as ProgramStep
from dmft_sym.program.observations import Observations
from dmft_sym.support.errors import ExecutionError

from .evaluate import Evaluator
from .plan import (
    AverageSites,
    Combine,
    ComputeScalar,
    Evaluation,
    Factor,
    Given,
    Increment,
    LearnMatrix,
    LearnVector,
    MapSites,
    MatrixKey,
    MatrixPlan,
    Multiply,
    NormScalar,
    Plan,
    PlannedAverage,
    Remember,
    Rows,
    SectorPlan,
    Step,
    VectorPlan,
)
from .site_values import SiteValues


def make_plan(
    program: Program,
    values: Mapping[sp.Symbol, float],
    outputs: int,
    *,
    reduced_transpose: bool,
    data: Given | None = None,
) -> Plan:
    """Write out ``program`` at ``values`` for ``outputs`` outputs.

    Parameters
    ----------
    values
        Value of every symbol of ``program.parameters``, integers included, and of the sizes of those labels that
        neither the inputs nor ``outputs`` tell.
    reduced_transpose
        Evaluate ``coefficient * tau`` instead of ``coefficient`` for transposed products; the product is
        simplified symbolically first, so that it may be finite where ``tau`` is not.
    data
        What the program takes as given: inputs of shape (samples, D), or what labels they have instead, and scalars of
        the shape of their labels.

    Raises
    ------
    ExecutionError
        If a symbol has no value, if a coefficient is not finite, or if data are missing or of the wrong shape.
    """
    _check_values(program, values)
    statements = flat_statements(program, program.integers(values))
    given = dict(data or {})
    sizes = label_sizes(program, values, outputs, given)
    # Of the samples that there are some may not be trained on: P is then what is given.
    numbers = {**sizes_by_symbol(sizes), **values, OUTPUTS: outputs}
    return _PlanBuilder(program, numbers, sizes, reduced_transpose, given).build(statements)


def make_observing_plan(
    program: Program, observations: Observations, values: Mapping[sp.Symbol, float], outputs: int, data: Given | None
) -> Plan:
    """Write out what is observed of the fields of a program, which are read and not computed.

    Raises
    ------
    ExecutionError
        As `make_plan`.
    """
    integers = program.integers(values)
    whole = ProgramStep((*program.statements, *observations.statements), program.optimizer, program.name)
    given = dict(data or {})
    sizes = label_sizes(program, values, outputs, given)
    sizes |= {label: int(label.size) for label in whole.labels if label.size.is_Integer}
    numbers = {**sizes_by_symbol(sizes), **values, OUTPUTS: outputs}
    builder = _PlanBuilder(whole, numbers, sizes, True, given)
    return builder.build(flatten(observations.statements, integers))


def make_partial_plan(
    statements: Sequence[Statement],
    program: Program,
    values: Mapping[sp.Symbol, float],
    outputs: int,
    data: Given | None,
    *,
    reduced_transpose: bool,
) -> Plan:
    """Write out some of the flat statements of a program; what others assign is read and not computed.

    Raises
    ------
    ExecutionError
        As `make_plan`.
    """
    given = dict(data or {})
    sizes = label_sizes(program, values, outputs, given)
    numbers = {**sizes_by_symbol(sizes), **values, OUTPUTS: outputs}
    return _PlanBuilder(program, numbers, sizes, reduced_transpose, given).build(list(statements))


def label_sizes(program: Program, values: Mapping[sp.Symbol, float], outputs: int, data: Given) -> dict[Label, int]:
    """How many values every label of a program has.

    Raises
    ------
    ExecutionError
        If neither the inputs nor ``values`` say it.
    """
    sizes = {OUTPUT: outputs}
    sizes |= {label: int(label.size) for label in program.labels if label.size.is_Integer}
    for field in program.data_fields:
        given = data.get(field.name)
        shape = (1,) * len(field.axes) if given is None else np.shape(given)  # missing ones are refused by name
        sizes |= dict(zip(field.axes, shape, strict=False))
    for label in program.labels:
        if label not in sizes:
            if label.size not in values:
                raise ExecutionError(f"no value given for {label.size}: needed is the number of values of {label}")
            sizes[label] = int(values[label.size])
    return sizes


def sizes_by_symbol(sizes: Mapping[Label, int]) -> dict[sp.Symbol, int]:
    """Sizes of those labels that have a symbol for it."""
    return {label.size: size for label, size in sizes.items() if isinstance(label.size, sp.Symbol)}


def _check_values(program: Program, values: Mapping[sp.Symbol, float]) -> None:
    for symbol in program.parameters:
        if symbol not in values:
            raise ExecutionError(
                f"no value given for {symbol.name}: needed are {', '.join(map(str, program.parameters))}"
            )
        value = values[symbol]
        if symbol.is_integer and value != int(value):
            raise ExecutionError(f"{symbol.name} = {value!r}: allowed is an integer")


class _PlanBuilder:
    def __init__(
        self,
        program: ProgramStep,
        values: Mapping[sp.Symbol, float],
        sizes: Mapping[Label, int],
        reduced_transpose: bool,
        data: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]],
    ) -> None:
        self.number = Evaluator(values)
        self.data = data
        self.reduced = reduced_transpose
        self.learned = set(program.learned)
        self.optimizer = program.optimizer
        self.labels = program.labels
        self.plan = Plan(sizes)
        self.sites = _Sites()
        self.vector_slots: dict[str, int] = {}
        self.first: dict[FieldRef | ScalarRef, int] = {}  # slots and numbers of what the first step had
        self.matrix_numbers: dict[MatrixKey, int] = {}
        self.pending: list[tuple[MatrixKey, GaussianMatrix]] = []

    def build(self, statements: list[Statement]) -> Plan:
        for statement in statements:
            if isinstance(statement, Assign):
                self._assign(statement)
            elif isinstance(statement, SiteMap):
                target = self._field(statement.target)
                self.plan.steps.append(MapSites(target, tuple(self._mapped(statement, target))))
            elif isinstance(statement, Average):
                self._average(statement)
            elif isinstance(statement, Compute):
                self._compute(statement)
            elif isinstance(statement, SquaredNorm):
                self._norm(statement)
            elif isinstance(statement, Learn):
                self._learn(statement)
            elif isinstance(statement, Observe):
                self._observe(statement)
        self._close_sectors()
        self.plan.recursion = self.optimizer.numbers(self.number)
        return self.plan

    def _assign(self, statement: Assign) -> None:
        terms: list[tuple[Factor, int, Rows]] = []
        products: list[Multiply] = []
        target = self._field(statement.target)
        for coefficient, atom in statement.value.terms:
            if isinstance(atom, Product):
                products.append(self._multiply(coefficient, atom, target, statement))
            else:
                assert not isinstance(atom, LayerSum)  # the statements are flat
                slot = self._slot_of(atom)
                self.sites.unite(("slot", slot), ("slot", target))
                number = self._factor(coefficient, statement)
                if isinstance(atom, Relabelled):
                    terms += [(number, slot, rows) for rows in self._relabelled(atom, statement.target.axes)]
                else:
                    terms.append((number, slot, self._rows(atom.axes, statement.target.axes)))
        self.plan.steps.append(Combine(target, tuple(terms), tuple(products)))

    def _relabelled(self, atom: Relabelled, target: Axes) -> Iterator[Rows]:
        """Rows of the field of an atom for every label of ``target``, once for every term of its sum."""
        axes = (*target, *atom.over)
        rows = self._rows(tuple(atom.at(label) for label in atom.field.axes), axes)
        count = math.prod(self.plan.labels(target))
        every = np.arange(math.prod(self.plan.labels(axes))) if rows is None else rows
        yield from np.ascontiguousarray(every.reshape(count, -1).T)

    def _slot_of(self, atom: FieldRef | VectorRef | Initial | Relabelled) -> int:
        if isinstance(atom, Initial):
            return self._initial_field(atom.field)
        if isinstance(atom, Relabelled):
            return self._field(atom.field)
        return self._vector(atom) if isinstance(atom, VectorRef) else self._field(atom)

    def _multiply(self, coefficient: sp.Expr, product: Product, target: int, statement: Assign) -> Multiply:
        matrix = self._matrix(product.matrix)
        operand = self._field(product.operand)
        near, far = ("target", "source") if product.transpose else ("source", "target")
        self.sites.unite(("slot", operand), (near, matrix))
        self.sites.unite(("slot", target), (far, matrix))
        if product.transpose and self.reduced:
            coefficient = sp.powsimp(sp.cancel(coefficient * product.matrix.matrix.aspect), force=True)
        rows = self._rows(product.axes, statement.target.axes)
        return Multiply(matrix, operand, product.transpose, self._factor(coefficient, statement), rows)

    def _factor(self, coefficient: sp.Expr, where: object) -> Factor:
        """The number, or one for every class of sites."""
        values = class_values(coefficient)
        if not values:
            return self.number(coefficient, where)
        given = {value: self._of_classes(value.func.__name__) for value in values}
        count = len(next(iter(given.values())))
        at = ({value: sp.Float(numbers[k], 17) for value, numbers in given.items()} for k in range(count))
        return np.array([self.number(coefficient.xreplace(numbers), where) for numbers in at])

    def _of_classes(self, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """Numbers that are given for every class of sites."""
        if name not in self.data or self.data[name].ndim != 1:
            raise ExecutionError(f"no data given for {name}: needed is a number for every class of sites")
        return np.asarray(self.data[name], dtype=float)

    def _rows(self, axes: Axes, target: Axes) -> Rows:
        """Row of an operand with labels ``axes`` for every label of ``target``."""
        if axes == target:
            return None
        order = [axes.index(axis) for axis in target if axis in axes]
        indices = np.arange(math.prod(self.plan.labels(axes))).reshape(self.plan.labels(axes)).transpose(order)
        indices = indices.reshape(
            tuple(size if axis in axes else 1 for axis, size in zip(target, self.plan.labels(target), strict=True))
        )
        return np.ascontiguousarray(np.broadcast_to(indices, self.plan.labels(target)).reshape(-1))

    def _evaluation(self, function: SiteFunction, target: Axes, site: Site | None = None) -> Evaluation:
        """A site-wise function at the labels ``target``; its fields (and ``site``) come to share a sector."""
        slots, scalars = [], []
        for _, argument in function.fields:
            slot = self._vector(argument) if isinstance(argument, VectorRef) else self._field(argument)
            site = site or ("slot", slot)
            self.sites.unite(("slot", slot), site)
            slots.append((slot, self._rows(argument.axes, target)))
        for _, scalar in function.scalars:
            scalars.append((self._scalar(scalar), self._rows(scalar.axes, target)))
        fields, others = [s for s, _ in function.fields], [s for s, _ in function.scalars]
        values = SiteValues(self._expression(function.expression, function.parameters), tuple(fields), tuple(others))
        return Evaluation(values, tuple(slots), tuple(scalars))

    def _mapped(self, statement: SiteMap, target: int) -> Iterator[Evaluation]:
        """A function at the labels of a target, once for every value of labels that are summed over."""
        axes = (*statement.target.axes, *statement.over)
        whole = self._evaluation(statement.function, axes, ("slot", target))
        count, total = (math.prod(self.plan.labels(part)) for part in (statement.target.axes, axes))
        for term in range(total // count):

            def taken(rows: Rows, term: int = term) -> Rows:
                every = np.arange(total) if rows is None else rows
                return rows if count == total else np.ascontiguousarray(every.reshape(count, -1)[:, term])

            slots = tuple((slot, taken(rows)) for slot, rows in whole.slots)
            yield replace(whole, slots=slots, scalars=tuple((number, taken(rows)) for number, rows in whole.scalars))

    def _expression(self, expression: sp.Expr, parameters: set[sp.Symbol]) -> sp.Expr:
        return expression.xreplace({s: sp.Float(self.number(s, expression), 17) for s in parameters})

    def _average(self, statement: Average) -> None:
        terms = tuple(
            (self.number(coefficient, statement), self._evaluation(function, statement.target.axes))
            for coefficient, function in statement.terms
        )
        self.plan.steps.append(AverageSites(self._scalar(statement.target), terms))

    def _compute(self, statement: Compute) -> None:
        symbols = tuple(symbol for symbol, _ in statement.arguments)
        axes = (*statement.target.axes, *statement.over)
        along = axes.index(statement.along) if statement.along in axes else -1
        values = SiteValues(self._expression(statement.expression, statement.parameters), (), symbols, along)
        scalars = tuple((self._scalar(r), self._rows(r.axes, axes)) for _, r in statement.arguments)
        sums = len(statement.over)
        self.plan.steps.append(
            ComputeScalar(self._scalar(statement.target), values, scalars, self.plan.labels(axes), sums)
        )

    def _scalar(self, ref: ScalarRef) -> int:
        """Number of a scalar; a given one has its values looked up."""
        plan = self.plan
        if ref.initial:
            return self._initial_scalar(ref)
        if ref not in plan.scalars:
            shape = plan.labels(ref.axes)
            number = plan.scalars[ref] = len(plan.scalar_shapes)
            plan.scalar_shapes.append(shape)
            if ref.scalar.fresh:
                plan.given_anew[number] = self._given_anew(ref.scalar.name, shape)
            elif ref.scalar.values is not None:
                plan.given[number] = np.array(ref.scalar.values)
            elif ref.scalar.data:
                plan.given[number] = self._given(ref.scalar.name, shape).reshape(-1)
        return plan.scalars[ref]

    def _initial_scalar(self, ref: ScalarRef) -> int:
        """Number of a scalar as it was at the first step; it is remembered before it is first read."""
        if ref not in self.first:
            source = self._scalar(ref.present)
            self.first[ref] = len(self.plan.scalar_shapes)
            self.plan.scalar_shapes.append(self.plan.scalar_shapes[source])
            self.plan.steps.append(Remember(self.first[ref], source, scalar=True))
        return self.first[ref]

    def _initial_field(self, ref: FieldRef) -> int:
        """Slot of a field as it was at the first step."""
        if ref not in self.first:
            source, target = self._field(ref), self._slot(ref.space, ref.axes)
            self.sites.unite(("slot", source), ("slot", target))
            self.plan.steps.append(Remember(target, source))
            self.first[ref] = target
        return self.first[ref]

    def _given(self, name: str, shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        if name not in self.data:
            raise ExecutionError(f"no data given for {name}: needed is an array of shape {shape}")
        values = np.asarray(self.data[name], dtype=float)
        if values.shape != shape:
            raise ExecutionError(f"data {name} has shape {values.shape}: allowed is {shape}")
        return values

    def _given_anew(self, name: str, shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """What is given at every step, shape (steps, labels)."""
        values = np.asarray(self.data.get(name, 0.0), dtype=float)
        if values.shape[1:] != shape or not values.ndim:
            needed = f"(steps, {', '.join(map(str, shape))})" if shape else "(steps,)"
            raise ExecutionError(f"data {name} has shape {values.shape}: needed is an array of shape {needed}")
        return values.reshape(len(values), -1)

    def _learn(self, statement: Learn) -> None:
        target = statement.target
        if isinstance(target, VectorRef):
            slot = self._vector(target)
            terms = tuple(self._increment(term, target.axes, statement) for term in statement.terms)
            for term in terms:
                self.sites.unite(("slot", term.left), ("slot", slot))
            self.plan.learn_vectors.append(LearnVector(slot, terms))
            return
        matrix = self._matrix(target)
        increments = []
        for outer in statement.terms:
            assert outer.right is not None
            increments.append(self._increment(outer, outer.right.axes, statement))
            self.sites.unite(("slot", increments[-1].left), ("target", matrix))
            self.sites.unite(("slot", increments[-1].right), ("source", matrix))
        self.plan.learn_matrices.append(LearnMatrix(matrix, tuple(increments)))

    def _norm(self, statement: SquaredNorm) -> None:
        parts = []
        for update in statement.updates:
            increments = []
            for outer in update.terms:
                kept = update.target.axes if isinstance(update.target, VectorRef) else outer.right.axes  # type: ignore[union-attr]
                increments.append(self._increment(outer, kept, update))
            parts.append((self.number(statement.factor(update), statement), tuple(increments)))
        self.plan.steps.append(NormScalar(self._scalar(statement.target), tuple(parts)))

    def _increment(self, outer: Outer, kept: Axes, statement: Learn) -> Increment:
        """An outer product whose left factor is summed over the labels that are not ``kept``."""
        axes = joined_axes((factor.axes for factor in outer.factors), self.labels)
        summed = tuple(number for number, axis in enumerate(axes) if axis not in kept)
        left = tuple(axis for axis in axes if axis in kept)
        weight = -1 if outer.weight is None else self._scalar(outer.weight)
        return Increment(
            self.number(outer.coefficient, statement),
            self._field(outer.left),
            -1 if outer.right is None else self._field(outer.right),
            self._rows(outer.left.axes, axes),
            None if outer.right is None else self._rows(outer.right.axes, left),
            weight,
            None if outer.weight is None else self._rows(outer.weight.axes, axes),
            self.plan.labels(axes),
            summed,
        )

    def _observe(self, statement: Observe) -> None:
        terms = []
        for coefficient, a, b in statement.terms:
            left, right = self._field(a), self._field(b)
            self.sites.unite(("slot", left), ("slot", right))
            terms.append((self.number(coefficient, statement), left, right))
        constant = self.number(statement.constant, statement)
        rows = math.prod(self.plan.labels(statement.axes))
        self.plan.averages.append(PlannedAverage(statement.name, tuple(terms), constant, rows))

    def _slot(self, space: Space, axes: Axes) -> int:
        slot = len(self.plan.slots)
        self.plan.slots.append(-1)
        self.plan.rows.append(math.prod(self.plan.labels(axes)))
        self.sites.declare(("slot", slot), space)
        return slot

    def _field(self, ref: FieldRef) -> int:
        if ref not in self.plan.fields:
            slot = self.plan.fields[ref] = self._slot(ref.space, ref.axes)
            if ref.field.data:
                self.plan.data[slot] = self._inputs(ref)
        return self.plan.fields[ref]

    def _inputs(self, ref: FieldRef) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        name, labels = ref.field.name, ref.axes
        if ref.field == ONE:
            return np.ones((1, 1))
        if name not in self.data or np.ndim(self.data[name]) != len(labels) + 1:
            shape = ", ".join([*(f"{label}s" for label in labels), "dimension"])
            raise ExecutionError(f"no data given for {name}: needed is an array of shape ({shape})")
        given = np.asarray(self.data[name], dtype=float)
        return given.reshape(-1, given.shape[-1])

    def _vector(self, ref: VectorRef) -> int:
        vector = ref.vector
        if vector.name not in self.vector_slots:
            slot = self._slot(vector.space, ref.axes)
            self.vector_slots[vector.name] = slot
            variance = self._factor(vector.variance, vector.name)
            self.plan.vectors.append(VectorPlan(vector.name, slot, variance, vector.fresh))
        return self.vector_slots[vector.name]

    def _matrix(self, ref: MatrixRef) -> int:
        key = ref.key
        if key not in self.matrix_numbers:
            self.matrix_numbers[key] = len(self.pending)
            self.sites.declare(("source", len(self.pending)), ref.matrix.source)
            self.sites.declare(("target", len(self.pending)), ref.matrix.target)
            self.pending.append((key, ref.matrix))
        return self.matrix_numbers[key]

    def _close_sectors(self) -> None:
        numbers = self.sites.numbers()
        self.plan.slots = [numbers["slot", slot] for slot in range(len(self.plan.slots))]
        for number, (key, matrix) in enumerate(self.pending):
            source, target = numbers["source", number], numbers["target", number]
            inverse = self._inverse_aspect(matrix)
            variance = self.number(matrix.variance_at(key[1]), matrix.name)
            learned = matrix in self.learned
            kinds = matrix.fresh, learned, matrix.isometric
            self.plan.matrices.append(MatrixPlan(key, source, target, variance, inverse, *kinds))
        self.plan.sectors = self._sectors()

    def _inverse_aspect(self, matrix: GaussianMatrix) -> float:
        if matrix.source.finite:
            return 0.0  # no transposed product ends in the space of the inputs
        text = f"matrix {matrix.name} ({matrix.source} -> {matrix.target})"
        return self.number(sp.cancel(1 / matrix.aspect), f"{text}: n_{matrix.source} / n_{matrix.target}")

    def _sectors(self) -> list[SectorPlan]:
        lasting = {m.source for m in self.plan.matrices if not m.fresh}
        lasting |= {m.target for m in self.plan.matrices if not m.fresh}
        lasting |= {self.plan.slots[v.slot] for v in self.plan.vectors if not v.fresh}
        lasting |= {self.plan.slots[step.target] for step in self.plan.steps if _remembers_field(step)}
        spaces = self.sites.sector_spaces()
        names = [space.name for space in spaces]
        sectors = []
        for number, space in enumerate(spaces):
            many = names.count(space.name) > 1
            name = f"{space.name}/{names[: number + 1].count(space.name)}" if many else space.name
            shares = None if space.classes is None else self._of_classes(space.classes.share)
            sectors.append(SectorPlan(name, space.name, self._size(space), number not in lasting, space.finite, shares))
        return sectors

    def _size(self, space: Space) -> float:
        if any(symbol in space.ratio.free_symbols for symbol in self.number.infinite):
            return float("inf")
        return self.number(space.ratio, f"space {space.name}")


def _remembers_field(step: Step) -> TypeGuard[Remember]:
    return isinstance(step, Remember) and not step.scalar


Site = tuple[str, int]


class _Sites:
    """Union-find over slots and sides of matrices; a component is a sector."""

    def __init__(self) -> None:
        self._parent: dict[Site, Site] = {}
        self._space: dict[Site, Space] = {}

    def declare(self, site: Site, space: Space) -> None:
        self._parent[site] = site
        self._space[site] = space

    def unite(self, a: Site, b: Site) -> None:
        self._parent[self._root(a)] = self._root(b)

    def _root(self, site: Site) -> Site:
        while self._parent[site] != site:
            site = self._parent[site]
        return site

    def numbers(self) -> dict[Site, int]:
        """Sector number of every site, in order of declaration."""
        roots: dict[Site, int] = {}
        return {site: roots.setdefault(self._root(site), len(roots)) for site in self._parent}

    def sector_spaces(self) -> list[Space]:
        """Space of every sector."""
        found: dict[int, Space] = {}
        for site, number in self.numbers().items():
            found.setdefault(number, self._space[site])
        return list(found.values())
