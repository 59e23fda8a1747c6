"""Numbers of the lazy limit on given samples are labelled like those of a run, with their errors."""

from __future__ import annotations

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym.figures import plots
from dmft_sym.support.errors import ArgumentError

X = np.random.default_rng(3).standard_normal((4, 6))
Y = np.array([1.0, -1.0, 0.5])
DATA = ds.Samples(X[:3], Y, test_inputs=X[3:], test_targets=np.array([0.2]))
CENTERED = ds.GradientDescent(centered=True)


def lazy(network, training=None, data=DATA):
    return ds.derive(network, data=data, training=training).limit("lazy")


def test_results_have_the_variables_and_labels_of_a_run():
    theory = ds.derive(ds.deep_linear(1), data=DATA)
    run = theory.compile("numpy")(steps=4, learning_rate=0.1, richness=1e-4, kernels=[0])
    limit = theory.limit("lazy").solve(steps=4, learning_rate=0.1)
    assert set(limit.variables) == set(run.variables)
    for name in run.variables:
        assert limit[name].dims == run[name].dims and limit[name].attrs == run[name].attrs, name
        np.testing.assert_allclose(limit[name], run[name], rtol=1e-6, atol=1e-7)
    same = ("learning_rate", "init_std", "depth", "steps", "program_hash", "data_hash", "method", "exact", "outcome")
    assert {name: limit.attrs[name] for name in same} == {name: run.attrs[name] for name in same}
    assert limit.attrs["limit"] == "lazy" and "richness" not in limit.attrs


def test_comparisons_and_figures_take_it_with_finite_networks():
    theory = ds.derive(ds.deep_linear(1), data=DATA, training=CENTERED)
    arguments = {"steps": 12, "learning_rate": 0.2}
    limit = theory.limit("lazy").solve(**arguments)
    sim = ds.simulate(theory, width=400, seeds=6, richness=0.05, **arguments)
    found = ds.compare(limit, sim)
    assert {"f", "train_loss", "test_loss", "NTK"} <= set(found.theory.data_vars)
    assert found.within(4, allowance=0.02), str(found)
    wrong = limit.assign(f=1.2 * limit.f)
    assert not ds.compare(wrong, sim).within(4, allowance=0.02)
    assert plots.losses(limit, sim) is not None


def arcsine(x):
    """Overlaps of ``erf`` and of its derivative for fields of covariance ``x x^T / D`` (Williams 1997)."""
    covariance = x @ x.T / x.shape[1]
    scale = 1 + 2 * np.diag(covariance)
    product = np.outer(scale, scale)
    features = 2 / np.pi * np.arcsin(2 * covariance / np.sqrt(product))
    slopes = 4 / np.pi / np.sqrt(product - 4 * covariance**2)
    return features, features + slopes * covariance


def test_standard_errors_are_those_of_sampled_kernels():
    """Against the closed form of one hidden layer; and the scatter over seeds is what each of them says."""
    features, kernel = arcsine(X)
    exact = np.zeros((8, 4))
    for t in range(7):
        exact[t + 1] = exact[t] + 0.3 / 3 * kernel[:, :3] @ (Y - exact[t, :3])
    limit = lazy(ds.mlp(1, activation="erf"))
    runs = [limit.solve(steps=8, learning_rate=0.3, sites=800, seed=seed) for seed in range(12)]
    np.testing.assert_array_less(np.abs(runs[0].f[1:, :, 0] - exact[1:]) / runs[0].f_sem[1:, :, 0], 5)
    z = np.array([(run.f[1:, :, 0] - exact[1:]) / run.f_sem[1:, :, 0] for run in runs])
    assert 0.7 < np.sqrt(np.mean(z**2)) < 1.5  # seven degrees of freedom: 1.18
    loss = np.array([((run.test_loss[1:, 0] - (exact[1:, 3] - 0.2) ** 2) / run.test_loss_sem[1:, 0]) for run in runs])
    assert 0.5 < np.sqrt(np.mean(loss**2)) < 2.2
    phi = np.mean([run.Phi.sel(layer=1, kernel_step=0) for run in runs], axis=0)
    np.testing.assert_allclose(phi, features, atol=0.03)
    assert {"NTK_sem", "Phi_sem", "G_sem", "train_loss_sem"} <= set(runs[0].data_vars)
    assert runs[0].attrs["sites"] == 800 and runs[0].attrs["exact"] == 0


def test_a_wanted_error_is_that_of_outputs():
    run = lazy(ds.mlp(1)).solve(steps=6, learning_rate=0.3, error=0.01)
    assert float(run.f_sem.max()) < 0.015 and run.attrs["sites"] > 8 * 4


def test_linear_networks_may_be_sampled():
    limit = lazy(ds.deep_linear(1))
    exact, sampled = (limit.solve(steps=5, learning_rate=0.2, **more) for more in ({}, {"exact": False, "sites": 2000}))
    np.testing.assert_array_less(np.abs(exact.f - sampled.f).values[1:], 5 * sampled.f_sem.values[1:] + 1e-12)
    with pytest.raises(ArgumentError, match="exact = true: allowed is false"):
        lazy(ds.mlp(1)).solve(steps=2, learning_rate=0.1, exact=True)


@pytest.mark.parametrize(("network", "more"), [(ds.deep_linear(1), {}), (ds.mlp(1), {"sites": 400})])
def test_beyond_the_stable_learning_rate_the_steps_before_are_kept(network, more):
    run = lazy(network).solve(steps=3000, learning_rate=20.0, **more)
    assert run.attrs["outcome"].startswith("diverged at step") and 1 < run.sizes["step"] < 3000
    assert np.isfinite(run.f).all() and np.isfinite(run.train_loss).all()


def test_outputs_have_their_own_losses():
    data = ds.Samples(X, [0, 1, 0, 1], loss="softmax")
    run = lazy(ds.mlp(1, outputs=2), data=data).solve(steps=6, learning_rate=0.5, sites=400)
    assert run.train_loss.dims == ("step",) and float(run.train_loss[0]) == pytest.approx(np.log(2))
    kernel, f = run.NTK.values[0].reshape(8, 8), np.zeros((4, 2))
    for t in range(1, 6):
        share = np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
        f = f + 0.5 / 4 * (kernel @ (np.eye(2)[[0, 1, 0, 1]] - share).ravel()).reshape(4, 2)
        np.testing.assert_allclose(run.f[t], f, rtol=1e-12)
    assert float(run.train_loss[-1]) < float(run.train_loss[0]) and "train_accuracy" in run
