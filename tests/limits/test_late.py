"""Infinitely many steps of regression: ridgeless interpolation, ridge with decay, and where there is no such limit."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from scipy.optimize import brentq

import dmft_sym as ds
from dmft_sym.derivation.equations import Equation, Equations
from dmft_sym.limits import late_checks
from dmft_sym.limits.late_limit import LateTheory
from dmft_sym.program import ProgramError
from dmft_sym.support.errors import ArgumentError

NOISE = 0.3
RUN = {"label_noise": NOISE, "learning_rate": 0.2}


def late_of(**memory):
    return ds.derive(ds.deep_linear(0), training=ds.GradientDescent(**memory)).limit(ds.limits.late)


@pytest.mark.parametrize("alpha", [0.5, 0.9, 1.5, 4.0])
def test_the_end_of_regression_interpolates(alpha):
    """Hastie, Montanari, Rosset and Tibshirani (arXiv:1903.08560): ridgeless least squares on isotropic data."""
    end = late_of().solve(samples_per_dim=alpha, **RUN)
    bias, variance = max(1 - alpha, 0), NOISE**2 * (alpha / (1 - alpha) if alpha < 1 else 1 / (alpha - 1))
    assert end.test_loss.item() == pytest.approx(bias + variance + NOISE**2, rel=1e-5)
    assert end.train_loss.item() == pytest.approx(NOISE**2 * max(1 - 1 / alpha, 0), abs=1e-9)


@pytest.mark.parametrize("memory", [{"weight_decay": 0.02}, {"weight_decay": 0.02, "momentum": 0.5}])
def test_decay_is_ridge(memory):
    """``beta = (S + lambda)^-1 X y``, ``lambda = decay (1 - momentum)/eta0``, by the law of Marchenko and Pastur."""
    alpha, eta = 2.0, RUN["learning_rate"]
    end = late_of(**memory).solve(samples_per_dim=alpha, **RUN)
    ridge = memory["weight_decay"] * (1 - memory.get("momentum", 0.0)) / eta
    low, high = (1 - alpha**-0.5) ** 2, (1 + alpha**-0.5) ** 2
    angle = (np.arange(400) + 0.5) * np.pi / 400
    modes = (low + high) / 2 - (high - low) / 2 * np.cos(angle)
    weight = alpha * np.sqrt((high - modes) * (modes - low)) / (2 * np.pi * modes)
    weight *= (high - low) / 2 * np.sin(angle) * np.pi / 400
    expected = ((ridge**2 + NOISE**2 / alpha * modes) / (modes + ridge) ** 2) @ weight + NOISE**2
    assert end.test_loss.item() == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("memory", [{}, {"momentum": 0.5}, {"weight_decay": 0.02, "momentum": 0.5}])
def test_the_limit_holds(memory):
    theory = ds.derive(ds.deep_linear(0), training=ds.GradientDescent(**memory))
    (row,) = ds.limits.check(theory, ["late"], samples_per_dim=2.0, **RUN)
    assert row.verdict == "holds" and row.structural.holds and row.approach.holds, str(row)
    assert row.exact.holds is None


def test_random_features_forget_their_initial_readout():
    """Under decay nothing is left of the initial readout in the end, and the run forgets it."""

    def features(net, x):
        n = net.hidden("N")
        return net.readout("w", net.matrix("V", net.inputs, n, train=False) @ x)

    theory = ds.derive(ds.network(features), training=ds.GradientDescent(weight_decay=0.05))
    run = {"samples_per_dim": 2.0, "width_per_dim": 0.8, "richness": 2.0, **RUN}
    end = theory.limit(ds.limits.late).solve(**run)
    found = theory.compile("numpy")(method="conditioning", steps=1500, **run)
    assert end.test_loss.item() == pytest.approx(found.test_loss.values[-1, 0], rel=1e-5)


def frozen(net, x):
    """Two matrices of which the first is trained, below a readout that is not: a kernel of constant correlations."""
    n = net.hidden("N")
    inner = net.matrix("V", n, n, train=False)
    return net.readout("w", inner @ (net.matrix("W", net.inputs, n) @ x), train=False)


def frozen_layers(net, x):
    n = net.hidden("N")
    first, inner = (
        net.matrix("W", net.inputs, n),
        net.matrix("V", n, n, layers=(1, net.depth - 1), train=False),
    )
    h = net.scan(lambda i, h: inner[i] @ h, first @ x, layers=(1, net.depth - 1))
    return net.readout("w", h, train=False)


@pytest.mark.parametrize("memory", [{}, {"momentum": 0.5}, {"weight_decay": 0.05}])
@pytest.mark.parametrize("network", [ds.network(frozen), ds.network(frozen_layers, depth=3)])
def test_frozen_readouts_leave_constant_kernels(network, memory):
    theory = ds.derive(network, training=ds.GradientDescent(**memory))
    (row,) = ds.limits.check(theory, ["late"], samples_per_dim=2.0, width_per_dim=0.8, richness=2.0, **RUN)
    assert row.structural.holds and row.approach.holds, str(row)


def test_layers_of_an_open_number_have_no_end():
    with pytest.raises(ProgramError, match="allowed is a network with a depth"):
        ds.derive(ds.network(frozen_layers)).limit("late")
    limiting = ds.derive(ds.network(frozen_layers, depth=3)).limit("late")
    with pytest.raises(ArgumentError, match="depth = 5: allowed is 3"):
        limiting.solve(depth=5, samples_per_dim=2.0, width_per_dim=0.8, richness=2.0, **RUN)
    with pytest.raises(ArgumentError, match="steps: allowed is nothing, it went to the limit late"):
        limiting.solve(steps=5, samples_per_dim=2.0, width_per_dim=0.8, richness=2.0, **RUN)


def test_runs_on_their_way_are_undecided():
    """At ``alpha = 1`` the gap closes, and distances fall with a power of the steps; the command does not fail."""
    rows = ds.limits.check(
        ds.derive(ds.deep_linear(0)), ["late"], samples_per_dim=1.05, **{**RUN, "learning_rate": 0.01}
    )
    verdict = rows[0].approach
    assert rows[0].verdict == "undecided"
    assert verdict.undecided and "a larger learning_rate" in str(verdict), str(verdict)
    assert not rows.failed and "open approach   undecided" in str(rows)


class Tampered(LateTheory):
    """One equation has another right-hand side."""

    label, changed = "", staticmethod(lambda terms: terms)

    @property
    def equations(self):
        items = [
            Equation(e.left, self.changed(e.terms)) if str(e.left) == self.label else e for e in super().equations.items
        ]
        return Equations(items, "tampered", "")


class FactorOfTwo(Tampered):
    label, changed = "A_r", staticmethod(lambda terms: tuple(2 * term for term in terms))


class ForgottenResponse(Tampered):
    label, changed = "R_r_u_X", staticmethod(lambda terms: tuple(t for t in terms if "A_r" not in str(t)))


@pytest.mark.parametrize("kind", [FactorOfTwo, ForgottenResponse])
def test_wrong_equations_fail(kind):
    theory = ds.derive(ds.deep_linear(0), training=ds.GradientDescent(weight_decay=0.02))
    limiting = kind(theory, ds.limits.late)
    assert late_checks.structural(limiting, {"samples_per_dim": 2.0, **RUN}).holds is False
    assert late_checks.approach(limiting, {"samples_per_dim": 2.0, **RUN}).holds is False


def test_equations_are_products():
    limiting = late_of(momentum=0.5)
    a, z = limiting.equations["A_Delta_v"].rhs, sp.Symbol("z", positive=True)
    eta = next(symbol for symbol in a.free_symbols if symbol.name == "eta0")
    m = next(symbol for symbol in a.free_symbols if symbol.name == "m")
    assert sp.cancel(a + eta * z / ((z - 1) * (z - m))) == 0
    assert "R^(r, u_X) = A^(r, r) R^(r, u_X) + 1" in str(limiting.equations)


@pytest.mark.parametrize(
    ("theory", "message"),
    [
        (lambda: ds.derive(ds.deep_linear(1)), "A_g_h depends on C_|A_Delta_v depends on C_|A_h_g depends on C_"),
        (lambda: ds.derive(ds.deep_linear(0), training=ds.OnlineSGD()), "fresh samples are noise without end"),
        (lambda: ds.derive(ds.deep_linear(0), training=ds.GradientFlow()), "training is a flow already"),
        (lambda: ds.derive(ds.mlp(1), data=ds.Samples(np.eye(2), [1.0, -1.0])), "averages over sites do not close"),
    ],
)
def test_what_has_no_end_says_why(theory, message):
    with pytest.raises(ProgramError, match=f"limit late: ({message})"):
        theory().limit(ds.limits.late)


def test_rates_that_are_not_stable_are_refused():
    with pytest.raises(ArgumentError, match="allowed is a lower one"):
        late_of().solve(samples_per_dim=2.0, label_noise=NOISE, learning_rate=20.0)


def test_classes_of_modes_end_as_a_finite_width_and_samples_leave_them():
    """``sum rho lambda b kappa/(lambda + kappa)`` and the same of samples, ``/(1 - ..)`` (arXiv:2402.01092)."""
    spectrum = ((0.2, 3.0, 1.0), (0.5, 0.6, 2.0), (0.3, 0.3, 0.5))
    rho, eigenvalues, variances = np.array(spectrum).T

    def features(net, x):
        return net.readout("w", net.matrix("W0", net.inputs, net.hidden("N"), train=False) @ x)

    ratio = 0.4
    kappa = brentq(lambda k: (rho * eigenvalues / (eigenvalues + k)).sum() - ratio, 1e-9, 1e3)
    left, signal = kappa / (eigenvalues + kappa), rho * eigenvalues * variances
    spent = (rho * (1 - left) ** 2).sum() / ratio
    limit = ds.derive(ds.network(features), data=ds.Proportional(spectrum=spectrum)).limit(ds.limits.late)
    options = {"samples_per_dim": np.inf, "width_per_dim": np.inf, "richness": 1e8, "learning_rate": 0.1}
    losses = [float(limit.solve(**options | {n: ratio}).test_loss[0]) for n in ("width_per_dim", "samples_per_dim")]
    np.testing.assert_allclose(losses, [signal @ left, signal @ left**2 / (1 - spent)], rtol=1e-7)
