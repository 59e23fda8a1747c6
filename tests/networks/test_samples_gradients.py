"""Reverse mode, updates and kernels on small finite networks, against differences of the loss.

A matrix ``A`` from ``n_in`` sites has the parameters ``sqrt(n_in) A``, a readout those of its vector, and all of them
learn at the rate ``eta0 gamma0^2 N`` (docs/mathematics.md). So one step changes ``A`` by
``-eta0 gamma0^2 (N/n_in) dLoss/dA`` and a readout by ``-eta0 gamma0^2 N dLoss/dw``, at any width and for any network;
and the tangent kernel is the sum over all parameters of products of derivatives of ``f``. These derivatives are
differences here and know nothing of the backward pass.
"""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from labelled_networks import LABELLED, sequences
from samples_and_scores import made_samples
from unseen_networks import FORWARDS, made_network

import dmft_sym as ds
from dmft_sym.execution.finite import FiniteNetwork
from dmft_sym.execution.planning import make_plan
from dmft_sym.program import ProgramError, ScalarRef
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.solvers.measurements import Measurements, wanted_measurements

WIDTH = 8
RICHNESS, RATE = 1.7, 0.3
SHIFT = 1e-5  # errors of central differences: of second order in it, and 1e-11 of rounding
UNNAMED = "h*tanh(h)/2 + sin(2*h)/3"


class Small:
    """A finite network that can be moved by hand."""

    def __init__(self, theory, **parameters):
        arguments = run_arguments(theory, 1, {"richness": RICHNESS, "learning_rate": RATE, **parameters})
        self.data = theory.data
        plan = make_plan(
            theory.program, arguments.values, arguments.outputs, reduced_transpose=False, data=theory.data.given
        )
        self.network = FiniteNetwork(plan, float, WIDTH, 3)
        self.measured = Measurements(wanted_measurements(theory, arguments, theory.data.sizes, [0], (), ()))
        self.f_number = next(n for ref, n in plan.scalars.items() if is_output(ref))
        trained = [(rule.matrix, self.network.matrices[rule.matrix]) for rule in plan.learn_matrices]
        self.arrays = [
            *((matrix, WIDTH / matrix.shape[1]) for _, matrix in trained),
            *((self.network.values[rule.slot], WIDTH) for rule in plan.learn_vectors),
        ]

    def outputs(self):
        """``f`` of all samples, shape (samples, outputs)."""
        self.network.begin_step()
        for statement in self.network.plan.steps:
            self.network.execute(statement)
        return self.network.scalars[self.f_number].reshape(self.data.total, -1).copy()

    def kernel(self):
        self.measured.see_network(0, self.network)
        return self.measured.kernels["NTK"][0]

    def learn(self):
        plan = self.network.plan
        for matrix in plan.learn_matrices:
            self.network.learn_matrix(matrix)
        for vector in plan.learn_vectors:
            self.network.learn_vector(vector)

    def derivatives(self):
        """Of ``f`` with respect to every trained array, shape (samples, outputs, *array)."""
        found = []
        for array, _ in self.arrays:
            slopes = np.zeros((*self.outputs().shape, *array.shape))
            for place in np.ndindex(*array.shape):
                held = array[place]
                array[place] = held + SHIFT
                above = self.outputs()
                array[place] = held - SHIFT
                slopes[(..., *place)] = (above - self.outputs()) / (2 * SHIFT)
                array[place] = held
            found.append(slopes)
        return found


def is_output(ref: ScalarRef) -> bool:
    return ref.scalar.name == "f"


def loss(data, f):
    """What is descended: the mean over training samples of the losses that results report."""
    value = data.rule.value(f[: data.count], data.targets)
    return value / 2 if data.loss == "squared" else value


def slope_of_loss(data, f):
    """``dLoss/df`` by differences, shape (samples, outputs); zero for test samples."""
    slopes = np.zeros_like(f)
    for place in np.ndindex(*f.shape):
        shift = np.zeros_like(f)
        shift[place] = SHIFT
        slopes[place] = np.sum(loss(data, f + shift) - loss(data, f - shift)) / (2 * SHIFT)
    return slopes


def check(theory, **parameters):
    small = Small(theory, **parameters)
    data, strength = theory.data, RATE * RICHNESS**2
    f = small.outputs()
    slopes, errors = small.derivatives(), slope_of_loss(data, f)
    kernel = sum(
        RICHNESS**2 * scale * np.tensordot(slope, slope, axes=(range(2, slope.ndim), range(2, slope.ndim)))
        for slope, (_, scale) in zip(slopes, small.arrays, strict=True)
    )
    small.outputs()
    before = [array.copy() for array, _ in small.arrays]
    scale_of_kernel = np.abs(kernel).max()
    np.testing.assert_allclose(small.kernel(), kernel, rtol=0, atol=1e-8 * scale_of_kernel)
    small.learn()
    for (array, scale), start, slope in zip(small.arrays, before, slopes, strict=True):
        step = -strength * scale * np.tensordot(errors, slope, axes=2)
        assert np.abs(step).max() > 1e-3
        np.testing.assert_allclose(array - start, step, rtol=0, atol=1e-8 * max(1.0, np.abs(step).max()))
    return small, kernel, errors


@pytest.mark.parametrize("name", FORWARDS)
def test_networks_descend_the_gradient(name):
    check(ds.derive(made_network(name, outputs=2), data=made_samples(7, 3, 2)))


@pytest.mark.parametrize("name", LABELLED)
def test_networks_with_labels_descend_the_gradient(name):
    network = ds.network(LABELLED[name], outputs=2)
    check(ds.derive(network, data=sequences(5, 2)))


@pytest.mark.parametrize("activation", ["tanh", "erf", "relu", "gelu", "softplus", "silu", UNNAMED])
def test_activations(activation):
    check(ds.derive(ds.mlp(3, activation), data=made_samples(8, 3)))


@pytest.mark.parametrize("name", ["g", "g1", "z1", "h1", "phi1", "h_2"])
def test_parameters_are_not_taken_for_fields(name):
    """Names that fields, their adjoints or symbols of a function would have."""

    def forward(net, x):
        n, strength = net.hidden("N"), net.parameter(name, 0.7)
        weights = net.matrix("W", n, n)
        last = net.scan(
            lambda _, h: net.apply(lambda a, b: strength * sp.tanh(a) + b / 2, weights @ h, h),
            net.matrix("A", net.inputs, n) @ x,
            layers=(1, 2),
        )
        both = net.apply(lambda a, b: sp.sin(strength * a) * b, last, net.apply("tanh", net.matrix("B", n, n) @ last))
        return net.readout("w", both)

    check(ds.derive(ds.network(forward), data=made_samples(7, 3)))


def test_parameters_have_names_of_their_own():
    def forward(net, x):
        n = net.hidden("N")
        h = (net.matrix("A", net.inputs, n) @ x).named("b")
        return net.readout("w", net.parameter("b", 0.7) * net.apply("tanh", h))

    with pytest.raises(ProgramError, match="the name b is used for two different things"):
        ds.derive(ds.network(forward), data=made_samples(7, 3))


@pytest.mark.parametrize("kind", ["squared", "logistic", "softmax"])
def test_losses_and_test_samples(kind):
    rng = np.random.default_rng(9)
    tests = made_samples(10, 3, 3, kind)
    data = made_samples(9, 4, 3, kind, test_inputs=rng.standard_normal((3, 12)), test_targets=tests.targets)
    _, _, errors = check(ds.derive(ds.mlp(2, "tanh", outputs=3), data=data))
    assert np.all(errors[4:] == 0)


def test_a_network_that_starts_from_zero_stays_there():
    theory = ds.derive(ds.mlp(2, "tanh"), data=made_samples(12, 3))
    run = theory.compile("numpy")(richness=2.0, learning_rate=0.3, steps=3, init_std=0.0, sites=16, replicas=2)
    assert np.all(run.f.values == 0)
    assert np.all(run.Phi.values == 0)


@pytest.mark.parametrize("rate", [1e-4, 1e-5])
def test_outputs_move_as_the_tangent_kernel_says(rate):
    """``df = (eta0/P) K Delta`` to first order, the remainder of second."""
    data = made_samples(11, 4, 2, "logistic")
    theory = ds.derive(made_network("gated", outputs=2), data=data)
    arguments = {"width": 20, "seeds": 1, "richness": RICHNESS, "steps": 2, "kernels": [0]}
    run = ds.simulate(theory, learning_rate=rate, **arguments)
    f = run.f.values[0]
    delta = data.targets / (1 + np.exp(data.targets * f[0]))
    predicted = np.tensordot(run.NTK.values[0, 0], delta, axes=2) / data.count
    gap = np.abs((f[1] - f[0]) / rate - predicted).max() / np.abs(predicted).max()
    assert gap < 30 * rate
