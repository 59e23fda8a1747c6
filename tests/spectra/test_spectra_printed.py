"""The printed equations of level two hold for the numbers: symbolic and numeric closing are separate code."""

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
from dmft_sym.spectra.equations.site_group import OTHER_LAYER, RETENTION
from dmft_sym.spectra.march.flat_sites import operand_of, side_of
from dmft_sym.spectra.march.overlaps import OutlierVectors, field_direction
from dmft_sym.spectra.march.two_time import TwoTimeSpectra
from dmft_sym.spectra.matrices.equal_time import EqualTime

RICH = {"samples_per_dim": 4.0, "width_per_dim": 1.0, "richness": 8.0, "learning_rate": 0.006, "label_noise": 0.2}
STEP = 30
LAYER = sp.Symbol("l", integer=True, positive=True)


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
        self.assembly = self.spectrum.assembly
        self.run = run.run
        self.z = float(self.spectrum.outliers[0])
        self.system = self.spectrum.system
        self.vectors = OutlierVectors(self.assembly, self.system, self.spectrum.bulk, self.z)
        self.green = self.vectors.green
        self.places = {(f.field.name, self.layer(f)): i for i, f in enumerate(self.assembly.fields)}
        self.drives = self.system.drive_vectors(self.vectors.right)
        self.known = {f.name: f for f in run.theory.program.fields}
        keep = self.assembly.recursion.keep
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
            return self.vectors._readout(place, field_direction(self.assembly, column, STEP))
        if point.kind == "R":
            return self.response(place, *self.noise(point.column, bound))
        return self.memory(place, self.ref(point.column, bound))

    def noise(self, column, bound: dict):
        noise, layer = column
        return noise, None if layer is None else int(sp.sympify(layer).subs({**self.run.integers, **bound}))

    def response(self, place: int, noise, layer) -> np.ndarray:
        total = np.zeros(STEP)
        for made, drives in zip(self.system.products, self.drives, strict=True):
            partners = self.assembly.table[side_of(made.noise).opposite].operands
            for equation, _, coefficients in drives:
                for number, operand in enumerate(partners):
                    block = self.run.response(operand, noise, layer)
                    if block is not None:
                        strength = self.green[place, equation] * coefficients[number :: len(partners)]
                        total += block[:STEP, :STEP].T @ strength
        return total

    def memory(self, place: int, remembered: FieldRef) -> np.ndarray:
        total = np.zeros(STEP)
        for made, drives in zip(self.system.products, self.drives, strict=True):
            partners = self.assembly.table[side_of(made.noise).opposite].operands
            for equation, _, coefficients in drives:
                if equation == place and remembered in partners:
                    total += coefficients[partners.index(remembered) :: len(partners)]
        return total

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
    for layer, other in product(range(1, depth + 1), repeat=2):
        bound = {LAYER: layer, OTHER_LAYER: other}
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
            checked += check_spike(numbers, equation, matrix, run.run.integers)
    assert checked > 50


def check_spike(numbers: Numbers, equation, matrix: str, integers: dict) -> int:
    checked = 0
    for bound in instances(numbers, equation):
        for label in labels_of(equation, integers):
            full = {**bound, **label}
            left = numbers.vector(equation.left, full)
            if left is None:
                continue
            total = sum_of_terms(numbers, equation, full)
            prefactor = numbers.scalar(equation.prefactor, full)
            size = np.abs(left).max() + np.abs(total).max()
            assert np.abs(left - prefactor * total).max() <= 1e-6 * size + 1e-12, f"{matrix}: {equation} at {full}"
            checked += 1
    return checked


def labels_of(equation, integers: dict):
    """A free summation label on the left-hand side (memories of a shared matrix)."""
    label = sp.Symbol("l_s", integer=True, positive=True)
    column = equation.left.column
    layer = column.layer if isinstance(column, FieldRef) else column[1]
    if equation.left.kind == "X" and layer is not None and label in layer.free_symbols:
        return [{label: value} for value in range(1, max(integers.values()))]
    return [{}]


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
    assembly = run.at("NTK", 2).assembly
    assert {operand_of(noise) for noise in assembly.products} <= set(assembly.fields)
