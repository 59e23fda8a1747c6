"""Compiled kernels of the march against dense products: compressed history and not, and outputs that mix.

The order parameters of a march are alike in all outputs; the kernels do not know this, and are held to all entries.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import dmft_sym as ds

SMOOTH = {"one output, with spans": (1, 9 * 64 + 23), "three outputs": (3, 2 * 64 + 11)}
KINDS = ("_PRODUCT", "_COVARIANCE", "_CORRELATION", "_TRANSPOSED")


@pytest.fixture(scope="module")
def module():
    """The kernels by name, from the library that every generated march imports."""
    assert ds.derive(ds.deep_linear()).compile("numba").module
    parts = [sys.modules[f"dmft_sym.codegen.library.numba_{name}"] for name in ("rows", "history", "products")]
    return SimpleNamespace(**{name: value for part in parts for name, value in vars(part).items()})


def two_time_matrices(outputs, steps, rough=False):
    """A symmetric matrix, and one with its transpose; rows of all three are combinations of the same few functions."""
    rng, count = np.random.default_rng(outputs), steps * outputs
    time = np.repeat(np.linspace(0, 1, steps), outputs)
    rows = np.stack([np.exp(-k * time) for k in range(6)])
    if outputs > 1:
        rows = np.concatenate([rows * (np.arange(count) % outputs == c) for c in range(outputs)])
    if rough:
        rows = rng.standard_normal((count, count)) / np.sqrt(count)
    one, other = rng.standard_normal((2, len(rows), len(rows)))
    first = rows.T @ other @ rows
    return [rows.T @ (one + one.T) @ rows, first, first.T.copy()]


def expected_of(kind, matrix, x, outputs):
    """The product from the full matrix; rows and columns of one step are a block."""
    step = np.arange(len(matrix)) // outputs
    past, now = step[:, None] > step, step[:, None] == step
    return {
        "_PRODUCT": lambda: x @ (matrix * (past | now)),
        "_COVARIANCE": lambda: x @ matrix,
        "_CORRELATION": lambda: x @ (matrix * (past | now)).T,
        "_TRANSPOSED": lambda: x @ (matrix * past).T,
    }[kind]()


def closed_history(module, matrices, outputs, width):
    """The lower triangles as a march keeps them, and their history with all full chunks closed."""
    count = len(matrices[0])
    step = np.arange(count) // outputs
    store = np.zeros((len(matrices), count, width))
    for kept, matrix in zip(store, matrices, strict=True):
        kept[:, :count] = matrix * (step[:, None] >= step)
    history = module._make_history(len(matrices), outputs, count, np.float64)
    for end in range(outputs, count + 1, outputs):
        module._close(store, end, history)
    return store, history


@pytest.mark.parametrize("rough", [False, True], ids=["compressed", "not compressed"])
@pytest.mark.parametrize("case", SMOOTH)
def test_products_with_history(module, case, rough):
    outputs, steps = SMOOTH[case]
    if rough:
        steps = 2 * 64 + 11
    matrices = two_time_matrices(outputs, steps, rough)
    count, chunk = steps * outputs, 64 * outputs
    width = -(-count // 32) * 32
    store, history = closed_history(module, matrices, outputs, width)
    closed = count // chunk
    assert history.counts[1] == closed
    assert (history.ranks[1:closed, 0] == 0).all() == rough  # left of the first chunk there is nothing
    assert (history.ranks[:, 1] > 0).any() == (closed >= 8)
    x = np.zeros((outputs, width))
    x[:, :count] = np.random.default_rng(7).standard_normal((outputs, count))
    scratch = module._Scratch(np.zeros(chunk), np.zeros(chunk), np.zeros(8, np.uint64))
    for number, kind in [(0, kind) for kind in KINDS] + [(m, k) for m in (1, 2) for k in KINDS if k != "_COVARIANCE"]:
        found = np.zeros((outputs, width))
        for first, last in ((0, 1), (1, closed + 1)):  # pieces, as helpers take them
            module._chunks_product(
                getattr(module, kind), found, x, store.reshape(len(store), -1), number, first, last, count, history,
                scratch,
            )  # fmt: skip
        expected = expected_of(kind, matrices[number], x[:, :count], outputs)
        np.testing.assert_allclose(
            found[:, :count], expected, rtol=0, atol=1e-10 * np.abs(expected).max(), err_msg=kind
        )


def test_rows_that_a_sketch_takes_for_equal_are_told_apart(module):
    """A sketch adds up columns with random signs; a row that differs by what cancels there is not one of the others."""
    steps = 3 * 64
    history = module._make_history(1, 1, steps, np.float64)
    unseen = history.signs[0, :128] * np.repeat([1.0, -1.0], 64)
    store = np.tril(np.ones((1, steps, steps)))
    store[0, 150, :128] += 1e-3 * unseen
    for end in (64, 128, 192):
        module._close(store, end, history)
    assert history.ranks[:, 0].tolist() == [1, 1, 0]


OUTPUTS, STEP, TOTAL = 3, 4, 7  # outputs, the step whose rows are computed, steps
LO, HI, N = OUTPUTS * STEP, OUTPUTS * (STEP + 1), OUTPUTS * TOTAL
KAPPA = np.array([0.0, 1.0, 0.7, 0.4, 0.3, 0.2, 0.1])


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def same_step():
    step = np.arange(N) // OUTPUTS
    return step[:, None] == step


def past_weights():
    """``kappa(t - s)`` of every column before the step, 0 from the step on."""
    lags = STEP - np.arange(N) // OUTPUTS
    return np.where(lags > 0, KAPPA[np.maximum(lags, 0)], 0.0)


def test_kernels_take_the_present_row_and_weighted_past_ones(module):
    source = random(N, N)
    now, past, identity = (np.zeros((OUTPUTS, N)) for _ in range(3))
    module._add_kernel_now(now, 0.5, source, LO, HI)
    worth = past_weights()[::OUTPUTS].copy()  # of increments by their step
    module._add_kernel_past(past, 0.5, source, worth, LO, HI)
    module._add_kernel_identity(identity, 0.5, worth, LO, HI)
    rows = source[LO:HI]
    np.testing.assert_allclose(now, 0.5 * rows * same_step()[LO:HI].any(axis=0), rtol=1e-14)
    np.testing.assert_allclose(past, 0.5 * rows * past_weights(), rtol=1e-14)
    outputs = np.arange(N) % OUTPUTS == np.arange(OUTPUTS)[:, None]
    np.testing.assert_allclose(identity, 0.5 * past_weights() * outputs, rtol=1e-14)


def test_fresh_covariances_join_equal_steps_alone(module):
    """Of a correlation that mixes outputs, which batches that are drawn anew leave block by block."""
    response, covariance, weight = random(N, N), random(N, N, seed=1), np.zeros((OUTPUTS, N))
    module._add_covariance_fresh(weight, 0.5, response, covariance, LO, HI)
    expected = 0.5 * response[LO:HI, :HI] @ (covariance * same_step())[:HI]
    np.testing.assert_allclose(weight, expected, rtol=1e-13)


def test_static_columns(module):
    kernel, weight, source = random(OUTPUTS, N), random(OUTPUTS, N, seed=1), random(N, OUTPUTS, seed=2)
    static, two_time = np.zeros((N, OUTPUTS)), np.zeros((N, N))
    module._add_product_static(static, kernel, source, LO, HI)
    np.testing.assert_allclose(static[LO:HI], kernel[:, :HI] @ source[:HI], rtol=1e-13)
    module._add_correlation_static(two_time, weight[:, :OUTPUTS], source, LO, HI)
    np.testing.assert_allclose(two_time[LO:HI, :HI], weight[:, :OUTPUTS] @ source[:HI].T, rtol=1e-13)
    for found in (static, two_time):
        assert not np.delete(found, range(LO, HI), axis=0).any()
    module._add_identity(static, 2.0, LO, HI)
    np.testing.assert_allclose(static[LO:HI], kernel[:, :HI] @ source[:HI] + 2 * np.eye(OUTPUTS), rtol=1e-13)


def test_mirrors_exchange_rows_and_columns(module):
    source, target = random(N, N), np.zeros((N, N))
    module._mirror(target, source, LO, HI)
    expected = np.zeros((N, N))
    expected[LO:HI, LO:HI] = source[LO:HI, LO:HI].T
    np.testing.assert_array_equal(target, expected)


def test_upper_triangles_are_filled_beyond_one_tile(module):
    count = 3 * 50
    source, target = random(count, count), random(count, count, seed=1)
    step = np.arange(count) // OUTPUTS
    expected = np.where(step[:, None] < step, source.T, target)
    module._fill_upper(target, source, OUTPUTS)
    np.testing.assert_array_equal(target, expected)
