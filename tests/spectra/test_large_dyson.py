"""Dyson equations with many unknowns: the same solutions as with stored Jacobians, and those of finite networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym.spectra.numerics.supports import density
from dmft_sym.spectra.pencil import coordinates
from dmft_sym.spectra.pencil.dyson import PencilDyson
from dmft_sym.spectra.pencil.large_dyson import LargePencilDyson, dyson_of
from dmft_sym.spectra.pencil.pencil import Pencil

GIVEN = {"outputs_per_width": 0.5, "width_per_dim": 1, "teacher_std": 1, "learning_rate": 0.4, "richness": 1}


class Found(Exception):  # noqa: N818 - ends a spectrum when its pencil is there
    """Carries a pencil."""


def pencil_of(step: int, monkeypatch: pytest.MonkeyPatch) -> Pencil:
    """That of the first layer of a network with many outputs, trained for so many steps."""

    def found(pencil: Pencil) -> Any:
        raise Found(pencil)

    monkeypatch.setattr(coordinates, "dyson_of", found)
    theory = ds.derive(ds.deep_linear(1), data=ds.ExtensiveOutputs())
    with pytest.raises(Found) as caught:
        ds.spectrum(theory, matrices=["W0"], at=[step], steps=step + 1, **GIVEN)
    pencil: Pencil = caught.value.args[0]
    return pencil


def trained(dim: int, steps: int, seed: int) -> np.ndarray[Any, Any]:
    """Singular values of the first layer of a network of its own."""
    rng = np.random.default_rng(seed)
    weights, teacher = (rng.standard_normal((rows, dim)) / dim**0.5 for rows in (dim, dim // 2))
    readout = rng.standard_normal((dim // 2, dim)) / dim**0.5
    for _ in range(steps):
        error = teacher - readout @ weights
        change, more = 0.4 * readout.T @ error, 0.4 * error @ weights.T
        weights, readout = weights + change, readout + more
    return np.linalg.svd(weights, compute_uv=False)


def test_it_has_the_solutions_of_stored_jacobians(monkeypatch):
    """Above the axis, in the bulk, outside of it with slopes, and how far the Jacobian is from degenerate."""
    pencil = pencil_of(2, monkeypatch)
    stored, applied = PencilDyson(pencil), dyson_of(pencil)
    assert isinstance(applied, LargePencilDyson)
    x = np.array([0.5, 1.2, -0.8])
    for eta in (0.3, 1e-6):
        np.testing.assert_allclose(applied.above_axis(x, eta), stored.above_axis(x, eta), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(density(applied, x), density(stored, x), rtol=1e-8)
    outside = 1.9
    g = stored.outside(outside)
    np.testing.assert_allclose(applied.outside(outside), g, rtol=1e-9, atol=1e-10)
    at = np.array([outside])
    np.testing.assert_allclose(applied.velocity(at, g[None]), stored.velocity(at, g[None]), rtol=1e-7, atol=1e-8)
    assert applied.margin(outside, g) == pytest.approx(stored.margin(outside, g), rel=1e-7)


@pytest.mark.parametrize("step", [2, 3])
def test_resolvents_are_those_of_networks(step, monkeypatch):
    """``<z / (z^2 - M M^T)>`` at a distance from the axis at which it fluctuates by some 1/N: N = 200, 3 seeds."""
    applied = dyson_of(pencil_of(step, monkeypatch))
    x, eta = np.array([0.3, 1.0, 1.8]), 0.2
    z = x + 1j * eta
    found = applied.slope[applied.probe, applied.probe] * applied.probed(z, applied.above_axis(x, eta))
    networks = np.concatenate([trained(200, step, seed) for seed in range(3)])
    measured = np.array([np.mean(one / (one**2 - networks**2)) for one in z])
    np.testing.assert_allclose(found, measured, rtol=0, atol=0.02)
    others = np.concatenate([trained(200, step - 1, seed) for seed in range(3)])
    wrong = np.array([np.mean(one / (one**2 - others**2)) for one in z])
    assert np.abs(found - wrong).max() > 0.04
