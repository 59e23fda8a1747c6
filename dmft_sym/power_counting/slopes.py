"""Slopes of log size against log width: what networks of every width say of a size, and the line through it.

Sizes have a large-width expansion in ``1/N``: ``size(N) = c N^p (1 + d_1/N + d_2/N^2 + ...)``, as fluctuations of
relative size ``N^{-1/2}`` enter them squared. Terms ``1/N`` and ``1/N^2`` are fitted with the exponent under Gaussian
priors of several widths, each of which counts as much as the sizes are likely under it: sizes on a line are fitted by a
line, where they bend by more than their errors the slope is that of large widths, and where errors hide whether they
bend this is part of the error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CORRECTIONS = (0.02, 0.1, 0.2, 0.4, 0.8)
"""Sizes of the term ``1/N`` at the smallest width that are taken to be possible; that of ``1/N^2`` is the square."""
ANY = 30.0
"""Spread of what the fit knows nothing of: the exponent and the logarithm of the size."""
LEAST_ERROR = 3e-4
"""Errors are no smaller, so that what is measured to many digits does not decide on terms that are left out."""
ONE_NUMBER = math.pi / math.sqrt(8)
"""Standard deviation of ``log |g|`` of a Gaussian number."""
NOTHING = 1e-13
"""Sizes below this one are rounding errors of something that is not there."""


@dataclass(frozen=True)
class Size:
    """A size at one width.

    Attributes
    ----------
    value
        Zero where there is nothing.
    error
        Standard error of its logarithm, from the scatter between networks.
    """

    value: float
    error: float


def typical(sizes: NDArray[Any]) -> Size:
    """The geometric mean over networks: heavy tails, which whatever blows up has, do not decide it.

    Parameters
    ----------
    sizes
        One for every network; shape (networks,).
    """
    if np.min(sizes) < NOTHING:
        return Size(0.0, 0.0)
    logs = np.log(sizes)
    return Size(float(np.exp(logs.mean())), float(logs.std(ddof=1) / math.sqrt(len(logs))))


def mean(values: NDArray[Any]) -> Size:
    """Root mean square over labels of the mean over networks.

    Parameters
    ----------
    values
        Shape (networks, labels).
    """
    centre = values.mean(axis=0)
    square = float(np.mean(centre**2))
    if math.sqrt(square) < NOTHING:
        return Size(0.0, 0.0)
    along = np.mean(values * centre, axis=1) / square
    return Size(math.sqrt(square), float(along.std(ddof=1) / math.sqrt(len(along))))


def fluctuation(values: NDArray[Any]) -> Size:
    """What differs between networks: each one less the next, so that no mean over networks with heavy tails enters.

    Parameters
    ----------
    values
        Shape (networks, labels).
    """
    differences = (values - np.roll(values, 1, axis=0)) / math.sqrt(2)
    sizes = np.sqrt(np.mean(differences**2, axis=1))
    found = typical(sizes)
    if not found.value:
        return found
    if len(values) == 2:  # one difference does not tell how much differences scatter
        return Size(found.value, ONE_NUMBER)
    logs = np.log(sizes / found.value)
    neighbours = float(np.mean(logs * np.roll(logs, 1)) / np.mean(logs**2))  # every network is in two differences
    return Size(found.value, found.error * math.sqrt(1 + 2 * max(neighbours, 0.0)))


def slope(widths: Sequence[int], sizes: Sequence[Size]) -> tuple[float, float]:
    """The exponent at large width, and its standard error.

    Parameters
    ----------
    widths, sizes
        Of the networks, and what was measured.

    Returns
    -------
    exponent, error
        Minus infinity and zero if there is nothing at some width.
    """
    if min(size.value for size in sizes) == 0:
        return -math.inf, 0.0
    y, errors = np.log([size.value for size in sizes]), np.maximum([size.error for size in sizes], LEAST_ERROR)
    small = min(widths) / np.array(widths, dtype=float)
    design = np.stack([np.log(widths), np.ones_like(y), small, small**2], axis=1)
    fits = [_fit(design, y, errors, np.array([ANY, ANY, size, size**2])) for size in CORRECTIONS]
    evidence, exponents, variances = np.array(fits).T
    weights = np.exp(evidence - evidence.max())
    exponent = np.average(exponents, weights=weights)
    return float(exponent), math.sqrt(np.average(variances + (exponents - exponent) ** 2, weights=weights))


def _fit(
    design: NDArray[Any], y: NDArray[Any], errors: NDArray[Any], priors: NDArray[Any]
) -> tuple[float, float, float]:
    """How likely the data are under a prior (a logarithm), and the first coefficient with its variance."""
    marginal = np.diag(errors**2) + (design * priors**2) @ design.T
    solved = np.linalg.solve(marginal, np.stack([y, (design * priors**2)[:, 0]], axis=1))
    evidence = -0.5 * (y @ solved[:, 0] + np.linalg.slogdet(marginal)[1])
    gain = (design * priors**2)[:, 0]
    variance = priors[0] ** 2 - gain @ solved[:, 1]
    return float(evidence), float(gain @ solved[:, 0]), max(float(variance), 0.0)
