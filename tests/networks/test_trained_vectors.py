"""Biases and gains: vectors that are the same for all samples and learn the sum of what readouts learn one by one."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from samples_and_scores import made_samples, worst_z
from test_samples_gradients import check

import dmft_sym as ds
from dmft_sym.program import ProgramError

RUN = {"richness": 2.0, "learning_rate": 0.2, "steps": 6}


def biased(net, x):
    """A bias for every layer, the first one from zero, and a gain before the readout."""
    n = net.hidden("N")
    bias = net.vector("b", n, layers=(1, net.depth - 1))
    weights = net.matrix("W", n, n, layers=(1, net.depth - 1))
    first = net.matrix("W0", net.inputs, n) @ x + net.vector("b0", n, init=0)
    h = net.scan(lambda layer, h: weights[layer] @ np.tanh(h) + bias[layer], first, layers=(1, net.depth - 1))
    return net.readout("w", net.vector("a", n) * np.tanh(h))


def linear(net, x):
    n = net.hidden("N")
    bias = net.vector("b", n, layers=(1, net.depth - 1))
    weights = net.matrix("W", n, n, layers=(1, net.depth - 1))
    first = net.matrix("W0", net.inputs, n) @ x - net.vector("b0", n, init=0.5)
    return net.readout(
        "w", net.scan(lambda layer, h: weights[layer] @ h + bias[layer], first, layers=(1, net.depth - 1))
    )


def shared(net, x):
    """One vector at every layer, where it is added and where it multiplies, in spaces of two widths."""
    n, narrow = net.hidden("N"), net.hidden("M", 0.5)
    v, weights = net.vector("v", n), net.matrix("W", n, n)
    h = net.scan(
        lambda _, h: weights @ net.apply(lambda a, b: sp.tanh(a) * b, h, v) + v / 2,
        net.matrix("W0", net.inputs, n) @ x,
        layers=(1, 2),
    )
    return net.readout("w", np.tanh(net.matrix("R", n, narrow) @ h + net.vector("c", narrow)))


NETWORKS = {"biased": biased, "linear": linear, "shared": shared}


def theory_of(name, count=3, outputs=2, training=None):
    network = ds.network(NETWORKS[name], depth=3 if name != "shared" else None, outputs=outputs)
    return ds.derive(network, data=made_samples(50, count, outputs), training=training or ds.GradientDescent())


@pytest.mark.parametrize("name", NETWORKS)
def test_vectors_descend_the_gradient(name):
    check(theory_of(name))


def test_a_vector_is_printed_as_one():
    text = str(theory_of("biased").program)
    assert "  vector b[1..L - 1] in N: sites N(0, s2)\n" in text
    assert "  vector b0 in N: sites N(0, 0)\n" in text
    assert "        h[l + 1] = W[l] phi1[l] + b[l]\n" in text
    assert "    learn b[l]: (eta0*gamma/P) Delta g[l + 1]\n" in text
    assert "unit" not in text


def test_its_equation_has_no_kernel_of_the_inputs():
    """A vector moves by the sum of the adjoints, whose overlap with every sample is one."""
    theory = theory_of("linear")
    assert "unit_" not in theory.to_latex()
    first = next(e for e in theory.equations.single_site if str(e.lhs).startswith("h(1"))
    names = {str(part.func) for part in first.rhs.atoms(sp.Function)}
    assert "K_unit_input" not in names
    assert {"K_x", "u_b0", "u_W0", "g"} <= names


@pytest.mark.parametrize(
    "training", [None, ds.GradientDescent(momentum=0.5, weight_decay=0.02)], ids=["plain", "momentum and decay"]
)
def test_both_methods_agree_where_all_is_linear(training):
    theory = theory_of("linear", training=training)
    slow = {**RUN, "learning_rate": 0.05}
    found = [theory.compile("numpy")(method=m, kernels=[0, 5], **slow) for m in ("conditioning", "equations")]
    for name in ("f", "NTK", "H", "G"):
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=0, atol=1e-12 * abs(found[0][name]).max())
    assert abs(found[0].f.isel(step=-1)).max() > 0.1


def test_compiled_conditioning_of_a_linear_network():
    theory = theory_of("linear")
    plain, compiled = (theory.compile(backend)(method="conditioning", **RUN) for backend in ("numpy", "numba"))
    np.testing.assert_allclose(plain.f, compiled.f, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["biased", pytest.param("shared", marks=pytest.mark.slow)])
def test_generated_sampled_solver_is_the_plain_one(name):
    theory = theory_of(name, training=ds.GradientDescent(momentum=0.5, weight_decay=0.02))
    arguments = {**RUN, "sites": 400, "replicas": 2, "kernels": [5]}
    plain, generated = (theory.compile(backend)(**arguments) for backend in ("numpy", "numba"))
    for part in ("f", "NTK"):
        np.testing.assert_allclose(plain[part], generated[part], rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ["biased", pytest.param("shared", marks=pytest.mark.slow)])
def test_sampled_methods_and_finite_networks_agree(name):
    theory = theory_of(name)
    run = theory.compile("numpy")(sites=24_000, replicas=16, kernels=[0, 5], **RUN)
    sim = ds.simulate(theory, width=600, seeds=12, kernels=[0, 5], **RUN)
    assert worst_z(run, sim, "f", 4 * (1 / 600 + 16 / 24_000)) < 4
    assert worst_z(run, sim, "NTK", 10 * (1 / 600 + 16 / 24_000)) < 4
    assert abs(run.f.isel(step=-1)).max() > 10 * run.f_sem.max()


@pytest.mark.parametrize(
    ("name", "sites"),
    [("biased", 2_000), *(pytest.param(name, 16_000, marks=pytest.mark.slow) for name in ("biased", "shared"))],
)
def test_equations_of_sampled_sites_agree_with_conditioning(name, sites):
    theory = theory_of(name, outputs=1)
    first = theory.compile("numpy")(sites=3 * sites // 2, replicas=8, **RUN)
    second = theory.compile("numpy")(method="equations", sites=sites, replicas=8, **RUN)
    z = (first.f - second.f) / np.hypot(first.f_sem, second.f_sem)
    assert abs(z.isel(step=slice(1, None))).max() < 4


def tokens(net, x):
    """A bias and a gain of all tokens of a sequence."""
    n, token = net.hidden("N"), net.label("token", 2)
    h = net.vector("a", n) * np.tanh(net.matrix("W0", net.inputs, n) @ x + net.vector("b", n))
    return net.readout("w", net.sum(np.tanh(net.matrix("W", n, n) @ h), over=token))


@pytest.mark.parametrize("other", ["finite", pytest.param("generated", marks=pytest.mark.slow)])
def test_one_vector_for_all_values_of_a_label(other):
    rng = np.random.default_rng(52)
    data = ds.Samples(rng.standard_normal((3, 2, 5)), rng.standard_normal(3), labels=("token",))
    theory = ds.derive(ds.network(tokens), data=data)
    if other == "finite":
        check(theory)
        return
    plain, generated = (theory.compile(backend)(sites=400, replicas=2, **RUN) for backend in ("numpy", "numba"))
    np.testing.assert_allclose(plain.f, generated.f, rtol=0, atol=1e-11)


def hand_written(seed, width, data, richness, learning_rate, steps):
    """Training of `biased` at depth two by its formulas: nothing of the toolkit is used."""
    rng = np.random.default_rng(seed)
    x, y = data.inputs, data.targets[:, 0]
    count, dim = x.shape
    first = rng.standard_normal((width, dim)) / np.sqrt(dim)
    inner = rng.standard_normal((width, width)) / np.sqrt(width)
    b0, b, a, w = np.zeros(width), *rng.standard_normal((3, width))
    found = []
    for _ in range(steps):
        h1 = x @ first.T + b0
        h2 = np.tanh(h1) @ inner.T + b
        out = a * np.tanh(h2)
        found.append(out @ w / (richness * width))
        error = y - found[-1]
        g2 = w * a * (1 - np.tanh(h2) ** 2)
        g1 = (g2 @ inner) * (1 - np.tanh(h1) ** 2)
        rate = learning_rate * richness / count
        w, a = w + rate * error @ out, a + rate * error @ (w * np.tanh(h2))
        inner = inner + rate * (error[:, None] * g2).T @ np.tanh(h1) / width
        first = first + rate * (error[:, None] * g1).T @ x / dim
        b0, b = b0 + rate * error @ g1, b + rate * error @ g2
    return np.array(found)


def test_a_trainer_written_by_hand():
    width, seeds = 400, 24
    data = made_samples(51, 3)
    theory = ds.derive(ds.network(biased, depth=2), data=data)
    run = theory.compile("numpy")(sites=24_000, replicas=16, **RUN)
    f = np.array([hand_written(seed, width, data, **RUN) for seed in range(seeds)])
    gap = np.abs(f.mean(0) - run.f.values[..., 0]) - 4 * (1 / width + 16 / 24_000) * abs(run.f.values).max()
    errors = np.hypot(f.std(0, ddof=1) / np.sqrt(seeds), run.f_sem.values[..., 0])
    assert np.max(gap / errors) < 4
    # without its biases the network would be somewhere else
    assert np.abs(run.f.values[-1, :, 0]).max() > 0.2


def test_a_frozen_vector_keeps_its_value():
    def forward(net, x):
        n = net.hidden("N")
        return net.readout("w", np.tanh(net.matrix("W0", net.inputs, n) @ x + net.vector("b", n, train=False)))

    theory = ds.derive(ds.network(forward), data=made_samples(52, 3))
    assert "learn b" not in str(theory.program)


def test_its_learning_rate_is_a_factor_on_that_of_the_run():
    def forward(net, x, **options):
        n = net.hidden("N")
        h = np.tanh(net.matrix("W0", net.inputs, n, train=False) @ x + net.vector("b", n, **options))
        return net.readout("w", h, train=False)

    data = made_samples(53, 3)
    fast = ds.derive(ds.network(lambda net, x: forward(net, x, learning_rate=3)), data=data)
    plain = ds.derive(ds.network(forward), data=data)
    assert "learn b: (3*eta0*gamma/P) Delta g" in str(fast.program)
    runs = [
        theory.compile("numpy")(richness=2.0, learning_rate=rate, steps=4, sites=200, replicas=2)
        for theory, rate in ((fast, 0.1), (plain, 0.3))
    ]
    np.testing.assert_allclose(runs[0].f, runs[1].f, rtol=1e-12)


def refused(forward, data=None):
    with pytest.raises(ProgramError) as caught:
        ds.derive(ds.network(forward), data=data or made_samples(54, 3))
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_what_is_refused():
    def of(make, use=lambda net, v, h: h + v):
        def forward(net, x):
            n = net.hidden("N")
            h = net.matrix("W0", net.inputs, n) @ x
            return net.readout("w", use(net, make(net, n), h))

        return forward

    assert "vector b: a vector lives in a space, got int" in refused(of(lambda net, n: net.vector("b", 3)))
    assert "allowed are vectors of hidden spaces" in refused(of(lambda net, n: net.vector("b", net.inputs)))
    assert "learning_rate = -1: allowed is" in refused(of(lambda net, n: net.vector("b", n, learning_rate=-1)))
    assert "the name W0 is used for two" in refused(of(lambda net, n: net.vector("W0", n)))
    family = of(lambda net, n: net.vector("b", n, layers=(1, 2)), lambda net, b, h: h + b[1])
    assert "a vector family is used inside a scan over its layers" in refused(family)
    assert "b[l]" in refused(of(lambda net, n: net.vector("b", n, layers=(1, 2))))
    single = of(lambda net, n: net.vector("b", n), lambda net, b, h: h + b[0])
    assert "b[0]: a vector has no layer index" in refused(single)


def test_the_proportional_regime_says_why_it_has_none():
    def forward(net, x):
        n = net.hidden("N")
        return net.readout("w", net.matrix("W0", net.inputs, n) @ x + net.vector("b", n))

    line = refused(forward, ds.Proportional())
    assert line.startswith("vector b: it adds one constant to the outputs of all samples, which is no average")
    assert line.endswith("allowed with ds.Samples(inputs, targets)")


def test_names_of_gradients_are_reserved():
    def forward(net, x):
        n, layers = net.hidden("N"), (1, net.depth - 1)
        family, gain = net.matrix("V", n, n, layers=layers), net.vector("g", n, layers=layers)
        first = net.matrix("W", net.inputs, n) @ x
        return net.readout("w", net.scan(lambda layer, h: family[layer] @ (gain[layer] * h), first, layers=layers))

    with pytest.raises(ProgramError, match="the name g is used for two different things: it is reserved for gradients"):
        ds.derive(ds.network(forward), data=ds.Samples(np.eye(2), np.ones(2)))
