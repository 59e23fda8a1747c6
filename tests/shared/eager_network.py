"""A forward pass run on arrays: what `Tracer` has, carried out at once by `eager_arrays`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import sympy as sp
from eager_arrays import SITE, Value, aligned, apply, product, summed

import dmft_sym as ds


@dataclass(frozen=True)
class EagerSpace:
    """A space and the number of its sites."""

    name: str
    size: int


@dataclass(frozen=True)
class EagerLabel:
    """A label, and the names of all its copies."""

    name: str
    size: int
    kin: set

    def __len__(self):
        return self.size

    def copy(self, name=None):
        """Another index of the same values."""
        chosen = name or f"other_{self.name}"
        self.kin.add(chosen)
        return EagerLabel(chosen, self.size, self.kin)

    def values(self, numbers, *others, name=None):
        """Known numbers."""
        return Value(numbers, [self.name, *(other.name for other in others)])


class Terms:
    """``sum coefficient * matrix``, each a pair of weights by layer and whether they are transposed."""

    __array_ufunc__ = None

    def __init__(self, terms):
        self.terms = terms

    def __mul__(self, factor):
        return Terms([(float(factor) * c, matrix, layer, turned) for c, matrix, layer, turned in self.terms])

    __rmul__ = __mul__

    def __truediv__(self, factor):
        return self * (1 / float(factor))

    def __neg__(self):
        return self * -1

    def __add__(self, other):
        return Terms(self.terms + other.terms)

    def __radd__(self, other):
        assert other == 0
        return self

    def __sub__(self, other):
        return self + -other

    @property
    def T(self):
        """The transpose."""
        return Terms([(c, matrix, layer, not turned) for c, matrix, layer, turned in self.terms])

    def __getitem__(self, layer):
        return Terms([(c, matrix, int(layer), turned) for c, matrix, _, turned in self.terms])

    def __matmul__(self, vector):
        total = 0
        for c, matrix, layer, turned in self.terms:
            total = total + c * matrix.times(layer, turned, vector)
        return total


@dataclass(frozen=True)
class EagerMatrix:
    """Weights of one name; their arrays are those of the network, by name and layer."""

    net: EagerNet
    name: str
    source: EagerSpace
    target: EagerSpace
    init: object
    rate: object

    def times(self, layer, turned, vector):
        """``n_source^-1/2 W h``, or that of the transpose."""
        weights = self.net.weights(self.name, layer, (self.target.size, self.source.size), self.init, self.rate)
        acting = weights * self.source.size**-0.5
        if turned:
            acting = Value(acting.array.T, acting.axes, [(acting, lambda g: g.T)])
        return product(acting, vector, self.source if turned else self.target)


class EagerVectors:
    """A family of trained vectors."""

    def __init__(self, matrix):
        self.matrix = matrix

    def __getitem__(self, layer):
        return self.member(int(layer))

    def member(self, layer):
        """That of a layer, the one column of a matrix."""
        return Terms([(1.0, self.matrix, layer, False)]) @ Value(np.ones(1), [SITE])


class EagerNet:
    """Handed to a forward pass as its first argument.

    Parameters
    ----------
    draw
        Standard normal numbers of a shape, by name and layer.
    width
        Number of sites of a hidden space of width 1.
    gamma
        The richness: outputs are ``w . h / (gamma sqrt(N n))``.
    """

    def __init__(self, draw, width, outputs, gamma, init_std, depth=None, values=None):
        self.draw, self.width, self.count, self.gamma, self.init_std = draw, width, outputs, gamma, init_std
        self.depth, self.values = depth, values or {}
        self.arrays, self.rates, self.leaves = {}, {}, {}

    def forward(self, function, inputs):
        """The outputs, of axes sample and output, of inputs by name."""
        self.leaves = {key: Value(array, ("row", SITE)) for key, array in self.arrays.items()}
        self.given_values = inputs
        x = inputs["x"]
        self.inputs = x.space
        with ExitStack() as stack:
            for name, other in (("mean", mean), ("softmax", softmax), ("norm", norm)):
                stack.enter_context(patch.object(ds, name, other))
            return function(self, x)

    def weights(self, name, layer, shape, init, rate):
        """An array of the network, drawn when it is asked for the first time."""
        key = (name, layer)
        if key not in self.arrays:
            std = self.init_std * self.number(init, layer)
            self.arrays[key] = std * self.draw(name, layer, self.depth, shape)
            self.rates[key] = self.number(rate, layer)
            self.leaves[key] = Value(self.arrays[key], ("row", SITE))
        return self.leaves[key]

    @staticmethod
    def number(given, layer):
        """A number that may depend on the layer."""
        if callable(given) and not isinstance(given, sp.Basic):
            given = given(sp.Integer(layer))
        if isinstance(given, sp.Basic):
            given = given.subs(dict.fromkeys(given.free_symbols, layer))
        return float(given)

    def hidden(self, name, width=1):
        """A space."""
        return EagerSpace(name, round(float(width) * self.width))

    def given(self, name):
        """A further input."""
        return self.given_values[name]

    def parameter(self, name, default=None):
        """Its value."""
        return sp.Float(self.values.get(name, default))

    def label(self, name, size):
        """A label."""
        return EagerLabel(name, size, {name})

    def matrix(self, name, source, target, *, layers=None, init=1, learning_rate=1, train=True):
        """A matrix or a family."""
        made = EagerMatrix(self, name, source, target, init, learning_rate if train else 0)
        return Terms([(1.0, made, None, False)])

    def vector(self, name, space, *, layers=None, init=1, learning_rate=1, train=True):
        """A trained vector or a family."""
        made = EagerVectors(EagerMatrix(self, name, EagerSpace("one", 1), space, init, learning_rate if train else 0))
        return made.member(None) if layers is None else made

    def readout(self, name, vector, *, init=1, learning_rate=1, train=True):
        """``w . h / (gamma_N sqrt(n))``, ``gamma_N = gamma sqrt(N)``."""
        size = vector.space.size
        weights = self.weights(name, None, (self.count, size), init, learning_rate if train else 0)
        scale = 1 / (self.gamma * np.sqrt(self.width * size))
        read = Value(weights.array, ("output", SITE), [(weights, lambda g: g)])
        outputs = summed(read * vector, SITE, scale)
        back = [(outputs, lambda g: aligned(g, ("sample", "output"), outputs.axes))]
        return Value(aligned(outputs.array, outputs.axes, ("sample", "output")), ("sample", "output"), back)

    def scan(self, body, carry, *, layers, name="h"):
        """A loop over layers."""
        several = isinstance(carry, tuple)
        carries = carry if several else (carry,)
        for layer in range(int(layers[0]), int(layers[1]) + 1):
            found = body(sp.Integer(layer), *carries)
            carries = tuple(found) if several else (found,)
        return carries if several else carries[0]

    def apply(self, function, *arguments):
        """A function of sites, or of scalars."""
        return apply(function, *arguments)

    def mean(self, _, function, *arguments):
        """An average over sites."""
        return mean(apply(function, *arguments))

    def sum(self, thing, *, over):
        """A sum over a label."""
        return summed(thing, over.name, space=thing.space)

    def family(self, name, space, *, layers, labels=()):
        """Names are for printed equations."""
        return dict.fromkeys(range(-2, 100))


def mean(thing, over=None):
    """An average over sites, or over a label."""
    axis = SITE if over is None else over.name
    size = thing.array.shape[thing.axes.index(axis)]
    return summed(thing, axis, 1 / size, None if over is None else thing.space)


def softmax(scores, over):
    """``exp(s) / sum exp(s)`` along a label."""
    weights = apply(sp.exp, scores)
    return weights / summed(weights, over.name)


def norm(vector):
    """``sqrt(<h^2>)``."""
    return mean(vector * vector) ** 0.5
