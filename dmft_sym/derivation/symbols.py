"""SymPy objects of the path integral: labelled fields, conjugate fields, order parameters.

They are commutative, hashable and can be differentiated with respect to, so that the action is an ordinary
SymPy expression and stationarity is ``diff``.
"""

from __future__ import annotations

import sympy as sp

from dmft_sym.program import OUTPUT_AXIS, SAMPLE_AXIS, FieldRef
from dmft_sym.program.printing import latex_name


class Labelled(sp.Expr):
    """Base: a name with layer, step, output and sample labels (`sympy.S.NaN` stands for one it does not have)."""

    is_commutative = True
    _diff_wrt = True

    def __new__(
        cls,
        name: str | sp.Symbol,
        layer: sp.Expr | None,
        step: sp.Expr | None,
        output: sp.Expr | None,
        sample: sp.Expr | None = None,
    ) -> Labelled:
        symbol = name if isinstance(name, sp.Symbol) else sp.Symbol(name)
        labels = [sp.S.NaN if label is None else label for label in (layer, step, output, sample)]
        return sp.Expr.__new__(cls, symbol, *labels)

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
    def output(self) -> sp.Expr | None:
        """Output label, if any."""
        return _label(self.args[3])

    @property
    def sample(self) -> sp.Expr | None:
        """Sample label, if any."""
        return _label(self.args[4])

    @property
    def axis_labels(self) -> tuple[sp.Expr, ...]:
        """Sample and output, as far as there are any."""
        return tuple(label for label in (self.sample, self.output) if label is not None)

    def _eval_derivative(self, symbol: sp.Expr) -> sp.Expr:
        return sp.Integer(int(self == symbol))

    accent = ""

    def name_latex(self, output: sp.Expr | None = None, sample: sp.Expr | None = None) -> str:
        """Name with layer, and sample and output if given."""
        return latex_name(self.name, self.layer, output=output, accent=self.accent, sample=sample)

    def _latex(self, printer: sp.printing.latex.LatexPrinter, exp: str | None = None) -> str:
        body = self.name_latex(self.output, self.sample)
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
        lower = (",\\," if any(end.sample is not None for end in (a, b)) else "").join(labels)
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
        labels = " ".join(printer.doprint(end.sample) for end in (a, b))
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


def field_at(ref: FieldRef, step: sp.Expr, output: sp.Expr, sample: sp.Expr | None = None) -> FieldAt:
    """A reference of the program as a labelled symbol, with those of the labels that its field has."""
    return FieldAt(ref.field.name, ref.layer, *axis_labels_of(ref, step, output, sample))


def axis_labels_of(
    ref: FieldRef, step: sp.Expr, output: sp.Expr, sample: sp.Expr | None
) -> tuple[sp.Expr | None, sp.Expr | None, sp.Expr | None]:
    """Step, output and sample, each ``None`` if the field does not have it."""
    return (
        None if ref.space.finite else step,
        output if OUTPUT_AXIS in ref.axes else None,
        sample if SAMPLE_AXIS in ref.axes else None,
    )
