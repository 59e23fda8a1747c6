"""The spike condition ``J(z) x = x``, symbolic: the (2,1) block of the averaging rule.

Every product of a level-two equation leaves memories of the fields of training behind, with strengths

    x[F; phi](s) = k R[operand; noise](s) + kappa(t - s) coefficient C[operand; past](s);

averaging the equation of ``F`` with a field of training, or differentiating it with respect to a Gaussian field of
training, gives linear equations for the overlaps ``C`` and responses ``R`` of the level-two fields. All of them are
columns over the steps ``s < t`` (docs/mathematics.md, Spectra).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import sympy as sp

from dmft_sym.derivation.domain import Domain
from dmft_sym.derivation.equations import Equation, Equations
from dmft_sym.derivation.layer_logic import within
from dmft_sym.derivation.processes import Member, process_of
from dmft_sym.derivation.single_site import Noise, ResponseMemory, SiteEquation, UpdateMemory
from dmft_sym.derivation.tangents import reached_fields
from dmft_sym.program import Axes, FieldRef, LayerRange, ProgramError

from .bulk_equations import BulkResponse
from .site_group import OTHER_LAYER, RETENTION, SiteGroups, level_two, operand, tidy
from .spike_condition import spike_condition
from .spike_terms import SpikeEquation, SpikeTerm, TwoPoint
from .spike_writer import SpikeWriter

Column: TypeAlias = FieldRef | tuple[Noise, sp.Expr | None]


class SpikeEquations(Equations):
    """The spike condition of a matrix: a linear system ``x = J(z) x`` whose solutions are outliers.

    Attributes
    ----------
    matrix
        Its name.
    dependence
        ``"joint"``, or ``"independent"`` for the classical condition, in which the trained part does not know the
        initial matrices.
    memories
        Strengths of the memories of fields of training.
    equations
        Overlaps and responses of the level-two fields.

    See Also
    --------
    Theory.spikes : makes it.
    spectrum : its solutions.

    References
    ----------
    arXiv:2605.07870; Baik, Ben Arous, Peche, Ann. Probab. 33, 1643 (2005).

    Examples
    --------
    >>> import dmft_sym as ds
    >>> spikes = ds.derive(ds.deep_linear(depth=2)).spikes("W0", dependence="independent")
    >>> len(spikes), spikes.dependence
    (4, 'independent')
    """

    def __init__(
        self,
        matrix: str,
        dependence: str,
        memories: tuple[SpikeEquation, ...],
        equations: tuple[SpikeEquation, ...],
        writer: SpikeWriter,
        builder: SpikeBuilder,
    ) -> None:
        text = (
            f"Outliers of {matrix}: where these linear equations have a solution, that is where an eigenvalue "
            "of $J(z)$ equals one. $C$ are overlaps and $R$ responses of level-two fields with those of training at "
            "past steps $s < t$; $A$ is the memory that they leave, and $\\kappa(t-s)$ weights past updates "
            "\\cite{spectral}."
        )
        items = map(writer.equation, (*memories, *equations))
        super().__init__(items, f"Spike condition of {matrix}", text)
        self.matrix = matrix
        self.dependence = dependence
        self.writer = writer
        self.builder = builder
        self.memories = memories
        self.equations = equations

    def projected(self, column: Column) -> tuple[Equation, ...]:
        """What training drives every level-two field with, averaged with a field, or differentiated by a Gaussian one.

        The overlaps and responses of the level-two fields are the sum of these, with the bulk responses as weights.

        Parameters
        ----------
        column
            Any field of training, or a Gaussian field with its layer.
        """
        return tuple(map(self.writer.equation, self.builder.of_member(self.builder.projected(column))))

    @property
    def unknowns(self) -> tuple[TwoPoint, ...]:
        """The components of ``x``, memories eliminated."""
        return tuple(dict.fromkeys(equation.left for equation in self.equations))

    def condition(self, steps: int = 1) -> sp.Expr:
        """``det(1 - J)`` after few steps, for one output: a polynomial in bulk responses that vanishes at an outlier.

        Its coefficients are order parameters of training at the first steps, ``C_v(0, 0, 0, 0)`` is ``<v(0) v(0)>``;
        of responses within a step those are kept that the order of its statements allows. ``rho`` is what weight decay
        has left.

        Parameters
        ----------
        steps
            Number of gradient steps; the determinant grows with it.

        Raises
        ------
        ProgramError
            If the condition couples layers, as that of the NTK does, or if samples are given.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> theory = ds.derive(ds.deep_linear(2))
        >>> print(theory.spikes("W0", dependence="independent").condition(steps=1))
        -eta0**2*gamma**2*nu*C_g(1, 0, 0, 1, 0, 0)*C_v(0, 0, 0, 0)*m_a(z)*m_b(z) + 1
        """
        if not isinstance(steps, int) or steps < 1:
            raise ProgramError(f"steps = {steps!r}: allowed is an integer >= 1")
        if self.writer.theory.program.data_fields:
            raise ProgramError(
                f"condition of {self.matrix}: allowed where outputs are the only labels, here its unknowns grow with "
                "the samples; solver(..., matrices=[...], at=[1], method='equations') has its numbers"
            )
        return spike_condition(self.matrix, self.items, steps, self.writer.optimizer)

    def one_step(self) -> sp.Expr:
        """``condition(steps=1)``, by its old name."""
        return self.condition(steps=1)


def spike_equations(groups: SiteGroups, dependence: str = "joint") -> SpikeEquations:
    """Collect the linear equations of a matrix, from the overlaps and responses that its memories contain; once."""
    key = groups.joint.matrix.name, dependence
    if key not in groups.joint.spikes:
        groups.joint.spikes[key] = _spike_equations(groups, dependence)
    found: SpikeEquations = groups.joint.spikes[key]
    return found


def _spike_equations(groups: SiteGroups, dependence: str) -> SpikeEquations:
    builder = SpikeBuilder(groups, dependence == "joint")
    memories = builder.memories()
    made = (builder.of_member(memories), builder.of_member(builder.close(memories)))
    return SpikeEquations(groups.joint.matrix.name, dependence, *made, SpikeWriter(groups), builder)


class SpikeBuilder:
    """Makes the equations of the overlaps and responses of level-two fields.

    Parameters
    ----------
    groups
        Fields of level two, and training.
    responses
        False for the classical condition.
    """

    def __init__(self, groups: SiteGroups, responses: bool) -> None:
        self.groups = groups
        self.responses = responses
        self.remembered: set[TwoPoint] = set()
        theory = groups.theory
        self.known_responses = {
            (row, noise) for noise in theory.noises for row in reached_fields(theory.site_equations, [noise])
        }

    def of_member(self, equations: Iterable[SpikeEquation]) -> tuple[SpikeEquation, ...]:
        """The equations of the one matrix of a family that is meant."""
        matrix = self.groups.joint.matrix
        if matrix.index is None or matrix.member is None:
            return tuple(equations)
        made = (equation.at(matrix.index, matrix.member) for equation in equations)
        return tuple(equation for equation in made if equation.domain.condition != sp.false)

    def projected(self, column: Column) -> Iterator[SpikeEquation]:
        """See `SpikeEquations.projected`."""
        for equation in self.groups.joint.site_equations:
            left = TwoPoint("C" if isinstance(column, FieldRef) else "R", equation.target, column)
            terms = (*self._through_noise(equation, left), *self._through_memory(equation, left))
            yield SpikeEquation(left, terms, domain=_domain(equation))

    def memories(self) -> tuple[SpikeEquation, ...]:
        """Strengths of all memories of fields of training."""
        found = tuple(made for equation in self.groups.joint.site_equations for made in self._memories(equation))
        self.remembered = {made.left for made in found}
        return found

    def _memories(self, equation: SiteEquation) -> Iterator[SpikeEquation]:
        """Strengths of the memories of one equation, one per remembered field of training."""
        target = equation.target
        factor = self.groups.factor(target.field)
        found: dict[TwoPoint, list[SpikeTerm]] = {}
        domains: dict[TwoPoint, Domain] = {}
        for memory in equation.memories:
            term: SpikeTerm | None = None
            if isinstance(memory, UpdateMemory):
                summed = self._summed(memory)
                unknown = TwoPoint("C", memory.row, memory.past)
                term = SpikeTerm(
                    tidy(factor * memory.coefficient), unknown, past=True, weight=memory.weight, summed=summed
                )
            elif isinstance(memory, ResponseMemory) and not level_two(memory.noise):
                rho = RETENTION if memory.retained else sp.Integer(1)
                response = TwoPoint("R", memory.row, (memory.noise, memory.noise_layer))
                if self.responses and not memory.noise.fresh:
                    term = SpikeTerm(tidy(factor * memory.coefficient * rho), response)
            if term is not None:
                left = TwoPoint("X", target, memory.field)
                found.setdefault(left, []).append(term)
                domains[left] = _domain(equation).within(memory.index, memory.layers)
        for left, terms in found.items():
            yield SpikeEquation(left, tuple(terms), domain=domains[left])

    def _summed(self, memory: UpdateMemory) -> Axes:
        """Labels of an increment that the remembered field does not have."""
        parts = [part for part in (memory.past, memory.weight) if part is not None]
        return tuple(x for x in self.groups.theory.program.joined(*parts) if x not in memory.field.axes)

    def close(self, memories: tuple[SpikeEquation, ...]) -> Iterator[SpikeEquation]:
        """Equations of the unknowns that memories contain, and of those that these contain."""
        waiting = [term.unknown for memory in memories for term in memory.terms]
        done: set[tuple[object, ...]] = set()
        while waiting:
            unknown = waiting.pop(0)
            if unknown.family in done:
                continue
            done.add(unknown.family)
            for equation in self.groups.equations_of(unknown.row.field):
                column = self._column(equation.target, unknown)
                condition = sp.false if column is None else _exists(column, equation)
                if column is not None and condition != sp.false:
                    made = self._equation(equation, TwoPoint(unknown.kind, equation.target, column), condition)
                    waiting += [term.unknown for term in made.terms if term.unknown.kind != "X"]
                    yield made

    def _column(self, target: FieldRef, unknown: TwoPoint) -> Column | None:
        """The column of an unknown at the sites of another layer of its row."""
        member: Member = unknown.column.field if isinstance(unknown.column, FieldRef) else unknown.column[0]
        process = process_of(self.groups.processes, target)
        if member not in process.shift:
            return None
        layer: sp.Expr | None = None
        if member.layers is not None:
            layer = OTHER_LAYER if process.coupled else process.partner_layer(target.field, target.layer, member)
        if isinstance(unknown.column, FieldRef):
            return FieldRef(unknown.column.field, layer)
        return unknown.column[0], layer

    def _equation(self, equation: SiteEquation, left: TwoPoint, condition: sp.Basic) -> SpikeEquation:
        target = equation.target
        terms = [
            *self._own(equation, left),
            *self._through_noise(equation, left),
            *self._through_memory(equation, left),
        ]
        inner = [term for term in terms if term.unknown != left]
        factor = self.groups.factor(target.field)
        domain = _domain(equation, left.column, condition)
        if len(inner) < len(terms) and not equation.locals and len(self.groups.equations_of(target.field)) == 1:
            # The self-energy of the field itself: the resolvent is the sum of the series.
            return SpikeEquation(
                left, tuple(inner), BulkResponse.of(target, target, self.groups.joint.eigenvalue), domain
            )
        return SpikeEquation(left, tuple(terms), 1 / factor, domain)

    def _own(self, equation: SiteEquation, left: TwoPoint) -> Iterator[SpikeTerm]:
        """Level-two fields at the same sites: local terms and self-energies."""
        for term in self.groups.own_terms(equation):
            weight = term.coefficient
            if term.loop is not None:
                weight = term.over_sources(weight * BulkResponse.of(*term.loop, self.groups.joint.eigenvalue))
            unknown = TwoPoint(left.kind, term.field, left.column)
            yield SpikeTerm(weight, unknown, index=term.index, layers=term.layers)

    def _through_noise(self, equation: SiteEquation, left: TwoPoint) -> Iterator[SpikeTerm]:
        """``<u F'>``: the Gaussian field of a level-two product is correlated with those of training."""
        if not self.responses or not isinstance(left.column, FieldRef):
            return
        factor = self.groups.factor(equation.target.field)
        for driven in equation.noises:
            use = driven.noise.source
            for sibling in self.groups.theory.uses.siblings(use):  # type: ignore[arg-type]
                noise = self.groups.theory.site_builder.noises[sibling]
                index, layers, layer = _place(driven.layer, use, sibling)
                known = TwoPoint("R", left.column, (noise, layer))
                if noise.fresh or not self._exists(known):
                    continue
                covariance = self.groups.joint.site_builder.noise_covariance(driven.noise, noise)
                rho = RETENTION if driven.retained else sp.Integer(1)
                weight = tidy(factor * driven.coefficient * rho * covariance)
                first = operand(driven.noise, driven.layer)
                unknown = TwoPoint("C", first, operand(noise, layer))
                yield SpikeTerm(weight, unknown, known, index=index, layers=layers)

    def _through_memory(self, equation: SiteEquation, left: TwoPoint) -> Iterator[SpikeTerm]:
        """Fields of training that the equation remembers."""
        seen: set[FieldRef] = set()
        for memory in equation.memories:
            unknown = TwoPoint("X", equation.target, memory.field)
            if memory.field in seen or unknown not in self.remembered:
                continue
            seen.add(memory.field)
            if isinstance(left.column, FieldRef):
                known = TwoPoint("C", left.column, memory.field)
                if memory.field.field in process_of(self.groups.theory.processes, left.column).shift:
                    yield SpikeTerm(sp.Integer(1), unknown, known, index=memory.index, layers=memory.layers)
            else:
                known = TwoPoint("R", memory.field, left.column)
                if self._exists(known):
                    yield SpikeTerm(sp.Integer(1), unknown, known, True, index=memory.index, layers=memory.layers)

    def _exists(self, response: TwoPoint) -> bool:
        """Whether a field of training responds to a Gaussian field of training."""
        assert not isinstance(response.column, FieldRef)
        return (response.row.field, response.column[0]) in self.known_responses


def _place(
    layer: sp.Expr | None, use: object, sibling: object
) -> tuple[sp.Symbol | None, LayerRange | None, sp.Expr | None]:
    """Layer of a place of training next to one of level two: the same member, or a summed label of a shared matrix."""
    if sibling.index is None:  # type: ignore[attr-defined]
        return None, None, None
    if sibling.family:  # type: ignore[attr-defined]
        return None, None, layer if use.member is None else use.member  # type: ignore[attr-defined]
    index = sp.Symbol("l_s", integer=True, positive=True)
    return index, sibling.layers, index  # type: ignore[attr-defined]


def _column_layers(column: Column) -> tuple[sp.Expr | None, LayerRange | None]:
    if isinstance(column, FieldRef):
        return column.layer, column.field.layers
    return column[1], column[0].layers


def _exists(column: Column, equation: SiteEquation) -> sp.Basic:
    """Under which condition the layer of a column is one of its family."""
    layer, layers = _column_layers(column)
    if layer is None or layers is None or layer == OTHER_LAYER:
        return sp.true
    return within(layer, layers, {scan.index: scan.layers for scan in equation.scans})


def _domain(equation: SiteEquation, column: Column | None = None, condition: sp.Basic = sp.true) -> Domain:
    ranges = [(scan.index, scan.layers) for scan in equation.scans]
    if column is not None:
        layer, layers = _column_layers(column)
        if layer == OTHER_LAYER and layers is not None:
            ranges.append((OTHER_LAYER, layers))
    return Domain(tuple(ranges), condition)
