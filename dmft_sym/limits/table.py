"""The table of all checks of a theory's limits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dmft_sym.program import ProgramError
from dmft_sym.solvers.arguments import checked
from dmft_sym.support import notebook
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show, suggestion
from dmft_sym.support.progress import Report, reported

from .composed import of_limit
from .limit import Kind, Limit
from .limit_theory import LimitTheory
from .scaled import SCALED
from .standard import ALL
from .verdicts import Verdict

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

STEPS = 20
"""Steps of the approach in numbers on the command line."""
_REFUSED = re.compile(r"^(correction of the )?limit [^:]*: ")


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
        if self.holds and any(check.undecided for check in (self.structural, self.exact, self.approach)):
            return "undecided"
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
                    lines.append(f"  {found.mark:<4} {name:<10} {found}")
        if len(self) > 1 and all(row.holds is None for row in self):
            lines.append(f"no limit applies to {self[0].network}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = ("limit", "network", "structural", "exact", "approach", "verdict")
        cells = [
            (row.limit, row.network, row.structural, row.exact, row.approach, row.reason or row.verdict) for row in self
        ]
        return notebook.table(head, cells)

    def __repr__(self) -> str:
        return notebook.shortened([str(self)])


def check(
    theory: Problem,
    limits: Iterable[Limit | str] | None = None,
    *,
    progress: Report | bool | None = None,
    **arguments: Any,
) -> Checks:
    """Check limits of a theory in three ways.

    Parameters
    ----------
    limits
        Limits or their names; all that have names by default.
    progress
        A bar by default, where somebody looks and it lasts; ``False`` for none. Or a function, called as
        ``progress(done, total)`` after every limit.
    **arguments
        As of a run, for the approach in numbers: those that scale are where they start from.

    Returns
    -------
    Checks
        A row each; prints as a table.

    Raises
    ------
    ArgumentError
        If there is no limit of a name, or if an argument is none of a run.

    See Also
    --------
    Theory.limit : what is left.

    References
    ----------
    docs/limits.md; rates of the lazy limit, arXiv:2205.09653.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> given = dict(samples_per_dim=2.0, width_per_dim=0.8, richness=2.0, learning_rate=0.02)
    >>> checks = ds.limits.check(ds.derive(ds.deep_linear(depth=1)), ["wide"], **given)
    >>> str(checks).splitlines()[0]
    'wide (deep linear network): holds'
    """
    for parameter in theory.parameters:
        if parameter.keyword in arguments:
            checked(parameter, arguments[parameter.keyword])
    asked = ALL.values() if limits is None else [limits] if isinstance(limits, str | Limit) else limits
    chosen = [named(limit) for limit in asked]
    rows = []
    with reported("limits", progress) as report:
        for limit in chosen:
            rows.append(_row(theory, limit, arguments))
            report(len(rows), len(chosen))
    return Checks(rows)


def check_correction(theory: Problem, **arguments: Any) -> Checks:
    """Check the first correction of the lazy limit of a theory in three ways: one row of `check`.

    Parameters
    ----------
    **arguments
        As of a run, for the approach in numbers.

    Returns
    -------
    LimitCheck
        One row.

    Raises
    ------
    ArgumentError
        If an argument is none of a run.

    See Also
    --------
    limits.check : limits themselves.

    References
    ----------
    arXiv:2205.09653.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> ds.limits.lazy_correction.name
    'lazy_correction'
    """
    return check(theory, ["lazy_correction"], **arguments)


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
        return LimitCheck(limit.name, name, none, none, none, _REFUSED.sub("", str(error)))
    return LimitCheck(limit.name, name, *kind_of(limit).checks(limiting, arguments))


def limit_of(theory: Problem, limit: Limit) -> LimitTheory:
    """What a limit makes of a theory."""
    if theory.training.continuous:
        raise ProgramError(f"limit {limit.name}: training is a flow already; GradientDescent has limits")
    kind = kind_of(limit)
    given = theory.program.given_anew and (kind is not SCALED or theory.program.averaged)
    if given or theory.program.has_norms:
        # What a limit takes as it is, it does not name.
        rules = ", ".join(name for name in theory.training.given_by if given or name != "schedule")
        raise ProgramError(f"limit {limit.name}: allowed is training that is the same at every step, without {rules}")
    return _with_limits(kind.of(theory, limit))


def _with_limits(made: LimitTheory) -> LimitTheory:
    """With limits of its own."""
    made.limit = replace(made.limit, onward=lambda other: _with_limits(of_limit(made, named(other))))
    return made


def kind_of(limit: Limit) -> Kind:
    """The kind that a limit names, or that of its parameters."""
    known = (other.kind for other in ALL.values() if other.kind is not None and other.kind.alone)
    alone = {kind.alone: kind for kind in known}
    return limit.kind or alone.get("+".join(sorted(limit.scaling)), SCALED)
