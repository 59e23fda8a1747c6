"""Activations by name, formula or expression, their derivatives, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from dmft_sym.networks.activations import NAMES, Activation, H, activation
from dmft_sym.program import ProgramError
from dmft_sym.program.site_functions import numpy_function


def values(expression: sp.Expr):
    function = numpy_function([expression], [H])
    return lambda h: function(h)[0]


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    """Values and derivatives are finite far out, and the derivative is a difference quotient."""
    chosen = activation(name)
    assert (chosen.name, chosen.symbol, chosen.free) == (name, H, False)
    assert not chosen.derivative.has(sp.DiracDelta, sp.Derivative)
    value = values(chosen.expression)
    slope = values(chosen.derivative)
    h = np.linspace(-3, 3, 42)  # no kink among them
    step = 1e-5
    quotient = (value(h + step) - value(h - step)) / (2 * step)
    np.testing.assert_allclose(slope(h), quotient, rtol=1e-6, atol=1e-8)
    far = np.array([-500.0, 0.0, 500.0])
    assert np.all(np.isfinite([value(far), slope(far)]))


def test_usual_values() -> None:
    h = np.array([-1.0, 0.0, 2.0])
    expected = {
        "relu": [0, 0, 2],
        "leaky_relu": [-0.01, 0, 2],
        "elu": [np.expm1(-1), 0, 2],
        "silu": h / (1 + np.exp(-h)),
        "linear": h,
        "softplus": np.log1p(np.exp(h)),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(numpy_function([activation(name).expression], [H])(h)[0], values, rtol=1e-14)


def test_kinks() -> None:
    at_zero = {"relu": 0.0, "abs": 0.0, "leaky_relu": 0.01, "elu": 1.0}
    for name, slope in at_zero.items():
        assert numpy_function([activation(name).derivative], [H])(0.0)[0] == slope


def test_formulas_and_expressions() -> None:
    assert activation("tanh(2*h)").expression == sp.tanh(2 * H)
    assert activation(" tanh ") == activation("tanh")
    assert activation(sp.tanh).expression == sp.tanh(H)
    z = sp.Symbol("z")
    assert activation(z**2 * sp.Abs(z)).expression == H**2 * sp.Abs(H)
    assert activation(lambda h: h * sp.tanh(h)).derivative == sp.tanh(H) + H * (1 - sp.tanh(H) ** 2)
    assert str(activation("h + 0.1*h**3")) == "h + 0.1*h**3"
    chosen = activation("gelu")
    assert activation(chosen) is chosen


def test_a_free_function() -> None:
    chosen = activation(None)
    phi = sp.Function("phi")
    assert chosen == Activation("phi", phi(H))
    assert chosen.free
    assert chosen.derivative == sp.Derivative(phi(H), H)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("log(h)", "not finite at h = 0; allowed are functions that are finite"),
        ("1/h", "not finite at h = 0"),
        ("sqrt(h)", "not finite at h = -0.1"),
        ("sqrt(abs(h))", "not finite at h = 0"),
        ("1/(h - 0.3371)", "not finite near h = 0.35"),
        ("1/(h - 700)", "not finite near h = 722"),
        ("log(h + 50)", "not finite near h = -50.9"),
        ("1/(1 + sin(h))", "not finite near h = -7.85"),
        ("1/(h**2 - 2*h*0.0123 + 0.0123**2)", "not finite near h = 0.0123"),
        ("exp(h**4)", "not finite at h = -5.2"),
        ("3", "depend on h"),
        ("h/h", "depend on h"),
        ("tahn", "did you mean tanh?"),
        ("tahn(h)", "did you mean tanh?"),
        ("x*h", "unknown name; allowed are h, pi"),
        ("__import__('os')", "unknown function"),
        (5, "allowed are abs, atan"),
        (np.tanh, "TypeError on the symbol h; allowed are functions of SymPy"),
        (lambda h: h.real if h > 0 else h, "TypeError on the symbol h"),
        (lambda h: "h", "allowed are abs, atan"),
        (sp.Integer(2), "functions of one symbol"),
        (sp.Symbol("a") * H, "this one has a, h"),
        (sp.gamma(H), "function gamma is not known"),
        (sp.Function("f")(H), "function f is not known"),
        (H + sp.I, "real numbers"),
        (H ** sp.Rational(1, 3), "whole and half numbers"),
    ],
)
def test_refused(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("?", r"\?")) as caught:
        activation(value)  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 1


def test_branches_that_are_not_taken_may_be_singular() -> None:
    chosen = activation(sp.Piecewise((sp.log(H), H > 1), (H - 1, True)))
    np.testing.assert_allclose(numpy_function([chosen.expression], [H])(np.array([-1.0, np.e]))[0], [-2, 1])


def test_program_errors() -> None:
    with pytest.raises(ProgramError):
        activation("tahn")
