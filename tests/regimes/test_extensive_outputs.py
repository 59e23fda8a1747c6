"""As many outputs as hidden units: Silverstein's equation, polynomials of matrices and finite networks agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

import dmft_sym as ds
from dmft_sym.program import ProgramError

ONE_STEP = {"outputs_per_width": 0.5, "width_per_dim": 1, "teacher_std": 1, "learning_rate": 0.4, "richness": 1}
TWELVE_STEPS = {"outputs_per_width": 0.5, "width_per_dim": 1, "teacher_std": 2, "learning_rate": 0.3, "richness": 2}
OTHER = {"outputs_per_width": 0.7, "width_per_dim": 0.6, "teacher_std": 1.5, "learning_rate": 0.3, "richness": 1.5}
MANY = {"outputs_per_width": 1.5, "width_per_dim": 1.4, "teacher_std": 0.7, "learning_rate": 0.2, "richness": 0.8}


def theory(frozen: bool) -> ds.Theory:
    return ds.derive(ds.deep_linear(1), data=ds.ExtensiveOutputs(frozen=frozen))


def edges(found: xr.Dataset, matrix: str = "W0") -> np.ndarray[Any, Any]:
    return found.bulk_edge.sel(matrix=matrix, side="upper").values


def trained(
    dim: int, steps: int, frozen: bool, seed: int, init_std: float = 1.0, **given: float
) -> tuple[np.ndarray[Any, Any], list[float]]:
    """An independent trainer: singular values of ``W`` after so many steps, and the losses before them."""
    rng = np.random.default_rng(seed)
    width = round(given["width_per_dim"] * dim)
    outputs = round(given["outputs_per_width"] * given["width_per_dim"] * dim)
    gamma, eta, root = given["richness"], given["learning_rate"], given["width_per_dim"] ** 0.5
    weights = init_std * rng.standard_normal((width, dim)) / dim**0.5
    readout = init_std * rng.standard_normal((outputs, width)) / width**0.5
    teacher = given["teacher_std"] * rng.standard_normal((outputs, dim)) / dim**0.5
    losses = []
    for _ in range(steps):
        error = teacher - readout @ weights / (gamma * root)
        losses.append(float((error**2).sum()) / outputs)
        change = eta * gamma * root * readout.T @ error
        readout = readout if frozen else readout + eta * gamma / root * error @ weights.T
        weights = weights + change
    return np.linalg.svd(weights, compute_uv=False), losses


def distance(found: xr.Dataset, values: np.ndarray[Any, Any]) -> float:
    """Of Kolmogorov, between a predicted density and measured singular values."""
    grid, density = found.value.values.ravel(), found.density.values.ravel()
    steps = np.diff(grid)
    integral = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * steps)])
    integral += grid[0] * density[0]
    values = np.sort(values)
    return float(np.abs(np.interp(values, grid, integral) - (np.arange(len(values)) + 0.5) / len(values)).max())


def test_upper_edge_of_a_frozen_readout_after_twelve_steps() -> None:
    found = ds.spectrum(theory(True), matrices=["W0"], at=[12], steps=13, **TWELVE_STEPS)
    assert edges(found)[0] == pytest.approx(7.460, abs=5e-4)


@pytest.mark.parametrize("frozen", [True, False])
def test_upper_edge_of_one_step(frozen: bool) -> None:
    """After one step the readout is still the initial one: the first polynomial is the same whether it is trained."""
    found = ds.spectrum(theory(frozen), matrices=["W0"], at=[1], steps=2, method="conditioning", **ONE_STEP)
    assert edges(found)[0] == pytest.approx(1.8468, abs=5e-5)


@pytest.mark.parametrize(
    ("given", "step"),
    [
        (OTHER, 1),
        pytest.param(TWELVE_STEPS, 2, marks=pytest.mark.slow),
        pytest.param(OTHER, 4, marks=pytest.mark.slow),
        pytest.param(MANY, 2, marks=pytest.mark.slow),
    ],
)
def test_silverstein_and_the_polynomial_on_coordinates_agree(given: dict[str, float], step: int) -> None:
    request: dict[str, Any] = {"matrices": ["W0"], "at": [step], "steps": 5, "points": 8, "init_std": 0.8, **given}
    silverstein, polynomial = (ds.spectrum(theory(True), method=m, **request) for m in ("equations", "conditioning"))
    assert edges(silverstein) == pytest.approx(edges(polynomial), rel=1e-6)
    assert silverstein.density.values == pytest.approx(polynomial.density.values, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("frozen", "matrix", "given"),
    [(True, "W0", ONE_STEP), pytest.param(False, "w", OTHER, marks=pytest.mark.slow)],
)
def test_the_derived_dyson_equation_agrees_with_coordinates(frozen: bool, matrix: str, given: dict[str, float]) -> None:
    """Through the stages of the derivation, on three matrices, and without it."""
    from dmft_sym.solvers.arguments import run_arguments
    from dmft_sym.solvers.spectrum_routes import two_time_spectra
    from dmft_sym.spectra import matrix_program
    from dmft_sym.spectra.matrices.polynomials import trained_matrix

    chosen = theory(frozen)
    polynomial = trained_matrix(matrix_program(chosen.program, matrix), 1)
    derived = two_time_spectra(chosen, steps=1, backend="numpy", **given).at(polynomial, 0)
    assert run_arguments(chosen, 1, given).outputs == 1
    found = ds.spectrum(chosen, matrices=[matrix], at=[1], steps=2, method="conditioning", **given)
    assert derived.edge == pytest.approx(edges(found, matrix)[0], rel=1e-6)


def test_small_learning_rates_leave_the_law_of_marchenko_and_pastur() -> None:
    given = {**OTHER, "learning_rate": 1e-7}
    for method, step in (("equations", 9), ("conditioning", 1)):
        found = ds.spectrum(theory(True), matrices=["W0"], at=[step], steps=10, method=method, points=5, **given)
        root = 0.6**0.5
        assert found.bulk_edge.values.ravel() == pytest.approx([1 - root, 1 + root], abs=1e-5)
        x, low, high = found.value.values, 1 - root, 1 + root
        law = np.sqrt((high**2 - x**2) * (x**2 - low**2)) / (np.pi * 0.6 * x)
        assert found.density.values == pytest.approx(law, rel=1e-4)


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("given", [OTHER, MANY])
def test_losses_are_those_of_networks(frozen: bool, given: dict[str, float]) -> None:
    run = theory(frozen).solve(steps=3, **given)
    networks = np.array([trained(200, 3, frozen, seed, **given)[1] for seed in range(6)])
    error = networks.std(axis=0, ddof=1) / 6**0.5
    assert (np.abs(networks.mean(axis=0) - run.test_loss.values[:, 0]) < 5 * error + 2e-3 * networks.max()).all()
    if frozen:
        other = theory(frozen).solve(steps=3, method="equations", **given)
        assert other.test_loss.values == pytest.approx(run.test_loss.values, rel=1e-9)


def test_finite_networks_of_the_program_are_those_of_an_independent_trainer() -> None:
    """The same law: both trainers have the same mean loss, and the theory's."""
    sim = ds.simulate(theory(False), dim=120, seeds=6, steps=4, matrices=["W0"], at=[3], values=0, **OTHER)
    networks = np.array([trained(120, 4, False, seed, **OTHER)[1] for seed in range(6)])
    ours = sim.test_loss.values[..., 0]
    error = np.hypot(ours.std(axis=0, ddof=1), networks.std(axis=0, ddof=1)) / 6**0.5
    assert (np.abs(ours.mean(axis=0) - networks.mean(axis=0)) < 5 * error).all()
    assert sim.spectrum_value.shape == (6, 1, 1, 72)
    compared = ds.compare(theory(False).solve(steps=4, **OTHER), sim)
    assert compared.within(4, allowance=5e-3)


@pytest.mark.parametrize(
    ("frozen", "step", "given", "dim", "seeds"),
    [
        (True, 12, TWELVE_STEPS, 300, 2),
        (False, 1, OTHER, 300, 2),
        pytest.param(True, 12, TWELVE_STEPS, 1500, 5, marks=pytest.mark.slow),
        pytest.param(False, 1, ONE_STEP, 1500, 5, marks=pytest.mark.slow),
        pytest.param(False, 2, ONE_STEP, 1500, 5, marks=pytest.mark.slow),
        pytest.param(False, 3, ONE_STEP, 1500, 5, marks=pytest.mark.slow),
    ],
)
def test_densities_are_those_of_networks(
    frozen: bool, step: int, given: dict[str, float], dim: int, seeds: int
) -> None:
    """Kolmogorov's distance is at most 0.01 and edges agree to 1 % at N = 1500; both shrink like a power of N."""
    found = ds.spectrum(theory(frozen), matrices=["W0"], at=[step], steps=step + 1, points=160, **given)
    networks = [trained(dim, step, frozen, seed, **given)[0] for seed in range(seeds)]
    slack = 1500 / dim
    assert distance(found, np.concatenate(networks)) < 0.01 * slack**0.5
    mean = np.mean([values[0] for values in networks])
    assert mean == pytest.approx(edges(found)[0], rel=0.01 * slack ** (2 / 3))


def test_a_wrong_update_is_seen() -> None:
    """Densities tell a trained readout from a frozen one after two steps."""
    found = ds.spectrum(theory(True), matrices=["W0"], at=[2], steps=3, points=160, **ONE_STEP)
    assert distance(found, trained(300, 2, True, 0, **ONE_STEP)[0]) < 0.02
    assert distance(found, trained(300, 2, False, 0, **ONE_STEP)[0]) > 0.02


def test_upper_edges_converge_with_the_width_at_fixed_outputs_per_width() -> None:
    edge = edges(ds.spectrum(theory(True), matrices=["W0"], at=[4], steps=5, **TWELVE_STEPS))[0]
    gaps = [
        abs(np.mean([trained(dim, 4, True, seed, **TWELVE_STEPS)[0][0] for seed in range(4)]) - edge)
        for dim in (60, 240)
    ]
    assert gaps[1] < 0.6 * gaps[0] < 0.1 * edge


def test_few_outputs_make_outliers_and_many_a_bulk() -> None:
    """At a fixed size, C singular values leave the bulk, until there are so many that they are the bulk."""
    for outputs, above in ((1, 1), (8, 8)):
        given = {**TWELVE_STEPS, "outputs_per_width": outputs / 200}
        values = trained(200, 12, True, 0, **given)[0]
        assert (values > 2.05).sum() == above
    values = trained(200, 12, True, 0, **{**TWELVE_STEPS, "outputs_per_width": 0.5})[0]
    assert (values > 2.05).sum() > 60


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"frozen": 1}, "frozen = 1: allowed are True and False"),
        ({"training": ds.GradientDescent(momentum=0.5)}, "allowed with ExtensiveOutputs is GradientDescent"),
        ({"training": ds.OnlineSGD()}, "allowed with ExtensiveOutputs is GradientDescent"),
        ({"network": ds.deep_linear(2)}, "depth = 2: allowed is an integer >= 1 and < 2"),
    ],
)
def test_what_has_no_such_theory_is_refused(words: dict[str, Any], error: str) -> None:
    def derived() -> None:
        data = ds.ExtensiveOutputs(frozen=words.get("frozen", False))
        ds.derive(words.get("network", ds.deep_linear(1)), data, words.get("training"))

    with pytest.raises((ProgramError, ValueError), match=error):
        derived()


def test_what_a_run_cannot_have_is_refused() -> None:
    with pytest.raises(ValueError, match="steps = 40: allowed are at most"):
        theory(False).solve(steps=40, **ONE_STEP)
    with pytest.raises(ValueError, match="matrix = 'NTK': allowed are"):
        ds.spectrum(theory(True), matrices=["NTK"], at=[0], steps=1, **ONE_STEP)
    with pytest.raises(ValueError, match="dependence = 'independent': allowed"):
        ds.spectrum(theory(True), matrices=["W0"], at=[0], steps=1, dependence="independent", **ONE_STEP)
    with pytest.raises(ValueError, match="outputs_per_width: missing"):
        theory(True).solve(steps=2, width_per_dim=1, learning_rate=0.1, richness=1)


def test_few_outputs_are_those_of_the_proportional_regime() -> None:
    """The conventions are one: on the population, at a width that is not the dimension, both matrices trained."""
    given = {"width_per_dim": 0.6, "richness": 5.0, "learning_rate": 0.05}
    proportional = ds.derive(ds.deep_linear(1))
    run = proportional.solve(steps=15, samples_per_dim=np.inf, **given)
    trainings = [trained(200, 15, False, seed, outputs_per_width=2 / 120, teacher_std=1, **given) for seed in range(6)]
    losses = np.array([losses for _, losses in trainings])
    error = losses.std(axis=0, ddof=1) / 6**0.5
    assert (np.abs(losses.mean(axis=0) - run.test_loss.values[:, 0]) < 5 * error + 0.02).all()
    largest = np.mean([values[:3] for values, _ in trainings], axis=0)
    found = ds.spectrum(proportional, matrices=["W0"], at=[15], steps=16, samples_per_dim=np.inf, **given)
    assert largest[:2].mean() == pytest.approx(float(found.outlier[0, 0, 0]), rel=0.04)
    assert largest[2] < 1.03 * edges(found)[0]
