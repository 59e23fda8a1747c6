"""What is looked at and kept while a program runs, and the steps that all runs share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.program import FieldRef, ScalarRef
from dmft_sym.support.errors import ExecutionError
from dmft_sym.support.outcomes import COMPLETED, DIVERGENCE, Outcome, diverged

from .interface import Arithmetic, Array
from .plan import PlannedAverage
from .result import ExecutionResult
from .snapshots import Snapshots

Progress = Callable[[int], None]
Inspect = Callable[[int, Arithmetic], None]


class Watch:
    """Number of steps, and what is looked at on the way."""

    def __init__(
        self,
        steps: int,
        record_steps: Iterable[int] | None,
        progress: Progress | None,
        inspect: Inspect | None,
        at: Iterable[int] | None = None,
        snapshots: Snapshots | None = None,
    ) -> None:
        self.snapshots = None if inspect is not None else snapshots  # what looks on has a state of its own
        self.steps, self.progress, self.inspect = steps, progress, inspect
        self.recorded = _wanted(record_steps, steps)
        self.inspected = set() if inspect is None else set(range(steps) if at is None else at)
        self.fields: dict[FieldRef, list[Array]] = {}
        self.seen: list[int] = []
        self.stops = sorted(self.recorded | self.inspected & set(range(steps)))

    def look(self, arithmetic: Arithmetic, step: int) -> None:
        """Look at the fields of a step."""
        if step in self.recorded:
            self.seen.append(step)
            for ref, slot in arithmetic.plan.fields.items():
                self.fields.setdefault(ref, []).append(arithmetic.snapshot(slot))
        if self.inspect is not None and step in self.inspected:
            self.inspect(step, arithmetic)


class Track:
    """Observables and scalars of the steps of a run.

    Attributes
    ----------
    done : int
        Number of steps that are kept.
    """

    def __init__(self, arithmetic: Arithmetic, watch: Watch) -> None:
        plan = arithmetic.plan
        self._arithmetic, self._watch = arithmetic, watch
        self._table = {a.name: np.zeros((watch.steps, a.rows)) for a in plan.averages}
        self._scalars = {
            ref: np.zeros((watch.steps, *plan.scalar_shapes[number]))
            for ref, number in plan.scalars.items()
            if number not in plan.given and number not in plan.given_anew
        }
        self._ranks = np.zeros((watch.steps, len(plan.sectors)), np.int64)
        self._limit = float(np.finfo(float).max)
        self.done = 0

    def resume(self) -> None:
        """Go on from the snapshot of this run, if there is one."""
        if self._watch.snapshots is None:
            return
        found = self._watch.snapshots.resume(self._state())
        if found is not None:
            fields = dict(zip(self._arithmetic.plan.fields, found["fields"], strict=True)) if found["seen"] else {}
            self._watch.fields, self._watch.seen = fields, found["seen"]

    def store(self) -> None:
        """Take a snapshot after a step, if the last one is long ago."""
        if self._watch.snapshots is not None:
            self._watch.snapshots.keep(self._state)

    def _state(self) -> dict[str, Any]:
        fields = list(self._watch.fields.values())
        return {"network": self._arithmetic, "track": self, "fields": fields, "seen": self._watch.seen}

    def keep(self) -> bool:
        """Keep one more step, whose fields are computed; false if it has diverged."""
        step, largest = self.done, self._keep()
        if step == 0:
            self._limit = DIVERGENCE * largest if largest else self._limit
        if not math.isfinite(largest) or largest > self._limit or not self._arithmetic.bounded():
            return False
        self._ranks[step] = self._arithmetic.ranks()
        self.done += 1
        return True

    def _keep(self) -> float:
        """Keep averages and scalars of a step; the largest absolute value, ``inf`` if one is not finite."""
        network, largest = self._arithmetic, 0.0
        found: list[tuple[Array, Array]] = []
        for average in network.plan.averages:
            found.append((self._table[average.name], _average(network, average)))
        for ref, rows in self._scalars.items():
            found.append((rows, network.scalars[network.plan.scalars[ref]].reshape(rows.shape[1:])))
        for kept, values in found:
            kept[self.done] = values
            size = float(np.abs(values).max(initial=0.0))
            largest = max(largest, size) if math.isfinite(size) else math.inf
        return largest

    def result(self, outcome: Outcome | None = None) -> ExecutionResult:
        """What was kept; a run that ended before its last step has diverged, unless it is known better."""
        return result_of(self._arithmetic, self._watch, self.done, self._table, self._scalars, self._ranks, outcome)


def result_of(
    arithmetic: Arithmetic,
    watch: Watch,
    done: int,
    table: Mapping[str, NDArray[np.float64]],
    scalars: Mapping[ScalarRef, NDArray[np.float64]],
    ranks: NDArray[np.int64],
    outcome: Outcome | None = None,
) -> ExecutionResult:
    """What was kept of the steps that are done."""
    ended = COMPLETED if done == watch.steps else diverged(done)
    return ExecutionResult(
        {name: rows[:done] for name, rows in table.items()},
        ended if outcome is None else outcome,
        {sector.name: ranks[:done, number] for number, sector in enumerate(arithmetic.plan.sectors)},
        arithmetic,
        {ref: rows[:done] for ref, rows in scalars.items()},
        {ref: watch.fields.get(ref, []) for ref in arithmetic.plan.fields},
        watch.seen,
    )


def forward(arithmetic: Arithmetic) -> None:
    """Compute all fields and scalars of a step."""
    arithmetic.begin_step()
    arithmetic.take_given()
    for statement in arithmetic.plan.steps:
        arithmetic.execute(statement)


def _wanted(record_steps: Iterable[int] | None, steps: int) -> set[int]:
    wanted = set(record_steps or ())
    for step in sorted(wanted):
        if not 0 <= step < steps:
            raise ExecutionError(f"record_steps: {step} is not a step of this run, allowed are 0 to {steps - 1}")
    return wanted


def _average(arithmetic: Arithmetic, average: PlannedAverage) -> NDArray[Any]:
    total = np.full(average.rows, average.constant)
    for coefficient, a, b in average.terms:
        total += coefficient * arithmetic.inner(a, b)
    return total
