"""Growing coordinates by compiled code against the interpreted plan: the same numbers, ranks and ends of runs."""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sympy as sp
from averages import correlation, field, products_of, response
from dmft_sym.codegen.programs.coordinates import write
from execution_support import program, values
from hypothesis import HealthCheck, Phase, given, seed, settings
from samples_and_scores import made_samples
from spectrum_tracks import coordinate_spectra
from strategies import SCANNED, SHARED, TRANSPOSED, trainings

import dmft_sym as ds
from dmft_sym.execution import run_coordinates
from dmft_sym.execution.compiled import CompiledCoordinates
from dmft_sym.execution.coordinates import GrowingCoordinates
from dmft_sym.networks.parameters import MOMENTUM
from dmft_sym.networks.training import TrainingRule
from dmft_sym.program import (
    OUTPUT,
    Assign,
    Average,
    Compute,
    Field,
    FieldRef,
    GaussianMatrix,
    Label,
    Learn,
    Linear,
    MatrixRef,
    Optimizer,
    Outer,
    Product,
    Program,
    RandomVector,
    Scalar,
    ScalarRef,
    SiteFunction,
    SiteMap,
    Space,
    VectorRef,
)
from dmft_sym.program.site_functions import numpy_function
from dmft_sym.solvers import coordinates as solver_module
from dmft_sym.solvers import generated_modules
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.solvers.generated_modules import COMPILED, LOADED, coordinates_module
from dmft_sym.support.outcomes import DIVERGENCE, Failure

EXAMPLES = Path(__file__).parents[2] / "examples"
PHYSICS = {"samples_per_dim": 2.0, "width_per_dim": 0.7, "label_noise": 0.3, "richness": 2.0, "learning_rate": 0.03}
REPRODUCIBLE = {"derandomize": True, "deadline": None, "database": None, "phases": [Phase.generate]}
STEPS = 100  # more than the increments that are kept as factors


@dataclass(frozen=True)
class Nesterov(TrainingRule):
    def optimizer(self) -> Optimizer:
        return Optimizer(MOMENTUM, from_memory=MOMENTUM, from_increment=sp.Integer(1))


@functools.cache
def module():
    return coordinates_module(COMPILED)


def both(made, symbols, outputs, steps, **options):
    """The compiled run and the interpreted one."""
    return [run_coordinates(made, symbols, outputs, steps, module=code, **options) for code in (module(), None)]


def largest_difference(found, expected):
    """In units of the largest entry."""
    return np.abs(found - expected).max(initial=0) / np.abs(expected).max(initial=1e-300)


def check(made, symbols, outputs, steps, **options):
    """Numbers to 1e-12, the same ranks at every step and the same end; the interpreted run."""
    found, expected = both(made, symbols, outputs, steps, **options)
    assert str(found.outcome) == str(expected.outcome)
    for name, rows in expected.observables.items():
        assert found.observables[name].shape == rows.shape
        assert largest_difference(found.observables[name], rows) < 1e-12, name
    for ref, rows in expected.scalars.items():
        assert found.scalars[ref].shape == rows.shape
        assert largest_difference(found.scalars[ref], rows) < 1e-12, ref
    for name, ranks in expected.ranks.items():
        np.testing.assert_array_equal(found.ranks[name], ranks, err_msg=name)
    return expected


def check_theory(theory, parameters, steps=STEPS, **options):
    arguments = run_arguments(theory, steps, parameters)
    given = theory.data.given or None
    return check(theory.program, arguments.values, arguments.outputs, steps, data=given, **options)


RULES = {
    "plain": ds.GradientDescent(),
    "momentum": ds.GradientDescent(momentum=0.5),
    "decay": ds.GradientDescent(weight_decay=0.02),
    "both": ds.GradientDescent(momentum=0.5, weight_decay=0.01),
    "nesterov": Nesterov(momentum=0.6),
    "online": ds.OnlineSGD(),
    "online, both": ds.OnlineSGD(momentum=0.5, weight_decay=0.01),
}


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("rule", RULES)
def test_optimizers(rule, outputs):
    theory = ds.derive(ds.deep_linear(2), training=RULES[rule])
    check_theory(theory, {**PHYSICS, "outputs": outputs}, STEPS if outputs == 1 else 40)


@pytest.mark.parametrize("depth", [0, 1, 5])
def test_depths(depth):
    network = ds.deep_linear(depth)
    parameters = (
        PHYSICS if depth else {key: PHYSICS[key] for key in ("samples_per_dim", "label_noise", "learning_rate")}
    )
    check_theory(ds.derive(network), {**parameters, "learning_rate": 0.02})


def autoencoder(net, x):
    wide, narrow = net.hidden("N"), net.hidden("M", sp.Rational(1, 2))
    weights = net.matrix("W", wide, narrow)
    h = (net.matrix("W0", net.inputs, wide) @ x).named("h")
    return net.readout("w", weights.T @ (weights @ h))


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found.forward


@pytest.mark.parametrize("name", ["residual", "weight_tied"])
@pytest.mark.parametrize("rule", ["plain", "both"])
def test_networks_of_the_examples(name, rule, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    theory = ds.derive(ds.network(example(name)), training=RULES[rule])
    check_theory(theory, {**PHYSICS, "depth": 3})


@pytest.mark.parametrize("forward", [autoencoder, SHARED, SCANNED, TRANSPOSED], ids=["auto", "shared", "scan", "back"])
def test_made_up_networks(forward):
    """A matrix and its transpose, one at several places, families in scans, parts that are not trained."""
    theory = ds.derive(ds.network(forward, name="made up"), training=ds.GradientDescent(momentum=0.3))
    depth = {} if forward in (autoencoder, SHARED) else {"depth": 3}
    check_theory(theory, {**PHYSICS, **depth, "learning_rate": 0.004}, 80)


def test_networks_that_nobody_wrote():
    """At a tenth of the learning rates drawn, so that rounding does not grow."""

    @seed(0)
    @settings(max_examples=12, suppress_health_check=list(HealthCheck), **REPRODUCIBLE)
    @given(trainings())
    def drawn(training):
        _recipe, theory, parameters = training
        check_theory(theory, {**parameters, "learning_rate": parameters["learning_rate"] / 10}, 50)

    drawn()


@pytest.mark.parametrize("size", [{"nu": np.inf}, {"alpha": np.inf}, {"nu": np.inf, "alpha": np.inf}])
def test_infinite_ratios(size):
    check(program(), values(**size, eta=0.02), 2, 60, tol=1e-6)


@pytest.mark.parametrize(
    ("loss", "outputs", "count"), [("squared", 1, 3), ("squared", 2, 12), ("logistic", 1, 6), ("softmax", 3, 5)]
)
@pytest.mark.parametrize("rule", ["plain", "both"])
def test_given_samples(loss, outputs, count, rule):
    """Few labels, and so many that products go through BLAS; samples for testing among them."""
    rng = np.random.default_rng(0)
    tests = np.arange(2) if loss == "softmax" else np.sign(rng.standard_normal((2, outputs)))
    data = made_samples(1, count, outputs, loss, test_inputs=rng.standard_normal((2, 12)), test_targets=tests)
    theory = ds.derive(ds.mlp(3, "linear", outputs=outputs), data=data, training=RULES[rule])
    check_theory(theory, {"richness": 1.0, "learning_rate": 0.1}, tol=1e-6)


TOKEN = Label.of("token", "k", "k'", "K")
INPUTS, HIDDEN = Space("D", sp.Integer(1), finite=True), Space("N", sp.Integer(1))
GIVEN = ScalarRef(Scalar("a", (TOKEN,), data=True))
A = sp.Symbol("a", real=True)
FUNCTIONS = [
    "a**2 - 3*a/7 + 1", "1/(a + 5)", "a**5/3", "sqrt(a**2 + 1)", "1/sqrt(a**2 + 1)", "Abs(a)", "atan(a)", "cos(a)",
    "sin(a)", "cosh(a)", "sinh(a)", "tanh(a)", "erf(a)", "exp(a)", "exp(-a**2) - 1", "log(2 + a**2)", "log(1 + a**2)",
    "sign(a)", "Max(a, 1/2)", "Min(a, -1/2, a**2)", "Heaviside(a)", "Piecewise((a, a > 0), (a**2, a <= -1), (3, True))",
    "Piecewise((1, (a > -1) & (a < 1)), (2, Ne(a, 1)), (3, True))", "Piecewise((1, (a >= 2) | Eq(a, 0)), (a, True))",
    "log(1 + exp(100*a))", "7",
]  # fmt: skip


def gated():
    """Two tokens of every input with gates that depend on scalars: sums over labels, lists of rows, all functions."""
    first = MatrixRef(GaussianMatrix("U", INPUTS, HIDDEN))
    readout = VectorRef(RandomVector("w", HIDDEN))
    x = FieldRef(Field("x", INPUTS, axes=(TOKEN,), data=True))
    h, q, g = (FieldRef(Field(name, HIDDEN, axes=axes)) for name, axes in
               (("h", (TOKEN,)), ("q", (TOKEN,)), ("g", (TOKEN, OUTPUT))))  # fmt: skip
    f, error = (ScalarRef(Scalar(name, (TOKEN, OUTPUT))) for name in ("f", "e"))
    size = ScalarRef(Scalar("s", (TOKEN,)))
    b, hs, ws, fs = sp.symbols("b h w f", real=True)
    gate = tuple(
        Compute(ScalarRef(Scalar(f"b{number}", (TOKEN,))), sp.sympify(text, locals={"a": A}), ((A, GIVEN),))
        for number, text in enumerate(FUNCTIONS)
    )
    first_gate = ((b, gate[0].target),)
    return Program(
        (
            *gate,
            Assign(h, Linear.of(Product(first, x))),
            SiteMap(q, SiteFunction(hs * sp.tanh(b), ((hs, h), *first_gate))),
            Average(size, ((sp.Rational(1, 2), SiteFunction(hs**2 * b + 2 + b, ((hs, h), *first_gate))),)),
            Average(f, ((sp.Rational(1, 3), SiteFunction(hs * ws, ((hs, q), (ws, readout)))),)),
            Compute(error, A - fs, ((A, GIVEN), (fs, f))),
            SiteMap(g, SiteFunction(ws / (1 + b**2), ((ws, readout), *first_gate))),
            Learn(readout, (Outer(sp.Rational(1, 20), q, weight=error),)),
            Learn(first, (Outer(sp.Rational(1, 20), g, x, weight=error),)),
        ),
        name="gated",
    )


@pytest.fixture(scope="module")
def gates():
    points = np.array([-2.3, -1.0, -0.4, 0.0, 0.7, 1.0, 2.0])
    inputs = np.random.default_rng(3).standard_normal((len(points), 9))
    return points, check(gated(), {}, 2, 60, data={"x": inputs, "a": points})


def test_functions_of_scalars(gates):
    points, run = gates
    for number, text in enumerate(FUNCTIONS):
        expected = numpy_function([sp.sympify(text, locals={"a": A})], [A])(points)[0]
        found = next(rows for ref, rows in run.scalars.items() if ref.scalar.name == f"b{number}")
        np.testing.assert_allclose(found[-1], expected, rtol=1e-14, err_msg=text)


def test_fields_that_depend_on_scalars_train(gates):
    f = next(rows for ref, rows in gates[1].scalars.items() if ref.scalar.name == "f")
    assert f.shape == (60, 7, 2)
    assert np.abs(f[-1]).max() > 1e-3


def test_correlations_and_responses():
    """Of all recorded steps; the network is up to date at each of them, inside of a block of increments too."""
    theory = ds.derive(ds.deep_linear(2), training=ds.GradientDescent(momentum=0.4, weight_decay=0.03))
    arguments = run_arguments(theory, 60, PHYSICS)
    steps = [0, 7, 40, 59]
    found, expected = both(theory.program, arguments.values, 1, 60, record_steps=steps)
    assert found.recorded == steps
    for a in expected.fields:
        for b in expected.fields:
            if a.space == b.space:
                one, other = correlation(found, a, b), correlation(expected, a, b)
                assert np.abs(one - other).max() < 1e-12 * max(1, np.abs(other).max())
    few = both(theory.program, arguments.values, 1, 6, tol=1e-13, record_steps=range(6))
    one, other = (response(run, field(run, "h", 2), field(run, "g", 2), ("W", 1)) for run in few)
    assert largest_difference(one, other) < 1e-12


def test_the_network_in_the_end():
    """What reads a network after a run finds the state of the interpreted one, and may go on with it."""
    theory = ds.derive(ds.deep_linear(2), training=ds.GradientDescent(momentum=0.4, weight_decay=0.03))
    symbols = run_arguments(theory, 75, PHYSICS).values
    found, expected = (run.arithmetic for run in both(theory.program, symbols, 1, 75, tol=1e-5))
    assert isinstance(found, GrowingCoordinates)
    assert (found.used, found.capacities) == (expected.used, expected.capacities)
    for one, other in zip(found.matrices, expected.matrices, strict=True):
        assert one.count == other.count
        assert one.retention == pytest.approx(other.retention, rel=1e-14)
        assert one.forward.noise == other.forward.noise
        assert one.backward.noise == other.backward.noise
        np.testing.assert_allclose(one.current(30, 30), other.current(30, 30), atol=1e-9)
    for product in products_of(expected.plan):
        results = []
        for network in (found, expected):
            target = next(s.target for s in network.plan.steps if product in getattr(s, "products", ()))
            network.values[target].fill(0)
            network.multiply(product, target)
            results.append(network.inner(target, target))
        np.testing.assert_allclose(*results, rtol=1e-12)


def test_bases_that_saturate():
    run = check(program(), values(eta=0.02), 1, 2000, tol=1e-6)
    for ranks in run.ranks.values():
        assert ranks[-1] == ranks[-200] > 32


@pytest.mark.parametrize(("depth", "eta"), [(0, 3.0), (0, 1e200), (2, 0.4), (2, 3.0), (2, 1e200)])
def test_divergence_at_the_same_step(depth, eta):
    run = check(program(ds.deep_linear(depth)), values(eta=eta), 1, 200)
    assert run.outcome.failure is Failure.DIVERGED


@pytest.mark.parametrize("init_std", [1e40, 1.0])
def test_divergence_on_given_samples(init_std):
    """Before the first step by large fields, and at a later one."""
    theory = ds.derive(ds.mlp(3, "linear"), data=made_samples(1, 4))
    rate = 0.1 if init_std > 1 else 1e3
    run = check_theory(theory, {"richness": 1.0, "learning_rate": rate, "init_std": init_std}, 60)
    assert run.outcome.failure is Failure.DIVERGED
    assert (run.outcome.step == 0) == (init_std > 1)


def test_what_was_seen_before_a_divergence_is_kept():
    found, expected = [], []
    for seen, code in ((found, module()), (expected, None)):
        steps = {
            "inspect": lambda step, network, seen=seen: seen.append((step, network.ranks())),
            "at": range(0, 200, 2),
        }
        run = run_coordinates(program(), values(eta=0.3), 1, 200, module=code, record_steps=[0, 1, 150], **steps)
        assert run.outcome.failure is Failure.DIVERGED
        assert run.recorded == [0, 1]
    assert found == expected
    assert 1 < len(found) < 100


def test_interrupted():
    """Ctrl-C, and whatever else a report of progress raises, ends a run; what was seen before it is kept."""
    seen, last = [], 0

    def report(done):
        nonlocal last
        assert done > last
        last = done
        if done > 5000:
            raise KeyboardInterrupt

    options = {"inspect": lambda step, network: seen.append(network.ranks()), "at": [0, 40, 90_000]}
    with pytest.raises(KeyboardInterrupt):
        run_coordinates(program(), values(eta=0.02), 1, 100_000, 1e-6, progress=report, module=module(), **options)
    assert 5000 < last < 90_000
    short = run_coordinates(program(), values(eta=0.02), 1, 41, 1e-6)
    assert seen == [[ranks[step] for ranks in short.ranks.values()] for step in (0, 40)]


def test_progress_ends_with_the_run():
    seen = []
    run_coordinates(program(), values(), 1, 50, progress=seen.append, module=module())
    assert seen == sorted(set(seen))
    assert seen[-1] == 50


@functools.cache
def uncompiled():
    """The text of the module, carried out by Python: as slow as that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("numba.njit", lambda **_: lambda function: function)
        namespace = {"__name__": "uncompiled"}
        exec(write(), namespace)
    return SimpleNamespace(**namespace)


@pytest.mark.parametrize(("compiled", "steps"), [(False, 8), pytest.param(True, 60, marks=pytest.mark.slow)])
def test_single_precision(compiled, steps):
    """Compiled code is made once more for it."""
    code = module() if compiled else uncompiled()
    found, expected = (
        run_coordinates(program(), values(), 1, steps, 1e-5, np.float32, module=one) for one in (code, None)
    )
    assert found.arithmetic.values[0].dtype == np.float32
    np.testing.assert_allclose(found.observables["test_loss"], expected.observables["test_loss"], rtol=1e-5)


def test_the_text_means_the_same_to_python():
    theory = ds.derive(ds.deep_linear(2), training=ds.OnlineSGD(momentum=0.5, weight_decay=0.01))
    symbols = run_arguments(theory, 6, PHYSICS).values
    plain, compiled = (run_coordinates(theory.program, symbols, 1, 6, module=one) for one in (uncompiled(), module()))
    for name, rows in compiled.observables.items():
        np.testing.assert_allclose(plain.observables[name], rows, rtol=1e-14)


def test_spectra_on_the_way():
    theory = ds.derive(ds.deep_linear(2), training=ds.GradientDescent(momentum=0.5, weight_decay=0.01))
    symbols = run_arguments(theory, 60, {**PHYSICS, "richness": 8.0, "learning_rate": 0.004}).values
    asked = ["W0", "W1", "NTK"], [0, 33, 59]
    tracks = [coordinate_spectra(theory.program, symbols, 1, 60, *asked, module=code)[0] for code in (module(), None)]
    for name in asked[0]:
        one, other = (track[name] for track in tracks)
        assert one.failures == other.failures == {}
        np.testing.assert_allclose(one.edges, other.edges, rtol=1e-12)
        np.testing.assert_allclose(one.outliers, other.outliers, rtol=1e-10)


def test_a_solver_takes_compiled_code_for_long_runs_alone(monkeypatch):
    """And for these only if it is there, or worth making."""
    asked = []
    monkeypatch.setattr(solver_module, "coordinates_module", lambda *options: asked.append(options))
    theory = ds.derive(ds.deep_linear(1))
    for backend in ("numpy", "numba"):
        run = theory.compile(backend)(**PHYSICS, steps=3, method="conditioning")
        assert (run.attrs["backend"], run.attrs["module_hash"]) == ("numpy", "")
    assert asked == [(3, "float64")]
    monkeypatch.undo()
    assert coordinates_module(LOADED - 1) is None
    assert coordinates_module(LOADED) is module()  # compiled by other tests, or now
    monkeypatch.setattr("dmft_sym.cache.machine_code.at_hand", lambda *_: False)
    assert coordinates_module(COMPILED - 1) is None
    assert coordinates_module(COMPILED) is module()


def test_labelled_results(monkeypatch):
    monkeypatch.setattr(generated_modules, "LOADED", 1)
    monkeypatch.setattr(generated_modules, "COMPILED", 1)
    data = made_samples(1, 4, test_inputs=np.ones((1, 12)), test_targets=np.ones((1, 1)))
    for theory, physics in (
        (ds.derive(ds.deep_linear(2)), PHYSICS),
        (ds.derive(ds.mlp(2, "linear"), data=data), {"richness": 1.0, "learning_rate": 0.1, "matrices": ["W1"]}),
    ):
        fast, plain = (theory.compile(name)(**physics, steps=40, method="conditioning") for name in ("numba", "numpy"))
        assert (fast.attrs["backend"], plain.attrs["backend"]) == ("numba", "numpy")
        assert len(fast.attrs["module_hash"]) == 64
        assert set(fast.variables) == set(plain.variables)
        for name in plain.data_vars:
            np.testing.assert_allclose(fast[name], plain[name], rtol=1e-11, atol=1e-13, err_msg=str(name))


def test_declared_types_are_those_of_calls():
    """What was compiled for them serves all networks, in the cache too."""
    before = len(module().advance.signatures)
    both(program(), values(), 2, 3)
    assert len(module().advance.signatures) == before


def test_one_rule_of_divergence():
    assert module().DIVERGENCE == DIVERGENCE


def test_a_network_that_grows_is_placed_anew():
    """Sectors grow in Python; what is in the block then is what was there before."""
    network = run_coordinates(program(), values(), 1, 5, module=module()).arithmetic
    run = CompiledCoordinates(network, module(), 1)
    before = [matrix.current(20, 20) for matrix in network.matrices]
    for sector in range(len(network.used)):
        network.grow(sector)
    run._place()
    for matrix, old in zip(network.matrices, before, strict=True):
        np.testing.assert_array_equal(matrix.current(20, 20), old)
        assert np.shares_memory(matrix.dense, run._pool)
