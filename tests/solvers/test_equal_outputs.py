"""One output is solved for all that are like it: the same numbers as all of them at once, for the price of one."""

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

import dmft_sym as ds
from dmft_sym.program import (
    OUTPUT,
    OUTPUTS,
    Assign,
    Field,
    FieldRef,
    Learn,
    Linear,
    Observe,
    Program,
    Relabelled,
    outputs_are_alike,
)
from dmft_sym.results.order_parameters import label_order_parameters
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.solvers.generated_modules import march_module
from dmft_sym.solvers.march import march
from dmft_sym.solvers.spectrum_routes import two_time_spectra

SETTINGS = {"samples_per_dim": 3, "width_per_dim": 1.5, "richness": 5, "learning_rate": 0.02, "label_noise": 0.3}
RULES = [ds.GradientDescent(), ds.GradientDescent(centered=True), ds.OnlineSGD(momentum=0.6, weight_decay=0.02)]


def theory(training=RULES[0], depth=2):
    return ds.derive(ds.deep_linear(depth), training=training)


def changed(program, kind, change):
    """The program with one statement of a kind changed."""
    statements = list(program.statements)
    place = next(k for k, statement in enumerate(statements) if isinstance(statement, kind))
    statements[place] = change(statements[place])
    return Program(tuple(statements), program.optimizer)


@pytest.mark.parametrize("training", RULES, ids=["batch", "centered", "momentum and decay"])
def test_linear_networks_have_outputs_that_are_alike(training):
    """Found on the program; a norm over all arrays counts outputs, and errors of nonlinear networks mix them."""
    assert outputs_are_alike(theory(training).program)
    assert not outputs_are_alike(theory(ds.GradientDescent(clip=1.0)).program)
    samples = ds.Samples(inputs=np.eye(2), targets=[1.0, -1.0])
    assert not outputs_are_alike(ds.derive(ds.mlp(2, activation="tanh"), data=samples).program)


@pytest.mark.parametrize("symbol", [OUTPUTS, OUTPUT.symbol], ids=["how many", "which one"])
def test_coefficients_that_know_outputs_break_it(symbol):
    """A mean over outputs depends on their number; a rate of each output on which it is."""

    def slower(learn):
        return replace(learn, terms=tuple(replace(t, coefficient=t.coefficient / (1 + symbol)) for t in learn.terms))

    assert not outputs_are_alike(changed(theory().program, Learn, slower))


def test_a_sum_over_outputs_breaks_it():
    """The mean error drives every output: what carries one output meets what carries another."""
    program = theory().program
    field = next(field for field in program.fields if field.name == "Delta")
    total = Field("total", field.space, axes=())
    mixed = Assign(FieldRef(total), Linear(((sp.Integer(1), Relabelled(FieldRef(field), over=(OUTPUT,))),)))
    place = next(k for k, s in enumerate(program.statements) if isinstance(s, Assign) and s.target.field == field) + 1
    statements = (*program.statements[:place], mixed, *program.statements[place:])
    assert not outputs_are_alike(Program(statements, program.optimizer))


def test_an_observable_of_all_outputs_breaks_it():
    """A number without the label of outputs may count them."""
    one = theory().program
    constant = changed(one, Observe, lambda observe: replace(observe, terms=(), constant=OUTPUTS))
    assert not outputs_are_alike(constant)


@pytest.mark.parametrize("outputs", [2, 4])
@pytest.mark.parametrize("training", RULES, ids=["batch", "centered", "momentum and decay"])
def test_same_numbers_as_all_outputs_at_once(training, outputs):
    """Losses and order parameters, off-diagonal blocks included."""
    problem, steps = theory(training), 12
    arguments = run_arguments(problem, steps, {**SETTINGS, "outputs": outputs})
    raw = march(problem, arguments, "numpy")
    labels = march_module(problem, "numpy").labels(L=2)
    keep = (1 - training.weight_decay) ** np.arange(steps)
    decayed = {use.noise_name: keep for use in problem.uses.all if use.matrix in problem.program.learned}
    kept = decayed if training.weight_decay else {}
    wanted = label_order_parameters(raw, labels, raw["scales"], steps, outputs, kept)

    found = problem.compile(backend="numpy")(steps=steps, outputs=outputs, **SETTINGS)

    assert "outputs << input dimension" in found.attrs["equal_outputs"]
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(found[name], raw[name], rtol=1e-12)
    assert set(wanted) == {name for name in found.data_vars if name[:2] in ("C_", "R_")}
    for name, array in wanted.items():
        assert found[name].dims == array.dims
        layers = {"layer": array.layer} if "layer" in array.dims else {}
        np.testing.assert_allclose(found[name].sel(layers), array, rtol=0, atol=1e-12)


def test_what_is_unknown_is_unknown_between_outputs_too():
    """A response that exists at some layers only is NaN at others, for all pairs of outputs."""
    found = theory(depth=3).compile(backend="numpy")(steps=4, outputs=3, **SETTINGS)

    unknown = np.isnan(found.R_h.values).reshape(*found.R_h.shape)
    assert unknown.any()
    assert (unknown.any(axis=(2, 4)) == unknown.all(axis=(2, 4))).all()


def test_outliers_count_outputs_once_those_of_the_kernel_twice():
    """Against two-time matrices of both outputs, which are put into the spike condition as they are."""
    problem, at = theory(depth=1), 7
    strong = {**SETTINGS, "samples_per_dim": 5, "learning_rate": 0.1}
    all_at_once = two_time_spectra(problem, steps=at + 1, backend="numpy", outputs=2, **strong)
    asked = {"matrices": ["W0", "NTK"], "at": [at], "steps": at + 1, "outputs": 2, **strong}

    for method in ("equations", "conditioning"):
        found = ds.spectrum(problem, method=method, **asked)

        for name, count in (("W0", 2), ("NTK", 4)):
            outliers = found.outlier.sel(matrix=name, spectrum_step=at).dropna("rank").values
            assert len(outliers) == count
            np.testing.assert_allclose(outliers, all_at_once.at(name, at).outliers, rtol=1e-8)
            overlaps = (
                found.overlap.sel(matrix=name, spectrum_step=at)
                .dropna("direction", how="all")
                .dropna("rank", how="all")
            )
            assert np.ptp(overlaps.values, axis=(0, 2)).max() == 0


def test_many_outputs_are_expanded_when_they_are_asked_for(tmp_path):
    """Arrays of 300 outputs are views of those of one; a file has one, and is read as what was saved."""
    found = theory().compile(backend="numpy")(steps=6, outputs=300, **SETTINGS)
    one = theory().compile(backend="numpy")(steps=6, outputs=1, **SETTINGS)

    pair = found.C_h.isel(output=[7, 250], output2=[7, 250])
    np.testing.assert_array_equal(pair.isel(output=1, output2=1), one.C_h.isel(output=0, output2=0))
    assert not pair.isel(output=0, output2=1).any()
    assert found.C_h.sizes["output2"] == 300
    ds.save(found, tmp_path / "many.nc")
    assert (tmp_path / "many.nc").stat().st_size < 1e6
    again = ds.load(tmp_path / "many.nc")
    assert again.attrs == found.attrs
    assert list(again.data_vars) == list(found.data_vars)
    np.testing.assert_array_equal(again.C_h.isel(output=250, output2=250), found.C_h.isel(output=250, output2=250))
    assert again.R_g.dims == found.R_g.dims
