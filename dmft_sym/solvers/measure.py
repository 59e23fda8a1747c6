"""Weight matrices of real networks, with the variables of predicted spectra."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.results.names import describe
from dmft_sym.spectra.measured.initial_bulk import ERRORS, FEW, FLOOR, LEVELS, MeasuredWeights, verdict
from dmft_sym.support.array_types import Floats
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show
from dmft_sym.support.real_arrays import DataError, real_array

if TYPE_CHECKING:
    import xarray as xr

RANKS = 64
"""Largest number of outliers that are listed."""
_POINTS = 200
_DIRECTIONS = ("a spike", "b spike")


def measure(
    weights: Mapping[str, Any],
    theory: xr.Dataset | None = None,
    step: int | None = None,
    *,
    initial_std: float | Mapping[str, float] | None = None,
) -> xr.Dataset:
    """Singular values of trained weight matrices beside the bulk of their initialization, and beside a theory.

    Parameters
    ----------
    weights
        Arrays by name, shape (rows, columns), outputs of a layer along the rows as in PyTorch; or (networks, rows,
        columns) for several networks, which comparisons need. Normalised as in the theory: entries of variance one by
        the number of columns at initialization (docs/measure.md).
    theory
        What `dmft_sym.spectrum` or a `Solver` returned, with the same names of matrices. The bulk of the initialization
        is then the one that it predicts.
    step
        The step of the theory that the weights belong to, its last one by default.
    initial_std
        ``sqrt(columns)`` times the standard deviation of the entries at initialization, one number or one by name. By
        default that of the theory, or fitted to the middle half of the singular values, which outliers do not change;
        a bulk that is stretched as a whole cannot be told from its initialization then.

    Returns
    -------
    xarray.Dataset
        ``outlier`` (seed, matrix, spectrum_step, rank): singular values above what a Gaussian matrix of the shape
        reaches with probability 0.001, descending, and as many of the largest as the theory has outliers.
        ``outliers`` their number; ``bulk_edge`` (.., side) and ``initial_std``, with its standard error
        ``initial_std_sem`` where it was fitted. ``overlap`` (.., rank, direction): ``|cos|`` of the right (``a spike``)
        and left (``b spike``) vectors of an outlier with those of what training added, if that did not know the
        initial matrix. ``bulk_shift`` (.., quantile) and ``bulk_shift_sem``: how far the quantiles of the bulk have
        moved, in units of the upper edge. ``spectrum_value`` (.., number): all singular values. ``value`` and
        ``density`` (matrix, spectrum_step, point): the law of the initialization. ``verdict`` (matrix, spectrum_step):
        ``"restructured"`` if a quantile has moved by more than 4 standard errors and 0.02 of the edge together, or if
        more than a tenth of all values are outliers; else ``"spikes"`` if at least half of the networks have an
        outlier; else ``"lazy"``.

    Raises
    ------
    DataError
        If an array is no matrix of finite numbers; one line that names it.
    ArgumentError
        If the theory has no such matrix or step, or another argument is not one.

    See Also
    --------
    spectrum : what a theory says.
    compare : both side by side.

    References
    ----------
    Benaych-Georges, Nadakuditi, J. Multivar. Anal. 111, 120 (2012); Tracy, Widom, Commun. Math. Phys. 177, 727 (1996).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> noise = rng.standard_normal((200, 300)) / 300**0.5
    >>> spike = np.outer(rng.standard_normal(200), rng.standard_normal(300)) * 3 / 60000**0.5
    >>> found = measure({"W0": noise, "W1": noise + spike})
    >>> found.verdict.values.ravel().tolist()
    ['lazy', 'spikes']
    """
    arrays = _arrays(weights)
    place = _place(arrays, theory, step)
    networks = len(next(iter(arrays.values())))
    found = {name: _measured(name, array, theory, place, initial_std) for name, array in arrays.items()}
    ranks = max((one.outliers for row in found.values() for one in row), default=0)
    ranks = max(min(ranks, RANKS), 0 if theory is None else theory.sizes.get("rank", 0))
    dataset = _dataset(found, place, networks, ranks, theory)
    dataset.attrs = {"networks": networks, "rule": f"{ERRORS:g} standard errors + {FLOOR:g} of the edge, {FEW:g}"}
    return dataset


def _arrays(weights: object) -> dict[str, Floats]:
    """Checked arrays, shape (networks, rows, columns)."""
    if not isinstance(weights, Mapping) or not weights or not all(isinstance(name, str) for name in weights):
        raise ArgumentError(f'weights = {show(weights)}: allowed are arrays by name, such as {{"W1": array}}')
    found: dict[str, Floats] = {}
    for name, value in weights.items():
        try:
            array = real_array(f"weights {show(name)}", value, "(rows, columns) or (networks, rows, columns)", (2, 3))
        except DataError as error:
            raise DataError(str(error).replace(" have shape", ": shape", 1)) from error
        found[name] = array if array.ndim == 3 else array[None]
    counts = {name: len(array) for name, array in found.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise DataError(f"weights: allowed are matrices of as many networks each, there are {shown}")
    return found


def _place(arrays: Mapping[str, Floats], theory: Any, step: object) -> int:
    """The step that the weights belong to."""
    if theory is None:
        if step is not None and (isinstance(step, bool) or not isinstance(step, numbers.Integral) or step < 0):
            raise ArgumentError(f"step = {show(step)}: allowed is an integer >= 0")
        return 0 if step is None else int(step)
    if not {"outlier", "bulk_edge"} <= set(getattr(theory, "data_vars", ())) or "seed" in theory.dims:
        raise ArgumentError("theory: allowed is a result with predicted spectra, of spectrum or of a Solver")
    if "spectrum_step" not in theory.dims:
        raise ArgumentError("theory: allowed is a run in steps, weights are those of a step")
    known = [str(name) for name in theory["matrix"].values]
    for name in arrays:
        if name not in known:
            raise ArgumentError(f"weights {show(name)}: allowed are the matrices of the theory, {', '.join(known)}")
    steps = [int(one) for one in theory["spectrum_step"].values]
    if step is None:
        return steps[-1]
    if step not in steps:
        raise ArgumentError(f"step = {show(step)}: allowed are the steps of the theory, {', '.join(map(str, steps))}")
    return int(step)


def _measured(name: str, array: Floats, theory: Any, step: int, given: object) -> list[MeasuredWeights]:
    rows, columns = array.shape[1:]
    sigma = _scale(name, given)
    if sigma is None and theory is not None:
        edge = float(theory["bulk_edge"].sel(matrix=name, spectrum_step=step, side="upper"))
        sigma = edge / (1 + math.sqrt(rows / columns)) if math.isfinite(edge) and edge > 0 else None
    return [MeasuredWeights.of(matrix, sigma) for matrix in array]


def _scale(name: str, given: Any) -> float | None:
    value = given.get(name) if isinstance(given, Mapping) else given
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) < math.inf:
        raise ArgumentError(f"initial_std = {show(given)}: allowed are finite numbers > 0, one or one for a matrix")
    return float(value)


def _dataset(
    found: Mapping[str, list[MeasuredWeights]], step: int, networks: int, ranks: int, theory: Any
) -> xr.Dataset:
    import xarray as xr

    def table(get: Any, *shape: int) -> Floats:
        rows = [[get(name, row[k]) for name, row in found.items()] for k in range(networks)]
        return np.asarray(rows, dtype=float).reshape(networks, len(found), 1, *shape)

    def filled(values: Floats, length: int) -> Floats:
        return np.concatenate([values[:length], np.full(max(0, length - len(values)), np.nan)])

    def largest(name: str, one: MeasuredWeights) -> Floats:
        wanted = 0 if theory is None else int(theory["outlier"].sel(matrix=name, spectrum_step=step).notnull().sum())
        return filled(one.values[: max(one.outliers, wanted)], ranks)

    labels = ("seed", "matrix", "spectrum_step")
    longest = max(row[0].law.count for row in found.values())
    lists = list(found.values())
    laws = [row[0].law for row in lists]
    sigmas = [np.mean([one.sigma for one in row]) for row in lists]
    drawn = ("matrix", "spectrum_step", "point")
    unit = 0.5 * (1 - np.cos((np.arange(_POINTS) + 0.5) * np.pi / _POINTS))
    grids = [low + (high - low) * unit for low, high in (law.edges for law in laws)]
    densities = [law.density(grid) for law, grid in zip(laws, grids, strict=True)]
    variables: dict[str, Any] = {
        "outlier": ((*labels, "rank"), table(largest, ranks)),
        "outliers": (labels, table(lambda _, one: one.outliers)),
        "bulk_edge": ((*labels, "side"), table(lambda _, one: one.sigma * np.array(one.law.edges), 2)),
        "initial_std": (labels, table(lambda _, one: one.sigma)),
        "initial_std_sem": (labels, table(lambda _, one: one.sigma_error)),
        "overlap": ((*labels, "rank", "direction"), table(lambda _, one: one.overlaps(ranks).T, ranks, 2)),
        "bulk_shift": ((*labels, "quantile"), table(lambda _, one: one.shifts[0], len(LEVELS))),
        "bulk_shift_sem": ((*labels, "quantile"), table(lambda _, one: one.shifts[1], len(LEVELS))),
        "spectrum_value": ((*labels, "number"), table(lambda _, one: filled(one.values, longest), longest)),
        "value": (drawn, np.array([[s * g] for s, g in zip(sigmas, grids, strict=True)])),
        "density": (drawn, np.array([[d / s if s else d] for d, s in zip(densities, sigmas, strict=True)])),
        "verdict": (("matrix", "spectrum_step"), np.array([[_verdict(row)] for row in lists])),
    }
    coords = {
        "seed": np.arange(networks), "matrix": list(found), "spectrum_step": [step], "rank": np.arange(ranks),
        "side": ["lower", "upper"], "direction": list(_DIRECTIONS), "quantile": LEVELS, "point": np.arange(_POINTS),
    }  # fmt: skip
    words = {
        "density": "density of the bulk at initialization",
        "overlap": "|cos| between the vectors of an outlier and of what was added independently",
    }
    return describe(xr.Dataset(variables, coords), **words)


def _verdict(row: list[MeasuredWeights]) -> str:
    counts = np.array([one.outliers for one in row])
    shifts, errors = (np.array([one.shifts[k] for one in row]) for k in (0, 1))
    return verdict(counts, counts / row[0].law.count, shifts, errors)
