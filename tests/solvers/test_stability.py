"""The largest stable value of a parameter, and the sharpness there."""

from __future__ import annotations

import math

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym.support.errors import ArgumentError

SETTINGS = {
    "samples_per_dim": 2.0, "richness": 2.0, "label_noise": 0.2, "steps": 100, "method": "conditioning",
}  # fmt: skip
RATES = np.geomspace(0.005, 1.0, 16)


@pytest.fixture(scope="module")
def theory():
    return ds.derive(ds.deep_linear(2))


@pytest.mark.parametrize(
    ("parametrization", "width", "rate"),
    [
        ("muP", 1.0, 0.243), ("muP", 8.0, 0.243), ("NTK", 0.25, 0.084), ("NTK", 8.0, 0.493),
        *(pytest.param("muP", width, 0.243, marks=pytest.mark.slow) for width in (2.0, 4.0)),
    ],
)  # fmt: skip
def test_known_values_on_a_grid(theory, parametrization, width, rate):
    """L = 2, 100 steps: the largest stable rate of a grid transfers across widths under muP and not under NTK."""
    place = int(np.argmin(abs(RATES - rate)))
    assert RATES[place] == pytest.approx(rate, abs=6e-4)
    own = theory.replace(parametrization=parametrization)
    ends = [
        own.solve(learning_rate=RATES[k], width_per_dim=width, **SETTINGS).attrs["outcome"] for k in (place, place + 1)
    ]
    assert ends[0] == "completed"
    assert ends[1].startswith("diverged")


def test_bisection(theory):
    settings = {**SETTINGS, "steps": 30}
    found = ds.max_stable(theory, width_per_dim=1.0, between=(0.243, 0.5), points=2, tol=0.02, **settings)
    rate = float(found.max_learning_rate)
    assert theory.solve(learning_rate=rate, width_per_dim=1.0, **settings).attrs["outcome"] == "completed"
    run = theory.solve(learning_rate=1.021 * rate, width_per_dim=1.0, **settings)
    assert run.attrs["outcome"].startswith("diverged")
    assert 0 < float(found.first_divergence) < 30
    spec = ds.spectrum(
        theory, matrices=["NTK"], at=[0, 29], learning_rate=rate, width_per_dim=1.0,
        **{name: value for name, value in settings.items() if name != "method"},
    )  # fmt: skip
    np.testing.assert_allclose(found.sharpness.values, spec.sharpness.values, rtol=1e-9)
    np.testing.assert_allclose(found.rate_sharpness.values, rate * spec.sharpness.values, rtol=1e-9)
    assert found.rate_sharpness.values[-1] > 1.5  # near the edge of stability, 2, or beyond it


def test_linear_regression_is_stable_up_to_two_over_the_edge():
    """Descent on ``x`` itself: modes fall by ``1 - eta lambda``, and ``lambda <= (1 + alpha^{-1/2})^2``."""
    theory = ds.derive(ds.deep_linear(0))
    found = ds.max_stable(theory, samples_per_dim=4, steps=1500, between=(0.5, 2.0), points=2, tol=1e-3,
                          method="conditioning", sharpness=False)  # fmt: skip
    assert float(found.max_learning_rate) == pytest.approx(2 / 1.5**2, rel=0.02)  # slow growth just beyond


def test_ends(theory):
    options = {**SETTINGS, "width_per_dim": 1.0, "steps": 20, "points": 2}
    assert float(ds.max_stable(theory, between=(1e-4, 1e-3), **options).max_learning_rate) == math.inf
    found = ds.max_stable(theory, between=(5.0, 6.0), **options)
    assert math.isnan(found.max_learning_rate)
    assert found.sharpness.isnull().all()


def test_other_parameters(theory):
    options = {**SETTINGS, "steps": 20, "learning_rate": 0.1, "width_per_dim": 1.0}
    del options["richness"]
    found = ds.max_stable(theory, parameter="richness", between=(1, 40), points=3, tol=0.1, sharpness=False, **options)
    assert theory.solve(richness=float(found.max_richness), **options).attrs["outcome"] == "completed"
    assert 0 < float(found.first_divergence) < 20
    assert theory.solve(richness=2 * float(found.max_richness), **options).attrs["outcome"] != "completed"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parameter": "depth"}, "parameter = 'depth': allowed are learning_rate"),
        ({"learning_rate": 0.1}, "learning_rate: allowed is nothing"),
        ({"between": (2, 1)}, "between"),
        ({"between": 3}, "between = 3"),
        ({"tol": 2}, "tol = 2"),
    ],
)
def test_bad_arguments(theory, options, message):
    with pytest.raises(ArgumentError, match=message):
        ds.max_stable(theory, width_per_dim=1.0, **{**SETTINGS, **options})
