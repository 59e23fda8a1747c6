"""Checks of the first correction of the lazy limit: two derivations, first steps exactly, the approach in numbers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.derivation.equations import Equation
from dmft_sym.derivation.site_equations import SiteWriter, tangent_writer
from dmft_sym.derivation.symbols import (
    Correlation,
    FieldAt,
    Gram,
    Labelled,
    NoiseAt,
    Response,
    ScalarAt,
    SiteAverage,
    Tangent,
    TwoPoint,
)
from dmft_sym.derivation.uses import Use
from dmft_sym.solvers.exact_march import exact_run
from dmft_sym.solvers.solver import Solver

from .checks import integers, rationals
from .limit import EPS
from .limiting import LimitingTheory
from .orders import leading
from .site_checks import rate_of
from .site_correction import LazyCorrection, without_zeros
from .static_fields import renamed, timeless
from .verdicts import Verdict, Verdicts, fitted

if TYPE_CHECKING:
    import xarray as xr

Numbers: TypeAlias = NDArray[np.float64]
_SIZES = tuple(0.8 * 2 ** (-k / 2) for k in range(5))
_SEEDS = 4
_NO_RATE = 0.3
_ROUNDING = 1e-9
_LOUD = "noise of sites is as large as the correction; more sites or a larger learning_rate would decide it"
_HIGHER = 0.02
"""What powers that are not fitted may change, in units of the correction."""


def structural(correction: LazyCorrection) -> Verdict:
    """Whether two derivations are the same: expanded equations of the network, and equations of the expanded network.

    The program that is a power series is averaged over by the usual derivation. Its Gaussian fields are then the orders
    of those of the network, and a response of order ``j`` to a Gaussian field of order ``k`` is of order ``j - k``.
    Equations are compared at random numbers for fields, averages and sums.
    """
    try:
        other = SeriesReader(correction)
    except LookupError as error:
        return Verdict(False, f"the expanded program has a Gaussian field of its own: {error}")
    expected = {str(e.left): e for e in other.equations()}
    found = {str(e.left): e for e in correction.equations.items if isinstance(e.left, FieldAt | ScalarAt | Tangent)}
    missing = {name for name, e in expected.items() if not isinstance(e.left, Tangent)} ^ {
        name for name, e in found.items() if not isinstance(e.left, Tangent)
    }
    wrong = sorted({*missing, *(n for n in found if n not in expected or not _equal(found[n], expected[n]))})
    undefined = sorted({str(point) for e in correction.equations.items for point in _undefined(e, correction)})
    if wrong or undefined:
        return Verdict(False, f"{(wrong or undefined)[0]} is not that of the expanded program")
    return Verdict(True, f"{len(correction.equations)} equations; those of fields are those of the expanded program")


class SeriesReader:
    """Equations of the expanded program in the words of the network's: order by order.

    Parameters
    ----------
    correction
        Whose series is derived.
    """

    def __init__(self, correction: LazyCorrection) -> None:
        self.correction, self.problem = correction, correction.problem
        self.parts = {part.name: (whole, order) for (whole, order), part in correction.series.known.items()}
        own = SiteWriter(self.problem.site_builder)
        self.noises: dict[str, tuple[NoiseAt, int]] = {}
        for noise in self.problem.noises:
            layer = noise.source.index if isinstance(noise.source, Use) else None
            self.noises[own.noise(noise, layer).func.__name__] = self._original(noise)

    def _original(self, noise: Any) -> tuple[NoiseAt, int]:
        """The Gaussian field of the network that one of the series is an order of."""
        writer, source = SiteWriter(self.correction.theory.site_builder), noise.source
        if not isinstance(source, Use):
            return writer.noise(noise, None), 0
        whole, order = self.parts.get(source.operand.field.name, (source.operand.field, 0))
        same = (source.matrix, source.transpose, whole, source.operand.layer, source.index, source.layers)
        for known in self.correction.theory.noises:
            use = known.source
            if isinstance(use, Use) and same == (
                use.matrix, use.transpose, use.operand.field, use.operand.layer, use.index, use.layers
            ):  # fmt: skip
                return writer.noise(known, use.index), order
        raise LookupError(noise.name)

    def equations(self) -> Iterator[Equation]:
        """Of fields and scalars of all orders above zero, and of tangents that do not vanish."""
        sites, tangents = SiteWriter(self.problem.site_builder), tangent_writer(self.problem.site_builder)
        for equation in map(sites.equation, self.problem.causal):
            if self._order(equation.left) > 0:
                yield self._read(equation)
        for closure in self.problem.closures:
            yield from without_zeros([self._read(tangents.derivative(tangent)) for tangent in closure.tangents])

    def _read(self, equation: Equation) -> Equation:
        return Equation(equation.left, tuple(map(self.read, equation.terms)), equation.where)

    def read(self, expression: sp.Expr) -> sp.Expr:
        """An expression with the names of orders, and without what vanishes."""
        if isinstance(expression, Tangent):
            moved, by = expression.args
            if isinstance(moved, NoiseAt) and self.noises[moved.func.__name__][1] > 0:
                return sp.Integer(0)
            return Tangent(self._named(moved), by)
        if isinstance(expression, TwoPoint):
            return self._two_point(expression)
        if isinstance(expression, Labelled):
            named, order = self._named(expression), self._order(expression)
            moving = order or expression.step is None or str(expression.name) in self.correction.expansion.moving
            return named if moving else timeless(named)
        if isinstance(expression, sp.Sum) and self.read(expression.function) == 0:
            return sp.Integer(0)
        return expression.func(*map(self.read, expression.args)) if expression.args else expression

    def _order(self, thing: Labelled) -> int:
        if isinstance(thing, NoiseAt):
            return self.noises[thing.func.__name__][1]
        return self.parts.get(str(thing.name), (None, 0))[1]

    def _named(self, thing: Labelled) -> Labelled:
        if not isinstance(thing, NoiseAt):
            return thing
        original, order = self.noises[thing.func.__name__]
        return renamed(thing, f"{original.name}_{order}" if order else str(original.name))

    def _whole(self, thing: Labelled) -> Any:
        """By what the sign of a thing is known."""
        if isinstance(thing, NoiseAt):
            return self.noises[thing.func.__name__][0].func
        return self.parts[str(thing.name)][0].name if str(thing.name) in self.parts else str(thing.name)

    def _two_point(self, point: TwoPoint) -> sp.Expr:
        """Zero where the sign of the readout says so, or where the row does not know the column yet."""
        a, b = point.ends
        if isinstance(point, Gram):
            return point
        orders, signs = (self._order(a), self._order(b)), self.correction.expansion.signs
        if signs.get(self._whole(a), 1) * signs.get(self._whole(b), 1) * (-1) ** sum(orders) == -1:
            return sp.Integer(0)
        if not isinstance(point, Response):
            return Correlation(self.read(a), self.read(b))
        left = orders[0] - orders[1]
        if left < 0:
            return sp.Integer(0)
        name = self.correction.series.part(self.parts[str(a.name)][0], left).name
        return Response(renamed(a, name), renamed(b, str(self.noises[b.func.__name__][0].name)))


def _undefined(equation: Equation, correction: LazyCorrection) -> Iterator[sp.Expr]:
    """Averages of which an order above zero has no equation."""
    defined = {e.left.func for e in correction.equations.items}
    orders = {part.name for (_, order), part in correction.series.known.items() if order}
    for term in equation.terms:
        for point in term.atoms(TwoPoint):
            if {str(end.name) for end in point.ends} & orders and point.func not in defined:
                yield point


def _equal(a: Equation, b: Equation) -> bool:
    """At random numbers for all that has labels; sums are told apart by what they run over."""
    if str(a.where) != str(b.where):
        return False
    numbers = _Numbers()
    difference = numbers(a.right - b.right)
    return abs(difference) < 1e-12 * max(1.0, *(abs(numbers(term)) for term in (*a.terms, *b.terms)))


class _Numbers:
    """Random numbers for things at their labels, averages, parameters, and for sums."""

    def __init__(self) -> None:
        self.rng = random.Random(0)
        self.known: dict[str, float] = {}

    def __call__(self, expression: sp.Expr) -> float:
        return float(self._value(sp.sympify(expression, strict=True)))

    def _value(self, e: sp.Expr) -> Any:
        if e.is_Number:
            return sp.Float(e, 30)
        if isinstance(e, sp.Sum):
            return self._named(f"sum {e.limits}") * self._value(e.function)
        if isinstance(e, SiteAverage):
            return self._named("average") * self._value(e.args[0])
        if e.is_Symbol or isinstance(e, Labelled | TwoPoint | Tangent | sp.KroneckerDelta | sp.Derivative):
            return self._named(str(e))
        if isinstance(e, sp.core.function.AppliedUndef):
            return self._named(str(e))
        return e.func(*map(self._value, e.args))

    def _named(self, name: str) -> sp.Expr:
        return sp.Float(self.known.setdefault(name, self.rng.uniform(0.5, 1.5)), 30)


def approach(correction: LazyCorrection, arguments: Mapping[str, Any], steps: int = 6) -> Verdict:
    """Whether ``(f(a) - f(b)) / (a^2 - b^2)`` goes to the correction, and what is left falls as ``gamma^2``.

    So for outputs, and for the tangent kernel of the last step. Runs at richness ``a`` and ``b`` have the same seeds.
    Quotients are extrapolated by polynomials; every number may be off by five standard errors, by twice what the last
    power changes and by two per cent, and this has to be less than half of the correction at some of them. The rate is
    that of neighbouring quotients of outputs, as far as noise lets it be told.
    """
    values = {**{k: v for k, v in arguments.items() if k != "richness"}, "steps": steps, "kernels": (steps - 1,)}
    found = correction.solve("numpy", **values)
    quotients, expected = _quotients(correction, values), _compared(found)
    ends, shorter = _extrapolated(quotients, 3), _extrapolated(quotients, 2)
    own = _compared(found, "_sem") if "f_sem" in found else 0 * expected
    noise = np.hypot(ends.std(axis=0, ddof=1) / np.sqrt(_SEEDS), own)
    allowed = 5 * noise + 2 * np.abs(ends.mean(axis=0) - shorter.mean(axis=0)) + _HIGHER * np.abs(expected)
    distance, known = np.abs(ends.mean(axis=0) - expected), allowed < np.abs(expected) / 2
    holds = bool(np.all(distance <= allowed + _ROUNDING))
    worst = float(np.max(distance[known] / np.abs(expected[known]), initial=0.0))
    words = f"{known.sum()} outputs and entries of the kernel, the worst is off by {worst:.1%} of the correction"
    if holds and not known.any():
        return Verdict(None, _LOUD, undecided=True)
    moved = quotients[..., : found.f.size]
    rate, error = (2 * number for number in rate_of(moved[:-1] - moved[1:]))  # of sizes in steps of sqrt(2)
    if error > _NO_RATE:
        return Verdict(holds, f"no rate above the noise of sites, more of them would tell it; {words}")
    rated = abs(rate - correction.rate) < 0.1 + error
    return Verdict(holds and rated, f"rate {rate:.2f} +- {error:.2f}, expected {correction.rate}; {words}")


def _compared(run: xr.Dataset, suffix: str = "") -> Numbers:
    """Outputs, and the kernel of the last step."""
    return np.concatenate([np.ravel(run[f"f{suffix}"]), np.ravel(run[f"NTK{suffix}"])])


def _extrapolated(quotients: Numbers, powers: int) -> Numbers:
    """Where quotients end for every seed, by as many even powers; weighted by their errors over seeds."""
    errors = quotients.std(axis=1, ddof=1).mean(axis=-1)
    weights = 1 / np.maximum(errors, _ROUNDING)
    a, b = np.square(_SIZES[:-1]), np.square(_SIZES[1:])
    design = np.stack([np.ones_like(a), a + b, a**2 + a * b + b**2][:powers], axis=1)
    first: Numbers = np.linalg.pinv(design * weights[:, None])[0] * weights
    return np.einsum("k,ksv->sv", first, quotients)


def _quotients(correction: LazyCorrection, values: Mapping[str, Any]) -> Numbers:
    """Of neighbouring sizes, shape (sizes - 1, seeds, numbers)."""
    solver, first = Solver(correction.theory, "numpy"), int(values.get("seed", 0))
    seeds = range(first + 1, first + 1 + _SEEDS)  # others than that of the correction
    runs = np.array(
        [[_compared(solver(**{**values, "seed": seed, "richness": size})) for seed in seeds] for size in _SIZES]
    )
    squares = np.square(_SIZES)[:, None, None]
    return (runs[:-1] - runs[1:]) / (squares[:-1] - squares[1:])


def exact(limiting: LimitingTheory, steps: int = 3, seed: int = 0, **fixed: Any) -> Verdict:
    """Whether losses of first steps are ``limit + gamma^2 correction`` but for ``gamma^4``, as rational functions.

    Other parameters are random rational numbers.
    """
    values = {**rationals(limiting.whole, random.Random(seed)), **fixed, "richness": 1}
    whole = exact_run(limiting.whole, steps, {**values, "richness": EPS})
    kept = limiting.kept(values)
    limit, correction = limiting.exact(steps, **kept), limiting.correction.exact(steps, **_without_richness(kept))
    count, lowest = 0, sp.oo
    for name in correction.losses:
        track = zip(*(np.ravel(getattr(run, name)) for run in (whole, limit, correction)), strict=True)
        for full, left, change in track:
            power, _ = leading(
                sp.together(sp.sympify(full, strict=True) - left - EPS**2 * sp.sympify(change, strict=True))
            )
            count, lowest = count + 1, min(lowest, power)
    words = f"{count} losses of {steps} steps; what is left is of order gamma^{lowest}"
    return Verdict(bool(lowest >= 2 + limiting.correction.rate), words)


def approach_of_losses(limiting: LimitingTheory, arguments: Mapping[str, Any], steps: int = 8) -> Verdict:
    """Whether ``(loss(gamma) - limit) / gamma^2`` goes to the correction with the rate of the next one."""
    values = {**{k: v for k, v in arguments.items() if k != "steps"}, "richness": 1.0}
    kept = limiting.kept(values)
    limit = limiting.solve("numpy", steps=steps, **kept)
    change = limiting.correction.solve("numpy", steps=steps, **_without_richness(kept))
    distances = []
    for size in _SIZES:
        run = Solver(limiting.whole, "numpy")(steps=steps, method="equations", **{**values, "richness": size})
        quotients = ((run[name] - limit[name]) / size**2 - change[name] for name in change)
        distances.append(max(float(np.abs(quotient).max()) for quotient in quotients))
    return fitted(_SIZES, distances, limiting.correction.rate)


def _without_richness(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name != "richness"}


def closed(limiting: LimitingTheory, arguments: Mapping[str, Any]) -> Verdicts:
    """All three checks of closed equations; that odd orders vanish is structure."""
    correction = limiting.correction
    odd = Verdict(True, f"{len(correction.equations)} equations; odd orders of losses vanish")
    fixed = integers(limiting.whole, arguments)
    return odd, exact(limiting, **fixed), approach_of_losses(limiting, arguments)
