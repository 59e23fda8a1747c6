"""What a solver on samples and its finite networks may be asked for, and what results say about themselves."""

from __future__ import annotations

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym.arguments import ArgumentError

DATA = ds.Samples([[1.0, 0.5], [-0.3, 2.0], [0.2, 0.1]], [1.0, -1.0, 1.0])
SETTINGS = {"richness": 2.0, "learning_rate": 0.1, "steps": 3}


@pytest.fixture(scope="module")
def theory():
    return ds.derive(ds.mlp(depth=2, activation="tanh"), data=DATA)


@pytest.fixture(scope="module")
def run(theory):
    return theory.compile("numpy")(**SETTINGS, samples=200, replicas=4, matrices=["W1"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sample": 100}, r"^sample: unknown argument \(did you mean samples\?\); allowed are steps, depth, .*error"),
        ({"steps": 0}, "^steps = 0"),
        ({"method": "march"}, "^method = 'march': allowed are sampled, coordinates, direct"),
        ({"method": "coordinates"}, "allowed is a network that is linear"),
        ({"samples": 100, "error": 0.1}, "allowed is one of both"),
        ({"samples": 3}, "^samples = 3: allowed is an integer >= 32"),
        ({"error": -1.0}, "^error = -1.0"),
        ({"error": 1e-9}, "allowed is a larger one"),
        ({"replicas": 1}, "^replicas = 1"),
        ({"tol": 1.0}, "^tol = 1.0"),
        ({"threads": 0}, "^threads = 0"),
        ({"kernels": [3]}, "^kernels: 3: allowed are steps from 0 to 2"),
        ({"kernels": 1}, "^kernels = 1: allowed is a list"),
        ({"matrices": "W1"}, "^matrices = 'W1': allowed is a list"),
        ({"matrices": ["W0"]}, "^matrices: 'W0': allowed are W1"),
        ({"width_per_dim": 1.0}, "^width_per_dim = 1.0: allowed is nothing"),
    ],
)
def test_arguments_of_a_solver(theory, changes, words):
    with pytest.raises(ArgumentError, match=words) as caught:
        theory.compile("numpy")(**{**SETTINGS, **changes})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dim": 100}, "^dim = 100: allowed is nothing, the samples have theirs; width is the size"),
        ({"width": 0}, "^width = 0"),
        ({"seeds": 0}, "^seeds = 0"),
        ({"dtype": "float16"}, "^dtype = 'float16'"),
        ({"values": 0}, "^values = 0"),
    ],
)
def test_arguments_of_finite_networks(theory, changes, words):
    with pytest.raises(ArgumentError, match=words):
        ds.simulate(theory, **{**SETTINGS, "seeds": 1, **changes})


@pytest.mark.parametrize("changes", [{"width": 100}, {"kernels": [0]}])
def test_proportional_networks_take_no_width(changes):
    (name,) = changes
    sizes = {"samples_per_dim": 1.0, "width_per_dim": 1.0}
    with pytest.raises(ArgumentError, match=f"^{name} = .*: allowed is nothing unless samples are given"):
        ds.simulate(ds.derive(ds.deep_linear(depth=1)), **SETTINGS, **sizes, **changes)


def test_trial_runs_report(theory):
    """The largest standard error of the run is below the wanted one; trial runs are seen on the way."""
    seen = []
    found = theory.compile("numpy")(**SETTINGS, error=0.01, replicas=4, progress=lambda *done: seen.append(done))
    assert float(found.f_sem.max()) <= 0.01
    assert seen.count((12, 12)) > 1
    assert seen[-1] == (12, 12)


def test_the_start_is_a_tie(run):
    """Outputs start at zero: nothing is known of any sample."""
    assert run.train_accuracy.sel(step=0) == 0.5
    assert run.train_accuracy_sem.sel(step=0) == 0.0


def test_results_say_how_they_were_made(run):
    assert run.attrs["tol"] == pytest.approx(1 / np.sqrt(50))
    assert (run.attrs["samples"], run.attrs["replicas"], run.attrs["method"]) == (200, 4, "sampled")
    for name in (*run.data_vars, *run.coords):
        assert run[name].attrs["long_name"], name


def test_the_committed_solver_is_found(theory):
    """The standard network has its module in the repository, whatever the samples and the depth."""
    assert theory.compile().module.__name__ == "dmft_sym.generated.mlp_tanh_sampled"
