"""What is done at a point of a sweep: a run, a simulation, spectra, or a theory beside its simulation."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.comparison.runs import compare
from dmft_sym.results.store import ResultError
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.solvers.critical import critical
from dmft_sym.solvers.simulation import simulate
from dmft_sym.solvers.solver import Solver
from dmft_sym.solvers.stability import max_stable
from dmft_sym.solvers.trained_spectra import spectrum
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.outcomes import Outcome

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem

Settings = Mapping[str, Any]
FINITE, ERROR, Z = "_finite", "_error", "_z"
"""What is appended to the name of a variable for its mean over simulated networks, the standard error of its difference
from the theory, and their ratio."""
_NOT_SETTINGS = {"self", "theory", "progress", "checkpoint", "parameters", "settings", "workers", "scheduler"}


@dataclass(frozen=True)
class Task:
    """One thing that can be swept.

    Attributes
    ----------
    name
        Its word, ``what=``.
    options
        Names of its settings beside the parameters of a run.
    run
        ``run(theory, settings)``: a result, with its outcome in the attributes.
    found
        Arguments of runs that the task finds out itself, with stand-ins for them.
    """

    name: str
    options: frozenset[str]
    run: Callable[[Problem, Settings], xr.Dataset]
    found: Callable[[Settings], dict[str, Any]] = lambda settings: {}

    def check(self, theory: Problem, settings: Settings) -> None:
        """Raise `ArgumentError` if a parameter is not one, or out of range, before anything runs."""
        given = {
            **self.found(settings),
            **{name: value for name, value in settings.items() if name not in self.options},
        }
        steps, time = given.pop("steps", settings.get("steps")), settings.get("time")
        run_arguments(theory, steps, given, sorted(self.options), time)


def _names(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters) - _NOT_SETTINGS


SOLVE = _names(Solver.__call__) | {"backend"}
SIMULATE = _names(simulate)
SPECTRUM = _names(spectrum)
_LENGTH = {"steps", "time"}


def solve(theory: Problem, settings: Settings) -> xr.Dataset:
    """A run of the infinite network."""
    given = dict(settings)
    return Solver(theory, given.pop("backend", "numba"))(**given)


def simulated(theory: Problem, settings: Settings) -> xr.Dataset:
    """Finite networks."""
    return simulate(theory, **settings)


def spectra(theory: Problem, settings: Settings) -> xr.Dataset:
    """Bulk, outliers and sharpness."""
    return spectrum(theory, **settings)


def compared(theory: Problem, settings: Settings) -> xr.Dataset:
    """A theory beside finite networks: its variables, means over networks, standard errors of differences, z."""
    run, simulation = _theory_of(theory, settings), simulate(theory, **_of(theory, settings, SIMULATE))
    outcome = min((Outcome.of(one.attrs) for one in (run, simulation)), key=_end)
    attributes = {**run.attrs, **{k: v for k, v in simulation.attrs.items() if k in SIMULATE}, **outcome.attrs()}
    try:
        found = compare(run, simulation)
    except ResultError:
        if outcome.completed:
            raise
        return run.isel({dim: slice(0) for dim in ("step", "time") if dim in run.dims}).assign_attrs(attributes)
    parts = {"": found.theory, FINITE: found.mean, ERROR: found.standard_error, Z: found.z}
    renamed = [part.rename({name: f"{name}{end}" for name in part.data_vars}) for end, part in parts.items()]
    merged = renamed[0].merge(renamed[1]).merge(renamed[2]).merge(renamed[3])
    return merged.assign_attrs(attributes)


def criticals(theory: Problem, settings: Settings) -> xr.Dataset:
    """The critical value of a parameter, ``critical_<parameter>``."""
    import xarray as xr

    parameter = settings.get("parameter", "richness")
    found = xr.Dataset({f"critical_{parameter}": ((), critical(theory, **settings))})
    return found.assign_attrs(matrix=str(getattr(settings["matrix"], "name", settings["matrix"])), at=settings["at"])


def stable(theory: Problem, settings: Settings) -> xr.Dataset:
    """The largest value of a parameter at which training completes."""
    return max_stable(theory, **settings)


def _of_critical(settings: Settings) -> dict[str, Any]:
    at = settings.get("at")
    return {str(settings.get("parameter", "richness")): 1.0, "steps": at + 1 if isinstance(at, int) else 1}


def _of_stable(settings: Settings) -> dict[str, Any]:
    return {str(settings.get("parameter", "learning_rate")): 1.0}


def _end(outcome: Outcome) -> float:
    return np.inf if outcome.step is None else outcome.step


def _theory_of(theory: Problem, settings: Settings) -> xr.Dataset:
    """The run of a comparison, with spectra where they are computed apart from it."""
    own = _of(theory, settings, SOLVE)
    apart = bool(settings.get("matrices")) and not theory.data.spectra_of_runs
    if not apart:
        return solve(theory, own)
    run = solve(theory, {name: value for name, value in own.items() if name not in ("matrices", "at")})
    options = {name: value for name, value in settings.items() if name in SPECTRUM - {"method", "tol"}}
    found = spectrum(theory, **{**_parameters(settings), **options})
    return run.merge(found, combine_attrs="override")


def _of(theory: Problem, settings: Settings, names: frozenset[str]) -> dict[str, Any]:
    """The settings that a run, or a simulation, takes; what both have a word for goes to both where it means it."""
    options = {name: value for name, value in settings.items() if name in names}
    if names is SOLVE:
        known = {name for info in Solver(theory, "numpy").methods for name in info.options}
        both = (SOLVE & SIMULATE) - _LENGTH - {"matrices", "at"}
        options = {name: value for name, value in options.items() if name not in both or name in known}
    return {**_parameters(settings), **options}


def _parameters(settings: Settings) -> dict[str, Any]:
    """Parameters of the program, and the length of a run."""
    options = (SOLVE | SIMULATE | SPECTRUM) - _LENGTH
    return {name: value for name, value in settings.items() if name not in options}


TASKS = {
    task.name: task
    for task in (
        Task("solve", SOLVE, solve),
        Task("simulate", SIMULATE, simulated),
        Task("spectrum", SPECTRUM, spectra),
        Task("compare", SOLVE | SIMULATE | SPECTRUM, compared),
        Task("critical", _names(critical) | (SOLVE - {"steps", "time"}), criticals, _of_critical),
        Task("max_stable", _names(max_stable) | SOLVE, stable, _of_stable),
    )
}


RUNS = ("solve", "compare")
"""Tasks that call a solver."""


def completed_settings(task: Task, theory: Problem, settings: Settings, variables: tuple[str, ...]) -> dict[str, Any]:
    """Settings with two-time order parameters left out where nobody asked for them: they are most of a run."""
    if task.name not in RUNS or "order_parameters" in settings:
        return dict(settings)
    word = settings.get("method")
    chosen = [one for one in Solver(theory, "numpy").methods if (one.default if word is None else one.name == word)]
    if not any("order_parameters" in one.options for one in chosen):
        return dict(settings)
    return {**settings, "order_parameters": any(name[:2] in ("C_", "R_") for name in variables)}


def warm(task: Task, theory: Problem, settings: Settings) -> None:
    """Derive and compile what a point needs, by a run of two steps, before there are workers."""
    if task.name not in RUNS or "time" in settings:
        return
    short = {name: value for name, value in settings.items() if name not in ("matrices", "at", "kernels", "error")}
    own = {name: value for name, value in short.items() if name in SOLVE or name not in SIMULATE | SPECTRUM}
    own = _of(theory, own, SOLVE) if task.name == "compare" else own
    if theory.program.averaged:
        own |= {"sites": 4 * int(own.get("replicas", 8)), "kernels": ()}
        if own.get("method") == "equations" or own.get("exact"):
            own.pop("sites")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            solve(theory, {**own, "steps": min(int(own["steps"]), 2)})
        except ArgumentError:
            return  # the point itself says what is wrong
