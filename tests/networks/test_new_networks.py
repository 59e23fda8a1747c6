"""Networks that are not built in: the residual and the weight-tied one of the examples, by three routes."""

from __future__ import annotations

import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from agreement import compare_routes

import dmft_sym as ds

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("residual", "weight_tied")
DIM, SEEDS = 1000, 4
# What D = 1000 may shift: corrections to the limit are of order 1/D, with a coefficient of order one.
ALLOWANCE = 5 / DIM


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=NAMES)
def new(request, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return example(request.param)


def theory_of(new, **options):
    return ds.derive(ds.network(new.forward), **options)


def test_forward_pass_is_short(new):
    assert len(inspect.getsource(new.forward).splitlines()) <= 25


def test_nothing_knows_their_names():
    for folder in ("dmft_sym", "codegen"):
        for path in (EXAMPLES.parent / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8").lower()
            assert not any(word in text for word in ("weight_tied", "weight-tied")), path


@pytest.mark.parametrize("training", [ds.GradientDescent(), ds.OnlineSGD(momentum=0.4, weight_decay=0.02)])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_march_agrees_with_coordinates(new, depth, training):
    theory = theory_of(new, training=training)
    found = compare_routes(theory, {**new.PARAMETERS, "depth": depth, "outputs": 2}, steps=8)
    assert found.worst()[1] < 1e-8, found.worst()


@pytest.mark.parametrize("new", ["residual", pytest.param("weight_tied", marks=pytest.mark.slow)], indirect=True)
def test_compiled_march_agrees_with_coordinates(new):
    found = compare_routes(theory_of(new), new.PARAMETERS, steps=20, backend="numba")
    assert found.worst()[1] < 1e-8, found.worst()


def test_march_agrees_with_finite_networks(new):
    theory = theory_of(new)
    run = theory.compile("numpy")(steps=20, **new.PARAMETERS)
    sim = ds.simulate(theory, steps=20, dim=DIM, seeds=SEEDS, seed=0, normalise=True, **new.PARAMETERS)
    comparison = ds.compare(run, sim)
    assert comparison.seeds == SEEDS
    # Losses: step by step.
    losses = ds.compare(run[["train_loss", "test_loss"]], sim[["train_loss", "test_loss"]])
    assert losses.within(4, ALLOWANCE), str(losses)
    # Correlations: in norm, because the standard errors of thousands of entries, from four seeds each, scatter.
    names = [name for name in comparison.theory.data_vars if name.startswith("C_")]
    assert len(names) >= 4
    for name in names:
        theory_norm, gap, error = (
            float(np.sqrt((part[name] ** 2).mean()))
            for part in (comparison.theory, comparison.mean - comparison.theory, comparison.standard_error)
        )
        assert gap < 4 * error + ALLOWANCE * theory_norm, name


@pytest.mark.parametrize("name", NAMES)
def test_example_runs(name):
    done = subprocess.run([sys.executable, EXAMPLES / f"{name}.py"], capture_output=True, text=True, check=True)
    assert "march and coordinates: losses differ by" in done.stdout
    assert "max |z|" in done.stdout


def test_residual_stream_without_blocks_is_one_hidden_layer(monkeypatch):
    """``b = 0``: the blocks do nothing, at any depth."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    residual = example("residual")
    parameters = {**residual.PARAMETERS, "depth": 5}
    blocks = theory_of(residual).compile("numpy")(steps=20, b=0.0, **parameters)
    plain = ds.derive(ds.deep_linear(1)).compile("numpy")(steps=20, **{**parameters, "depth": 1})
    np.testing.assert_allclose(blocks.test_loss, plain.test_loss, rtol=1e-13)


def test_weight_tied_network_of_one_hidden_matrix_is_the_deep_linear_one(monkeypatch):
    """At depth two the shared matrix is used once."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    tied = example("weight_tied")
    parameters = {**tied.PARAMETERS, "depth": 2}
    runs = [t.compile("numpy")(steps=20, **parameters) for t in (theory_of(tied), ds.derive(ds.deep_linear()))]
    for loss in ("train_loss", "test_loss"):
        np.testing.assert_allclose(runs[0][loss], runs[1][loss], rtol=1e-13)
