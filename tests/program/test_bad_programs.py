"""Ill-formed programs are refused with a message that names the statement; names themselves do not matter."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from agreement import compare_routes
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from strategies import Combine, Recipe, Scan, recipes

import dmft_sym as ds
from dmft_sym.networks import Vector
from dmft_sym.program import (
    Assign,
    Field,
    FieldRef,
    GaussianMatrix,
    LayerRange,
    Learn,
    Linear,
    MatrixRef,
    Observe,
    Outer,
    Product,
    Program,
    ProgramError,
    RandomVector,
    Space,
    VectorRef,
)

REPRODUCIBLE = {"derandomize": True, "deadline": None, "database": None, "phases": [Phase.generate]}


def first_layer(net, x):
    n = net.hidden("N")
    return n, net.matrix("W0", net.inputs, n) @ x


def wrong_space(net, x):
    n, _ = first_layer(net, x)
    return net.readout("w", net.matrix("A", n, n) @ x)


def sum_of_spaces(net, x):
    _, h = first_layer(net, x)
    return net.readout("w", h + net.matrix("A", net.inputs, net.hidden("M")) @ x)


def name_twice(net, x):
    n, h = first_layer(net, x)
    return net.readout("w", net.matrix("W0", n, n) @ h)


def taken_name(net, x):
    n, h = first_layer(net, x)
    return net.readout("w", net.matrix("X", n, n) @ h)


def undeclared(net, x):
    return net.readout("w", sp.Symbol("q") * first_layer(net, x)[1])


def standard_parameter(net, x):
    return net.readout("w", net.parameter("nu") * first_layer(net, x)[1])


def parameter_of_text(net, x):
    return net.readout("w", net.parameter("print(1)") * first_layer(net, x)[1])


def scan_in_scan(net, x):
    _, h = first_layer(net, x)

    def body(layer, h):
        return net.scan(lambda other, g: 2 * g, h, layers=(1, net.depth), name="inner")

    return net.readout("w", net.scan(body, h, layers=(1, net.depth)))


def carry_changes_space(net, x):
    n, h = first_layer(net, x)
    m = net.hidden("M")
    return net.readout("w", net.scan(lambda layer, h: net.matrix("A", n, m) @ h, h, layers=(1, net.depth)))


def family_too_short(net, x):
    n, h = first_layer(net, x)
    w = net.matrix("W", n, n, layers=(1, net.depth - 2))
    return net.readout("w", net.scan(lambda layer, h: w[layer] @ h, h, layers=(1, net.depth - 1)))


def family_shifted(net, x):
    n, h = first_layer(net, x)
    w = net.matrix("W", n, n, layers=(1, net.depth))
    return net.readout("w", net.scan(lambda layer, h: w[layer + 1] @ h, h, layers=(1, net.depth)))


def family_outside(net, x):
    n, h = first_layer(net, x)
    return net.readout("w", net.matrix("W", n, n, layers=(1, 3))[1] @ h)


def family_without_index(net, x):
    n, h = first_layer(net, x)
    w = net.matrix("W", n, n, layers=(1, net.depth))
    return net.readout("w", net.scan(lambda layer, h: w @ h, h, layers=(1, net.depth)))


def family_fixed(net, x):
    n, h = first_layer(net, x)
    w = net.matrix("W", n, n, layers=(1, net.depth - 1))
    return net.readout("w", net.scan(lambda layer, h: w[1] @ h, h, layers=(1, net.depth - 1)))


def index_without_family(net, x):
    n, h = first_layer(net, x)
    w = net.matrix("W", n, n)
    return net.readout("w", net.scan(lambda layer, h: w.T[layer] @ h, h, layers=(1, net.depth - 1)))


def leaked_index(net, x):
    _, h = first_layer(net, x)
    kept = []
    after = net.scan(lambda layer, h: (kept.append(layer), 2 * h)[1], h, layers=(1, net.depth))
    return net.readout("w", kept[0] * after)


def member_beyond_family(net, x):
    n, h = first_layer(net, x)
    family = net.family("k", n, layers=(1, net.depth))
    return net.readout("w", net.scan(lambda layer, h: (2 * h).named(family[layer + 2]), h, layers=(1, net.depth - 1)))


def layers_not_a_pair(net, x):
    _, h = first_layer(net, x)
    return net.readout("w", net.scan(lambda layer, h: h, h, layers=net.depth))


def vector_added(net, x):
    n, h = first_layer(net, x)
    return net.readout("w", h + Vector(net, Linear.of(VectorRef(RandomVector("b", n))), n))


def nothing_trained(net, x):
    h = net.matrix("W0", net.inputs, net.hidden("N"), train=False) @ x
    return net.readout("w", h, train=False)


def leaked_field(net, x):
    _, h = first_layer(net, x)
    kept = []

    def body(layer, h):
        kept.append((2 * h).named("k"))
        return kept[0]

    return net.readout("w", net.scan(body, h, layers=(1, net.depth)) + kept[0])


def half_a_layer(net, x):
    _, h = first_layer(net, x)
    return net.readout("w", net.scan(lambda layer, h: h, h, layers=(1, net.depth / 2)))


def layers_of_a_parameter(net, x):
    _, h = first_layer(net, x)
    return net.readout("w", net.scan(lambda layer, h: h, h, layers=(1, net.parameter("k"))))


def backward_range(net, x):
    _, h = first_layer(net, x)
    return net.readout("w", net.scan(lambda layer, h: h, h, layers=(3, 1)))


def no_width(net, x):
    return net.readout("w", net.matrix("A", net.inputs, net.hidden("N", width=0)) @ x)


def not_finite(net, x):
    return net.readout("w", first_layer(net, x)[1] / 0)


def not_real(net, x):
    return net.readout("w", sp.I * first_layer(net, x)[1])


def not_a_space(net, x):
    return net.readout("w", net.matrix("A", net.inputs, "N") @ x)


def not_a_vector(net, x):
    first_layer(net, x)
    return net.readout("w", net.matrix("A", net.inputs, net.hidden("M")) @ 3)


def ratio_of_vectors(net, x):
    layer = first_layer(net, x)[1]
    return net.readout("w", layer / layer)


REFUSED = {
    wrong_space: r"A v: v lives in space D, but this side of A \(N -> N\) takes space N",
    sum_of_spaces: r"\(W0 v\) \+ \(A v\): spaces N and M differ",
    name_twice: "the name W0 is used for two different things",
    taken_name: "the name X is taken by the data",
    undeclared: r"symbol q is not declared: .*net.parameter\('q'\)",
    standard_parameter: "parameter nu: the name belongs to a standard parameter",
    parameter_of_text: r"name 'print\(1\)': allowed are a letter followed by",
    scan_in_scan: "scan inner: a scan inside a scan is not supported",
    carry_changes_space: "scan h: the carry lives in N, its next value in M",
    family_too_short: r"W\[l\]: the scan runs over the layers 1..L - 1, but the family W has 1..L - 2",
    family_shifted: r"W\[l \+ 1\]: inside the scan over l a family is indexed by l itself; .*\(1, L\), and write",
    family_fixed: r"W\[1\]: inside the scan over l a family is indexed by l itself; .*layers=\(1, L - 1\)",
    family_outside: r"W\[1\]: a matrix family is used inside a scan",
    family_without_index: "W @ h: matrix W needs a layer index, .* layers 1..L; write W",
    index_without_family: r"W\[l\]: matrix W has no layer index; write W @ h",
    leaked_index: r"g\[L \+ 1\] = l w: l counts the layers of a scan and has no value outside of it",
    member_beyond_family: r"k\[3\] = 2 h\[1\]: there is no k\[3\], the layers are 1..L at L = 2",
    layers_not_a_pair: r"scan h: layers L: allowed is a pair, such as \(1, net.depth - 1\)",
    vector_added: r"h1 = W0 v \+ b: the random vector b in a forward pass would not be trained",
    nothing_trained: "nothing is trained: at least one matrix or readout needs train=True",
    leaked_field: r"k\[l\]: layer index l needs an integer value",
    half_a_layer: "scan h: layers L/2: allowed are integers, net.depth",
    layers_of_a_parameter: "scan h: layers k: allowed are integers, net.depth",
    backward_range: "for l = 1 down to 3: the range 3..1 of layers ends before it starts",
    no_width: "space N: width 0: allowed is a number > 0",
    not_finite: "a coefficient must be real and finite, got zoo",
    not_real: "a coefficient must be real and finite, got I",
    not_a_space: "matrix A: a matrix goes from a space to a space, got str",
    not_a_vector: "expected a traced vector, got int",
    ratio_of_vectors: r"a vector divided by a vector: .* net.apply\(lambda a, b: a / \(1 \+ b\*\*2\), u, v\)",
}


@pytest.mark.parametrize("forward", REFUSED, ids=lambda forward: forward.__name__)
def test_refused(forward):
    with pytest.raises(ProgramError, match=REFUSED[forward]) as caught:
        ds.derive(ds.network(forward, depth=3))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("forward", [nothing_trained, member_beyond_family], ids=lambda forward: forward.__name__)
def test_refused_on_given_samples(forward):
    with pytest.raises(ProgramError, match=REFUSED[forward]):
        ds.derive(ds.network(forward, depth=3), data=ds.Samples([[1.0, 2.0]], [1.0]))


@pytest.mark.parametrize("probes", [["nonsense"], "w", ["w", "W0"], ["betastar"], ["eps"]])
def test_probes_name_vectors(probes):
    with pytest.raises(ProgramError, match=r"probes = .*: allowed is a list of the readouts w$"):
        ds.derive(ds.deep_linear(1), probes=probes)


def test_given_samples_have_no_probes():
    data = ds.Samples([[1.0, 2.0]], [1.0])
    with pytest.raises(ProgramError, match=r"probes = \['w'\]: allowed is nothing where samples are given"):
        ds.derive(ds.mlp(1), data=data, probes=["w"])


@pytest.mark.parametrize("returned", [None, 0, "w", ()])
def test_forward_pass_must_return_readouts(returned):
    with pytest.raises(ProgramError, match=r"the forward pass must return net\.readout"):
        ds.derive(ds.network(lambda net, x: returned))


SPACE, OTHER = Space("S", sp.Integer(1)), Space("T", sp.Integer(2))
A = GaussianMatrix("A", SPACE, OTHER)
H, K, G = (FieldRef(Field(name, space)) for name, space in (("h", SPACE), ("k", SPACE), ("g", OTHER)))
START = Assign(H, Linear.of(VectorRef(RandomVector("a", SPACE))))
GOES = Assign(G, Linear.of(Product(MatrixRef(A), H)))

TWO = LayerRange(1, 2)

STATEMENTS = {
    "matrix beyond its family": (
        [START, Assign(K, Linear.of(Product(MatrixRef(GaussianMatrix("B", SPACE, SPACE, layers=TWO), 3), H)))],
        r"k = B\[3\] h: there is no B\[3\], the layers are 1..2",
    ),
    "cycle": ([Assign(H, Linear.of(K)), Assign(K, Linear.of(H))], r"h = k: k is read before it is assigned"),
    "never assigned": ([GOES], r"g = A h: h is never assigned"),
    "assigned twice": ([START, START], r"h = a: h is already assigned in this step"),
    "learned twice": (
        [START, GOES, *[Learn(MatrixRef(A), (Outer(sp.Integer(1), G, H),))] * 2],
        r"learn A: g h\^T: A is already learned",
    ),
    "update of the wrong shape": (
        [START, GOES, Learn(MatrixRef(A), (Outer(sp.Integer(1), H, G),))],
        r"learn A: h g\^T: the update of A \(S -> T\) is a sum",
    ),
    "learning what is drawn anew": (
        [
            START,
            Assign(G, Linear.of(Product(MatrixRef(GaussianMatrix("B", SPACE, OTHER, fresh=True)), H))),
            Learn(MatrixRef(GaussianMatrix("B", SPACE, OTHER, fresh=True)), (Outer(sp.Integer(1), G, H),)),
        ],
        r"learn B: g h\^T: B is drawn anew at every step and cannot learn",
    ),
    "scalar twice": ([START, *[Observe("norm", ((sp.Integer(1), H, H),))] * 2], "observe norm: .* already reported"),
    "one name for two": ([START, Assign(FieldRef(Field("a", SPACE)), Linear.of(H))], "the name a is used for two"),
}


@pytest.mark.parametrize("case", STATEMENTS)
def test_statements_refused(case):
    statements, message = STATEMENTS[case]
    with pytest.raises(ProgramError, match=message):
        Program(tuple(statements))


def test_wrong_side_of_a_matrix():
    with pytest.raises(ProgramError, match=r"A\^T h: h lives in space S, but this side of A \(S -> T\) takes space T"):
        Product(MatrixRef(A), H, transpose=True)
    with pytest.raises(ProgramError, match="h = g: g lives in space T, but h in S"):
        Assign(H, Linear.of(G))


def damaged(recipe, place, node):
    """The recipe with one node of one term replaced."""
    count = 0

    def combine(statement):
        nonlocal count
        terms = []
        for term in statement.terms:
            terms.append(type(term)(term.coefficient, term.matrix, node) if count == place else term)
            count += 1
        return Combine(statement.name, tuple(terms), statement.named)

    statements = tuple(
        Scan(s.names, s.carries, s.first, s.last, tuple(combine(c) for c in s.body))
        if isinstance(s, Scan)
        else combine(s)
        for s in recipe.statements
    )
    return Recipe(recipe.widths, recipe.matrices, statements, recipe.readouts)


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in (1, 2))])
def test_damaged_networks_are_refused_or_right(part):
    """One operand replaced by another: a network that still fits is derived, any other named in one line."""

    @seed(part)
    @settings(max_examples=10, suppress_health_check=list(HealthCheck), **REPRODUCIBLE)
    @given(recipes(), st.integers(0, 8), st.data())
    def check(recipe, place, data):
        refused_or_right(recipe, place, data)

    check()


def refused_or_right(recipe, place, data):
    nodes = ["x", *(n for s in recipe.statements for n in (s.names if isinstance(s, Scan) else (s.name,)))]
    network = ds.network(damaged(recipe, place, data.draw(st.sampled_from(nodes))))
    message = ""
    try:
        ds.derive(network).closed  # noqa: B018
    except ProgramError as error:
        message = str(error)
    except KeyError:  # the recipe itself uses a node before it exists
        pass
    assert "\n" not in message


def named_network(space, first, weights, inner, outer, readout, parameter, scan):
    def forward(net, x):
        n = net.hidden(space)
        b = net.parameter(parameter, default=0.7)
        h = (net.matrix(first, net.inputs, n) @ x).named(inner)
        w = net.matrix(weights, n, n)
        h = net.scan(lambda layer, h: h + b / (layer + 1) * (w @ h), h, layers=(1, net.depth - 1), name=scan)
        return net.readout(readout, (w @ h + b * h).named(outer))

    return forward


PLAIN = ("Sites", "First", "Second", "one", "two", "out", "beta", "deep")
RUN = {"samples_per_dim": 2.0, "width_per_dim": 0.7, "richness": 2.0, "learning_rate": 0.02, "depth": 3, "outputs": 2}


@pytest.mark.parametrize(
    "names",
    [
        ("W", "A", "C", "n", "l", "R_x", "lambda", "t"),
        ("i", "np", "mp", "g", "h", "one", "t", "g_h"),
        ("kappa", "rho", "past", "A", "W", "lambda", "C", "n"),
        ("steps", "outputs", "march", "print", "None", "import", "np", "c1"),
        ("zoo", "pi", "E", "I", "S", "Q", "n", "N"),
        ("lag", "u_W", "r_W", "C_h_h", "s", "class", "A", "l"),
    ],
    ids=" ".join,
)
def test_names_do_not_matter(names):
    plain, renamed = (ds.derive(ds.network(named_network(*n))) for n in (PLAIN, names))
    losses = [theory.compile("numpy")(steps=6, **RUN).test_loss.values for theory in (plain, renamed)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-13)
    assert compare_routes(renamed, RUN, steps=6).worst()[1] < 1e-8


def test_names_that_read_the_same_are_refused():
    """``C_a_b_c`` is the correlation of a and b_c, or of a_b and c: never one array for both."""

    def forward(net, x):
        n = net.hidden("N")
        w = net.matrix("W", n, n)
        fields = [(net.matrix(f"M{k}", net.inputs, n) @ x).named(k) for k in ("a", "b_c", "a_b", "c")]
        return net.readout("w", w @ fields[0] + w @ fields[1] + w @ fields[2] + w @ fields[3])

    assert refusal(forward) == (
        "C_a_b_c would name the correlation of a and b_c and the correlation of a_b and c: allowed are names that tell "
        "them apart"
    )


def refusal(forward):
    with pytest.raises(ProgramError) as caught:
        ds.derive(ds.network(forward)).closed  # noqa: B018
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_vector_with_the_name_of_a_gaussian_field_is_refused():
    def forward(net, x):
        n = net.hidden("N")
        return net.readout("u_W", net.matrix("W", net.inputs, n) @ x)

    message = refusal(forward)
    assert "to the vector u_W" in message
    assert "to the Gaussian field u_W of W v" in message


def same_matrix_twice(shared, first, second):
    """One matrix at two places, next to two others; all names of matrices are arguments."""

    def forward(net, x):
        n = net.hidden("N")
        h = net.matrix("In", net.inputs, n) @ x
        w, a, b = (net.matrix(name, n, n) for name in (shared, first, second))
        # Skips, so that all fields are of one process and all responses exist.
        h = h + w @ h + a @ h
        return net.readout("w", h + w @ (b @ h))

    return ds.derive(ds.network(forward))


@pytest.mark.parametrize(
    "names", [("W", "W_1", "W_2"), ("W", "W_use1", "W_2"), ("W_1", "W_1_2", "W_1_use2")], ids=" ".join
)
def test_labels_of_a_shared_matrix_do_not_meet_those_of_others(names):
    theory, plain = same_matrix_twice(*names), same_matrix_twice("S", "A", "B")
    noises = [use.noise_name for use in theory.uses.all]
    assert len(set(noises)) == len(noises)
    run = {key: RUN[key] for key in RUN if key != "depth"}
    losses = [one.compile("numpy")(steps=6, **run).test_loss.values for one in (theory, plain)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-13)
    assert compare_routes(theory, run, steps=6).worst()[1] < 1e-8
    assert {use.noise_name for use in plain.uses.all} >= {"u_S_1", "u_S_2", "r_S_1", "r_S_2"}  # nothing to avoid
