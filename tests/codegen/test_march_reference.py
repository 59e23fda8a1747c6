"""The generated marches against the reference numbers, through labelled results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mpmath import mp

import dmft_sym as ds

CASES = json.loads((Path(__file__).parents[1] / "data" / "proportional.json").read_text())["cases"]


def theory_of(case, probes=()):
    given = case["parameters"]
    training = ds.OnlineSGD() if given.get("online") else ds.GradientDescent()
    return ds.derive(ds.deep_linear(given["depth"], given.get("outputs", 1)), training=training, probes=probes)


def arguments_of(case):
    given = case["parameters"]
    return {
        "samples_per_dim": given["alpha"],
        "width_per_dim": given["nu"],
        "richness": given["gamma"],
        "learning_rate": given["eta"],
        "label_noise": given["label_noise"],
        "init_std": given.get("sigma", 1.0),
    }


def expected_rows(case):
    """Variable, selection and last row of every order parameter; layer 0 of ``h`` is ``v``."""
    depth = case["parameters"]["depth"]
    for kind in "CR":
        rows = case[f"{kind}_h_last"]
        yield f"{kind}_v", {}, rows[0]
        for layer in range(1, depth + 1):
            yield f"{kind}_h", {"layer": layer}, rows[layer]
            yield f"{kind}_g", {"layer": layer}, case[f"{kind}_g_last"][layer - 1]


def assert_close(found, expected):
    """To 1e-9 of the largest entry."""
    expected = np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_reference(case, backend):
    # R_h of the last layer is the response to a source at the readout: no matrix product leaves one behind.
    probes = ("w",) if backend == "numpy" else ()
    run = theory_of(case, probes).compile(backend)(steps=case["parameters"]["steps"], **arguments_of(case))
    for kind in ("train", "test"):
        assert_close(run[f"{kind}_loss"].sel(step=case["times"]).transpose("step", "output").values, case[kind])
    depth = case["parameters"]["depth"]
    for name, selection, row in expected_rows(case):
        if name == "R_h" and selection["layer"] == depth and not probes:
            continue
        last = run[name].sel(selection).isel(step=-1, output=-1).transpose("step2", "output2")
        assert_close(last.values.ravel(), row)


def test_source_at_the_readout_changes_nothing_else():
    case = CASES[1]
    plain, probed = (theory_of(case, p).compile("numpy")(steps=20, **arguments_of(case)) for p in ((), ("w",)))
    assert set(plain) == set(probed)
    for name in set(plain) - {"R_h"}:
        np.testing.assert_array_equal(plain[name], probed[name])
    np.testing.assert_array_equal(plain.R_h.sel(layer=1), probed.R_h.sel(layer=1))


def at_digits(digits, steps):
    """All arrays of the smallest case as mpmath numbers."""
    case = CASES[0]
    with mp.workdps(digits):
        return theory_of(case).compile("mpmath").raw(steps=steps, **arguments_of(case))


def test_any_precision():
    """Thirty digits agree with float64 to rounding, and with fifty digits to thirty: no constant is rounded."""
    steps = 8
    doubles = theory_of(CASES[0]).compile("numpy").raw(steps=steps, **arguments_of(CASES[0]))
    thirty, fifty = at_digits(30, steps), at_digits(50, steps)
    arrays = [name for name, value in thirty.items() if isinstance(value, np.ndarray)]
    assert len(arrays) > 10
    for name in arrays:
        size = max(1.0, float(np.abs(doubles[name]).max(initial=0)))
        assert np.abs(thirty[name].astype(float) - doubles[name]).max(initial=0) < 1e-13 * size
        with mp.workdps(50):
            gaps = [abs(a - b) for a, b in zip(thirty[name].flat, fifty[name].flat, strict=True)]
        assert max(gaps, default=0) < 1e-28 * size
