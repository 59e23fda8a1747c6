"""Numbers of classes of sites, where equations of a limit are written out class by class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sympy as sp

from dmft_sym.solvers.exact_march import class_fractions

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem


def class_counts(theory: Problem) -> dict[sp.Symbol, int]:
    """How many classes the data have, by the symbol of that number."""
    given = theory.data.given
    return {classes.label.size: len(given[classes.share]) for classes in theory.program.classes}


def class_numbers(theory: Problem) -> dict[sp.Expr, Any]:
    """What shares and other numbers of every class are, by ``varrho(0)``, ..., and how many there are."""
    numbers = {
        classes.value(name).xreplace({classes.label.symbol: sp.Integer(place)}): number
        for classes in theory.program.classes
        for name, row in class_fractions(theory).items()
        for place, number in enumerate(row)
    }
    return {**numbers, **class_counts(theory)}
