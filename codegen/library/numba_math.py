"""Elementary functions for loops of generated modules: no branches and no calls, so that LLVM makes vectors of them.

Numba's own ``math.tanh`` calls the C library once an element. The functions here are sums, products, a division and
selections. A loop that calls them belongs into a function with ``error_model="numpy"``. They take float64 and are
right to 2 ulp where the result is a normal number; limits at infinity are exact and nan stays nan. ``_sin`` and
``_cos`` are nan beyond 2^45, where neighbouring numbers are far apart in phase. The products inside `_fma` are exact
on every machine; one without such an instruction (x86 before 2013) takes long.

The reductions are classical (Cody and Waite, "Software manual for the elementary functions", 1980); the coefficients
come from ``tools/numba_math_coefficients.py``.
"""

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

_LN2 = 0.6931471805599453
_LN2_REST = 2.3190468138462996e-17  # ln 2 - _LN2
_HALF_PI = 1.5707963267948966
_HALF_PI_REST = 6.123233995736766e-17  # pi / 2 - _HALF_PI
_HALF_PI_LAST = -1.4973849048591698e-33
_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
_ROUNDER = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer, which then stands in the last bits
_ROUNDER_BITS = 0x4338000000000000
_SIGN = -(1 << 63)  # the bit that holds the sign
_FARTHEST = 35184372088832.0  # 2^45
_TINY = 1.1102230246251565e-16  # 2^-53

# Polynomials, from the constant term up:
# (e^r - 1 - r) / r^2, |r| <= ln(2) / 2
_EXP = (
    0.5,
    0.1666666666666667,
    0.04166666666666667,
    0.008333333333326112,
    0.0013888888888880816,
    0.00019841269874903354,
    2.480158733336395e-05,
    2.7557255295378197e-06,
    2.755726527318689e-07,
    2.5105260589562095e-08,
    2.0917784372806686e-09,
)
# log((1 + s) / (1 - s)) = 2 s + s^3 (...), in s^2
_LOG = (
    0.666666666666667,
    0.3999999999989889,
    0.28571428626253836,
    0.22222211089379496,
    0.1818289243253687,
    0.15331611722055008,
    0.14617807153417325,
)
# (sin(r) - r) / r^3, |r| <= pi / 4, in r^2
_SIN = (
    -0.16666666666666666,
    0.0083333333333307,
    -0.00019841269836385435,
    2.7557315910939e-06,
    -2.5051092308431318e-08,
    1.5915309183057952e-10,
)
# (cos(r) - 1 + r^2 / 2) / r^4, |r| <= pi / 4, in r^2
_COS = (
    0.041666666666666664,
    -0.0013888888888887241,
    2.480158729853226e-05,
    -2.7557317151858866e-07,
    2.0876121534608454e-09,
    -1.1380868171449914e-11,
)
# (tanh(x) - x) / x^3, |x| <= 0.55, in x^2
_TANH = (
    -0.3333333333333333,
    0.13333333333332714,
    -0.053968253967434016,
    0.021869488493666944,
    -0.008863234397814355,
    0.003592110378689024,
    -0.001455661830100716,
    0.0005889360520074057,
    -0.0002346347410887237,
    8.511313685577672e-05,
    -2.060276537636634e-05,
)
# (atan(r) - r) / r^3, |r| <= tan(pi / 8), in r^2
_ATAN = (
    -0.3333333333333333,
    0.1999999999999548,
    -0.14285714284657894,
    0.11111111014561013,
    -0.09090904549884611,
    0.07692182535116648,
    -0.06664502215671447,
    0.058580687568615106,
    -0.05085030492810941,
    0.03921955253255129,
    -0.019162068915902573,
)
# (sinh(x) - x) / x^3, |x| <= 1, in x^2
_SINH = (
    0.16666666666666666,
    0.008333333333333299,
    0.00019841269841324198,
    2.7557319191381816e-06,
    2.5052117695907823e-08,
    1.6057679623801638e-10,
    7.746178593018827e-13,
)
# erf(x) / x - 1, |x| <= 0.84, in x^2
_ERF = (
    0.1283791670955126,
    -0.3761263890318375,
    0.11283791670954775,
    -0.02686617064503848,
    0.005223977624171083,
    -0.0008548326920588401,
    0.00012055327697362146,
    -1.4925471268019038e-05,
    1.6458051806890862e-06,
    -1.63046150641907e-07,
    1.4215069808219508e-08,
    -8.905151131672966e-10,
)
# e^(x^2) erfc(x), 0.84 <= x <= 6, in u = (1 / (4 + x) - c) / s between -1 and 1
_ERFC = (
    0.20911598299686823,
    0.1660618560931312,
    0.06775424666626309,
    0.02356885900638061,
    0.006962127709728354,
    0.0017256866718057759,
    0.00035021954413706454,
    5.531170717176315e-05,
    5.972594748671604e-06,
    2.223539613656032e-07,
    -5.5773012150413454e-08,
    -1.0146055883349293e-08,
    -9.467528218877767e-11,
    1.7198307326395488e-10,
    1.2416978391445623e-11,
    -2.441319607283198e-12,
)


@intrinsic
def _fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), generate


@intrinsic
def _select(typing_context: Any, condition: Any, a: Any, b: Any) -> Any:
    """The number a if condition, else b; both are computed."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(*arguments)

    return types.float64(types.boolean, types.float64, types.float64), generate


@intrinsic
def _bits(typing_context: Any, x: Any) -> Any:
    """The 64 bits of a number, as an integer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.int64))

    return types.int64(types.float64), generate


@intrinsic
def _number(typing_context: Any, bits: Any) -> Any:
    """The number that 64 bits stand for."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float64))

    return types.float64(types.int64), generate


@intrinsic
def _polynomial(typing_context: Any, x: Any, terms: Any) -> Any:
    """terms[0] + terms[1] * x + terms[2] * x**2 + ..."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, terms = arguments
        result = builder.extract_value(terms, signature.args[1].count - 1)
        for k in reversed(range(signature.args[1].count - 1)):
            result = builder.fma(result, x, builder.extract_value(terms, k))
        return result

    return types.float64(types.float64, terms), generate


@njit(forceinline=True, error_model="numpy")
def _with_sign(size: float, x: float) -> float:
    """A number of size >= 0, with the sign of x."""
    return _number(_bits(size) | (_bits(x) & _SIGN))


@njit(forceinline=True, error_model="numpy")
def _power_of_two(n: int) -> float:
    """2^n for integers -1022 <= n <= 1023."""
    return _number((n + 1023) << 52)


@njit(forceinline=True, error_model="numpy")
def _reduce(x: float) -> tuple[float, float, int]:
    """r, rest and n with x = n ln 2 + r + rest and |r| <= ln(2) / 2."""
    shifted = _fma(x, 1.4426950408889634, _ROUNDER)
    n = shifted - _ROUNDER
    high = _fma(-n, _LN2, x)  # exact: a multiple of 2^-54 below 1/2
    r = _fma(-n, _LN2_REST, high)
    rest = _fma(-n, _LN2_REST, high - r)
    return r, rest, _bits(shifted) - _ROUNDER_BITS


@njit(forceinline=True, error_model="numpy")
def _exp_parts(x: float) -> tuple[float, int]:
    """Numbers p and n with e^x = 2^n p and p between 0.7 and 1.42."""
    r, rest, n = _reduce(x)
    return 1.0 + (r + _fma(r * r, _polynomial(r, _EXP), rest)), n


@njit(forceinline=True, error_model="numpy")
def _scaled(p: float, n: int) -> float:
    """2^n p, rounded once; n up to twice the largest exponent."""
    half = n >> 1
    return p * _power_of_two(half) * _power_of_two(n - half)


@njit(forceinline=True, error_model="numpy")
def _exp(x: float) -> float:
    """e^x."""
    x = _select(x > 710.0, 710.0, x)
    x = _select(x < -746.0, -746.0, x)
    p, n = _exp_parts(x)
    return _scaled(p, n)


@njit(forceinline=True, error_model="numpy")
def _expm1(x: float) -> float:
    """e^x - 1 = (2^n - 1 + 2^n r) + 2^n (e^r - 1 - r)."""
    y = _select(x > 710.0, 710.0, x)
    y = _select(x < -40.0, -40.0, y)
    r, rest, n = _reduce(y)
    scale = _power_of_two(n - 1)  # half of it: 2^1024 is not a number
    start, step = scale - 0.5, scale * r
    high = start + step
    low = (start - high) + step
    rest = _fma(r * r, _polynomial(r, _EXP), _fma(rest, r, rest))
    return _select(abs(x) < _TINY, x, 2.0 * (high + _fma(scale, rest, low)))


@njit(forceinline=True, error_model="numpy")
def _log_parts(x: float) -> tuple[float, float]:
    """Numbers k and m with x = 2^k m and m between sqrt(1/2) and sqrt(2), for normal x > 0."""
    bits = _bits(x)
    k = (bits - _SQRT_HALF_BITS) >> 52
    return _number(k + _ROUNDER_BITS) - _ROUNDER, _number(bits - (k << 52))


@njit(forceinline=True, error_model="numpy")
def _log_sum(k: float, f: float, rest: float) -> float:
    """= k ln 2 + log(1 + f) + rest = k ln 2 + f - f^2 / 2 + s (f^2 / 2 + s^2 (...)) + rest with s = f / (2 + f)."""
    s = f / (2.0 + f)
    z = s * s
    half = 0.5 * f * f
    tail = _fma(s, half + z * _polynomial(z, _LOG), _fma(k, _LN2_REST, rest))
    return _fma(k, _LN2, f - (half - tail))


@njit(forceinline=True, error_model="numpy")
def _log(x: float) -> float:
    """Natural logarithm; -inf at 0, nan below."""
    small = x < 2.2250738585072014e-308
    k, m = _log_parts(_select(small, 18014398509481984.0 * x, x))
    y = _log_sum(_select(small, k - 54.0, k), m - 1.0, 0.0)
    y = _select(x < np.inf, y, x)
    return _select(x > 0.0, y, _select(x == 0.0, -np.inf, np.nan))


@njit(forceinline=True, error_model="numpy")
def _log1p(x: float) -> float:
    """log(1 + x); -inf at -1, nan below."""
    u = 1.0 + x
    back = u - x
    rest = (x - (u - back)) + (1.0 - back)  # of 1 + x
    k, m = _log_parts(u)
    near = k == 0.0
    y = _log_sum(k, _select(near, x, m - 1.0), _select(near, 0.0, rest / u))
    y = _select(x < np.inf, y, x)
    y = _select(x > -1.0, y, _select(x == -1.0, -np.inf, np.nan))
    return _select(abs(x) < _TINY, x, y)


@njit(forceinline=True, error_model="numpy")
def _tanh(x: float) -> float:
    """= x + x^3 (...) or 1 - 2 / (e^2x + 1)."""
    a = abs(x)
    z = a * a
    small = _fma(a * z, _polynomial(z, _TANH), a)
    p, n = _exp_parts(2.0 * _select(a > 20.0, 20.0, a))
    large = 1.0 - 2.0 / (p * _power_of_two(n) + 1.0)
    return _with_sign(_select(a < 0.55, small, large), x)


@njit(forceinline=True, error_model="numpy")
def _sinh(x: float) -> float:
    """= x + x^3 (...) or (e^x - e^-x) / 2."""
    a = abs(x)
    z = a * a
    small = _fma(a * z, _polynomial(z, _SINH), a)
    p, n = _exp_parts(_select(a > 711.0, 711.0, a))
    half = _scaled(p, n - 1)
    return _with_sign(_select(a < 1.0, small, half - 0.25 / half), x)


@njit(forceinline=True, error_model="numpy")
def _cosh(x: float) -> float:
    """(e^x + e^-x) / 2."""
    a = abs(x)
    p, n = _exp_parts(_select(a > 711.0, 711.0, a))
    half = _scaled(p, n - 1)
    return half + 0.25 / half


@njit(forceinline=True, error_model="numpy")
def _erf(x: float) -> float:
    """= x + x (...), or 1 - e^(-x^2) (...), or 1."""
    a = abs(x)
    a = _select(a > 6.0, 6.0, a)
    z = a * a
    p, n = _exp_parts(-z)
    u = _fma(-2.875968992248062, a, 7.255813953488372) / (4.0 + a)
    large = _fma(-p * _power_of_two(n), _polynomial(u, _ERFC), 1.0)
    return _with_sign(_select(a < 0.84, _fma(a, _polynomial(z, _ERF), a), large), x)


@njit(forceinline=True, error_model="numpy")
def _quadrant(x: float) -> tuple[float, float, int]:
    """r, rest and n with x = n pi / 2 + r + rest and |r| <= pi / 4, for |x| < 2^45."""
    shifted = _fma(x, 0.6366197723675814, _ROUNDER)
    n = shifted - _ROUNDER
    high = _fma(-n, _HALF_PI, x)  # exact: a multiple of 2^-53 below 1
    step = n * _HALF_PI_REST
    lost = _fma(n, _HALF_PI_REST, -step)
    r = high - step
    back = r - high
    rest = (high - (r - back)) - (step + back)  # of high - step
    return r, _fma(-n, _HALF_PI_LAST, rest - lost), _bits(shifted)


@njit(forceinline=True, error_model="numpy")
def _wave(r: float, rest: float, n: int) -> float:
    """sin(n pi / 2 + r + rest)."""
    z = r * r
    sine = r + _fma(r * z, _polynomial(z, _SIN), _fma(-0.5 * z, rest, rest))
    half = 0.5 * z
    top = 1.0 - half
    cosine = top + (((1.0 - top) - half) + _fma(z * z, _polynomial(z, _COS), -r * rest))
    return _number(_bits(_select((n & 1) == 0, sine, cosine)) ^ ((n & 2) << 62))


@njit(forceinline=True, error_model="numpy")
def _sin(x: float) -> float:
    """Sine; nan from 2^45."""
    r, rest, n = _quadrant(x)
    y = _select(abs(x) < _FARTHEST, _wave(r, rest, n), np.nan)
    return _select(abs(x) < 1e-9, x, y)


@njit(forceinline=True, error_model="numpy")
def _cos(x: float) -> float:
    """Cosine; nan from 2^45."""
    r, rest, n = _quadrant(x)
    return _select(abs(x) < _FARTHEST, _wave(r, rest, n + 1), np.nan)


@njit(forceinline=True, error_model="numpy")
def _atan(x: float) -> float:
    """atan(a) = atan(r) + (0, pi / 4, pi / 2) with r = (a, (a - 1) / (a + 1), -1 / a), r with its rounding error."""
    a = abs(x)
    a = _select(a > 1e18, 1e18, a)
    low, high = a < 0.41421356237309503, a > 2.414213562373095
    top = _select(low, a, _select(high, -1.0, a - 1.0))
    bottom = _select(low, 1.0, _select(high, a, a + 1.0))
    middle = _select(low | high, 0.0, 1.0)
    inverse = 1.0 / bottom
    r = top * inverse
    # What rounding took from a - 1 and a + 1 (which is below 4): in the middle alone.
    lost_top = middle * (a - (top + 1.0))
    lost_bottom = middle * (a - (bottom - 1.0))
    rest = inverse * (_fma(-r, bottom, top) + _fma(-r, lost_bottom, lost_top))
    base = _select(low, 0.0, _select(high, _HALF_PI, 0.5 * _HALF_PI))
    base_rest = _select(low, 0.0, _select(high, _HALF_PI_REST, 0.5 * _HALF_PI_REST))
    z = r * r
    tail = _fma(r * z, _polynomial(z, _ATAN), rest + base_rest)
    start = base + r
    tail += (base - start) + r
    return _with_sign(start + tail, x)


@njit(forceinline=True, error_model="numpy")
def _sign(x: float) -> float:
    """-1, 0 or 1."""
    return _select(x > 0.0, 1.0, _select(x < 0.0, -1.0, x))


@njit(forceinline=True, error_model="numpy")
def _heaviside(x: float, middle: float) -> float:
    """0 below zero, 1 above, and middle at zero."""
    return _select(x > 0.0, 1.0, _select(x < 0.0, 0.0, _select(x == 0.0, middle, x)))


@njit(forceinline=True, error_model="numpy")
def _max(a: float, b: float) -> float:
    """The larger number; nan if there is one."""
    return _select((a >= b) | (a != a), a, b)


@njit(forceinline=True, error_model="numpy")
def _min(a: float, b: float) -> float:
    """The smaller number; nan if there is one."""
    return _select((a <= b) | (a != a), a, b)
