"""Limits of limits: both orders leave the same equations, which are those of a run at both values."""

from __future__ import annotations

import numpy as np
import pytest
from networks_with_limits import NETWORKS, RUN
from test_limits import FactorOfTwo

import dmft_sym as ds
from dmft_sym.limits.checks import approach, exact, structural
from dmft_sym.limits.composed import of_limit
from dmft_sym.program import ProgramError
from dmft_sym.support.errors import ArgumentError

CENTERED = ds.GradientDescent(centered=True)
EPS = ds.limits.EPS


def kept(limiting, **more):
    return {key: value for key, value in {**RUN, **more}.items() if key not in limiting.gone}


@pytest.mark.parametrize("name", ["deep linear", pytest.param("residual", marks=pytest.mark.slow)])
def test_wide_then_population_is_the_run_at_both_infinite_ratios(name):
    network, more = NETWORKS[name]
    theory = ds.derive(network)
    one, other = theory.limit("wide").limit("population"), theory.limit("population").limit(ds.limits.wide)
    arguments = kept(one, **more)
    assert one.gone == other.gone == {"width_per_dim", "samples_per_dim"}
    ends = {"width_per_dim": np.inf, "samples_per_dim": np.inf}
    run = theory.compile("numpy")(steps=12, **{**RUN, **more, **ends})
    for limiting in (one, other):
        found = limiting.solve("numpy", steps=12, **arguments)
        assert {"test_loss", "C_h", "C_g", "R_h"} <= set(found.data_vars)
        for variable in found.data_vars:
            np.testing.assert_allclose(found[variable], run[variable], rtol=1e-12, atol=1e-14)


def test_the_second_limit_has_the_three_checks():
    limiting = ds.derive(ds.deep_linear(1)).limit("wide").limit("population")
    arguments = kept(limiting, samples_per_dim=1.0)
    assert structural(limiting).holds and exact(limiting)[0].holds
    verdict = approach(limiting, {**arguments, "samples_per_dim": 1.0})
    assert verdict.holds and "expected 1" in str(verdict)


def test_lazy_and_population_commute_and_the_richness_cancels():
    theory = ds.derive(ds.deep_linear(1), training=CENTERED)
    one, other = theory.limit("lazy").limit("population"), theory.limit("population").limit("lazy")
    given = {"width_per_dim": 0.8, "learning_rate": 0.2, "label_noise": 0.3, "init_std": 0.9}
    found = [limiting.solve("numpy", steps=10, **given) for limiting in (one, other)]
    np.testing.assert_allclose(found[0].test_loss, found[1].test_loss, rtol=1e-13)
    near = theory.compile("numpy")(steps=10, **given, richness=1e-3, samples_per_dim=1e7, method="equations")
    np.testing.assert_allclose(found[0].test_loss, near.test_loss, rtol=1e-5)
    assert abs(found[0].test_loss[-1] - theory.limit("lazy").solve(
        "numpy", steps=10, samples_per_dim=2.0, **given).test_loss[-1]) > 0.01  # fmt: skip


def test_three_limits_of_one_another():
    theory = ds.derive(ds.deep_linear(1), training=CENTERED)
    limiting = theory.limit("lazy").limit("wide").limit("population")
    assert limiting.limit.name == "lazy, then wide, then population"
    assert limiting.gone == {"width_per_dim", "samples_per_dim"}
    run = limiting.solve("numpy", steps=15, learning_rate=0.1, label_noise=0.3)
    plain = ds.derive(ds.deep_linear(0)).compile("numpy")(
        steps=15, learning_rate=0.2, label_noise=0.3, samples_per_dim=np.inf
    )
    np.testing.assert_allclose(run.test_loss, plain.test_loss, rtol=1e-12)  # population regression at L + 1 rates


def test_orders_that_differ_are_refused():
    """A wrong limit in between is seen in the other order."""
    theory = ds.derive(ds.deep_linear(2))
    with pytest.raises(ProgramError, match=r"limit population of the limit wide: .*A_h_g is another one"):
        of_limit(FactorOfTwo(theory, ds.limits.wide), ds.limits.population)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda t: t.limit("wide").limit("wide"), "limit wide of the limit wide: nu went to it already"),
        (lambda t: t.limit("wide").limit("regression"), "limit regression of the limit wide: nu went to it already"),
        (
            lambda t: t.limit("wide").limit("lazy"),
            r"both orders do not exist or differ, limit lazy: C_Delta diverges as 1/richness\^2.* would cure it; "
            r"allowed is one limit in which all parameters scale together, such as ds.limits.Limit\(name, \{'nu",
        ),
        (lambda t: t.limit("wide").limit("deep"), "allowed are limits in which parameters of closed equations scale"),
        (lambda t: t.limit("gradient_flow").limit("wide"), "limit wide of the limit gradient_flow: allowed are limits"),
        (lambda t: ds.limits.wide("population"), "limit wide: allowed is a limit of a theory"),
    ],
)
def test_other_limits_of_limits_are_refused_in_a_line(make, why):
    with pytest.raises(ProgramError, match=why) as error:
        make(ds.derive(ds.deep_linear(1)))
    assert "\n" not in str(error.value)


def test_lazy_sites_have_no_further_limit_and_names_are_checked():
    sites = ds.derive(ds.mlp(1), data=ds.Samples(np.eye(2), [1.0, -1.0])).limit("lazy")
    with pytest.raises(ProgramError, match="limit wide of the limit lazy: allowed are limits"):
        sites.limit("wide")
    with pytest.raises(ArgumentError, match="did you mean wide"):
        ds.derive(ds.deep_linear(1)).limit("population").limit("wid")
    with pytest.raises(ArgumentError, match="per_dim: allowed is nothing, it went to the limit wide, then population"):
        ds.derive(ds.deep_linear(1)).limit("wide").limit("population").solve("numpy", steps=2, **RUN)
