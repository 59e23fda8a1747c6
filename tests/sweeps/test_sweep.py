"""A sweep is what its runs are, one by one; what diverges is a point like any other."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import dmft_sym as ds
from dmft_sym.program import ProgramError
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import InputError

RUN = {"samples_per_dim": 4.0, "width_per_dim": 1.0, "richness": 3.0, "label_noise": 0.2, "steps": 8}
OPTIONS = {"workers": 1, "backend": "numpy"}


@pytest.fixture(scope="module")
def theory():
    return ds.derive(ds.deep_linear(2))


@pytest.fixture(scope="module")
def grid(theory):
    over = {"learning_rate": [0.01, 0.1, 5.0], "parametrization": ["muP", "NTK"], "depth": [1, 2]}
    return ds.sweep(theory, over, **{**RUN, "width_per_dim": 2.0}, **OPTIONS)


def test_axes_stand_before_those_of_runs(grid):
    assert grid.test_loss.dims == ("learning_rate", "parametrization", "depth", "step", "output")
    assert grid.learning_rate.values.tolist() == [0.01, 0.1, 5.0]
    assert grid.parametrization.values.tolist() == ["muP", "NTK"]
    assert grid.attrs["swept"] == ["learning_rate", "parametrization", "depth"]
    assert grid.attrs["richness"] == 3.0
    assert not {"learning_rate", "depth", "parametrization", "outcome"} & set(grid.attrs)


@pytest.mark.parametrize("parametrization", ["muP", "NTK"])
def test_points_are_runs(theory, grid, parametrization):
    own = ds.derive(ds.deep_linear(2, parametrization=parametrization))
    for depth in (1, 2):
        run = own.solve(backend="numpy", depth=depth, learning_rate=0.1, **{**RUN, "width_per_dim": 2.0})
        point = grid.sel(learning_rate=0.1, parametrization=parametrization, depth=depth)
        assert point.status == "completed"
        for name in ("train_loss", "test_loss"):
            np.testing.assert_array_equal(point[name].values, run[name].values)


def test_divergence_is_a_point(theory, grid):
    found = grid.sel(learning_rate=5.0, parametrization="muP", depth=2)
    run = theory.solve(backend="numpy", learning_rate=5.0, **{**RUN, "width_per_dim": 2.0})
    assert found.status == "diverged"
    assert run.attrs["outcome"] == f"diverged at step {int(found.divergence_step)}"
    kept = run.sizes["step"]
    np.testing.assert_array_equal(found.test_loss.values[:kept], run.test_loss.values)
    assert np.isnan(found.test_loss.values[kept:]).all()
    assert grid.divergence_step.isnull().sum() == (grid.status == "completed").sum()


def test_no_shorter_axis_where_all_diverge(theory):
    found = ds.sweep(theory, {"learning_rate": [5.0, 9.0]}, **RUN, **OPTIONS)
    assert found.step.values.tolist() == list(range(8))
    assert set(found.status.values) == {"diverged"}


def test_grid_survives_a_file(grid, tmp_path):
    ds.save(grid, tmp_path / "grid.nc")
    xr.testing.assert_identical(ds.load(tmp_path / "grid.nc"), grid)


def test_order_parameters_where_they_are_named(theory):
    over = {"learning_rate": [0.01, 0.02]}
    found = ds.sweep(theory, over, variables=["C_h", "test_loss"], **RUN, **OPTIONS)
    assert set(found.data_vars) == {"C_h", "test_loss", "status", "divergence_step"}
    run = theory.solve(backend="numpy", learning_rate=0.02, **RUN)
    np.testing.assert_array_equal(found.C_h.sel(learning_rate=0.02).values, run.C_h.values)
    assert "C_h" not in ds.sweep(theory, over, **RUN, **OPTIONS)


def test_training_rule_is_swept(theory):
    found = ds.sweep(theory, {"momentum": [0.0, 0.5]}, learning_rate=0.02, **RUN, **OPTIONS)
    for momentum in (0.0, 0.5):
        own = ds.derive(ds.deep_linear(2), training=ds.GradientDescent(momentum=momentum))
        run = own.solve(backend="numpy", learning_rate=0.02, **RUN)
        np.testing.assert_array_equal(found.test_loss.sel(momentum=momentum).values, run.test_loss.values)


def test_networks_are_swept(theory):
    networks = [ds.deep_linear(1), ds.network(lambda net, x: net.readout("w", net.matrix("A", net.inputs,
                net.hidden("N")) @ x), name="one layer")]  # fmt: skip
    found = ds.sweep(theory, {"network": networks}, learning_rate=0.02, **RUN, **OPTIONS)
    assert found.network.values.tolist() == ["deep linear network", "one layer"]
    np.testing.assert_allclose(found.test_loss[0].values, found.test_loss[1].values, rtol=1e-12)


def test_theories_are_derived_once_each(theory, monkeypatch):
    made = []
    monkeypatch.setattr(type(theory), "replace", lambda self, **changes: made.append(changes) or self)
    over = {"parametrization": ["muP", "NTK"], "learning_rate": [0.01, 0.02, 0.03]}
    ds.sweep(theory, over, **RUN, **OPTIONS)
    assert made == [{"parametrization": "muP"}, {"parametrization": "NTK"}]


def test_simulations_are_swept(theory):
    found = ds.sweep(theory, {"learning_rate": [0.01, 50.0]}, "simulate", dim=20, seeds=2, workers=1, **RUN)
    assert found.test_loss.dims == ("learning_rate", "seed", "step", "output")
    assert found.status.values.tolist() == ["completed", "diverged"]
    sim = ds.simulate(theory, learning_rate=0.01, dim=20, seeds=2, **RUN)
    np.testing.assert_allclose(found.test_loss[0].values, sim.test_loss.values, rtol=1e-12)


def test_spectra_are_swept(theory):
    options = {"matrices": ["W0", "NTK"], "at": [3, 7], "workers": 1}
    found = ds.sweep(theory, {"learning_rate": [0.05, 5.0]}, "spectrum", **options, **RUN)
    spec = ds.spectrum(theory, matrices=["W0", "NTK"], at=[3, 7], learning_rate=0.05, **RUN)
    np.testing.assert_allclose(found.sharpness[0].values, spec.sharpness.values, rtol=1e-12)
    assert found.status.values.tolist() == ["completed", "diverged"]
    assert "diverged before this step" in str(found.spectrum_failures.values[1])
    assert np.isnan(found.sharpness.values[1, 1])


def test_comparisons_are_swept(theory):
    options = {"dim": 60, "seeds": 3, "matrices": ["NTK"], "at": [7], "workers": 1, "backend": "numpy"}
    found = ds.sweep(theory, {"learning_rate": [0.05, 50.0]}, "compare", **options, **RUN)
    run = theory.solve(backend="numpy", learning_rate=0.05, **RUN)
    sim = ds.simulate(theory, learning_rate=0.05, dim=60, seeds=3, **RUN)
    compared = ds.compare(run, sim)
    np.testing.assert_array_equal(found.test_loss[0].values, run.test_loss.values)
    np.testing.assert_allclose(found.test_loss_finite[0].values, sim.test_loss.mean("seed").values, rtol=1e-12)
    np.testing.assert_allclose(found.test_loss_z[0].values, compared.z["test_loss"].values, rtol=1e-9)
    assert {"sharpness", "sharpness_finite", "sharpness_z"} <= set(found.data_vars)
    assert found.status.values.tolist() == ["completed", "diverged"]


def test_critical_and_stable_values_are_swept(theory):
    settings = {name: value for name, value in RUN.items() if name not in ("richness", "steps", "width_per_dim")}
    over = {"parametrization": ["muP", "NTK"], "width_per_dim": [1.0, 2.0]}
    search = {"matrix": "W1", "at": 20, "between": (5.0, 30.0), "points": 2, "tol": 1e-2, "learning_rate": 0.005}
    found = ds.sweep(theory, over, "critical", workers=1, **search, **settings).critical_richness
    assert (found > 5).all()
    ntk, mup = (found.sel(parametrization=p).values for p in ("NTK", "muP"))
    np.testing.assert_allclose(ntk, mup * np.sqrt([1, 2]), rtol=0.02)  # gamma = gamma0 / sqrt(nu)
    search = {"between": (0.01, 1.0), "points": 2, "tol": 0.1, "sharpness": False, **OPTIONS}
    found = ds.sweep(theory, {"richness": [1.0, 3.0]}, "max_stable", width_per_dim=1.0, steps=20, **search, **settings)
    assert found.max_learning_rate[0] > found.max_learning_rate[1]
    with pytest.raises(ArgumentError, match="it is an axis of the sweep"):
        ds.sweep(theory, {"richness": [1.0, 3.0]}, "critical", width_per_dim=1.0, matrix="W1", at=20, **settings)


def test_sampled_runs_are_swept():
    theory = ds.derive(ds.mlp(1), data=ds.Samples([[1.0, 0.5], [0.0, 2.0]], [1.0, -1.0]))
    settings = {"learning_rate": 0.3, "steps": 3, "sites": 400, "replicas": 4, "workers": 1, "backend": "numpy"}
    found = ds.sweep(theory, {"richness": [0.5, 2.0]}, variables=["f", "f_sem"], **settings)
    assert found.f.dims == ("richness", "step", "sample", "output")
    assert (found.f_sem > 0).sel(step=2).all()


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({}, "over = {}"),
        ({"learning_rate": []}, r"learning_rate = \(\)"),
        ({"learning_rat": [0.1]}, "'learning_rat' is no axis (did you mean learning_rate?)"),
        (
            {"learning_rate": [0.1, -1.0]},
            r"learning_rate = -1.0: allowed is a number > 0, finite \(at",
        ),
        ({"richness": [1.0, 2.0]}, "richness = 3.0: allowed is nothing, it is an axis"),
        ({"parametrization": ["muP", "NPT"]}, "parametrization = 'NPT'"),
        ({"depth": [0, 1]}, "depth"),
        ({"learning_rate": [0.1, 0.1]}, "listed twice"),
        ({"label_noise": "0.1,0.2"}, "label_noise"),
    ],
)
def test_axes_that_are_none(theory, over, message):
    settings = {name: value for name, value in RUN.items() if name != "label_noise"}
    with pytest.raises(ValueError, match=message.replace("(did", r"\(did").replace("?)", r"\?\)")) as caught:
        ds.sweep(theory, over, **{"learning_rate": 0.1, **settings} if "learning_rate" not in over else settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"what": "solved"}, "what = 'solved': allowed are solve, simulate, spectrum, compare, critical"),
        ({"variables": "test_loss"}, "variables"),
        ({"variables": ["test_los"]}, "did you mean test_loss"),
        ({"workers": 0}, "workers = 0"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "workers = 2: allowed is nothing with a scheduler"),
        ({"scheduler": "here"}, "scheduler = 'here': allowed is the address"),
        ({"stebs": 3}, "stebs: unknown argument"),
        ({"output": "/nowhere/grid.nc"}, "nowhere"),
        ({"progress": 3}, "progress"),
    ],
)
def test_arguments_that_are_none(theory, options, message):
    crew = {} if {"workers", "scheduler"} & set(options) else {"workers": 1}
    with pytest.raises(InputError, match=message):
        ds.sweep(theory, {"learning_rate": [0.01, 0.02]}, **RUN, backend="numpy", **crew, **options)


def test_an_axis_of_results_is_not_swept(theory):
    with pytest.raises(ArgumentError, match="an axis seed of their own"):
        ds.sweep(theory, {"seed": [0, 1]}, "simulate", learning_rate=0.01, dim=5, seeds=1, workers=1, **RUN)


def test_replace():
    theory = ds.derive(ds.deep_linear(2), training=ds.GradientDescent(momentum=0.5))
    changed = theory.replace(parametrization="NTK", label_noise=0.3, momentum=0.0)
    assert (str(changed.network.parametrization), changed.data.label_noise, changed.training.momentum) == (
        "NTK",
        0.3,
        0,
    )
    assert theory.training.momentum == 0.5
    own = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(momentum=0.5))
    assert str(theory.replace(network=ds.deep_linear(1)).program) == str(own.program)
    with pytest.raises(ProgramError, match="unknown field"):
        theory.replace(momentun=0.1)
