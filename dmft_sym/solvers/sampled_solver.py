"""The infinite network on given samples behind a call: parameters in, labelled arrays with standard errors out."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.program import OUTPUT_AXIS, SAMPLE_AXIS
from dmft_sym.regimes.samples import Samples
from dmft_sym.results.store import bias_notes
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.memory import free_bytes, shown_bytes
from dmft_sym.support.messages import BiasWarning, show
from dmft_sym.support.outcomes import COMPLETED, Outcome, diverged

from .arguments import RunArguments, check_integer, run_arguments
from .measurements import Measurements, Wanted, bulk_of, hidden_matrices, wanted_measurements
from .sample_results import SEM, averaged, derived, labelled, network_dataset
from .sampled_bias import estimated_bias
from .solver import common_attributes
from .wanted_error import even_sites, sites_for_error

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem
    from dmft_sym.execution.plan import MatrixKey
    from dmft_sym.program import GaussianMatrix

Progress = Callable[[int, int], None]
OPTIONS = (
    "method", "samples", "error", "seed", "replicas", "tol", "antithetic", "bias", "kernels", "matrices", "at",
    "threads", "progress",
)  # fmt: skip
METHODS = ("sampled", "coordinates", "direct")
SAMPLED_BACKENDS = ("numba", "numpy")
DEFAULT_SITES = 20_000
EXACT_TOL = 1e-8


class SampledSolver:
    """Trains the infinite network of one theory on its samples; ``solver(...)`` returns an `xarray.Dataset`.

    Networks whose fields are all Gaussian (linear ones) are computed exactly, in growing coordinates; others on sampled
    sites.
    """

    def __init__(self, theory: Problem, data: Samples, backend: str = "numba") -> None:
        if backend not in SAMPLED_BACKENDS:
            allowed = ", ".join(SAMPLED_BACKENDS)
            raise ArgumentError(f"backend = {show(backend)}: allowed are {allowed} where samples are given")
        self.theory = theory
        self.data = data
        self.backend = backend
        self._module: ModuleType | None = None

    @property
    def module(self) -> ModuleType | None:
        """The generated module; there is none with ``backend="numpy"``, which runs the program itself."""
        if self._module is None and self.backend == "numba":
            from dmft_sym.cache.modules import load_module, program_key
            from dmft_sym.codegen import solver_source
            from dmft_sym.support.progress import compilation_notice

            with compilation_notice():
                key = program_key(str(self.theory.program), "sampled")
                self._module = load_module(key, "sampled", lambda: solver_source(self.theory, "numba"))
        return self._module

    def __call__(
        self,
        *,
        steps: int,
        method: str | None = None,
        samples: int | None = None,
        error: float | None = None,
        seed: int = 0,
        replicas: int = 8,
        tol: float | None = None,
        antithetic: bool = True,
        bias: bool = False,
        kernels: Sequence[int] | None = None,
        matrices: Sequence[str] = (),
        at: Sequence[int] = (),
        threads: int | None = None,
        progress: Progress | None = None,
        **parameters: float,
    ) -> xr.Dataset:
        """Train the infinite network.

        Parameters
        ----------
        steps
            Number of gradient steps ``T``.
        method
            ``"sampled"``: fields on sampled sites (docs/mathematics.md). ``"coordinates"``: exact, for networks whose
            fields are all Gaussian, which is the default for them; numbers of sites and replicas do not matter there.
            ``"direct"``: the single-site equations with
            two-time order parameters, transcribed as they are; slow, for a few steps and samples, to check the others.
        samples
            Number of sites of a space, all replicas together; 20 000 by default. Standard errors fall as
            ``1/sqrt(samples)``.
        error
            Wanted standard error of ``f`` (the largest of all its entries) instead of ``samples``.
        seed
            Seed of the random numbers; the same seed gives the same numbers whatever the number of threads.
        replicas
            Number of independent networks that the sites are divided among; standard errors come from them.
        tol
            Directions of conditioning shorter than ``tol`` times their scale are dropped; by default
            ``1/sqrt(sites of a replica)`` for sampled sites, and 1e-8 for coordinates.
        antithetic
            Sites in pairs with opposite readouts and backward noises, which takes most of the error early in training.
            Outliers of few sites have less bias without (docs/mathematics.md).
        bias
            Whether to estimate the bias by few sites, as ``<name>_bias``: both halves of every replica are run as well,
            so that all takes two to three times as long. ``samples`` are rounded up to a multiple of four a replica.
        kernels
            Steps at which kernels are kept; first and last by default, ``()`` for none. Negative ones count from the
            end.
        matrices, at
            Hidden matrices (``"W1"``, ...) whose outliers are found, and at which steps (the last by default).
        threads
            Number of threads; all cores by default.
        progress
            Called as ``progress(done, total)``, in steps of all replicas; with ``error``, trial runs come first,
            each of which counts from zero, as do the runs that ``"direct"`` repeats (docs/mathematics.md).
        **parameters
            ``richness`` (gamma0), ``learning_rate`` (eta0), ``init_std``, ``depth``, and those of the forward pass.

        Returns
        -------
        xarray.Dataset
            ``f`` (step, sample, output), training samples first; ``train_loss`` (step, output) and ``test_loss``
            (without the factor 1/2 for squared error; without ``output`` for softmax), accuracies; kernels of all
            layers (``Phi``, ``G``, ...: layer, kernel_step, sample, [output,] sample2, [output2]) and ``NTK``, with
            their alignments to the targets; ``outlier`` (matrix, spectrum_step, rank) and ``bulk_edge``. Sampled
            variables have standard errors ``<name>_sem`` and, with ``bias``, ``<name>_bias`` and ``<name>_bias_sem``:
            ``f - f_bias`` is what more sites would give. A run that diverges keeps the steps before.

        Warns
        -----
        BiasWarning
            If the replicas have too few sites for their directions.

        Raises
        ------
        ArgumentError
            Naming the argument, its value and what is allowed.
        """
        start = time.perf_counter()
        arguments = run_arguments(self.theory, steps, parameters, OPTIONS)
        linear = self.theory.program.linear
        method = ("coordinates" if linear else "sampled") if method is None else method
        if method not in METHODS:
            raise ArgumentError(f"method = {show(method)}: allowed are {', '.join(METHODS)}")
        wanted = wanted_measurements(self.theory, arguments, self.data.total, kernels, matrices, at)
        wanted = replace(wanted, paired=antithetic)
        for name, flag in (("antithetic", antithetic), ("bias", bias)):
            if not isinstance(flag, bool):
                raise ArgumentError(f"{name} = {show(flag)}: allowed are True and False")
        if method == "direct":
            _refuse_options_of_sampled(
                tol=tol is not None, antithetic=not antithetic, bias=bias, threads=threads is not None
            )
        run = _Run(self, arguments, wanted, seed, tol, antithetic, bias, threads, progress)
        if method == "coordinates":
            if not linear:
                raise ArgumentError("method = 'coordinates': allowed is a network that is linear; use 'sampled'")
            if bias:
                raise ArgumentError('bias with method = "coordinates": allowed is False, the result is exact')
            dataset, outcome = run.coordinates()
        else:
            sites = run.sites_for(samples, error, replicas, method)
            dataset, outcome = run.replicas(sites, replicas, method)
        attrs = {
            **common_attributes(self.theory, arguments),
            **run.attributes(method, dataset.attrs),
            **outcome.attrs(),
            "wall_time": time.perf_counter() - start,
        }
        result = labelled(dataset, self.data, attrs)
        for note in bias_notes(result):
            warnings.warn(note, BiasWarning, stacklevel=2)
        return result


class _Run:
    """One call of a solver: its checked arguments, and the ways to carry it out."""

    def __init__(
        self,
        solver: SampledSolver,
        arguments: RunArguments,
        wanted: Wanted,
        seed: int,
        tol: float | None,
        antithetic: bool,
        bias: bool,
        threads: int | None,
        progress: Progress | None,
    ) -> None:
        self.solver, self.arguments, self.wanted = solver, arguments, wanted
        self.theory, self.data = solver.theory, solver.data
        self.seed = check_integer("seed", seed, 0)
        if tol is not None and not (isinstance(tol, float | int) and 0 <= tol < 1):
            raise ArgumentError(f"tol = {show(tol)}: allowed is a number >= 0 and < 1")
        if progress is not None and not callable(progress):
            raise ArgumentError(f"progress = {show(progress)}: allowed is a function of two integers, done and total")
        self.tol, self.antithetic, self.bias, self.progress = tol, antithetic, bias, progress
        self.threads = None if threads is None else check_integer("threads", threads, 1)
        self.directions_per_site = 0.0
        self.responses: dict[str, Any] = {}

    def coordinates(self) -> tuple[xr.Dataset, Outcome]:
        """The exact infinite network of a linear program."""
        from dmft_sym.execution import ExecutionError, run_coordinates

        measured = Measurements(self.wanted)
        tol = EXACT_TOL if self.tol is None else self.tol
        try:
            result = run_coordinates(
                self.theory.program,
                self.arguments.values,
                self.arguments.outputs,
                self.arguments.steps,
                tol,
                progress=self._report(1),
                inspect=measured.see_network,
                data=self.data.given,
            )
        except ExecutionError as error:
            raise ArgumentError(str(error)) from error
        dataset = network_dataset(output_track(result.scalars), measured, self.data)
        return dataset.merge(derived(dataset, self.data)).assign_attrs(tol=tol), result.outcome

    def replicas(self, sites: int, count: int, method: str) -> tuple[xr.Dataset, Outcome]:
        """Means and standard errors over replicas."""
        parts, done = self._parts(*self._tracks(sites, count, method))
        dataset = averaged(parts, self.data)
        if self.bias:
            halves, _ = self._parts(*self._tracks(sites, count, method, halves=True))
            found = estimated_bias(parts, halves, self.data)
            dataset = dataset.merge(found.reindex({dim: dataset[dim] for dim in found.dims if dim in dataset.coords}))
        dataset.attrs = {"samples": sites, "replicas": count, "seed": self.seed, "antithetic": int(self.antithetic)}
        if method == "sampled":
            from dmft_sym.execution.replicas import default_tol

            dataset.attrs["tol"] = default_tol(sites // count) if self.tol is None else self.tol
            dataset.attrs["directions_per_site"] = self.directions_per_site
        dataset.attrs |= self.responses
        return dataset, COMPLETED if done == self.arguments.steps else diverged(done)

    def _parts(self, tracks: list[Any], measured: list[Measurements]) -> tuple[list[xr.Dataset], int]:
        """What every network showed on the steps that all have done, and their number."""
        done = min(len(track) for track in tracks)
        return [network_dataset(f[:done], m, self.data) for f, m in zip(tracks, measured, strict=True)], done

    def _tracks(
        self, sites: int, count: int, method: str, *, halves: bool = False
    ) -> tuple[list[Any], list[Measurements]]:
        """Outputs of every replica (or of its halves), shape (steps, samples, outputs), and what it showed."""
        from dmft_sym.execution import ExecutionError
        from dmft_sym.execution.replicas import run_replicas

        if method == "direct":
            from .direct_solver import DirectRun

            streams = np.random.SeedSequence([self.seed, 1]).spawn(count)  # others than those of sampled sites
            run = DirectRun(self.theory, self.data, self.arguments, self.wanted, sites // count)
            found = run.tracks(streams, lambda number: self._report(count, number))
            self.responses = run.attributes
            return [track for track, _ in found], [measured for _, measured in found]
        self._check_memory(sites, count)
        measured = [Measurements(self.wanted) for _ in range(2 * count if halves else count)]
        networks, before = (3 * count, count * halves) if self.bias else (count, 0)
        report = self._report(networks, before)
        try:
            results = run_replicas(
                self.solver.module,
                self.theory.program,
                self.arguments.values,
                self.arguments.outputs,
                self.arguments.steps,
                sites,
                count,
                self.seed,
                tol=self.tol,
                antithetic=self.antithetic,
                data=self.data.given,
                pauses=self.wanted.steps,
                inspect=lambda replica, view: measured[replica].see_replica(view),
                progress=None if report is None else lambda done, _: report(done),
                threads=self.threads,
                halves=halves,
            )
        except ExecutionError as error:
            raise ArgumentError(str(error)) from error
        aspects = {key: bulk_of(m, self.arguments.values).aspect for key, m in self._hidden().values()}
        if not halves:
            self.directions_per_site = max(known_share(r.directions, aspects) * count / sites for r in results)
        return [np.asarray(result.scalars["f"][: result.steps]) for result in results], measured

    def sites_for(self, samples: int | None, error: float | None, replicas: int, method: str) -> int:
        """Number of sites: as given, or what a wanted error needs, which trial runs tell."""
        count = check_integer("replicas", replicas, 2)
        if error is None:
            sites = DEFAULT_SITES if samples is None else check_integer("samples", samples, 4 * count)
            return self._divisible(sites, count)
        if samples is not None:
            raise ArgumentError(f"samples = {samples} and error = {error}: allowed is one of both")
        if not isinstance(error, float | int) or not 0 < error < math.inf:
            raise ArgumentError(f"error = {show(error)}: allowed is a number > 0")
        trial = copy.copy(self)
        trial.bias = False
        trial.wanted = replace(self.wanted, kernel_steps=(), spectrum_steps=(), matrices={}, bulks={})
        found = sites_for_error(float(error), count, lambda sites: trial.largest_error(sites, count, method))
        return self._divisible(found, count)

    def _divisible(self, sites: int, count: int) -> int:
        """At least so many sites, an even number of each replica, or of each of its halves."""
        return even_sites(sites, 2 * count if self.bias else count)

    def largest_error(self, sites: int, count: int, method: str) -> float:
        """The largest standard error of ``f`` in a run with this number of sites; infinite if it diverges."""
        dataset, outcome = self.replicas(sites, count, method)
        return float(dataset[f"f{SEM}"].max()) if outcome.completed else math.inf

    def attributes(self, method: str, found: dict[str, Any]) -> dict[str, Any]:
        """Attributes that say how a result was computed."""
        module = self.solver.module if method == "sampled" else None
        if method == "direct":
            from .direct_solver import direct_module

            module = direct_module(self.theory)
        return {
            **found,
            "method": method,
            "backend": self.solver.backend if method == "sampled" else "numpy",
            "module_hash": "" if module is None else module.__dict__["__dmft_sym_hash__"],
            "loss": self.data.loss,
            "data_hash": self.data.digest[:16],
        }

    def _check_memory(self, sites: int, count: int) -> None:
        """Refuse what cannot fit: the fields of the replicas that run at a time; directions come on top."""
        from dmft_sym.support.threads import available_cores

        at_a_time = min(self.threads or available_cores(), count)
        needed, free = 8 * self._labels() * (sites // count) * at_a_time, free_bytes()
        if needed > free:
            raise ArgumentError(
                f"samples = {sites}: allowed is what fits into memory; fields need at least {shown_bytes(needed)} and "
                f"{shown_bytes(free)} are free: use fewer of them, or more replicas"
            )

    def _hidden(self) -> Mapping[str, tuple[MatrixKey, GaussianMatrix]]:
        return hidden_matrices(self.theory.program, self.arguments)

    def _labels(self) -> int:
        """Number of fields, counted by layer, sample and output."""
        sizes = {SAMPLE_AXIS: self.data.total, OUTPUT_AXIS: self.data.outputs}
        fields = [field for field in self.theory.program.fields if not field.data]
        layers = [1 if f.layers is None else int(f.layers.length.subs(self.arguments.values)) for f in fields]
        return sum(n * math.prod(sizes[axis] for axis in f.axes) for n, f in zip(layers, fields, strict=True))

    def _report(self, networks: int, before: int = 0) -> Callable[[int], None] | None:
        """What a network calls when steps are done, ``before`` others of all ``networks`` being finished."""
        if self.progress is None:
            return None
        progress, steps = self.progress, self.arguments.steps
        return lambda done: progress(before * steps + done, networks * steps)


def known_share(directions: Mapping[MatrixKey, NDArray[np.int64]], aspects: Mapping[MatrixKey, float]) -> float:
    """Sites that the directions of the best known matrix are worth: ``p`` on its source, ``q`` on its target.

    Seen from the narrower of both spaces, ``n_out = tau n_in``: see `execution.sampled_outliers.FiniteRank.known`.
    """
    shares = [0.0]
    for key, tau in aspects.items():
        forward, backward = directions[key].max(axis=0, initial=0)
        shares += [forward * max(1.0, tau), backward * max(1.0, 1 / tau)]
    return float(max(shares))


def _refuse_options_of_sampled(**given: bool) -> None:
    for name, present in given.items():
        if present:
            raise ArgumentError(f'{name} with method = "direct": allowed is nothing, it is an option of "sampled"')


def output_track(scalars: Any) -> Any:
    """``f`` of all steps, shape (steps, samples, outputs), from the scalars of a run."""
    return next(values for ref, values in scalars.items() if ref.scalar.name == "f")
