"""Keys of specs for networks of the user's own: run-time parameters, labels of inputs, a depth that nobody reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym import cli
from dmft_sym.data.arrays import with_axes
from dmft_sym.results.store import load
from dmft_sym.spec.objects import data_of, physical_arguments
from dmft_sym.spec.reading import parse_spec
from dmft_sym.support.real_arrays import DataError

LINEAR = """
[network]
richness = 2.0
[data]
samples_per_dim = 2.0
width_per_dim = 0.8
[training]
learning_rate = 0.01
steps = 4
[solver]
backend = "numpy"
[simulation]
dim = 30
seeds = 2
"""
SAMPLES = """
[network]
kind = "deep-linear"
depth = 1
richness = 2.0
[data]
regime = "fixed"
inputs = "tokens.npz"
labels = {token = 3}
[training]
learning_rate = 0.1
steps = 3
"""
MINE = """
def residual(net, x):
    n, strength = net.hidden("N"), net.parameter("strength", 0.5)
    h = net.matrix("W0", net.inputs, n) @ x
    return net.readout("w", h + strength * (net.matrix("A", n, n) @ h))

def bag(net, x):
    token, n = net.label("token", 3), net.hidden("N")
    return net.readout("w", net.sum(net.matrix("A", net.inputs, n) @ x, over=token))
"""
RNG = np.random.default_rng(5)
X, Y = RNG.standard_normal((4, 3, 6)), np.array([1.0, -1.0, 1.0, -1.0])
GIVEN = {"samples_per_dim": 2.0, "width_per_dim": 0.8, "richness": 2.0, "learning_rate": 0.01, "steps": 4}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.savez("tokens.npz", inputs=X, targets=Y)
    for name, text in {"linear.toml": LINEAR, "samples.toml": SAMPLES, "mine.py": MINE}.items():
        Path(name).write_text(text)
    return tmp_path


def residual(net, x):
    n, strength = net.hidden("N"), net.parameter("strength", 0.5)
    h = net.matrix("W0", net.inputs, n) @ x
    return net.readout("w", h + strength * (net.matrix("A", n, n) @ h))


def bag(net, x):
    token, n = net.label("token", 3), net.hidden("N")
    return net.readout("w", net.sum(net.matrix("A", net.inputs, n) @ x, over=token))


def test_parameters_of_a_forward_pass(folder: Path) -> None:
    """Of a solver and of finite networks; without the key the default of the forward pass."""
    own = ["--network", "mine.py:residual"]
    strong = [*own, "--set", "network.parameters={strength=1.5}"]
    assert cli.main(["run", "linear.toml", *own, "-o", "usual.nc"]) == 0
    assert cli.main(["run", "linear.toml", *strong, "-o", "out.nc"]) == 0
    assert cli.main(["simulate", "linear.toml", *strong, "-o", "sim.nc"]) == 0
    solver = ds.derive(ds.network(residual)).compile("numpy")
    for name, strength in (("usual.nc", 0.5), ("out.nc", 1.5)):
        expected = solver(**GIVEN, strength=strength)
        np.testing.assert_allclose(load(name).test_loss, expected.test_loss, rtol=1e-13)
    found = ds.simulate(ds.derive(ds.network(residual)), dim=30, seeds=2, **GIVEN, strength=1.5)
    np.testing.assert_allclose(load("sim.nc").test_loss, found.test_loss, rtol=1e-13)
    assert abs(load("usual.nc").test_loss[-1, 0] - load("out.nc").test_loss[-1, 0]) > 1e-3


def test_a_parameter_of_a_forward_pass_is_an_axis(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One theory serves all points, and a name that the forward pass does not have is refused."""
    command = ["sweep", "linear.toml", "--network", "mine.py:residual", "--workers", "1", "-o", "grid.nc", "--over"]
    assert cli.main([*command, "network.parameters.strength=0.5,1.5"]) == 0
    solver = ds.derive(ds.network(residual)).compile("numpy")
    for strength in (0.5, 1.5):
        found = load("grid.nc").test_loss.sel(strength=strength)
        np.testing.assert_allclose(found, solver(**GIVEN, strength=strength).test_loss, rtol=1e-13)
    capsys.readouterr()
    for axis, words in {
        "network.parameters.stength=1,2": "did you mean strength?",
        "network.kind.strength=1,2": "allowed is section.key=values",
    }.items():
        assert cli.main([*command, axis]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "words"),
    {
        "{stength=1}": "[network] parameters: stength: unknown argument (did you mean strength?)",
        "{richness=1}": "richness is an argument of every run",
        "{seed=3}": "seed is an argument of every run",
        "{strength=inf}": "a table of finite numbers by name",
        '{strength="2"}': "a table of finite numbers by name, such as {strength = 0.5}",
        "{}": "a table of finite numbers by name",
        "2": "a table of finite numbers by name",
    }.items(),
)
def test_refused_parameters(value: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_value = ["--set", f"network.parameters={value}"]
    assert cli.main(["run", "linear.toml", "--network", "mine.py:residual", *set_value]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line and "[network] parameters" in line
    assert not Path("out.nc").exists()


def test_labels_in_proportion(folder: Path) -> None:
    own = ["--network", "mine.py:bag", "--set", "data.labels={token=3}"]
    assert cli.main(["run", "linear.toml", *own, "-o", "out.nc"]) == 0
    theory = ds.derive(ds.network(bag), data=ds.Proportional(labels={"token": 3}))
    expected = theory.compile("numpy")(**GIVEN)
    np.testing.assert_allclose(load("out.nc").test_loss, expected.test_loss, rtol=1e-13)


def test_labels_of_given_samples(folder: Path) -> None:
    """Arrays with the axis, and rows of the same numbers."""
    assert cli.main(["run", "samples.toml", "--network", "mine.py:bag", "-o", "out.nc"]) == 0
    theory = ds.derive(ds.network(bag), data=ds.Samples(X, Y, labels=("token",)))
    expected = theory.solve(learning_rate=0.1, steps=3, richness=2.0)
    np.testing.assert_allclose(load("out.nc").f, expected.f, rtol=1e-12)
    np.savez("tokens.npz", inputs=X.reshape(4, 18), targets=Y)
    assert data_of(parse_spec(SAMPLES)) == ds.Samples(X, Y, labels=("token",))


@pytest.mark.parametrize(
    ("value", "words"),
    {
        "{token=4}": "inputs have the shape (4, 3, 6); allowed are the sizes",
        "{token=0}": "allowed is a table of numbers of values by name, such as {token = 3}",
        '["token"]': "allowed is a table of numbers of values by name",
        '{"a b"=3}': "labels",
    }.items(),
)
def test_refused_labels(value: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "samples.toml", "--network", "mine.py:bag", "--set", f"data.labels={value}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line and "[data] labels" in line


def test_rows_that_do_not_divide() -> None:
    with pytest.raises(DataError, match=r"inputs have 7 columns; allowed are multiples of 6"):
        with_axes({"inputs": np.ones((2, 7))}, {"token": 3, "part": 2})
    cut = with_axes({"inputs": np.arange(24.0).reshape(2, 12)}, {"token": 3, "part": 2})["inputs"]
    np.testing.assert_array_equal(cut[0], np.arange(12.0).reshape(3, 2, 2))


def test_a_depth_that_nobody_reads_is_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["--network", "mine.py:residual"]
    assert cli.main(["derive", "linear.toml", *own, "--set", "network.depth=2"]) == 0
    assert "note: [network] depth: not used, the forward pass mine.py:residual has no net.depth" in (
        capsys.readouterr().err
    )
    assert cli.main(["derive", "linear.toml", *own]) == 0
    assert capsys.readouterr().err == ""


def test_parameters_are_arguments_of_runs_and_of_sweeps() -> None:
    spec = parse_spec(SAMPLES, ["network.parameters={strength=0.25}"])
    assert physical_arguments(spec)["strength"] == 0.25
