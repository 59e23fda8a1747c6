"""Independent spikes: the outlier of a matrix after one step whose increment does not know the initial weights.

The joint spike condition has responses of the fields of training to the initial weights. Within the first step they
come through the errors, of order ``1/gamma``: they vanish in a rich network at the same strength ``eta0 gamma`` of the
increment. What is left is the classical condition ``theta^2 m_a m_b = 1``, and with the Dyson equations of the bulk the
position of the outlier (Baik, Ben Arous and Peche, Ann. Probab. 33, 1643, 2005; Benaych-Georges and Nadakuditi, J.
Multivariate Anal. 111, 120, 2012).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from dmft_sym.derivation.equations import Equation, Equations
from dmft_sym.derivation.symbols import PAST_KERNEL, Response, TwoPoint
from dmft_sym.networks.parameters import ETA, GAMMA, INIT_VARIANCE
from dmft_sym.program import LAYER, PAST_STEP, STEP, FieldRef, GaussianMatrix, Learn, MatrixRef, ProgramError
from dmft_sym.solvers.spectrum_routes import two_time_spectra
from dmft_sym.spectra.equations.bulk_equations import BulkEquations, BulkResponse
from dmft_sym.spectra.equations.site_group import OTHER_LAYER, RETENTION
from dmft_sym.spectra.equations.spike_equations import SpikeEquations
from dmft_sym.spectra.equations.symbolic import symbolic_bulk, symbolic_spikes
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show

from .limit import EPS, Limit
from .limit_theory import LimitTheory, Vanished, VanishedTerms
from .limiting import scaled_parameters
from .orders import Orders, parts

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem
    from dmft_sym.spectra.march.level_one import TwoTime

SCALING = {GAMMA.name: GAMMA / EPS, ETA.name: EPS * ETA}
"""Rich networks, at increments of the same strength."""
_THETA2 = sp.Symbol("theta2", positive=True)


@dataclass(frozen=True)
class Spike:
    """The outlier of a matrix after one step.

    Attributes
    ----------
    matrix
        Its name, ``"W0"``; of a family with its layer, ``"W[l]"``.
    strength
        ``theta^2``, of order parameters at the first step.
    position, threshold
        Square of the outlier, and the smallest strength that has one, as functions of ``theta2``.
    bulk
        Its Dyson equations.
    """

    matrix: str
    strength: sp.Expr
    position: sp.Expr
    threshold: sp.Expr
    bulk: BulkEquations

    def symbol(self, name: str) -> sp.Expr:
        """``theta_W0``, or ``theta_W(l)``."""
        family, _, layer = self.matrix.partition("[")
        return sp.Function(f"{name}_{family}")(LAYER.symbol) if layer else sp.Symbol(f"{name}_{family}", positive=True)

    def equations(self) -> Iterator[Equation]:
        """Bulk, condition, strength, position and threshold."""
        theta, z = self.symbol("theta"), self.bulk.eigenvalue
        yield from self.bulk.items
        product = sp.Mul(*_resolvents(self.bulk))
        yield Equation(sp.Function(f"J_{self.matrix}")(z), (theta**2 * product,), note="one at an outlier")
        yield Equation(theta, (sp.sqrt(self.strength),), note=f"strength of the spike of {self.matrix}")
        position = sp.sqrt(self.position.subs(_THETA2, theta**2))
        yield Equation(self.symbol("z"), (position,), note="the outlier, above the threshold")
        yield Equation(self.symbol("theta_c"), (sp.sqrt(self.threshold),), note="the threshold")


class IndependentSpikes(LimitTheory):
    """The limit of independent spikes, of the trained matrices of a network that have it.

    Parameters
    ----------
    theory
        Whose spike conditions go to the limit.
    limit
        With `SCALING`.

    Attributes
    ----------
    reasons
        Why other matrices have none, by name.

    Raises
    ------
    ProgramError
        If no matrix has one.

    See Also
    --------
    Theory.limit : makes it.
    limits.check : whether it is right.

    References
    ----------
    Baik, Ben Arous, Peche, Ann. Probab. 33, 1643 (2005).

    Examples
    --------
    >>> import dmft_sym as ds
    >>> ds.limits.independent.name
    'independent'
    """

    def __init__(self, theory: Problem, limit: Limit) -> None:
        super().__init__(theory, limit)
        if dict(limit.scaling) != SCALING:
            raise ProgramError(f"limit {limit.name}: allowed is gamma -> gamma/eps at the same eta0 gamma")
        self.powers = _first_powers(theory, limit)
        self.spikes: list[Spike] = []
        self.reasons: dict[str, str] = {}
        for matrix in _trained(theory):
            try:
                self.spikes.append(self._spike(matrix))
            except ProgramError as error:
                self.reasons[matrix] = str(error)
        if not self.spikes:
            why = "; ".join(self.reasons.values()) or (
                "no matrix between spaces has an update of finite rank; a hidden layer that is trained, "
                "ds.deep_linear(1), has one with data = ds.Proportional()"
            )
            raise ProgramError(f"limit {limit.name}: {why}")

    @cached_property
    def equations(self) -> Equations:
        """Bulk, strength ``theta_W0``, position ``z_W0`` and threshold ``theta_c_W0``, matrix by matrix."""
        text = f"Limit {self.limit.name}: {self.limit.why}."
        items = [item for spike in self.spikes for item in spike.equations()]
        return Equations(items, f"Limit: {self.limit.name}", text)

    @cached_property
    def vanished(self) -> VanishedTerms:
        """Terms of the spike equations with responses of training."""
        return VanishedTerms(item for spike in self.spikes for item in self._vanished(spike.matrix))

    @property
    def rate(self) -> sp.Expr:
        """The smallest power of a response: that with which outliers approach their positions."""
        return min((item.order for item in self.vanished), default=sp.oo)

    def solve(self, backend: str = "numpy", *, theta: float | None = None, **arguments: Any) -> xr.Dataset:
        """Outliers of all matrices after one step.

        Parameters
        ----------
        backend
            Of the march of the first step.
        theta
            A strength for all of them, instead of that of the step.
        **arguments
            As of a run, without ``steps``; with ``theta`` those that the bulk depends on.

        Returns
        -------
        xarray.Dataset
            ``theta``, ``threshold``, ``outlier`` (NaN below the threshold) and ``bulk_edge``, by ``matrix``.

        Raises
        ------
        ArgumentError
            As of a run; or if ``theta`` is not a number >= 0.
        """
        import xarray as xr

        if theta is not None and not (isinstance(theta, int | float) and theta >= 0):
            raise ArgumentError(f"theta = {show(theta)}: allowed is a number >= 0")
        if "steps" in arguments:
            raise ArgumentError("steps: allowed is nothing, the limit is of the first one")
        run = None if theta is not None else two_time_spectra(self.theory, steps=2, backend=backend, **arguments).run
        values = _values(self.theory, arguments) if run is None else run.values
        rows = {}
        for spike in self.spikes:
            for name, layer in self.members(spike, values):
                square = theta**2 if theta is not None else strength_of(run, spike, layer)  # type: ignore[arg-type]
                rows[name] = _numbers(spike, float(square), values)
        columns = zip(*rows.values(), strict=True)
        variables = ("theta", "threshold", "outlier", "bulk_edge")
        found = {name: ("matrix", list(column)) for name, column in zip(variables, columns, strict=True)}
        return xr.Dataset(found, {"matrix": list(rows)})

    def members(self, spike: Spike, values: Mapping[sp.Symbol, float]) -> Iterator[tuple[str, int | None]]:
        """Names and layers at the depth of a run."""
        family, _, layered = spike.matrix.partition("[")
        if not layered:
            yield spike.matrix, None
            return
        (layers,) = (m.layers for m in self.theory.program.matrices if m.name == family)
        assert layers is not None
        integers = {symbol: int(value) for symbol, value in values.items() if symbol.is_integer}
        for layer in layers.at(integers):
            yield f"{family}[{layer}]", layer

    def _spike(self, matrix: str) -> Spike:
        """Derive it from the condition and the bulk.

        Raises
        ------
        ProgramError
            If responses stay, or if the condition is not that of one direction.
        """
        bulk = symbolic_bulk(self.theory, matrix)
        independent = symbolic_spikes(self.theory, matrix, "independent")
        strength = strength_in(independent.condition(steps=1), bulk, matrix)
        for response in responses_of(self.theory, symbolic_spikes(self.theory, matrix)):
            if self.powers.get(response, sp.oo) <= 0:
                raise ProgramError(
                    f"{matrix}: the response {response.__name__} within a step does not vanish, its increment knows "
                    "the initial weights"
                )
        return Spike(matrix, strength, *_position(dyson(self.theory, bulk), bulk.eigenvalue, matrix), bulk)

    def _vanished(self, matrix: str) -> Iterator[Vanished]:
        spikes = symbolic_spikes(self.theory, matrix)
        known = responses_of(self.theory, spikes)
        for item in spikes.items:
            for term in item.terms:
                order = sum(self.powers.get(point.func, sp.oo) for point in parts(term)[1] if point.func in known)
                if order not in (0, sp.oo):
                    yield Vanished(item.label, term, order)


def strength_in(condition: sp.Expr, bulk: BulkEquations, matrix: str) -> sp.Expr:
    """``theta^2`` of a condition ``1 = theta^2 m_a m_b``.

    Raises
    ------
    ProgramError
        If the condition has another form: of several directions, or of layers that depend on each other.
    """
    resolvents = _resolvents(bulk)
    alone = {item.left: item.right for item in bulk.items if not item.right.has(BulkResponse)}
    empty = condition.subs(dict.fromkeys(condition.atoms(TwoPoint), 0))
    left = 1 - condition / empty.subs(alone)
    strength = sp.factor(sp.cancel((left / sp.Mul(*resolvents)).subs(alone)))
    if len(resolvents) != 2 or strength.has(BulkResponse, bulk.eigenvalue):
        raise ProgramError(f"{matrix}: its increment of one step has several directions, a spike has one")
    return strength


def dyson(theory: Problem, bulk: BulkEquations) -> dict[sp.Symbol, sp.Expr]:
    """The bulk after one step, at one layer: what every resolvent is, in terms of the other."""
    kept = {RETENTION: theory.program.optimizer.retention(sp.Integer(1))}
    resolvents = _resolvents(bulk)
    names = {left: sp.Symbol(f"m_{number}", positive=True) for number, left in enumerate(resolvents)}
    rights = (item.right.subs({**kept, OTHER_LAYER: LAYER.symbol}) for item in bulk.items)
    return {names[left]: right.subs(names) for left, right in zip(resolvents, rights, strict=True)}


def _resolvents(bulk: BulkEquations) -> list[sp.Expr]:
    """Responses in an equation of its own, at one layer."""
    return [item.left.subs(OTHER_LAYER, LAYER.symbol) for item in bulk.items]


def _position(equations: Mapping[sp.Symbol, sp.Expr], z: sp.Symbol, matrix: str) -> tuple[sp.Expr, sp.Expr]:
    """Eliminate the resolvents from bulk and condition; the edge is the smallest position."""
    first, second = equations
    spike = {second: 1 / (_THETA2 * first)}
    whole = [sp.numer(sp.together((left - right).subs(spike))) for left, right in equations.items()]
    factors = sp.factor_list(sp.resultant(*whole, first))[1]
    squares = [sp.Poly(factor, z) for factor, _ in factors if factor.has(z) and factor != z]
    if len(squares) != 1 or squares[0].degree() != 2 or squares[0].nth(1) != 0:
        raise ProgramError(f"{matrix}: its bulk is not that of one matrix")
    position = sp.factor(-squares[0].nth(0) / squares[0].nth(2))
    threshold = [root for root in sp.solve(sp.diff(position, _THETA2), _THETA2) if root.is_nonnegative]
    return position, threshold[0] if threshold else sp.Integer(0)


def responses_of(theory: Problem, spikes: SpikeEquations) -> set[type[TwoPoint]]:
    """Responses of training in a spike condition."""
    points = {point.func for item in spikes.items for point in item.right.atoms(Response)}
    return {func for func in points if func in theory.closed.families}


def _trained(theory: Problem) -> Iterator[str]:
    """Names of the trained matrices, families by ``W[l]``."""
    targets = [statement.target for _, statement in theory.program.walk() if isinstance(statement, Learn)]
    matrices = dict.fromkeys(target.matrix for target in targets if isinstance(target, MatrixRef))
    yield from (f"{m.name}[{LAYER.symbol}]" if m.layers is not None else m.name for m in matrices if _is_wide(m))


def _is_wide(matrix: GaussianMatrix) -> bool:
    return not matrix.source.finite and not matrix.target.finite


def _first_powers(theory: Problem, limit: Limit) -> dict[type, sp.Expr]:
    """Powers of ``eps`` of order parameters of the first step; what is zero there is not in them."""
    if theory.program.averaged:
        raise ProgramError(
            f"limit {limit.name}: allowed where all equations close; those of a linear network do with "
            "data = ds.Proportional()"
        )
    kept = [replace(e, terms=tuple(t for t in e.terms if not _is_past(t))) for e in theory.closed.equations]
    while True:
        zero = {e.left.func for e in theory.closed.equations} - {e.left.func for e in kept if e.terms}
        fewer = [replace(e, terms=tuple(t for t in e.terms if not _vanishes(t, zero))) for e in kept]
        if fewer == kept:
            break
        kept = fewer
    return dict(Orders(kept, scaled_parameters(theory, limit)).powers)


def _vanishes(term: sp.Expr, zero: Iterable[type]) -> bool:
    return any(point.func in zero for point in parts(term)[1])


def _is_past(term: sp.Expr) -> bool:
    """Whether a term needs a step before the first."""
    first = {STEP: 0, PAST_STEP: 0}
    sums = (limit for part in term.atoms(sp.Sum) for limit in part.limits)
    empty = any((upper - lower).subs(first).is_negative for _, lower, upper in sums)
    return empty or bool(term.has(PAST_KERNEL))


def strength_of(run: TwoTime, spike: Spike, layer: int | None) -> float:
    """``theta^2`` with the numbers of a run."""
    at = {symbol: int(value) for symbol, value in run.values.items() if symbol.is_integer}
    at |= {} if layer is None else {LAYER.symbol: layer}
    strength = spike.strength.subs(at)
    points = {point: sp.Float(_correlation(run, point), 30) for point in strength.atoms(TwoPoint)}
    return float(strength.subs(points).subs(run.values))


def _correlation(run: TwoTime, point: TwoPoint) -> float:
    """A correlation of the first step."""
    fields = {field.name: field for closure in run.theory.closures for field in closure.process.fields}
    one, other = (FieldRef(fields[str(end.name)], end.layer) for end in point.ends)
    found = run.correlation(one, other)
    return 0.0 if found is None else float(found[0, 0])


def _values(theory: Problem, arguments: Mapping[str, Any]) -> dict[sp.Symbol, float]:
    """Of the parameters that are given, or have a value by default.

    Raises
    ------
    ArgumentError
        If a depth is missing.
    """
    network, found = theory.network, {}
    given = {"weight_decay": theory.training.weight_decay, **network.defaults, **arguments}
    for parameter in theory.parameters:
        value = given.get(parameter.keyword, network.depth if parameter.integer else parameter.default)
        if value is None and parameter.integer:
            raise ArgumentError(f"{parameter.keyword}: missing; allowed is {parameter.allowed} ({parameter.meaning})")
        if value is not None:
            found[parameter.symbol] = float(value) ** (2 if parameter.symbol == INIT_VARIANCE else 1)
    return found


def _numbers(spike: Spike, square: float, values: Mapping[sp.Symbol, float]) -> tuple[float, float, float, float]:
    """Strength, threshold, outlier and edge."""
    missing = [s.name for s in (spike.position.free_symbols - {_THETA2}) if s not in values]
    if missing:
        raise ArgumentError(f"the bulk of {spike.matrix} depends on {', '.join(missing)}: missing")
    least = float(spike.threshold.subs(values))
    position = sp.lambdify(_THETA2, spike.position.subs(values))
    edge = float(np.sqrt(position(least))) if least > 0 else 0.0
    outlier = float(np.sqrt(position(square))) if square > least else np.nan
    return float(np.sqrt(square)), float(np.sqrt(least)), outlier, edge
