"""Different heads for different outputs in the proportional regime: fields of their own for every output."""

from __future__ import annotations

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym.execution.finite import FiniteNetwork
from dmft_sym.execution.planning import make_plan
from dmft_sym.execution.runner import run_finite
from dmft_sym.program import ProgramError
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.support.errors import ArgumentError

ARGUMENTS = {"samples_per_dim": 3, "width_per_dim": 0.8, "richness": 6.0, "learning_rate": 0.02, "label_noise": 0.2}
RUN = {**ARGUMENTS, "steps": 12}


def heads(net, x):
    """Output 0 reads the first layer, output 1 the second one; both have the readout ``w`` of the first one."""
    n = net.hidden("N")
    h = net.matrix("W0", net.inputs, n) @ x
    k = net.matrix("W", n, n) @ h
    return net.readout("u", h, outputs=0) + net.readout("q", k, outputs=[1]) + net.readout("w", h) / 2


def first_alone(net, x):
    h = net.matrix("W0", net.inputs, net.hidden("N")) @ x
    return net.readout("u", h) + net.readout("w", h) / 2


def second_alone(net, x):
    n = net.hidden("N")
    h = net.matrix("W0", net.inputs, n) @ x
    return net.readout("q", net.matrix("W", n, n) @ h) + net.readout("w", h) / 2


@pytest.fixture(scope="module")
def theory():
    return ds.derive(ds.network(heads, outputs=2))


@pytest.fixture(scope="module")
def run(theory):
    return theory.solve(backend="numpy", **RUN)


def test_matrices_learn_from_both(theory):
    text = str(theory.program)
    assert "learn W0: (eta0*gamma) g1_0 v_0^T + (eta0*gamma) g1_1 v_1^T\n" in text
    assert "learn W: (eta0*gamma) g2_1 h1_1^T\n" in text  # output 0 does not read it
    assert "W h1_0" not in text


def test_both_methods_agree(theory, run):
    other = theory.solve(method="conditioning", backend="numpy", **RUN)
    for name in ("train_loss", "test_loss"):
        assert run[name].dims == ("step", "output")
        np.testing.assert_allclose(run[name], other[name], rtol=1e-12)


@pytest.mark.parametrize(("number", "forward"), [(0, first_alone), (1, second_alone)])
def test_outputs_do_not_know_of_each_other(run, number, forward):
    """The sign of one output may be flipped alone, so that overlaps with other outputs vanish."""
    alone = ds.derive(ds.network(forward)).solve(method="conditioning", backend="numpy", **RUN)
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(run[name].sel(output=number), alone[name].sel(output=0), rtol=1e-12)
    assert abs(run.train_loss.sel(output=0) - run.train_loss.sel(output=1)).max() > 0.01


def by_hand(arrays, nu, gamma, eta0, noise, steps):
    """``f = x w^T .. / (gamma_N sqrt(N))`` trained at the rate ``eta0 gamma_N^2 D`` by formulas: losses."""
    first, inner, x = (arrays[name].copy() for name in ("W0", "W", "X"))
    u, q, w0, w1 = (arrays[name][0].copy() for name in ("u_0", "q_1", "w_0", "w_1"))
    targets = [x @ arrays[f"betastar_{c}"][0] + noise * arrays[f"eps_{c}"][0] for c in (0, 1)]
    count, dim = x.shape
    losses = []
    for _ in range(steps):
        h = x @ first.T
        k = h @ inner.T
        f = [h @ (u + w0 / 2) / (gamma * nu), (k @ q + h @ w1 / 2) / (gamma * nu)]
        errors = [y - one for y, one in zip(targets, f, strict=True)]
        losses.append([np.mean(error**2) for error in errors])
        pulled = [error / (count * gamma * nu) for error in errors]
        rate = eta0 * gamma**2 * nu * dim
        on_h = np.outer(pulled[0], u + w0 / 2) + np.outer(pulled[1], q @ inner + w1 / 2)
        steps_of = (on_h.T @ x / dim, np.outer(q, pulled[1] @ h) / len(inner))
        more = (h.T @ pulled[0], k.T @ pulled[1], h.T @ pulled[0] / 2, h.T @ pulled[1] / 2)
        first, inner = first + rate * steps_of[0], inner + rate * steps_of[1]
        u, q, w0, w1 = (array + rate * step for array, step in zip((u, q, w0, w1), more, strict=True))
    return np.array(losses)


def test_a_trainer_written_by_hand(theory):
    arguments = run_arguments(theory, 12, dict(ARGUMENTS))
    plan = make_plan(theory.program, arguments.values, 1, reduced_transpose=False)
    network = FiniteNetwork(plan, float, 50, 3)
    arrays = dict(zip((spec.key[0] for spec in plan.matrices), network.matrices, strict=True))
    arrays |= {vector.name: network.values[vector.slot] for vector in plan.vectors}
    found = run_finite(theory.program, arguments.values, 1, 12, 50, 3)
    expected = by_hand(arrays, 0.8, 6.0, 0.02, 0.2, 12)
    for output in (0, 1):
        np.testing.assert_allclose(found.observables[f"train_loss_{output}"][:, 0], expected[:, output], rtol=1e-11)


@pytest.mark.parametrize("dim", [300, pytest.param(1000, marks=pytest.mark.slow)])
def test_finite_networks_agree(theory, run, dim):
    sim = ds.simulate(theory, dim=dim, seeds=8, normalise=True, order_parameters=False, **RUN)
    for name in ("train_loss", "test_loss"):
        error = sim[name].std("seed", ddof=1) / np.sqrt(8)
        gap = abs(sim[name].mean("seed") - run[name]) - 6 / dim * run[name]
        assert float((gap / error).max()) < 4


@pytest.mark.parametrize("other", ["finite", pytest.param("equations", marks=pytest.mark.slow)])
def test_spectra(theory, other):
    wanted = {"matrices": ["W0", "W"], "at": [11], **RUN}
    found = ds.spectrum(theory, method="conditioning", **wanted).outlier.values[..., 0]
    if other == "equations":
        np.testing.assert_allclose(ds.spectrum(theory, method=other, **wanted).outlier.values[..., 0], found, rtol=1e-8)
        return
    sim = ds.simulate(theory, dim=400, seeds=4, normalise=True, **wanted).outlier[..., 0]
    error = np.hypot(sim.std("seed", ddof=1) / 2, 0.01)  # edges of the bulk fluctuate by dim^(-2/3)
    assert float((abs(sim.mean("seed") - found) / error).max()) < 4
    with pytest.raises(ArgumentError, match="allowed are networks whose outputs all have the same readouts"):
        ds.spectrum(theory, **{**wanted, "matrices": ["NTK"]})


def test_the_number_of_outputs_is_that_of_the_network(theory):
    with pytest.raises(ArgumentError, match="outputs = 3: allowed is 2, as its readouts are of these"):
        theory.solve(outputs=3, **RUN)
    with pytest.raises(ProgramError, match="readout q: outputs = \\[1\\]: allowed are an integer from 0 to 0"):
        ds.derive(ds.network(heads))


def written_out(net, x):
    """Four blocks written out in Python, which become a scan; heads before and after another matrix."""
    n = net.hidden("N")
    h = net.matrix("W0", net.inputs, n) @ x
    for number in range(1, 5):
        h = h + net.matrix(f"W{number}", n, n) @ h / 2
    return net.readout("u", h, outputs=0) + net.readout("q", net.matrix("V", n, n) @ h, outputs=1)


def in_a_scan(net, x):
    n = net.hidden("N")
    w = net.matrix("W", n, n, layers=(1, 3))
    h = net.scan(lambda layer, h: h + w[layer] @ h / 2, net.matrix("W0", net.inputs, n) @ x, layers=(1, 3))
    return net.readout("u", h, outputs=0) + net.readout("q", net.matrix("V", n, n) @ h, outputs=1)


@pytest.mark.parametrize("forward", [written_out, in_a_scan])
def test_heads_behind_a_scan(forward):
    """First members of families are read by the index of the scan alone."""
    short = {**RUN, "steps": 5}
    theory = ds.derive(ds.network(forward, outputs=2))
    one = theory.solve(backend="numpy", order_parameters=False, **short)
    other = theory.solve(method="conditioning", backend="numpy", **short)
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-11)
    assert abs(one.train_loss.sel(output=0) - one.train_loss.sel(output=1)).max() > 0.01
