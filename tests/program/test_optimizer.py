"""The optimizer is data: one that no module knows works in every method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import sympy as sp

import dmft_sym as ds
from dmft_sym.execution.runner import run_finite
from dmft_sym.networks.parameters import DECAY, MOMENTUM
from dmft_sym.networks.training import TrainingRule
from dmft_sym.program import Optimizer, Recursion
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.solvers.spectrum_routes import two_time_spectra

PHYSICS = {"samples_per_dim": 3.0, "width_per_dim": 0.8, "richness": 2.0, "learning_rate": 0.03, "label_noise": 0.2}


@dataclass(frozen=True)
class Nesterov(TrainingRule):
    """``V = m V + G``, ``W = (1 - l) W + m V + G``: of the tests, as data."""

    def optimizer(self) -> Optimizer:
        decay = DECAY if self.weight_decay else sp.Integer(0)
        return Optimizer(MOMENTUM, decay, from_memory=MOMENTUM, from_increment=sp.Integer(1))


@dataclass(frozen=True)
class Halved(ds.GradientDescent):
    """Increments of weight one half."""

    def optimizer(self) -> Optimizer:
        return Optimizer(weight=sp.Rational(1, 2))


RULE = Nesterov(momentum=0.6, weight_decay=0.01)


def recursion_by_hand(steps, m, decay):
    """``kappa(lag)``: an increment at step 0 and none after it."""
    memory, weight, kappa = 0.0, 0.0, [0.0]
    for step in range(steps):
        increment = 1.0 if step == 0 else 0.0
        memory = m * memory + increment
        weight = (1 - decay) * weight + m * memory + increment
        kappa.append(weight)
    return np.array(kappa)


def test_kernel_is_the_response_of_the_recursion():
    m, decay, steps = 0.6, 0.01, 30
    numbers = Recursion(m, 1 - decay, m, 1.0)
    np.testing.assert_allclose(numbers.kernel(steps), recursion_by_hand(steps, m, decay), rtol=1e-13)
    closed = RULE.optimizer().kernel(sp.Symbol("n", positive=True))
    plain = sp.lambdify((MOMENTUM, DECAY, sp.Symbol("n", positive=True)), closed)
    values = [float(plain(m, decay, lag)) for lag in range(1, steps + 1)]
    np.testing.assert_allclose(values, numbers.kernel(steps)[1:], rtol=1e-12)


@pytest.fixture(scope="module")
def theory():
    return ds.derive(ds.deep_linear(2), training=RULE)


@pytest.mark.parametrize("outputs", [1, 2])
def test_march_and_coordinates(theory, outputs):
    options = {**PHYSICS, "steps": 40, "outputs": outputs}
    march = theory.compile("numpy")(**options)
    exact = theory.compile("numpy")(**options, method="conditioning", tol=1e-12)
    np.testing.assert_allclose(march.test_loss, exact.test_loss, rtol=1e-11)
    np.testing.assert_allclose(march.train_loss, exact.train_loss, rtol=1e-11)
    heavy = ds.derive(ds.deep_linear(2), training=ds.GradientDescent(momentum=0.6, weight_decay=0.01))
    assert abs(heavy.compile("numpy")(**options).test_loss - march.test_loss).max() > 1e-2


def test_back_ends_of_the_march(theory):
    options = {**PHYSICS, "steps": 70}
    plain, fast = (theory.compile(backend)(**options) for backend in ("numpy", "numba"))
    for name in plain.data_vars:
        np.testing.assert_allclose(fast[name], plain[name], rtol=1e-10, atol=1e-11, err_msg=name)
    few = {**PHYSICS, "steps": 4}
    precise = theory.compile("mpmath")(**few)
    np.testing.assert_allclose(precise.test_loss, plain.test_loss[:4], rtol=1e-13)


def test_finite_networks(theory):
    options = {**PHYSICS, "steps": 20}
    compared = ds.compare(theory.compile("numpy")(**options), ds.simulate(theory, dim=200, seeds=8, **options))
    assert compared.within(7)


def test_spectra_of_both_routes(theory):
    options = {**PHYSICS, "richness": 6.0, "steps": 31}
    march = two_time_spectra(theory, backend="numpy", **options)
    other = ds.spectrum(theory, matrices=["W0", "W1"], at=[30], method="conditioning", tol=1e-11, **options)
    for name in ("W0", "W1"):
        found = other.outlier.sel(matrix=name, spectrum_step=30).dropna("rank").values
        np.testing.assert_allclose(march.at(name, 30).outliers, found, rtol=1e-6)
        assert len(found)


def trained_by_hand(x, y, matrix, vector, rate, gamma, m, steps):
    """``f = w . A x / (gamma N)`` under Nesterov's method, with the learning rates of muP (docs/mathematics.md)."""
    (count, dim), width = x.shape, len(vector)
    memories, outputs = [np.zeros_like(matrix), np.zeros_like(vector)], []
    for _ in range(steps):
        outputs.append(vector @ matrix @ x.T / (gamma * width))
        mean = rate * gamma / count * (y - outputs[-1]) @ x
        increments = np.outer(vector, mean) / dim, matrix @ mean
        memories = [m * memory + increment for memory, increment in zip(memories, increments, strict=True)]
        matrix = matrix + m * memories[0] + increments[0]
        vector = vector + m * memories[1] + increments[1]
    return np.array(outputs)


def test_a_network_by_hand():
    """One hidden layer on given samples: what the program runs is what stands on paper."""
    x, y = np.random.default_rng(4).standard_normal((3, 5)), np.array([1.0, -1.0, 0.5])
    theory = ds.derive(ds.mlp(1, "linear"), data=ds.Samples(x, y), training=Nesterov(momentum=0.5))
    arguments = run_arguments(theory, 12, {"richness": 2.0, "learning_rate": 0.2})
    start = []

    def keep(step, network):
        if step == 0:
            start.extend([network.matrices[0].copy(), network.values[network.plan.vectors[0].slot][0].copy()])

    run = run_finite(theory.program, arguments.values, 1, 12, 7, 3, data=theory.data.given, inspect=keep)
    f = next(values for ref, values in run.scalars.items() if ref.scalar.name == "f")
    expected = trained_by_hand(x, y, *start, 0.2, 2.0, 0.5, 12)
    np.testing.assert_allclose(f[:, :, 0], expected, rtol=1e-12, atol=1e-13)


DATA = ds.Samples(np.random.default_rng(1).standard_normal((3, 6)), [1.0, -1.0, 0.5])


def test_given_samples_in_every_method():
    """Generated and plain sampled sites are the same numbers; the derived equations and finite networks agree."""
    theory = ds.derive(ds.mlp(2, "tanh"), data=DATA, training=Nesterov(momentum=0.5, weight_decay=0.01))
    physics = {"richness": 2.0, "learning_rate": 0.2, "steps": 10}
    plain, fast = (theory.compile(backend)(**physics, sites=4000) for backend in ("numpy", "numba"))
    np.testing.assert_allclose(fast.f, plain.f, rtol=0, atol=1e-12)
    direct = theory.compile()(**physics, method="equations", sites=8000)
    z = (direct.f - plain.f) / np.hypot(direct.f_sem, plain.f_sem)
    assert float(abs(z).isel(step=slice(1, None)).max()) < 5
    compared = ds.compare(plain, ds.simulate(theory, width=400, seeds=6, **physics))
    assert compared.within(7)


def test_linear_networks_on_given_samples():
    theory = ds.derive(ds.mlp(2, "linear"), data=DATA, training=Nesterov(momentum=0.5, weight_decay=0.01))
    physics = {"richness": 2.0, "learning_rate": 0.2, "steps": 10}
    exact = theory.compile("numpy")(**physics, tol=1e-12)
    derived = theory.compile("numpy")(**physics, method="equations", sites=64, replicas=2)
    np.testing.assert_allclose(derived.f, exact.f, rtol=0, atol=1e-12)


def test_weights_of_increments_are_learning_rates():
    theory, half = (ds.derive(ds.deep_linear(1), training=rule) for rule in (ds.GradientDescent(), Halved()))
    options = {**PHYSICS, "steps": 8}
    runs = theory.compile("numpy")(**options), half.compile("numpy")(**{**options, "learning_rate": 0.06})
    np.testing.assert_allclose(runs[1].test_loss, runs[0].test_loss, rtol=1e-14)
