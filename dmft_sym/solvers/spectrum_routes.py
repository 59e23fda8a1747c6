"""Two routes to the spectra of a trained network, in one form.

The two-time matrices of a march are put into the derived spike conditions; growing coordinates know nothing of the
derivation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.support.array_types import Floats
from dmft_sym.support.outcomes import Failure, SpectrumError, named

from .escape_step import escape_step
from .generated_modules import coordinates_module
from .method import Progress, counted

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem
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


@dataclass
class Track:
    """One matrix along training."""

    spectra: dict[int, TwoTimeSpectrum | CoordinateSpectrum] = field(default_factory=dict)
    overlaps: dict[int, dict[str, Floats]] = field(default_factory=dict)
    bands: dict[int, Floats] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    escape: float = math.nan
    share: float = 1.0
    """By which densities are multiplied to be those of all eigenvalues, or of as many singular values as there are."""


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
    from .solver import Solver

    arguments = run_arguments(theory, steps, parameters)
    raw = Solver(theory, backend).raw(steps=steps, **parameters)  # type: ignore[arg-type]
    return TwoTimeSpectra(theory, raw, arguments.values, arguments.outputs, steps)


def from_march(wanted: WantedSpectra) -> tuple[dict[str, Track], int]:
    """Two-time matrices in the derived spike condition; also the number of steps before the run diverged, or all."""
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
        if len(track.spectra) == len(at):
            track.escape = escape_step(lambda steps, name=name: _march_margins(run, wanted, name, steps), at)  # type: ignore[misc]
    return tracks, run.run.steps


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


def _march_margins(run: TwoTimeSpectra, wanted: WantedSpectra, name: str, steps: list[int]) -> list[float]:
    """First margins, nan where nothing is known of it; steps between those that were asked for may fail."""
    found = []
    for step in steps:
        try:
            with named(f"{name} at step {step}"):
                margins = run.at(wanted.matrices[name], step, wanted.dependence).found.margins
        except SpectrumError:
            margins = np.empty(0)
        found.append(_first_margin(margins))
    return found


def _first_margin(margins: Floats) -> float:
    return float(margins[0]) if len(margins) else math.nan


def _columns_per_value(arguments: RunArguments, matrix: MatrixProgram) -> float:
    """Columns of a matrix by its singular values, of which there are as many as of the smaller of columns and rows."""
    flat = matrix.flat(arguments.integers)
    rows, columns = (float(ref.space.ratio.subs(arguments.values)) for ref in (flat.output, flat.input))
    return columns / min(rows, columns) if math.isfinite(columns) and not flat.symmetric else 1.0


def from_coordinates(wanted: WantedSpectra) -> tuple[dict[str, Track], int]:
    """Growing coordinates; also the number of steps before the run diverged, or all."""
    from dmft_sym.spectra.pencil.coordinates import coordinate_spectra

    theory, arguments, at, tol = wanted.theory, wanted.arguments, wanted.at, wanted.tol
    report = counted(wanted.progress, arguments.steps)
    run = theory.program, arguments.values, arguments.outputs, arguments.steps
    programs, steps = list(wanted.matrices.values()), sorted({0, *at})  # an escape may be before the steps asked for
    module = coordinates_module(arguments.steps)
    found, result = coordinate_spectra(
        *run, programs, steps, tol=tol, overlaps=wanted.overlaps, progress=report, module=module
    )
    reached = min(len(rows) for rows in result.observables.values())
    tracks = {}
    for name, matrix in wanted.matrices.items():
        source = found[name]
        spectra = {step: one for step, one in source.spectra.items() if step in at}
        track = Track(dict(spectra), failures={step: text for step, text in source.failures.items() if step in at})
        if len(spectra) == len(at):
            margins = _Margins(theory, arguments, matrix, tol, _first_margins(source))
            track.escape = escape_step(margins, at)
        for step, one in spectra.items():
            track.overlaps[step] = {f"{side} {field}": rows for (side, field), rows in one.overlaps.items()}
            if wanted.bands:
                try:
                    with named(f"{name} at step {step}"):
                        track.bands[step] = one.support().bands
                except SpectrumError as error:
                    track.failures[step] = str(error)
        for step in at:
            if step >= reached and step not in track.failures:
                track.failures[step] = str(SpectrumError(Failure.DIVERGED_BEFORE, f"{name} at step {step}"))
        tracks[name] = track
    return tracks, reached


def _first_margins(track: SpectrumTrack) -> dict[int, float]:
    return {step: _first_margin(one.margins) for step, one in track.spectra.items()}


@dataclass(frozen=True)
class _Margins:
    """First margins of a matrix at any steps, from another run for those that are not known yet."""

    theory: Problem
    arguments: RunArguments
    matrix: MatrixProgram
    tol: float
    known: dict[int, float]

    def __call__(self, steps: list[int]) -> list[float]:
        from dmft_sym.spectra.pencil.coordinates import coordinate_spectra

        missing = [step for step in steps if step not in self.known]
        if missing:
            run = self.theory.program, self.arguments.values, self.arguments.outputs, missing[-1] + 1
            module = coordinates_module(missing[-1] + 1)
            tracks, _ = coordinate_spectra(*run, [self.matrix], missing, tol=self.tol, overlaps=False, module=module)
            self.known.update(dict.fromkeys(missing, math.nan) | _first_margins(tracks[self.matrix.name]))
        return [self.known[step] for step in steps]
