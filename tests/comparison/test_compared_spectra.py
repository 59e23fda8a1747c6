"""Spectra of a theory against those of simulated networks: what is an entry, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from made_up import made_up, made_up_spectra

from dmft_sym.comparison.runs import compare
from dmft_sym.comparison.spectra import common_spectra, degenerate
from dmft_sym.results.store import ResultError, load, save


def with_spectra(result: xr.Dataset, spectra: xr.Dataset) -> xr.Dataset:
    return result.merge(spectra, combine_attrs="override")


def test_equal_outliers_are_one_entry() -> None:
    assert degenerate(np.array([3.0, 3.0 - 1e-9, 2.0, 1.0, 1.0, np.nan])) == [slice(0, 2), slice(2, 3), slice(3, 5)]
    assert degenerate(np.array([np.nan])) == []


def test_z_scores_of_outliers_and_sharpness() -> None:
    sim = made_up_spectra(seeds=6)
    z = compare(made_up_spectra(), sim).z
    pair = sim["outlier"].sel(matrix="W1", spectrum_step=3, rank=[0, 1]).mean("rank")
    expected = (pair.mean("seed") - 2.5) / (pair.std("seed", ddof=1) / 6**0.5)
    assert float(z["outlier"].sel(matrix="W1", spectrum_step=3, rank=0)) == pytest.approx(float(expected), rel=1e-6)
    # Entries: one for the pair of W1 and one for the four of the NTK, at the two steps with outliers.
    assert int(z["outlier"].notnull().sum()) == 4
    assert bool(z["outlier"].sel(rank=slice(1, None)).isnull().all())
    assert bool(z["outlier"].sel(spectrum_step=0).isnull().all())
    sharp = sim["sharpness"].sel(spectrum_step=0)
    expected = (sharp.mean("seed") - 10.0) / (sharp.std("seed", ddof=1) / 6**0.5)
    assert float(z["sharpness"].sel(spectrum_step=0)) == pytest.approx(float(expected), rel=1e-6)


def test_sampled_outliers_are_told_apart_by_their_errors() -> None:
    values = np.array([3.0, 2.9, 2.89, np.nan])
    assert degenerate(values) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert degenerate(values, np.array([0.01, 0.01, 0.01, np.nan])) == [slice(0, 1), slice(1, 3)]
    assert degenerate(values, np.array([np.nan] * 4)) == degenerate(values)


def test_sampled_outliers_are_compared_rank_by_rank() -> None:
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


def test_overlaps_of_equal_outliers_are_those_of_their_space() -> None:
    compared = compare(made_up_spectra(), made_up_spectra(seeds=6))
    measured = compared.mean["overlap"].sel(matrix="W1", spectrum_step=3, rank=0, direction="a g[1]")
    np.testing.assert_allclose(measured, 0.9, rtol=0.02)  # noise 0.01, six seeds: four standard errors
    # Below 5 / sqrt(dim) a single vector overlaps by chance: no entry.
    assert bool(compared.z["overlap"].sel(direction="a g[2]").isnull().all())
    assert compared.summary["overlap"]["points"] == 4
    assert compared.summary["overlap"]["rms_z"] < 4


def test_groups_that_were_not_measured_as_a_whole_are_left_out() -> None:
    sim = made_up_spectra(seeds=4).isel(rank=slice(3))
    z = compare(made_up_spectra(), sim).z["outlier"]
    assert bool(z.sel(matrix="NTK").isnull().all())
    assert int(z.sel(matrix="W1").notnull().sum()) == 2


def test_aligned_by_matrix_step_and_direction() -> None:
    sim = made_up_spectra(steps=(5, 7, 3), seeds=4).isel(matrix=[1, 0], direction=[1, 0])
    theory, simulation, errors = common_spectra(made_up_spectra(), sim)
    assert not errors.data_vars
    assert theory["spectrum_step"].values.tolist() == simulation["spectrum_step"].values.tolist() == [3, 5]
    for name in ("outlier", "overlap"):
        assert theory[name].sizes == simulation[name].isel(seed=0).sizes
    outlier = simulation["outlier"].sel(matrix="W1", spectrum_step=3, rank=0).mean()
    assert float(outlier) == pytest.approx(2.5, rel=0.02)


def test_networks_that_did_not_reach_a_step_leave_it_out() -> None:
    sim = made_up_spectra(seeds=4)
    sim["outlier"][2, :, 2] = np.nan
    z = compare(made_up_spectra(), sim).z["outlier"]
    assert bool(z.sel(spectrum_step=5).isnull().all())
    assert int(z.sel(spectrum_step=3).notnull().sum()) == 2


def test_spectra_in_one_of_the_two_results() -> None:
    run, sim = made_up(), made_up(seeds=4)
    for pair in (
        (with_spectra(run, made_up_spectra()), sim),
        (run, with_spectra(sim, made_up_spectra(seeds=4))),
    ):
        assert set(compare(*pair).summary) == {"train_loss", "test_loss", "C_h", "R_h"}
    compared = compare(with_spectra(run, made_up_spectra()), with_spectra(sim, made_up_spectra(seeds=4)))
    assert set(compared.summary) == {"train_loss", "test_loss", "C_h", "R_h", "outlier", "sharpness", "overlap"}
    assert compared.figure().axes
    assert not compared.within(0.01)
    with pytest.raises(ResultError, match="no variable in common"):
        compare(made_up_spectra(), sim.drop_dims("step"))


def test_without_outliers_there_is_no_row() -> None:
    run = made_up_spectra(steps=(0,))
    none = run.isel(rank=slice(0))
    for theory in (run, none):
        assert set(compare(theory, made_up_spectra(steps=(0,), seeds=4)).summary) == {"sharpness"}


def test_spectra_alone_through_files(tmp_path) -> None:
    save(made_up_spectra(), tmp_path / "spectra.nc")
    save(made_up_spectra(seeds=4), tmp_path / "sim.nc")
    text = str(compare(load(tmp_path / "spectra.nc"), load(tmp_path / "sim.nc")))
    assert "theory and 4 networks of D = 500\n" in text
    assert "outlier" in text
    assert "nan" not in text
