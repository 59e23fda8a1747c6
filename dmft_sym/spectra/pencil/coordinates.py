"""Spectra along training from growing coordinates: bulk edges, outliers with overlaps, escape, sharpness.

The program is trained on short vectors (`dmft_sym.execution.coordinates`); at the steps asked for, the eigenproblem of
every matrix is put on the same coordinates (`dmft_sym.execution.effective`). No two-time matrices occur and nothing of
the derivation is used: the numbers are an independent check of the spike conditions (docs/mathematics.md;
arXiv:2605.07870).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np
import sympy as sp

from dmft_sym.execution.coordinates import GrowingCoordinates
from dmft_sym.execution.evaluate import Evaluator
from dmft_sym.execution.flow.run import flow_coordinates
from dmft_sym.execution.interface import Arithmetic
from dmft_sym.execution.plan import Given
from dmft_sym.execution.result import ExecutionResult
from dmft_sym.execution.runner import run_coordinates
from dmft_sym.program import OUTPUTS, Program
from dmft_sym.spectra.matrices.catalogue import flat_matrices
from dmft_sym.spectra.matrices.equal_time import EqualTime
from dmft_sym.spectra.matrices.matrix_program import FlatMatrix, MatrixProgram
from dmft_sym.spectra.numerics.continuation import BulkError
from dmft_sym.spectra.numerics.supports import Support, density, support, upper_edge
from dmft_sym.support.array_types import Floats
from dmft_sym.support.degenerate import degenerate
from dmft_sym.support.outcomes import SpectrumError, named
from dmft_sym.support.threads import single_threaded

from .dyson import PencilDyson
from .effective import EffectivePencil, matrix_state
from .large_dyson import dyson_of
from .linear_system import linear_system
from .outliers import OutlierSearch, PencilOutliers, outliers_above_a_point
from .pencil import GaussianBlock, Pencil
from .symmetric import Layout, symmetric_pencil

Fields = dict[int, dict[str, Floats]]

_NEGLIGIBLE = 10  # overlaps of different outputs below this multiple of tol are rounding


@dataclass(frozen=True, eq=False)
class CoordinateSpectrum:
    """The spectrum of a matrix at one step.

    Attributes
    ----------
    edge : float
        Upper edge of the bulk.
    outliers : ndarray, shape (n,)
        Above the edge, with multiplicity, descending.
    margins : ndarray, shape (k,)
        See `dmft_sym.execution.outliers`; rank by rank, outliers first.
    overlaps : dict
        ``|cos|`` between the space of an outlier and fields of the program: for every pair of an input of the matrix
        program and a field an array (n, C). Degenerate outliers have one space and the same overlap.
    dysons : tuple of PencilDyson
        The bulk, one for each set of fields that is not coupled to the others.
    """

    edge: float
    outliers: Floats
    margins: Floats
    overlaps: dict[tuple[str, str], Floats]
    dysons: tuple[tuple[PencilDyson, int], ...]

    @property
    def leading(self) -> float:
        """The largest outlier, or the edge if there is none: the sharpness, if the matrix is the NTK."""
        return float(self.outliers[0]) if len(self.outliers) else self.edge

    def support(self) -> Support:
        """All bands of the bulk with their masses, and the atom at zero.

        Raises
        ------
        BulkError
            If the Dyson equation was not solved, or the masses do not add up.
        """
        return support(self._only())

    def density(self, x: Floats) -> Floats:
        """Density of the bulk at ``x``: of singular values, or of eigenvalues if the matrix is symmetric."""
        return density(self._only(), x)

    def _only(self) -> PencilDyson:
        if len(self.dysons) > 1:
            raise BulkError("the bulk is a sum of several parts, which differ between outputs")
        return self.dysons[0][0]


@dataclass
class SpectrumTrack:
    """The spectrum of a matrix along training.

    Attributes
    ----------
    spectra : dict
        The spectrum at every step that was asked for and reached.
    failures : dict
        What went wrong at the other steps, in words.
    """

    spectra: dict[int, CoordinateSpectrum] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)

    @property
    def steps(self) -> list[int]:
        """The steps, ascending, failed ones left out."""
        return sorted(self.spectra)


def coordinate_spectra(
    program: Program,
    values: Mapping[sp.Symbol, float],
    outputs: int,
    steps: int,
    matrices: Sequence[str | MatrixProgram],
    at: Iterable[int],
    *,
    tol: float = 1e-7,
    overlaps: bool = True,
    progress: Callable[[int], None] | None = None,
    module: ModuleType | None = None,
    data: Given | None = None,
) -> tuple[dict[str, SpectrumTrack], ExecutionResult]:
    """Train the infinite network in growing coordinates and take spectra on the way.

    Parameters
    ----------
    program
        One training step.
    values
        Value of every symbol of the program, integers included; ratios may be ``inf``.
    outputs, steps
        Number of outputs and of steps of the run.
    matrices
        Names such as ``"W0"``, ``"W2"``, ``"NTK"``, or matrix programs.
    at
        Steps at which spectra are taken, of the weights before the update of that step.
    tol
        Tolerance of the run, see `run_coordinates`; the error of outliers is of this order.
    overlaps
        Whether overlaps of the vectors of outliers with the fields of the program are wanted.
    module, data
        The compiled arithmetic, and what is given, see `run_coordinates`.

    Returns
    -------
    tracks : dict of SpectrumTrack
        By name of the matrix. A step at which something failed is named in the track; steps after a divergence of the
        run are missing.
    result : ExecutionResult
        Losses and how the run ended.

    Raises
    ------
    ProgramError
        If a matrix does not exist.
    ValueError
        If a step is not part of the run, or a parameter is out of range.

    Notes
    -----
    The conditioning is due to Bolthausen (Commun. Math. Phys. 325, 2014).
    """
    wanted = {step: f"step {step}" for step in sorted(steps_of(at, steps))}
    observer = _Observer(program, values, outputs, flat_matrices(program, values, matrices), wanted, tol, overlaps)
    result = run_coordinates(
        program,
        values,
        outputs,
        steps,
        tol,
        progress=progress,
        inspect=observer.inspect,
        at=wanted,
        module=module,
        data=data,
    )
    return observer.tracks, result


def flow_spectra(
    program: Program,
    values: Mapping[sp.Symbol, float],
    outputs: int,
    times: Sequence[float],
    matrices: Sequence[str | MatrixProgram],
    at: Iterable[int],
    *,
    rtol: float,
    tol: float,
    max_steps: int,
    overlaps: bool = True,
    progress: Callable[[int], None] | None = None,
) -> tuple[dict[str, SpectrumTrack], ExecutionResult]:
    """Spectra along a gradient flow, in place of steps at the times of these numbers.

    Parameters
    ----------
    times, rtol, max_steps
        See `flow_coordinates`.
    at
        Numbers of ``times``, which spectra have in the tracks.

    See Also
    --------
    coordinate_spectra : the remaining parameters, what is returned, and errors.
    """
    wanted = {number: f"time {times[number]:g}" for number in sorted(steps_of(at, len(times)))}
    observer = _Observer(program, values, outputs, flat_matrices(program, values, matrices), wanted, tol, overlaps)
    result = flow_coordinates(
        program, values, outputs, times, rtol, tol, max_steps, progress, observer.inspect, at=wanted
    )
    return observer.tracks, result


def steps_of(at: Iterable[int], steps: int) -> set[int]:
    """The steps asked for, if the run has them.

    Raises
    ------
    ValueError
        Naming the first step that is not part of the run.
    """
    wanted = set(at)
    for step in sorted(wanted):
        if not 0 <= step < steps:
            raise ValueError(f"spectrum step = {step}: allowed are steps of the run, 0 to {steps - 1}")
    return wanted


class _Observer:
    """Takes the spectra of a run in progress."""

    def __init__(
        self,
        program: Program,
        values: Mapping[sp.Symbol, float],
        outputs: int,
        flats: Sequence[FlatMatrix],
        wanted: Mapping[int, str],
        tol: float,
        overlaps: bool,
    ) -> None:
        self.program, self.wanted, self.tol = program, wanted, tol
        self.overlaps = overlaps
        self.number = Evaluator({**values, OUTPUTS: outputs})
        self.flats = flats
        self.tracks = {flat.name: SpectrumTrack() for flat in flats}
        self._bulks: dict[tuple[object, ...], tuple[PencilDyson, float]] = {}

    def inspect(self, step: int, arithmetic: Arithmetic) -> None:
        """Take all spectra at a step."""
        if step not in self.wanted:
            return
        assert isinstance(arithmetic, GrowingCoordinates)
        with single_threaded():
            for flat in self.flats:
                track = self.tracks[flat.name]
                where = f"{flat.name} at {self.wanted[step]}"
                try:
                    with named(where):
                        track.spectra[step] = self._spectrum(flat, arithmetic, track)
                except BulkError as error:
                    track.failures[step] = f"{where}: {error}"
                except SpectrumError as error:
                    track.failures[step] = str(error)

    def _spectrum(self, flat: FlatMatrix, arithmetic: GrowingCoordinates, track: SpectrumTrack) -> CoordinateSpectrum:
        pencil, layout = self._pencil(flat, arithmetic)
        states = {number: matrix_state(arithmetic, number) for number in pencil.blocks}
        parts = []
        for part, multiplicity in pencil.decoupled():
            dyson, edge = self._bulk(part)
            effective = EffectivePencil(dyson, layout.sectors, states, arithmetic.ranks())
            watched = 1 + arithmetic.plan.outputs
            hints = track.spectra[track.steps[-1]].outliers[::multiplicity] if track.spectra else None
            if edge == 0:
                found = outliers_above_a_point(effective, watched)
            else:
                found = OutlierSearch(effective, edge, watched=watched).run(hints)
            parts.append((effective, multiplicity, found))
        return _collect(parts, _fields(arithmetic) if self.overlaps else None)

    def _pencil(self, flat: FlatMatrix, arithmetic: GrowingCoordinates) -> tuple[Pencil, Layout]:
        plan = arithmetic.plan
        blocks = {
            number: GaussianBlock(spec.variance * arithmetic.matrices[number].retention ** 2, spec.inverse_aspect)
            for number, spec in enumerate(plan.matrices)
        }

        def correlate(found: EqualTime) -> Floats:
            a, b = (arithmetic.values[plan.fields[ref]] for ref in found.fields(self.program))
            overlaps: Floats = a @ b.T
            # Different outputs are orthogonal; what is left of their overlap is rounding and would couple them.
            overlaps[np.abs(overlaps) < _NEGLIGIBLE * self.tol * np.abs(overlaps).max()] = 0
            return overlaps

        system = linear_system(flat, plan, self.number, correlate)
        return symmetric_pencil(system, plan, blocks, not flat.symmetric)

    def _bulk(self, pencil: Pencil) -> tuple[PencilDyson, float]:
        key = pencil.signature
        if key not in self._bulks:
            dyson = dyson_of(pencil)
            self._bulks[key] = dyson, upper_edge(dyson)
        return self._bulks[key]


def _fields(arithmetic: GrowingCoordinates) -> Fields:
    """The fields and random vectors of a run that are not zero, by sector and name."""
    plan = arithmetic.plan
    found: Fields = {}
    for name, slot in plan.named_slots.items():
        rows = arithmetic.snapshot(slot)
        if rows.size and np.all(np.abs(rows).max(axis=1) > 0):
            found.setdefault(plan.slots[slot], {})[name] = rows
    return found


def _collect(parts: list[tuple[EffectivePencil, int, PencilOutliers]], fields: Fields | None) -> CoordinateSpectrum:
    edge = max(outliers.edge for *_, outliers in parts)
    values = np.concatenate([np.repeat(outliers.values, many) for _, many, outliers in parts])
    margins = np.concatenate([np.repeat(outliers.margins, many) for _, many, outliers in parts])
    order = np.argsort(-values, kind="stable")
    overlaps: dict[tuple[str, str], Floats] = {}
    if fields is not None and len(parts) == 1:
        effective, many, outliers = parts[0]
        overlaps = {key: np.repeat(rows, many, axis=0) for key, rows in _overlaps(effective, outliers, fields).items()}
    dysons = tuple((effective.dyson, many) for effective, many, _ in parts)
    return CoordinateSpectrum(edge, values[order], np.sort(margins), overlaps, dysons)


def _overlaps(effective: EffectivePencil, outliers: PencilOutliers, fields: Fields) -> dict[tuple[str, str], Floats]:
    """``|cos|`` between every input and every field of its sectors."""
    pencil = effective.pencil
    found: dict[tuple[str, str], Floats] = {}
    groups = degenerate(outliers.values)
    if not groups:
        return found
    kinds = 2 if pencil.folded else 1
    several = len({i.output for i in pencil.inputs}) > 1
    for i in pencil.inputs:
        unit = math.sqrt(kinds * pencil.slope[i.field, i.field])
        for sector in effective.sectors_of(i.field):
            vectors = np.stack([unit * effective.coordinates(o.vectors, i.field, sector) for o in outliers.found])
            for label, rows in fields.get(sector, {}).items():
                cosines = vectors @ (rows / np.linalg.norm(rows, axis=1, keepdims=True)).T
                for group in groups:
                    cosines[group] = np.linalg.norm(cosines[group], axis=0)
                table = found.setdefault((i.name, label), np.zeros_like(cosines))
                # One set of fields for all outputs has the overlaps of all; else every output has its own.
                columns = slice(i.output, i.output + 1) if several else slice(None)
                table[:, columns] = cosines[:, columns]
    return found
