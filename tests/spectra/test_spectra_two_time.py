"""Level two from two-time matrices against the reference outliers and the sharpness of finite networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.spectra import matrix_program
from dmft_sym.spectra.equations.joint import JointDerivation
from dmft_sym.spectra.march.bulk import BulkOfEquations
from dmft_sym.spectra.march.level_one import TwoTime
from dmft_sym.spectra.march.march_averages import MarchAverages
from dmft_sym.spectra.march.matrix_of_run import MatrixOfRun
from dmft_sym.spectra.march.outliers import outliers

REFERENCE = json.loads((Path(__file__).parents[1] / "data" / "proportional.json").read_text())
CASES = {case["name"]: case for case in REFERENCE["cases"]}
KEYWORDS = {
    "samples_per_dim": "alpha",
    "width_per_dim": "nu",
    "richness": "gamma",
    "learning_rate": "eta",
    "label_noise": "label_noise",
    "init_std": "sigma",
    "outputs": "outputs",
    "depth": "depth",
}


@pytest.fixture(scope="module")
def theories():
    return {
        False: ds.derive(ds.deep_linear(3)),
        True: ds.derive(ds.deep_linear(3), training=ds.OnlineSGD()),
    }


def averages_of(theory, steps, **parameters):
    arguments = run_arguments(theory, steps, parameters)
    raw = theory.compile("numpy").raw(steps=steps, **parameters)
    return MarchAverages(TwoTime(theory, raw, arguments.values, arguments.outputs))


def matrix_of(averages, name):
    theory = averages.run.theory
    joint = JointDerivation(matrix_program(theory.program, name), theory)
    return MatrixOfRun(theory, joint, averages, outputs=averages.run.outputs)


@pytest.mark.parametrize("name", CASES)
def test_outliers_of_the_reference(theories, name):
    case = CASES[name]
    given = case["parameters"]
    parameters = {keyword: given[key] for keyword, key in KEYWORDS.items() if key in given}
    averages = averages_of(theories[given.get("online", False)], given["steps"], **parameters)
    for matrix, expected in case["outliers"].items():
        made = matrix_of(averages, matrix)
        for step, values in expected.items():
            found = outliers(made.at(int(step)).matrix, BulkOfEquations(made.dyson(int(step))))
            # The reference is rounded to 8 decimals.
            np.testing.assert_allclose(found.values, values, rtol=0, atol=6e-9)


SHARPNESS = [
    # docs/mathematics.md, Spectra: leading eigenvalue of S by step
    (1, {"width_per_dim": 0.5, "samples_per_dim": 4, "label_noise": 0.3}, {30: 13.360, 59: 15.898}),
    (2, {"width_per_dim": 0.7, "samples_per_dim": 3, "label_noise": 0.2}, {10: 24.05, 30: 43.64, 49: 45.47}),
]


@pytest.mark.parametrize(("depth", "parameters", "expected"), SHARPNESS)
def test_sharpness(theories, depth, parameters, expected):
    averages = averages_of(theories[False], 60, depth=depth, richness=6, learning_rate=0.01, **parameters)
    made = matrix_of(averages, "NTK")
    for step, value in expected.items():
        (found,) = outliers(made.at(step).matrix, BulkOfEquations(made.dyson(step))).values
        digits = 3 if depth == 1 else 2
        assert round(found, digits) == value
