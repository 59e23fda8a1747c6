"""Depth and outputs are run-time arguments of one compiled module."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import dmft_sym as ds

SETTINGS = {
    "samples_per_dim": 2.0,
    "width_per_dim": 0.8,
    "richness": 2.0,
    "learning_rate": 0.01,
    "label_noise": 0.2,
    "init_std": 0.9,
    "steps": 8,
}


@pytest.fixture(scope="module")
def solver():
    return ds.derive(ds.deep_linear()).compile("numba")


@pytest.mark.parametrize("depth", [1, 2, 5, 16])
@pytest.mark.parametrize("outputs", [1, 2, 3, 4])
def test_every_depth_and_output_count(solver, depth, outputs):
    march = solver(**SETTINGS, depth=depth, outputs=outputs)
    coordinates = solver(**SETTINGS, depth=depth, outputs=outputs, method="conditioning", tol=1e-10)
    assert march.sizes["output"] == outputs
    assert march["C_h"].sizes["layer"] == depth
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(march[name], coordinates[name], rtol=1e-7)


def test_it_is_one_specialisation(solver):
    """All of these runs used the code that the first one compiled; other tests may have compiled float32 as well."""
    solver(**SETTINGS, depth=2, outputs=2)
    advance = sys.modules["dmft_sym.codegen.library.numba_march"]._advance
    compiled = list(advance.signatures)
    for depth, outputs in ((1, 1), (16, 4)):
        solver(**SETTINGS, depth=depth, outputs=outputs)
    assert list(advance.signatures) == compiled
    assert len({id(ds.derive(ds.deep_linear(depth)).compile("numba").module) for depth in (1, 5)}) == 1
