"""Powers of the width: exponents that are found, what they say of training, and finite networks that confirm them."""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from programs_with_averages import gated
from programs_with_averages import tied as tied_with_skip
from unseen_networks import FORWARDS, made_network

import dmft_sym as ds
from dmft_sym.power_counting.scaling import Scaling
from dmft_sym.program import ProgramError

HALF = sp.Rational(1, 2)


def attention(net, x):
    """Two tokens of different size; the first one looks at both, with scores ``<q k>``."""
    n = net.hidden("N")
    tokens = [net.matrix(f"E{i}", net.inputs, n, init=i) @ x for i in (1, 2)]
    query, key, value = (net.matrix(name, n, n) for name in "QKV")
    (first, second), q = [value @ token for token in tokens], query @ tokens[0]
    scores = [net.mean(f"s{i}", lambda q, k: q * k, q, key @ token) for i, token in enumerate(tokens, 1)]

    def mixed(a, b, s, t):
        return (a + b * sp.exp(t - s)) / (1 + sp.exp(t - s))

    return net.readout("w", net.apply(mixed, first, second, *scores))


NETWORKS = {
    "mlp": lambda: ds.mlp(depth=3),
    "relu": lambda: ds.mlp(depth=3, activation="relu"),
    "attention": lambda: ds.network(attention),
    "gated_two_spaces": lambda: ds.network(gated),
    "deep_linear": lambda: ds.deep_linear(depth=3),
    **{name: functools.partial(made_network, name) for name in FORWARDS},
}


LONG = ("symmetric_tied", "symmetric_residual", "two_carries")


@functools.cache
def scaling_of(name: str, parametrization: str | None = None) -> Scaling:
    return ds.scaling(NETWORKS[name](), parametrization)


def exponents(scaling: Scaling) -> dict[str, tuple[object, object, object]]:
    return {name: (row.multiplier, row.init, row.learning_rate) for name, row in scaling.matrices.items()}


# What is found


def test_the_maximal_update_parametrization_of_an_mlp_is_found() -> None:
    """In storage conventions (docs/mathematics.md): rates N of the first layer, 1 of the hidden ones, 1/N of w."""
    found = scaling_of("mlp")
    assert exponents(found) == {"W0": (0, 0, 1), "W": (0, -1, 0), "w": (0, -2, -1)}
    assert found.regime == "rich (feature learning, maximal update)"
    assert found.output[0].mean == -sp.oo
    assert found.output[0].fluctuation == -HALF
    assert found.output[1].mean == 0


def test_with_one_learning_rate_for_all_it_is_the_table_of_yang_and_hu() -> None:
    """arXiv:2011.14522, maximal update parametrization: ``a = -1/2, 0, 1/2``, ``b = 1/2``, ``c = 0``."""
    found = scaling_of("mlp").gauge(learning_rate=0)
    assert found.table.abc == {"W0": (-HALF, HALF, 0), "W": (0, HALF, 0), "w": (HALF, HALF, 0)}
    assert found.equivalent(scaling_of("mlp"))
    assert found.features == scaling_of("mlp").features == 0


def test_the_ntk_parametrization_is_lazy() -> None:
    found = scaling_of("mlp", "NTK")
    assert exponents(found) == {"W0": (0, 0, 0), "W": (-HALF, 0, 0), "w": (-HALF, 0, 0)}
    assert found.regime == "lazy (kernel)"
    assert found.features == -HALF
    assert [found.matrices[name].verdict for name in ("W0", "W", "w")] == ["lazy", "lazy", "moves"]
    assert found.output[0].fluctuation == 0  # the output at initialization is random, and of order one
    assert found.output[1].size == 0


def test_the_standard_parametrization_blows_up() -> None:
    found = scaling_of("mlp", "standard")
    assert found.regime == "unstable"
    assert found.matrices["W"].verdict == found.matrices["w"].verdict == "blows up"


def test_the_largest_stable_rates_of_standard_initialization_are_lazy() -> None:
    found = ds.scaling(ds.mlp(depth=2), init="standard", multiplier="standard")
    assert {name: row.learning_rate for name, row in found.matrices.items()} == {"W0": 0, "W": -1, "w": -1}
    assert found.regime == "lazy (kernel)"


def test_a_small_readout_makes_standard_initialization_rich() -> None:
    found = ds.scaling(ds.mlp(depth=2), init={"W": -1, "w": -2}, multiplier="standard")
    assert found.equivalent(ds.scaling(ds.mlp(depth=2)))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in NETWORKS]
)
def test_every_network_has_a_maximal_update_table_and_a_lazy_one(name: str) -> None:
    found, lazy = scaling_of(name), scaling_of(name, "NTK")
    assert found.regime == "rich (feature learning, maximal update)"
    assert {row.verdict for row in found.matrices.values()} <= {"moves", "frozen"}
    assert lazy.regime == "lazy (kernel)"
    assert lazy.features == -HALF


@pytest.mark.parametrize("name", ["gated", "tied", "attention", "bottleneck"])
def test_tables_follow_the_number_of_inputs(name: str) -> None:
    """Each matrix by what it is, and not by where it stands: from the inputs, between hidden spaces, a readout."""
    rows = scaling_of(name).matrices.values()
    kinds = {(row.fan_in, row.init): row.learning_rate for row in rows}
    assert kinds == {("D", 0): 1, ("N", -1): 0, ("N", -2): -1}


def test_scores_are_fluctuations_at_initialization_and_means_later() -> None:
    start, change = scaling_of("attention").scalars["s1"]
    assert (start.mean, start.fluctuation) == (-sp.oo, -HALF)
    assert (change.mean, change.fluctuation) == (0, -HALF)


def test_scores_over_the_root_of_the_width_are_random_and_blow_up() -> None:
    """q.k/sqrt(N) is of order one at initialization, and moves by sqrt(N) at the rates that are right for q.k/N."""
    found = with_large_scores()
    start, change = found.scalars["s2"]
    assert (start.fluctuation, change.fluctuation) == (0, HALF)
    assert found.regime == "unstable"


@functools.cache
def with_large_scores() -> Scaling:
    right = scaling_of("attention").matrices
    given = {
        key: {name: getattr(row, key) for name, row in right.items()} for key in ("init", "multiplier", "learning_rate")
    }
    given["multiplier"] |= {"s1": Fraction(1, 2), "s2": 0.5}
    return ds.scaling(NETWORKS["attention"](), **given)


def test_a_frozen_matrix_has_no_learning_rate() -> None:
    row = scaling_of("frozen_first").matrices["A"]
    assert (row.learning_rate, row.verdict) == (None, "frozen")


def test_a_matrix_that_starts_at_zero_has_no_initial_variance() -> None:
    def adapted(net, x):
        n = net.hidden("N")
        h = net.apply("tanh", net.matrix("A", net.inputs, n, train=False) @ x)
        return net.readout("w", h + net.matrix("B", n, n, init=0) @ h)

    found = ds.scaling(ds.network(adapted))
    assert found.matrices["B"].init is None
    assert found.regime == "rich (feature learning, maximal update)"


# Depth


def test_independent_branches_are_divided_by_the_root_of_the_depth() -> None:
    (found,) = scaling_of("residual").depth
    assert (found.weights, found.multiplier, found.learning_rate) == (("W",), -HALF, 0)
    assert found.parameters == ("b",)
    assert "b = b0 L^(-1/2)" in str(scaling_of("residual"))


def test_branches_of_one_matrix_are_divided_by_the_depth() -> None:
    def forward(net, x):
        n = net.hidden("N")
        w, start = net.matrix("W", n, n), net.matrix("W0", net.inputs, n) @ x
        return net.readout("w", net.scan(lambda _, h: h + w @ net.apply("tanh", h), start, layers=(1, net.depth - 1)))

    (found,) = ds.scaling(ds.network(forward, depth=3)).depth
    assert (found.coherent, found.multiplier, found.learning_rate) == (True, -1, 0)


def test_without_a_skip_there_are_no_exponents_of_the_depth() -> None:
    assert scaling_of("mlp").depth == ()
    assert ds.scaling(tied_with_skip(sp.tanh)).depth == ()  # h/2 + ... forgets


# Finite networks


QUICK = {"seeds": 64, "seed": 1}
SHORT = (64, 128, 256)


def assert_confirmed(scaling: Scaling, **options: object) -> None:
    check = scaling.coordinate_check(**{**QUICK, **options})
    assert check.passed, str(check)


@pytest.mark.parametrize("parametrization", ["muP", "NTK"])
def test_networks_of_growing_width_confirm_the_mlp(parametrization: str) -> None:
    assert_confirmed(scaling_of("mlp", parametrization))


def test_networks_of_growing_width_confirm_that_standard_rates_blow_up() -> None:
    """The terms with most powers of the width are largest at rates far above ``N^{-1/2}`` and below ``N^{1/2}``."""
    assert_confirmed(scaling_of("relu", "standard"), steps=1, learning_rate=20, widths=(32, *SHORT), seeds=384)


COMMON_MODE = {"richness": 3}
"""Positive activations share a mode that magnifies the output at initialization: it is smaller at a large richness."""
CONFIRMED_SLOWLY = [
    *((name, {}) for name in ("residual", "deep_linear", "normalised", "frozen_first", "product_of_inputs")),
    *((name, {}) for name in ("two_readouts", "autoencoder", "symmetric_tied", "skip_from_start", "two_carries")),
    *((name, COMMON_MODE) for name in ("relu", "bottleneck")),
    *((name, {"seeds": 128}) for name in ("gated_two_spaces", "symmetric_residual")),
]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gated", {}),
        ("tied", {}),
        *(pytest.param(*case, marks=pytest.mark.slow, id=case[0]) for case in CONFIRMED_SLOWLY),
    ],
)
def test_networks_of_growing_width_confirm(name: str, options: dict[str, int]) -> None:
    assert_confirmed(scaling_of(name), **options)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_layers_that_are_checked_are_those_of_the_networks(depth: int) -> None:
    check = ds.scaling(ds.mlp(depth=depth)).coordinate_check(widths=(16, 32), seeds=4)
    layers = {row.quantity for row in check.rows if row.quantity.startswith("change of h")}
    assert layers == {f"change of h[{layer}]" for layer in range(1, depth + 1)}


def test_networks_of_growing_width_confirm_attention() -> None:
    """Scores move by order one only once the readout has learned: far enough from initialization."""
    assert_confirmed(scaling_of("attention"), learning_rate=2)


@pytest.mark.parametrize("widths", [pytest.param((64, 128, 256, 512, 1024), marks=pytest.mark.slow), (64, 256)])
def test_scores_that_grow_out_of_their_fluctuation_are_not_refuted(widths: tuple[int, ...]) -> None:
    """At a lower rate the mean of what Q and K learn is as large as its fluctuation at a width of 150."""
    check = scaling_of("attention").coordinate_check(seeds=32, widths=widths)
    for name in "QK":
        sizes = np.array(check[f"update of {name}"].sizes)
        assert np.all(np.diff(np.log(sizes)) > -0.5 * np.diff(np.log(widths)))  # slower than a fluctuation
        assert f"update of {name}" not in {row.quantity for row in check.refuted}


def test_what_is_expected_is_counted_after_as_many_updates() -> None:
    """Q and K learn from a fluctuation at first, and from the mean that scores have grown later."""
    checks = [scaling_of("attention").coordinate_check(widths=(8, 16), seeds=2, steps=steps) for steps in (1, 3)]
    assert [check["update of Q"].predicted for check in checks] == [-HALF, 0]
    lazy = scaling_of("mlp", "NTK").coordinate_check(widths=(8, 16), seeds=2)
    assert (lazy["size of h[1] at init"].predicted, lazy["change of h[1]"].predicted) == (0, -HALF)


def test_networks_of_growing_width_confirm_that_large_scores_blow_up() -> None:
    check = with_large_scores().coordinate_check(steps=1, learning_rate=0.02, richness=3, widths=SHORT, seeds=256)
    for score in ("s1", "s2"):
        assert abs(check[f"fluctuation of {score} at init"].difference) < 0.1
        assert abs(check[f"fluctuation of change of {score}"].difference) < 0.1


def test_a_learning_rate_that_is_off_by_the_root_of_the_width_is_refuted() -> None:
    right = scaling_of("mlp")
    slow = ds.scaling(ds.mlp(depth=3), learning_rate={"W0": HALF}, init={"W0": 0}, multiplier={"W0": 0})
    check = right.coordinate_check(against=slow, widths=(64, 128, 256), seeds=16)
    assert not check.passed
    assert "update of W0" in {row.quantity for row in check.refuted}
    assert "refuted" in str(check)


def test_a_scaling_is_refuted_by_networks_that_learn_faster() -> None:
    fast = ds.scaling(ds.mlp(depth=3), learning_rate={"W": HALF, "W0": 1, "w": -1}, multiplier="standard")
    check = fast.coordinate_check(against=scaling_of("mlp"), widths=(64, 128, 256), seeds=16, steps=1)
    assert "update of W" in {row.quantity for row in check.refuted}


# What is shown


def test_it_is_shown_in_at_most_ten_lines() -> None:
    for name in ("mlp", "attention", "residual"):
        assert len(repr(scaling_of(name)).splitlines()) <= 10
        assert scaling_of(name).regime in repr(scaling_of(name))


def test_the_table_is_text_html_and_latex() -> None:
    table = scaling_of("mlp").table
    assert str(table).splitlines()[2].split() == ["W0", "D", "1", "1", "N", "moves:", "1"]
    assert table._repr_html_().count("<tr>") == 4
    assert r"$w$ & $N$ & $N^{-2}$ & $1$ & $N^{-1}$ & moves: $1$ \\" in table.latex


# What is refused


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"init": {"W1": 0}}, r"init: there is no matrix 'W1' \(did you mean W\?\); allowed are W0, W, w"),
        ({"multiplier": {"W": float("nan")}}, "multiplier of W = nan: allowed is a finite number"),
        ({"learning_rate": {"w": sp.oo}}, "learning_rate of w = oo: allowed is a finite number"),
        ({"learning_rate": "mup"}, "learning_rate = 'mup': allowed are 'muP', 'NTK', 'standard', a mapping"),
        ({"parametrization": "mup"}, "parametrization = 'mup': allowed are 'muP', 'NTK', 'standard', or None"),
        ({"parametrization": "SP"}, r"parametrization = 'SP': allowed are .*, or None \(did you mean standard\?\)"),
        ({"data": ds.Proportional()}, "data = .*: allowed are given samples"),
    ],
)
def test_bad_exponents_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ProgramError, match=message) as error:
        ds.scaling(ds.mlp(depth=2), **given)
    assert "\n" not in str(error.value)


def test_what_does_not_learn_has_no_rate_to_give() -> None:
    with pytest.raises(ProgramError, match="learning_rate of A: allowed is nothing, it is frozen"):
        ds.scaling(NETWORKS["frozen_first"](), learning_rate={"A": 0})


def test_a_network_without_a_readout_is_refused() -> None:
    with pytest.raises(ProgramError, match=r"must return net\.readout"):
        ds.scaling(ds.network(lambda net, x: net.matrix("W", net.inputs, net.hidden("N")) @ x))


def test_a_forward_pass_is_to_be_wrapped() -> None:
    with pytest.raises(ProgramError, match="wrap the forward pass"):
        ds.scaling(attention)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (64,)}, "widths = .*: allowed are at least two integers > 1"),
        ({"seeds": 1}, "seeds = 1: allowed is an integer >= 2"),
        ({"steps": 0}, "steps = 0: allowed is an integer >= 1"),
        ({"momentum": 0.5}, "momentum: there is no such parameter; allowed are learning_rate, richness, init_std"),
        ({"learning_rate": np.inf}, "learning_rate = inf: allowed is a finite number"),
    ],
)
def test_bad_checks_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        scaling_of("mlp").coordinate_check(**options)


@pytest.mark.parametrize("gate", [lambda a: 1 / (1 + sp.exp(-a)), lambda a: a / (1 + sp.exp(-a))])
def test_sigmoids_in_a_residual_scan(gate) -> None:
    """Neither odd nor even, in layers that add up: muP has the features that move."""

    def forward(net, x):
        n, span = net.hidden("N"), (1, net.depth - 1)
        weights, gates = (net.matrix(name, n, n, layers=span) for name in ("W", "V"))
        first = net.matrix("W0", net.inputs, n) @ x
        return net.readout(
            "w",
            net.scan(
                lambda layer, h: h + weights[layer] @ net.apply(lambda a, b: gate(a) * b, gates[layer] @ h, h),
                first,
                layers=span,
            ),
        )

    found = ds.scaling(ds.network(forward, depth=3))
    assert found.regime == "rich (feature learning, maximal update)"
    assert {name: row.learning_rate for name, row in found.matrices.items()} == {"W0": 1, "W": 0, "V": 0, "w": -1}


def test_labels_of_inputs_need_data() -> None:
    def forward(net, x):
        hidden = net.apply("tanh", net.matrix("W0", net.inputs, net.hidden("N")) @ x)
        return net.readout("w", net.sum(hidden, over=net.label("token", 3)))

    with pytest.raises(ProgramError, match=r"data = None: .* give data=ds.Samples\(inputs, targets, labels="):
        ds.scaling(ds.network(forward))
    data = ds.Samples(np.ones((2, 3, 4)), [1.0, -1.0], labels=("token",))
    assert ds.scaling(ds.network(forward), data=data).regime.startswith("rich")
