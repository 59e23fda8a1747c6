"""The same numbers, bit by bit, from any number of processes, some of which are killed."""

from __future__ import annotations

import os
import signal

import numpy as np
import psutil
import pytest
import xarray as xr

import dmft_sym as ds

SETTINGS = {"samples_per_dim": 4.0, "width_per_dim": 1.0, "richness": 3.0, "steps": 60, "backend": "numpy"}


@pytest.fixture(scope="module", autouse=True)
def no_workers_afterwards():
    yield
    from loky import get_reusable_executor

    get_reusable_executor(2).shutdown(wait=True)


def of_workers():
    """Processes that were started for sweeps."""
    children = psutil.Process().children(recursive=True)
    return [one for one in children if "LokyProcess" in " ".join(one.cmdline())]


@pytest.mark.parametrize("killing", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_any_number_of_processes(tmp_path, killing):
    def forward(net, x):  # no worker can import this
        return net.readout("w", net.matrix("A", net.inputs, net.hidden("N")) @ x)

    killed = []

    def kill_one(done, total):
        if killing and done == 2 and not killed:
            killed.append(of_workers()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    theory = ds.derive(ds.network(forward))
    over = {"learning_rate": [0.01, 0.03, 9.0], "parametrization": ["muP", "NTK"], "samples_per_dim": [2.0, 4.0]}
    settings = {name: value for name, value in SETTINGS.items() if name != "samples_per_dim"}
    one = ds.sweep(theory, over, workers=1, **settings)
    two = ds.sweep(theory, over, workers=2, output=tmp_path / "grid.nc", progress=kill_one, **settings)
    assert bool(killed) == killing
    assert one.sizes["learning_rate"] == 3
    assert (one.status == "diverged").any()
    xr.testing.assert_equal(one, two)
    for name in ("train_loss", "test_loss"):
        assert one[name].values.tobytes() == two[name].values.tobytes()


@pytest.mark.parametrize("what", [pytest.param("simulate", marks=pytest.mark.slow)])
def test_finite_networks_have_their_bits(what):
    theory = ds.derive(ds.deep_linear(2))
    options = {"dim": 400, "seeds": 2, "learning_rate": 0.01, **SETTINGS}
    del options["backend"], options["width_per_dim"]
    found = [ds.sweep(theory, {"width_per_dim": [0.5, 1.5]}, what, workers=k, **options) for k in (1, 2)]
    np.testing.assert_array_equal(found[0].test_loss.values, found[1].test_loss.values)
