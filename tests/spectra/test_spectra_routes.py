"""Two routes to the same spectra: two-time matrices with the derivation, and growing coordinates without it."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from spectrum_tracks import coordinate_spectra, escape

import dmft_sym as ds
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.solvers.spectrum_routes import two_time_spectra
from dmft_sym.spectra import operator

RICH = {
    "samples_per_dim": 4.0,
    "width_per_dim": 1.0,
    "richness": 8.0,
    "learning_rate": 0.006,
    "label_noise": 0.2,
}
STEP = 30
SIDES = (("a", "betastar"), ("a", "v"), ("b", "g"), ("b", "g[1]"), ("a", "h[1]"), ("p", "r"), ("p", "eps"))


def tied(net, x):
    n = net.hidden("N")
    first, inner = net.matrix("W0", net.inputs, n), net.matrix("W", n, n)
    h = net.scan(lambda _, h: h + inner @ h / sp.sqrt(net.depth), first @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


def residual(net, x):
    n = net.hidden("N")
    blocks = net.matrix("W", n, n, layers=(1, net.depth - 1))
    h = net.scan(
        lambda layer, h: h + 0.7 * (blocks[layer] @ h), net.matrix("W0", net.inputs, n) @ x, layers=(1, net.depth - 1)
    )
    return net.readout("w", h)


def two_paths(net, x):
    """Two spaces, a skip and two readouts."""
    n, k = net.hidden("N"), net.hidden("K", width=2)
    h = (net.matrix("A", net.inputs, n) @ x).named("h")
    f = (net.matrix("B", n, k) @ h + net.matrix("E", net.inputs, k) @ x).named("f")
    return net.readout("w", h) + net.readout("u", f)


CASES = {
    "weight tied": (lambda: ds.derive(ds.network(tied, depth=3)), ("W0", "W", "NTK"), {}),
    "residual": (lambda: ds.derive(ds.network(residual, depth=3)), ("W0", "W2", "NTK"), {}),
    "two paths": (lambda: ds.derive(ds.network(two_paths)), ("A", "B", "E", "NTK"), {}),
    "momentum and decay": (
        lambda: ds.derive(ds.deep_linear(2), training=ds.GradientDescent(momentum=0.5, weight_decay=0.01)),
        ("W0", "W1", "NTK"),
        {"momentum": 0.5, "weight_decay": 0.01},
    ),
    "online": (lambda: ds.derive(ds.deep_linear(2), training=ds.OnlineSGD()), ("W0", "W1", "NTK"), {}),
    "two outputs, NTK parametrization": (
        lambda: ds.derive(ds.deep_linear(2, outputs=2, parametrization="NTK")),
        ("W0", "W1", "NTK"),
        {"width_per_dim": 0.8},
    ),
    "population": (lambda: ds.derive(ds.deep_linear(2)), ("W1", "NTK"), {"samples_per_dim": float("inf")}),
    "products": (
        lambda: ds.derive(ds.deep_linear(3)),
        (
            ("W2 W1", lambda m, x: m["W2"] @ (m["W1"] @ x), "N", False),
            ("polynomial", lambda m, x: m["W1"] @ x + m["W1"].T @ x + 0.5 * (m["W2"].T @ (m["W2"] @ x)), "N", True),
        ),
        {},
    ),
    "feature kernel of the first layer on the training samples": (
        lambda: ds.derive(ds.deep_linear(2)),
        (("features", lambda m, x: m["X"] @ (m["W0"].T @ (m["W0"] @ (m["X"].T @ x))), "P", True),),
        {},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_routes_agree(name):
    make, names, more = CASES[name]
    theory = make()
    matrices = [
        n if isinstance(n, str) else operator(theory.program, n[1], n[2], name=n[0], symmetric=n[3]) for n in names
    ]
    parameters = {**RICH, **more}
    run = two_time_spectra(theory, steps=STEP + 1, backend="numpy", **parameters)
    arguments = run_arguments(theory, STEP + 1, parameters)
    tracks, _ = coordinate_spectra(
        theory.program, arguments.values, arguments.outputs, STEP + 1, matrices, [STEP], tol=1e-9
    )
    for matrix in matrices:
        label = matrix if isinstance(matrix, str) else matrix.name
        here, there = run.at(matrix, STEP), tracks[label].spectra[STEP]
        # Both solve to 1e-10 and better; coordinates drop directions of relative length 1e-9.
        assert here.edge == pytest.approx(there.edge, rel=1e-10)
        np.testing.assert_allclose(here.outliers, there.outliers, rtol=1e-9)
        for side, field in SIDES:
            # The batch of a step is new: what it does to the NTK of the step is not in the two-time matrices.
            known = side != "p" or not theory.training.fresh
            if known and (side, field) in there.overlaps and len(here.outliers):
                expected = there.overlaps[side, field]
                np.testing.assert_allclose(here.overlap(side, field)[:, -1], expected[:, 0], atol=2e-7)


@pytest.fixture(scope="module")
def plain():
    return two_time_spectra(ds.derive(ds.deep_linear(2)), steps=40, backend="numpy", **RICH)


def test_independent_spike_of_one_step_is_the_classical_one(plain):
    """One update: ``theta^2 = tau kap^2 C_h C_g`` and ``z^2 = (1 + theta^2)(tau + theta^2)/theta^2``."""
    strong = two_time_spectra(plain.theory, steps=2, backend="numpy", **{**RICH, "learning_rate": 0.2})
    spectrum = strong.at("W0", 1, dependence="independent")
    fields = {f.name: f for f in strong.theory.program.fields}
    from dmft_sym.program import FieldRef

    c_h = strong.run.correlation(FieldRef(fields["v"]), FieldRef(fields["v"]))[0, 0]
    c_g = strong.run.correlation(FieldRef(fields["g"], 1), FieldRef(fields["g"], 1))[0, 0]
    squared = (0.2 * 8.0) ** 2 * c_h * c_g
    assert squared > 1
    assert spectrum.outliers == pytest.approx([np.sqrt((1 + squared) * (1 + squared) / squared)], rel=1e-12)
    # Below the threshold theta = tau^(1/4) there is none.
    weak = two_time_spectra(plain.theory, steps=2, backend="numpy", **{**RICH, "learning_rate": 0.2 / squared})
    assert len(weak.at("W0", 1, dependence="independent").outliers) == 0


def test_dependence_makes_the_outlier_escape(plain):
    """docs/mathematics.md, Spectra: W1 of the two-layer case at step 20, 2.0012 against none."""
    rich = two_time_spectra(
        plain.theory, steps=21, backend="numpy", samples_per_dim=4, width_per_dim=1, richness=8,
        learning_rate=0.004, label_noise=0.3,
    )  # fmt: skip
    assert rich.at("W1", 20).outliers.round(4).tolist() == [2.0012]
    assert len(rich.at("W1", 20, dependence="independent").outliers) == 0


def test_before_training_there_is_only_the_bulk(plain):
    for name in ("W0", "W1", "NTK"):
        spectrum = plain.at(name, 0)
        assert len(spectrum.outliers) == 0
        assert spectrum.leading == spectrum.edge


def test_escape_is_interpolated_and_agrees_between_routes(plain):
    steps = list(range(1, 40))
    time = escape(plain, "W1", steps)
    found = [len(plain.at("W1", step).outliers) for step in steps]
    first = steps[found.index(1)]
    assert first - 1 < time < first
    arguments = run_arguments(plain.theory, 40, RICH)
    tracks, _ = coordinate_spectra(plain.theory.program, arguments.values, 1, 40, ["W1"], steps, overlaps=False)
    # Both interpolate a margin that vanishes at escape, but not the same one.
    assert time == pytest.approx(tracks["W1"].escape(), abs=0.1)
    assert np.isnan(escape(plain, "W1", [1, 2, 3]))


def test_sharpness_is_the_leading_eigenvalue(plain):
    assert [plain.at("NTK", step).leading for step in (0, 30)] == [
        plain.at("NTK", 0).edge,
        plain.at("NTK", 30).outliers[0],
    ]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: run.at("W1", 40), "spectrum step = 40: allowed are steps of the run, 0 to 39"),
        (
            lambda run: run.at("W2", 3),
            "matrix = 'W2': allowed at this depth are W1, matrices by their own names, and NTK",
        ),
        (lambda run: run.at("Q", 3), "matrix = 'Q': allowed are W<l> (W1, l = 1..L - 1), W0, X, NTK"),
        (lambda run: run.at("W0", 3, "free"), "dependence = 'free': allowed are joint, independent"),
        (lambda run: run.at("W0", 39).overlap("c", "v"), "side = 'c': allowed are a, b"),
        (lambda run: run.at("W0", 39).overlap("a", "r"), "field = 'r': allowed next to a are Delta, v, betastar"),
    ],
)
def test_what_does_not_exist_is_named(plain, call, message):
    with pytest.raises(ValueError, match="allowed") as error:
        call(plain)
    assert str(error.value) == message


def test_overlaps_with_the_batch_of_a_step_are_refused():
    online = two_time_spectra(ds.derive(ds.deep_linear(2), training=ds.OnlineSGD()), steps=31, backend="numpy", **RICH)
    with pytest.raises(ValueError, match=r"field = 'r': X is drawn anew at every step") as error:
        online.at("NTK", 30).overlap("p", "r")
    assert str(error.value).endswith("the two-time matrices do not know its overlaps with the NTK")


def test_a_step_after_divergence_is_named():
    wild = two_time_spectra(ds.derive(ds.deep_linear(1)), steps=400, backend="numpy", **{**RICH, "learning_rate": 5.0})
    with pytest.raises(ValueError, match=r"W0 at step 399: the run diverged before this step; lower learning_rate"):
        wild.at("W0", 399)
