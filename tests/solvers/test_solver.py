"""What a solver takes, refuses and reports."""

from __future__ import annotations

import math

import numpy as np
import pytest
from averages import correlation
from strategies import SCANNED

import dmft_sym as ds
from dmft_sym.execution import run_coordinates
from dmft_sym.program import ProgramError
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.support.errors import ArgumentError

RUN = {"steps": 6, "samples_per_dim": 2.0, "width_per_dim": 0.7, "richness": 2.0, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def solver():
    return ds.derive(ds.deep_linear(2)).compile("numpy")


BAD = {
    "steps": [0, -1, 2.5, True, "6", math.nan, math.inf],
    "depth": [0, 1.5, -2, math.inf],
    "outputs": [0, 1.5],
    "samples_per_dim": [0, -1, math.nan, "2"],
    "width_per_dim": [0, -math.inf, math.nan],
    "richness": [0, math.inf],
    "learning_rate": [0, -0.1, math.inf, math.nan],
    "label_noise": [-0.1, math.inf],
    "init_std": [-1, math.nan],
    "method": ["marsh", 3],
    "dtype": ["float16", 3],
    "tol": [0.0, -1e-3, 2.0],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in BAD.items() for value in values])
def test_bad_argument_is_named(solver, key, value):
    extra = {"method": "conditioning"} if key == "tol" else {}
    with pytest.raises(ArgumentError, match=rf"^{key} = .*allowed") as caught:
        solver(**{**RUN, **extra, key: value})
    assert "\n" not in str(caught.value)


def test_unknown_and_missing_arguments(solver):
    with pytest.raises(ArgumentError, match=r"^learning_rat: unknown argument.*learning_rate"):
        solver(**RUN, learning_rat=0.1)
    with pytest.raises(ArgumentError, match=r"^richness: missing; allowed is a number > 0"):
        solver(**{key: value for key, value in RUN.items() if key != "richness"})
    with pytest.raises(ArgumentError, match=r"momentum = 0.5: the theory was derived without it"):
        solver(**RUN, momentum=0.5)
    with pytest.raises(ArgumentError, match=r"^backend = "):
        ds.derive(ds.deep_linear()).compile("fortran")


def test_labels_and_attributes(solver):
    run = solver(**RUN, outputs=2)
    assert run.train_loss.dims == ("step", "output")
    assert run.C_h.dims == ("layer", "step", "output", "step2", "output2")
    assert run.C_h.layer.values.tolist() == run.C_g.layer.values.tolist() == [1, 2]
    assert run.sizes["step"] == run.sizes["step2"] == 6
    attrs = {
        "depth": 2,
        "outputs": 2,
        "steps": 6,
        "richness": 2.0,
        "init_std": 1.0,
        "label_noise": 0.0,
        "online": False,
    }
    assert {key: run.attrs[key] for key in attrs} == attrs
    assert run.attrs["outcome"] == "completed"
    assert len(run.attrs["module_hash"]) == 64
    for name, variable in run.items():
        if str(name).startswith("C_"):
            swapped = variable.transpose(..., "step2", "output2", "step", "output")
            np.testing.assert_array_equal(variable.values, swapped.values)


def test_long_names_say_what_responds_to_what(solver):
    run = solver(**RUN)
    assert run.C_h.attrs["long_name"] == "correlation of h"
    assert run.R_h.attrs["long_name"] == "response of h to r_W"
    assert run.R_g.attrs["long_name"] == "response of g to u_W0 and u_W"
    assert run.R_Delta.attrs["long_name"] == "response of Delta to r_X"

    def tied(net, x):
        n = net.hidden("N")
        first, inner = net.matrix("W0", net.inputs, n), net.matrix("W", n, n)
        return net.readout("w", net.scan(lambda _, h: inner @ h, first @ x, layers=(1, net.depth - 1)))

    run = ds.derive(ds.network(tied)).compile("numpy")(**RUN, depth=2)
    assert run.R_g_u_W.attrs["long_name"] == "response of g to u_W"
    assert run.R_g_u_W0.attrs["long_name"] == "response of g to u_W0"


def test_responses_are_causal(solver):
    run = solver(**RUN)
    for name in ("R_v", "R_h", "R_g"):
        values = run[name].dropna("layer").values if "layer" in run[name].dims else run[name].values
        values = values.reshape(-1, 6, 6)
        assert np.abs(np.triu(values, 1)).max() == 0, name
        assert np.abs(values).max() > 0, name


@pytest.mark.parametrize("method", ["equations", "conditioning"])
def test_divergence_is_named_and_the_rest_kept(solver, method):
    run = solver(**{**RUN, "learning_rate": 3.0, "steps": 100}, method=method)
    kept = run.sizes["step"]
    assert 0 < kept < 100
    assert run.attrs["outcome"] == f"diverged at step {kept}"
    assert "learning_rate" in run.attrs["outcome_remedy"]
    assert np.isfinite(run.train_loss).all()
    if method == "equations":
        assert run.C_h.sizes["step"] == run.C_h.sizes["step2"] == kept


def test_oscillating_run_finishes(solver):
    settings = {"width_per_dim": 1.0, "samples_per_dim": 2.0, "richness": 15.0, "learning_rate": 0.012}
    run = solver(steps=60, depth=3, **settings)
    assert run.attrs["outcome"] == "completed"
    assert np.diff(run.train_loss.values[:, 0]).max() > 0


def test_every_field_has_its_correlation():
    """Also a field that is only read out, and fields in between that no equation asks for."""
    theory = ds.derive(ds.network(SCANNED))
    settings = {**RUN, "depth": 3, "outputs": 2}
    run = theory.compile("numpy")(**settings)
    fields = {str(field) for field in theory.program.fields}
    assert {str(name).removeprefix("C_") for name in run if str(name).startswith("C_")} == fields
    assert {"h", "a2"} <= fields
    arguments = run_arguments(theory, RUN["steps"], {key: settings[key] for key in settings if key != "steps"})
    recorded = range(RUN["steps"])
    result = run_coordinates(theory.program, arguments.values, 2, RUN["steps"], tol=1e-13, record_steps=recorded)
    for ref in result.fields:
        reported = run[f"C_{ref.field}"]
        axes = {axis: int(ref.layer) for axis in ("layer", "layer2") if axis in reported.dims}
        expected = correlation(result, ref, ref)
        np.testing.assert_allclose(reported.sel(axes), expected, rtol=0, atol=1e-9 * (abs(expected).max() or 1))


def test_marching_less_far_changes_nothing(solver):
    """Causality: the first steps do not know how many follow."""
    short, long = solver(**RUN), solver(**{**RUN, "steps": 12})
    for name in short:
        cut = long[name].sel({axis: short[axis] for axis in ("step", "step2") if axis in long[name].dims})
        np.testing.assert_allclose(short[name], cut, rtol=1e-13, atol=1e-14)


def test_single_precision_is_close(solver):
    double, single = solver(**RUN), solver(**RUN, dtype="float32")
    assert single.test_loss.dtype == np.float64
    np.testing.assert_allclose(single.test_loss, double.test_loss, rtol=1e-5)
    assert not np.array_equal(single.test_loss, double.test_loss)


def test_progress_counts_every_step(solver):
    seen = []
    solver(**RUN, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k, 6) for k in range(1, 7)]


def test_numbers_of_numpy_are_numbers(solver):
    plain = solver(**RUN)
    dressed = solver(**{key: np.asarray(value)[()] for key, value in RUN.items()})
    np.testing.assert_array_equal(plain.test_loss, dressed.test_loss)


def one_layer(net, x):
    return net.readout("w", net.matrix("A", net.inputs, net.hidden("N")) @ x)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ds.network(one_layer, deph=3), r"^deph = 3: .* no such parameter"),
        (lambda: ds.network(one_layer, richnes=3), r"did you mean richness\?"),
        (lambda: ds.network(one_layer, richness=-3), r"^richness = -3: allowed"),
        (lambda: ds.network(one_layer, momentum=0.5), r"^momentum = 0.5: the theory was derived without it"),
        (lambda: ds.network(one_layer, depth=3), r"^depth = 3: allowed is nothing"),
        (lambda: ds.deep_linear(depth=-1), r"^depth = -1: allowed is an integer >= 0"),
        (lambda: ds.deep_linear(depth=True), r"^depth = True: allowed is an integer"),
        (lambda: ds.deep_linear(depth=1.5), r"^depth = 1.5: allowed is an integer"),
        (lambda: ds.deep_linear(outputs=0), r"^outputs = 0: allowed is an integer >= 1"),
        (lambda: ds.network(one_layer, outputs="2"), r"^outputs = '2': allowed"),
        (lambda: ds.deep_linear(parametrization="ntk"), r"^parametrization = 'ntk': allowed are 'muP', 'NTK'"),
        (lambda: ds.network("W x"), r"^forward = 'W x': allowed is a function"),
        (lambda: one_layer, r"^network = .*wrap the forward pass: ds.network\(forward\)"),
        (lambda: "deep", r"^network = 'deep': allowed is a network"),
    ],
)
def test_bad_networks_are_named(make, words):
    with pytest.raises((ArgumentError, ProgramError), match=words) as caught:
        ds.derive(make())
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: {"data": ds.Proportional}, r"^data = .*allowed is an instance, such as ds.Proportional\(\)"),
        (lambda: {"training": ds.OnlineSGD}, r"^training = .*allowed is an instance, such as ds.OnlineSGD\(\)"),
        (lambda: {"training": "sgd"}, r"^training = 'sgd': allowed is an instance, such as ds.GradientDescent\(\)"),
        (lambda: {"training": ds.GradientDescent(momentum="a")}, r"^momentum = 'a': allowed is a number"),
        (lambda: {"training": ds.OnlineSGD(weight_decay=1)}, r"^weight_decay = 1: allowed is a number"),
        (lambda: {"training": ds.OnlineSGD(momentum=True)}, r"^momentum = True: allowed is a number"),
    ],
)
def test_bad_data_and_training_are_named(make, words):
    with pytest.raises(ProgramError, match=words) as caught:
        ds.derive(ds.deep_linear(), **make())
    assert len(str(caught.value).splitlines()) == 1


def test_depth_of_a_network_without_depth_is_refused():
    solver = ds.derive(ds.network(one_layer)).compile("numpy")
    with pytest.raises(ArgumentError, match=r"^depth = 9: allowed is nothing"):
        solver(**RUN, depth=9)


def test_parametrizations_have_names():
    assert ds.deep_linear(parametrization="NTK").parametrization == ds.NTK
    assert ds.network(one_layer, parametrization="muP").parametrization == ds.MUP
    with pytest.raises(ProgramError, match=r"^exponent = nan: allowed is a finite number"):
        ds.Parametrization(math.nan)


def test_ratios_cancel_without_hidden_layers():
    """Linear regression needs neither richness nor width, and does not change with them."""
    solver = ds.derive(ds.deep_linear(0)).compile("numpy")
    given = {key: value for key, value in RUN.items() if key not in ("richness", "width_per_dim")}
    run = solver(**given, label_noise=0.2)
    assert (run.attrs["richness"], run.attrs["width_per_dim"]) == (1.0, 1.0)
    other = solver(**given, label_noise=0.2, richness=3.0, width_per_dim=0.4)
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(run[name], other[name], rtol=1e-12)


@pytest.mark.parametrize(
    ("key", "value"),
    [("dim", 0), ("dim", True), ("dim", 10.0), ("seeds", 0), ("seed", -1), ("seed", "1"), ("dtype", "float16")],
)
def test_bad_simulation_is_named(solver, key, value):
    with pytest.raises(ArgumentError, match=rf"^{key} = .*allowed") as caught:
        ds.simulate(solver.theory, **{**RUN, "dim": 10, key: value})
    assert len(str(caught.value).splitlines()) == 1


def test_integers_of_numpy_are_integers(solver):
    sizes = {"dim": 10, "seeds": 2, "seed": 3}
    plain = ds.simulate(solver.theory, **RUN, **sizes)
    dressed = ds.simulate(solver.theory, **RUN, **{key: np.int64(value) for key, value in sizes.items()})
    np.testing.assert_array_equal(plain.test_loss, dressed.test_loss)
    assert {key: dressed.attrs[key] for key in sizes} == sizes
    assert ds.simulate(solver.theory, **RUN, **sizes, dtype="float32").attrs["dtype"] == "float32"
