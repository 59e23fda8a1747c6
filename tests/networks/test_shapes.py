"""Shapes of networks that people build, a forward pass each: derived, run by both methods, and trained by hand.

Finite networks are those of an independent trainer to rounding. Linear forms of the shapes are Gaussian, and both
methods are exact; with their nonlinearities both sample, and agree within their errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import sympy as sp
from independent_trainer import SCHEDULES, finite_outputs, train_on_samples

import dmft_sym as ds

TOKENS = 2
RNG = np.random.default_rng(12)
PLAIN = ds.Samples(RNG.standard_normal((3, 5)), RNG.standard_normal((3, 1)))
SEQUENCES = ds.Samples(RNG.standard_normal((2, TOKENS, 5)), RNG.standard_normal((2, 1)), labels=("token",))
RUN = {"steps": 4, "learning_rate": 0.1, "richness": 1.2}
SHAPES = {}


@dataclass(frozen=True)
class Shape:
    """A forward pass ``(net, x, phi)``, the function ``phi`` being linear in one form of it; how it is trained."""

    forward: object
    data: ds.Samples = PLAIN
    depth: int | None = None
    linear: bool = True
    training: dict = field(default_factory=dict)

    def theory(self, phi):
        """The theory, and the forward pass with this nonlinearity."""

        def forward(net, x):
            act = (lambda h: h) if phi is None else (lambda h: net.apply(phi, h))
            return self.forward(net, x, act)

        network = ds.network(forward, name=self.forward.__name__, depth=self.depth)
        return forward, ds.derive(network, data=self.data, training=ds.GradientDescent(**self.training))


def shape(**options):
    """Register a forward pass; ``linear=False`` has products of fields in any form."""

    def registered(forward):
        SHAPES[forward.__name__] = Shape(forward, **options)
        return forward

    return registered


@shape()
def parallel(net, x, phi):
    n = net.hidden("N")
    h = phi(net.matrix("W0", net.inputs, n) @ x)
    return net.readout("w", phi(net.matrix("A", n, n) @ h) + phi(net.matrix("B", n, n) @ h))


@shape()
def bottleneck(net, x, phi):
    wide, narrow = net.hidden("N"), net.hidden("M", 0.25)
    code = phi(net.matrix("B", wide, narrow) @ phi(net.matrix("A", net.inputs, wide) @ x))
    return net.readout("w", phi(net.matrix("C", narrow, wide) @ code))


@shape(depth=3)
def tied_with_reinjection(net, x, phi):
    n = net.hidden("N")
    weights, first = net.matrix("W", n, n), net.matrix("W0", net.inputs, n) @ x
    return net.readout("w", net.scan(lambda _, h: weights @ phi(h) / 2 + first, first, layers=(1, net.depth - 1)))


@shape(depth=3)
def residual_blocks_of_two_layers(net, x, phi):
    n, span = net.hidden("N"), (1, net.depth - 1)
    a, b = (net.matrix(name, n, n, layers=span) for name in "AB")
    first, scale = net.matrix("W0", net.inputs, n) @ x, 1 / sp.sqrt(net.depth)
    last = net.scan(lambda layer, h: h + scale * (b[layer] @ phi(a[layer] @ phi(h))), first, layers=span)
    return net.readout("w", phi(last))


@shape()
def skips(net, x, phi):
    n = net.hidden("N")
    h = phi(net.matrix("A", net.inputs, n) @ x)
    k = phi(net.matrix("B", n, n) @ h + net.matrix("S", net.inputs, n) @ x)
    return net.readout("w", k + h / 2) + net.readout("v", h)


@shape()
def trunk_with_heads(net, x, phi):
    n, m = net.hidden("N"), net.hidden("M", 0.5)
    trunk = phi(net.matrix("W0", net.inputs, n) @ x)
    heads = [net.readout(f"w{k}", phi(net.matrix(f"H{k}", n, m) @ trunk)) for k in range(2)]
    return heads[0] - heads[1] / 2


@shape()
def lora(net, x, phi):
    """A frozen matrix with a trained correction of low rank, which starts at zero."""
    n, m = net.hidden("N"), net.hidden("M", 0.25)
    h = phi(net.matrix("W0", net.inputs, n, train=False) @ x)
    update = net.matrix("B", m, n, init=0) @ (net.matrix("A", n, m) @ h)
    return net.readout("w", phi(net.matrix("W", n, n, train=False) @ h + update), train=False)


@shape()
def frozen_middle(net, x, phi):
    n = net.hidden("N")
    h = phi(net.matrix("W0", net.inputs, n) @ x)
    h = phi(net.matrix("W1", n, n, train=False) @ h)
    return net.readout("w", phi(net.matrix("W2", n, n) @ h))


@shape()
def densenet(net, x, phi):
    """Every layer reads all of those below."""
    n = net.hidden("N")
    layers = [phi(net.matrix("W0", net.inputs, n) @ x)]
    for k in range(2):
        layers.append(phi(sum(net.matrix(f"W{k}{j}", n, n) @ h for j, h in enumerate(layers))))
    return net.readout("w", sum(layers))


@shape(data=ds.Samples({"x": PLAIN.inputs, "x2": RNG.standard_normal((3, 2))}, PLAIN.targets))
def recurrent(net, x, phi):
    """One matrix for all times, an input at two of them, and an output that sees the last."""
    n, later = net.hidden("N"), net.given("x2")
    weights, first, second = net.matrix("W", n, n), net.matrix("U", net.inputs, n), net.matrix("V", later.space, n)
    h = phi(first @ x)
    h = phi(weights @ h + second @ later)
    return net.readout("w", phi(weights @ h))


@shape(data=SEQUENCES)
def convolution(net, x, phi):
    token, n = net.label("token", TOKENS), net.hidden("N")
    other = token.copy()
    h = phi(net.matrix("W0", net.inputs, n) @ x)
    here, there = net.matrix("A", n, n), net.matrix("B", n, n)
    near = net.sum((there @ h).at(other) * other.values([[0.0, 1.0], [1.0, 0.0]], token), over=other)
    return net.readout("w", net.sum(phi(here @ h + near), over=token))


@shape(linear=False)
def swiglu(net, x, phi):
    n, m = net.hidden("N"), net.hidden("M", 1.5)
    h = net.matrix("W0", net.inputs, n) @ x
    gate = net.apply("silu", net.matrix("A", n, m) @ h)
    return net.readout("w", h + net.matrix("C", m, n) @ (gate * (net.matrix("B", n, m) @ h)))


@shape()
def rms_norm(net, x, phi):
    n = net.hidden("N")
    h = net.matrix("W0", net.inputs, n) @ x
    k = net.matrix("W", n, n) @ phi(h / ds.norm(h))
    return net.readout("w", phi(k / ds.norm(k)))


@shape(linear=False)
def layer_norm(net, x, phi):
    """With a gain and a bias."""
    n = net.hidden("N")
    h = net.apply(lambda a: sp.tanh(a) + a**2 / 4, net.matrix("W0", net.inputs, n) @ x)
    centred = h - ds.mean(h)
    scaled = centred / net.apply(lambda v: sp.sqrt(v + 0.1), ds.mean(centred * centred))
    return net.readout("w", phi(net.matrix("W", n, n) @ (net.vector("a", n) * scaled + net.vector("b", n, init=0))))


@shape(data=SEQUENCES)
def attention(net, x, phi):
    token, n = net.label("token", TOKENS), net.hidden("N")
    other = token.copy()
    q, k, v = (net.matrix(name, net.inputs, n) @ x for name in "QKV")
    weights = ds.softmax(2 * ds.mean(q * k.at(other)), over=other)
    return net.readout("w", net.sum(phi(net.sum(weights * v.at(other), over=other)), over=token))


@shape()
def experts(net, x, phi):
    """Two of them, mixed by a softmax of scores that are averages over sites."""
    expert, n = net.label("expert", 2), net.hidden("N")
    h = phi(net.matrix("W0", net.inputs, n) @ x)
    first, second = (net.matrix(name, n, n) @ h for name in "AB")
    scores = ds.mean(h * first) * expert.values([1.0, 0.0]) + ds.mean(h * second) * expert.values([0.0, 1.0])
    share = ds.softmax(2 * scores, over=expert)
    mixed = (share * expert.values([1.0, 0.0])) * phi(first) + (share * expert.values([0.0, 1.0])) * phi(second)
    return net.readout("w", net.sum(mixed, over=expert))


@shape(linear=False)
def gates(net, x, phi):
    n = net.hidden("N")
    h, gate = net.matrix("A", net.inputs, n) @ x, net.matrix("B", net.inputs, n) @ x
    return net.readout("w", phi(net.matrix("C", n, n) @ (h * net.apply(lambda g: 1 / (1 + sp.exp(-g)), gate))))


@shape()
def tied_autoencoder(net, x, phi):
    wide, narrow = net.hidden("N"), net.hidden("M", 0.5)
    weights, h = net.matrix("W", wide, narrow), phi(net.matrix("W0", net.inputs, wide) @ x)
    return net.readout("w", phi(weights.T @ phi(weights @ h)))


@shape()
def biases(net, x, phi):
    n = net.hidden("N")
    h = phi(net.matrix("W0", net.inputs, n) @ x + net.vector("b0", n, init=0))
    return net.readout("w", phi(net.matrix("W1", n, n) @ h + net.vector("b1", n, init=0.5, learning_rate=2)))


@shape(data=SEQUENCES)
def tokens_on_data(net, x, phi):
    token, n = net.label("token", TOKENS), net.hidden("N")
    bag = net.sum(phi(net.matrix("W", net.inputs, n) @ x), over=token)
    return net.readout("w", phi(net.matrix("V", n, n) @ bag))


def two_layers(net, x, phi):
    n = net.hidden("N")
    return net.readout("w", phi(net.matrix("W1", n, n) @ phi(net.matrix("W0", net.inputs, n) @ x)))


SHAPES |= {
    "nesterov": Shape(two_layers, training={"momentum": 0.5, "nesterov": True}),
    "cosine schedule": Shape(two_layers, training={"schedule": "cosine"}),
    "mini-batches": Shape(two_layers, training={"batch": 2, "seed": 3}),
}
LINEAR = [name for name, made in SHAPES.items() if made.linear]
LONG = ("residual_blocks_of_two_layers", "convolution", "densenet", "experts")
FAST = ("swiglu", "tokens_on_data")
"""Whose linear form is not run by both methods in `make test`, and whose nonlinear form is."""


def check_finite(made, forward, theory):
    """The finite network is that of the independent trainer, and it learns."""
    finite = {**RUN, "width": 24, "seed": 5}
    ours = finite_outputs(theory, **finite)
    theirs = train_on_samples(forward, theory, schedule=SCHEDULES[made.training.get("schedule")], **finite)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    assert np.abs(theirs[-1] - theirs[0]).max() > 1e-2


@pytest.mark.parametrize("name", SHAPES)
def test_finite_networks(name):
    check_finite(SHAPES[name], *SHAPES[name].theory("tanh"))


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in LONG else ()) for n in LINEAR])
def test_linear_form_by_both_methods(name):
    forward, theory = SHAPES[name].theory(None)
    check_finite(SHAPES[name], forward, theory)
    solver = theory.compile("numpy")
    ours, theirs = solver(method="conditioning", tol=1e-12, **RUN), solver(method="equations", **RUN)
    assert ours.attrs["exact"]
    assert theirs.attrs["exact"]
    np.testing.assert_allclose(ours.f, theirs.f, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in SHAPES])
def test_nonlinear_form_by_both_methods(name):
    _, theory = SHAPES[name].theory("tanh")
    solver = theory.compile("numpy")
    ours, theirs = (
        solver(method=method, sites=sites, replicas=8, **RUN)
        for method, sites in (("conditioning", 8000), ("equations", 800))
    )
    z = np.abs(ours.f - theirs.f) / np.hypot(ours.f_sem, theirs.f_sem)
    assert float(z.isel(step=slice(1, None)).max()) < 4.5
    simulated = ds.simulate(theory, width=300, seeds=16, **RUN)
    error = np.hypot(simulated.f.std("seed", ddof=1) / 4, ours.f_sem)
    assert float((np.abs(simulated.f.mean("seed") - ours.f) / error).isel(step=slice(1, None)).max()) < 5
