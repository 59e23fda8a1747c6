"""Inputs whose modes differ: classes of modes with their eigenvalues and variances of the teacher."""

from __future__ import annotations

import numpy as np
import pytest
from structured_inputs import SPECTRUM, VALUES, by_hand

import dmft_sym as ds
from dmft_sym.execution.finite import class_of_sites
from dmft_sym.program import ProgramError
from dmft_sym.regimes import REGIMES
from dmft_sym.spec.reading import SpecError, read_spec

DATA = ds.Proportional(spectrum=SPECTRUM)
STEPS = 16


def arguments(depth):
    """Those that a run of this depth takes."""
    unused = () if depth else ("width_per_dim", "richness", "init_std")
    return {key: value for key, value in VALUES.items() if key not in unused}


@pytest.mark.parametrize("depth", [0, 1])
def test_conditioning_has_the_losses_of_the_equations_by_hand(depth):
    theory = ds.derive(ds.deep_linear(depth), data=DATA)
    run = theory.compile("numpy")(method="conditioning", steps=STEPS, tol=1e-11, **arguments(depth))
    train, test, _ = by_hand(SPECTRUM, depth, STEPS, **VALUES)
    np.testing.assert_allclose(run.train_loss.values[:, 0], train, rtol=1e-10)
    np.testing.assert_allclose(run.test_loss.values[:, 0], test, rtol=1e-10)


@pytest.mark.parametrize("depth", [0, 1])
def test_finite_networks_have_them_within_errors(depth):
    theory = ds.derive(ds.deep_linear(depth), data=DATA)
    options = {"dim": 300, "seeds": 24, "seed": 7, "normalise": True, "order_parameters": False}
    found = ds.simulate(theory, steps=STEPS, **options, **arguments(depth))
    for name, exact in zip(("train_loss", "test_loss"), by_hand(SPECTRUM, depth, STEPS, **VALUES)[:2], strict=True):
        lines = found[name].values[:, ::5, 0]
        error = lines.std(axis=0, ddof=1) / np.sqrt(len(lines))
        assert np.abs((lines.mean(axis=0) - exact[::5]) / error).max() < 4, name


def test_results_say_whose_spectrum_they_have():
    options = {"steps": 2, "backend": "numpy", **arguments(0)}
    data = (DATA, ds.Proportional(spectrum=SPECTRUM), ds.Proportional(spectrum=SPECTRUM[:2]))
    first, same, other = (ds.derive(ds.deep_linear(0), data=d).solve(**options).attrs["program_hash"] for d in data)
    assert first == same != other


def test_classes_have_their_shares_of_the_sites():
    assert np.bincount(class_of_sites(np.array([0.5, 0.3, 0.2]), 11)).tolist() == [6, 3, 2]
    assert np.bincount(class_of_sites(np.array([1.0]), 7)).tolist() == [7]


def test_a_class_is_one_of_modes_alike():
    """Cutting a class into two changes nothing."""
    cut = ((0.1, 2.0, 1.0), *SPECTRUM[1:], (0.2, 2.0, 1.0))
    runs = [
        ds.derive(ds.deep_linear(1), data=ds.Proportional(spectrum=spectrum))
        .compile("numpy")(method="conditioning", steps=STEPS, tol=1e-11, **arguments(1))
        .test_loss
        for spectrum in (SPECTRUM, cut)
    ]
    np.testing.assert_allclose(*runs, rtol=1e-11)


@pytest.mark.parametrize("wrong", [[], [(1.0, 0.0, 1.0)], [(0.0, 1.0, 1.0)], [(1.0, 1.0, -1.0)], [(1.0, 2.0)], 3])
def test_a_spectrum_that_is_none_is_refused(wrong):
    with pytest.raises(ProgramError, match="spectrum"):
        ds.Proportional(spectrum=wrong)


def test_power_laws_have_unit_inputs_and_targets():
    weights, eigenvalues, variances = np.array(list(ds.PowerLaw(1.5, 2.2, modes=1000, classes=20))).T
    assert weights.sum() == 1000
    assert len(weights) <= 20
    assert weights @ eigenvalues / 1000 == pytest.approx(1, rel=1e-12)
    assert weights @ (eigenvalues * variances) / 1000 == pytest.approx(1, rel=1e-12)


def test_every_mode_is_a_class_if_there_are_as_many():
    found = np.array(list(ds.PowerLaw(1.0, 2.0, modes=5, classes=100)))
    mode = np.arange(1.0, 6)
    np.testing.assert_allclose(found[:, 1], mode**-1 / (mode**-1).mean(), rtol=1e-13)
    np.testing.assert_allclose(found[:, 2], (mode**-1 / (mode**-2).mean()) * (mode**-1).mean(), rtol=1e-13)


@pytest.mark.parametrize(("decay", "source"), [(1.5, 2.2), (1.2, 1.6)])
def test_regression_on_power_laws_falls_as_a_power_of_time(decay, source):
    """``t^-((a - 1)/b)`` in the population (arXiv:2402.01092), and the sum over modes at every time."""
    law = ds.PowerLaw(decay, source, modes=100_000, classes=100)
    theory = ds.derive(ds.deep_linear(0), data=ds.Proportional(spectrum=law), training=ds.GradientFlow())
    shares, eigenvalues, variances = theory.data.given["varrho"], *np.array(theory.data.spectrum).T[1:]
    times = np.geomspace(1, 30, 5) * 10 / eigenvalues[0]
    run = theory.solve(time=[0.0, *times], samples_per_dim=float("inf"))
    exact = (shares * eigenvalues * variances) @ np.exp(-2 * np.outer(eigenvalues, times))
    np.testing.assert_allclose(run.test_loss.values[1:, 0], exact, rtol=1e-4)
    slope = np.polyfit(np.log(times), np.log(exact), 1)[0]
    assert slope == pytest.approx(-(source - 1) / decay, abs=0.03)


def test_samples_give_back_their_spectrum_and_teacher():
    """Classes of Gaussian samples: losses of the theory with their spectrum are those with the true one."""
    rng, dim, count = np.random.default_rng(2), 40, 20_000
    eigenvalues = np.repeat([2.0, 0.5], dim // 2)
    inputs = rng.standard_normal((count, dim)) * np.sqrt(eigenvalues)
    teacher = np.repeat([1.0, 2.0], dim // 2) * rng.choice([-1, 1], dim)
    data = ds.Proportional.from_samples(inputs, inputs @ teacher / np.sqrt(dim) + 0.3 * rng.standard_normal(count), 2)
    assert data.label_noise == pytest.approx(0.3, rel=0.02)
    np.testing.assert_allclose(data.spectrum, [(20, 2.0, 1.0), (20, 0.5, 4.0)], rtol=0.04)


def test_modes_that_samples_do_not_have_are_small():
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((5, 20))
    data = ds.Proportional.from_samples(inputs, rng.standard_normal(5), 4)
    weights, eigenvalues, _ = np.array(data.spectrum).T
    assert weights.sum() == 20
    assert eigenvalues.min() < 1e-9
    assert data.label_noise < 1e-9


@pytest.mark.parametrize(
    ("inputs", "targets"), [(np.ones(3), np.ones(3)), (np.ones((3, 2)), np.ones(2)), (np.zeros((3, 2)), np.ones(3))]
)
def test_samples_that_are_none_are_refused(inputs, targets):
    with pytest.raises(ProgramError, match="inputs"):
        ds.Proportional.from_samples(inputs, targets)


@pytest.mark.parametrize("wrong", [{"decay": -1.0}, {"source": float("nan")}, {"modes": 0}, {"classes": 1.5}])
def test_laws_that_are_none_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ProgramError, match=name):
        ds.PowerLaw(**{"decay": 1.0, "source": 1.0, **wrong})


SPEC = """
[network]
kind = "deep-linear"
depth = 1
richness = 2.0

[data]
samples_per_dim = 2.0
width_per_dim = 0.8
{data}

[training]
learning_rate = 0.01
steps = 3
"""


def read(tmp_path, data):
    """The data of a spec with these lines."""
    path = tmp_path / "spec.toml"
    path.write_text(SPEC.format(data=data))
    spec = read_spec(path)
    return REGIMES["proportional"].of_spec(spec)


def test_specs_have_spectra(tmp_path):
    assert read(tmp_path, "spectrum = [[0.3, 2.0, 1.0], [0.5, 0.5, 1.5], [0.2, 0.1, 4.0]]") == DATA
    law = read(tmp_path, "decay = 1.5\nsource = 2.2\nmodes = 100\nmode_classes = 5")
    assert law == ds.Proportional(spectrum=ds.PowerLaw(1.5, 2.2, modes=100, classes=5))
    assert read(tmp_path, "") == ds.Proportional()


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ("spectrum = [[1.0, 0.0, 1.0]]", "[data] spectrum = [[1.0, 0.0, 1.0]]: allowed is a list of"),
        ("spectrum = []", "[data] spectrum = []: allowed is a list of"),
        ("spectrum = [1.0, 2.0]", "[data] spectrum = [1.0, 2.0]: allowed is a list of"),
        ("decay = 1.5", "[data] source is missing"),
        ("decay = -1.0\nsource = 1.0", "[data] decay = -1.0: allowed is a finite number >= 0"),
        ("decay = 1.0\nsource = 1.0\nspectrum = [[1.0, 1.0, 1.0]]", "[data] decay = 1.0: allowed is nothing"),
    ],
)
def test_spectra_of_specs_that_are_none_are_refused_in_a_line(tmp_path, data, line):
    with pytest.raises(SpecError) as error:
        read(tmp_path, data)
    assert line in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_normalised_vectors_have_their_norm_in_every_class():
    """The first classes of a power law have few sites, whose chance no average removes."""
    law = ds.PowerLaw(1.2, 1.6, modes=200, classes=9)
    theory = ds.derive(ds.deep_linear(0), data=ds.Proportional(spectrum=law))
    options = {"steps": 1, "dim": 200, "seeds": 3, "order_parameters": False, "samples_per_dim": 2.0}
    losses = ds.simulate(theory, normalise=True, learning_rate=0.1, **options).test_loss
    np.testing.assert_allclose(losses, 1.0, rtol=1e-12)
