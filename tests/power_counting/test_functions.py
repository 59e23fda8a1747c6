"""Exponents of means of site-wise functions, against Gaussian integrals at two large widths."""

from __future__ import annotations

import random

import numpy as np
import pytest
import sympy as sp

from dmft_sym.power_counting.functions import function_powers
from dmft_sym.power_counting.powers import (
    CHANGED,
    MARKS,
    MOST_SIGNS,
    RANDOM,
    UNIT,
    Powers,
    average,
    exponent_of,
    overlap,
    products,
    pruned,
    units,
)

A, B, C, X, Y = sp.symbols("a b c x y", real=True)
HALF = sp.Rational(1, 2)
WIDTHS = np.array([1e4, 1e6])
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
GAUSSIAN = {A: 1, B: 2, C: 4}
"""Bits of the independent Gaussian fields."""


def integral(expression: sp.Expr, sizes: dict[sp.Symbol, sp.Expr], width: float) -> float:
    """The mean over Gaussian fields, each times its power of the width; other symbols are sums of these."""
    compiled = sp.lambdify([A, B, C], expression, ["scipy", "numpy"])
    grid = np.meshgrid(*[NODES] * 3, indexing="ij")
    weight = np.prod(np.meshgrid(*[WEIGHTS / WEIGHTS.sum()] * 3, indexing="ij"), axis=0)
    scaled = [width ** float(sizes.get(symbol, 0)) * values for symbol, values in zip((A, B, C), grid, strict=True)]
    with np.errstate(over="ignore"):
        return abs(float(np.sum(weight * compiled(*scaled))))


def measured(expression: sp.Expr, sizes: dict[sp.Symbol, sp.Expr]) -> sp.Expr:
    """The slope of the logarithm of the mean, to the nearest quarter; minus infinity for rounding errors."""
    found = [integral(expression, sizes, width) for width in WIDTHS]
    if max(found) < 1e-13:
        return -sp.oo
    return sp.Rational(round(4 * np.diff(np.log(found))[0] / np.diff(np.log(WIDTHS))[0]), 4)


def counted(expression: sp.Expr, sizes: dict[sp.Symbol, sp.Expr]) -> Powers:
    """The same with exponents; `X` stands for ``a + b``, `Y` for ``a + b + c``."""
    powers = {s: Powers.of(units(sp.sympify(sizes.get(s, 0))), bit) for s, bit in GAUSSIAN.items()}
    sums = {X: powers[A] | powers[B], Y: powers[A] | powers[B] | powers[C]}
    return average(function_powers(expression, {**powers, **sums}))


SMALL_B = {B: -HALF}
SMALL = {A: -HALF}
LARGE = {A: HALF}
CASES = [
    (A * B, {}, -sp.oo),
    (A**2 * B**4, SMALL_B, -2),
    (sp.tanh(A) * B, {}, -sp.oo),
    (sp.tanh(X) * B, SMALL_B, -1),
    (sp.tanh(X) * C, SMALL_B, -sp.oo),
    (sp.tanh(Y) * A * B * C, {B: -HALF, C: -HALF}, -2),  # the second derivative, odd in a
    (sp.tanh(X) ** 2 * B, SMALL_B, -sp.oo),
    (sp.tanh(X) ** 2 * A * B, SMALL_B, -1),
    (sp.cos(X) * A * B, SMALL_B, -1),
    (sp.cos(X) * A, SMALL_B, -sp.oo),
    (sp.exp(X) * B, SMALL_B, -1),
    (sp.exp(A) * A, {}, 0),
    (sp.tanh(A) * A, SMALL, -1),
    (sp.sin(A) ** 3 * A, SMALL, -2),
    (sp.cos(A), SMALL, 0),
    (sp.sinh(A) * A**3, SMALL, -2),
    (sp.exp(A), SMALL, 0),
    (sp.exp(A) * A, SMALL, -1),
    (sp.log(1 + sp.exp(A)) * A, SMALL, -1),
    ((1 / (1 + sp.exp(A)) - HALF) * B, {}, -sp.oo),
    ((1 / (1 + sp.exp(A)) - HALF) * A, SMALL, -1),
    ((1 / (1 + sp.exp(A)) - HALF) * A**2, {}, -sp.oo),
    (A / (1 + sp.exp(-A)), LARGE, HALF),
    (B**2 / (1 + sp.exp(-2 * A)), LARGE, 0),
    (A / (1 + sp.exp(-2 * B)), {}, -sp.oo),
    (sp.Abs(A), LARGE, HALF),
    (sp.Abs(A) * B, LARGE, -sp.oo),
    (sp.tanh(A) * A, LARGE, HALF),
    (sp.sign(A) * A, SMALL, -HALF),
    (sp.Max(A, 0), LARGE, HALF),
    (sp.Max(A, 0), SMALL, -HALF),
    (sp.Max(A, 0) * B, {}, -sp.oo),
    (sp.Max(A, 0) * A, SMALL, -1),
    (sp.Heaviside(A) * A, SMALL, -HALF),
    (sp.Heaviside(A) * B**2, SMALL_B, -1),
    (sp.Heaviside(A) * B, {}, -sp.oo),
    (sp.Piecewise((A, A > 0), (A / 4, True)), {}, 0),
    (sp.Piecewise((A, A > 0), (A / 4, True)), LARGE, HALF),
    (sp.sqrt(1 + A**2), LARGE, HALF),
    (sp.sqrt(1 + A**2) * A, LARGE, -sp.oo),
    (A / sp.sqrt(1 + X**2) * B, SMALL_B, -1),
    (sp.erf(A * B) * A, {}, -sp.oo),
    (sp.erf(A * B) * A * B, SMALL_B, -1),
]


@pytest.mark.parametrize(("expression", "sizes", "exponent"), CASES, ids=map(str, range(len(CASES))))
def test_the_exponent_of_a_mean_is_that_of_its_gaussian_integral(
    expression: sp.Expr, sizes: dict[sp.Symbol, sp.Expr], exponent: sp.Expr
) -> None:
    assert measured(expression.subs({X: A + B, Y: A + B + C}), sizes) == exponent
    assert exponent_of(counted(expression, sizes).mean.size) == exponent


def test_what_averages_out_leaves_a_fluctuation_that_is_smaller_by_the_root_of_the_width() -> None:
    found = average(Powers.of(units(HALF), 1))
    assert (found.mean.size, exponent_of(found.fluctuation.size)) == (None, 0)


@pytest.mark.parametrize("seed", range(20))
def test_an_overlap_is_the_average_of_the_product(seed: int) -> None:
    rng = random.Random(seed)
    one, other = (
        Powers({(rng.randrange(8), rng.choice(MARKS)): rng.randrange(5) * UNIT // 4 for _ in range(4)}) for _ in "ab"
    )
    assert overlap(one, other).parts == average(one * other).parts


def test_what_is_not_there_at_initialization_stays_so_through_a_function() -> None:
    """``tanh`` of a change is a change, ``cos`` of it is one at initialization."""
    change = Powers.of(0, 1, CHANGED)
    assert not function_powers(sp.tanh(A), {A: change}).initial
    assert function_powers(sp.cos(A), {A: change}).initial.size == 0
    both = function_powers(sp.tanh(X), {X: Powers.of(0, 1) | Powers.of(-UNIT, 2, CHANGED)})
    assert exponent_of(both.changed.size) == -1
    assert both.initial.size == 0


def test_a_random_factor_is_a_fluctuation_of_every_mean() -> None:
    factor = Powers.of(0, 0, RANDOM)
    found = average(factor * Powers.of(0, 1) * Powers.of(0, 1))
    assert found.mean.size is None
    assert found.fluctuation.size == 0
    assert factor.direction.mean.size == 0  # but as a direction it has lost its sign


@pytest.mark.parametrize("seed", range(3))
def test_products_of_many_parts_are_those_of_few(seed: int) -> None:
    """Taken all at once, and pair by pair."""
    draw = random.Random(seed)
    left, right = (
        {(draw.randrange(64), draw.choice(MARKS)): draw.randrange(-3, 4) * UNIT // 2 for _ in range(40)} for _ in "lr"
    )
    assert pruned(products(left, right)) == (Powers(left) * Powers(right)).parts


def test_functions_leave_out_parts_that_are_odd_in_many_fields() -> None:
    """Or a function that is neither odd nor even makes more and more of them: seconds become minutes."""
    h = sp.Symbol("h", real=True)
    argument = Powers({(1 << a | 1 << b | 1 << c, 0): 0 for a in range(8) for b in range(a) for c in range(b)})
    made = function_powers(1 / (1 + sp.exp(-h)) + h / (2 + sp.cos(h)), {h: argument})
    assert max(signs.bit_count() for signs, _ in made.parts) == MOST_SIGNS
    assert made.size == 0


def test_exponents_are_whole_numbers_of_python() -> None:
    assert type(units(sp.Rational(1, 3))) is int


def test_an_exponential_of_what_blows_up_has_no_power() -> None:
    large = function_powers(sp.exp(X), {X: Powers.of(UNIT // 2, 1)})
    assert exponent_of(large.size) == sp.oo
