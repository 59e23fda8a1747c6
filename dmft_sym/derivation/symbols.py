"""SymPy objects of the path integral: labelled fields, conjugate fields, order parameters.

They are commutative, hashable and can be differentiated with respect to, so that the action is an ordinary
SymPy expression and stationarity is ``diff``.
"""

from __future__ import annotations

import sympy as sp

from dmft_sym.program import FieldRef
from dmft_sym.program.printing import latex_name


class Labelled(sp.Expr):
    """Base: a name with layer (or `sympy.S.NaN` for none), step and output labels."""

    is_commutative = True
    _diff_wrt = True

    def __new__(cls, name: str | sp.Symbol, layer: sp.Expr | None, step: sp.Expr, output: sp.Expr) -> Labelled:
        symbol = name if isinstance(name, sp.Symbol) else sp.Symbol(name)
        return sp.Expr.__new__(cls, symbol, sp.S.NaN if layer is None else layer, step, output)

    @property
    def name(self) -> str:
        """Name without labels."""
        return str(self.args[0].name)

    @property
    def layer(self) -> sp.Expr | None:
        """Layer label, if any."""
        return None if self.args[1] is sp.S.NaN else self.args[1]

    @property
    def labels(self) -> tuple[sp.Expr, sp.Expr]:
        """Step and output."""
        return self.args[2], self.args[3]

    def _eval_derivative(self, symbol: sp.Expr) -> sp.Expr:
        return sp.Integer(int(self == symbol))

    accent = ""

    def name_latex(self, output: sp.Expr | None = None) -> str:
        """Name with layer, and output if given."""
        return latex_name(self.name, self.layer, output=output, accent=self.accent)

    def _latex(self, printer: sp.printing.latex.LatexPrinter, exp: str | None = None) -> str:
        body = f"{self.name_latex(self.args[3])}({printer.doprint(self.args[2])})"
        return body if exp is None else f"\\left[{body}\\right]^{{{exp}}}"

    def _sympystr(self, printer: sp.printing.str.StrPrinter) -> str:
        layer = "" if self.layer is None else f"{self.layer}, "
        return f"{self.name}[{layer}{self.args[2]}, {self.args[3]}]"


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
        steps = f"({printer.doprint(a.args[2])},{printer.doprint(b.args[2])})"
        outputs = f"{printer.doprint(a.args[3])}{printer.doprint(b.args[3])}"
        return f"{self.letter}^{{{names}}}_{{{outputs}}}{steps}"

    def _sympystr(self, printer: sp.printing.str.StrPrinter) -> str:
        return f"{type(self).__name__}({self.args[0]}, {self.args[1]})"


class Correlation(_TwoPoint):
    """``C = <a b>``."""


class Response(_TwoPoint):
    """``R = <d a / d b>``, ``b`` a Gaussian field."""

    letter = "R"


class ConjugateCorrelation(_TwoPoint):
    """Lagrange multiplier of a correlation."""

    letter = "\\hat C"


class ConjugateResponse(_TwoPoint):
    """Lagrange multiplier of a cross overlap (a response)."""

    letter = "\\hat R"


def field_at(ref: FieldRef, step: sp.Expr, output: sp.Expr) -> FieldAt:
    """A reference of the program as a labelled symbol."""
    return FieldAt(ref.field.name, ref.layer, step, output)
