"""LaTeX of derived equations: a printer over the SymPy objects that they are made of."""

from __future__ import annotations

from collections.abc import Iterable

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.printing.latex import LatexPrinter

from dmft_sym.program import PAST_STEP, STEP
from dmft_sym.program.printing import primed

from .domain import condition_latex
from .stage import Line, signed
from .symbols import (
    KEPT,
    KERNEL,
    PAST_KERNEL,
    Gram,
    Labelled,
    Response,
    ScalarAt,
    SiteAverage,
    Tangent,
    TwoPoint,
    is_step,
)

_RANKS: tuple[type | tuple[type, ...], ...] = (
    KEPT,
    (sp.Piecewise, sp.Sum, sp.Integral),
    (KERNEL, PAST_KERNEL),
    ScalarAt,
    (TwoPoint, SiteAverage),
    Labelled,
    (),
    Tangent,
)
"""Factors of a product in the order in which they are written, after the coefficient; ``()`` for all others."""
_OBJECTS = (Labelled, TwoPoint, Tangent, SiteAverage, sp.KroneckerDelta, sp.Piecewise, sp.Integral, KEPT, KERNEL,
            PAST_KERNEL)  # fmt: skip


class EquationPrinter(LatexPrinter):
    """Factors of a product in the order of the papers: coefficient, sum, kernel, errors, averages, fields.

    Parameters
    ----------
    averages
        Whether order parameters are written as the averages that they are.
    """

    def __init__(self, averages: bool = False) -> None:
        super().__init__({"mul_symbol": None})
        self.averages = averages

    def _print_Mul(self, expr: sp.Mul) -> str:
        if not expr.is_Mul or not is_product(expr):
            return str(super()._print_Mul(expr))
        text = term_latex(expr, self)
        return text.removeprefix("+ ")

    def bracketed(self, factor: sp.Expr) -> str:
        """A factor of a product."""
        text = self.doprint(factor)
        return f"\\left({text}\\right)" if factor.is_Add else text

    def _print_Sum(self, expr: sp.Sum) -> str:
        """Sums over the past and over labels together; ``s < t`` where the last step is left out."""
        bounds = ", ".join(part for part in (self._steps(expr), self._labels(expr), self._layers(expr)) if part)
        return f"\\sum_{{{bounds}}} {self.bracketed(expr.function)}"

    def _print_Integral(self, expr: sp.Integral) -> str:
        """Integrals over the past, what they run over first."""
        signs = [f"\\int_{{{sp.latex(low)}}}^{{{sp.latex(high)}}} d{sp.latex(v)}" for v, low, high in expr.limits]
        return " ".join((*signs, "\\,", self.bracketed(expr.function)))

    def _steps(self, expr: sp.Sum) -> str:
        parts = []
        for variable, first, last in expr.limits:
            if is_step(variable):
                low = "" if first == 0 else f"{sp.latex(first)} \\le "
                relation, end = ("<", last + 1) if last.is_Add else (" \\le ", last)
                parts.append(f"{low}{sp.latex(variable)}{relation}{sp.latex(end)}")
        return ", ".join(parts)

    def _labels(self, expr: sp.Sum) -> str:
        return " ".join(sp.latex(v) for v, low, _ in expr.limits if low == 0 and not is_step(v))

    def _layers(self, expr: sp.Sum) -> str:
        return " ".join(sp.latex(v) for v, low, _ in expr.limits if low != 0 and not is_step(v))

    def _print_Function(self, expr: sp.Function, exp: str | None = None) -> str:
        """What the optimizer does, without brackets that grow, and ``t - s`` in this order."""
        if exp is not None or not isinstance(expr, (KEPT, KERNEL, PAST_KERNEL)):
            return str(super()._print_Function(expr, exp))
        arguments = ",".join(_difference(argument) for argument in expr.args)
        name = {KEPT: "\\rho", KERNEL: "\\kappa"}.get(expr.func, "S_\\kappa")
        return f"{name}({arguments})"

    def _print_Derivative(self, expr: sp.Derivative) -> str:
        inner = expr.expr
        if isinstance(inner, AppliedUndef) and len(inner.args) == 1 and set(expr.variables) == set(inner.args):
            return str(self.doprint(primed(inner.func.__name__, len(expr.variables))(*inner.args)))
        return str(super()._print_Derivative(expr))

    def _print_Piecewise(self, expr: sp.Piecewise) -> str:
        """A term under a condition on layers as a bracket, which is one or zero, before it."""
        (value, condition), *others = expr.args
        if others != [ExprCondPair(sp.Integer(0), sp.true)]:
            return str(super()._print_Piecewise(expr))
        where = f"\\left[{condition_latex(condition)}\\right]"
        return where if value == 1 else f"{where}\\, {self.bracketed(value)}"

    def _print_KroneckerDelta(self, expr: sp.KroneckerDelta, exp: str | None = None) -> str:
        return f"\\delta_{{{' '.join(self.doprint(arg) for arg in expr.args)}}}"

    def two_point(self, expr: TwoPoint) -> str | None:
        """An order parameter as an average; ``None`` if it is written by its name."""
        if not self.averages or isinstance(expr, Gram) or (isinstance(expr, Response) and expr.accent):
            return None
        a, b = expr.ends
        if isinstance(expr, Response):
            return f"\\Big\\langle \\frac{{\\partial {self.doprint(a)}}}{{\\partial {self.doprint(b)}}} \\Big\\rangle"
        return f"\\big\\langle {self.doprint(a)}\\, {self.doprint(b)} \\big\\rangle"


def is_product(term: sp.Expr) -> bool:
    """Whether labelled things are factors of a term, and none is below a fraction."""
    _, rest = split(term)
    return bool(rest) and not any(factor.is_Pow and factor.exp.could_extract_minus_sign() for factor in rest)


def split(term: sp.Expr) -> tuple[sp.Expr, list[sp.Expr]]:
    """A coefficient in parameters, and the other factors in the order in which they are written."""
    factors = term.as_ordered_factors()
    ours = [factor for factor in factors if factor.has(*_OBJECTS)]
    coefficient = sp.Mul(*(factor for factor in factors if not factor.has(*_OBJECTS)))
    return coefficient, sorted(ours, key=_rank)


def _rank(factor: sp.Expr) -> tuple[int, int]:
    """Of two-point functions the one that has the present comes first, and the one that has the past last."""
    found = next((rank for rank, kinds in enumerate(_RANKS) if isinstance(factor, kinds)), _RANKS.index(()))
    chain = 0 if not isinstance(factor, TwoPoint) or factor.has(STEP) else 2 if factor.has(PAST_STEP) else 1
    return found, chain


def _difference(argument: sp.Expr) -> str:
    """A sum with what is positive first, without spaces."""
    terms = sorted(sp.Add.make_args(argument), key=lambda term: bool(term.could_extract_minus_sign()))
    text = " + ".join(map(sp.latex, terms)).replace("+ -", "-")
    return text.replace(" ", "")


def term_latex(term: sp.Expr, printer: EquationPrinter) -> str:
    """A term with its sign in front."""
    if term.is_Add:
        return f"+ {printer.doprint(term)}"
    coefficient, rest = split(term)
    if not rest:
        return signed(coefficient, "") if abs(coefficient) != 1 else f"{'+' if coefficient == 1 else '-'} 1"
    if not is_product(term):
        sign = "-" if term.could_extract_minus_sign() else "+"
        return f"{sign} {printer.doprint(-term if sign == '-' else term)}"
    return signed(coefficient, "\\, ".join(map(printer.bracketed, rest)))


def line(left: sp.Expr, terms: Iterable[sp.Expr], averages: bool = False) -> Line:
    """``left = sum of terms`` as a displayed relation.

    Parameters
    ----------
    averages
        Whether order parameters are written as the averages that they are.
    """
    printer = EquationPrinter(averages)
    return Line(printer.doprint(left), tuple(term_latex(term, printer) for term in terms))
