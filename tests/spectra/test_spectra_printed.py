"""The printed equations of level two hold for the numbers that they were lowered to, and for every level-two field."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import sympy as sp

import dmft_sym as ds
from dmft_sym.program import FieldRef
from dmft_sym.solvers.spectrum_routes import two_time_spectra
from dmft_sym.spectra.equations.bulk_equations import BulkResponse
from dmft_sym.spectra.equations.joint import EIGEN, SINGULAR
from dmft_sym.spectra.equations.site_group import RETENTION, level_two, operand
from dmft_sym.spectra.march.overlaps import Direction, OutlierVectors
from dmft_sym.spectra.march.two_time import TwoTimeSpectra
from dmft_sym.spectra.matrices.equal_time import EqualTime

RICH = {"samples_per_dim": 4.0, "width_per_dim": 1.0, "richness": 8.0, "learning_rate": 0.006, "label_noise": 0.2}
STEP = 30


def tied(net, x):
    n = net.hidden("N")
    first, inner = net.matrix("W0", net.inputs, n), net.matrix("W", n, n)
    h = net.scan(lambda _, h: h + inner @ h / sp.sqrt(net.depth), first @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


CASES = {
    "deep linear": (lambda: ds.derive(ds.deep_linear(3)), ("W0", "W1", "NTK"), {}),
    "decay": (
        lambda: ds.derive(ds.deep_linear(2), training=ds.GradientDescent(weight_decay=0.01)),
        ("W1", "NTK"),
        {"weight_decay": 0.01},
    ),
    "weight tied": (lambda: ds.derive(ds.network(tied, depth=3)), ("W", "NTK"), {}),
}


class Numbers:
    """Values of everything that the printed equations contain, at an outlier of a matrix."""

    def __init__(self, run: TwoTimeSpectra, matrix: str) -> None:
        self.spectrum = run.at(matrix, STEP)
        self.made = self.spectrum.matrix
        self.averages = run.averages
        self.run = run.run
        self.z = float(self.spectrum.outliers[0])
        self.spikes = self.made.at(STEP)
        self.vectors = OutlierVectors(self.spikes, self.spectrum.bulk, self.z)
        self.green = self.vectors.green
        self.places = {name: i for i, name in enumerate(self.made.level_two.names())}
        self.memories = {(place.function, place.layers): place for place in self.made.lowered.memories}
        keep = self.averages.recursion.keep
        self.symbols = {RETENTION: keep**STEP, EIGEN: self.z, SINGULAR: self.z, **self.run.integers}
        self.kernel = keep ** np.arange(STEP - 1, -1, -1)

    @staticmethod
    def layer(ref) -> int | None:
        return None if ref.layer is None else int(ref.layer)

    def scalar(self, expression: sp.Expr, bound: dict) -> float | None:
        """A coefficient; ``None`` if it refers to a field that does not exist."""
        value = sp.sympify(expression).subs({**self.run.integers, **bound}).doit().subs(self.symbols)
        try:
            responses = {g: float(self.green[self.pair(g)]) for g in value.atoms(BulkResponse)}
        except KeyError:
            return None
        times = {e: self.run.equal_time(e, STEP) for e in value.atoms(EqualTime)}
        return self.run.evaluate(value.subs({**responses, **times}), expression)

    def pair(self, response: BulkResponse) -> tuple[int, int]:
        return tuple(self.places[name, None if layer is None else int(layer)] for name, layer in response.ends)

    def ref(self, ref: FieldRef, bound: dict) -> FieldRef:
        if ref.layer is None:
            return ref
        return FieldRef(ref.field, ref.layer.subs({**self.run.integers, **bound}))

    def vector(self, point, bound: dict) -> np.ndarray | None:
        """An overlap, response or memory of a level-two field, shape (STEP,)."""
        row = self.ref(point.row, bound)
        if (row.field.name, self.layer(row)) not in self.places:
            return None
        place = self.places[row.field.name, self.layer(row)]
        if point.kind == "C":
            column = self.ref(point.column, bound)
            if self.run.correlation(column, column) is None:
                return np.zeros(STEP)
            return self.vectors.readout(place, Direction(self.made, self.averages, column, STEP))
        if point.kind == "R":
            return self.response(place, *self.noise(point.column, bound))
        return self.memory(point, row, self.ref(point.column, bound))

    def noise(self, column, bound: dict):
        noise, layer = column
        return noise, None if layer is None else int(sp.sympify(layer).subs({**self.run.integers, **bound}))

    def response(self, place: int, noise, layer) -> np.ndarray:
        total = np.zeros(STEP)
        for equation, term in self.made.projected((noise, None if layer is None else sp.Integer(layer))):
            known = self.spikes.known_to(term)[:STEP]
            total += self.green[place, equation] * known @ self.spikes.driven(term, self.vectors.right)
        return total

    def memory(self, point, row: FieldRef, remembered: FieldRef) -> np.ndarray:
        function = self.made.spikes.writer.point(point).func
        layers = tuple(int(ref.layer) for ref in (row, remembered) if ref.layer is not None)
        numbers, columns, weights = self.spikes.strength(self.memories[function, layers])
        return np.bincount(numbers, weights * self.vectors.right[columns], minlength=STEP)

    def matrix(self, point, bound: dict) -> np.ndarray | None:
        """A two-time matrix of training, shape (STEP, STEP)."""
        row = self.ref(point.row, bound)
        if point.kind == "C":
            found = self.run.correlation(row, self.ref(point.column, bound))
        else:
            found = self.run.response(row, *self.noise(point.column, bound))
        return None if found is None else found[:STEP, :STEP]


def instances(numbers: Numbers, equation):
    """Values of the labels in the ranges that an equation states."""
    depth = max(numbers.run.integers.values())
    labels = [label for label, _ in equation.domain.ranges]
    for layers in product(range(1, depth + 1), repeat=len(labels)):
        bound = dict(zip(labels, layers, strict=True))
        if equation.domain.holds({**bound, **numbers.run.integers}):
            yield bound


@pytest.mark.parametrize("name", CASES)
def test_printed_equations_hold(name):
    make, matrices, more = CASES[name]
    theory = make()
    run = two_time_spectra(theory, steps=STEP + 1, backend="numpy", **RICH, **more)
    checked = 0
    for matrix in matrices:
        if not len(run.at(matrix, STEP).outliers):
            continue
        numbers = Numbers(run, matrix)
        for equation in theory.bulk(matrix).equations:
            for bound in instances(numbers, equation):
                gap = numbers.scalar(equation.left - equation.right, bound)
                if gap is not None:
                    assert abs(gap) < 1e-9, f"{matrix}: {equation.left} at {bound}"
                    checked += 1
        spikes = theory.spikes(matrix)
        for equation in (*spikes.memories, *spikes.equations):
            checked += check_spike(numbers, equation, matrix)
    assert checked > 50


def check_spike(numbers: Numbers, equation, matrix: str) -> int:
    checked = 0
    for bound in instances(numbers, equation):
        left = numbers.vector(equation.left, bound)
        if left is None:
            continue
        total = sum_of_terms(numbers, equation, bound)
        prefactor = numbers.scalar(equation.prefactor, bound)
        size = np.abs(left).max() + np.abs(total).max()
        assert np.abs(left - prefactor * total).max() <= 1e-6 * size + 1e-12, f"{matrix}: {equation} at {bound}"
        checked += 1
    return checked


def sum_of_terms(numbers: Numbers, equation, bound: dict) -> np.ndarray:
    total = np.zeros(STEP)
    for term in equation.terms:
        values = [{}] if term.index is None else [{term.index: n} for n in term.layers.at(numbers.run.integers)]
        for value in values:
            full = {**bound, **value}
            vector = numbers.vector(term.unknown, full)
            weight = numbers.scalar(term.coefficient, full)
            if vector is None or weight is None:
                continue
            if term.past:
                vector = numbers.kernel * vector
            if term.known is not None:
                known = numbers.matrix(term.known, full)
                if known is None:
                    continue
                vector = (known.T if term.transposed else known) @ vector
            total += weight * vector
    return total


def test_operands_of_products_are_fields():
    run = two_time_spectra(ds.derive(ds.deep_linear(2)), steps=3, backend="numpy", **RICH)
    made = run.at("NTK", 2).matrix
    terms = [term for equation in made.joint.site_equations for term in equation.noises if level_two(term.noise)]
    layers = [[None] if t.layer is None else t.noise.layers.at(run.run.integers) for t in terms]
    operands = {
        operand(t.noise, None if n is None else sp.Integer(n)) for t, at in zip(terms, layers, strict=True) for n in at
    }
    assert operands and operands <= set(made.level_two.fields)
