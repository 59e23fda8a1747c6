"""The example of two digits: its spec and its script describe one network, and the script draws it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from matplotlib.image import imread

from dmft_sym.spec import read_spec
from dmft_sym.spec_objects import data_of, physical_arguments

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
    assert spec.sampling.samples == example.arguments([]).samples
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
