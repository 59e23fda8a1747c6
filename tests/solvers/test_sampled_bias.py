"""The bias of few sites, estimated by halving them, against a network whose answer is exact."""

from __future__ import annotations

import numpy as np
import pytest
from samples_and_scores import made_samples

import dmft_sym as ds
from dmft_sym.results.store import load, save, summary
from dmft_sym.support.errors import ArgumentError

SETTINGS = {"richness": 2.0, "learning_rate": 0.2, "steps": 8, "kernels": [0, 7]}
SITES, REPLICAS = 96, 600


@pytest.fixture(scope="module")
def linear():
    """A linear network on few sites, and exactly."""
    theory = ds.derive(ds.mlp(2, "h"), data=made_samples(3, 4))
    exact = theory.compile("numpy")(method="conditioning", **SETTINGS)
    options = {"sites": SITES * REPLICAS, "replicas": REPLICAS, "exact": False, "bias": True}
    return theory.compile("numba")(**options, **SETTINGS), exact


@pytest.mark.parametrize("name", ["f", "NTK", "train_loss"])
def test_the_estimate_is_the_bias(linear, name):
    """Within 4 standard errors; what is of second order is 1/S of it and smaller than these."""
    run, exact = linear
    bias, estimate = run[name] - exact[name], run[f"{name}_bias"]
    error = np.hypot(run[f"{name}_sem"], run[f"{name}_bias_sem"])
    assert (np.abs(bias - estimate) <= 4 * error + 1e-12).all()
    # There is something to estimate, and it has the right sign.
    assert float((np.abs(estimate) / run[f"{name}_bias_sem"].where(error > 1e-12)).max()) > 5
    assert float((bias * estimate).sum()) > 0.5 * float((estimate**2).sum())


def test_halves_share_the_fluctuations_of_their_replica(linear):
    """The error of the estimate is below that of the mean, and it falls with the number of sites."""
    run, _ = linear
    assert float(run.f_bias_sem.max()) < 0.5 * float(run.f_sem.max())


def test_back_ends_and_files(tmp_path):
    theory = ds.derive(ds.mlp(3, "tanh", outputs=2), data=made_samples(4, 3, 2))
    arguments = {**SETTINGS, "sites": 4 * 42, "replicas": 4, "matrices": ["W1", "W2"], "at": [7]}
    counts = []
    numba = theory.compile("numba")(bias=True, progress=lambda *done: counts.append(done), **arguments)
    plain = theory.compile("numpy")(bias=True, **arguments)
    assert numba.attrs["sites"] == 4 * 44  # halves have pairs of sites, too
    assert counts[-1][0] == counts[-1][1]
    for name in ("f", "NTK", "Phi_alignment"):
        assert numba[f"{name}_bias"].dims == numba[name].dims
        np.testing.assert_allclose(numba[f"{name}_bias"], plain[f"{name}_bias"], atol=1e-9)
    assert numba.f_bias.attrs["long_name"].startswith("bias by few sites of")
    assert "bias up to" in summary(numba)
    save(numba, tmp_path / "run.nc")
    assert load(tmp_path / "run.nc").equals(numba)
    without = theory.compile("numba")(**{**arguments, "sites": 4 * 44})
    np.testing.assert_array_equal(without.f, numba.f)  # the estimate changes nothing else
    assert not [name for name in without.data_vars if "bias" in str(name)]


def test_exact_networks_have_none():
    theory = ds.derive(ds.mlp(2, "h"), data=made_samples(3, 4))
    with pytest.raises(ArgumentError, match=r"bias with method = 'conditioning': .* the result is exact"):
        theory.compile("numpy")(bias=True, **SETTINGS)
