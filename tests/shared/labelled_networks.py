"""Forward passes with labels of their own, each with another way in which labels meet."""

from __future__ import annotations

import numpy as np
import sympy as sp

import dmft_sym as ds

TOKENS = 3


def layers_of_attention(net, x):
    """Attention inside of a scan, with a residual stream, and a bias for all tokens."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    other = token.copy()
    h = net.apply("tanh", net.matrix("E", net.inputs, n) @ x + net.vector("b", n))
    keys, values = (net.matrix(name, n, n, layers=(1, 2)) for name in "KV")

    def layer(number, h):
        weights = ds.softmax(2 * ds.mean(h * (keys[number] @ h).at(other)), over=other)
        return h + net.apply("tanh", net.sum(weights * (values[number] @ h).at(other), over=other))

    return net.readout("w", net.sum(net.scan(layer, h, layers=(1, 2)), over=token))


def heads(net, x):
    """Two labels, one of known numbers, that are summed over one after the other."""
    token, head, n = net.label("token", TOKENS), net.label("head", 2), net.hidden("N")
    h = net.matrix("W", net.inputs, n) @ x
    e = net.apply("tanh", h * head.values([0.5, 2.0]))
    v = net.apply("sin(2*h)", net.matrix("V", n, n) @ net.sum(e, over=token))
    return net.readout("w", net.sum(v * head.values([1.0, -1.0]), over=head))


def normalised(net, x):
    """Every token is divided by its size, and by the size of all."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    h = net.matrix("W", net.inputs, n) @ x
    e = net.matrix("V", n, n) @ net.apply("tanh", h / net.apply(lambda s: sp.sqrt(1 + s), ds.mean(h * h)))
    total = net.sum(ds.mean(e * e), over=token)
    return net.readout("w", ds.mean(net.apply("tanh", e) / (1 + total) ** 2, over=token))


def mixed(net, x):
    """The mean of the tokens, which has no label, added to every token."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    h = net.apply("tanh", net.matrix("W", net.inputs, n) @ x)
    e = net.apply("tanh", h + net.matrix("V", n, n) @ ds.mean(h, over=token))
    return net.readout("w", net.sum(e, over=token)) + net.readout("v", net.sum(h, over=token))


def pairs(net, x):
    """A nonlinear function of two tokens, and one matrix that acts at both places."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    other = token.copy("with_token")
    h = net.matrix("W", net.inputs, n) @ x
    weights = net.matrix("V", n, n)
    both = net.apply("tanh", weights @ h - 0.5 * (weights @ h.at(other)))
    moved = net.apply(lambda a, b: sp.tanh(a) * b, both, net.apply("tanh", h) * token.values([1.0, 0.5, -1.0]))
    return net.readout("w", net.sum(net.sum(moved, over=token), over=other))


def pooled(net, x):
    """Softmax of one index, with scores that other scalars multiply and known numbers shift; and before a matrix."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    h = net.matrix("W", net.inputs, n) @ x
    g = net.apply("tanh", net.matrix("V", n, n) @ net.sum(net.apply("tanh", h), over=token))
    scores = 3 * ds.mean(h * g) * ds.mean(h * h) + token.values([0.3, 0.0, -0.2])
    weights = ds.softmax(scores, over=token)
    top = net.matrix("U", n, n) @ net.sum(weights * net.apply("tanh", h), over=token)
    return net.readout("w", net.apply("tanh", top) + top / 2)


def convolution(net, x):
    """Neighbours by a second index with known weights, between two layers that the tokens share."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    other = token.copy()
    h = net.apply("tanh", net.matrix("W", net.inputs, n) @ x)
    near = net.sum(h.at(other) * other.values([0.2, 0.5, 0.3]), over=other)
    e = net.apply("tanh", net.matrix("V", n, n) @ (h * token.values([1.0, -0.5, 0.5]) + near))
    return net.readout("w", net.sum(e * (1 + ds.norm(e)), over=token))


def causal(net, x):
    """A kernel of two indices, and a mask that lets a token see those before it."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    before = token.copy("before")
    e = net.apply("tanh", net.matrix("W", net.inputs, n) @ x)
    kernel = before.values([[0.0, 1.0, 0.5], [0.0, 0.0, -1.0], [0.0, 0.0, 0.0]], token)
    mask = token.values(np.where(np.tri(TOKENS), 0.0, -50.0), before, name="mask")
    weights = ds.softmax(2 * ds.mean(e * e.at(before)) + mask, over=before)
    h = net.matrix("V", n, n) @ net.sum((weights + kernel) * e.at(before), over=before)
    return net.readout("w", net.sum(net.apply("tanh", h), over=token))


def scores_of_all(net, x):
    """Scores at both places, a softmax along each index, and a norm of scalars over a label."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    other = token.copy()
    q, k = (net.matrix(name, net.inputs, n) @ x for name in "QK")
    scores = 2 * ds.mean(q * k.at(other))
    along, across = ds.softmax(scores, over=other), ds.softmax(scores, over=token)
    size = net.apply(lambda s: sp.sqrt(1 + s), net.sum(scores * scores, over=other))
    e = net.apply("tanh", net.sum(along * across / size * k.at(other), over=other))
    return net.readout("w", net.sum(e, over=token))


def bias_sum(net, x):
    """What has no label is added under sums: a bias, other layers, parts of functions of vectors and scalars."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    h = net.matrix("W", net.inputs, n) @ x
    s = net.sum(net.apply("tanh", h), over=token)
    part = net.apply(lambda a, b: a + sp.tanh(b), h, s)
    shared = net.sum(h + net.vector("b", n) + net.matrix("V", n, n) @ s, over=token) + net.sum(part, over=token)
    norms = net.sum(net.apply(lambda a, b: a + b**2, ds.mean(h * h), ds.mean(s * s)), over=token)
    return net.readout("w", shared) + net.readout("v", net.apply("tanh", shared) / (1 + norms))


def center(net, x):
    """Every token minus the mean of all, before a nonlinearity and under a sum."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    h = net.apply("tanh", net.matrix("W", net.inputs, n) @ x)
    e = net.matrix("V", n, n) @ (h - ds.mean(h, over=token))
    return net.readout("w", net.sum(net.apply("tanh(2*h)", e - ds.mean(e, over=token) / 2), over=token))


def sum_plus_itself(net, x):
    """The sum of all tokens added to half of each, and summed again."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    h = net.matrix("W", net.inputs, n) @ x
    e = net.sum(h, over=token) + h / 2
    return net.readout("w", net.sum(e + net.apply("tanh", e), over=token))


def additive_attention(net, x):
    """Scores ``<v tanh(q_i + k_j)>``, and sums of two places that are not multiplied."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    other = token.copy()
    h = net.apply("tanh", net.matrix("E", net.inputs, n) @ x)
    q, k = net.matrix("Q", n, n) @ h, net.matrix("K", n, n) @ h
    v = net.apply("tanh", net.matrix("A", n, n) @ net.sum(h, over=token))
    weights = ds.softmax(3 * ds.mean(v * net.apply("tanh", q + k.at(other))), over=other)
    e = net.sum(weights * h.at(other), over=other) + net.sum(q / 2 + k.at(other), over=other)
    return net.readout("w", net.sum(net.apply("tanh", e), over=token))


LABELLED = {
    made.__name__: made
    for made in (
        layers_of_attention,
        heads,
        normalised,
        mixed,
        pairs,
        pooled,
        convolution,
        causal,
        scores_of_all,
        bias_sum,
        center,
        sum_plus_itself,
        additive_attention,
    )
}


def sequences(seed, count, outputs=2, dim=5):
    """Sequences with normal entries."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((count, TOKENS, dim))
    return ds.Samples(inputs, rng.standard_normal((count, outputs)), labels=("token",))
