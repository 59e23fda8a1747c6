"""Spectra along training as labelled arrays: of all steps at once, or of parts of them that workers share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.derivation.carried import CarriedProblem
from dmft_sym.results.names import describe
from dmft_sym.support.array_types import Floats
from dmft_sym.support.outcomes import Outcome
from dmft_sym.workers import Crew

from .extensive_spectra import extensive_spectra
from .spectrum_routes import Track, WantedSpectra, escape_on_coordinates, escape_on_march, from_coordinates, from_march

if TYPE_CHECKING:
    import xarray as xr

    from .arguments import RunArguments

KERNEL = "NTK"
SIDES = ("lower", "upper")
PIECES = 16
"""Pieces of work that the steps are cut into, whatever the number of workers; each trains the network anew."""


@dataclass(frozen=True)
class Part:
    """Spectra at some of the steps.

    Attributes
    ----------
    dataset
        Labelled arrays.
    margins, failures, directions
        Of every matrix: first margins by step, lines on what failed, and names of overlaps.
    complete
        Matrices whose spectrum was found at all of these steps.
    """

    dataset: xr.Dataset
    margins: Mapping[str, Mapping[int, float]]
    failures: Mapping[str, Sequence[str]]
    directions: Mapping[str, Sequence[str]]
    complete: frozenset[str]


def part_of(wanted: WantedSpectra, method: str, points: int, arguments: RunArguments) -> tuple[Part, Outcome]:
    """Spectra at the steps that are wanted, and how the run ended.

    Parameters
    ----------
    arguments
        Of the run that was asked for; what is wanted may be solved for one of its equal outputs.
    """
    if wanted.theory.program.increments:
        tracks, outcome = extensive_spectra(wanted, method)
    else:
        tracks, outcome = from_march(wanted) if method == "equations" else from_coordinates(wanted)
    if wanted.arguments.outputs != arguments.outputs:
        for name, matrix in wanted.matrices.items():
            tracks[name].copies = arguments.outputs ** (2 if matrix.per_output else 1)
    dataset = _dataset(tracks, wanted.at, arguments, points)
    margins = {name: track.margins for name, track in tracks.items()}
    failures = {name: _failures(name, track, wanted.arguments) for name, track in tracks.items()}
    directions = {
        name: list(dict.fromkeys(d for o in track.overlaps.values() for d in o)) for name, track in tracks.items()
    }
    complete = frozenset(name for name, track in tracks.items() if len(track.spectra) == len(wanted.at))
    dataset.attrs["spectrum_failures"] = "\n".join(line for lines in failures.values() for line in lines)
    return Part(dataset, margins, failures, directions, complete), outcome


def shared_out(
    crew: Crew, wanted: WantedSpectra, method: str, points: int, arguments: RunArguments
) -> tuple[xr.Dataset, Outcome]:
    """The same by workers, each of which has some of the steps."""
    size = -(-len(wanted.at) // PIECES)
    pieces = [wanted.at[k : k + size] for k in range(0, len(wanted.at), size)]
    sent = replace(wanted, theory=None, progress=None, escapes=False)  # type: ignore[arg-type]
    one = partial(_piece, CarriedProblem(wanted.theory), sent, method, points, arguments)
    found = crew.in_order(one, pieces, wanted.progress)
    return _together([part for part, _ in found], wanted, method), found[0][1]


def _piece(
    carried: CarriedProblem, wanted: WantedSpectra, method: str, points: int, arguments: RunArguments, at: list[int]
) -> tuple[Part, Outcome]:
    """Some of the steps, in a worker."""
    return part_of(replace(wanted, theory=carried.problem, at=at), method, points, arguments)


def _together(parts: Sequence[Part], wanted: WantedSpectra, method: str) -> xr.Dataset:
    """Parts as one, with escapes, which need the margins of all."""
    import xarray as xr

    names = list(wanted.matrices)
    directions = list(dict.fromkeys(d for name in names for part in parts for d in part.directions[name]))
    apart = [part.dataset.drop_vars("escape_step") for part in parts]
    apart = [one.reindex(direction=directions) if "direction" in one.dims else one for one in apart]
    dataset = xr.concat(apart, "spectrum_step", data_vars="minimal", coords="minimal", join="outer",
                        compat="override", combine_attrs="override")  # fmt: skip
    route = escape_on_march if method == "equations" else escape_on_coordinates
    escapes = [math.nan] * len(names)
    for place, name in enumerate(names):
        if all(name in part.complete for part in parts):
            margins = {step: margin for part in parts for step, margin in part.margins[name].items()}
            escapes[place] = route(wanted, name, margins)
    dataset = dataset.assign(escape_step=("matrix", escapes, parts[0].dataset["escape_step"].attrs))
    lines = [line for name in names for part in parts for line in part.failures[name]]
    order = list(max((part.dataset for part in parts), key=lambda one: len(one.data_vars)).data_vars)
    return dataset[order].assign_attrs(spectrum_failures="\n".join(lines))


def _failures(name: str, track: Track, arguments: RunArguments) -> list[str]:
    """Lines that say what could not be computed."""
    return [_failure(f"{name} at {arguments.where(step)}: ", text) for step, text in track.failures.items()]


def _dataset(tracks: Mapping[str, Track], at: list[int], arguments: RunArguments, points: int) -> xr.Dataset:
    import xarray as xr

    shape, outputs = (len(tracks), len(at)), arguments.outputs
    spectra = [[track.spectra.get(step) for step in at] for track in tracks.values()]
    ranks = max((len(t.outliers(step)) for t in tracks.values() for step in at), default=0)
    outlier = np.full((*shape, ranks), np.nan)
    edge = np.full((*shape, 2), np.nan)
    for m, (track, row) in enumerate(zip(tracks.values(), spectra, strict=True)):
        for k, found in enumerate(row):
            if found is not None:
                values = track.outliers(at[k])
                outlier[m, k, : len(values)] = values
                edge[m, k, 1] = found.edge
                if at[k] in track.bands and len(track.bands[at[k]]):
                    edge[m, k, 0] = track.bands[at[k]][0][0]
    labels = ("matrix", "spectrum_step")
    variables: dict[str, Any] = {
        "outlier": ((*labels, "rank"), outlier),
        "bulk_edge": ((*labels, "side"), edge),
        "escape_step": ("matrix", [t.escape for t in tracks.values()]),
    }
    if KERNEL in tracks:
        row = spectra[list(tracks).index(KERNEL)]
        variables["sharpness"] = ("spectrum_step", [math.nan if found is None else found.leading for found in row])
    if directions := list(dict.fromkeys(d for t in tracks.values() for o in t.overlaps.values() for d in o)):
        overlap = _overlaps(tracks, at, ranks, directions, outputs)
        variables["overlap"] = ((*labels, "rank", "direction", "output"), overlap)
    coords: dict[str, Any] = {
        "matrix": list(tracks),
        "spectrum_step": at,
        "rank": np.arange(ranks),
        "side": list(SIDES),
        "output": np.arange(outputs),
    }
    if directions:
        coords["direction"] = directions
    if points:
        value, density = _densities(tracks, at, arguments, points)
        variables["value"] = ((*labels, "point"), value)
        variables["density"] = ((*labels, "point"), density)
        coords["point"] = np.arange(points)
    return describe(xr.Dataset(variables, coords))


def _failure(place: str, text: str) -> str:
    """A line that says where."""
    return place + " ".join(text.removeprefix(place).split())


def _overlaps(tracks: Mapping[str, Track], at: list[int], ranks: int, directions: list[str], outputs: int) -> Floats:
    table = np.full((len(tracks), len(at), ranks, len(directions), outputs), np.nan)
    for m, track in enumerate(tracks.values()):
        for k, step in enumerate(at):
            for name, rows in track.overlaps.get(step, {}).items():
                repeated = np.repeat(rows, track.copies, axis=0)
                table[m, k, : len(repeated), directions.index(name)] = repeated
    return table


def _densities(
    tracks: Mapping[str, Track], at: list[int], arguments: RunArguments, points: int
) -> tuple[Floats, Floats]:
    """Densities on grids from the lower to the upper edge of each bulk, finer at the ends."""
    from dmft_sym.support.outcomes import SpectrumError, named

    part = 0.5 * (1 - np.cos((np.arange(points) + 0.5) * np.pi / points))
    value, density = np.full((2, len(tracks), len(at), points), np.nan)
    for m, (name, track) in enumerate(tracks.items()):
        for k, step in enumerate(at):
            found, bands = track.spectra.get(step), track.bands.get(step)
            if found is None or bands is None or not len(bands):
                continue
            low, high = bands[0][0], found.edge
            value[m, k] = low + (high - low) * part
            try:
                with named(f"{name} at {arguments.where(step)}"):
                    density[m, k] = track.share * found.density(value[m, k])
            except SpectrumError as error:
                track.failures.setdefault(step, str(error))
    return value, density
