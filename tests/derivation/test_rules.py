"""The derivation rule by rule: saddle point, averaging rule, processes, layer logic."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import dmft_sym as ds
from dmft_sym.derivation.action import matrix_action
from dmft_sym.derivation.layer_logic import equal, intersection, nonnegative, same, within
from dmft_sym.derivation.pipeline import Pipeline
from dmft_sym.derivation.processes import process_of
from dmft_sym.derivation.saddle_point import saddle_point
from dmft_sym.derivation.symbols import Correlation, Response
from dmft_sym.derivation.uses import UseTable
from dmft_sym.execution import run_coordinates, run_finite
from dmft_sym.program import (
    DEPTH,
    Assign,
    Field,
    FieldRef,
    GaussianMatrix,
    LayerRange,
    Linear,
    MatrixRef,
    Observe,
    Product,
    Program,
    RandomVector,
    Space,
    VectorRef,
)

TAU, VARIANCE = sp.symbols("tau s2", positive=True)


def there_and_back():
    """``x = A h``, ``y = A^T (x + k)``, ``z = A y``: a program that is no training."""
    source, target = Space("S", sp.Integer(1)), Space("T", TAU)
    matrix = MatrixRef(GaussianMatrix("A", source, target, VARIANCE))
    start, kick = RandomVector("a", source), RandomVector("k", target)
    h, x, g, y, z = (
        FieldRef(Field(name, space))
        for name, space in (("h", source), ("x", target), ("g", target), ("y", source), ("z", target))
    )
    statements = (
        Assign(h, Linear.of(VectorRef(start))),
        Assign(x, Linear.of(Product(matrix, h))),
        Assign(g, Linear.of(x) + Linear.of(VectorRef(kick))),
        Assign(y, Linear.of(Product(matrix, g, transpose=True))),
        Assign(z, Linear.of(Product(matrix, y))),
        *(
            Observe(f"{a.field.name}{b.field.name}", ((sp.Integer(1), a, b),))
            for a, b in ((x, x), (y, h), (y, y), (z, x), (z, z), (g, z))
        ),
    )
    return Program(statements)


def test_coefficients_of_the_saddle_point():
    """``x = u + s2 R g`` with ``<u u> = s2 C_h``; ``y = r + s2 tau R h`` with ``<r r> = s2 tau C_g``."""
    (uses,) = UseTable(there_and_back()).matrices
    found = saddle_point(matrix_action(uses))
    for one in uses.forward:
        for other in uses.forward:
            assert sp.simplify(found.noise[one, other] - VARIANCE) == 0
        for other in uses.transposed:
            assert sp.simplify(found.memory[one, other] - VARIANCE) == 0
            assert sp.simplify(found.memory[other, one] - VARIANCE * TAU) == 0
    for one in uses.transposed:
        for other in uses.transposed:
            assert sp.simplify(found.noise[one, other] - VARIANCE * TAU) == 0


def test_conjugates_of_correlations_vanish_and_no_others():
    (uses,) = UseTable(there_and_back()).matrices
    equations = saddle_point(matrix_action(uses)).equations
    varied = [e for e in equations if isinstance(e.variable, (Correlation, Response))]
    assert {isinstance(e.variable, Correlation) for e in varied} == {True, False}
    for equation in varied:
        assert equation.vanishes == isinstance(equation.variable, Correlation)
        # The derivative is zero at the printed solution.
        assert sp.simplify(equation.derivative.subs(equation.solved_for, equation.solution)) == 0


def wishart(order, tau):
    """``<tr (A^T A)^k> / n_in`` for entries of variance 1/n_in, ``tau = n_out/n_in``."""
    narayana = [sp.binomial(order, r) * sp.binomial(order, r - 1) / order for r in range(1, order + 1)]
    return sum(c * tau**r for c, r in zip(narayana, range(1, order + 1), strict=True))


def averages_by_the_rule(program, values):
    """Observables of a program from its single-site equations, closed and marched with NumPy."""
    from dmft_sym.codegen import generate

    scope: dict = {}
    exec(generate(Pipeline(program).closed, (), "numpy"), scope)  # our own generated source
    return scope["march"](steps=1, outputs=1, **{s.name: v for s, v in values.items()})


def test_averaging_rule_against_moments_of_wishart_matrices():
    """``y = A^T (A h + k)`` and ``z = A y`` at one step: all second moments are free cumulant sums."""
    tau, s2 = 0.6, 1.3
    program = there_and_back()
    found = averages_by_the_rule(program, {TAU: tau, VARIANCE: s2})
    moment = [None, *(float(wishart(k, tau)) * s2**k for k in (1, 2, 3))]
    expected = {
        "xx": moment[1] / tau,
        "yh": moment[1],
        "yy": moment[2] + moment[1],  # h (A^T A)^2 h + k A A^T k
        "zx": moment[2] / tau,
        "zz": (moment[3] + moment[2]) / tau,
        "gz": (moment[2] + moment[1]) / tau,
    }
    for name, value in expected.items():
        assert found[name][0, 0] == pytest.approx(value, rel=1e-13), name
    # The other arithmetics follow the same rule.
    coordinates = run_coordinates(program, {TAU: tau, VARIANCE: s2}, 1, 1).observables
    finite = run_finite(program, {TAU: tau, VARIANCE: s2}, 1, 1, dim=3000, seed=1, normalise=True).observables
    for name, value in expected.items():
        assert coordinates[name][0, 0] == pytest.approx(value, rel=1e-12), name
        assert finite[name][0, 0] == pytest.approx(value, rel=0.05), name


def processes_of(forward, **options):
    return ds.derive(ds.network(forward), **options)


def deep(net, x):
    n = net.hidden("N")
    w = net.matrix("W", n, n, layers=(1, net.depth - 1))
    h = net.scan(lambda layer, h: w[layer] @ h, net.matrix("W0", net.inputs, n) @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


def residual(net, x):
    n = net.hidden("N")
    w = net.matrix("W", n, n, layers=(1, net.depth - 1))
    h = net.scan(lambda layer, h: h + w[layer] @ h, net.matrix("W0", net.inputs, n) @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


def tied(net, x):
    n = net.hidden("N")
    w = net.matrix("W", n, n)
    h = net.scan(lambda layer, h: w @ h, net.matrix("W0", net.inputs, n) @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


def branches(net, x):
    n = net.hidden("N")
    parts = []
    for k in "ab":
        h = (net.matrix(f"U{k}", net.inputs, n) @ x).named(f"h{k}")
        parts.append(net.readout(f"w{k}", (net.matrix(f"V{k}", n, n) @ h).named(f"k{k}")))
    return parts[0] + parts[1]


@pytest.mark.parametrize(("forward", "coupled"), [(deep, False), (residual, True), (tied, True)])
def test_layers_are_coupled_by_skips_and_by_shared_matrices(forward, coupled):
    theory = processes_of(forward)
    family = next(f for f in theory.program.fields if f.name == "h")
    process = process_of(theory.processes, family)
    assert process.coupled is coupled
    adjoint = next(f for f in theory.program.fields if f.name == "g")
    assert adjoint in process.shift  # h and g of one layer share their sites
    axes = {array.name: len(array.stored) for array in theory.closed.arrays}
    assert axes["C_h_h"] == (2 if coupled else 1)


def test_parallel_branches_are_processes_of_their_own():
    """Sites of hidden layers of two branches share no Gaussian field, though they meet in one output."""
    theory = processes_of(branches)
    fields = {f.name: f for f in theory.program.fields}
    for one, other in (("ha", "hb"), ("ka", "kb"), ("ha", "ka")):
        assert fields[other] not in process_of(theory.processes, fields[one]).shift
    assert process_of(theory.processes, fields["v"]) is process_of(theory.processes, fields["Delta"])


LOW, HIGH = sp.symbols("l m", integer=True)
RANGES = {LOW: LayerRange(1, DEPTH - 1), HIGH: LayerRange(2, DEPTH)}


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (LOW, True),
        (LOW - 1, True),
        (LOW - 2, None),
        (-LOW, False),
        (DEPTH - LOW, True),
        (LOW - DEPTH, False),
        (DEPTH - 1 - LOW, True),
        (LOW - DEPTH + 1, None),
        (HIGH - 2, True),
        (sp.Integer(0), True),
        (DEPTH - 1, True),
        (DEPTH - 2, None),
    ],
)
def test_nonnegative(value, answer):
    assert nonnegative(value, RANGES) is answer


def test_equal():
    assert equal(LOW, LOW, RANGES) is True
    assert equal(LOW, LOW + 1, RANGES) is False
    assert equal(LOW, DEPTH, RANGES) is False
    assert equal(LOW, sp.Integer(0), RANGES) is False
    assert equal(LOW, sp.Integer(1), RANGES) is None


def test_within_and_same():
    whole = LayerRange(1, DEPTH)
    assert within(LOW, whole, RANGES) == sp.true
    assert within(LOW + 1, whole, RANGES) == sp.true
    assert within(sp.Integer(0), whole, RANGES) == sp.false
    assert within(LOW - 1, whole, RANGES) == sp.Ge(LOW - 2, 0, evaluate=False)
    assert same(LOW, HIGH, RANGES) == sp.Eq(LOW, HIGH, evaluate=False)
    assert same(LOW + 1, LOW + 1, RANGES) == sp.true
    assert same(LOW, DEPTH + 1, RANGES) == sp.false


@pytest.mark.parametrize("depth", [1, 2, 3, 7])
def test_conditions_hold_where_they_say(depth):
    """Whatever is decided symbolically is right at every depth and layer."""
    layers = range(1, depth)
    for value in (LOW - 2, DEPTH - 1 - LOW, LOW - DEPTH, DEPTH - 2):
        known = nonnegative(value, RANGES)
        for layer in layers:
            number = value.subs({LOW: layer, DEPTH: depth})
            assert known is None or bool(number >= 0) is known


def test_intersection():
    assert intersection(LayerRange(1, DEPTH), LayerRange(2, DEPTH - 1)) == LayerRange(2, DEPTH - 1)
    both = intersection(LayerRange(1, DEPTH), LayerRange(1, 3))
    for depth in (1, 3, 9):
        assert both.at({DEPTH: depth}) == range(1, min(depth, 3) + 1)


def test_first_response_to_the_readout():
    """``h = W0 v`` and ``v`` holds ``-S W0^T w/(gamma nu)``: ``<d h/d w> = -1/(gamma nu)``."""
    theory = ds.derive(ds.deep_linear(1), probes=("w",))
    parameters = {"samples_per_dim": 3.0, "width_per_dim": 0.5, "richness": 2.0, "learning_rate": 0.05}
    run = theory.compile("numpy")(steps=3, **parameters)
    assert float(run.R_h.sel(layer=1)[0, 0, 0, 0]) == pytest.approx(-1 / (2.0 * 0.5), rel=1e-13)
    assert np.all(np.triu(run.R_h.sel(layer=1).values[:, 0, :, 0], 1) == 0)
