"""Axes of a sweep: names and values, the theories that they need, and the points of the grid."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dmft_sym.derivation.replacing import fields_of
from dmft_sym.solvers.arguments import taken
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show, suggestion

from .ranges import check_values
from .tasks import Settings, Task

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

MOST_POINTS = 1_000_000
_LENGTH = ("steps", "time")


@dataclass(frozen=True)
class Axis:
    """One swept quantity.

    Attributes
    ----------
    name
        Of the coordinate.
    values
        What is passed on.
    labels
        Values of the coordinate: numbers and words as they are, anything else by its name.
    """

    name: str
    values: tuple[Any, ...]
    labels: tuple[Any, ...]

    @classmethod
    def of(cls, name: str, values: object) -> Axis:
        """The axis of values that a user gave.

        Raises
        ------
        ArgumentError
            If they are no list of different values.
        """
        found = check_values(name, values)
        labels = tuple(_label(value) for value in found)
        labels = _of_one_kind(labels)
        if len(set(labels)) < len(labels):
            raise ArgumentError(f"{name} = {show(found)}: two values have the same name; allowed are different ones")
        return cls(name, found, labels)


def _of_one_kind(labels: tuple[Any, ...]) -> tuple[Any, ...]:
    """Labels that an array has: integers, numbers, truth values or words."""
    if not all(isinstance(label, bool | int | float) for label in labels):
        return tuple(str(label) for label in labels)
    if all(isinstance(label, bool) for label in labels):
        return labels
    whole = all(isinstance(label, int) and abs(label) < 2**63 for label in labels)
    return tuple(int(label) if whole else float(label) for label in labels)


def _label(value: Any) -> bool | int | float | str:
    if isinstance(value, bool | int | float | str):
        return value
    return str(getattr(value, "name", value))


@dataclass(frozen=True)
class Point:
    """One point of the grid.

    Attributes
    ----------
    place
        Its place along every axis.
    theory
        Which of the theories of the grid it is a run of.
    settings
        Arguments of its run.
    """

    place: tuple[int, ...]
    theory: int
    settings: Settings


@dataclass(frozen=True)
class Grid:
    """Axes, and what is run at every point.

    Attributes
    ----------
    task
        What is done.
    axes
        In the order of the dimensions of the result.
    theories
        Each of them once.
    points
        In the order of the result, last axis fastest.
    settings
        What all points have in common.
    """

    task: Task
    axes: tuple[Axis, ...]
    theories: Sequence[Problem]
    points: Sequence[Point]
    settings: Settings = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of every axis."""
        return tuple(len(axis.values) for axis in self.axes)

    def where(self, point: Point) -> str:
        """A point in words."""
        return ", ".join(f"{a.name} = {a.labels[k]}" for a, k in zip(self.axes, point.place, strict=True))


def axes_of(over: object) -> tuple[Axis, ...]:
    """The axes of a mapping.

    Raises
    ------
    ArgumentError
        If it is none, is empty, or makes too many points.
    """
    if not isinstance(over, Mapping) or not over or not all(isinstance(name, str) for name in over):
        raise ArgumentError(
            f'over = {show(over)}: allowed are names with values, such as over={{"learning_rate": [0.01, 0.1]}}'
        )
    axes = tuple(Axis.of(name, values) for name, values in over.items())
    check_size(axes)
    return axes


def check_size(axes: Sequence[Axis]) -> None:
    """Raise `ArgumentError` if there are too many points."""
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > MOST_POINTS:
        raise ArgumentError(f"over: {count} points; allowed are at most {MOST_POINTS}")


def places(axes: Sequence[Axis]) -> Iterator[tuple[int, ...]]:
    """All places of a grid, last axis fastest."""
    return itertools.product(*(range(len(axis.values)) for axis in axes))


def grid_of(task: Task, theory: Problem, over: object, settings: Settings) -> Grid:
    """The grid over arguments of runs, and over fields of a theory, which is derived once for each of their values.

    Raises
    ------
    ArgumentError
        Naming an axis that is neither, and what is allowed.
    """
    axes = axes_of(over)
    own = {axis.name for axis in axes if not _of_runs(axis.name, task, theory)}
    for axis in axes:
        _check_name(axis.name, task, theory, settings)
    theories: dict[tuple[int, ...], int] = {}
    made: list[Problem] = []
    points = []
    for place in places(axes):
        changes = {a.name: a.values[k] for a, k in zip(axes, place, strict=True)}
        key = tuple(k for a, k in zip(axes, place, strict=True) if a.name in own)
        if key not in theories:
            theories[key] = len(made)
            made.append(theory.replace(**{name: changes[name] for name in own}) if own else theory)
        given = {name: value for name, value in changes.items() if name not in own}
        points.append(Point(place, theories[key], {**settings, **given}))
    return Grid(task, axes, made, points, settings)


def _of_runs(name: str, task: Task, theory: Problem) -> bool:
    """Whether a name is that of an argument of a run."""
    return name in taken(theory) or name in task.options or name in _LENGTH


def _check_name(name: str, task: Task, theory: Problem, settings: Settings) -> None:
    """Refuse names that a sweep cannot have."""
    if name in settings or name in task.found(settings):
        raise ArgumentError(f"{name} = {show(settings.get(name))}: allowed is nothing, it is an axis of the sweep")
    if _of_runs(name, task, theory):
        return
    known = fields_of(theory.parts)
    if name not in known:
        allowed = [*taken(theory), *_LENGTH, *sorted(task.options), *known]
        names = ", ".join(dict.fromkeys(allowed))
        raise ArgumentError(f"over: {show(name)} is no axis{suggestion(name, allowed)}; allowed are {names}")
