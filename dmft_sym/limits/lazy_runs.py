"""Runs of the lazy limit on given samples: kernels of the first step, and what outputs make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dmft_sym.regimes.samples import samples_of
from dmft_sym.solvers.arguments import RunArguments, check_flag, check_integer, run_arguments
from dmft_sym.solvers.attributes import common_attributes, with_rate
from dmft_sym.solvers.coordinates import Coordinates
from dmft_sym.solvers.method import CONDITIONING, Call, Solved, end_of_run
from dmft_sym.solvers.sample_results import SEM, derived, jackknife, labelled, left_out, mean_and_error, suffixed
from dmft_sym.solvers.sampled_sites import SampledRun
from dmft_sym.solvers.solver import DEFAULTS
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.outcomes import Outcome

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem

Numbers: TypeAlias = NDArray[np.float64]
Trained: TypeAlias = Callable[[Numbers], Numbers]
"""Outputs (steps, samples, outputs) of a kernel (samples, outputs, samples, outputs)."""
_OPTIONS = ("tol", "sites", "error", "seed", "replicas", "antithetic", "threads")
_NONE = ("kernels", "matrices", "at", "bias")


def solve_lazy(
    problem: Problem, backend: str, arguments: Mapping[str, Any], train: Callable[[RunArguments], Trained]
) -> xr.Dataset:
    """Kernels at initialization by conditioning, and outputs along them.

    Parameters
    ----------
    arguments
        As of a run without the richness: steps, parameters, and the options ``sites``, ``error``, ``seed``,
        ``replicas``, ``antithetic``, ``tol``, ``threads``, ``exact`` and ``progress``.
    train
        From checked arguments to what makes outputs of a kernel.

    Raises
    ------
    ArgumentError
        Naming the argument, its value and what is allowed.
    """
    for key in sorted(set(arguments) & set(_NONE)):
        raise ArgumentError(f"{key}: allowed is nothing, the lazy limit has outputs and kernels that do not change")
    check_integer("steps", arguments.get("steps"), 1)
    given = {name: value for name, value in arguments.items() if name in _OPTIONS and value is not None}
    rest = {k: v for k, v in arguments.items() if k not in (*_OPTIONS, "steps", "exact", "progress")}
    run = run_arguments(problem, arguments.get("steps"), {**rest, "richness": 1.0}, (*_OPTIONS, "exact", "progress"))
    options = SimpleNamespace(**{**DEFAULTS, **given, "kernels": [0]})
    call = Call(problem, backend, replace(run, steps=1), options, arguments.get("progress"))
    exact = problem.program.linear if arguments.get("exact") is None else arguments["exact"]
    check_flag("exact", exact)
    if exact and not problem.program.linear:
        raise ArgumentError("exact = true: allowed is false, kernels are exact for a network that is linear")
    solved = _exact(call, run.steps, train(run)) if exact else KernelRun(call, run.steps, train(run)).solved()
    recorded = {name: value for name, value in run.given.items() if name != "richness"}
    about = {**common_attributes(problem, replace(run, given=recorded)), **solved.attributes, **solved.dataset.attrs}
    about |= {"limit": "lazy", "method": CONDITIONING, "exact": int(exact), **solved.outcome.attrs()}
    return with_rate(solved.dataset, run).assign_attrs(about)


class KernelRun(SampledRun):
    """Replicas on sampled sites at initialization: outputs are those of their mean kernel.

    Parameters
    ----------
    call
        Of one step.
    steps
        Of the outputs.
    train
        What makes them.
    """

    def __init__(self, call: Call, steps: int, train: Trained) -> None:
        super().__init__(call)
        self.steps, self.train, self.kernels = steps, train, self.wanted

    def means(self, sites: int) -> tuple[xr.Dataset, Outcome]:
        """Means and standard errors over replicas; those of what kernels make by the jackknife."""
        import xarray as xr

        from dmft_sym.execution.replicas import default_tol

        self.wanted = self.kernels  # trials have outputs of the kernel too
        parts, _ = self.parts(*self.tracks(sites))
        self.extra["tol"] = default_tol(sites // self.count) if self.options.tol is None else self.options.tol
        stacked = xr.concat(parts, "replica").drop_vars(("f", "step"))
        mean, error = mean_and_error(stacked)
        with np.errstate(over="ignore", invalid="ignore"):  # beyond the stable learning rate outputs grow without bound
            found, others = (_trained(kernels, self.steps, self.train) for kernels in (mean, left_out(stacked)))
            errors = error.merge(jackknife(others[["f"]].merge(derived(others, self.data))))
            found = found.merge(derived(found, self.data)).merge(suffixed(errors, SEM))
        return _finite(found, self.steps)


def _exact(call: Call, steps: int, train: Trained) -> Solved:
    """Kernels of a linear network, without sampling error."""
    solved = Coordinates().run(call)
    attributes, data = solved.dataset.attrs, samples_of(call.problem.data)
    kernels = solved.dataset[[name for name in solved.dataset.data_vars if "sample2" in solved.dataset[name].dims]]
    with np.errstate(over="ignore", invalid="ignore"):
        found = _trained(kernels, steps, train)
        found, outcome = _finite(found.merge(derived(found, data)), steps)
    return Solved(labelled(found, data).assign_attrs(attributes), outcome, solved.attributes)


def _trained(kernels: xr.Dataset, steps: int, train: Trained) -> xr.Dataset:
    """With the outputs ``f`` of the kernels, whose axis of replicas is kept."""
    kernel = kernels["NTK"].isel(kernel_step=0).transpose(..., "sample", "output", "sample2", "output2")
    values = np.asarray(kernel).reshape(-1, *kernel.shape[-4:])
    outputs = np.stack([train(one) for one in values]).reshape(*kernel.shape[:-4], steps, *kernel.shape[-4:-2])
    return kernels.assign_coords(step=np.arange(steps)).assign(
        f=((*kernel.dims[:-4], "step", "sample", "output"), outputs)
    )


def _finite(found: xr.Dataset, steps: int) -> tuple[xr.Dataset, Outcome]:
    """The steps before outputs or losses were too large to be numbers."""
    sizes = (found[name].values.reshape(steps, -1) for name in ("f", "train_loss"))
    finite = np.all([np.isfinite(values).all(axis=1) for values in sizes], axis=0)
    done = steps if finite.all() else int(np.argmin(finite))
    return found.isel(step=slice(done)), end_of_run(done, steps)
