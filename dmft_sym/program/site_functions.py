"""Site functions as NumPy calls: the plain back end, which knows no text and needs no compiler."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import sympy as sp

from .site_expressions import UNARY, Algebra, prepare, walk

Values: TypeAlias = dict[sp.Symbol, Any]
Closure: TypeAlias = Callable[[Values], Any]


def _erf(x: Any) -> Any:
    """SciPy's, imported when it is called: most networks do without."""
    from scipy.special import erf

    return erf(x)


_OTHERWISE: dict[str, Callable[..., Any]] = {"atan": np.arctan, "erf": _erf, "max": np.maximum, "min": np.minimum}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in (*UNARY.values(), "heaviside", "sqrt") if name not in _OTHERWISE},
    **_OTHERWISE,
}
_COMPARE: dict[str, Callable[..., Any]] = {
    "==": np.equal,
    ">=": np.greater_equal,
    ">": np.greater,
    "<=": np.less_equal,
    "<": np.less,
    "!=": np.not_equal,
}
_LOGIC = {"and": np.logical_and, "or": np.logical_or}


def numpy_function(
    expressions: Iterable[sp.Expr], arguments: Sequence[sp.Symbol]
) -> Callable[..., tuple[np.ndarray, ...]]:
    """A function of arrays that evaluates ``expressions``, one array each.

    Parameters
    ----------
    expressions
        Site functions: SymPy expressions in ``arguments`` and the functions that `check` allows. At kinks
        ``Heaviside(0, v) = v`` and ``sign(0) = 0``.
    arguments
        Symbols, in the order of the arguments of the result. These are real arrays or numbers, broadcast against each
        other; every result has their common shape, also that of a constant.

    Raises
    ------
    ProgramError
        If an expression has anything else; the message names it.

    Examples
    --------
    >>> h = sp.Symbol("h", real=True)
    >>> numpy_function([sp.log(1 + sp.exp(h))], [h])([-800.0, 800.0])
    (array([  0., 800.]),)
    """
    prepared = prepare(expressions, arguments)
    algebra = _Closures()
    common = [(symbol, walk(value, algebra)) for symbol, value in prepared.common]
    results = [_own(result, walk(result, algebra)) for result in prepared.results]
    names = tuple(arguments)

    def evaluate(*given: Any) -> tuple[np.ndarray, ...]:
        if len(given) != len(names):
            raise TypeError(f"{len(given)} arguments: allowed are {len(names)}, {', '.join(map(str, names))}")
        arrays = [_real(value) for value in given]
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        values: Values = dict(zip(names, arrays, strict=True))
        # A branch that is not taken may overflow, and infinity has a limit.
        with np.errstate(all="ignore"):
            for symbol, compute in common:
                values[symbol] = compute(values)
            return tuple(_full(result(values), shape) for result in results)

    return evaluate


def _real(value: Any) -> np.ndarray:
    array = np.asarray(value)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _own(expression: sp.Expr, closure: Closure) -> Closure:
    """A closure whose array is nobody else's."""
    return (lambda values: np.array(closure(values))) if isinstance(expression, sp.Symbol) else closure


def _full(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(value)
    return array if array.shape == shape else np.array(np.broadcast_to(array, shape))


class _Closures(Algebra[Closure]):
    """Functions of the values of the symbols."""

    def number(self, value: float) -> Closure:
        return lambda values: value

    def symbol(self, symbol: sp.Symbol) -> Closure:
        return operator.itemgetter(symbol)

    def add(self, plus: Sequence[Closure], minus: Sequence[Closure]) -> Closure:
        if not plus:
            total = self.add(minus, ())
            return lambda values: -total(values)

        def result(values: Values) -> Any:
            total = plus[0](values)
            for term in plus[1:]:
                total = total + term(values)
            for term in minus:
                total = total - term(values)
            return total

        return result

    def multiply(self, factors: Sequence[Closure], divisors: Sequence[Closure]) -> Closure:
        def product(closures: Sequence[Closure], values: Values) -> Any:
            return functools.reduce(operator.mul, (closure(values) for closure in closures))

        if not divisors:
            return lambda values: product(factors, values)
        # Numbers may be plain ones, which Python does not divide by zero.
        return lambda values: np.divide(product(factors, values), product(divisors, values))

    def power(self, base: Closure, exponent: int) -> Closure:
        return lambda values: base(values) ** exponent

    def call(self, name: str, arguments: Sequence[Closure]) -> Closure:
        function = _FUNCTIONS[name]
        return lambda values: function(*(argument(values) for argument in arguments))

    def select(self, condition: Closure, then: Closure, other: Closure) -> Closure:
        return lambda values: np.where(condition(values), then(values), other(values))

    def compare(self, operator: str, left: Closure, right: Closure) -> Closure:
        function = _COMPARE[operator]
        return lambda values: function(left(values), right(values))

    def logic(self, operator: str, operands: Sequence[Closure]) -> Closure:
        if operator == "not":
            return lambda values: np.logical_not(operands[0](values))
        return lambda values: functools.reduce(_LOGIC[operator], (operand(values) for operand in operands))
