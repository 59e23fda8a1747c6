"""Limits of limits: of closed equations whose limits change different parameters, where their order does not matter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import sympy as sp

from dmft_sym.derivation.processes import Member
from dmft_sym.program import ProgramError

from .first_step import split_problem
from .limit import Limit
from .limit_theory import LimitTheory
from .limiting import LimitingTheory


class Composed(LimitingTheory):
    """A limit of the equations that another limit left.

    Parameters
    ----------
    first
        What is left.
    limit
        How further parameters scale.
    """

    def __init__(self, first: LimitingTheory, limit: Limit) -> None:
        super().__init__(first.problem, limit)
        self.first, self.second = first, limit
        self.limit = replace(limit, name=f"{first.limit.name}, then {limit.name}")

    @property
    def gone(self) -> set[str]:
        """Arguments that went to either limit."""
        return self.first.gone | super().gone

    @property
    def scaled(self) -> set[sp.Symbol]:
        """Parameters that scale in either limit."""
        return self.first.scaled | super().scaled

    def _is_known(self, member: Member) -> bool:
        return self.first._is_known(member)


def of_limit(made: LimitTheory, limit: Limit) -> Composed:
    """A limit of what is left, taken in the other order as well.

    Raises
    ------
    ProgramError
        If the limits are not of closed equations, change the same parameter, or do not commute: naming why, and the
        limit in which all parameters scale.
    """
    own = set(limit.scaling)
    if not isinstance(made, LimitingTheory) or limit.kind is not made.limit.kind or not own:
        raise ProgramError(
            f"limit {limit.name} of the limit {made.limit.name}: allowed are limits in which parameters of closed "
            "equations scale, such as theory.limit('wide').limit('population')"
        )
    both = sorted(symbol.name for symbol in made.scaled if symbol.name in own)
    if both:
        raise ProgramError(f"limit {limit.name} of the limit {made.limit.name}: {', '.join(both)} went to it already")
    why = ""
    for one in _ways(made):
        try:
            found = Composed(one, limit)
            wrong = next(_differences(found, _reversed(one, limit)), None)
        except ProgramError as error:
            why = why or str(error)
            continue
        if wrong is None:
            return found
        why = why or f"{wrong} is another one in the other order"
    scaling = ", ".join(f"'{name}': {value}" for name, value in {**made.limit.scaling, **limit.scaling}.items())
    raise ProgramError(
        f"limit {limit.name} of the limit {made.limit.name}: both orders do not exist or differ, {why}; allowed is one "
        f"limit in which all parameters scale together, such as ds.limits.Limit(name, {{{scaling}}})"
    )


def _ways(made: LimitingTheory) -> Iterator[LimitingTheory]:
    """The limit, and that of fields that are split, where large terms of the first step cancel."""
    yield made
    split = split_problem(made.theory) if made.whole is made.theory and not isinstance(made, Composed) else None
    if split is not None:
        yield LimitingTheory(split, made.limit, whole=made.whole)


def _reversed(made: LimitingTheory, limit: Limit) -> LimitingTheory:
    """The limits with the last one before all others."""
    if isinstance(made, Composed):
        return Composed(_reversed(made.first, limit), made.second)
    return Composed(LimitingTheory(made.theory, limit, whole=made.whole), made.limit)


def _differences(one: LimitingTheory, other: LimitingTheory) -> Iterator[str]:
    """Labels of equations that losses depend on and that are not the same."""
    left, right = ({e.label: e.right for e in limiting.closed.equations if e.left.func in limiting.needed}
                   for limiting in (one, other))  # fmt: skip
    yield from sorted(set(left) ^ set(right))
    yield from (label for label, value in left.items() if sp.expand(value - right[label]) != 0)
