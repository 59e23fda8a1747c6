"""Spectra where updates have extensive rank: of polynomials of matrices, and of a matrix between frozen ones.

Conditioning puts the polynomial on coordinates. Equations are, where one matrix learns between frozen ones,
Silverstein's equation, at any step; elsewhere the Dyson equation that the derivation gives for the polynomial.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.spectra.matrices.polynomials import LongPolynomialError, trained_matrix
from dmft_sym.support.array_types import Floats
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.outcomes import Outcome, SpectrumError, named

from .extensive import PopulationOfDirections, population_run
from .method import EQUATIONS, end_of_run
from .spectrum_routes import Track, WantedSpectra, from_coordinates, from_march

if TYPE_CHECKING:
    from dmft_sym.spectra.numerics.sample_covariance import SampleCovariance
    from dmft_sym.spectra.population import PopulationRun


class PopulationSpectrum:
    """The bulk of a matrix between frozen ones; there are no outliers.

    Attributes
    ----------
    edge
        Its upper edge.
    outliers, margins
        Empty.
    """

    def __init__(self, bulk: SampleCovariance) -> None:
        self.bulk = bulk
        self.edge = self.leading = float(bulk.bands[-1, 1])
        self.outliers: Floats = np.zeros(0)
        self.margins: Floats = np.zeros(0)

    def density(self, x: Floats) -> Floats:
        """Per column."""
        return self.bulk.density(x)


def extensive_spectra(wanted: WantedSpectra, method: str) -> tuple[dict[str, Track], Outcome]:
    """Spectra of matrices that were trained by updates of extensive rank; also how the run ended."""
    tracks = {name: Track() for name in wanted.matrices}
    population = method == EQUATIONS and PopulationOfDirections.applies(wanted.theory)
    outcome = end_of_run(wanted.arguments.steps, wanted.arguments.steps)
    if population:
        run = population_run(wanted.theory, wanted.arguments)
        outcome = end_of_run(run.completed, run.steps)
        for name in [name for name in tracks if name == run.frozen.trained.name]:
            _of_population(run, wanted, name, tracks[name])
    others = [name for name in tracks if not (population and name == run.frozen.trained.name)]
    for done, step in enumerate(wanted.at):
        for name in others:
            _of_polynomial(wanted, method, name, step, tracks[name])
        if wanted.progress is not None:
            wanted.progress(done + 1, len(wanted.at))
    return tracks, outcome


def _of_population(run: PopulationRun, wanted: WantedSpectra, name: str, track: Track) -> None:
    for step in wanted.at:
        try:
            with named(f"{name} at step {step}"):
                bulk = run.bulk(step)
                track.share = bulk.share
                track.spectra[step] = PopulationSpectrum(bulk)  # type: ignore[assignment]
                track.bands[step] = bulk.bands
        except SpectrumError as error:
            track.failures[step] = str(error)


def _of_polynomial(wanted: WantedSpectra, method: str, name: str, step: int, track: Track) -> None:
    """The same as of any product of matrices, before the first step of a run that has one."""
    try:
        matrix = trained_matrix(wanted.matrices[name], step)
    except LongPolynomialError as error:
        raise ArgumentError(f"at = {step}: allowed are earlier steps, {name} is {error} there") from error
    arguments = replace(wanted.arguments, steps=1)
    one: Any = {"arguments": arguments, "matrices": {name: matrix}, "at": [0], "progress": None}
    parameters = {**wanted.parameters, "backend": "numpy"} if method == EQUATIONS else wanted.parameters
    route = from_march if method == EQUATIONS else from_coordinates
    found, _ = route(replace(wanted, **one, parameters=parameters))
    part = found[name]
    track.share = part.share
    track.spectra |= dict.fromkeys([step], part.spectra[0]) if part.spectra else {}
    track.bands |= dict.fromkeys([step], part.bands[0]) if part.bands else {}
    track.overlaps |= dict.fromkeys([step], part.overlaps[0]) if part.overlaps else {}
    for text in part.failures.values():
        track.failures[step] = text.replace("at step 0", f"at step {step}")
