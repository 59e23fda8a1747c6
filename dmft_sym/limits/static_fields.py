"""Fields that do not depend on the step, and what is made of them: without their labels of steps."""

from __future__ import annotations

import sympy as sp

from dmft_sym.derivation.symbols import THEN, Labelled, NoiseAt, TwoPoint
from dmft_sym.program import LAYER


def static(expression: sp.Expr) -> sp.Expr:
    """The same of fields that do not depend on the step."""
    points = {point: type(point).mro()[1](*map(static, point.ends)) for point in expression.atoms(TwoPoint)}
    things = {thing: timeless(thing) for thing in expression.atoms(Labelled) if thing.step is not None}
    return expression.xreplace({**points, **things})


def timeless(thing: Labelled) -> Labelled:
    """A thing without its step."""
    return renamed(thing, str(thing.name), "step")


def renamed(thing: Labelled, name: str, *without: str) -> Labelled:
    """A thing with another name, perhaps without some of its labels."""
    kind = next(base for base in type(thing).mro() if base.__module__ == Labelled.__module__)
    values = tuple((slot, value) for slot, value in thing.labels.items() if slot not in (LAYER.name, *without))
    more = {"bar": thing.bar, "initial": thing.initial} if isinstance(thing, NoiseAt) else {}
    made: Labelled = kind.of(name, thing.layer, values, **more)  # type: ignore[attr-defined]
    return made


def is_memory(term: sp.Expr) -> bool:
    """Whether a term sums over past steps."""
    return any(limit[0] == THEN[0] for part in term.atoms(sp.Sum) for limit in part.limits)
