"""How stiff a flow is: the spectral radius of the derivative of its right-hand side, by the power method."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .changes import Weights
from .network import FlowNetwork

_PROBE = 1e-4  # length of a perturbation of the weights, in units of the arrays
_MOST, _TOLERANCE = 60, 0.02
_MARGIN = 1.1
_LASTING = 20  # calls for which a measured value holds


class Stiffness:
    """The spectral radius, measured when it is needed and kept for some steps.

    The derivative is that of increments at perturbed weights, and both the perturbation and what becomes of it are
    differences of increments. The last ones are kept in two slots, as the stiffest direction turns slowly.

    Parameters
    ----------
    network
        The increment at its weights is in the slot ``spare``, and the slots before that are for what is kept.
    evaluate
        Puts the increment at changed weights into a slot.

    Attributes
    ----------
    known : float
        What was measured last.
    """

    def __init__(self, network: FlowNetwork, evaluate: Callable[[int, Weights], None], spare: int) -> None:
        self._network, self._evaluate = network, evaluate
        self._here, self._other = spare, spare + 1
        self.known = 0.0
        self._age = _LASTING
        self._direction = False

    def forget(self) -> None:
        """Measure anew."""
        self._age = _LASTING

    def radius(self) -> float:
        """The spectral radius at the weights of the step, or of some steps ago, with a margin.

        It is measured before the stages of a step, whose slots it takes.
        """
        self._age += 1
        if self._age > _LASTING:
            with self._network.as_it_is():
                self.known, self._age = _MARGIN * self._measured(), 0
        return self.known

    def _measured(self) -> float:
        network, found = self._network, 0.0
        probe = _PROBE * (min((scale for scale in network.scales.values() if scale > 0), default=1.0))
        difference = np.array([-1.0, 1.0])
        direction = difference if self._direction else np.array([0.0, 0.0, 1.0])
        for _ in range(_MOST):
            length = network.length(direction)
            if not length > 0:
                break
            before = found
            self._evaluate(self._other, probe / length * direction)
            found = network.length(np.array([0.0, 0.0, *difference])) / probe
            network.copy(0, self._here)
            network.copy(1, self._other)
            self._direction, direction = True, difference
            if abs(found - before) < _TOLERANCE * found:
                break
        network.place(np.zeros(0))
        return found
