"""Networks that nobody has seen before: the sampled theory of each against finite networks of its own program.

Two independent arithmetics run the same program, one with stored matrices and one with none, so that what is checked is
the limit itself; that the program is the right one is checked by `test_samples_gradients`. Means agree
within 4 combined standard errors and a bias ``c (1/N + R/S)`` of the largest entry, see `test_samples_finite`. Narrow
networks show a ``c`` of up to 4 in outputs and up to 10 in kernels (``benchmarks/finite_size.py``). There are 16 seeds
and replicas, because the largest of some hundred z-scores of 8 is often above 4 (they are Student's t, not normal).
"""

from __future__ import annotations

import numpy as np
import pytest
from finite_cases import SETTINGS, STEPS, UNSEEN_BIAS
from samples_and_scores import largest, made_samples, worst_z
from unseen_networks import FORWARDS, made_network

import dmft_sym as ds

SEEDS, REPLICAS = 16, 16


@pytest.fixture(params=[(500, 32_000), pytest.param((1000, 48_000), marks=pytest.mark.slow)], ids=["narrow", "wide"])
def sizes(request):
    """Width of the networks and sites of the theory."""
    return request.param


def both(theory, sizes, richness, rate, **changes):
    """Theory and finite networks."""
    arguments = {"richness": richness, "learning_rate": rate, "steps": STEPS, **changes}
    width, sites = sizes
    run = theory.compile("numpy")(sites=sites, replicas=REPLICAS, **arguments)
    return run, ds.simulate(theory, width=width, seeds=SEEDS, dtype="float32", **arguments)


def assert_agreement(run, simulation):
    outputs, kernels_bias = (c * (1 / simulation.attrs["width"] + REPLICAS / run.attrs["sites"]) for c in UNSEEN_BIAS)
    kernels = [name for name in run.data_vars if "sample2" in run[name].dims and not name.endswith("_sem")]
    assert "NTK" in kernels
    assert len(kernels) > 2
    assert worst_z(run, simulation, "f", outputs) < 4
    for name in kernels:
        assert worst_z(run, simulation, name, kernels_bias) < 4
    change = largest(run.NTK.isel(kernel_step=-1) - run.NTK.isel(kernel_step=0))
    assert change > 0.3 * largest(run.NTK.isel(kernel_step=0))
    assert change > 20 * largest(run.NTK_sem)


@pytest.mark.parametrize("name", FORWARDS)
def test_made_up_networks(name, sizes):
    theory = ds.derive(made_network(name, outputs=2), data=made_samples(40, 3, 2))
    assert_agreement(*both(theory, sizes, *SETTINGS[name]))


@pytest.mark.parametrize("depth", [1, 4])
def test_the_depth_of_a_scan_is_an_argument(depth, sizes):
    theory = ds.derive(made_network("residual"), data=made_samples(41, 3))
    run, simulation = both(theory, sizes, 3.0, 0.4 if depth == 1 else 0.2, depth=depth, b=0.4)
    assert_agreement(run, simulation)


@pytest.mark.parametrize(
    "training",
    [ds.GradientDescent(momentum=0.6), ds.GradientDescent(weight_decay=0.03), ds.GradientDescent(0.5, 0.02)],
    ids=["momentum", "decay", "both"],
)
@pytest.mark.parametrize("name", ["mlp", "tied"])
def test_optimizers_with_memory(name, training, sizes):
    network = ds.mlp(2, "tanh", outputs=2) if name == "mlp" else made_network("tied", outputs=2)
    theory = ds.derive(network, data=made_samples(42, 3, 2), training=training)
    assert_agreement(*both(theory, sizes, 3.0, 0.1 if training.momentum else 0.3))


def test_decay_is_not_without_effect():
    """The same run without decay is many standard errors away."""
    data = made_samples(42, 3, 2)
    runs = [
        ds.derive(ds.mlp(2, "tanh", outputs=2), data=data, training=training).compile("numpy")(
            sites=48_000, richness=3.0, learning_rate=0.3, steps=STEPS
        )
        for training in (None, ds.GradientDescent(weight_decay=0.03))
    ]
    assert largest(runs[0].f - runs[1].f) > 20 * largest(runs[0].f_sem)


def test_test_samples_are_looked_at_and_not_learned(sizes):
    """Other test samples leave the training as it is, and the outputs on them are those of finite networks."""
    tests, others = made_samples(50, 2, 2), made_samples(51, 4, 2)
    sets = [
        made_samples(43, 3, 2, test_inputs=other.inputs, test_targets=other.targets) for other in (tests, others)
    ] + [made_samples(43, 3, 2)]
    theories = [ds.derive(ds.mlp(2, "tanh", outputs=2), data=data) for data in sets]
    run, simulation = both(theories[0], sizes, 3.0, 0.4)
    assert run.trained.values.tolist() == [1, 1, 1, 0, 0]
    assert_agreement(run, simulation)
    assert largest(run.f.isel(sample=[3, 4])) > 0.2
    for theory in theories[1:]:
        other = theory.compile("numpy")(sites=sizes[1], richness=3.0, learning_rate=0.4, steps=STEPS, seed=1)
        gap = (run.f - other.f).isel(sample=[0, 1, 2])
        error = np.hypot(run.f_sem, other.f_sem).isel(sample=[0, 1, 2])
        assert float(np.abs(gap / error).isel(step=slice(1, None)).max()) < 4


def test_targets_of_test_samples_have_no_influence():
    """Bit by bit: they enter the test loss and nothing else."""
    tests = made_samples(50, 2, 2)
    runs = []
    for targets in (tests.targets, -5 * tests.targets):
        data = made_samples(43, 3, 2, test_inputs=tests.inputs, test_targets=targets)
        theory = ds.derive(made_network("gated", outputs=2), data=data)
        runs.append(theory.compile("numpy")(sites=4000, richness=3.0, learning_rate=0.4, steps=5))
    np.testing.assert_array_equal(runs[0].f, runs[1].f)
    np.testing.assert_array_equal(runs[0].NTK, runs[1].NTK)
    assert largest(runs[0].test_loss - runs[1].test_loss) > 0.1
