"""Arrays with named axes and reverse mode: what judges programs without knowing of any.

An operation is carried out at once, and remembers how a gradient of its result becomes gradients of its arguments.
"""

from __future__ import annotations

import functools

import numpy as np
import sympy as sp

from dmft_sym.networks.activations import activation

SITE = "site"


class Value:
    """An array, the names of its axes, and where it came from: pairs of a value and what pulls gradients back to it."""

    def __init__(self, array, axes, parents=(), space=None):
        self.array, self.axes, self.parents, self.space = np.asarray(array, dtype=float), tuple(axes), parents, space
        assert self.array.ndim == len(self.axes), (self.array.shape, axes)

    def __add__(self, other):
        return pointwise(lambda a, b: a + b, [lambda a, b: 1.0, lambda a, b: 1.0], self, other)

    def __mul__(self, other):
        return pointwise(lambda a, b: a * b, [lambda a, b: b, lambda a, b: a], self, other)

    def __truediv__(self, other):
        return pointwise(lambda a, b: a / b, [lambda a, b: 1 / b, lambda a, b: -a / b**2], self, other)

    def __pow__(self, power):
        power = float(power)
        return pointwise(lambda a: a**power, [lambda a: power * a ** (power - 1)], self)

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -1.0 * value(other)

    def __rsub__(self, other):
        return value(other) + -self

    def __rtruediv__(self, other):
        return value(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def __array_ufunc__(self, function, _, *inputs, **__):
        if function is np.multiply:
            return self * inputs[0]
        return apply(getattr(sp, {"arctan": "atan", "absolute": "Abs"}.get(function.__name__, function.__name__)), self)

    def named(self, _):
        """Names are for printed equations."""
        return self

    def at(self, label):
        """The values of a copy of a label."""
        kin = next(axis for axis in self.axes if axis in label.kin)
        axes = [label.name if axis == kin else axis for axis in self.axes]
        return Value(self.array, axes, [(self, lambda g: g)], self.space)


def value(thing):
    """Numbers, of SymPy too, are values without axes."""
    return thing if isinstance(thing, Value) else Value(float(thing), ())


def aligned(array, axes, wanted):
    """The array with the axes ``wanted``, of length one where it has none."""
    order = [axes.index(axis) for axis in wanted if axis in axes]
    return array.transpose(order).reshape([array.shape[axes.index(axis)] if axis in axes else 1 for axis in wanted])


def pulled(gradient, axes, wanted):
    """A gradient, summed over the axes that its argument does not have."""
    extra = tuple(place for place, axis in enumerate(axes) if axis not in wanted)
    kept = tuple(axis for axis in axes if axis in wanted)
    return aligned(gradient.sum(axis=extra), kept, wanted)


def union(values):
    """The axes of all, sites last."""
    found = dict.fromkeys(axis for v in values for axis in v.axes)
    return (*(axis for axis in found if axis != SITE), *((SITE,) if SITE in found else ()))


def pointwise(function, slopes, *inputs):
    """A function of numbers with its partial derivatives; arguments have the axes of all."""
    values = [value(thing) for thing in inputs]
    axes = union(values)
    arrays = np.broadcast_arrays(*(aligned(v.array, v.axes, axes) for v in values))

    def pull(number):
        return lambda g: pulled(g * slopes[number](*arrays), axes, values[number].axes)

    result = np.broadcast_to(function(*arrays), arrays[0].shape)
    space = next((v.space for v in values if v.space is not None), None)
    return Value(result, axes, [(v, pull(number)) for number, v in enumerate(values)], space)


@functools.cache
def compiled(expression, symbols):
    """A function with its derivatives, those of SymPy."""
    modules = ["scipy", "numpy"]
    whole = [expression, *(sp.diff(expression, symbol) for symbol in symbols)]
    first, *slopes = (sp.lambdify(symbols, part, modules) for part in whole)
    return first, slopes


def apply(function, *arguments):
    """A function by name, as a formula, or of SymPy symbols."""
    if isinstance(function, str | sp.Expr):
        chosen = activation(function)
        symbols, expression = (chosen.symbol,), chosen.expression
    else:
        symbols = tuple(sp.Symbol(f"a{number}", real=True) for number in range(len(arguments)))
        expression = sp.sympify(function(*symbols))
    first, slopes = compiled(expression, symbols)
    return pointwise(first, slopes, *arguments)


def summed(thing, axis, factor=1.0, space=None):
    """The sum over an axis, times a number."""
    place, axes = thing.axes.index(axis), tuple(other for other in thing.axes if other != axis)

    def pull(g):
        return np.broadcast_to(np.expand_dims(g * factor, place), thing.array.shape)

    return Value(factor * thing.array.sum(axis=place), axes, [(thing, pull)], space)


def product(weights, vector, space):
    """``W h`` at all values of the labels; weights have the shape (sites of the result, sites of the vector)."""
    assert vector.axes[-1] == SITE, vector.axes
    rows, columns = weights.array.shape

    def to_weights(g):
        return g.reshape(-1, rows).T @ vector.array.reshape(-1, columns)

    parents = [(weights, to_weights), (vector, lambda g: g @ weights.array)]
    return Value(vector.array @ weights.array.T, vector.axes, parents, space)


def gradients(result, seed, wanted):
    """Reverse mode: derivatives of ``sum seed result`` by the values ``wanted``."""
    order, seen = [], set()

    def visit(node):
        if id(node) not in seen:
            seen.add(id(node))
            for parent, _ in node.parents:
                visit(parent)
            order.append(node)

    visit(result)
    found = {id(result): seed}
    for node in reversed(order):
        if id(node) in found:
            for parent, pull in node.parents:
                found[id(parent)] = found.get(id(parent), 0.0) + pull(found[id(node)])
    return [found.get(id(node), np.zeros(node.array.shape)) for node in wanted]
