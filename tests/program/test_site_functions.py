"""Site functions: the NumPy calls against SymPy, the printed loops against the NumPy calls, kinks, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import sympy as sp
from dmft_sym.codegen.text.library_text import module_text
from dmft_sym.codegen.text.site_text import site_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from dmft_sym.networks.finite_values import check_several
from dmft_sym.program import ProgramError
from dmft_sym.program.formulas import parse_formula
from dmft_sym.program.site_derivatives import differentiate
from dmft_sym.program.site_expressions import check, stable
from dmft_sym.program.site_functions import numpy_function

H, G, A = sp.symbols("h g a", real=True)
POINTS = np.concatenate([np.linspace(-4, 4, 81), [-900.0, -40.0, 40.0, 900.0]])
FORMULAS = [
    "tanh(2*h)",
    "relu(h)",
    "gelu(h)",
    "softplus(h)",
    "sin(h) + cos(3*h)/2",
    "erf(h)",
    "abs(h) - 1/3",
    "sigmoid(h)*h",
    "atan(h)**3 + h**5/(1 + h**2)**4",
    "sqrt(1 + h**2)",
    "log(1 + h**2)",
    "1/cosh(h/100) + sinh(h/200)",
    "-h**2 - 2*h",
]


def compiled(expressions, arrays, scalars=(), name: str = "phi"):
    """The compiled function that writes the expressions at every site, in a module of its own."""
    names = [f"out{number}" for number in range(len(expressions))]
    lines, _ = site_lines(expressions, arrays, scalars, names)
    arguments = ", ".join([*names, *(symbol.name for symbol in (*arrays, *scalars))])
    head = f'@njit(nogil=True, error_model="numpy")\ndef {name}({arguments}):\n    for i in range(out0.size):'
    text = "\n        ".join([head, *lines])
    module: dict[str, object] = {}
    exec(compile(module_text('"""A loop."""', text), "loop", "exec"), module)
    function = module[name]

    def apply(*values):
        outputs = [np.empty(np.shape(values[0])) for _ in expressions]
        function(*outputs, *values)
        return outputs

    return apply


@pytest.mark.parametrize("formula", FORMULAS)
def test_loop_and_numpy_agree(formula: str) -> None:
    phi = parse_formula(formula).doit()
    expressions = [phi, differentiate(phi, H), differentiate(differentiate(phi, H), H)]
    plain = numpy_function(expressions, [H])(POINTS)
    assert all(np.all(np.isfinite(values)) for values in plain)
    for fast, slow in zip(compiled(expressions, [H])(POINTS), plain, strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("formula", FORMULAS)
def test_numpy_and_sympy_agree(formula: str) -> None:
    phi = parse_formula(formula).doit()
    slope = differentiate(phi, H)
    values, slopes = numpy_function([phi, slope], [H])(POINTS[3:80:7])
    for x, value, derivative in zip(POINTS[3:80:7], values, slopes, strict=True):
        exact = sp.Rational(float(x))
        assert value == pytest.approx(float(phi.subs(H, exact).evalf(20)), rel=1e-14, abs=1e-14)
        difference = (phi.subs(H, exact + sp.Rational(1, 10**9)) - phi.subs(H, exact - sp.Rational(1, 10**9))) / 2
        assert derivative == pytest.approx(float((difference * 10**9).evalf(30)), rel=1e-12, abs=1e-12)


def test_several_arguments_and_scalars() -> None:
    expressions = [A * sp.tanh(H) * G, G**2 + A, sp.Max(H, G, A), H / (1 + G**2) ** 3]
    h, g = np.random.default_rng(1).normal(size=(2, 50))
    plain = numpy_function(expressions, [H, G, A])(h, g, 0.3)
    for fast, slow in zip(compiled(expressions, [H, G], [A])(h, g, 0.3), plain, strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-14)
    np.testing.assert_allclose(plain[0], 0.3 * np.tanh(h) * g, rtol=1e-14)


def test_numpy_arguments_broadcast() -> None:
    product, one = numpy_function([H * G, sp.Integer(1)], [H, G])(np.ones((3, 1)), np.arange(4))
    np.testing.assert_array_equal(product, np.tile(np.arange(4.0), (3, 1)))
    np.testing.assert_array_equal(one, np.ones((3, 4)))
    with pytest.raises(TypeError, match="1 arguments: allowed are 2, h, g"):
        numpy_function([H * G], [H, G])(1.0)


def test_results_are_new_arrays() -> None:
    h = np.zeros(3)
    (same,) = numpy_function([H], [H])(h)
    same += 1
    assert np.all(h == 0)


def test_kinks() -> None:
    """relu'(0) = 0, |h|'(0) = 0, sign(0) = 0; the value of Heaviside at zero is the one it was given."""
    slopes = [differentiate(e, H) for e in (sp.Max(H, 0), sp.Max(-H, 0), sp.Abs(H), sp.Min(H, 0), sp.Abs(H - 1))]
    expressions = [*slopes, sp.sign(H), sp.Heaviside(H, 0), sp.Heaviside(H, sp.Rational(1, 2)), sp.Heaviside(H, 1)]
    expected = [
        [0, 0, 1],
        [-1, 0, 0],
        [-1, 0, 1],
        [1, 0, 0],
        [-1, -1, 0],
        [-1, 0, 1],
        [0, 0, 1],
        [0, 0.5, 1],
        [0, 1, 1],
    ]
    points = np.array([-2.0, 0.0, 1.0])
    np.testing.assert_array_equal(numpy_function(expressions, [H])(points), expected)
    np.testing.assert_array_equal(compiled(expressions, [H])(points), expected)


def test_derivatives_hold_no_distributions() -> None:
    phi = sp.Max(H, 0) ** 2 + sp.Abs(H) * sp.sign(H) + sp.Heaviside(H, 0) * sp.Max(H, -H, 1)
    for _ in range(3):
        phi = differentiate(phi, H)
        assert not phi.has(sp.DiracDelta, sp.Derivative, sp.Subs)


def test_the_slope_where_both_sides_of_a_maximum_agree() -> None:
    """max(|h|, relu(h)) is |h|, also where both are h."""
    slope = differentiate(sp.Max(sp.Abs(H), sp.Max(H, 0), evaluate=False), H)
    np.testing.assert_array_equal(numpy_function([slope], [H])(np.array([-2.0, 3.0]))[0], [-1, 1])


def test_free_functions_keep_their_derivative() -> None:
    phi = sp.Function("phi")
    assert differentiate(G * phi(H), H) == G * sp.Derivative(phi(H), H)


def test_conditions() -> None:
    pieces = sp.Piecewise(
        (H**2, (H > 1) & (G < 0)), (sp.exp(H), sp.Or(H <= -1, sp.Eq(G, 2))), (sp.log(H), sp.Ne(G, 3)), (-H, True)
    )
    h, g = (a.ravel() for a in np.meshgrid([-2.0, -1.0, 0.5, 1.0, 3.0], [-1.0, 2.0, 3.0]))
    expected = np.where((h > 1) & (g < 0), h**2, np.where((h <= -1) | (g == 2), np.exp(h), -h))
    other = (g != 3) & ~((h > 1) & (g < 0)) & ~((h <= -1) | (g == 2))
    expected[other] = np.log(h[other])
    np.testing.assert_allclose(numpy_function([pieces], [H, G])(h, g)[0], expected, rtol=1e-14)
    np.testing.assert_allclose(compiled([pieces, pieces + 1], [H, G])(h, g)[0], expected, rtol=1e-14)


def test_large_arguments_do_not_overflow() -> None:
    softplus, sigmoid = sp.log(1 + sp.exp(H)), 1 / (1 + sp.exp(-H))
    slopes = [differentiate(softplus, H), differentiate(sigmoid, H), differentiate(H * sigmoid, H)]
    h = np.array([-800.0, 0.0, 800.0])
    expected = [[0, np.log(2), 800], [0, 0.5, 1], [0, 0.5, 1], [0, 0.25, 0], [0, 0.5, 1]]
    for function in (numpy_function([softplus, sigmoid, *slopes], [H]), compiled([softplus, sigmoid, *slopes], [H])):
        np.testing.assert_allclose(function(h), expected, rtol=1e-15, atol=1e-300)


@pytest.mark.parametrize(
    "expression",
    [
        sp.log(1 + sp.exp(2 * H)) / 2,
        sp.exp(3 * H) / (1 + sp.exp(H)) ** 2,
        sp.exp(-H) * G / (1 + sp.exp(-H)) ** 2,
        sp.exp(H) * (1 + sp.exp(G)) ** -1 * (1 + sp.exp(H)) ** -3,
        3 * sp.exp(H) - 3 + H,
        sp.log(1 + H**2) * sp.log(sp.exp(H) - 1 + 5),
    ],
)
def test_stable_forms_are_the_same_function(expression: sp.Expr) -> None:
    point = {H: sp.Rational(7, 5), G: sp.Rational(-3, 10)}
    assert abs((stable(expression) - expression).subs(point).evalf(30)) < 1e-25


def test_numbers_have_full_precision() -> None:
    expression = H * sp.Rational(1, 3) + sp.pi * sp.sqrt(2) + sp.Rational(1, 10) * H**2
    text = "\n".join(site_lines([expression], [H], [], ["out"])[0])
    assert "0.3333333333333333 * " in text
    assert repr(float(np.pi * np.sqrt(2)))[:16] in text
    assert "0.1 * " in text


def test_text_of_a_loop() -> None:
    lines, functions = site_lines([sp.tanh(H), 1 - sp.tanh(H) ** 2], [H], [], ["phi_h", "slope"])
    assert functions == {"_tanh"}
    assert lines == ["h_i = h[i]", "s0 = _tanh(h_i)", "phi_h[i] = s0", "slope[i] = 1.0 - s0 * s0"]
    lines, functions = site_lines([sp.tanh(H)], [H], [], ["y"])
    assert (lines, functions) == (["h_i = h[i]", "y[i] = _tanh(h_i)"], {"_tanh"})


def test_new_names_avoid_given_ones() -> None:
    s0, h_i = sp.symbols("s0 h_i", real=True)
    h, x, y = np.random.default_rng(2).normal(size=(3, 20))
    expressions = [sp.sin(H + s0) ** 5 + h_i, sp.sin(H + s0) * h_i]
    fast = compiled(expressions, [H, s0, h_i])(h, x, y)
    np.testing.assert_allclose(fast, [np.sin(h + x) ** 5 + y, np.sin(h + x) * y], rtol=1e-12)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (sp.gamma(H), "function gamma is not known; allowed are"),
        (sp.Function("f")(H), "function f is not known; allowed are"),
        (H + sp.Derivative(sp.Function("f")(H), H), "Derivative is not known"),
        (sp.Symbol("x") * H, "unknown symbol; allowed are h"),
        (sp.I * H, "allowed are real numbers"),
        (sp.oo + H, "allowed are real numbers"),
        (H**A, "unknown symbol|power a"),
        (H ** sp.Rational(1, 3), "power 1/3; allowed are whole and half numbers"),
        (2**H, "power h; allowed"),
        (sp.Piecewise((H, H > 0)), "last branch holds otherwise"),
        (sp.DiracDelta(H), "DiracDelta is not known"),
        (sp.Integral(H, (H, 0, 1)), "Integral is not known"),
        ("tanh(h)", "allowed is a SymPy expression"),
    ],
)
def test_refused_expressions(expression: sp.Expr, words: str) -> None:
    for refuse in (
        lambda e: check(e, [H]),
        lambda e: numpy_function([e], [H]),
        lambda e: site_lines([e], [H], [], ["out"]),
    ):
        with pytest.raises(ProgramError, match=words) as caught:
            refuse(expression)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["import", "a b", "np", "_tanh", "h;h", "ħ", "i"])
def test_refused_names(name: str) -> None:
    with pytest.raises(ProgramError, match="allowed are identifiers"):
        site_lines([sp.Symbol(name, real=True) ** 2], [sp.Symbol(name, real=True)], [], ["out"])


def test_refused_outputs() -> None:
    with pytest.raises(ProgramError, match="one use of a name"):
        site_lines([H], [H], [], ["h"])


leaves = st.sampled_from([H, G, sp.Integer(2), sp.Rational(-1, 3), sp.pi])
trees = st.recursive(
    leaves,
    lambda x: (
        st.builds(lambda f, e: f(e), st.sampled_from([sp.tanh, sp.erf, sp.sin, sp.Abs, sp.atan]), x)
        | st.builds(lambda a, b: a + b, x, x)
        | st.builds(lambda a, b: a * b, x, x)
        | st.builds(lambda a, b: a - b, x, x)
        | st.builds(lambda a, n: a**n, x, st.integers(2, 5))
        | st.builds(lambda a, b: a / (1 + b**2), x, x)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(trees)
def test_printed_arithmetic(expression: sp.Expr) -> None:
    """The text of a formula means the formula: parentheses, signs and powers, run as Python."""
    lines, functions = site_lines([expression], [H, G], [], ["out"])
    scope = {"_tanh": np.tanh, "_sin": np.sin, "_atan": np.arctan, "np": np, "i": slice(None)}
    scope |= {"_erf": scipy.special.erf, "h": np.array([0.3, -0.7]), "g": np.array([1.1, -0.2]), "out": np.zeros(2)}
    assert functions <= scope.keys()
    exec("\n".join(lines), scope)
    expected = numpy_function([expression], [H, G])(scope["h"], scope["g"])[0]
    np.testing.assert_allclose(scope["out"], expected, rtol=1e-11, atol=1e-11)


B = sp.Symbol("b", real=True)


@pytest.mark.parametrize(
    "function",
    [
        A / B,
        1 / (A - B),
        sp.sqrt(sp.Abs(A * B)),
        B + sp.log(A),
        sp.log(sp.Abs(A)) * B,
        A / (A**2 + B**2),
    ],
)
def test_functions_of_several_arguments_are_finite(function):
    with pytest.raises(ProgramError, match=r"not finite .* allowed are functions that are finite"):
        check_several(function, [A, B])


@pytest.mark.parametrize(
    "function",
    [
        A * sp.tanh(B),
        sp.sqrt(A**2 + B**2),
        A / sp.sqrt(1 + A**2 + B**2),
        sp.log(sp.exp(A) + sp.exp(B)),
        sp.Max(A, B),
        sp.Piecewise((A / B, B > 1), (A, True)),
        A**8 * B**6,
        A / sp.sqrt(sp.Symbol("q", real=True)),
    ],
)
def test_allowed_functions_of_several_arguments(function):
    check_several(function, [A, B])
