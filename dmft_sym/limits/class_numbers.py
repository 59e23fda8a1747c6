"""Numbers of classes of sites, where equations of a limit are written out class by class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy as sp

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem


def class_counts(theory: Problem) -> dict[sp.Symbol, int]:
    """How many classes the data have, by the symbol of that number."""
    given = theory.data.given
    return {classes.label.size: len(given[classes.share]) for classes in theory.program.classes}


def class_numbers(theory: Problem) -> dict[sp.Expr, float]:
    """What shares and other numbers of every class are, by ``varrho(0)``, ..., and how many there are."""
    program, given = theory.program, theory.data.given
    numbers = {
        classes.value(name).xreplace({classes.label.symbol: sp.Integer(place)}): float(number)
        for classes in program.classes
        for name in program.class_values
        for place, number in enumerate(given[name])
    }
    return {**numbers, **class_counts(theory)}
