"""Values of axes: in Python, and as text, which is never executed."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dmft_sym as ds
from dmft_sym.support.messages import InputError
from dmft_sym.sweeps.ranges import check_values, parsed


def test_ranges():
    np.testing.assert_allclose(ds.logspace(-3, -1, 25), np.logspace(-3, -1, 25), rtol=1e-15)
    assert ds.linspace(0, 1, 3) == (0.0, 0.5, 1.0)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.25,0.5,1,2", (0.25, 0.5, 1, 2)),
        (" muP , NTK ", ("muP", "NTK")),
        ("logspace(-3, -1, 3)", ds.logspace(-3, -1, 3)),
        ("linspace(0,1,5)", ds.linspace(0, 1, 5)),
        ("1e-3,inf", (1e-3, float("inf"))),
        ("true,false", (True, False)),
        ('"h*tanh(h)","erf"', ("h*tanh(h)", "erf")),
        ("gradient-flow", ("gradient-flow",)),
    ],
)
def test_texts(text, values):
    found = parsed(text)
    assert found == values
    assert [type(one) for one in found] == [type(one) for one in values]


@pytest.mark.parametrize(
    "text",
    [
        "", ",", "1,,2", "logspace(-3,-1)", "logspace(-3,-1,0)", "logspace(-3,-1,1)", "logspace(-3,-1,2.5)",
        "logspace(1,1,3)", "logspace(-3,-1,10**9)", "logspace(-3,-1,1000000000)", "logspace(0,400,3)",
        "linspace(inf,1,3)", "range(3)", "__import__('os').system('true')", "[1, 2]", "a b", "\"a\\nb\"", "'",
    ],
)  # fmt: skip
def test_texts_that_are_none(text):
    with pytest.raises(InputError) as caught:
        parsed(text)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_values_or_one_line(text):
    with suppress(InputError):
        assert all(isinstance(value, bool | int | float | str) for value in parsed(text))


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20, unique=True))
def test_numbers_come_back(values):
    assert parsed(",".join(map(repr, values))) == tuple(values)


@pytest.mark.parametrize("values", [[], "0.1", 3, None, [1, 1], [0.1, float("nan")], {}, {"a": 1}])
def test_no_values(values):
    with pytest.raises(InputError, match="allowed is a list of different values"):
        check_values("learning_rate", values)
