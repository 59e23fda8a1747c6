"""Spectra of finite networks against those of the infinite one, with z-scores at fixed seeds.

Random vectors have their norms normalised. What remains between a mean over seeds and the limit is allowed to be 4
standard errors plus ``6/D`` of the value (the ``O(1/D)`` correction of a finite network, larger for the sharpness, a
polynomial of several matrices, than for the losses). Outliers closer to the edge than ``3 D^(-2/3)`` of it are mixed
with the extreme values of the bulk at this size, and are not compared.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from execution_support import program, values
from spectrum_tracks import coordinate_spectra, measured_spectra

import dmft_sym as ds
from dmft_sym.execution import run_finite
from dmft_sym.networks import GradientDescent, OnlineSGD
from dmft_sym.networks.parameters import GAMMA
from dmft_sym.program import ProgramError
from dmft_sym.spectra import operator

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

ALLOWANCE = 6.0


def worst_z(prog, numbers, steps, matrices, at, *, dim=600, seeds=8, outputs=1, expected=None):
    """Largest z-score over the outliers of all matrices and steps; degenerate ones are averaged."""
    tracks, _ = coordinate_spectra(prog, numbers, outputs, steps, matrices, at, overlaps=False)
    count = max(1, *(t.outliers.shape[1] for t in tracks.values()))
    runs = [
        measured_spectra(prog, numbers, outputs, steps, dim, seed, matrices, at, count=count, normalise=True)[0]
        for seed in range(seeds)
    ]
    compared, worst = 0, 0.0
    for name, track in tracks.items():
        assert not track.failures
        for row, step in enumerate(track.steps):
            theory = track.spectra[step]
            if not len(theory.outliers) or theory.outliers[-1] < theory.edge * (1 + 3 * dim ** (-2 / 3)):
                continue
            sample = np.array([run[name].values[row, : len(theory.outliers)].mean() for run in runs])
            line = theory.outliers.mean()
            error = sample.std(ddof=1) / np.sqrt(seeds)
            worst = max(worst, (abs(sample.mean() - line) - ALLOWANCE / dim * line) / error)
            compared += 1
    assert compared >= (expected or 1)
    return worst


@pytest.mark.parametrize("parametrization", [ds.MUP, pytest.param(ds.NTK, marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize(
    ("depth", "eta", "richness"),
    [(1, 0.006, 8.0), *(pytest.param(*case, marks=pytest.mark.slow) for case in [(2, 0.004, 8.0), (3, 0.003, 12.0)])],
)
def test_weights_and_sharpness(depth, eta, richness, parametrization):
    nu = 0.7
    numbers = values(depth=depth, nu=nu, alpha=3.0, eta=eta, label_noise=0.2)
    numbers[GAMMA] = parametrization.gamma(richness, nu)
    matrices = [f"W{layer}" for layer in range(depth)] + ["NTK"]
    assert worst_z(program(), numbers, 61, matrices, [30, 60], dim=800, seeds=10, expected=depth + 1) < 4


@pytest.mark.parametrize("name", ["residual", pytest.param("weight_tied", marks=pytest.mark.slow)])
def test_networks_of_the_examples(name):
    forward = __import__(name).forward
    theory = ds.derive(ds.network(forward))
    defaults = {p.symbol: p.default for p in theory.parameters}
    numbers = {**defaults, **values(depth=3, nu=0.8, alpha=2.0, gamma=8.0, eta=0.006, label_noise=0.2)}
    numbers = {symbol: numbers[symbol] for symbol in theory.program.parameters}
    matrices = ["W0", "NTK", *(["W1", "W2"] if name == "residual" else ["W"])]
    assert worst_z(theory.program, numbers, 41, matrices, [20, 40], expected=2) < 4


def narrow_and_wide(net, x):
    """A wide and a narrow path from the input, joined by a bottleneck: three widths, and a skip over a layer."""
    hidden, narrow = net.hidden("N"), net.hidden("M", sp.Rational(1, 2))
    h = net.matrix("A", net.inputs, hidden) @ x
    k = net.matrix("B", hidden, narrow) @ h + net.matrix("S", net.inputs, narrow) @ x
    return net.readout("w", k)


def test_a_network_with_a_bottleneck():
    theory = ds.derive(ds.network(narrow_and_wide))
    numbers = values(depth=1, nu=0.8, alpha=2.0, gamma=14.0, eta=0.006, label_noise=0.2)
    numbers = {symbol: numbers[symbol] for symbol in theory.program.parameters}
    assert worst_z(theory.program, numbers, 61, ["A", "B", "S", "NTK"], [20, 60], expected=3) < 4


@pytest.mark.parametrize(
    ("training", "changes"),
    [
        (GradientDescent(momentum=0.6), {"momentum": 0.6, "eta": 0.003}),
        pytest.param(GradientDescent(weight_decay=0.005), {"decay": 0.005}, marks=pytest.mark.slow),
        pytest.param(OnlineSGD(), {"alpha": 0.7}, marks=pytest.mark.slow),
    ],
    ids=["momentum", "decay", "online"],
)
def test_optimizers(training, changes):
    numbers = values(depth=2, **{"nu": 0.8, "alpha": 3.0, "gamma": 7.0, "eta": 0.006, **changes})
    assert worst_z(program(None, training), numbers, 51, ["W0", "W1", "NTK"], [30, 50], expected=2) < 4


def test_several_outputs():
    """Three outputs: three equal outliers of W0, and nine of the NTK."""
    numbers = values(depth=1, nu=0.7, alpha=3.0, gamma=10.0, eta=0.01, label_noise=0.1)
    assert worst_z(program(), numbers, 50, ["W0", "NTK"], [49], outputs=3, expected=2) < 4


def test_product_of_layers():
    numbers = values(depth=2, nu=1.0, alpha=4.0, gamma=8.0, eta=0.004)
    prog = program()
    product = operator(prog, lambda m, x: m["W1"] @ (m["W0"] @ x), "D", name="product")
    assert worst_z(prog, numbers, 50, [product], [30, 49]) < 4


def test_overlaps():
    """Singular vectors of the outliers, and the fields and the teacher of the network."""
    numbers, dim, seeds = values(depth=2, nu=1.0, alpha=4.0, gamma=8.0, eta=0.004), 600, 8
    tracks, _ = coordinate_spectra(program(), numbers, 1, 50, ["W0", "W1"], [49])
    runs = [
        measured_spectra(program(), numbers, 1, 50, dim, seed, ["W0", "W1"], [49], count=1, normalise=True)[0]
        for seed in range(seeds)
    ]
    for name, side, field in (
        ("W0", "a", "betastar"),
        ("W0", "a", "v"),
        ("W0", "b", "g[1]"),
        ("W0", "b", "h[1]"),
        ("W1", "a", "h[1]"),
        ("W1", "b", "g[2]"),
    ):
        line = tracks[name].overlap(side, field)[0, 0, 0]
        sample = np.array([run[name].overlap(side, field)[0, 0] for run in runs])
        error = sample.std(ddof=1) / np.sqrt(seeds)
        assert abs(sample.mean() - line) < 4 * error + ALLOWANCE / dim * line, (name, side, field)


def test_histogram_follows_the_density():
    """All singular values and eigenvalues against the integrated density: Kolmogorov's distance is ``O(1/D)``."""
    numbers, dim = values(depth=2, nu=0.7, alpha=3.0, gamma=6.0, eta=0.01), 500
    at, names = [30], ["W0", "W1", "NTK"]
    tracks, _ = coordinate_spectra(program(), numbers, 1, 31, names, at)
    measured, _ = measured_spectra(program(), numbers, 1, 31, dim, 0, names, at, full=True)
    for name in names:
        theory, sample = tracks[name].spectra[30], np.sort(measured[name].values[0])
        found = theory.support()
        ((low, high),) = found.bands
        angles = np.linspace(0, np.pi, 401)
        x = 0.5 * (low + high) - 0.5 * (high - low) * np.cos(angles)
        weights = theory.density(x) * 0.5 * (high - low) * np.sin(angles)
        law = found.atom + np.concatenate(([0], np.cumsum(0.5 * (weights[1:] + weights[:-1])) * np.diff(angles)))
        empirical = np.searchsorted(sample, x + 1e-6) / len(sample)
        assert np.abs(empirical - law).max() < 8 / dim, name


def test_operator_is_the_matrix_that_is_meant():
    """The level-two statements on a small network against products of its stored matrices."""
    kept = {}

    def keep(step, network):
        kept.update(enumerate(matrix.copy() for matrix in network.matrices))
        kept["keys"] = [spec.key for spec in network.plan.matrices]

    numbers, prog = values(depth=2), program()
    run_finite(prog, numbers, 1, 4, 40, 3, inspect=keep)
    stored = {key: kept[number] for number, key in enumerate(kept["keys"])}
    product = operator(prog, lambda m, x: m["W1"] @ (m["W0"] @ x), "D", name="product")
    found, _ = measured_spectra(prog, numbers, 1, 4, 40, 3, ["W0", product], [3], full=True)
    for name, matrix in (("W0", stored["W0", None]), ("product", stored["W", 1] @ stored["W0", None])):
        np.testing.assert_allclose(found[name].values[0], np.linalg.svd(matrix)[1], rtol=1e-10, atol=1e-12)


def test_arpack_finds_what_a_dense_decomposition_finds():
    numbers = values(depth=2, gamma=6.0)
    few, _ = measured_spectra(program(), numbers, 2, 6, 80, 0, ["W1", "NTK"], [5], count=3)
    every, _ = measured_spectra(program(), numbers, 2, 6, 80, 0, ["W1", "NTK"], [5], count=3, full=True)
    for name, track in few.items():
        full = every[name].spectra[5]
        np.testing.assert_allclose(track.values[0], full.values[:3], rtol=1e-9)
        for key, rows in track.spectra[5].overlaps.items():
            np.testing.assert_allclose(rows, full.overlaps[key], atol=1e-6)


def test_seeds_repeat_and_differ():
    first, again, other = (
        measured_spectra(program(), values(), 1, 3, 60, seed, ["W0", "NTK"], [2])[0] for seed in (1, 1, 2)
    )
    for name in first:
        np.testing.assert_array_equal(first[name].values, again[name].values)
        assert not np.allclose(first[name].values, other[name].values)


def test_bad_arguments_are_named():
    with pytest.raises(ProgramError, match=r"matrix = 'W9': allowed"):
        measured_spectra(program(), values(), 1, 3, 40, 0, ["W9"], [2])
    with pytest.raises(ValueError, match=r"spectrum step = 3: allowed are steps of the run, 0 to 2"):
        measured_spectra(program(), values(), 1, 3, 40, 0, ["W0"], [3])
    with pytest.raises(ValueError, match=r"count = 0: allowed is an integer >= 1"):
        measured_spectra(program(), values(), 1, 3, 40, 0, ["W0"], [2], count=0)
