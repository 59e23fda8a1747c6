"""Coefficients of the polynomials in ``numba_math``: run ``python tools/numba_math_coefficients.py``.

A polynomial interpolates its function at the Chebyshev nodes of the interval, in arithmetic of 60 digits, and its
coefficients are rounded to float64. There are as many of them as bring the error below 2^-56 of the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import mpmath as mp

DIGITS = 60
# Where erf passes from its polynomial to 1 - erfc, and where it is 1; the tail is a polynomial in 1 / (4 + x), scaled
# to [-1, 1].
ERF_SMALL, ERF_LARGE, ERFC_SHIFT = 0.84, 6.0, 4.0
Real: TypeAlias = Any  # an mpf


def coefficients() -> dict[str, tuple[float, ...]]:
    """Every tuple of ``numba_math``, from the constant term up."""
    with mp.workdps(DIGITS):
        quarter, eighth = (mp.pi / 4 * mp.mpf("1.01")) ** 2, mp.tan(mp.pi / 8) ** 2 * mp.mpf("1.001")
        r = mp.log(2) / 2  # a little more on one side, so that no node is zero
        centre, spread = erfc_scale()

        def odd(f: Callable[[Real], Real]) -> Callable[[Real], Real]:
            """(f(x) - x) / x^3 as a function of x^2."""
            return lambda z: (f(mp.sqrt(z)) / mp.sqrt(z) - 1) / z

        def tail(u: Real) -> Real:
            x = 1 / (centre + spread * u) - mp.mpf(ERFC_SHIFT)
            return mp.erfc(x) * mp.exp(x * x)

        return {
            "_EXP": _interpolate(lambda x: (mp.expm1(x) - x) / x**2, -r, r * mp.mpf("1.001"), 11),
            "_LOG": _interpolate(lambda z: 2 * odd(mp.atanh)(z), 0, (3 - 2 * mp.sqrt(2)) ** 2 * mp.mpf("1.001"), 7),
            "_SIN": _interpolate(odd(mp.sin), 0, quarter, 6),
            "_COS": _interpolate(lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2, 0, quarter, 6),
            "_TANH": _interpolate(odd(mp.tanh), 0, mp.mpf("0.55") ** 2, 11),
            "_ATAN": _interpolate(odd(mp.atan), 0, eighth, 11),
            "_SINH": _interpolate(odd(mp.sinh), 0, 1, 7),
            "_ERF": _interpolate(lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1, 0, mp.mpf(ERF_SMALL) ** 2, 12),
            "_ERFC": _interpolate(tail, -1, 1, 16),
        }


def erfc_scale() -> tuple[Real, Real]:
    """Middle and half the length of the interval of 1 / (4 + x) for x between the two bounds of erf."""
    low, high = 1 / (mp.mpf(ERFC_SHIFT) + ERF_LARGE), 1 / (mp.mpf(ERFC_SHIFT) + ERF_SMALL)
    return (high + low) / 2, (high - low) / 2


def _interpolate(f: Callable[[Real], Real], low: Real, high: Real, terms: int) -> tuple[float, ...]:
    nodes = [(low + high) / 2 + (high - low) / 2 * mp.cospi(mp.mpf(2 * k + 1) / (2 * terms)) for k in range(terms)]
    powers = mp.matrix(terms, terms)
    for i, node in enumerate(nodes):
        for j in range(terms):
            powers[i, j] = node**j
    return tuple(float(c) for c in mp.lu_solve(powers, mp.matrix([f(node) for node in nodes])))


if __name__ == "__main__":
    for name, values in coefficients().items():
        print(f"{name} = (", *(f"    {value!r}," for value in values), ")", sep="\n")
