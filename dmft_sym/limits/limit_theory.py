"""What every limit of a theory has: equations, what vanished, a solver; and how it shows itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sympy as sp

from dmft_sym.support import notebook
from dmft_sym.support.errors import ArgumentError

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.equations import Equations
    from dmft_sym.derivation.problem import Problem

    from .limit import Limit

_SHOWN = 40
"""Rows of a table of what vanished."""


@dataclass(frozen=True)
class Vanished:
    """A term, or an order parameter with all its terms, that is not in the limiting equations.

    Attributes
    ----------
    label
        What the equation is for.
    term
        The term; ``None`` if the order parameter vanishes.
    order
        Power of ``eps``, in units of what remains.
    """

    label: str
    term: sp.Expr | None
    order: sp.Expr

    def __str__(self) -> str:
        what = self.label if self.term is None else f"{self.term} in {self.label}"
        return f"{what}: eps^{self.order}"


class VanishedTerms(tuple[Vanished, ...]):
    """What vanished; prints as a table."""

    def __str__(self) -> str:
        if not self:
            return "nothing vanished"
        rows = [("equation", "power of eps", "what vanished"), *self._rows()]
        first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
        lines = [f"{label:<{first}}  {order:<{second}}  {what}" for label, order, what in rows]
        return "\n".join([*lines, *self._rest()])

    def __repr__(self) -> str:
        return notebook.shortened([str(self)])

    def _repr_html_(self) -> str:
        head = ("equation", "power of ε", "what vanished")
        return notebook.table(head, self._rows()) + notebook.paragraph(" ".join(self._rest()))

    def _rows(self) -> list[tuple[str, str, str]]:
        return [
            (item.label, str(item.order), "all of it" if item.term is None else str(item.term))
            for item in self[:_SHOWN]
        ]

    def _rest(self) -> list[str]:
        return [f"... and {len(self) - _SHOWN} more"] if len(self) > _SHOWN else []


class LimitTheory(ABC):
    """Base: a limit of a theory.

    Parameters
    ----------
    theory
        Whose equations go to the limit.
    limit
        How parameters scale, and in words why.
    """

    solve: Callable[..., xr.Dataset]
    """What is left in numbers: losses, or outputs; arguments by the kind of limit."""

    def __init__(self, theory: Problem, limit: Limit) -> None:
        self.theory, self.limit = theory, limit

    @property
    @abstractmethod
    def equations(self) -> Equations:
        """The limiting equations."""

    @property
    @abstractmethod
    def vanished(self) -> VanishedTerms:
        """What is not in them."""

    @property
    @abstractmethod
    def rate(self) -> sp.Expr | int:
        """Power of ``eps`` of the largest term that vanished, in units of what is left; or infinity."""

    def refuse(self, arguments: Iterable[str], gone: Collection[str]) -> None:
        """Raise `ArgumentError` if there is an argument that went to the limit."""
        for name in arguments:
            if name in gone:
                raise ArgumentError(f"{name}: allowed is nothing, it went to the limit {self.limit.name}")

    def __str__(self) -> str:
        why = f": {self.limit.why}" if self.limit.why else ""
        gone = f"{len(self.vanished)} terms and order parameters vanished (.vanished), the largest as eps^{self.rate}"
        return (
            f"limit {self.limit.name} of {self.theory.program.name}{why}\n"
            f"{len(self.equations)} equations (.equations); {gone if self.vanished else 'nothing vanished'}"
        )

    def __repr__(self) -> str:
        return f"<limit {self.limit.name} of {self.theory.program.name}: {len(self.equations)} equations>"

    def _repr_html_(self) -> str:
        first, *others = str(self).splitlines()
        gone = notebook.folded(f"what vanished ({len(self.vanished)})", self.vanished._repr_html_())
        words = "".join(map(notebook.paragraph, others))
        return notebook.heading(first) + words + self.equations.stage.html + gone

    def _repr_latex_(self) -> str:
        return self.equations._repr_latex_()
