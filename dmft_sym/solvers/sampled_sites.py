"""Conditioning on sampled sites: replicas of the infinite network, with standard errors over them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.derivation.carried import CarriedProblem
from dmft_sym.regimes.samples import samples_of
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show
from dmft_sym.support.outcomes import Outcome
from dmft_sym.workers import Crew, asked_crew

from .arguments import RunArguments, check_integer
from .generated_modules import hash_of, sampled_module
from .measurements import Measurements, bulk_of, hidden_matrices, wanted_of
from .memory import check_kernels, check_sites
from .method import CONDITIONING, Arithmetic, Call, Solved, counted, end_of_run
from .sample_results import SEM, averaged, labelled, network_dataset
from .sampled_bias import estimated_bias
from .wanted_error import even_sites, sites_for_error

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem
    from dmft_sym.execution.plan import MatrixKey
    from dmft_sym.execution.replica import ReplicaResult
    from dmft_sym.program import GaussianMatrix

DEFAULT_SITES = 20_000
SITES_OPTIONS = frozenset({"sites", "error", "seed", "replicas", "kernels", "matrices", "at"})


class SiteSampling(Arithmetic):
    """Any program with outputs: fields on sampled sites, directions that matrices know, noise beyond them."""

    method = CONDITIONING
    summary = "the program on sampled sites"
    options = SITES_OPTIONS | {"tol", "antithetic", "bias", "threads", "workers", "scheduler"}

    @staticmethod
    def applies(problem: Problem) -> bool:
        """Whether samples are given."""
        return problem.program.averaged

    @staticmethod
    def exact(problem: Problem) -> bool:
        """Never: there are standard errors."""
        return False

    def run(self, call: Call) -> Solved:
        """Means and standard errors over replicas."""
        return SampledRun(call).solved()


class ReplicaRun:
    """A run of several replicas, each with its share of the sites.

    Parameters
    ----------
    call
        The call of a solver.
    """

    bias = False
    networks = 1  # runs of each replica

    def __init__(self, call: Call) -> None:
        self.call = call
        self.options = call.options
        self.data = samples_of(call.problem.data)
        gaussian = self.gaussian(call.problem)
        self.wanted = replace(wanted_of(call, self.data, gaussian=gaussian), paired=call.options.antithetic)
        self.seed = check_integer("seed", call.options.seed, 0)
        self.count = check_integer("replicas", call.options.replicas, 2)
        check_kernels(self.wanted, self.count)
        self.extra: dict[str, Any] = {}

    @staticmethod
    def gaussian(problem: Problem) -> bool:
        """Whether all fields are Gaussian, and have no values at sites."""
        return False

    def solved(self) -> Solved:
        """The run with as many sites as are asked for, or as a wanted error needs."""
        sites = self.sites()
        dataset, outcome = self.means(sites)
        attributes = {
            "sites": sites,
            "replicas": self.count,
            "seed": self.seed,
            "antithetic": int(self.options.antithetic),
            **self.extra,
        }
        return Solved(labelled(dataset, self.data), outcome, attributes)

    def means(self, sites: int) -> tuple[xr.Dataset, Outcome]:
        """Means and standard errors over replicas, and how the run ended."""
        parts, done = self.parts(*self.tracks(sites))
        return averaged(parts, self.data), end_of_run(done, self.call.arguments.steps)

    def tracks(self, sites: int) -> tuple[list[Any], list[Measurements]]:
        """Outputs of every replica, shape (steps, samples, outputs), and what it showed."""
        raise NotImplementedError

    def parts(self, tracks: list[Any], measured: list[Measurements]) -> tuple[list[xr.Dataset], int]:
        """What every network showed on the steps that all have done, and their number."""
        done = min(len(track) for track in tracks)
        return [network_dataset(f[:done], m, self.data) for f, m in zip(tracks, measured, strict=True)], done

    def sites(self) -> int:
        """Number of sites: as given, or what a wanted error needs, which trial runs tell."""
        sites, error = self.options.sites, self.options.error
        if error is None:
            found = DEFAULT_SITES if sites is None else check_integer("sites", sites, 4 * self.count)
            return self._divisible(found)
        if sites is not None:
            raise ArgumentError(f"sites = {sites} and error = {error}: allowed is one of both")
        if not isinstance(error, float | int) or not 0 < error < math.inf:
            raise ArgumentError(f"error = {show(error)}: allowed is a number > 0")
        trial = copy.copy(self)
        trial.bias = False
        trial.wanted = replace(
            self.wanted, kernel_steps=(), spectrum_steps=(), matrices={}, bulks={}, keeps={}, observing=None
        )
        return self._divisible(sites_for_error(float(error), self.count, trial.largest_error))

    def _divisible(self, sites: int) -> int:
        """At least so many sites, an even number of each replica, or of each of its halves."""
        return even_sites(sites, 2 * self.count if self.bias else self.count)

    def largest_error(self, sites: int) -> float:
        """The largest standard error of ``f`` in a run with this number of sites; infinite if it diverges."""
        dataset, outcome = self.means(sites)
        return float(dataset[f"f{SEM}"].max()) if outcome.completed else math.inf

    def report(self, networks: int, before: int = 0) -> Callable[[int], None] | None:
        """What a network calls when steps are done, ``before`` others of all ``networks`` being finished."""
        return counted(self.call.progress, self.call.arguments.steps, before, networks)


class SampledRun(ReplicaRun):
    """Replicas on sampled sites."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        tol = self.options.tol
        if tol is not None and not (isinstance(tol, float | int) and 0 <= tol < 1):
            raise ArgumentError(f"tol = {show(tol)}: allowed is a number >= 0 and < 1")
        self.bias = self.options.bias
        self.crew = asked_crew(self.options.workers, self.options.scheduler)
        self.threads = None if self.options.threads is None else check_integer("threads", self.options.threads, 1)
        if self.options.error is None:  # how many sites an error needs is not known yet
            self.check_memory(self.sites())
        written = call.backend == "numba" and not call.problem.program.has_norms
        self.module = sampled_module(call.problem) if written else None
        self.directions_per_site = 0.0
        self.extra = {"backend": "numba" if written else "numpy", "module_hash": hash_of(self.module)}

    def means(self, sites: int) -> tuple[xr.Dataset, Outcome]:
        """Means and standard errors, and the bias if it is wanted."""
        from dmft_sym.execution.replicas import default_tol

        parts, done = self.parts(*self.tracks(sites))
        dataset = averaged(parts, self.data)
        if self.bias:
            halves, _ = self.parts(*self.tracks(sites, halves=True))
            found = estimated_bias(parts, halves, self.data)
            dataset = dataset.merge(found.reindex({dim: dataset[dim] for dim in found.dims if dim in dataset.coords}))
        self.extra["tol"] = default_tol(sites // self.count) if self.options.tol is None else self.options.tol
        self.extra["directions_per_site"] = self.directions_per_site
        return dataset, end_of_run(done, self.call.arguments.steps)

    def check_memory(self, sites: int) -> None:
        """Refuse more sites than fit into memory."""
        from dmft_sym.support.threads import available_cores

        at_a_time = min(self.threads or available_cores(), self.count)
        check_sites(self.call.problem, self.call.arguments, self.data.sizes, sites, self.count, at_a_time)

    def tracks(self, sites: int, *, halves: bool = False) -> tuple[list[Any], list[Measurements]]:
        """Outputs of every replica (or of its halves), shape (steps, samples, outputs), and what it showed."""
        self.check_memory(sites)
        results, measured = self.run(sites, halves) if self.crew is None else self._shared_out(self.crew, sites, halves)
        if not halves:
            aspects = {key: bulk_of(m, key[1], self.call.arguments.values).aspect for key, m in self._hidden().values()}
            shares = [known_share(result.directions, aspects) for result in results]
            self.directions_per_site = max(shares) * self.count / sites
        return [self.track(result) for result in results], measured

    def run(
        self, sites: int, halves: bool = False, only: int | None = None
    ) -> tuple[list[ReplicaResult], list[Measurements]]:
        """Results of the replicas (or of their halves), all or one, and what they showed."""
        from dmft_sym.execution.replicas import run_replicas

        count, arguments = self.count, self.call.arguments
        here = count if only is None else 1
        measured = [Measurements(self.wanted) for _ in range(2 * here if halves else here)]
        report = self._report(halves)
        results = run_replicas(
            self.module,
            self.call.problem.executed,
            arguments.values,
            arguments.outputs,
            arguments.steps,
            sites,
            count,
            self.seed,
            tol=self.options.tol,
            antithetic=self.options.antithetic,
            data=arguments.data,
            pauses=self.wanted.steps,
            inspect=lambda replica, view: measured[replica].see_replica(view),
            progress=None if report is None else lambda done, _: report(done),
            threads=self.threads,
            halves=halves,
            only=only,
        )
        return results, measured

    def _report(self, halves: bool) -> Callable[[int], None] | None:
        networks, before = (3 * self.count, self.count * halves) if self.bias else (self.count, 0)
        return self.report(networks, before)

    def _shared_out(self, crew: Crew, sites: int, halves: bool) -> tuple[list[ReplicaResult], list[Measurements]]:
        """The same, by workers; each replica is a piece of work."""
        call, report = self.call, self._report(halves)
        alone = SimpleNamespace(**{**vars(self.options), "workers": None, "scheduler": None})
        carried = CarriedProblem(call.problem), call.backend, call.arguments, alone
        each = call.arguments.steps * (2 if halves else 1)
        progress = None if report is None else lambda done, _: report(done)
        one = partial(_run_alone, carried, self.wanted.kernel_steps, self.wanted.spectrum_steps, sites, halves)
        found = crew.in_order(one, range(self.count), progress, each)
        measured = [replace(part, wanted=self.wanted) for _, parts in found for part in parts]
        return [result for results, _ in found for result in results], measured

    def track(self, result: ReplicaResult) -> NDArray[np.float64]:
        """Outputs of a replica at its steps."""
        return np.asarray(result.scalars["f"][: result.steps])

    def _hidden(self) -> Mapping[str, tuple[MatrixKey, GaussianMatrix]]:
        return hidden_matrices(self.call.problem.program, self.call.arguments)


def _run_alone(
    carried: tuple[CarriedProblem, str, RunArguments, SimpleNamespace],
    kernel_steps: tuple[int, ...],
    spectrum_steps: tuple[int, ...],
    sites: int,
    halves: bool,
    number: int,
) -> tuple[list[ReplicaResult], list[Measurements]]:
    """One replica, in a worker; what it showed goes back without what was wanted, which is known there."""
    problem, backend, arguments, options = carried
    run = SampledRun(Call(problem.problem, backend, arguments, options, None))
    run.wanted = replace(run.wanted, kernel_steps=kernel_steps, spectrum_steps=spectrum_steps)
    results, measured = run.run(sites, halves, number)
    nothing: Any = None
    return results, [replace(one, wanted=nothing, starts={}) for one in measured]


def known_share(directions: Mapping[MatrixKey, NDArray[np.int64]], aspects: Mapping[MatrixKey, float]) -> float:
    """Sites that the directions of the best known matrix are worth: ``p`` on its source, ``q`` on its target.

    Seen from the narrower of both spaces, ``n_out = tau n_in``: see `execution.sampled_outliers.FiniteRank.known`.
    """
    shares = [0.0]
    for key, tau in aspects.items():
        forward, backward = directions[key].max(axis=0, initial=0)
        shares += [forward * max(1.0, tau), backward * max(1.0, 1 / tau)]
    return float(max(shares))
