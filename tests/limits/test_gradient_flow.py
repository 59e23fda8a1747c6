"""Gradient flow as a limit: integral equations that are derived, solved as they stand, and three checks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from networks_with_limits import NETWORKS, RUN

import dmft_sym as ds
from dmft_sym.derivation.equations import Equation, Equations
from dmft_sym.limits import flow_checks
from dmft_sym.limits.flow_limit import FlowLimit
from dmft_sym.program import ProgramError
from dmft_sym.support.errors import ArgumentError

gradient_flow = ds.limits.gradient_flow
PHYSICS = {"samples_per_dim": 2.0, "width_per_dim": 0.7, "richness": 2.0, "label_noise": 0.3}
QUICK = ("deep linear", "lora")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NETWORKS]
)
def test_the_limit_holds_in_every_equation_in_first_steps_and_by_its_rate(name):
    network, more = NETWORKS[name]
    (row,) = ds.limits.check(ds.derive(network), ["gradient_flow"], **RUN, **more)
    assert row.structural.holds and row.exact.holds and row.approach.holds, str(row)


def test_centered_training_remembers_its_first_step():
    theory = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(centered=True))
    limiting = theory.limit(gradient_flow)
    assert "R_Delta_rbar_W0_first" in limiting.equations.labels
    (row,) = ds.limits.check(theory, ["gradient_flow"], **RUN)
    assert row.structural.holds and row.exact.holds and row.approach.holds, str(row)


@pytest.mark.parametrize("centered", [False, True])
def test_integral_equations_and_a_flow_on_coordinates_agree(centered):
    """Two routes that share nothing: Volterra equations of two times, and Runge-Kutta steps of the program."""
    limiting = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(centered=centered)).limit(gradient_flow)
    flow = ds.derive(ds.deep_linear(1), training=ds.GradientFlow(rtol=1e-9, centered=centered))
    run = flow.compile("numpy")(time=list(np.linspace(0, 0.5, 5)), **PHYSICS)
    errors = []
    for points in (5, 9, 17):
        found = limiting.solve(time=0.5, points=points, **PHYSICS).isel(time=slice(None, None, (points - 1) // 4))
        losses = [(found[name].values[:, 0], run[name].values.ravel()) for name in ("train_loss", "test_loss")]
        errors.append(max(np.abs(mine - other).max() for mine, other in losses))
    assert errors[0] / errors[1] > 8 and errors[1] / errors[2] > 8 and errors[2] < 1e-5, errors  # fourth order


def test_linear_regression_flows_as_the_closed_form():
    """Modes of a Marchenko-Pastur law decay as ``exp(-l t)`` (Advani and Saxe, arXiv:1710.03667)."""
    limiting = ds.derive(ds.deep_linear(0)).limit(gradient_flow)
    alpha, noise, time = 2.0, 0.3, np.linspace(0, 2, 33)
    low, high = (1 - alpha**-0.5) ** 2, (1 + alpha**-0.5) ** 2
    angle = (np.arange(400) + 0.5) * np.pi / 400
    modes = (low + high) / 2 - (high - low) / 2 * np.cos(angle)
    weight = alpha * np.sqrt((high - modes) * (modes - low)) / (2 * np.pi * modes) * (high - low) / 2 * np.sin(angle)
    weight *= np.pi / 400
    decay = np.exp(-np.outer(time, modes))
    expected = (decay**2 + noise**2 / alpha * (1 - decay) ** 2 / modes) @ weight + noise**2
    found = limiting.solve(time=2.0, points=33, samples_per_dim=alpha, label_noise=noise)
    np.testing.assert_allclose(found.test_loss[:, 0], expected, rtol=2e-6)


def test_equations_have_integrals_and_print():
    limiting = ds.derive(ds.deep_linear(1)).limit(gradient_flow)
    response = limiting.equations["R_Delta_betastar"].rhs
    (integral,) = response.atoms(sp.Integral)
    t, t_1 = (sp.Symbol(name, real=True, nonnegative=True) for name in ("t", "t_1"))
    assert integral.limits[0][0] == t_1 and integral.limits[0][1:] == (0, t)
    assert "∫_0^t dt_1" in str(limiting.equations) and "\\int_{0}^{t}" in limiting.equations.latex
    assert not any(e.rhs.has(sp.Symbol("eta0", positive=True)) for e in limiting.equations)
    assert limiting.equations["R_r_u_X_now"].rhs.has(sp.KroneckerDelta)


class Tampered(FlowLimit):
    """A limit whose equation for a label has another right-hand side."""

    label, changed = "", staticmethod(lambda terms: terms)

    @property
    def equations(self):
        items = [
            Equation(e.left, self.changed(e.terms), e.where) if e.label == self.label else e
            for e in super().equations.items
        ]
        return Equations(items, "tampered", "")


class FactorOfTwo(Tampered):
    label, changed = "A_Delta_v", staticmethod(lambda terms: tuple(2 * term for term in terms))


class ForgottenResponse(Tampered):
    label, changed = "A_Delta_v", staticmethod(lambda terms: tuple(t for t in terms if "R_g" not in str(t)))


class ForgottenCorrelation(Tampered):
    label, changed = "A_Delta_v", staticmethod(lambda terms: tuple(t for t in terms if "C_g" not in str(t)))


@pytest.mark.parametrize("kind", [FactorOfTwo, ForgottenCorrelation])
def test_wrong_equations_fail_every_check(kind):
    limiting = kind(ds.derive(ds.deep_linear(1)), gradient_flow)
    assert flow_checks.structural(limiting, {"depth": 1}).holds is False
    assert flow_checks.exact(limiting, {"depth": 1}).holds is False
    assert flow_checks.approach(limiting, RUN).holds is False


def test_a_forgotten_response_fails():
    """It is zero at time zero: the first step does not know of it."""
    limiting = ForgottenResponse(ds.derive(ds.deep_linear(1)), gradient_flow)
    assert "A_Delta_v is not the limit" in str(flow_checks.structural(limiting, {"depth": 1}))
    assert flow_checks.approach(limiting, {**RUN, "learning_rate": 0.05}).holds is False


def test_a_wrong_rate_fails():
    limiting = ds.derive(ds.deep_linear(1)).limit(replace(gradient_flow, rate=2))
    assert flow_checks.structural(limiting, {"depth": 1}).holds is False
    assert flow_checks.approach(limiting, RUN).holds is False


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (ds.GradientDescent(momentum=0.5), "momentum acts step by step"),
        (ds.GradientDescent(weight_decay=0.1), "weight decay acts step by step"),
        (ds.OnlineSGD(), "noise of fresh samples averages out"),
        (ds.GradientFlow(), "training is a flow already"),
    ],
)
def test_what_does_not_flow_says_why(training, message):
    with pytest.raises(ProgramError, match=f"limit gradient_flow: {message}"):
        ds.derive(ds.deep_linear(1), training=training).limit(gradient_flow)


def test_bad_arguments_are_refused():
    limiting = ds.derive(ds.deep_linear(1)).limit(gradient_flow)
    with pytest.raises(ArgumentError, match="points = 1: allowed is an integer >= 2"):
        limiting.solve(points=1, **PHYSICS)
    with pytest.raises(ArgumentError, match="allowed are more points"):
        limiting.solve(time=1000.0, points=4, **PHYSICS)
    with pytest.raises(ArgumentError, match="time = -1"):
        limiting.solve(time=-1, **PHYSICS)


@pytest.mark.parametrize("depth", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_classes_of_modes_flow_as_on_coordinates(depth):
    """Integral equations, class by class, and Runge-Kutta steps of the program."""
    data = ds.Proportional(spectrum=[(0.4, 1.5, 1.0), (0.6, 0.3, 2.0)])
    limiting = ds.derive(ds.deep_linear(depth), data=data).limit(gradient_flow)
    physics = {key: PHYSICS[key] for key in (PHYSICS if depth else ("samples_per_dim", "label_noise"))}
    found = limiting.solve(time=0.5, points=9, **physics)
    flow = ds.derive(ds.deep_linear(depth), data=data, training=ds.GradientFlow(rtol=1e-9))
    run = flow.compile("numpy")(time=found.time.values.tolist(), **physics)
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(found[name].values[:, 0], run[name].values.ravel(), rtol=3e-5)
