"""The lazy limit on given samples: a static kernel that is derived, in numbers, and by the approach to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from programs_with_averages import gated
from typer.testing import CliRunner
from unseen_networks import autoencoder, frozen_first

import dmft_sym as ds
from dmft_sym import cli
from dmft_sym.derivation.equations import Equation, Equations
from dmft_sym.limits import site_checks
from dmft_sym.limits.jumps import _jumps, jumps
from dmft_sym.limits.lazy_sites import KERNEL, LazySites
from dmft_sym.program import ProgramError
from dmft_sym.support.errors import ArgumentError

X = np.random.default_rng(3).standard_normal((3, 6))
Y = np.array([1.0, -1.0, 0.5])


def theory(network, **training):
    return ds.derive(network, data=ds.Samples(X, Y), training=ds.GradientDescent(**training))


def test_errors_follow_the_static_kernel():
    """``Delta(t+1) = Delta(t) - (eta0/P) sum K Delta(t)``, with ``K`` of the overlaps of gradients and features."""
    equations = theory(ds.mlp(2, activation="tanh")).limit(ds.limits.lazy).equations
    text = str(equations)
    assert "Δ_(μ c)(t + 1) = Δ_(μ c)(t) - η_0/P Σ_(ν c') K_NTK(μ,c,ν,c') Δ_(ν c')(t)" in text, text
    kernel = next(item for item in equations.items if item.left.func == KERNEL)
    assert len(kernel.terms) == 3  # the first matrix, hidden ones, the readout
    assert not any(limit[0].name == "s" for e in equations for total in e.rhs.atoms(sp.Sum) for limit in total.limits)


def bag(net, x):
    token, n = net.label("token", 4), net.hidden("N")
    return net.readout("w", net.sum(net.matrix("W", net.inputs, n) @ x, over=token))


def test_the_kernel_has_the_labels_of_outputs_and_sums_over_others():
    """A sum of linear tokens: ``K(mu, nu) = 2 sum_ij x_i(mu) x_j(nu) / D``, the readout's half and the matrix's."""
    x = np.random.default_rng(0).standard_normal((3, 4, 5))
    tokens = ds.derive(ds.network(bag), data=ds.Samples(x, Y, labels=("token",))).limit(ds.limits.lazy)
    equations = tokens.equations
    kernel = next(item for item in equations.items if item.left.func == KERNEL)
    assert [str(argument) for argument in kernel.left.args] == ["mu", "c", "nu", "c'"]
    assert sorted(len(total.limits) for total in kernel.right.atoms(sp.Sum)) == [2]
    assert not any({"i", "i'"} & {s.name for s in e.rhs.free_symbols} for e in equations if e.lhs.func == KERNEL)
    total = x.sum(1)
    expected = 2 * total @ total.T / 5
    found = tokens.solve(learning_rate=0.1, steps=2).NTK.squeeze().values
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["linear", "tanh", "relu"])
def test_the_limit_holds_by_structure_and_in_numbers(name):
    network = ds.deep_linear(2) if name == "linear" else ds.mlp(2, activation=name)
    more = {} if name == "linear" else {"sites": 4000}
    (row,) = ds.limits.check(theory(network), [ds.limits.lazy], learning_rate=0.2, **more)
    assert row.verdict == "holds", str(row)
    assert row.structural.holds and row.approach.holds
    assert "not rational" in row.exact.words


@pytest.mark.parametrize(
    ("network", "rate", "sites"), [(ds.mlp(1), 2, 32_000), (ds.mlp(1, activation="relu"), 1, 256_000)]
)
def test_the_rate_is_above_the_noise_of_many_sites(network, rate, sites):
    """Gradients of ``relu`` jump: sites that cross the jump give corrections of first order."""
    limiting = theory(network).limit(ds.limits.lazy)
    assert limiting.rate == rate
    verdict = site_checks.approach(limiting, {"learning_rate": 0.1, "sites": sites}, steps=3)
    assert verdict.holds and verdict.words.startswith("rate"), verdict
    wrong = LazySites(limiting.theory, replace(ds.limits.lazy, rate=3 - rate))
    assert site_checks.approach(wrong, {"learning_rate": 0.1, "sites": sites}, steps=3).holds is False


@pytest.mark.parametrize("activation", ["elu", "leaky_relu", "softsign", lambda h: sp.Max(h, 0) ** 2])
def test_jumps_are_found_in_gradients_that_move(activation):
    expected = activation == "leaky_relu"
    assert jumps(theory(ds.mlp(1, activation=activation))) == expected


def soft_threshold(power):
    h = sp.Symbol("h", real=True)
    return sp.Piecewise(((h - 1) ** power, h > 1), (0, True))


@pytest.mark.parametrize(
    ("activation", "expected"), [(sp.Abs, True), (soft_threshold(1), True), (soft_threshold(2), False)]
)
def test_jumps_are_looked_for_where_branches_meet(activation, expected):
    """``sign`` is the gradient of the absolute value; ``2 (h - 1)`` vanishes at the threshold 1."""
    assert jumps(theory(ds.mlp(1, activation=activation))) == expected


def test_a_square_of_a_sign_does_not_jump():
    h = sp.Symbol("h", real=True)
    assert not _jumps(h * sp.sign(h) ** 2 + sp.sign(h) ** 2, {h})
    assert _jumps(sp.sign(h) ** 2 + sp.Heaviside(h), {h})


def test_sums_of_fields_that_move_move():
    def forward(net, x):
        n = net.hidden("N")
        a, b = (net.apply("tanh", net.matrix(name, net.inputs, n) @ x) for name in "AB")
        return net.readout("w", net.apply("relu", a + b))

    assert jumps(theory(ds.network(forward)))


def test_frozen_features_do_not_jump():
    assert not jumps(theory(ds.network(frozen_first)))


SLOW = pytest.mark.slow


@pytest.mark.parametrize("momentum", [pytest.param(0.0, marks=SLOW), pytest.param(0.5, marks=SLOW)])
@pytest.mark.parametrize("network", [ds.mlp(3), ds.network(gated)])
def test_the_limit_holds_for_gated_networks_and_momentum(network, momentum):
    rows = ds.limits.check(theory(network, momentum=momentum), ["lazy"], learning_rate=0.1, sites=8000)
    assert rows[0].verdict == "holds", str(rows)


def test_the_limit_of_a_linear_network_is_kernel_regression():
    """All arrays of a deep linear network give the same kernel: ``(L + 1) X X^T / D`` (a closed form)."""
    limit = theory(ds.deep_linear(2)).limit(ds.limits.lazy).solve(steps=20, learning_rate=0.1)
    kernel = 3 * X @ X.T / X.shape[1]
    np.testing.assert_allclose(np.squeeze(limit.NTK), kernel, rtol=1e-12)
    errors = np.array([np.linalg.matrix_power(np.eye(3) - 0.1 / 3 * kernel, t) @ Y for t in range(20)])
    np.testing.assert_allclose(Y - np.squeeze(limit.f), errors, atol=1e-13)


@pytest.mark.parametrize("nesterov", [False, True], ids=["heavy ball", "nesterov"])
@pytest.mark.parametrize("run", [{}, {"momentum": 0.8}], ids=["its own", "of the run"])
def test_the_memory_is_that_of_the_optimizer(nesterov, run):
    """``(W, w)`` on orthonormal samples has ``K = 2/D``; and the network itself, at a small richness."""
    wide = ds.derive(
        ds.deep_linear(1), data=ds.Samples(np.eye(3), Y), training=ds.GradientDescent(0.5, nesterov=nesterov)
    )
    arguments = {"steps": 6, "learning_rate": 0.3, **run}
    limit = np.squeeze(wide.limit(ds.limits.lazy).solve(**arguments).f)
    momentum, rate = run.get("momentum", 0.5), 0.3 / 3 * 2 / 3
    weight, velocity = np.zeros((6, 3)), np.zeros(3)
    for t in range(5):
        gradient = rate * (Y - weight[t])
        velocity = momentum * velocity + gradient
        weight[t + 1] = weight[t] + (momentum * velocity + gradient if nesterov else velocity)
    np.testing.assert_allclose(limit, weight, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(np.squeeze(wide.compile("numpy")(richness=1e-3, **arguments).f), weight, atol=1e-5)


class Wrong(LazySites):
    """Every term of the kernel twice, or one of them forgotten."""

    change = staticmethod(lambda terms: terms)

    @property
    def equations(self):
        items = [
            Equation(e.left, self.change(e.terms), note=e.note) if e.left.func == KERNEL else e
            for e in super().equations.items
        ]
        return Equations(items, "wrong", "")


class Twice(Wrong):
    change = staticmethod(lambda terms: (2 * terms[0], *terms[1:]))

    def _outputs(self, kernel, steps, rate, recursion):
        return super()._outputs(2 * kernel, steps, rate, recursion)


class Forgotten(Wrong):
    change = staticmethod(lambda terms: terms[1:])

    def _outputs(self, kernel, steps, rate, recursion):
        return super()._outputs(2 / 3 * kernel, steps, rate, recursion)


@pytest.mark.parametrize("kind", [Twice, Forgotten])
def test_wrong_kernels_fail_both_checks(kind):
    limiting = kind(theory(ds.deep_linear(2)), ds.limits.lazy)
    assert site_checks.structural(limiting).holds is False
    assert site_checks.approach(limiting, {"learning_rate": 0.2}).holds is False


def test_a_wrong_rate_fails_both_checks():
    limiting = LazySites(theory(ds.deep_linear(2)), replace(ds.limits.lazy, rate=1))
    assert site_checks.structural(limiting).holds is False
    assert site_checks.approach(limiting, {"learning_rate": 0.2}).holds is False


def test_the_richness_went_to_the_limit():
    with pytest.raises(ArgumentError, match="richness: allowed is nothing, it went to the limit lazy"):
        theory(ds.mlp(1)).limit("lazy").solve(steps=3, learning_rate=0.1, richness=1.0)


def test_memories_that_no_static_kernel_has_are_refused():
    (row,) = ds.limits.check(theory(ds.network(autoencoder)), ["lazy"], learning_rate=0.1)
    assert row.verdict == "does not apply" and "the response of phi2 to u_W_1 stays of order one" in row.reason


def test_what_has_no_static_kernel_is_refused():
    (row,) = ds.limits.check(theory(ds.mlp(1), weight_decay=0.1), ["lazy"], learning_rate=0.1)
    assert row.verdict == "does not apply" and "weight_decay = 0" in row.reason
    with pytest.raises(ProgramError, match="allowed where fields are averaged"):
        theory(ds.mlp(1)).limit(ds.limits.Limit("half", {"s2": ds.limits.EPS * sp.Symbol("s2", positive=True)}, ""))


def test_a_spec_on_given_samples_is_checked():
    result = CliRunner().invoke(cli.app, ["check", "examples/digits.toml", "--limit", "lazy"])
    assert result.exit_code == 0, result.output
    assert "lazy" in result.output


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"learning_rate": 0.1}, "steps = None: allowed is an integer >= 1"),
        ({"steps": "x", "learning_rate": 0.1}, "steps = 'x': allowed is an integer >= 1"),
        ({"steps": 2}, "learning_rate: missing"),
        ({"steps": 2, "learning_rat": 0.1}, "learning_rat: unknown argument.*learning_rate"),
        ({"steps": 2, "learning_rate": 0.1, "kernels": [0]}, "kernels: allowed is nothing"),
    ],
)
def test_arguments_of_the_limiting_theory_are_checked(arguments, why):
    with pytest.raises(ArgumentError, match=why) as error:
        theory(ds.mlp(1, activation="tanh")).limit(ds.limits.lazy).solve(**arguments)
    assert "\n" not in str(error.value)
