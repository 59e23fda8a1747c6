"""Networks of our own on given samples, with averages, products of fields and spaces of several widths."""

from __future__ import annotations

import numpy as np
import sympy as sp

import dmft_sym as ds

X = np.array([[1.0, 0.5, -0.3], [-0.4, 1.2, 0.8]])
Y = np.array([1.0, -1.0])


def theory_of(network, inputs=X, targets=Y, training=None, **options):
    """The theory of a network, or of a bare forward pass, on given samples."""
    network = network if isinstance(network, ds.Network) else ds.network(network)
    outputs = np.asarray(targets).reshape(len(targets), -1).shape[1]
    if network.outputs != outputs:
        raise AssertionError(f"the network has {network.outputs} outputs, the targets {outputs}")
    return ds.derive(network, data=ds.Samples(inputs, targets, **options), training=training)


def gated(net, x):
    """Two spaces, a product of fields, a normalisation by an average, a skip to a second readout."""
    n, m = net.hidden("N"), net.hidden("M", width=2)
    value = net.matrix("A", net.inputs, n) @ x
    gate = net.matrix("B", net.inputs, n) @ x
    k = value * net.apply(lambda h: 1 / (1 + sp.exp(-h)), gate)
    size = net.mean("s", lambda h: h**2 + sp.Rational(1, 10), k)
    k = net.apply(lambda h, q: h / sp.sqrt(q), k, size)
    c = net.matrix("V", n, m) @ k + net.matrix("U", net.inputs, m) @ x
    return net.readout("w", net.apply(sp.sin, c)) + net.readout("u", k + value)


def tied(function):
    """One matrix at all layers, with a skip."""

    def forward(net, x):
        n = net.hidden("N")
        w = net.matrix("W", n, n)
        first = net.matrix("W0", net.inputs, n) @ x
        h = net.scan(lambda _, h: h / 2 + w @ net.apply(function, h), first, layers=(1, net.depth - 1))
        return net.readout("w", h)

    return ds.network(forward, name="tied", depth=3)


def symmetric(function):
    """A matrix and its transpose at every layer, with a skip."""

    def forward(net, x):
        n, m = net.hidden("N"), net.hidden("M", width=sp.Rational(1, 2))
        w = net.matrix("W", n, m)
        first = net.matrix("W0", net.inputs, n) @ x
        h = net.scan(lambda _, h: h / 2 + w.T @ net.apply(function, w @ h), first, layers=(1, net.depth - 1))
        return net.readout("w", h)

    return ds.network(forward, name="symmetric", depth=3)


def normalised(net, x):
    """Linear but for an average, which is a number: two spaces of different width, two readouts."""
    n, m = net.hidden("N"), net.hidden("M", width=sp.Rational(3, 2))
    h = net.matrix("A", net.inputs, n) @ x
    size = net.mean("q", lambda h: h**2, h)
    k = net.apply(lambda h, s: h / sp.sqrt(s + 1), h, size)
    h = net.matrix("V", n, m) @ k
    return net.readout("w", net.matrix("Q", m, m) @ h + h / 3) + net.readout("u", k)


def half_linear(net, x):
    """A linear space that feeds a nonlinear one."""
    n, m = net.hidden("N"), net.hidden("M", width=2)
    h = net.matrix("V", n, m) @ (net.matrix("A", net.inputs, n) @ x)
    return net.readout("w", net.matrix("Q", m, m) @ net.apply(sp.tanh, h))


def linear_below(net, x):
    """Two linear layers below a nonlinear one, all of one space."""
    n = net.hidden("N")
    h = net.matrix("B", n, n) @ (net.matrix("A", net.inputs, n) @ x)
    return net.readout("w", net.apply(sp.tanh, net.matrix("C", n, n) @ h))
