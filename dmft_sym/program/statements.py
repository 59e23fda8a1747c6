"""The statements of one training step, in the order in which they are executed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import sympy as sp

from .declarations import ONE
from .errors import ProgramError
from .expressions import Argument, Atom, FieldRef, Linear, MatrixRef, Relabelled, ScalarRef, SiteFunction, VectorRef
from .labels import OUTPUT, Axes, Label, LayerRange


@dataclass(frozen=True)
class Assign:
    """``target = value``, site by site, for every label; atoms are repeated along the labels that they lack."""

    target: FieldRef
    value: Linear

    def __post_init__(self) -> None:
        for atom in (a for _, a in self.value.terms):
            if atom.space != self.target.space:
                raise ProgramError(
                    f"{self}: {atom} lives in space {atom.space}, but {self.target} in {self.target.space}"
                )
            _check_labels(self, [atom], self.target)
            if isinstance(atom, Relabelled) and set(atom.over) & set(self.target.axes):
                raise ProgramError(f"{self}: {self.target} carries a label that {atom} sums over; name the sum first")

    def __str__(self) -> str:
        return f"{self.target} = {self.value}"


@dataclass(frozen=True)
class SiteMap:
    """``target = function`` of fields of the same space, site by site, for every label; or its sum ``over`` labels."""

    target: FieldRef
    function: SiteFunction
    over: Axes = ()

    def __post_init__(self) -> None:
        for space in self.function.spaces - {self.target.space}:
            raise ProgramError(f"{self}: the arguments live in space {space}, but {self.target} in {self.target.space}")
        _check_labels(self, [argument for _, argument in self.function.arguments], self.target, self.over)

    def __str__(self) -> str:
        return f"{self.target} = {_summed(str(self.function), self.over)}"


@dataclass(frozen=True)
class Average:
    """``target = sum coefficient <function>``, averages over the sites of one space each."""

    target: ScalarRef
    terms: tuple[tuple[sp.Expr, SiteFunction], ...]

    def __post_init__(self) -> None:
        for _, function in self.terms:
            _check_labels(self, [argument for _, argument in function.arguments], self.target)

    def __str__(self) -> str:
        parts = [f"<{f}>" if c == 1 else f"({c}) <{f}>" for c, f in self.terms]
        return f"{self.target} = " + " + ".join(parts)


@dataclass(frozen=True)
class Compute:
    """``target = expression``, a function of scalars, or a sum of such a function over labels.

    Parameters
    ----------
    over
        Labels that the function is summed over; the target does not have them.
    along
        The label along which ``softmax`` in the expression acts.
    """

    target: ScalarRef
    expression: sp.Expr
    arguments: tuple[tuple[sp.Symbol, ScalarRef], ...]
    over: Axes = ()
    along: Label = OUTPUT

    def __post_init__(self) -> None:
        _check_labels(self, [argument for _, argument in self.arguments], self.target, self.over)
        for label in self.over:
            if label in self.target.axes or all(label not in ref.axes for _, ref in self.arguments):
                raise ProgramError(f"{self}: allowed is a sum over labels of the arguments, not over {label}")

    @property
    def parameters(self) -> set[sp.Symbol]:
        """Symbols that are not arguments."""
        return self.expression.free_symbols - {symbol for symbol, _ in self.arguments}

    def __str__(self) -> str:
        shown = self.expression.xreplace({s: sp.Symbol(str(a)) for s, a in self.arguments})
        along = "" if self.along == OUTPUT else f" along {self.along}"
        return f"{self.target} = {_summed(str(shown), self.over)}{along}"


@dataclass(frozen=True)
class ForLayers:
    """``body`` for every ``index`` of ``layers``, ascending or descending: a scan over layers.

    ``lead`` is how far the index is ahead of the layer of the vectors that the scan hands on.
    """

    index: sp.Symbol
    layers: LayerRange
    body: tuple[Statement, ...]
    descending: bool = False
    lead: sp.Integer = sp.Integer(0)

    def __str__(self) -> str:
        ends = (self.layers.stop, self.layers.start) if self.descending else (self.layers.start, self.layers.stop)
        lines = [f"for {self.index} = {ends[0]} {'down ' if self.descending else ''}to {ends[1]}:"]
        for statement in self.body:
            lines += ["    " + line for line in str(statement).splitlines()]
        return "\n".join(lines)


@dataclass(frozen=True)
class Outer:
    """One term of an update, ``coefficient * sum weight left right^T / n_source`` (``left`` alone for a vector).

    The sum runs over all labels of the factors; the update of a vector has one part for every label of the vector.
    ``layers`` sums the term over ``index`` (a matrix that is used at every layer of a scan).
    """

    coefficient: sp.Expr
    left: FieldRef
    right: FieldRef | None = None
    index: sp.Symbol | None = None
    layers: LayerRange | None = None
    weight: ScalarRef | None = None

    @property
    def factors(self) -> tuple[FieldRef | ScalarRef, ...]:
        """Fields and scalars that are multiplied."""
        return tuple(part for part in (self.left, self.right, self.weight) if part is not None)

    def __str__(self) -> str:
        text = f"{self.left}" if self.right is None or self.right.field == ONE else f"{self.left} {self.right}^T"
        text = text if self.weight is None else f"{self.weight} {text}"
        text = text if self.coefficient == 1 else f"({self.coefficient}) {text}"
        return text if self.index is None else f"sum_{{{self.index}={self.layers}}} {text}"


@dataclass(frozen=True)
class Learn:
    """The gradient increment of a matrix (or vector) at the end of the step.

    A matrix family is updated for all its layers; the layer symbol of ``target`` is then the free index
    of the terms. How increments become weights (momentum, weight decay) is the program's ``optimizer``.
    ``rate`` is the learning rate of the target in units of that of the run: a factor of the coefficients of all terms,
    which are those of the gradient otherwise.
    """

    target: MatrixRef | VectorRef
    terms: tuple[Outer, ...]
    rate: sp.Expr = sp.Integer(1)

    def __str__(self) -> str:
        return f"learn {self.target}: " + " + ".join(str(term) for term in self.terms)


@dataclass(frozen=True)
class SquaredNorm:
    """``target = sum scale (n/rate) |G|^2`` over updates, a scalar without labels: the squared norm of a gradient.

    ``|G|^2 = sum c_i c_j weight_i weight_j <left_i left_j> <right_i right_j>`` over the terms of an update and their
    labels, and ``n`` is the ratio of the space of the left factors: every array is measured as steps along its gradient
    lower the loss, whatever the units are in which it is stored.
    """

    target: ScalarRef
    updates: tuple[Learn, ...]
    scale: sp.Expr = sp.Integer(1)

    def factor(self, update: Learn) -> sp.Expr:
        """What ``|G|^2`` of an update is multiplied with."""
        target = update.target
        space = target.vector.space if isinstance(target, VectorRef) else target.matrix.target
        return sp.cancel(self.scale * space.ratio / update.rate)

    @property
    def terms(self) -> tuple[Outer, ...]:
        """Of all updates."""
        return tuple(term for update in self.updates for term in update.terms)

    def __str__(self) -> str:
        names = ", ".join(str(update.target) for update in self.updates)
        return f"{self.target} = ({self.scale}) |gradients of {names}|^2"


@dataclass(frozen=True)
class Observe:
    """``name_c = sum coefficient <a_c b_c> + constant``, a scalar for every step and label of its fields.

    ``output`` says of which output it is where outputs have fields of their own; results put these together.
    """

    name: str
    terms: tuple[tuple[sp.Expr, FieldRef, FieldRef], ...]
    constant: sp.Expr = sp.Integer(0)
    output: int | None = None

    @property
    def axes(self) -> Axes:
        """Labels of the fields; a constant is reported for every output."""
        return self.terms[0][1].axes if self.terms else (OUTPUT,)

    def __str__(self) -> str:
        parts = [f"<{a} {b}>" if c == 1 else f"({c}) <{a} {b}>" for c, a, b in self.terms]
        if self.constant != 0:
            parts.append(str(self.constant))
        return f"observe {self.name} = " + " + ".join(parts)


Statement: TypeAlias = Assign | SiteMap | Average | Compute | ForLayers | Learn | SquaredNorm | Observe


def _summed(text: str, over: Axes) -> str:
    """A function, or its sum over labels."""
    return f"sum_{{{', '.join(str(label.symbol) for label in over)}}} ({text})" if over else text


def _check_labels(
    statement: object, parts: Sequence[Atom | Argument], target: FieldRef | ScalarRef, over: Axes = ()
) -> None:
    kept = {*target.axes, *over}
    missing = dict.fromkeys(label.name for part in parts for label in part.axes if label not in kept)
    if missing:
        raise ProgramError(f"{statement}: the left-hand side has no label {' and '.join(missing)}")
