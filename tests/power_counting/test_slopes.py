"""Slopes at large width, from sizes that are made up."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from dmft_sym.power_counting import slopes
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


# Errors


def scatter_and_error(found: list[tuple[float, float]]) -> tuple[float, float]:
    """Of numbers with errors: how far they scatter, and what their errors say."""
    values, errors = np.array(found).T
    return float(values.std(ddof=1)), math.sqrt(float(np.mean(errors**2)))


@pytest.mark.parametrize("measure", [typical, mean, fluctuation])
def test_errors_of_sizes_are_how_far_these_scatter(measure: Callable[[np.ndarray], Size]) -> None:
    """Over 300 experiments on 50 networks each, which tells a scatter to 4 %."""
    rng = np.random.default_rng(3)
    draws = 2 + rng.standard_normal((300, 50, 2))
    sizes = [measure(np.abs(one[:, 0]) if measure is typical else one) for one in draws]
    scatter, error = scatter_and_error([(math.log(size.value), size.error) for size in sizes])
    assert error == pytest.approx(scatter, rel=0.15)


def test_heavy_tails_do_not_decide_a_typical_size() -> None:
    """The geometric mean of a log-normal size is its median."""
    sizes = np.exp(3 * np.random.default_rng(1).standard_normal(4000))
    assert typical(sizes).value == pytest.approx(1, abs=4 * 3 / math.sqrt(4000))


def test_the_scatter_between_networks_does_not_depend_on_their_mean() -> None:
    """A geometric mean of Gaussian numbers of unit variance is ``exp(<log |g|>) = exp(-(log 2 + gamma_E)/2)``."""
    values = 7 + np.random.default_rng(2).standard_normal((20_000, 1))
    expected = math.exp(-(math.log(2) + np.euler_gamma) / 2)
    assert fluctuation(values).value == pytest.approx(expected, rel=4 * 1.11 / math.sqrt(20_000) * 1.3)


def test_what_is_not_there_in_one_network_is_not_there() -> None:
    assert typical(np.array([1.0, 1e-15, 2.0])) == Size(0.0, 0.0)
    assert mean(np.array([[1.0, -1.0], [-1.0, 1.0]])) == Size(0.0, 0.0)


def test_means_of_labels_that_cancel_are_no_less_there() -> None:
    values = np.array([1.0, -1.0]) + 1e-3 * np.random.default_rng(0).standard_normal((10, 2))
    assert mean(values).value == pytest.approx(1, abs=1e-3)


def slopes_of(bend: float, error: float) -> list[tuple[float, float]]:
    """Of sizes ``sqrt(1 + bend 64/N)`` with errors, in 200 experiments."""
    rng = np.random.default_rng(0)
    curve = np.log(3 * np.sqrt(1 + bend * 64 / np.array(WIDTHS)))
    return [
        slope(WIDTHS, [Size(math.exp(value), error) for value in curve + error * rng.standard_normal(4)])
        for _ in range(200)
    ]


@pytest.mark.parametrize("error", [0.02, 0.05])
def test_errors_of_slopes_tell_how_far_these_are_from_the_exponent(error: float) -> None:
    found = slopes_of(0, error)
    assert np.mean([abs(exponent) < 2 * said for exponent, said in found]) > 0.9
    scatter, said = scatter_and_error(found)
    assert scatter < said < 1.7 * scatter  # errors include bends that nobody knows of


@pytest.mark.parametrize("bend", [0.3, 1.0])
@pytest.mark.parametrize("error", [0.02, 0.05])
def test_bends_that_are_hidden_by_errors_refute_no_exponent(bend: float, error: float) -> None:
    """A tenth and two errors are what `CoordinateCheck.refuted` grants."""
    assert np.mean([abs(exponent) < 0.1 + 2 * said for exponent, said in slopes_of(bend, error)]) > 0.98


def test_two_networks_do_not_tell_how_much_they_scatter() -> None:
    """One difference of Gaussian numbers: its logarithm scatters by ``pi/sqrt(8)``, drawn to 1 %."""
    found = fluctuation(np.array([[1.0], [3.0]]))
    assert found.value == pytest.approx(math.sqrt(2))
    draws = np.log(np.abs(np.random.default_rng(0).standard_normal(20_000)))
    assert found.error == pytest.approx(draws.std(), rel=0.04)


def test_the_error_of_a_fluctuation_knows_that_every_network_is_in_two_differences() -> None:
    """Their logarithms are correlated by 0.11: errors without that are too small by a tenth, which 4000 draws show."""
    rng = np.random.default_rng(4)
    sizes = [fluctuation(values) for values in rng.standard_normal((4000, 50, 1))]
    scatter, error = scatter_and_error([(math.log(size.value), size.error) for size in sizes])
    assert error == pytest.approx(scatter, rel=0.04)


def test_fits_that_disagree_add_their_spread_to_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The law of total variance, for two priors whose weight follows from the exponents."""
    widths = (100, 200, 400, 800)
    sizes = [Size(n**0.5 * (1 + 60 / n), 0.04) for n in widths]
    single = []
    for prior in (0.02, 0.8):
        monkeypatch.setattr(slopes, "CORRECTIONS", (prior,))
        single.append(slope(widths, sizes))
    monkeypatch.setattr(slopes, "CORRECTIONS", (0.02, 0.8))
    exponent, error = slope(widths, sizes)
    (a, first), (b, second) = single
    weight = (exponent - b) / (a - b)
    assert 0.05 < weight < 0.95
    variance = weight * first**2 + (1 - weight) * second**2 + weight * (1 - weight) * (a - b) ** 2
    assert abs(error**2 / variance - 1) < 1e-9
    assert weight * (1 - weight) * (a - b) ** 2 > 0.01 * variance
