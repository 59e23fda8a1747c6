"""What a function of the fields at one site may be, and the walk over it that the back ends share.

A site function is a SymPy expression in real symbols. It is checked against a list of functions, brought to a form that
does not overflow, split into common subexpressions, and handed to an `Algebra` piece by piece: one makes NumPy
calls of it (`site_functions`), one the text of a loop (``codegen.text.site_text``). Nothing is executed as text.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import sympy as sp
from sympy.codegen.cfunctions import expm1, log1p
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import BooleanFalse, BooleanTrue

from dmft_sym.support.messages import show, suggestion

from .errors import ProgramError

T = TypeVar("T")

_OF_ONE = (sp.Abs, sp.atan, sp.cos, sp.cosh, sp.erf, sp.exp, expm1, sp.log, log1p, sp.sign, sp.sin, sp.sinh, sp.tanh)
UNARY: dict[type[sp.Function], str] = {function: function.__name__.lower() for function in _OF_ONE}
ALLOWED = (
    "+ - * /, integer and half-integer powers, Abs, Heaviside, Max, Min, Piecewise, atan, cos, cosh, erf, exp, log, "
    "sign, sin, sinh, sqrt, tanh"
)
_RELATIONS: dict[type[sp.Rel], str] = {
    relation: relation.rel_op for relation in (sp.Eq, sp.Ge, sp.Gt, sp.Le, sp.Lt, sp.Ne)
}
_STRUCTURE = (
    *(sp.Add, sp.Mul, sp.Max, sp.Min, sp.Heaviside, sp.Piecewise, ExprCondPair),
    *(*_RELATIONS, sp.And, sp.Or, sp.Not, BooleanTrue, BooleanFalse),
)


class Algebra(ABC, Generic[T]):
    """The operations that site functions are made of."""

    @abstractmethod
    def number(self, value: float) -> T: ...

    @abstractmethod
    def symbol(self, symbol: sp.Symbol) -> T: ...

    @abstractmethod
    def add(self, plus: Sequence[T], minus: Sequence[T]) -> T: ...

    @abstractmethod
    def multiply(self, factors: Sequence[T], divisors: Sequence[T]) -> T: ...

    @abstractmethod
    def power(self, base: T, exponent: int) -> T:
        """``base**exponent`` for an exponent of at least 2."""

    @abstractmethod
    def call(self, name: str, arguments: Sequence[T]) -> T:
        """One of `UNARY`, or ``sqrt``; ``max``, ``min`` and ``heaviside(x, value at zero)`` take two."""

    @abstractmethod
    def select(self, condition: T, then: T, other: T) -> T: ...

    @abstractmethod
    def compare(self, operator: str, left: T, right: T) -> T: ...

    @abstractmethod
    def logic(self, operator: str, operands: Sequence[T]) -> T:
        """``and``, ``or`` or ``not``."""


@dataclass(frozen=True)
class Prepared:
    """Expressions split into ``common`` subexpressions, in the order of computation, and results."""

    common: tuple[tuple[sp.Symbol, sp.Basic], ...]
    results: tuple[sp.Expr, ...]


def prepare(expressions: Iterable[sp.Expr], arguments: Iterable[sp.Symbol]) -> Prepared:
    """Check, stabilise and split expressions in the symbols ``arguments``.

    Raises
    ------
    ProgramError
        If one has a function, a number or a symbol that is not allowed.
    """
    known = tuple(arguments)
    checked = []
    for expression in expressions:
        check(expression, known)
        checked.append(stable(expression))
    taken = {symbol.name for symbol in known}
    names = (s for s in sp.numbered_symbols("s", real=True) if s.name not in taken)
    common, results = sp.cse(checked, symbols=names, order="none")
    return Prepared(tuple(common), tuple(results))


def check(expression: sp.Expr, arguments: Iterable[sp.Symbol]) -> None:
    """Raise `ProgramError` unless ``expression`` is a site function in the symbols ``arguments``."""
    known = set(arguments)
    if not isinstance(expression, sp.Expr):
        raise ProgramError(f"site function {show(expression)}: allowed is a SymPy expression")
    for part in sp.preorder_traversal(expression):
        problem = _problem(part, known)
        if problem:
            where = "" if part == expression else f" in {show_expression(expression)}"
            raise ProgramError(f"site function {show_expression(part)}{where}: {problem}")


def show_expression(expression: sp.Basic) -> str:
    """A SymPy expression for messages: short, on one line."""
    text = " ".join(str(expression).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _problem(part: sp.Basic, known: set[sp.Symbol]) -> str:
    """What is wrong with one node of an expression; empty if it is allowed."""
    if isinstance(part, sp.Symbol):
        names = [symbol.name for symbol in known]
        hint = suggestion(part.name, names)
        return "" if part in known else f"unknown symbol{hint}; allowed are {', '.join(sorted(names)) or 'numbers'}"
    if isinstance(part, sp.Expr) and not part.args:
        real = part.is_number and part.is_real and part.is_finite
        return "" if real else "allowed are real numbers, finite"
    if isinstance(part, sp.Pow):
        return _power_problem(part)
    if isinstance(part, sp.Piecewise) and part.args[-1].cond is not sp.true:
        return "allowed is a Piecewise whose last branch holds otherwise: (value, True)"
    if isinstance(part, _STRUCTURE) or type(part) in UNARY:
        return ""
    kind = "function" if isinstance(part, sp.Function) else "expression"
    return f"{kind} {type(part).__name__} is not known; allowed are {ALLOWED}"


def _power_problem(power: sp.Pow) -> str:
    exponent = power.exp
    if power.base is sp.E or (exponent.is_Rational and exponent.q in (1, 2)) or not power.free_symbols:
        return ""
    return f"power {show_expression(exponent)}; allowed are whole and half numbers, as in h**2 and sqrt(h)"


def stable(expression: sp.Expr) -> sp.Expr:
    """The same function in a form that large arguments do not make infinity minus, or over, infinity.

    ``log(1 + e^u)`` becomes ``max(u, 0) + log1p(e^-|u|)``, products of ``e^(k u)`` and ``1 / (1 + e^u)^q`` are written
    with ``1 / (1 + e^-u)``, and ``log(1 + u)`` and ``e^u - 1`` are taken as functions of their own.
    """
    if not expression.args or not isinstance(expression, sp.Basic):
        return expression
    if isinstance(expression, sp.Mul):
        expression = _stable_product(expression)
    if isinstance(expression, sp.Add):
        return _stable_sum(expression)
    arguments = [stable(argument) for argument in expression.args]
    if isinstance(expression, sp.log):
        return _stable_log(arguments[0])
    return expression.func(*arguments)


def _stable_log(argument: sp.Expr) -> sp.Expr:
    constant, rest = argument.as_coeff_Add()
    if isinstance(argument, expm1):
        return sp.log(argument)
    if constant != 1 or rest == 0:
        return sp.log(argument)
    if isinstance(rest, sp.exp):
        u = rest.args[0]
        return sp.Max(u, 0) + log1p(sp.exp(-sp.Abs(u)))
    return log1p(rest)


def _stable_sum(expression: sp.Add) -> sp.Expr:
    """``c e^u - c`` becomes ``c expm1(u)``; the other terms stay."""
    constant, rest = expression.as_coeff_Add()
    terms = []
    for term in sp.Add.make_args(rest):
        coefficient, factor = term.as_coeff_Mul()
        if constant != 0 and constant == -coefficient and isinstance(factor, sp.exp):
            terms.append(coefficient * expm1(stable(factor.args[0])))
            constant = sp.Integer(0)
        else:
            terms.append(stable(term))
    return sp.Add(constant, *terms)


def _stable_product(product: sp.Mul) -> sp.Expr:
    """``e^(k u) (1 + e^u)^-q`` becomes ``e^((k - m) u) (1 + e^u)^(m - q) (1 + e^-u)^-m`` with ``m = min(k, q)``."""
    exponent: dict[sp.Expr, sp.Expr] = {}
    result = []
    for factor in product.args:
        if isinstance(factor, sp.exp):
            for term, coefficient in _terms(factor.args[0]).items():
                exponent[term] = exponent.get(term, sp.Integer(0)) + coefficient
    for factor in product.args:
        if isinstance(factor, sp.exp):
            continue
        base, power = factor.as_base_exp()
        constant, rest = base.as_coeff_Add()
        moved = sp.Integer(0)
        if power.is_Integer and power < 0 and constant == 1 and isinstance(rest, sp.exp):
            moved = sp.Min(_multiple(exponent, _terms(rest.args[0])), -power)
            for term, coefficient in _terms(rest.args[0]).items() if moved else ():
                exponent[term] -= moved * coefficient
            result.append((1 + sp.exp(-rest.args[0])) ** -moved)
        result.append(base ** (power + moved))
    return sp.Mul(sp.exp(sp.Add(*(c * term for term, c in exponent.items()))), *result)


def _terms(u: sp.Expr) -> dict[sp.Expr, sp.Expr]:
    """The terms of a sum with their rational coefficients."""
    pairs = (term.as_coeff_Mul() for term in sp.Add.make_args(u))
    return {term: coefficient for coefficient, term in pairs}


def _multiple(exponent: dict[sp.Expr, sp.Expr], u: dict[sp.Expr, sp.Expr]) -> sp.Integer:
    """The largest whole number of times, at least zero, that ``u`` is contained in the exponent, term by term.

    Terms are compared as they stand: to divide nested functions as polynomials takes a time that is exponential in the
    nesting.
    """
    ratio = min(exponent.get(term, sp.Integer(0)) / coefficient for term, coefficient in u.items())
    return sp.Max(sp.floor(ratio), 0)


def walk(expression: sp.Basic, algebra: Algebra[T]) -> T:
    """``expression``, which `prepare` has made, in terms of ``algebra``."""
    if isinstance(expression, sp.Symbol):
        return algebra.symbol(expression)
    if isinstance(expression, sp.Expr) and not expression.free_symbols:
        return algebra.number(number(expression))
    if isinstance(expression, sp.Add):
        return _walk_sum(expression, algebra)
    if isinstance(expression, (sp.Mul, sp.Pow)) and not _is_exp(expression):
        return _walk_product(expression, algebra)
    if type(expression) in _RELATIONS:
        left, right = (walk(argument, algebra) for argument in expression.args)
        return algebra.compare(_RELATIONS[type(expression)], left, right)
    if isinstance(expression, (sp.And, sp.Or, sp.Not)):
        parts = sorted(expression.args, key=sp.default_sort_key)
        return algebra.logic(type(expression).__name__.lower(), [walk(part, algebra) for part in parts])
    return _walk_function(expression, algebra)


def number(expression: sp.Expr) -> float:
    """The float64 nearest to an expression without symbols.

    Raises
    ------
    ProgramError
        If it is not a finite real number.
    """
    if isinstance(expression, sp.Rational):
        try:
            return int(expression.p) / int(expression.q)
        except OverflowError:
            raise ProgramError(f"number {show_expression(expression)}: allowed are finite numbers") from None
    value = sp.N(expression, 40)
    if not value.is_real or not math.isfinite(float(value)):
        raise ProgramError(f"number {show_expression(expression)}: allowed are real numbers, finite")
    return float(value)


def _is_exp(expression: sp.Basic) -> bool:
    return isinstance(expression, sp.Pow) and expression.base is sp.E


def _walk_sum(expression: sp.Add, algebra: Algebra[T]) -> T:
    plus: list[T] = []
    minus: list[T] = []
    for term in expression.args:
        if not term.free_symbols:
            value = number(term)
            (minus if value < 0 else plus).append(algebra.number(abs(value)))
        elif term.as_coeff_Mul()[0].is_negative:
            minus.append(walk(-term, algebra))
        else:
            plus.append(walk(term, algebra))
    return algebra.add(plus, minus)


def _walk_product(expression: sp.Expr, algebra: Algebra[T]) -> T:
    """Numbers become one factor, negative powers divisors."""
    arguments = sp.Mul.make_args(expression)
    constant = number(sp.Mul(*(a for a in arguments if not a.free_symbols)))
    factors: list[T] = []
    divisors: list[T] = []
    for argument in arguments:
        if not argument.free_symbols:
            continue
        base, exponent = (argument.base, argument.exp) if isinstance(argument, sp.Pow) else (argument, sp.Integer(1))
        if _is_exp(argument) or not exponent.is_Rational:
            factors.append(walk(argument, algebra))
            continue
        value = walk(base, algebra)
        whole, half = divmod(abs(exponent.p), exponent.q)
        side = divisors if exponent.is_negative else factors
        if half:
            side.append(algebra.call("sqrt", [value]))
        if whole:
            side.append(value if whole == 1 else algebra.power(value, whole))
    if constant != 1 or not factors:
        factors.insert(0, algebra.number(constant))
    return factors[0] if len(factors) == 1 and not divisors else algebra.multiply(factors, divisors)


def _walk_function(expression: sp.Basic, algebra: Algebra[T]) -> T:
    if isinstance(expression, sp.Piecewise):
        *branches, last = expression.args
        result = walk(last.expr, algebra)
        for branch in reversed(branches):
            result = algebra.select(walk(branch.cond, algebra), walk(branch.expr, algebra), result)
        return result
    if _is_exp(expression):
        return algebra.call("exp", [walk(expression.args[1], algebra)])
    values = [walk(argument, algebra) for argument in expression.args]
    if isinstance(expression, sp.Heaviside):
        return algebra.call("heaviside", values)
    if isinstance(expression, (sp.Max, sp.Min)):
        name = type(expression).__name__.lower()
        result = values[0]
        for value in values[1:]:
            result = algebra.call(name, [result, value])
        return result
    if type(expression) not in UNARY:
        raise ProgramError(f"{show_expression(expression)}: allowed are {ALLOWED}")
    return algebra.call(UNARY[type(expression)], values)
