"""The first correction of the lazy limit on given samples: equations, numbers, refusals."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import sympy as sp
from programs_with_averages import gated, normalised, tied
from typer.testing import CliRunner
from unseen_networks import two_carries, two_readouts

import dmft_sym as ds
from dmft_sym import cli
from dmft_sym.derivation.equations import Equations
from dmft_sym.derivation.symbols import Correlation, Response
from dmft_sym.limits import Checks, LimitCheck, Verdict, check_correction, lazy
from dmft_sym.limits.closed_correction import ClosedCorrection
from dmft_sym.limits.correction_checks import approach, approach_of_losses, exact, structural
from dmft_sym.limits.parity import Parities
from dmft_sym.limits.site_correction import LazyCorrection
from dmft_sym.program import Assign, Linear, Product, ProgramError, SiteMap
from dmft_sym.solvers.solver import Solver
from dmft_sym.support.errors import ArgumentError

X = np.array([[1.0, 0.5, -0.3], [-0.4, 1.2, 0.8]])
Y = np.array([1.0, -1.0])


def correction(network, targets=Y, loss="squared", **training):
    data = ds.Samples(X, targets, loss=loss)
    return ds.derive(network, data=data, training=ds.GradientDescent(**training)).limit(lazy).correction


SIZES = (0.08, 0.16, 0.24, 0.32, 0.4)


def extrapolated(theory, **arguments):
    """The coefficients of ``gamma^2`` of outputs and kernels, from runs at several sizes."""
    runs = [Solver(theory, "numpy")(richness=size, **arguments) for size in SIZES]
    powers = np.array([[size ** (2 * k) for k in range(len(SIZES))] for size in SIZES])
    names = [name for name in runs[0] if name == "f" or "sample2" in runs[0][name].dims]
    values = {name: np.array([run[name].values for run in runs]) for name in names}
    solved = {name: np.linalg.solve(powers, found.reshape(len(SIZES), -1))[1] for name, found in values.items()}
    return {name: found.reshape(values[name].shape[1:]) for name, found in solved.items()}


def biased(net, x):
    n = net.hidden("N")
    bias = net.vector("b", n, init=0, learning_rate=3)
    return net.readout("w", net.matrix("B", n, n) @ (net.matrix("A", net.inputs, n) @ x + bias), learning_rate=2)


@pytest.mark.parametrize(
    ("network", "training"),
    [
        (ds.deep_linear(1), {}),
        (ds.deep_linear(2), {"momentum": 0.5}),
        (tied(lambda h: h), {}),
        (ds.network(biased), {}),
    ],
    ids=["depth 1", "depth 2, momentum", "tied", "a bias, another learning rate"],
)
def test_exact_runs_of_linear_networks_have_it(network, training):
    """Outputs, and kernels of features and of gradients with what they make of the tangent kernel."""
    made = correction(network, **training)
    arguments = {"steps": 5, "learning_rate": 0.2, "kernels": [0, 2, 4]}
    found, expected = made.solve(**arguments), extrapolated(made.theory, **arguments)
    assert {"f", "NTK"} < set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-6, atol=1e-5 if name != "f" else 1e-7, err_msg=name)
        assert np.abs(found[name]).max() > 0.01
    np.testing.assert_array_equal(found.NTK.sel(kernel_step=0), 0)  # networks start from the same law at any richness


def by_overlaps(kernel, targets, rate, steps):
    """Outputs of one linear hidden layer as polynomials in ``gamma``: ``<w w>``, ``<w h>`` and ``<h h>`` are closed."""
    gamma, count = sp.Symbol("gamma"), len(targets)
    length, outputs, features = sp.Integer(1), sp.zeros(count, 1), kernel
    track = []
    for _ in range(steps):
        track.append((outputs / gamma).applyfunc(sp.expand))
        pull = rate * gamma / count * (targets - track[-1])  # w += pull . h, h += (kernel pull) w
        push = kernel * pull
        length, outputs, features = (
            length + 2 * (pull.T * outputs)[0] + (pull.T * features * pull)[0],
            outputs + features * pull + push * length + push * (outputs.T * pull)[0],
            features + push * outputs.T + outputs * push.T + push * push.T * length,
        )
        outputs = outputs.applyfunc(sp.expand)
    return track, gamma


def test_one_hidden_layer_as_polynomials():
    kernel = sp.Matrix([[2, 1], [1, 3]]) / 4
    track, gamma = by_overlaps(kernel, sp.Matrix([1, -1]), sp.Rational(1, 5), 4)
    root = np.linalg.cholesky(np.array(kernel, dtype=float)) * np.sqrt(2)
    data = ds.Samples(root, Y)
    found = ds.derive(ds.deep_linear(1), data=data).limit(lazy).correction.solve(steps=4, learning_rate=0.2)
    expected = [[float(f.coeff(gamma, 2)) for f in column] for column in track]
    np.testing.assert_allclose(found.f[..., 0], expected, rtol=1e-10, atol=1e-13)


def small(net, x):
    """Two matrices, so that there is one response each way."""
    n = net.hidden("N")
    h = net.apply(sp.tanh, net.matrix("A", net.inputs, n) @ x)
    return net.readout("w", net.apply(sp.tanh, net.matrix("B", n, n) @ h))


def two_matrices(net, x):
    n = net.hidden("N")
    return net.readout("w", net.matrix("B", n, n) @ (net.matrix("A", net.inputs, n) @ x))


@cache
def of_small():
    return correction(ds.network(small))


def test_equations_have_orders_of_fields_responses_and_averages_at_static_sites():
    equations = correction(ds.mlp(2, activation=None)).equations
    text = str(equations)
    for line in (
        "f_(2, μ c)(t) = ⟨φ^L_μ w_3,c(t) + φ^L_1,μ(t) w_2,c(t) + φ^L_2,μ(t) w_1,c(t) + φ^L_3,μ(t)",
        "Δ_(2, μ c)(t) = - f_(2, μ c)(t)",
        "h^(l+1)_1,μ(t) = u^l_W,1,μ(t)\n          + s_2 Σ_(s<t, ν c') R^(φ^l_1, r^l_W)_(μ, ν c')(t,s) g^(l+1)_(ν c')\n",
        "C^(φ^l_1, φ^l_s_1)_(μ ν)(t,s) = ⟨φ^l_1,μ(t) φ^l_s_1,ν(s)⟩",
        "R^(φ^l_3, r^l_s_W)_(μ, ν c')(t,s) = ⟨∂φ^l_3,μ(t)/∂r^l_s_(W, ν c')(s)⟩",
        "φ^l_2,μ(t) = 1/2 h^l_1,μ(t)^2 φ''(h^l_μ) + h^l_2,μ(t) φ'(h^l_μ)",
    ):
        assert line in text, text
    assert {"R_phi_1_r_W", "R_phi_3_r_W", "R_g_1_u_W"} <= set(equations.labels)
    assert not {"R_phi_r_W", "R_phi_2_r_W", "C_phi_phi_1", "f_1"} & set(equations.labels)
    assert "\\begin{align}" in equations.latex


def test_two_derivations_are_the_same():
    """Equations of the network expanded, and equations of the program of all orders."""
    verdict = structural(of_small())
    assert verdict.holds, verdict


MORE = {"gated": gated, "normalised": normalised, "two readouts": two_readouts, "two carries": two_carries}


@pytest.mark.parametrize("name", ["tied", *(pytest.param(name, marks=pytest.mark.slow) for name in (*MORE, "mlp"))])
def test_two_derivations_are_the_same_for_other_networks(name):
    network = {"tied": tied(sp.tanh), "mlp": ds.mlp(2, outputs=2)}.get(name) or ds.network(MORE[name])
    targets = np.array([[1.0, -1.0], [-1.0, 0.5]]) if name == "mlp" else Y
    verdict = structural(correction(network, targets))
    assert verdict.holds, verdict


def test_averages_that_are_numbers_are_expanded_too():
    """A linear network but for a normalisation, whose derivative by the readout has odd orders: exact runs."""
    made = correction(ds.network(normalised))
    arguments = {"steps": 4, "learning_rate": 0.2}
    found, expected = made.solve(**arguments), extrapolated(made.theory, **arguments)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-7, err_msg=name)


def test_losses_change_with_outputs():
    made = correction(ds.deep_linear(1))
    found = made.solve(steps=4, learning_rate=0.2)
    limit = made.theory.limit(lazy).solve(steps=4, learning_rate=0.2)
    slopes = 2 * np.mean((limit.f - Y[:, None]) * found.f, axis=1)
    np.testing.assert_allclose(found.train_loss, slopes, rtol=1e-8, atol=1e-12)


solve_once = LazyCorrection.solve


def test_kernels_of_sampled_sites_have_it():
    """Differences of runs with the same seed at three sizes, extrapolated; the next power may be a tenth of them."""
    made = of_small()
    arguments = {"steps": 4, "learning_rate": 0.4, "sites": 8000, "kernels": [3]}
    found = made.solve("numpy", **arguments)
    solver, sizes, seeds = Solver(made.theory, "numpy"), (0.4, 0.4 * 2**0.5, 0.8), (1, 2, 3)
    runs = [[solver(richness=size, seed=seed, **arguments) for size in sizes] for seed in seeds]
    for name in ("Phi1", "Phi2", "G1", "G2", "NTK"):
        values = np.array([[run[name].values for run in of_seed] for of_seed in runs])
        first, second = ((values[:, k] - values[:, k + 1]) / (sizes[k] ** 2 - sizes[k + 1] ** 2) for k in (0, 1))
        ends = 2 * first - second
        noise = np.hypot(ends.std(axis=0, ddof=1) / np.sqrt(len(seeds)), found[f"{name}_sem"])
        distance = np.abs(found[name] - ends.mean(axis=0))
        assert float((distance - 5 * noise).max()) < 0.1 * float(np.abs(found[name]).max()), name
        assert float(np.abs(found[name]).max()) > 5 * float(noise.max()), name


def test_the_kernel_moves_by_overlaps_of_features_and_of_gradients():
    """Orders of both ends add up to two, and each of these averages has an equation."""
    equations = of_small().equations
    (kernel,) = equations.of("K_NTK_2").items
    overlaps = {point.func.__name__ for term in kernel.terms for point in term.atoms(Correlation)}
    fields = ("phi1", "phi2", "g1", "g2")
    assert overlaps - {"C_phi1", "C_g2"} == {
        f"C_{name}" for x in fields for name in (f"{x}_{x}_2", f"{x}_1", f"{x}_2_{x}")
    }
    assert overlaps - {"C_phi1", "C_g2"} < set(equations.labels)
    static = of_small().theory.limit(lazy).equations
    assert {f"C_{x}" for x in fields} < set(static.labels)


class Twice(LazyCorrection):
    """Every output twice."""

    def solve(self, backend="numpy", **arguments):
        return 2 * solve_once(self, backend, **arguments)

    @property
    def equations(self):
        items = [
            replace(e, terms=tuple(2 * t for t in e.terms)) if e.label == "f_2" else e for e in super().equations.items
        ]
        return Equations(items, "wrong")


class TwiceTheKernel(LazyCorrection):
    """The tangent kernel twice, and the same outputs."""

    def solve(self, backend="numpy", **arguments):
        found = solve_once(self, backend, **arguments)
        return found.assign(NTK=2 * found.NTK)


class WithoutResponse(LazyCorrection):
    """The transposed matrix is another one, so that fields do not respond to its products."""

    def __init__(self, theory, limit):
        super().__init__(theory, limit)
        program = self.series.program
        self.series.program = replace(program, statements=tuple(map(self._independent, program.statements)))

    def _independent(self, statement):
        if not isinstance(statement, Assign):
            return statement
        return replace(statement, value=Linear(tuple((c, self._other(atom)) for c, atom in statement.value.terms)))

    def _other(self, atom):
        if not isinstance(atom, Product) or not atom.transpose or atom.matrix.matrix.variance == 0:
            return atom
        return replace(atom, matrix=replace(atom.matrix, matrix=replace(atom.matrix.matrix, name="other")))

    @property
    def equations(self):
        items = [replace(e, terms=tuple(t for t in e.terms if not t.has(Response))) for e in super().equations.items]
        return Equations(items, "wrong")


class WithoutSecondDerivative(LazyCorrection):
    """Functions are straight lines at every site."""

    def __init__(self, theory, limit):
        super().__init__(theory, limit)
        program = self.series.program
        self.series.program = replace(program, statements=tuple(map(self._straight, program.statements)))

    @staticmethod
    def _straight(statement):
        if not isinstance(statement, SiteMap):
            return statement
        function = statement.function
        squares = [
            part for part in function.expression.atoms(sp.Pow) if part.base.is_Symbol and part.base.name[-2:] == "_1"
        ]
        return replace(
            statement, function=replace(function, expression=function.expression.subs(dict.fromkeys(squares, 0)))
        )


WRONG = (Twice, WithoutResponse, WithoutSecondDerivative)


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_equations_fail(kind):
    if kind is WithoutSecondDerivative:
        wrong = kind(of_small().theory, lazy)
    else:  # the same series, derived once
        wrong = copy(of_small())
        wrong.__class__ = kind
    verdict = structural(wrong)
    assert verdict.holds is False, verdict


def test_wrong_numbers_fail():
    theory = correction(ds.network(two_matrices)).theory
    arguments = {"learning_rate": 0.3}
    assert approach(LazyCorrection(theory, lazy), arguments).holds
    for kind in (Twice, TwiceTheKernel, WithoutResponse):
        verdict = approach(kind(theory, lazy), arguments)
        assert verdict.holds is False, verdict


def bag(net, x):
    """The same matrix and a nonlinearity on every token, a sum, and another layer."""
    token, n = net.label("token", 2), net.hidden("N")
    h = net.apply("tanh", net.matrix("W", net.inputs, n) @ x)
    return net.readout("w", net.apply("tanh", net.matrix("V", n, n) @ net.sum(h, over=token)))


@pytest.mark.parametrize(
    ("judge", "more"),
    [
        (structural, ()),
        pytest.param(approach, ({"learning_rate": 0.4, "sites": 16_000},), marks=pytest.mark.slow),
    ],
)
def test_labels_of_the_users_own_are_labels_of_every_order(judge, more):
    data = ds.Samples(np.random.default_rng(4).standard_normal((2, 2, 3)), Y, labels=("token",))
    verdict = judge(ds.derive(ds.network(bag), data=data).limit(lazy).correction, *more)
    assert verdict.holds, verdict


@pytest.mark.parametrize(
    ("kind", "sites"),
    [(Twice, 8_000), *(pytest.param(kind, 40_000, marks=pytest.mark.slow) for kind in (LazyCorrection, *WRONG))],
)
def test_sampled_runs_approach_it_and_not_a_wrong_one(kind, sites):
    verdict = approach(kind(of_small().theory, lazy), {"learning_rate": 0.4, "sites": sites}, steps=7)
    assert verdict.holds is (kind is LazyCorrection), verdict


def test_few_sites_of_a_nonlinear_network_see_a_factor_of_two():
    theory = correction(ds.mlp(1, activation="erf")).theory
    arguments = {"learning_rate": 0.6, "sites": 8000}
    assert approach(LazyCorrection(theory, lazy), arguments, steps=8).holds
    assert approach(Twice(theory, lazy), arguments, steps=8).holds is False


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (ds.mlp(1, activation="relu"), r"order \|richness\|, because gradients jump"),
        (ds.mlp(1, activation="softsign"), "a derivative of .*Abs.* jumps, so that the correction has a point mass"),
        (ds.mlp(1, activation=lambda h: sp.Max(h, 0) ** 2), "a derivative of .* jumps"),
    ],
)
def test_what_has_no_such_correction_says_why(network, why):
    with pytest.raises(ProgramError, match=why):
        _ = correction(network)


def test_outputs_without_a_sign_have_one_of_first_order(monkeypatch):
    limiting = ds.derive(ds.mlp(1), data=ds.Samples(X, Y)).limit(lazy)
    monkeypatch.setattr(Parities, "of", lambda self, ref: 0)
    with pytest.raises(ProgramError, match="it is of order richness, because f is not even"):
        _ = limiting.correction


def test_errors_of_all_outputs_at_once_are_refused():
    data = ds.Samples(X, [0, 1], loss="softmax")
    with pytest.raises(ProgramError, match=r"softmax.*allowed are functions of one output at a time"):
        _ = ds.derive(ds.mlp(1, outputs=2), data=data).limit(lazy).correction


def test_a_cubed_ramp_is_smooth_enough():
    assert correction(ds.mlp(1, activation=lambda h: sp.Max(h, 0) ** 3)).equations


CENTERED = ds.GradientDescent(centered=True)
RUN = {"samples_per_dim": 2.0, "width_per_dim": 0.8, "learning_rate": 0.05, "label_noise": 0.3}


@cache
def closed(network=lambda net, x: net.readout("w", net.matrix("W0", net.inputs, net.hidden("N")) @ x)):
    return ds.derive(ds.network(network, name="one layer"), training=CENTERED).limit(lazy)


def test_closed_equations_have_it_exactly_and_in_numbers():
    (row,) = check_correction(closed().whole, **RUN)
    assert row.verdict == "holds", str(row)
    assert "what is left is of order gamma^4" in str(row.exact) and "expected 2" in str(row.approach)


@pytest.mark.parametrize("depth", [1, *(pytest.param(depth, marks=pytest.mark.slow) for depth in (2, 3))])
def test_closed_equations_have_it_at_any_depth(depth):
    (row,) = check_correction(ds.derive(ds.deep_linear(depth), training=CENTERED), **RUN)
    assert row.verdict == "holds", str(row)


def test_the_correction_is_a_row_and_its_failure_a_failure(monkeypatch, tmp_path):
    """Of the table of all limits, and of the command: exit status 1 if it is wrong."""
    np.savetxt(tmp_path / "x.csv", X, delimiter=",")
    np.savetxt(tmp_path / "y.csv", Y, delimiter=",")
    spec = tmp_path / "spec.toml"
    spec.write_text(
        '[network]\nkind = "deep-linear"\ndepth = 1\nrichness = 1.0\n'
        '[data]\nregime = "fixed"\ninputs = "x.csv"\ntargets = "y.csv"\n'
        "[training]\nlearning_rate = 0.3\nsteps = 6\n"
    )
    command = ["check", str(spec), "--limit", "lazy", "--limit", "lazy_correction"]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 0, result.output
    assert (
        result.output.count("): holds") == 2 and "lazy_correction (MLP with activation linear): holds" in result.output
    )
    monkeypatch.setattr(LazyCorrection, "solve", Twice.solve)
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 1 and "lazy_correction (MLP with activation linear): fails" in result.output


def test_tables_of_all_limits_have_it_or_say_why_not():
    assert list(ds.limits.ALL)[:2] == ["lazy", "lazy_correction"]
    jumping = ds.derive(ds.mlp(1, activation="relu"), data=ds.Samples(X, Y))
    (row,) = ds.limits.check(jumping, ["lazy_correction"], learning_rate=0.1)
    assert row.verdict == "does not apply" and row.reason.startswith("it is of order |richness|")
    (row,) = ds.limits.check(ds.derive(ds.deep_linear(1)), ["lazy_correction"], **RUN)
    assert row.verdict == "does not apply" and row.reason.endswith("centered = true would cure it")
    found = closed().whole.limit("lazy_correction")
    assert {str(item) for item in found.vanished} == {"train_loss: eps^1", "test_loss: eps^1"} and found.rate == 2
    assert found.equations["test_loss_2"] == closed().correction.equations["test_loss_2"]
    np.testing.assert_array_equal(
        found.solve("numpy", steps=3, **RUN).test_loss, closed().correction.solve("numpy", steps=3, **RUN).test_loss
    )


def test_an_undecided_correction_says_what_would_decide_it():
    verdict = approach(correction(ds.mlp(1, activation="erf")), {"learning_rate": 0.02, "sites": 128}, steps=3)
    assert verdict.undecided and "more sites or a larger learning_rate would decide it" in str(verdict)
    row = LimitCheck("lazy_correction", "MLP", Verdict(True, ""), Verdict(None, ""), verdict)
    assert row.verdict == "undecided" and not Checks([row]).failed


def test_closed_equations_say_what_is_left():
    correction = closed().correction
    assert {"test_loss_2", "C_Delta_1", "C_Delta_Delta_2", "R_Delta_1_rbar_W0_2"} <= set(correction.equations.labels)
    assert not {"test_loss_1", "C_Delta_Delta_1"} & set(correction.equations.labels)
    first = correction.exact(3, **{**RUN, "samples_per_dim": 2, "init_std": 1})
    run = correction.solve("numpy", steps=3, **RUN)
    np.testing.assert_allclose(run.test_loss[:, 0], [float(loss) for loss in first.test_loss], rtol=1e-10)


def test_wrong_losses_fail():
    limiting = copy(closed())
    limiting.__dict__["correction"] = TwiceClosed(closed().correction.reduced)
    assert exact(limiting).holds is False and approach_of_losses(limiting, RUN).holds is False


class TwiceClosed(ClosedCorrection):
    """Every loss twice."""

    def solve(self, backend="numba", **arguments):
        return 2 * super().solve(backend, **arguments)

    def exact(self, steps, **parameters):
        run = super().exact(steps, **parameters)
        run.raw = {name: 2 * values for name, values in run.raw.items()}
        return run


def test_the_richness_has_no_value():
    with pytest.raises(ArgumentError, match="richness: allowed is nothing"):
        correction(ds.network(two_matrices)).solve(steps=2, learning_rate=0.1, richness=2.0)
    with pytest.raises(ArgumentError, match="richness: allowed is nothing"):
        closed().correction.solve(steps=2, **RUN, richness=2.0)


def test_other_limits_have_none():
    with pytest.raises(ProgramError, match="allowed is the lazy one"):
        _ = ds.derive(ds.deep_linear(1)).limit(ds.limits.wide).correction
