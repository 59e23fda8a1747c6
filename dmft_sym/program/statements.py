"""The statements of one training step, in the order in which they are executed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import sympy as sp

from .errors import ProgramError
from .expressions import FieldRef, Linear, MatrixRef, VectorRef
from .labels import LayerRange


@dataclass(frozen=True)
class Assign:
    """``target = value``, site by site, for every output."""

    target: FieldRef
    value: Linear

    def __post_init__(self) -> None:
        for atom in (a for _, a in self.value.terms):
            if atom.space != self.target.space:
                raise ProgramError(
                    f"{self}: {atom} lives in space {atom.space}, but {self.target} in {self.target.space}"
                )

    def __str__(self) -> str:
        return f"{self.target} = {self.value}"


@dataclass(frozen=True)
class ForLayers:
    """``body`` for every ``index`` of ``layers``, ascending or descending: a scan over layers."""

    index: sp.Symbol
    layers: LayerRange
    body: tuple[Statement, ...]
    descending: bool = False

    def __str__(self) -> str:
        ends = (self.layers.stop, self.layers.start) if self.descending else (self.layers.start, self.layers.stop)
        lines = [f"for {self.index} = {ends[0]} {'down ' if self.descending else ''}to {ends[1]}:"]
        for statement in self.body:
            lines += ["    " + line for line in str(statement).splitlines()]
        return "\n".join(lines)


@dataclass(frozen=True)
class Outer:
    """One term of an update, ``coefficient * left right^T / n_source`` (``left`` alone for a vector).

    ``layers`` sums the term over ``index`` (a matrix that is used at every layer of a scan).
    """

    coefficient: sp.Expr
    left: FieldRef
    right: FieldRef | None = None
    index: sp.Symbol | None = None
    layers: LayerRange | None = None

    def __str__(self) -> str:
        text = f"{self.left} {self.right}^T" if self.right is not None else f"{self.left}"
        text = text if self.coefficient == 1 else f"({self.coefficient}) {text}"
        return text if self.index is None else f"sum_{{{self.index}={self.layers}}} {text}"


@dataclass(frozen=True)
class Learn:
    """The gradient increment of a matrix (or vector) at the end of the step.

    A matrix family is updated for all its layers; the layer symbol of ``target`` is then the free index
    of the terms. How increments become weights (momentum, weight decay) is the program's ``optimizer``.
    """

    target: MatrixRef | VectorRef
    terms: tuple[Outer, ...]

    def __str__(self) -> str:
        return f"learn {self.target}: " + " + ".join(str(term) for term in self.terms)


@dataclass(frozen=True)
class Observe:
    """``name_c = sum coefficient <a_c b_c> + constant``, a scalar for every step and output."""

    name: str
    terms: tuple[tuple[sp.Expr, FieldRef, FieldRef], ...]
    constant: sp.Expr = sp.Integer(0)

    def __str__(self) -> str:
        parts = [f"<{a} {b}>" if c == 1 else f"({c}) <{a} {b}>" for c, a, b in self.terms]
        if self.constant != 0:
            parts.append(str(self.constant))
        return f"observe {self.name} = " + " + ".join(parts)


Statement: TypeAlias = Assign | ForLayers | Learn | Observe
