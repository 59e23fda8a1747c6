"""Sweeps of specs: texts ``section.key=values`` become axes, and every point is the spec with other values of keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dmft_sym.regimes.keys import Spec
from dmft_sym.support.messages import InputError, show
from dmft_sym.sweeps.axes import Axis, Grid, Point, check_size, places
from dmft_sym.sweeps.ranges import LANGUAGE, parsed
from dmft_sym.sweeps.tasks import Task

from .objects import physical_arguments, regime_of, simulation_arguments, solver_arguments, spectrum_options
from .reading import Specs
from .sections import SECTIONS, TABLES

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

Key = tuple[str, str]
OF_THEORY = ("network", "data", "training")
"""Sections that a theory is made from."""
OF_SPECS = ("solve", "simulate", "spectrum", "compare")
"""Words of the tasks whose arguments a spec has."""
_EXAMPLE = "allowed is section.key=values, such as training.learning_rate=logspace(-3,-1,25)"


def axes_of_texts(texts: Iterable[str]) -> dict[Key, Axis]:
    """Axes by section and key, named by the key.

    Parameters
    ----------
    texts
        ``"training.learning_rate=logspace(-3,-1,25)"``, ``"data.width_per_dim=0.25,0.5,1"``,
        ``"network.parameters.strength=0.5,1"``.

    Raises
    ------
    InputError
        If one is something else, or two are of one name.
    """
    found: dict[Key, Axis] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        section, dot, key = name.strip().partition(".")
        table, _, key_of_table = key.rpartition(".")
        if not (equals and dot and section and key_of_table) or (table and (section, table) not in TABLES):
            raise InputError(f"--over {show(text)}: {_EXAMPLE}")
        if section not in SECTIONS:
            raise InputError(f"--over {show(text)}: no section {section}; allowed are {', '.join(SECTIONS)}")
        if any(axis.name == key_of_table for axis in found.values()):
            raise InputError(f"--over {show(text)}: a second axis {key_of_table}; allowed are different keys")
        try:
            found[section, key] = Axis.of(key_of_table, parsed(values))
        except InputError as error:
            raise InputError(f"--over {name.strip()}: {error}") from error
    if not found:
        raise InputError(f"--over is missing: {_EXAMPLE}; values are {LANGUAGE}")
    check_size(tuple(found.values()))
    return found


def first_values(axes: Mapping[Key, Axis]) -> dict[Key, Any]:
    """The first value of every axis."""
    return {key: axis.values[0] for key, axis in axes.items()}


def check_task(task: Task) -> None:
    """Raise `InputError` if a spec does not have the arguments of a task."""
    if task.name not in OF_SPECS:
        raise InputError(
            f"--what {task.name}: allowed are {', '.join(OF_SPECS)}; critical values and largest stable rates are "
            f'swept in Python, by ds.sweep(theory, over, what="{task.name}")'
        )


def settings_of(spec: Spec, what: str) -> dict[str, Any]:
    """Arguments of a task, as a spec gives them."""
    along = regime_of(spec).spectra_of_runs
    given = {
        "solve": lambda: solver_arguments(spec),
        "simulate": lambda: simulation_arguments(spec),
        "spectrum": lambda: solver_arguments(spec) if along else spectrum_options(spec),
        "compare": lambda: {**solver_arguments(spec), **simulation_arguments(spec)},
    }[what]()
    backend = {"backend": spec.solver.backend} if what in ("solve", "compare") else {}
    if what == "solve" and along is False:
        given = {name: value for name, value in given.items() if name not in ("matrices", "at")}
    return {**physical_arguments(spec), **given, **backend}


def grid_of_specs(
    specs: Specs, axes: Mapping[Key, Axis], task: Task, read: Callable[[Spec], Spec], theory: Callable[[Spec], Problem]
) -> Grid:
    """The grid over keys of a spec.

    Parameters
    ----------
    read, theory
        What completes a spec, and derives its theory: called once for all points that differ in arguments of runs only.

    Raises
    ------
    InputError
        If the spec of a point has errors; they end with where.
    """
    every = tuple(axes.values())
    made: dict[tuple[int, ...], int] = {}
    theories: list[Problem] = []
    points = []
    free: set[str] | None = None
    for place in places(every):
        chosen = {key: axis.values[k] for (key, axis), k in zip(axes.items(), place, strict=True)}
        try:
            spec = read(specs.spec(chosen))
        except InputError as error:
            where = ", ".join(f"{axis.name} = {axis.labels[k]}" for axis, k in zip(every, place, strict=True))
            raise InputError(f"{str(error).splitlines()[0]} (at {where})") from error
        settings = settings_of(spec, task.name)
        free = _of_runs(spec, settings, axes, task) if free is None else free
        structure = tuple(k for axis, k in zip(every, place, strict=True) if axis.name not in free)
        if structure not in made:
            made[structure] = len(theories)
            theories.append(theory(spec))
        points.append(Point(place, made[structure], settings))
    common = {name: value for name, value in points[0].settings.items() if name not in {axis.name for axis in every}}
    return Grid(task, every, theories, points, common)


def _of_runs(spec: Spec, settings: Mapping[str, Any], axes: Mapping[Key, Axis], task: Task) -> set[str]:
    """Axes that are arguments of runs, and need no theory of their own.

    Raises
    ------
    InputError
        If one means nothing to the task.
    """
    physical = physical_arguments(spec)
    free = {axis.name for (section, _), axis in axes.items() if section not in OF_THEORY or axis.name in physical}
    for (section, key), axis in axes.items():
        if axis.name in free and axis.name not in settings:
            raise InputError(f"--over {section}.{key}: allowed is nothing, it has no effect on --what {task.name}")
    return free
