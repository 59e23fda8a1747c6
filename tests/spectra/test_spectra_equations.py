"""Symbolic level two: what comes out of the stages for a weight matrix, classical limits, and any network."""

from __future__ import annotations

import pytest
import sympy as sp
from networks_with_limits import NETWORKS

import dmft_sym as ds
from dmft_sym.derivation.symbols import KEPT, Correlation, MemoryKernel, Response, TwoPoint
from dmft_sym.networks.parameters import ETA, GAMMA, INIT_VARIANCE, NU
from dmft_sym.program import STEP, Field, FieldRef, LayerRange, ProgramError, Space
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
    return BulkResponse.of(ref, ref, Z)


def test_bulk_of_the_input_matrix(theory):
    found = {str(e.left): e.solved for e in theory.bulk("W0").equations}
    m_a, m_b = resolvent("a"), resolvent("b")
    assert sp.simplify(found["m_b(z)"] - 1 / (Z - INIT_VARIANCE * m_a)) == 0
    assert sp.simplify(found["m_a(z)"] - 1 / (Z - NU * INIT_VARIANCE * m_b)) == 0


def test_conditions_are_one_without_training():
    """``det(1 - J)`` at ``J = 0``, also where the number of unknowns is odd."""
    condition = ds.derive(NETWORKS["autoencoder"][0]).spikes("W0", dependence="independent").condition(steps=1)
    assert condition.subs(ETA, 0) == 1


def test_classical_spike(theory):
    """No responses and one step: Benaych-Georges and Nadakuditi's condition, with its position and threshold."""
    condition = theory.spikes("W0", dependence="independent").condition(steps=1)
    m_a, m_b = resolvent("a"), resolvent("b")
    (c_h,), (c_g,) = ([c for c in condition.atoms(Correlation) if c.name == name] for name in ("C_v", "C_g"))
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
    spikes, s = theory.spikes("W[l]"), theory.symbols
    strength = s.s2, s.eta0 * s.gamma
    for label, first, second in (("A_b_g", "R_a_r_W", "C_a_h"), ("A_a_h", "R_b_u_W", "C_b_g")):
        terms = {term.atoms(TwoPoint).pop(): term for term in spikes.of(label).items[0].terms}
        assert {point.name: term / point for point, term in terms.items()} == {first: strength[0], second: strength[1]}
    for name, r, x, c, other in (
        ("a", "R_h_r_W", "A_a_h", "C_h", "C_b_g"),
        ("b", "R_g_u_W", "A_b_g", "C_g", "C_a_h"),
    ):
        m = resolvent_at(name, s.l)
        response, overlap = (
            e for e in spikes.items if e.label in {f"R_{name}_r_W", f"R_{name}_u_W", f"C_{name}_h", f"C_{name}_g"}
        )
        assert [names(term) for term in response.terms] == [{r, x}]
        assert [names(term) for term in overlap.terms] == [{r, other}, {c, x}]
        assert [coefficient(term) for term in (*response.terms, *overlap.terms)] == [m, s.s2 * m, m]
    assert "R_h_r_W(1, t_1, c_1, 1, s, c')" in str(theory.spikes("W1")["R_a_r_W"])


def resolvent_at(name, layer):
    ref = FieldRef(Field(name, Space("N", 1), layers=LayerRange(1, 2)), layer)
    return BulkResponse.of(ref, ref, Z)


def names(term):
    return {point.name for point in term.atoms(TwoPoint)}


def coefficient(term):
    return sp.Mul(*(factor for factor in term.as_ordered_factors() if not factor.has(sp.Sum)))


def test_independent_condition_has_no_responses(theory):
    for name in ("W0", "W[l]", "NTK"):
        assert not any(e.has(Response) for e in theory.spikes(name, dependence="independent"))


def test_decay_enters_with_both_factors():
    decayed = ds.derive(ds.deep_linear(2), training=ds.GradientDescent(weight_decay=0.1))
    found = {str(e.left): e.solved for e in decayed.bulk("W0").equations}
    rho = KEPT(STEP)
    assert sp.simplify(found["m_b(z)"] - 1 / (Z - rho**2 * INIT_VARIANCE * resolvent("a"))) == 0
    memory = decayed.spikes("W[l]")["A_a_h"].rhs
    (response,) = memory.atoms(Response)
    assert memory.coeff(response) == rho * INIT_VARIANCE


def tied(net, x):
    n = net.hidden("N")
    first, inner = net.matrix("W0", net.inputs, n), net.matrix("W", n, n)
    h = net.scan(lambda _, h: h + inner @ h, first @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


def test_written_networks_print():
    written = ds.derive(ds.network(tied, depth=3))
    sums = [part for e in written.spikes("W").of("C_a_h") for part in e.atoms(sp.Sum) if part.has(MemoryKernel)]
    (l_s,) = {symbol for part in sums for symbol in part.variables if symbol.name == "l_s"}
    assert sums and all(l_s in part.function.free_symbols for part in sums)
    for made in (written.bulk("NTK"), written.spikes("W"), written.spikes("NTK")):
        text = made._repr_latex_()
        assert text.count("{") == text.count("}")
        assert "None" not in text
        assert "nan" not in text.lower()
        assert str(made.stage)


def test_product_of_two_layers(theory):
    product = operator(theory.program, lambda m, x: m["W1"] @ (m["W0"] @ x), "D", name="W1 W0")
    assert "Bulk of W1 W0" in str(theory.bulk(product))
    assert "R_h_r_W" in {r.name for e in theory.spikes(product) for r in e.atoms(Response)}


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
