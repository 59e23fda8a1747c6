"""Finite networks of random programs are those of a trainer that knows nothing of programs, to rounding."""

from __future__ import annotations

import numpy as np
import pytest
from independent_trainer import finite_losses, finite_outputs, train_in_proportion, train_on_samples
from random_forward import KINDS, forward_pass
from random_trainings import COUNT, FAST, in_proportion, numbers, on_samples

from dmft_sym.derivation.problem import Problem


def check_equal(ours, theirs):
    """In units of the largest entry, and of one."""
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * max(1.0, np.abs(theirs).max()))


@pytest.mark.parametrize("number", numbers("proportional"))
def test_in_proportion(number):
    forward, problem, run, schedule = in_proportion(number)
    finite = {**run, "dim": 20, "seed": number}
    ours = finite_losses(Problem(*problem), **finite)
    check_equal(ours, train_in_proportion(forward, Problem(*problem), schedule=schedule, **finite))


@pytest.mark.parametrize(("kind", "number"), [*numbers("gaussian", True), *numbers("sampled", True)])
def test_on_samples(kind, number):
    forward, problem, run, schedule = on_samples(number, kind)
    finite = {**run, "width": 24, "seed": number}
    ours = finite_outputs(Problem(*problem), **finite)
    check_equal(ours, train_on_samples(forward, Problem(*problem), schedule=schedule, **finite))


FEATURES = {
    "labels": "net.label(",
    "softmax along a label": "ds.softmax(",
    "known numbers of two indices": "other.values(",
    "second index": ".at(other)",
    "sum over a label": "over=token)",
    "bias": " + net.vector(",
    "biases by layer": '.vector("b',
    "gain": " * net.vector(",
    "init of an array": ", init=0.5",
    "init by layer": "init=lambda l",
    "learning rate of an array": ", learning_rate=2",
    "learning rate by layer": "learning_rate=lambda l",
    "array that is not trained": "train=False",
    "second input": "net.given(",
    "transpose": ".T @",
    "multiple of a matrix": "(0.5 * W",
    "sum of matrices": " + W",
    "family ahead of its scan": "[l + 1]",
    "member outside of its scan": "[net.depth] @",
    "normalisation": "ds.norm(",
    "function of two vectors": "lambda a, b:",
    "several readouts": 'net.readout("w1"',
    "narrow space": 'net.hidden("M", 0.5)',
}


def test_programs_have_everything():
    """Every part of the language is in several of the programs, and of those of `make test` in one at least."""
    texts = {(kind, n): str(forward_pass(n, kind)) for kind in KINDS for n in range(COUNT)}
    for feature, text in FEATURES.items():
        found = [(kind, n) for (kind, n), written in texts.items() if text in written]
        assert len(found) >= 4, feature
        assert any(n in FAST[kind] for kind, n in found), feature


def test_trainings_have_everything():
    rules = [on_samples(n, kind)[1] for kind in KINDS[1:] for n in range(COUNT)]
    for option in ("momentum", "nesterov", "weight_decay", "schedule", "clip", "normalised", "batch", "label_noise"):
        assert sum(bool(getattr(rule, option)) for *_, rule in rules) >= 5, option
    assert sum(rule.centered for *_, rule in rules) >= 5
    assert {data.loss for _, data, _ in rules} == {"squared", "logistic", "softmax"}
    assert {data.outputs for _, data, _ in rules} == {1, 2}
    assert sum(data.total > data.count for _, data, _ in rules) >= 5
