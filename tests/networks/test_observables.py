"""Observables of the user's own: every method, finite networks, networks trained by hand, training without them."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import dmft_sym as ds
from dmft_sym.derivation.symbols import Correlation
from dmft_sym.networks.observing import TAKEN
from dmft_sym.program import ProgramError
from dmft_sym.program.wick import pairings
from dmft_sym.results.names import _AXES, _VARIABLES
from dmft_sym.support.errors import ArgumentError

RNG = np.random.default_rng(1)
X, Y = RNG.standard_normal((4, 6)), RNG.standard_normal((4, 2))
DATA = ds.Samples(X[:3], Y[:3], test_inputs=X[3:], test_targets=Y[3:])
PROPORTIONAL = {"samples_per_dim": 2, "width_per_dim": 0.8, "richness": 1.5, "learning_rate": 0.08, "steps": 8}
SAMPLES = {"richness": 1.5, "learning_rate": 0.25, "steps": 5}
NAMES = ("squares", "across", "fourth", "mixed", "nested", "ratio")


def observed(net, h, k):
    """Polynomials of two fields, of which the second one depends on the first, and functions of averages."""
    net.observe("squares", h * h)
    net.observe("across", ds.mean(k * h))
    net.observe("fourth", net.apply(lambda a: a**4 + 1, k))
    net.observe("mixed", net.apply(lambda a, b: a**2 * b**2 - a**3 * b / 2, h, k - h / 3))
    net.observe("nested", (net.apply(lambda a: a**2, h) - k) * (h + k))
    net.observe("ratio", ds.mean(k * h) / ds.norm(h))


def linear(net, x, observe=True):
    n = net.hidden("N")
    h = (net.matrix("A", net.inputs, n) @ x).named("h")
    k = (net.matrix("B", n, n) @ h + h).named("k")
    if observe:
        observed(net, h, k)
    return net.readout("w", k)


def nonlinear(net, x, observe=True):
    n = net.hidden("N")
    h = (net.matrix("A", net.inputs, n) @ x).named("h")
    k = (net.matrix("B", n, n) @ net.apply("tanh", h).named("phi") + h).named("k")
    if observe:
        observed(net, h, k)
        net.observe("gate", net.apply(lambda a, b: sp.tanh(a) * b, h, k))
    return net.readout("w", net.apply("tanh", k).named("psi"))


def theories(forward, outputs=1, **arguments):
    """With observables, and without."""

    def without(net, x):
        return forward(net, x, observe=False)

    return [ds.derive(ds.network(f, name="n", outputs=outputs), **arguments) for f in (forward, without)]


def same(with_them, without):
    """Whether everything that both have is equal, bit for bit."""
    return all(with_them[name].equals(without[name]) for name in without.data_vars)


def moments(h, k):
    """The observables of arrays with sites along the first axis."""
    mean = lambda a: a.mean(axis=0)  # noqa: E731
    d = k - h / 3
    mixed = mean(h**2 * d**2 - h**3 * d / 2)
    return {
        "squares": mean(h * h),
        "across": mean(k * h),
        "fourth": mean(k**4) + 1,
        "mixed": mixed,
        "nested": mean((h**2 - k) * (h + k)),
        "ratio": mean(k * h) / np.sqrt(mean(h * h)),
    }


def trained_in_proportion(steps, dim, seed, alpha, nu, gamma, eta):
    """Observables of ``linear`` at every step of gradient descent: fields of ``v = X^T r / (alpha sqrt D)``."""
    rng = np.random.default_rng(seed)
    n, p = int(nu * dim), int(alpha * dim)
    a, b, w = rng.standard_normal((n, dim)), rng.standard_normal((n, n)), rng.standard_normal(n)
    x, teacher = rng.standard_normal((p, dim)), rng.standard_normal(dim)
    found = []
    for _ in range(steps):
        g = b.T @ w / np.sqrt(n) + w
        r = x @ (teacher - a.T @ g / (np.sqrt(dim) * gamma * nu)) / np.sqrt(dim)
        v = x.T @ r / np.sqrt(dim) / alpha
        h = a @ v / np.sqrt(dim)
        k = b @ h / np.sqrt(n) + h
        found.append(moments(h, k))
        a += eta * gamma * np.outer(g, v) / np.sqrt(dim)
        b += eta * gamma * np.outer(w, h) / np.sqrt(n)
        w = w + eta * gamma * k
    return {name: np.array([one[name] for one in found]) for name in NAMES}


def trained_on_samples(steps, width, seed, gamma, eta):
    """Those of ``nonlinear``, of all samples."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((width, 6)), rng.standard_normal((width, width))
    w = rng.standard_normal((width, 2))
    found = []
    for _ in range(steps):
        h = a @ X.T / np.sqrt(6)
        phi = np.tanh(h)
        k = b @ phi / np.sqrt(width) + h
        psi = np.tanh(k)
        found.append({**moments(h, k), "gate": (phi * k).mean(axis=0)})
        error = (Y - psi.T @ w / (gamma * width))[:3]
        g = (1 - psi[:, :3] ** 2) * (w @ error.T)
        z = (b.T @ g / np.sqrt(width)) * (1 - phi[:, :3] ** 2) + g
        step = eta * gamma / 3
        a += step * z @ X[:3] / np.sqrt(6)
        b += step * g @ phi[:, :3].T / np.sqrt(width)
        w = w + step * psi[:, :3] @ error
    return {name: np.array([one[name] for one in found]) for name in found[0]}


def z_scores(run, networks, name):
    """Of the mean over networks of this file, flattened; the error of a sampled run counts too."""
    values = np.array([network[name] for network in networks])
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    if f"{name}_sem" in run:
        error = np.hypot(error, run[f"{name}_sem"].values.reshape(error.shape))
    return (values.mean(axis=0) - run[name].values.reshape(error.shape)) / error


@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_in_proportion(backend):
    theory, plain = theories(linear)
    run = theory.solve(backend=backend, **PROPORTIONAL)
    exact = theory.solve(method="conditioning", **PROPORTIONAL)
    for name in NAMES:
        np.testing.assert_allclose(run[name], exact[name], rtol=1e-9)
        assert run[name].dims == ("step", "output")
    assert same(run, plain.solve(backend=backend, **PROPORTIONAL))
    assert same(exact, plain.solve(method="conditioning", **PROPORTIONAL))
    # the seed is fixed: 16 networks, and tens of correlated numbers; finite size is of order 1/D
    hand = [trained_in_proportion(8, 240, seed, 2, 0.8, 1.5, 0.08) for seed in range(12)]
    assert max(np.abs(z_scores(run, hand, name)).max() for name in NAMES) < 4.5
    sim = ds.simulate(theory, dim=300, seeds=8, **PROPORTIONAL)
    assert ds.compare(run, sim).within(4.5, allowance=0.02)
    assert set(NAMES) <= set(ds.compare(run, sim).summary)
    assert same(sim, ds.simulate(plain, dim=300, seeds=8, **PROPORTIONAL))
    assert run.squares.attrs["observable"] == "<h**2>"
    equation = theory.equations.observables["fourth"]
    assert equation.rhs == 3 * next(iter(equation.rhs.atoms(Correlation))) ** 2 + 1
    np.testing.assert_allclose(run.squares.values[:, 0], np.diag(run.C_h.values[:, 0, :, 0]), rtol=1e-12)
    wrong = run.assign(squares=1.4 * run.squares)
    assert not ds.compare(wrong, sim).within(4.5, allowance=0.02)


@pytest.mark.parametrize("backend", ["numpy", "mpmath"])
def test_of_other_back_ends(backend):
    theory, _ = theories(linear, outputs=2)
    options = {**PROPORTIONAL, "steps": 3}
    run, exact = theory.solve(backend=backend, **options), theory.solve(method="conditioning", **options)
    for name in NAMES:
        np.testing.assert_allclose(run[name], exact[name], rtol=1e-9)


def test_of_classes_of_modes():
    """A field that differs from class to class: the fourth moment is that of a mixture of Gaussians."""

    def forward(net, x):
        net.observe("flat", net.apply(lambda v: v**4, x))
        return linear(net, x)

    theory = ds.derive(ds.network(forward), data=ds.Proportional(spectrum=[(0.5, 2.0, 1.0), (0.5, 0.1, 3.0)]))
    run = theory.solve(backend="numpy", **PROPORTIONAL)
    np.testing.assert_allclose(run.flat, theory.solve(method="conditioning", **PROPORTIONAL).flat, rtol=1e-9)
    sim = ds.simulate(theory, dim=300, seeds=8, **PROPORTIONAL)
    assert ds.compare(run[["flat"]], sim).within(4.5, allowance=0.03)
    assert (run.flat > 4 * run.C_v.values[range(8), 0, range(8)] ** 2).all()  # more than that of one Gaussian


def test_along_a_flow():
    theory, plain = theories(linear, training=ds.GradientFlow())
    given = {key: PROPORTIONAL[key] for key in ("samples_per_dim", "width_per_dim", "richness")}
    run, other = (t.solve(time=[0, 0.2, 0.5], **given) for t in (theory, plain))
    assert run.mixed.dims == ("time", "output")
    assert same(run, other)
    small = ds.derive(theory.network).solve(method="conditioning", **given, learning_rate=0.001, steps=501)
    small = small.isel(step=[0, 200, 500])
    np.testing.assert_allclose(run.mixed, small.mixed, rtol=0.02)
    sim = ds.simulate(theory, time=[0, 0.2, 0.5], dim=200, seeds=2, **given)
    assert sim.mixed.dims == ("seed", "time", "output")


def test_of_sampled_networks():
    theory, plain = theories(nonlinear, outputs=2, data=DATA)
    options = {**SAMPLES, "sites": 4000}
    run = theory.solve(backend="numpy", **options)
    assert run.gate.dims == ("step", "sample")
    assert same(run, plain.solve(backend="numpy", **options))
    hand = [trained_on_samples(5, 400, seed, 1.5, 0.25) for seed in range(12)]
    for name in (*NAMES, "gate"):
        assert np.abs(z_scores(run, hand, name)).max() < 4.5
    equations = theory.solve(backend="numpy", method="equations", **{**options, "steps": 3})
    error = np.hypot(equations.gate_sem, run.gate_sem[:3])
    assert (abs(equations.gate - run.gate[:3]) < 4.5 * error).all()
    sim = ds.simulate(theory, width=400, seeds=6, **SAMPLES)
    assert ds.compare(run, sim).within(4.5, allowance=0.02)
    assert same(sim, ds.simulate(plain, width=400, seeds=6, **SAMPLES))


@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_of_the_two_time_equations_without_them(backend):
    theory, plain = theories(nonlinear, outputs=2, data=DATA)
    options = {**SAMPLES, "steps": 2, "sites": 400, "backend": backend}
    assert same(theory.solve(method="equations", **options), plain.solve(method="equations", **options))
    assert same(theory.solve(**options), plain.solve(**options))


def test_of_gaussian_networks_on_samples():
    """Exact by both methods: fourth moments leave the closure alone."""
    theory, plain = theories(linear, outputs=2, data=DATA)
    run, equations = theory.solve(**SAMPLES), theory.solve(method="equations", backend="numpy", **SAMPLES)
    for name in NAMES:
        np.testing.assert_allclose(run[name], equations[name], rtol=1e-9)
    assert same(run, plain.solve(**SAMPLES))
    assert same(equations, plain.solve(method="equations", backend="numpy", **SAMPLES))
    sampled = theory.solve(exact=False, backend="numpy", sites=16_000, replicas=32, **SAMPLES)
    assert (abs(sampled.fourth - run.fourth) < 4.5 * sampled.fourth_sem + 1e-9).all()


def tokens(net, x):
    """Observables with a label, and of a sum over it; a Gaussian tower beside a sampled one."""
    token, n, m = net.label("token", 2), net.hidden("N"), net.hidden("M")
    h = (net.matrix("A", net.inputs, n) @ x).named("h")
    tower = net.sum(net.matrix("C", net.inputs, m) @ x, over=token).named("tower")
    net.observe("each", net.apply(lambda a: a**4, h))
    net.observe("summed", net.sum(ds.mean(h * h), over=token))
    net.observe("plain", net.apply(lambda a: a**2, tower))
    k = net.apply("tanh", net.matrix("B", n, n) @ net.sum(h, over=token)).named("psi")
    return net.readout("w", k) + net.readout("u", net.matrix("E", m, m) @ tower)


def test_with_labels_and_mixed_processes():
    sequences = ds.Samples(RNG.standard_normal((3, 2, 5)), RNG.standard_normal((3, 1)), labels=("token",))
    theory = ds.derive(ds.network(tokens), data=sequences)
    options = {"richness": 1.5, "learning_rate": 0.2, "steps": 3, "sites": 4000, "backend": "numpy"}
    run, equations = theory.solve(**options), theory.solve(method="equations", **options)
    assert run.each.dims == ("step", "sample", "token")
    for name in ("each", "summed", "plain"):
        error = np.hypot(run[f"{name}_sem"], equations[f"{name}_sem"])
        assert (abs(run[name] - equations[name].transpose(*run[name].dims)) < 4.5 * error + 1e-9).all()
    sim = ds.simulate(theory, width=400, seeds=4, richness=1.5, learning_rate=0.2, steps=3)
    assert ds.compare(run, sim).within(5, allowance=0.03)


def test_at_every_layer():
    def forward(net, x):
        n = net.hidden("N")
        weights = net.matrix("W", n, n, layers=(1, net.depth - 1))

        def layer(number, h):
            k = weights[number] @ h
            net.observe("step_size", net.apply(lambda a, b: (a - b) ** 4, h, k))
            return k

        return net.readout("w", net.scan(layer, net.matrix("V", net.inputs, n) @ x, layers=(1, net.depth - 1)))

    theory = ds.derive(ds.network(forward, depth=3))
    assert str(theory.program) == str(ds.derive(ds.network(unobserved, name="forward", depth=3)).program)
    run, exact = (theory.solve(method=m, backend="numpy", **PROPORTIONAL) for m in ("equations", "conditioning"))
    assert run.step_size.dims == ("step", "step_size_layer", "output")
    assert run.step_size_layer.values.tolist() == [1, 2]
    np.testing.assert_allclose(run.step_size, exact.step_size, rtol=1e-9)
    # layers are uncorrelated within a step: <(h - k)^4> = 3 (<h h> + <k k>)^2
    squares = np.einsum("ltt->tl", run.C_h.values[:, :, 0, :, 0])
    np.testing.assert_allclose(run.step_size[:, :, 0], 3 * (squares[:, :-1] + squares[:, 1:]) ** 2, rtol=1e-9)


def unobserved(net, x):
    n = net.hidden("N")
    weights = net.matrix("W", n, n, layers=(1, net.depth - 1))
    first = net.matrix("V", net.inputs, n)
    return net.readout("w", net.scan(lambda l, h: weights[l] @ h, first @ x, layers=(1, net.depth - 1)))  # noqa: E741


def test_a_product_that_is_part_of_a_field():
    """``B h`` of ``k = B h + h``, whatever is computed first."""

    def forward(net, x):
        n = net.hidden("N")
        h = net.matrix("A", net.inputs, n) @ x
        part = net.matrix("B", n, n) @ h
        net.observe("part", part * part)
        return net.readout("w", part + h)

    theory = ds.derive(ds.network(forward))
    run, exact = (theory.solve(method=m, backend="numpy", **PROPORTIONAL) for m in ("equations", "conditioning"))
    np.testing.assert_allclose(run.part, exact.part, rtol=1e-9)
    assert ds.compare(run, ds.simulate(theory, dim=200, seeds=8, **PROPORTIONAL)).within(4.5, allowance=0.03)


def test_pairings():
    assert pairings((6,)) == ((15, ((0, 0), (0, 0), (0, 0))),)
    assert sum(count for count, _ in pairings((2, 3, 1))) == 15  # (n - 1)!! of n = 6 variables
    assert pairings((2, 1)) == ()


def bad(observe):
    def forward(net, x):
        n = net.hidden("N")
        h = (net.matrix("A", net.inputs, n) @ x).named("h")
        observe(net, h, n)
        return net.readout("w", h)

    return ds.network(forward)


@pytest.mark.parametrize(
    ("observe", "message"),
    [
        (lambda net, h, n: net.observe("f", h), "observe f: results have a variable or an axis of this name"),
        (lambda net, h, n: net.observe("C_h", h * h), "observe C_h: results have a variable"),
        (lambda net, h, n: net.observe("h", h * h), "observe h: a field, a kernel, a matrix or a label"),
        (lambda net, h, n: net.observe("r", h * h), "observe r: a field, a kernel, a matrix or a label"),
        (lambda net, h, n: net.observe(h * h, "q"), r"allowed is a name first, net\.observe\(\"q\""),
        (lambda net, h, n: net.observe("q", 3), "observe q: of a int; allowed are a vector"),
        (lambda net, h, n: [net.observe("q", h), net.observe("q", h)], "observe q: an observable of this name"),
        (
            lambda net, h, n: net.observe("q", net.apply("tanh", net.matrix("B", n, n) @ h)),
            r"observe q: B h is no field of the network.*name it where it is used",
        ),
        (
            lambda net, h, n: net.observe("q", net.apply(lambda a: a * net.parameter("c", 2.0), h * h)),
            "observe q: the parameter c is of no other use; write its number",
        ),
    ],
)
def test_refusals(observe, message):
    with pytest.raises(ProgramError, match=message):
        ds.derive(bad(observe))


def test_functions_without_an_average_in_closed_form():
    theory = ds.derive(bad(lambda net, h, n: net.observe("q", net.apply("tanh", h) * h)))
    for method in ("equations", "conditioning"):
        message = r"observables q: .* is no polynomial of the fields.*any function with ds\.simulate"
        with pytest.raises(ArgumentError, match=message):
            theory.solve(method=method, backend="numpy", **PROPORTIONAL)
    assert ds.simulate(theory, dim=50, seeds=2, **PROPORTIONAL).q.shape == (2, 8, 1)
    on_samples = ds.derive(theory.network, data=ds.Samples(X, Y[:, :1]))
    for method in ("equations", "conditioning"):
        with pytest.raises(ArgumentError, match='method="conditioning", exact=False'):
            on_samples.solve(method=method, backend="numpy", **SAMPLES)
    found = on_samples.solve(exact=False, backend="numpy", sites=800, **SAMPLES)
    assert (found.q > 0).all()


def test_taken_names_are_those_of_results():
    assert (
        set(_AXES) | {name for name in _VARIABLES if not name.endswith(("_loss", "_accuracy", "_alignment"))} <= TAKEN
    )


def test_outputs_with_fields_of_their_own():
    def heads(net, x):
        n = net.hidden("N")
        h = (net.matrix("A", net.inputs, n) @ x).named("h")
        net.observe("q", h * h)
        return net.readout("w", h, outputs=[0]) + net.readout("u", net.matrix("B", n, n) @ h, outputs=[1])

    with pytest.raises(ProgramError, match="observe q: allowed in proportion are networks whose readouts serve all"):
        ds.derive(ds.network(heads, outputs=2))
