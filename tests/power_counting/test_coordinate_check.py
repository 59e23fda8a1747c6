"""Verdicts of coordinate checks, and which networks they are made of."""

from __future__ import annotations

import math

import pytest
import sympy as sp

import dmft_sym as ds
from dmft_sym.networks.parameters import ETA, GAMMA, INIT_VARIANCE
from dmft_sym.power_counting.coordinate_check import CheckedExponent, CheckedNetworks, CoordinateCheck

SMALL = {"widths": (8, 16), "seeds": 2, "steps": 1}


def verdict(predicted: sp.Expr, fitted: float, error: float) -> str:
    row = CheckedExponent("row", sp.sympify(predicted), fitted, error, (1.0, 1.0))
    check = CoordinateCheck((row,), (8, 16), (2, 2), 0.1)
    word = str(check).splitlines()[1].split()[3:]
    found = {"refuted": check.refuted, "undecided": check.undecided}
    assert word == [name for name, rows in found.items() if rows]
    assert check.passed == (not word)
    return "".join(word)


@pytest.mark.parametrize(
    ("fitted", "error", "expected"),
    [
        (0.09, 0.01, ""),
        (-0.09, 0.09, ""),
        (0.11, 0.01, "undecided"),
        (-0.19, 0.05, "undecided"),
        (0.21, 0.05, "refuted"),
        (-0.21, 0.05, "refuted"),
        (0.0, 0.11, "undecided"),
        (0.5, 0.15, "refuted"),
        (-math.inf, 0.0, "refuted"),
        (math.nan, 0.0, "refuted"),
    ],
)
def test_a_slope_is_known_within_the_tolerance_or_refuted_by_two_errors_more(
    fitted: float, error: float, expected: str
) -> None:
    assert verdict(0, fitted, error) == expected


def test_nothing_where_nothing_was_counted_is_confirmed() -> None:
    assert verdict(-sp.oo, -math.inf, 0.0) == ""
    assert verdict(-sp.oo, -0.5, 0.01) == "refuted"


def test_networks_that_do_not_learn_refute_every_exponent_of_a_change() -> None:
    check = ds.scaling(ds.mlp(depth=1)).coordinate_check(**SMALL, learning_rate=0)
    names = {row.quantity for row in check.rows if "change" in row.quantity or "update" in row.quantity}
    assert len(names) >= 5
    assert names <= {row.quantity for row in check.refuted}


def test_every_network_has_a_seed_of_its_own_and_every_width_as_many_sites() -> None:
    scaling = ds.scaling(ds.mlp(depth=1))
    made = CheckedNetworks.of(scaling.network, scaling._symbols, (8, 16, 32), 4, 7, 1, {"init_std": 0.5})
    seeds = [seed for numbers in made.seeds for seed in numbers]
    assert seeds == list(range(7, 7 + 16 + 8 + 4))
    assert [len(numbers) for numbers in made.seeds] == [16, 8, 4]
    assert [made.values[symbol] for symbol in (INIT_VARIANCE, ETA, GAMMA)] == [0.25, 1.0, 1.0]


def test_a_mean_that_fluctuations_hide_is_not_measured() -> None:
    """At initialization the output has no mean; after one step that of the change is larger than what fluctuates."""
    check = ds.scaling(ds.mlp(depth=1)).coordinate_check(**SMALL)
    names = {row.quantity for row in check.rows if row.quantity.startswith("mean")}
    assert names == {"mean of change of f"}
