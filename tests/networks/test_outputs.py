"""Functions of outputs, heads for some of the outputs, and readouts of the given inputs themselves."""

from __future__ import annotations

import numpy as np
import pytest
from samples_and_scores import made_samples, worst_z
from test_samples_gradients import check

import dmft_sym as ds
from dmft_sym.execution.finite import FiniteNetwork
from dmft_sym.execution.planning import make_plan
from dmft_sym.execution.runner import run_finite
from dmft_sym.program import ProgramError
from dmft_sym.solvers.arguments import run_arguments

RUN = {"richness": 2.0, "learning_rate": 0.3, "steps": 5}


def heads(net, x):
    """Two trunks of different widths: a head of one output, one of two others, and one of all."""
    n, narrow = net.hidden("N"), net.hidden("M", 0.5)
    h = np.tanh(net.matrix("W0", net.inputs, n) @ x)
    k = np.tanh(net.matrix("V", n, narrow) @ h)
    return net.readout("u", h, outputs=0) + net.readout("v", k, outputs=[1, 2]) + net.readout("w", h) / 2


def squashed(net, x):
    """A function of the outputs, of which the inputs are a part."""
    n = net.hidden("N")
    return np.tanh(net.readout("w", np.tanh(net.matrix("W0", net.inputs, n) @ x)) + 2 * net.readout("v", x))


def mixture(net, x):
    """``a f1 + (1 - a) f2`` with an average ``a`` over the sites of the trunk."""
    n = net.hidden("N")
    h, k = np.tanh(net.matrix("W0", net.inputs, n) @ x), np.sin(net.matrix("V", net.inputs, n) @ x)
    a = net.apply("sigmoid", 3 * ds.mean(h * h) - 1)
    return a * net.readout("u", h) + (1 - a) * net.readout("v", k)


def product(net, x):
    n = net.hidden("N")
    h, k = np.tanh(net.matrix("W0", net.inputs, n) @ x), np.sin(net.matrix("V", net.inputs, n) @ x)
    f = net.readout("u", h)
    return (1 + f) * net.readout("v", k) + f**2 / 2


def shares(net, x):
    """Outputs that compete: a softmax of two heads and a skip from the inputs."""
    n = net.hidden("N")
    h = np.tanh(net.matrix("W0", net.inputs, n) @ x)
    scores = net.readout("u", h) + net.readout("v", np.tanh(net.matrix("W", n, n) @ h), outputs=[0, 2])
    return ds.softmax(scores + net.readout("s", x), over=net.outputs)


NETWORKS = {"heads": heads, "squashed": squashed, "mixture": mixture, "product": product, "shares": shares}


def theory_of(forward, count=3, training=None):
    data = made_samples(60, count, 3)
    return ds.derive(ds.network(forward, outputs=3), data=data, training=training or ds.GradientDescent())


@pytest.mark.parametrize("name", ["heads", "squashed", "mixture", "product"])
def test_they_descend_the_gradient(name):
    check(theory_of(NETWORKS[name]))


class Start:
    """Initial arrays of a finite network by name, with the scales of ``A = W / sqrt(n_in)``, and its outputs."""

    def __init__(self, theory, width, seed, **run):
        arguments = run_arguments(theory, run.pop("steps"), run)
        self.x, self.y = theory.data.inputs, theory.data.targets
        given = theory.data.given
        plan = make_plan(theory.program, arguments.values, 3, reduced_transpose=False, data=given)
        network = FiniteNetwork(plan, float, width, seed)
        named = [spec.key[0] for spec in plan.matrices]
        self.arrays = dict(zip(named, network.matrices, strict=True))
        self.arrays |= {vector.name: network.values[vector.slot] for vector in plan.vectors}
        result = run_finite(theory.program, arguments.values, 3, arguments.steps, width, seed, data=given)
        self.f = next(track for ref, track in result.scalars.items() if ref.scalar.name == "f")


def train(start, forward, richness, learning_rate, steps, width):
    """Gradient descent by formulas: ``forward(arrays, x, gamma)`` has outputs and a pull-back of the errors.

    An array ``A: n_in -> n_out`` learns at ``eta0 gamma0^2 N/n_in``, a readout at ``eta0 gamma0^2 N`` (and one of the
    ``D`` inputs as a readout from ``D`` sites, whose square root is in its scale).
    """
    arrays = {name: array.copy() for name, array in start.arrays.items()}
    found = []
    for _ in range(steps):
        f, pulled = forward(arrays, start.x, richness)
        found.append(f)
        slopes = pulled((start.y - f) / len(f))
        for name, slope in slopes.items():
            inner = arrays[name].shape[1] if name in ("W0", "W", "V") else 1
            arrays[name] = arrays[name] + learning_rate * richness**2 * width / inner * slope
    return np.array(found)


def heads_by_hand(arrays, x, gamma):
    A, V, u, v, w = (arrays[name] for name in ("W0", "V", "u", "v", "w"))
    n, m = len(A), len(V)
    h = np.tanh(x @ A.T)
    k = np.tanh(h @ V.T)
    has_u, has_v = np.array([1.0, 0, 0]), np.array([0, 1.0, 1])
    f = (has_u * (h @ u.T) / n + has_v * (k @ v.T) / np.sqrt(n * m) + h @ w.T / (2 * n)) / gamma

    def pulled(error):
        on_k = (error * has_v) @ v / np.sqrt(n * m) * (1 - k**2)
        on_h = ((error * has_u) @ u + error @ w / 2) / n + on_k @ V
        slopes = {"W0": (on_h * (1 - h**2)).T @ x, "V": on_k.T @ h, "w": error.T @ h / (2 * n)}
        slopes |= {"u": (error * has_u).T @ h / n, "v": (error * has_v).T @ k / np.sqrt(n * m)}
        return {name: slope / gamma for name, slope in slopes.items()}

    return f, pulled


def squashed_by_hand(arrays, x, gamma):
    A, w, v = arrays["W0"], arrays["w"], arrays["skip"]
    h = np.tanh(x @ A.T)
    f = np.tanh((h @ w.T / len(A) + 2 * x @ v.T / np.sqrt(x.shape[1])) / gamma)

    def pulled(error):
        inner = error * (1 - f**2) / gamma
        on_h = inner @ w / len(A) * (1 - h**2)
        # a readout of D inputs, by x/sqrt(D): its rate has no factor of the width
        return {
            "W0": on_h.T @ x,
            "w": inner.T @ h / len(A),
            "skip": 2 * inner.T @ x / np.sqrt(x.shape[1]) / len(A),
        }

    return f, pulled


def mixture_by_hand(arrays, x, gamma):
    A, V, u, v = (arrays[name] for name in ("W0", "V", "u", "v"))
    n = len(A)
    pre = x @ V.T
    h, k = np.tanh(x @ A.T), np.sin(pre)
    a = 1 / (1 + np.exp(1 - 3 * np.mean(h**2, axis=1)))[:, None]
    f1, f2 = h @ u.T / (n * gamma), k @ v.T / (n * gamma)
    f = a * f1 + (1 - a) * f2

    def pulled(error):
        on_a = np.sum(error * (f1 - f2), axis=1)[:, None] * a * (1 - a) * 3
        on_h = a * error @ u / (n * gamma) + on_a * 2 * h / n
        on_k = (1 - a) * error @ v / (n * gamma)
        return {
            "W0": (on_h * (1 - h**2)).T @ x,
            "V": (on_k * np.cos(pre)).T @ x,
            "u": (a * error).T @ h / (n * gamma),
            "v": ((1 - a) * error).T @ k / (n * gamma),
        }

    return f, pulled


def shares_by_hand(arrays, x, gamma, jacobian=True):
    A, W, u, v, s = (arrays[name] for name in ("W0", "W", "u", "v", "skip"))
    n = len(A)
    h = np.tanh(x @ A.T)
    k = np.tanh(h @ W.T)
    has = np.array([1.0, 0, 1])
    scores = ((h @ u.T + has * (k @ v.T)) / n + x @ s.T / np.sqrt(x.shape[1])) / gamma
    f = np.exp(scores)
    f /= f.sum(axis=1, keepdims=True)

    def pulled(error):
        inner = f * (error - (f * error).sum(axis=1, keepdims=True)) if jacobian else error
        on_k = (inner * has) @ v / n * (1 - k**2)
        on_h = (inner @ u / n + on_k @ W) * (1 - h**2)
        slopes = {"W0": on_h.T @ x, "W": on_k.T @ h, "u": inner.T @ h / n, "v": (inner * has).T @ k / n}
        slopes["skip"] = inner.T @ x / np.sqrt(x.shape[1]) / n
        return {name: slope / gamma for name, slope in slopes.items()}

    return f, pulled


BY_HAND = {
    "heads": heads_by_hand,
    "squashed": squashed_by_hand,
    "mixture": mixture_by_hand,
    "shares": shares_by_hand,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_trainer_written_by_hand(name):
    """The same initial weights, to rounding; the weights of a skip from the inputs are one for each of these."""
    width = 20
    start = Start(theory_of(NETWORKS[name]), width, 5, **RUN)
    start.arrays["skip"] = np.zeros((3, start.x.shape[1]))
    found = train(start, BY_HAND[name], width=width, **RUN)
    np.testing.assert_allclose(start.f, found, rtol=0, atol=1e-12)
    assert np.abs(found[-1] - found[0]).max() > 0.03


def test_the_softmax_is_differentiated():
    start = Start(theory_of(shares), 20, 5, **RUN)
    start.arrays["skip"] = np.zeros((3, start.x.shape[1]))
    wrong = train(start, lambda *args: shares_by_hand(*args, jacobian=False), width=20, **RUN)
    assert np.abs(start.f - wrong).max() > 0.01


def linear_heads(net, x):
    n = net.hidden("N")
    h = net.matrix("W0", net.inputs, n) @ x
    return net.readout("u", h, outputs=0) + net.readout("v", net.matrix("W", n, n) @ h, outputs=[1, 2])


def function_of_linear(net, x):
    n = net.hidden("N")
    h = net.matrix("W0", net.inputs, n) @ x
    f = net.readout("u", h) + net.readout("s", x)
    return np.tanh(f) + f * net.readout("v", net.matrix("W", n, n) @ h)


def shares_of_linear(net, x):
    n = net.hidden("N")
    scores = net.readout("u", net.matrix("W0", net.inputs, n) @ x) + net.readout("s", x, outputs=[1])
    return ds.softmax(2 * scores, over=net.outputs) ** 2


@pytest.mark.parametrize("forward", [linear_heads, function_of_linear, shares_of_linear])
def test_both_methods_agree_where_the_network_is_linear(forward):
    """Functions of outputs are functions of scalars, and no obstacle to exact equations."""
    theory = theory_of(forward, training=ds.GradientDescent(momentum=0.5, weight_decay=0.02))
    assert all(info.exact for info in theory.methods)
    runs = [theory.solve(method=m, backend="numpy", kernels=[0, 4], **RUN) for m in ("conditioning", "equations")]
    for name in ("f", "NTK"):
        np.testing.assert_allclose(runs[0][name], runs[1][name], rtol=0, atol=1e-12 * abs(runs[0][name]).max())
    assert abs(runs[0].f[-1] - runs[0].f[0]).max() > 0.03


def test_a_skip_alone_is_linear_regression():
    """``f(t+1) = f(t) + (eta0/P) Kx (y - f)``, whatever the width is, and for any richness."""
    theory = theory_of(lambda net, x: net.readout("v", x))
    run = theory.solve(backend="numpy", **RUN)
    f, kernel = np.zeros((3, 3)), theory.data.gram
    for step in range(RUN["steps"]):
        np.testing.assert_allclose(run.f[step], f, rtol=0, atol=1e-14)
        f = f + RUN["learning_rate"] / 3 * kernel @ (theory.data.targets - f)
    np.testing.assert_allclose(run.NTK[0, :, 0, :, 0], kernel, rtol=1e-12)
    for width in (5, 40):  # fewer and more sites than there are inputs
        sim = ds.simulate(theory, width=width, seeds=1, **RUN)
        np.testing.assert_allclose(sim.f[0], run.f, rtol=0, atol=1e-14)


def test_the_lazy_limit_of_a_skip():
    """Its part of the static kernel is that of the inputs, times the square of its factor and its learning rate."""

    def skip(net, x):
        h = np.tanh(net.matrix("W0", net.inputs, net.hidden("N")) @ x)
        return net.readout("w", h) + 2 * net.readout("v", x, learning_rate=0.5)

    theory, run = theory_of(skip), {"learning_rate": 0.3, "steps": 5, "sites": 4000, "replicas": 4}
    limit = theory.limit(ds.limits.lazy)
    assert "2 C^(x_read, x_read)_(μ ν) δ_(c c')" in str(limit.equations)
    rich = theory.solve(backend="numpy", richness=0.02, **run)
    assert abs(limit.solve(backend="numpy", **run).f - rich.f).max() < 2e-3 * abs(rich.f).max()
    with pytest.raises(ProgramError, match="limit lazy: outputs are a function of readouts, with which their kernel"):
        theory_of(mixture).limit(ds.limits.lazy)
    with pytest.raises(ProgramError, match="powers of the width of functions of outputs, heads of some outputs or"):
        ds.scaling(ds.network(skip, outputs=3), data=theory.data)


@pytest.mark.parametrize(
    ("name", "sites", "seeds"),
    [("shares", 2_000, 6), *(pytest.param(name, 16_000, 16, marks=pytest.mark.slow) for name in NETWORKS)],
)
def test_sampled_methods_and_finite_networks_agree(name, sites, seeds):
    theory = theory_of(NETWORKS[name])
    first = theory.solve(backend="numpy", sites=2 * sites, replicas=8, **RUN)
    second = theory.solve(backend="numpy", method="equations", sites=sites, replicas=8, **RUN)
    z = (first.f - second.f) / np.hypot(first.f_sem, second.f_sem)
    assert abs(z.isel(step=slice(1, None))).max() < 4
    sim = ds.simulate(theory, width=400, seeds=seeds, **RUN)
    assert worst_z(first, sim, "f", 4 * (1 / 400 + 8 / (2 * sites))) < 4
    assert abs(first.f[-1] - first.f[0]).max() > 10 * first.f_sem.max()


@pytest.mark.parametrize(
    "name", ["squashed", *(pytest.param(name, marks=pytest.mark.slow) for name in ("shares", "heads"))]
)
def test_generated_sampled_solver_is_the_plain_one(name):
    theory = theory_of(NETWORKS[name], training=ds.GradientDescent(momentum=0.5, weight_decay=0.02))
    arguments = {**RUN, "sites": 200, "replicas": 2, "kernels": [4]}
    plain, generated = (theory.solve(backend=backend, **arguments) for backend in ("numpy", "numba"))
    for part in ("f", "NTK"):
        np.testing.assert_allclose(plain[part], generated[part], rtol=0, atol=1e-11)


def refused(forward, data=None):
    with pytest.raises(ProgramError) as caught:
        ds.derive(ds.network(forward, outputs=3), data=data or made_samples(60, 3, 3))
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_what_is_refused():
    def of(make):
        def forward(net, x):
            h = net.matrix("W0", net.inputs, net.hidden("N")) @ x
            return make(net, h, x)

        return forward

    line = refused(of(lambda net, h, x: net.readout("u", h, outputs=3)))
    assert line.startswith("readout u: outputs = 3: allowed are an integer from 0 to 2, a list of such, or None")
    assert "outputs = [1, 1]" in refused(of(lambda net, h, x: net.readout("u", h, outputs=[1, 1])))
    assert "output 1 has no readout" in refused(of(lambda net, h, x: net.readout("u", h, outputs=[0, 2])))
    assert "readout v: init = 1: a readout of given inputs starts from 0" in refused(
        of(lambda net, h, x: net.readout("u", h) + net.readout("v", x, init=1))
    )
    assert "outputs are no part of hidden layers" in refused(
        of(lambda net, h, x: net.readout("u", net.apply(lambda a, b: a * b, h, net.readout("v", h))))
    )
    assert "a sum over outputs: allowed is ds.softmax(f, over=net.outputs)" in refused(
        of(lambda net, h, x: net.sum(net.readout("u", h), over=net.outputs))
    )
    assert "a softmax over outputs: allowed is that of one sum of readouts" in refused(
        of(lambda net, h, x: net.readout("v", h) * ds.softmax(net.readout("u", h), over=net.outputs))
    )
    assert "the forward pass returned no function of readouts" in refused(of(lambda net, h, x: ds.mean(h * h)))
    line = refused(of(lambda net, h, x: None))
    assert line.startswith("the forward pass must return net.readout(...), or a sum or another function of readouts")
    assert line.endswith("this one returns nothing")
    assert refused(of(lambda net, h, x: h)).endswith("this one returns a Vector")


def test_a_name_that_the_tracer_does_not_have():
    def forward(net, x):
        return net.readout("w", net.matrx("W0", net.inputs, net.hidden("N")) @ x)

    line = refused(forward)
    assert line.startswith("net.matrx: the tracer has no such name (did you mean net.matrix?)")
    assert not hasattr(ds.networks.Tracer(), "matrx")


def test_the_proportional_regime_takes_sums_alone():
    def forward(net, x):
        return np.tanh(net.readout("w", net.matrix("W0", net.inputs, net.hidden("N")) @ x))

    line = refused(forward, ds.Proportional())
    assert line.startswith("a function of outputs needs given samples")
    assert line.endswith("allowed in the proportional regime are sums of readouts, and multiples of them")
