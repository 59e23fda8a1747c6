"""The table of all checks of a theory's limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dmft_sym.program import ProgramError
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show, suggestion

from . import site_checks
from .checks import Verdict, approach, exact, structural
from .first_step import split_problem
from .lazy_sites import LazySites
from .limit import Limit
from .limiting import LimitingTheory
from .standard import ALL

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

STEPS = 20
"""Steps of the approach in numbers on the command line."""
_FEW = 40
"""Two-time matrices up to which a third step in exact arithmetic is quick."""


@dataclass(frozen=True)
class LimitCheck:
    """A row: a limit of a network, what the checks found, and why it does not apply if it does not."""

    limit: str
    network: str
    structural: Verdict
    exact: Verdict
    approach: Verdict
    reason: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether no check failed; ``None`` if the limit does not apply."""
        found = [check.holds for check in (self.structural, self.exact, self.approach)]
        return None if all(one is None for one in found) else all(one is not False for one in found)

    @property
    def verdict(self) -> str:
        """In a word."""
        return {None: "does not apply", True: "holds", False: "fails"}[self.holds]


class Checks(tuple[LimitCheck, ...]):
    """Rows of checks; prints as a table."""

    @property
    def failed(self) -> bool:
        """Whether a check failed."""
        return any(row.holds is False for row in self)

    def __str__(self) -> str:
        lines = []
        for row in self:
            lines.append(f"{row.limit} ({row.network}): {row.verdict}" + (f", {row.reason}" if row.reason else ""))
            if row.holds is not None:
                for name in ("structural", "exact", "approach"):
                    found: Verdict = getattr(row, name)
                    mark = {None: "n/a ", True: "ok  ", False: "FAIL"}[found.holds]
                    lines.append(f"  {mark} {name:<10} {found}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from html import escape

        head = ("limit", "network", "structural", "exact", "approach", "verdict")
        cells = [
            (row.limit, row.network, row.structural, row.exact, row.approach, row.reason or row.verdict) for row in self
        ]
        body = ("".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in cells)
        top = "".join(f"<th>{name}</th>" for name in head)
        return f"<table><tr>{top}</tr>{''.join(f'<tr>{row}</tr>' for row in body)}</table>"


def check(
    theory: Problem,
    limits: Iterable[Limit | str] | None = None,
    *,
    progress: Callable[[int, int], object] | None = None,
    **arguments: Any,
) -> Checks:
    """Check limits of a theory in three ways.

    Parameters
    ----------
    limits
        Limits or their names; all that have names by default.
    progress
        Called as ``progress(done, total)`` after every limit.
    **arguments
        As of a run, for the approach in numbers: those that scale are where they start from.

    Returns
    -------
    Checks
        A row each; prints as a table.

    Raises
    ------
    ArgumentError
        If there is no limit of a name.
    """
    chosen = [_named(limit) for limit in (ALL.values() if limits is None else limits)]
    rows = []
    for limit in chosen:
        rows.append(_row(theory, limit, arguments))
        if progress is not None:
            progress(len(rows), len(chosen))
    return Checks(rows)


def _named(limit: Limit | str) -> Limit:
    if isinstance(limit, Limit):
        return limit
    if limit not in ALL:
        raise ArgumentError(f"limit = {show(limit)}: allowed are {', '.join(ALL)}{suggestion(limit, ALL)}")
    return ALL[limit]


def _row(theory: Problem, limit: Limit, arguments: Mapping[str, Any]) -> LimitCheck:
    name = theory.program.name
    try:
        limiting = limit_of(theory, limit)
    except ProgramError as error:
        none = Verdict(None, "")
        return LimitCheck(limit.name, name, none, none, none, str(error).removeprefix(f"limit {limit.name}: "))
    if isinstance(limiting, LazySites):
        sampled = Verdict(None, "averages over sites are not rational functions")
        checked = (
            site_checks.structural(limiting, arguments.get("depth")),
            sampled,
            site_checks.approach(limiting, arguments),
        )
        return LimitCheck(limit.name, name, *checked)
    steps = {key: value for key, value in arguments.items() if key == "steps"}
    values = {key: value for key, value in arguments.items() if key != "steps"}
    fixed = {p.keyword: values[p.keyword] for p in theory.parameters if p.integer and p.keyword in values}
    proved, rate = exact(limiting, 3 if _matrices(limiting, fixed) <= _FEW else 2, **fixed)
    expected = limit.rate if limit.rate is not None else rate if rate.is_finite else None  # first steps may be equal
    return LimitCheck(
        limit.name, name, structural(limiting), proved, approach(limiting, values, rate=expected, **steps)
    )


def limit_of(theory: Problem, limit: Limit) -> LimitingTheory | LazySites:
    """The limit of closed equations, or of single-site equations where fields are averaged over sites.

    Where closed equations diverge, differences from the first step may cancel: fields are then split into what they
    were and what changed.
    """
    if theory.program.scalars:
        return LazySites(theory, limit)
    try:
        return LimitingTheory(theory, limit)
    except ProgramError:
        split = split_problem(theory)
        if split is None:
            raise
        return LimitingTheory(split, limit, whole=theory)


def _matrices(limiting: LimitingTheory, fixed: Mapping[str, int]) -> int:
    """Number of two-time matrices of the whole theory at the depth of the network."""
    depth = fixed.get("depth", limiting.theory.network.depth or 0)
    values = {symbol: int(depth) for symbol in limiting.theory.program.parameters if symbol.is_integer}
    return sum(math.prod(len(layers.at(values)) for layers in array.stored) for array in limiting.whole.closed.arrays)
