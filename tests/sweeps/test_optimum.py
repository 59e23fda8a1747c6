"""Where a loss is smallest along an axis."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import dmft_sym as ds
from dmft_sym.support.messages import InputError


def made(losses, rates, **attributes):
    variables = {"test_loss": (("width_per_dim", "learning_rate", "step", "output"), losses)}
    coordinates = {"width_per_dim": np.arange(1, len(losses) + 1), "learning_rate": rates, "step": np.arange(2)}
    return xr.Dataset(variables, coordinates, {"swept": ["width_per_dim", "learning_rate"], **attributes})


@pytest.fixture
def grid():
    """A parabola in the logarithm of the rate, with its minimum at 0.02 and 0.05."""
    rates = np.geomspace(1e-3, 1, 10)
    best = np.array([0.02, 0.05])
    last = 1 + np.log(rates[None] / best[:, None]) ** 2
    last[1, -3:] = np.nan
    losses = np.stack([last[::-1], last], axis=2)[..., None] * np.array([0.5, 1.5])
    return made(losses, rates)


def test_parabolas_are_exact(grid):
    found = ds.optimum(grid, "test_loss", along="learning_rate")
    np.testing.assert_allclose(found.learning_rate, [0.02, 0.05], rtol=1e-12)
    assert not found.at_end.any()
    for k, rate in enumerate(found.learning_rate_on_grid.values):
        row = grid.test_loss.isel(width_per_dim=k, step=-1).mean("output")
        assert rate == pytest.approx(float(row.learning_rate[int(np.nanargmin(row.values))]))
        assert float(found.test_loss[k]) == pytest.approx(float(row.min()))
    first = ds.optimum(grid, "test_loss", along="learning_rate", at=0)
    np.testing.assert_allclose(first.learning_rate, [0.05, 0.02], rtol=1e-12)


def test_an_optimum_at_the_end_is_marked(grid):
    found = ds.optimum(grid.isel(learning_rate=slice(0, 3)), "test_loss", along="learning_rate")
    assert found.at_end.all()
    assert found.learning_rate.values == pytest.approx(float(grid.learning_rate[2]))


def test_nothing_where_all_diverged(grid):
    found = ds.optimum(grid.assign(test_loss=grid.test_loss * np.nan), "test_loss", along="learning_rate")
    assert found.learning_rate.isnull().all()


def test_of_a_sweep():
    """The optimum of muP moves less with the width than that of the NTK parametrization."""
    theory = ds.derive(ds.deep_linear(2))
    over = {
        "parametrization": ["muP", "NTK"], "width_per_dim": [1.0, 8.0], "learning_rate": np.geomspace(0.01, 0.5, 7),
    }  # fmt: skip
    settings = {"samples_per_dim": 2.0, "richness": 2.0, "label_noise": 0.2, "steps": 40, "method": "conditioning"}
    best = ds.optimum(ds.sweep(theory, over, workers=1, **settings), "test_loss", along="learning_rate").learning_rate
    mup, ntk = (abs(np.log(best.sel(parametrization=p)).diff("width_per_dim").item()) for p in ("muP", "NTK"))
    assert mup < 0.5 * ntk


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("test_los", "learning_rate"), "did you mean test_loss"),
        (("test_loss", "step"), "along = 'step': allowed is a swept axis of numbers"),
        (("test_loss", "learning_rate", 7), "at = 7"),
    ],
)
def test_what_the_grid_does_not_have(grid, arguments, message):
    with pytest.raises(InputError, match=message):
        ds.optimum(grid, *arguments)
