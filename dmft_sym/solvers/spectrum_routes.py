"""Two routes to the spectra of a trained network, in one form.

The two-time matrices of a march are put into the derived spike conditions; growing coordinates know nothing of the
derivation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.support.array_types import Floats
from dmft_sym.support.outcomes import Failure, Outcome, SpectrumError, named

from .escape_step import escape_step, steps_between, times_between
from .generated_modules import coordinates_module
from .method import Progress, counted, end_of_run

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem
    from dmft_sym.execution import ExecutionResult
    from dmft_sym.spectra import MatrixProgram
    from dmft_sym.spectra.march.two_time import TwoTimeSpectra, TwoTimeSpectrum
    from dmft_sym.spectra.pencil.coordinates import CoordinateSpectrum, SpectrumTrack

    from .arguments import RunArguments


@dataclass(frozen=True)
class WantedSpectra:
    """What is asked for, checked.

    Attributes
    ----------
    parameters
        Keyword arguments of a solver.
    dependence
        ``"joint"`` or ``"independent"``, of the march.
    tol
        Tolerance of growing coordinates.
    bands, overlaps
        Whether all edges of the bulk, and overlaps of vectors with fields, are wanted.
    escapes
        Whether it is wanted where the first outlier leaves the bulk.
    """

    theory: Problem
    arguments: RunArguments
    parameters: Mapping[str, Any]
    matrices: Mapping[str, MatrixProgram]
    at: list[int]
    dependence: str
    tol: float
    bands: bool
    overlaps: bool
    progress: Progress | None
    escapes: bool = True


@dataclass
class Track:
    """One matrix along training."""

    spectra: dict[int, TwoTimeSpectrum | CoordinateSpectrum] = field(default_factory=dict)
    overlaps: dict[int, dict[str, Floats]] = field(default_factory=dict)
    bands: dict[int, Floats] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    margins: dict[int, float] = field(default_factory=dict)
    """First margins, at step 0 too where they are found on the way."""
    escape: float = math.nan
    share: float = 1.0
    """By which densities are multiplied to be those of all eigenvalues, or of as many singular values as there are."""
    copies: int = 1
    """How often outliers are repeated by outputs that were not solved for."""

    def outliers(self, step: int) -> Floats:
        """Outliers at a step, with multiplicity; none where the spectrum is not known."""
        found = self.spectra.get(step)
        return np.empty(0) if found is None else np.repeat(found.outliers, self.copies)


def two_time_spectra(theory: Problem, *, steps: int, backend: str = "numba", **parameters: float) -> TwoTimeSpectra:
    """March the equations, and put the two-time matrices into the derived spike conditions.

    Parameters
    ----------
    backend
        Back end of the march.
    **parameters
        As for a solver.
    """
    from dmft_sym.spectra.march.two_time import TwoTimeSpectra

    from .arguments import run_arguments
    from .march import march

    arguments = run_arguments(theory, steps, parameters)
    raw = march(theory, arguments, backend)
    return TwoTimeSpectra(theory, raw, arguments.values, arguments.outputs, steps, arguments.data)


def from_march(wanted: WantedSpectra) -> tuple[dict[str, Track], Outcome]:
    """Two-time matrices in the derived spike condition; also how the run ended."""
    theory, arguments, at = wanted.theory, wanted.arguments, wanted.at
    run = two_time_spectra(theory, steps=arguments.steps, **wanted.parameters)
    tracks = {name: Track(share=_columns_per_value(arguments, one)) for name, one in wanted.matrices.items()}
    done = 0
    for name, track in tracks.items():
        for step in at:
            for part in (_march_values, _march_bands, _march_overlaps):
                try:
                    with named(f"{name} at step {step}"):
                        part(run, wanted, name, step, track)
                except SpectrumError as error:
                    track.failures.setdefault(step, str(error))
            done += 1
            if wanted.progress is not None:
                wanted.progress(done, len(tracks) * len(at))
        track.margins = {step: _first_margin(one.found.margins) for step, one in track.spectra.items()}  # type: ignore[union-attr]
        if wanted.escapes and len(track.spectra) == len(at):
            track.escape = escape_step(_MarchMargins(wanted, name, {}, run), at)
    return tracks, end_of_run(run.run.steps, arguments.steps)


def _march_values(run: TwoTimeSpectra, wanted: WantedSpectra, name: str, step: int, track: Track) -> None:
    spectrum = run.at(wanted.matrices[name], step, wanted.dependence)
    _ = spectrum.found  # edge and outliers are computed when they are asked for
    track.spectra[step] = spectrum


def _march_bands(run: TwoTimeSpectra, wanted: WantedSpectra, name: str, step: int, track: Track) -> None:
    """All intervals of the support, if wanted; without them there are no densities, but outliers stay."""
    if wanted.bands and step in track.spectra:
        bulk = run.at(wanted.matrices[name], step, wanted.dependence).bulk
        bands = np.array(bulk.intervals()).reshape(-1, 2)
        bulk.masses()  # raises where the scan missed a part of the support
        track.bands[step] = bands


def _march_overlaps(run: TwoTimeSpectra, wanted: WantedSpectra, name: str, step: int, track: Track) -> None:
    """Overlaps with the fields at the step of the spectrum and with static vectors, shape (rank, output)."""
    found: Any = track.spectra.get(step)
    if wanted.overlaps and found is not None and len(found.outliers):
        columns = {f"{side} {field}": found.overlap(side, field)[:, -1:] for side, field in found.directions()}
        outputs = wanted.arguments.outputs
        track.overlaps[step] = {key: np.repeat(column, outputs, axis=1) for key, column in columns.items()}


class _MarchMargins:
    """First margins of a matrix at any steps, nan where nothing is known; a march is made if there is none yet."""

    def __init__(
        self, wanted: WantedSpectra, name: str, known: dict[int, float], run: TwoTimeSpectra | None = None
    ) -> None:
        self.wanted, self.name, self.known, self.run = wanted, name, known, run

    def __call__(self, steps: list[int]) -> list[float]:
        for step in steps:
            if step not in self.known:
                self.known[step] = self._margin(step)
        return [self.known[step] for step in steps]

    def _margin(self, step: int) -> float:
        """Steps between those that were asked for may fail."""
        wanted = self.wanted
        if self.run is None:
            self.run = two_time_spectra(wanted.theory, steps=wanted.arguments.steps, **wanted.parameters)
        try:
            with named(f"{self.name} at step {step}"):
                return _first_margin(self.run.at(wanted.matrices[self.name], step, wanted.dependence).found.margins)
        except SpectrumError:
            return math.nan


def _first_margin(margins: Floats) -> float:
    return float(margins[0]) if len(margins) else math.nan


def _columns_per_value(arguments: RunArguments, matrix: MatrixProgram) -> float:
    """Columns of a matrix by its singular values, of which there are as many as of the smaller of columns and rows."""
    flat = matrix.flat(arguments.integers)
    rows, columns = (float(ref.space.ratio.subs(arguments.values)) for ref in (flat.output, flat.input))
    return columns / min(rows, columns) if math.isfinite(columns) and not flat.symmetric else 1.0


def from_coordinates(wanted: WantedSpectra) -> tuple[dict[str, Track], Outcome]:
    """Growing coordinates; also how the run ended."""
    arguments, at = wanted.arguments, wanted.at
    steps = sorted({0, *at})  # an escape may be before the steps asked for
    report = counted(wanted.progress, arguments.steps)
    found, result = _observed(wanted, arguments, list(wanted.matrices.values()), steps, wanted.overlaps, report)
    tracks = {}
    for name in wanted.matrices:
        source = found[name]
        spectra = {step: one for step, one in source.spectra.items() if step in at}
        track = Track(dict(spectra), failures={step: text for step, text in source.failures.items() if step in at})
        track.margins = {step: _first_margin(one.margins) for step, one in source.spectra.items()}
        if wanted.escapes and len(spectra) == len(at):
            track.escape = escape_on_coordinates(wanted, name, track.margins)
        for step, one in spectra.items():
            track.overlaps[step] = {f"{side} {field}": rows for (side, field), rows in one.overlaps.items()}
            if wanted.bands:
                try:
                    with named(f"{name} at {arguments.where(step)}"):
                        track.bands[step] = one.support().bands
                except SpectrumError as error:
                    track.failures[step] = str(error)
        for step in at:
            if step >= result.steps and step not in track.failures:
                track.failures[step] = str(SpectrumError(Failure.DIVERGED_BEFORE, f"{name} at {arguments.where(step)}"))
        tracks[name] = track
    return tracks, result.outcome


def escape_on_march(wanted: WantedSpectra, name: str, margins: Mapping[int, float]) -> float:
    """Where the first outlier of a matrix leaves the bulk, from margins that are known and others of the march."""
    return escape_step(_MarchMargins(wanted, name, dict(margins)), wanted.at)


def escape_on_coordinates(wanted: WantedSpectra, name: str, margins: Mapping[int, float]) -> float:
    """Where the first outlier of a matrix leaves the bulk, from margins that are known and those of further runs."""
    arguments = wanted.arguments
    between = steps_between if arguments.times is None else times_between
    known = {arguments.place(step): margin for step, margin in margins.items()}
    places = [arguments.place(step) for step in wanted.at]
    return escape_step(_Margins(wanted, wanted.matrices[name], known), places, between)


def _observed(
    wanted: WantedSpectra,
    arguments: RunArguments,
    matrices: list[MatrixProgram],
    at: list[int],
    overlaps: bool = False,
    progress: Callable[[int], None] | None = None,
) -> tuple[dict[str, SpectrumTrack], ExecutionResult]:
    """Spectra at steps of a run in coordinates, or at times of a flow."""
    from dmft_sym.spectra.pencil.coordinates import coordinate_spectra, flow_spectra

    program, values, outputs = wanted.theory.program, arguments.values, arguments.outputs
    options: dict[str, Any] = {"tol": wanted.tol, "overlaps": overlaps, "progress": progress}
    if arguments.times is not None:
        options |= wanted.theory.training.options
        return flow_spectra(program, values, outputs, arguments.times, matrices, at, **options)
    module = None if program.has_norms else coordinates_module(arguments.steps)
    options |= {"module": module, "data": arguments.data or None}
    return coordinate_spectra(program, values, outputs, arguments.steps, matrices, at, **options)


@dataclass(frozen=True)
class _Margins:
    """First margins of a matrix at any steps or times, from another run for those that are not known yet."""

    wanted: WantedSpectra
    matrix: MatrixProgram
    known: dict[float, float]

    def __call__(self, places: list[Any]) -> list[float]:
        missing = [place for place in places if place not in self.known]
        if missing:
            run, steps = self._up_to(missing)
            tracks, _ = _observed(self.wanted, run, [self.matrix], steps)
            spectra = tracks[self.matrix.name].spectra
            found = {run.place(step): _first_margin(one.margins) for step, one in spectra.items()}
            self.known.update(dict.fromkeys(missing, math.nan) | found)
        return [self.known[place] for place in places]

    def _up_to(self, places: list[Any]) -> tuple[RunArguments, list[int]]:
        """A run to the last of the places, and their steps in it."""
        arguments = self.wanted.arguments
        if arguments.times is None:
            return replace(arguments, steps=places[-1] + 1), places
        times = (0.0, *places)
        return replace(arguments, times=times, steps=len(times)), list(range(1, len(times)))
