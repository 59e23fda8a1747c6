"""Seeds, replicas and steps that workers share: the numbers of one process, whatever the number of workers."""

from __future__ import annotations

import pytest
import sympy as sp
import xarray as xr

import dmft_sym as ds
from dmft_sym.support.errors import ArgumentError

RUN = {"samples_per_dim": 4.0, "width_per_dim": 1.0, "richness": 8.0, "label_noise": 0.2}
SAMPLES = ds.Samples(
    [[1.0, 0.5, 0.3], [0.0, 2.0, 0.4], [0.2, -1.0, 1.0]], [1.0, -1.0, 0.5], test_inputs=[[1.0, 1.0, 1.0]],
    test_targets=[0.3],
)  # fmt: skip
WORKERS = [1, pytest.param(2, marks=pytest.mark.slow)]


@pytest.fixture(scope="module", autouse=True)
def no_workers_afterwards():
    yield
    from loky import get_reusable_executor

    get_reusable_executor(2).shutdown(wait=True)


@pytest.fixture(scope="module")
def linear():
    return ds.derive(ds.deep_linear(2))


@pytest.fixture(scope="module")
def nonlinear():
    return ds.derive(ds.mlp(2), data=SAMPLES)


def same(one, other, rtol=1e-9):
    """Variables, axes and attributes; numbers up to what the number of threads of BLAS changes."""
    differ = {name for name in one.attrs if one.attrs[name] != other.attrs[name]}
    assert differ <= {"wall_time"}
    for name, variable in one.variables.items():
        assert variable.attrs == other[name].attrs, name
        assert variable.dims == other[name].dims
    assert list(one.data_vars) == list(other.data_vars)
    xr.testing.assert_allclose(one, other, rtol=rtol)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("rate", [0.01, 0.25])
def test_seeds(linear, workers, rate):
    """Networks that diverge end the axis of steps of all, as they do when they are trained together."""
    settings = {"dim": 30, "seeds": 3, "steps": 12, "matrices": ["W0", "NTK"], "at": [3, 11], **RUN}
    one = ds.simulate(linear, learning_rate=rate, **settings)
    seen = []
    shared = ds.simulate(
        linear, learning_rate=rate, workers=workers, progress=lambda *done: seen.append(done), **settings
    )
    same(one, shared)
    assert seen == [(12, 36), (24, 36), (36, 36)]


@pytest.mark.parametrize("workers", WORKERS)
def test_seeds_on_given_samples(nonlinear, workers):
    settings = {"richness": 2.0, "learning_rate": 0.3, "steps": 6, "width": 40, "seeds": 3}
    settings |= {"matrices": ["W1"], "at": [3, 5]}
    same(ds.simulate(nonlinear, **settings), ds.simulate(nonlinear, workers=workers, **settings))


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("options", [{}, {"bias": True}])
def test_replicas(nonlinear, workers, options):
    settings = {"richness": 2.0, "learning_rate": 0.3, "steps": 5, "sites": 400, "replicas": 4, **options}
    settings |= {"matrices": ["W0", "W1"], "at": [2, 4]}
    solver = nonlinear.compile("numpy")
    same(solver(**settings), solver(workers=workers, **settings))


@pytest.mark.parametrize("workers", WORKERS)
def test_replicas_of_equations(nonlinear, workers):
    """Two-time equations, sampled."""
    settings = {"method": "equations", "richness": 2.0, "learning_rate": 0.3, "steps": 3, "sites": 400, "replicas": 2}
    settings |= {"matrices": ["W0", "W1"], "at": [0, 2]}
    solver, seen = nonlinear.compile("numpy"), []
    shared = solver(workers=workers, progress=lambda *done: seen.append(done), **settings)
    same(solver(**settings), shared)
    assert seen == [(3, 6), (6, 6)]


@pytest.mark.parametrize("method", ["conditioning", "equations"])
def test_observables_of_replicas(method):
    """They come back from workers with the rest."""

    def forward(net, x):
        n = net.hidden("N")
        h = (net.matrix("A", net.inputs, n) @ x).named("h")
        net.observe("m4", net.apply(lambda a: a**4, h))
        return net.readout("w", net.apply(sp.tanh, h))

    solver = ds.derive(ds.network(forward), data=SAMPLES).compile("numpy")
    settings = {"method": method, "richness": 2.0, "learning_rate": 0.3, "steps": 3, "sites": 400, "replicas": 2}
    one, shared = solver(**settings), solver(workers=1, **settings)
    assert one.m4.notnull().all()
    same(one, shared)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize(
    "options",
    [
        {"matrices": ["W0"], "at": [4, 10, 19], "points": 3},
        {"matrices": ["NTK"], "at": [1, 9, 19], "learning_rate": 0.3},
        pytest.param({"matrices": ["W0"], "at": [10, 19], "method": "equations"}, marks=pytest.mark.slow),
    ],
)
def test_steps_of_spectra(linear, workers, options):
    settings = {"steps": 20, "learning_rate": 0.01, **RUN, **options}
    one, shared = ds.spectrum(linear, **settings), ds.spectrum(linear, workers=workers, **settings)
    same(one, shared)
    assert shared.attrs["spectrum_failures"] == one.attrs["spectrum_failures"]


@pytest.mark.parametrize("workers", [pytest.param((1, 2), marks=pytest.mark.slow)])
def test_bits(linear, workers):
    settings = {"steps": 20, "learning_rate": 0.01, "matrices": ["W0", "NTK"], "at": [3, 15, 19], **RUN}
    one, two = (ds.spectrum(linear, workers=k, **settings) for k in workers)
    settings |= {"dim": 200, "seeds": 2}
    first, second = (ds.simulate(linear, workers=k, **settings) for k in workers)
    for a, b in ((one, two), (first, second)):
        for name in a.data_vars:
            assert a[name].values.tobytes() == b[name].values.tobytes(), name


def test_exact_runs_are_not_shared(linear):
    with pytest.raises(ArgumentError, match="workers with method = 'equations': allowed is nothing"):
        linear.solve(learning_rate=0.1, steps=3, workers=2, **RUN)
