"""A label that nothing in the toolkit knows, declared here by hand: the token of a sequence.

Networks use the same matrices at several tokens ``k`` of a sample ``mu``, which scale one input or have inputs of their
own, and have outputs and targets for every token. All stages take the label from the program.
"""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from dmft_sym.codegen.equations.two_time import two_time_source
from dmft_sym.codegen.programs.sampled import write

from dmft_sym.cache.modules import load_module, program_key
from dmft_sym.derivation.pipeline import Pipeline
from dmft_sym.derivation.presentation import stages
from dmft_sym.execution import ExecutionError, run_coordinates, run_finite
from dmft_sym.execution.planning import label_sizes
from dmft_sym.execution.replicas import run_replicas
from dmft_sym.networks.parameters import ETA, GAMMA
from dmft_sym.program import (
    OUTPUT,
    SAMPLE,
    SAMPLES,
    Assign,
    Average,
    Compute,
    Field,
    FieldRef,
    GaussianMatrix,
    Label,
    Learn,
    Linear,
    MatrixRef,
    Optimizer,
    Outer,
    Product,
    Program,
    ProgramError,
    RandomVector,
    Relabelled,
    Scalar,
    ScalarRef,
    SiteFunction,
    SiteMap,
    Space,
    VectorRef,
)
from dmft_sym.program.labels import common_order

TOKEN = Label.of("token", "k", "k'", "K")
ALL = (SAMPLE, TOKEN, OUTPUT)
WORDS = (SAMPLE, TOKEN)
INPUTS, HIDDEN = Space("D", sp.Integer(1), finite=True), Space("N", sp.Integer(1))
FIRST = MatrixRef(GaussianMatrix("U", INPUTS, HIDDEN))
SHARED = MatrixRef(GaussianMatrix("W", HIDDEN, HIDDEN))
READOUT = VectorRef(RandomVector("w", HIDDEN))
X = FieldRef(Field("x", INPUTS, axes=(SAMPLE,), data=True))
SEQUENCE = FieldRef(Field("x", INPUTS, axes=WORDS, data=True))
SCALE = ScalarRef(Scalar("a", (TOKEN,), data=True))
TARGET = ScalarRef(Scalar("y", ALL, data=True))
TOKENS, OUTPUTS = 3, 2
STEPS, SITES, SEEDS = 6, 2000, 12


def field(name, axes):
    return FieldRef(Field(name, HIDDEN, axes=axes))


def function(expression, **arguments):
    """A function of sites whose symbols are the names of the arguments."""
    symbols = {name: sp.Symbol(name, real=True) for name in arguments}
    made = sp.sympify(expression, locals=symbols)
    return SiteFunction(made, tuple((symbols[name], ref) for name, ref in arguments.items()))


def computed(target, expression, **arguments):
    made = function(expression, **arguments)
    return Compute(target, made.expression, made.arguments)


def tokens(momentum=0):
    """One step of training; a gate ``s``, the mean size of a token, is not differentiated."""
    h, q, v, e = field("h", (SAMPLE,)), field("q", WORDS), field("v", WORDS), field("e", WORDS)
    g, z, d = (field(name, ALL) for name in "gzd")
    b, s = ScalarRef(Scalar("b", (TOKEN,))), ScalarRef(Scalar("s", WORDS))
    f, error = ScalarRef(Scalar("f", ALL)), ScalarRef(Scalar("Delta", ALL))
    rate = ETA * GAMMA / (SAMPLES * TOKEN.size)
    return Program(
        (
            computed(b, "1 + a**2/4", a=SCALE),
            Assign(h, Linear.of(Product(FIRST, X))),
            Average(s, ((sp.Integer(1), function("tanh(a*h)**2", a=SCALE, h=h)),)),
            SiteMap(q, function("b*tanh(a*h)/(1 + s)", a=SCALE, b=b, h=h, s=s)),
            Assign(v, Linear.of(Product(SHARED, q)) + Linear.of(h, sp.Rational(1, 2))),
            SiteMap(e, function("tanh(v)", v=v)),
            Average(f, ((1 / GAMMA, function("e*w", e=e, w=READOUT)),)),
            computed(error, "y - f", y=TARGET, f=f),
            SiteMap(g, function("w*(1 - tanh(v)**2)", w=READOUT, v=v)),
            Assign(z, Linear.of(Product(SHARED, g, transpose=True))),
            SiteMap(d, function("z*a*b*(1 - tanh(a*h)**2)/(1 + s) + g/2", z=z, a=SCALE, b=b, h=h, s=s, g=g)),
            Learn(READOUT, (Outer(rate, e, weight=error),)),
            Learn(SHARED, (Outer(rate, g, q, weight=error),)),
            Learn(FIRST, (Outer(rate, d, X, weight=error),)),
        ),
        Optimizer(sp.sympify(momentum)),
        "tokens",
    )


def sequences(value="tanh({0})", slope="(1 - tanh({0})**2)"):
    """One step for inputs with tokens; what goes back through ``W`` are fields without a token."""
    h, e, v, o = (field(name, WORDS) for name in "hevo")
    r, z, d = field("r", (SAMPLE, OUTPUT)), field("z", ALL), field("d", ALL)
    size = ScalarRef(Scalar("q", (SAMPLE,), data=True))
    f, error = ScalarRef(Scalar("f", ALL)), ScalarRef(Scalar("Delta", ALL))
    rate = ETA * GAMMA / (4 * SAMPLES)
    return Program(
        (
            Assign(h, Linear.of(Product(FIRST, SEQUENCE))),
            SiteMap(e, function(value.format("h"), h=h)),
            Assign(v, Linear.of(Product(SHARED, e))),
            SiteMap(o, function(value.format("v"), v=v)),
            Average(f, ((1 / GAMMA, function("o*w", o=o, w=READOUT)),)),
            computed(error, "a*(y - f)", a=SCALE, y=TARGET, f=f),
            SiteMap(r, function("q*w", q=size, w=READOUT)),
            Assign(z, Linear.of(Product(SHARED, r, transpose=True))),
            SiteMap(d, function(f"z*{slope.format('h')}", z=z, h=h)),
            Learn(READOUT, (Outer(rate, o, weight=error),)),
            Learn(SHARED, (Outer(rate, r, e, weight=error),)),
            Learn(FIRST, (Outer(rate, d, SEQUENCE, weight=error),)),
        ),
        name="sequences",
    )


def data(made):
    rng = np.random.default_rng(2)
    inputs = (4, TOKENS, 5) if made.data_fields[0].axes == WORDS else (4, 5)
    return {
        "x": rng.standard_normal(inputs),
        "y": rng.standard_normal((4, TOKENS, 2)),
        "a": np.array([0.5, 1.0, -1.5]) if len(inputs) == 2 else np.array([0.5, 1.0, 1.5]),
        "q": np.array([0.5, 1.0, 0.8, 1.2]),
    }


VALUES = {ETA: 0.8, GAMMA: 1.5, SAMPLES: 4, TOKEN.size: TOKENS}
PROGRAMS = {
    "tokens": tokens,
    "momentum": lambda: tokens(sp.Rational(2, 5)),
    "sequences": sequences,
    "linear": lambda: sequences("{0}", "1"),
}


def test_labels_are_those_of_the_declarations_in_their_order():
    made = tokens()
    assert made.labels == ALL
    assert made.joined(TARGET, SCALE, X) == ALL
    assert made.joined(READOUT, SCALE) == (TOKEN, OUTPUT)
    assert set(made.parameters) == {ETA, GAMMA, SAMPLES, TOKEN.size}


def test_order_is_one_that_all_axes_have():
    assert common_order([(OUTPUT,), (SAMPLE,), (SAMPLE, OUTPUT)]) == (SAMPLE, OUTPUT)
    assert common_order([(OUTPUT,), (SAMPLE, TOKEN), (TOKEN, OUTPUT)]) == ALL
    assert common_order([(TOKEN,), (SAMPLE, OUTPUT)]) == (TOKEN, SAMPLE, OUTPUT)  # as they come


def test_program_prints_its_labels():
    text = str(tokens())
    assert "field q[mu, k] in N" in text and "field g[mu, k, c] in N" in text and "scalar a[k], given" in text
    assert "at every step t, for every sample mu, token k and output c:" in text
    latex = tokens()._repr_latex_()
    assert r"q_{\mu k}(t) &= \frac{b_{k}(t) \tanh{\left(a_{k} h_{\mu}(t) \right)}}{s_{\mu k}(t) + 1}" in latex
    assert r"\sum_{\mu k c} \Delta_{\mu k c}(t)\, g_{\mu k c}(t)\, q_{\mu k}(t)^{\top} / n_{N}" in latex
    assert r"\sum_{\mu k} \Delta_{\mu k c}(t)\, e_{\mu k}(t)" in latex  # of every output


def test_what_does_not_fit_is_refused():
    q = field("q", WORDS)
    with pytest.raises(ProgramError, match="the left-hand side has no label token"):
        SiteMap(field("h", (SAMPLE,)), function("q", q=q))
    first = Assign(field("h", (SAMPLE,)), Linear.of(Product(FIRST, X)))
    tokens_first, another = field("o", (TOKEN, SAMPLE)), field("o", (SAMPLE, Label.of("token", "j", "j'", "J")))
    second = Assign(q, Linear.of(first.target))
    with pytest.raises(ProgramError, match="labels sample, token: allowed is the same order in all axes"):
        Program((first, second, Assign(tokens_first, Linear.of(q))))
    with pytest.raises(ProgramError, match="token is used for two different labels"):
        Program((first, second, Assign(another, Linear.of(first.target))))
    with pytest.raises(ProgramError, match="allowed are labels, each of them once"):
        Field("q", HIDDEN, axes=("sample",))
    with pytest.raises(ProgramError, match=r"carries a label that sum_\{k\} q sums over"):
        Assign(field("h", WORDS), Linear.of(Relabelled(q, over=(TOKEN,))))
    other = Label.of("other", "j", "j'", "K", TOKEN)
    with pytest.raises(ProgramError, match="two labels of q become one"):
        Relabelled(field("q", (*WORDS, other)), over=(TOKEN,), names=((other, TOKEN),))


def test_equations_carry_the_label():
    derivation = Pipeline(tokens())
    latex = "".join(stage.latex for stage in stages(derivation))
    # Overlaps and responses of the action and its saddle point
    assert r"C^{q,q}_{\mu k,\,\nu k'}(t,s)" in latex
    assert r"R^{q,r_{W}}_{\mu k,\,\nu k' c'}(t,s)" in latex
    assert r"$(t,\mu,k,c)$ and $(s,\nu,k',c')$" in latex
    # Single-site equations: the noise of a token, and memories that run over all tokens
    assert r"v_{\mu k}(t) &= u_{W, \mu k}(t) + \sum_{s<t, \nu k' c'}" in latex
    assert r"\Delta_{\nu k' c'}(s)\, \big\langle q_{\mu k}(t)\, q_{\nu k'}(s) \big\rangle\, g_{\nu k' c'}(s)" in latex
    assert r"\sum_{s<t, \nu k'} \Delta_{\nu k' c}(s)\, e_{\nu k'}(s)" in latex
    shared = [noise for noise in derivation.noises if noise.name == "u_W"]
    assert [noise.axes for noise in shared] == [WORDS]


def test_overlaps_of_inputs_carry_the_label():
    latex = "".join(stage.latex for stage in stages(Pipeline(sequences())))
    assert r"K^{x}_{\mu k \nu k'} = x_{\mu k} \cdot x_{\nu k'} / D" in latex


@pytest.mark.parametrize("name", PROGRAMS)
def test_sizes_are_found_or_asked_for(name):
    made = PROGRAMS[name]()
    values = {symbol: value for symbol, value in VALUES.items() if symbol != TOKEN.size}
    given = data(made)
    if given["x"].ndim == 3:
        assert label_sizes(made, values, OUTPUTS, given) == {SAMPLE: 4, TOKEN: TOKENS, OUTPUT: OUTPUTS}
    else:
        with pytest.raises(ExecutionError, match="no value given for K"):
            label_sizes(made, values, OUTPUTS, given)


def replicas(made, module, sites=SITES, count=2):
    """Sampled networks; where inputs say how many tokens there are, nothing else does."""
    values = {
        symbol: VALUES[symbol] for symbol in (*made.parameters, *((TOKEN.size,) if made.name == "tokens" else ()))
    }
    return run_replicas(
        module, made, values, OUTPUTS, STEPS, sites * count, count, seed=5, data=data(made), threads=2, tol=1e-3
    )


@pytest.mark.parametrize("name", ["momentum", "sequences"])
def test_generated_module_is_the_plain_arithmetic(name):
    made = PROGRAMS[name]()
    module = load_module(program_key(str(made), "sampled"), "sampled", lambda: write(made, alone=False))
    found, wanted = replicas(made, module, 202), replicas(made, None, 202)
    for one, other in zip(found, wanted, strict=True):
        assert one.scalars["f"].shape == (STEPS, 4, TOKENS, OUTPUTS)
        for scalar, values in other.scalars.items():
            np.testing.assert_allclose(one.scalars[scalar], values, rtol=1e-12, atol=1e-12, err_msg=scalar)
        for key, counts in other.directions.items():
            np.testing.assert_array_equal(one.directions[key], counts)


def by_name(result):
    return {ref.scalar.name: values for ref, values in result.scalars.items()}


@pytest.mark.parametrize("name", ["tokens", "sequences", "linear"])
def test_finite_networks_agree_with_the_infinite_one(name):
    made = PROGRAMS[name]()
    given = data(made)
    theory = [run.scalars for run in replicas(made, None, count=8)]
    finite = [by_name(run_finite(made, VALUES, OUTPUTS, STEPS, 500, seed, data=given)) for seed in range(SEEDS)]
    for scalar in theory[0]:
        if scalar == "b":  # of given numbers alone
            continue
        ours, theirs = (np.stack([run[scalar] for run in runs]) for runs in (theory, finite))
        errors = [part.std(axis=0, ddof=1) / np.sqrt(len(part)) for part in (ours, theirs)]
        assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) / np.hypot(*errors)).max() < 4
    size = (theory[0]["Delta"] ** 2).mean(axis=(1, 2, 3))
    assert size[-1] < 0.9 * size[0]


def test_linear_network_in_growing_coordinates():
    made = PROGRAMS["linear"]()
    exact = by_name(run_coordinates(made, VALUES, OUTPUTS, STEPS, data=data(made)))
    sampled = np.stack([run.scalars["f"] for run in replicas(made, None, count=24)])
    error = sampled[:, 1:].std(axis=0, ddof=1) / np.sqrt(len(sampled))
    assert (np.abs(sampled.mean(axis=0) - exact["f"])[1:] / error).max() < 4


def test_direct_two_time_solver_names_the_label():
    with pytest.raises(ProgramError, match="labels sample, token, output: allowed in a direct two-time solver are"):
        two_time_source(Pipeline(tokens()))
