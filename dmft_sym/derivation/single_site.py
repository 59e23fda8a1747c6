"""Single-site equations: what every field obeys once the matrices are averaged over.

The saddle point says by which Gaussian field and which memory each product is replaced; training writes
``W(t) = rho(t) W(0) + (1/n_in) sum_{s<t} kappa(t-s) sum_c coefficient left_c(s) right_c(s)^T``, whose action
on a field is a memory of its own. The terms below are data: the closed equations and their printed form
are both made from them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import sympy as sp

from dmft_sym.program import (
    LAYER,
    STEP,
    Assign,
    Average,
    Axes,
    Compute,
    Field,
    FieldRef,
    ForLayers,
    Initial,
    LayerRange,
    LayerSum,
    Outer,
    Product,
    RandomVector,
    Relabelled,
    ScalarRef,
    SiteFunction,
    Space,
    SquaredNorm,
    Step,
    VectorRef,
    field_refs,
)
from dmft_sym.program.reachability import reached

from .saddle_point import SaddlePoint
from .uses import Use, UseTable, assigns


@dataclass(frozen=True)
class Noise:
    """A Gaussian driving field of a single-site process.

    Attributes
    ----------
    source
        The use of a matrix that leaves it behind, or a random vector of the program.
    scale
        The field is ``scale`` times one whose covariance stays finite when the ratios of the spaces go to
        infinity (``sqrt(tau)`` for transposed products).
    probe
        A source without variance that is added to a random vector at every step: its only purpose is the
        time-resolved response to it.
    initial
        The value at step 0 of a vector that has an equation of its own.
    """

    source: Use | RandomVector
    scale: sp.Expr = sp.Integer(1)
    probe: bool = False
    initial: bool = False

    @property
    def name(self) -> str:
        """``u_W``, ``r_W`` or the name of the vector."""
        if isinstance(self.source, Use):
            return self.source.noise_name
        return f"probe_{self.source.name}" if self.probe else self.source.name

    @property
    def space(self) -> Space:
        """Space of the sites."""
        if isinstance(self.source, RandomVector):
            return self.source.space
        matrix = self.source.matrix
        return matrix.source if self.source.transpose else matrix.target

    @property
    def layers(self) -> LayerRange | None:
        """Range of the layer label."""
        return self.source.layers if isinstance(self.source, Use) else None

    @property
    def axes(self) -> Axes:
        """Labels beside the step."""
        return self.source.operand.axes if isinstance(self.source, Use) else self.source.axes

    @property
    def static(self) -> bool:
        """One draw for all steps (initial weights, teacher, the first layer's product with given inputs)."""
        if isinstance(self.source, Use):
            return self.source.operand.space.finite
        return not self.source.fresh and not self.probe

    @property
    def fresh(self) -> bool:
        """Independent at different steps."""
        return self.source.fresh if isinstance(self.source, RandomVector) else self.source.matrix.fresh


@dataclass(frozen=True)
class NoiseTerm:
    """``coefficient * noise(t)``, times ``rho(t)`` if ``retained``."""

    coefficient: sp.Expr
    noise: Noise
    layer: sp.Expr | None
    retained: bool


@dataclass(frozen=True)
class ResponseMemory:
    """``coefficient * sum_{s<=t,c'} R[row(t), noise(s)] field(s)``, summed over ``index`` if given.

    For a fresh matrix only ``s = t`` contributes. Times ``rho(t)`` if ``retained``. The sum ends before ``t`` unless
    ``equal_time``: the row precedes the Gaussian field within a step. It runs over the other labels of the field too.
    """

    coefficient: sp.Expr
    row: FieldRef
    noise: Noise
    noise_layer: sp.Expr | None
    field: FieldRef
    index: sp.Symbol | None
    layers: LayerRange | None
    retained: bool
    equal_time: bool = True


@dataclass(frozen=True)
class UpdateMemory:
    """``coefficient * sum_{s<t,c'} kappa(t-s) <past(s) row(t)> field(s)``, summed over ``index`` if given.

    Times ``weight(s)``, the error of the past step, where there are samples; the sum runs over all labels.
    """

    coefficient: sp.Expr
    row: FieldRef
    past: FieldRef
    field: FieldRef
    index: sp.Symbol | None
    layers: LayerRange | None
    weight: ScalarRef | None = None


@dataclass(frozen=True)
class VectorMemory:
    """``coefficient * sum_{s<t} kappa(t-s) field(s)``: the trained part of a readout.

    Times ``weight(s)`` and summed over the labels that the vector does not have.
    """

    coefficient: sp.Expr
    field: FieldRef
    kept: Axes
    index: sp.Symbol | None = None
    layers: LayerRange | None = None
    weight: ScalarRef | None = None


@dataclass(frozen=True)
class LocalTerm:
    """``coefficient * field(t)``, a field assigned earlier in the step, summed over ``index`` if given.

    ``step`` is ``t``, or 0 for the field as it was at the first step; ``labels`` says at which labels it is taken, or
    over which it is summed.
    """

    coefficient: sp.Expr
    field: FieldRef
    index: sp.Symbol | None = None
    layers: LayerRange | None = None
    step: sp.Expr = STEP
    labels: Relabelled | None = None


Memory: TypeAlias = ResponseMemory | UpdateMemory | VectorMemory


@dataclass(frozen=True)
class SiteEquation:
    """The equation of one field: sum of its terms, or a function of fields of the same step, inside ``scans``.

    The function may be summed ``over`` labels.
    """

    target: FieldRef
    scans: tuple[ForLayers, ...]
    noises: tuple[NoiseTerm, ...]
    memories: tuple[Memory, ...]
    locals: tuple[LocalTerm, ...]
    function: SiteFunction | None = None
    over: Axes = ()

    @property
    def arguments(self) -> tuple[FieldRef, ...]:
        """Fields that the function is applied to."""
        return () if self.function is None else field_refs(self.function)


@dataclass(frozen=True)
class ScalarEquation:
    """A deterministic number of a step: an average over sites, a norm, or a function of such numbers."""

    statement: Average | Compute | SquaredNorm
    scans: tuple[ForLayers, ...]

    @property
    def target(self) -> ScalarRef:
        """The scalar."""
        return self.statement.target


CausalEquation: TypeAlias = SiteEquation | ScalarEquation
Reaction: TypeAlias = tuple[Field, Noise]
"""A field, and a Gaussian field that it may respond to."""


class SiteBuilder:
    """Builds the single-site equations of a program from the saddle points of its matrices."""

    def __init__(
        self,
        program: Step,
        uses: UseTable,
        saddles: Mapping[str, SaddlePoint],
        noise_scale: Callable[[Use], sp.Expr],
        probes: Collection[str] = (),
    ) -> None:
        self.program = program
        self.probes = probes
        self.uses = uses
        self.saddles = saddles
        self.retained = program.optimizer.recursion.decays
        self.noises = {use: Noise(use, noise_scale(use)) for use in uses.all}

    def vector_noise(self, vector: RandomVector) -> Noise:
        """The Gaussian field that a random vector is."""
        return Noise(vector)

    def causal_equations(self) -> list[CausalEquation]:
        """One equation per assignment, in program order."""
        return with_causality([self.equation(scans, assign) for scans, assign in assigns(self.program)])

    def noise_covariance(self, a: Noise, b: Noise, layer: sp.Expr | None = None) -> sp.Expr | None:
        """Coefficient of the operands' correlation in ``<a b>`` (of the scaled fields), if correlated.

        At a ``layer`` of a family, or at that of the place of ``a``. For random vectors it is the variance itself (and
        ``None`` for two different ones).
        """
        if isinstance(a.source, RandomVector) or isinstance(b.source, RandomVector):
            same = a == b and isinstance(a.source, RandomVector) and not a.probe
            return a.source.variance if same else None  # type: ignore[union-attr]
        if a.source.matrix != b.source.matrix or a.source.transpose != b.source.transpose:
            return None
        saddle = self.saddles.get(a.source.matrix.name)
        coefficient = sp.Integer(0) if saddle is None else saddle.noise.get((a.source, b.source), sp.Integer(0))
        return _tidy(_at_layer(coefficient, a.source, layer) / (a.scale * b.scale))

    def equation(self, scans: tuple[ForLayers, ...], assign: Assign) -> SiteEquation:
        """The equation of one assignment."""
        noises: list[NoiseTerm] = []
        memories: list[Memory] = []
        local: list[LocalTerm] = []
        for coefficient, atom in assign.value.terms:
            if isinstance(atom, FieldRef):
                local.append(LocalTerm(coefficient, atom))
            elif isinstance(atom, Initial):
                local.append(LocalTerm(coefficient, atom.field, step=sp.Integer(0)))
            elif isinstance(atom, Relabelled):
                local.append(LocalTerm(coefficient, atom.field, labels=atom))
            elif isinstance(atom, LayerSum):
                local.append(LocalTerm(coefficient, atom.field, atom.index, atom.layers))
            elif isinstance(atom, VectorRef):
                self._vector(coefficient, atom, noises, memories)
            else:
                self._product(coefficient, atom, scans, noises, memories)
        return SiteEquation(assign.target, scans, tuple(noises), tuple(memories), tuple(local))

    def _vector(self, coefficient: sp.Expr, atom: VectorRef, noises: list[NoiseTerm], memories: list[Memory]) -> None:
        rule = self.program.learned.get(atom.vector)
        if atom.vector.variance != 0:
            noise = self.vector_noise(atom.vector)
            noises.append(NoiseTerm(coefficient, noise, None, rule is not None and self.retained))
        if atom.vector.name in self.probes:
            noises.append(NoiseTerm(coefficient, Noise(atom.vector, probe=True), None, False))
        for outer in rule.terms if rule else ():
            strength = _tidy(coefficient * outer.coefficient)
            memories.append(VectorMemory(strength, outer.left, atom.axes, outer.index, outer.layers, outer.weight))

    def _product(
        self,
        coefficient: sp.Expr,
        product: Product,
        scans: tuple[ForLayers, ...],
        noises: list[NoiseTerm],
        memories: list[Memory],
    ) -> None:
        use = self.uses.of_product(product, scans)
        saddle = self.saddles.get(use.matrix.name)
        rule = self.program.learned.get(use.matrix)
        retained = rule is not None and self.retained
        # Of a matrix that starts at zero there are updates only; at level two noises tell its products apart.
        if saddle is not None or use.level_two:
            noise = self.noises[use]
            noises.append(NoiseTerm(_tidy(coefficient * noise.scale), noise, use.index, retained))
        if saddle is not None:
            memories += self._averaged(coefficient, use, product.operand, saddle, retained)
        for outer in rule.terms if rule else ():
            memories.append(_update(coefficient, product, rule.target.layer, outer))  # type: ignore[union-attr]

    def _averaged(
        self, coefficient: sp.Expr, use: Use, row: FieldRef, saddle: SaddlePoint, retained: bool
    ) -> Iterator[ResponseMemory]:
        """What the average over the matrix leaves of its products in the other direction."""
        for partner in self.uses.partners(use):
            if use.independent_of(partner) or (use, partner) not in saddle.memory:
                continue
            other = self.noises[partner]
            index, layers, layer = _pairing(use, partner)
            strength = _tidy(coefficient * _at_layer(saddle.memory[use, partner], use) / other.scale)
            operand = partner.operand_at(layer)
            yield ResponseMemory(strength, row, other, layer, operand, index, layers, retained)


def _at_layer(value: sp.Expr, use: Use, layer: sp.Expr | None = None) -> sp.Expr:
    """What a matrix has at a layer, in its own symbol, for the layer of a place."""
    if not use.family:
        return value
    return value.subs(LAYER.symbol, next(at for at in (layer, use.member, use.index) if at is not None))


def _pairing(use: Use, partner: Use) -> tuple[sp.Symbol | None, LayerRange | None, sp.Expr | None]:
    """Layer index of the partner: the same member of a family, a summed label of a shared matrix, or none."""
    if partner.index is None:
        return None, None, None
    if partner.member is not None:
        return None, None, None
    if partner.family:
        return None, None, use.index if use.member is None else use.member
    index = LAYER.other
    return index, partner.layers, index


def _update(coefficient: sp.Expr, product: Product, free: sp.Expr | None, outer: Outer) -> UpdateMemory:
    """Action of one term of the trained part on the operand of a product."""
    left, right, increment = outer.left, outer.right, sp.sympify(outer.coefficient, strict=True)
    assert right is not None
    index = outer.index
    if free is not None:
        left, right = (_at(ref, free, product.matrix.layer) for ref in (left, right))
        increment = increment.subs(free, product.matrix.layer)
    if index is not None:
        label = LAYER.other
        left, right = (_at(ref, index, label) for ref in (left, right))
        increment = increment.subs(index, label)
        index = label
    strength = coefficient * increment
    if product.transpose:
        strength, left, right = strength * product.matrix.matrix.aspect, right, left
    return UpdateMemory(_tidy(strength), product.operand, right, left, index, outer.layers, outer.weight)


def _at(ref: FieldRef, symbol: sp.Expr, value: sp.Expr | None) -> FieldRef:
    if ref.layer is None or value is None:
        return ref
    return FieldRef(ref.field, ref.layer.subs(symbol, value))


def _tidy(value: sp.Expr) -> sp.Expr:
    """Cancel sizes against each other, so that a ratio may be infinite where the limit exists."""
    return sp.powdenest(sp.powsimp(sp.cancel(sp.sympify(value, strict=True))), force=True)


def with_causality(equations: Sequence[CausalEquation]) -> list[CausalEquation]:
    """Response sums that include ``s = t`` are those whose row follows the Gaussian field within a step."""
    within = within_a_step([e for e in equations if isinstance(e, SiteEquation)])
    found: list[CausalEquation] = []
    for equation in equations:
        if isinstance(equation, SiteEquation):
            timed = (_timed(term, within) for term in equation.memories)
            memories = tuple(term for term in timed if not _vanishes(term))
            found.append(replace(equation, memories=memories))
        else:
            found.append(equation)
    return found


def _timed(term: Memory, within: frozenset[Reaction]) -> Memory:
    if not isinstance(term, ResponseMemory):
        return term
    return replace(term, equal_time=(term.row.field, term.noise) in within)


def _vanishes(term: Memory) -> bool:
    """Whether it is a response, now, to what is drawn anew later in the step."""
    return isinstance(term, ResponseMemory) and term.noise.fresh and not term.equal_time


def within_a_step(equations: Sequence[SiteEquation]) -> frozenset[Reaction]:
    """Fields with the Gaussian fields of the same step that they depend on."""
    noises = list(dict.fromkeys(term.noise for equation in equations for term in equation.noises))
    rules: list[tuple[list[Reaction], Reaction]] = []
    for equation in equations:
        target = equation.target.field
        rules += [([], (target, term.noise)) for term in equation.noises]
        sources: list[tuple[Field, list[Reaction]]] = [(ref.field, []) for ref in equation.arguments]
        sources += [(term.field.field, []) for term in equation.locals]
        for term in equation.memories:
            if isinstance(term, ResponseMemory):  # the memory has the present in it if its row responds to the present
                sources.append((term.field.field, [(term.row.field, term.noise)]))
        rules += [([*needed, (source, noise)], (target, noise)) for source, needed in sources for noise in noises]
    return frozenset(reached((), rules))
