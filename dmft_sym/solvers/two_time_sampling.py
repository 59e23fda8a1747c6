"""Equations that do not close, sampled: single-site processes with two-time order parameters, as they are derived.

Slow, for a few steps and samples: it knows nothing of conditioning and has the same results.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from dmft_sym.program import ONE, Field, FieldRef
from dmft_sym.program.written_labels import fixed_labels, members
from dmft_sym.regimes.samples import Samples
from dmft_sym.support.array_types import Array
from dmft_sym.support.errors import ArgumentError

from .arguments import RunArguments
from .generated_modules import hash_of, two_time_module
from .measurements import Measurements, Sent, named_matrices
from .memory import check_tangents, layer_count
from .method import EQUATIONS, Arithmetic, Call, Solved
from .sampled_sites import SITES_OPTIONS, Carried, ReplicaRun

if TYPE_CHECKING:
    from dmft_sym.derivation.pipeline import Pipeline
    from dmft_sym.derivation.problem import Problem
    from dmft_sym.execution.observing import Observing

MOST_ROWS = 400  # steps times samples times outputs; the time grows as its cube
MOST_ERROR = 0.5  # of a field, by the sampling error of tangents; the bias is of its square


class TwoTimeSampling(Arithmetic):
    """Equations of programs with averages over sites, row by row; processes that are not Gaussian are sampled."""

    method = EQUATIONS
    summary = "the two-time equations, their processes sampled where they are not Gaussian"
    options = SITES_OPTIONS

    @staticmethod
    def applies(problem: Problem) -> bool:
        """Whether samples are given."""
        return problem.program.averaged

    @staticmethod
    def exact(problem: Problem) -> bool:
        """Where all processes are Gaussian."""
        return problem.program.linear

    def run(self, call: Call) -> Solved:
        """Means and standard errors over replicas."""
        return TwoTimeRun(call).solved()


class TwoTimeRun(ReplicaRun):
    """Runs of the generated two-time solver.

    Raises
    ------
    ArgumentError
        If the run is too large for two-time matrices of every site.
    """

    def __init__(self, call: Call) -> None:
        from dmft_sym.codegen.text.names import python_name
        from dmft_sym.derivation.written_out import without_labels

        super().__init__(call)
        derivation, self.products = self._products()
        self.problem: Any = without_labels(derivation)
        self.rows = _check_rows(self.data, call.arguments.steps, _tokens(call.problem))
        if self.options.error is None:  # how many sites an error needs is not known yet
            self.check_memory(self.sites())
        values = call.arguments.values
        self.module = two_time_module(derivation, call.backend)
        self.values: dict[str, Any] = {python_name(p.symbol): values[p.symbol] for p in call.problem.parameters}
        if self.data.total > self.data.count:
            self.values["train"] = self.data.train
        drawn = [scalar.name for scalar in call.problem.program.given_anew]
        self.values |= {name: call.arguments.data[name] for name in drawn}
        self.extra = {"backend": call.backend, "module_hash": hash_of(self.module)}

    @staticmethod
    def gaussian(problem: Problem) -> bool:
        """Whether all processes close as matrix algebra."""
        return all(closure.gaussian for closure in problem.closures)

    def _products(self) -> tuple[Pipeline, Mapping[str, tuple[FieldRef, Field]]]:
        """What is solved, with a field for the product of each wanted matrix with its inputs; and both by its name."""
        if not self.wanted.keeps:
            return self.call.problem, {}
        from dmft_sym.derivation.input_products import with_input_products

        known = named_matrices(self.call.problem.program, self.call.arguments)
        derivation, fields = with_input_products(self.call.problem, [known[name][1] for name in self.wanted.keeps])
        given = {field.space: field for field in self.call.problem.program.data_fields}
        found = {}
        for name in self.wanted.keeps:
            (_, layer), matrix = known[name]
            ref = fields[matrix] if layer is None else replace(fields[matrix], layer=sp.Integer(layer))
            found[name] = ref, given[matrix.source]
        return derivation, found

    def check_memory(self, sites: int) -> None:
        """Refuse more sites than fit into memory."""
        tangents = _tangents(self.problem, self.call.arguments)
        check_tangents(self.rows, sites // self.count, tangents)

    def tracks(self, sites: int) -> tuple[list[Array], list[Measurements]]:
        """``f`` of every run, shape (steps, samples, outputs), and its kernels.

        Responses are averages of tangents. Where these do not converge, as some sites respond without bounds, all runs
        are repeated with responses by parts.
        """
        self.check_memory(sites)
        found, attributes = self._tracks(sites // self.count)
        self.extra |= attributes
        return [track for track, _ in found], [measured for _, measured in found]

    def _tracks(self, sites: int) -> tuple[list[tuple[Array, Measurements]], dict[str, Any]]:
        """Outputs and measurements of every run, and how responses were computed."""
        found, errors = [], [0.0]
        for track, measured, error in self._replicas(sites, tangents=True):
            errors.append(error)
            found.append((track, measured))
            if not error <= MOST_ERROR:
                return [run[:2] for run in self._replicas(sites, tangents=False)], {"responses": "by parts"}
        if any(closure.by_parts for closure in self.problem.closures):
            return found, {"responses": "by parts"}
        return found, {"responses": "tangents", "tangent_error": max(errors)}

    def _replicas(self, sites: int, tangents: bool) -> Iterator[tuple[Array, Measurements, float]]:
        """All runs in their order: here one after another, by workers all before the first is seen."""
        if self.crew is None:
            for number in range(self.count):
                yield self.march(sites, number, self.report(self.count, number), tangents)
            return
        report = self.report(self.count)
        progress = None if report is None else lambda done, _: report(done)
        one = partial(
            _march_alone, self.carried(), self.wanted.kernel_steps, self.wanted.spectrum_steps, sites, tangents
        )
        for track, sent, error in self.crew.in_order(one, range(self.count), progress, self.call.arguments.steps):
            yield track, Measurements.received(self.wanted, sent), error

    def march(
        self, sites: int, number: int, progress: Callable[[int], None] | None, tangents: bool
    ) -> tuple[Array, Measurements, float]:
        """``f``, kernels, and the error of tangents, of the replica of this number."""
        seed = np.random.SeedSequence([self.seed, 1]).spawn(self.count)[number]  # others than those of sampled sites
        measured = Measurements(self.wanted)
        state: dict[str, Any] = {}
        own = np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, 1))

        def inspect(step: int, fields: Mapping[str, Any]) -> None:
            state.update(fields)
            if self.wanted.observing is not None:
                with np.errstate(all="ignore"):
                    measured.observed.see(self._observed(self.wanted.observing, fields, step, own))
            if step in self.wanted.kernel_steps:
                measured.see_overlaps(step, lambda a, b: self._overlap(fields, a, b, step))

        with np.errstate(all="ignore"):  # a run that diverges is reported by its outputs
            run = self.module.march(
                np.random.default_rng(seed),
                steps=self.call.arguments.steps,
                sites=sites,
                **self._grams(),
                targets=self.data.all_targets,
                tangents=tangents,
                progress=progress,
                inspect=inspect,
                **self.values,
            )
        if self.wanted.matrices:
            self._see_spectra(measured, state, run, 0 if self.call.problem.program.linear else sites)
        return np.asarray(run["scalars"]["f"][: run["steps"]]), measured, float(run["tangent_error"])

    def _observed(
        self, observing: Observing, fields: Mapping[str, Any], step: int, seed: np.random.SeedSequence
    ) -> dict[str, Array]:
        """Observables of a step; of Gaussian fields beside sampled ones, values at sites are drawn."""

        def covariance(a: FieldRef, b: FieldRef) -> Array:
            return self._overlap(fields, a, b, step)

        if self.gaussian(self.call.problem):
            return observing.of_gaussian(covariance)
        values: dict[FieldRef, Array] = {}
        gaussian = []
        for ref in observing.fields:
            ones = [self._member(fields, name, ref) for name in members(ref.field)]
            if ones[0].sites:
                stacked = np.stack([one.values[step] for one in ones], axis=1)
                values[ref] = stacked.reshape(-1, stacked.shape[-1])
            else:
                gaussian.append(ref)
        if gaussian:
            sites = max((found.shape[1] for found in values.values()), default=self.sites() // self.count)
            values |= _drawn(gaussian, covariance, sites, np.random.default_rng(seed))
        return observing.at_sites(values.__getitem__)

    def _grams(self) -> dict[str, Array]:
        """Overlaps of inputs, by the arguments of the module."""
        first, *others = self.call.problem.program.data_fields
        found = {"gram": self.data.gram_of(first.name)}
        return found | {f"gram_{field.name}": self.data.gram_of(field.name) for field in others}

    def _see_spectra(
        self, measured: Measurements, fields: Mapping[str, Any], run: Mapping[str, Any], sites: int
    ) -> None:
        """Outliers from the spike conditions, of averages over so many sites; 0 where these are exact."""
        from .two_time_spectra import TwoTimeAverages, outliers_of_equations

        for step in self.wanted.spectrum_steps:
            for name in self.wanted.matrices if step < run["steps"] else ():
                if name in self.products:
                    self._see_inputs(measured, fields, name, step, sites)
                    continue
                averages = TwoTimeAverages(self.module, fields, run, step)
                bulk = self.wanted.bulks[name]
                found, bulk = outliers_of_equations(self.problem, name, averages, self.call.arguments.values, bulk)
                limit = bulk.edge * (1 + 4 * sites ** (-2 / 3) if sites else 1)  # below it noise makes outliers
                measured.see_outliers(name, step, found[found > limit], bulk, limit)

    def _see_inputs(self, measured: Measurements, fields: Mapping[str, Any], name: str, step: int, sites: int) -> None:
        """Outliers of a matrix from given inputs, from its products with them."""
        from dmft_sym.spectra.measured.input_matrices import moments_of_products

        ref, given = self.products[name]
        pairs = (step, step), (step, 0), (0, 0)
        now, across, start = (self._overlap(fields, ref, ref, *steps) for steps in pairs)
        independent = sites / 2 if sites else math.inf  # antithetic pairs
        moments = moments_of_products(now, across, start, self.data.gram_of(given.name), independent)
        measured.see_inputs(name, step, moments, self.wanted.keeps[name] ** step)

    def _overlap(
        self, fields: Mapping[str, Any], a: FieldRef, b: FieldRef, step: int, past: int | None = None
    ) -> Array:
        """``<a b>`` of a step, or with ``b`` of a past one; a matrix with a row for every label of ``a``."""
        past = step if past is None else past
        if ONE in (a.field, b.field):
            return np.ones((1, 1))
        if a.space.finite and b.space.finite:
            return np.asarray(self.data.gram_of(a.field.name))
        ones, others = ([self._member(fields, name, ref) for name in members(ref.field)] for ref in (a, b))
        blocks = [[self.module.overlap(one, other, step)[:, :, past] for other in others] for one in ones]
        found = np.array(blocks).transpose(2, 0, 3, 4, 1, 5)  # samples, labels written out, outputs
        return found.reshape(math.prod(found.shape[:3]), -1)

    @staticmethod
    def _member(fields: Mapping[str, Any], name: str, ref: FieldRef) -> Any:
        """A field, or that of a layer."""
        return fields[name] if ref.layer is None else fields[name][int(ref.layer)]


def _march_alone(
    carried: Carried,
    kernel_steps: tuple[int, ...],
    spectrum_steps: tuple[int, ...],
    sites: int,
    tangents: bool,
    number: int,
) -> tuple[Array, Sent, float]:
    """One replica, in a worker."""
    problem, backend, arguments, options = carried
    run = TwoTimeRun(Call(problem.problem, backend, arguments, options, None))
    run.wanted = replace(run.wanted, kernel_steps=kernel_steps, spectrum_steps=spectrum_steps)
    track, measured, error = run.march(sites, number, None, tangents)
    return track, measured.sent(), error


def _drawn(
    refs: Sequence[FieldRef], covariance: Callable[[FieldRef, FieldRef], Array], sites: int, rng: np.random.Generator
) -> dict[FieldRef, Array]:
    """Values at sites of Gaussian fields of one step, shape (labels, sites); the same normals at every step."""
    whole = np.nan_to_num(np.block([[covariance(a, b) for b in refs] for a in refs]))
    variances, directions = np.linalg.eigh((whole + whole.T) / 2)
    values = (directions * np.sqrt(np.maximum(variances, 0))) @ rng.standard_normal((len(whole), sites))
    ends = np.cumsum([len(covariance(ref, ref)) for ref in refs])
    return dict(zip(refs, np.split(values, ends[:-1]), strict=True))


def _check_rows(data: Samples, steps: int, tokens: int) -> int:
    """Steps times samples times outputs; more than would take hours are refused, of all tokens together."""
    rows = steps * data.total * data.outputs
    if rows * tokens > MOST_ROWS:
        factors = "steps * samples * outputs" + (" * values of labels" if tokens > 1 else "")
        raise ArgumentError(
            f'method = "equations" with {rows * tokens} rows ({factors}): allowed are up to {MOST_ROWS}; use '
            'method = "conditioning"'
        )
    return rows


def _tokens(problem: Problem) -> int:
    """The largest number of values of labels of a vector that a matrix acts on."""
    operands = (product.operand.axes for *_, product in problem.program.products())
    return max((math.prod(int(label.size) for label in fixed_labels(axes)) for axes in operands), default=1)


def _tangents(problem: Pipeline, arguments: RunArguments) -> int:
    """Upper bound of the number of pairs of a field and a Gaussian field whose derivatives are kept at every site."""
    count = 0
    for closure in problem.closures:
        if not closure.gaussian and not closure.by_parts:
            rows = [tangent.equation.target.field for tangent in closure.tangents]
            for field, noise in itertools.product(rows, closure.tracked):
                layers = layer_count(noise, arguments) if closure.process.coupled else 1
                count += layer_count(field, arguments) * layers
    return count
