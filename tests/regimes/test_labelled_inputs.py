"""Labels of inputs in proportion: both methods, one input that is the sum of all, a network that is trained by hand.

A linear network with the same weights for all tokens reads their sum ``s``, of variance ``T``. Of teachers that differ
it learns the mean, of variance ``1/T``; what is left of the targets is independent of ``s``, noise of variance
``T - 1``. The theory of one input with these numbers is another program with the same results.
"""

from __future__ import annotations

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym.program import ProgramError

TOKENS, NOISE = 3, 0.4
RUN = {"samples_per_dim": 2, "width_per_dim": 0.8, "richness": 1.5, "learning_rate": 0.03, "steps": 8}
DATA = ds.Proportional(label_noise=NOISE, labels={"token": TOKENS})
ONE_INPUT = ds.Proportional(label_noise=np.sqrt(TOKENS - 1 + NOISE**2), spectrum=[(1.0, TOKENS, 1 / TOKENS)])


def bag(net, x):
    """A sum over tokens between two layers."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    h = (net.matrix("A", net.inputs, n) @ x).named("h")
    net.observe("each", h * h)
    return net.readout("w", net.matrix("B", n, n) @ net.sum(h, over=token))


def sum_first(net, x):
    """The same network of a sum that is the input."""
    n = net.hidden("N")
    return net.readout("w", net.matrix("B", n, n) @ (net.matrix("A", net.inputs, n) @ x).named("k"))


def late(net, x):
    """Tokens go through all layers; what differs between them drops out of the sum."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    weights = net.matrix("W", n, n, layers=(1, net.depth - 1))

    def layer(number, h):
        return h + weights[number] @ (h - ds.mean(h, over=token) / 2)

    last = net.scan(layer, net.matrix("A", net.inputs, n) @ x, layers=(1, net.depth - 1))
    return net.readout("w", net.sum(last, over=token))


def late_of_sum(net, x):
    n = net.hidden("N")
    weights = net.matrix("W", n, n, layers=(1, net.depth - 1))
    last = net.scan(lambda l, h: h + weights[l] @ h / 2, net.matrix("A", net.inputs, n) @ x, layers=(1, net.depth - 1))  # noqa: E741
    return net.readout("w", last)


def trained_by_hand(seed, dim=200):
    """Test losses of ``bag``: gradient descent on stored tokens of every sample, by the gradient of every array."""
    rng = np.random.default_rng(seed)
    alpha, nu, gamma, eta, steps = RUN.values()
    n, p = int(nu * dim), int(alpha * dim)
    a, b, w = rng.standard_normal((n, dim)), rng.standard_normal((n, n)), rng.standard_normal(n)
    x, teacher = rng.standard_normal((TOKENS, p, dim)), rng.standard_normal((TOKENS, dim))
    y = np.einsum("kmi,ki->m", x, teacher) / np.sqrt(dim) + NOISE * rng.standard_normal(p)
    gamma_n = gamma * np.sqrt(nu)
    losses = []
    for _ in range(steps):
        hidden = (x @ a.T / np.sqrt(dim)).sum(axis=0)  # (samples, n)
        top = hidden @ b.T / np.sqrt(n)
        error = y - top @ w / (gamma_n * np.sqrt(n))
        predictor = w @ b @ a / np.sqrt(n) / np.sqrt(n) / gamma_n  # the same for all tokens
        losses.append(np.sum((teacher - predictor) ** 2) / dim + NOISE**2)
        rate = eta * gamma_n**2 * dim / p  # of -dL/dW, L = sum error^2 / 2P
        gradient_w = top.T @ error / (gamma_n * np.sqrt(n))
        gradient_b = np.outer(w, hidden.T @ error) / (gamma_n * n)
        gradient_a = np.outer(b.T @ w, np.einsum("kmi,m->i", x, error)) / (gamma_n * n * np.sqrt(dim))
        a, b, w = a + rate * gradient_a, b + rate * gradient_b, w + rate * gradient_w
    return np.array(losses)


@pytest.mark.parametrize("training", [ds.GradientDescent(momentum=0.5, weight_decay=0.01), ds.OnlineSGD()], ids=str)
def test_the_sum_of_all_tokens_is_one_input(training):
    theory = ds.derive(ds.network(bag), data=DATA, training=training)
    one = ds.derive(ds.network(sum_first), data=ONE_INPUT, training=training)
    exact, other = (t.solve(method="conditioning", **RUN) for t in (theory, one))
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(exact[name], other[name], rtol=1e-10)
    march = theory.solve(backend="numpy", **RUN)
    for name in ("train_loss", "test_loss", "each_0", "each_2"):
        np.testing.assert_allclose(exact[name], march[name], rtol=1e-10)
    np.testing.assert_allclose(march.each_0, march.each_1, rtol=1e-10)
    less = ds.Proportional(NOISE, [(1.0, TOKENS, 1 / TOKENS)])
    wrong = ds.derive(ds.network(sum_first), data=less, training=training)
    assert abs(wrong.solve(method="conditioning", **RUN).test_loss - march.test_loss).min() > 0.1


def test_finite_networks():
    theory = ds.derive(ds.network(bag), data=DATA)
    run = theory.solve(method="conditioning", **RUN)
    sim = ds.simulate(theory, dim=150, seeds=8, **RUN)
    assert ds.compare(run, sim).within(4.5, allowance=0.02)
    hand = np.array([trained_by_hand(seed) for seed in range(10)])
    z = (hand.mean(axis=0) - run.test_loss.values[:, 0]) / (hand.std(axis=0, ddof=1) / np.sqrt(len(hand)))
    assert np.abs(z).max() < 4.5


@pytest.mark.parametrize("method", ["conditioning", pytest.param("equations", marks=pytest.mark.slow)])
def test_tokens_in_a_scan(method):
    rule = ds.GradientDescent(clip=0.5)
    theory = ds.derive(ds.network(late, depth=3), data=DATA, training=rule)
    one = ds.derive(ds.network(late_of_sum, depth=3), data=ONE_INPUT, training=rule)
    found, other = theory.solve(method=method, **RUN), one.solve(method="conditioning", **RUN)
    np.testing.assert_allclose(found.test_loss, other.test_loss, rtol=1e-9)


def test_spectra():
    """Outliers of weights are those of one input."""
    theories = (ds.derive(ds.network(bag), data=DATA), ds.derive(ds.network(sum_first), data=ONE_INPUT))
    options = {**RUN, "richness": 10, "learning_rate": 0.02, "steps": 12, "at": [11], "points": 0}
    found, other = (ds.spectrum(t, matrices=["A", "B"], method="conditioning", **options) for t in theories)
    assert found.outlier.shape == (2, 1, 1)
    np.testing.assert_allclose(found.outlier, other.outlier, rtol=1e-9)


def test_tokens_and_classes_of_modes():
    data = ds.Proportional(spectrum=[(0.5, 2.0, 1.0), (0.5, 0.1, 3.0)], labels={"token": 2})

    def pair(net, x):
        token, n = net.label("token", 2), net.hidden("N")
        return net.readout("w", net.sum(net.matrix("A", net.inputs, n) @ x, over=token))

    theory = ds.derive(ds.network(pair), data=data)
    run, exact = (theory.solve(method=m, backend="numpy", **RUN) for m in ("equations", "conditioning"))
    np.testing.assert_allclose(run.test_loss, exact.test_loss, rtol=1e-9)
    assert ds.compare(run, ds.simulate(theory, dim=200, seeds=16, **RUN)).within(4.5, allowance=0.03)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["token"], r"labels = .*: allowed are numbers of values by name, labels=\{\"token\": 3\}"),
        ({"token": 0}, "label token: size 0: allowed is an integer >= 1"),
        ({"sample": 3}, "allowed is a word that is not step, layer, sample or output"),
    ],
)
def test_labels_that_are_none(labels, message):
    with pytest.raises(ProgramError, match=message):
        ds.Proportional(labels=labels)


def test_refusals():
    with pytest.raises(ProgramError, match=r"labels need given samples.*Proportional\(labels=\{\"token\": 3\}\)"):
        ds.derive(ds.network(bag))
    with pytest.raises(ProgramError, match=r"label token of size 3: allowed is 2, that of the data"):
        ds.derive(ds.network(bag), data=ds.Proportional(labels={"token": 2}))
    with pytest.raises(ProgramError, match=r"readout w: what it reads carries token; sum over it first"):
        ds.derive(ds.network(sum_first), data=DATA)

    def weighted(net, x):
        token, n = net.label("token", TOKENS), net.hidden("N")
        return net.readout("w", net.sum(token.values([1, 2, 3]) * (net.matrix("A", net.inputs, n) @ x), over=token))

    with pytest.raises(ProgramError, match=r"known numbers with labels need given samples"):
        ds.derive(ds.network(weighted), data=DATA)
