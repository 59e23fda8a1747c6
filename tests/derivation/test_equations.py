"""Derived equations as SymPy: their numbers are those of solvers, and SymPy works on them."""

from __future__ import annotations

import sys
from itertools import product

import numpy as np
import pytest
import sympy as sp
from evaluator import Evaluator
from programs_with_averages import gated

import dmft_sym as ds
from dmft_sym.derivation.site_equations import SiteWriter
from dmft_sym.derivation.symbols import Correlation, MemoryKernel, Response, ScalarAt
from dmft_sym.program import DEPTH, LAYER, OUTPUTS, SAMPLES, ProgramError

RUN = {
    "samples_per_dim": 2.0,
    "width_per_dim": 0.7,
    "richness": 2.5,
    "learning_rate": 0.05,
    "label_noise": 0.3,
    "init_std": 0.9,
}
VALUES = {
    "alpha": 2.0, "nu": 0.7, "gamma": 2.5, "eta0": 0.05, "s2": 0.81, "sigma_eps": 0.3, "b": 0.7, "m": 0.4,
    "lambda": 0.02,
}  # fmt: skip


def residual(net, x):
    n = net.hidden("N")
    b = net.parameter("b", default=0.7)
    first, blocks = net.matrix("W0", net.inputs, n), net.matrix("W", n, n, layers=(1, net.depth - 1))
    h = net.scan(lambda layer, h: h + b * (blocks[layer] @ h), first @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


def tied(net, x):
    n = net.hidden("N")
    first, inner = net.matrix("W0", net.inputs, n), net.matrix("W", n, n)
    h = net.scan(lambda _, h: h + inner @ h, first @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


def autoencoder(net, x):
    n, m = net.hidden("N"), net.hidden("M", 0.5)
    first, inner = net.matrix("W0", net.inputs, n), net.matrix("V", n, m)
    h = first @ x
    return net.readout("w", h + inner.T @ (inner @ h))


def again(net, x):
    """A matrix in a scan and once more at its first layer: a memory of each."""
    n = net.hidden("N")
    first, inner = net.matrix("W0", net.inputs, n), net.matrix("W", n, n)
    start = first @ x
    h = net.scan(lambda _, h: h + inner @ h, start, layers=(1, net.depth - 1))
    return net.readout("w", h + 0.7 * (inner @ start))


def fed(net, x):
    """The input at every layer, by one matrix: a memory of it that sums over layers."""
    n = net.hidden("N")
    first, inner = net.matrix("W0", net.inputs, n), net.matrix("W", n, n)
    h = net.scan(lambda _, h: inner @ h + 0.5 * (first @ x), first @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


CLOSED = {
    "two outputs": (lambda: ds.derive(ds.deep_linear(2)), 2, {"depth": 2}, 4),
    "regression": (lambda: ds.derive(ds.deep_linear(0)), 1, {}, 6),
    "momentum and decay": (
        lambda: ds.derive(ds.deep_linear(2), training=ds.GradientDescent(momentum=0.4, weight_decay=0.02)),
        1,
        {"depth": 2},
        5,
    ),
    "online": (lambda: ds.derive(ds.deep_linear(2), training=ds.OnlineSGD()), 1, {"depth": 3}, 4),
    "residual": (lambda: ds.derive(ds.network(residual)), 1, {"depth": 3}, 4),
    "tied": (lambda: ds.derive(ds.network(tied)), 1, {"depth": 3}, 4),
    "autoencoder": (lambda: ds.derive(ds.network(autoencoder)), 1, {}, 4),
    "again": (lambda: ds.derive(ds.network(again)), 1, {"depth": 3}, 3),
    "fed": (lambda: ds.derive(ds.network(fed)), 1, {"depth": 3}, 3),
}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_equations_are_what_the_march_computes(name):
    """Losses, and correlations of all fields, to rounding: the evaluator knows SymPy alone."""
    make, outputs, more, steps = CLOSED[name]
    theory = make()
    parameters = RUN if more or name != "regression" else {k: v for k, v in RUN.items() if k not in ("richness",)}
    parameters = {k: v for k, v in parameters.items() if name != "regression" or k not in ("width_per_dim", "init_std")}
    run = theory.compile("numpy")(outputs=outputs, steps=steps, method="equations", **parameters, **more)
    numbers = {
        s: {**VALUES, "L": more.get("depth"), "C": outputs}[s.name] for s in (*theory.program.parameters, OUTPUTS)
    }
    evaluate = Evaluator(theory.equations.closed.items, numbers)
    for loss in ("train_loss", "test_loss"):
        for t in range(steps):
            for c in range(outputs):
                assert evaluate(loss, t, c) == pytest.approx(run[loss].values.reshape(steps, outputs)[t, c], rel=1e-12)
    checked = 0
    for variable in run.data_vars:
        if variable.startswith("C_") and variable in theory.equations.closed.labels:
            checked += compare_correlation(evaluate, run, variable, steps)
    assert checked > 2


@pytest.mark.parametrize("name", CLOSED)
def test_no_two_closed_equations_are_for_the_same(name):
    items = CLOSED[name][0]().equations.closed.items
    integers = {DEPTH: 4}
    seen = set()
    for item in items:
        labels = [label for label, _ in item.where.ranges]
        for layers in product(*(layers.at(integers) for _, layers in item.where.ranges)):
            values = {**integers, **dict(zip(labels, layers, strict=True))}
            if item.where.holds(values):
                left = item.left.subs(values)
                assert left not in seen
                seen.add(left)
    assert len(seen) >= len([item for item in items if not item.where.ranges and item.where.holds(integers)])


def compare_correlation(evaluate, run, variable, steps) -> int:
    """Over layers, and over pairs of them where the layers of a process are coupled."""
    values = run[variable]
    values = values.isel({dim: 0 for dim in ("output", "output2") if dim in values.dims})
    dims = [dim for dim in ("layer", "layer2") if dim in values.dims]
    places = list(product(*(values[dim].values for dim in dims)))
    for place in places:
        block = values.sel(dict(zip(dims, place, strict=True))).values
        row, column = [int(layer) for layer in place[:1]], [int(layer) for layer in place[-1:]]
        for t in range(steps):
            for s in range(t + 1):
                found = evaluate(variable, *row, t, 0, *column, s, 0)
                assert found == pytest.approx(float(block[t, s]), rel=1e-12, abs=1e-14), (variable, place, t, s)
    return len(places)


def samples(count, outputs):
    rng = np.random.default_rng(7)
    return ds.Samples(rng.standard_normal((count, 6)), rng.standard_normal((count, outputs)))


def known_numbers(theory, depth):
    values = {"gamma": 2.0, "eta0": 0.3, "s2": 1.0, "L": depth, "C": 1, "P": len(theory.data.inputs)}
    return {s: values[s.name] for s in {*theory.program.parameters, OUTPUTS, SAMPLES}}


def given_data(theory):
    inputs, targets = theory.data.inputs, theory.data.targets
    gram = inputs @ inputs.T / inputs.shape[1]
    return {"K_x": lambda a, b: gram[a, b], "y": lambda sample, output: targets[sample, output]}


def test_linear_networks_on_given_samples_close():
    theory = ds.derive(ds.mlp(2, "linear"), data=samples(2, 1))
    run = theory.compile("numpy")(steps=4, richness=2.0, learning_rate=0.3, method="equations")
    evaluate = Evaluator(theory.equations.closed.items, known_numbers(theory, 2), given_data(theory))
    found = [[evaluate("f", t, sample, 0) for sample in range(2)] for t in range(4)]
    assert np.allclose(found, run.f.values.reshape(4, 2), rtol=1e-12, atol=1e-14)
    assert not any(e.has(sp.Function("SiteAverage")) for e in theory.equations.closed)


@pytest.mark.parametrize("network", ["tanh", "gated"])
def test_nonlinear_equations_are_what_the_sampled_solver_computes(network):
    """With the Gaussian fields of its sites: outputs, through responses and tangents, to rounding."""
    made = ds.mlp(2, "tanh") if network == "tanh" else ds.network(gated)
    theory = ds.derive(made, data=samples(2, 1))
    numbers, given = known_numbers(theory, 2), given_data(theory)
    scope: dict = {}
    exec(theory.source("numpy", method="equations"), scope)  # our own generated source
    variables: dict = {}
    arguments = {s.name: value for s, value in numbers.items() if s in theory.program.parameters and s != SAMPLES}
    run = scope["march"](
        np.random.default_rng(0),
        steps=3,
        sites=8,
        gram=theory.data.inputs @ theory.data.inputs.T / theory.data.inputs.shape[1],
        targets=theory.data.targets,
        inspect=lambda *_: variables.update(sys._getframe(1).f_locals),
        **arguments,
    )
    equations = theory.equations
    evaluate = Evaluator(
        [*equations.single_site.items, *equations.closed.items], numbers, given | drawn(theory, variables)
    )
    found = [[evaluate("f", t, sample, 0) for sample in range(2)] for t in range(3)]
    assert np.allclose(found, run["scalars"]["f"][:, :, 0], rtol=1e-12, atol=1e-14)
    assert np.abs(run["scalars"]["f"][2] - run["scalars"]["f"][0]).max() > 0.01


def drawn(theory, variables):
    """Gaussian fields of a run as functions of their labels, by the names of the equations."""
    writer, found = SiteWriter(theory.site_builder), {}
    for noise in theory.noises:
        place = writer.noise(noise, LAYER.symbol if noise.layers is not None else None)
        fields = variables[f"{noise.name}_0" if noise.initial else noise.name]

        def values(*labels, slots=place.slots, fields=fields):
            at = dict(zip(slots, labels, strict=True))
            field = fields[at["layer"]] if "layer" in at else fields
            return field.values[at.get("step", 0), at.get("sample", 0), at.get("output", 0)]

        found[place.func.__name__] = values
    return found


# Sequences of equations, and SymPy on them.


@pytest.fixture(scope="module")
def theory():
    return ds.derive(ds.deep_linear(2))


def test_sequences_of_equations(theory):
    closed = theory.equations.closed
    assert all(isinstance(equation, sp.Eq) for equation in closed)
    assert all(isinstance(equation, sp.Eq) for equation in theory.equations.single_site)
    assert len(closed) == len(closed.labels) == len(closed.items)
    assert closed["train_loss"] == closed[closed.labels.index("train_loss")]
    assert [e.lhs.args[0] for e in closed.of("C_h")] == [1, theory.symbols.l + 1]
    assert list(closed[2:4]) == [closed[2], closed[3]]
    with pytest.raises(ProgramError, match=r"^equation 'C_h': there are 2; allowed is .of\('C_h'\)$"):
        _ = closed["C_h"]
    with pytest.raises(ProgramError, match=r"^equation 'C_x': allowed are S_kappa, A_g_h, "):
        closed.of("C_x")


def test_symbols_by_name(theory):
    names = ["alpha", "nu", "gamma", "eta0", "s2", "sigma_eps", "L", "C", "t", "s", "l"]
    symbols = [getattr(theory.symbols, name) for name in names]
    assert [symbol.name for symbol in symbols] == names
    used = {s for e in (*theory.equations.closed, *theory.equations.single_site) for s in e.free_symbols}
    assert {s.name for s in used} >= {"alpha", "nu", "gamma", "eta0", "s2", "sigma_eps"}
    by_name = {s.name: s for s in used}
    assert all(by_name.get(symbol.name, symbol) == symbol for symbol in symbols)
    assert len(by_name) == len(used)  # one symbol a name
    with pytest.raises(AttributeError, match=r"^symbol 'tau': allowed are L, alpha, "):
        _ = theory.symbols.tau
    with pytest.raises(ProgramError, match=r"^symbol 'x': allowed are L, alpha, "):
        _ = theory.symbols["x"]


def test_sympy_works_on_them(theory):
    s, closed = theory.symbols, theory.equations.closed
    kernel = closed["A_Delta_v"]
    (response,), (correlation,) = (list(kernel.atoms(kind)) for kind in (Response, Correlation))
    assert kernel.subs(s.s2, 0).rhs == kernel.rhs.coeff(correlation) * correlation
    assert sp.diff(kernel.rhs, response) == -s.s2 / s.gamma
    (solution,) = sp.solve(kernel, response)
    assert sp.expand(kernel.rhs.subs(response, solution) - kernel.lhs) == 0
    assert sp.limit(kernel.rhs, s.gamma, sp.oo) == kernel.rhs.coeff(correlation) * correlation
    assert sp.series(kernel.rhs, s.s2, 0, 1).removeO() == kernel.rhs.subs(s.s2, 0)
    function = sp.lambdify([response, correlation, closed["S_kappa"].lhs, s.eta0, s.s2, s.gamma], kernel.rhs)
    assert function(2.0, 3.0, 1.0, 0.1, 4.0, 8.0) == pytest.approx(-4 / 8 * 2 - 0.1 * 3)


def test_infinite_width_and_data(theory):
    """``nu, alpha -> oo`` of all closed equations: no random part of the data, and no coupling to the first layer."""
    s = theory.symbols
    limits = {e.lhs: sp.limit(sp.limit(e.rhs, s.nu, sp.oo), s.alpha, sp.oo) for e in theory.equations.closed}
    assert not any(right.has(sp.Limit, s.nu, s.alpha) for right in limits.values())
    by_name = {left.func.__name__: right for left, right in limits.items()}
    assert by_name["A_r"] == 0
    assert not by_name["R_Delta_rbar_W0"].has(sp.KroneckerDelta)
    (kernel,) = (right for left, right in limits.items() if isinstance(left, MemoryKernel) and left.args[:1] == (1,))
    assert not kernel.has(Response)


def test_limits_of_the_bulk(theory):
    """``sp.limit`` of a Dyson equation: infinitely narrow, and without initial weights."""
    s = theory.symbols
    (m_a,) = (e for e in theory.equations.bulk("W0") if e.lhs.name == "m_a")
    assert sp.limit(m_a.rhs, s.nu, 0) == 1 / s.z
    assert sp.limit(m_a.rhs, s.s2, 0) == 1 / s.z


def test_baik_ben_arous_peche(theory):
    """``theta^2 z^2 = (s2 + theta^2)(tau s2 + theta^2)`` from the independent condition and the bulk, by SymPy."""
    s = theory.symbols
    condition = theory.spikes("W0", dependence="independent").condition(steps=1)
    a, b = sp.symbols("a b", positive=True)
    theta = sp.Symbol("theta", positive=True)
    bulk = theory.equations.bulk("W0")
    names = {e.lhs: {"m_a": a, "m_b": b}[e.lhs.name] for e in bulk}
    product = sp.solve(condition.subs(names), b)[0] * a  # m_a m_b at the outlier
    equations = [sp.numer(sp.together((e.lhs - e.rhs).subs(names))) for e in bulk] + [a * b * theta**2 - 1]
    assert sp.expand(1 / product).free_symbols == {s.eta0, s.gamma, s.nu}  # theta^2, with order parameters
    basis = sp.groebner(equations, a, b, s.z, domain=sp.QQ.frac_field(theta, s.nu, s.s2))
    (formula,) = (p for p in basis.exprs if not p.has(a, b))
    wanted = theta**2 * s.z**2 - (s.s2 + theta**2) * (s.nu * s.s2 + theta**2)
    assert sp.simplify(formula / sp.LC(formula, s.z) - wanted / theta**2) == 0


def test_equations_show_themselves(theory):
    for made in (theory.equations.closed, theory.equations.single_site, theory.bulk("W1"), theory.spikes("NTK")):
        assert made._repr_latex_().count("{") == made._repr_latex_().count("}")
        assert made._repr_markdown_().startswith(f"### {made.name}")
        assert str(made).startswith(f"{made.name}\n---")
        assert "None" not in str(made) and "nan" not in str(made).lower()
        assert repr(made).startswith(f"<{len(made)} equations: {made.name}>\n")


@pytest.mark.parametrize("steps", [0, 1.5])
def test_conditions_of_no_step_are_refused(theory, steps):
    with pytest.raises(ProgramError, match=rf"^steps = {steps}: allowed is an integer >= 1$"):
        theory.spikes("W1").condition(steps)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda e: e.bulk("W0"),
            "matrix = 'W0': allowed are matrices between hidden layers; this one has given inputs on",
        ),
        (
            lambda e: e.spikes("NTK"),
            "matrix = 'NTK': allowed are matrices between hidden layers; this one is over samples",
        ),
        (lambda e: e.spikes("W1").condition(), "condition of W1: allowed where outputs are the only labels"),
    ],
)
def test_what_given_samples_do_not_have(call, message):
    equations = ds.derive(ds.mlp(2, "tanh"), data=samples(2, 1)).equations
    with pytest.raises(ProgramError, match=f"^{message}"):
        call(equations)


def test_spikes_on_given_samples_have_the_labels_of_samples():
    """Sums over errors of samples, and a bulk that is that of the initial matrix."""
    equations = ds.derive(ds.mlp(2, "tanh"), data=samples(2, 1)).equations
    memory = equations.spikes("W[l]")["A_a_phi"].rhs
    assert {part.name for part in memory.atoms(ScalarAt)} == {"Delta"}
    assert [e.lhs.name for e in equations.bulk("W1")] == ["m_b", "m_a"]
