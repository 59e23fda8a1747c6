"""Several outputs of given samples: one backward field for a sample trains what a field for every output does.

``executed`` is the program with one field, ``program`` the one with a field for every output. Finite networks of both
draw the same weights, so that they have the same numbers up to rounding, whatever the network, the loss and the
training; on sampled sites they agree within errors, kernels of every output included.
"""

from __future__ import annotations

import numpy as np
import pytest
from labelled_networks import LABELLED, sequences
from samples_and_scores import largest, made_samples
from test_outputs import NETWORKS
from unseen_networks import FORWARDS, made_network

import dmft_sym as ds
from dmft_sym.execution.runner import run_finite
from dmft_sym.program import OUTPUT
from dmft_sym.solvers.arguments import run_arguments

RUN = {"richness": 2.0, "learning_rate": 0.3, "steps": 6}
ROUNDING = 1e-12
QUICK = {"gated", "normalised", "tied", "two_readouts"}, {"causal", "layers_of_attention"}


def marked(names, quick):
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


def output_by_output(theory):
    """The same theory, run with a backward field for every output."""
    theory.executed = theory.program
    return theory


def check(theory, width=12):
    """Both programs train the same finite network; the one that is executed has no backward field of an output."""
    known = {field.name for field in theory.program.fields if OUTPUT not in field.axes}
    assert {field.name for field in theory.program.fields} - known
    assert not any(OUTPUT in field.axes for field in theory.executed.fields)
    arguments = run_arguments(theory, RUN["steps"], {key: RUN[key] for key in ("richness", "learning_rate")})
    tracks = []
    for program in (theory.program, theory.executed):
        values, outputs, steps = arguments.values, arguments.outputs, arguments.steps
        result = run_finite(program, values, outputs, steps, width, 3, data=arguments.data)
        tracks.append(next(track for ref, track in result.scalars.items() if ref.scalar.name == "f"))
    whole, contracted = tracks
    size = np.abs(whole).max()
    assert np.abs(whole[-1] - whole[0]).max() > 0.01 * size
    np.testing.assert_allclose(contracted, whole, rtol=0, atol=ROUNDING * max(1.0, size))


@pytest.mark.parametrize("name", marked(FORWARDS, QUICK[0]))
def test_networks(name):
    check(ds.derive(made_network(name, outputs=2), data=made_samples(7, 3, 2)))


@pytest.mark.parametrize("name", marked([name for name in LABELLED if name != "heads"], QUICK[1]))
def test_networks_with_labels(name):
    check(ds.derive(ds.network(LABELLED[name], outputs=2), data=sequences(5, 2)))


@pytest.mark.parametrize("name", NETWORKS)
def test_functions_of_outputs_and_heads(name):
    check(ds.derive(ds.network(NETWORKS[name], outputs=3), data=made_samples(60, 3, 3)))


TRAININGS = [
    ("squared", ds.GradientDescent(momentum=0.5, nesterov=True, batch=2, schedule="1/(1 + t)", label_noise=0.2)),
    ("softmax", ds.GradientDescent(momentum=0.5, weight_decay=0.01, centered=True, clip=0.3)),
    ("logistic", ds.GradientDescent(batch=3, normalised=True, schedule="1/(1 + t)")),
]


@pytest.mark.parametrize(("loss", "training"), TRAININGS, ids=[loss for loss, _ in TRAININGS])
def test_losses_trainings_and_test_samples(loss, training):
    rng = np.random.default_rng(9)
    tests = {"test_inputs": rng.standard_normal((3, 12)), "test_targets": made_samples(10, 3, 3, loss).targets}
    check(ds.derive(ds.mlp(2, "tanh", outputs=3), data=made_samples(9, 4, 3, loss, **tests), training=training))


def test_a_flow():
    theory, whole = (
        ds.derive(ds.mlp(2, "tanh", outputs=2), data=made_samples(9, 3, 2), training=ds.GradientFlow())
        for _ in range(2)
    )
    runs = [ds.simulate(t, width=20, seeds=1, richness=2.0, time=1.0) for t in (theory, output_by_output(whole))]
    for name in ("f", "G", "NTK"):
        assert largest(runs[0][name] - runs[1][name]) < 1e-9


def test_one_output_is_executed_as_it_is_derived():
    theory = ds.derive(ds.mlp(2, "tanh"), data=made_samples(9, 3))
    assert theory.executed == theory.program


def made(name):
    network = made_network("normalised", outputs=3) if name == "normalised" else ds.mlp(2, "tanh", outputs=3)
    network = ds.network(NETWORKS[name], outputs=3) if name in NETWORKS else network
    return ds.derive(network, data=made_samples(10, 3, 3, "softmax"))


@pytest.mark.parametrize("name", ["mlp", "heads", "normalised"])
def test_kernels_of_finite_networks(name):
    """Fields of every output at the steps of kernels alone: those of the network with fields of every output."""
    settings = {**RUN, "width": 30, "seeds": 2, "kernels": [0, 3, 5]}
    one, whole = (ds.simulate(theory, **settings) for theory in (made(name), output_by_output(made(name))))
    assert set(one.data_vars) == set(whole.data_vars)
    for variable in one.data_vars:
        np.testing.assert_allclose(one[variable], whole[variable], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("name", marked(["mlp", "heads", "normalised"], {"heads"}))
def test_sampled_sites(name):
    """Within 5 combined standard errors (16 replicas, some 300 entries) and a bias of 4 R/S of the largest entry."""
    settings = {**RUN, "sites": 16_000, "replicas": 16, "kernels": [0, 5]}
    one, whole = (t.compile("numpy")(**settings) for t in (made(name), output_by_output(made(name))))
    kernels = [variable for variable in whole.data_vars if "kernel_step" in whole[variable].dims]
    compared = [v for v in ("f", *kernels) if f"{v}_sem" in whole and not v.endswith("_sem")]
    assert {"f", "NTK"} < set(compared)
    for variable in compared:
        errors = np.hypot(one[f"{variable}_sem"], whole[f"{variable}_sem"])
        gap = np.abs(one[variable] - whole[variable]) - 4 * 16 / 16_000 * largest(whole[variable])
        assert float((gap / errors.where(errors > 1e-12)).max()) < 5, variable


def test_kernels_do_not_change_training():
    """What is drawn for fields of every output is drawn beside the numbers of training, and forgotten."""
    run = made("mlp").compile("numpy")
    settings = {**RUN, "sites": 800, "replicas": 4}
    np.testing.assert_array_equal(run(kernels=[], **settings).f, run(kernels=[0, 2, 5], **settings).f)


@pytest.mark.parametrize("name", marked(["mlp", "heads"], {"mlp"}))
def test_compiled_replicas(name):
    """Both back ends draw the same numbers; products are drawn from Cholesky factors of dependent fields."""
    settings = {**RUN, "sites": 800, "replicas": 4, "kernels": [0, 5], "bias": True}
    numba, numpy = (made(name).compile(backend)(**settings) for backend in ("numba", "numpy"))
    for variable in numpy.data_vars:
        np.testing.assert_allclose(numba[variable], numpy[variable], rtol=0, atol=1e-9, err_msg=variable)


def test_samples_for_testing_have_kernels():
    """They are not trained on, so that their backward fields are zero; those of every output are not."""
    tests = {"test_inputs": np.ones((1, 12)), "test_targets": [[1.0, 0.0]]}
    theory = ds.derive(ds.mlp(2, "tanh", outputs=2), data=made_samples(9, 2, 2, **tests))
    run = theory.compile("numpy")(**RUN, sites=400, replicas=2, kernels=[5])
    last = run.G.isel(sample=2, sample2=2, kernel_step=0)
    for output in range(2):
        assert float(last.isel(output=output, output2=output).min()) > 0.1
