"""Training rules: what is allowed, and runs of all methods against trainers that are written out here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

import dmft_sym as ds
from dmft_sym.execution.runner import run_coordinates
from dmft_sym.networks.schedules import ALLOWED, factors, schedule
from dmft_sym.program import ProgramError
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.solvers.generated_modules import coordinates_module
from dmft_sym.spec.objects import training_of
from dmft_sym.spec.reading import SpecError, parse_spec
from dmft_sym.support.errors import ArgumentError

PHYSICS = {"samples_per_dim": 3.0, "width_per_dim": 0.8, "richness": 2.0, "learning_rate": 0.03, "label_noise": 0.2}
SPEC = """
[network]
kind = "deep-linear"
depth = 1
richness = 2.0
[data]
samples_per_dim = 3.0
width_per_dim = 0.8
[training]
learning_rate = 0.03
steps = 5
"""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"nesterov": True}, "nesterov = True with momentum = 0.0: allowed is a momentum > 0"),
        ({"nesterov": 1, "momentum": 0.5}, "nesterov = 1: allowed is True or False"),
        ({"clip": 0}, "clip = 0: allowed is a finite number > 0"),
        ({"clip": 1.0, "normalised": True}, "normalised = True with clip = 1.0: allowed is one of both"),
        ({"batch": 0}, "batch = 0: allowed is an integer >= 1"),
        ({"label_noise": -1}, "label_noise = -1: allowed is a finite number >= 0"),
        ({"schedule": 0.5}, f"schedule = 0.5: allowed is {ALLOWED}"),
        ({"schedule": sp.Symbol("x") / 2}, f"schedule = x/2: allowed is {ALLOWED}"),
        (
            {"schedule": "1/(1 + s)"},
            "schedule: formula 's' in '1/(1 + s)': unknown name; allowed are T, pi, t; allowed is " + ALLOWED,
        ),
    ],
)
def test_refusals(given, words):
    with pytest.raises(ProgramError) as found:
        ds.GradientDescent(**given)
    assert str(found.value) == words


def of_spec(more: str):
    return training_of(parse_spec(SPEC + more))


def test_nesterov_in_specs():
    assert of_spec("momentum = 0.5\nnesterov = true") == ds.GradientDescent(momentum=0.5, nesterov=True)
    with pytest.raises(SpecError, match=r"\[training\] nesterov = true: allowed is false; it needs a momentum > 0"):
        of_spec("nesterov = true")


def test_schedules():
    np.testing.assert_allclose(factors(schedule("1/(1 + t/10)"), 4), 1 / (1 + np.arange(4) / 10))
    np.testing.assert_allclose(factors(schedule("cosine"), 8), (1 + np.cos(np.pi * np.arange(8) / 8)) / 2)
    np.testing.assert_allclose(factors(schedule("warmup(4)"), 6), [0.25, 0.5, 0.75, 1, 1, 1])
    np.testing.assert_allclose(factors(schedule(sp.exp(-sp.Symbol("t"))), 3), np.exp([0, -1, -2]))
    words = r"schedule = 1 - t/5 is -0.2 at step 6 of 9: allowed is a finite number >= 0 at every step"
    with pytest.raises(ArgumentError, match=words):
        factors(schedule("1 - t/5"), 9)
    with pytest.raises(ArgumentError, match=r"is inf at step 2 of 4"):
        factors(schedule("1/(t - 2)**2"), 4)


def test_schedules_in_specs():
    assert of_spec('schedule = "warmup(10)"') == ds.GradientDescent(schedule="warmup(10)")
    with pytest.raises(SpecError, match=r"^\[training\] schedule = 1 - t/2 is -0.5 at step 3 of 5"):
        of_spec('schedule = "1 - t/2"')
    with pytest.raises(SpecError, match=r"^\[training\] schedule: formula '__import__' in "):
        of_spec("""schedule = "__import__('os')" """)


def deep_linear_by_hand(
    alpha, nu, gamma, rate, noise, steps, dim, stream, momentum=0.0, factor=lambda t: 1.0, by_norm=lambda norm: 1.0
):
    """Mean squared errors of two linear layers under Nesterov's method, whose gradients are taken ahead.

    In the usual form: ``V = m V - rate * gradient(W + m V)``, ``W = W + V``; results are at the points ahead.
    """
    count, width = round(alpha * dim), round(nu * dim)
    teacher, eps = stream.standard_normal(dim), stream.standard_normal(count)
    x, matrix, vector = (stream.standard_normal(shape) for shape in ((count, dim), (width, dim), width))
    y = x @ teacher / np.sqrt(dim) + noise * eps
    normal = gamma * np.sqrt(nu)  # gamma_N
    eta, scale = rate * normal**2 * dim, 1 / (normal * width**0.5 * dim**0.5)
    velocities, losses = [np.zeros_like(matrix), np.zeros_like(vector)], []
    for step in range(steps):
        ahead = [a + momentum * v for a, v in zip((matrix, vector), velocities, strict=True)]
        error = y - scale * ahead[1] @ ahead[0] @ x.T
        losses.append(np.mean(error**2))
        mean = factor(step) * error @ x / count
        increments = eta * scale * np.outer(ahead[1], mean), eta * scale * ahead[0] @ mean
        norm = np.sqrt(sum(np.sum((g / eta) ** 2) for g in increments) * eta / rate)  # all rates are eta
        increments = [by_norm(norm) * increment for increment in increments]
        velocities = [momentum * v + g for v, g in zip(velocities, increments, strict=True)]
        matrix, vector = matrix + velocities[0], vector + velocities[1]
    return np.array(losses)


def z_scores(theory, options, **more):
    """Of finite networks that are trained here, against the march."""
    march = theory.compile("numpy")(**options)
    runs = [
        deep_linear_by_hand(3.0, 0.8, 2.0, 0.03, 0.2, options["steps"], 300, np.random.default_rng(seed), **more)
        for seed in range(12)
    ]
    mean, error = np.mean(runs, axis=0), np.std(runs, axis=0, ddof=1) / np.sqrt(len(runs))
    return (mean - march.train_loss[:, 0].values) / error, march


def test_nesterov_is_the_gradient_ahead():
    """Both methods agree, and so does the textbook's form of the method in finite networks."""
    theory = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(momentum=0.8, nesterov=True))
    options = {**PHYSICS, "steps": 25}
    z, march = z_scores(theory, options, momentum=0.8)
    exact = theory.compile("numpy")(**options, method="conditioning", tol=1e-12)
    np.testing.assert_allclose(exact.train_loss, march.train_loss, rtol=1e-11)
    assert np.abs(z).max() < 4
    assert march.attrs["nesterov"] == 1


def test_schedule_in_proportion():
    """Both methods, their compiled forms and more precise ones, finite networks of the program and of this file."""
    rule = ds.GradientDescent(momentum=0.8, nesterov=True, schedule="1/(1 + t/10)")
    theory, options = ds.derive(ds.deep_linear(1), training=rule), {**PHYSICS, "steps": 25}
    z, march = z_scores(theory, options, momentum=0.8, factor=lambda t: 1 / (1 + t / 10))
    assert np.abs(z).max() < 4
    exact = theory.compile("numpy")(**options, method="conditioning", tol=1e-12)
    np.testing.assert_allclose(exact.train_loss, march.train_loss, rtol=1e-11)
    two = theory.compile("numpy")(**options, method="conditioning", tol=1e-12, outputs=2)
    np.testing.assert_allclose(two.train_loss, np.repeat(march.train_loss, 2, axis=1), rtol=1e-11)
    for backend, steps in (("numba", 25), ("mpmath", 6)):
        other = theory.compile(backend)(**{**options, "steps": steps})
        np.testing.assert_allclose(other.test_loss, march.test_loss[:steps], rtol=1e-12)
    assert ds.compare(march, ds.simulate(theory, dim=300, seeds=8, **options)).within(7)
    constant = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(momentum=0.8, nesterov=True))
    assert abs(constant.compile("numpy")(**options).test_loss - march.test_loss).max() > 1e-2
    assert march.attrs["schedule"] == "1/(t/10 + 1)"


def test_schedule_of_online_sgd_and_decay():
    rule = ds.OnlineSGD(momentum=0.5, weight_decay=0.01, schedule="cosine")
    theory, options = ds.derive(ds.deep_linear(2), training=rule), {**PHYSICS, "steps": 30}
    march = theory.compile("numpy")(**options)
    exact = theory.compile("numpy")(**options, method="conditioning", tol=1e-12)
    np.testing.assert_allclose(exact.test_loss, march.test_loss, rtol=1e-11)


def test_schedule_in_equations():
    theory = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(schedule="1/(1 + t/10)"))
    t, s = sp.Symbol("t", integer=True, nonnegative=True), sp.Symbol("s", integer=True, nonnegative=True)
    eta, worth = theory.equations.closed[0], theory.equations.closed[1]
    assert str(eta) == "Eq(eta(t), 1/(t/10 + 1))"
    assert worth.rhs.subs({t: 3, s: 1}) == eta.lhs.subs(t, 1)
    assert any("eta(s)" in str(equation) for equation in theory.equations.single_site)
    assert "scalar eta, given anew at every step: 1/(t/10 + 1)" in str(theory.program)
    assert "\\eta(s)" in theory.to_latex()


def test_spectra_under_a_schedule():
    """From the derived conditions and from coordinates; without momentum and with it."""
    for momentum in (0.0, 0.5):
        rule = ds.GradientDescent(momentum=momentum, schedule="cosine")
        theory = ds.derive(ds.deep_linear(2), training=rule)
        options = {**PHYSICS, "richness": 6.0, "learning_rate": 0.06, "steps": 31, "matrices": ["W0", "W1"], "at": [30]}
        found = [ds.spectrum(theory, method=method, points=0, **options) for method in ("equations", "conditioning")]
        for one in found:
            assert one.outlier.notnull().any()
        np.testing.assert_allclose(found[0].outlier[..., 0], found[1].outlier[..., 0], rtol=1e-5)


def test_compiled_coordinates():
    theory = ds.derive(ds.deep_linear(2), training=ds.GradientDescent(momentum=0.5, schedule="cosine"))
    arguments = run_arguments(theory, 30, PHYSICS)
    given = (theory.program, arguments.values, 1, 30)
    plain = run_coordinates(*given, data=arguments.data)
    compiled = run_coordinates(*given, data=arguments.data, module=coordinates_module(1000, "float64"))
    for name, values in plain.observables.items():
        np.testing.assert_allclose(compiled.observables[name], values, rtol=1e-12)


def test_first_steps_are_exact():
    theory = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(schedule="1/(1 + t/10)"))
    numbers = {**PHYSICS, "init_std": 1.0, "steps": 3}
    found = theory.exact(**numbers)
    march = theory.compile("numpy")(**numbers)
    np.testing.assert_allclose([float(x) for x in found.test_loss], march.test_loss[:, 0], rtol=1e-13)
    with pytest.raises(ArgumentError, match=r"exact: eta = .* has values that are no fractions"):
        ds.derive(ds.deep_linear(1), training=ds.GradientDescent(schedule="cosine")).exact(5)


def test_limits_of_scheduled_training():
    theory = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(schedule="1/(1 + t/10)"))
    wide = theory.limit(ds.limits.wide)
    options = {name: value for name, value in PHYSICS.items() if name != "width_per_dim"}
    whole = theory.compile("numpy")(**options, width_per_dim=float("inf"), steps=8)
    limiting = wide.solve("numpy", **options, steps=8)
    np.testing.assert_allclose(limiting.test_loss, whole.test_loss, rtol=1e-12)
    words = "limit gradient_flow: allowed is training that is the same at every step, without schedule"
    with pytest.raises(ProgramError, match=words):
        theory.limit(ds.limits.gradient_flow)


DATA = ds.Samples(
    np.random.default_rng(1).standard_normal((3, 6)),
    [1.0, -1.0, 0.5],
    test_inputs=np.random.default_rng(2).standard_normal((2, 6)),
    test_targets=[1.0, 0.0],
)
WIDE = {"richness": 2.0, "learning_rate": 0.3, "steps": 10}


def perceptron_by_hand(data, rule, width, stream, rate, gamma, steps, weights=None, targets=None):
    """Outputs of ``w . tanh(A x / sqrt(D)) / (gamma N)`` on all samples, shape (steps, samples).

    ``weights`` has what the error of a training sample is multiplied with at every step, ``targets`` the targets.
    """
    x, count = data.all_inputs, data.count
    matrix, vector = stream.standard_normal((width, data.dim)), stream.standard_normal(width)
    weights = np.ones((steps, count)) if weights is None else weights
    targets = np.tile(data.targets[:, 0], (steps, 1)) if targets is None else targets
    memories, outputs = [np.zeros_like(matrix), np.zeros_like(vector)], []
    for step in range(steps):
        hidden = np.tanh(x @ matrix.T / np.sqrt(data.dim))
        outputs.append(hidden @ vector / (gamma * width))
        error = weights[step] * (targets[step] - outputs[-1][:count]) / count
        slopes = (1 - hidden[:count] ** 2) * vector
        increments = [
            rate * gamma * (error[:, None] * slopes).T @ x[:count] / np.sqrt(data.dim),
            rate * gamma * error @ hidden[:count],
        ]
        m = rule.momentum
        memories = [m * memory + increment for memory, increment in zip(memories, increments, strict=True)]
        taken = [m * a + b if rule.nesterov else a for a, b in zip(memories, increments, strict=True)]
        matrix, vector = matrix + taken[0], vector + taken[1]
    return np.array(outputs)


def check_on_samples(rule, options=WIDE, **by_hand):
    """Sampled sites in both forms, the two-time equations, finite networks of the program and of this file."""
    theory = ds.derive(ds.mlp(1, "tanh"), data=DATA, training=rule)
    plain, fast = (theory.compile(backend)(**options, sites=8000) for backend in ("numpy", "numba"))
    np.testing.assert_allclose(fast.f, plain.f, rtol=0, atol=1e-12)
    derived = theory.compile("numpy")(**options, method="equations", sites=8000)
    z = (derived.f - plain.f) / np.hypot(derived.f_sem, plain.f_sem)
    assert float(abs(z).isel(step=slice(1, None)).max()) < 5
    assert ds.compare(plain, ds.simulate(theory, width=400, seeds=8, **options)).within(6)
    physics = {"rate": options["learning_rate"], "gamma": options["richness"], "steps": options["steps"]}
    streams = map(np.random.default_rng, range(16))
    runs = np.array([perceptron_by_hand(DATA, rule, 800, stream, **physics, **by_hand) for stream in streams])
    error = np.hypot(runs.std(axis=0, ddof=1) / 4, plain.f_sem[:, :, 0])
    assert float(abs((runs.mean(axis=0) - plain.f[:, :, 0]) / error).max()) < 5
    return theory, plain


def check_exactly(rule, options=WIDE):
    """A linear network: coordinates, and the two-time equations, which close."""
    theory = ds.derive(ds.mlp(2, "linear"), data=DATA, training=rule)
    exact = theory.compile("numpy")(**options, tol=1e-12)
    derived = theory.compile("numpy")(**options, method="equations", sites=64, replicas=2)
    np.testing.assert_allclose(derived.f, exact.f, rtol=0, atol=1e-12)
    return exact


def test_schedule_on_samples():
    rule = ds.GradientDescent(momentum=0.5, nesterov=True, schedule="cosine")
    factor = (1 + np.cos(np.pi * np.arange(10) / 10)) / 2
    theory, _ = check_on_samples(rule, weights=np.tile(factor[:, None], (1, 3)))
    check_exactly(rule)
    with pytest.raises(ProgramError, match="limit lazy: allowed is training that is the same at every step, without"):
        theory.limit(ds.limits.lazy)


def drawn(rule, steps):
    """What a rule draws for the training samples of `DATA`: weights of errors and targets, by step and sample."""
    batches, noise = np.random.default_rng([rule.seed, 0]), np.random.default_rng([rule.seed, 1])
    chosen = [batches.choice(DATA.count, rule.batch, replace=False) for _ in range(steps)]
    weights = np.array([np.isin(np.arange(DATA.count), batch) for batch in chosen]) * DATA.count / rule.batch
    return weights, DATA.targets[:, 0] + rule.label_noise * noise.standard_normal((steps, DATA.count))


def test_batches_and_label_noise_on_samples():
    """The same draws everywhere; the losses are those of the targets without noise."""
    rule = ds.GradientDescent(momentum=0.5, nesterov=True, schedule="cosine", batch=2, label_noise=0.4, seed=3)
    weights, targets = drawn(rule, 10)
    factor = (1 + np.cos(np.pi * np.arange(10) / 10)) / 2
    theory, run = check_on_samples(rule, weights=weights * factor[:, None], targets=targets)
    squares = np.mean((run.f[:, :3, 0].values - DATA.targets[:, 0]) ** 2, axis=1)
    np.testing.assert_allclose(run.train_loss[:, 0], squares, rtol=0.05, atol=1e-3)
    assert (run.attrs["batch"], run.attrs["draw_seed"], run.attrs["label_noise"]) == (2, 3, 0.4)
    assert "xi = Delta*batch*eta" in str(theory.program)


def test_draws_of_a_linear_network():
    """Exact to rounding between the methods; a seed and a standard deviation of their own matter."""
    rule = ds.GradientDescent(momentum=0.5, batch=2, label_noise=0.4)
    first = check_exactly(rule)
    again, other = check_exactly(rule, {**WIDE, "label_noise": 0.2}), check_exactly(replace(rule, seed=1))
    assert abs(again.f - first.f).max() > 1e-2
    assert abs(other.f - first.f).max() > 1e-2
    short = check_exactly(rule, {**WIDE, "steps": 5})
    np.testing.assert_allclose(short.f, first.f[:5], rtol=1e-10)


def test_all_samples_are_a_batch():
    theories = [
        ds.derive(ds.mlp(2, "linear"), data=DATA, training=ds.GradientDescent(**more)) for more in ({}, {"batch": 3})
    ]
    runs = [theory.compile("numpy")(**WIDE) for theory in theories]
    np.testing.assert_allclose(runs[1].f, runs[0].f, rtol=1e-12, atol=1e-14)


def test_compiled_draws():
    theory = ds.derive(ds.mlp(2, "linear"), data=DATA, training=ds.GradientDescent(batch=2, label_noise=0.4))
    arguments = run_arguments(theory, 30, {"richness": 2.0, "learning_rate": 0.3})
    given = (theory.program, arguments.values, 1, 30)
    plain = run_coordinates(*given, data=arguments.data)
    compiled = run_coordinates(*given, data=arguments.data, module=coordinates_module(1000, "float64"))
    for ref, values in plain.scalars.items():
        np.testing.assert_allclose(compiled.scalars[ref], values, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("data", "given", "words"),
    [
        (DATA, {"batch": 4}, "batch = 4: allowed is an integer from 1 to 3, the number of samples"),
        (ds.Proportional(), {"batch": 4}, "batch in the proportional regime: allowed is nothing; OnlineSGD has fresh"),
        (ds.Proportional(), {"label_noise": 0.1}, "label_noise of a training rule: allowed in the proportional regime"),
        (
            ds.Samples(DATA.inputs, [1, -1, 1], "logistic"),
            {"label_noise": 0.1},
            "label_noise with loss = 'logistic': allowed is 0, its targets are classes",
        ),
    ],
)
def test_draws_that_do_not_fit(data, given, words):
    with pytest.raises(ProgramError, match=words):
        ds.derive(ds.deep_linear(1), data=data, training=ds.GradientDescent(**given))


def test_noise_of_a_rule_without_it():
    theory = ds.derive(ds.mlp(1, "tanh"), data=DATA)
    words = r"label_noise = 0.1: allowed is nothing, the samples are given; noise of every step is that of Gradient"
    with pytest.raises(ArgumentError, match=words):
        theory.compile("numpy")(**WIDE, label_noise=0.1, sites=64)


def test_draws_in_specs():
    more = "batch = 2\nlabel_noise = 0.1\nseed = 7"
    given = SPEC.replace("samples_per_dim = 3.0\nwidth_per_dim = 0.8", 'regime = "fixed"\nset = "iris"')
    rule = training_of(parse_spec(given + more))
    assert rule == ds.GradientDescent(batch=2, label_noise=0.1, seed=7)
    with pytest.raises(SpecError, match=r"\[training\] batch = 2: allowed is nothing, the key belongs to regime"):
        of_spec("batch = 2")


@pytest.mark.parametrize("rule", [ds.GradientDescent(clip=0.5), ds.GradientDescent(normalised=True)])
def test_norms_in_proportion(rule):
    """Both methods, and finite networks of the program and of this file, whose gradients are those of stored arrays."""
    theory, options = ds.derive(ds.deep_linear(1), training=rule), {**PHYSICS, "steps": 20}
    z, march = z_scores(theory, options, by_norm=lambda n: 1 / n if rule.normalised else min(1.0, rule.clip / n))
    assert np.abs(z).max() < 4
    exact = theory.compile("numpy")(**options, method="conditioning", tol=1e-12)
    np.testing.assert_allclose(exact.train_loss, march.train_loss, rtol=1e-11)
    assert ds.compare(march, ds.simulate(theory, dim=300, seeds=8, **options)).within(7)
    plain = ds.derive(ds.deep_linear(1)).compile("numpy")(**options)
    assert abs(plain.test_loss - march.test_loss).max() > 1e-2


def test_norms_in_the_compiled_march():
    """It goes on where a chunk of its history ends, has the numbers of NumPy, and says what ran."""
    theory = ds.derive(ds.deep_linear(2), training=ds.GradientDescent(clip=0.4, momentum=0.5))
    options = {**PHYSICS, "steps": 70, "outputs": 2}
    seen: list[int] = []
    compiled = theory.solve(**options, progress=lambda done, _: seen.append(done))
    plain = theory.solve(backend="numpy", **options)
    for name in ("train_loss", "C_h", "R_h"):
        np.testing.assert_allclose(compiled[name], plain[name], rtol=1e-10, atol=1e-13)
    assert compiled.backend == "numba"
    assert seen[-1] == 70
    assert "step.march(" in theory.source("numba")
    assert "def weigh(t, arrays):" in theory.source("numba")


@pytest.mark.parametrize("outputs", [1, 2])
def test_norms_with_everything_else(outputs):
    rule = ds.GradientDescent(momentum=0.5, nesterov=True, weight_decay=0.01, clip=0.5, schedule="cosine")
    theory, options = ds.derive(ds.deep_linear(3), training=rule), {**PHYSICS, "steps": 20, "outputs": outputs}
    march = theory.compile("numba")(**options)
    exact = theory.compile("numba")(**options, method="conditioning", tol=1e-12)
    np.testing.assert_allclose(exact.test_loss, march.test_loss, rtol=1e-11)


def tied(net, x):
    """One matrix at every layer, whose update is a sum over layers."""
    n = net.hidden("N")
    first, inner = net.matrix("W0", net.inputs, n), net.matrix("W", n, n)
    return net.readout("w", net.scan(lambda _, h: h + inner @ h / 2, first @ x, layers=(1, net.depth - 1)))


def autoencoder(net, x):
    """A matrix and its transpose, with a term for each."""
    wide, narrow = net.hidden("N"), net.hidden("M", 0.5)
    w = net.matrix("W", wide, narrow)
    return net.readout("w", w.T @ (w @ (net.matrix("W0", net.inputs, wide) @ x)))


@pytest.mark.parametrize("network", [ds.network(tied, depth=3), ds.network(autoencoder)], ids=["tied", "transposed"])
def test_norms_of_matrices_that_are_used_twice(network):
    theory = ds.derive(network, training=ds.GradientDescent(clip=0.5))
    options = {**PHYSICS, "steps": 15}
    exact = theory.compile("numpy")(**options, method="conditioning", tol=1e-12)
    march = theory.compile("numpy")(**options)
    np.testing.assert_allclose(exact.test_loss, march.test_loss, rtol=1e-11)
    assert ds.compare(march, ds.simulate(theory, dim=200, seeds=8, **options)).within(7)
    assert any("norm_squared" in str(equation) for equation in theory.equations.single_site)


def test_norms_of_a_shared_matrix_on_samples():
    theory = ds.derive(ds.network(tied, depth=3), data=DATA, training=ds.GradientDescent(clip=0.2))
    exact = theory.compile("numpy")(**WIDE, tol=1e-12)
    derived = theory.compile("numpy")(**WIDE, method="equations", sites=64, replicas=2)
    np.testing.assert_allclose(derived.f, exact.f, rtol=0, atol=1e-12)
    assert ds.compare(exact, ds.simulate(theory, width=400, seeds=12, **WIDE)).within(7)


def clipped_by_hand(data, by_norm, width, stream, rate, gamma, steps, weights):
    """Outputs of ``w . tanh(A x)`` with arrays as PyTorch stores them and rates of their own, shape (steps, samples).

    ``A ~ N(0, 1/D)`` has the rate ``rate gamma^2 N/D``, ``w ~ N(0, 1/(gamma N)^2)`` the rate ``rate/N``.
    """
    x, dim, count = data.all_inputs, data.dim, data.count
    matrix = stream.standard_normal((width, dim)) / np.sqrt(dim)
    vector = stream.standard_normal(width) / (gamma * width)
    rates, outputs = (rate * gamma**2 * width / dim, rate / width), []
    for step in range(steps):
        hidden = np.tanh(x @ matrix.T)
        outputs.append(hidden @ vector)
        error = weights[step] * (data.targets[:, 0] - outputs[-1][:count]) / count
        slopes = error[:, None] * (1 - hidden[:count] ** 2) * vector
        gradients = slopes.T @ x[:count], error @ hidden[:count]
        norm = np.sqrt(sum(r / rate * np.sum(g**2) for r, g in zip(rates, gradients, strict=True)))
        matrix, vector = (a + by_norm(norm) * r * g for a, r, g in zip((matrix, vector), rates, gradients, strict=True))
    return np.array(outputs)


@pytest.mark.parametrize("rule", [ds.GradientDescent(clip=0.2), ds.GradientDescent(normalised=True, batch=2, seed=5)])
def test_norms_on_samples(rule):
    weights = np.ones((10, 3)) if rule.batch is None else drawn(rule, 10)[0]
    options = {**WIDE, "learning_rate": 0.1 if rule.normalised else 0.3}
    check_exactly(rule, options)
    theory = ds.derive(ds.mlp(1, "tanh"), data=DATA, training=rule)
    run = theory.compile()(**options, sites=8000)
    assert run.attrs["backend"] == "numpy"
    derived = theory.compile("numpy")(**options, method="equations", sites=8000)
    z = (derived.f - run.f) / np.hypot(derived.f_sem, run.f_sem)
    assert float(abs(z).isel(step=slice(1, None)).max()) < 5
    assert ds.compare(run, ds.simulate(theory, width=400, seeds=8, **options)).within(7)
    physics = {"rate": options["learning_rate"], "gamma": 2.0, "steps": 10, "weights": weights}

    def by_norm(norm):
        return 1 / norm if rule.normalised else min(1.0, rule.clip / norm)

    streams = map(np.random.default_rng, range(16))
    runs = np.array([clipped_by_hand(DATA, by_norm, 800, stream, **physics) for stream in streams])
    error = np.hypot(runs.std(axis=0, ddof=1) / 4, run.f_sem[:, :, 0])
    assert float(abs((runs.mean(axis=0) - run.f[:, :, 0]) / error).max()) < 5


def test_norm_is_that_of_the_tangent_kernel():
    """``Delta K Delta / P^2``, of a network with a wider layer and with rates of its own arrays."""
    data = ds.Samples(DATA.inputs, DATA.targets)

    def net(net, x):
        n, m = net.hidden("N"), net.hidden("M", 2)
        h = net.matrix("W0", net.inputs, n, learning_rate=0.5) @ x
        return net.readout("w", net.matrix("W", n, m) @ h)

    theory = ds.derive(ds.network(net), data=data, training=ds.GradientDescent(clip=0.2))
    arguments = run_arguments(theory, 6, {"richness": 2.0, "learning_rate": 0.3})
    run = run_coordinates(theory.program, arguments.values, 1, 6, data=arguments.data)
    kernels = theory.compile("numpy")(richness=2.0, learning_rate=0.3, steps=6, kernels=range(6))
    found = {ref.scalar.name: values for ref, values in run.scalars.items()}
    error = data.targets - kernels.f.values
    names = [name for name in kernels.data_vars if name == "NTK"]
    kernel = kernels[names[0]].values
    expected = np.einsum("tmc,tmcnd,tnd->t", error, kernel, error) / 9
    np.testing.assert_allclose(found["norm_squared"], expected, rtol=1e-6)


def test_norms_and_spectra():
    theory = ds.derive(ds.deep_linear(2), training=ds.GradientDescent(clip=0.8, momentum=0.5))
    options = {**PHYSICS, "richness": 6.0, "learning_rate": 0.06, "steps": 31, "matrices": ["W0", "W1"], "at": [30]}
    found = [ds.spectrum(theory, method=method, points=0, **options) for method in ("equations", "conditioning")]
    assert found[0].outlier.notnull().any()
    np.testing.assert_allclose(found[0].outlier[..., 0], found[1].outlier[..., 0], rtol=1e-5)


def test_norms_where_there_are_none():
    theory = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(clip=0.5))
    with pytest.raises(ArgumentError, match="exact: norms of gradients are roots"):
        theory.exact(2)
    with pytest.raises(ProgramError, match="limit wide: allowed is training that is the same at every step"):
        theory.limit(ds.limits.wide)
    with pytest.raises(ProgramError, match="backend = 'mpmath' with norms of gradients: allowed are"):
        theory.compile("mpmath")(**PHYSICS, steps=2)


def test_entries_of_matrices_are_refused():
    words = "single entries of a matrix, on which Adam and sign descent act, are outside the averaging rule"
    with pytest.raises(AttributeError, match=f"no Adam: {words}"):
        ds.Adam  # noqa: B018
    with pytest.raises(SpecError, match=rf'\[training\] kind = "adam": allowed is .*; {words}'):
        of_spec('kind = "adam"')
    with pytest.raises(SpecError, match=rf'\[training\] rule = "adam": allowed is nothing, .*; {words}'):
        of_spec('rule = "adam"')


def test_norms_in_specs():
    assert of_spec("clip = 0.5") == ds.GradientDescent(clip=0.5)
    assert of_spec("normalised = true") == ds.GradientDescent(normalised=True)
    with pytest.raises(SpecError, match="normalised = true: allowed is false with clip"):
        of_spec("clip = 0.5\nnormalised = true")


def test_schedules_of_any_powers():
    """Powers that functions of sites do not have, in expressions of SymPy."""
    t, steps = sp.Symbol("t"), np.arange(4)
    for expression, expected in (
        (2 ** (-t), 0.5**steps),
        ((1 + t) ** sp.Rational(-1, 3), (1 + steps) ** (-1 / 3)),
        (t**0.3, steps**0.3),
        ((1 + 2 ** (-t)) ** -0.7, (1 + 0.5**steps) ** -0.7),
    ):
        rule = ds.GradientDescent(schedule=expression)
        np.testing.assert_allclose(rule.given(4)["eta"], expected, rtol=1e-14)
    with pytest.raises(ArgumentError, match=r"is nan at step 0 of 4: allowed is a finite number"):
        ds.GradientDescent(schedule=(t - 1) ** 0.3).given(4)


@pytest.mark.parametrize("text", ["warmup(0)", "warmup(2.5)", "warmup"])
def test_warmups_that_are_none(text):
    with pytest.raises(ProgramError, match=r'allowed is "warmup\(k\)" with a number of steps, an integer k >= 1'):
        ds.GradientDescent(schedule=text)


def test_limits_name_what_they_do_not_take():
    theory = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(clip=0.5, schedule="cosine"))
    with pytest.raises(ProgramError, match=r"limit wide: .*, without clip$"):
        theory.limit(ds.limits.wide)
