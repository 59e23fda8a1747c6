"""IR -> exact arithmetic: the plain NumPy lines on arrays of elements of a field of rational functions (SymPy).

All numbers are rational functions: responses are to Gaussian fields as they are, not divided by roots of ratios, and of
parameters that stand under a root all the same the module takes the root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import sympy as sp

from dmft_sym.program import ClassValue, class_value

from .ir import AddIdentity, AddKernel, AddWeight, ArraySpec, Export, March
from .numpy_backend import NumpyStyle
from .python_text import ModuleWriter

PREFIX = "root_"


class ExactStyle(NumpyStyle):
    """NumPy lines on object arrays; every number is exact, and nothing is rounded or infinite."""

    imports: tuple[str, ...] = ("import numpy as np", "from sympy import QQ")
    dtype = "object"
    exact = "field"

    def convert(self, name: str) -> str:
        return f"np.array([{name}], dtype)"  # an array: elements of a field do not multiply arrays

    def class_numbers(self, name: str) -> str:
        return f"np.asarray({name}, dtype)[:, np.newaxis]"  # of every class an array, as above

    def finite(self, row: str) -> str:
        return "True"


def write(march: March, alone: bool = True) -> str:
    """The module's source; it stands alone in any case."""
    return ModuleWriter(rationalised(unscaled(march)), ExactStyle(), "exact").text()


def unscaled(thing: Any) -> Any:
    """With responses to the Gaussian fields as they are: ``R`` becomes ``R / scale``, ``scale`` of its array."""
    match thing:
        case ArraySpec() | Export():
            thing = replace(thing, scale=sp.Integer(1))
        case AddIdentity(target, coefficient):
            thing = replace(thing, coefficient=_tidy(coefficient / target.array.scale))
        case AddKernel(coefficient, source) if source is not None:
            thing = replace(thing, coefficient=_tidy(coefficient * source.array.scale))
        case AddWeight(coefficient, response):  # which meets a response to a field of the same matrix
            thing = replace(thing, coefficient=_tidy(coefficient * response.array.scale**2))
    return _each(thing, unscaled)


def _tidy(value: sp.Expr) -> sp.Expr:
    return sp.powdenest(sp.powsimp(sp.sympify(value, strict=True)), force=True)


def rationalised(march: March) -> March:
    """With the roots of parameters as parameters, wherever there are some: ``nu = root_nu^2``."""
    powers = (power for value in _expressions(march) for power in value.atoms(sp.Pow))
    values = {found for value in _expressions(march) for found in value.atoms(ClassValue)}
    bases = {power.base for power in powers if _is_fractional(power)}
    bases |= {value for base in bases for value in values if isinstance(base, ClassValue) and value.func == base.func}
    roots = {base: root_of(base) for base in bases}
    made: March = _rooted(march, roots)
    real = tuple(symbol for symbol in march.parameters if symbol not in roots)
    symbols = tuple(root for base, root in roots.items() if not isinstance(base, ClassValue))
    renamed = {base.func.__name__: root.func.__name__ for base, root in roots.items() if isinstance(base, ClassValue)}
    classes = tuple(
        replace(kinds, values=tuple(renamed.get(name, name) for name in kinds.values)) for kinds in march.classes
    )
    return replace(made, parameters=(*real, *symbols), integers=march.integers, classes=classes)


def root_of(base: sp.Expr) -> sp.Expr:
    """The symbol of the square root of a symbol or an integer; of a number of classes, that of their roots."""
    if isinstance(base, ClassValue):
        return class_value(f"{PREFIX}{base.func.__name__}", base.args[0])
    return sp.Symbol(f"{PREFIX}{base}", positive=True)


def _rooted(thing: Any, roots: dict[sp.Expr, sp.Expr]) -> Any:
    """All expressions inside of nodes with roots put in; of integers, which are layers too, in fractional powers."""
    if isinstance(thing, sp.Expr):
        whole = {symbol: root**2 for symbol, root in roots.items() if symbol.is_integer is not True}
        return thing.replace(
            lambda part: _is_fractional(part) and part.base in roots, lambda part: roots[part.base] ** (2 * part.exp)
        ).xreplace(whole)
    return _each(thing, lambda part: _rooted(part, roots))


def _is_fractional(part: sp.Expr) -> bool:
    """Whether it is a fractional power."""
    return bool(part.is_Pow and part.exp.is_Rational and not part.exp.is_Integer)


def _each(thing: Any, made: Callable[[Any], Any]) -> Any:
    """A node, or several, with their parts made anew."""
    if isinstance(thing, tuple):
        return tuple(map(made, thing))
    if is_dataclass(thing) and not isinstance(thing, type):
        return replace(thing, **{f.name: made(getattr(thing, f.name)) for f in fields(thing)})
    return thing


def _expressions(thing: Any) -> Iterator[sp.Expr]:
    """All expressions inside of nodes."""
    if isinstance(thing, sp.Expr):
        yield thing
    elif isinstance(thing, tuple):
        for part in thing:
            yield from _expressions(part)
    elif is_dataclass(thing) and not isinstance(thing, type):
        yield from _expressions(tuple(getattr(thing, f.name) for f in fields(thing)))
