"""Gaussian closure: with site-wise linear functions, responses and correlations close among themselves.

Every field of a process is a causal linear functional of its Gaussian fields, ``F = sum_n R[F, n] n``, so the
single-site equations give linear recursions for the rows of ``R``, and ``C[F, F'] = sum R[F, n] <n n'>
R[F', n']^T``. The equations are kept row by row, in the order of the program inside a step: everything on a
right-hand side is known when it is needed (causality; no fixed-point iteration).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import sympy as sp

from dmft_sym.program import Field, FieldRef, ForLayers, LayerRange, Observe, ProgramError, Step

from .arrays import ArrayTable, Entry, OrderParameter
from .layer_logic import Ranges
from .processes import Member, Process, process_of
from .single_site import (
    Memory,
    Noise,
    SiteBuilder,
    SiteEquation,
    UpdateMemory,
    VectorMemory,
)
from .tangents import reached_fields
from .uses import Use


@dataclass(frozen=True)
class LayerLoop:
    """A loop over a layer label that a term is repeated or summed over."""

    index: sp.Symbol
    layers: LayerRange
    descending: bool = False


@dataclass(frozen=True)
class KernelTerm:
    """One term of a memory kernel's row ``t``: a weighted row of an order parameter.

    ``steps`` is ``"past"`` (``s < t``, weighted with ``kappa(t-s)``), ``"causal"`` (``s <= t``) or ``"now"``
    (``s = t``). Without an entry the term is the identity over outputs (a trained readout). A response to what is drawn
    later in the step is zero at ``s = t``, which ``strict`` says.
    """

    coefficient: sp.Expr
    entry: Entry | None
    steps: str
    retained: bool = False
    strict: bool = True


@dataclass(frozen=True)
class Kernel:
    """Memory of one field in the equation of another: ``sum_s A[t, s] field(s)``."""

    field: FieldRef
    terms: tuple[KernelTerm, ...]
    loop: LayerLoop | None = None

    @property
    def strict(self) -> bool:
        """Whether the sum ends before ``t``."""
        return all(term.strict for term in self.terms)


@dataclass(frozen=True)
class Contribution:
    """A row is increased by ``coefficient`` times a source row; ``loop`` repeats it over a layer label."""

    destination: Entry
    source: Entry | None
    coefficient: sp.Expr
    condition: sp.Basic
    loop: LayerLoop | None = None
    retained: bool = False


@dataclass(frozen=True)
class NoiseCovariance:
    """Covariance of two Gaussian fields: ``coefficient`` times a correlation, or times the identity.

    ``transposed`` is the same correlation with row and column exchanged; ``fresh`` restricts a correlation to
    equal steps.
    """

    coefficient: sp.Expr
    entry: Entry | None
    transposed: Entry | None = None
    fresh: bool = False


@dataclass(frozen=True)
class WeightTerm:
    """One term of ``W = sum_n R[F, n](t) <n n'>``."""

    response: Entry
    covariance: NoiseCovariance
    condition: sp.Basic
    loop: LayerLoop | None = None


@dataclass(frozen=True)
class Weight:
    """The row ``W`` for one noise ``n'``, and the correlations that it enters as ``W R[F', n']^T``."""

    noise: Noise
    terms: tuple[WeightTerm, ...]
    targets: tuple[Contribution, ...]
    loop: LayerLoop | None
    condition: sp.Basic


@dataclass(frozen=True)
class TransposedEntry:
    """``C[F', F](s, t) = C[F, F'](t, s)``."""

    entry: Entry
    transposed: Entry
    condition: sp.Basic
    loop: LayerLoop | None = None


@dataclass(frozen=True)
class RowEquations:
    """Closed equations of one field's row ``t``."""

    target: FieldRef
    scans: tuple[ForLayers, ...]
    local: tuple[Contribution, ...]
    direct: tuple[Contribution, ...]
    kernels: tuple[tuple[Kernel, tuple[Contribution, ...]], ...]
    weights: tuple[Weight, ...]
    mirrors: tuple[TransposedEntry, ...]


@dataclass(frozen=True)
class ObservableEquation:
    """A reported scalar: equal-time correlations plus a constant."""

    name: str
    terms: tuple[tuple[sp.Expr, Entry], ...]
    constant: sp.Expr


@dataclass(frozen=True)
class ClosedEquations:
    """The closed equations of a program, in marching order.

    Attributes
    ----------
    arrays
        Every order parameter that has to be kept.
    rows
        Per statement of the program, the equations of its field's row.
    observables
        Reported scalars.
    """

    program: Step
    arrays: tuple[OrderParameter, ...]
    rows: tuple[RowEquations, ...]
    observables: tuple[ObservableEquation, ...]
    processes: tuple[Process, ...] = field(default_factory=tuple)


class Closure:
    """Builds `ClosedEquations` from single-site equations."""

    def __init__(self, builder: SiteBuilder, equations: list[SiteEquation], processes: list[Process]) -> None:
        self.builder = builder
        self.program = builder.program
        self.equations = equations
        self.processes = processes
        self.table = ArrayTable()
        self.reach = {noise: reached_fields(equations, [noise]) for p in processes for noise in p.noises}
        self._declare()

    def close(self) -> ClosedEquations:
        """All row equations and observables."""
        rows = tuple(self._row(equation) for equation in self.equations)
        observables = tuple(self._observable(observe) for observe in self.program.observables)
        return ClosedEquations(
            self.program, tuple(self.table.arrays.values()), rows, observables, tuple(self.processes)
        )

    def _declare(self) -> None:
        for process in self.processes:
            for row in process.fields:
                for noise in process.noises:
                    if row in self.reach[noise]:
                        self.table.declare("R", process, row, noise)
        for a, b in self._needed_correlations():
            process = process_of(self.processes, a)
            if b in process.shift:
                self.table.declare("C", process, a, b)
                self.table.declare("C", process, b, a)
        self._check_names()

    def _check_names(self) -> None:
        """Names of arrays join two names, and two pairs of names may read the same: ``a, b_c`` and ``a_b, c``."""
        owners: dict[str, OrderParameter] = {}
        for array in self.table.arrays.values():
            other = owners.setdefault(array.name, array)
            if other != array:
                both = " and the ".join(_described(x) for x in (other, array))
                raise ProgramError(f"{array.name} would name the {both}: allowed are names that tell them apart")

    def _needed_correlations(self) -> Iterable[tuple[Field, Field]]:
        """Correlations of operands (noise covariances), of update memories, of observables, and of every field itself.

        The last are there to be reported: few are not among the others, so that they cost little.
        """
        for uses in (uses for uses in self.builder.uses.matrices if uses.random):
            for places in (uses.forward, uses.transposed):
                for a in places:
                    for b in places:
                        yield a.operand.field, b.operand.field
        for equation in self.equations:
            for memory in equation.memories:
                if isinstance(memory, UpdateMemory):
                    yield memory.row.field, memory.past.field
        for observe in self.program.observables:
            for _, first, second in observe.terms:
                yield first.field, second.field
        for own in self.program.fields:
            yield own, own

    def _row(self, equation: SiteEquation) -> RowEquations:
        process = process_of(self.processes, equation.target)
        ranges = {scan.index: scan.layers for scan in equation.scans}
        build = _RowBuilder(self, process, equation, ranges)
        return RowEquations(
            equation.target,
            equation.scans,
            tuple(build.local()),
            tuple(build.direct()),
            tuple(build.kernels()),
            tuple(build.weights()),
            tuple(build.mirrors()),
        )

    def _observable(self, observe: Observe) -> ObservableEquation:
        terms = []
        for coefficient, a, b in observe.terms:
            process = process_of(self.processes, a)
            entry = self.table.entry("C", process, a, b.field, b.layer, {}) if b.field in process.shift else None
            if entry is not None:
                terms.append((coefficient, entry))
        return ObservableEquation(observe.name, tuple(terms), observe.constant)


class _RowBuilder:
    """The parts of one field's `RowEquations`."""

    def __init__(self, closure: Closure, process: Process, equation: SiteEquation, ranges: Ranges) -> None:
        self.closure = closure
        self.table = closure.table
        self.process = process
        self.equation = equation
        self.target = equation.target
        self.ranges = dict(ranges)

    def _noises(self, reach_of: Field) -> Iterable[Noise]:
        return (n for n in self.process.noises if reach_of in self.closure.reach[n])

    def _sweep(self, member: Member, symbol: str) -> tuple[sp.Expr | None, LayerLoop | None]:
        """Layer of another member next to the target: a loop over all, or the aligned one."""
        if member.layers is None:
            return None, None
        if self.process.coupled:
            index = sp.Symbol(symbol, integer=True)
            return index, LayerLoop(index, member.layers)
        return self.process.partner_layer(self.target.field, self.target.layer, member), None

    def _ranges(self, *loops: LayerLoop | None) -> dict[sp.Symbol, LayerRange]:
        return {**self.ranges, **{loop.index: loop.layers for loop in loops if loop is not None}}

    def _transfer(
        self, source: FieldRef, coefficient: sp.Expr, retained: bool = False, outer: LayerLoop | None = None
    ) -> Iterable[Contribution]:
        """``R[target, n](t) += coefficient * R[source, n]`` for every noise of the process."""
        for noise in self._noises(source.field):
            layer, loop = self._sweep(noise, "l_n")
            ranges = self._ranges(loop, outer)
            destination = self.table.entry("R", self.process, self.target, noise, layer, ranges)
            origin = self.table.entry("R", self.process, source, noise, layer, ranges)
            if destination is not None and origin is not None:
                condition = sp.And(destination.condition, origin.condition)
                yield Contribution(destination, origin, coefficient, condition, loop, retained)

    def local(self) -> Iterable[Contribution]:
        """Fields of the same step."""
        for term in self.equation.locals:
            yield from self._transfer(term.field, term.coefficient)

    def direct(self) -> Iterable[Contribution]:
        """The Gaussian fields themselves."""
        for term in self.equation.noises:
            entry = self.table.entry("R", self.process, self.target, term.noise, term.layer, self.ranges)
            if entry is not None:
                yield Contribution(entry, None, term.coefficient, entry.condition, None, term.retained)

    def kernels(self) -> Iterable[tuple[Kernel, tuple[Contribution, ...]]]:
        """Memory kernels, one per remembered field, and the response rows they propagate."""
        groups: dict[tuple[FieldRef, LayerLoop | None], list[KernelTerm]] = {}
        for memory in self.equation.memories:
            loop = None if memory.index is None else LayerLoop(memory.index, memory.layers)  # type: ignore[arg-type]
            for term in self._kernel_terms(memory, loop):
                groups.setdefault((memory.field, loop), []).append(term)
        for (remembered, loop), terms in groups.items():
            transfers = tuple(self._transfer(remembered, sp.Integer(1), outer=loop))
            yield Kernel(remembered, tuple(terms), loop), transfers

    def _kernel_terms(self, memory: Memory, loop: LayerLoop | None) -> Iterable[KernelTerm]:
        ranges = self._ranges(loop)
        if isinstance(memory, VectorMemory):
            yield KernelTerm(memory.coefficient, None, "past")
            return
        process = process_of(self.closure.processes, memory.row)
        if isinstance(memory, UpdateMemory):
            if memory.past.field not in process.shift:
                return  # independent fields: their correlation is zero
            entry = self.table.entry("C", process, memory.row, memory.past.field, memory.past.layer, ranges)
            if entry is not None:
                yield KernelTerm(memory.coefficient, entry, "past")
            return
        if memory.noise not in process.shift:
            return
        entry = self.table.entry("R", process, memory.row, memory.noise, memory.noise_layer, ranges)
        if entry is not None:
            steps = "now" if memory.noise.fresh else "causal"
            yield KernelTerm(memory.coefficient, entry, steps, memory.retained, not memory.equal_time)

    def _partners(self) -> list[Field]:
        """Fields whose correlation with the target is kept."""
        return [
            column
            for (kind, row, column) in self.table.arrays
            if kind == "C" and row == self.target.field and isinstance(column, Field)
        ]

    def weights(self) -> Iterable[Weight]:
        """Rows ``W`` and the correlations built from them."""
        partners = self._partners()
        if not partners:
            return
        for noise in self.process.noises:
            layer, loop = self._sweep(noise, "l_n")
            terms = tuple(self._weight_terms(noise, layer, loop))
            targets = tuple(t for partner in partners for t in self._targets(partner, noise, layer, loop))
            if terms and targets:
                yield Weight(noise, terms, targets, loop, sp.true)

    def _weight_terms(self, noise: Noise, layer: sp.Expr | None, loop: LayerLoop | None) -> Iterable[WeightTerm]:
        for other in self._noises(self.target.field):
            coefficient = self.closure.builder.noise_covariance(other, noise)
            if coefficient is None:
                continue
            other_layer, inner = self._sweep(other, "l_k")
            if inner is not None and other.source.family:  # type: ignore[union-attr]
                other_layer, inner = layer, None  # members are independent: same layer only
            ranges = self._ranges(loop, inner)
            response = self.table.entry("R", self.process, self.target, other, other_layer, ranges)
            if response is None:
                continue
            covariance = self._covariance(coefficient, other, other_layer, noise, layer, ranges)
            if covariance is None:
                continue
            condition = response.condition
            if covariance.entry is not None:
                condition = sp.And(condition, covariance.entry.condition)
            yield WeightTerm(response, covariance, condition, inner)

    def _covariance(
        self,
        coefficient: sp.Expr,
        a: Noise,
        layer_a: sp.Expr | None,
        b: Noise,
        layer_b: sp.Expr | None,
        ranges: Ranges,
    ) -> NoiseCovariance | None:
        if not hasattr(a.source, "operand_at"):
            return NoiseCovariance(coefficient, None)
        first, second = a.source.operand_at(layer_a), b.source.operand_at(layer_b)  # type: ignore[union-attr]
        process = process_of(self.closure.processes, first)
        if second.field not in process.shift:
            return None
        entry = self.table.entry("C", process, first, second.field, second.layer, ranges)
        back = self.table.entry("C", process, second, first.field, first.layer, ranges)
        return None if entry is None else NoiseCovariance(coefficient, entry, back, a.fresh)

    def _targets(
        self, partner: Field, noise: Noise, layer: sp.Expr | None, outer: LayerLoop | None
    ) -> Iterable[Contribution]:
        if partner not in self.closure.reach[noise]:
            return
        partner_layer, loop = self._sweep(partner, "l_p")
        ranges = self._ranges(outer, loop)
        destination = self.table.entry("C", self.process, self.target, partner, partner_layer, ranges)
        ref = FieldRef(partner, partner_layer)
        source = self.table.entry("R", self.process, ref, noise, layer, ranges)
        if destination is not None and source is not None:
            condition = sp.And(destination.condition, source.condition)
            yield Contribution(destination, source, sp.Integer(1), condition, loop)

    def mirrors(self) -> Iterable[TransposedEntry]:
        """Correlations are symmetric; the mirrored column is filled for later rows."""
        for partner in self._partners():
            layer, loop = self._sweep(partner, "l_p")
            ranges = self._ranges(loop)
            entry = self.table.entry("C", self.process, self.target, partner, layer, ranges)
            back = self.table.entry(
                "C", self.process, FieldRef(partner, layer), self.target.field, self.target.layer, ranges
            )
            if entry is not None and back is not None:
                yield TransposedEntry(entry, back, sp.And(entry.condition, back.condition), loop)


def _described(array: OrderParameter) -> str:
    """In words: two order parameters of one name differ in what it is made from."""
    if not isinstance(array.column, Noise):
        return f"correlation of {array.row.name} and {array.column.name}"
    source = array.column.source
    if isinstance(source, Use):
        product = f"{source.matrix.name}{'^T' if source.transpose else ''} {source.operand}"
        return f"response of {array.row.name} to the Gaussian field {array.column.name} of {product}"
    return f"response of {array.row.name} to the vector {array.column.name}"
