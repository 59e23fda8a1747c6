"""Forward passes from elsewhere: adapters of low rank, gates, symmetric and pooled weights, normalised scores."""

from __future__ import annotations

import pytest
import sympy as sp

import dmft_sym as ds

HALF = sp.Rational(1, 2)


def adapter(net, x):
    """A frozen matrix with a trained correction through a narrower space, one factor of which starts at zero."""
    n, narrow = net.hidden("N"), net.hidden("R", sp.Rational(1, 4))
    h = net.apply("tanh", net.matrix("A", net.inputs, n, train=False) @ x)
    low = net.matrix("U", narrow, n, init=0) @ (net.matrix("V", n, narrow) @ h)
    return net.readout("w", net.apply("tanh", net.matrix("F", n, n, train=False) @ h + low))


def gated_block(net, x):
    n, wide = net.hidden("N"), net.hidden("M", sp.Rational(3, 2))
    h = net.matrix("A", net.inputs, n) @ x
    gate, up = net.matrix("G", n, wide) @ h, net.matrix("U", n, wide) @ h
    product = net.apply(lambda a, b: a * b / (1 + sp.exp(-a)), gate, up)
    return net.readout("w", h + net.matrix("V", wide, n) @ product)


def symmetric(net, x):
    wide, narrow = net.hidden("N"), net.hidden("M", HALF)
    weights = net.matrix("W", wide, narrow)
    h = net.apply("tanh", net.matrix("A", net.inputs, wide) @ x)
    return net.readout("w", net.apply("tanh", weights.T @ (weights @ h)))


def two_ways(net, x):
    n = net.hidden("N")
    weights, h = net.matrix("W", n, n), net.matrix("A", net.inputs, n) @ x
    return net.readout("w", net.apply("tanh", weights @ h + weights.T @ h)) + net.readout("v", h)


def scaled_residual(net, x):
    n = net.hidden("N")
    weights = net.matrix("W", n, n, layers=(1, net.depth - 1))

    def body(layer, h):
        return h + (weights[layer] @ net.apply("relu", h)) / sp.sqrt(net.depth)

    return net.readout("w", net.scan(body, net.matrix("W0", net.inputs, n) @ x, layers=(1, net.depth - 1)))


def pooled(net, x):
    n = net.hidden("N")
    h = net.apply("relu", net.matrix("A", net.inputs, n) @ x)
    pool = net.mean("p", lambda a: a, h)
    k = net.apply(lambda a, p: a * sp.tanh(p), net.matrix("B", n, n) @ h, pool)
    return net.readout("w", net.apply("tanh", k))


def normalised_scores(net, x):
    """``a + b s`` with a score of two independent vectors: ``s = 0`` is where ``B``, ``Q`` and ``K`` learn nothing."""

    def product(u, v):
        return u * v

    n = net.hidden("N")
    a, b = net.matrix("A", net.inputs, n) @ x, net.matrix("B", net.inputs, n) @ x
    q, k = net.matrix("Q", n, n) @ a, net.matrix("K", n, n) @ b
    s, *squares = [net.mean(*c) for c in (("s", product, q, k), ("q", product, q, q), ("k", product, k, k))]
    mixed = net.apply(lambda v, w, s, p, r: v + w * s / sp.sqrt(p * r), a, b, s, *squares)
    return net.readout("w", net.apply("tanh", net.matrix("V", n, n) @ mixed))


NETWORKS = {
    "adapter": ds.network(adapter),
    "gated_block": ds.network(gated_block),
    "symmetric": ds.network(symmetric),
    "two_ways": ds.network(two_ways),
    "scaled_residual": ds.network(scaled_residual, depth=4),
    "pooled": ds.network(pooled),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_tables_follow_the_number_of_inputs(name: str) -> None:
    found = ds.scaling(NETWORKS[name])
    assert found.regime == "rich (feature learning, maximal update)"
    for row in found.matrices.values():
        readout = row.fan_in == "N" and row.init == -2
        rate = 1 if row.fan_in == "D" else -1 if readout else 0
        assert row.learning_rate in (rate, None)  # None: frozen
        assert row.init in (0 if row.fan_in == "D" else -2 if readout else -1, None)  # None: starts at zero
    assert ds.scaling(NETWORKS[name], "NTK").features in (-HALF, -sp.oo)


def test_what_starts_at_zero_and_what_is_frozen_has_no_exponent() -> None:
    rows = ds.scaling(NETWORKS["adapter"]).matrices
    assert rows["U"].init is None
    assert rows["A"].learning_rate is rows["F"].learning_rate is None


def test_a_power_of_the_depth_that_is_written_is_said() -> None:
    found = ds.scaling(NETWORKS["scaled_residual"])
    assert (found.depth[0].multiplier, found.depth[0].written) == (-HALF, -HALF)
    assert "written: L^(-1/2)" in str(found)


def test_rates_that_blow_up_at_later_steps_are_not_taken() -> None:
    """A score grows from its fluctuation by a factor a step; rates ``N^(1/6)`` would carry it to one in three steps."""
    found = ds.scaling(ds.network(normalised_scores))
    assert {name: found.matrices[name].learning_rate for name in "BQK"} == {"B": 1, "Q": 0, "K": 0}
    assert {found.matrices[name].verdict for name in "BQK"} == {"lazy"}
    assert found.regime == "rich (feature learning)"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adapter", {}),
        ("symmetric", {}),
        *(
            pytest.param(name, {}, marks=pytest.mark.slow)
            for name in ("gated_block", "two_ways", "scaled_residual", "normalised_scores")
        ),
        pytest.param("pooled", {"learning_rate": 4}, marks=pytest.mark.slow),
    ],
)
def test_networks_of_growing_width_confirm(name: str, options: dict[str, float]) -> None:
    network = ds.network(normalised_scores) if name == "normalised_scores" else NETWORKS[name]
    check = ds.scaling(network).coordinate_check(seeds=64, seed=1, **options)
    assert check.passed, str(check)
