"""The optimizer as data: a linear recursion with one memory for every array, and the weight of increments.

All that is derived, run, written or printed reads it from here: symbols (`Optimizer`), or numbers (`Recursion`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from .labels import STEP

Array: TypeAlias = NDArray[np.floating[Any]]
Evaluate: TypeAlias = Callable[[sp.Expr, str], Any]
"""The value of an expression; the second argument names it in error messages."""


@dataclass(frozen=True)
class Recursion:
    """``V' = m V + G``, ``W' = k W + a V' + b G``: how increments become weights. Numbers, or expressions.

    Parameters
    ----------
    memory
        ``m``, what is left of ``V``.
    keep
        ``k``, what is left of ``W``.
    from_memory, from_increment
        ``a`` and ``b``.
    """

    memory: Any = 0.0
    keep: Any = 1.0
    from_memory: Any = 1.0
    from_increment: Any = 0.0

    @property
    def first(self) -> Any:
        """``kappa(1) = a + b``, what an increment does to the weights at once."""
        return self.from_memory + self.from_increment

    @property
    def has_memory(self) -> bool:
        """Whether increments go through a ``V``; otherwise they are added to what is left of ``W``."""
        return bool(self.memory != 0 or self.first != 1)

    @property
    def decays(self) -> bool:
        """Whether less and less is left of the initial weights."""
        return bool(self.keep != 1)

    @property
    def plain(self) -> bool:
        """Whether ``W' = W + G``."""
        return not (self.has_memory or self.decays)

    @property
    def mixed(self) -> bool:
        """Whether weights take in more than ``V'`` as it is."""
        return self.has_memory and bool(self.from_memory != 1 or self.from_increment != 0)

    @property
    def stable_below(self) -> Any:
        """The largest ``x`` for which ``G = -x W`` decays: learning rate times curvature at the edge of stability.

        An eigenvalue of the step becomes -1 at ``x = (1 + m)(1 + k)/((1 + m)(a + b) - a m)``: 2 of gradient descent,
        ``2 (1 + m)`` of heavy ball, ``2 (1 + m)/(1 + 2 m)`` of Nesterov's method.
        """
        m, a = self.memory, self.from_memory
        return (1 + m) * (1 + self.keep) / ((1 + m) * self.first - a * m)

    def retention(self, step: Any) -> Any:
        """``rho(t) = k^t``, what is left of initial weights, at a step or at all those of an array."""
        return self.keep**step

    def kernel(self, steps: int) -> NDArray[np.float64]:
        """``kappa(lag)``, what an increment is worth ``lag`` steps later, at ``0, ..., steps``; shape (steps + 1,)."""
        kappa = np.zeros(steps + 1)
        memory, weight = 1.0, self.first
        for lag in range(1, steps + 1):
            kappa[lag] = weight
            memory *= self.memory
            weight = self.keep * weight + self.from_memory * memory
        return kappa

    def update(self, weights: Array, memory: Array | None, add: Callable[[Array], object]) -> None:
        """One step in place.

        Parameters
        ----------
        weights, memory : ndarray
            ``W`` and ``V``, of one shape; without memory ``V`` is not there.
        add
            Adds ``G`` to an array in place. It is called once: the other ``G`` is ``V' - m V``.
        """
        if self.keep != 1:
            weights *= self.keep
        if memory is None:
            add(weights)
            return
        memory *= self.memory
        if self.from_increment != 0:
            weights -= self.from_increment * memory
        add(memory)
        weights += memory if self.first == 1 else self.first * memory


@dataclass(frozen=True)
class Optimizer:
    """A linear optimizer: ``V' = m V + G``, ``W' = (1 - l) W + a V' + b G`` with increments ``G`` of a weight ``w``.

    Then ``W(t) = rho(t) W(0) + sum_{s<t} kappa(t - s) G(s)`` with ``rho(t) = (1-l)^t`` and ``kappa`` the response of
    the weights to one increment (docs/mathematics.md, proportional regime). Heavy ball has ``a = 1``, ``b = 0``, which
    is the default, and Nesterov's method ``a = m``, ``b = 1``; without memory heavy ball is gradient descent.

    Parameters
    ----------
    momentum
        ``m``, ``0`` for no memory.
    decay
        ``l`` of decoupled weight decay (per step), ``0`` for none.
    from_memory, from_increment
        ``a`` and ``b``.
    weight
        Factor of all increments, an expression in parameters. A `Program` has it in its updates.
    """

    momentum: sp.Expr = sp.Integer(0)
    decay: sp.Expr = sp.Integer(0)
    from_memory: sp.Expr = sp.Integer(1)
    from_increment: sp.Expr = sp.Integer(0)
    weight: sp.Expr = sp.Integer(1)

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of all parts."""
        parts = (sp.sympify(getattr(self, part.name), strict=True) for part in fields(self))
        return {symbol for part in parts for symbol in part.free_symbols}

    def numbers(self, evaluate: Evaluate) -> Recursion:
        """The recursion at values of the parameters."""
        return Recursion(
            evaluate(self.momentum, "momentum"),
            1 - evaluate(self.decay, "weight decay"),
            evaluate(self.from_memory, "weight of the memory"),
            evaluate(self.from_increment, "weight of the increment"),
        )

    @property
    def recursion(self) -> Recursion:
        """The recursion in symbols."""
        return self.numbers(lambda expression, _: sp.sympify(expression, strict=True))

    def retention(self, step: sp.Expr = STEP) -> sp.Expr:
        """``rho(t)``, what is left of the initial weights."""
        return self.recursion.retention(step)

    @property
    def modes(self) -> tuple[tuple[sp.Expr, sp.Expr], ...]:
        """Weights ``c`` and memories ``q`` of ``kappa(lag) = sum c sum_j (1-l)^(lag-1-j) q^j``, ``j < lag``."""
        recursion = self.recursion
        if not recursion.has_memory:
            return ((sp.Integer(1), sp.Integer(0)),)
        modes = (recursion.from_memory, recursion.memory), (recursion.from_increment, sp.Integer(0))
        return tuple(mode for mode in modes if mode[0] != 0)

    def kernel(self, lag: sp.Expr) -> sp.Expr:
        """``kappa(lag)`` for ``lag >= 1`` in closed form (generic ``m != 1 - l``)."""
        keep = self.recursion.keep
        return sum(
            (c * (keep ** (lag - 1) if q == 0 else (keep**lag - q**lag) / (keep - q)) for c, q in self.modes),
            sp.Integer(0),
        )

    def __str__(self) -> str:
        recursion = self.recursion
        text = f"momentum {self.momentum}, weight decay {self.decay}"
        if not recursion.mixed:
            return text
        return f"{text}, added to weights: ({recursion.from_memory}) V + ({recursion.from_increment}) G"

    def latex(self) -> str:
        """``rho`` and ``kappa`` in a sentence."""
        kernel = sp.latex(self.kernel(sp.Symbol("tau", positive=True)))
        return (
            f"Weights keep $\\rho(t) = {sp.latex(self.retention())}$ of their initial value, and an increment made "
            f"$\\tau$ steps ago contributes $\\kappa(\\tau) = {kernel}$."
        )
