"""Equations of a gradient flow have integrals over the past, and say the same as those of steps."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import sympy as sp

import dmft_sym as ds
from dmft_sym.derivation.continuous import NOW, TIMES, ContinuousTime, of_one_time
from dmft_sym.derivation.equations import Equation
from dmft_sym.derivation.symbols import KEPT, PAST_KERNEL, STEPS, FieldAt, NoiseAt, Response, family
from dmft_sym.networks.parameters import ETA
from dmft_sym.program import STEP, TIME, ProgramError


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


def test_what_responds_within_a_step_has_a_part_at_equal_times():
    """Sums over steps up to the present one give it, and those over the past do not."""
    steps, flow = (
        equations_of(ds.deep_linear(2), training=training).single_site
        for training in (ds.GradientDescent(), ds.GradientFlow())
    )
    sums = [total for equation in steps for total in equation.atoms(sp.Sum)]
    present = {
        str(part.func)
        for total in sums
        for part in total.atoms(Response)
        if any(limit[0] == S and limit[2] == STEP for limit in total.limits)
    }
    found = {str(part.func) for equation in flow for part in equation.atoms(Response)}
    assert len(present) == 3
    assert {name for name in found if name.endswith(NOW)} == {f"{name}{NOW}" for name in present}


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


PLAIN = SimpleNamespace(recursion=SimpleNamespace(plain=True))
S, U, V = STEPS
T_, S_, U_, V_ = (TIMES[step] for step in (STEP, S, U, V))


def response(name):
    """A function of two steps."""
    row = FieldAt.of(f"x_{name}", None, ((TIME.name, STEP),)).func
    column = NoiseAt.of(f"u_{name}", None, ((TIME.name, S),)).func
    return family(Response, name, row=row, column=column, letter="R")


def continuous(*equations):
    closed = SimpleNamespace(program=SimpleNamespace(optimizer=PLAIN), equations=equations, observables=())
    return {str(equation.left.func): equation for equation in ContinuousTime(closed).equations}


def whole(func):
    """Equal to one at equal steps, and to the learning rate before."""
    return Equation(func(STEP, S), (sp.KroneckerDelta(STEP, S), ETA * PAST_KERNEL(STEP, S)))


def now(func, time):
    return of_one_time(func(time, 0), NOW)


@pytest.mark.parametrize("names", ["ABC", "CBA", "BCA"])
def test_products_of_responses_are_those_of_distributions(names):
    """``(a d + A)(b d + B) = a b d + a B + A b + A B`` and so on, whatever the names are, by which SymPy sorts factors.

    The integrals are over the time between ``s`` and ``t``.
    """
    A, B, C = map(response, names)
    two, three = response("two"), response("three")
    found = continuous(
        *map(whole, (A, B, C)),
        Equation(two(STEP, S), (sp.Sum(A(STEP, U) * B(U, S), (U, 0, STEP)),)),
        Equation(three(STEP, S), (sp.Sum(A(STEP, U) * B(U, V) * C(V, S), (U, 0, STEP), (V, 0, STEP)),)),
    )
    a, b = (now(func, T_) for func in (A, B))
    assert found["two_now"].right == a * b
    past = a * B(T_, S_) + A(T_, S_) * now(B, S_) + sp.Integral(A(T_, U_) * B(U_, S_), (U_, S_, T_))
    assert sp.expand(found["two"].right - past) == 0
    assert found["three_now"].right == a * b * now(C, T_)
    assert len(found["three"].terms) == 7  # all but the product of parts at equal times
    singles = [term for term in found["three"].terms if not term.has(sp.Integral)]
    assert set(singles) == {
        a * b * C(T_, S_),
        a * B(T_, S_) * now(C, S_),
        A(T_, S_) * now(B, S_) * now(C, S_),
    }
    limits = {
        tuple(bounds) for term in found["three"].terms for part in term.atoms(sp.Integral) for _, *bounds in part.limits
    }
    assert limits <= {(0, T_), (S_, T_)}  # none up to a time that is integrated over


def test_sums_over_the_past_alone_have_no_present():
    """``sum_{u<t} A(t, u) B(u, s)`` has nothing of ``A`` at equal times."""
    A, B, both = map(response, ("A", "B", "both"))
    found = continuous(whole(A), whole(B), Equation(both(STEP, S), (sp.Sum(A(STEP, U) * B(U, S), (U, 0, STEP - 1)),)))
    assert "both_now" not in found
    past = A(T_, S_) * now(B, S_) + sp.Integral(A(T_, U_) * B(U_, S_), (U_, S_, T_))
    assert sp.expand(found["both"].right - past) == 0


def test_a_square_of_the_past_vanishes_by_a_power_of_the_learning_rate():
    A, square = map(response, ("A", "square"))
    closed = SimpleNamespace(
        program=SimpleNamespace(optimizer=PLAIN),
        equations=(whole(A), Equation(square(STEP, S), (A(STEP, S) ** 2,))),
        observables=(),
    )
    limit = ContinuousTime(closed)
    found = {str(equation.left.func): equation.right for equation in limit.equations}
    assert found["square_now"] == now(A, T_) ** 2
    assert "square" not in found
    assert [(term, order) for _, term, order in limit.vanished] == [(A(T_, S_) ** 2, 1)]


def test_the_present_is_not_the_first_step():
    """``A(t, s) delta(s, 0)`` is small: at later times ``A`` has at ``s = 0`` but what it remembers."""
    A, first, both = map(response, ("A", "first", "both"))
    found = continuous(
        whole(A),
        Equation(first(STEP, S), (sp.KroneckerDelta(S, 0),)),
        Equation(both(STEP, S), (A(STEP, S) * first(STEP, S),)),
    )
    assert set(found) == {"A_now", "A", "first_first"}


def test_what_diverges_is_named():
    A, bad = map(response, ("A", "bad"))
    with pytest.raises(ProgramError, match="diverges as 1/eta0"):
        continuous(whole(A), Equation(bad(STEP, S), (A(STEP, S) / ETA,)))
