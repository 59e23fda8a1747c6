"""Right-hand sides: linear combinations of fields, random vectors and matrix-vector products.

The coefficients are SymPy expressions in the parameters; atoms are references to declared things at the
current step, or at the first one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeAlias

import sympy as sp

from .declarations import ONE, Field, GaussianMatrix, RandomVector, Scalar, Space
from .errors import ProgramError
from .labels import Axes, Label, LayerRange


class Reference:
    """A declared thing at the current step; ``layer`` selects a member of a family.

    Attributes
    ----------
    kind
        What is declared, in a word.
    """

    kind: ClassVar[str]
    layer: sp.Expr | None = None

    def __post_init__(self) -> None:
        name, layers = self.declared.name, self.declared.layers
        if self.layer is None and layers is not None:
            raise ProgramError(f"{self.kind} {name} needs a layer index: it is a family of the layers {layers}")
        if self.layer is not None and layers is None:
            raise ProgramError(f"{self.kind} {name} has no layer index: a family is declared with layers=(first, last)")
        if self.layer is not None:
            object.__setattr__(self, "layer", sp.expand(sp.sympify(self.layer, strict=True)))

    @property
    def declared(self) -> Any:
        """The field, scalar, matrix or vector."""
        return getattr(self, self.kind)

    @property
    def axes(self) -> Axes:
        """Its labels."""
        axes: Axes = self.declared.axes
        return axes

    @property
    def key(self) -> tuple[str, int | None]:
        """Name and, of a member of a family, its layer, which is an integer where scans are written out."""
        return self.declared.name, None if self.layer is None else int(self.layer)

    def __str__(self) -> str:
        return f"{self.declared}" if self.layer is None else f"{self.declared}[{self.layer}]"


@dataclass(frozen=True)
class FieldRef(Reference):
    """A field at the current step; ``layer`` selects a member of a family."""

    kind: ClassVar[str] = "field"
    field: Field
    layer: sp.Expr | None = None

    @property
    def space(self) -> Space:
        """Space of the field."""
        return self.field.space

    def at(self, values: Mapping[sp.Symbol, sp.Expr | int]) -> FieldRef:
        """The field with these values for the symbols of its layer."""
        return self if self.layer is None else FieldRef(self.field, self.layer.subs(dict(values)))


@dataclass(frozen=True)
class ScalarRef(Reference):
    """A scalar at the current step, or at the first one if ``initial``; ``layer`` selects a member of a family."""

    kind: ClassVar[str] = "scalar"
    scalar: Scalar
    layer: sp.Expr | None = None
    initial: bool = False

    @property
    def present(self) -> ScalarRef:
        """The scalar at the current step."""
        return replace(self, initial=False)

    def __str__(self) -> str:
        return super().__str__() + ("(0)" if self.initial else "")


@dataclass(frozen=True)
class MatrixRef(Reference):
    """A Gaussian matrix, or the member ``layer`` of a family; a learned one means its current value."""

    kind: ClassVar[str] = "matrix"
    matrix: GaussianMatrix
    layer: sp.Expr | None = None


@dataclass(frozen=True)
class VectorRef(Reference):
    """A random vector; a learned one means its current value."""

    kind: ClassVar[str] = "vector"
    vector: RandomVector

    @property
    def space(self) -> Space:
        """Space of the vector."""
        return self.vector.space


@dataclass(frozen=True)
class Product:
    """``matrix @ operand`` or, if ``transpose``, ``matrix.T @ operand``."""

    matrix: MatrixRef
    operand: FieldRef
    transpose: bool = False

    def __post_init__(self) -> None:
        matrix = self.matrix.matrix
        side = matrix.target if self.transpose else matrix.source
        if self.operand.space != side:
            raise ProgramError(
                f"{self}: {self.operand} lives in space {self.operand.space}, "
                f"but this side of {matrix.name} ({matrix.source} -> {matrix.target}) takes space {side}"
            )

    @property
    def space(self) -> Space:
        """Space of the result."""
        matrix = self.matrix.matrix
        return matrix.source if self.transpose else matrix.target

    @property
    def axes(self) -> Axes:
        """Labels of the result, those of the operand."""
        return self.operand.axes

    @property
    def is_vector(self) -> bool:
        """Whether it is a trained vector without labels, see `declarations.ONE`."""
        return self.operand.field == ONE

    def __str__(self) -> str:
        if self.is_vector:
            return str(self.matrix)
        return f"{self.matrix}{'^T' if self.transpose else ''} {self.operand}"


@dataclass(frozen=True)
class LayerSum:
    """``sum_{index in layers} field``; the term's coefficient stands under the sum and may contain ``index``."""

    field: FieldRef
    index: sp.Symbol
    layers: LayerRange

    @property
    def space(self) -> Space:
        """Space of the field."""
        return self.field.space

    @property
    def axes(self) -> Axes:
        """Labels of the field."""
        return self.field.axes

    def __str__(self) -> str:
        return f"sum_{{{self.index}={self.layers}}} {self.field}"


@dataclass(frozen=True)
class Initial:
    """``field(0)``: a field as it was at the first step."""

    field: FieldRef

    @property
    def space(self) -> Space:
        """Space of the field."""
        return self.field.space

    @property
    def axes(self) -> Axes:
        """Labels of the field."""
        return self.field.axes

    def __str__(self) -> str:
        return f"{self.field}(0)"


@dataclass(frozen=True)
class Relabelled:
    """``sum_over field``, with other names for the labels that are left: a sum over a label, or ``k_j`` of ``k_i``.

    Parameters
    ----------
    over
        Labels that are summed over.
    names
        Labels of the field with those of the result that stand for them, of the same number of values.
    """

    field: FieldRef
    over: Axes = ()
    names: tuple[tuple[Label, Label], ...] = ()

    def __post_init__(self) -> None:
        for label in (*self.over, *(label for label, _ in self.names)):
            if label not in self.field.axes:
                raise ProgramError(f"{self}: {self.field} has no label {label}")
        for label, new in self.names:
            if label.size != new.size:
                raise ProgramError(f"{self}: {label} has {label.size} values, {new} has {new.size}")
        if len({*self.axes, *self.over}) < len(self.field.axes):
            raise ProgramError(f"{self}: two labels of {self.field} become one; name the sum first")

    @property
    def space(self) -> Space:
        """Space of the field."""
        return self.field.space

    @property
    def axes(self) -> Axes:
        """Labels of the result, in the order of those of the field."""
        return tuple(self.at(label) for label in self.field.axes if label not in self.over)

    def at(self, label: Label) -> Label:
        """The label of the result (or of the sum) at whose values a label of the field is taken."""
        return dict(self.names).get(label, label)

    def __str__(self) -> str:
        text = str(self.field)
        if self.names:
            text += "[" + ", ".join(f"{label.symbol} = {new.symbol}" for label, new in self.names) + "]"
        sums = ", ".join(str(label.symbol) for label in self.over)
        return f"sum_{{{sums}}} {text}" if sums else text


Atom: TypeAlias = FieldRef | VectorRef | Product | LayerSum | Initial | Relabelled


@dataclass(frozen=True)
class Linear:
    """``sum_k coefficient_k * atom_k`` in one space; the empty sum is zero."""

    terms: tuple[tuple[sp.Expr, Atom], ...] = ()

    @staticmethod
    def of(atom: Atom, coefficient: sp.Expr | int = 1) -> Linear:
        """The combination with one term."""
        return Linear(((sp.sympify(coefficient, strict=True), atom),))

    def __add__(self, other: Linear) -> Linear:
        merged: dict[Atom, sp.Expr] = {}
        for coefficient, atom in self.terms + other.terms:
            merged[atom] = merged.get(atom, sp.Integer(0)) + coefficient
        return Linear(tuple((c, a) for a, c in merged.items() if c != 0))

    def scaled(self, factor: sp.Expr | int) -> Linear:
        """The combination times a scalar, coefficients simplified so that sizes cancel."""
        return Linear(tuple((sp.powdenest(sp.cancel(factor * c), force=True), a) for c, a in self.terms))

    @property
    def only(self) -> FieldRef | None:
        """The field, if the combination is one field and nothing else."""
        if len(self.terms) == 1 and self.terms[0][0] == 1 and isinstance(self.terms[0][1], FieldRef):
            return self.terms[0][1]
        return None

    def __str__(self) -> str:
        if not self.terms:
            return "0"
        parts = []
        for coefficient, atom in self.terms:
            if coefficient == 1:
                parts.append(f"+ {atom}")
            elif coefficient == -1:
                parts.append(f"- {atom}")
            else:
                text = str(coefficient)
                parts.append(f"+ ({text}) {atom}" if any(ch in text for ch in "+-/ ") else f"+ {text} {atom}")
        text = " ".join(parts)
        return text[2:] if text.startswith("+ ") else text


Argument: TypeAlias = FieldRef | VectorRef | ScalarRef


@dataclass(frozen=True)
class SiteFunction:
    """A function of fields of one space (and of scalars), evaluated at every site.

    Parameters
    ----------
    expression
        SymPy expression in the symbols of ``arguments`` and in parameters.
    arguments
        What each symbol stands for. Arguments are repeated along the labels that they lack.
    """

    expression: sp.Expr
    arguments: tuple[tuple[sp.Symbol, Argument], ...]

    def __post_init__(self) -> None:
        if len(self.spaces) > 1:
            names = ", ".join(sorted(space.name for space in self.spaces))
            raise ProgramError(f"{self}: the arguments of a site-wise function live in one space, here in {names}")

    @property
    def fields(self) -> tuple[tuple[sp.Symbol, FieldRef | VectorRef], ...]:
        """The arguments that differ from site to site."""
        return tuple((s, a) for s, a in self.arguments if not isinstance(a, ScalarRef))

    @property
    def scalars(self) -> tuple[tuple[sp.Symbol, ScalarRef], ...]:
        """The arguments that are the same at all sites."""
        return tuple((s, a) for s, a in self.arguments if isinstance(a, ScalarRef))

    @property
    def spaces(self) -> set[Space]:
        """Spaces of the arguments."""
        return {argument.space for _, argument in self.fields}

    @property
    def parameters(self) -> set[sp.Symbol]:
        """Symbols that are not arguments."""
        return self.expression.free_symbols - {symbol for symbol, _ in self.arguments}

    def __str__(self) -> str:
        return str(self.expression.xreplace({s: sp.Symbol(str(a)) for s, a in self.arguments}))
