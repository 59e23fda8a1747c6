"""Linear optimizers: how increments become weights."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from .labels import STEP


@dataclass(frozen=True)
class Optimizer:
    """A linear optimizer: ``V = m V + G``, ``W = (1 - l) W + V``.

    Then ``W(t) = rho(t) W(0) + sum_{s<t} kappa(t - s) G(s)`` with ``rho(t) = (1-l)^t`` and ``kappa`` the
    response of the weights to one increment (docs/mathematics.md, proportional regime).

    Parameters
    ----------
    momentum
        ``m`` of heavy ball, ``0`` for none.
    decay
        ``l`` of decoupled weight decay (per step), ``0`` for none.
    """

    momentum: sp.Expr = sp.Integer(0)
    decay: sp.Expr = sp.Integer(0)

    @property
    def plain(self) -> bool:
        """True for gradient descent without memory."""
        return self.momentum == 0 and self.decay == 0

    def retention(self, step: sp.Expr = STEP) -> sp.Expr:
        """``rho(t)``, what is left of the initial weights."""
        return (1 - sp.sympify(self.decay, strict=True)) ** step

    def kernel(self, lag: sp.Expr) -> sp.Expr:
        """``kappa(lag)`` for ``lag >= 1`` in closed form (generic ``m != 1 - l``)."""
        keep = 1 - sp.sympify(self.decay, strict=True)
        if self.momentum == 0:
            return keep ** (lag - 1)
        return (keep**lag - self.momentum**lag) / (keep - self.momentum)
