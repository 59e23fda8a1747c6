"""What a solver on samples and its finite networks may be asked for, and what results say about themselves."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import dmft_sym as ds
from dmft_sym.data.datasets import from_csv
from dmft_sym.results.store import summary
from dmft_sym.support.errors import ArgumentError

DATA = ds.Samples([[1.0, 0.5], [-0.3, 2.0], [0.2, 0.1]], [1.0, -1.0, 1.0])
SETTINGS = {"richness": 2.0, "learning_rate": 0.1, "steps": 3}


@pytest.fixture(scope="module")
def theory():
    return ds.derive(ds.mlp(depth=2, activation="tanh"), data=DATA)


@pytest.fixture(scope="module")
def run(theory):
    return theory.compile("numpy")(**SETTINGS, sites=200, replicas=4, matrices=["W1"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"site": 100}, r"^site: unknown argument \(did you mean sites\?\); allowed are steps, depth, .*error"),
        ({"steps": 0}, "^steps = 0"),
        ({"method": "marsh"}, "^method = 'marsh': allowed are equations, conditioning"),
        ({"exact": True}, "exact = true: allowed is false, .* a network that is linear"),
        ({"exact": 1}, "^exact = 1: allowed are True and False"),
        ({"sites": 100, "error": 0.1}, "allowed is one of both"),
        ({"sites": 3}, "^sites = 3: allowed is an integer >= 32"),
        ({"error": -1.0}, "^error = -1.0"),
        ({"error": 1e-9}, "allowed is a larger one"),
        ({"replicas": 1}, "^replicas = 1"),
        ({"tol": 1.0}, "^tol = 1.0"),
        ({"threads": 0}, "^threads = 0"),
        ({"kernels": [3]}, "^kernels: 3: allowed are steps from 0 to 2"),
        ({"kernels": 1}, "^kernels = 1: allowed is a list"),
        ({"method": "equations", "tol": 0.1}, "^tol with method = .equations.: allowed is nothing"),
        ({"method": "equations", "antithetic": False}, "^antithetic with method = .equations."),
        ({"method": "equations", "threads": 1}, "^threads with method = .equations."),
        ({"method": "equations", "steps": 200}, '^method = "equations" with 600 rows .* up to 400'),
        ({"method": "equations", "steps": 100, "sites": 10**8}, "tangents need about .* more replicas"),
        ({"sites": 10**12}, "^sites = 1000000000000: allowed is what fits into memory; fields need at least"),
        ({"progress": 3}, "^progress = 3: allowed is a function"),
        ({"antithetic": "no"}, "^antithetic = 'no': allowed are True and False"),
        ({"bias": 1}, "^bias = 1: allowed are True and False"),
        ({"method": "equations", "bias": True}, "^bias with method = .equations.: allowed is nothing"),
        ({"matrices": 3}, "^matrices = 3: allowed is a list"),
        ({"init_std": 1e200}, "not finite for s2 = inf"),
        ({"at": [1]}, "^at = \\[1\\]: allowed with the names of matrices"),
        ({"matrices": "W1"}, "^matrices = 'W1': allowed is a list"),
        ({"matrices": ["W2"]}, "^matrices: 'W2': allowed are W0, W1"),
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
    found = theory.compile("numpy")(**SETTINGS, error=0.0005, replicas=4, progress=lambda *done: seen.append(done))
    assert float(found.f_sem.max()) <= 0.0005
    assert seen.count((12, 12)) > 1
    assert seen[-1] == (12, 12)
    assert found.attrs["sites"] > 4 * 512  # more than the first trial


def test_a_wanted_error_of_a_run_that_diverges(theory):
    settings = {"richness": 2.0, "learning_rate": 100.0, "steps": 60}
    run = ds.derive(ds.mlp(2, "h + h**3"), data=DATA).compile("numpy")(**settings, error=1e-3)
    assert run.attrs["outcome"].startswith("diverged at step")
    assert 0 < run.sizes["step"] < 60


def test_errors_of_callbacks_are_not_taken_for_bad_arguments(theory):
    def broken(done, total):
        raise ValueError("a bug")

    for call in (theory.compile("numpy"), lambda **given: ds.simulate(theory, width=20, **given)):
        with pytest.raises(ValueError, match=r"^a bug$") as caught:
            call(**SETTINGS, progress=broken)
        assert not isinstance(caught.value, ArgumentError)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_the_direct_solver_reports(theory, backend):
    """Progress in steps of all replicas; the module that ran is named."""
    seen = []
    run = theory.compile(backend)(
        **SETTINGS, method="equations", sites=80, replicas=2, progress=lambda *done: seen.append(done)
    )
    assert seen == [(step, 6) for step in range(1, 7)]
    assert len(run.attrs["module_hash"]) == 64
    assert (run.attrs["backend"], run.attrs["antithetic"]) == (backend, 1)


def test_runs_diverge_by_one_rule(theory):
    """Sampled sites and two-time equations stop at the same step."""
    settings = {**SETTINGS, "learning_rate": 1e9, "steps": 10}
    runs = [theory.compile("numpy")(**settings, method=m, sites=400, replicas=2) for m in ("conditioning", "equations")]
    assert runs[0].sizes["step"] == runs[1].sizes["step"] < 10
    assert all(run.attrs["outcome"].startswith("diverged at step") for run in runs)


def test_functions_of_sympy_are_the_same_network():
    """A function of Python is called once; its expression names the network, so that results can be compared."""
    first, second = (
        ds.derive(ds.mlp(depth=1, activation=lambda h: h * sp.tanh(h)), data=DATA).program for _ in range(2)
    )
    assert str(first) == str(second)
    assert "h*tanh(h)" in first.name


def test_the_start_is_a_tie(run):
    """Outputs start at zero: nothing is known of any sample."""
    assert run.train_accuracy.sel(step=0) == 0.5
    assert run.train_accuracy_sem.sel(step=0) == 0.0


def test_results_say_how_they_were_made(run):
    assert run.attrs["tol"] == pytest.approx(1 / np.sqrt(50))
    assert (run.attrs["sites"], run.attrs["replicas"], run.attrs["method"]) == (200, 4, "conditioning")
    for name in (*run.data_vars, *run.coords):
        assert run[name].attrs["long_name"], name
        assert run[name].attrs["units"], name
    assert 0 < run.attrs["directions_per_site"] <= 1


def test_few_sites_are_pointed_out(theory):
    solver = theory.compile("numpy")
    settings = {**SETTINGS, "learning_rate": 1.0, "steps": 20}
    words = [summary(solver(**settings, sites=samples, replicas=4)) for samples in (40, 4000)]
    assert "use more, or fewer replicas" in words[0]
    assert "replicas" not in words[1]


def test_matrices_that_start_at_zero(theory):
    """Without an initial matrix there is no bulk; nothing moves, as readouts start at zero too."""
    settings = {**SETTINGS, "init_std": 0.0, "matrices": ["W1"]}
    run = theory.compile("numpy")(**settings, sites=200, replicas=4)
    assert run.sizes["rank"] == 0
    assert run.bulk_edge.values.tolist() == [[[0.0, 0.0]]]
    assert not ds.simulate(theory, **settings, width=50, seeds=2).outlier.any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda run: ds.compare(1, run), "^the first result = 1: allowed is what a solver"),
        (lambda run: ds.compare(run, "run.nc"), "^the second result = 'run.nc'"),
        (lambda run: ds.save(3, "a.nc"), "^dataset = 3: allowed"),
        (lambda run: ds.save(run, 9), "^output path 9: allowed is the name of a file"),
        (lambda run: ds.load(9), "^result 9: allowed is the name of a file"),
        (lambda run: from_csv(9), "9: allowed is the name of a file"),
    ],
)
def test_what_is_no_result_or_path(run, call, words):
    with pytest.raises(ValueError, match=words):
        call(run)


def test_the_committed_solver_is_found(theory):
    """The standard network has its module in the repository, whatever the samples and the depth."""
    assert theory.compile().module.__name__ == "dmft_sym.generated.mlp_tanh_sampled"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 10**8}, "^width = 100000000: allowed is what fits into memory"),
        ({"normalise": "x"}, "^normalise = 'x': allowed are True and False"),
        ({"progress": 1}, "^progress = 1: allowed is a function"),
    ],
)
def test_refused_simulations(theory, changes, words):
    with pytest.raises(ArgumentError, match=words):
        ds.simulate(theory, **SETTINGS, **{"width": 10, **changes})
    with pytest.raises(ArgumentError, match=r"^theory = None: allowed is what"):
        ds.simulate(None, **SETTINGS)


def test_limit_of_outliers(theory):
    """It is above the edge, and falls with more sites."""
    settings = {**SETTINGS, "matrices": ["W1"], "replicas": 4}
    few, many = (theory.compile("numpy")(**settings, sites=sites) for sites in (400, 40_000))
    assert 2.0 < float(many.outlier_limit.max()) < 2.02 < float(few.outlier_limit.min())
    assert "outlier_limit_sem" not in few
