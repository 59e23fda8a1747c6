"""What tests of the derivation on given samples share: samples, networks of our own, the direct solver as a module."""

from __future__ import annotations

import importlib.util

import numpy as np
import sympy as sp

import dmft_sym as ds
from dmft_sym.execution import run_coordinates, run_sampled
from dmft_sym.networks.parameters import DECAY, ETA, GAMMA, INIT_VARIANCE, MOMENTUM
from dmft_sym.program import DEPTH, SAMPLES

X = np.array([[1.0, 0.5, -0.3], [-0.4, 1.2, 0.8]])
Y = np.array([1.0, -1.0])
SYMBOLS = {
    "L": DEPTH,
    "eta0": ETA,
    "gamma": GAMMA,
    "s2": INIT_VARIANCE,
    "m": MOMENTUM,
    "lambda_": DECAY,
}
"""Symbols of the run-time arguments of generated modules."""


def theory_of(network, inputs=X, targets=Y, training=None, **options):
    """The theory of a network, or of a bare forward pass, on given samples."""
    network = network if isinstance(network, ds.Network) else ds.network(network)
    outputs = np.asarray(targets).reshape(len(targets), -1).shape[1]
    if network.outputs != outputs:
        raise AssertionError(f"the network has {network.outputs} outputs, the targets {outputs}")
    return ds.derive(network, data=ds.Samples(inputs, targets, **options), training=training)


def direct_module(theory, folder, name="direct"):
    """The direct solver of a theory, imported from a file."""
    path = folder / f"{name}.py"
    path.write_text(theory.direct_source(), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arguments(theory, steps, **parameters):
    """Arguments of the direct solver but sites and seeds."""
    data = theory.data
    given = {"gram": data.gram, "targets": data.all_targets, "steps": steps, **parameters}
    if data.total > data.count:
        given["train"] = data.train
    return given


def values_of(theory, parameters):
    """The same for the executions of the program."""
    return {SAMPLES: theory.data.count, **{SYMBOLS[name]: value for name, value in parameters.items()}}


def by_coordinates(theory, steps, **parameters):
    """Scalars of the exact execution of a linear program."""
    values = values_of(theory, parameters)
    result = run_coordinates(
        theory.program, values, theory.data.outputs, steps, tol=1e-10, data=theory.data.given, record_steps=range(steps)
    )
    return result, {ref.scalar.name: array for ref, array in result.scalars.items()}


def by_sampled_sites(theory, steps, sites, replicas, **parameters):
    """Mean of ``f`` over replicas of the sampled execution, and its standard error."""
    values = values_of(theory, parameters)
    runs = []
    for seed in range(replicas):
        result = run_sampled(theory.program, values, theory.data.outputs, steps, sites, seed, data=theory.data.given)
        (f,) = (array for ref, array in result.scalars.items() if ref.scalar.name == "f")
        runs.append(f)
    return np.mean(runs, axis=0), np.std(runs, axis=0, ddof=1) / np.sqrt(replicas)


def scores(mean, error, other, other_error):
    """Differences in units of the combined standard error; where nothing scatters they have to vanish."""
    spread = np.sqrt(error**2 + other_error**2)
    certain = spread < 1e-14
    assert np.allclose(mean[certain], other[certain], atol=1e-12)
    return np.abs(mean - other)[~certain] / spread[~certain]


def gated(net, x):
    """Two spaces, a product of fields, a normalisation by an average, a skip to a second readout."""
    n, m = net.hidden("N"), net.hidden("M", width=2)
    value = net.matrix("A", net.inputs, n) @ x
    gate = net.matrix("B", net.inputs, n) @ x
    k = value * net.apply(lambda h: 1 / (1 + sp.exp(-h)), gate)
    size = net.mean("s", lambda h: h**2 + sp.Rational(1, 10), k)
    k = net.apply(lambda h, q: h / sp.sqrt(q), k, size)
    c = net.matrix("V", n, m) @ k + net.matrix("U", net.inputs, m) @ x
    return net.readout("w", net.apply(sp.sin, c)) + net.readout("u", k + value)


def tied(function):
    """One matrix at all layers, with a skip."""

    def forward(net, x):
        n = net.hidden("N")
        w = net.matrix("W", n, n)
        first = net.matrix("W0", net.inputs, n) @ x
        h = net.scan(lambda _, h: h / 2 + w @ net.apply(function, h), first, layers=(1, net.depth - 1))
        return net.readout("w", h)

    return ds.network(forward, name="tied", depth=3)


def symmetric(function):
    """A matrix and its transpose at every layer, with a skip."""

    def forward(net, x):
        n, m = net.hidden("N"), net.hidden("M", width=sp.Rational(1, 2))
        w = net.matrix("W", n, m)
        first = net.matrix("W0", net.inputs, n) @ x
        h = net.scan(lambda _, h: h / 2 + w.T @ net.apply(function, w @ h), first, layers=(1, net.depth - 1))
        return net.readout("w", h)

    return ds.network(forward, name="symmetric", depth=3)


def normalised(net, x):
    """Linear but for an average, which is a number: two spaces of different width, two readouts."""
    n, m = net.hidden("N"), net.hidden("M", width=sp.Rational(3, 2))
    h = net.matrix("A", net.inputs, n) @ x
    size = net.mean("q", lambda h: h**2, h)
    k = net.apply(lambda h, s: h / sp.sqrt(s + 1), h, size)
    h = net.matrix("V", n, m) @ k
    return net.readout("w", net.matrix("Q", m, m) @ h + h / 3) + net.readout("u", k)


def half_linear(net, x):
    """A linear space that feeds a nonlinear one."""
    n, m = net.hidden("N"), net.hidden("M", width=2)
    h = net.matrix("V", n, m) @ (net.matrix("A", net.inputs, n) @ x)
    return net.readout("w", net.matrix("Q", m, m) @ net.apply(sp.tanh, h))


def linear_below(net, x):
    """Two linear layers below a nonlinear one, all of one space."""
    n = net.hidden("N")
    h = net.matrix("B", n, n) @ (net.matrix("A", net.inputs, n) @ x)
    return net.readout("w", net.apply(sp.tanh, net.matrix("C", n, n) @ h))
