"""Parametrizations: how the readout and the learning rate scale with width.

``f = gamma_N^{-1} N^{-1/2} w . h`` and every array learns at the rate ``eta0 gamma_N^2 D``; with
``gamma = gamma_N / sqrt(nu)`` the family ``gamma = gamma0 nu^(a - 1/2)`` has muP at ``a = 1/2`` and the NTK
parametrization at ``a = 0`` (arXiv:2605.07870, section 2).
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass

import sympy as sp

from dmft_sym.program import ProgramError

from .parameters import ALPHA, ETA, GAMMA, NU


@dataclass(frozen=True)
class Parametrization:
    """The family ``gamma = gamma0 nu^(exponent - 1/2)``.

    Parameters
    ----------
    exponent
        ``a``; 1/2 is muP (mean field), 0 the NTK parametrization.

    See Also
    --------
    scaling : powers of the width of a forward pass, counted.

    References
    ----------
    arXiv:2605.07870, section 2; arXiv:2011.14522.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> ds.NTK.gamma(richness=2.0, width_per_dim=4.0), str(ds.Parametrization(0.25))
    (1.0, 'exponent 0.25')
    """

    exponent: float = 0.5

    def __post_init__(self) -> None:
        bad = isinstance(self.exponent, bool) or not isinstance(self.exponent, numbers.Real)
        if bad or not math.isfinite(self.exponent):
            raise ProgramError(f"exponent = {self.exponent!r}: allowed is a finite number (muP is 0.5, NTK is 0)")

    def gamma(self, richness: float, width_per_dim: float) -> float:
        """Effective richness ``gamma`` for ``richness = gamma0`` and ``width_per_dim = nu``."""
        if self.exponent == 0.5:
            return float(richness)
        if math.isinf(width_per_dim):
            return 0.0 if self.exponent < 0.5 else math.inf
        return float(richness) * float(width_per_dim) ** (self.exponent - 0.5)

    def symbolic_gamma(self) -> sp.Expr:
        """``gamma`` as an expression in ``gamma0`` and ``nu``."""
        return sp.Symbol("gamma0", positive=True) * NU ** (sp.nsimplify(self.exponent) - sp.Rational(1, 2))

    def __str__(self) -> str:
        return {0.5: "muP", 0.0: "NTK"}.get(self.exponent, f"exponent {self.exponent:g}")


MUP = Parametrization(0.5)
NTK = Parametrization(0.0)
BY_NAME = {str(known): known for known in (MUP, NTK)}


@dataclass(frozen=True)
class Scalings:
    """Coefficients of the program that follow from the conventions above, at any size.

    The function of a sample is ``f = sum_j gamma_N^{-1} N_j^{-1/2} w_j . h_j``; backward fields are adjoints
    of ``sum_j sqrt(N / N_j) w_j . h_j``, so that they are of order one and the standard network has
    ``g^L = w``.
    """

    gamma: sp.Symbol = GAMMA
    width: sp.Symbol = NU

    @property
    def predictor(self) -> sp.Expr:
        """``beta = predictor * (adjoint of the input)``, where ``f = beta . x / sqrt(D)``."""
        dim = sp.Symbol("D", positive=True)
        gamma_n = self.gamma * sp.sqrt(self.width)
        return sp.powsimp(sp.sqrt(dim) / (gamma_n * sp.sqrt(self.width * dim)))

    def readout(self, ratio: sp.Expr) -> sp.Expr:
        """Seed ``sqrt(N / N_j)`` of the adjoint of a readout from a space of ``ratio * D`` sites."""
        return sp.sqrt(sp.cancel(self.width / ratio))

    @property
    def update(self) -> sp.Expr:
        """Coefficient of ``g h^T / n_in`` in the update of an effective matrix ``A = W / sqrt(n_in)``.

        ``Delta W = eta (1/P) sum_mu r_mu df_mu/dW`` with ``eta = eta0 gamma_N^2 D``,
        ``df/dA = g h^T / (gamma_N sqrt(N))`` and ``sum_mu r_mu h_mu = P h(v) / sqrt(D)``.
        """
        dim = sp.Symbol("D", positive=True)
        samples = ALPHA * dim
        gamma_n = self.gamma * sp.sqrt(self.width)
        rate = ETA * gamma_n**2 * dim
        gradient = 1 / (gamma_n * sp.sqrt(self.width * dim))
        batch_sum = samples / sp.sqrt(dim)
        return sp.powdenest(sp.powsimp(rate * gradient * batch_sum / samples), force=True)
