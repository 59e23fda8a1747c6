"""Weight matrices of real networks: edges, outliers, shifts of the bulk and verdicts, by closed forms and theories."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym import cli
from dmft_sym.figures.weight_plots import weights as drawn
from dmft_sym.results.checks import load_labelled
from dmft_sym.spectra.measured.initial_bulk import LEVELS, InitialLaw, MeasuredWeights
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.real_arrays import DataError

SHAPES = [(120, 200), (150, 150), (200, 80)]


def gaussian(shape: tuple[int, int], seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape) / shape[1] ** 0.5


def spiked(shape: tuple[int, int], strength: float, seed: int = 0) -> tuple[np.ndarray[Any, Any], ...]:
    rng = np.random.default_rng([seed, 1])
    left, right = (vector / np.linalg.norm(vector) for vector in map(rng.standard_normal, shape))
    return gaussian(shape, seed) + strength * np.outer(left, right), left, right


@pytest.mark.parametrize("shape", SHAPES)
def test_the_law_of_the_initialization_is_that_of_marchenko_and_pastur(shape: tuple[int, int]) -> None:
    law, tau = InitialLaw(*shape), shape[0] / shape[1]
    x = np.linspace(law.edges[0] + 0.05, law.edges[1] - 0.05, 7)
    low, high = ((1 - math.sqrt(tau)) ** 2, (1 + math.sqrt(tau)) ** 2)
    known = np.sqrt((high - x**2) * (x**2 - low)) / (np.pi * min(1, tau) * x)
    assert law.density(x) == pytest.approx(known, rel=1e-5)
    squares = law.quantile((np.arange(4000) + 0.5) / 4000) ** 2
    assert squares.mean() == pytest.approx(max(tau, 1), rel=1e-4)  # the trace of W W^T by the number of values


@pytest.mark.parametrize("shape", SHAPES)
def test_error_bars_are_those_of_gaussian_matrices(shape: tuple[int, int]) -> None:
    """Standardised shifts of quantiles have a standard deviation of about one; nothing is an outlier."""
    measured = [MeasuredWeights.of(gaussian(shape, seed), 1.0) for seed in range(40)]
    z = np.array([one.shifts[0] / one.shifts[1] for one in measured])
    assert np.all((z.std(axis=0) > 0.6) & (z.std(axis=0) < 1.5))
    assert sum(one.outliers for one in measured) == 0
    fits = [MeasuredWeights.of(0.3 * gaussian(shape, seed)) for seed in range(40)]
    assert np.abs([(fit.sigma - 0.3) / fit.sigma_error for fit in fits]).max() < 4


@pytest.mark.parametrize("shape", SHAPES)
def test_an_outlier_is_that_of_benaych_georges_and_nadakuditi(shape: tuple[int, int]) -> None:
    tau, strength = shape[0] / shape[1], 3.0
    matrix, left, right = spiked(shape, strength)
    found = ds.measure({"W1": matrix, "W0": gaussian(shape, 5)})
    value = math.sqrt((1 + strength**2) * (tau + strength**2)) / strength
    assert found.outliers.values[0, :, 0].tolist() == [1, 0]
    assert float(found.outlier[0, 0, 0, 0]) == pytest.approx(value, rel=0.05)
    u, _, v = np.linalg.svd(matrix)
    cosines = [abs(v[0] @ right), abs(u[:, 0] @ left)]
    assert found.overlap.values[0, 0, 0, 0] == pytest.approx(cosines, abs=0.04)
    assert found.verdict.values.ravel().tolist() == ["spikes", "lazy"]
    assert found.bulk_edge.sel(matrix="W0", side="upper").item() == pytest.approx(1 + tau**0.5, rel=0.03)


def test_outliers_do_not_change_the_fit() -> None:
    plain = ds.measure({"W": gaussian((200, 200))}).initial_std.item()
    rng = np.random.default_rng(1)
    many = gaussian((200, 200)) + 0.3 * rng.standard_normal((200, 8)) @ rng.standard_normal((8, 200))
    assert ds.measure({"W": many}).initial_std.item() == pytest.approx(plain, rel=0.05)


def test_a_bulk_that_moved_is_restructured() -> None:
    theory = ds.derive(ds.deep_linear(1), data=ds.ExtensiveOutputs(frozen=True))
    sim = ds.simulate(
        theory, dim=200, seeds=2, steps=5, matrices=["W0"], at=[0, 4], values=0, outputs_per_width=0.5,
        width_per_dim=1, teacher_std=2, richness=2, learning_rate=0.3,
    )  # fmt: skip
    verdicts = []
    for step in (0, 4):
        values = sim.spectrum_value.sel(spectrum_step=step, matrix="W0").values
        verdicts.append(ds.measure({"W0": np.array([np.diag(row) for row in values])}, initial_std=1).verdict.item())
    assert verdicts == ["lazy", "restructured"]
    stretched = ds.measure({"W": 1.1 * gaussian((200, 200))}, initial_std=1)
    assert stretched.verdict.item() == "restructured"
    assert ds.measure({"W": 1.1 * gaussian((200, 200))}).verdict.item() == "lazy"  # a fit takes it for the scale


def test_networks_lie_on_the_lines_of_a_theory_and_wrong_ones_do_not(tmp_path: Path) -> None:
    """Matrices of finite networks, as arrays: the same comparison that a simulation has."""
    theory = ds.derive(ds.deep_linear(2))
    given = {"samples_per_dim": 4, "width_per_dim": 1, "richness": 8, "learning_rate": 0.004, "label_noise": 0.3}
    run = ds.spectrum(theory, matrices=["W0", "W1"], at=[40, 59], steps=60, **given)
    sim = ds.simulate(theory, dim=200, seeds=6, steps=60, matrices=["W1"], at=[59], values=0, normalise=True, **given)
    values = sim.spectrum_value.values[:, 0, 0]
    found = ds.measure({"W1": np.array([np.diag(row) for row in values])}, run, 59)
    assert found.outlier.values[:, 0, 0] == pytest.approx(sim.outlier.values[:, 0, 0, : found.sizes["rank"]])
    assert found.initial_std.values == pytest.approx(1)
    assert ds.compare(run, found).within(4, allowance=0.02)
    other = ds.measure({"W1": 1.1 * np.array([np.diag(row) for row in values])}, run, 59)
    assert not ds.compare(run, other).within(4, allowance=0.02)
    ds.save(found, tmp_path / "m.nc")
    assert load_labelled(str(tmp_path / "m.nc")).verdict.item() == found.verdict.item()
    figure = drawn(found, run)
    assert figure.axes[0].get_title(loc="left").endswith(f"$W^{{1}}$, {found.verdict.item()}")
    with pytest.raises(ArgumentError, match="weights 'W7': allowed are the matrices of the theory, W0, W1"):
        ds.measure({"W7": gaussian((4, 4))}, run)
    with pytest.raises(ArgumentError, match="step = 3: allowed are the steps of the theory, 40, 59"):
        ds.measure({"W1": gaussian((4, 4))}, run, 3)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"W": np.ones(3)}, "weights 'W': shape (3,): allowed is shape (rows, columns)"),
        ({"W": np.ones((2, 2, 2, 2))}, "weights 'W': shape (2, 2, 2, 2)"),
        ({"W": np.zeros((0, 3))}, "weights 'W': shape (0, 3)"),
        ({"W": np.array([[1.0, np.nan]])}, "weights 'W', row 0, column 1 = nan: allowed are finite numbers"),
        ({"W": np.array([[np.inf, 1.0]])}, "weights 'W', row 0, column 0 = inf"),
        ({"W": np.array([[1j]])}, "weights 'W' of type complex128: allowed are real numbers"),
        ({"W": np.ones((2, 3, 3)), "V": np.ones((3, 3))}, "there are 2 of W, 1 of V"),
        ({}, "allowed are arrays by name"),
        ([np.ones((2, 2))], "allowed are arrays by name"),
    ],
)
def test_what_is_no_matrix_is_refused(weights: Any, words: str) -> None:
    with pytest.raises((DataError, ArgumentError)) as caught:
        ds.measure(weights)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 3)])
def test_small_and_zero_matrices_have_an_answer(shape: tuple[int, int]) -> None:
    assert ds.measure({"W": np.zeros(shape)}).verdict.item() == "lazy"
    assert ds.measure({"W": gaussian(shape)}).sizes["matrix"] == 1
    assert LEVELS[4] == 0.5


def test_command_line_measures_npz_npy_and_safetensors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numpy_files = pytest.importorskip("safetensors.numpy")
    matrix = spiked((100, 150), 3.0)[0].astype(np.float32)
    np.savez(tmp_path / "w.npz", **{"layers.1.weight": matrix, "layers.1.bias": np.zeros(100)})
    np.save(tmp_path / "w.npy", matrix)
    numpy_files.save_file({"W1": matrix}, tmp_path / "w.safetensors")
    words = ["--matrix", "W1=layers.1.weight", "--std", "1", "-o", str(tmp_path / "m.nc")]
    figure = tmp_path / "m.png"
    assert cli.main(["measure", str(tmp_path / "w.npz"), *words, "--figure", str(figure)]) == 0
    assert "spikes" in capsys.readouterr().out
    assert figure.exists()
    found = load_labelled(str(tmp_path / "m.nc"))
    assert found.matrix.values.tolist() == ["W1"]
    for name in ("w.npy", "w.safetensors"):
        assert cli.main(["measure", str(tmp_path / name), "--std", "1"]) == 0
        assert "spikes" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.npz", "w.npy", "w.safetensors", "w.txt", "missing.npz"])
def test_command_line_refuses_pickles_and_damaged_files(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, status 2, nothing overwritten; what a pickle would run is not run."""
    pytest.importorskip("safetensors")
    kept = tmp_path / "kept.nc"
    kept.write_bytes(b"kept")
    if name == "w.npz":
        np.savez(tmp_path / name, W=np.array([{}], dtype=object))
    elif name == "w.npy":
        np.save(tmp_path / name, np.array([print], dtype=object), allow_pickle=True)
    elif name != "missing.npz":
        (tmp_path / name).write_bytes(b"\x80\x04.")
    assert cli.main(["measure", str(tmp_path / name), "-o", str(kept)]) == 2
    shown = capsys.readouterr()
    assert len(shown.err.splitlines()) == 1
    assert shown.out == ""
    assert kept.read_bytes() == b"kept"
    if name.startswith("w.pt"):
        assert "pickle" in shown.err
        assert "save_file" in shown.err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--std", "x"], "--std 'x': allowed is a number"),
        (["--std", "0"], "initial_std = 0"),
        (["--matrix", "W0=V"], "matrix 'V': allowed are W0"),
        (["--matrix", "=W0"], "--matrix '=W0': allowed is NAME=VALUE"),
        (["--step", "-1"], "step = -1: allowed is an integer >= 0"),
        (["--figure", "x.gif"], ".png, .pdf, .svg"),
    ],
)
def test_command_line_refuses_words(
    words: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "w.npz", W0=gaussian((5, 5)))
    assert cli.main(["measure", str(tmp_path / "w.npz"), *words]) == 2
    assert line in capsys.readouterr().err
