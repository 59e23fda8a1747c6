"""Labels of the user's own in a forward pass: sums over them, known numbers, softmax, and a second index.

A label is made by ``token = net.label("token", 3)``. What is computed from things that carry it carries it too, the
same matrices act on all of its values, and outputs must not have it: something sums over it. Where two values of one
label meet, as in ``a_ij``, the second one is a copy of the label: ``other = token.copy()``, ``k.at(other)`` is ``k_j``.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray

from dmft_sym.program import (
    OUTPUT,
    Axes,
    Compute,
    FieldRef,
    Label,
    Linear,
    ProgramError,
    Relabelled,
    ScalarRef,
    SiteFunction,
    is_linear,
)
from dmft_sym.support.messages import show

from .scalars import Mean
from .vectors import Vector

LETTERS = ("i", "j", "m", "n", "a", "b", "d", "e", "z")
"""Indices of labels in the order of their declaration."""
SOFTMAX = sp.Function("softmax")


class MissingLabelError(ProgramError):
    """Something is summed over a label that it does not carry, as it may do with other data."""


Traced = TypeVar("Traced", Vector, Mean)


class LabelRecorder(Protocol):
    """Records labels and what is done along them."""

    def declare_label(self, name: str, size: int, original: Label | None = None) -> Label:
        """A label with an index of its own."""

    def as_field(self, vector: Vector) -> FieldRef:
        """The vector as a field that has a name."""

    def weighted_sum(self, vector: Vector, label: Label) -> Vector:
        """A sum of vectors with scalars for weights."""

    def computed(self, statement: Compute) -> Mean:
        """A function of scalars, recorded as the definition of a scalar."""

    def new_scalar(self, stem: str, axes: Axes) -> ScalarRef:
        """A scalar with a free name and these labels."""

    def given_scalar(self, name: str | None, axes: Axes, values: NDArray[np.float64]) -> Mean:
        """A scalar that is known, one for every value of labels."""


@dataclass(frozen=True)
class TracedLabel:
    """An index with finitely many values, such as the token of a sequence; made by `Tracer.label`."""

    tracer: LabelRecorder
    label: Label

    def __str__(self) -> str:
        return str(self.label)

    def __len__(self) -> int:
        return int(self.label.size)

    def __bool__(self) -> bool:
        return True

    def copy(self, name: str | None = None) -> TracedLabel:
        """A second index of the same values: ``j`` beside ``i`` in ``a_ij``.

        Parameters
        ----------
        name
            What messages and results call it; ``other_<name>`` by default.
        """
        chosen = f"other_{self.label}" if name is None else name
        return TracedLabel(self.tracer, self.tracer.declare_label(chosen, len(self), self.label))

    def values(self, numbers: ArrayLike, *others: TracedLabel, name: str | None = None) -> Mean:
        """Known numbers, one for every value of the label: a factor of vectors and scalars.

        Parameters
        ----------
        numbers
            As many as the label has values, finite; with ``others`` an array with an axis for each of them:
            ``token.values(kernel, other)`` is ``kernel[i, j]``.
        name
            What equations call it.

        Raises
        ------
        ProgramError
            If they do not fit.
        """
        found, labels = np.asarray(numbers, dtype=float), (self, *others)
        shape = tuple(map(len, labels))
        if found.shape != shape or not np.isfinite(found).all():
            what = " and ".join(map(str, labels))
            size = " x ".join(map(str, shape))
            raise ProgramError(f"values of {what}: {show(numbers)}: allowed are {size} finite numbers, one each")
        return self.tracer.given_scalar(name, tuple(label.label for label in labels), found)

    def taken(self, vector: Vector) -> Vector:
        """A vector at the values of this copy of a label, instead of those of the label itself."""
        ref = vector.tracer.as_field(vector)
        kin = [label for label in ref.axes if same_values(label, self.label)]
        if self.label in kin:
            raise ProgramError(f"{ref}.at({self}): it is at the values of {self} already")
        if len(kin) != 1:
            raise ProgramError(
                f"{ref}.at({self}): it carries {named(ref.axes)}; allowed is a vector with one index of "
                f"{self.label.original or self.label}, of which other = label.copy() is the second one"
            )
        return Vector(vector.tracer, Linear.of(Relabelled(ref, names=((kin[0], self.label),))), ref.space)


def same_values(a: Label, b: Label) -> bool:
    """Whether two labels are the same, or copies of each other."""
    return (a.original or a) == (b.original or b)


def declared(name: str, size: object, taken: Sequence[Label], original: Label | None = None) -> Label:
    """A label with an index that no other has.

    Raises
    ------
    ProgramError
        If the size is not an integer, or if all indices are taken.
    """
    if not isinstance(name, str) or not name.isidentifier() or name in ("step", "layer", "sample", "output"):
        raise ProgramError(f"label {show(name)}: allowed is a word that is not step, layer, sample or output")
    if isinstance(size, bool) or not isinstance(size, numbers.Integral) or size < 1:
        raise ProgramError(f"label {name}: size {show(size)}: allowed is an integer >= 1")
    letters = [letter for letter in LETTERS if letter not in {label.symbol.name for label in taken}]
    if not letters:
        raise ProgramError(f"label {name}: allowed are at most {len(LETTERS)} labels, copies included")
    return Label.of(name, letters[0], f"{letters[0]}'", int(size), original)


def named(axes: Axes) -> str:
    """Labels for messages."""
    return " and ".join(map(str, axes)) or "no label"


def axes_of(content: Linear | SiteFunction) -> Axes:
    """Labels of what a vector is made of, each once."""
    parts = [atom for _, atom in content.terms] if isinstance(content, Linear) else [a for _, a in content.arguments]
    return tuple(dict.fromkeys(label for part in parts for label in part.axes))


def content_of(vector: Vector) -> Linear | SiteFunction:
    """What a vector is made of."""
    return vector.combination if vector.function is None else vector.function


def checked_over(what: str, thing: Vector | Mean, over: object) -> Label:
    """The label, if the thing carries it.

    Raises
    ------
    ProgramError
        If it is none, or another.
    """
    if not isinstance(over, TracedLabel):
        raise ProgramError(f"{what}: over = {show(over)}: allowed is a label, made by net.label or label.copy()")
    if not isinstance(thing, Vector):
        thing = getattr(thing, "scalar", thing)  # outputs
    if not isinstance(thing, Vector | Mean):
        raise ProgramError(f"{what}: allowed is a traced vector or scalar, got {type(thing).__name__}")
    axes = thing.axes if isinstance(thing, Mean) else axes_of(content_of(thing))
    if over.label not in axes:
        name = thing.expression if isinstance(thing, Mean) else thing.function or thing.combination
        copies = [label for label in axes if same_values(label, over.label)]
        hint = (
            f"; sum over {copies[0]}, or take a factor .at({over})"
            if copies
            else f"; data carry it if they have the shape (samples, {over}, D)"
        )
        raise MissingLabelError(f"{what} over {over}: {name} carries {named(axes)} and not {over}{hint}")
    return over.label


def total(thing: Traced, over: TracedLabel) -> Traced:
    """The sum of vectors, or of scalars, over the values of a label."""
    label = checked_over("sum", thing, over)
    if label == OUTPUT:
        raise ProgramError("a sum over outputs: allowed is ds.softmax(f, over=net.outputs), of one sum of readouts")
    if isinstance(thing, Vector):
        if thing.function is not None and thing.function.scalars and is_linear(thing.function):
            return over.tracer.weighted_sum(thing, label)
        ref = thing.tracer.as_field(thing)
        return Vector(thing.tracer, Linear.of(Relabelled(ref, over=(label,))), ref.space)
    axes = tuple(other for other in thing.axes if other != label)
    target = over.tracer.new_scalar("s", axes)
    return over.tracer.computed(Compute(target, thing.expression, thing.arguments, over=(label,)))


def mean(thing: Vector | Mean, over: TracedLabel | None = None) -> Vector | Mean:
    """The average of a vector over its sites, or of anything over the values of a label.

    Parameters
    ----------
    thing
        ``ds.mean(q * k)`` is the scalar ``(1/n) sum_i q_i k_i`` for every sample, and for every label that ``q`` or
        ``k`` carries.
    over
        A label, such as ``token``: the mean over its values instead.

    Returns
    -------
    Vector or scalar
        A scalar of a vector; over a label what the thing is, without the label.

    Raises
    ------
    ProgramError
        If the thing does not fit.

    See Also
    --------
    norm : the root of the mean square.
    softmax : weights along a label.

    References
    ----------
    docs/program.md, labels of your own.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> def forward(net, x):
    ...     h = net.matrix("W0", net.inputs, net.hidden("N")) @ x
    ...     return net.readout("w", h * ds.mean(h * h))
    >>> data = ds.Samples([[1.0, 0.0], [0.0, 1.0]], [1.0, -1.0])
    >>> [str(s) for s in ds.derive(ds.network(forward), data=data).program.statements][1]
    'm1 = <h1**2>'
    """
    if over is not None:
        summed: Vector | Mean = total(thing, over)  # type: ignore[type-var]
        return summed / len(over)
    if not isinstance(thing, Vector):
        raise ProgramError(f"mean of {type(thing).__name__}: allowed is a traced vector, or a label to average over")
    averaged: Mean = thing.tracer.average(thing)  # type: ignore[attr-defined]
    return averaged


def softmax(scores: Mean, over: TracedLabel) -> Mean:
    """``exp(s_ij) / sum_j exp(s_ij)`` along the label ``over``, of scalars.

    Parameters
    ----------
    scores
        Scalars that carry the label, such as ``ds.mean(q * k.at(other))``.
    over
        The label along which weights sum to one.

    Returns
    -------
    scalar
        With the labels of the scores.

    Raises
    ------
    ProgramError
        If the scores are no scalars, or do not carry the label.

    See Also
    --------
    mean : scores are averages over sites.

    References
    ----------
    arXiv:1706.03762, with scores divided by the width in place of its root (arXiv:2405.15712).

    Examples
    --------
    >>> import numpy as np
    >>> import dmft_sym as ds
    >>> def attention(net, x):
    ...     token, n = net.label("token", 3), net.hidden("N")
    ...     other = token.copy()
    ...     q, k, v = (net.matrix(name, net.inputs, n) @ x for name in "QKV")
    ...     weights = ds.softmax(ds.mean(q * k.at(other)), over=other)
    ...     return net.readout("w", ds.mean(net.sum(weights * v.at(other), over=other), over=token))
    >>> data = ds.Samples(np.ones((2, 3, 4)), [1.0, -1.0], labels=("token",))
    >>> program = ds.derive(ds.network(attention), data=data).program
    >>> [line for line in map(str, program.statements) if "softmax" in line]
    ['a1 = softmax(m1) along other_token']
    """
    if isinstance(scores, Vector):
        raise ProgramError("softmax of a vector: allowed are scalars, such as ds.mean(q * k.at(other))")
    scores = getattr(scores, "scalar", scores)  # outputs
    label = checked_over("softmax", scores, over)
    ref = scores.ref
    symbol = sp.Symbol(ref.scalar.name, real=True)
    target = over.tracer.new_scalar("a", ref.axes)
    return over.tracer.computed(Compute(target, SOFTMAX(symbol), ((symbol, ref),), along=label))


def norm(vector: Vector) -> Mean:
    """``sqrt((1/n) sum_i h_i^2)``, the size of a vector per site, a scalar.

    Parameters
    ----------
    vector
        Of the forward pass.

    Returns
    -------
    scalar
        For every sample, and every label that the vector carries.

    Raises
    ------
    ProgramError
        If it is no vector.

    See Also
    --------
    mean : other averages over sites.

    References
    ----------
    docs/program.md; normalisation layers, arXiv:1607.06450, without the mean that they subtract.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> def forward(net, x):
    ...     h = net.matrix("W0", net.inputs, net.hidden("N")) @ x
    ...     return net.readout("w", h / ds.norm(h))
    >>> data = ds.Samples([[1.0, 0.0], [0.0, 1.0]], [1.0, -1.0])
    >>> [str(s) for s in ds.derive(ds.network(forward), data=data).program.statements][1:3]
    ['m1 = <h1**2>', 's1 = sqrt(m1)']
    """
    squares = mean(vector * vector)
    assert isinstance(squares, Mean)
    return Mean(squares.tracer, sp.sqrt(squares.expression), squares.arguments)


def inner_order(labels: Sequence[Label], found: Axes) -> Axes:
    """The labels ``found`` in the order of ``labels``, outputs last."""
    order = (*(label for label in dict.fromkeys(labels) if label != OUTPUT), OUTPUT)
    return tuple(label for label in order if label in found)
