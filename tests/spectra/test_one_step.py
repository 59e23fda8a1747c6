"""Spike conditions in symbols after one step, with the numbers of a run put in, against outliers of the run itself."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import sympy as sp
from evaluator import Evaluator
from scipy.optimize import brentq

import dmft_sym as ds
from dmft_sym.derivation.symbols import Response, TwoPoint
from dmft_sym.program import OUTPUT, OUTPUTS, PAST_STEP, ProgramError
from dmft_sym.solvers.spectrum_routes import two_time_spectra
from dmft_sym.spectra.equations.bulk_equations import BulkResponse
from dmft_sym.spectra.equations.site_group import OTHER_LAYER

RICH = {"samples_per_dim": 4.0, "width_per_dim": 0.25, "richness": 3.0, "learning_rate": 0.6, "label_noise": 0.3}
LARGE = {**RICH, "width_per_dim": 1.5, "learning_rate": 1.5, "init_std": 0.8}
DECAY = ds.GradientDescent(momentum=0.5, weight_decay=0.1)


def residual(net, x):
    n = net.hidden("N")
    b = net.parameter("b", default=0.7)
    first, blocks = net.matrix("W0", net.inputs, n), net.matrix("W", n, n, layers=(1, net.depth - 1))
    h = net.scan(lambda layer, h: h + b * (blocks[layer] @ h), first @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


def two_paths(net, x):
    n = net.hidden("N")
    h = net.matrix("A", net.inputs, n) @ x
    return net.readout("w", h + net.matrix("B", n, n) @ h)


def numbers(run, spikes, depth):
    """Two-time matrices of training at their first entry, by what the condition has for them."""
    terms = (term for equation in spikes.equations for term in equation.terms if term.known is not None)
    first = {PAST_STEP: 0, OUTPUT.other: 0}
    found = {}
    for known in (term.known.at(OTHER_LAYER, sp.Integer(layer)) for term in terms for layer in range(1, depth + 1)):
        if isinstance(known.column, tuple):
            noise, layer = known.column
            block = run.response(known.row, noise, None if layer is None else int(layer))
        else:
            block = run.correlation(known.row, known.column)
        found[spikes.writer.point(known).subs(first)] = 0.0 if block is None else float(block[0, 0])
    return found


def resolvents(z, tau):
    """Bulk of entries of variance one, above its edge: ``m_a = 1/(z - tau m_b)``, ``m_b = 1/(z - m_a)``."""
    middle = z * z + 1 - tau
    m_a = (middle - np.sqrt(middle**2 - 4 * z * z)) / (2 * z)
    return m_a, 1 / (z - m_a)


def largest_root(theory, matrix, parameters, dependence="joint"):
    """Where ``det(1 - J)`` vanishes farthest above the edge of the bulk; and the edge."""
    spikes = theory.spikes(matrix, dependence)
    run = two_time_spectra(theory, steps=2, backend="numpy", **parameters).run
    at_start = numbers(run, spikes, parameters.get("depth", 1))
    retained = 1 - float(theory.training.weight_decay)
    values = {"rho": retained, "b": 0.7}
    values |= {symbol.name: run.evaluate(symbol, "") for symbol in theory.program.parameters if not symbol.is_integer}
    scale = retained * np.sqrt(values["s2"])
    tau = values["nu"] if matrix in ("W0", "A") else 1.0
    condition = spikes.one_step()
    names = {symbol: values[symbol.name] for symbol in condition.free_symbols if symbol.name != "z"}
    names |= {point: at_start[point] for point in condition.atoms(TwoPoint)}
    a, b = sp.symbols("a b")
    bulk = {m: a if "a" in str(m)[:3] else b for m in condition.atoms(BulkResponse)}
    found = sp.lambdify((a, b), condition.subs(bulk).subs(names))

    def determinant(z):
        return found(*(m / scale for m in resolvents(z / scale, tau)))

    edge = scale * (1 + np.sqrt(tau))
    z = edge * np.geomspace(50, 1 + 1e-12, 2000)
    change = np.flatnonzero(np.diff(np.sign([determinant(one) for one in z])))
    return (brentq(determinant, z[change[0]], z[change[0] + 1], xtol=1e-13) if len(change) else None), edge


@cache
def theory_of(network, training):
    made = {"deep": ds.deep_linear(2), "residual": ds.network(residual), "two paths": ds.network(two_paths)}
    rules = {"descent": ds.GradientDescent(), "online": ds.OnlineSGD(), "decay": DECAY}
    return ds.derive(made[network], training=rules[training])


@pytest.mark.parametrize(
    ("network", "training", "parameters", "matrices"),
    [
        ("deep", "descent", {**LARGE, "depth": 1}, ("W0",)),
        ("deep", "descent", {**RICH, "depth": 2}, ("W0", "W1")),
        ("deep", "descent", {**LARGE, "depth": 3}, ("W0", "W1", "W2")),
        ("deep", "online", {**LARGE, "depth": 2}, ("W0", "W1")),
        ("deep", "decay", {**LARGE, "depth": 2}, ("W0", "W1")),
        ("residual", "descent", {**LARGE, "depth": 3}, ("W0", "W1", "W2")),
        ("two paths", "decay", LARGE, ("A",)),
    ],
)
def test_condition_with_the_numbers_of_a_run_gives_its_outlier(network, training, parameters, matrices):
    theory = theory_of(network, training)
    at = {"matrices": matrices, "at": [1], "steps": 2, "overlaps": False}
    spectra = ds.spectrum(theory, method="conditioning", tol=1e-11, **at, **parameters)
    for matrix in matrices:
        found, edge = largest_root(theory, matrix, parameters)
        outlier = spectra.outlier.sel(matrix=matrix, spectrum_step=1).values
        expected = outlier[0] if len(outlier) and np.isfinite(outlier[0]) else None
        assert (found is None) == (expected is None), matrix
        assert found is None or found == pytest.approx(expected, rel=1e-8), matrix
        assert edge == pytest.approx(float(spectra.bulk_edge.sel(matrix=matrix, side="upper").item()), rel=1e-7)


def test_responses_within_the_step_lower_the_outlier():
    """The classical spike is at 3.711 and at 1.703; finite networks of D = 1600 have 3.11(6) and the edge."""
    theory = theory_of("deep", "descent")
    joint = [largest_root(theory, matrix, RICH)[0] for matrix in ("W1", "W0")]
    independent = [largest_root(theory, matrix, RICH, "independent")[0] for matrix in ("W1", "W0")]
    assert joint[0] == pytest.approx(3.005, abs=5e-4)
    assert joint[1] is None
    assert independent == pytest.approx([3.711, 1.703], abs=5e-4)


@pytest.mark.parametrize("dependence", ["joint", "independent"])
@pytest.mark.parametrize(("network", "matrix"), [("deep", "W0"), ("deep", "W[l]"), ("two paths", "A")])
def test_far_from_the_bulk_the_condition_is_one(network, matrix, dependence):
    """``det(1 - J)`` where bulk responses, and ``J`` with them, vanish; whatever the number of unknowns."""
    condition = theory_of(network, "descent").spikes(matrix, dependence).one_step()
    assert condition.subs(dict.fromkeys(condition.atoms(BulkResponse), 0)) == 1


@pytest.mark.parametrize("matrix", ["W0", "W[l]"])
def test_only_responses_that_the_order_of_a_step_allows(matrix):
    """Errors are computed after backward fields and before forward ones: ``g`` cannot respond within the step."""
    found = theory_of("deep", "descent").spikes(matrix).one_step().atoms(Response)
    assert {str(response) for response in found} == (
        {"R_v_rbar_W0(0, 0, 0, 0)"} if matrix == "W0" else {"R_h_r_W(l, 0, 0, l, 0, 0)"}
    )


def test_condition_that_couples_layers_is_refused():
    with pytest.raises(ProgramError, match=r"^condition of NTK: .* couples layers, whose number is an? ?.*argument"):
        theory_of("deep", "descent").spikes("NTK").one_step()


def test_condition_after_two_steps():
    """Order parameters from the closed equations by recursion, without a solver; the outlier is that of coordinates."""
    theory = theory_of("deep", "descent")
    parameters = {"samples_per_dim": 4.0, "width_per_dim": 1.0, "richness": 6.0, "learning_rate": 0.2, "depth": 2}
    values = {"alpha": 4.0, "nu": 1.0, "gamma": 6.0, "eta0": 0.2, "s2": 1.0, "sigma_eps": 0.0, "L": 2, "C": 1}
    numbers_of = {s: values[s.name] for s in (*theory.program.parameters, OUTPUTS)}
    evaluate = Evaluator(theory.equations.closed.items, numbers_of)
    condition = theory.spikes("W1").condition(steps=2)
    found = {p: evaluate(p.func.__name__, *(int(x.subs({"L": 2})) for x in p.args)) for p in condition.atoms(TwoPoint)}
    a, b = sp.symbols("a b")
    bulk = {m: a if m.name == "m_a" else b for m in condition.atoms(BulkResponse)}
    determinant = sp.lambdify((a, b), condition.subs(bulk).subs(found | numbers_of))
    z = 2 * np.geomspace(20, 1 + 1e-12, 2000)
    values_at = [determinant(*resolvents(one, 1.0)) for one in z]
    change = np.flatnonzero(np.diff(np.sign(values_at)))[0]
    root = brentq(lambda one: determinant(*resolvents(one, 1.0)), z[change], z[change + 1], xtol=1e-13)
    spectra = ds.spectrum(theory, method="conditioning", tol=1e-11, matrices=["W1"], at=[2], steps=3, **parameters)
    assert root == pytest.approx(float(spectra.outlier.squeeze().values.ravel()[0]), rel=1e-8)
