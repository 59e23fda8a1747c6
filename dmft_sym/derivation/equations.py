"""Derived equations as objects: SymPy equations with a label, the layers where they hold, and words."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import overload

import sympy as sp

from dmft_sym.program import ProgramError
from dmft_sym.support import notebook

from .domain import Domain
from .equation_latex import line
from .stage import Line, Stage, counted
from .symbols import Gram, TwoPoint


@dataclass(frozen=True)
class Equation:
    """``left = sum of terms``.

    Attributes
    ----------
    left
        What the equation is for, a function of its labels: ``C_h(l, t, c, l, s, c')``.
    terms
        Summands in the order of the derivation.
    where
        For which layers it holds.
    note
        Words on it (LaTeX text mode).
    heading
        What stands above it and those after it (LaTeX text mode).
    """

    left: sp.Expr
    terms: tuple[sp.Expr, ...]
    where: Domain = field(default_factory=Domain)
    note: str = ""
    heading: str = ""

    @property
    def label(self) -> str:
        """What it is an equation for, without labels: ``"C_h"``."""
        return str(self.left.func.__name__ if self.left.args else self.left)

    @property
    def right(self) -> sp.Expr:
        """The right-hand side."""
        return sp.Add(*self.terms)

    @property
    def eq(self) -> sp.Eq:
        """The SymPy equation."""
        return sp.Eq(self.left, self.right, evaluate=False)

    def line(self, averages: bool = False) -> Line:
        """For printing; with ``averages`` order parameters are written as the averages that they are."""
        note = ", ".join(part for part in (self.where.latex, self.note) if part)
        return replace(line(self.left, self.terms, averages), note=note, heading=self.heading)

    def _repr_latex_(self) -> str:
        return Stage("", "", (self.line(),))._repr_latex_()

    def __str__(self) -> str:
        return f"{self.left} = {self.right}{self.where}"

    def __repr__(self) -> str:
        return notebook.shortened([f"<equation {self}>"])


class Equations(Sequence[sp.Eq]):
    """Labelled equations in causal order; iterating gives the `sympy.Eq` themselves.

    Parameters
    ----------
    items
        The equations with labels, layers and words.
    name
        What they are, for a heading.
    text
        How to read them (LaTeX text mode).
    averages
        Whether order parameters are printed as the averages that they are.

    See Also
    --------
    Theory.equations : has them by what they are of.
    Theory.symbols : symbols by name.

    References
    ----------
    arXiv:2205.09653, arXiv:2502.02531; `dmft_sym.cite` has those of a theory.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> closed = ds.derive(ds.deep_linear(1)).equations.closed
    >>> closed.labels[:3]
    ('S_kappa', 'A_g_h', 'R_g_w')
    >>> closed["train_loss"].lhs
    train_loss(t, c)
    """

    def __init__(self, items: Iterable[Equation], name: str = "", text: str = "", averages: bool = False) -> None:
        self.items = tuple(items)
        self.name = name
        self.text = text
        self.averages = averages

    @property
    def labels(self) -> tuple[str, ...]:
        """What the equations are for, without labels."""
        return tuple(item.label for item in self.items)

    def of(self, label: str) -> Equations:
        """All equations for one thing: of a family there is one at the boundary, and one in a scan.

        Raises
        ------
        ProgramError
            If there is none.
        """
        found = [item for item in self.items if item.label == label]
        if not found:
            raise ProgramError(f"equation {label!r}: allowed are {', '.join(dict.fromkeys(self.labels))}")
        return Equations(found, self.name, self.text, self.averages)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, key: int | str) -> sp.Eq: ...
    @overload
    def __getitem__(self, key: slice) -> Equations: ...
    def __getitem__(self, key: int | str | slice) -> sp.Eq | Equations:
        if isinstance(key, slice):
            return Equations(self.items[key], self.name, self.text, self.averages)
        if isinstance(key, str):
            found = self.of(key)
            if len(found) > 1:
                raise ProgramError(f"equation {key!r}: there are {len(found)}; allowed is .of({key!r})")
            return found[0]
        return self.items[key].eq

    @cached_property
    def stage(self) -> Stage:
        """For printing."""
        lines = tuple(item.line(self.averages) for item in self.items)
        return Stage(self.name, self.text, lines, tuple(item.right for item in self.items))

    @property
    def latex(self) -> str:
        """Numbered displays."""
        return self.stage.latex

    def _repr_html_(self) -> str:
        return self.stage._repr_html_()

    def _repr_latex_(self) -> str:
        return self.stage._repr_latex_()

    def _repr_markdown_(self) -> str:
        return self.stage._repr_markdown_()

    def __str__(self) -> str:
        return str(self.stage)

    def __repr__(self) -> str:
        return notebook.shortened(
            [f"<{counted(len(self))}: {self.name}>", f"of {', '.join(dict.fromkeys(self.labels))}"]
        )


def without_zeros(equation: Equation, defined: Collection[type]) -> Equation:
    """Without terms that contain what has no equation: order parameters of fields that are zero."""

    def is_zero(term: sp.Expr) -> bool:
        return any(part.func not in defined and not isinstance(part, Gram) for part in term.atoms(TwoPoint))

    return replace(equation, terms=tuple(term for term in equation.terms if not is_zero(term)))


def headed(equations: Iterable[Equation], heading: str) -> Iterator[Equation]:
    """A heading above the first one."""
    for equation in equations:
        yield replace(equation, heading=heading)
        heading = ""
