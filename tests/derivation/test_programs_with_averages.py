"""The derivation of programs with averages: equations of the MLP term by term, tangents, closures, what is refused."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
import sympy as sp
from programs_with_averages import Y, gated, half_linear, linear_below, normalised, theory_of, tied

import dmft_sym as ds
from dmft_sym.derivation.plain_text import plain
from dmft_sym.derivation.process_closure import quadratic_form
from dmft_sym.derivation.single_site import ResponseMemory, ScalarEquation, UpdateMemory, VectorMemory
from dmft_sym.derivation.symbols import Correlation, Gram, Response
from dmft_sym.networks.parameters import ETA, GAMMA, INIT_VARIANCE
from dmft_sym.program import SAMPLES, ProgramError, SiteFunction
from dmft_sym.program.site_derivatives import differentiate, has_jump

MLP = [  # docs/mathematics.md, Given samples, with c_nu(s) written out
    "w_c(t) = w_c(0) + (η_0 γ)/P Σ_(s<t, ν) Δ_(ν c)(s) φ^L_ν(s)",
    "h^1_μ(t) = u_W0,μ + (η_0 γ)/P Σ_(s<t, ν c') Δ_(ν c')(s) K^x_(μ ν) g^1_(ν c')(s)",
    "φ^l_μ(t) = φ(h^l_μ(t))",
    "h^(l+1)_μ(t) = u^l_W,μ(t)"
    " + s_2 Σ_(s<t, ν c') ⟨∂φ^l_μ(t)/∂r^l_(W, ν c')(s)⟩ g^(l+1)_(ν c')(s)"
    " + (η_0 γ)/P Σ_(s<t, ν c') Δ_(ν c')(s) ⟨φ^l_μ(t) φ^l_ν(s)⟩ g^(l+1)_(ν c')(s)",
    "φ^L_μ(t) = φ(h^L_μ(t))",
    "f_(μ c)(t) = 1/γ ⟨φ^L_μ(t) w_c(t)⟩",
    "Δ_(μ c)(t) = - f_(μ c)(t) + y_(μ c)",
    "z^L_(μ c)(t) = w_c(t)",
    "g^L_(μ c)(t) = z^L_(μ c)(t) φ'(h^L_μ(t))",
    "z^l_(μ c)(t) = r^l_(W, μ c)(t)"
    " + s_2 Σ_(s≤t, ν) ⟨∂g^(l+1)_(μ c)(t)/∂u^l_W,ν(s)⟩ φ^l_ν(s)"
    " + (η_0 γ)/P Σ_(s<t, ν c') Δ_(ν c')(s) ⟨g^(l+1)_(μ c)(t) g^(l+1)_(ν c')(s)⟩ φ^l_ν(s)",
    "g^l_(μ c)(t) = z^l_(μ c)(t) φ'(h^l_μ(t))",
    "⟨w_c(0) w_c'(0)⟩ = s_2 δ_(c c')",
    "⟨u_W0,μ u_W0,ν⟩ = s_2 K^x_(μ ν)",
    "⟨u^l_W,μ(t) u^l_W,ν(s)⟩ = s_2 ⟨φ^l_μ(t) φ^l_ν(s)⟩",
    "⟨r^l_(W, μ c)(t) r^l_(W, ν c')(s)⟩ = s_2 ⟨g^(l+1)_(μ c)(t) g^(l+1)_(ν c')(s)⟩",
]
TANGENTS = [
    "∂w_c(t) = (η_0 γ)/P Σ_(s<t, ν) Δ_(ν c)(s) ∂φ^L_ν(s)",
    "∂h^1_μ(t) = (η_0 γ)/P Σ_(s<t, ν c') Δ_(ν c')(s) K^x_(μ ν) ∂g^1_(ν c')(s)",
    "∂φ^l_μ(t) = φ'(h^l_μ(t)) ∂h^l_μ(t)",
    "∂h^(l+1)_μ(t) = ∂u^l_W,μ(t)"
    " + s_2 Σ_(s<t, ν c') ⟨∂φ^l_μ(t)/∂r^l_(W, ν c')(s)⟩ ∂g^(l+1)_(ν c')(s)"
    " + (η_0 γ)/P Σ_(s<t, ν c') Δ_(ν c')(s) ⟨φ^l_μ(t) φ^l_ν(s)⟩ ∂g^(l+1)_(ν c')(s)",
    "∂φ^L_μ(t) = φ'(h^L_μ(t)) ∂h^L_μ(t)",
    "∂z^L_(μ c)(t) = ∂w_c(t)",
    "∂g^L_(μ c)(t) = z^L_(μ c)(t) φ''(h^L_μ(t)) ∂h^L_μ(t) + φ'(h^L_μ(t)) ∂z^L_(μ c)(t)",
    "∂z^l_(μ c)(t) = ∂r^l_(W, μ c)(t)"
    " + s_2 Σ_(s≤t, ν) ⟨∂g^(l+1)_(μ c)(t)/∂u^l_W,ν(s)⟩ ∂φ^l_ν(s)"
    " + (η_0 γ)/P Σ_(s<t, ν c') Δ_(ν c')(s) ⟨g^(l+1)_(μ c)(t) g^(l+1)_(ν c')(s)⟩ ∂φ^l_ν(s)",
    "∂g^l_(μ c)(t) = z^l_(μ c)(t) φ''(h^l_μ(t)) ∂h^l_μ(t) + φ'(h^l_μ(t)) ∂z^l_(μ c)(t)",
]

THEORIES = {
    "free": lambda: theory_of(ds.mlp(2, activation=None)),
    "tanh": lambda: theory_of(ds.mlp(2, activation="tanh")),
    "linear": lambda: theory_of(ds.mlp(2, activation="h")),
    "relu": lambda: theory_of(ds.mlp(2, activation="relu"), training=ds.GradientDescent(0.5, 0.1)),
    "gated": lambda: theory_of(gated),
    "tied": lambda: theory_of(tied(sp.tanh)),
    "normalised": lambda: theory_of(normalised),
}


@cache
def derived(name):
    """One of them, once for all tests."""
    return THEORIES[name]()


def printed(stage):
    return [plain(f"{line.left} = {' '.join(line.terms).removeprefix('+ ')}") for line in stage.lines]


def test_equations_of_the_mlp():
    assert printed(derived("free").steps[5]) == MLP


def test_tangents_of_the_mlp():
    assert printed(derived("free").steps[6])[1:] == TANGENTS


def test_coefficients_of_the_mlp_are_data():
    """The same as objects: what the solver is made of."""
    equations = {str(e.target): e for e in derived("free").site_equations}
    rate = ETA * GAMMA / SAMPLES
    response, update = equations["h[l + 1]"].memories
    assert isinstance(response, ResponseMemory) and isinstance(update, UpdateMemory)
    assert (response.coefficient, response.equal_time, response.noise.name) == (INIT_VARIANCE, False, "r_W")
    assert (update.coefficient, str(update.weight), str(update.row), str(update.field)) == (
        rate, "Delta", "phi[l]", "g[l + 1]",
    )  # fmt: skip
    response, update = equations["z[l]"].memories
    assert (response.coefficient, response.equal_time, response.noise.name) == (INIT_VARIANCE, True, "u_W")
    assert (update.coefficient, str(update.past), str(update.field)) == (rate, "g[l + 1]", "phi[l]")
    (first,) = equations["h[1]"].memories
    assert (first.coefficient, str(first.row), str(first.past), str(first.field)) == (rate, "x", "x", "g[1]")
    (readout,) = equations["w"].memories
    assert isinstance(readout, VectorMemory)
    assert (readout.coefficient, str(readout.field), str(readout.weight)) == (rate, "phi[L]", "Delta")
    assert equations["z[L]"].memories == () and str(equations["z[L]"].locals[0].field) == "w"


def test_given_inputs_need_no_order_parameter():
    """The first matrix is averaged over like any other; its overlap is a number, and nothing is varied."""
    theory = derived("free")
    action = theory.actions["W0"]
    (term,) = action.substituted
    assert term.expression.atoms(Gram) and not term.expression.atoms(Correlation, Response)
    assert action.constraints == () and theory.saddle_points["W0"].equations == ()
    assert list(theory.saddle_points["W0"].noise.values()) == [INIT_VARIANCE]


def test_a_filled_in_activation():
    """``phi' = 1 - tanh^2`` in the same places, and its derivative in the tangents."""
    theory = derived("tanh")
    (closure,) = theory.closures
    (tangent,) = (t for t in closure.tangents if str(t.equation.target) == "g[l]")
    h, z = sp.symbols("h z", real=True)
    slopes = {str(slope.argument): slope.function.expression for slope in tangent.slopes}
    assert sp.simplify(slopes["h[l]"] - z * sp.diff(sp.tanh(h), h, 2)) == 0
    assert sp.simplify(slopes["z[l]"] - sp.diff(sp.tanh(h), h)) == 0


@pytest.mark.parametrize("name", THEORIES)
def test_stages_print(name):
    theory = derived(name)
    names = [stage.name for stage in theory.steps]
    assert names == [
        "Vector program",
        "Action before the average",
        "Average over the Gaussian matrices",
        "Order parameters and conjugates",
        "Saddle point",
        "Single-site equations",
        "Closure",
    ]
    tags = [f"{n}.{k}" for n, stage in enumerate(theory.steps, 1) for k in range(1, len(stage.lines) + 1)]
    assert re.findall(r"\\tag\{(.*?)\}", theory.to_latex()) == tags
    for stage in theory.steps:
        assert stage.latex.count("{") == stage.latex.count("}")
        assert stage._repr_latex_().startswith("$$")
        assert not set("\\{}$&\u00a0") & set(str(stage))
        assert "nan" not in stage.latex and "Derivative(" not in str(stage)


@pytest.mark.parametrize(
    ("name", "verdicts"),
    [
        ("linear", {"N": True}),
        ("tanh", {"N": False}),
        ("gated", {"N": False, "M": False}),
        ("normalised", {"N": True, "M": True}),
        ("half-linear", {"N": True, "M": False}),
    ],
)
def test_gaussian_closure_is_detected(name, verdicts):
    theory = theory_of(half_linear) if name == "half-linear" else derived(name)
    found = {}
    for closure in theory.closures:
        found[closure.space.name] = found.get(closure.space.name, True) and closure.gaussian
        assert closure.gaussian == (not closure.obstacles)
    assert found == verdicts
    text = str(theory.steps[6]).replace("\n", " ")
    assert ("close as matrix algebra" in text) == any(verdicts.values())
    assert ("process is sampled" in text) == (not all(verdicts.values()))


def test_quadratic_averages():
    a, b, q = sp.symbols("a b q", real=True)
    (average,) = (
        e.statement for e in derived("gated").causal if isinstance(e, ScalarEquation) and str(e.target) == "s"
    )
    ((_, function),) = average.terms
    form = quadratic_form(function)
    assert form.constant == sp.Rational(1, 10) and [c for c, _, _ in form.products] == [1]
    refs = [ref for _, ref in function.arguments] * 2
    assert quadratic_form(SiteFunction(sp.sin(a), ((a, refs[0]),))) is None
    assert quadratic_form(SiteFunction(a**2 * b, ((a, refs[0]), (b, refs[1])))) is None
    assert quadratic_form(SiteFunction(q * a + 3, ((a, refs[0]),))).products == ()


def test_an_average_that_is_not_quadratic_needs_samples():
    """Its value does not follow from correlations (without a table of Gaussian integrals)."""

    def forward(net, x):
        h = net.matrix("A", net.inputs, net.hidden("N")) @ x
        size = net.mean("q", lambda h: sp.cosh(h), h)
        return net.readout("w", net.apply(lambda h, s: h / s, h, size))

    (closure,) = theory_of(forward).closures
    assert [str(function) for function in closure.obstacles] == ["g_q*sinh(h1)", "cosh(h1)"]


def test_an_average_over_independent_processes_needs_samples_of_both():
    """``h`` and ``tanh(k)`` share no Gaussian field; ``h`` alone would close as matrix algebra and have no sites."""

    def forward(net, x):
        n = net.hidden("N")
        h, k = net.matrix("A", net.inputs, n) @ x, net.apply("tanh", net.matrix("B", net.inputs, n) @ x)
        net.mean("q", lambda a, b: a * b, h, k)
        return net.readout("w", h) + net.readout("u", k)

    closures = theory_of(forward).closures
    assert len(closures) == 2
    for closure in closures:
        assert not closure.gaussian
        assert "h2*phi1" in [str(function) for function in closure.obstacles]


def test_averages_over_independent_gaussian_processes_are_zero():
    """``h`` and ``V h`` of an untrained ``V`` share no Gaussian field; nothing is sampled for ``<h V h>``."""

    def forward(net, x):
        n = net.hidden("N")
        h = net.matrix("A", net.inputs, n) @ x
        net.mean("q", lambda a, b: a * b + 2 * b, h, net.matrix("V", n, n) @ h)
        return net.readout("w", h)

    theory = theory_of(forward)
    assert len(theory.closures) == 2
    assert all(closure.gaussian for closure in theory.closures)
    run = {"steps": 4, "learning_rate": 0.1, "richness": 1.0}
    ours, theirs = (theory.compile("numpy")(method=method, **run) for method in ("conditioning", "equations"))
    np.testing.assert_allclose(ours.f, theirs.f, rtol=0, atol=1e-12)


def test_decay_and_momentum():
    theory = theory_of(ds.mlp(2, activation=None), training=ds.GradientDescent(momentum=0.5, weight_decay=0.1))
    lines = printed(theory.steps[5])
    assert lines[0] == "w_c(t) = ρ(t) w_c(0) + (η_0 γ)/P Σ_(s<t, ν) κ(t-s) Δ_(ν c)(s) φ^L_ν(s)"
    assert "ρ(t) u^l_W,μ(t) + s_2 ρ(t) Σ_(s<t, ν c') ⟨∂φ" in lines[3]


def test_responses_at_equal_time_follow_the_order_of_the_step():
    """In a tied network every layer's matrix product acts on all others: the order decides, place by place."""
    found = {
        (str(e.target), term.noise.name): term.equal_time
        for e in derived("tied").site_equations
        for term in e.memories
        if isinstance(term, ResponseMemory)
    }
    assert found == {("h[l + 1]", "r_W"): False, ("z1[l]", "u_W"): True}


def test_responses_at_equal_time_pass_through_memories_of_the_same_step():
    """``g2(t)`` has ``h2(t)`` in its memory because ``tanh'`` responds at once: so ``g1(t)`` responds to ``u_B(t)``."""
    found = {
        str(e.target): (term.noise.name, term.equal_time)
        for e in theory_of(linear_below).site_equations
        for term in e.memories
        if isinstance(term, ResponseMemory)
    }
    assert found == {"h2": ("r_B", False), "h3": ("r_C", False), "g2": ("u_C", True), "g1": ("u_B", True)}


@pytest.mark.parametrize(
    ("expression", "jumps"),
    [
        (lambda h: sp.Max(h, 0), False),
        (lambda h: differentiate(sp.Max(h, 0), h), True),
        (lambda h: differentiate(sp.Max(h, 0) ** 2, h), False),
        (lambda h: differentiate(h * sp.Abs(h), h), False),
        (lambda h: differentiate(sp.Piecewise((h, h > 0), (sp.exp(h) - 1, True)), h), False),
        (lambda h: differentiate(sp.Piecewise((h, h > 0), (h / 100, True)), h), True),
        (lambda h: differentiate(h * sp.Max(h - 1, 0), h), True),
        (lambda h: differentiate(h / (1 + sp.Abs(h)), h), False),
    ],
)
def test_jumps(expression, jumps):
    h = sp.Symbol("h", real=True)
    assert has_jump(expression(h), h) == jumps


def test_responses_are_by_parts_where_a_function_jumps():
    theory = derived("relu")
    printed = str(theory.steps[6]).replace("\n", " ")
    assert "a point mass where it jumps" in printed
    assert "by parts" in printed
    source = theory.direct_source()
    assert "sampled, responses by parts" in source
    assert "u_W = {l: gaussian_u_W[l].member(phi[l], (steps, samples, 1), False)" in source
    assert ", tangents)" not in source[source.index("def march") :]


def test_a_jump_without_responses_does_no_harm():
    def forward(net, x):
        return net.readout("w", net.apply("relu", net.matrix("A", net.inputs, net.hidden("N")) @ x))

    source = theory_of(forward).direct_source()
    assert "np.maximum" in source
    assert "responses by parts" not in source


def test_a_free_function_has_no_numbers():
    with pytest.raises(ProgramError, match="the function phi is left open"):
        derived("free").direct_source()


def test_direct_source_needs_samples():
    with pytest.raises(ProgramError, match="allowed for given samples"):
        ds.derive(ds.deep_linear(1)).direct_source()


def test_the_module_quotes_the_equations():
    """Comments of the solver carry the numbers and the text of the single-site equations."""
    theory = derived("gated")
    source = re.sub(r"\n +# {5}", " ", theory.direct_source())
    comments = re.findall(r"^ +# \((6\.\d+)\) (.*)$", source, re.MULTILINE)
    stage = theory.steps[5]
    expected = [(stage.tag(k), text) for k, text in enumerate(printed(stage))][: len(comments)]
    assert comments == expected and len(comments) == len(theory.causal)


def test_samples_and_labels():
    """Two networks with as many samples have one solver: counts of samples and outputs are run-time arguments."""
    one, two = theory_of(ds.mlp(2)), theory_of(ds.mlp(2, outputs=3), targets=[[1, 0, 0], [0, 1, 0]])
    assert one.direct_source() == two.direct_source()
    assert len(Y) == one.data.count
