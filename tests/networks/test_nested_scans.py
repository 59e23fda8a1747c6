"""Scans inside of scans: blocks of inner layers, with matrices of their own or the same ones in every block."""

from __future__ import annotations

import numpy as np
import pytest
from agreement import compare_routes
from samples_and_scores import made_samples

import dmft_sym as ds
from dmft_sym.execution import run_finite
from dmft_sym.program import ProgramError
from dmft_sym.solvers.arguments import run_arguments

PROPORTIONAL = {"richness": 2.0, "learning_rate": 0.0005, "samples_per_dim": 2.0, "width_per_dim": 0.8}
RUN = {"richness": 2.0, "learning_rate": 0.1, "steps": 5}


def linear(net, x):
    """Residual blocks of two layers, and a third one that all blocks share."""
    n, blocks = net.hidden("N"), (1, net.depth)
    own = [net.matrix(name, n, n, layers=blocks) for name in ("A", "B")]
    shared = net.matrix("V", n, n, layers=(1, 2))

    def block(number, h):
        inner = net.scan(lambda k, a: own[k - 1][number] @ a / k, h, layers=(1, 2), name="a")
        return h / 2 + inner + net.scan(lambda k, b: shared[k] @ b, h, layers=(1, 2), name="b") / number

    return net.readout("w", net.scan(block, net.matrix("W0", net.inputs, n) @ x, layers=blocks))


def nonlinear(net, x):
    n, blocks = net.hidden("N"), (1, net.depth)
    own = [net.matrix(name, n, n, layers=blocks) for name in ("A", "B")]

    def block(number, h):
        return h + net.scan(lambda k, a: own[k - 1][number] @ np.tanh(a), h, layers=(1, 2), name="a")

    return net.readout("w", np.tanh(net.scan(block, net.matrix("W0", net.inputs, n) @ x, layers=blocks)))


@pytest.mark.parametrize("depth", [1, 3])
def test_both_methods_agree(depth):
    found = compare_routes(ds.derive(ds.network(linear)), {**PROPORTIONAL, "depth": depth, "outputs": 1}, steps=5)
    assert found.worst()[1] < 1e-10, found.worst()


def test_the_inner_scan_is_written_out_and_the_outer_one_is_not():
    text = str(ds.derive(ds.network(linear)).program)
    for line in ("matrix A[1..L]: N -> N", "matrix V2: N -> N", "for l = 1 to L:", "learn V1: sum_{l=1..L} "):
        assert line in text, text


def test_equations_of_sampled_sites_agree_with_conditioning():
    theory = ds.derive(ds.network(nonlinear, depth=2), data=made_samples(80, 2))
    first = theory.compile("numpy")(sites=3_000, replicas=6, **RUN)
    second = theory.compile("numpy")(method="equations", sites=1_500, replicas=6, **RUN)
    z = (first.f - second.f) / np.hypot(first.f_sem, second.f_sem)
    assert abs(z.isel(step=slice(1, None))).max() < 4


def hand_written(w, first, inner, x, y, richness, learning_rate, steps):
    """Training of `nonlinear` by its formulas, from given arrays: ``inner`` has the two matrices of every block."""
    count, dim = x.shape
    width, found = len(w), []
    for _ in range(steps):
        h, middle = [x @ first.T], []
        for a, b in inner:
            middle.append(np.tanh(h[-1]) @ a.T)
            h.append(h[-1] + np.tanh(middle[-1]) @ b.T)
        found.append(np.tanh(h[-1]) @ w / (richness * width))
        error, rate = y - found[-1], learning_rate * richness / count
        g = error[:, None] * w * (1 - np.tanh(h[-1]) ** 2)
        w = w + rate * error @ np.tanh(h[-1])
        for k in reversed(range(len(inner))):
            a, b = inner[k]
            inside = (g @ b) * (1 - np.tanh(middle[k]) ** 2)
            outside = g + (inside @ a) * (1 - np.tanh(h[k]) ** 2)
            step_a = rate * inside.T @ np.tanh(h[k]) / width
            inner[k] = a + step_a, b + rate * g.T @ np.tanh(middle[k]) / width
            g = outside
        first = first + rate * g.T @ x / dim
    return np.array(found)


def test_a_trainer_written_by_hand():
    """From the same initial arrays, so that it is the same network and not one of the same law."""
    theory = ds.derive(ds.network(nonlinear, depth=3), data=made_samples(81, 3))
    arguments = run_arguments(theory, RUN["steps"], {key: RUN[key] for key in ("richness", "learning_rate")})
    initial = {}

    def inspect(step, network):
        if step == 0:
            keys = [spec.key for spec in network.plan.matrices]
            initial.update({key: matrix.copy() for key, matrix in zip(keys, network.matrices, strict=True)})
            initial["w"] = network.values[network.plan.vectors[0].slot][0].copy()

    run = run_finite(theory.program, arguments.values, 1, RUN["steps"], 30, 5, inspect=inspect, data=theory.data.given)
    (f,) = (values for ref, values in run.scalars.items() if str(ref) == "f")
    inner = [(initial["A", block], initial["B", block]) for block in (1, 2, 3)]
    x, y = theory.data.inputs, theory.data.targets[:, 0]
    expected = hand_written(initial["w"], initial["W0", None], inner, x, y, **RUN)
    np.testing.assert_allclose(f.reshape(RUN["steps"], -1), expected, rtol=0, atol=1e-13)
    assert np.abs(expected[-1] - expected[0]).max() > 0.02


def test_inner_scans_have_a_number_of_layers():
    def forward(net, x):
        n = net.hidden("N")
        w = net.matrix("W", n, n)
        h = net.scan(
            lambda l, h: net.scan(lambda k, a: w @ a, h, layers=(1, net.depth), name="a"),  # noqa: E741
            net.matrix("W0", net.inputs, n) @ x,
            layers=(1, 2),
        )
        return net.readout("w", h)

    with pytest.raises(ProgramError, match=r"not supported over the layers 1..L; allowed there is a number of layers"):
        ds.derive(ds.network(forward))
