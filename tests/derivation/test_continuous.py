"""Equations of a gradient flow have integrals over the past, and say the same as those of steps."""

from __future__ import annotations

import numpy as np
import sympy as sp

import dmft_sym as ds
from dmft_sym.derivation.symbols import KEPT, PAST_KERNEL
from dmft_sym.program import STEP


def equations_of(network, **options):
    return ds.derive(network, **options).equations


def test_no_steps_are_left():
    samples = ds.Samples(np.eye(3), [1.0, -1.0, 0.5])
    for options in ({}, {"data": samples}):
        found = equations_of(ds.deep_linear(2), training=ds.GradientFlow(), **options).single_site
        assert found.latex.count("\\int_{0}^{t}") > 3
        for equation in found:
            assert not equation.has(KEPT, PAST_KERNEL, STEP), equation
            assert not any(symbol.name == "eta0" for symbol in equation.free_symbols), equation
            assert all(symbol.name in ("c'", "nu", "c_1") for total in equation.atoms(sp.Sum)
                       for symbol, *_ in total.limits), equation  # fmt: skip


def test_closed_equations_of_a_flow_are_the_limit_of_those_of_steps():
    flow = equations_of(ds.deep_linear(2), training=ds.GradientFlow()).closed
    limit = ds.derive(ds.deep_linear(2)).limit(ds.limits.gradient_flow).equations
    assert [str(item) for item in flow.items] == [str(item) for item in limit.items]


def test_memories_of_nonlinear_networks_are_integrals():
    text = str(equations_of(ds.mlp(2), data=ds.Samples(np.eye(3), [1.0, -1.0, 0.5]),
                            training=ds.GradientFlow()).single_site)  # fmt: skip
    assert "w_c(t) = w_c(0) + γ/P Σ_ν ∫_0^t ds Δ_(ν c)(s) φ^L_ν(s)" in text, text
    assert "s_2 Σ_(ν c') ∫_0^t ds ⟨∂φ^l_μ(t)/∂r^l_(W, ν c')(s)⟩ g^(l+1)_(ν c')(s)" in text, text


def test_centered_flows_remember_their_first_step():
    plain, centered = (
        equations_of(ds.deep_linear(2), training=ds.GradientFlow(centered=value)).single_site for value in (False, True)
    )
    functions = {str(part.func) for item in centered.items for part in item.right.atoms(sp.Function)}
    assert "R_v_rbar_W0_first" in functions
    assert not any("_first" in str(item.right) for item in plain.items)
