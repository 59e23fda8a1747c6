"""A flat program with numbers in it: what the arithmetics execute.

Everything symbolic happens here, once per run: scans are written out, coefficients become floats, fields and
vectors become numbered slots, and the spaces are split into *sectors*. Two things of one space share a sector
if some statement combines them, or if the same matrix acts on both; fields of different sectors are orthogonal
in the infinite network (they are built on disjoint sets of Gaussian directions), so that every sector can keep
coordinates of its own. The layers of a deep linear network are sectors of the space of hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sympy as sp

from dmft_sym.program import (
    OUTPUTS,
    Assign,
    FieldRef,
    GaussianMatrix,
    LayerSum,
    Learn,
    MatrixRef,
    Observe,
    Outer,
    Product,
    Program,
    Space,
    Statement,
    VectorRef,
    flat_statements,
)

from .evaluate import Evaluator

MatrixKey = tuple[str, int | None]


@dataclass(frozen=True)
class SectorPlan:
    """A set of fields of one space that may overlap.

    Attributes
    ----------
    ratio : float
        Number of sites in units of ``n`` (may be ``inf``).
    ephemeral : bool
        Nothing in it survives the step (the sample space of one-pass SGD).
    """

    name: str
    space: str
    ratio: float
    ephemeral: bool


@dataclass(frozen=True)
class MatrixPlan:
    """A Gaussian matrix instance between sectors ``source`` and ``target``.

    Attributes
    ----------
    variance : float
        ``s2``: entries are ``N(0, s2 / n_source)``.
    inverse_aspect : float
        ``1/tau = n_source / n_target``.
    """

    key: MatrixKey
    source: int
    target: int
    variance: float
    inverse_aspect: float
    fresh: bool
    learned: bool


@dataclass(frozen=True)
class VectorPlan:
    """A random vector, kept in slot ``slot``, one per output, sites ``N(0, variance)``."""

    name: str
    slot: int
    variance: float
    fresh: bool


@dataclass(frozen=True)
class Multiply:
    """``target += coefficient * A operand`` (or ``A^T operand``).

    With `Arithmetic.reduced_transpose` the coefficient of a transposed product contains the factor ``tau``.
    """

    matrix: int
    operand: int
    transpose: bool
    coefficient: float


@dataclass(frozen=True)
class Combine:
    """``target = sum coefficient * slot + products``."""

    target: int
    terms: tuple[tuple[float, int], ...]
    products: tuple[Multiply, ...]


@dataclass(frozen=True)
class LearnMatrix:
    """``G = sum coefficient left right^T / n_source`` over ``(coefficient, left, right)``."""

    matrix: int
    terms: tuple[tuple[float, int, int], ...]


@dataclass(frozen=True)
class LearnVector:
    """``G = sum coefficient left`` over ``(coefficient, left)``; ``slot`` is the vector's."""

    slot: int
    terms: tuple[tuple[float, int], ...]


@dataclass(frozen=True)
class Average:
    """``sum coefficient <a b> + constant`` for every output."""

    name: str
    terms: tuple[tuple[float, int, int], ...]
    constant: float


@dataclass
class Plan:
    """The executable form of one training step.

    Attributes
    ----------
    fields : dict
        Slot of every field, by its reference with integer layer.
    slots : list of int
        Sector of every slot.
    """

    outputs: int
    momentum: float = 0.0
    decay: float = 0.0
    sectors: list[SectorPlan] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    fields: dict[FieldRef, int] = field(default_factory=dict)
    matrices: list[MatrixPlan] = field(default_factory=list)
    vectors: list[VectorPlan] = field(default_factory=list)
    assigns: list[Combine] = field(default_factory=list)
    averages: list[Average] = field(default_factory=list)
    learn_matrices: list[LearnMatrix] = field(default_factory=list)
    learn_vectors: list[LearnVector] = field(default_factory=list)

    @property
    def plain(self) -> bool:
        """Gradient descent without memory."""
        return self.momentum == 0 and self.decay == 0


def make_plan(
    program: Program,
    values: Mapping[sp.Symbol, float],
    outputs: int,
    *,
    reduced_transpose: bool,
    averages: tuple[Observe, ...] = (),
) -> Plan:
    """Write out ``program`` at ``values`` for ``outputs`` outputs.

    Parameters
    ----------
    values
        Value of every symbol of ``program.parameters``, integers included.
    reduced_transpose
        Evaluate ``coefficient * tau`` instead of ``coefficient`` for transposed products; the product is
        simplified symbolically first, so that it may be finite where ``tau`` is not.
    averages
        Further scalars to report, beside those of the program.

    Raises
    ------
    ValueError
        If a symbol has no value, or if a coefficient is not finite.
    """
    _check_values(program, values)
    integers = {s: int(values[s]) for s in program.parameters if s.is_integer}
    extra = Program((*program.statements, *averages), program.optimizer, program.name) if averages else program
    statements = flat_statements(extra, integers)
    return _Builder(program, {**values, OUTPUTS: outputs}, outputs, reduced_transpose).build(statements)


def _check_values(program: Program, values: Mapping[sp.Symbol, float]) -> None:
    for symbol in program.parameters:
        if symbol not in values:
            raise ValueError(f"no value given for {symbol.name}: needed are {', '.join(map(str, program.parameters))}")
        value = values[symbol]
        if symbol.is_integer and value != int(value):
            raise ValueError(f"{symbol.name} = {value!r}: allowed is an integer")


class _Builder:
    def __init__(
        self, program: Program, values: Mapping[sp.Symbol, float], outputs: int, reduced_transpose: bool
    ) -> None:
        self.number = Evaluator(values)
        self.reduced = reduced_transpose
        self.learned = set(program.learned)
        self.optimizer = program.optimizer
        self.plan = Plan(outputs)
        self.sites = _Sites()
        self.vector_slots: dict[str, int] = {}
        self.matrix_numbers: dict[MatrixKey, int] = {}
        self.pending: list[tuple[MatrixKey, GaussianMatrix]] = []

    def build(self, statements: list[Statement]) -> Plan:
        for statement in statements:
            if isinstance(statement, Assign):
                self._assign(statement)
            elif isinstance(statement, Learn):
                self._learn(statement)
            elif isinstance(statement, Observe):
                self._observe(statement)
        self._close_sectors()
        self.plan.momentum = self.number(self.optimizer.momentum, "momentum")
        self.plan.decay = self.number(self.optimizer.decay, "weight decay")
        return self.plan

    def _assign(self, statement: Assign) -> None:
        terms: list[tuple[float, int]] = []
        products: list[Multiply] = []
        target = self._field(statement.target)
        for coefficient, atom in statement.value.terms:
            if isinstance(atom, Product):
                products.append(self._multiply(coefficient, atom, target, statement))
            else:
                assert not isinstance(atom, LayerSum)  # the statements are flat
                slot = self._vector(atom) if isinstance(atom, VectorRef) else self._field(atom)
                self.sites.unite(("slot", slot), ("slot", target))
                terms.append((self.number(coefficient, statement), slot))
        self.plan.assigns.append(Combine(target, tuple(terms), tuple(products)))

    def _multiply(self, coefficient: sp.Expr, product: Product, target: int, statement: Assign) -> Multiply:
        matrix = self._matrix(product.matrix)
        operand = self._field(product.operand)
        near, far = ("target", "source") if product.transpose else ("source", "target")
        self.sites.unite(("slot", operand), (near, matrix))
        self.sites.unite(("slot", target), (far, matrix))
        if product.transpose and self.reduced:
            coefficient = sp.powsimp(sp.cancel(coefficient * product.matrix.matrix.aspect), force=True)
        return Multiply(matrix, operand, product.transpose, self.number(coefficient, statement))

    def _learn(self, statement: Learn) -> None:
        target = statement.target
        if isinstance(target, VectorRef):
            slot = self._vector(target)
            pairs = tuple((self._rate(term, statement), self._field(term.left)) for term in statement.terms)
            for _, left in pairs:
                self.sites.unite(("slot", left), ("slot", slot))
            self.plan.learn_vectors.append(LearnVector(slot, pairs))
            return
        matrix = self._matrix(target)
        triples = []
        for term in statement.terms:
            assert term.right is not None
            left, right = self._field(term.left), self._field(term.right)
            self.sites.unite(("slot", left), ("target", matrix))
            self.sites.unite(("slot", right), ("source", matrix))
            triples.append((self._rate(term, statement), left, right))
        self.plan.learn_matrices.append(LearnMatrix(matrix, tuple(triples)))

    def _rate(self, term: Outer, statement: Learn) -> float:
        return self.number(term.coefficient, statement)

    def _observe(self, statement: Observe) -> None:
        terms = []
        for coefficient, a, b in statement.terms:
            left, right = self._field(a), self._field(b)
            self.sites.unite(("slot", left), ("slot", right))
            terms.append((self.number(coefficient, statement), left, right))
        constant = self.number(statement.constant, statement)
        self.plan.averages.append(Average(statement.name, tuple(terms), constant))

    def _slot(self, space: Space) -> int:
        slot = len(self.plan.slots)
        self.plan.slots.append(-1)
        self.sites.declare(("slot", slot), space)
        return slot

    def _field(self, ref: FieldRef) -> int:
        if ref not in self.plan.fields:
            self.plan.fields[ref] = self._slot(ref.space)
        return self.plan.fields[ref]

    def _vector(self, ref: VectorRef) -> int:
        vector = ref.vector
        if vector.name not in self.vector_slots:
            slot = self._slot(vector.space)
            self.vector_slots[vector.name] = slot
            variance = self.number(vector.variance, vector.name)
            self.plan.vectors.append(VectorPlan(vector.name, slot, variance, vector.fresh))
        return self.vector_slots[vector.name]

    def _matrix(self, ref: MatrixRef) -> int:
        key = (ref.matrix.name, None if ref.layer is None else int(ref.layer))
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
            variance = self.number(matrix.variance, matrix.name)
            learned = matrix in self.learned
            self.plan.matrices.append(MatrixPlan(key, source, target, variance, inverse, matrix.fresh, learned))
        self.plan.sectors = self._sectors()

    def _inverse_aspect(self, matrix: GaussianMatrix) -> float:
        text = f"matrix {matrix.name} ({matrix.source} -> {matrix.target})"
        return self.number(sp.cancel(1 / matrix.aspect), f"{text}: n_{matrix.source} / n_{matrix.target}")

    def _sectors(self) -> list[SectorPlan]:
        lasting = {m.source for m in self.plan.matrices if not m.fresh}
        lasting |= {m.target for m in self.plan.matrices if not m.fresh}
        lasting |= {self.plan.slots[v.slot] for v in self.plan.vectors if not v.fresh}
        spaces = self.sites.sector_spaces()
        names = [space.name for space in spaces]
        sectors = []
        for number, space in enumerate(spaces):
            many = names.count(space.name) > 1
            name = f"{space.name}/{names[: number + 1].count(space.name)}" if many else space.name
            sectors.append(SectorPlan(name, space.name, self._size(space), number not in lasting))
        return sectors

    def _size(self, space: Space) -> float:
        if any(symbol in space.ratio.free_symbols for symbol in self.number.infinite):
            return float("inf")
        return self.number(space.ratio, f"space {space.name}")


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
