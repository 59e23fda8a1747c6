"""What the command line says in a note or a sentence is said in Python too."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym.cli import main
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import BiasWarning, DataWarning

PROPORTIONAL = {"samples_per_dim": 2.0, "width_per_dim": 1.0, "richness": 2.0, "learning_rate": 0.01}
SPEC = """
[network]
kind = "mlp"
activation = "tanh"
depth = 2
richness = 2.0

[data]
regime = "fixed"
inputs = "data.npz"

[training]
learning_rate = 0.2
steps = 6

[sampling]
samples = 64
"""


@pytest.fixture
def spec(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", inputs=10 * rng.standard_normal((6, 4)), targets=rng.standard_normal(6))
    path = tmp_path / "spec.toml"
    path.write_text(SPEC)
    return path


@pytest.mark.parametrize(("backend", "need"), [("numba", "7.68 TB"), ("numpy", "7.68 TB"), ("mpmath", "192 TB")])
def test_a_march_that_does_not_fit_is_refused(backend, need):
    """12 (L + 1) matrices of 200000^2 numbers, before anything is allocated."""
    solver = ds.derive(ds.deep_linear(1, outputs=1)).compile(backend)
    words = rf"^steps = 200000: allowed is what fits into memory; the march needs {need} and .* are free: use at most"
    with pytest.raises(ArgumentError, match=words + r" \d+ steps, or method = 'conditioning'$"):
        solver(steps=200_000, **PROPORTIONAL)
    with pytest.raises(ArgumentError, match="what fits into memory"):
        solver.raw(steps=200_000, **PROPORTIONAL)


def test_spectra_of_a_march_that_does_not_fit():
    theory = ds.derive(ds.deep_linear(2, outputs=1))
    with pytest.raises(ArgumentError, match="what fits into memory; the march needs"):
        ds.spectrum(theory, matrices=["W1"], at=[3], steps=200_000, method="equations", **PROPORTIONAL)


def test_few_sites_warn():
    rng = np.random.default_rng(0)
    data = ds.Samples(rng.standard_normal((6, 4)), rng.standard_normal(6))
    solver = ds.derive(ds.mlp(2, "tanh"), data=data).compile("numpy")
    arguments = {"richness": 2.0, "learning_rate": 0.2, "steps": 6}
    with pytest.warns(BiasWarning, match=r"^biased by few sites \(.* directions per site of a replica\)") as caught:
        solver(sites=64, **arguments)
    assert [str(w.filename) for w in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solver(sites=8 * 400, **arguments)


def test_inputs_of_unusual_size_warn():
    inputs = np.random.default_rng(0).standard_normal((5, 20))
    with pytest.warns(DataWarning, match=r"\|x\|\^2/D = 9.* init_std = 3.* divide inputs by 3") as caught:
        ds.Samples(3 * inputs / np.sqrt(np.mean(inputs**2)), np.ones(5))
    assert [str(w.filename) for w in caught] == [__file__]
    with pytest.warns(DataWarning):
        ds.Samples(inputs / 10, np.ones(5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ds.Samples(1.5 * inputs, np.ones(5), test_inputs=30 * inputs, test_targets=np.ones(5))


def test_the_command_line_says_it_once(spec, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["run", str(spec), "-o", str(spec.with_suffix(".nc"))]) == 0
    said = capsys.readouterr()
    assert (said.out + said.err).count("biased by few sites") == 1
    assert said.err.count("dmft-sym: note: inputs with |x|^2/D = ") == 1
    assert "Warning" not in said.err
