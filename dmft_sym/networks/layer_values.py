"""Numbers that may differ from layer to layer: initial standard deviations and learning rates."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import sympy as sp

from dmft_sym.program import LAYER, LayerRange, ProgramError

from .coefficients import Number, number

LayerNumber: TypeAlias = Number | Callable[[sp.Symbol], Number]
"""A number, a SymPy expression (in parameters, ``net.depth`` and the layer ``l``), or a function of the layer."""


def layer_value(what: str, key: str, value: LayerNumber, layers: LayerRange | None) -> sp.Expr:
    """The expression, the layer being that of a member of a family with these ``layers``.

    Raises
    ------
    ProgramError
        If it is no finite real number, if it is negative, or if it depends on a layer that is not there.
    """
    if callable(value) and not isinstance(value, sp.Basic):
        value = value(LAYER.symbol)
    try:
        found = number(value)
    except ProgramError as error:
        raise ProgramError(
            f"{what}: {key} = {value!r}: allowed is a number, a SymPy expression, or a function of the layer, such as "
            "lambda l: 1 / l"
        ) from error
    found = found.xreplace({s: LAYER.symbol for s in found.free_symbols if s.name == LAYER.symbol.name})
    if layers is None and LAYER.symbol in found.free_symbols:
        raise ProgramError(f"{what}: {key} = {found}: allowed in the layer l is that of a family, layers=(first, last)")
    if found.has(sp.Piecewise):
        raise ProgramError(
            f"{what}: {key} = {found}: allowed is one formula for all layers; layers that differ are matrices of their "
            "own, which are folded into a family where they repeat"
        )
    if found.is_nonnegative is False:
        raise ProgramError(f"{what}: {key} = {found}: allowed is a number >= 0")
    return found
