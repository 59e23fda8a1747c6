"""Comparisons of a sampled theory with networks on the same samples: what is compared, and with which errors."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from sampled_results import SETTINGS, WANTED, made_run, made_sim, theory

import dmft_sym as ds
from dmft_sym.comparison.runs import chance_of_largest, compare
from dmft_sym.comparison.spectra import common_spectra, degenerate
from dmft_sym.results.store import ResultError


def test_errors_of_both_add_up_in_squares() -> None:
    run, sim = made_run(), made_sim()
    compared = compare(run, sim)
    for name in ("f", "NTK", "train_loss", "Phi_alignment"):
        mean, error = sim[name].mean("seed"), sim[name].std("seed", ddof=1) / 3**0.5
        together = np.sqrt(error**2 + run[f"{name}_sem"] ** 2)
        xr.testing.assert_allclose(compared.standard_error[name], together)
        floor = 1e-12 * float(abs(run[name]).max())
        xr.testing.assert_allclose(compared.z[name], (mean - run[name]) / np.sqrt(together**2 + floor**2))
        xr.testing.assert_equal(compared.theory_error[name], run[f"{name}_sem"].rename(name))


def test_only_what_is_measured_is_compared() -> None:
    names = set(compare(made_run(), made_sim()).summary)
    kernels = {"Phi", "G", "NTK", "Phi_alignment", "G_alignment", "NTK_alignment"}
    assert names - {"outlier"} == {"f", "train_loss", "test_loss"} | kernels  # no targets, errors and accuracies


@pytest.mark.parametrize(("outputs", "loss"), [(1, "squared"), (3, "softmax")])
def test_theory_and_simulation_agree(outputs: int, loss: str) -> None:
    of_samples = theory(outputs, loss)
    run = of_samples.compile("numpy")(sites=3200, threads=1, **WANTED, **SETTINGS)
    sim = ds.simulate(of_samples, width=200, seeds=8, **WANTED, **SETTINGS)
    assert compare(run, sim).within(4, allowance=1 / 200)
    assert not compare(run * 1.2, sim).within(4, allowance=1 / 200)


def test_degrees_of_freedom_are_those_of_the_smaller_group() -> None:
    compared = compare(made_run(), made_sim())
    assert compared.freedom == 2
    assert compared.summary["f"]["chance_one"] == chance_of_largest(1, 3)
    text = str(compared)
    assert "3 networks of N = 60, 6 steps" in text
    assert "standard error of both together" in " ".join(text.split())
    exact = made_run()[[name for name in made_run().data_vars if not str(name).endswith("_sem")]]
    alone = compare(exact, made_sim())
    assert not alone.theory_error.data_vars
    assert "at least" not in str(alone)
    few = made_run().assign_attrs(replicas=2)
    assert compare(few, made_sim()).freedom == 1


def test_points_of_kernels_are_not_counted_twice() -> None:
    points = {
        name: row["points"]
        for name, row in compare(made_run(3, "softmax", 0), made_sim(3, "softmax", 0)).summary.items()
    }
    assert points["Phi"] == 2 * 3 * 4 * 5 // 2
    assert points["NTK"] <= 3 * 12 * 13 // 2
    assert points["NTK"] > 3 * 12 * 11 // 2


def test_steps_and_kernels_that_are_not_common_are_left_out() -> None:
    run, sim = made_run(), made_sim()
    compared = compare(run.isel(step=slice(4)), sim.isel(kernel_step=[0, 2]))
    assert compared.theory.sizes["step"] == 4
    assert compared.theory["kernel_step"].values.tolist() == [0, 5]
    apart = compare(run.isel(kernel_step=[0]), sim.isel(kernel_step=[1]))
    assert "NTK" not in apart.theory
    assert "NTK" not in apart.theory_error
    assert "f" in apart.theory


@pytest.mark.parametrize(
    ("attrs", "words"),
    [
        ({"data_hash": "0" * 16}, "data_hash = "),
        ({"loss": "logistic"}, "loss = 'squared' and 'logistic'"),
        ({"richness": 3.0}, "richness = 2.0 and 3.0"),
        ({"learning_rate": 0.3}, "learning_rate = 0.2 and 0.3"),
        ({"momentum": 0.5}, "momentum = 0.0 and 0.5"),
        ({"weight_decay": 0.01}, "weight_decay = 0.0 and 0.01"),
        ({"init_std": 2.0}, "init_std = 1.0 and 2.0"),
        ({"depth": 3}, "depth = 2 and 3"),
    ],
)
def test_other_data_and_parameters_are_refused(attrs: dict, words: str) -> None:
    with pytest.raises(ResultError, match=words) as caught:
        compare(made_run(), made_sim().assign_attrs(attrs))
    assert len(str(caught.value).splitlines()) == 1


def test_other_samples_are_refused() -> None:
    other = ds.derive(ds.mlp(2, "tanh"), data=ds.Samples(np.eye(5), np.ones(5)))
    sim = ds.simulate(other, width=20, seeds=2, **SETTINGS)
    with pytest.raises(ResultError, match="different parameters: data_hash"):
        compare(made_run(tests=0), sim)


def test_how_it_was_sampled_may_differ() -> None:
    attrs = {"width": 99, "sites": 3, "replicas": 2, "error": 0.1, "antithetic": 0, "threads": 4}
    compare(made_run().assign_attrs(attrs), made_sim().assign_attrs(dict.fromkeys(attrs, -1)))


def test_outliers_are_compared_rank_by_rank() -> None:
    dims = ("matrix", "spectrum_step", "rank")
    labels = {"matrix": ["W1"], "spectrum_step": [0, 5], "rank": [0, 1, 2]}
    values = np.array([[[np.nan] * 3, [3.0, 2.51, 2.5]]])
    errors = np.array([[[np.nan] * 3, [0.01, 0.01, 0.02]]])
    run = xr.Dataset({"outlier": (dims, values), "outlier_sem": (dims, errors)}, labels)
    measured = np.array([3.1, 2.7, 2.5, 1.9]) + 0.1 * np.arange(3)[:, None, None, None]
    sim = xr.Dataset(
        {"outlier": (("seed", *dims), np.broadcast_to(measured, (3, 1, 2, 4)))},
        labels | {"rank": np.arange(4), "seed": np.arange(3)},
    )
    theirs, ours, sampled = common_spectra(run, sim)
    # The last two are one, within their errors.
    np.testing.assert_allclose(theirs["outlier"].values[0, 1], [3.0, 2.505, np.nan])
    np.testing.assert_allclose(ours["outlier"].values[0, 0, 1], [3.1, 2.6, np.nan])
    np.testing.assert_allclose(sampled["outlier"].values[0, 1], [0.01, 0.015, np.nan])
    assert theirs["outlier"].values[0, 0].tolist() == pytest.approx([np.nan] * 3, nan_ok=True)
    compared = compare(run, sim)
    assert float(compared.z["outlier"].sel(matrix="W1", rank=0, spectrum_step=5)) == pytest.approx(
        0.2 / np.hypot(0.1 / 3**0.5, 0.01)
    )


def test_sampled_outliers_are_told_apart_by_their_errors() -> None:
    values = np.array([3.0, 2.9, 2.89, np.nan])
    assert degenerate(values) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert degenerate(values, np.array([0.01, 0.01, 0.01, np.nan])) == [slice(0, 1), slice(1, 3)]
    assert degenerate(values, np.array([np.nan] * 4)) == degenerate(values)


def test_exact_theories_of_linear_networks_have_no_errors() -> None:
    run = theory(activation="linear").compile("numpy")(**WANTED, **SETTINGS)
    sim = ds.simulate(theory(activation="linear"), width=60, seeds=3, **WANTED, **SETTINGS)
    compared = compare(run, sim)
    assert not compared.theory_error.data_vars
    assert compared.within(4, allowance=3 / 60)
