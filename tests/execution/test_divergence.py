"""Runs on given samples that diverge: at which step, and that what is kept is what a shorter run has."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import dmft_sym as ds
from dmft_sym import codegen
from dmft_sym.support.outcomes import DIVERGENCE

RNG = np.random.default_rng(0)
DATA = ds.Samples(RNG.standard_normal((4, 8)), np.sign(RNG.standard_normal((4, 1))), loss="logistic")
ROUTES = ("numpy", "numba", "direct", "finite")


def run(route: str, activation: str, **settings: float) -> xr.Dataset:
    theory = ds.derive(ds.mlp(depth=3, activation=activation), data=DATA)
    common = {"richness": 1.0, "learning_rate": 0.1, "steps": 4, **settings}
    if route == "finite":
        return ds.simulate(theory, width=64, seeds=2, matrices=["W1"], at=[0], **common)
    if route == "direct":
        return theory.compile()(method="equations", sites=64, replicas=2, **common)
    return theory.compile(route)(sites=64, replicas=2, matrices=["W1"], at=[0], **common)


def check_kept(found: xr.Dataset, step: int) -> None:
    assert found.attrs["outcome"] == f"diverged at step {step}"
    assert found.attrs["outcome_remedy"].startswith("lower learning_rate (or richness, depth, init_std)")
    assert found.sizes["step"] == step
    for name in found.data_vars:
        if not str(name).startswith("outlier"):  # NaN where there is none
            assert np.isfinite(found[name]).all(), name


@pytest.mark.parametrize(
    ("route", "activation", "init_std"),
    [
        *(("numpy", "exp(h/3)", std) for std in (3.3, 5.0, 30.0)),
        *(("direct", "exp(h/3)", std) for std in (3.3, 30.0)),
        ("finite", "exp(h/3)", 30.0),
        # Outputs of 1e40, and readouts whose squares are 1e80.
        *((route, "tanh", 1e40) for route in ROUTES),
        *((route, "linear", 1e40) for route in ("direct", "finite")),
    ],
)
def test_before_the_first_step(route: str, activation: str, init_std: float) -> None:
    found = run(route, activation, init_std=init_std)
    check_kept(found, 0)
    assert "NTK" not in found


@pytest.mark.parametrize(
    ("route", "activation", "changes"),
    [
        ("numpy", "exp(h/3)", {"init_std": 3.0}),
        *((route, "tanh", {"learning_rate": 1e60}) for route in ROUTES),
        *((route, "relu", {"learning_rate": 1e200}) for route in ("numpy", "direct")),
    ],
)
def test_kernels_of_steps_before_are_those_of_a_shorter_run(
    route: str, activation: str, changes: dict[str, float]
) -> None:
    found, short = run(route, activation, **changes), run(route, activation, **{**changes, "steps": 1})
    check_kept(found, 1)
    assert found["kernel_step"].values.tolist() == [0]
    assert short.attrs["outcome"] == "completed"
    for name in short.data_vars:
        np.testing.assert_array_equal(found[name], short[name], err_msg=str(name))


def test_networks_that_diverge_at_different_steps_keep_the_steps_of_all() -> None:
    """The first of these networks has one step, the second none, so that there are no kernels of both."""
    theory = ds.derive(ds.mlp(depth=3, activation="exp(h/3)"), data=DATA)
    settings = {"richness": 1.0, "learning_rate": 0.1, "steps": 4, "init_std": 2.9}
    first, both = (ds.simulate(theory, width=64, seeds=count, **settings) for count in (1, 2))
    check_kept(first, 1)
    check_kept(both, 0)
    assert "NTK" in first
    assert "NTK" not in both


def test_one_rule_of_divergence():
    """What generated modules contain verbatim has the number of everything else."""
    library = Path(str(codegen.__file__)).parent / "library"
    for name in ("two_time_fields.py", "sampled_walk.py"):
        found = re.findall(r"^_?DIVERGENCE = (\S+)", (library / name).read_text(), re.MULTILINE)
        assert [float(number) for number in found] == [DIVERGENCE], name
