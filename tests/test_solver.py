"""What a solver takes, refuses and reports."""

from __future__ import annotations

import math

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym.arguments import ArgumentError

RUN = {"steps": 6, "samples_per_dim": 2.0, "width_per_dim": 0.7, "richness": 2.0, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def solver():
    return ds.derive(ds.deep_linear(2)).compile("numpy")


BAD = {
    "steps": [0, -1, 2.5, True, "6", math.nan, math.inf],
    "depth": [0, 1.5, -2, math.inf],
    "outputs": [0, 1.5],
    "samples_per_dim": [0, -1, math.nan, "2"],
    "width_per_dim": [0, -math.inf, math.nan],
    "richness": [0, math.inf],
    "learning_rate": [0, -0.1, math.inf, math.nan],
    "label_noise": [-0.1, math.inf],
    "init_std": [-1, math.nan],
    "method": ["marsh", 3],
    "dtype": ["float16", None],
    "tol": [0.0, -1e-3, 2.0],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in BAD.items() for value in values])
def test_bad_argument_is_named(solver, key, value):
    extra = {"method": "coordinates"} if key == "tol" else {}
    with pytest.raises(ArgumentError, match=rf"^{key} = .*allowed") as caught:
        solver(**{**RUN, **extra, key: value})
    assert "\n" not in str(caught.value)


def test_unknown_and_missing_arguments(solver):
    with pytest.raises(ArgumentError, match=r"^learning_rat: unknown argument.*learning_rate"):
        solver(**RUN, learning_rat=0.1)
    with pytest.raises(ArgumentError, match=r"^richness: missing; allowed is a number > 0"):
        solver(**{key: value for key, value in RUN.items() if key != "richness"})
    with pytest.raises(ArgumentError, match=r"momentum = 0.5: the theory was derived without it"):
        solver(**RUN, momentum=0.5)
    with pytest.raises(ArgumentError, match=r"^backend = "):
        ds.derive(ds.deep_linear()).compile("fortran")


def test_labels_and_attributes(solver):
    run = solver(**RUN, outputs=2)
    assert run.train_loss.dims == ("step", "output")
    assert run.C_h.dims == ("layer", "step", "output", "step2", "output2")
    assert run.C_h.layer.values.tolist() == run.C_g.layer.values.tolist() == [1, 2]
    assert run.sizes["step"] == run.sizes["step2"] == 6
    attrs = {
        "depth": 2,
        "outputs": 2,
        "steps": 6,
        "richness": 2.0,
        "init_std": 1.0,
        "label_noise": 0.0,
        "online": False,
    }
    assert {key: run.attrs[key] for key in attrs} == attrs
    assert run.attrs["outcome"] == "completed"
    assert len(run.attrs["module_hash"]) == 64
    for name, correlation in run.items():
        if str(name).startswith("C_"):
            swapped = correlation.transpose(..., "step2", "output2", "step", "output")
            np.testing.assert_array_equal(correlation.values, swapped.values)


def test_responses_are_causal(solver):
    run = solver(**RUN)
    for name in ("R_v", "R_h", "R_g"):
        values = run[name].dropna("layer").values if "layer" in run[name].dims else run[name].values
        values = values.reshape(-1, 6, 6)
        assert np.abs(np.triu(values, 1)).max() == 0, name
        assert np.abs(values).max() > 0, name


@pytest.mark.parametrize("method", ["march", "coordinates"])
def test_divergence_is_named_and_the_rest_kept(solver, method):
    run = solver(**{**RUN, "learning_rate": 3.0, "steps": 100}, method=method)
    kept = run.sizes["step"]
    assert 0 < kept < 100
    assert run.attrs["outcome"] == f"diverged at step {kept}"
    assert "learning_rate" in run.attrs["outcome_remedy"]
    assert np.isfinite(run.train_loss).all()
    if method == "march":
        assert run.C_h.sizes["step"] == run.C_h.sizes["step2"] == kept


def test_oscillating_run_finishes(solver):
    settings = {"width_per_dim": 1.0, "samples_per_dim": 2.0, "richness": 15.0, "learning_rate": 0.012}
    run = solver(steps=60, depth=3, **settings)
    assert run.attrs["outcome"] == "completed"
    assert np.diff(run.train_loss.values[:, 0]).max() > 0


def test_marching_less_far_changes_nothing(solver):
    """Causality: the first steps do not know how many follow."""
    short, long = solver(**RUN), solver(**{**RUN, "steps": 12})
    for name in short:
        cut = long[name].sel({axis: short[axis] for axis in ("step", "step2") if axis in long[name].dims})
        np.testing.assert_allclose(short[name], cut, rtol=1e-13, atol=1e-14)


def test_single_precision_is_close(solver):
    double, single = solver(**RUN), solver(**RUN, dtype="float32")
    assert single.test_loss.dtype == np.float64
    np.testing.assert_allclose(single.test_loss, double.test_loss, rtol=1e-5)
    assert not np.array_equal(single.test_loss, double.test_loss)


def test_progress_counts_every_step(solver):
    seen = []
    solver(**RUN, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k, 6) for k in range(1, 7)]


def test_numbers_of_numpy_are_numbers(solver):
    plain = solver(**RUN)
    dressed = solver(**{key: np.asarray(value)[()] for key, value in RUN.items()})
    np.testing.assert_array_equal(plain.test_loss, dressed.test_loss)
