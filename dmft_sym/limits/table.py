"""The table of all checks of a theory's limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from dmft_sym.networks.parameters import ETA
from dmft_sym.program import DEPTH, ProgramError
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show, suggestion

from . import deep_checks, flow_checks, late_checks, site_checks, spike_checks
from .checks import Verdict, approach, exact, structural
from .deep_limit import DeepTheory
from .first_step import split_problem
from .flow_limit import FlowLimit
from .independent_spikes import IndependentSpikes, SpikeLimit
from .late_limit import LateLimit, LateTheory
from .lazy_sites import LazySites
from .limit import Limit
from .limiting import LimitingTheory
from .standard import ALL

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

AnyLimit: TypeAlias = LimitingTheory | LazySites | FlowLimit | IndependentSpikes | DeepTheory | LateTheory
"""What a limit of a theory is, by its kind."""
Verdicts: TypeAlias = tuple[Verdict, Verdict, Verdict]

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
    asked = ALL.values() if limits is None else [limits] if isinstance(limits, str | Limit) else limits
    chosen = [named(limit) for limit in asked]
    rows = []
    for limit in chosen:
        rows.append(_row(theory, limit, arguments))
        if progress is not None:
            progress(len(rows), len(chosen))
    return Checks(rows)


def named(limit: Limit | str) -> Limit:
    """A limit by its name.

    Raises
    ------
    ArgumentError
        If there is none.
    """
    if isinstance(limit, Limit):
        return limit
    if not isinstance(limit, str) or limit not in ALL:
        near = suggestion(limit, ALL) if isinstance(limit, str) else ""
        raise ArgumentError(f"limit = {show(limit)}: allowed are {', '.join(ALL)}{near}")
    return ALL[limit]


def _row(theory: Problem, limit: Limit, arguments: Mapping[str, Any]) -> LimitCheck:
    name = theory.program.name
    try:
        limiting = limit_of(theory, limit)
    except ProgramError as error:
        none = Verdict(None, "")
        return LimitCheck(limit.name, name, none, none, none, str(error).removeprefix(f"limit {limit.name}: "))
    kind = next(kind for kind in _CHECKED if isinstance(limiting, kind))
    return LimitCheck(limit.name, name, *_CHECKED[kind](limiting, arguments))


def _of_sites(limiting: LazySites, arguments: Mapping[str, Any]) -> Verdicts:
    sampled = Verdict(None, "averages over sites are not rational functions")
    proved = site_checks.structural(limiting, arguments.get("depth"))
    return proved, sampled, site_checks.approach(limiting, arguments)


def _of_flow(limiting: FlowLimit, arguments: Mapping[str, Any]) -> Verdicts:
    fixed = _integers(limiting.theory, arguments)
    return (
        flow_checks.structural(limiting, fixed),
        flow_checks.exact(limiting, fixed),
        flow_checks.approach(limiting, arguments),
    )


def _of_closed(limiting: LimitingTheory, arguments: Mapping[str, Any]) -> Verdicts:
    steps = {key: value for key, value in arguments.items() if key == "steps"}
    values = {key: value for key, value in arguments.items() if key != "steps"}
    fixed = _integers(limiting.whole, values)
    proved, rate = exact(limiting, 3 if _matrices(limiting, fixed) <= _FEW else 2, **fixed)
    claimed = limiting.limit.rate
    expected = claimed if claimed is not None else rate if rate.is_finite else None  # first steps may be equal
    return structural(limiting), proved, approach(limiting, values, rate=expected, **steps)


def _of_spikes(limiting: IndependentSpikes, arguments: Mapping[str, Any]) -> Verdicts:
    roots = Verdict(None, "outliers are roots of polynomials, not rational functions")
    return spike_checks.structural(limiting), roots, spike_checks.approach(limiting, arguments)


def _of_late(limiting: LateTheory, arguments: Mapping[str, Any]) -> Verdicts:
    endless = Verdict(None, "infinitely many steps have no first ones")
    return late_checks.structural(limiting, arguments), endless, late_checks.approach(limiting, arguments)


def _of_deep(limiting: DeepTheory, arguments: Mapping[str, Any]) -> Verdicts:
    whole = Verdict(None, "a depth is an integer, and no parameter of rational functions")
    return deep_checks.structural(limiting), whole, deep_checks.approach(limiting, arguments)


_CHECKED: Mapping[type, Callable[[Any, Mapping[str, Any]], Verdicts]] = {
    LazySites: _of_sites,
    FlowLimit: _of_flow,
    IndependentSpikes: _of_spikes,
    LateTheory: _of_late,
    DeepTheory: _of_deep,
    LimitingTheory: _of_closed,
}


def limit_of(theory: Problem, limit: Limit) -> AnyLimit:
    """The limit of closed equations, also in continuous time, of single-site equations with averages, or of spikes.

    Where closed equations diverge, differences from the first step may cancel: fields are then split into what they
    were and what changed.
    """
    if theory.training.continuous:
        raise ProgramError(f"limit {limit.name}: training is a flow already; GradientDescent has limits")
    _check_given(theory, limit)
    if isinstance(limit, LateLimit):
        return LateTheory(theory, limit)
    if isinstance(limit, SpikeLimit):
        return IndependentSpikes(theory, limit)
    if set(limit.scaling) == {DEPTH.name}:
        return DeepTheory(theory, limit)
    if set(limit.scaling) == {ETA.name}:
        return FlowLimit(theory, limit)
    if theory.program.averaged:
        return LazySites(theory, limit)
    try:
        return LimitingTheory(theory, limit)
    except ProgramError:
        split = split_problem(theory)
        if split is None:
            raise
        return LimitingTheory(split, limit, whole=theory)


def _check_given(theory: Problem, limit: Limit) -> None:
    """Equations that close keep what is given at every step, where steps stay steps; other limits do not have it."""
    other = isinstance(limit, LateLimit | SpikeLimit) or set(limit.scaling) in ({DEPTH.name}, {ETA.name})
    if theory.program.given_anew and (other or theory.program.averaged):
        rules = ", ".join(theory.training.given_by)
        raise ProgramError(f"limit {limit.name}: allowed is training that is the same at every step, without {rules}")


def _integers(theory: Problem, values: Mapping[str, Any]) -> dict[str, int]:
    """Integer parameters that are given, or have a default of the network."""
    given = {p.keyword: values[p.keyword] for p in theory.parameters if p.integer and p.keyword in values}
    if theory.network.depth is not None:
        given.setdefault("depth", theory.network.depth)
    return given


def _matrices(limiting: LimitingTheory, fixed: Mapping[str, int]) -> int:
    """Number of two-time matrices of the whole theory at the depth of the network."""
    depth = fixed.get("depth", limiting.theory.network.depth or 0)
    values = {symbol: int(depth) for symbol in limiting.theory.program.parameters if symbol.is_integer}
    return sum(math.prod(len(layers.at(values)) for layers in array.stored) for array in limiting.whole.closed.arrays)
