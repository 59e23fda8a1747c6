"""Samples with several inputs: each has a space, matrices and overlaps of its own."""

from __future__ import annotations

import numpy as np
import pytest
from samples_and_scores import worst_z
from test_samples_gradients import check

import dmft_sym as ds
from dmft_sym.program import ProgramError
from dmft_sym.support.real_arrays import DataError

RUN = {"richness": 2.0, "learning_rate": 0.2, "steps": 5}


def samples(count=3, tests=0, outputs=1):
    rng = np.random.default_rng(100)
    inputs = {"x": rng.standard_normal((count, 8)), "x2": rng.standard_normal((count, 5))}
    more = {}
    if tests:
        more["test_inputs"] = {"x": rng.standard_normal((tests, 8)), "x2": rng.standard_normal((tests, 5))}
        more["test_targets"] = rng.standard_normal((tests, outputs))
    return ds.Samples(inputs, rng.standard_normal((count, outputs)), **more)


def nonlinear(net, x):
    """One input gates the other one."""
    n, x2 = net.hidden("N"), net.given("x2")
    gate = np.tanh(net.matrix("V", x2.space, n) @ x2)
    h = np.tanh(net.matrix("W0", net.inputs, n) @ x + net.vector("b", n))
    return net.readout("w", np.tanh(net.matrix("W", n, n) @ (gate * h)))


def linear(net, x):
    n, x2 = net.hidden("N"), net.given("x2")
    h = net.matrix("V", x2.space, n) @ x2 / 2 + net.matrix("W0", net.inputs, n) @ x
    return net.readout("w", net.matrix("W", n, n) @ h + net.matrix("U", x2.space, n) @ x2)


@pytest.mark.parametrize("forward", [nonlinear, linear])
def test_they_descend_the_gradient(forward):
    check(ds.derive(ds.network(forward, outputs=2), data=samples(3, 2, 2)))


def test_two_inputs_side_by_side_are_one():
    """Of two inputs of the same dimension the sum of products is one product with both, but for its scale."""
    rng = np.random.default_rng(101)
    first, second, targets = rng.standard_normal((3, 6)), rng.standard_normal((3, 6)), [1.0, -1.0, 0.5]

    def both(net, x):
        n, x2 = net.hidden("N"), net.given("x2")
        return net.readout("w", net.matrix("A", net.inputs, n) @ x + net.matrix("B", x2.space, n) @ x2)

    def joined(net, x):
        return net.readout("w", net.matrix("A", net.inputs, net.hidden("N")) @ x)

    side = np.sqrt(2) * np.concatenate([first, second], axis=1)
    runs = [
        ds.derive(ds.network(forward), data=ds.Samples(inputs, targets)).compile("numpy")(**RUN)
        for forward, inputs in ((both, {"x": first, "x2": second}), (joined, side))
    ]
    np.testing.assert_allclose(runs[0].f, runs[1].f, rtol=1e-11, atol=1e-14)


def test_both_methods_agree_where_all_is_linear():
    theory = ds.derive(ds.network(linear), data=samples(3, 2))
    slow = {**RUN, "learning_rate": 0.05, "kernels": [0, 4]}
    runs = [theory.compile("numpy")(method=method, **slow) for method in ("conditioning", "equations")]
    for name in ("f", "NTK"):
        np.testing.assert_allclose(runs[0][name], runs[1][name], rtol=0, atol=1e-12 * abs(runs[0][name]).max())


def test_generated_sampled_solver_is_the_plain_one():
    theory = ds.derive(ds.network(nonlinear), data=samples(3, 2), training=ds.GradientDescent(0.5, 0.02))
    arguments = {**RUN, "sites": 400, "replicas": 2, "kernels": [4]}
    plain, generated = (theory.compile(backend)(**arguments) for backend in ("numpy", "numba"))
    for part in ("f", "NTK"):
        np.testing.assert_allclose(plain[part], generated[part], rtol=0, atol=1e-11)


def test_finite_networks_agree():
    theory = ds.derive(ds.network(nonlinear), data=samples())
    run = theory.compile("numpy")(sites=16_000, replicas=16, **RUN)
    sim = ds.simulate(theory, width=500, seeds=16, **RUN)
    assert worst_z(run, sim, "f", 4 * (1 / 500 + 16 / 16_000)) < 4
    assert np.abs(run.f.values[-1]).max() > 10 * run.f_sem.max()


@pytest.mark.parametrize("sites", [2_000, pytest.param(16_000, marks=pytest.mark.slow)])
def test_equations_of_sampled_sites_agree_with_conditioning(sites):
    theory = ds.derive(ds.network(nonlinear), data=samples())
    first = theory.compile("numpy")(sites=3 * sites // 2, replicas=8, **RUN)
    second = theory.compile("numpy")(method="equations", sites=sites, replicas=8, **RUN)
    z = (first.f - second.f) / np.hypot(first.f_sem, second.f_sem)
    assert abs(z.isel(step=slice(1, None))).max() < 4


def test_samples_differ_by_their_further_inputs():
    made = samples()
    other = ds.Samples({"x": made.inputs, "x2": 2 * made.further["x2"]}, made.targets)
    alone = ds.Samples(made.inputs, made.targets)
    assert len({made, other, alone, samples()}) == 3
    assert alone == ds.Samples({"x": made.inputs}, made.targets)


def test_what_is_refused():
    x, y = np.ones((3, 4)), [1.0, 2.0, 3.0]
    for inputs, says in (
        ({"a": x}, 'allowed are arrays by name, one of them "x"'),
        ({"x": x, "2": x}, "name '2': allowed are a letter followed by"),
        ({"x": x, "f": x}, "inputs: the name f is taken by the data"),
        ({"x": x, "x2": x[:2]}, "inputs['x2'] of 2 samples: allowed are 3, as of x"),
        ({"x": x, "x2": [[1.0, "a"]] * 3}, "inputs['x2']"),
    ):
        with pytest.raises(DataError) as caught:
            ds.Samples(inputs, y)
        assert says in str(caught.value)
    with pytest.raises(DataError, match="test_inputs with none: allowed are the further inputs of"):
        ds.Samples({"x": x, "x2": x}, y, test_inputs={"x": x}, test_targets=y)

    def forward(net, x):
        n, x3 = net.hidden("N"), net.given("x3")
        return net.readout("w", net.matrix("A", x3.space, n) @ x3)

    with pytest.raises(ProgramError, match="given 'x3': the samples have x2; further inputs are arrays by name"):
        ds.derive(ds.network(forward), data=samples())
    with pytest.raises(ProgramError, match="none beside the one of the forward pass"):
        ds.derive(ds.network(forward))
