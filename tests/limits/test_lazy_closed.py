"""The lazy limit of closed equations: centered training, with fields split into the first step and what changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from networks_with_limits import RUN, lora, residual, tied
from strategies import trainings
from test_limits import Tampered

import dmft_sym as ds
from dmft_sym.limits.checks import approach, exact, structural
from dmft_sym.limits.first_step import split_problem
from dmft_sym.program import ProgramError
from dmft_sym.solvers.solver import Solver

CENTERED = ds.GradientDescent(centered=True)
NETWORKS = {
    "depth 1": (ds.deep_linear(1), {}),
    "depth 2": (ds.deep_linear(2), {}),
    "depth 3": (ds.deep_linear(3), {}),
    "NTK": (ds.deep_linear(2, parametrization=ds.NTK), {}),
    "outputs": (ds.deep_linear(1, outputs=2), {}),
    "residual": (ds.network(residual), {"depth": 3}),
    "tied": (ds.network(tied), {"depth": 3}),
    "lora": (ds.network(lora), {}),
}
RULES = {
    "momentum": (ds.GradientDescent(momentum=0.5, centered=True), {"momentum": 0.5}),
    "online": (ds.OnlineSGD(centered=True), {}),
}


def lazy_by_hand(steps, alpha, nu, rate, noise, variance):
    """Losses of a lazy network with one hidden layer, whole matrices at a time until causality has reached the end.

    ``e = (w - w(0))/gamma`` is what readouts learn, and ``rho`` the Gaussian field of ``W0^T e``.
    """
    one, past, eye = np.ones((steps, steps)), np.tril(np.ones((steps, steps)), -1), np.eye(steps)
    r_e, c_e, c_r, j = 0 * one, 0 * one, 0 * one, eye
    for _ in range(3 * steps):
        kernel = variance * r_e + rate * variance * past
        inverse = np.linalg.inv(eye + kernel @ j)
        on_rho, on_teacher, on_data = -inverse / np.sqrt(nu), inverse @ one[0], -inverse @ kernel / np.sqrt(alpha)
        gap = variance * on_rho @ c_e @ on_rho.T + np.outer(on_teacher, on_teacher) + on_data @ c_r @ on_data.T
        j = np.linalg.inv(eye - on_data / np.sqrt(alpha))
        c_r = j @ (gap + noise**2 * one) @ j.T
        v_rho, v_teacher, v_data = j @ on_rho, j @ on_teacher, j @ on_data + eye / np.sqrt(alpha)
        c_v = variance * v_rho @ c_e @ v_rho.T + np.outer(v_teacher, v_teacher) + v_data @ c_r @ v_data.T
        r_e = rate * past @ np.linalg.inv(eye - variance / np.sqrt(nu) * rate * v_rho @ past)
        c_e = r_e @ (variance * c_v) @ r_e.T
    return np.diag(c_r), np.diag(gap) + noise**2


def test_one_hidden_layer_does_what_the_equations_by_hand_say():
    arguments = {**RUN, "learning_rate": 0.2, "richness": 1.0}
    run = ds.derive(ds.deep_linear(1), training=CENTERED).limit(ds.limits.lazy).solve("numpy", steps=12, **arguments)
    train, test = lazy_by_hand(12, 2.0, 0.8, 0.2, 0.3, 0.81)
    np.testing.assert_allclose(run.train_loss[:, 0], train, rtol=1e-12)
    np.testing.assert_allclose(run.test_loss[:, 0], test, rtol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_lazy_limit_holds_by_structure_exactly_and_by_its_rate(name):
    network, more = NETWORKS[name]
    (row,) = ds.limits.check(ds.derive(network, training=CENTERED), ["lazy"], **RUN, **more, steps=12)
    assert row.verdict == "holds", str(row)
    assert row.structural.holds and row.exact.holds and row.approach.holds
    assert "expected 2;" in str(row.approach)


@pytest.mark.parametrize("name", RULES)
def test_the_lazy_limit_holds_for_other_training_rules(name):
    training, more = RULES[name]
    (row,) = ds.limits.check(ds.derive(ds.deep_linear(2), training=training), ["lazy"], **RUN, **more, steps=8)
    assert row.verdict == "holds", str(row)


@pytest.mark.parametrize(
    ("network", "more", "training"),
    [*((*case, CENTERED) for case in NETWORKS.values()), (*NETWORKS["tied"], RULES["momentum"][0])],
    ids=[*NETWORKS, "tied, momentum"],
)
def test_split_equations_are_the_same_training(network, more, training):
    """Exactly, at any richness: what was at the first step and what changed add up."""
    theory = ds.derive(network, training=training)
    arguments = {**RUN, **more, **({"momentum": 0.5} if training != CENTERED else {})}
    whole = theory.compile("numpy")(steps=8, method="equations", **arguments)
    split = Solver(split_problem(theory), "numpy")(steps=8, method="equations", **arguments)
    for name in ("train_loss", "test_loss", "C_v", "C_r"):
        np.testing.assert_allclose(split[name], whole[name], rtol=1e-12, atol=1e-13)


def test_the_compiled_march_of_the_limit_has_the_same_numbers_at_any_richness():
    limiting = ds.derive(ds.deep_linear(3), training=CENTERED).limit(ds.limits.lazy)
    slow = limiting.solve("numpy", steps=10, **RUN)
    fast = limiting.solve(steps=10, **{**RUN, "richness": 0.1})
    for name in ("train_loss", "test_loss", "C_g", "C_h", "C_v"):
        np.testing.assert_allclose(fast[name], slow[name], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(slow.C_g, np.broadcast_to(slow.C_g[:, :1, :1], slow.C_g.shape), rtol=1e-12)


def test_equations_say_what_is_static_what_is_small_and_what_vanished():
    limiting = ds.derive(ds.deep_linear(2), training=CENTERED).limit(ds.limits.lazy)
    powers = {"C_g_0": 0, "C_dg": 2, "R_Delta_rbar_W0": -1, "A_h_dg": -1, "C_Delta": 0, "R_g_u_W0": 1}
    assert {name: limiting.powers[name] for name in powers} == powers
    assert limiting.rate == 2
    assert {item.order for item in limiting.vanished if item.term is not None} == {2}
    kernel = limiting.equations["A_dbeta_v"].rhs
    assert str(kernel) == "eta0*C_g(1, t, c, 1, s, c')*S_kappa(t, s) + s2*R_dg_u_W0(1, t, c, s, c')/gamma"
    text = limiting.equations.stage.text
    assert "x = x_0 + dx" in text and "R\\_Delta\\_rbar\\_W0: -1" in text and "oo" not in text
    assert "\\begin{align}" in limiting.equations.latex


class FactorOfTwo(Tampered):
    label, changed = "A_dbeta_v", staticmethod(lambda terms: tuple(2 * term for term in terms))


class ForgottenResponse(Tampered):
    label, changed = "A_dbeta_v", staticmethod(lambda terms: tuple(t for t in terms if "R_dg" not in str(t)))


@pytest.mark.parametrize("kind", [FactorOfTwo, ForgottenResponse])
def test_wrong_equations_fail_every_check(kind):
    theory = ds.derive(ds.deep_linear(2), training=CENTERED)
    limiting = kind(split_problem(theory), ds.limits.lazy, whole=theory)
    assert structural(limiting).holds is False
    assert exact(limiting)[0].holds is False
    assert approach(limiting, RUN).holds is False


@pytest.mark.parametrize("rate", [1, 4])
def test_a_wrong_rate_fails_every_check(rate):
    limiting = ds.derive(ds.deep_linear(2), training=CENTERED).limit(replace(ds.limits.lazy, rate=rate))
    assert structural(limiting).holds is False
    assert exact(limiting)[0].holds is False
    assert approach(limiting, RUN).holds is False


def test_without_centering_the_row_says_why_and_names_the_cure():
    (row,) = ds.limits.check(ds.derive(ds.deep_linear(2)), ["lazy"], **RUN)
    assert row.verdict == "does not apply"
    assert row.reason.startswith("C_Delta diverges as 1/richness^2 by its term s2*Sum(C_g(1,")
    assert row.reason.endswith("centered = true would cure it")


def test_weights_that_decay_do_not_stay_and_centering_is_no_cure():
    theory = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(weight_decay=0.01, centered=True))
    assert split_problem(theory) is None
    with pytest.raises(ProgramError, match="C_Delta diverges as 1/richness") as error:
        theory.limit(ds.limits.lazy)
    assert "centered" not in str(error.value)
    assert str(error.value).endswith("weight_decay = 0 would cure it")


def test_what_has_no_field_of_the_first_step_is_not_split():
    assert split_problem(ds.derive(ds.deep_linear(1))) is None


def test_names_of_the_parts_are_new():
    def clashing(net, x):
        n = net.hidden("N")
        return net.readout("w", net.matrix("dw", n, n) @ (net.matrix("W0", net.inputs, n) @ x))

    theory = ds.derive(ds.network(clashing), training=CENTERED)
    names = {vector.name for vector in split_problem(theory).program.vectors}
    assert "dw" not in names and "w" in names
    (row,) = ds.limits.check(theory, ["lazy"], **RUN, steps=6)
    assert row.verdict == "holds", str(row)


def test_parameters_of_a_predictor_that_cancels_are_gone():
    """A random readout of the inputs: where it starts does not matter once its predictor is subtracted."""
    theory = ds.derive(ds.network(lambda net, x: net.readout("w", x), name="linear"), training=CENTERED)
    (row,) = ds.limits.check(theory, ["lazy"], **RUN, steps=6)
    assert row.verdict == "holds", str(row)
    assert "init_std" not in theory.limit(ds.limits.lazy).kept(RUN)


@settings(max_examples=2, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(trainings())
def test_networks_drawn_at_random_are_split_exactly_and_have_the_limit(training):
    _, drawn, parameters = training
    values = {name: value for name, value in parameters.items() if name not in ("momentum", "weight_decay")}
    assume(all(map(np.isfinite, values.values())))
    theory = ds.derive(drawn.network, training=CENTERED)
    assume(3 <= len(theory.closed.families) <= 30)
    values |= {"learning_rate": values["learning_rate"] / 4, "richness": 1.0}
    split = split_problem(theory)
    known = {parameter.keyword for parameter in split.parameters} | {"outputs"}
    whole = theory.compile("numpy")(steps=4, method="equations", **values)
    parts = Solver(split, "numpy")(steps=4, method="equations", **{k: v for k, v in values.items() if k in known})
    np.testing.assert_allclose(parts.test_loss, whole.test_loss, rtol=1e-11, atol=1e-13)
    limiting = theory.limit(ds.limits.lazy)
    assert structural(limiting).holds
    verdict = approach(limiting, values, steps=4, rate=2)
    assert verdict.holds, str(verdict)
