"""Losses on given samples: squared error, logistic, softmax cross-entropy, and formulas of the user's own.

Training minimises ``(1/P) sum_mu loss(f_mu, y_mu)``. The backward pass gets the error ``-dloss/df``, a number for every
sample ``mu`` (P of them) and output ``c`` (C of them):

======== ====================================== ========================= ========================= ================
name     loss of a sample                       error                     targets                   reported
======== ====================================== ========================= ========================= ================
squared  ``sum_c (f_c - y_c)^2 / 2``            ``y_c - f_c``             real numbers              per output, no 1/2
logistic ``sum_c log(1 + exp(-y_c f_c))``       ``y_c sigmoid(-y_c f_c)`` -1 and 1                  per output
softmax  ``log sum_c exp(f_c) - sum_c y_c f_c`` ``y_c - softmax(f)_c``    classes, or one-hot rows  one number
formula  ``sum_c l(f_c, y_c)``                  ``-dl/df_c``              real numbers              per output
======== ====================================== ========================= ========================= ================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sympy as sp

from dmft_sym.program import ProgramError
from dmft_sym.program.formulas import FormulaError, parse_formula
from dmft_sym.program.site_derivatives import differentiate
from dmft_sym.program.site_expressions import check, show_expression
from dmft_sym.program.site_functions import numpy_function
from dmft_sym.support.messages import show, suggestion
from dmft_sym.support.real_arrays import Array, DataError, place_of, real_array

from .finite_values import check_several

F = sp.Symbol("f", real=True)
Y = sp.Symbol("y", real=True)
SOFTMAX = sp.Function("softmax")
FORMULA = 'a formula in f and y, such as "(f - y)**4/4"'
MAX_OUTPUTS = 1000
TIE = 1e-12
"""Outputs that are this close are equal for an accuracy: a network that starts at 0 does so up to rounding."""


@dataclass(frozen=True)
class Loss:
    """A loss; `LOSSES` has those with a name, `Loss.of` makes one of a formula.

    Parameters
    ----------
    name
        What users call it.
    error
        ``-dloss/df`` of one sample and output, in the real symbols ``f`` and ``y``. The function ``softmax(f)`` is
        ``exp(f_c) / sum_c' exp(f_c')``, over the outputs ``c'`` of the same sample.
    axes
        Axes of the reported loss: ``("output",)``, or none where outputs compete and the loss has no share of one.
    latex
        The loss of a sample.
    classes
        Whether targets are classes, and no numbers that noise could be added to.

    See Also
    --------
    Samples : takes a loss by its name, as a formula or as an object.

    References
    ----------
    arXiv:2205.09653; docs/program.md.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> quartic = ds.Loss.of("(f - y)**4/4")
    >>> quartic.error, quartic.curvature
    (-(f - y)**3, 3*(f - y)**2)
    """

    name: str
    error: sp.Expr
    axes: tuple[str, ...] = ("output",)
    latex: str = ""
    classes: bool = False

    @staticmethod
    def of(formula: str | sp.Expr, name: str | None = None) -> Loss:
        """The loss ``sum_c l(f_c, y_c)`` of a sample, of a formula ``l``.

        Parameters
        ----------
        formula
            In the output ``f`` and the target ``y``: text, which is parsed and never executed (see
            `dmft_sym.program.formulas`), or an expression of SymPy in symbols of these names.
        name
            What results call it; the formula by default.

        Raises
        ------
        DataError
            If it is no such formula, or not finite for all real outputs.
        """
        return _own(formula, name)

    @property
    def curvature(self) -> sp.Expr:
        """Second derivative by the output; with several outputs that compete, the diagonal of it."""
        if self.error.has(SOFTMAX):
            share = SOFTMAX(F)
            return share * (1 - share)
        return -differentiate(self.error, F)

    @property
    def key(self) -> str:
        """What tells it from others: its name, and the error of one that has a name of the user's own."""
        return self.name if self.name in LOSSES else f"{self.name}: {sp.srepr(self.error)}"

    def value(self, f: Array, y: Array) -> Array:
        """The reported loss, a mean over samples.

        Parameters
        ----------
        f
            Outputs of a network, shape (..., P, C).
        y
            Targets as `check_targets` returns them, shape (P, C).

        Returns
        -------
        numpy.ndarray
            Shape (..., C) of squared error (without the factor 1/2) and the logistic loss, (...) of softmax. What a
            diverged network makes too large is inf or NaN.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            return self._value(np.asarray(f, dtype=np.float64), np.asarray(y, dtype=np.float64))

    def hessian(self, f: Array, y: Array) -> Array:
        """Second derivatives of the loss of every sample by its outputs, shape (P, C, C); ``f`` and ``y`` (P, C)."""
        f, y = np.asarray(f, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if self.error.has(SOFTMAX):
            powers = np.exp(f - np.max(f, axis=-1, keepdims=True))
            share = powers / powers.sum(axis=-1, keepdims=True)
            return share[:, :, None] * (np.eye(f.shape[-1]) - share[:, None, :])
        (values,) = numpy_function([self.curvature], [F, Y])(f, y)
        return np.asarray(np.broadcast_to(values, f.shape)[:, :, None] * np.eye(f.shape[-1]))

    def accuracy(self, f: Array, y: Array) -> Array | None:
        """Fraction of samples in the right class, NaN if ``f`` is; arguments as for `value`.

        Returns
        -------
        numpy.ndarray or None
            Shape (..., C) where the sign of every output decides: logistic, and squared error with one output and
            targets -1 and 1; an output of 0 counts one half. Shape (...) where the largest output decides: softmax, and
            squared error with one-hot targets; a tie of k outputs counts 1/k. Numbers closer than `TIE` are equal.
            None for other targets of squared error.
        """
        with np.errstate(invalid="ignore"):
            return self._accuracy(np.asarray(f, dtype=np.float64), np.asarray(y, dtype=np.float64))

    def check_targets(self, y: object, name: str = "targets", outputs: int | None = None) -> Array:
        """Targets as a new array of shape (P, C); classes become one-hot rows.

        Parameters
        ----------
        y
            Finite numbers of shape (P, C), or (P,) for one output. For softmax one column has the class of each sample,
            numbered from 0 without a gap.
        name
            What a message calls them.
        outputs
            Number of classes, for classes; by default the largest of them and one more.

        Raises
        ------
        DataError
            If they do not fit the loss; one line that names a value and what is allowed.
        """
        numbers = real_array(name, y, "(P,) or (P, C)", (1, 2))
        table = numbers.reshape(len(numbers), -1)
        if table.shape[1] > MAX_OUTPUTS:
            raise DataError(f"{name} have {table.shape[1]} outputs: allowed are 1 to {MAX_OUTPUTS}")
        return self._fitting(table, name, outputs)

    def _value(self, f: Array, y: Array) -> Array:
        raise NotImplementedError

    def _accuracy(self, f: Array, y: Array) -> Array | None:
        raise NotImplementedError

    def _fitting(self, y: Array, name: str, outputs: int | None) -> Array:
        return y


class _Squared(Loss):
    def _value(self, f: Array, y: Array) -> Array:
        return np.mean((f - y) ** 2, axis=-2)

    def _accuracy(self, f: Array, y: Array) -> Array | None:
        if y.shape[-1] == 1:
            return _by_sign(f, y) if (np.abs(y) == 1.0).all() else None
        return _by_largest(f, y) if _one_hot(y).all() else None


class _Logistic(Loss):
    def _value(self, f: Array, y: Array) -> Array:
        return np.mean(np.logaddexp(0.0, -y * f), axis=-2)

    def _accuracy(self, f: Array, y: Array) -> Array | None:
        return _by_sign(f, y)

    def _fitting(self, y: Array, name: str, outputs: int | None) -> Array:
        for place in np.argwhere(np.abs(y) != 1.0)[:1]:
            raise DataError(
                f'{name}, {place_of(place)} = {y[tuple(place)]:g}: allowed with loss = "logistic" are -1 and 1'
            )
        return y


class _Softmax(Loss):
    def _value(self, f: Array, y: Array) -> Array:
        below = f - np.max(f, axis=-1, keepdims=True)
        return np.mean(np.log(np.sum(np.exp(below), axis=-1)) - np.sum(y * below, axis=-1), axis=-1)

    def _accuracy(self, f: Array, y: Array) -> Array | None:
        return _by_largest(f, y)

    def _fitting(self, y: Array, name: str, outputs: int | None) -> Array:
        if y.shape[1] == 1:
            return _classes_to_rows(y[:, 0], name, outputs)
        for row in np.flatnonzero(~_one_hot(y))[:1]:
            raise DataError(
                f'{name}, row {row} = {show(y[row].tolist())}: allowed with loss = "softmax" are one-hot rows (one 1, '
                "the rest 0), or one column of classes"
            )
        return y


def _classes_to_rows(labels: Array, name: str, outputs: int | None) -> Array:
    highest = (MAX_OUTPUTS if outputs is None else outputs) - 1
    allowed = f'allowed with loss = "softmax" are classes, integers 0 to {highest}'
    for row in np.flatnonzero((labels != np.floor(labels)) | (labels < 0) | (labels > highest))[:1]:
        raise DataError(f"{name}, row {row} = {labels[row]:g}: {allowed}")
    count = int(labels.max()) + 1 if outputs is None else outputs
    if count < 2:
        raise DataError(f'{name} with one class: allowed with loss = "softmax" are two or more classes (outputs)')
    missing = np.setdiff1d(np.arange(count), labels) if outputs is None else np.array([])
    if missing.size:
        raise DataError(
            f"{name} without a sample of class {missing[0]:g}, classes up to {count - 1}: allowed are classes "
            "numbered 0, 1, ... without a gap, or one-hot rows"
        )
    return (labels[:, None] == np.arange(count)).astype(np.float64)


def _one_hot(y: Array) -> np.ndarray:
    """Whether a row is one 1 and zeros, shape (..., P)."""
    return ((y == 0.0) | (y == 1.0)).all(axis=-1) & (np.sum(y, axis=-1) == 1.0)


def _by_sign(f: Array, y: Array) -> Array:
    signs = np.where(np.abs(f) <= TIE, 0.0, np.sign(y * f))
    return np.mean((1.0 + signs) / 2.0, axis=-2)


def _by_largest(f: Array, y: Array) -> Array:
    largest = np.max(f, axis=-1, keepdims=True)
    first = np.where(np.isnan(largest), np.nan, f >= largest - TIE)
    return np.mean(np.sum(first * y, axis=-1) / np.sum(first, axis=-1), axis=-1)


@dataclass(frozen=True)
class _Own(Loss):
    """A loss of the user's own, ``formula`` of one output and its target."""

    formula: sp.Expr = sp.Integer(0)

    def _value(self, f: Array, y: Array) -> Array:
        (values,) = numpy_function([self.formula], [F, Y])(f, np.broadcast_to(y, f.shape))
        return np.mean(values, axis=-2)

    def _accuracy(self, f: Array, y: Array) -> Array | None:
        return None


def _own(formula: object, name: str | None) -> Loss:
    """The loss of a formula."""
    what = f"loss = {show_expression(formula) if isinstance(formula, sp.Basic) else show(formula)}"
    try:
        made = parse_formula(formula, ("f", "y")).doit() if isinstance(formula, str) else _in_f_and_y(formula)
        check(made, [F, Y])
        if F not in made.free_symbols:
            raise ProgramError("it does not depend on the output f")
        check_several(made, [F, Y])
    except (ProgramError, FormulaError) as error:
        said = str(error) if "allowed" in str(error) else f"{error}; allowed is {FORMULA}"
        raise DataError(f"{what}: {said}") from error
    latex = sp.latex(made.xreplace({F: sp.Symbol("f_c"), Y: sp.Symbol("y_c")}))
    chosen = (formula if isinstance(formula, str) else str(made)) if name is None else name
    return _Own(chosen, sp.factor_terms(-differentiate(made, F)), latex=f"\\sum_c \\left({latex}\\right)", formula=made)


def _in_f_and_y(formula: object) -> sp.Expr:
    """An expression in the real symbols ``f`` and ``y``."""
    if not isinstance(formula, sp.Expr):
        raise ProgramError("no expression of SymPy")
    known = {symbol.name: symbol for symbol in (F, Y)}
    return formula.xreplace({symbol: known.get(symbol.name, symbol) for symbol in formula.free_symbols})


def _error(loss: sp.Expr) -> sp.Expr:
    """``-dloss/df``, with tanh for sinh/cosh: it does not overflow."""
    derivative = sp.diff(loss, F).replace(sp.sinh, lambda x: sp.tanh(x) * sp.cosh(x))
    return sp.factor_terms(sp.expand(-derivative))


SQUARED = _Squared("squared", _error((F - Y) ** 2 / 2), latex="\\tfrac12 \\sum_c (f_c - y_c)^2")
# log(1 + exp(-x)) = log(2 cosh(x/2)) - x/2; the error is y sigmoid(-y f), written as y (1 - tanh(y f/2))/2.
_LOGISTIC = _error(sp.log(2 * sp.cosh(Y * F / 2)) - Y * F / 2)
LOGISTIC = _Logistic("logistic", _LOGISTIC, latex="\\sum_c \\log(1 + e^{-y_c f_c})", classes=True)
# d/df_c of log sum_a exp(f_a) is softmax(f)_c by definition of that function, which the expression of one output cannot
# write out because it needs the other outputs.
SOFTMAX_CROSS_ENTROPY = _Softmax("softmax", Y - SOFTMAX(F), (), "\\log \\sum_c e^{f_c} - \\sum_c y_c f_c", True)

LOSSES: dict[str, Loss] = {loss.name: loss for loss in (SQUARED, LOGISTIC, SOFTMAX_CROSS_ENTROPY)}


def loss_named(value: object) -> Loss:
    """The loss of this name, or of a formula in ``f`` and ``y``; a `Loss` stays as it is.

    Raises
    ------
    DataError
        If there is no such loss.
    """
    if isinstance(value, Loss):
        return value
    if isinstance(value, str) and value in LOSSES:
        return LOSSES[value]
    if isinstance(value, sp.Expr) or (isinstance(value, str) and not value.strip().isidentifier()):
        return Loss.of(value)
    allowed = ", ".join(f'"{name}"' for name in LOSSES)
    hint = suggestion(value, LOSSES) if isinstance(value, str) else ""
    raise DataError(f"loss = {show(value)}: allowed are {allowed}{hint}, or {FORMULA}")
