"""``dmft-sym sweep``: axes are keys of a spec, and whatever is wrong is one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import dmft_sym as ds
from dmft_sym.cli import main

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FAST = ["--set", "solver.backend=numpy", "--set", "training.steps=5", "--workers", "1"]


def sweep(path, *options, spec="deep_linear.toml"):
    return main(["sweep", str(EXAMPLES / spec), *FAST, "-o", str(path), *options])


def test_axes_are_keys_of_the_spec(tmp_path, capsys):
    path = tmp_path / "grid.nc"
    axes = ["training.learning_rate=logspace(-3,1,2)", "network.parametrization=muP,NTK", "training.momentum=0,0.5"]
    assert sweep(path, *(part for axis in axes for part in ("--over", axis))) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{path}: 8 points (learning_rate 2, parametrization 2, momentum 2), 4 diverged")
    found = ds.load(path)
    theory = ds.derive(ds.deep_linear(2, parametrization="NTK"), training=ds.GradientDescent(momentum=0.5))
    settings = {"samples_per_dim": 4.0, "width_per_dim": 1.0, "richness": 8.0, "label_noise": 0.3, "steps": 5}
    run = theory.solve(backend="numpy", learning_rate=0.001, **settings)
    point = found.sel(learning_rate=0.001, parametrization="NTK", momentum=0.5)
    np.testing.assert_allclose(point.test_loss.values, run.test_loss.values, rtol=1e-12)
    assert "C_h" not in found


def test_variables_and_simulations(tmp_path):
    options = ["--what", "simulate", "--variables", "test_loss", "--set", "simulation.dim=20", "--set"]
    assert sweep(tmp_path / "sim.nc", *options, "simulation.seeds=2", "--over", "network.richness=1,2") == 0
    found = ds.load(tmp_path / "sim.nc")
    assert set(found.data_vars) == {"test_loss", "status", "divergence_step"}
    assert found.test_loss.dims == ("richness", "seed", "step", "output")


def test_spectra(tmp_path):
    options = ["--what", "spectrum", "--set", "spectrum.matrices=['NTK']", "--set", "spectrum.points=0"]
    assert sweep(tmp_path / "spec.nc", *options, "--over", "training.learning_rate=0.001,0.002") == 0
    assert ds.load(tmp_path / "spec.nc").sharpness.dims == ("learning_rate", "spectrum_step")


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_network_of_the_users_own(tmp_path, workers):
    path = tmp_path / "mine.py"
    path.write_text(
        "def forward(net, x):\n    return net.readout('w', net.matrix('A', net.inputs, net.hidden('N')) @ x)\n"
    )
    own = ["--network", f"{path}:forward", "--over", "training.learning_rate=0.001,0.002"]
    assert sweep(tmp_path / "grid.nc", *own, "--workers", workers) == 0
    run = ds.derive(ds.deep_linear(1)).solve(
        backend="numpy", learning_rate=0.002, samples_per_dim=4, width_per_dim=1, richness=8, label_noise=0.3, steps=5
    )
    found = ds.load(tmp_path / "grid.nc").test_loss.sel(learning_rate=0.002)
    np.testing.assert_allclose(found.values, run.test_loss.values, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--over is missing"),
        (["--over", "training.learning_rate="], "--over training.learning_rate: '': allowed are numbers"),
        (["--over", "training.learning_rate=logspace(-3,-1,0)"], "allowed is a count from 2"),
        (["--over", "training.learning_rate=logspace(-3,-1,99999999)"], "allowed is a count from 2"),
        (["--over", "training.learning_rate=__import__('os')"], "is neither a number nor a word"),
        (["--over", "training.learning_rat=1,2"], "did you mean learning_rate"),
        (["--over", "trainin.learning_rate=1,2"], "no section trainin"),
        (["--over", "learning_rate=1,2"], "allowed is section.key=values"),
        (["--over", "data.width_per_dim=1,-1"], "[data] width_per_dim = -1: allowed is"),
        (["--over", "simulation.dim=10,20"], "it has no effect on --what solve"),
        (["--over", "training.steps=2,3", "--over", "training.steps=4,5"], "a second axis steps"),
        (["--over", "training.steps=2,3", "--what", "guess"], "what = 'guess'"),
        (["--over", "data.width_per_dim=1,2", "--what", "critical"], "--what critical: allowed are solve"),
        (["--over", "data.width_per_dim=1,2", "--what", "max_stable"], "swept in Python, by ds.sweep(theory, over"),
        (["--over", "training.learning_rate=0.1,nan"], "allowed is a finite number > 0"),
        (["--over", "training.learning_rate=1,1.0"], "two values have the same name"),
        (["--over", "training.steps=2,3", "--workers", "none"], "--workers 'none'"),
        (["--over", "training.steps=2,3", "--variables", "tset_loss"], "did you mean test_loss"),
    ],
)
def test_one_line_and_status_2(tmp_path, capsys, options, message):
    path = tmp_path / "grid.nc"
    path.write_bytes(b"mine")
    assert sweep(path, *options) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert message in said
    assert path.read_bytes() == b"mine"
    assert [file.name for file in tmp_path.iterdir()] == ["grid.nc"]


def test_the_same_command_goes_on(tmp_path, monkeypatch, capsys):
    from dmft_sym.sweeps import sweep as sweeps

    path, over = tmp_path / "grid.nc", ["--over", "training.learning_rate=logspace(-3,-2,4)"]
    real, made = sweeps.solved_point, []

    def interrupted(what, variables, item):
        made.append(item[2])
        if len(made) == 3:
            raise KeyboardInterrupt
        return real(what, variables, item)

    monkeypatch.setattr(sweeps, "solved_point", interrupted)
    assert sweep(path, *over) == 130
    assert sweep(path, *over, "--set", "network.richness=2") == 2
    assert "it belongs to another sweep (its settings differ)" in capsys.readouterr().err
    assert sweep(path, *over) == 0
    assert len(made) == 5
    whole = ds.load(path)
    sweep(tmp_path / "again.nc", *over)
    xr.testing.assert_equal(ds.load(tmp_path / "again.nc"), whole)
