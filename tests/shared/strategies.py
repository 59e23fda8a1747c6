"""Hypothesis strategies: random linear forward passes, and how they are trained."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp
from hypothesis import strategies as st

import dmft_sym as ds
from dmft_sym.networks import GradientDescent, OnlineSGD, Outputs, Tracer, TrainingRule, Vector, Weights
from dmft_sym.program import DEPTH

COEFFICIENTS = ("1", "-1", "1/2", "3/2", "-0.3", "b")
SCAN_COEFFICIENTS = (*COEFFICIENTS, "1/sqrt(L)", "1/(l+1)")
WIDTHS = ("1", "1/2", "3/2")


@dataclass(frozen=True)
class Term:
    """``coefficient * matrix @ node`` (the node itself without a matrix); nodes and matrices by name."""

    coefficient: str
    matrix: str | None
    node: str
    transposed: bool = False


@dataclass(frozen=True)
class Combine:
    """``name = sum of terms``; ``named`` gives it a name in the program as well."""

    name: str
    terms: tuple[Term, ...]
    named: bool = False


@dataclass(frozen=True)
class Scan:
    """A scan over layers ``first .. L + last`` of the statements ``body``, the last of which are the next carries.

    In the body the carries are ``carry0``, ``carry1``; afterwards they go by ``names``.
    """

    names: tuple[str, ...]
    carries: tuple[str, ...]
    first: int
    last: int
    body: tuple[Combine, ...]


@dataclass(frozen=True)
class Matrix:
    """A matrix between spaces by number (0 is the input); a family if it has ``layers``."""

    name: str
    source: int
    target: int
    init: str = "1"
    layers: tuple[int, int] | None = None
    train: bool = True


@dataclass(frozen=True)
class Recipe:
    """A forward pass as data, so that a failing example prints; call it to trace it."""

    widths: tuple[str, ...]
    matrices: tuple[Matrix, ...]
    statements: tuple[Combine | Scan, ...]
    readouts: tuple[tuple[str, str], ...]

    def __call__(self, net: Tracer, x: Vector) -> Outputs:
        return _Builder(self, net, x).outputs()


class _Builder:
    def __init__(self, recipe: Recipe, net: Tracer, x: Vector) -> None:
        self.recipe = recipe
        self.net = net
        spaces = [net.inputs, *(net.hidden(f"N{k}", sp.Rational(w)) for k, w in enumerate(recipe.widths))]
        self.parameter = net.parameter("b", default=0.7)
        self.nodes: dict[str, Vector] = {"x": x}
        self.families = {m.name for m in recipe.matrices if m.layers is not None}
        self.weights: dict[str, Weights] = {}
        for m in recipe.matrices:
            layers = None if m.layers is None else (m.layers[0], net.depth + m.layers[1])
            source, target = spaces[m.source], spaces[m.target]
            options = {"layers": layers, "init": sp.Rational(m.init), "train": m.train}
            self.weights[m.name] = net.matrix(m.name, source, target, **options)

    def outputs(self) -> Outputs:
        for statement in self.recipe.statements:
            if isinstance(statement, Scan):
                self.scan(statement)
            else:
                self.combine(statement, None)
        parts = [
            self.coefficient(c, None) * self.net.readout(f"w{k}", self.nodes[node])
            for k, (c, node) in enumerate(self.recipe.readouts)
        ]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def scan(self, scan: Scan) -> None:
        count = len(scan.names)

        def body(layer: sp.Symbol, *carries: Vector) -> tuple[Vector, ...]:
            self.nodes.update({f"carry{k}": carry for k, carry in enumerate(carries)})
            for statement in scan.body:
                self.combine(statement, layer)
            return tuple(self.nodes[statement.name] for statement in scan.body[-count:])

        layers = (scan.first, self.net.depth + scan.last)
        carries = tuple(self.nodes[carry] for carry in scan.carries)
        results = self.net.scan(body, carries, layers=layers, name=scan.names)
        self.nodes.update(zip(scan.names, results, strict=True))

    def combine(self, statement: Combine, layer: sp.Symbol | None) -> None:
        vectors = [self.coefficient(t.coefficient, layer) * self.product(t, layer) for t in statement.terms]
        total = vectors[0]
        for vector in vectors[1:]:
            total = total + vector
        self.nodes[statement.name] = total.named(statement.name) if statement.named else total

    def product(self, term: Term, layer: sp.Symbol | None) -> Vector:
        node = self.nodes[term.node]
        if term.matrix is None:
            return node
        weights = self.weights[term.matrix].T if term.transposed else self.weights[term.matrix]
        return (weights[layer] if term.matrix in self.families else weights) @ node

    def coefficient(self, text: str, layer: sp.Symbol | None) -> sp.Expr:
        special = {"b": self.parameter, "1/sqrt(L)": 1 / sp.sqrt(self.net.depth)}
        if layer is not None:
            special["1/(l+1)"] = 1 / (layer + 1)
        return special[text] if text in special else sp.Rational(text)


class _Drawer:
    """Draws the parts of a recipe, keeping the books of what exists in which space."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.widths = tuple(draw(st.lists(st.sampled_from(WIDTHS), min_size=1, max_size=3)))
        self.matrices: list[Matrix] = []
        self.spaces = {"x": 0}
        self.count = 0

    def recipe(self) -> Recipe:
        statements: list[Combine | Scan] = []
        for _ in range(self.draw(st.integers(0, 4))):
            scannable = [n for n, s in self.spaces.items() if s > 0]
            if scannable and self.draw(st.integers(0, 3)) == 0:
                carries = self.draw(st.lists(st.sampled_from(scannable), min_size=1, max_size=2))
                statements.append(self.scan(tuple(carries)))
            else:
                statements.append(self.combine(self.draw(st.integers(1, len(self.widths))), self.spaces, None))
        # The last node is read out, others may be: skips into readouts.
        last = list(self.spaces)[-1]
        more = self.draw(st.lists(st.sampled_from(list(self.spaces)), max_size=2))
        readouts = tuple((self.draw(st.sampled_from(COEFFICIENTS)), node) for node in (last, *more))
        return Recipe(self.widths, tuple(self.matrices), tuple(statements), readouts)

    def fresh_name(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def combine(self, target: int, known: dict[str, int], layers: tuple[int, int] | None) -> Combine:
        terms = []
        for _ in range(self.draw(st.integers(1, 3))):
            node = self.draw(st.sampled_from(list(known)))
            matrix, transposed = None, False
            if known[node] != target or self.draw(st.booleans()):
                matrix, transposed = self.matrix(known[node], target, layers)
            pool = COEFFICIENTS if layers is None else SCAN_COEFFICIENTS
            terms.append(Term(self.draw(st.sampled_from(pool)), matrix, node, transposed))
        name = self.fresh_name("a")
        known[name] = target
        return Combine(name, tuple(terms), self.draw(st.booleans()))

    def matrix(self, source: int, target: int, layers: tuple[int, int] | None) -> tuple[str, bool]:
        """A matrix that fits, and whether its transpose does: one that is used already, or a new one.

        In a scan it is perhaps a family.
        """
        usable = [m for m in self.matrices if m.layers in (None, layers)]
        fitting = [(m.name, False) for m in usable if (m.source, m.target) == (source, target)]
        fitting += [(m.name, True) for m in usable if (m.target, m.source) == (source, target)]
        if fitting and self.draw(st.integers(0, 2)) > 0:
            return self.draw(st.sampled_from(fitting))
        family = layers is not None and self.draw(st.booleans())
        init = self.draw(st.sampled_from(("1", "1", "1/2")))
        name = self.fresh_name("W")
        train = self.draw(st.integers(0, 5)) > 0
        self.matrices.append(Matrix(name, source, target, init, layers if family else None, train))
        return name, False

    def scan(self, carries: tuple[str, ...]) -> Scan:
        layers = self.draw(st.sampled_from(((1, -1), (1, 0), (2, 1), (3, 0), (0, -1))))
        spaces = [self.spaces[carry] for carry in carries]
        known = {**self.spaces, **{f"carry{k}": space for k, space in enumerate(spaces)}}
        inner = [self.draw(st.integers(1, len(self.widths))) for _ in range(self.draw(st.integers(0, 2)))]
        body = tuple(self.combine(target, known, layers) for target in (*inner, *spaces))
        names = tuple(self.fresh_name("h") for _ in carries)
        self.spaces.update(zip(names, spaces, strict=True))
        return Scan(names, carries, *layers, body)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Linear forward passes: skips, branches, shared matrices, unequal widths, scans of symbolic depth."""
    return _Drawer(draw).recipe()


@st.composite
def training_rules(draw: st.DrawFn) -> TrainingRule:
    """Batch or online, with or without momentum and weight decay, a third of them centered."""
    rule = draw(st.sampled_from((GradientDescent, OnlineSGD)))
    memory = {"momentum": draw(st.sampled_from((0.0, 0.5))), "weight_decay": draw(st.sampled_from((0.0, 0.04)))}
    return rule(**memory, centered=draw(st.sampled_from((False, False, True))))


@st.composite
def run_parameters(draw: st.DrawFn, theory: ds.Theory) -> dict[str, float]:
    """Keyword arguments of a run; steps are small enough to be stable."""
    found = {
        "samples_per_dim": draw(st.sampled_from((0.6, 2.0, 5.0, float("inf")))),
        "width_per_dim": draw(st.sampled_from((0.5, 1.0, 1.7))),
        "richness": draw(st.sampled_from((0.8, 2.0))),
        "learning_rate": draw(st.sampled_from((0.01, 0.03))),
        "label_noise": draw(st.sampled_from((0.0, 0.3))),
        "init_std": draw(st.sampled_from((0.6, 1.0))),
        "outputs": draw(st.integers(1, 3)),
    }
    if DEPTH in theory.program.parameters:
        first = theory.program.smallest_depth
        found["depth"] = draw(st.integers(first, max(first, 4)))
    return found


@st.composite
def trainings(draw: st.DrawFn) -> tuple[Recipe, ds.Theory, dict[str, float]]:
    """A network, the theory of its training, and parameters of a run."""
    recipe = draw(recipes())
    parametrization = draw(st.sampled_from((ds.MUP, ds.NTK)))
    network = ds.network(recipe, name="random", parametrization=parametrization)
    theory = ds.derive(network, training=draw(training_rules()))
    return recipe, theory, draw(run_parameters(theory))


# Small networks with most of the features, for what is too slow for random ones.
SHARED = Recipe(
    ("1", "3/2"),
    (Matrix("W0", 0, 1), Matrix("W1", 1, 2), Matrix("W2", 2, 2, "1/2")),
    (
        Combine("a1", (Term("1", "W0", "x"),), True),
        Combine("a2", (Term("1", "W1", "a1"),)),
        Combine("a3", (Term("1", "W2", "a2"), Term("b", None, "a2"))),
        Combine("a4", (Term("-1", "W2", "a3"),)),
    ),
    (("1", "a4"), ("1/2", "a2"), ("-1", "x")),
)
SCANNED = Recipe(
    ("1",),
    (Matrix("W0", 0, 1), Matrix("F", 1, 1, "1", (1, -1)), Matrix("S", 1, 1)),
    (
        Combine("a1", (Term("1", "W0", "x"),), True),
        Scan(
            ("h",),
            ("a1",),
            1,
            -1,
            (
                Combine("a2", (Term("1/(l+1)", "S", "a1"), Term("b", None, "carry0")), True),
                Combine("a3", (Term("1", None, "a2"), Term("1/sqrt(L)", "F", "carry0"))),
            ),
        ),
    ),
    (("1", "h"),),
)
# What the scan starts from has no name and is used by a matrix and by a readout after it.
STARTED = Recipe(
    ("1",),
    (Matrix("W0", 0, 1), Matrix("F", 1, 1, "1", (1, -1)), Matrix("S", 1, 1)),
    (
        Combine("a1", (Term("1", "W0", "x"),)),
        Scan(("h",), ("a1",), 1, -1, (Combine("a2", (Term("1", None, "carry0"), Term("b", "F", "carry0"))),)),
        Combine("a3", (Term("1", None, "h"), Term("-1", "S", "a1"))),
    ),
    (("1", "a3"), ("1/2", "a1")),
)
# A matrix and its transpose: in a scan as one matrix and as a family, between layers of different widths, after a scan.
TRANSPOSED = Recipe(
    ("1", "1/2"),
    (Matrix("W0", 0, 1), Matrix("F", 1, 2, "1", (1, -1)), Matrix("S", 1, 2)),
    (
        Combine("a1", (Term("1", "W0", "x"),), True),
        Scan(
            ("h",),
            ("a1",),
            1,
            -1,
            (
                Combine("a2", (Term("1", "S", "carry0"), Term("b", "F", "carry0"))),
                Combine("a3", (Term("1", None, "carry0"), Term("1/2", "F", "a2", True), Term("-0.3", "S", "a2", True))),
            ),
        ),
        Combine("a4", (Term("1", "S", "h"),)),
        Combine("a5", (Term("1", "S", "a4", True), Term("1", None, "a1"))),
    ),
    (("1", "a5"), ("1", "a4")),
)
