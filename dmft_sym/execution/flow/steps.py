"""Steps of a flow under error control: by an explicit pair, or by a stabilized method where stiffness binds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .changes import Weights
from .network import FlowNetwork
from .stiffness import Stiffness
from .tableaus import DORMAND_PRINCE, Tableau, chebyshev, stable_stages

SPARE = 2
"""Slots before those of the stages, for what is remembered between steps (`Stiffness`)."""
_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 5.0
_FIRST = 0.01  # length of the first step, in units of the time in which an array doubles
_REPEATED = 3  # how often stages are evaluated anew because they opened directions
_BOUND = 12  # steps at the edge of stability after which the stabilized method is tried
_TRIAL = 8  # its steps before it is compared
_MOST_STAGES = 200
_STILL = 0.01  # a step that moves every array by less than this, in units of the tolerance, opens directions at its end
_STRICTER = 0.1  # tolerance of the stabilized method: of low order, its errors add up where arrays move
_SMALLEST = 1e-14  # a step shorter than this part of the time that is reached makes no progress


@dataclass(frozen=True)
class Interval:
    """A step that is within its tolerance and was not taken yet.

    Attributes
    ----------
    start, length
        It goes from ``start`` to ``start + length``.
    """

    tableau: Tableau
    start: float
    length: float

    @property
    def end(self) -> float:
        """Where it ends."""
        return self.start + self.length

    @property
    def weights(self) -> Weights:
        """Weights of slots at its end."""
        return slots(self.length * self.tableau.weights)

    def at(self, time: float) -> Weights:
        """Weights of slots at a time in between."""
        return slots(self.length * self.tableau.at(min(1.0, (time - self.start) / self.length)))


class NoStepError(ArithmeticError):
    """No step is within the tolerance."""


class Steps:
    """The steps of a flow.

    Parameters
    ----------
    network
        What flows.
    evaluate
        Computes all fields of the network at its present weights.
    rtol
        Tolerance of a step: of the error of every array, in units of its size.
    end
        Time at which the flow ends.
    constant
        A tableau and a length of steps instead of control; the order of a method is measured so.

    Attributes
    ----------
    time : float
        How far the network is.
    rejected, evaluations : int
        Numbers of steps that were not taken, and of evaluations of the right-hand side.
    stiff : bool
        Whether the stabilized method is at work.
    """

    def __init__(
        self,
        network: FlowNetwork,
        evaluate: Callable[[], None],
        rtol: float,
        end: float,
        constant: tuple[Tableau, float] | None = None,
    ) -> None:
        self.network, self._evaluate = network, evaluate
        self.rtol, self.end, self.constant = rtol, end, constant
        self.time = 0.0
        self.rejected = self.evaluations = 0
        self.stiff = False
        self._stiffness = Stiffness(network, self.evaluate, SPARE)
        self._reserved = 0
        self._reserve(DORMAND_PRINCE.stages)
        self.evaluate(SPARE, np.zeros(0))
        speed = self._relative(slots(np.ones(1)))
        self._length = _FIRST / speed if speed > 0 else end
        self._before = 1.0  # error of the step before, in units of the tolerance
        self._speed = math.inf  # of the arrays in the step before, in units of their size
        self._bound, self._patience, self._tried = 0, _BOUND, 0

    def evaluate(self, slot: int, weights: Weights) -> None:
        """The right-hand side at the weights of the step plus a sum of slots, into a slot."""
        self.network.place(weights)
        self._evaluate()
        self.network.put_increments(slot)
        self.evaluations += 1

    def next(self) -> Interval:
        """The next step within tolerance.

        Raises
        ------
        NoStepError
            If there is none.
        """
        while True:
            tableau, length = self._method()
            error = self._error(tableau, length)
            if error <= 1:
                self._control(tableau, length, error)
                return Interval(tableau, self.time, length)
            self.rejected += 1
            self._stiffness.forget()
            factor = _SAFETY * error ** (-1 / tableau.error_order) if math.isfinite(error) else 0.0
            self._length = length * min(_SAFETY, max(_SHRINK, factor))
            if not self._length > max(_SMALLEST * self.time, 1e-300):
                raise NoStepError

    def take(self, interval: Interval) -> None:
        """Move to the end of a step."""
        self.network.take_step(interval.weights)
        self.network.copy(SPARE, SPARE + interval.tableau.stages - 1)
        self.time = interval.end

    @property
    def done(self) -> bool:
        """Whether the end is reached."""
        return self.time >= self.end * (1 - _SMALLEST)

    def _method(self) -> tuple[Tableau, float]:
        """Method and length of the next step, which does not leave a rest that is no step."""
        tableau, length = self.constant or (DORMAND_PRINCE, self._length)
        if self.stiff:
            radius = self._stiffness.radius()
            length = min(length, chebyshev(_MOST_STAGES).stability / radius) if radius > 0 else length
        left = self.end - self.time
        length = left if length > 0.99 * left else length
        return (chebyshev(stable_stages(length * radius)) if self.stiff else tableau), length

    def _error(self, tableau: Tableau, length: float) -> float:
        """Evaluate the stages of a step; its error in units of the tolerance.

        Directions are as good as not there until they are opened. In a long step that would be a jump of the right-hand
        side, so that stages which opened some are evaluated once more. Many stages amplify the jumps, which open
        further directions and so on: where little moves, only the end of a step opens any, as what its stages see
        beyond is below tolerance.
        """
        self._reserve(tableau.stages)
        still = self.stiff and length * self._speed < _STILL * self.rtol
        if still:
            with self.network.as_it_is():
                self._stages(tableau, length, tableau.stages - 1)
            self._stages(tableau, length, tableau.stages, tableau.stages - 1)
        else:
            self._open_stages(tableau, length)
        if self.constant is not None:
            return 0.0
        tolerance = self.rtol * (_STRICTER if self.stiff and not still else 1.0)
        error = self._relative(slots(length * tableau.error)) / tolerance
        return error if math.isfinite(error) else math.inf

    def _open_stages(self, tableau: Tableau, length: float) -> None:
        """Evaluate the stages until they open no direction."""
        for _ in range(_REPEATED):
            known = self.network.ranks()
            self._stages(tableau, length, tableau.stages)
            if not self.stiff or self.network.ranks() == known:
                break

    def _stages(self, tableau: Tableau, length: float, end: int, first: int = 1) -> None:
        for stage in range(first, end):
            self.evaluate(SPARE + stage, slots(length * tableau.a[stage, :stage]))

    def _control(self, tableau: Tableau, length: float, error: float) -> None:
        """Length and method of the step after this one; proportional and integral control."""
        error, power = max(error, 1e-10), 1 / tableau.error_order
        factor = _SAFETY * error ** (-0.7 * power) * self._before ** (0.4 * power)
        self._length = length * min(_GROW, max(_SHRINK, factor))
        self._before = error
        self._speed = self._relative(slots(tableau.weights))
        if self.constant is None:
            (self._compare if self.stiff else self._look_for_stiffness)(tableau, length)

    def _look_for_stiffness(self, tableau: Tableau, length: float) -> None:
        """Try the stabilized method after many steps at the edge of stability.

        The last two stages are both at the end of the step: how much their increments differ shows the stiffness.
        """
        apart = slots(length * (tableau.a[-1] - tableau.a[-2]))
        differ = slots(np.array([0.0] * (tableau.stages - 2) + [-1.0, 1.0]))
        at_edge = length * self.network.length(differ) > 0.75 * tableau.stability * self.network.length(apart)
        self._bound = self._bound + 1 if at_edge else max(0, self._bound - 1)
        if self._bound >= self._patience:
            self.stiff, self._tried, self._before = True, 0, 1.0
            self._stiffness.forget()

    def _compare(self, tableau: Tableau, length: float) -> None:
        """Go back to the pair if it needs fewer evaluations for the same time."""
        self._tried += 1
        pair, radius = DORMAND_PRINCE, self._stiffness.known
        if self._tried >= _TRIAL and (tableau.stages - 1) * pair.stability > (pair.stages - 1) * length * radius:
            self.stiff, self._bound = False, 0
            self._patience *= 2
            self._length = min(self._length, _SAFETY * pair.stability / radius) if radius > 0 else self._length

    def _relative(self, weights: Weights) -> float:
        """The largest norm of a sum of slots, in units of the arrays; nothing moves an array without any size."""
        scales = self.network.scales
        norms = self.network.norms(weights)
        found = [size / scales[key] if scales[key] > 0 else size for key, size in norms.items()]
        return max(found) if all(map(math.isfinite, found)) else math.inf

    def _reserve(self, stages: int) -> None:
        if stages > self._reserved:
            self.network.reserve(SPARE + stages)
            self._reserved = stages


def slots(stages: Weights) -> Weights:
    """Weights of stages as those of slots."""
    return np.concatenate([np.zeros(SPARE), stages])
