"""Level-two programs against small networks: what the statements compute is the matrix that is meant."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import dmft_sym as ds
from dmft_sym.networks.parameters import ALPHA, ETA, GAMMA, INIT_VARIANCE, LABEL_NOISE, NU
from dmft_sym.program import (
    DEPTH,
    Assign,
    FieldRef,
    Learn,
    MatrixRef,
    Product,
    Program,
    ProgramError,
    VectorRef,
    flat_statements,
)
from dmft_sym.spectra import EqualTime, FlatMatrix, matrix_names, matrix_program, operator

VALUES = {ALPHA: 2.0, NU: 0.75, GAMMA: 1.3, ETA: 0.2, LABEL_NOISE: 0.4, INIT_VARIANCE: 1.0, DEPTH: 3}
DIM = 12
OUTPUTS = 2


def two_paths(net, x):
    """Two spaces, a skip and two readouts."""
    n, k = net.hidden("N"), net.hidden("K", width=2)
    h = (net.matrix("A", net.inputs, n) @ x).named("h")
    f = (net.matrix("B", n, k) @ h + net.matrix("E", net.inputs, k) @ x).named("f")
    return net.readout("w", h) + net.readout("u", f)


def tied(net, x):
    n = net.hidden("N")
    first, inner = net.matrix("W0", net.inputs, n), net.matrix("W", n, n)
    h = net.scan(lambda layer, h: h + inner @ h / sp.sqrt(net.depth), first @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


NETWORKS = {
    "deep linear": ds.deep_linear(3),
    "two paths": ds.network(two_paths),
    "weight tied": ds.network(tied, depth=3),
}


class Instance:
    """A network of a few sites: the statements of a program carried out on arrays (sites, outputs)."""

    def __init__(self, program: Program, seed: int = 0) -> None:
        self.program = program
        self.rng = np.random.default_rng(seed)
        self.weights: dict[object, np.ndarray] = {}
        self.fields: dict[FieldRef, np.ndarray] = {}

    def size(self, space) -> int:
        return round(self.number(space.ratio) * DIM)

    @staticmethod
    def number(value) -> float:
        return float(sp.sympify(value).subs(VALUES))

    def array(self, ref: MatrixRef | VectorRef) -> np.ndarray:
        if ref not in self.weights:
            if isinstance(ref, VectorRef):
                self.weights[ref] = self.rng.normal(size=(self.size(ref.space), OUTPUTS))
            else:
                shape = self.size(ref.matrix.target), self.size(ref.matrix.source)
                self.weights[ref] = self.rng.normal(size=shape) / np.sqrt(shape[1])
        return self.weights[ref]

    def value(self, coefficient, vector: np.ndarray) -> np.ndarray:
        """A coefficient on a vector: correlations are matrices over outputs."""
        coefficient = sp.sympify(coefficient)
        times = sorted(coefficient.atoms(EqualTime), key=str)
        total = self.number(coefficient.subs(dict.fromkeys(times, 0))) * vector
        for time in times:
            a, b = (self.fields[ref] for ref in time.fields(self.program))
            total = total + self.number(coefficient.coeff(time)) * vector @ (a.T @ b / len(a)).T
        return total

    def assign(self, statement: Assign, fields: dict[FieldRef, np.ndarray]) -> None:
        total = np.zeros((self.size(statement.target.space), OUTPUTS))
        for coefficient, atom in statement.value.terms:
            if isinstance(atom, Product):
                matrix = self.array(atom.matrix)
                vector = (matrix.T if atom.transpose else matrix) @ fields[atom.operand]
            else:
                vector = self.array(atom) if isinstance(atom, VectorRef) else fields[atom]
            total = total + self.value(coefficient, vector)
        fields[statement.target] = total

    def step(self, error: FieldRef, instead: np.ndarray | None = None) -> None:
        """Carry out the statements, with ``instead`` in place of the error after its statement."""
        for statement in flat_statements(self.program, VALUES):
            if isinstance(statement, Assign):
                self.assign(statement, self.fields)
                if statement.target == error and instead is not None:
                    self.fields[error] = instead

    def learn(self, rate: float) -> None:
        for statement in flat_statements(self.program, VALUES):
            if isinstance(statement, Learn):
                for term in statement.terms:
                    left = self.fields[term.left] * self.number(term.coefficient) * rate
                    right = None if term.right is None else self.fields[term.right]
                    change = left if right is None else left @ right.T / len(right)
                    self.weights[statement.target] = self.array(statement.target) + change


@pytest.mark.parametrize("name", NETWORKS)
def test_tangent_kernel_is_the_derivative_of_the_error_along_the_update(name):
    program = ds.derive(NETWORKS[name]).program
    flat = matrix_program(program, "NTK").flat(VALUES)
    error = FieldRef(next(f for f in program.fields if f.name == "r"))
    network = Instance(program)
    probe = network.rng.normal(size=(network.size(error.space), OUTPUTS))
    network.step(error)
    fields = {flat.input: probe}
    for statement in flat.statements:
        network.assign(statement, fields)
    initial = {key: array.copy() for key, array in network.weights.items()}
    errors = []
    for rate in (1e-5, -1e-5):
        network.weights = {key: array.copy() for key, array in initial.items()}
        network.step(error, probe)
        network.learn(rate)
        network.step(error)
        errors.append(network.fields[error])
    change = (errors[0] - errors[1]) / 2e-5
    # central difference: relative error of order (1e-5)^2 and rounding of order 1e-16 / 1e-5
    np.testing.assert_allclose(fields[flat.output], -change / VALUES[ETA], rtol=1e-7, atol=1e-8)


def matrix_of(flat: FlatMatrix, network: Instance, transposed: bool = False) -> np.ndarray:
    statements, start, end = (
        (flat.transposed, flat.transposed_input, flat.transposed_output)
        if transposed
        else (flat.statements, flat.input, flat.output)
    )
    columns = []
    for unit in np.eye(network.size(start.space)):
        fields = {start: np.tile(unit[:, None], (1, OUTPUTS))}
        for statement in statements:
            network.assign(statement, fields)
        columns.append(fields[end][:, 0])
    return np.array(columns).T


def test_a_written_product_and_its_transpose():
    program = ds.derive(ds.deep_linear(3)).program
    made = operator(program, lambda m, x: 0.5 * (m["W2"] @ (m["W1"] @ x)) - m["W2"].T @ x, "N")
    network = Instance(program)
    forward = matrix_of(made.flat(VALUES), network)
    family = next(matrix for matrix in program.matrices if matrix.name == "W")
    first, second = (network.array(MatrixRef(family, sp.Integer(number))) for number in (1, 2))
    np.testing.assert_allclose(forward, 0.5 * second @ first - second.T, atol=1e-14)
    np.testing.assert_allclose(matrix_of(made.flat(VALUES), network, transposed=True), forward.T, atol=1e-14)


def test_tangent_kernel_is_symmetric():
    program = ds.derive(ds.network(two_paths)).program
    flat = matrix_program(program, "NTK").flat(VALUES)
    network = Instance(program)
    network.step(FieldRef(next(f for f in program.fields if f.name == "r")))
    units = network.rng.normal(size=(2, network.size(flat.input.space), OUTPUTS))
    images = []
    for unit in units:
        fields = {flat.input: unit}
        for statement in flat.statements:
            network.assign(statement, fields)
        images.append(fields[flat.output])
    np.testing.assert_allclose(np.sum(units[0] * images[1]), np.sum(units[1] * images[0]), rtol=1e-12)


def test_matrices_by_name():
    program = ds.derive(ds.deep_linear(3)).program
    assert matrix_program(program, "W0").flat(VALUES).statements[0].value.terms[0][1].matrix.matrix.name == "W0"
    for name in ("W2", "W[2]"):
        (statement,) = matrix_program(program, name).flat(VALUES).statements
        assert str(statement.value) == "W[2] a[2]"
    assert "NTK" in matrix_names(program)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("W9", "matrix = 'W9': allowed at this depth are W1 to W2, matrices by their own names, and NTK"),
        ("V", "matrix = 'V': allowed are W<l> (W1, l = 1..L - 1), W0, X, NTK"),
        ("W[l]", "matrix = 'W[l]': allowed is one member, such as W1"),
    ],
)
def test_matrices_that_do_not_exist_are_named(name, message):
    program = ds.derive(ds.deep_linear(3)).program
    with pytest.raises(ProgramError) as error:
        matrix_program(program, name).flat(VALUES)
    assert str(error.value) == message
