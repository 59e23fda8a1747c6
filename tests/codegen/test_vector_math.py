"""The functions of ``numba_math``: accuracy against mpmath, limits, and that loops over them become vectors."""

from __future__ import annotations

import ast
import re

import mpmath as mp
import numpy as np
import pytest
from dmft_sym.codegen.library import numba_math
from dmft_sym.codegen.text.library_text import library_text, module_text
from numba import njit
from numba_math_coefficients import coefficients

COUNT = 2000
REFERENCES = {
    "atan": mp.atan,
    "cos": mp.cos,
    "cosh": mp.cosh,
    "erf": mp.erf,
    "exp": mp.exp,
    "expm1": mp.expm1,
    "log": mp.log,
    "log1p": mp.log1p,
    "sin": mp.sin,
    "sinh": mp.sinh,
    "tanh": mp.tanh,
}
PERIODIC = ("sin", "cos")
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-310, -1e-310, 1e308, -1e308]


def loop(name: str):
    function = getattr(numba_math, name)

    @njit(nogil=True, error_model="numpy")
    def apply(out, x):
        for i in range(x.size):
            out[i] = function(x[i])

    return apply


@pytest.fixture(scope="module")
def loops():
    return {name: loop(f"_{name}") for name in REFERENCES}


def points(name: str) -> np.ndarray:
    """Random points on linear and logarithmic scales, in the domain of the function."""
    rng = np.random.default_rng(7)
    signs, part = rng.choice([-1.0, 1.0], COUNT // 4), COUNT // 4
    parts = [
        rng.uniform(-760, 760, part),
        rng.uniform(-6, 6, part),
        rng.uniform(-1, 1, part),
        signs * 10.0 ** rng.uniform(-300, 300, part),
        signs * 10.0 ** rng.uniform(-20, 4, part),
    ]
    if name in PERIODIC:
        quarters = np.concatenate([rng.integers(-(10**6), 10**6, part), np.arange(-part, part)])
        parts += [quarters * (np.pi / 2), signs * 10.0 ** rng.uniform(4, 13, part)]
    x = np.concatenate(parts)
    if name in PERIODIC:
        return x[np.abs(x) < 1e13]
    if name == "log":
        return np.concatenate([np.abs(x), 1 + 1e-3 * x[np.abs(x) < 6]])
    if name == "log1p":
        return np.concatenate([x[x > -1], -1 + 10.0 ** rng.uniform(-15, 0, part)])
    return x


@pytest.mark.parametrize("name", REFERENCES)
def test_two_ulp(loops, name: str) -> None:
    x = points(name)
    found = np.empty_like(x)
    loops[name](found, x)
    with mp.workprec(140):
        exact = [REFERENCES[name](mp.mpf(float(value))) for value in x]
        rounded = np.array([float(value) for value in exact])
        errors = np.array([float(abs(mp.mpf(float(f)) - e)) for f, e in zip(found, exact, strict=True)])
    normal = np.isfinite(rounded) & (np.abs(rounded) >= np.finfo(float).tiny)
    assert normal.sum() > COUNT // 2
    assert np.all(errors[normal] <= 2 * np.spacing(np.abs(rounded[normal])))
    np.testing.assert_array_equal(found[np.isinf(rounded)], rounded[np.isinf(rounded)])
    below = np.abs(rounded) < np.finfo(float).tiny
    assert np.all(np.abs(found[below] - rounded[below]) <= np.finfo(float).tiny * 2.0**-51)


@pytest.mark.parametrize("name", REFERENCES)
def test_special_values(loops, name: str) -> None:
    """Those of NumPy, signs of zeros included; erf is odd with limits of one."""
    x = np.array([value for value in SPECIAL if name not in PERIODIC or not abs(value) > 1e300 or np.isinf(value)])
    found = np.empty_like(x)
    loops[name](found, x)
    numpy_name = {"atan": "arctan"}.get(name, name)
    with np.errstate(all="ignore"):
        expected = np.clip(x * (2 / np.sqrt(np.pi)), -1, 1) if name == "erf" else getattr(np, numpy_name)(x)
    np.testing.assert_allclose(found, expected, rtol=4e-16, atol=0)
    np.testing.assert_array_equal(np.signbit(found[x == 0]), np.signbit(expected[x == 0]))


def test_sine_and_cosine_end() -> None:
    x, out = np.array([2.0**45, -1e300, 3e13]), np.empty(3)
    for name in PERIODIC:
        loop(f"_{name}")(out, x)
        np.testing.assert_array_equal(np.isnan(out), [True, True, False])


def test_selections() -> None:
    @njit(error_model="numpy")
    def apply(out, a, b):
        for i in range(a.size):
            out[0, i] = numba_math._max(a[i], b[i])
            out[1, i] = numba_math._min(a[i], b[i])
            out[2, i] = numba_math._sign(a[i])
            out[3, i] = numba_math._heaviside(a[i], b[i])

    a = np.array([1.0, -2.0, 0.0, np.nan, 3.0, np.inf, -np.inf])
    b = np.array([2.0, -3.0, 0.25, 0.0, np.nan, 1.0, 1.0])
    out = np.empty((4, a.size))
    apply(out, a, b)
    np.testing.assert_array_equal(out, [np.maximum(a, b), np.minimum(a, b), np.sign(a), np.heaviside(a, b)])


def test_float32_arrays_go_through_float64(loops) -> None:
    x = np.linspace(-3, 3, 101, dtype=np.float32)
    out = np.empty_like(x)
    loops["tanh"](out, x)
    np.testing.assert_array_equal(out, np.tanh(x.astype(np.float64)).astype(np.float32))


@pytest.mark.parametrize("name", REFERENCES)
def test_loops_become_vectors(loops, name: str) -> None:
    """Packed multiplications, and no call of the C library."""
    loops[name].compile("(float64[::1], float64[::1])")
    (text, *_) = loops[name].inspect_llvm().values()
    body = text[text.index("define ") :]
    assert re.search(r"= fmul <\d+ x double>", body)
    assert not re.search(r"call [^\n]*@(tanh|exp|expm1|log|log1p|erf|sin|cos|sinh|cosh|atan)\(", body)


def test_coefficients_are_those_of_the_script() -> None:
    expected = coefficients()
    assert {name: getattr(numba_math, name) for name in expected} == expected


def test_text_has_what_it_needs_and_no_more() -> None:
    text = library_text(["_tanh", "_max"])
    defined = {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    assert {"_tanh", "_max", "_exp_parts", "_reduce", "_fma", "_select"} <= defined
    assert not {"_erf", "_log", "_expm1", "_min"} & defined
    assert "_ERF" not in text
    assert "# (tanh(x) - x) / x^3" in text
    module: dict[str, object] = {}
    alone = module_text('"""Two functions."""', "_tanh, _max")
    assert text in alone
    exec(compile(alone, "library", "exec"), module)
    assert module["_tanh"](0.3) == pytest.approx(np.tanh(0.3), rel=1e-15)  # type: ignore[operator]


def test_unknown_names_have_no_text() -> None:
    with pytest.raises(KeyError):
        library_text(["_gamma"])
