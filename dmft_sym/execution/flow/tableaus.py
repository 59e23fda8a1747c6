"""Explicit Runge-Kutta methods as data: an integrator is a tableau."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tableau:
    """A method whose last stage is the first one of the next step.

    The increments ``F_j`` at the stage weights ``Y_j = y + h sum_i a_ji F_i``, with ``Y_0 = y``; ``y' = Y_last``.

    Parameters
    ----------
    name
        What results call it.
    a : ndarray, shape (stages, stages)
        Strictly lower triangular; the last row has the weights of the step.
    error : ndarray, shape (stages,)
        ``h sum_j error_j F_j`` estimates the error of a step.
    order
        Of the step.
    error_order
        The estimate is of order ``h^error_order``.
    stability
        ``beta``: on the negative real axis it is stable for ``h |lambda| < beta``.
    dense : ndarray, shape (stages, degree), or None
        ``y(t + theta h) = y + h sum_jk F_j dense_jk theta^(k+1)``; without it the cubic Hermite interpolant.
    """

    name: str
    a: Numbers
    error: Numbers
    order: int
    error_order: int
    stability: float
    dense: Numbers | None = field(default=None)

    @property
    def stages(self) -> int:
        """Number of stages, that at the end of the step included."""
        return len(self.error)

    @property
    def weights(self) -> Numbers:
        """Weights of the step."""
        return self.a[-1]

    def at(self, theta: float) -> Numbers:
        """Weights of the solution at ``t + theta h``, shape (stages,)."""
        if self.dense is not None:
            return np.asarray(self.dense @ theta ** np.arange(1, self.dense.shape[1] + 1))
        found = (3 - 2 * theta) * theta**2 * self.weights
        found[0] += theta * (1 - theta) ** 2
        found[-1] -= theta**2 * (1 - theta)
        return found


def _triangular(*rows: tuple[float, ...]) -> Numbers:
    return np.array([[*row, *(0.0,) * (len(rows) + 1 - len(row))] for row in ((), *rows)])


# Dormand & Prince, J. Comput. Appl. Math. 6 (1980) 19; dense output of order 4: Shampine, Math. Comp. 46 (1986) 135.
DORMAND_PRINCE = Tableau(
    "Dormand-Prince 5(4)",
    _triangular(
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    np.array([71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40]),
    order=5,
    error_order=5,
    stability=3.3,
    dense=np.array(
        [
            (1, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432),
            (0, 0, 0, 0),
            (0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799),
            (0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072),
            (0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632),
            (0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844),
            (0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423),
        ]
    ),
)

_DAMPING = 2 / 13


@lru_cache(maxsize=256)
def chebyshev(stages: int) -> Tableau:
    """The Runge-Kutta-Chebyshev method of order 2 whose stability interval grows as the square of its stages.

    Parameters
    ----------
    stages
        ``s >= 2``, that at the end of the step not counted.

    Notes
    -----
    Sommeijer, Shampine & Verwer, J. Comput. Appl. Math. 88 (1997) 315, with its estimate of the error.
    """
    s = stages
    w0 = 1 + _DAMPING / s**2
    value, first, second = _chebyshev_polynomials(s, w0)
    w1 = first[s] / second[s]
    b = np.ones(s + 1)
    b[2:] = second[2:] / first[2:] ** 2
    b[:2] = b[2]
    a = np.zeros((s + 1, s + 1))
    a[1, 0] = b[1] * w1
    for j in range(2, s + 1):
        rate = 2 * w1 * b[j] / b[j - 1]
        a[j] = 2 * w0 * b[j] / b[j - 1] * a[j - 1] - b[j] / b[j - 2] * a[j - 2]
        a[j, j - 1] += rate
        a[j, 0] -= (1 - b[j - 1] * value[j - 1]) * rate
    error = -0.8 * a[-1]
    error[0] += 0.4
    error[-1] += 0.4
    interval = (1 + w0) * second[s] / first[s]
    return Tableau("Runge-Kutta-Chebyshev 2", a, error, order=2, error_order=3, stability=float(interval))


def _chebyshev_polynomials(degree: int, x: float) -> tuple[Numbers, Numbers, Numbers]:
    """``T_j(x)`` up to a degree, with first and second derivatives."""
    value, first, second = np.zeros((3, degree + 1))
    value[:2], first[1] = (1, x), 1
    for j in range(2, degree + 1):
        value[j] = 2 * x * value[j - 1] - value[j - 2]
        first[j] = 2 * value[j - 1] + 2 * x * first[j - 1] - first[j - 2]
        second[j] = 4 * first[j - 1] + 2 * x * second[j - 1] - second[j - 2]
    return value, first, second


def stable_stages(interval: float) -> int:
    """The number of stages with which `chebyshev` is stable for ``h |lambda|`` up to ``interval``."""
    stages = max(2, int(np.sqrt(1 + 1.5 * interval)))
    while chebyshev(stages).stability < interval:
        stages += 1
    return stages
