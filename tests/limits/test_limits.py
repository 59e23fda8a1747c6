"""Limits of closed equations, by three routes: structure, exact first steps, approach in numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from hypothesis import HealthCheck, assume, given, settings
from networks_with_limits import NETWORKS, RUN
from strategies import trainings
from typer.testing import CliRunner

import dmft_sym as ds
from dmft_sym import cli
from dmft_sym.limits.checks import approach, exact, fitted, structural
from dmft_sym.limits.limiting import LimitingTheory
from dmft_sym.limits.orders import leading
from dmft_sym.program import ProgramError
from dmft_sym.support.errors import ArgumentError

EPS, Limit = ds.limits.EPS, ds.limits.Limit
GAMMA = sp.Symbol("gamma", positive=True)

QUICK = {
    ("deep linear", "population"),
    ("deep linear", "regression"),
    ("lora", "population"),
    ("residual", "regression"),
}
CASES = [
    pytest.param(name, limit, marks=() if limit == "wide" or (name, limit) in QUICK else pytest.mark.slow)
    for name in NETWORKS
    for limit in ("wide", "population", "regression")
    if (name, limit) != ("NTK", "regression")  # gamma goes with the width there: the limit is that of muP
]


@pytest.mark.parametrize(("name", "limit"), CASES)
def test_limits_hold_by_structure_exactly_and_by_their_rate(name, limit):
    network, more = NETWORKS[name]
    theory = ds.derive(network)
    (row,) = ds.limits.check(theory, [limit], **RUN, **more, steps=12)
    assert row.verdict == "holds", str(row)
    assert row.structural.holds and row.exact.holds and row.approach.holds


@pytest.mark.parametrize(
    "training", [ds.OnlineSGD(), ds.GradientDescent(momentum=0.5, weight_decay=0.02)], ids=["online", "memory"]
)
def test_limits_hold_for_other_training_rules(training):
    more = {"momentum": 0.5, "weight_decay": 0.02} if isinstance(training, ds.GradientDescent) else {}
    rows = ds.limits.check(ds.derive(ds.deep_linear(1), training=training), ["wide", "population"], **RUN, **more)
    assert [row.verdict for row in rows] == ["holds", "holds"], str(rows)


@settings(max_examples=2, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(trainings())
def test_networks_drawn_at_random_have_the_limits(training):
    """Infinite width and infinite data, by structure and in numbers."""
    _, theory, parameters = training
    assume(3 <= len(theory.closed.families) <= 14)
    values = {**parameters, "learning_rate": parameters["learning_rate"] / 20}
    for limit in (ds.limits.wide, ds.limits.population):
        if not set(limit.scaling) <= {symbol.name for symbol in theory.program.parameters}:
            continue
        limiting = theory.limit(limit)
        assert structural(limiting).holds
        scaled = {p.keyword for p in theory.parameters if p.symbol.name in limit.scaling}
        verdict = approach(limiting, {**values, **dict.fromkeys(scaled, 1.0)}, steps=4, rate=limit.rate)
        assert verdict.holds, str(verdict)


def test_the_wide_limit_is_the_run_at_infinite_width():
    theory = ds.derive(ds.deep_linear(2))
    arguments = {key: value for key, value in RUN.items() if key != "width_per_dim"}
    limit = theory.limit(ds.limits.wide).solve("numpy", steps=30, **arguments)
    run = theory.compile("numpy")(steps=30, width_per_dim=np.inf, **arguments)
    for name in ("train_loss", "test_loss", "C_h", "R_h"):
        np.testing.assert_allclose(limit[name], run[name], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("depth", [1, 3])
def test_wide_and_lazy_networks_do_linear_regression(depth):
    """At ``L + 1`` times the rate of one layer, ``s2^L``: the network without hidden layers is another program."""
    arguments = {"steps": 25, "samples_per_dim": 2.0, "label_noise": 0.3}
    limit = ds.derive(ds.deep_linear(depth)).limit(ds.limits.regression)
    lazy = limit.solve("numpy", richness=1.0, learning_rate=0.03, init_std=0.9, **arguments)
    rate = 0.03 * (depth + 1) * 0.81**depth
    plain = ds.derive(ds.deep_linear(0)).compile("numpy")(learning_rate=rate, **arguments)
    np.testing.assert_allclose(lazy.test_loss, plain.test_loss, rtol=1e-12)
    np.testing.assert_allclose(lazy.train_loss, plain.train_loss, rtol=1e-12)


def test_equations_of_a_limit_say_what_vanished():
    limiting = ds.derive(ds.deep_linear(2)).limit(ds.limits.wide)
    assert limiting.powers["R_v_rbar_W0"] == sp.Rational(1, 2)
    assert {item.label for item in limiting.vanished if item.term is None} == {"R_Delta_rbar_W0", "R_v_rbar_W0"}
    assert {item.order for item in limiting.vanished if item.term is not None} == {1}
    assert not any("nu" in {s.name for s in equation.rhs.free_symbols} for equation in limiting.equations)
    assert "Vanished" in limiting.equations.stage.text
    assert "\\begin{align}" in limiting.equations.latex
    assert repr(limiting).count("\n") == 0


def test_a_limit_of_ones_own():
    """Little noise: a limit in one line, with the rate that noise has in losses."""
    noiseless = Limit("noiseless", {"sigma_eps": EPS * sp.Symbol("sigma_eps", nonnegative=True)}, "labels are exact", 2)
    (row,) = ds.limits.check(ds.derive(ds.deep_linear(1)), [noiseless], **RUN)
    assert row.verdict == "holds", str(row)


class Tampered(LimitingTheory):
    """A limit whose equation for a label has another right-hand side."""

    label, changed = "", staticmethod(lambda terms: terms)

    @property
    def closed(self):
        closed = super().closed
        rows = tuple(
            replace(part, equations=tuple(self._wrong(equation) for equation in part.equations))
            for part in closed.statements
        )
        return replace(closed, statements=rows)

    def _wrong(self, equation):
        return replace(equation, terms=self.changed(equation.terms)) if equation.label == self.label else equation


class FactorOfTwo(Tampered):
    label, changed = "A_h_g", staticmethod(lambda terms: tuple(2 * term for term in terms))


class ForgottenResponse(Tampered):
    label, changed = "A_Delta_v", staticmethod(lambda terms: tuple(t for t in terms if "R_g" not in str(t)))


@pytest.mark.parametrize("kind", [FactorOfTwo, ForgottenResponse])
def test_wrong_equations_fail_every_check(kind):
    limiting = kind(ds.derive(ds.deep_linear(2)), ds.limits.wide)
    assert structural(limiting).holds is False
    assert exact(limiting)[0].holds is False
    assert approach(limiting, RUN).holds is False


def test_a_wrong_rate_fails_every_check():
    limiting = ds.derive(ds.deep_linear(2)).limit(replace(ds.limits.wide, rate=2))
    assert structural(limiting).holds is False
    assert exact(limiting)[0].holds is False
    assert approach(limiting, RUN).holds is False


def test_claimed_powers_are_compared_with_those_derived():
    claimed = replace(ds.limits.wide, powers={"R_v_rbar_W0": 1})
    assert "R_v_rbar_W0: eps^1/2" in str(structural(ds.derive(ds.deep_linear(1)).limit(claimed)))
    right = replace(ds.limits.wide, powers={"R_v_rbar_W0": sp.Rational(1, 2)})
    assert structural(ds.derive(ds.deep_linear(1)).limit(right)).holds


def test_small_initial_weights_stay_at_the_saddle_point():
    """Where nothing is learned: the labels' own size is the loss at every step; corrections go with the variance."""
    theory = ds.derive(ds.deep_linear(1))
    limiting = theory.limit("small_init")
    (row,) = ds.limits.check(theory, ["small_init"], **RUN, steps=6)
    assert row.structural.holds and row.exact.holds and row.approach.holds, str(row)
    run = limiting.solve("numpy", steps=6, **RUN)
    np.testing.assert_allclose([run.test_loss, run.train_loss], 1 + RUN["label_noise"] ** 2, rtol=1e-14)
    assert float(limiting.arguments_at(0.01, RUN)["init_std"]) == pytest.approx(0.1 * RUN["init_std"])


@pytest.mark.parametrize(
    ("coefficient", "power", "value"),
    [
        (1 / (2 * EPS + EPS**2), -1, sp.Rational(1, 2)),
        ((3 * EPS + EPS**2) / (5 + EPS), 1, sp.Rational(3, 5)),
        (sp.sqrt(GAMMA * EPS) / EPS**2, -sp.Rational(3, 2), sp.sqrt(GAMMA)),
        (EPS - EPS, sp.oo, 0),
    ],
)
def test_the_leading_power_of_a_coefficient(coefficient, power, value):
    assert leading(coefficient) == (power, value)


def test_odd_orders_drop_where_a_limit_is_even():
    theory = ds.derive(ds.deep_linear(1))
    assert theory.limit(replace(ds.limits.wide, rate=None)).rate == 1
    assert theory.limit(replace(ds.limits.wide, rate=None, even=True)).rate == 2


def test_rates_are_fitted_to_the_smallest_sizes():
    sizes = (1e-2, 3e-3, 1e-3, 3e-4)
    assert fitted(sizes, [size + 3 * size**2 for size in sizes], 1).holds
    assert not fitted(sizes, [np.sqrt(size) for size in sizes], 1).holds
    assert not fitted(sizes, [1.0, 1.0, 1.0, 1.0], 1).holds


def test_a_divergent_limit_names_the_term_and_the_cure():
    lazy = Limit("lazy", {"gamma": EPS * GAMMA}, "features stay", cures={"gamma": "centered = true"})
    with pytest.raises(ProgramError) as error:
        ds.derive(ds.deep_linear(2)).limit(lazy)
    assert "limit lazy: C_Delta diverges as 1/richness^2 by its term s2*Sum(C_g(1," in str(error.value)
    assert str(error.value).endswith("centered = true would cure it")
    (row,) = ds.limits.check(ds.derive(ds.deep_linear(2)), [lazy], **RUN)
    assert row.verdict == "does not apply" and "C_Delta diverges" in row.reason


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Limit("x", {"nu": 3}), "scaling of nu = 3: allowed is an expression in ds.limits.EPS"),
        (lambda: Limit("x", {"nu": sp.Integer(3)}), "scaling of nu = 3: allowed is an expression in ds.limits.EPS"),
        (lambda: Limit("x", {}), "scaling = {}: allowed are parameters with what they become"),
        (lambda: Limit("x", None), "scaling = None: allowed are parameters with what they become"),
        (lambda: Limit("x", {3: EPS}), "scaling of 3: allowed is a symbol of the theory, or its name"),
        (
            lambda: ds.derive(ds.deep_linear(1)).limit("wide").limit("lazy"),
            "both orders do not exist or differ",
        ),
        (lambda: ds.derive(ds.deep_linear(1)).limit(Limit("x", {"mu": EPS})), "limit x: the equations have no mu;"),
        (lambda: ds.derive(ds.deep_linear(1)).limit(Limit("x", {"nu": sp.exp(EPS)})), "allowed are powers of eps"),
    ],
)
def test_bad_limits_are_refused(make, message):
    with pytest.raises(ProgramError) as error:
        make()
    assert message in str(error.value)


def test_parameters_that_scale_are_symbols_or_their_names():
    theory = ds.derive(ds.deep_linear(1))
    mine = Limit("mine", {theory.symbols.nu: 1 / EPS})
    assert mine.scaling == {"nu": 1 / EPS} and theory.limit(mine).vanished == theory.limit("wide").vanished


def test_own_limits_are_of_the_kind_of_their_parameters():
    theory = ds.derive(ds.deep_linear(1))
    slow = Limit("slow", {"eta0": EPS**1 * theory.symbols.eta0})
    assert type(theory.limit(slow)) is type(theory.limit("gradient_flow"))
    assert set(dir(ds.limits)) >= {"wide", "deep", "Limit"}
    with pytest.raises(AttributeError, match="no attribute 'wid'"):
        _ = ds.limits.wid


def test_arguments_that_went_to_the_limit_are_refused_and_those_that_cancel_may_be_missing():
    given = {key: value for key, value in RUN.items() if key not in ("width_per_dim", "richness")}
    theory = ds.derive(ds.deep_linear(1))
    with pytest.raises(ArgumentError, match="width_per_dim: allowed is nothing, it went to the limit wide"):
        theory.limit("wide").solve("numpy", steps=3, **RUN)
    with pytest.raises(ArgumentError, match="richness"):
        theory.limit("wide").solve("numpy", steps=3, **given)
    regression = theory.limit("regression")
    some, other = (regression.solve("numpy", steps=5, **more, **given) for more in ({}, {"richness": 0.3}))
    np.testing.assert_allclose(some.test_loss, other.test_loss, rtol=1e-13)
    centered = ds.derive(ds.deep_linear(2), training=ds.GradientDescent(centered=True)).limit("lazy")
    some, other = (
        centered.solve("numpy", steps=5, width_per_dim=0.8, **more, **given) for more in ({}, {"richness": 3.0})
    )
    for name in some.data_vars:
        np.testing.assert_allclose(some[name], other[name], rtol=1e-12, atol=1e-14)
    flow = theory.limit("gradient_flow")
    with pytest.raises(ArgumentError, match="learning_rate: allowed is nothing, it went to the limit gradient_flow"):
        flow.solve(**RUN)
    with pytest.raises(ArgumentError, match="steps: unknown argument; allowed are time, where the flow ends"):
        flow.solve(steps=3)


def test_limits_show_themselves():
    limiting = ds.derive(ds.deep_linear(2)).limit("wide")
    text, page = str(limiting.vanished), limiting.vanished._repr_html_()
    assert text.splitlines()[0].split() == ["equation", "power", "of", "eps", "what", "vanished"]
    assert len(text.splitlines()) == 1 + len(limiting.vanished) and "all of it" in text
    assert page.count("<tr>") == 1 + len(limiting.vanished) and "<td>R_v_rbar_W0</td><td>1/2</td>" in page
    assert str(limiting).count("\n") < 10 and "the largest as eps^1" in str(limiting)
    assert "\\begin" in limiting._repr_latex_()
    assert str(ds.derive(ds.deep_linear(0)).limit("late").vanished) == "nothing vanished"


def test_first_steps_are_one_by_default():
    assert ds.derive(ds.deep_linear(1)).exact().test_loss.shape == (1,)


def test_no_limit_at_all_is_a_line():
    rows = ds.limits.check(ds.derive(ds.deep_linear(1), training=ds.GradientFlow()), richness=1.0)
    assert not rows.failed and str(rows).splitlines()[-1] == "no limit applies to deep linear network"


def test_limits_have_names_everywhere():
    theory = ds.derive(ds.deep_linear(1))
    assert theory.limit("wide").limit == ds.limits.wide
    with pytest.raises(ArgumentError, match="did you mean wide"):
        theory.limit("wid")
    with pytest.raises(ArgumentError, match="allowed are lazy"):
        theory.limit(None)
    with pytest.raises(ArgumentError, match="a gradient flow has no first steps"):
        ds.derive(ds.deep_linear(1), training=ds.GradientFlow()).exact(steps=2)
    with pytest.raises(ArgumentError, match="steps: allowed is nothing"):
        theory.limit("independent").solve(steps=3, learning_rate=0.05, samples_per_dim=2, width_per_dim=1, richness=1)


def test_unknown_limits_are_refused():
    with pytest.raises(ArgumentError, match="did you mean wide"):
        ds.limits.check(ds.derive(ds.deep_linear(1)), ["wid"], **RUN)


def test_the_command_prints_a_table_and_its_status_says_whether_a_check_failed(monkeypatch, tmp_path):
    spec = "examples/deep_linear.toml"
    result = CliRunner().invoke(cli.app, ["check", spec, "--limit", "wide"])
    assert result.exit_code == 0
    assert "wide (deep linear network): holds" in result.output
    monkeypatch.setitem(ds.limits.ALL, "wide", replace(ds.limits.wide, rate=2))
    result = CliRunner().invoke(cli.app, ["check", spec, "--limit", "wide"])
    assert result.exit_code == 1
    assert "FAIL" in result.output
    assert cli.main(["check", spec, "--limit", "wid"]) == 2


def test_a_flow_has_no_steps_to_check():
    result = CliRunner().invoke(cli.app, ["check", "examples/gradient_flow.toml", "--limit", "wide"])
    assert result.exit_code == 0, result.output
    assert "does not apply, training is a flow already" in result.output


def test_what_does_not_apply_says_why():
    theory = ds.derive(ds.mlp(1), data=ds.Samples(np.eye(2), [1.0, -1.0]))
    rows = ds.limits.check(theory, ["wide"], richness=1.0, learning_rate=0.1)
    assert rows[0].holds is None and "the equations have no nu" in rows[0].reason
    assert "does not apply" in str(rows)
    assert "<td>wide</td>" in rows._repr_html_()


@pytest.mark.parametrize("value", ["__import__('os').getcwd()", "1/3", True, -1.0])
def test_arguments_of_checks_are_numbers_and_text_is_not_read(value):
    with pytest.raises(ArgumentError, match=r"^width_per_dim = .*: allowed is a number > 0 or inf$"):
        ds.limits.check(ds.derive(ds.deep_linear(1)), ["wide"], **{**RUN, "width_per_dim": value})


CLASSES = ds.Proportional(spectrum=[(0.2, 3.0, 1.0), (0.8, 0.6, 2.0)])


def test_first_steps_with_classes_of_sites_go_to_those_of_the_limit():
    limiting = ds.derive(ds.deep_linear(1), data=CLASSES).limit(ds.limits.population)
    verdict, rate = exact(limiting, 2, tries=1, depth=1)
    assert verdict.holds and rate == 1, str(verdict)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) for n in ("regression", "population")])
def test_limits_hold_with_classes_of_sites(name):
    theory = ds.derive(ds.deep_linear(1), data=CLASSES)
    given = {"samples_per_dim": 2.0, "width_per_dim": 0.8, "richness": 2.0, "learning_rate": 0.05, "depth": 1}
    (row,) = ds.limits.check(theory, [name], **given)
    assert row.holds, str(row)


@pytest.mark.parametrize(
    "name", ["gradient_flow", "wide", "population", "regression", "small_init", "independent", "deep", "late"]
)
def test_rows_on_given_samples_say_what_has_the_limit(name):
    """Why a limit does not apply, and the data whose equations have it."""
    theory = ds.derive(ds.mlp(1), data=ds.Samples(np.eye(2), [1.0, -1.0]))
    (row,) = ds.limits.check(theory, [name])
    assert row.verdict == "does not apply" and "data = ds.Proportional()" in row.reason.partition(";")[2], row.reason


@pytest.mark.parametrize("centered", [False, True])
def test_decay_has_to_go_too_for_differences_from_the_first_step_to_cancel(centered):
    decaying = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(weight_decay=0.1, centered=centered))
    missing = "weight_decay = 0" if centered else "centered = true with weight_decay = 0"
    (row,) = ds.limits.check(decaying, ["lazy"])
    assert row.reason.endswith(f"; {missing} would cure it"), row.reason
    assert ds.derive(ds.deep_linear(1), training=ds.GradientDescent(centered=True)).limit("lazy").rate == 2
