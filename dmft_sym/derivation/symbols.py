"""SymPy objects of the path integral: labelled fields, conjugate fields, order parameters.

They are commutative, hashable and can be differentiated with respect to, so that the action is an ordinary
SymPy expression and stationarity is ``diff``.
"""

from __future__ import annotations

import sympy as sp

from dmft_sym.program import Axes, FieldRef
from dmft_sym.program.labels import At
from dmft_sym.program.printing import latex_name


class Labelled(sp.Expr):
    """Base: a name with layer, step, and one argument for every label of the program, the last label first.

    `sympy.S.NaN` stands for a label that it does not have.
    """

    is_commutative = True
    _diff_wrt = True

    def __new__(
        cls,
        name: str | sp.Symbol,
        layer: sp.Expr | None,
        step: sp.Expr | None,
        *labels: sp.Expr | None,
    ) -> Labelled:
        symbol = name if isinstance(name, sp.Symbol) else sp.Symbol(name)
        arguments = [sp.S.NaN if value is None else value for value in (layer, step, *labels)]
        return sp.Expr.__new__(cls, symbol, *arguments)

    @property
    def name(self) -> str:
        """Name without labels."""
        return str(self.args[0].name)

    @property
    def layer(self) -> sp.Expr | None:
        """Layer label, if any."""
        return _label(self.args[1])

    @property
    def step(self) -> sp.Expr | None:
        """Step label; data have none."""
        return _label(self.args[2])

    @property
    def axis_labels(self) -> tuple[sp.Expr, ...]:
        """Values of the labels that it has, in the order of the program."""
        return tuple(value for value in reversed(self.args[3:]) if value is not sp.S.NaN)

    def _eval_derivative(self, symbol: sp.Expr) -> sp.Expr:
        return sp.Integer(int(self == symbol))

    accent = ""

    def name_latex(self, labels: tuple[sp.Expr, ...] = ()) -> str:
        """Name with layer, and values of labels if given."""
        return latex_name(self.name, self.layer, labels=labels, accent=self.accent)

    def _latex(self, printer: sp.printing.latex.LatexPrinter, exp: str | None = None) -> str:
        body = self.name_latex(self.axis_labels)
        if self.step is not None:
            body = f"{body}({printer.doprint(self.step)})"
        return body if exp is None else f"\\left[{body}\\right]^{{{exp}}}"

    def _sympystr(self, printer: sp.printing.str.StrPrinter) -> str:
        labels = [label for label in (self.layer, self.step, *self.axis_labels) if label is not None]
        return f"{self.name}[{', '.join(map(str, labels))}]"


def _label(value: sp.Expr) -> sp.Expr | None:
    return None if value is sp.S.NaN else value


class FieldAt(Labelled):
    """A field of the program at given labels (one site of it, inside single-site averages)."""


class HatAt(Labelled):
    """The conjugate field that enforces a product, ``xhat`` or ``yhat``."""

    accent = "hat"


class NoiseAt(Labelled):
    """A Gaussian field ``u`` or ``r`` of the averaging rule."""


class Overlap(sp.Expr):
    """``(1/n_k) sum_i a_i b_i`` of two labelled fields: an order parameter before it has a name."""

    is_commutative = True
    _diff_wrt = True

    def __new__(cls, a: Labelled, b: Labelled) -> Overlap:
        first, second = sorted((a, b), key=sp.default_sort_key)
        return sp.Expr.__new__(cls, first, second)

    def _eval_derivative(self, symbol: sp.Expr) -> sp.Expr:
        return sp.Integer(int(self == symbol))

    def _latex(self, printer: sp.printing.latex.LatexPrinter, exp: str | None = None) -> str:
        a, b = (printer.doprint(arg) for arg in self.args)
        return f"\\tfrac{{1}}{{n_k}}\\left({a} \\cdot {b}\\right)"


class _TwoPoint(sp.Expr):
    """An order parameter with two labelled arguments."""

    is_commutative = True
    _diff_wrt = True
    letter = "C"

    def __new__(cls, a: Labelled, b: Labelled) -> _TwoPoint:
        return sp.Expr.__new__(cls, a, b)

    def _eval_derivative(self, symbol: sp.Expr) -> sp.Expr:
        return sp.Integer(int(self == symbol))

    def _latex(self, printer: sp.printing.latex.LatexPrinter, exp: str | None = None) -> str:
        a, b = self.args
        names = f"{a.name_latex()},{b.name_latex()}"
        steps = [printer.doprint(end.step) for end in (a, b) if end.step is not None]
        labels = ["".join(f"{printer.doprint(label)} " for label in end.axis_labels).rstrip() for end in (a, b)]
        several = any(len(end.args) > 4 for end in (a, b))  # labels in the program: two indices need no comma
        lower = (",\\," if several else "").join(labels)
        return f"{self.letter}^{{{names}}}_{{{lower}}}" + (f"({','.join(steps)})" if steps else "")

    def _sympystr(self, printer: sp.printing.str.StrPrinter) -> str:
        return f"{type(self).__name__}({self.args[0]}, {self.args[1]})"


class Correlation(_TwoPoint):
    """``C = <a b>``."""


class Gram(_TwoPoint):
    """``K = x . x / D`` of given inputs: a number and no order parameter."""

    letter = "K"

    def _latex(self, printer: sp.printing.latex.LatexPrinter, exp: str | None = None) -> str:
        a, b = self.args
        names = dict.fromkeys(end.name_latex() for end in (a, b))
        labels = " ".join(printer.doprint(value) for end in (a, b) for value in end.axis_labels)
        return f"K^{{{','.join(names)}}}_{{{labels}}}"


class Response(_TwoPoint):
    """``R = <d a / d b>``, ``b`` a Gaussian field."""

    letter = "R"


class ConjugateCorrelation(_TwoPoint):
    """Lagrange multiplier of a correlation."""

    letter = "\\hat C"


class ConjugateResponse(_TwoPoint):
    """Lagrange multiplier of a cross overlap (a response)."""

    letter = "\\hat R"


def field_at(ref: FieldRef, step: sp.Expr, at: At, labels: Axes) -> FieldAt:
    """A reference of a program with these ``labels``, with the values ``at`` of those that its field has."""
    return FieldAt(ref.field.name, ref.layer, *axis_labels_of(ref, step, at, labels))


def axis_labels_of(ref: FieldRef, step: sp.Expr, at: At, labels: Axes) -> tuple[sp.Expr | None, ...]:
    """Step and labels of the program, the last one first, each ``None`` if the field does not have it."""
    values = (at(label) if label in ref.axes else None for label in reversed(labels))
    return (None if ref.space.finite else step, *values)
