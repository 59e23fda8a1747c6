"""What a forward pass cannot be made of is refused in one line that says what to write."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp
from samples_and_scores import made_samples

import dmft_sym as ds
from dmft_sym.program import ProgramError

SCAN = "net.scan(lambda l, h: W[l] @ h, h, layers=(1, net.depth - 1))"
CASES = {
    "a loop over the depth": (lambda net, W, h: [W @ h for _ in range(net.depth)], SCAN),
    "a loop over a part of it": (lambda net, W, h: [W @ h for _ in range(1, net.depth)], SCAN),
    "the depth as an integer": (lambda net, W, h: int(net.depth), SCAN),
    "a condition on the depth": (
        lambda net, W, h: h if net.depth > 1 else W @ h,
        "ranges of layers, which may be empty",
    ),
    "a vector times a matrix": (lambda net, W, h: h @ W, "W @ h, its transpose by W.T @ h"),
    "a product of two vectors": (lambda net, W, h: h @ h, 'net.mean("m", lambda a, b: a * b, u, v)'),
    "an array times a vector": (lambda net, W, h: np.ones((2, 2)) @ h, "net.matrix(name, source, target) @ h"),
    "a space times a vector": (lambda net, W, h: net.inputs @ h, "net.matrix(name, source, target) @ h"),
    "a matrix that is called": (lambda net, W, h: W(h), "by W @ h"),
    "a vector that multiplies a matrix": (lambda net, W, h: h * W, "by W @ h"),
    "where": (lambda net, W, h: np.where(h > 0, h, 0), "sympy.Piecewise((h, h > 0), (0, True))"),
    "a case": (lambda net, W, h: h if h > 0 else -h, 'net.apply("relu", h)'),
    "a truth value": (lambda net, W, h: h or h, 'net.apply("relu", h)'),
    "clip": (lambda net, W, h: np.clip(h, -1, 1), "sympy.Max(-1, sympy.Min(1, h))"),
    "a function of NumPy as an activation": (lambda net, W, h: net.apply(np.tanh, h), 'a name such as "tanh"'),
    "one inside of an activation": (lambda net, W, h: net.apply(lambda a: np.maximum(a, 0), h), "sympy.Max"),
    "an unknown function of NumPy": (lambda net, W, h: np.maximum(h, 0), "net.apply(function, vector)"),
    "a function of one number": (lambda net, W, h: math.tanh(h), "np.tanh(h) and the like"),
    "a function of SymPy": (lambda net, W, h: sp.tanh(h), "net.apply(sympy.tanh, h)"),
    "abs": (lambda net, W, h: abs(h), 'net.apply("abs", vector)'),
    "a square": (lambda net, W, h: h**2, "net.apply(lambda h: h**2, vector)"),
    "an exponential": (lambda net, W, h: 2**h, "net.apply(lambda h: 2**h, vector)"),
    "a mean": (lambda net, W, h: np.mean(h), "net.mean(name, lambda h: h, h)"),
    "an array": (lambda net, W, h: np.array(h), "which has no values"),
    "a sum over sites": (lambda net, W, h: sum(v for v in h), "averages are net.mean(...)"),
    "a space by its size": (lambda net, W, h: net.hidden(100), 'allowed is a name, net.hidden("N")'),
    "an activation behind its vector": (lambda net, W, h: net.apply(h, "tanh"), "net.apply(function, h)"),
    "an average from outside of a scan": (
        lambda net, W, h: (m := ds.mean(h * h)) and net.scan(lambda k, a: m * (W @ a), h, layers=(1, net.depth - 1)),
        "averages of its own vectors, such as ds.mean(h * h)",
    ),
    "a body without a layer": (lambda net, W, h: net.scan(lambda h: W @ h, h, layers=(1, 2)), "lambda l, h: ..."),
}


@pytest.mark.parametrize("name", CASES)
def test_the_line_says_what_to_write(name):
    use, says = CASES[name]

    def forward(net, x):
        n = net.hidden("N")
        return net.readout("w", use(net, net.matrix("W", n, n), net.matrix("W0", net.inputs, n) @ x))

    with pytest.raises(ProgramError) as caught:
        ds.derive(ds.network(forward), data=made_samples(80, 3))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Vector(" not in str(caught.value)


def test_attributes_of_arrays_are_named():
    def forward(net, x):
        return net.readout("w", (net.matrix("W0", net.inputs, net.hidden("N")) @ x).tanh())

    with pytest.raises(AttributeError, match=r"a traced vector has no tanh; functions of sites are net\.apply"):
        ds.derive(ds.network(forward), data=made_samples(80, 3))


def test_other_errors_stay_what_they_are():
    def forward(net, x):
        return "a" + 1

    with pytest.raises(TypeError, match="can only concatenate str"):
        ds.derive(ds.network(forward))
