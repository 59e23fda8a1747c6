"""The largest value of a parameter at which training completes, with the sharpness beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.support.array_types import Floats
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show
from dmft_sym.support.outcomes import COMPLETED, Outcome

from .arguments import check_integer, taken
from .spectrum_request import check_tolerance

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem

PARAMETERS = ("learning_rate", "richness", "init_std", "width_per_dim")
_KERNEL = "NTK"


def max_stable(
    theory: Problem,
    *,
    parameter: str = "learning_rate",
    between: tuple[float, float] = (1e-3, 10.0),
    points: int = 12,
    tol: float = 1e-3,
    sharpness: bool = True,
    **settings: Any,
) -> xr.Dataset:
    """The largest value of a parameter up to which training does not diverge, by the outcome of its runs.

    Runs over a geometric grid of ascending values, up to the first that diverges, tell where; the interval is bisected.

    Parameters
    ----------
    parameter
        ``"learning_rate"``; or ``"richness"``, ``"init_std"``, ``"width_per_dim"``.
    between
        Smallest and largest value.
    points
        Number of values on the grid; between two of them runs that diverge and complete again are not seen.
    tol
        Relative tolerance.
    sharpness
        Whether the leading eigenvalue of the NTK is computed too, in the proportional regime.
    **settings
        As for a `Solver`, without the parameter.

    Returns
    -------
    xarray.Dataset
        ``max_<parameter>``: the largest value that completes, ``inf`` if all up to ``between[1]`` do, NaN if none does;
        ``first_divergence``: the step at which the next larger run diverged. ``sharpness`` (spectrum_step): leading
        eigenvalue of the NTK at that value, at the first and at the last step, and ``rate_sharpness``, which
        is 2 at the edge of stability.

    Raises
    ------
    ArgumentError
        Naming the argument, its value and what is allowed.

    See Also
    --------
    spectrum : sharpness along training.
    optimum : the best rate.

    References
    ----------
    Cohen et al., arXiv:2103.00065 (edge of stability); arXiv:2605.07870.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> settings = dict(samples_per_dim=4, width_per_dim=1, richness=1, steps=20, backend="numpy")
    >>> found = ds.max_stable(ds.derive(ds.deep_linear(1)), between=(0.01, 10), points=4, tol=0.01, **settings)
    >>> 0.5 < float(found.max_learning_rate) < 1.5
    True
    """
    low, high = _checked(theory, parameter, between, settings)
    points, tol = check_integer("points", points, 2), check_tolerance(tol)
    runs = _Runs(theory, parameter, dict(settings))
    inside, outside = _bracket(runs, np.geomspace(low, high, points).tolist())
    while inside is not None and outside is not None and math.log(outside / inside) > tol:
        middle = math.sqrt(inside * outside)
        inside, outside = (middle, outside) if runs.completes(middle) else (inside, middle)
    found = math.nan if inside is None else math.inf if outside is None else inside
    return _dataset(runs, found, outside, sharpness)


def _checked(theory: Problem, parameter: object, between: Any, settings: Mapping[str, Any]) -> tuple[float, float]:
    """The ends of the search.

    Raises
    ------
    ArgumentError
        Naming what is allowed.
    """
    known = [name for name in PARAMETERS if name in taken(theory)]
    if not isinstance(parameter, str) or parameter not in known:
        raise ArgumentError(f"parameter = {show(parameter)}: allowed are {', '.join(known)} {theory.data.where}")
    if parameter in settings:
        raise ArgumentError(
            f"{parameter}: allowed is nothing, it is what is looked for; use between = (smallest, largest)"
        )
    try:
        low, high = (float(end) for end in between)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not 0 < low < high < math.inf:
        raise ArgumentError(f"between = {show(between)}: allowed are two numbers with 0 < smallest < largest")
    return low, high


class _Runs:
    """Runs at values of a parameter, and how they ended."""

    def __init__(self, theory: Problem, parameter: str, settings: dict[str, Any]) -> None:
        from .solver import Solver

        self.theory, self.parameter = theory, parameter
        self.solver = Solver(theory, settings.pop("backend", "numba"))
        self.settings = settings
        self.attributes: dict[str, Any] = {}
        self.ends: dict[float, Outcome] = {}
        methods, word = self.solver.methods, settings.get("method")
        chosen = [one for one in methods if (one.default if word is None else one.name == word)]
        self.extra = {"order_parameters": False} if any("order_parameters" in one.options for one in chosen) else {}

    def completes(self, value: float) -> bool:
        """Whether the run at a value completes."""
        run = self.solver(**{**self.extra, **self.settings, self.parameter: value})
        self.ends[value], self.attributes = Outcome.of(run.attrs), dict(run.attrs)
        return self.ends[value].completed


def _bracket(runs: _Runs, values: list[float]) -> tuple[float | None, float | None]:
    """The last value before the first that diverges, and that one; ``None`` where there is none."""
    if not runs.completes(values[0]):
        return None, values[0]
    for left, right in pairwise(values):
        if not runs.completes(right):
            return left, right
    return values[-1], None


def _dataset(runs: _Runs, found: float, outside: float | None, sharpness: bool) -> xr.Dataset:
    import xarray as xr

    name, step = f"max_{runs.parameter}", math.nan
    if outside is not None and runs.ends[outside].step is not None:
        step = float(runs.ends[outside].step or 0)
    words = {name: f"largest {runs.parameter} at which training completes", "first_divergence": "step of divergence of "
             "the next larger run"}  # fmt: skip
    variables: dict[str, Any] = {name: ((), found), "first_divergence": ((), step)}
    coordinates = {}
    if sharpness and not runs.theory.data.spectra_of_runs and "steps" in runs.settings:
        last = int(runs.settings["steps"]) - 1
        at = sorted({0, last})
        values = _sharpness(runs, found, at) if math.isfinite(found) else np.full(len(at), np.nan)
        rate = found if runs.parameter == "learning_rate" else float(runs.settings.get("learning_rate", math.nan))
        variables["sharpness"] = ("spectrum_step", values)
        variables["rate_sharpness"] = ("spectrum_step", rate * values)
        coordinates["spectrum_step"] = at
        words |= {"sharpness": "leading eigenvalue of the NTK", "rate_sharpness": "2 at the edge of stability"}
    dataset = xr.Dataset(variables, coordinates)
    for key, text in words.items():
        dataset[key].attrs = {"long_name": text, "units": "1"}
    own = {runs.parameter, "outcome", "outcome_remedy"}
    dataset.attrs = {**{key: value for key, value in runs.attributes.items() if key not in own}, **COMPLETED.attrs()}
    return dataset


def _sharpness(runs: _Runs, value: float, at: list[int]) -> Floats:
    """Leading eigenvalues of the NTK along the run at a value."""
    from .trained_spectra import spectrum

    known = {*taken(runs.theory), "steps"}
    parameters = {name: one for name, one in runs.settings.items() if name in known}
    found = spectrum(runs.theory, matrices=[_KERNEL], at=at, overlaps=False, **{**parameters, runs.parameter: value})
    return np.asarray(found["sharpness"].values)
