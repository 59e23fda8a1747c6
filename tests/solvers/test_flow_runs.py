"""Gradient flow as a training rule: runs over time, spectra at times, specs and files."""

from __future__ import annotations

import doctest
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from samples_and_scores import made_samples

import dmft_sym as ds
from dmft_sym import cli
from dmft_sym.networks import training
from dmft_sym.program import ProgramError
from dmft_sym.spec.reading import SpecError, parse_spec
from dmft_sym.support.errors import ArgumentError

PHYSICS = {"samples_per_dim": 2.0, "width_per_dim": 0.7, "richness": 2.0, "label_noise": 0.3}
RATES = (0.02, 0.01, 0.005, 0.0025)
SPEC = """
[network]
kind = "deep-linear"
depth = 1
richness = 2.0
[data]
samples_per_dim = 2.0
width_per_dim = 0.7
[training]
kind = "gradient-flow"
time = [0.0, 0.5, 1.0]
"""


@pytest.fixture(scope="module")
def theory():
    return ds.derive(ds.deep_linear(1), training=ds.GradientFlow())


def extrapolated(at_rate, rates=RATES):
    """The limit of small rates, each half of the one before (Richardson)."""
    rows, order = [at_rate(rate) for rate in rates], 1
    while len(rows) > 1:
        rows = [(2**order * b - a) / (2**order - 1) for a, b in pairwise(rows)]
        order += 1
    return rows[0]


def test_the_example_of_the_rule_prints_what_it_says():
    report = []
    runner = doctest.DocTestRunner(verbose=False)
    for example in doctest.DocTestFinder().find(training.GradientFlow, "GradientFlow", globs={}):
        runner.run(example, out=report.append)
    assert runner.tries > 0
    assert runner.failures == 0, "".join(report)


def test_times_are_those_asked_for(theory):
    solver = theory.compile()
    run = solver(time=[0, 0.25, 1], **PHYSICS)
    assert run.train_loss.dims == ("time", "output")
    assert run.time.values.tolist() == [0.0, 0.25, 1.0]
    assert run.attrs["time"] == 1.0
    assert run.attrs["outcome"] == "completed"
    whole = solver(time=1.0, **PHYSICS)
    assert whole.sizes["time"] == 201
    assert whole.time.values[0] == 0.0
    assert whole.time.values[-1] == 1.0
    assert (np.diff(whole.time) > 0).all()
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(whole[name][[0, -1]], run[name][[0, -1]], rtol=1e-12)


def test_back_ends_agree(theory):
    found = [theory.compile(backend)(time=[0, 1.0], **PHYSICS) for backend in ("numpy", "numba")]
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(*(run[name] for run in found), rtol=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 5}, r"^steps = 5: allowed is nothing with GradientFlow, whose runs take time"),
        ({"learning_rate": 0.1}, r"^learning_rate = 0.1: allowed is nothing, a gradient flow has none"),
        ({"momentum": 0.5}, r"^momentum = 0.5: "),
        ({"weight_decay": 0.5}, r"^weight_decay = 0.5: "),
        ({"time": None}, r"^time: missing; allowed is the end of the flow"),
        *(({"time": time}, r"^time = .*allowed is the end") for time in (0, -1.0, float("nan"), float("inf"), True)),
        *(({"time": time}, r"^time = .*allowed is the end") for time in ("1", [], [1, 2], [0], [0, 2, 1], [0, "a"])),
        ({"tol": 1e-3}, r"^tol = 0.001: allowed is a number below rtol"),
        ({"dtype": "float32"}, r"^dtype = 'float32': allowed with GradientFlow is 'float64'"),
        ({"method": "equations"}, r"^method = 'equations': allowed with GradientFlow is method='conditioning'"),
        ({"exact": False}, r"^exact = .*allowed with GradientFlow is True"),
        ({"rate": 1}, r"^rate: unknown argument.*allowed are time"),
    ],
)
def test_bad_arguments_are_one_line(theory, changes, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        theory.compile("numpy")(**{"time": 1.0, **PHYSICS, **changes})
    assert "\n" not in str(caught.value)


def test_gradient_descent_takes_no_time():
    with pytest.raises(ArgumentError, match=r"^time = 1.0: allowed is nothing with GradientDescent, whose runs take"):
        ds.derive(ds.deep_linear(1)).compile("numpy")(time=1.0, learning_rate=0.1, **PHYSICS)


@pytest.mark.parametrize(
    "options",
    [{"momentum": 0.9}, {"weight_decay": 0.1}, {"rtol": 0}, {"rtol": 2}, {"rtol": True}, {"max_steps": 0}],
    ids=lambda options: next(iter(options)),
)
def test_bad_rules_are_one_line(options):
    (key,) = options
    with pytest.raises(ProgramError, match=rf"^{key} = .*allowed") as caught:
        ds.GradientFlow(**options)
    assert "\n" not in str(caught.value)


def test_a_flow_that_is_given_up_says_so():
    theory = ds.derive(ds.deep_linear(1), training=ds.GradientFlow(max_steps=10))
    run = theory.compile()(time=10.0, **PHYSICS)
    assert run.attrs["outcome"].startswith("too many steps at time ")
    assert "max_steps" in run.attrs["outcome_remedy"]
    assert 0 < run.sizes["time"] < 201


def test_progress_is_reported(theory):
    seen = []
    theory.compile()(time=[0, 0.5, 1.0], progress=lambda done, total: seen.append((done, total)), **PHYSICS)
    assert seen[-1] == (3, 3)


def test_runs_are_saved_and_loaded(theory, tmp_path):
    run = theory.compile()(time=[0, 0.5, 1.0], **PHYSICS)
    ds.save(run, tmp_path / "run.nc")
    xr.testing.assert_identical(ds.load(tmp_path / "run.nc"), run)


def test_finite_networks(theory):
    simulated = ds.simulate(theory, time=[0, 0.5, 1.0], dim=300, seeds=6, **PHYSICS)
    run = theory.compile()(time=[0, 0.5, 1.0], **PHYSICS)
    assert set(simulated.train_loss.dims) == {"seed", "time", "output"}
    for name in ("train_loss", "test_loss"):
        error = simulated[name].std("seed", ddof=1) / np.sqrt(6)
        assert (np.abs(simulated[name].mean("seed") - run[name]) < 4 * error + 2 / 300 * run[name]).all()


@pytest.mark.parametrize("centered", [False, True])
def test_given_samples_are_the_limit_of_gradient_descent(centered):
    """Outputs and kernels; test samples are not trained on."""
    data, times = made_samples(3, 4, outputs=2), [0.0, 0.4, 0.8]
    names = ("f", "Phi", "G", "NTK", "train_loss")
    flow = ds.derive(ds.mlp(2, "linear", outputs=2), data, ds.GradientFlow(centered=centered))
    run = flow.compile()(time=times, kernels=[0.4, 0.8], richness=2.0)
    assert run.Phi.kernel_time.values.tolist() == [0.4, 0.8]
    descent = ds.derive(flow.network, data, ds.GradientDescent(centered=centered)).compile()

    def at_rate(rate):
        at = [round(time / rate) for time in times]
        found = descent(learning_rate=rate, steps=at[-1] + 1, kernels=at[1:], richness=2.0, tol=1e-11)
        parts = (found[name].isel(step=at) if "step" in found[name].dims else found[name] for name in names)
        return np.concatenate([part.values.ravel() for part in parts])

    found = np.concatenate([run[name].transpose(*run[name].dims).values.ravel() for name in names])
    np.testing.assert_allclose(found, extrapolated(at_rate), rtol=0, atol=1e-6)


def test_nonlinear_networks_are_simulated():
    data = made_samples(3, 4)
    flow = ds.derive(ds.mlp(1, "tanh"), data, ds.GradientFlow())
    with pytest.raises(
        ArgumentError, match=r"^training = GradientFlow: allowed for an infinite network is one that is"
    ):
        flow.compile()(time=1.0, richness=1.0)
    run = ds.simulate(flow, time=[0, 0.5], richness=2.0, width=60, seeds=1)
    descent = ds.derive(flow.network, data, ds.GradientDescent())

    def at_rate(rate):
        found = ds.simulate(
            descent, learning_rate=rate, steps=round(0.5 / rate) + 1, richness=2.0, width=60, seeds=1, kernels=()
        )
        return found.f.isel(step=-1).values

    np.testing.assert_allclose(run.f.isel(time=-1), extrapolated(at_rate), rtol=0, atol=1e-6)


def test_spectra_at_times_are_the_limit_of_gradient_descent():
    parameters = {**PHYSICS, "samples_per_dim": 4.0, "richness": 8.0}
    flow = ds.derive(ds.deep_linear(2), training=ds.GradientFlow(rtol=1e-8))
    asked = {"matrices": ["W1"], "points": 3, **parameters}
    found = ds.spectrum(flow, at=[0.1, 0.2], time=0.2, **asked)
    assert found.spectrum_time.values.tolist() == [0.1, 0.2]
    descent = ds.derive(ds.deep_linear(2))

    def at_rate(rate):
        at = [round(0.1 / rate), round(0.2 / rate)]
        run = ds.spectrum(descent, at=at, steps=at[-1] + 1, learning_rate=rate, method="conditioning", **asked)
        return np.nan_to_num(run.outlier.values)

    limit = extrapolated(at_rate, (0.01, 0.005, 0.0025, 0.00125))
    assert limit.all()
    np.testing.assert_allclose(np.nan_to_num(found.outlier.values), limit, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("time = [0.0, 0.5, 1.0]", "", r"\[training\] time is missing"),
        ("time = [0.0, 0.5, 1.0]", "time = -1.0", r"\[training\] time = "),
        ("time = [0.0, 0.5, 1.0]", "time = [0.0, 2.0, 1.0]", r"\[training\] time = .*ascending times"),
        ("time = [", "learning_rate = 0.1\ntime = [", r"\[training\] learning_rate = 0.1: allowed is nothing"),
        ("time = [", "steps = 5\ntime = [", r"\[training\] steps = 5: allowed is nothing"),
        ("time = [", "momentum = 0.5\ntime = [", r"\[training\] momentum = 0.5: allowed is nothing"),
        ("time = [", "rtol = 2.0\ntime = [", r"\[training\] rtol = 2.0: allowed"),
        ('"gradient-flow"', '"gradient-flows"', r"\[training\] kind = "),
        ("[training]", '[solver]\nmethod = "equations"\n[training]', r'\[solver\] method = "equations": allowed with'),
        ("[training]", '[spectrum]\nmatrices = ["W0"]\ntimes = [3.0]\n[training]', r"\[spectrum\] times = 3"),
        ("[training]", '[spectrum]\nmatrices = ["W0"]\nsteps = [3]\n[training]', r"\[spectrum\] steps = .*use times"),
        ("[data]", "[data]\nonline = true", r"\[data\] online = true: allowed with .*a flow sees all samples"),
    ],
)
def test_bad_specs_are_refused(old, new, message):
    assert old in SPEC
    with pytest.raises(SpecError, match=message):
        parse_spec(SPEC.replace(old, new))


def test_command_line(tmp_path, monkeypatch, capsys, theory):
    monkeypatch.chdir(tmp_path)
    Path("spec.toml").write_text(SPEC)
    assert cli.main(["run", "spec.toml", "-o", "run.nc"]) == 0
    assert cli.main(["simulate", "spec.toml", "--dim", "40", "--seeds", "2", "-o", "sim.nc"]) == 0
    assert cli.main(["compare", "run.nc", "sim.nc"]) == 0
    run = ds.load("run.nc")
    expected = theory.compile()(time=[0.0, 0.5, 1.0], **{**PHYSICS, "label_noise": 0.0})
    np.testing.assert_allclose(run.test_loss, expected.test_loss, rtol=1e-12)
    assert cli.main(["plot", "run.nc", "--sim", "sim.nc", "-o", "figure.png"]) == 0
    capsys.readouterr()
    assert cli.main(["run", "spec.toml", "--set", "training.steps=4"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
