"""Formulas in text: parsed by an allow list, never executed."""

from __future__ import annotations

import time
from contextlib import suppress

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from dmft_sym.networks.activations import activation
from dmft_sym.program import ProgramError
from dmft_sym.program.formulas import FUNCTIONS, MAX_LENGTH, FormulaError, parse_formula
from dmft_sym.program.site_functions import numpy_function

H = sp.Symbol("h", real=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tanh(h)", sp.tanh(H)),
        (" h + 0.1*h**3 ", H + H**3 / 10),
        ("-h/2 - +1", -H / 2 - 1),
        ("h**-2", H**-2),
        ("sqrt(2)*erf(h/sqrt(2))", sp.sqrt(2) * sp.erf(H / sp.sqrt(2))),
        ("relu(h)", sp.Max(H, 0)),
        ("softplus(h)", sp.log(1 + sp.exp(H))),
        ("gelu(h)", H * (1 + sp.erf(H / sp.sqrt(2))) / 2),
        ("abs(h)*pi", sp.Abs(H) * sp.pi),
        ("min(max(h, 0), 6)", sp.Min(sp.Max(H, 0), 6)),
        ("h*heaviside(h) - sign(h)", H * sp.Heaviside(H, 0) - sp.sign(H)),
        ("1e-3", sp.Rational(1, 1000)),
    ],
)
def test_formulas(text: str, expected: sp.Expr) -> None:
    assert (parse_formula(text).doit() - expected).doit() == 0


@pytest.mark.parametrize(
    "text",
    [
        "sinh((sinh(gelu((((((2+3)/log(h)))**2)**2)**3)))**-1)",
        "tanh((0.5+((sinh((((2/0.5))**2/((0.5)**2)**-1))+h)-(atan(sin(h*(3)**20))))**2))",
        "abs(relu(sqrt(-1 - h**2)))",
        "sigmoid(((tanh((softplus(h)*(2)**20))-sin(((h)**20+(h-2)))))**-1)",
    ],
)
def test_short_texts_take_a_short_time(text: str) -> None:
    start = time.perf_counter()
    with suppress(FormulaError):
        parse_formula(text)
    assert time.perf_counter() - start < 1


def test_other_names() -> None:
    x, b = sp.symbols("x b", real=True)
    assert parse_formula("b*x", ["x", "b"]) == b * x


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "1 to 200 characters"),
        ("h" * (MAX_LENGTH + 1), "1 to 200 characters"),
        ("tanh(ｈ)", "ASCII"),
        ("h.__class__", "allowed are numbers, names"),
        ("().__class__.__bases__[0].__subclasses__()", "unknown function"),
        ("__import__('os').system('true')", "unknown function"),
        ("eval(h)", "unknown function"),
        ("tahn(h)", "did you mean tanh?"),
        ("x", "unknown name; allowed are h, pi"),
        ("__builtins__", "unknown name"),
        ("tanh(h, h)", "one argument"),
        ("max(h)", "two arguments"),
        ("min(*h, 1)", "two arguments"),
        ("max(1, 2)", "allowed are functions of h"),
        ("tanh(*h)", "one argument"),
        ("tanh(x=h)", "one argument"),
        ("h^2", "allowed is **"),
        ("h**21", "integers from -20 to 20"),
        ("h**h", "integers from -20 to 20"),
        ("h**0.5", "integers from -20 to 20"),
        ("h**True", "integers from -20 to 20"),
        ("9**9**9", "integers from -20 to 20"),
        ("((((((9**20)**20)**20)**20)**20)**20)", "too large"),
        ("1e13", "1e-12 to 1e+12"),
        ("1e400*h", "1e-12 to 1e+12"),
        ("9" * 100, "1e-12 to 1e+12"),
        ("1j", "real numbers"),
        ("'h'", "real numbers"),
        ("True", "real numbers"),
        ("None", "real numbers"),
        ("h/0", "not a finite real number"),
        ("log(0)", "functions of h, and sqrt of a fraction"),
        ("tanh(1/0)", "not a finite real number"),
        ("sin(exp(exp(100)))", "functions of h, and sqrt of a fraction"),
        ("sqrt(-1)", "not a finite real number"),
        ("(" * 99 + "h" + ")" * 99, "not a formula|h"),
        ("-" * 50 + "h", "nested too deeply"),
        ("tanh(" * 25 + "h" + ")" * 25, "nested too deeply"),
        ("gelu(" * 19 + "h" + ")" * 19, "too large"),
        ("lambda: h", "allowed are numbers"),
        ("[h for h in h]", "allowed are numbers"),
        ("h if h else h", "allowed are numbers"),
        ("h; h", "not a formula"),
        ("h\nh", "not a formula"),
        ("h\0", "not a formula"),
        ("h := 1", "not a formula"),
        ("f'{h}'", "allowed are numbers"),
    ],
)
def test_refusals(text: str, words: str) -> None:
    if text.startswith("((((") and text.strip("()") == "h":
        assert parse_formula(text) == H  # parentheses alone leave no trace in the tree
        return
    with pytest.raises(FormulaError, match=words.replace("*", r"\*").replace("+", r"\+").replace("?", r"\?")) as caught:
        parse_formula(text)
    assert len(str(caught.value).splitlines()) == 1


def test_not_a_text() -> None:
    with pytest.raises(FormulaError, match="allowed is a text"):
        parse_formula(3)  # type: ignore[arg-type]


pieces = st.sampled_from([*FUNCTIONS, *"h()+-*/.,[]{}'\"", "**", "2", "0.5", "20", "__class__", "lambda", " "])


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=40) | st.lists(pieces, max_size=60).map("".join))
def test_garbage(text: str) -> None:
    message = "fine"
    try:
        assert parse_formula(text).free_symbols <= {H}
    except FormulaError as error:
        message = str(error)
    assert len(message.splitlines()) == 1


def nested(form: str, times: int) -> str:
    text = "h"
    for _ in range(times):
        text = form.replace("X", text)
    return text


@pytest.mark.parametrize(("form", "times"), [("sigmoid(X)", 15), ("softplus(X)/2", 8), ("tanh(X)", 18), ("gelu(X)", 4)])
def test_nested_functions_are_computed(form: str, times: int) -> None:
    """Products of nested exponentials were divided as polynomials, which took a time exponential in the nesting."""
    chosen = activation(nested(form, times))
    value, slope = numpy_function([chosen.expression, chosen.derivative], [chosen.symbol])(np.array([-0.3, 0.7]))
    shifted = numpy_function([chosen.expression], [chosen.symbol])(np.array([-0.3, 0.7]) + 1e-6)[0]
    np.testing.assert_allclose((shifted - value) / 1e-6, slope, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (nested("gelu(X)", 12), "too large when its powers and functions are expanded"),
        (nested("softplus(X)/2", 12), "nested too deeply"),
        ("heaviside(exp(tanh(sigmoid(erf((((log(h))**5)**-3)/(2))))))", "argument of heaviside is too large"),
        ("min(log(sinh((sigmoid(sqrt((log(h))/(0.5))))**6)),h+1)", "argument of sinh is too large"),
    ],
)
def test_what_functions_expand_to_is_counted(text: str, words: str) -> None:
    with pytest.raises(FormulaError, match=words):
        activation(text)


@pytest.mark.parametrize("text", ["relu((h - h)**-1)", "cos(min(cosh((h**9)**-1/heaviside(h - h)), h**2))"])
def test_what_has_no_value_is_refused(text: str) -> None:
    with pytest.raises((FormulaError, ProgramError), match=r"finite"):
        activation(text)
