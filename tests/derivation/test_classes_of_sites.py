"""Closed equations of programs whose sites are of several classes, against equations by hand and other routes."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from evaluator import Evaluator
from structured_inputs import SPECTRUM, VALUES, by_hand

import dmft_sym as ds
from dmft_sym.program import OUTPUTS, ProgramError
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.support.errors import ArgumentError

DATA = ds.Proportional(spectrum=SPECTRUM)
REGRESSION = {key: VALUES[key] for key in ("samples_per_dim", "learning_rate", "label_noise")}
MEMORY = ds.GradientDescent(momentum=0.5, weight_decay=0.01)


def run_of(theory, steps, backend="numpy", **more):
    return theory.compile(backend)(steps=steps, **(VALUES if theory.network.depth else REGRESSION), **more)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("depth", [0, 1])
def test_the_march_has_the_numbers_of_the_equations_by_hand(depth, backend):
    run = run_of(ds.derive(ds.deep_linear(depth), data=DATA), 20, backend)
    train, test, correlation = by_hand(SPECTRUM, depth, 20, **VALUES)
    np.testing.assert_allclose(run.train_loss.values[:, 0], train, rtol=1e-12)
    np.testing.assert_allclose(run.test_loss.values[:, 0], test, rtol=1e-12)
    np.testing.assert_allclose(run.C_v.values[:, 0, :, 0], correlation, rtol=1e-12)


@pytest.mark.parametrize("training", [MEMORY, ds.OnlineSGD(), ds.GradientDescent(centered=True)], ids=str)
def test_classes_that_are_alike_are_none(training):
    """Order parameters included; the operand of the data matrix is ``z`` for ``Delta``."""
    alike = ds.Proportional(spectrum=[(0.2, 1.0, 1.0), (0.5, 1.0, 1.0), (0.3, 1.0, 1.0)])
    several, one = (
        run_of(ds.derive(ds.deep_linear(2), data=data, training=training), 8) for data in (alike, ds.Proportional())
    )
    for name in one.data_vars:
        other = several["R_z" if name == "R_Delta" else name]
        np.testing.assert_allclose(other.values, one[name].values, rtol=1e-12, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("training", [ds.GradientDescent(clip=0.5), ds.OnlineSGD()], ids=str)
def test_an_evaluator_that_knows_sympy_alone_agrees(training):
    theory, steps = ds.derive(ds.deep_linear(1), data=DATA, training=training), 3
    run, arguments = run_of(theory, steps), run_arguments(theory, steps, VALUES)
    numbers = {s: int(v) if s.is_integer else v for s, v in arguments.values.items()}
    (classes,) = theory.program.classes
    numbers |= {OUTPUTS: 1, classes.label.size: len(SPECTRUM)}
    given = {name: lambda k, row=row: float(row[k]) for name, row in theory.data.given.items()}
    evaluate = Evaluator(theory.equations.closed.items, numbers, given)
    for loss in ("train_loss", "test_loss"):
        found = [evaluate(loss, t, 0) for t in range(steps)]
        np.testing.assert_allclose(found, run[loss].values[:, 0], rtol=1e-12)


@pytest.mark.parametrize("training", [MEMORY, ds.OnlineSGD(), ds.GradientDescent(clip=0.5)], ids=str)
def test_conditioning_agrees_with_the_march(training):
    """Independent routes, beyond the blocks of the fast march."""
    theory = ds.derive(ds.deep_linear(2), data=DATA, training=training)
    march = run_of(theory, 80, "numba", outputs=2)
    other = run_of(theory, 80, "numba", outputs=2, method="conditioning", tol=1e-12)
    for loss in ("train_loss", "test_loss"):
        np.testing.assert_allclose(march[loss].values, other[loss].values, rtol=1e-10)


def fed_again(net, x):
    """The inputs at every layer, through one matrix, with a parameter that is called as a number of the classes is."""
    n, b = net.hidden("N"), net.parameter("b", 0.6)
    inputs, weights = net.matrix("W0", net.inputs, n), net.matrix("W", n, n)
    last = net.scan(lambda _, h: weights @ h + b * (inputs @ x), inputs @ x, layers=(1, net.depth - 1))
    return net.readout("w", last)


def test_networks_of_other_kinds_agree_between_routes():
    """Fields of the space of modes have layers here."""
    theory = ds.derive(ds.network(fed_again, depth=3), data=DATA)
    arguments = {**VALUES, "learning_rate": 0.01, "b": 0.4}
    runs = [
        theory.compile(backend)(steps=12, method=method, **options, **arguments)
        for backend, method, options in (
            ("numpy", "equations", {}),
            ("numba", "equations", {}),
            ("numpy", "conditioning", {"tol": 1e-11}),
        )
    ]
    for other in runs[1:]:
        np.testing.assert_allclose(runs[0].test_loss, other.test_loss, rtol=1e-10)
    assert abs(runs[0].test_loss[-1] - runs[0].test_loss[0]) > 0.1


@pytest.mark.parametrize("name", ["nu", "alpha"])
def test_ratios_may_be_infinite(name):
    keyword = {"nu": "width_per_dim", "alpha": "samples_per_dim"}[name]
    theory = ds.derive(ds.deep_linear(1), data=DATA)
    runs = [
        theory.compile("numpy")(steps=6, method=method, **{**VALUES, keyword: float("inf")})
        for method in ("equations", "conditioning")
    ]
    np.testing.assert_allclose(runs[0].test_loss, runs[1].test_loss, rtol=1e-9)


def test_the_number_of_classes_is_an_argument_of_a_module():
    """Theories with other numbers of classes share their equations, program and module."""
    theories = [ds.derive(ds.deep_linear(1), data=ds.Proportional(spectrum=rows)) for rows in (SPECTRUM, SPECTRUM[:2])]
    assert theories[0].program == theories[1].program
    assert theories[0].compile("numpy").module is theories[1].compile("numpy").module


def test_equations_are_printed_with_their_classes():
    text = str(ds.derive(ds.deep_linear(1), data=DATA).equations.closed)
    latex = ds.derive(ds.deep_linear(1), data=DATA).equations.closed.latex
    assert r"\sum_{k_{s}} \varrho_{k_{s}}\, C^{z,z}_{c k_{s},\,c k_{s}}(t,t)" in latex
    assert r"\Lambda_{k}" in latex
    assert "k = 0, …, K - 1" in text
    assert isinstance(ds.derive(ds.deep_linear(0), data=DATA).equations.closed["test_loss"], sp.Eq)


def test_limits_of_one_class_are_those_without():
    """Of ratios; terms and words come from the same equations."""
    alike = ds.Proportional(spectrum=[(0.5, 1.0, 1.0), (0.5, 1.0, 1.0)])
    arguments = {key: value for key, value in VALUES.items() if key != "width_per_dim"}
    several, one = (
        ds.derive(ds.deep_linear(1), data=data).limit(ds.limits.wide).solve(backend="numpy", steps=6, **arguments)
        for data in (alike, ds.Proportional())
    )
    np.testing.assert_allclose(several.test_loss, one.test_loss, rtol=1e-12)


def test_what_does_not_know_classes_says_so():
    theory = ds.derive(ds.deep_linear(2), data=DATA)
    with pytest.raises(ProgramError, match="classes"):
        ds.spectrum(theory, steps=3, at=[2], matrices=["NTK"], method="conditioning", **VALUES)
    with pytest.raises(ProgramError, match="classes"):
        theory.equations.spikes("NTK")
    with pytest.raises(ArgumentError, match="exact"):
        theory.solve(method="conditioning", exact=False, steps=2, **VALUES)


def test_outliers_of_weights_are_those_of_finite_networks():
    theory = ds.derive(ds.deep_linear(2), data=DATA)
    rich = {"samples_per_dim": 3.0, "width_per_dim": 1.0, "richness": 6.0, "learning_rate": 0.01, "label_noise": 0.1}
    run = {"matrices": ["W0", "W1"], "steps": 41, "at": [40], **rich}
    found = ds.spectrum(theory, points=0, **run).outlier.values[:, 0, 0]
    assert (found > 2.03).all()  # the bulk ends at 2
    measured = ds.simulate(theory, dim=300, seeds=6, values=1, normalise=True, order_parameters=False, **run).outlier
    error = measured.std("seed", ddof=1).values[:, 0, 0] / np.sqrt(6)
    assert (np.abs(measured.mean("seed").values[:, 0, 0] - found) < 4 * error + 0.01).all()
