"""Infinite depth of residual networks: integrals over depth that are derived, compared with sums over layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

import dmft_sym as ds
from dmft_sym.derivation.equations import Equation, Equations
from dmft_sym.limits import deep_checks
from dmft_sym.limits.deep_limit import DeepTheory
from dmft_sym.program import ProgramError
from dmft_sym.support.errors import ArgumentError

RUN = {"samples_per_dim": 2.0, "width_per_dim": 0.7, "richness": 2.0, "label_noise": 0.3, "learning_rate": 0.01}


def residual(net, x, power=sp.Rational(1, 2)):
    n = net.hidden("N")
    first, blocks = net.matrix("W0", net.inputs, n), net.matrix("W", n, n, layers=(1, net.depth - 1))
    h = net.scan(lambda i, h: h + blocks[i] @ h / net.depth**power, first @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


def two_branches(net, x):
    """The branch is a product of two matrices, with a skip from the inputs to the output."""
    n = net.hidden("N")
    first = net.matrix("W0", net.inputs, n) @ x
    down, up = (net.matrix(name, n, n, layers=(1, net.depth - 1)) for name in ("V", "W"))
    h = net.scan(lambda i, h: h + up[i] @ (down[i] @ h) / sp.sqrt(net.depth), first, layers=(1, net.depth - 1))
    return net.readout("w", h) + net.readout("u", first)


@pytest.fixture(scope="module")
def theory():
    return ds.derive(ds.network(residual))


def test_the_limit_holds(theory):
    (row,) = ds.limits.check(theory, ["deep"], **RUN)
    assert row.verdict == "holds" and row.structural.holds and row.approach.holds, str(row)


@pytest.mark.parametrize(
    "memory",
    [
        {"momentum": 0.5, "weight_decay": 0.05},
        pytest.param({"momentum": 0.5}, marks=pytest.mark.slow),
        pytest.param({"weight_decay": 0.05}, marks=pytest.mark.slow),
    ],
)
def test_the_limit_holds_for_optimizers_that_remember(memory):
    theory = ds.derive(ds.network(residual), training=ds.GradientDescent(**memory))
    (row,) = ds.limits.check(theory, ["deep"], **RUN)
    assert row.verdict == "holds" and row.structural.holds and row.approach.holds, str(row)


def test_powers_and_integrals(theory):
    """Responses to the noise of a layer are of order ``1/sqrt L``, kernels of layers ``1/L`` (arXiv:2309.16620)."""
    limiting = theory.limit(ds.limits.deep)
    powers = limiting.powers
    assert powers["R_h_u_W"] == sp.Rational(1, 2) and powers["A_h_g"] == 1 and powers["C_h"] == 0
    response = limiting.equations.of("R_h_u_W").items[-1].right
    assert response.has(sp.Integral) and response.has(sp.Heaviside)
    assert "∫_0^τ dτ_1" in str(limiting.equations)
    assert all(symbol.name != "L" for equation in limiting.equations for symbol in equation.rhs.free_symbols)


def test_a_network_that_begins_has_exponential_correlations():
    """``C_h(tau) = C_h(0) e^{s2 tau}`` before training: ``(1 + s2/L)^(L - 1)`` at finite depth."""
    theory = ds.derive(ds.network(residual))
    found = theory.limit(ds.limits.deep).solve(depths=(32, 64), steps=1, init_std=0.9, **RUN)
    expected = 1 + RUN["label_noise"] ** 2 + 0.81**2 / (4 * 0.7) * np.exp(0.81)
    assert found.test_loss.item() == pytest.approx(expected, rel=2e-4)


def test_branches_of_two_matrices():
    limiting = ds.derive(ds.network(two_branches)).limit(ds.limits.deep)
    assert deep_checks.structural(limiting).holds, str(deep_checks.structural(limiting))


class Tampered(DeepTheory):
    """One equation has another right-hand side."""

    label, changed = "", staticmethod(lambda terms: terms)

    @property
    def equations(self):
        items = [
            Equation(e.left, self.changed(e.terms)) if e.label == self.label else e for e in super().equations.items
        ]
        return Equations(items, "tampered", "")


class FactorOfTwo(Tampered):
    label, changed = "A_h_g", staticmethod(lambda terms: tuple(2 * term for term in terms))


class Forgotten(Tampered):
    label, changed = "R_h_u_W", staticmethod(lambda terms: terms[:-1])


class Doubled(Tampered):
    """What it depends on of what a layer adds; the rest of it is there at the first layer."""

    label, changed = "R_h_w", staticmethod(lambda terms: (terms[0], *(2 * term for term in terms[1:])))


class HalfLoss(Tampered):
    label, changed = "test_loss", staticmethod(lambda terms: (*terms[:-1], terms[-1] / 2))


@pytest.mark.parametrize("kind", [FactorOfTwo, Forgotten])
def test_wrong_equations_fail(theory, kind):
    verdict = deep_checks.structural(kind(theory, ds.limits.deep))
    assert verdict.holds is False and f"{kind.label} is not the limit" in str(verdict)


@pytest.mark.parametrize(
    ("kind", "label"), [(FactorOfTwo, "R_h_w"), (Forgotten, "R_h_u_W"), (Doubled, "R_h_w"), (HalfLoss, "test_loss")]
)
def test_deep_networks_do_not_solve_wrong_equations(theory, kind, label):
    """A wrong kernel shows in what it drives."""
    verdict = deep_checks.approach(kind(theory, ds.limits.deep), RUN)
    assert verdict.holds is False and f"{label} is not solved by deep networks" in str(verdict), str(verdict)


def test_a_wrong_rate_fails(theory):
    limiting = theory.limit(replace(ds.limits.deep, rate=2))
    assert deep_checks.structural(limiting).holds is False
    assert deep_checks.approach(limiting, RUN).holds is False


def test_the_depth_went_to_the_limit(theory):
    with pytest.raises(ArgumentError, match="depth: allowed is nothing, it went to the limit deep"):
        theory.limit("deep").solve(depth=3, steps=1, **RUN)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (ds.network(lambda net, x: residual(net, x, power=0)), "grows with the depth; a branch divided by sqrt"),
        (ds.deep_linear(), "no field is carried on from layer to layer"),
        (ds.deep_linear(0), "the equations have no L; they have .*; a residual network whose layers .* would help"),
    ],
)
def test_what_has_no_limit_says_why(network, message):
    with pytest.raises(ProgramError, match=f"limit deep: .*{message}"):
        ds.derive(network).limit(ds.limits.deep)


def test_a_stream_that_decays_is_carried_on():
    """``h[l+1] = (1 - 1/L) h[l] + ...``: what the factor adds to one is an increment."""

    def decaying(net, x):
        n = net.hidden("N")
        first, blocks = net.matrix("W0", net.inputs, n), net.matrix("W", n, n, layers=(1, net.depth - 1))
        h = net.scan(
            lambda i, h: h - h / net.depth + blocks[i] @ h / sp.sqrt(net.depth), first @ x, layers=(1, net.depth - 1)
        )
        return net.readout("w", h)

    (row,) = ds.limits.check(ds.derive(ds.network(decaying)), ["deep"], **RUN)
    assert row.verdict == "holds" and row.structural.holds and row.approach.holds, str(row)
