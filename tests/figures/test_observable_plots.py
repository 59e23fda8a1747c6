"""Figures of observables of the user's own, and the command line from a file with a network to a figure."""

from __future__ import annotations

import matplotlib
import pytest

import dmft_sym as ds
from dmft_sym import cli
from dmft_sym.figures.observable_plots import names_of, observables
from dmft_sym.results.store import ResultError

matplotlib.use("Agg")
NETWORK = """
import dmft_sym as ds

def two_layers(net, x):
    n = net.hidden("N")
    h = (net.matrix("A", net.inputs, n) @ x).named("h")
    net.observe("fourth", net.apply(lambda a: a**4, h))
    net.observe("size", ds.norm(h))
    return net.readout("w", h)
"""
SPEC = """
[network]
richness = 1.0
[data]
samples_per_dim = 2.0
width_per_dim = 1.0
[training]
steps = 4
learning_rate = 0.05
[simulation]
dim = 60
seeds = 2
"""


def test_from_a_file_to_a_figure(tmp_path, monkeypatch, capsys):
    """``run``, ``simulate``, ``compare`` and ``plot`` with ``--network`` find what the file declares."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(NETWORK)
    (tmp_path / "spec.toml").write_text(SPEC)
    own = ["spec.toml", "--network", "mine.py:two_layers"]
    assert cli.main(["run", *own, "-o", "run.nc"]) == 0
    assert cli.main(["simulate", *own, "-o", "sim.nc"]) == 0
    capsys.readouterr()
    assert cli.main(["compare", "run.nc", "sim.nc"]) == 0
    assert "fourth" in capsys.readouterr().out
    assert cli.main(["plot", "run.nc", "--sim", "sim.nc", "--kind", "observables", "-o", "seen.png"]) == 0
    run, sim = ds.load("run.nc"), ds.load("sim.nc")
    assert names_of(run) == names_of(sim) == ["fourth", "size"]
    figure = observables(run, sim)
    assert [axis.get_ylabel() for axis in figure.axes] == ["fourth", "size"]
    drawn = figure.axes[0].lines
    assert drawn[0].get_ydata().tolist() == run.fourth.values[:, 0].tolist()
    assert drawn[1].get_ydata().tolist() == sim.fourth.mean("seed").values[:, 0].tolist()
    assert not [line for line in observables(sim).axes[0].lines if line.get_linestyle() != "None"]


def test_without_observables():
    run = ds.derive(ds.deep_linear(0)).solve(backend="numpy", samples_per_dim=2, learning_rate=0.1, steps=2)
    with pytest.raises(ResultError, match=r"no observables to draw: they are declared in a forward pass"):
        observables(run)
