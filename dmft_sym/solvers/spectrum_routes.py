"""Two routes to the spectra of a trained network, in one form.

The two-time matrices of a march are put into the derived spike conditions; growing coordinates know nothing of the
derivation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .escape_step import escape_step
from .generated_modules import coordinates_module

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem
    from dmft_sym.spectra import MatrixProgram
    from dmft_sym.spectra.march.two_time import TwoTimeSpectra, TwoTimeSpectrum
    from dmft_sym.spectra.pencil.coordinates import SpectrumTrack

    from .arguments import RunArguments

Floats = NDArray[np.floating[Any]]
Progress = Callable[[int, int], None]


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


class Spectrum(Protocol):
    """What both routes know of one matrix at one step."""

    @property
    def edge(self) -> float: ...

    @property
    def outliers(self) -> NDArray[Any]: ...

    @property
    def leading(self) -> float: ...

    def density(self, x: Any) -> NDArray[Any]: ...


@dataclass
class Track:
    """One matrix along training."""

    spectra: dict[int, Spectrum] = field(default_factory=dict)
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
    from dmft_sym.support.outcomes import SpectrumError

    theory, arguments, at = wanted.theory, wanted.arguments, wanted.at
    run = two_time_spectra(theory, steps=arguments.steps, **wanted.parameters)
    tracks = {name: Track(share=_columns_per_value(arguments, one)) for name, one in wanted.matrices.items()}
    done = 0
    for name, track in tracks.items():
        for step in at:
            for part in (_march_values, _march_bands, _march_overlaps):
                try:
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
    from dmft_sym.support.outcomes import named

    with named(f"{name} at step {step}"):
        found = _march_at(run, wanted, name, step)
        _ = found.found  # edge and outliers are computed when they are asked for
    track.spectra[step] = found


def _march_bands(run: TwoTimeSpectra, wanted: WantedSpectra, name: str, step: int, track: Track) -> None:
    """All intervals of the support, if wanted; without them there are no densities, but outliers stay."""
    from dmft_sym.support.outcomes import named

    if wanted.bands and step in track.spectra:
        with named(f"{name} at step {step}"):
            bulk = _march_at(run, wanted, name, step).bulk
            bands = np.array(bulk.intervals()).reshape(-1, 2)
            bulk.masses()  # raises where the scan missed a part of the support
        track.bands[step] = bands


def _march_overlaps(run: TwoTimeSpectra, wanted: WantedSpectra, name: str, step: int, track: Track) -> None:
    """Overlaps with the fields at the step of the spectrum and with static vectors, shape (rank, output)."""
    from dmft_sym.support.outcomes import named

    found: Any = track.spectra.get(step)
    if not wanted.overlaps or found is None or not len(found.outliers):
        return
    overlaps = {}
    with named(f"{name} at step {step}"):
        for side, field_name in found.directions():
            columns = found.overlap(side, field_name)[:, -1:]
            overlaps[f"{side} {field_name}"] = np.repeat(columns, wanted.arguments.outputs, axis=1)
    track.overlaps[step] = overlaps


def _march_at(run: TwoTimeSpectra, wanted: WantedSpectra, name: str, step: int) -> TwoTimeSpectrum:
    return run.at(wanted.matrices[name], step, wanted.dependence)


def _march_margins(run: TwoTimeSpectra, wanted: WantedSpectra, name: str, steps: list[int]) -> list[float]:
    return [_march_margin(run, wanted, name, step) for step in steps]


def _march_margin(run: TwoTimeSpectra, wanted: WantedSpectra, name: str, step: int) -> float:
    """The first margin, nan if nothing is known of it; steps between those that were asked for may fail."""
    from dmft_sym.support.outcomes import SpectrumError, named

    try:
        with named(f"{name} at step {step}"):
            margins = _march_at(run, wanted, name, step).found.margins
    except SpectrumError:
        return math.nan
    return float(margins[0]) if len(margins) else math.nan


def _columns_per_value(arguments: RunArguments, matrix: MatrixProgram) -> float:
    """Columns of a matrix by its singular values, of which there are as many as of the smaller of columns and rows."""
    flat = matrix.flat({s: int(v) for s, v in arguments.values.items() if s.is_integer})
    rows, columns = (float(ref.space.ratio.subs(arguments.values)) for ref in (flat.output, flat.input))
    return columns / min(rows, columns) if math.isfinite(columns) and not flat.symmetric else 1.0


def from_coordinates(wanted: WantedSpectra) -> tuple[dict[str, Track], int]:
    """Growing coordinates; also the number of steps before the run diverged, or all."""
    from dmft_sym.spectra.pencil.coordinates import coordinate_spectra
    from dmft_sym.support.outcomes import Failure, SpectrumError, named

    theory, arguments, at, tol = wanted.theory, wanted.arguments, wanted.at, wanted.tol
    progress = wanted.progress
    report = None if progress is None else lambda done: progress(done, arguments.steps)
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
    return {step: float(one.margins[0]) if len(one.margins) else math.nan for step, one in track.spectra.items()}


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
