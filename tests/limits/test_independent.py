"""Independent spikes: the outlier of Baik, Ben Arous and Peche from the network's own condition, and wrong ones."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import sympy as sp
from typer.testing import CliRunner
from unseen_networks import autoencoder

import dmft_sym as ds
from dmft_sym import cli
from dmft_sym.derivation.equations import Equation, Equations
from dmft_sym.limits import spike_checks
from dmft_sym.limits.independent_spikes import IndependentSpikes
from dmft_sym.program import ProgramError
from dmft_sym.solvers.spectrum_routes import two_time_spectra
from dmft_sym.support.errors import ArgumentError

RUN = {
    "samples_per_dim": 2.0, "width_per_dim": 0.8, "richness": 2.0, "learning_rate": 0.5, "label_noise": 0.3,
    "init_std": 0.9,
}  # fmt: skip


@cache
def theory(depth=2, **training):
    return ds.derive(ds.deep_linear(depth), training=ds.GradientDescent(**training))


def test_position_strength_and_threshold():
    """``theta^2 z^2 = (s2 + theta^2)(tau s2 + theta^2)``, from the conditions of a hidden matrix and of the first."""
    s, equations = theory().symbols, theory().limit(ds.limits.independent).equations
    theta, z = sp.Symbol("theta_W0", positive=True), equations["z_W0"].rhs
    assert sp.simplify(theta**2 * z**2 - (s.s2 + theta**2) * (s.nu * s.s2 + theta**2)) == 0
    assert str(sp.expand(equations["theta_W0"].rhs ** 2)) == "eta0**2*gamma**2*nu*C_g(1, 0, 0, 1, 0, 0)*C_v(0, 0, 0, 0)"
    assert equations["theta_c_W0"].rhs ** 4 == s.nu * s.s2**2
    edge = z.subs(theta, equations["theta_c_W0"].rhs) ** 2
    assert sp.simplify(sp.expand(edge) - sp.expand(s.s2 * (1 + sp.sqrt(s.nu)) ** 2)) == 0
    hidden = equations["theta_W"].lhs
    assert sp.simplify(equations["z_W"].rhs ** 2 * hidden**2 - (s.s2 + hidden**2) ** 2) == 0


def test_what_vanishes_are_responses_of_the_order_of_the_inverse_richness():
    limiting = theory().limit(ds.limits.independent)
    assert limiting.rate == 1 and {item.order for item in limiting.vanished} == {1}
    assert {item.label for item in limiting.vanished} == {"R_a_r_W", "C_a_h", "R_a_rbar_W0", "C_a_v"}
    assert "\\begin{align}" in limiting.equations.latex and repr(limiting).count("\n") == 0


@pytest.mark.parametrize("training", [{}, {"momentum": 0.5, "weight_decay": 0.1}], ids=["plain", "memory"])
def test_the_limit_holds_for_all_matrices(training):
    (row,) = ds.limits.check(theory(**training), ["independent"], **RUN)
    assert row.verdict == "holds", str(row)
    assert row.structural.holds and row.approach.holds and row.exact.holds is None
    assert row.approach.words.count("expected 1") == 2 and "roots of polynomials" in row.exact.words


def test_the_limit_holds_for_fresh_batches_and_several_outputs():
    online = ds.derive(ds.deep_linear(2, 3), training=ds.OnlineSGD())
    (row,) = ds.limits.check(online, ["independent"], **RUN)
    assert row.verdict == "holds", str(row)


@pytest.mark.parametrize(("key", "matrices"), [("samples_per_dim", ["W[1]", "W0"]), ("width_per_dim", ["W[1]"])])
def test_infinite_ratios(key, matrices):
    """At infinite width the first matrix has no finite edge, and hidden ones no response within the step."""
    limiting = theory().limit(ds.limits.independent)
    verdict = spike_checks.approach(limiting, {**RUN, key: np.inf})
    assert verdict.holds, verdict
    assert [name for name in ("W[1]", "W0") if f"{name}:" in verdict.words] == matrices


def test_outliers_of_a_given_strength_and_of_a_run():
    """At ``theta = 2`` and ``tau = s2 = 1``: ``5/2``. The classical condition of a run has the same as the formula."""
    limiting = theory().limit(ds.limits.independent)
    given = limiting.solve(theta=2.0, width_per_dim=0.5625)
    np.testing.assert_allclose(given.outlier, [2.5, np.sqrt(5 * 4.5625) / 2])
    np.testing.assert_allclose(given.bulk_edge, [2, 1.75])
    assert np.isnan(limiting.solve(theta=0.8, width_per_dim=1).outlier).all()
    strong = {**RUN, "learning_rate": 1.5}
    run = limiting.solve(**strong)
    assert (run.theta > run.threshold).all()
    spectra = two_time_spectra(theory(), steps=2, backend="numpy", **strong)
    for name in run.matrix.values:
        (outlier,) = spectra.at(str(name), 1, "independent").outliers
        assert outlier == pytest.approx(float(run.outlier.sel(matrix=name)), rel=1e-9)


class Wrong(IndependentSpikes):
    """A factor of two in one of the equations."""

    name = ""

    @property
    def equations(self):
        items = [
            Equation(e.left, tuple(2 * t for t in e.terms), note=e.note) if e.label == self.name else e
            for e in super().equations.items
        ]
        return Equations(items, "wrong", "")


class Stronger(Wrong):
    name = "theta_W0"

    def solve(self, backend="numpy", *, theta=None, **arguments):
        found = super().solve(backend, theta=theta, **arguments)
        return found if theta is not None else found.assign(theta=2 * found.theta)


class Farther(Wrong):
    name = "z_W0"

    def solve(self, backend="numpy", *, theta=None, **arguments):
        found = super().solve(backend, theta=theta, **arguments)
        return found.assign(outlier=2 * found.outlier)


class Later(Wrong):
    name = "theta_c_W"


@pytest.mark.parametrize("kind", [Stronger, Farther, Later])
def test_wrong_factors_fail_the_structural_check(kind):
    assert spike_checks.structural(kind(theory(), ds.limits.independent)).holds is False


@pytest.mark.parametrize("kind", [Stronger, Farther])
def test_wrong_factors_fail_the_approach(kind):
    assert spike_checks.approach(kind(theory(), ds.limits.independent), RUN).holds is False


def test_a_wrong_rate_fails_both_checks():
    limiting = IndependentSpikes(theory(), replace(ds.limits.independent, name="twice", rate=2))
    assert spike_checks.structural(limiting).holds is False
    assert spike_checks.approach(limiting, RUN).holds is False


def test_matrices_whose_increment_has_several_directions_are_named():
    """The inner matrix of an autoencoder is used twice, as it is and transposed; the first one has a spike."""

    def tied(net, x):
        n, m = net.hidden("N"), net.hidden("M", 0.5)
        first, inner = net.matrix("W0", net.inputs, n), net.matrix("V", n, m)
        h = first @ x
        return net.readout("w", h + inner.T @ (inner @ h))

    limiting = ds.derive(ds.network(tied)).limit(ds.limits.independent)
    assert [spike.matrix for spike in limiting.spikes] == ["W0"]
    assert "V" in limiting.reasons and "several directions" in limiting.reasons["V"]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (
            lambda: ds.derive(ds.deep_linear(0)),
            "no matrix between spaces has an update of finite rank; a hidden layer that is trained",
        ),
        (lambda: ds.derive(ds.deep_linear(1), training=ds.GradientFlow()), "training is a flow already"),
        (
            lambda: ds.derive(ds.network(autoencoder), data=ds.Samples(np.eye(2), [1.0, -1.0])),
            "allowed where all equations close",
        ),
    ],
)
def test_where_it_does_not_apply_the_row_says_why(made, reason):
    (row,) = ds.limits.check(made(), ["independent"], **RUN)
    assert row.verdict == "does not apply" and reason in row.reason


def test_messages():
    with pytest.raises(ArgumentError, match="theta = -1: allowed is a number >= 0"):
        theory().limit(ds.limits.independent).solve(theta=-1)
    with pytest.raises(ArgumentError, match="the bulk of W0 depends on nu: missing"):
        theory().limit(ds.limits.independent).solve(theta=2)
    with pytest.raises(ProgramError, match="allowed is gamma -> gamma/eps"):
        theory().limit(replace(ds.limits.independent, name="other", scaling=ds.limits.wide.scaling))


def test_the_command_line_knows_it():
    result = CliRunner().invoke(cli.app, ["check", "examples/deep_linear.toml", "--limit", "independent"])
    assert result.exit_code == 0, result.output
    assert "independent" in result.output
