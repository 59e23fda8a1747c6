"""Centered training: the output at initialization is subtracted, in both regimes and by every method."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import sympy as sp
from agreement import compare_routes
from dmft_sym.codegen.programs.sampled import write
from execution_support import program, values, worst_z
from samples_and_scores import made_samples
from samples_and_scores import worst_z as worst_z_of_samples
from spectrum_tracks import coordinate_spectra, measured_spectra

import dmft_sym as ds
from dmft_sym.execution import run_coordinates, run_finite
from dmft_sym.program import (
    OUTPUT,
    SAMPLE,
    Assign,
    Average,
    Compute,
    Field,
    FieldRef,
    Initial,
    Linear,
    Program,
    ProgramError,
    Scalar,
    ScalarRef,
    SiteFunction,
    Space,
    VectorRef,
)
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.solvers.generated_modules import COMPILED, coordinates_module
from dmft_sym.solvers.spectrum_routes import two_time_spectra
from dmft_sym.spec.reading import SpecError, parse_spec

NOISE = 0.3
PHYSICS = {"samples_per_dim": 2.0, "width_per_dim": 0.7, "label_noise": NOISE}
RATES = {"richness": 2.0, "learning_rate": 0.03}
RULES = {"batch": ds.GradientDescent, "online": ds.OnlineSGD}
MEMORY = {"momentum": 0.5, "weight_decay": 0.01}
LONG = 80  # steps, more than the chunks and blocks of any method


def residual(net, x):
    """``h[l+1] = h[l] + W[l] h[l]/2`` and the inputs in a readout."""
    n = net.hidden("N")
    weights = net.matrix("W", n, n, layers=(1, net.depth - 1))
    first = net.matrix("W0", net.inputs, n) @ x
    last = net.scan(lambda layer, h: h + weights[layer] @ h / 2, first, layers=(1, net.depth - 1))
    return net.readout("w", last) + net.readout("u", x)


def tied(net, x):
    """One matrix at every layer, and its transpose at the end."""
    n = net.hidden("N")
    weights = net.matrix("W", n, n)
    first = net.matrix("W0", net.inputs, n) @ x
    last = net.scan(lambda _, h: weights @ h + first / 2, first, layers=(1, net.depth - 1))
    return net.readout("w", last + weights.T @ last)


NETWORKS = {
    "regression": lambda: ds.deep_linear(0),
    "deep linear": lambda: ds.deep_linear(2),
    "residual": lambda: ds.network(residual, depth=3),
    "tied": lambda: ds.network(tied, depth=2),
}


@cache
def theory_of(network="deep linear", rule="batch", **memory):
    return ds.derive(NETWORKS[network](), training=RULES[rule](centered=True, **memory))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("network", NETWORKS)
def test_training_begins_at_zero_output(network, rule):
    """Losses of all methods, exactly; at a richness where those of the network itself are 1e4."""
    theory = theory_of(network, rule)
    given = {key: v for key, v in PHYSICS.items() if network != "regression" or key != "width_per_dim"}
    physics = {**given, "richness": 0.01, "learning_rate": 1e-6, "steps": 2, "outputs": 2}
    if network == "regression":
        del physics["richness"]
    runs = [theory.compile("numpy")(method=method, **physics) for method in ("equations", "conditioning")]
    for run in runs:
        np.testing.assert_allclose(run.test_loss[0], 1 + NOISE**2, rtol=1e-12)
        np.testing.assert_allclose(run.train_loss[0], 1 + NOISE**2, rtol=1e-12)


@pytest.mark.parametrize("memory", [{}, MEMORY], ids=["plain", "momentum and decay"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("network", ["deep linear", "residual", "tied"])
def test_march_and_coordinates_agree(network, rule, memory):
    """Losses, correlations and responses beyond every block; two outputs where it is quick."""
    outputs = {"outputs": 2} if network == "deep linear" else {}
    rates = RATES if network == "deep linear" else {"richness": 2.0, "learning_rate": 0.003}
    found = compare_routes(theory_of(network, rule, **memory), {**PHYSICS, **rates, **outputs}, LONG)
    assert found.worst()[1] < 1e-9, found.worst()
    assert max(found.losses.values()) < 1e-10, found.losses


@pytest.mark.parametrize(("rule", "memory"), [("batch", MEMORY), ("online", {})])
def test_compiled_march_is_the_plain_one(rule, memory):
    """Beyond the chunks of history and the spans of chunks: 64 and 256 steps."""
    theory = theory_of("deep linear", rule, **memory)
    plain, fast = (theory.compile(b).raw(steps=330, **PHYSICS, **RATES) for b in ("numpy", "numba"))
    for name in (*(array.name for array in theory.closed.arrays), "train_loss", "test_loss"):
        np.testing.assert_allclose(
            fast[name], plain[name], rtol=0, atol=1e-12 * np.abs(plain[name]).max(), err_msg=name
        )


def test_precise_and_exact_arithmetic():
    theory = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(centered=True))
    plain, precise = (theory.compile(b)(steps=4, **PHYSICS, **RATES) for b in ("numpy", "mpmath"))
    np.testing.assert_allclose(precise.test_loss, plain.test_loss, rtol=1e-13)
    exact = theory.exact(steps=2)
    assert sp.simplify(exact.test_loss[0] - 1 - theory.symbols.sigma_eps**2) == 0
    arguments = run_arguments(theory, 2, {**PHYSICS, **RATES})
    assert float(exact.test_loss[1].subs(arguments.values)) == pytest.approx(float(plain.test_loss[1, 0]), rel=1e-12)


def test_responses_are_those_of_the_closed_form():
    """``R_v = -J (1 + K J)^{-1} (1 - E0)/(gamma nu)`` with ``E0(t, 0) = 1``: docs/mathematics.md, section 2."""
    theory, steps = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(centered=True)), 20
    physics = {**PHYSICS, **RATES}
    run = theory.compile("numpy")(steps=steps, **physics)

    def of(name):
        return run[name].squeeze().values

    gamma, nu, one = physics["richness"], physics["width_per_dim"], np.eye(steps)
    first = np.zeros((steps, steps))
    first[:, 0] = 1
    kernel = of("R_g") / gamma + physics["learning_rate"] * np.tril(of("C_g"), -1)
    J = np.linalg.inv(one - of("R_Delta"))
    expected = -J @ np.linalg.inv(one + kernel @ J) @ (one - first) / (gamma * nu)
    np.testing.assert_allclose(of("R_v"), expected, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_finite_networks_agree(rule):
    training = RULES[rule](centered=True)
    numbers = values(depth=1, gamma=1.0, eta=0.05, nu=0.7)
    assert worst_z(program(ds.deep_linear(1), training), numbers, dim=300, seeds=6, steps=20, outputs=2) < 4


def test_finite_networks_of_several_readouts_agree():
    theory = theory_of("residual")
    arguments = run_arguments(theory, 10, {**PHYSICS, "richness": 1.0, "learning_rate": 0.01})
    assert worst_z(theory.program, arguments.values, dim=250, seeds=6, steps=10) < 4


def test_small_richness_is_a_limit():
    """Losses differ from their limit by the square of the richness; without centering they grow by its inverse."""
    ranges, steps = (0.2, 0.1, 0.05), 25
    found = {}
    for centered in (False, True):
        theory = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(centered=centered))
        solver = theory.compile("numpy")
        runs = [solver(steps=steps, **PHYSICS, richness=r, learning_rate=0.05) for r in ranges]
        found[centered] = np.array([run.test_loss.squeeze().values for run in runs])
    limits = found[True]
    assert limits[-1][-1] < 0.7 * limits[-1][0]
    ratio = (limits[0] - limits[1])[5:] / (limits[1] - limits[2])[5:]
    np.testing.assert_allclose(ratio, 4, rtol=0.1)
    np.testing.assert_allclose(found[False][:, 0] - 1 - NOISE**2, [1 / (r**2 * 0.7) for r in ranges], rtol=1e-12)


def test_spectra_of_both_routes_and_of_finite_networks_agree():
    """Outliers and edges, in which the responses of training count."""
    theory, last, asked = theory_of("deep linear", "batch", **MEMORY), 59, ["W0", "W1"]
    physics = {**PHYSICS, "samples_per_dim": 4.0, "richness": 8.0, "learning_rate": 0.004}
    run = two_time_spectra(theory, steps=last + 1, backend="numpy", **physics)
    numbers = run_arguments(theory, last + 1, physics).values
    tracks, _ = coordinate_spectra(theory.program, numbers, 1, last + 1, asked, [last], tol=1e-9, overlaps=False)
    measured = [
        measured_spectra(theory.program, numbers, 1, last + 1, 500, s, asked, [last], count=1, normalise=True)[0]
        for s in range(6)
    ]
    for name, track in tracks.items():
        here, there = run.at(name, last), track.spectra[last]
        assert len(there.outliers) == 1
        np.testing.assert_allclose(here.outliers, there.outliers, rtol=1e-9)
        sample = np.array([one[name].values[0, 0] for one in measured])
        error = sample.std(ddof=1) / np.sqrt(len(sample)) + 6 / 500 * there.outliers[0] / 4
        assert abs(sample.mean() - there.outliers[0]) < 4 * error, name


def test_sharpness_of_both_routes_agrees():
    """What is subtracted does not move with the weights."""
    theory = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(centered=True))
    physics = {**PHYSICS, "samples_per_dim": 4.0, "richness": 6.0, "learning_rate": 0.01}
    found = [
        ds.spectrum(theory, steps=31, matrices=["NTK"], at=[30], method=method, **physics).outlier.values
        for method in ("equations", "conditioning")
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-7)


# Given samples

SAMPLES = {"richness": 1.0, "learning_rate": 0.3, "steps": 8}


@cache
def fixed_theory(centered=True, outputs=2, activation="tanh"):
    data = made_samples(5, 3, outputs)
    return ds.derive(ds.mlp(2, activation, outputs), data, ds.GradientDescent(centered=centered))


def test_outputs_and_losses_are_the_centered_ones():
    """At the first step of finite networks and of replicas whose own outputs are not zero."""
    theory = fixed_theory()
    losses = np.broadcast_to(np.mean(theory.data.targets**2, axis=0), (2, 2))  # those of networks have a row a seed
    sim = ds.simulate(theory, width=60, seeds=2, **SAMPLES)
    runs = [
        theory.compile(backend)(sites=200, replicas=2, antithetic=False, threads=1, **SAMPLES)
        for backend in ("numpy", "numba")
    ]
    for found in (sim, *runs):
        assert (found.f.isel(step=0) == 0).all()
        np.testing.assert_allclose(np.broadcast_to(found.train_loss.isel(step=0), (2, 2)), losses, rtol=1e-12)
    np.testing.assert_allclose(runs[0].f, runs[1].f, atol=1e-10)
    own = ds.simulate(fixed_theory(centered=False), width=60, seeds=2, **SAMPLES)
    assert np.abs(own.f.isel(step=0)).max() > 0.01


def test_a_finite_network_is_its_own_with_shifted_targets():
    """The squared error of ``f(t) - f(0)`` is that of ``f(t)`` against ``y + f(0)``, step by step."""
    theory = fixed_theory()
    arguments = run_arguments(theory, 8, {k: v for k, v in SAMPLES.items() if k != "steps"})
    given = theory.data.given

    def outputs(program, name, data):
        run = run_finite(program, arguments.values, 2, 8, 50, 0, data=data)
        return next(rows for ref, rows in run.scalars.items() if ref.scalar.name == name)

    raw = outputs(theory.program, "f_raw", given)
    shifted = {**given, "y": given["y"] + raw[0]}
    np.testing.assert_allclose(outputs(fixed_theory(centered=False).program, "f", shifted), raw, atol=1e-12)


def test_theory_by_both_methods_and_finite_networks_agree():
    theory = fixed_theory()
    run = theory.compile("numpy")(sites=8000, replicas=8, seed=1, **SAMPLES)
    sim = ds.simulate(theory, width=300, seeds=8, **SAMPLES)
    assert worst_z_of_samples(run.isel(step=slice(1, None)), sim.isel(step=slice(1, None)), "f", 4 / 300) < 4
    direct = theory.compile("numpy")(method="equations", sites=2000, replicas=4, seed=2, **SAMPLES)
    error = np.hypot(run.f_sem, direct.f_sem)[1:]
    assert (np.abs(run.f - direct.f)[1:] / error).max() < 4.5


def powered():
    """A linear network whose error has the growth of its readout in it: a scalar that is not zero at the first step."""
    made = fixed_theory(activation="linear").program
    power, growth = ScalarRef(Scalar("power", (OUTPUT,))), ScalarRef(Scalar("growth", (SAMPLE, OUTPUT)))
    readout, error = VectorRef(made.vectors[0]), ScalarRef(Scalar("Delta", (SAMPLE, OUTPUT)))
    w, now, first, f, y = sp.symbols("w now first f y", real=True)
    statements = []
    for statement in made.statements:
        if isinstance(statement, Compute) and statement.target == error:
            statements += [
                Average(power, ((sp.Integer(1), SiteFunction(w**2, ((w, readout),))),)),
                Compute(growth, now - first, ((now, power), (first, replace(power, initial=True)))),
            ]
            output, target = (ScalarRef(Scalar(n, (SAMPLE, OUTPUT), data=n == "y")) for n in ("f", "y"))
            g = sp.Symbol("g", real=True)
            statement = Compute(error, y - f - g, ((y, target), (f, output), (g, growth)))
        statements.append(statement)
    return Program(tuple(statements), made.optimizer, "powered")


def test_a_scalar_at_the_first_step_is_that_of_the_first_step():
    """Coordinates, interpreted and compiled, and a finite network that knows nothing of them."""
    theory, steps = fixed_theory(activation="linear"), 60
    numbers = run_arguments(theory, steps, {"richness": 1.0, "learning_rate": 0.3}).values
    given = {"data": theory.data.given}
    plain = run_coordinates(powered(), numbers, 2, steps, **given)
    fast = run_coordinates(powered(), numbers, 2, steps, module=coordinates_module(COMPILED), **given)
    finite = run_finite(powered(), numbers, 2, steps, 3000, 0, **given)
    for ref, rows in plain.scalars.items():
        np.testing.assert_allclose(fast.scalars[ref], rows, atol=1e-10, err_msg=str(ref))
    power, growth = (next(v for r, v in plain.scalars.items() if r.scalar.name == n) for n in ("power", "growth"))
    np.testing.assert_allclose(growth, np.broadcast_to((power - power[0])[:, None], growth.shape), atol=1e-13)
    assert growth[-1].min() > 0.1
    for ref, rows in finite.scalars.items():
        np.testing.assert_allclose(rows, plain.scalars[ref], atol=0.25 * np.abs(plain.scalars[ref]).max())


# What is refused, and how it is printed

SPACE = Space("N", sp.Integer(1))
A, B = (FieldRef(Field(name, SPACE)) for name in "ab")


def test_programs_print_the_first_step():
    text = str(theory_of().program)
    assert "Delta = betastar - beta + beta(0)" in text
    assert "\\beta_{c}(0)" in theory_of().program._repr_latex_()
    assert "f = f_raw - f_raw(0)" in str(fixed_theory().program)
    assert "f_{\\mathrm{raw} \\mu c}(0)" in fixed_theory().program._repr_latex_().replace(",", "")


def test_a_field_is_not_read_at_the_first_step_before_it_is_assigned():
    with pytest.raises(ProgramError, match=r"b\(0\): b is read before it is assigned"):
        Program((Assign(A, Linear.of(Initial(B))), Assign(B, Linear())))


def test_places_where_the_first_step_means_nothing():
    scalar = ScalarRef(Scalar("m", (OUTPUT,)))
    first, x, m = replace(scalar, initial=True), *sp.symbols("x m", real=True)
    bad = Average(ScalarRef(Scalar("k", (OUTPUT,))), ((sp.Integer(1), SiteFunction(x * m, ((x, A), (m, first)))),))
    with pytest.raises(ProgramError, match="allowed at the first step are scalars that a scalar is computed from"):
        Program((Assign(A, Linear()), Average(scalar, ((sp.Integer(1), SiteFunction(x, ((x, A),))),)), bad))
    given = FieldRef(Field("d", SPACE, data=True))
    with pytest.raises(ProgramError, match="allowed at the first step are fields that are computed"):
        Program((Assign(A, Linear.of(Initial(given))),))


def test_sampled_solvers_refuse_fields_at_the_first_step():
    made = fixed_theory(centered=False, outputs=1).program
    z = next(s.target for _, s in made.walk() if isinstance(s, Assign) and s.target.field.name == "z")
    copy = Assign(FieldRef(Field("k", z.space, axes=z.axes)), Linear.of(Initial(z)))
    with pytest.raises(ProgramError, match=r"k = z\[L\]\(0\): allowed at the first step are scalars"):
        write(Program((*made.statements, copy), made.optimizer))


@pytest.mark.parametrize("value", [1, "yes", None])
def test_the_rule_takes_a_truth_value(value):
    with pytest.raises(ProgramError, match=r"^centered = .*: allowed is True or False$"):
        ds.GradientDescent(centered=value)


def test_a_spec_has_the_key():
    text = '[network]\nkind = "deep-linear"\ndepth = 1\nrichness = 1\n[data]\nsamples_per_dim = 2\nwidth_per_dim = 1\n'
    text += "[training]\nlearning_rate = 0.1\nsteps = 3\n"
    assert not parse_spec(text).training.centered
    assert parse_spec(text, ["training.centered=true"]).training.centered
    with pytest.raises(SpecError, match=r"\[training\] centered = 1: allowed is true or false"):
        parse_spec(text, ["training.centered=1"])
