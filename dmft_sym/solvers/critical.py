"""The value of a parameter at which an outlier of a trained matrix leaves the bulk."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.spectra.methods import METHODS
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show
from dmft_sym.support.outcomes import Failure, SpectrumError, named

from .arguments import check_integer, of_one_output, run_arguments, taken
from .method import current_method
from .spectrum_request import check_request, check_tolerance
from .spectrum_routes import two_time_spectra

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem
    from dmft_sym.spectra import MatrixProgram

BETWEEN = {
    "richness": (0.1, 30.0),
    "init_std": (0.1, 10.0),
    "width_per_dim": (0.05, 50.0),
    "learning_rate": (1e-4, 1.0),
}
"""Parameters that have a critical value, and where it is looked for."""
Margin = Callable[[float], float]
"""Negative where there is an outlier; ``nan`` where a run diverged."""
_TOLERANCE, _OF_SAMPLES = 1e-5, 1e-2
_NEAR = 0.02
"""How close to values at which runs diverge a change is looked for, relatively."""


def critical(
    theory: Problem,
    *,
    parameter: str = "richness",
    matrix: str | MatrixProgram,
    at: int,
    between: tuple[float, float] | None = None,
    points: int = 12,
    method: str | None = None,
    tol: float | None = None,
    **settings: Any,
) -> float:
    """The value of a parameter at which the first outlier of a matrix leaves the bulk by a step of training.

    Whether there is an outlier is followed over a geometric grid of values, and the first change is bisected. In the
    proportional regime a margin is followed (how far the leading eigenvalue of the spike condition at the edge is from
    one), which is exact to the tolerance. Where samples are given it is whether more than half of the replicas have an
    outlier beyond their noise, ``outlier_limit``: that is biased to late escapes by few sites, and the same random
    numbers are used for all values.

    Parameters
    ----------
    parameter
        ``"richness"``, ``"init_std"``, ``"width_per_dim"`` or ``"learning_rate"``.
    matrix
        ``"W0"``, ``"W1"``, ..., or ``"NTK"``, or one made by `dmft_sym.operator`; of given samples the name of a matrix
        between hidden layers.
    at
        Step.
    between
        Smallest and largest value; by default 0.1 to 30 for the richness, 0.1 to 10 for ``init_std``, 0.05 to 50 for
        the width and 1e-4 to 1 for the learning rate.
    points
        Number of values on the grid; a change and its return between two of them is not seen.
    method
        ``"conditioning"`` (default) or ``"equations"``, as for `dmft_sym.spectrum`; of given samples as for a `Solver`.
    tol
        Relative tolerance of the result, 1e-5 by default and 0.01 where samples are given.
    **settings
        As for a `Solver`, without the parameter and ``steps``.

    Returns
    -------
    float
        Where an outlier appears or disappears; ``nan`` if there is none at any value, ``between[0]`` if there is one at
        all. Values at which training diverges before the step are passed over.

    Raises
    ------
    ArgumentError
        Naming the argument, its value and what is allowed.

    See Also
    --------
    max_stable : the largest value at which training completes.
    spectrum : outliers along training.

    Notes
    -----
    The margin is that of arXiv:2605.07870, section 4, at the edge of the bulk.

    References
    ----------
    arXiv:2605.07870, critical richness.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> theory = ds.derive(ds.deep_linear(1))
    >>> settings = dict(samples_per_dim=4, width_per_dim=1, learning_rate=0.004, label_noise=0.3)
    >>> round(ds.critical(theory, matrix="W0", at=40, between=(1, 10), points=2, tol=1e-3, **settings), 1)
    5.7
    """
    low, high = _checked(theory, parameter, between, settings)
    at, points = check_integer("at", at, 0), check_integer("points", points, 2)
    method = current_method(theory.data, method, None)[0]
    if theory.data.spectra_of_runs:
        tol = check_tolerance(_OF_SAMPLES if tol is None else tol)
        margin = _of_samples(theory, parameter, matrix, at, {"method": method, **settings})
    else:
        tol = check_tolerance(_TOLERANCE if tol is None else tol)
        margin = _of_condition(theory, parameter, matrix, at, method, tol, low, settings)
    return first_change(margin, np.geomspace(low, high, points).tolist(), tol)


def _checked(theory: Problem, parameter: object, between: object, settings: Mapping[str, Any]) -> tuple[float, float]:
    """The ends of the search.

    Raises
    ------
    ArgumentError
        If the parameter has no critical value here, or the ends are none.
    """
    known = [name for name in BETWEEN if name in taken(theory)]
    if not isinstance(parameter, str) or parameter not in known:
        raise ArgumentError(f"parameter = {show(parameter)}: allowed are {', '.join(known)} {theory.data.where}")
    if theory.training.continuous:
        raise ArgumentError(
            f"critical with {type(theory.training).__name__}: allowed is GradientDescent, with a small learning_rate; "
            f"or compare escape_time of dmft_sym.spectrum at a few values of {parameter}"
        )
    for name in (parameter, "steps"):
        if name in settings:
            instead = "it is what is looked for; use between = (smallest, largest)" if name == parameter else "use at"
            raise ArgumentError(f"{name}: allowed is nothing, {instead}")
    ends: Any = BETWEEN[parameter] if between is None else between
    numbers_ = isinstance(ends, tuple | list) and len(ends) == 2 and all(isinstance(x, numbers.Real) for x in ends)
    if not numbers_ or not 0 < ends[0] < ends[1] < math.inf:
        raise ArgumentError(f"between = {show(between)}: allowed are two numbers with 0 < smallest < largest")
    return float(ends[0]), float(ends[1])


def first_change(margin: Margin, values: list[float], tol: float) -> float:
    """Where the sign of a margin changes first along ascending values, to a relative tolerance.

    Returns
    -------
    float
        The first value that is known if the margin is negative at all of these, ``nan`` if at none. Of an interval, the
        end at which it is negative.
    """
    first = known = None
    for value in values:
        now = value, margin(value)
        if math.isnan(now[1]) and known is not None:
            now = _before_divergence(margin, known, value, tol)
        if math.isnan(now[1]):
            continue
        if known is not None and (known[1] < 0) != (now[1] < 0):
            outside, inside = (known[0], now[0]) if known[1] < 0 else (now[0], known[0])
            return math.exp(_bisected(margin, math.log(inside), math.log(outside), tol))
        first, known = first or now, now
    return first[0] if first is not None and first[1] < 0 else math.nan


def _before_divergence(margin: Margin, known: tuple[float, float], diverged: float, tol: float) -> tuple[float, float]:
    """A value of the other sign, or the last one that is found, between a known value and one at which runs diverge."""
    while math.log(diverged / known[0]) > max(tol, _NEAR):
        middle = math.sqrt(known[0] * diverged)
        now = middle, margin(middle)
        if math.isnan(now[1]):
            diverged = middle
        elif (now[1] < 0) != (known[1] < 0):
            return now
        else:
            known = now
    return known


def _bisected(margin: Margin, inside: float, outside: float, tol: float) -> float:
    """Between two logarithms. A margin may be unknown where nothing is near the edge, or right at it: not outside."""
    while abs(outside - inside) > tol:
        middle = 0.5 * (inside + outside)
        inside, outside = (inside, middle) if margin(math.exp(middle)) < 0 else (middle, outside)
    return outside


def _of_samples(theory: Problem, parameter: str, matrix: Any, at: int, settings: dict[str, Any]) -> Margin:
    """What runs on given samples show."""
    from .solver import Solver

    solver = Solver(theory, settings.pop("backend", "numba"))
    options = {"kernels": (), **settings, "matrices": [matrix], "at": [at], "steps": at + 1}

    def margin(value: float) -> float:
        run = solver(**{**options, parameter: value})
        if run.sizes.get("step", 0) <= at:
            return math.nan
        outliers = run["outlier"].values.ravel() if "outlier" in run else np.empty(0)
        return -1.0 if np.isfinite(outliers).any() else 1.0

    return margin


def _of_condition(
    theory: Problem,
    parameter: str,
    matrix: Any,
    at: int,
    method: str | None,
    tol: float,
    low: float,
    settings: dict[str, Any],
) -> Margin:
    """The first margin of the spike condition at the edge of the bulk."""
    method = "conditioning" if method is None else method
    if method not in METHODS:
        raise ArgumentError(f"method = {show(method)}: allowed are {', '.join(METHODS)}")
    arguments = run_arguments(theory, at + 1, {**settings, parameter: low})
    if of_one_output(theory, arguments) is not arguments:
        settings = {**settings, "outputs": 1}
    (chosen,) = check_request(theory, arguments, [matrix], [at])[0].values()
    route = _of_march if method == "equations" else _of_coordinates
    return lambda value: route(theory, chosen, at, 0.01 * tol, {**settings, parameter: value})


def _of_march(theory: Problem, matrix: MatrixProgram, at: int, tol: float, parameters: dict[str, float]) -> float:
    run = two_time_spectra(theory, steps=at + 1, **parameters)  # type: ignore[arg-type]
    if run.run.steps <= at:
        return math.nan
    try:
        with named(f"{matrix.name} at step {at}"):
            return _first(run.at(matrix, at).found.margins)
    except SpectrumError as error:
        return _unknown(str(error))


def _of_coordinates(theory: Problem, matrix: MatrixProgram, at: int, tol: float, parameters: dict[str, float]) -> float:
    from dmft_sym.spectra.pencil.coordinates import coordinate_spectra

    run = run_arguments(theory, at + 1, parameters)
    options: dict[str, Any] = {"tol": tol, "overlaps": False, "data": run.data or None}
    tracks, result = coordinate_spectra(theory.program, run.values, run.outputs, at + 1, [matrix], [at], **options)
    if result.steps <= at:
        return math.nan
    track = tracks[matrix.name]
    found = track.spectra.get(at)
    return _unknown(track.failures.get(at, "")) if found is None else _first(found.margins)


def _first(margins: Any) -> float:
    """The first margin; infinite if nothing is near the edge."""
    return float(margins[0]) if len(margins) else math.inf


def _unknown(failure: str) -> float:
    """What is known where a spectrum failed: nothing.

    Raises
    ------
    ArgumentError
        If it fails at any value.
    """
    if Failure.NOT_FINITE.value in failure:
        raise ArgumentError(failure)
    return math.inf
