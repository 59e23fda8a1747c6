"""The Numba march against the plain NumPy one, also where products are cut and shared with helper threads."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym.cache.modules import load_module

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from residual import forward as residual  # also compiled for tests/networks

BASE = {
    "samples_per_dim": 2.0,
    "width_per_dim": 0.7,
    "richness": 2.0,
    "learning_rate": 0.01,
    "label_noise": 0.3,
}


def tied(net, x):
    """With a skip: without one, fields of neighbouring layers would not be correlated."""
    hidden = net.hidden("N")
    weights = net.matrix("W", hidden, hidden)
    h = net.matrix("W0", net.inputs, hidden) @ x
    h = net.scan(lambda _, h: h / 4 + weights @ h, h, layers=(1, net.depth - 1))
    return net.readout("w", h)


def deep(training=None):
    options = {} if training is None else {"training": training}
    return ds.derive(ds.deep_linear(), **options)


CASES = {
    "L1": (deep, {"depth": 1, "steps": 650}),
    "L2": (deep, {"depth": 2, "steps": 450, "init_std": 0.9}),
    "L3": (deep, {"depth": 3, "steps": 450}),
    "L3-C3": (deep, {"depth": 3, "outputs": 3, "steps": 150}),
    "short": (deep, {"depth": 5, "outputs": 4, "steps": 7}),
    "online": (lambda: deep(ds.OnlineSGD()), {"depth": 2, "steps": 450, "init_std": 0.9}),
    "momentum-decay": (
        lambda: deep(ds.GradientDescent(momentum=0.6, weight_decay=0.001)),
        {"depth": 2, "outputs": 2, "steps": 210},
    ),
    "residual": (lambda: ds.derive(ds.network(residual)), {"depth": 3, "steps": 410}),
    "residual-deep": (lambda: ds.derive(ds.network(residual)), {"depth": 12, "steps": 30}),
    "tied": (lambda: ds.derive(ds.network(tied)), {"depth": 3, "steps": 410, "init_std": 0.9}),
    "tied-deep": (lambda: ds.derive(ds.network(tied)), {"depth": 12, "steps": 30, "learning_rate": 2e-4}),
}


@pytest.fixture
def helpers(monkeypatch):
    """More threads than cores, so that some helpers are late and their pieces are done again."""
    import numba

    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 4)


def largest_deviation(found, expected):
    """Over all arrays, relative to the largest entry of each."""
    worst = 0.0
    for name, matrix in expected.items():
        if not isinstance(matrix, np.ndarray) or matrix.size == 0:
            continue
        assert found[name].shape == matrix.shape
        assert np.all(np.isfinite(found[name])), name
        deviation = np.abs(found[name] - matrix).max() / (np.abs(matrix).max() or 1.0)
        worst = max(worst, float(deviation))
    return worst


# The compiled march of a tied network is in `test_full_plan_is_worked_off` too.
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name.startswith("tied") else name for name in CASES]
)
def test_agrees_with_numpy(name, helpers):
    make, options = CASES[name]
    theory = make()
    numpy_run, numba_run = (theory.compile(backend).raw(**BASE | options) for backend in ("numpy", "numba"))
    assert numba_run["steps"] == numpy_run["steps"] == options["steps"]
    assert largest_deviation(numba_run, numpy_run) < 1e-12


@pytest.mark.parametrize("options", [{"depth": 3, "steps": 450}, {"depth": 2, "outputs": 3, "steps": 150}])
def test_single_precision(options, helpers):
    solver = deep().compile("numba")
    double, single = (solver(dtype=dtype, **BASE, **options) for dtype in ("float64", "float32"))
    for name in double.data_vars:
        scale = np.abs(double[name]).max()
        np.testing.assert_allclose(single[name], double[name], rtol=0, atol=1e-4 * float(scale), err_msg=name)


def test_every_number_of_threads_gives_the_same(monkeypatch):
    import numba

    solver = deep().compile("numba")
    runs = []
    for threads in (1, 2, 8):
        monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
        runs.append(solver.raw(depth=2, steps=420, **BASE))
    for other in runs[1:]:
        assert largest_deviation(other, runs[0]) == 0


def test_helpers_end_with_the_march(helpers):
    import threading

    def interrupt(done, steps):
        raise KeyboardInterrupt

    before = threading.active_count()
    solver = deep().compile("numba")
    solver.raw(depth=1, steps=420, **BASE)
    with pytest.raises(KeyboardInterrupt):
        solver.raw(depth=1, steps=420, progress=interrupt, **BASE)
    assert threading.active_count() == before


def test_divergence_is_found_at_the_same_step(helpers):
    theory = deep()
    wild = {**BASE, "learning_rate": 3.0, "depth": 2, "steps": 500}
    with np.errstate(all="ignore"):
        steps = [theory.compile(backend).raw(**wild)["steps"] for backend in ("numpy", "numba")]
    assert steps[0] == steps[1] < 500


def test_full_plan_is_worked_off(monkeypatch, helpers, tmp_path):
    """A plan that holds fewer products than a statement has."""
    monkeypatch.setenv("DMFT_SYM_CACHE", str(tmp_path))
    theory = ds.derive(ds.network(tied))
    source = theory.source("numba").replace("_QUEUE = 64", "_QUEUE = 5")
    small = load_module("small_plan", "numba", lambda: source)
    names = {"steps": 20, "outputs": 2, "L": 6, "alpha": 2.0, "eta0": 0.01, "gamma": 2.0, "nu": 0.7, "s2": 1.0}
    names["sigma_eps"] = 0.3
    plain = load_module("plain", "numpy", lambda: theory.source("numpy"))
    assert largest_deviation(small.march(**names), plain.march(**names)) < 1e-12


def library(solver, name):
    """A module of the library that generated marches import."""
    assert solver.module
    return sys.modules[f"dmft_sym.codegen.library.numba_{name}"]


def closed(solver, **options):
    """The compressed history that a march ends with, and what it returns."""
    kept, module = [], library(solver, "march")
    make = module._make_history
    module._make_history = lambda *arguments: kept.append(make(*arguments)) or kept[-1]
    try:
        run = solver.raw(**BASE | options)
    finally:
        module._make_history = make
    return kept[0], run


def test_smooth_history_is_compressed():
    history, _ = closed(deep().compile("numba"), depth=1, steps=600)
    assert history.counts[1] == 9
    assert np.all(history.ranks[:, 0] > 0)
    assert history.ranks[:, 0].max() < 20
    assert 0 < history.ranks[7, 1] < 24
    assert history.costs[9] < 576**2 // 5  # 576^2 / 2 without compression


def test_rough_history_is_left_alone():
    """A run that oscillates for good: its rows are not combinations of a few."""
    rough = {"depth": 3, "steps": 200, "samples_per_dim": 2.0, "richness": 15.0, "learning_rate": 0.012}
    theory = deep()
    history, run = closed(theory.compile("numba"), **rough)
    plain = theory.compile("numpy").raw(**BASE | rough)
    assert np.all(history.ranks[1:, 0] == 0)
    # The run is chaotic: rounding grows from step to step, and only its beginning can be compared.
    np.testing.assert_allclose(run["test_loss"][:30], plain["test_loss"][:30], rtol=1e-9)


@pytest.mark.parametrize("rank", [1, 5, 12])
def test_rows_of_a_panel_are_found_among_themselves(rank):
    module = library(deep().compile("numba"), "history")
    random = np.random.default_rng(rank)
    panel = random.standard_normal((40, rank)) @ random.standard_normal((rank, 64))
    chosen, factors = module._find_skeleton(panel, 1e-10, 20)
    assert len(chosen) == rank
    np.testing.assert_allclose(factors.T @ panel[chosen], panel, atol=1e-10)
    assert module._find_skeleton(random.standard_normal((40, 64)), 1e-10, 20) is None
