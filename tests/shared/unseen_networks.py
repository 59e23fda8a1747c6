"""Forward passes that nobody has written before, for tests on given samples."""

from __future__ import annotations

import sympy as sp

import dmft_sym as ds

H = sp.Symbol("h", real=True)


def gated(net, x):
    """Two matrices from the inputs; one switches the other, and a third mixes the product."""
    n = net.hidden("N")
    value, gate = net.matrix("A", net.inputs, n) @ x, net.matrix("B", net.inputs, n) @ x
    mixed = net.matrix("C", n, n) @ net.apply(lambda a, b: a / (1 + sp.exp(-2 * b)), value, gate)
    return net.readout("w", net.apply("tanh", mixed))


def normalised(net, x):
    """Layer normalisation between two layers: mean and variance over the sites of a layer are scalars."""
    n = net.hidden("N")
    h = net.apply("h + tanh(2*h)/2", net.matrix("A", net.inputs, n) @ x)
    mean = net.mean("m", lambda a: a, h)
    variance = net.mean("v", lambda a, m: (a - m) ** 2, h, mean)
    scaled = net.apply(lambda a, m, v: (a - m) / sp.sqrt(v + sp.Rational(1, 10)), h, mean, variance)
    return net.readout("w", net.apply("tanh", net.matrix("B", n, n) @ scaled))


def residual(net, x):
    """``h[l+1] = h[l] + b W[l] tanh(h[l])`` over any number of layers."""
    n, b = net.hidden("N"), net.parameter("b", 0.6)
    weights = net.matrix("W", n, n, layers=(1, net.depth - 1))
    first = net.matrix("W0", net.inputs, n) @ x
    last = net.scan(
        lambda layer, h: h + b * (weights[layer] @ net.apply("tanh", h)),
        first,
        layers=(1, net.depth - 1),
    )
    return net.readout("w", net.apply("erf", last))


def tied(net, x):
    """The same matrix at every layer, nonlinear, with the first layer fed in again."""
    n = net.hidden("N")
    weights = net.matrix("W", n, n)
    first = net.matrix("W0", net.inputs, n) @ x
    last = net.scan(
        lambda _, h: weights @ net.apply("tanh", h) + first / 2,
        first,
        layers=(1, net.depth - 1),
    )
    return net.readout("w", net.apply("tanh", last))


def bottleneck(net, x):
    """A layer of half the width and one of three quarters, between wide ones."""
    wide, narrow = net.hidden("N"), net.hidden("M", sp.Rational(1, 2))
    other = net.hidden("K", sp.Rational(3, 4))
    h = net.apply("tanh", net.matrix("A", net.inputs, wide) @ x)
    k = net.apply("softplus", net.matrix("B", wide, narrow) @ h)
    return net.readout("w", net.apply("tanh", net.matrix("C", narrow, other) @ k))


def frozen_first(net, x):
    """Random features that are not trained, below a trained layer."""
    n = net.hidden("N")
    h = net.apply("relu", net.matrix("A", net.inputs, n, train=False) @ x)
    return net.readout("w", net.apply("tanh", net.matrix("B", n, n) @ h))


def product_of_inputs(net, x):
    """The product of two linear maps of the inputs, plus one of them, read out after a quadratic-like unit."""
    n = net.hidden("N")
    a, b = net.matrix("A", net.inputs, n) @ x, net.matrix("B", net.inputs, n) @ x
    return net.readout("w", net.apply("sin", a * b / 2 + b))


def two_readouts(net, x):
    """Layers of different width are read out, the first of them with a smaller coefficient."""
    wide, narrow = net.hidden("N"), net.hidden("M", sp.Rational(1, 2))
    h = net.apply("tanh", net.matrix("A", net.inputs, wide) @ x)
    k = net.apply("gelu", net.matrix("B", wide, narrow, init=sp.Rational(5, 4)) @ h)
    return net.readout("v", h) / 2 + net.readout("w", k)


def two_carries(net, x):
    """The next value of a carry acts on the other one within the same layer."""
    n = net.hidden("N")
    first, second = (net.matrix(name, n, n, layers=(1, net.depth - 1)) for name in ("V", "W"))

    def body(layer, h, k):
        after = first[layer] @ net.apply("sin", h)
        return second[layer] @ net.apply("tanh", h) + net.apply("tanh", after) * k / 2, after

    start = net.matrix("A", net.inputs, n) @ x, net.matrix("B", net.inputs, n) @ x
    h, k = net.scan(body, start, layers=(1, net.depth - 1), name=("h", "k"))
    return net.readout("w", h) + net.readout("u", k)


def autoencoder(net, x):
    """A narrow layer that is read back through the transpose of the matrix that made it."""
    wide, narrow = net.hidden("N"), net.hidden("M", sp.Rational(1, 2))
    weights = net.matrix("W", wide, narrow)
    h = net.apply("tanh", net.matrix("A", net.inputs, wide) @ x)
    code = net.apply("tanh", weights @ h)
    return net.readout("w", net.apply("tanh", weights.T @ code))


def symmetric_residual(net, x):
    """``h[l+1] = h[l] + b W[l]^T tanh(W[l] h[l])``, with a second layer of its own width."""
    wide, narrow = net.hidden("N"), net.hidden("M", sp.Rational(3, 4))
    weights = net.matrix("W", wide, narrow, layers=(1, net.depth - 1))
    last = net.scan(
        lambda layer, h: h + weights[layer].T @ net.apply("tanh", weights[layer] @ h) / 2,
        net.matrix("A", net.inputs, wide) @ x,
        layers=(1, net.depth - 1),
    )
    return net.readout("w", net.apply("tanh", last))


def symmetric_tied(net, x):
    """One matrix and its transpose at every layer."""
    n = net.hidden("N")
    weights = net.matrix("W", n, n)
    last = net.scan(
        lambda layer, h: h + weights.T @ net.apply("tanh", weights @ h) / 2,
        net.matrix("A", net.inputs, n) @ x,
        layers=(1, net.depth - 1),
    )
    return net.readout("w", net.apply("tanh", last))


def skip_from_start(net, x):
    """What a scan starts from, which has no name, is used after it too: by a matrix and by a readout."""
    n = net.hidden("N")
    weights, skip = net.matrix("W", n, n, layers=(1, net.depth - 1)), net.matrix("S", n, n)
    first = net.matrix("A", net.inputs, n) @ x
    last = net.scan(lambda layer, h: weights[layer] @ net.apply("tanh", h), first, layers=(1, net.depth - 1))
    return net.readout("w", net.apply("tanh", last + skip @ first)) + net.readout("v", first)


FORWARDS = {
    f.__name__: f
    for f in (
        gated,
        normalised,
        residual,
        tied,
        bottleneck,
        frozen_first,
        product_of_inputs,
        two_readouts,
        two_carries,
        autoencoder,
        symmetric_residual,
        symmetric_tied,
        skip_from_start,
    )
}


def made_network(name: str, outputs: int = 1):
    """One of the above, with three layers where their number is open."""
    scans = ("residual", "tied", "two_carries", "symmetric_residual", "symmetric_tied", "skip_from_start")
    depth = 3 if name in scans else None
    return ds.network(FORWARDS[name], outputs=outputs, depth=depth)
