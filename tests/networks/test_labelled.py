"""Labels of the user's own: bags of tokens, attention, known numbers, against networks trained by hand and written out.

``unrolled`` writes the tokens of a network as fields of their own, in Python; ``written_out`` does so with a program.
Finite networks of the same seeds have the same numbers to rounding, whichever of the three is run.
"""

from __future__ import annotations

import functools
import sys

import numpy as np
import pytest
import sympy as sp
import xarray as xr
from dmft_sym.codegen.programs.coordinates import write as write_coordinates
from evaluator import Evaluator
from labelled_networks import LABELLED, sequences

import dmft_sym as ds
from dmft_sym.cache.modules import load_module, program_key
from dmft_sym.derivation.site_equations import SiteWriter
from dmft_sym.derivation.symbols import ScalarAt
from dmft_sym.execution import run_coordinates, run_finite
from dmft_sym.networks.parameters import ETA, GAMMA, INIT_VARIANCE
from dmft_sym.program import OUTPUTS, SAMPLES, ProgramError
from dmft_sym.program.written_labels import written_out
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.support.real_arrays import DataError

TOKENS, STEPS, WIDTH = 3, 5, 40
RNG = np.random.default_rng(4)
X, Y = RNG.standard_normal((3, TOKENS, 6)), RNG.standard_normal((3, 2))
SEQUENCES = ds.Samples(X, Y, labels=("token",))
SHORT = ds.Samples(X[:2], Y[:2, :1], labels=("token",))
PLAIN = ds.Samples(X[:, 0], Y)
SCALES = (0.5, 1.0, 2.0)
ARGUMENTS = {"steps": STEPS, "learning_rate": 0.4, "richness": 1.5, "init_std": 1.2}
VALUES = {ETA: 0.4, GAMMA: 1.5, INIT_VARIANCE: 1.2**2, SAMPLES: 3}


def bag(net, x, nonlinear=True):
    """The same matrix and a nonlinearity on every token, a sum, and another layer."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    phi = (lambda h: net.apply("tanh", h)) if nonlinear else (lambda h: h)
    h = phi(net.matrix("W", net.inputs, n) @ x)
    return net.readout("w", phi(net.matrix("V", n, n) @ net.sum(h, over=token)))


def attention(net, x, nonlinear=True):
    token, n = net.label("token", TOKENS), net.hidden("N")
    other = token.copy()
    q, k, v = (net.matrix(name, net.inputs, n) @ x for name in "QKV")
    weights = ds.softmax(ds.mean(q * k.at(other)), over=other)
    h = net.sum(weights * v.at(other), over=other)
    return net.readout("w", net.sum(net.apply("tanh", h) if nonlinear else h, over=token))


def positions(net, x):
    """Data without tokens: every token is another multiple of one input, seen through a nonlinearity and attention."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    other = token.copy()
    e = net.apply("tanh", (net.matrix("E", net.inputs, n) @ x) * token.values(SCALES))
    k, v = (net.matrix(name, n, n) @ e for name in "KV")
    weights = ds.softmax(2 * ds.mean(e * k.at(other)) / ds.norm(e), over=other)
    h = net.apply("tanh", net.sum(weights * v.at(other), over=other))
    return net.readout("w", ds.mean(h, over=token))


def unrolled(net, x):
    """``positions``, token by token in Python."""
    n = net.hidden("N")
    first = net.matrix("E", net.inputs, n) @ x
    e = [net.apply("tanh", scale * first) for scale in SCALES]
    key, value = (net.matrix(name, n, n) for name in "KV")
    k, v = [key @ token for token in e], [value @ token for token in e]
    norms = [net.mean(f"q{i}", lambda h: h**2, token) for i, token in enumerate(e)]
    scores = [[net.mean(f"s{i}{j}", lambda a, b: a * b, a, b) for j, b in enumerate(k)] for i, a in enumerate(e)]

    def mixed(*given):
        values, size, row = given[:TOKENS], sp.sqrt(given[TOKENS]), given[TOKENS + 1 :]
        shares = [sp.exp(2 * score / size) for score in row]
        return sum(share * value for share, value in zip(shares, values, strict=True)) / sum(shares)

    h = [net.apply("tanh", net.apply(mixed, *v, norms[i], *scores[i])) for i in range(TOKENS)]
    return net.readout("w", sum(h) / TOKENS)


@functools.cache
def theory(forward, data=SEQUENCES, outputs=2, **training):
    return ds.derive(ds.network(forward, outputs=outputs), data=data, training=ds.GradientDescent(**training))


def finite(program, data, seed=3):
    return run_finite(program, VALUES, 2, STEPS, WIDTH, seed, data=data)


def outputs_of(result):
    return next(values for ref, values in result.scalars.items() if ref.scalar.name == "f")


# The same network, written in other ways


def test_finite_networks_are_those_unrolled_by_hand():
    ours, theirs = (
        outputs_of(finite(theory(forward, PLAIN).program, PLAIN.given)) for forward in (positions, unrolled)
    )
    assert np.abs(ours[-1] - ours[0]).max() > 0.3
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("forward", [bag, attention])
def test_finite_networks_are_those_of_the_program_written_out(forward):
    program = theory(forward).program
    given = {"y": Y, **{f"x_{k}": X[:, k] for k in range(TOKENS)}}
    ours, theirs = outputs_of(finite(program, SEQUENCES.given)), outputs_of(finite(written_out(program), given))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


class Weights:
    """Arrays of a finite network, drawn as `run_finite` does, and trained with gradients of the mean loss."""

    def __init__(self, program, seed=3):
        shapes = {m.name: (WIDTH, 6 if m.source.finite else WIDTH) for m in program.matrices}
        streams = np.random.SeedSequence(seed).spawn(len(shapes) + 1)
        draws = [np.random.default_rng(stream) for stream in streams]
        self.arrays = {
            name: rng.standard_normal(shape) * 1.2 for (name, shape), rng in zip(shapes.items(), draws, strict=False)
        }
        self.arrays["w"] = draws[-1].standard_normal((2, WIDTH)) * 1.2

    def learn(self, gradients):
        """All arrays have entries of order one, and the learning rate ``eta0 gamma0^2 N``."""
        for name, gradient in gradients.items():
            self.arrays[name] -= VALUES[ETA] * VALUES[GAMMA] ** 2 * WIDTH * gradient

    def __getitem__(self, name):
        """The array as it acts: divided by the square root of its input dimension."""
        array = self.arrays[name]
        return array / (np.sqrt(array.shape[1]) if name != "w" else VALUES[GAMMA] * WIDTH)


def bag_by_hand(weights):
    """Outputs, and gradients of the mean loss, by matrix calculus over (sample, token, site)."""
    w, first, second = weights["w"], weights["W"], weights["V"]
    phi = np.tanh(X @ first.T)
    total = phi.sum(1)
    top = np.tanh(total @ second.T)
    f = top @ w.T
    error = (f - Y) / len(Y)
    back = (error @ w) * (1 - top**2)
    inner = (back @ second)[:, None] * (1 - phi**2)
    return f, {
        "w": error.T @ top / (VALUES[GAMMA] * WIDTH),
        "V": back.T @ total / np.sqrt(WIDTH),
        "W": np.einsum("mti,mtd->id", inner, X) / np.sqrt(6),
    }


def attention_by_hand(weights):
    w = weights["w"]
    q, k, v = (X @ weights[name].T for name in "QKV")
    scores = np.einsum("min,mjn->mij", q, k) / WIDTH
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    h = np.tanh(np.einsum("mij,mjn->min", shares, v))
    f = h.sum(1) @ w.T
    error = (f - Y) / len(Y)
    back = (error @ w)[:, None] * (1 - h**2)
    of_shares = np.einsum("min,mjn->mij", back, v)
    of_scores = shares * (of_shares - (shares * of_shares).sum(-1, keepdims=True)) / WIDTH
    backs = {
        "Q": np.einsum("mij,mjn->min", of_scores, k),
        "K": np.einsum("mij,min->mjn", of_scores, q),
        "V": np.einsum("mij,min->mjn", shares, back),
    }
    gradients = {name: np.einsum("mti,mtd->id", g, X) / np.sqrt(6) for name, g in backs.items()}
    return f, {"w": error.T @ h.sum(1) / (VALUES[GAMMA] * WIDTH), **gradients}


@pytest.mark.parametrize(("forward", "by_hand"), [(bag, bag_by_hand), (attention, attention_by_hand)])
def test_finite_networks_are_those_trained_by_hand(forward, by_hand):
    program = theory(forward).program
    found, weights, wanted = outputs_of(finite(program, SEQUENCES.given)), Weights(program), []
    for _ in range(STEPS):
        f, gradients = by_hand(weights)
        wanted.append(f)
        weights.learn(gradients)
    assert np.abs(found[-1] - found[0]).max() > 0.3
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


# The infinite network


def run(forward, method, sites, backend="numpy", data=SEQUENCES, **more):
    solver = theory(forward, data).compile(backend)
    return solver(method=method, sites=sites, replicas=8, **{**ARGUMENTS, **more})


def worst(ours, theirs, allowed=0.0):
    """Largest difference of outputs in combined standard errors."""
    gap = np.abs(ours.f - theirs.f) - allowed
    return float((gap / np.hypot(ours.f_sem, theirs.f_sem)).isel(step=slice(1, None)).max())


def worst_of_networks(ours, theirs):
    """The same for finite networks."""
    error = theirs.f.std("seed", ddof=1) / np.sqrt(theirs.sizes["seed"])
    return worst(ours, xr.Dataset({"f": theirs.f.mean("seed"), "f_sem": error}))


@pytest.mark.parametrize(
    ("forward", "data"),
    [
        (bag, SEQUENCES),
        pytest.param(attention, SEQUENCES, marks=pytest.mark.slow),
        pytest.param(positions, PLAIN, marks=pytest.mark.slow),
    ],
    ids=["bag", "attention", "positions"],
)
def test_generated_module_is_the_plain_arithmetic(forward, data):
    ours, theirs = (run(forward, "conditioning", 800, backend, data) for backend in ("numba", "numpy"))
    np.testing.assert_allclose(ours.f, theirs.f, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(ours.NTK, theirs.NTK, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("forward", "sites"),
    [
        *(pytest.param(f, 1_600, marks=pytest.mark.slow) for f in (bag, attention)),
        *(pytest.param(f, 40_000, marks=pytest.mark.slow) for f in (bag, attention)),
    ],
)
def test_conditioning_and_equations_agree(forward, sites):
    steps = STEPS if sites > 10_000 else 3
    ours, theirs = (run(forward, *how, steps=steps) for how in (("conditioning", 4 * sites), ("equations", sites)))
    assert worst(ours, theirs) < 4
    assert float(ours.f_sem.max()) < 0.05


@pytest.mark.parametrize("forward", [attention, *(pytest.param(f, marks=pytest.mark.slow) for f in (bag, positions))])
def test_finite_networks_agree_with_the_infinite_one(forward):
    data = PLAIN if forward is positions else SEQUENCES
    ours = run(forward, "conditioning", 32_000, data=data)
    theirs = ds.simulate(theory(forward, data), width=300, seeds=16, **ARGUMENTS)
    assert worst_of_networks(ours, theirs) < 4.5


@pytest.mark.parametrize(
    "name",
    ["mixed", *(pytest.param(name, marks=pytest.mark.slow) for name in LABELLED if name != "mixed")],
)
def test_many_ways_in_which_labels_meet(name):
    """Conditioning, equations and finite networks."""
    network = ds.network(LABELLED[name])
    made = ds.derive(network, data=sequences(5, 2, outputs=1))
    arguments = {"steps": 4, "learning_rate": 0.2, "richness": 1.5, "replicas": 8}
    how = {"conditioning": 32_000, "equations": 1_600}
    ours, theirs = (made.compile("numpy")(method=m, sites=sites, **arguments) for m, sites in how.items())
    assert worst(ours, theirs) < 4
    del arguments["replicas"]
    assert worst_of_networks(ours, ds.simulate(made, width=300, seeds=16, **arguments)) < 4.5


FAST = "pairs"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == FAST else pytest.mark.slow) for name in LABELLED]
)
def test_generated_modules_of_many_networks(name):
    network = ds.network(LABELLED[name], outputs=2)
    made = ds.derive(network, data=sequences(5, 2))
    arguments = {"steps": 4, "learning_rate": 0.2, "richness": 1.5, "replicas": 4, "sites": 800}
    ours, theirs = (made.compile(backend)(**arguments) for backend in ("numba", "numpy"))
    np.testing.assert_allclose(ours.f, theirs.f, rtol=1e-11, atol=1e-11)


def test_compiled_coordinates_sum_over_labels():
    def forward(net, x):
        token, n = net.label("token", TOKENS), net.hidden("N")
        h = net.matrix("W", net.inputs, n) @ x
        o = net.sum(h * token.values(SCALES), over=token) + net.matrix("K", n, n) @ net.sum(h, over=token)
        return net.readout("w", net.matrix("V", n, n) @ o)

    made = ds.derive(ds.network(forward), data=SHORT)
    module = load_module(program_key("any plan", "coordinates"), "coordinates", write_coordinates)
    values = run_arguments(made, 20, {"learning_rate": 0.1, "richness": 1.0}).values
    ours, theirs = (
        outputs_of(run_coordinates(made.program, values, 1, 20, data=SHORT.given, module=m)) for m in (module, None)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


def test_linear_attention_is_exact_by_both_methods():
    """At given weights of the average the network is linear in its fields: no sampling, and the same numbers."""
    linear = theory(functools.partial(attention, nonlinear=False))
    arguments = {**ARGUMENTS, "steps": 3}
    exact = {method: linear.compile("numpy")(method=method, **arguments) for method in ("conditioning", "equations")}
    assert all(run.attrs["exact"] for run in exact.values())
    assert float(np.abs(np.diff(exact["equations"].f, axis=0)).max()) > 0.1
    for name in ("f", "NTK", "H5", "G1"):
        np.testing.assert_allclose(exact["conditioning"][name], exact["equations"][name], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("activation", ["h", "tanh"])
def test_a_label_with_one_value_is_none(activation):
    """Samples of one token each have the numbers, by equations, of samples without tokens."""

    def plain(net, x):
        n = net.hidden("N")
        return net.readout("w", net.matrix("V", n, n) @ net.apply(activation, net.matrix("W", net.inputs, n) @ x))

    def labelled(net, x):
        token, n = net.label("token", 1), net.hidden("N")
        h = net.apply(activation, net.matrix("W", net.inputs, n) @ x)
        return net.readout("w", net.sum(net.matrix("V", n, n) @ h, over=token))

    arguments = {**ARGUMENTS, "steps": 3, "method": "equations"} | ({"sites": 200} if activation == "tanh" else {})
    one = ds.Samples(X[:, :1], Y, labels=("token",))
    runs = [
        ds.derive(ds.network(forward, outputs=2), data=data).compile("numpy")(**arguments)
        for forward, data in ((labelled, one), (plain, PLAIN))
    ]
    np.testing.assert_allclose(runs[0].f, runs[1].f, rtol=1e-12, atol=1e-14)


def shared_terms(net, x):
    """Without the label, and added to every token: a bias, the mean of the tokens, and a layer of their sum."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    h = net.matrix("W", net.inputs, n) @ x
    e = h - ds.mean(h, over=token) / 2 + net.vector("b", n) + net.matrix("V", n, n) @ net.sum(h, over=token)
    return net.readout("w", net.sum(e, over=token) + ds.mean(e * token.values(SCALES), over=token))


def two_places(net, x):
    """Sums of vectors at two tokens that are not multiplied."""
    token, n = net.label("token", TOKENS), net.hidden("N")
    other = token.copy()
    h = net.matrix("W", net.inputs, n) @ x
    e = (h - (net.matrix("V", n, n) @ h).at(other)) * token.values(np.arange(9.0).reshape(3, 3) / 8, other)
    return net.readout("w", net.sum(net.sum(e, over=other), over=token))


@pytest.mark.parametrize("forward", [shared_terms, two_places])
def test_terms_with_different_labels_are_exact_by_both_methods(forward):
    made = theory(forward, SHORT, outputs=1)
    how = {"steps": 4, "learning_rate": 0.01, "richness": 1.2}
    ours, theirs = (made.compile("numpy")(method=method, **how) for method in ("conditioning", "equations"))
    assert ours.attrs["exact"] and theirs.attrs["exact"]
    assert float(np.abs(np.diff(theirs.f, axis=0)).max()) > 1e-2
    for name in ("f", "NTK"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-9)
    exact = ours.assign(f_sem=xr.zeros_like(ours.f))
    assert worst_of_networks(exact, ds.simulate(made, width=300, seeds=16, **how)) < 4.5


def test_adjoints_without_a_label_count_once_for_each_of_its_values():
    def forward(net, x):
        token, n = net.label("token", TOKENS), net.hidden("N")
        h = net.matrix("W", net.inputs, n) @ x + net.vector("b", n)
        return net.readout("w", net.sum(h, over=token))

    made = theory(forward, SHORT, outputs=1)
    rules = {rule.target.declared.name: rule.terms for rule in made.program.learned.values()}
    assert rules["b"][0].coefficient == TOKENS * rules["W"][0].coefficient


def test_results_have_the_label_at_both_places():
    kernels = run(attention, "conditioning", 800)
    assert kernels.H2.dims == ("kernel_step", "sample", "token", "sample2", "token2")
    assert kernels.f.dims == ("step", "sample", "output")
    assert kernels.NTK.dims == ("kernel_step", "sample", "output", "sample2", "output2")
    assert kernels.sizes["token"] == TOKENS


@pytest.mark.parametrize("forward", [bag, pytest.param(attention, marks=pytest.mark.slow)])
def test_momentum_decay_and_test_samples(forward):
    data = ds.Samples(X[:2], Y[:2], test_inputs=X[2:], test_targets=Y[2:], labels=("token",))
    trained = theory(forward, data, momentum=0.3, weight_decay=0.05)
    arguments = {**ARGUMENTS, "steps": 3, "sites": 1_600}
    ours, theirs = (trained.compile("numpy")(method=m, **arguments) for m in ("conditioning", "equations"))
    assert "test_loss" in ours
    assert worst(ours, theirs) < 4


@pytest.mark.parametrize("rule", ["clip", "schedule"])
def test_training_rules_go_through_labels(rule):
    rules = {"clip": {"clip": 0.3}, "schedule": {"schedule": "cosine", "momentum": 0.5, "nesterov": True}}
    trained = theory(bag, SHORT, outputs=1, **rules[rule])
    arguments = {**ARGUMENTS, "steps": 4}
    how = {"conditioning": 16_000, "equations": 1_600}
    ours, theirs = (trained.compile("numpy")(method=m, sites=sites, **arguments) for m, sites in how.items())
    assert worst(ours, theirs) < 4
    assert worst_of_networks(ours, ds.simulate(trained, width=300, seeds=16, **arguments)) < 4.5


# Equations


def test_program_and_equations_say_what_is_summed():
    program = theory(attention).program
    text = str(program)
    assert "for every sample mu, token i = 0..2, other_token j = 0..2 and output c" in text
    assert "a1 = softmax(m1) along other_token" in text
    assert "h6 = sum_{j} (a1*h5)" in text
    assert "h3 = h1[i = j]" in text
    latex = program._repr_latex_()
    assert r"h_{6, \mu i}(t) &= + \sum_{j}" in latex.replace("&= \\sum", "&= + \\sum")
    single = theory(attention).equations.single_site
    (i, j), h1, phi1 = sp.symbols("i j", integer=True, nonnegative=True), single["h1"], single["h6"]
    assert phi1.rhs.atoms(sp.Sum) and phi1.rhs.limits[0] == (j, 0, TOKENS - 1)
    assert i in h1.lhs.args
    assert single["a1"].rhs.args[1] == j


class LabelledEvaluator(Evaluator):
    """Equations with ``softmax`` along a label."""

    def compiled(self, e):
        if getattr(e.func, "__name__", "") != "softmax":
            return super().compiled(e)
        scores, along = self.compiled(e.args[0]), e.args[1]

        def value(env):
            shares = [np.exp(scores({**env, along: k})) for k in range(TOKENS)]
            return shares[env[along]] / sum(shares)

        return value


def evaluator(theory, equations, given=None):
    """Of a theory of two sequences with one output."""
    gram = theory.data.gram.reshape(2, TOKENS, 2, TOKENS)
    known = {"K_x": lambda *at: gram[at], "y": lambda *at: theory.data.targets[at]}
    values = {"gamma": 2.0, "eta0": 0.3, "s2": 1.0, "C": 1, "P": 2}
    numbers = {s: values[s.name] for s in {*theory.program.parameters, OUTPUTS, SAMPLES}}
    return LabelledEvaluator(equations, numbers, {**known, **(given or {})})


@pytest.mark.parametrize(
    ("forward", "steps"), [(bag, 2), *(pytest.param(f, 3, marks=pytest.mark.slow) for f in (bag, attention))]
)
def test_equations_of_linear_networks_are_those_that_are_solved(forward, steps):
    """Those of the derivation, with labels, are evaluated as they stand; what is solved has them written out."""
    linear = ds.derive(ds.network(lambda net, x: forward(net, x, nonlinear=False)), data=SHORT)
    run = linear.compile("numpy")(steps=steps, richness=2.0, learning_rate=0.3, method="equations")
    evaluate = evaluator(linear, linear.equations.closed.items)
    found = [[evaluate("f", t, sample, 0) for sample in range(2)] for t in range(steps)]
    assert np.abs(found[-1]).max() > 0.1
    np.testing.assert_allclose(found, run.f.values[..., 0], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("forward", [bag, pytest.param(attention, marks=pytest.mark.slow)])
def test_equations_of_nonlinear_networks_are_those_that_are_sampled(forward):
    """With the Gaussian fields of the sites of a run, which are called by the use of a matrix: one for every token."""
    made, scope, seen = ds.derive(ds.network(forward), data=SHORT), {}, {}
    exec(made.source("numpy", method="equations"), scope)  # our own generated source
    run = scope["march"](
        np.random.default_rng(0),
        steps=2,
        sites=6,
        gram=SHORT.gram,
        targets=SHORT.targets,
        gamma=2.0,
        eta0=0.3,
        s2=1.0,
        inspect=lambda *_: seen.update(sys._getframe(1).f_locals),
    )
    given, writer = {}, SiteWriter(made.site_builder)
    for noise in made.noises:

        def values(*labels, slots=writer.noise(noise, None).slots, name=noise.name, initial=noise.initial):
            at = dict(zip(slots, labels, strict=True))
            place = f"_{at['token'] + 1}" if "token" in at else ""
            field = seen[f"{name}_0" if initial else f"{name}{place}"]
            return field.values[at.get("step", 0), at.get("sample", 0), at.get("output", 0)]

        given[writer.noise(noise, None).func.__name__] = values
    fields = [item for item in made.equations.single_site.items if not isinstance(item.left, ScalarAt)]
    evaluate = evaluator(made, [*fields, *made.equations.closed.items], given)
    found = [[evaluate("f", t, sample, 0) for sample in range(2)] for t in range(2)]
    assert np.abs(np.diff(found, axis=0)).max() > 0.01
    np.testing.assert_allclose(found, run["scalars"]["f"][:, :, 0], rtol=1e-12, atol=1e-13)


def test_known_numbers_are_part_of_the_program():
    text = str(theory(positions, PLAIN).program)
    assert "scalar token_values1[i] = (0.5, 1.0, 2.0)" in text


# What does not fit


def refused(forward, data=SEQUENCES):
    with pytest.raises(ProgramError) as caught:
        ds.derive(ds.network(forward, outputs=2), data=data)
    return str(caught.value)


def made(body):
    """A network of hidden vectors ``h`` with tokens; ``body(net, h, token)`` is read out."""

    def forward(net, x):
        token, n = net.label("token", TOKENS), net.hidden("N")
        h = net.matrix("W", net.inputs, n) @ x
        return net.readout("w", body(net, h, token))

    return forward


def test_mistakes_say_what_to_change():
    found = refused(made(lambda net, h, token: net.apply("tanh", h)))
    assert found == (
        "readout w: what it reads carries token; sum over it first, net.sum(h, over=token), or ds.mean(h, over=token)"
    )
    found = refused(made(lambda net, h, token: net.sum(net.sum(h, over=token), over=token)))
    assert found.startswith("sum over token: ") and "carries sample and not token" in found
    found = refused(made(lambda net, h, token: net.sum(h, over=token.copy())))
    assert "carries sample and token and not other_token; sum over token, or take a factor .at(other_token)" in found
    found = refused(made(lambda net, h, token: ds.softmax(ds.mean(h * h), over=token.copy()) * h))
    assert found.startswith("softmax over other_token: ")
    assert "softmax of a vector" in refused(made(lambda net, h, token: ds.softmax(h, over=token)))
    assert "over = 'token': allowed is a label" in refused(made(lambda net, h, token: net.sum(h, over="token")))
    assert "it is at the values of token already" in refused(made(lambda net, h, token: h.at(token)))
    assert ".at('token'): allowed is a copy of a label" in refused(made(lambda net, h, token: h.at("token")))
    assert "allowed are 3 finite numbers" in refused(made(lambda net, h, token: h * token.values([1.0, 2.0])))
    assert "declared twice" in refused(made(lambda net, h, token: net.sum(h, over=net.label("token", 3))))


def test_data_and_forward_pass_have_the_same_labels():
    four = ds.Samples(np.ones((2, 4, 3)), Y[:2], labels=("token",))
    assert refused(bag, four) == "label token of size 3: allowed is 4, that of the data"
    assert "carries sample and not token; data carry it if they have the shape (samples, token, D)" in refused(
        bag, PLAIN
    )
    words = ds.Samples(X, Y, labels=("word",))
    assert "sum over token: " in refused(bag, words)
    found = refused(lambda net, x: net.readout("w", net.matrix("W", net.inputs, net.hidden("N")) @ x))
    assert "with token = net.label('token', 3)" in found
    with pytest.raises(DataError, match=r"\(3, 3, 6\): allowed is shape \(P, D\); with labels=\(\"token\",\) it is"):
        ds.Samples(X, Y)
    with pytest.raises(DataError, match=r"inputs have shape \(3, 6\): allowed is shape \(P, token, D\)"):
        ds.Samples(X[:, 0], Y, labels=("token",))
    with pytest.raises(DataError, match="allowed are different names"):
        ds.Samples(X[:, None], Y, labels=("token", "token"))
    with pytest.raises(ProgramError, match="label token: labels need given samples"):
        ds.derive(ds.network(bag))
