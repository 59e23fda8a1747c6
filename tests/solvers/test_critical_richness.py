"""The richness at which an outlier escapes: both routes, and spectra on both sides of it."""

from __future__ import annotations

import math

import pytest

import dmft_sym as ds
from dmft_sym.support.errors import ArgumentError

PARAMETERS = {"samples_per_dim": 4.0, "width_per_dim": 1.0, "learning_rate": 0.004, "label_noise": 0.3}


@pytest.fixture(scope="module")
def theory():
    return ds.derive(ds.deep_linear(2))


@pytest.mark.parametrize("matrix", ["W0", "W1", "NTK"])
def test_spectra_on_both_sides(theory, matrix):
    critical = ds.critical_richness(theory, matrix=matrix, at=30, between=(2.0, 12.0), points=4, **PARAMETERS)
    for factor, outliers in ((0.995, 0), (1.005, 1)):
        found = ds.spectrum(
            theory,
            matrices=[matrix],
            at=[30],
            steps=31,
            method="conditioning",
            richness=factor * critical,
            **PARAMETERS,
        )
        assert found.sizes["rank"] == outliers


def test_two_routes(theory):
    first, second = (
        ds.critical_richness(
            theory, matrix="W1", at=30, between=(5.0, 8.0), points=2, tol=1e-4, method=method, **PARAMETERS
        )
        for method in ("conditioning", "equations")
    )
    assert first == pytest.approx(second, rel=3e-4)


def test_ends(theory):
    options = {"matrix": "W1", "at": 30, "points": 2, **PARAMETERS}
    assert ds.critical_richness(theory, between=(12.0, 13.0), **options) == 12.0
    assert math.isnan(ds.critical_richness(theory, between=(0.1, 0.2), **options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"between": (3.0, 2.0)}, "between"),
        ({"richness": 2.0}, "richness: allowed is nothing"),
        ({"at": -1}, "at = -1"),
        ({"matrix": "W7"}, "W7"),
        ({"method": "guess"}, "method"),
        ({"matrix": "W0", "width_per_dim": math.inf}, "W0 at step 30: the equations of this matrix are not finite"),
        (
            {"matrix": "W0", "width_per_dim": math.inf, "method": "equations"},
            "W0 at step 30: the equations of this matrix are not finite",
        ),
    ],
)
def test_bad_arguments(theory, options, message):
    with pytest.raises(ArgumentError, match=message):
        ds.critical_richness(theory, **{"matrix": "W1", "at": 30, **PARAMETERS, **options})
