"""Slopes at large width, from sizes that are made up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dmft_sym.power_counting.slopes import Size, fluctuation, mean, slope, typical

WIDTHS = (64, 128, 256, 512)


@pytest.mark.parametrize("exponent", [-1.0, -0.5, 0.0, 0.25, 2.0])
@pytest.mark.parametrize("error", [1e-4, 0.05])
def test_a_power_is_found(exponent: float, error: float) -> None:
    found, said = slope(WIDTHS, [Size(3 * n**exponent, error) for n in WIDTHS])
    assert abs(found - exponent) < 2e-3
    assert said < max(2 * error, 0.001)


@pytest.mark.parametrize("exponent", [-0.5, 0.0])
def test_terms_that_vanish_at_large_width_are_told_from_the_power(exponent: float) -> None:
    """A line through them has a slope that is off by 0.14."""
    sizes = [n**exponent * math.sqrt(1 + 64 / n) for n in WIDTHS]
    assert abs(np.polyfit(np.log(WIDTHS), np.log(sizes), 1)[0] - exponent) > 0.1
    assert abs(slope(WIDTHS, [Size(size, 0.002) for size in sizes])[0] - exponent) < 0.05


def test_a_quarter_of_a_power_is_not_taken_for_such_terms() -> None:
    assert slope(WIDTHS, [Size(n**-0.25, 0.002) for n in WIDTHS])[0] < -0.2


def test_nothing_has_no_slope() -> None:
    assert slope(WIDTHS, [typical(np.zeros(4))] * 4) == (-math.inf, 0.0)


def test_means_and_fluctuations_are_told_apart() -> None:
    values = 2 + 0.1 * np.random.default_rng(0).standard_normal((4000, 3))
    assert mean(values).value == pytest.approx(2, abs=4 * 0.1 / math.sqrt(12000))
    assert mean(values).error < 0.001
    assert 0.07 < fluctuation(values).value < 0.1  # a geometric mean lies below the root mean square
    assert fluctuation(values).error < 0.02
