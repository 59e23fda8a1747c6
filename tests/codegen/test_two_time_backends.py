"""Sampled two-time equations: compiled tangents give what those in NumPy give, for networks nobody has seen."""

from __future__ import annotations

import numpy as np
import programs_with_averages as averages
import pytest
import sympy as sp
from dmft_sym.codegen.text.names import python_name
from unseen_networks import FORWARDS, made_network

import dmft_sym as ds
from dmft_sym.networks.parameters import DECAY, MOMENTUM
from dmft_sym.program import DEPTH
from dmft_sym.solvers.generated_modules import two_time_module

STREAM = np.random.default_rng(5)
INPUTS, TARGETS = STREAM.standard_normal((2, 3)), STREAM.standard_normal((2, 2))
TESTED = {"test_inputs": STREAM.standard_normal((1, 3)), "test_targets": [[0.0, 1.0]]}
MIXED = {"momentum": 0.5, "weight_decay": 0.1}


def classified(loss):
    """Classes, one sample that is only looked at."""
    other = -1 if loss == "logistic" else 0
    targets, tested = [[1, other], [other, 1]], [[other, 1]]
    return ds.Samples(INPUTS, targets, loss=loss, test_inputs=TESTED["test_inputs"], test_targets=tested)


def cases():
    """Theories by name."""
    given = ds.Samples(INPUTS, TARGETS)
    training = ds.GradientDescent(**MIXED)
    for name in FORWARDS:
        yield name, lambda name=name: ds.derive(made_network(name, outputs=2), data=given, training=training)
    for name in ("gated", "half_linear", "linear_below"):
        yield f"averages-{name}", lambda name=name: averages.theory_of(ds.network(getattr(averages, name)))
    for name in ("tied", "symmetric"):
        yield f"averages-{name}", lambda name=name: averages.theory_of(getattr(averages, name)(sp.tanh))
    for loss in ("softmax", "logistic"):
        yield loss, lambda loss=loss: ds.derive(ds.mlp(2, "erf", outputs=2), data=classified(loss), training=training)
    masked = ds.Samples(INPUTS, TARGETS, **TESTED)
    yield "tanh", lambda: ds.derive(ds.mlp(3, "tanh", outputs=2), data=masked)


CASES = dict(cases())


def runs(theory, steps=3, sites=64):
    """Both back ends on the same seed."""
    symbols = {MOMENTUM: MIXED["momentum"], DECAY: MIXED["weight_decay"], DEPTH: theory.network.depth}
    given = {python_name(p.symbol): symbols.get(p.symbol, p.default) for p in theory.parameters}
    given |= {"eta0": 0.5, "gamma": 2.0}
    if theory.data.total > theory.data.count:
        given["train"] = theory.data.train
    given |= {"steps": steps, "sites": sites, "gram": theory.data.gram, "targets": theory.data.all_targets}
    for backend in ("numpy", "numba"):
        yield two_time_module(theory, backend).march(np.random.default_rng(3), **given)


def leaves(found):
    """Arrays in nested dictionaries."""
    if isinstance(found, dict):
        for value in found.values():
            yield from leaves(value)
    else:
        yield found


@pytest.mark.parametrize("name", CASES)
def test_both_back_ends_give_the_same_numbers(name):
    """To rounding; Gaussian fields that nearly depend on earlier ones amplify it by up to 1e5 a step."""
    one, other = runs(CASES[name]())
    assert one["steps"] == other["steps"] == 3
    for first, second in zip(leaves(one["scalars"]), leaves(other["scalars"]), strict=True):
        np.testing.assert_allclose(second[:2], first[:2], rtol=0, atol=1e-10 * max(1e-3, np.abs(first).max()))
    for kind in ("scalars", "correlations", "responses"):
        for first, second in zip(leaves(one[kind]), leaves(other[kind]), strict=True):
            np.testing.assert_allclose(second, first, rtol=0, atol=1e-6 * max(1e-3, np.abs(first).max()))
    assert other["tangent_error"] == pytest.approx(one["tangent_error"], rel=1e-6)
    assert np.abs(one["scalars"]["f"][-1]).max() > 1e-3
