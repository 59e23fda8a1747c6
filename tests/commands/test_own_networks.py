"""``--network file.py:function``: networks of the user's own on the command line, one line for what fails in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym import cli
from dmft_sym.results.store import load

PROPORTIONAL = """
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
dim = 60
seeds = 2
"""
SAMPLES = """
[network]
kind = "mlp"
activation = "relu"
depth = 2
richness = 2.0
[data]
regime = "fixed"
inputs = "samples.npz"
[training]
learning_rate = 0.1
steps = 4
[solver]
backend = "numpy"
[sampling]
sites = 160
replicas = 4
[simulation]
width = 40
seeds = 2
"""
MINE = """
import numpy as np
import sympy as sp

import dmft_sym as ds
from helper import half


def residual(net, x):
    n = net.hidden("N")
    w = net.matrix("A", n, n)
    h = net.matrix("W0", net.inputs, n) @ x
    return net.readout("w", h + half(w @ h))


def deep(net, x):
    n = net.hidden("N")
    w = net.matrix("W", n, n, layers=(1, net.depth - 1))
    b = net.vector("b", n, layers=(1, net.depth - 1))
    h = net.scan(lambda l, h: w[l] @ np.tanh(h) + b[l], net.matrix("W0", net.inputs, n) @ x, layers=(1, net.depth - 1))
    return net.readout("w", np.tanh(h))


made = ds.network(deep, depth=3)


def broken(net, x):
    return 1 / 0


def refused(net, x):
    n = net.hidden("N")
    return net.readout("w", n @ x)


def squared(net, x):
    n = net.hidden("N")
    h = net.matrix("W0", net.inputs, n) @ x
    return net.readout("w", h + 1)


number = 3


def two_heads(net, x):
    n = net.hidden("N")
    h = net.matrix("W0", net.inputs, n) @ x
    return net.readout("u", h, outputs=0) + net.readout("q", net.matrix("A", n, n) @ h, outputs=1)


def squashed(net, x):
    h = net.matrix("W0", net.inputs, net.hidden("N")) @ x
    return np.tanh(net.readout("w", np.tanh(h)) + net.readout("v", x))


def forgetful(net, x):
    net.readout("w", net.matrix("W0", net.inputs, net.hidden("N")) @ x)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    np.savez("samples.npz", inputs=rng.standard_normal((4, 4)), targets=[1.0, -1.0, 1.0, -1.0])
    Path("linear.toml").write_text(PROPORTIONAL)
    Path("samples.toml").write_text(SAMPLES)
    Path("mine.py").write_text(MINE)
    Path("helper.py").write_text("def half(x):\n    return x / 2\n")
    return tmp_path


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on standard error of a command that is refused."""
    assert cli.main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0].removeprefix("dmft-sym: ")


def test_run_simulate_and_compare(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "linear.toml", "--network", "mine.py:residual", "-o", "out.nc"]) == 0
    assert cli.main(["simulate", "linear.toml", "--network", "mine.py:residual", "-o", "sim.nc"]) == 0
    assert cli.main(["compare", "out.nc", "sim.nc"]) == 0

    def residual(net, x):
        n = net.hidden("N")
        w = net.matrix("A", n, n)
        h = net.matrix("W0", net.inputs, n) @ x
        return net.readout("w", h + w @ h / 2)

    solver = ds.derive(ds.network(residual)).compile("numpy")
    expected = solver(steps=4, learning_rate=0.01, richness=2.0, samples_per_dim=2.0, width_per_dim=0.8)
    np.testing.assert_allclose(load("out.nc").test_loss, expected.test_loss, rtol=1e-13)


def test_derive_generate_and_spectrum(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["--network", "mine.py:residual"]
    assert cli.main(["derive", "linear.toml", *own]) == 0
    assert "A(t) h" in capsys.readouterr().out
    assert cli.main(["generate", "linear.toml", *own, "-o", "solver.py"]) == 0
    assert "def march(" in Path("solver.py").read_text()
    assert cli.main(["spectrum", "linear.toml", *own, "--set", 'spectrum.matrices=["A"]']) == 0
    assert "A" in capsys.readouterr().out


def test_depth_outputs_and_sites_are_those_of_the_spec(folder: Path) -> None:
    """Of a function the depth of the spec, of a network that was made in the file its own unless the spec says one."""
    assert cli.main(["run", "samples.toml", "--network", "mine.py:deep", "-o", "out.nc"]) == 0
    run = load("out.nc")
    assert run.attrs["depth"] == 2
    assert run.attrs["sites"] == 160
    text = Path("samples.toml").read_text()
    Path("samples.toml").write_text(text.replace("depth = 2\n", ""))
    assert cli.main(["run", "samples.toml", "--network", "mine.py:made", "-o", "out.nc"]) == 0
    assert load("out.nc").attrs["depth"] == 3


def test_a_depth_that_nobody_says_is_missing(folder: Path, capsys) -> None:
    text = Path("samples.toml").read_text(encoding="utf-8")
    Path("samples.toml").write_text(text.replace("depth = 2\n", ""))
    line = complaint(capsys, "run", "samples.toml", "--network", "mine.py:deep")
    assert "depth is missing" in line and "--set network.depth=2" in line


def test_a_linear_network_on_given_samples_is_exact(folder: Path) -> None:
    assert cli.main(["run", "samples.toml", "--network", "mine.py:residual", "-o", "out.nc"]) == 0
    assert "f_sem" not in load("out.nc")


def test_heads_and_losses(folder: Path) -> None:
    own = ["--network", "mine.py:two_heads", "--set", "network.outputs=2", "--set", "solver.backend=numpy"]
    assert cli.main(["run", "linear.toml", *own, "-o", "out.nc"]) == 0
    assert load("out.nc").train_loss.sizes["output"] == 2
    own = ["--network", "mine.py:squashed", "--set", "data.loss=(f - y)**4/4"]
    assert cli.main(["run", "samples.toml", *own, "-o", "other.nc"]) == 0
    run = load("other.nc")
    assert run.attrs["loss"] == "(f - y)**4/4"
    y = np.array([1.0, -1.0, 1.0, -1.0])
    np.testing.assert_allclose(run.train_loss[0, 0], np.mean((run.f[0, :, 0].values - y) ** 4 / 4), rtol=1e-12)


WRONG = {
    "mine.py": "--network 'mine.py': allowed is file.py:function",
    "none.py:forward": "file 'none.py' cannot be read (No such file or directory); allowed is file.py:function",
    ".:forward": "cannot be read (Is a directory)",
    "mine.py:residul": "mine.py has no residul (did you mean residual?); it has residual, deep",
    "mine.py:number": "number is a int; allowed is file.py:function",
    "mine.py:broken": "mine.py, line 28: ZeroDivisionError: division by zero",
    "mine.py:refused": "mine.py, line 33: TypeError: unsupported operand",
    "mine.py:squared": "mine.py, line 39: a vector plus a number",
    "mine.py:forgetful": "mine.py: the forward pass must return net.readout(...), or a sum or another function",
    "mine.py:two_heads": "mine.py, line 48: readout q: outputs = 1: allowed are an integer from 0 to 0",
}


@pytest.mark.parametrize("own", WRONG)
def test_what_is_wrong_is_one_line(own: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert WRONG[own] in complaint(capsys, "run", "linear.toml", "--network", own)
    assert not Path("out.nc").exists()


FILES = {
    "def forward(net, x):\n    return (\n": "line 2: SyntaxError: '(' was never closed",
    "import nothing_of_this_name\n": "line 1: ModuleNotFoundError: No module named 'nothing_of_this_name'",
    "x = 1\nraise SystemExit(3)\n": "line 2: SystemExit: 3",
    "forward = {}['a']\n": "line 1: KeyError: 'a'",
}


@pytest.mark.parametrize("text", FILES)
def test_files_that_fail(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.py").write_text(text)
    assert FILES[text] in complaint(capsys, "derive", "linear.toml", "--network", "bad.py:forward")


def test_a_python_file_is_no_spec(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = complaint(capsys, "run", "mine.py")
    assert line.endswith("allowed is a TOML file, and beside it a forward pass of your own, --network mine.py:function")


def test_a_spec_cannot_name_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = complaint(capsys, "run", "linear.toml", "--set", "network.depth=1", "--set", "network.kind=mine.py:residual")
    assert "[network] kind" in line
    line = complaint(capsys, "run", "linear.toml", "--set", "network.depth=1", "--set", "network.kind=python")
    assert "--network file.py:function" in line


@pytest.mark.parametrize("command", ["derive", "generate", "run", "spectrum", "simulate", "check"])
def test_every_command_that_takes_a_spec_has_it(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    assert "--network" in capsys.readouterr().out


def test_keys_that_nobody_reads_are_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["derive", "samples.toml", "--network", "mine.py:residual"]) == 0
    assert (
        "note: [network] kind and activation: not used, the forward pass is mine.py:residual" in capsys.readouterr().err
    )
