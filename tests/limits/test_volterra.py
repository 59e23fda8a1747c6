"""Integrals and integral equations of two times by the trapezoidal rule, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from dmft_sym.limits.grid_terms import EQUAL, PAST, Factor, Range, Row, Term
from dmft_sym.limits.volterra import Grid, solve
from dmft_sym.support.errors import ExecutionError

POINTS, END = 33, 2.0
T, S = np.meshgrid(np.linspace(0, END, POINTS), np.linspace(0, END, POINTS), indexing="ij")
GRID = Grid(POINTS, END / (POINTS - 1))


def of(name, *times):
    return Factor((name, ()), times)


def term(*factors, ranges=(), coefficient=1):
    return Term(sp.sympify(coefficient), factors, ranges)


INTEGRALS = {
    "from zero": (term(of("line", "t_1"), ranges=(Range("t_1", "0", "t", False),)), T**2 / 2),
    "up to the other time": (term(of("line", "s_1"), ranges=(Range("s_1", "0", "s", False),)), S**2 / 2),
    "between two times": (
        term(of("two", "t", "t_1"), of("two", "t_1", "s"), ranges=(Range("t_1", "s", "t", False),)),
        np.where(T > S, (T - S) ** 3 / 6, 0),
    ),
    "of what does not end between them": (
        term(of("line", "t_1"), ranges=(Range("t_1", "s", "t", False),)),
        np.where(T > S, (T**2 - S**2) / 2, 0),
    ),
    "of two times": (
        term(
            of("line", "t_1"),
            of("line", "s_1"),
            ranges=(Range("t_1", "0", "t", False), Range("s_1", "0", "s", False)),
        ),
        T**2 * S**2 / 4,
    ),
    "of a function at time zero": (
        term(of("two", "t_1", "0"), ranges=(Range("t_1", "0", "t", False),), coefficient=-3),
        -3 * T**2 / 2,
    ),
}


@pytest.mark.parametrize("name", INTEGRALS)
def test_integrals_of_polynomials(name):
    """No factor is zero outside of the range by itself; lines are integrated exactly, parabolas to second order."""
    made, expected = INTEGRALS[name]
    line = np.linspace(0, END, POINTS)
    found = GRID.value(made, {("line", ()): line, ("two", ()): T - S}, ("t", "s"))
    error = END * GRID.width**2 / 6  # of the trapezoidal rule, for a second derivative of two
    np.testing.assert_allclose(found, expected, atol=1.0001 * error if name == "between two times" else 1e-13)


def test_sums_over_steps_have_whole_ends_and_no_width():
    found = GRID.value(
        term(of("one", "t_1"), ranges=(Range("t_1", "0", "t", True),)), {("one", ()): np.ones(POINTS)}, "t"
    )
    np.testing.assert_allclose(found, np.arange(1, POINTS + 1))


def test_equal_and_past_times():
    equal = GRID.value(term(Factor(EQUAL, ("t", "s"))), {}, ("t", "s"))
    past = GRID.value(term(Factor(PAST, ("t", "s"))), {}, ("t", "s"))
    np.testing.assert_array_equal(equal, T == S)
    np.testing.assert_array_equal(past, T > S)


def test_what_is_not_known_yet_is_zero():
    np.testing.assert_array_equal(GRID.value(term(of("nothing", "t")), {}, ("t",)), np.zeros(POINTS))


def decay(rate):
    """``R(t, s) = 1 - rate int_s^t R(t, u) du``, and ``x(t) = int_0^t R(t, u) u du``."""
    inside = term(of("R", "t", "t_1"), ranges=(Range("t_1", "s", "t", False),), coefficient=-rate)
    forced = term(of("R", "t", "t_1"), of("t", "t_1"), ranges=(Range("t_1", "0", "t", False),))
    return [
        Row(of("R", "t", "s"), (term(), inside), "R"),
        Row(of("t", "t"), (term(ranges=(Range("t_1", "0", "t", False),)),), "t"),
        Row(of("x", "t"), (forced,), "x"),
    ]


def test_a_linear_equation_decays_exponentially():
    """To second order in the width, hence to fourth order extrapolated."""
    time = np.linspace(0, END, 17)
    errors = []
    for points in (17, 33, 65):
        step = (points - 1) // 16
        coarse, fine = (solve(decay(1.5), {"R"}, n, END)["x", ()] for n in (points, 2 * points - 1))
        exact = time / 1.5 - (1 - np.exp(-1.5 * time)) / 1.5**2
        second = coarse[::step] - exact
        errors.append([np.abs(second).max(), np.abs((4 * fine[:: 2 * step] - coarse[::step]) / 3 - exact).max()])
    assert errors[0][0] / errors[1][0] == pytest.approx(4, rel=0.05)
    assert errors[1][1] / errors[2][1] == pytest.approx(16, rel=0.1)
    response = solve(decay(1.5), {"R"}, 33, END)["R", ()]
    np.testing.assert_allclose(response, np.where(T >= S, np.exp(-1.5 * (T - S)), 0), atol=5e-3)


def test_steps_that_are_too_wide_are_refused():
    with pytest.raises(ExecutionError, match="allowed are more points"):
        solve(decay(1e3), {"R"}, 5, END)
