"""Members of families: by another number than the scan's, and single ones outside of it; carries used after a scan."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from agreement import compare_routes
from samples_and_scores import made_samples
from test_samples_gradients import check

import dmft_sym as ds
from dmft_sym.program import ProgramError

PROPORTIONAL = {"richness": 2.0, "learning_rate": 0.0005, "samples_per_dim": 2.0, "width_per_dim": 0.8}


def shifted(net, x):
    """``W[l + 1]`` in a scan that counts from 0; the coefficient counts as the scan does."""
    n = net.hidden("N")
    weights = net.matrix("W", n, n, layers=(1, net.depth - 1), init=lambda layer: 1 / sp.sqrt(layer))
    first = net.matrix("W0", net.inputs, n) @ x
    h = net.scan(lambda layer, h: h + weights[layer + 1] @ h / (layer + 2), first, layers=(0, net.depth - 2))
    return net.readout("w", h)


def plain(net, x):
    """The same, numbered as its matrices are."""
    n = net.hidden("N")
    weights = net.matrix("W", n, n, layers=(1, net.depth - 1), init=lambda layer: 1 / sp.sqrt(layer))
    first = net.matrix("W0", net.inputs, n) @ x
    h = net.scan(lambda layer, h: h + weights[layer] @ h / (layer + 1), first, layers=(1, net.depth - 1))
    return net.readout("w", h)


def outside(net, x):
    """The first and the last member have other places than the scan."""
    n = net.hidden("N")
    weights = net.matrix("W", n, n, layers=(1, net.depth), learning_rate=lambda layer: layer)
    h = weights[1] @ (net.matrix("W0", net.inputs, n) @ x)
    h = net.scan(lambda layer, h: h + weights[layer] @ h, h, layers=(2, net.depth - 1))
    return net.readout("w", weights[net.depth].T @ h)


def reused(net, x):
    """Vectors that scans start from and end with, after these and in another scan."""
    n, span = net.hidden("N"), (1, net.depth - 1)
    weights, others = net.matrix("W", n, n, layers=span), net.matrix("V", n, n, layers=span)
    first = net.matrix("W0", net.inputs, n) @ x
    last = net.scan(lambda layer, h: h + weights[layer] @ h, first, layers=span)
    end = net.scan(lambda layer, k: k + others[layer] @ k + last, last, layers=span, name="k")
    return net.readout("w", end + net.matrix("A", n, n) @ last + first)


def nonlinear(net, x):
    """All of it with functions of sites and biases, in a scan from -1."""
    n = net.hidden("N")
    weights, bias = net.matrix("W", n, n, layers=(1, net.depth)), net.vector("b", n, layers=(1, net.depth))
    first = np.tanh(weights[1] @ (net.matrix("W0", net.inputs, n) @ x) + bias[1])
    h = net.scan(
        lambda layer, h: h / 2 + weights[layer + 3] @ np.tanh(h) + bias[layer + 3], first, layers=(-1, net.depth - 3)
    )
    return net.readout("w", np.tanh(h) + first)


def normalised(net, x):
    """Averages, and a vector that every layer reads, in a scan that counts from 0."""
    n = net.hidden("N")
    weights, skip = net.matrix("W", n, n, layers=(1, net.depth)), net.matrix("V", n, n)
    first = net.matrix("W0", net.inputs, n) @ x

    def layer(number, h):
        size = net.mean("size", lambda a: a**2, h)
        scaled = net.apply(lambda a, s: sp.tanh(a) / sp.sqrt(s + 1), h, size)
        return h / 2 + weights[number + 1] @ scaled + skip @ first / (number + 1)

    return net.readout("w", np.tanh(net.scan(layer, first, layers=(0, net.depth - 1))))


def run(forward, **parameters):
    return ds.derive(ds.network(forward)).compile("numpy")(steps=6, **PROPORTIONAL, **parameters)


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("forward", [shifted, outside, reused])
def test_both_methods_agree(forward, depth):
    if forward is outside and depth == 1:
        return  # its first member would be its last one
    theory = ds.derive(ds.network(forward))
    found = compare_routes(theory, {**PROPORTIONAL, "depth": depth, "outputs": 2}, steps=6)
    assert found.worst()[1] < 1e-10, found.worst()


def test_numbering_is_a_matter_of_taste():
    runs = [run(forward, depth=4) for forward in (shifted, plain)]
    np.testing.assert_allclose(runs[0].test_loss, runs[1].test_loss, rtol=1e-13)


def test_members_outside_are_matrices_of_their_own():
    text = str(ds.derive(ds.network(outside, depth=3)).program)
    for line in (
        "matrix W1: N -> N, entries N(0, s2/n_N)",
        "matrix W[2..L - 1]: N -> N, entries N(0, s2/n_N)",
        "matrix W_L: N -> N, entries N(0, s2/n_N)",
        "learn W[l]: (eta0*gamma*l) g[l + 1] h[l]^T",
        "learn W_L: (L*eta0*gamma) h[L] g2^T",
        "learn W1: (eta0*gamma) g[2] h1^T",
    ):
        assert line in text, text


def test_a_family_may_be_written_out():
    def written(net, x):
        n = net.hidden("N")
        weights, h = net.matrix("W", n, n, layers=(1, 2)), net.matrix("W0", net.inputs, n) @ x
        for layer in (1, 2):
            h = weights[layer] @ h
        return net.readout("w", h)

    expected = ds.derive(ds.deep_linear(3)).compile("numpy")(steps=6, **PROPORTIONAL)
    np.testing.assert_allclose(run(written).test_loss, expected.test_loss, rtol=1e-13)


@pytest.mark.parametrize("forward", [nonlinear, normalised])
def test_they_descend_the_gradient_on_given_samples(forward):
    check(ds.derive(ds.network(forward, depth=4, outputs=2), data=made_samples(90, 3, 2)))


@pytest.mark.parametrize("forward", [nonlinear, pytest.param(normalised, marks=pytest.mark.slow)])
def test_generated_sampled_solver_is_the_plain_one(forward):
    theory = ds.derive(ds.network(forward, depth=3), data=made_samples(91, 3))
    arguments = {"richness": 2.0, "learning_rate": 0.1, "steps": 5, "sites": 400, "replicas": 2, "kernels": [4]}
    plain, generated = (theory.compile(backend)(**arguments) for backend in ("numpy", "numba"))
    for part in ("f", "NTK"):
        np.testing.assert_allclose(plain[part], generated[part], rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("forward", "sites"),
    [
        (nonlinear, 2_000),
        pytest.param(nonlinear, 16_000, marks=pytest.mark.slow),
        pytest.param(normalised, 6_000, marks=pytest.mark.slow),
    ],
)
def test_equations_of_sampled_sites_agree_with_conditioning(forward, sites):
    theory = ds.derive(ds.network(forward, depth=3), data=made_samples(91, 3))
    arguments = {"richness": 2.0, "learning_rate": 0.1, "steps": 5, "replicas": 8}
    first = theory.compile("numpy")(sites=3 * sites // 2, **arguments)
    second = theory.compile("numpy")(method="equations", sites=sites, **arguments)
    z = (first.f - second.f) / np.hypot(first.f_sem, second.f_sem)
    assert abs(z.isel(step=slice(1, None))).max() < 4


def refused(use, layers=(1, 3)):
    def forward(net, x):
        n = net.hidden("N")
        weights = net.matrix("W", n, n, layers=layers)
        return net.readout("w", use(net, weights, net.matrix("W0", net.inputs, n) @ x))

    with pytest.raises(ProgramError) as caught:
        ds.derive(ds.network(forward))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_refused():
    def scanned(w, layers, shift=0):
        return lambda net, h: net.scan(lambda layer, h: w[layer + shift] @ h, h, layers=layers)

    assert "and outside of it by members that no scan uses, at its ends" in refused(lambda net, w, h: w[2] @ h)
    assert "outside of it by members" in refused(lambda net, w, h: w[4] @ h)
    both = refused(lambda net, w, h: w[1] @ scanned(w, (1, 3))(net, h))
    assert "declare a family for every scan, here with layers=(1, 3)" in both
    left = refused(lambda net, w, h: scanned(w, (1, 2))(net, h))
    assert "the scan runs over the layers 1..2, but the family W has 1..3" in left
    assert "inside the scan over l a family is indexed by l itself" in refused(
        lambda net, w, h: scanned(w, (1, 3), 1)(net, h)
    )
    mixed = refused(lambda net, w, h: net.scan(lambda layer, h: w[layer] @ h + w[layer + 1] @ h, h, layers=(1, 2)))
    assert "declare a family for every scan" in mixed
