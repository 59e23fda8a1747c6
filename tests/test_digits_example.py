"""The example of two digits: its spec and its script describe one network, and the script draws it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from samples_and_scores import standard_error

import dmft_sym as ds
from dmft_sym.spec.objects import data_of, physical_arguments
from dmft_sym.spec.reading import read_spec

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def example():
    pytest.importorskip("sklearn")
    spec = importlib.util.spec_from_file_location("digits_example", EXAMPLES / "digits.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_spec_and_script_are_of_one_network(example) -> None:
    spec = read_spec(EXAMPLES / "digits.toml")
    assert physical_arguments(spec) == {**example.SETTINGS, "init_std": 1.0}
    assert data_of(spec) == example.digits(classes=(3, 8), samples=20)
    assert (spec.network.depth, spec.network.activation) == (example.LAYER, "tanh")
    assert list(spec.spectrum.matrices) == example.WANTED["matrices"]
    assert spec.sampling.sites == example.arguments([]).samples
    assert spec.simulation.width == example.arguments([]).width


def test_script_draws(example, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(example, "SETTINGS", {**example.SETTINGS, "steps": 4, "learning_rate": 0.5})
    monkeypatch.setattr(example, "WANTED", {**example.WANTED, "kernels": [0, 2, 3], "at": [0, 3]})
    monkeypatch.setattr(example, "SHOWN", (0, 2, 3))
    path = tmp_path / "digits.png"
    options = [str(path), "--width", "40", "--seeds", "2", "--samples", "800", "--backend", "numpy"]
    example.main(options)
    assert "2 networks of N = 40, 4 steps" in capsys.readouterr().out
    assert imread(path).shape[2] == 4


@pytest.mark.parametrize("width", [400, pytest.param(2000, marks=pytest.mark.slow)])
def test_wide_networks(example, width) -> None:
    """Along rich training: f, kernels, alignments and outliers within 4 standard errors and 1/N of the largest entry.

    Four networks do not tell their own error entry by entry. That of kernels is pooled with the scatter of 16 replicas
    of as many sites; that of f, which pairs of sites make exact at first, with that of other samples.
    """
    seeds, replicas = 4, 16
    theory = ds.derive(ds.mlp(3, "tanh"), data=example.digits(classes=(3, 8), samples=20))
    wanted = {**example.WANTED, "kernels": [0, 20, 99], "at": [30, 60, 99]}
    run = theory.compile()(sites=replicas * width, replicas=replicas, **wanted, **example.SETTINGS)
    simulation = ds.simulate(theory, width=width, seeds=seeds, dtype="float32", **wanted, **example.SETTINGS)
    simulation["outlier"] = simulation.outlier.sel(rank=run["rank"])
    for name in ("f", "Phi", "G", "NTK", "Phi_alignment", "NTK_alignment", "outlier"):
        found, own = simulation[name], run[f"{name}_sem"] ** 2
        if name == "f":
            error = np.sqrt((own + standard_error(found) ** 2).mean(["sample", "output"]))
        else:
            found_own = found.var("seed", ddof=1)
            scatter = ((replicas - 1) * replicas * own + (seeds - 1) * found_own) / (replicas + seeds - 2)
            error = np.sqrt(scatter * (1 / replicas + 1 / seeds))
        gap = np.abs(found.mean("seed") - run[name]) - np.abs(run[name]).max() / width
        assert float((gap / error).max()) < 4, name
    assert run.sizes["rank"] == 1
    assert float(run.outlier.min()) > 2.2
    assert float(run.train_loss[-1, 0]) < 0.1 * float(run.train_loss[0, 0])
    assert float(run.Phi_alignment[-1, -1] - run.Phi_alignment[-1, 0]) > 0.2
