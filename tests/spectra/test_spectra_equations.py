"""Symbolic level two: what comes out of the stages for a weight matrix, classical limits, and any network."""

from __future__ import annotations

import pytest
import sympy as sp

import dmft_sym as ds
from dmft_sym.networks.parameters import ETA, GAMMA, INIT_VARIANCE, NU
from dmft_sym.program import Field, FieldRef, ProgramError, Space
from dmft_sym.spectra import operator
from dmft_sym.spectra.equations.bulk_equations import BulkResponse

Z = sp.Symbol("z")


@pytest.fixture(scope="module")
def theory():
    return ds.derive(ds.deep_linear(2))


def residue(equations):
    """Bulk equations as ``left - right``, by the left-hand side's name."""
    return {str(e.left): e.left - e.right for e in equations.equations}


def resolvent(name, layer=None):
    space = Space("N", 1)
    ref = FieldRef(Field(name, space)) if layer is None else sp.S.NaN
    return BulkResponse.of(ref, ref)


def test_bulk_of_the_input_matrix(theory):
    found = {str(e.left): e.solved for e in theory.bulk("W0").equations}
    m_a, m_b = resolvent("a"), resolvent("b")
    assert sp.simplify(found["m_b"] - 1 / (Z - INIT_VARIANCE * m_a)) == 0
    assert sp.simplify(found["m_a"] - 1 / (Z - NU * INIT_VARIANCE * m_b)) == 0


def test_classical_spike(theory):
    """No responses and one step: Benaych-Georges and Nadakuditi's condition, with its position and threshold."""
    condition = theory.spikes("W0", dependence="independent").one_step()
    m_a, m_b = resolvent("a"), resolvent("b")
    c_h, c_g = (sp.Symbol(f"C[{name}; {name}]", positive=True) for name in ("v", "g[1]"))
    strength = NU * (ETA * GAMMA) ** 2 * c_h * c_g
    assert sp.simplify(condition - (1 - strength * m_a * m_b)) == 0
    theta = sp.Symbol("theta", positive=True)
    a, b, z = sp.symbols("a b z", positive=True)
    bulk = [e.subs({m_a: a, m_b: b, Z: z, INIT_VARIANCE: 1}) for e in residue(theory.bulk("W0")).values()]
    spike = sp.Eq(a * b * theta**2, 1)
    position = sp.sqrt((1 + theta**2) * (NU + theta**2)) / theta
    values = {NU: sp.Rational(9, 16), theta: 2}
    (solution,) = [
        found
        for found in sp.solve([*(e.subs(values) for e in bulk), spike.subs(values)], [a, b, z], dict=True)
        if found[z] > 1
    ]
    assert sp.simplify(solution[z] - position.subs(values)) == 0
    # At threshold the position is the edge.
    edge = 1 + sp.sqrt(NU)
    assert sp.simplify(sp.expand(position**2).subs(theta, NU ** sp.Rational(1, 4)) - sp.expand(edge**2)) == 0


def test_spike_condition_of_a_layer(theory):
    """The four equations of docs/mathematics.md, Spectra, for a symbolic layer."""
    text = str(theory.spikes("W[l]"))
    for line in (
        "x[b[l]; g[l + 1]] = (s2) R[a[l]; r_W[l]] + (eta0*gamma) kappa C[a[l]; h[l]]",
        "x[a[l]; h[l]] = (s2) R[b[l]; u_W[l]] + (eta0*gamma) kappa C[b[l]; g[l + 1]]",
        "R[a[l]; r_W[l]] = m_a[l] [ R[h[l]; r_W[l]]^T x[a[l]; h[l]] ]",
        "C[a[l]; h[l]] = m_a[l] [ (s2) R[h[l]; r_W[l]] C[b[l]; g[l + 1]] + C[h[l]; h[l]] x[a[l]; h[l]] ]",
        "R[b[l]; u_W[l]] = m_b[l] [ R[g[l + 1]; u_W[l]]^T x[b[l]; g[l + 1]] ]",
        "C[b[l]; g[l + 1]] = m_b[l] [ (s2) R[g[l + 1]; u_W[l]] C[a[l]; h[l]]"
        " + C[g[l + 1]; g[l + 1]] x[b[l]; g[l + 1]] ]",
    ):
        assert line in text
    assert "R[h[1]; r_W[1]]^T" in str(theory.spikes("W1"))


def test_independent_condition_has_no_responses(theory):
    for name in ("W0", "W[l]", "NTK"):
        assert "R[" not in str(theory.spikes(name, dependence="independent"))


def test_decay_enters_with_both_factors():
    decayed = ds.derive(ds.deep_linear(2), training=ds.GradientDescent(weight_decay=0.1))
    found = {str(e.left): e.solved for e in decayed.bulk("W0").equations}
    rho = sp.Symbol("rho")
    assert sp.simplify(found["m_b"] - 1 / (Z - rho**2 * INIT_VARIANCE * resolvent("a"))) == 0
    assert "(rho*s2) R[b[l]; u_W[l]]" in str(decayed.spikes("W[l]"))


def tied(net, x):
    n = net.hidden("N")
    first, inner = net.matrix("W0", net.inputs, n), net.matrix("W", n, n)
    h = net.scan(lambda _, h: h + inner @ h, first @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


def test_written_networks_print():
    written = ds.derive(ds.network(tied, depth=3))
    assert "sum_{l_s=1..L - 1} C[h[k]; h[l_s]] x[a; h[l_s]]" in str(written.spikes("W"))
    for made in (written.bulk("NTK"), written.spikes("W"), written.spikes("NTK")):
        text = made._repr_latex_()
        assert text.count("{") == text.count("}")
        assert "None" not in text
        assert "nan" not in text.lower()
        assert str(made.stage)


def test_product_of_two_layers(theory):
    product = operator(theory.program, lambda m, x: m["W1"] @ (m["W0"] @ x), "D", name="W1 W0")
    assert "bulk of W1 W0" in str(theory.bulk(product))
    assert "R[h[1]; r_W[1]]" in str(theory.spikes(product))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.bulk("V"), "matrix = 'V': allowed are W<l> (W1, l = 1..L - 1), W0, X, NTK"),
        (lambda t: t.spikes("W0", dependence="free"), "dependence = 'free': allowed are joint, independent"),
    ],
)
def test_what_does_not_exist_is_named(theory, call, message):
    with pytest.raises(ProgramError) as error:
        call(theory)
    assert str(error.value) == message
