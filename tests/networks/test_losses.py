"""Losses on given samples: their errors are derivatives, their values are stable, their targets are checked."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st
from samples_and_scores import worst_z

import dmft_sym as ds
from dmft_sym.execution.finite import FiniteNetwork
from dmft_sym.execution.planning import make_plan
from dmft_sym.execution.runner import run_finite
from dmft_sym.networks.losses import LOGISTIC, LOSSES, SOFTMAX, SOFTMAX_CROSS_ENTROPY, SQUARED, F, Loss, Y, loss_named
from dmft_sym.program import ProgramError
from dmft_sym.program.site_functions import numpy_function
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.support.messages import InputError


def softmax(f: np.ndarray) -> np.ndarray:
    weights = np.exp(f - f.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def error(loss: Loss, f: np.ndarray, y: np.ndarray) -> np.ndarray:
    values = sp.lambdify((F, Y), loss.error, modules=[{"softmax": softmax}, "numpy"])(f, y)
    assert isinstance(values, np.ndarray)
    return values


def test_errors_as_formulas() -> None:
    assert SQUARED.error == Y - F
    assert sp.simplify(LOGISTIC.error.rewrite(sp.exp) - Y / (1 + sp.exp(Y * F))) == 0
    assert SOFTMAX_CROSS_ENTROPY.error == Y - SOFTMAX(F)


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_error_of_softmax_is_a_derivative(classes: int) -> None:
    f, y = sp.symbols(f"f:{classes}", real=True), sp.symbols(f"y:{classes}", real=True)
    total = sum(sp.exp(entry) for entry in f)
    loss = sp.log(total) - sum(a * b for a, b in zip(f, y, strict=True))
    for c in range(classes):
        expected = SOFTMAX_CROSS_ENTROPY.error.subs(SOFTMAX(F), sp.exp(f[c]) / total).subs(Y, y[c])
        assert sp.simplify(-sp.diff(loss, f[c]) - expected) == 0


def targets_of(loss: Loss, rng: np.random.Generator) -> np.ndarray:
    if loss is SQUARED:
        return rng.standard_normal((5, 3))
    labels = rng.integers(0, 3, 5)
    rows = (labels[:, None] == np.arange(3)).astype(float)
    return rows if loss is SOFTMAX_CROSS_ENTROPY else 2 * rows - 1


@pytest.mark.parametrize("name", LOSSES)
def test_errors_are_derivatives_of_the_values(name: str) -> None:
    """The reported loss has a sum over P in the mean, and no factor 1/2 for squared error."""
    loss, rng = LOSSES[name], np.random.default_rng(0)
    f, y, step = rng.standard_normal((5, 3)), targets_of(LOSSES[name], rng), 1e-5
    minus_derivative = np.empty_like(f)
    for place in np.ndindex(f.shape):
        shift = np.zeros_like(f)
        shift[place] = step
        change = np.sum(loss.value(f + shift, y)) - np.sum(loss.value(f - shift, y))
        minus_derivative[place] = -len(f) * change / (2 * step) / (2 if loss is SQUARED else 1)
    np.testing.assert_allclose(minus_derivative, error(loss, f, y), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_shapes(name: str) -> None:
    loss, rng = LOSSES[name], np.random.default_rng(1)
    f, y = rng.standard_normal((4, 2, 5, 3)), targets_of(LOSSES[name], rng)
    values = loss.value(f, y)
    assert values.shape == ((4, 2) if loss is SOFTMAX_CROSS_ENTROPY else (4, 2, 3))
    assert len(loss.axes) == values.ndim - 2
    np.testing.assert_array_equal(values[1, 1], loss.value(f[1, 1], y))


def test_values_by_hand() -> None:
    f = np.array([[1.0], [3.0]])
    assert SQUARED.value(f, np.array([[0.0], [1.0]])).tolist() == [2.5]
    expected = (np.log1p(np.exp(-1)) + np.log1p(np.exp(3))) / 2
    assert LOGISTIC.value(f, np.array([[1.0], [-1.0]]))[0] == pytest.approx(expected, rel=1e-14)
    rows = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    expected = (np.log(np.exp(1) + np.exp(2) + 1) - 2 + np.log(3)) / 2
    assert SOFTMAX_CROSS_ENTROPY.value(rows, np.eye(3)[[1, 2]]) == pytest.approx(expected, rel=1e-14)


@given(st.floats(-1000, 1000), st.sampled_from([-1.0, 1.0]))
def test_logistic_is_stable(f: float, y: float) -> None:
    with mpmath.workdps(40):
        value = float(mpmath.log1p(mpmath.exp(-mpmath.mpf(y) * mpmath.mpf(f))))
        slope = float(y / (1 + mpmath.exp(mpmath.mpf(y) * mpmath.mpf(f))))
    assert LOGISTIC.value(np.array([[f]]), np.array([[y]]))[0] == pytest.approx(value, rel=1e-14, abs=1e-300)
    assert error(LOGISTIC, np.array([[f]]), np.array([[y]]))[0, 0] == pytest.approx(slope, rel=0, abs=2.5e-16)


@given(st.lists(st.floats(-1000, 1000), min_size=3, max_size=3), st.integers(0, 2))
def test_softmax_is_stable(f: list[float], label: int) -> None:
    with mpmath.workdps(40):
        value = float(mpmath.log(sum(mpmath.exp(mpmath.mpf(entry) - mpmath.mpf(f[label])) for entry in f)))
    y = np.eye(3)[[label]]
    assert SOFTMAX_CROSS_ENTROPY.value(np.array([f]), y) == pytest.approx(value, rel=1e-14, abs=1e-15)


@pytest.mark.parametrize("name", LOSSES)
def test_diverged_outputs_give_no_warning(name: str) -> None:
    y = targets_of(LOSSES[name], np.random.default_rng(2))
    for number in (1e200, np.inf, -np.inf, np.nan):
        f = np.full((5, 3), number)
        f[0] = 0.0
        assert not (np.abs(LOSSES[name].value(f, y)) < 1).all()
        LOSSES[name].accuracy(f, y)


def test_accuracy_by_sign() -> None:
    f, y = np.array([[2.0], [-1.0], [0.0], [3.0]]), np.array([[1.0], [1.0], [-1.0], [1.0]])
    for loss in (LOGISTIC, SQUARED):
        accuracy = loss.accuracy(f, y)
        assert accuracy is not None
        assert accuracy.tolist() == [(1 + 0 + 0.5 + 1) / 4]
    rounded = LOGISTIC.accuracy(f + 1e-17, y)
    assert rounded is not None
    assert rounded.tolist() == accuracy.tolist()
    accuracy = LOGISTIC.accuracy(np.stack([f, np.full_like(f, np.nan)]), y)
    assert accuracy is not None
    assert accuracy.shape == (2, 1)
    assert np.isnan(accuracy[1, 0])


def test_accuracy_by_the_largest_output() -> None:
    f, y = np.array([[0.1, 0.3, 0.2], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]), np.eye(3)[[1, 0, 2]]
    for loss in (SOFTMAX_CROSS_ENTROPY, SQUARED):
        accuracy = loss.accuracy(np.stack([f, np.full_like(f, np.nan)]), y)
        assert accuracy is not None
        assert accuracy.shape == (2,)
        assert accuracy[0] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3, rel=1e-15)
        assert np.isnan(accuracy[1])
        rounded = loss.accuracy(f + 1e-17 * np.arange(3.0), y)
        assert rounded == pytest.approx(accuracy[0], rel=1e-15)


@pytest.mark.parametrize("y", [[[0.5], [1.0]], [[0.0], [1.0]], [[1.0, -1.0], [1.0, 1.0]], [[1.0, 1.0], [0.0, 1.0]]])
def test_regression_has_no_accuracy(y: list) -> None:
    assert SQUARED.accuracy(np.zeros((2, len(y[0]))), np.array(y)) is None


def test_targets() -> None:
    assert SQUARED.check_targets([1, 2]).tolist() == [[1.0], [2.0]]
    assert SQUARED.check_targets(np.array([[1, 2]], dtype=np.uint8)).dtype == np.float64
    assert LOGISTIC.check_targets([[1, -1], [-1, -1]]).tolist() == [[1, -1], [-1, -1]]
    expected = np.eye(3)[[2, 0, 1, 2]].tolist()
    for labels in ([2, 0, 1, 2], [2.0, 0.0, 1.0, 2.0], [[2], [0], [1], [2]], expected):
        assert SOFTMAX_CROSS_ENTROPY.check_targets(labels).tolist() == expected
    one_hot = np.eye(3)[[2, 0, 2]].tolist()  # rows may leave a class out, as they say how many there are
    assert SOFTMAX_CROSS_ENTROPY.check_targets(one_hot).tolist() == one_hot
    assert SOFTMAX_CROSS_ENTROPY.check_targets([0, 0], outputs=2).tolist() == [[1, 0], [1, 0]]
    given_array = np.array([[1.0]])
    assert not np.shares_memory(SQUARED.check_targets(given_array), given_array)


@pytest.mark.parametrize(
    ("name", "targets", "words"),
    [
        ("logistic", [0, 1], 'targets, row 0, column 0 = 0: allowed with loss = "logistic" are -1 and 1'),
        ("logistic", [[1, -1], [1, 2]], "targets, row 1, column 1 = 2: allowed with"),
        ("logistic", [True, False], "row 1, column 0 = 0: allowed with"),
        ("softmax", [0, 1, 1.5], 'targets, row 2 = 1.5: allowed with loss = "softmax" are classes, integers 0 to 999'),
        ("softmax", [0, -1], "targets, row 1 = -1: allowed with"),
        ("softmax", [0, 1000], "targets, row 1 = 1000: allowed with"),
        ("softmax", [0, 0], 'one class: allowed with loss = "softmax" are two or more classes (outputs)'),
        (
            "softmax",
            [3, 8, 3],
            "targets without a sample of class 0, classes up to 8: allowed are classes numbered 0, 1",
        ),
        ("softmax", [[1, 0], [1, 1]], 'targets, row 1 = [1.0, 1.0]: allowed with loss = "softmax" are one-hot rows'),
        ("softmax", [[1, 0], [0.5, 0.5]], "row 1 = [0.5, 0.5]"),
        ("softmax", [[1, -1], [-1, 1]], "row 0 = [1.0, -1.0]"),
        ("squared", [0.0, np.nan], "targets, row 1 = nan: allowed are finite numbers"),
        ("squared", [[0.0, np.inf]], "targets, row 0, column 1 = inf: allowed are finite numbers"),
        ("squared", [1e200], "row 0 = 1e+200: allowed are finite numbers of size up to 1e+100"),
        ("squared", [np.longdouble("1e4000")], "row 0 = inf"),
        ("squared", ["1"], "targets of type <U1: allowed are real numbers"),
        ("squared", [1j], "targets of type complex128: allowed are real numbers"),
        ("squared", [None], "targets of type object: allowed are real numbers"),
        ("squared", [[1], [1, 2]], "targets: not an array"),
        ("squared", {"a": 1}, "targets = {'a': 1}: allowed are real numbers"),
        ("squared", 3.0, "targets have shape (): allowed is shape (P,) or (P, C), not empty"),
        ("squared", [], "targets have shape (0,): allowed is"),
        ("squared", np.zeros((2, 0)), "targets have shape (2, 0)"),
        ("squared", np.zeros((1, 1, 1)), "targets have shape (1, 1, 1)"),
        ("squared", np.zeros((1, 1001)), "targets have 1001 outputs: allowed are 1 to 1000"),
        ("squared", np.ma.masked_array([1.0, 2.0], [False, True]), "masked entries"),
    ],
)
def test_targets_that_do_not_fit(name: str, targets: object, words: str) -> None:
    with pytest.raises(InputError) as caught:
        LOSSES[name].check_targets(targets)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_test_classes_are_those_of_training() -> None:
    with pytest.raises(InputError, match=r"test_targets, row 1 = 2: allowed .* integers 0 to 1"):
        SOFTMAX_CROSS_ENTROPY.check_targets([0, 2], "test_targets", outputs=2)


def test_names_of_losses() -> None:
    assert loss_named("logistic") is LOGISTIC
    assert loss_named(SQUARED) is SQUARED
    for value, words in [
        ("hinge", 'loss = \'hinge\': allowed are "squared", "logistic", "softmax"'),
        ("sqared", "(did you mean squared?)"),
        (None, "loss = None"),
        (["squared"], "loss = ['squared']"),
    ]:
        with pytest.raises(InputError) as caught:
            loss_named(value)
        assert words in str(caught.value)


def test_a_loss_of_a_formula() -> None:
    """Errors and curvature are derivatives, by differences; the value is the formula."""
    rng, shift = np.random.default_rng(0), 1e-5
    y, f = rng.standard_normal((3, 2)), rng.standard_normal((5, 3, 2))
    for formula, by_hand in (
        ("(f - y)**4/4", lambda f, y: (f - y) ** 4 / 4),
        ("log(1 + exp(-y*f))", lambda f, y: np.log(1 + np.exp(-y * f))),
        ("max(0, 1 - y*f)**2", lambda f, y: np.maximum(0, 1 - y * f) ** 2),
        (sp.exp(sp.Symbol("f")) - sp.Symbol("y") * sp.Symbol("f"), lambda f, y: np.exp(f) - y * f),
    ):
        loss = loss_named(formula)
        np.testing.assert_allclose(loss.value(f, y), by_hand(f, y).mean(axis=1), rtol=1e-14)
        error, curvature = numpy_function([loss.error, loss.curvature], [F, Y])(f, y)
        np.testing.assert_allclose(error, (by_hand(f - shift, y) - by_hand(f + shift, y)) / (2 * shift), atol=1e-7)
        second = (by_hand(f - shift, y) - 2 * by_hand(f, y) + by_hand(f + shift, y)) / shift**2
        np.testing.assert_allclose(curvature, second, atol=1e-4)
        assert loss.accuracy(f, y) is None
        assert loss.check_targets(y).shape == (3, 2)


def test_curvature_of_named_losses() -> None:
    assert SQUARED.curvature == 1
    slope = sp.diff(LOGISTIC.error, F)
    assert sp.simplify(LOGISTIC.curvature + slope) == 0
    assert str(SOFTMAX_CROSS_ENTROPY.curvature) == "(1 - softmax(f))*softmax(f)"


def test_formulas_that_are_no_losses() -> None:
    for formula, words in [
        ("y**2", 'does not depend on the output f; allowed is a formula in f and y, such as "(f - y)**4/4"'),
        ("log(f)", "not finite where f is zero or negative"),
        ("f**2 + z", "formula 'z' in 'f**2 + z': unknown name; allowed are f, pi, y"),
        ("__import__('os').remove('x')", "allowed are"),
        (sp.Symbol("y"), "loss = y: it does not depend on the output f"),
    ]:
        with pytest.raises(InputError) as caught:
            loss_named(formula)
        line = str(caught.value)
        assert line.startswith("loss = ")
        assert words in line
        assert "\n" not in line


def test_data_differ_by_their_loss() -> None:
    inputs, targets = np.eye(2), [1.0, 2.0]
    quartic = ds.Samples(inputs, targets, "(f - y)**4/4")
    assert quartic == ds.Samples(inputs, targets, loss=quartic.loss)
    others = ("squared", "(f - y)**4/2", Loss.of("(f - y)**4/4", name="mine"), Loss.of("(f - y)**4/2", name="mine"))
    assert len({quartic, *(ds.Samples(inputs, targets, loss=loss) for loss in others)}) == 5
    with pytest.raises(ProgramError, match='allowed in the proportional regime is "squared"'):
        ds.Proportional(loss="(f - y)**4/4")


def by_hand(start: tuple[np.ndarray, np.ndarray], x, y, error, richness, learning_rate, steps):
    """A network of one hidden layer, trained with ``error = -dl/df``."""
    first, readout = (array.copy() for array in start)
    found = []
    for _ in range(steps):
        h = np.tanh(x @ first.T)
        found.append(h @ readout.T / (richness * len(first)))
        weighed = learning_rate * richness / len(x) * error(found[-1], y)
        slopes = (weighed @ readout * (1 - h**2)).T @ x / x.shape[1]
        readout, first = readout + weighed.T @ h, first + slopes
    return np.array(found)


@pytest.mark.parametrize("sites", [2_000, pytest.param(16_000, marks=pytest.mark.slow)])
def test_training_with_a_loss_of_the_users_own(sites) -> None:
    """Both methods; finite networks with the initial weights of a trainer by hand; the loss that is reported."""
    run = {"richness": 2.0, "learning_rate": 0.3, "steps": 5}
    rng = np.random.default_rng(3)
    data = ds.Samples(rng.standard_normal((3, 6)), rng.standard_normal((3, 2)), "sqrt(1 + (f - y)**2) + f**4/8")
    theory = ds.derive(ds.mlp(1, outputs=2), data=data)
    arguments = run_arguments(theory, 5, {"richness": 2.0, "learning_rate": 0.3})
    plan = make_plan(theory.program, arguments.values, 2, reduced_transpose=False, data=data.given)
    network = FiniteNetwork(plan, float, 30, 7)
    start = network.matrices[0], network.values[plan.vectors[0].slot]
    found = run_finite(theory.program, arguments.values, 2, 5, 30, 7, data=data.given)
    track = next(values for ref, values in found.scalars.items() if ref.scalar.name == "f")

    def error(f, y):
        return (y - f) / np.sqrt(1 + (f - y) ** 2) - f**3 / 2

    np.testing.assert_allclose(track, by_hand(start, data.inputs, data.targets, error, **run), rtol=0, atol=1e-13)
    wrong = by_hand(start, data.inputs, data.targets, lambda f, y: y - f, **run)
    assert abs(track - wrong).max() > 0.01
    first = theory.solve(backend="numpy", sites=2 * sites, replicas=8, **run)
    second = theory.solve(backend="numpy", method="equations", sites=sites, replicas=8, **run)
    z = (first.f - second.f) / np.hypot(first.f_sem, second.f_sem)
    assert abs(z.isel(step=slice(1, None))).max() < 4
    sim = ds.simulate(theory, width=400, seeds=6, **run)
    assert worst_z(first, sim, "f", 4 * (1 / 400 + 8 / (2 * sites))) < 4
    f, y = sim.f.values, data.targets
    np.testing.assert_allclose(sim.train_loss, np.mean(np.sqrt(1 + (f - y) ** 2) + f**4 / 8, axis=2), rtol=1e-13)
