"""Forward passes: several carries, matrices that stay as drawn, and what a tracer refuses."""

from __future__ import annotations

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym.networks.functions import site_function
from dmft_sym.program import Field, FieldRef, ProgramError, Space

SETTINGS = {
    "samples_per_dim": 2.0,
    "width_per_dim": 0.7,
    "richness": 3.0,
    "learning_rate": 0.02,
    "label_noise": 0.3,
    "steps": 10,
}


def two_streams(net, x):
    """A reversible pair: a[l+1] = a + W b, b[l+1] = b + V a."""
    n = net.hidden("N")
    w = net.matrix("W", n, n, layers=(1, net.depth - 1))
    v = net.matrix("V", n, n)
    start = net.matrix("W0", net.inputs, n) @ x

    def body(layer, a, b):
        return a + 0.5 * (w[layer] @ b), b + 0.3 * (v @ a)

    a, b = net.scan(body, (start, 0.5 * start), layers=(1, net.depth - 1), name=("a", "b"))
    return net.readout("wa", a) + net.readout("wb", b)


def followed(net, x):
    """The next value of the first carry, which has no name, is used by that of the second."""
    n = net.hidden("N")
    w, v = net.matrix("W", n, n), net.matrix("V", n, n)
    start = net.matrix("W0", net.inputs, n) @ x

    def body(layer, a, b):
        after = a + 0.5 * (w @ b)
        return after, b - 0.3 * (v @ after)

    a, b = net.scan(body, (start, 0.5 * start), layers=(1, net.depth - 1), name=("a", "b"))
    return net.readout("wa", a) + net.readout("wb", b)


def frozen(net, x):
    n = net.hidden("N")
    h = net.matrix("A", net.inputs, n, train=False) @ x
    return net.readout("w", net.matrix("B", n, n) @ h)


@pytest.mark.parametrize(("forward", "depth"), [(two_streams, 1), (two_streams, 3), (followed, 3), (frozen, None)])
def test_march_agrees_with_coordinates(forward, depth):
    solver = ds.derive(ds.network(forward, depth=depth, outputs=2)).compile("numpy")
    march, coordinates = solver(**SETTINGS), solver(**SETTINGS, method="conditioning", tol=1e-11)
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(march[name], coordinates[name], rtol=1e-8)


def test_several_carries_against_finite_networks():
    theory = ds.derive(ds.network(two_streams, depth=3))
    run = theory.compile("numpy")(**SETTINGS)
    sim = ds.simulate(theory, dim=400, seeds=12, seed=3, normalise=True, **SETTINGS)
    for name in ("train_loss", "test_loss"):
        mean, error = sim[name].mean("seed"), sim[name].std("seed", ddof=1) / np.sqrt(12)
        # finite networks are off by O(1/D); 2/D is the allowance
        assert (abs(mean - run[name]) <= 4 * error + 2 / 400 * run[name]).all()


def test_a_frozen_matrix_is_not_learned():
    program = ds.derive(ds.network(frozen)).program
    assert {target.name for target in program.learned} == {"B", "w"}


def test_carries_and_names_must_match():
    def body_short(net, x):
        h = net.matrix("A", net.inputs, net.hidden("N")) @ x
        a, _ = net.scan(lambda layer, a, b: (a,), (h, h), layers=(1, 2), name=("a", "b"))
        return net.readout("w", a)

    def names_short(net, x):
        h = net.matrix("A", net.inputs, net.hidden("N")) @ x
        a, _ = net.scan(lambda layer, a, b: (a, b), (h, h), layers=(1, 2), name=("a",))
        return net.readout("w", a)

    with pytest.raises(ProgramError, match="scan a, b: the body returned 1 vectors for 2 carries"):
        ds.derive(ds.network(body_short))
    with pytest.raises(ProgramError, match="scan a: 2 carries need as many names"):
        ds.derive(ds.network(names_short))


def test_arithmetic_of_traced_things():
    """sum(), minus and division mean what they say: the program is that of the plain form."""

    def plain(net, x):
        n = net.hidden("N")
        a, b = net.matrix("A", net.inputs, n) @ x, net.matrix("B", net.inputs, n) @ x
        return net.readout("u", a + b) + (-0.5) * net.readout("z", a)

    def written_otherwise(net, x):
        n = net.hidden("N")
        a, b = net.matrix("A", net.inputs, n) @ x, net.matrix("B", net.inputs, n) @ x
        return net.readout("u", sum([a, b])) - net.readout("z", np.float64(2.0) * a / 2) / 2

    programs = [str(ds.derive(ds.network(f, name="same")).program) for f in (plain, written_otherwise)]
    assert programs[0] == programs[1]
    with pytest.raises(ProgramError, match="the name X is taken by the data"):
        ds.derive(ds.network(lambda net, x: net.readout("X", x)))
    with pytest.raises(ProgramError, match="nonlinear functions need given samples"):
        ds.derive(ds.network(lambda net, x: net.readout("w", np.tanh(x))))


@pytest.mark.parametrize("function", [np.tanh, lambda h: None, lambda h: max(h, 0)])
def test_functions_that_do_not_take_symbols_are_refused(function):
    with pytest.raises(ProgramError, match=r"cannot be computed on SymPy symbols .*; allowed are"):
        site_function(function, [FieldRef(Field("h", Space("N", 1)))])


@pytest.mark.parametrize(
    "operation",
    [lambda h: h**2, lambda h: h + 1, lambda h: 1 + h, lambda h: 1 - h, abs, lambda h: 1 / h, lambda h: h - 1],
)
def test_functions_of_sites_are_applied(operation):
    def forward(net, x):
        return net.readout("w", operation(net.matrix("A", net.inputs, net.hidden("N")) @ x))

    with pytest.raises(ProgramError, match=r"functions of sites are written net\.apply"):
        ds.derive(ds.network(forward))


def named_late(net, x, late):
    n = net.hidden("N")
    a, b = net.matrix("A", n, n), net.matrix("B", n, n)
    h = net.matrix("W0", net.inputs, n) @ x
    h = h if late else h.named("first")
    product = a @ h
    h = h.named("first") if late else h
    return net.readout("w", b @ product + h)


def scanned_late(net, x, late):
    n = net.hidden("N")
    start = net.matrix("W0", net.inputs, n) @ x
    start = start if late else start.named("start")
    b, weights = net.matrix("B", n, n), net.matrix("W", n, n, layers=(1, net.depth - 1))
    product = b @ start
    last = net.scan(lambda layer, h: weights[layer] @ h, start, layers=(1, net.depth - 1), name="k")
    return net.readout("w", b @ (last + product / 2))


@pytest.mark.parametrize("forward", [named_late, scanned_late])
def test_a_name_that_is_given_late_changes_nothing(forward):
    """What was recorded under the automatic name is not taken for what comes after."""
    given = {"samples_per_dim": 2, "width_per_dim": 1, "richness": 1, "learning_rate": 0.05, "steps": 4}
    runs = []
    for late in (False, True):
        made = ds.network(lambda net, x, late=late: forward(net, x, late), depth=2 if forward is scanned_late else None)
        runs.append(ds.derive(made).compile("numpy")(**given))
    np.testing.assert_allclose(runs[1].test_loss, runs[0].test_loss, rtol=1e-12)
