"""Given samples: shapes, content, and what is refused."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmft_sym.networks.losses import SOFTMAX_CROSS_ENTROPY
from dmft_sym.regimes.samples import Samples
from dmft_sym.support.messages import InputError

X = np.array([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]])
Y = np.array([1.0, -1.0])


def test_properties() -> None:
    samples = Samples(X, Y)
    assert (samples.count, samples.total, samples.dim, samples.outputs, samples.loss) == (2, 2, 3, 1, "squared")
    assert samples.targets.shape == (2, 1)
    assert samples.train.tolist() == [1.0, 1.0]
    assert samples.all_inputs is samples.inputs
    np.testing.assert_allclose(samples.gram, X @ X.T / 3, rtol=1e-15)
    assert repr(samples) == "<Samples: 2, dimension 3, outputs 1, loss 'squared'>"


def test_test_samples_come_last() -> None:
    samples = Samples(X, [0, 1], "softmax", test_inputs=[[1, 1, 1]], test_targets=[1])
    assert (samples.count, samples.total, samples.outputs) == (2, 3, 2)
    assert samples.train.tolist() == [1.0, 1.0, 0.0]
    assert samples.all_inputs.tolist() == [*X.tolist(), [1.0, 1.0, 1.0]]
    assert samples.all_targets.tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    assert samples.gram.shape == (3, 3)
    assert samples.rule is SOFTMAX_CROSS_ENTROPY
    assert repr(samples) == "<Samples: 2 and 1 for testing, dimension 3, outputs 2, loss 'softmax'>"


def test_arrays_are_copies_and_read_only() -> None:
    inputs, targets = X.copy(), Y.copy()
    samples = Samples(inputs, targets, test_inputs=inputs, test_targets=targets)
    kernel = samples.gram.copy()
    inputs[:] = targets[:] = 7.0
    np.testing.assert_array_equal(samples.inputs, X)
    np.testing.assert_array_equal(samples.gram, kernel)
    for name in ("inputs", "targets", "test_inputs", "test_targets", "all_inputs", "all_targets", "train", "gram"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(samples, name)[0] = 1.0


def test_repeated_samples_have_a_singular_kernel() -> None:
    samples = Samples([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]], [1.0, -1.0, 0.0])
    assert np.linalg.matrix_rank(samples.gram) == 1


def test_equality_is_by_content() -> None:
    samples = Samples(X, Y)
    assert samples == Samples(X.tolist(), Y[:, None], "squared")
    assert samples == Samples(np.asfortranarray(X.astype(np.float32)), Y.astype(int))
    assert samples == Samples(np.where(X == 0, -0.0, X), Y)  # zeros have no sign
    assert len({samples, Samples(X, Y), copy.deepcopy(samples), pickle.loads(pickle.dumps(samples))}) == 1
    others = [
        Samples(X[::-1], Y),
        Samples(X, -Y),
        Samples(X, Y, "logistic"),
        Samples(X[:1], Y[:1], "squared", X[1:], Y[1:]),
        Samples(X.reshape(2, 3)[:, :2], Y),
    ]
    assert len({samples, *others}) == 6
    assert samples != "samples"


def test_digest_is_the_same_everywhere() -> None:
    assert Samples(X, Y).digest == "c033b75ce4c9ab2736d4fdb17f231de89a2427c38a09fe962b61356fe31a6bc6"


@given(st.permutations(range(4)), st.integers(0, 100))
def test_gram_follows_the_order_of_samples(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs, targets = rng.standard_normal((4, 3)), rng.standard_normal(4)
    gram = Samples(inputs, targets).gram
    np.testing.assert_allclose(Samples(inputs[order], targets[order]).gram, gram[np.ix_(order, order)], rtol=1e-13)
    np.testing.assert_array_equal(gram, gram.T)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((X[0], Y), "inputs have shape (3,): allowed is shape (P, D), not empty"),
        ((X[None], Y), "inputs have shape (1, 2, 3): allowed is shape (P, D)"),
        ((np.zeros((0, 3)), []), "inputs have shape (0, 3)"),
        ((np.zeros((2, 0)), Y), "inputs have shape (2, 0)"),
        ((X, Y[:1]), "targets of 1 samples: allowed are as many as inputs has, 2"),
        ((X, np.zeros((3, 2))), "targets of 3 samples: allowed are as many as inputs has, 2"),
        ((X * [1, 1, np.nan], Y), "inputs, row 0, column 2 = nan: allowed are finite numbers"),
        ((X * [1, np.inf, 1], Y), "inputs, row 0, column 1 = inf"),
        ((X, [1.0, np.nan]), "targets, row 1 = nan"),
        ((X * 1e200, Y), "inputs, row 0, column 0 = 1e+200"),
        ((X * 1j, Y), "inputs of type complex128"),
        ((X.astype(str), Y), "inputs of type <U32"),
        ((X.astype(object), Y), "inputs of type object"),
        ((np.array([["2020-01-01"]], "M8[D]"), [1.0]), "inputs of type datetime64[D]"),
        (([[1], [1, 2]], Y), "inputs: not an array"),
        (("x.npz", Y), "inputs = 'x.npz': allowed are real numbers"),
        ((None, Y), "inputs = None: allowed are real numbers"),
        ((np.ma.masked_equal(X, 0.0), Y), "inputs with masked entries"),
        ((np.zeros((10_001, 1)), np.zeros(10_001)), "inputs with 10001 samples: allowed are at most 10000"),
        ((X, Y, "hinge"), "loss = 'hinge': allowed are"),
        ((X, [0, 1], "logistic"), 'allowed with loss = "logistic" are -1 and 1'),
        ((X, [0, 0], "softmax"), "one class"),
        ((X, [0, 2.5], "softmax"), "targets, row 1 = 2.5"),
        ((X, Y, "squared", X), "test_targets are missing"),
        ((X, Y, "squared", None, Y), "test_inputs are missing"),
        ((X, Y, "squared", X, Y[:1]), "test_targets of 1 samples: allowed are as many as test_inputs has, 2"),
        ((X, Y, "squared", X[:, :2], Y), "test_inputs have 2 columns: allowed are as many as inputs has, 3"),
        ((X, Y, "squared", X, X), "test_targets have 3 columns: allowed are as many as targets has, 1"),
        ((X, Y, "squared", X * np.nan, Y), "test_inputs, row 0, column 0 = nan"),
        ((X, [0, 1], "softmax", X, [0, 2]), "test_targets, row 1 = 2: allowed"),
        ((np.zeros((6000, 1)), np.zeros(6000), "squared", np.zeros((6000, 1)), np.zeros(6000)), "12000 samples"),
    ],
)
def test_refusals(arguments: tuple, words: str) -> None:
    with pytest.raises(InputError) as caught:
        Samples(*arguments)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 300


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.complex_numbers(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=8,
)


@given(values, values, values, values)
def test_garbage(inputs: object, targets: object, loss: object, tests: object) -> None:
    message = "fine"
    try:
        Samples(inputs, targets, loss, tests, tests)
    except InputError as error:
        message = str(error)
    assert len(message.splitlines()) == 1
