"""Site-wise functions: what users write becomes a `SiteFunction` of labelled fields, and how it is differentiated."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias

import sympy as sp
from sympy.core.function import AppliedUndef

from dmft_sym.program import FieldRef, Linear, ProgramError, ScalarRef, SiteFunction
from dmft_sym.program.site_expressions import check, show_expression

from .finite_values import check_several

Function: TypeAlias = str | sp.Expr | Callable[..., Any]
"""An activation by name, a formula in ``h``, or a function of SymPy symbols."""


def site_function(
    function: Function, arguments: Sequence[FieldRef | ScalarRef], taken: Collection[str] = ()
) -> SiteFunction:
    """The function of the fields ``arguments``, with one symbol for each, named after it, none of the names ``taken``.

    Raises
    ------
    ProgramError
        If the function is not allowed, or if the number of arguments does not fit.
    """
    from .activations import activation

    symbols = _symbols(arguments, taken)
    if callable(function) and not isinstance(function, sp.Basic):
        expression = _checked(_called(function, symbols), symbols)
        if len(arguments) == 1 and isinstance(arguments[0], FieldRef) and expression.free_symbols == set(symbols):
            activation(expression)  # raises where it is not finite
        elif len(arguments) > 1:
            fields = zip(symbols, arguments, strict=True)
            check_several(expression, list(dict.fromkeys(s for s, ref in fields if isinstance(ref, FieldRef))))
    else:
        if len(arguments) != 1:
            raise ProgramError(f"apply {function}: a formula in h takes one vector, got {len(arguments)} arguments")
        chosen = activation(function)
        expression = chosen.expression.xreplace({chosen.symbol: symbols[0]})
    used = [(symbol, ref) for symbol, ref in zip(symbols, arguments, strict=True) if symbol in expression.free_symbols]
    return SiteFunction(expression, tuple(dict.fromkeys(used)))


def _called(function: Callable[..., Any], symbols: Sequence[sp.Symbol]) -> sp.Expr:
    """What a user's function makes of symbols; a NumPy function, for one, does not know them."""
    try:
        made: sp.Expr = sp.sympify(function(*symbols), strict=True)
    except (AttributeError, TypeError, sp.SympifyError) as error:
        name = getattr(function, "__name__", type(function).__name__)
        raise ProgramError(
            f"apply {name}: cannot be computed on SymPy symbols ({' '.join(str(error).split())}); allowed are a name "
            'such as "tanh", a formula in h as text, or a function of SymPy symbols, with sympy.tanh and sympy.Max for '
            "functions of NumPy"
        ) from error
    return made


def _checked(expression: sp.Expr, symbols: Collection[sp.Symbol]) -> sp.Expr:
    """The expression, if its functions are known or left open; its other symbols are judged with the whole program."""
    stands_for = {part: sp.Dummy(real=True) for part in expression.atoms(AppliedUndef)}
    known = expression.xreplace(stands_for)
    check(known, known.free_symbols)
    if not expression.free_symbols & set(symbols):
        raise ProgramError(f"site function {show_expression(expression)}: it does not depend on its arguments")
    return expression


def _symbols(arguments: Sequence[FieldRef | ScalarRef], reserved: Collection[str]) -> list[sp.Symbol]:
    """One real symbol for every argument; the same argument has the same symbol."""
    chosen: dict[FieldRef | ScalarRef, sp.Symbol] = {}
    taken = set(reserved)
    for ref in arguments:
        if ref not in chosen:
            stem = ref.declared.name
            name, number = stem, 2
            while name in taken:
                name, number = f"{stem}_{number}", number + 1
            taken.add(name)
            chosen[ref] = sp.Symbol(name, real=True)
    return [chosen[ref] for ref in arguments]


def linear_form(function: SiteFunction) -> Linear | None:
    """The function as a linear combination of its fields, if it is one with coefficients that are no scalars."""
    if function.scalars:
        return None
    symbols = [symbol for symbol, _ in function.fields]
    expression = sp.expand(function.expression)
    slopes = [sp.diff(expression, symbol) for symbol in symbols]
    if any(slope.free_symbols & set(symbols) or slope.has(sp.Function, sp.Derivative) for slope in slopes):
        return None
    if sp.expand(expression - sum(s * x for s, x in zip(slopes, symbols, strict=True))) != 0:
        return None
    total = Linear()
    for slope, (_, ref) in zip(slopes, function.fields, strict=True):
        total += Linear.of(ref, slope)
    return total
