"""Spectra measured on simulated networks, as arrays with the labels of the theory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.results.names import describe
from dmft_sym.support.array_types import Floats

from .spectrum_parts import KERNEL
from .spectrum_request import check_request

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem
    from dmft_sym.spectra import MatrixProgram
    from dmft_sym.spectra.measured.measured import MeasuredSpectrum, Measurement

    from .arguments import RunArguments

Tracks = Sequence[Mapping[str, Mapping[int, "MeasuredSpectrum"]]]


@dataclass(frozen=True)
class SpectrumRequest:
    """Which spectra of which networks are measured.

    Attributes
    ----------
    count
        Number of largest values.
    full
        Whether all values are kept too.
    """

    theory: Problem
    arguments: RunArguments
    matrices: Mapping[str, MatrixProgram]
    at: tuple[int, ...]
    count: int
    full: bool

    def measurement(self, seed: int) -> Measurement:
        """A new measurement, of one network."""
        from dmft_sym.spectra.measured.measured import Measurement

        run = self.arguments
        return Measurement(
            self.theory.program, run.values, run.outputs, run.steps, list(self.matrices.values()), self.at,
            count=self.count, full=self.full, seed=seed, data=run.data,
        )  # fmt: skip

    def dataset(self, tracks: Tracks) -> xr.Dataset:
        """What the measurements of all seeds found; NaN at steps that a network did not reach."""
        import xarray as xr

        labels = ("seed", "matrix", "spectrum_step")
        largest = self._table(tracks, lambda found: found.values[: self.count], self.count)
        variables: dict[str, Any] = {"outlier": ((*labels, "rank"), largest)}
        if KERNEL in self.matrices:
            first = largest[:, list(self.matrices).index(KERNEL), :, 0]
            variables["sharpness"] = (("seed", "spectrum_step"), first)
        coords = {
            "seed": np.arange(len(tracks)),
            "matrix": list(self.matrices),
            "spectrum_step": list(self.at),
            "rank": np.arange(self.count),
        }
        if directions := self._directions(tracks):
            table = np.stack([self._overlaps(tracks, direction) for direction in directions], axis=4)
            variables["overlap"] = ((*labels, "rank", "direction", "output"), table)
            coords["direction"] = directions
        if self.full:
            longest = max((len(s.values) for t in tracks for m in t.values() for s in m.values()), default=0)
            every = self._table(tracks, lambda found: found.values, longest)
            variables["spectrum_value"] = ((*labels, "number"), every)
        words = {
            "outlier": "largest values of a trained matrix",
            "overlap": "|cos| between the vectors of the largest values and a field",
        }
        return describe(xr.Dataset(variables, coords), **words)

    def _table(self, tracks: Tracks, get: Any, length: int) -> Floats:
        table = np.full((len(tracks), len(self.matrices), len(self.at), length), np.nan)
        for place, found in self._found(tracks):
            values = get(found)
            table[(*place, slice(0, len(values)))] = values
        return table

    def _overlaps(self, tracks: Tracks, direction: str) -> Floats:
        """Shape (seed, matrix, step, rank, output)."""
        side, _, field = direction.partition(" ")
        shape = len(tracks), len(self.matrices), len(self.at), self.count, self.arguments.outputs
        table = np.full(shape, np.nan)
        for place, found in self._found(tracks):
            if (side, field) in found.overlaps:
                rows = found.overlaps[side, field][: self.count]
                table[(*place, slice(0, len(rows)))] = rows
        return table

    def _directions(self, tracks: Tracks) -> list[str]:
        keys = (key for _, found in self._found(tracks) for key in found.overlaps)
        return [f"{side} {field}" for side, field in dict.fromkeys(keys)]

    def _found(self, tracks: Tracks) -> list[tuple[tuple[int, int, int], MeasuredSpectrum]]:
        return [
            ((s, m, k), track[name][step])
            for s, track in enumerate(tracks)
            for m, name in enumerate(self.matrices)
            for k, step in enumerate(self.at)
            if step in track[name]
        ]


def spectrum_request(
    theory: Problem,
    arguments: RunArguments,
    matrices: Sequence[str | MatrixProgram],
    at: Sequence[float],
    values: int | None,
) -> SpectrumRequest | None:
    """The request that the arguments of `dmft_sym.simulate` make, checked; None if they ask for no spectra.

    Raises
    ------
    ArgumentError
        If a matrix or a step does not exist, or if the number of values is not one.
    """
    from .arguments import check_integer

    if _nothing(matrices) and _nothing(at):
        return None
    chosen, steps = check_request(theory, arguments, matrices, at)
    kept = 2 * arguments.outputs + 1 if values is None else check_integer("values", values, 0)
    return SpectrumRequest(theory, arguments, chosen, tuple(steps), kept or 2 * arguments.outputs + 1, kept == 0)


def _nothing(value: object) -> bool:
    return isinstance(value, Sized) and not len(value)
