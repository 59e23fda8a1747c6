"""The sampled infinite network against finite ones, at fixed seeds.

A network of ``N`` sites differs from the limit by fluctuations of order ``1/sqrt(N)``, which standard errors account
for, and by a bias ``c/N``, which they do not. Every replica of the theory is in law a network of ``S/R`` sites (shown
below), so that it has a bias ``c R/S``. A test therefore admits 4 combined standard errors and ``c (1/N + R/S)`` of the
largest entry. The ``c`` are stated with every case in ``finite_cases.py``. ``benchmarks/finite_size.py`` measures them,
on networks whose width is so small that the bias stands out; they are larger where errors of the initial condition grow
on the way out of a saddle.

Networks are simulated in single precision, whose rounding (1e-6 of an entry) is far below all of this.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from finite_cases import CASES, Case
from samples_and_scores import made_samples, movement, standard_error, worst_z

import dmft_sym as ds

REFERENCE = json.loads((Path(__file__).parents[1] / "data" / "nonlinear.json").read_text())


def infinite(case: Case, sites: int, replicas: int):
    backend = "numba" if case.activation == "tanh" else "numpy"  # the compiled one of tanh serves all cases with it
    return case.theory().compile(backend)(sites=sites, replicas=replicas, **case.arguments())


@pytest.mark.parametrize(
    ("width", "sites", "count"),
    [(500, 32_000, 16), pytest.param(2000, 64_000, 8, marks=pytest.mark.slow)],
    ids=["narrow", "wide"],
)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_wide_networks(case, width, sites, count):
    """``count`` networks and replicas."""
    sizes = 1 / width + count / sites
    run = infinite(case, sites, count)
    simulation = ds.simulate(
        case.theory(), width=width, seeds=count, dtype="float32", values=case.outliers + 1, **case.arguments()
    )
    outputs, kernels = case.bias
    for name in ("Phi", "G", "NTK"):
        relative, errors = movement(run, name)
        assert relative > 0.5
        assert errors > 20
        assert worst_z(run, simulation, name, kernels * sizes) < 4
    assert worst_z(run, simulation, "f", outputs * sizes) < 4
    if case.depth > 1:
        assert compare_outliers(run, simulation, outputs * sizes, 2 * (1 + 4 * width ** (-2 / 3))) == case.outliers


def compare_outliers(run, simulation, bias: float, above: float) -> int:
    """Compare the outliers that are not mixed with the extreme values of the bulk, and count them.

    Those fluctuate by ``N^(-2/3)`` of the edge, which moves an outlier that is closer than 4 times this: not ``above``.
    """
    compared = 0
    for rank in range(simulation.sizes["rank"]):
        if rank >= run.sizes["rank"]:
            break
        line, found = run.outlier.isel(rank=rank), simulation.outlier.isel(rank=rank)
        clear = line > above
        error = np.hypot(standard_error(found), run.outlier_sem.isel(rank=rank))
        z = (np.abs(found.mean("seed") - line) - bias * line) / error
        assert float(z.where(clear).max()) < 4 or not clear.any()
        compared += int(clear.sum())
    others = simulation.outlier.mean("seed").isel(rank=slice(run.sizes["rank"], None))
    assert not (others > above).any()
    return compared


def test_outputs_and_outliers_of_the_reference():
    """Finite networks of another program (width 3000, 6 seeds): f at 16 steps, singular values at three."""
    theory = ds.derive(ds.mlp(2, "tanh"), data=ds.Samples(REFERENCE["inputs"], REFERENCE["targets"]))
    keys = ("richness", "learning_rate", "steps")
    steps = REFERENCE["spectrum_steps"]
    run = theory.compile()(sites=80_000, matrices=["W1"], at=steps, **{key: REFERENCE[key] for key in keys})
    sizes = 1 / REFERENCE["width"] + 8 / 80_000
    found, error = np.array(REFERENCE["f_mean"]), np.hypot(REFERENCE["f_sem"], run.f_sem.values)
    assert float(((np.abs(run.f.values - found) - 2 * sizes) / error).max()) < 4
    tops = [np.array([REFERENCE[key][str(step)][0] for step in steps]) for key in ("sv", "sv_sem")]
    line, own_error = run.outlier.values[0, :, 0], run.outlier_sem.values[0, :, 0]
    assert np.all(np.abs(line - tops[0]) - 2 * sizes * line < 4 * np.hypot(own_error, tops[1]))
    assert run.sizes["rank"] == 1


def test_a_replica_is_in_law_a_network_of_its_number_of_sites():
    """Without pairs and with nothing dropped: equal means and spreads at 16 sites, where the limit is far away."""
    sites, count = 16, 250
    theory = ds.derive(ds.mlp(2, "relu"), data=made_samples(5, 2))
    arguments = {"richness": 2.0, "learning_rate": 0.5, "steps": 5}
    solver = theory.compile("numpy")
    run = solver(sites=sites * count, replicas=count, antithetic=False, tol=1e-6, seed=1, **arguments)
    simulation = ds.simulate(theory, width=sites, seeds=count, **arguments)
    limit = solver(sites=40_000, **arguments)
    for name in ("f", "Phi", "G", "NTK"):
        assert worst_z(run, simulation, name) < 4
        assert worst_z(limit, simulation, name) > 8
        spread = run[f"{name}_sem"] * np.sqrt(count)
        # 250 networks give a deviation to 5 percent; the entries of so small ones have heavy tails, which doubles it.
        assert abs(float((simulation[name].std("seed", ddof=1) / spread).median()) - 1) < 0.3
