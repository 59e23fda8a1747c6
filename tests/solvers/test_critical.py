"""The value of a parameter at which an outlier escapes: both routes, and spectra on both sides of it."""

from __future__ import annotations

import math

import pytest

import dmft_sym as ds
from dmft_sym.solvers.critical import first_change
from dmft_sym.support.errors import ArgumentError

PARAMETERS = {"samples_per_dim": 4.0, "width_per_dim": 1.0, "learning_rate": 0.004, "label_noise": 0.3}


@pytest.fixture(scope="module")
def theory():
    return ds.derive(ds.deep_linear(2))


@pytest.mark.parametrize("matrix", ["W0", "W1", "NTK"])
def test_spectra_on_both_sides(theory, matrix):
    critical = ds.critical(theory, matrix=matrix, at=30, between=(2.0, 12.0), points=4, **PARAMETERS)
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
        ds.critical(theory, matrix="W1", at=30, between=(5.0, 8.0), points=2, tol=1e-4, method=method, **PARAMETERS)
        for method in ("conditioning", "equations")
    )
    assert first == pytest.approx(second, rel=3e-4)


def test_ends(theory):
    options = {"matrix": "W1", "at": 30, "points": 2, **PARAMETERS}
    assert ds.critical(theory, between=(12.0, 13.0), **options) == 12.0
    assert math.isnan(ds.critical(theory, between=(0.1, 0.2), **options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"between": (3.0, 2.0)}, "between"),
        ({"between": (1.0, "2")}, "between"),
        ({"points": 1}, "points = 1"),
        ({"tol": 0}, "tol = 0"),
        ({"parameter": "depth"}, "parameter = 'depth': allowed are richness, init_std, width_per_dim, learning_rate"),
        ({"parameter": "learning_rate"}, "learning_rate: allowed is nothing"),
        ({"steps": 20}, "steps: allowed is nothing, use at"),
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
        ds.critical(theory, **{"matrix": "W1", "at": 30, **PARAMETERS, **options})


@pytest.mark.parametrize(
    ("parametrization", "width", "richness"),
    [
        ("NTK", 4.0, 6.41),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [("muP", 1.0, 3.84), ("muP", 4.0, 3.20), ("muP", 16.0, 3.03), ("NTK", 1.0, 3.84),
                         ("NTK", 16.0, 12.11)]
        ),
    ],
)  # fmt: skip
def test_known_values(theory, parametrization, width, richness):
    """L = 2, alpha = 4, eta0 = .005, label noise .2, 80 steps: the richness of muP hardly depends on the width."""
    own = theory.replace(parametrization=parametrization)
    settings = {"samples_per_dim": 4.0, "width_per_dim": width, "learning_rate": 0.005, "label_noise": 0.2}
    between = (0.9 * richness, 1.1 * richness)
    found = ds.critical(own, matrix="W1", at=79, between=between, points=2, tol=1e-3, **settings)
    assert found == pytest.approx(richness, abs=0.01)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("init_std", 0.36530),  # smaller weights have not left the saddle at zero by this step
        ("learning_rate", 0.0057404),
        pytest.param("width_per_dim", 1.5838, marks=pytest.mark.slow),
    ],
)
def test_other_parameters(theory, parameter, value):
    settings = {"samples_per_dim": 4.0, "width_per_dim": 1.0, "learning_rate": 0.005, "label_noise": 0.2}
    settings |= {"richness": 8.0 if parameter == "init_std" else 5.0}
    settings.pop(parameter, None)
    between = (0.8 * value, 1.3 * value)
    found = ds.critical(
        theory, parameter=parameter, matrix="W1", at=30, between=between, points=2, tol=1e-4, **settings
    )
    assert found == pytest.approx(value, rel=2e-4)
    for factor, outliers in ((1.005, 1), (0.995, 0)):
        spec = ds.spectrum(
            theory, matrices=["W1"], at=[30], steps=31, overlaps=False, **{parameter: factor * found}, **settings
        )
        assert spec.sizes["rank"] == outliers


def test_given_samples():
    """A linear network on coordinates: an outlier on one side of the value and none on the other."""
    samples = ds.Samples([[1.0, 0.5, 0.3], [0.0, 2.0, 0.4], [0.2, -1.0, 1.0]], [1.0, -1.0, 0.5])
    theory = ds.derive(ds.mlp(2, "linear"), data=samples)
    found = ds.critical(theory, matrix="W1", at=8, learning_rate=0.3, between=(1.0, 3.0), points=2, tol=1e-3)
    for factor, outliers in ((0.99, 0), (1.01, 1)):
        run = theory.solve(richness=factor * found, learning_rate=0.3, steps=9, matrices=["W1"], at=[8], kernels=())
        assert run.sizes["rank"] == outliers


@pytest.mark.parametrize(
    ("margins", "expected"),
    [
        ({1: -1, 2: -1}, 1.0),
        ({1: 1, 2: 1}, math.nan),
        ({1: math.nan, 2: -1, 4: -1}, 1.0),
        ({1: math.nan, 2: math.nan}, math.nan),
    ],
)
def test_values_without_a_change(margins, expected):
    found = first_change(lambda value: margins[round(value)], [float(value) for value in margins], 1e-3)
    first = next((float(value) for value in margins if not math.isnan(margins[value])), math.nan)
    assert found == pytest.approx(first if expected == 1.0 else expected, nan_ok=True)


@pytest.mark.parametrize("rising", [True, False])
def test_a_change_next_to_divergence_is_found(rising):
    """Outliers between 3 and 4 (or up to 3), divergence beyond 4, and a grid that has seen neither."""

    def margin(value):
        return math.nan if value > 4 else (-1.0 if (value > 3) == rising else 1.0)

    assert first_change(margin, [0.5, 1.0, 10.0, 100.0], 1e-4) == pytest.approx(3.0, rel=2e-4)


def test_the_old_name_warns(theory):
    with pytest.warns(DeprecationWarning, match="critical_richness.* is now critical"):
        ds.critical_richness(theory, matrix="W1", at=3, between=(0.1, 0.2), points=2, **PARAMETERS)
