"""Sums and multiples of matrices and of their transposes are those of what they do to a vector."""

from __future__ import annotations

import numpy as np
import pytest
from agreement import compare_routes
from samples_and_scores import made_samples, worst_z
from test_samples_gradients import check

import dmft_sym as ds
from dmft_sym.program import ProgramError
from dmft_sym.regimes.sample_program import FIXED

PROPORTIONAL = {"richness": 2.0, "learning_rate": 0.002, "samples_per_dim": 2.0, "width_per_dim": 0.8}


def made(net, x):
    """Matrices of one space, of two, and a family, with a first layer."""
    n, m = net.hidden("N"), net.hidden("M", 0.5)
    h = (net.matrix("W0", net.inputs, n) @ x).named("h")
    names = [net.matrix(name, n, n) for name in "WV"]
    return h, *names, net.matrix("B", n, m), net.matrix("C", m, n)


WRITTEN = {
    "multiple": (lambda h, W, V, B, C: (2 * W) @ h, lambda h, W, V, B, C: 2 * (W @ h)),
    "fraction": (lambda h, W, V, B, C: (W / 2) @ h, lambda h, W, V, B, C: W @ h / 2),
    "negative": (lambda h, W, V, B, C: (-W) @ h, lambda h, W, V, B, C: -(W @ h)),
    "sum": (lambda h, W, V, B, C: (W + V) @ h, lambda h, W, V, B, C: W @ h + V @ h),
    "difference": (lambda h, W, V, B, C: (W - V / 3) @ h, lambda h, W, V, B, C: W @ h - V @ h / 3),
    "transpose": (lambda h, W, V, B, C: (W.T + V) @ h, lambda h, W, V, B, C: W.T @ h + V @ h),
    "symmetric": (lambda h, W, V, B, C: (W + W.T) @ h, lambda h, W, V, B, C: W @ h + W.T @ h),
    "twice": (lambda h, W, V, B, C: (W + W) @ h, lambda h, W, V, B, C: 2 * (W @ h)),
    "of a sum": (lambda h, W, V, B, C: (2 * W - V).T @ h, lambda h, W, V, B, C: 2 * (W.T @ h) - V.T @ h),
    "of a multiple": (lambda h, W, V, B, C: (-W.T / 2).T @ h, lambda h, W, V, B, C: -(W @ h) / 2),
    "two widths": (
        lambda h, W, V, B, C: (B.T - 2 * C) @ ((B + C.T) @ h),
        lambda h, W, V, B, C: (lambda k: B.T @ k - 2 * (C @ k))((B @ h + C.T @ h).named("h1")),
    ),
    "python's sum": (lambda h, W, V, B, C: sum([W, V, W.T]) @ h, lambda h, W, V, B, C: W @ h + V @ h + W.T @ h),
    "number of numpy": (lambda h, W, V, B, C: (np.float64(0.5) * W) @ h, lambda h, W, V, B, C: 0.5 * (W @ h)),
}


def network(use):
    def forward(net, x):
        h, *matrices = made(net, x)
        return net.readout("w", use(h, *matrices))

    return ds.network(forward)


def family(net, x):
    n = net.hidden("N")
    span = (1, net.depth - 1)
    weights, others = net.matrix("W", n, n, layers=span), net.matrix("V", n, n, layers=span)
    mixed = weights + others.T / 2
    h = net.scan(lambda layer, h: h + (mixed[layer] @ np.tanh(h)) / 2, net.matrix("W0", net.inputs, n) @ x, layers=span)
    return net.readout("w", (np.tanh(h)))


@pytest.mark.parametrize("name", WRITTEN)
def test_they_are_what_they_do_to_a_vector(name):
    traces = [network(use).trace(FIXED) for use in WRITTEN[name]]
    assert traces[0].statements == traces[1].statements
    assert traces[0].readouts == traces[1].readouts


def test_both_methods_agree():
    theory = ds.derive(network(WRITTEN["two widths"][0]))
    found = compare_routes(theory, {**PROPORTIONAL, "outputs": 2}, steps=8)
    assert found.worst()[1] < 1e-12, found.worst()


@pytest.mark.parametrize("forward", [family], ids=["family"])
def test_they_descend_the_gradient(forward):
    check(ds.derive(ds.network(forward, depth=3, outputs=2), data=made_samples(70, 3, 2)))


def hand_written(seed, width, data, richness, learning_rate, steps):
    """Training of ``h + (W + V^T/2) tanh(h)/2`` by its formulas: nothing of the toolkit is used."""
    rng = np.random.default_rng(seed)
    x, y = data.inputs, data.targets[:, 0]
    count, dim = x.shape
    first = rng.standard_normal((width, dim)) / np.sqrt(dim)
    W, V = rng.standard_normal((2, width, width)) / np.sqrt(width)
    w = rng.standard_normal(width)
    found = []
    for _ in range(steps):
        h = x @ first.T
        mixed = W + V.T / 2
        k = h + np.tanh(h) @ mixed.T / 2
        found.append(np.tanh(k) @ w / (richness * width))
        error = y - found[-1]
        g2 = w * (1 - np.tanh(k) ** 2)
        g1 = g2 + (g2 @ mixed) / 2 * (1 - np.tanh(h) ** 2)
        rate = learning_rate * richness / count
        w = w + rate * error @ np.tanh(k)
        outer = rate * (error[:, None] * g2).T @ np.tanh(h) / (2 * width)
        W, V = W + outer, V + outer.T / 2
        first = first + rate * (error[:, None] * g1).T @ x / dim
    return np.array(found)


def test_finite_networks_and_a_trainer_written_by_hand():
    run_of = {"richness": 2.0, "learning_rate": 0.2, "steps": 6}
    width, seeds = 400, 16
    theory = ds.derive(ds.network(family, depth=2), data=made_samples(71, 3))
    run = theory.compile("numpy")(sites=16_000, replicas=16, **run_of)
    allowed = 4 * (1 / width + 16 / 16_000)
    assert worst_z(run, ds.simulate(theory, width=width, seeds=seeds, **run_of), "f", allowed) < 4
    f = np.array([hand_written(seed, width, theory.data, **run_of) for seed in range(seeds)])
    gap = np.abs(f.mean(0) - run.f.values[..., 0]) - allowed * abs(run.f.values).max()
    assert np.max(gap / np.hypot(f.std(0, ddof=1) / np.sqrt(seeds), run.f_sem.values[..., 0])) < 4
    assert np.abs(run.f.values[-1, :, 0]).max() > 10 * run.f_sem.max()


REFUSED = {
    "W + B: other spaces": (
        lambda h, W, V, B, C: (W + B) @ h,
        "(W + B): allowed are sums of matrices between the same",
    ),
    "W + h": (lambda h, W, V, B, C: (W + h) @ h, "allowed are sums of matrices, such as W + V"),
    "W + 1": (lambda h, W, V, B, C: (W + 1) @ h, "W plus int: allowed are sums of matrices"),
    "1 - W": (lambda h, W, V, B, C: (1 - W) @ h, "a number minus a matrix: a matrix is applied to a vector by W @ h"),
    "h @ W": (lambda h, W, V, B, C: h @ W, "h @ W: a matrix is applied to a vector by W @ h, its transpose by W.T @ h"),
    "W * h": (lambda h, W, V, B, C: W * h, "entries are not multiplied; a matrix is applied by W @ h"),
    "W @ V": (lambda h, W, V, B, C: (W @ V) @ h, "products of matrices are applied one by one, W @ (V @ h)"),
    "W ** 2": (lambda h, W, V, B, C: (W**2) @ h, "W ** 2: a matrix is applied to a vector by W @ h"),
    "W / V": (lambda h, W, V, B, C: (W / V) @ h, "a coefficient must be a number or a SymPy expression"),
    "(W + V) @ 3": (lambda h, W, V, B, C: (W + V) @ 3, "expected a traced vector, got int"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    use, says = REFUSED[name]
    with pytest.raises(ProgramError) as caught:
        network(use).trace(FIXED)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
