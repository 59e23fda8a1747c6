"""SymPy objects of a derivation: labelled fields, Gaussian fields, scalars, order parameters and averages.

Each is a function of its labels, ``h(l, t, mu)`` or ``C_h(l, t, mu, l, s, nu)``, so that actions and equations are
ordinary SymPy expressions: ``diff``, ``subs``, ``limit``, ``solve`` and ``lambdify`` work on them. Steps, samples,
outputs and other labels count from 0, layers as the network does. Symbols are those of docs/mathematics.md.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Self, TypeAlias

import sympy as sp
from sympy.core.function import AppliedUndef, UndefinedFunction

from dmft_sym.program import CLASS_INDEX, LAYER, PAST_STEP, STEP, TIME, Axes, FieldRef, MatrixRef, ScalarRef
from dmft_sym.program.labels import At, elsewhere, here
from dmft_sym.program.printing import latex_name

Values: TypeAlias = tuple[tuple[str, sp.Expr], ...]
"""Names of labels with their values, in the order layer, step, and that of the program."""


KEPT, KERNEL = sp.Function("rho"), sp.Function("kappa")
"""``rho(t)``: what is left of the initial weights; ``kappa(t - s)``: what an increment is worth later."""
PAST_KERNEL = sp.Function("S_kappa")
"""``S_kappa(t, s)``: ``kappa(t - s)`` for ``s < t``, else zero."""
_COMMAND = re.compile(r"\\[A-Za-z]+$")
STEPS = (PAST_STEP, *sp.symbols("t_1 s_1", integer=True, nonnegative=True))
"""Steps that sums run over."""
Place: TypeAlias = tuple[sp.Expr, At]
"""A step, and the values of other labels."""


def _inner(number: int) -> At:
    return lambda label: sp.Symbol(f"{label.symbol.name}_{number}", integer=True, nonnegative=True)


NOW, THEN, FIRST, SECOND = (STEP, here), (PAST_STEP, elsewhere), (STEPS[1], _inner(1)), (STEPS[2], _inner(2))
"""Places of order parameters: their row, their column, and two that sums run over."""
COLUMN = sp.Symbol("b")
"""Stands for any Gaussian field of a process in equations of tangents."""


_FAMILIES: dict[tuple[Any, ...], Any] = {}


def family(kind: type, name: str, **what: Any) -> Any:
    """The function of labels that a kind of object with this name is; of real values."""
    key = (kind, name, *what.items())
    if key not in _FAMILIES:
        _FAMILIES[key] = UndefinedFunction(name, bases=(kind,), kind=kind.__name__, real=True, **what)
    return _FAMILIES[key]


class Labelled(AppliedUndef):
    """Base: one thing as a function of its labels.

    Attributes
    ----------
    slots
        Names of the labels that its arguments are values of.
    """

    slots: ClassVar[tuple[str, ...]] = ()
    accent: ClassVar[str] = ""

    @classmethod
    def of(cls, name: str, layer: sp.Expr | None, values: Values, **what: Any) -> Self:
        """The thing of a name, at a layer if it has layers, and at values of its other labels."""
        given = (*(() if layer is None else ((LAYER.name, layer),)), *values)
        made = family(cls, name, slots=tuple(slot for slot, _ in given), **what)
        return made(*(value for _, value in given))

    @property
    def labels(self) -> dict[str, sp.Expr]:
        """Values of its labels by their names."""
        return dict(zip(self.slots, self.args, strict=True))

    @property
    def layer(self) -> sp.Expr | None:
        """Layer label, if any."""
        return self.labels.get(LAYER.name)

    @property
    def step(self) -> sp.Expr | None:
        """Step label; data have none."""
        return self.labels.get(TIME.name)

    @property
    def site_class(self) -> sp.Expr | None:
        """Class of its site, if it is that of a site of some class."""
        return self.labels.get(CLASS_INDEX)

    def of_class(self, index: sp.Expr) -> Self:
        """The thing at a site of a class: one label more, behind the others."""
        (kind,) = (base for base in type(self).__bases__ if issubclass(base, Labelled))
        values = tuple((slot, value) for slot, value in self.labels.items() if slot != LAYER.name)
        what = {mark: True for mark in ("bar", "initial") if getattr(self, mark, False)}
        made: Self = kind.of(self.name, self.layer, (*values, (CLASS_INDEX, index)), **what)
        return made

    @property
    def axis_labels(self) -> tuple[sp.Expr, ...]:
        """Values of the labels beside layer and step, in the order of the program."""
        return tuple(value for slot, value in self.labels.items() if slot not in (LAYER.name, TIME.name))

    def name_latex(self, labels: tuple[sp.Expr, ...] = ()) -> str:
        """Name with layer, and values of labels if given."""
        return latex_name(self.shown, self.layer, labels=labels, accent=self.accent)

    @property
    def shown(self) -> str:
        """The name as it is printed."""
        return str(self.name)

    def _latex(self, printer: sp.printing.latex.LatexPrinter, exp: str | None = None) -> str:
        body = self.name_latex(self.axis_labels)
        if self.step is not None:
            body = f"{body}({printer.doprint(self.step)})"
        return powered(body, exp)


class FieldAt(Labelled):
    """A field of the program at given labels (one site of it, inside single-site averages)."""


class ScalarAt(Labelled):
    """A scalar of the program at given labels: the same at all sites."""


class ReportedAt(ScalarAt):
    """A scalar that is reported, such as a loss."""

    def name_latex(self, labels: tuple[sp.Expr, ...] = ()) -> str:
        lower = " ".join(map(sp.latex, labels))
        return f"\\text{{{self.name.replace('_', ' ')}}}" + (f"_{{{lower}}}" if lower else "")


class HatAt(Labelled):
    """The conjugate field that enforces a product, ``xhat`` or ``yhat``."""

    accent = "hat"

    @property
    def shown(self) -> str:
        return str(self.name).replace("hat_", "_", 1)


class NoiseAt(Labelled):
    """A Gaussian field ``u`` or ``r`` of the averaging rule, or a random vector.

    Attributes
    ----------
    bar
        Whether it is divided by ``sqrt(n_out/n_in)``; its name then has a ``bar``.
    initial
        Whether it is the value at step 0 of a vector that has an equation of its own.
    """

    bar: ClassVar[bool] = False
    initial: ClassVar[bool] = False

    @property
    def shown(self) -> str:
        name = str(self.name)
        if self.bar:
            return name.replace("bar_", "_", 1)
        return name.removesuffix("_0") if self.initial else name

    @property
    def accent(self) -> str:  # type: ignore[override]
        """Normalised ones have a bar."""
        return "bar" if self.bar else ""

    def _latex(self, printer: sp.printing.latex.LatexPrinter, exp: str | None = None) -> str:
        body = super()._latex(printer)
        return powered(f"{body}(0)" if self.initial else body, exp)


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


class Applied(sp.Expr):
    """``W h``: a product with a Gaussian matrix, before it is averaged over; of name, layer and field."""

    is_commutative = True

    @classmethod
    def of(cls, matrix: MatrixRef, transpose: bool, field: FieldAt) -> Self:
        """A product with a matrix of a program, or with its transpose."""
        layer = sp.S.NaN if matrix.layer is None else matrix.layer
        return cls(sp.Symbol(matrix.matrix.name + ("^T" if transpose else "")), layer, field)


class TwoPoint(AppliedUndef):
    """Base: a number that belongs to two labelled things, a function of the labels of both.

    It is written with the two things, ``Correlation(h, g)``, and kept as a function of their labels: it is an average,
    and does not vary with them.

    Attributes
    ----------
    letter
        What its name begins with.
    row, column
        The two things without their labels.
    """

    letter: ClassVar[str] = "C"
    accent: ClassVar[str] = ""
    row: ClassVar[type[Labelled]]
    column: ClassVar[type[Labelled]]

    def __new__(cls, *args: sp.Expr, **options: Any) -> Self:
        return super().__new__(cls, *args, **options) if hasattr(cls, "row") else cls.between(*args)

    @classmethod
    def between(cls, a: Labelled, b: Labelled, **what: Any) -> Self:
        """The number that belongs to two things; ``what`` tells it from others of its kind."""
        names = a.func.__name__ + ("" if a.func == b.func else f"_{b.func.__name__}")
        made = family(cls, f"{what.get('letter', cls.letter)}_{names}", row=a.func, column=b.func, **what)
        return made(*a.args, *b.args)

    @property
    def ends(self) -> tuple[Labelled, Labelled]:
        """The two things at their labels."""
        count = len(self.row.slots)
        return self.row(*self.args[:count]), self.column(*self.args[count:])

    def _latex(self, printer: sp.printing.latex.LatexPrinter, exp: str | None = None) -> str:
        body = printer.two_point(self) if hasattr(printer, "two_point") else None
        return powered(self._named(printer) if body is None else body, exp)

    def _named(self, printer: sp.printing.latex.LatexPrinter) -> str:
        a, b = self.ends
        names = f"{a.name_latex()},{b.name_latex()}"
        steps = [printer.doprint(end.step) for end in (a, b) if end.step is not None]
        labels = ["".join(f"{printer.doprint(label)} " for label in end.axis_labels).rstrip() for end in (a, b)]
        several = any(len(end.axis_labels) > 1 for end in (a, b))  # one index each needs no comma
        between = ",\\," if several else " " if _COMMAND.search(labels[0]) else ""
        lower = between.join(label for label in labels if label)
        letter = f"\\{self.accent} {self.letter}" if self.accent else self.letter
        body = f"{letter}^{{{names}}}" + (f"_{{{lower}}}" if lower else "")
        return body + (f"({','.join(steps)})" if steps else "")


class Correlation(TwoPoint):
    """``C = <a b>``; of two Gaussian fields their covariance."""


class Gram(TwoPoint):
    """``K = x . x / D`` of given inputs: a number and no order parameter."""

    letter = "K"

    def _latex(self, printer: sp.printing.latex.LatexPrinter, exp: str | None = None) -> str:
        names = dict.fromkeys(end.name_latex() for end in self.ends)
        labels = " ".join(printer.doprint(value) for end in self.ends for value in end.axis_labels)
        lower = f"_{{{labels}}}" if labels else ""
        return powered(f"K^{{{','.join(names)}}}{lower}", exp)


class Response(TwoPoint):
    """``R = <d a / d b>``, ``b`` a Gaussian field."""

    letter = "R"


class MemoryKernel(TwoPoint):
    """``A``: memory of one field in the equation of another, ``sum_s A(t, s) b(s)``."""

    letter = "A"


class ConjugateCorrelation(TwoPoint):
    """Lagrange multiplier of a correlation."""

    accent = "hat"


class ConjugateResponse(TwoPoint):
    """Lagrange multiplier of a cross overlap (a response)."""

    letter, accent = "R", "hat"


class Tangent(sp.Expr):
    """``d a / d b`` at one site, memories included; ``b`` a Gaussian field. Of two Gaussian fields it is a number."""

    is_commutative = True
    is_real = True
    _diff_wrt = True

    def __new__(cls, a: Labelled, b: sp.Expr) -> sp.Expr:
        if isinstance(a, NoiseAt) and isinstance(b, NoiseAt):
            if a.func != b.func:
                return sp.Integer(0)
            return sp.Mul(*(sp.KroneckerDelta(x, y) for x, y in zip(a.args, b.args, strict=True)))
        return sp.Expr.__new__(cls, a, b)

    def _latex(self, printer: sp.printing.latex.LatexPrinter, exp: str | None = None) -> str:
        a, b = self.args
        body = f"\\partial {printer.doprint(a)}"
        return f"\\frac{{{body}}}{{\\partial {printer.doprint(b)}}}" if isinstance(b, NoiseAt) else body

    def _eval_derivative(self, symbol: sp.Expr) -> sp.Expr:
        return sp.Integer(int(self == symbol))


class SiteAverage(sp.Function):
    """``<F>``, the average of a function of fields over a single-site process."""

    nargs = 1
    is_real = True

    def _latex(self, printer: sp.printing.latex.LatexPrinter, exp: str | None = None) -> str:
        body = f"\\left\\langle {printer.doprint(self.args[0])} \\right\\rangle"
        return body if exp is None else f"{body}^{{{exp}}}"


def powered(body: str, exp: str | None) -> str:
    """A power of something with indices."""
    if exp is None:
        return body
    return f"{body}^{{{exp}}}" if body.endswith(")") else f"\\left[{body}\\right]^{{{exp}}}"


def is_step(symbol: sp.Symbol) -> bool:
    """Whether a bound symbol is a step: ``s``, or a further one of a double sum."""
    return symbol in STEPS


def field_at(ref: FieldRef, step: sp.Expr, at: At, labels: Axes) -> FieldAt:
    """A reference of a program with these ``labels``, with the values ``at`` of those that its field has."""
    return FieldAt.of(ref.field.name, ref.layer, values_of(ref, step, at, labels))


def values_of(ref: FieldRef | ScalarRef, step: sp.Expr, at: At, labels: Axes) -> Values:
    """Step and labels of the program, in its order, as far as a field or scalar has them."""
    fixed = ref.space.finite if isinstance(ref, FieldRef) else ref.scalar.data and not ref.scalar.fresh
    found = tuple((label.name, at(label)) for label in labels if label in ref.axes)
    return found if fixed else ((TIME.name, step), *found)
