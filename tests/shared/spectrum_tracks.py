"""Lines of spectra along training: tables of edges, outliers and overlaps, and when outliers escape."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.execution import ExecutionResult, run_finite
from dmft_sym.program import Program
from dmft_sym.spectra import MatrixProgram
from dmft_sym.spectra.march.two_time import TwoTimeSpectra
from dmft_sym.spectra.measured.measured import MeasuredSpectrum, Measurement
from dmft_sym.spectra.numerics.supports import Support
from dmft_sym.spectra.pencil import coordinates
from dmft_sym.spectra.pencil.effective import EffectivePencil
from dmft_sym.spectra.pencil.outliers import OutlierSearch, PencilOutliers

Floats = NDArray[np.floating[Any]]
_ZERO = 1e-6  # relative distance from zero, or from the next band, where a search ends


class CoordinateTrack(coordinates.SpectrumTrack):
    """The spectrum of a matrix along training, with tables over steps."""

    @property
    def edges(self) -> Floats:
        """Upper edge of the bulk, shape (step,)."""
        return np.array([self.spectra[step].edge for step in self.steps])

    @property
    def outliers(self) -> Floats:
        """Outliers, descending, ``nan`` where there is none; shape (step, rank)."""
        return _padded([self.spectra[step].outliers for step in self.steps])

    @property
    def leading(self) -> Floats:
        """The larger of the first outlier and the edge, shape (step,)."""
        return np.array([self.spectra[step].leading for step in self.steps])

    def overlap(self, side: str, field: str) -> Floats:
        """``|cos|`` between the singular (eigen-) vectors of a side and a field, shape (step, rank, C).

        Parameters
        ----------
        side
            Input of the matrix program: ``"a"`` for right singular vectors, ``"b"`` for left ones.
        field
            A field or random vector of the training program, e.g. ``"betastar"`` or ``"h[1]"``.

        Raises
        ------
        ValueError
            If there is no such overlap.
        """
        known = list(dict.fromkeys(key for s in self.spectra.values() for key in s.overlaps))
        if (side, field) not in known:
            allowed = ", ".join(f"{a} with {b}" for a, b in known) or "none: there was no outlier"
            raise ValueError(f"overlap = {side} with {field}: allowed are {allowed}")
        found = [self.spectra[step].overlaps.get((side, field)) for step in self.steps]
        outputs = next(rows.shape[1] for rows in found if rows is not None)
        ranks = max(len(rows) for rows in found if rows is not None)
        out = np.full((len(found), ranks, outputs), np.nan)
        for step, rows in enumerate(found):
            if rows is not None:
                out[step, : len(rows)] = rows
        return out

    def escape(self, rank: int = 0) -> float:
        """The time at which the outlier of a rank first leaves the bulk, interpolated between steps.

        Returns
        -------
        float
            The first step, if it is outside from the start; ``nan`` if it never is.
        """
        margins = _padded([self.spectra[step].margins for step in self.steps])
        if rank >= margins.shape[1]:
            return math.nan
        line = margins[:, rank]
        outside = np.flatnonzero(line < 0)
        if not len(outside):
            return math.nan
        after = int(outside[0])
        if after == 0:
            return float(self.steps[0])
        before, now = line[after - 1], line[after]
        fraction = before / (before - now) if np.isfinite(before) and np.isfinite(now) else 1.0
        return self.steps[after - 1] + fraction * (self.steps[after] - self.steps[after - 1])


def _padded(rows: list[Floats]) -> Floats:
    width = max((len(row) for row in rows), default=0)
    out = np.full((len(rows), width), np.nan)
    for number, row in enumerate(rows):
        out[number, : len(row)] = row
    return out


def coordinate_spectra(*arguments: Any, **options: Any) -> tuple[dict[str, CoordinateTrack], ExecutionResult]:
    """`dmft_sym.spectra.pencil.coordinates.coordinate_spectra`, with tables."""
    tracks, result = coordinates.coordinate_spectra(*arguments, **options)
    return {name: CoordinateTrack(track.spectra, track.failures) for name, track in tracks.items()}, result


@dataclass
class MeasuredTrack:
    """The spectrum of a matrix of one finite network along training, by step."""

    spectra: Mapping[int, MeasuredSpectrum]

    @property
    def steps(self) -> list[int]:
        """The steps, ascending."""
        return sorted(self.spectra)

    @property
    def values(self) -> Floats:
        """The values, shape (step, n)."""
        return np.stack([self.spectra[step].values for step in self.steps])

    def overlap(self, side: str, field: str, multiplicity: int = 1) -> Floats:
        """``|cos|`` between the span of the first ``multiplicity`` vectors of a side and a field, shape (step, C)."""
        tables = [self.spectra[step].overlaps[side, field][:multiplicity] for step in self.steps]
        return np.sqrt(np.stack([(table**2).sum(axis=0) for table in tables]))


def measured_spectra(
    program: Program,
    values: Mapping[sp.Symbol, float],
    outputs: int,
    steps: int,
    dim: int,
    seed: int,
    matrices: Sequence[str | MatrixProgram],
    at: Iterable[int],
    *,
    count: int = 3,
    full: bool = False,
    normalise: bool = False,
    dtype: type = float,
    progress: Callable[[int], None] | None = None,
) -> tuple[dict[str, MeasuredTrack], ExecutionResult]:
    """Train one finite network and measure spectra on the way.

    Parameters
    ----------
    program, values, outputs, steps, matrices, at
        As for `coordinate_spectra`; ratios must be finite.
    dim, seed
        Input dimension and seed of the network; the same seed gives the same numbers.
    count
        Number of largest values, with overlaps of their vectors.
    full
        Compute all values (for histograms), which takes the time of a dense decomposition.
    normalise
        Scale random vectors (teacher, readout, label noise) to their expected norms. These norms move the sharpness of
        all sizes of interest by several per cent; without their fluctuation error bars are much smaller.

    Returns
    -------
    tracks : dict of MeasuredTrack
        By name of the matrix; steps after a divergence of the run are missing.
    result : ExecutionResult
        Losses and how the run ended.

    Raises
    ------
    ProgramError
        If a matrix does not exist.
    ValueError
        If a step is not part of the run, or a parameter is out of range.
    """
    measurement = Measurement(program, values, outputs, steps, matrices, at, count=count, full=full, seed=seed)
    inspect = measurement.inspect
    result = run_finite(
        program, values, outputs, steps, dim, seed, normalise, dtype, progress=progress, inspect=inspect
    )
    return {name: MeasuredTrack(found) for name, found in measurement.tracks.items()}, result


def escape(run: TwoTimeSpectra, matrix: str | MatrixProgram, at: Iterable[int]) -> float:
    """The time at which the first outlier leaves the bulk, interpolated between the steps ``at``; ``nan`` if never."""
    before: tuple[int, float] | None = None
    for step in sorted(at):
        margins = run.at(matrix, step).found.margins
        margin = float(margins[0]) if len(margins) else math.nan
        if margin < 0:
            if before is None or math.isnan(before[1]):
                return float(step)
            return before[0] + (step - before[0]) * before[1] / (before[1] - margin)
        before = step, margin
    return math.nan


def touches(found: PencilOutliers, distance: float) -> bool:
    """Whether an outlier is, or is about to be, closer to the edge than ``distance`` times the edge."""
    if found.edge == 0:  # a point, which other values may be next to for good
        return False
    reach = np.where(found.slopes > 0, found.margins, np.inf) / np.where(found.slopes > 0, found.slopes, 1.0)
    return bool(np.any(reach**2 < distance * (abs(found.edge) or 1.0)))


def outliers_elsewhere(effective: EffectivePencil, found: Support) -> Floats:
    """Outliers below the bulk and between its bands, ascending; eigenvalues that are exactly zero are left out.

    Parameters
    ----------
    found
        The support of the bulk of the same pencil.

    Raises
    ------
    OutlierError
        If the search for one does not converge.
    """
    bands = found.bands
    if not len(bands):
        return np.zeros(0)
    intervals: list[tuple[float, int, float]] = [] if effective.pencil.folded else [(bands[0, 0], -1, math.inf)]
    if effective.pencil.folded and bands[0, 0] > 0:
        intervals = [(bands[0, 0], -1, 0.0)]
    intervals += [(low, 1, high) for low, high in zip(bands[:-1, 1], bands[1:, 0], strict=True)]
    values = [OutlierSearch(effective, *interval).run().values for part in intervals for interval in _halves(*part)]
    return np.sort(np.concatenate([np.zeros(0), *values]))


def _halves(edge: float, side: int, end: float) -> list[tuple[float, int, float]]:
    """An interval beyond an edge, in two parts if zero is inside: eigenvalues there may be infinitely many."""
    if math.isinf(end):
        near_zero = _ZERO * abs(edge)
        if edge * side < 0:
            return [(edge, side, -side * near_zero), (side * near_zero, side, end)]
        return [(edge, side, end)]
    near_zero = _ZERO * max(abs(edge), abs(end))
    if end == 0:
        return [(edge, side, -side * near_zero)]
    if edge < 0 < end:
        return [(edge, side, -near_zero), (end, -side, near_zero)]
    return [(edge, side, end - side * _ZERO * abs(end - edge))]
