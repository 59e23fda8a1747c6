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

if TYPE_CHECKING:
    from .arguments import RunArguments
    from .spectra.two_time import TwoTimeSpectra
    from .theory import Theory

Floats = NDArray[np.floating[Any]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Wanted:
    """What is asked for, checked.

    Attributes
    ----------
    parameters
        Keyword arguments of a solver.
    tol
        Tolerance of growing coordinates.
    bands, overlaps
        Whether all edges of the bulk, and overlaps of vectors with fields, are wanted.
    """

    theory: Theory
    arguments: RunArguments
    parameters: Mapping[str, Any]
    matrices: list[str]
    at: list[int]
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


def from_march(wanted: Wanted) -> tuple[dict[str, Track], int]:
    """Two-time matrices in the derived spike condition; also the number of steps before the run diverged, or all."""
    from .spectra.two_time import TwoTimeSpectra
    from .spectral_failures import SpectrumError

    theory, arguments, at = wanted.theory, wanted.arguments, wanted.at
    run = TwoTimeSpectra(theory, steps=arguments.steps, **wanted.parameters)
    tracks = {name: Track(share=_columns_per_value(theory, arguments, name)) for name in wanted.matrices}
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
            track.escape = escape_step(lambda steps, name=name: _march_margins(run, name, steps), at)  # type: ignore[misc]
    return tracks, run.run.steps


def _march_values(run: TwoTimeSpectra, wanted: Wanted, name: str, step: int, track: Track) -> None:
    from .spectral_failures import named

    with named(f"{name} at step {step}"):
        found = run.at(name, step)
        _ = found.found  # edge and outliers are computed when they are asked for
    track.spectra[step] = found


def _march_bands(run: TwoTimeSpectra, wanted: Wanted, name: str, step: int, track: Track) -> None:
    """All intervals of the support, if wanted; without them there are no densities, but outliers stay."""
    from .spectral_failures import named

    if wanted.bands and step in track.spectra:
        with named(f"{name} at step {step}"):
            bulk = run.at(name, step).bulk
            bands = np.array(bulk.intervals()).reshape(-1, 2)
            bulk.masses()  # raises where the scan missed a part of the support
        track.bands[step] = bands


def _march_overlaps(run: TwoTimeSpectra, wanted: Wanted, name: str, step: int, track: Track) -> None:
    """Overlaps with the fields at the step of the spectrum and with static vectors, shape (rank, output)."""
    from .spectral_failures import named

    found: Any = track.spectra.get(step)
    if not wanted.overlaps or found is None or not len(found.outliers):
        return
    overlaps = {}
    with named(f"{name} at step {step}"):
        for side, field_name in found.directions():
            columns = found.overlap(side, field_name)[:, -1:]
            overlaps[f"{side} {field_name}"] = np.repeat(columns, wanted.arguments.outputs, axis=1)
    track.overlaps[step] = overlaps


def _march_margins(run: TwoTimeSpectra, name: str, steps: list[int]) -> list[float]:
    found = (run.at(name, step).found.margins for step in steps)
    return [float(margins[0]) if len(margins) else math.nan for margins in found]


def _columns_per_value(theory: Theory, arguments: RunArguments, name: str) -> float:
    """Columns of a matrix by its singular values, of which there are as many as of the smaller of columns and rows."""
    from .spectra import matrix_program

    flat = matrix_program(theory.program, name).flat({s: int(v) for s, v in arguments.values.items() if s.is_integer})
    rows, columns = (float(ref.space.ratio.subs(arguments.values)) for ref in (flat.output, flat.input))
    return columns / min(rows, columns) if math.isfinite(columns) and not flat.symmetric else 1.0


def from_coordinates(wanted: Wanted) -> tuple[dict[str, Track], int]:
    """Growing coordinates; also the number of steps before the run diverged, or all."""
    from .spectra.coordinates import coordinate_spectra
    from .spectral_failures import Failure, SpectrumError

    theory, arguments, at, tol = wanted.theory, wanted.arguments, wanted.at, wanted.tol
    progress = wanted.progress
    report = None if progress is None else lambda done: progress(done, arguments.steps)
    run = theory.program, arguments.values, arguments.outputs, arguments.steps
    found, result = coordinate_spectra(*run, wanted.matrices, at, tol=tol, overlaps=wanted.overlaps, progress=report)
    reached = min(len(rows) for rows in result.observables.values())
    tracks = {}
    for name in wanted.matrices:
        source = found[name]
        track = Track(dict(source.spectra), failures=dict(source.failures))
        if len(source.spectra) == len(at):
            track.escape = escape_step(lambda steps, name=name: _margins(theory, arguments, name, steps, tol), at)  # type: ignore[misc]
        for step, one in source.spectra.items():
            track.overlaps[step] = {f"{side} {field}": rows for (side, field), rows in one.overlaps.items()}
            if wanted.bands:
                try:
                    track.bands[step] = one.support().bands
                except SpectrumError as error:
                    track.failures[step] = str(error)
        for step in at:
            if step >= reached and step not in track.failures:
                track.failures[step] = str(SpectrumError(Failure.DIVERGED, f"{name} at step {step}"))
        tracks[name] = track
    return tracks, reached


def _margins(theory: Theory, arguments: RunArguments, name: str, steps: list[int], tol: float) -> list[float]:
    from .spectra.coordinates import coordinate_spectra

    run = theory.program, arguments.values, arguments.outputs, steps[-1] + 1
    tracks, _ = coordinate_spectra(*run, [name], steps, tol=tol, overlaps=False)
    found = (tracks[name].spectra.get(step) for step in steps)
    return [math.nan if one is None or not len(one.margins) else float(one.margins[0]) for one in found]
