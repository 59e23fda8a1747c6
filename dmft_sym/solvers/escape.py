"""The richness at which an outlier escapes from the bulk."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.spectra.methods import METHODS
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show
from dmft_sym.support.outcomes import Failure, SpectrumError, named

from .arguments import of_one_output, run_arguments
from .method import current_method
from .spectrum_request import check_request, check_tolerance
from .spectrum_routes import two_time_spectra

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem
    from dmft_sym.spectra import MatrixProgram


def critical_richness(
    theory: Problem,
    *,
    matrix: str | MatrixProgram,
    at: int,
    between: tuple[float, float] = (0.1, 30.0),
    points: int = 12,
    method: str = "conditioning",
    tol: float = 1e-5,
    **parameters: float,
) -> float:
    """The smallest richness for which a matrix has an outlier at a step of training.

    The first margin of the spectrum (how far the leading eigenvalue of the spike condition at the edge is from one)
    is followed over a geometric grid of richnesses, and the first change of its sign is bisected.

    Parameters
    ----------
    matrix
        ``"W0"``, ``"W1"``, ..., or ``"NTK"``, or one made by `dmft_sym.operator`.
    at
        Step.
    between
        Smallest and largest richness.
    points
        Number of richnesses on the grid; a crossing and its return between two of them is not seen.
    method
        ``"conditioning"`` or ``"equations"``, as for `dmft_sym.spectrum`.
    tol
        Relative tolerance of the result; the runs are a hundred times more accurate.
    **parameters
        As for a `Solver`, without ``richness`` and ``steps``.

    Returns
    -------
    float
        ``between[0]`` if there is an outlier from the start, ``nan`` if there is none up to ``between[1]``.

    Raises
    ------
    ArgumentError
        Naming the argument, its value and what is allowed.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> theory = ds.derive(ds.deep_linear(1))
    >>> found = ds.critical_richness(
    ...     theory, matrix="W0", at=40, samples_per_dim=4, width_per_dim=1, learning_rate=0.004, label_noise=0.3
    ... )
    >>> 0.1 < found < 30
    True
    """
    if theory.program.averaged:
        raise ArgumentError(
            f"critical_richness {theory.data.where}: allowed is the proportional regime; compare outliers at a few "
            "richnesses, solver(richness=..., matrices=[...], at=[...])"
        )
    if theory.training.continuous:
        raise ArgumentError(
            f"critical_richness with {type(theory.training).__name__}: allowed is GradientDescent, with a small "
            "learning_rate; or compare escape_time of dmft_sym.spectrum at a few richnesses"
        )
    method = current_method(theory.data, method, None)[0] or method
    if method not in METHODS:
        raise ArgumentError(f"method = {show(method)}: allowed are {', '.join(METHODS)}")
    low, high = between
    if not 0 < low < high < math.inf:
        raise ArgumentError(f"between = {show(between)}: allowed are two numbers with 0 < smallest < largest")
    if "richness" in parameters:
        raise ArgumentError("richness: allowed is nothing, it is what is looked for; use between = (smallest, largest)")
    if isinstance(at, bool) or not isinstance(at, int | np.integer) or at < 0:
        raise ArgumentError(f"at = {show(at)}: allowed is a step, an integer >= 0")
    tol = check_tolerance(tol)
    arguments = run_arguments(theory, at + 1, {**parameters, "richness": low})
    (chosen,) = check_request(theory, arguments, [matrix], [at])[0].values()

    def margin(logarithm: float) -> float:
        return _margin(theory, chosen, int(at), method, 0.01 * tol, {**parameters, "richness": math.exp(logarithm)})

    grid = np.linspace(math.log(low), math.log(high), points)
    if margin(grid[0]) < 0:
        return low
    for left, right in pairwise(grid):
        if margin(right) < 0:
            return math.exp(_bisect(margin, left, right, tol))
    return math.nan


def _bisect(margin: Callable[[float], float], inside: float, outside: float, tol: float) -> float:
    """Where the sign changes. A margin may be unknown where nothing is near the edge, or right at it: not outside."""
    while outside - inside > tol:
        middle = 0.5 * (inside + outside)
        inside, outside = (inside, middle) if margin(middle) < 0 else (middle, outside)
    return outside


def _margin(
    theory: Problem, matrix: MatrixProgram, at: int, method: str, tol: float, parameters: dict[str, float]
) -> float:
    """Negative outside of the bulk; nan if nothing is known of the next to escape, or if the run diverged."""
    margins: Any = []
    failure = ""
    arguments = of_one_output(theory, run_arguments(theory, at + 1, parameters))
    if method == "equations":
        run = two_time_spectra(theory, steps=at + 1, **{**parameters, "outputs": arguments.outputs})  # type: ignore[arg-type]
        try:
            with named(f"{matrix.name} at step {at}"):
                margins = run.at(matrix, at).found.margins
        except SpectrumError as error:
            failure = str(error)
    else:
        from dmft_sym.spectra.pencil.coordinates import coordinate_spectra

        tracks, _ = coordinate_spectra(
            theory.program, arguments.values, arguments.outputs, at + 1, [matrix], [at], tol=tol, overlaps=False
        )
        track = tracks[matrix.name]
        found, failure = track.spectra.get(at), track.failures.get(at, "")
        margins = [] if found is None else found.margins
    if Failure.NOT_FINITE.value in failure:  # at any richness
        raise ArgumentError(failure)
    return float(margins[0]) if len(margins) else math.nan
