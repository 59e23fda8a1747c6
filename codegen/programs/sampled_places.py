"""Where the things of a program are in a generated sampled solver: rows of fields, sides of matrices, numbers.

All fields and random vectors are rows of one array: of a family layer by layer, of a layer label by label
(`sampled_labels`). Matrices between sampled spaces are numbered, and so are, by themselves, those from the inputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import sympy as sp
from dmft_sym.codegen.text.coefficient_text import float_text, integer_text, length_text, range_text
from dmft_sym.codegen.text.names import free_name, python_name

from dmft_sym.program import (
    ONE,
    OUTPUTS,
    Assign,
    Field,
    FieldRef,
    GaussianMatrix,
    Initial,
    LayerRange,
    MatrixRef,
    Observe,
    Program,
    ProgramError,
    RandomVector,
    Scalar,
    ScalarRef,
    VectorRef,
)

from .sampled_labels import Labels

# Names of the functions that take parameters; a parameter with such a name gets an underscore.
_RUN = ("antithetic", "inputs", "inspect", "outputs", "pauses", "progress", "sites", "steps", "stream", "tol")
_LOCAL = ("M", "at", "fields", "float", "integers", "itertools", "line", "math", "n", "np", "numbers", "replica", "run")
_DATA = ("scalars", "t", "targets", "terms", "train", "vectors")
_TAKEN = frozenset({*_RUN, *_LOCAL, *_DATA})
_TOTALS = ("rows", "matrices")
_KEYWORDS = {"y": "targets"}


class DeclaredPlaces:
    """Names and places of everything that a program declares.

    Parameters
    ----------
    program
        One training step on given samples.

    Raises
    ------
    ProgramError
        If the program does not fit: several inputs, fields of the input space, matrices that are drawn anew.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.inputs = _inputs(program)
        self.labels = Labels(program, self.inputs[0])
        self.fields = program.fields
        self.vectors = program.vectors
        self.given = tuple(s for s in program.scalars if s.data)
        self.computed = tuple(s for s in program.scalars if not s.data)
        self.input_matrices = tuple(
            tuple(m for m in program.matrices if m.source == given.space) for given in self.inputs
        )
        self.matrices = tuple(m for m in program.matrices if not m.source.finite)
        _check(program)
        self.counts = tuple(f"input_matrices{number or ''}" for number in range(len(self.inputs)))
        names = [field.name for field in self.fields] + [vector.name for vector in self.vectors]
        names += [matrix.name for matrix in program.matrices] + [scalar.name for scalar in program.scalars]
        taken = {*_TOTALS, *self.counts, "count", "index"}
        self._attributes = {name: free_name(name, taken) for name in names}
        taken |= set(self._attributes.values())
        self.apart = free_name("apart", taken) if self._gaps else ""
        self.memories: dict[str, str] = {}
        if program.optimizer.recursion.has_memory:
            self.memories = {v.name: free_name(f"{v.name}_velocity", taken) for v in self.learned_vectors}
        given = {label: label.size for label in self.labels.given}
        symbols = {*program.parameters, *given.values()}
        self.parameters = {
            s: free_name(python_name(s), _TAKEN) for s in sorted(symbols, key=lambda symbol: symbol.name)
        }
        self.labels.name_sizes({label: self.parameters[size] for label, size in given.items()})
        self.integers = tuple(s for s in self.parameters if s.is_integer and s != self.labels.sample.size)
        self.scans: list[tuple[sp.Symbol, LayerRange]] = []

    @property
    def _gaps(self) -> bool:
        """Whether a product is repeated along a label between those of its operand: its rows are computed apart."""
        pairs = ((p.axes, assign.target.axes) for _, assign, _, p in self.program.products())
        return any(self.labels.run(*pair) is None for pair in pairs)

    @property
    def learned_vectors(self) -> tuple[RandomVector, ...]:
        """Vectors that are trained."""
        return tuple(target for target in self.program.learned if isinstance(target, RandomVector))

    @property
    def integer_names(self) -> list[str]:
        """Names of the integer parameters, such as the depth, and of further sizes of labels."""
        return [self.parameters[symbol] for symbol in self.integers]

    @property
    def lowest(self) -> dict[str, int]:
        """The smallest allowed value of every integer parameter."""
        depth, sizes = self.program.smallest_depth, {label.size for label in self.labels.given}
        return {self.parameters[symbol]: 1 if symbol in sizes else depth for symbol in self.integers}

    @staticmethod
    def keyword(scalar: Scalar) -> str:
        """The argument of `run` for a given scalar."""
        return _KEYWORDS.get(scalar.name, scalar.name)

    def attribute(self, thing: Field | RandomVector | GaussianMatrix | Scalar) -> str:
        """The name of a thing in ``at`` or ``scalars``."""
        return self._attributes[thing.name]

    @contextmanager
    def scan(self, index: sp.Symbol, layers: LayerRange, descending: bool = False) -> Iterator[str]:
        """Inside of a loop over layers; its head."""
        steps = range_text(layers.start, layers.stop, descending, self.names)
        self.scans.append((index, layers))
        try:
            yield f"for {self.names[index]} in {steps}:"
        finally:
            self.scans.pop()

    @property
    def names(self) -> Mapping[sp.Symbol, str]:
        """Names of symbols at this place of the program."""
        indices = {index: f"l{number or ''}" for number, (index, _) in enumerate(self.scans)}
        return {OUTPUTS: "C", **self.parameters, **indices}

    def integer(self, value: sp.Expr) -> str:
        """An integer expression, such as a layer."""
        return integer_text(value, self.names)

    def layer(self, layer: sp.Expr | None, layers: LayerRange | None) -> str:
        """Number of a layer in its family, from 0; empty for the first one and for things without layers."""
        if layer is None or layers is None:
            return ""
        text = self.integer(layer - layers.start)
        return "" if text == "0" else text

    def extent(self, layers: LayerRange | None) -> str:
        """Number of layers of a family."""
        return "1" if layers is None else length_text(layers.start, layers.stop, self.names)

    def row(self, ref: FieldRef | VectorRef) -> str:
        """First row of a field or vector."""
        if isinstance(ref, VectorRef):
            return f"at.{self.attribute(ref.vector)}"
        layer = self.layer(ref.layer, ref.field.layers)
        base = f"at.{self.attribute(ref.field)}"
        return base if not layer else f"{base} + {product(layer, self.labels.count(ref.axes))}"

    def scalar(self, ref: ScalarRef) -> str:
        """A scalar by label, at its step."""
        name = f"scalars.{self.attribute(ref.scalar)}"
        if ref.scalar.data and not ref.scalar.fresh:
            return name
        step = "0" if ref.initial else "t"
        return (
            f"{name}[{step}]"
            if ref.layer is None
            else f"{name}[{step}, {self.layer(ref.layer, ref.scalar.layers) or '0'}]"
        )

    def matrix(self, ref: MatrixRef) -> str:
        """Number of a matrix; of one from inputs, that of the inputs before it."""
        number = self._matrix(ref)
        sources = [given.space for given in self.inputs]
        return f"{sources.index(ref.matrix.source)}, {number}" if ref.matrix.source.finite else number

    def _matrix(self, ref: MatrixRef) -> str:
        return plus(f"at.{self.attribute(ref.matrix)}", self.layer(ref.layer, ref.matrix.layers) or "0")

    def side(self, ref: MatrixRef, transpose: bool) -> str:
        """Number of the side of a matrix that an operand is on."""
        return f"2 * {_factor(self._matrix(ref))}" + (" + 1" if transpose else "")


class Numbers:
    """Coefficients by name, evaluated once before the first step; arrays where they depend on a layer."""

    def __init__(self, places: DeclaredPlaces) -> None:
        self.places = places
        self._found: dict[tuple[sp.Expr, sp.Symbol | None, LayerRange | None], str] = {}
        self._texts: dict[str, str] = {}

    def text(self, value: sp.Expr) -> str:
        """A coefficient where it is used.

        Raises
        ------
        ProgramError
            If it depends on two layers, or on a symbol that has no value here.
        """
        value = sp.sympify(value, strict=True)
        if value.is_Integer:
            return f"{int(value)}.0"
        scans = [scan for scan in self.places.scans if scan[0] in value.free_symbols]
        if len(scans) > 1:
            raise ProgramError(f"coefficient {value}: allowed are coefficients that depend on one layer")
        index, layers = scans[0] if scans else (None, None)
        unknown = value.free_symbols - set(self.places.names)
        if unknown:
            raise ProgramError(f"coefficient {value}: unknown symbol {min(map(str, unknown))}")
        key = value, index, layers
        if key not in self._found:
            self._found[key] = f"c{len(self._found) + 1}"
            self._texts[self._found[key]] = self._definition(value, index, layers)
        name = f"numbers.{self._found[key]}"
        if layers is None:
            return name
        return f"{name}[{self.places.integer(index - layers.start)}]"

    def _definition(self, value: sp.Expr, index: sp.Symbol | None, layers: LayerRange | None) -> str:
        names = self.places.names
        text = f"float({float_text(value, names)})"
        if index is None or layers is None:
            return text
        return f"np.array([{text} for {names[index]} in {range_text(layers.start, layers.stop, names=names)}])"

    def definitions(self) -> Mapping[str, str]:
        """Names and what they are."""
        return self._texts


def plus(first: str, second: str) -> str:
    """A sum, without a zero."""
    return first if second == "0" else second if first == "0" else f"{first} + {second}"


def product(first: str, second: str) -> str:
    """A product, without a factor of one."""
    factors = [_factor(text) for text in (first, second) if text != "1"]
    return " * ".join(factors) or "1"


def _factor(text: str) -> str:
    """An operand of a product."""
    plain = text.replace(".", "").replace("_", "").isalnum()
    return text if plain or re.fullmatch(r"(max)?\([^()]*\)", text) else f"({text})"


def _inputs(program: Program) -> tuple[Field, ...]:
    """What is given in spaces that do not grow, the constant one (`ONE`) last if a vector is learned with it."""
    found = program.data_fields
    if not found or not all(field.space.finite for field in found):
        names = ", ".join(field.name for field in found) or "none"
        raise ProgramError(f"given fields: {names}; allowed in a sampled solver are inputs, at least one")
    return (*found, ONE) if any(product.is_vector for *_, product in program.products()) else found


def _check(program: Program) -> None:
    """Refuse what given samples do not have."""
    for field in program.fields:
        if field.space.finite:
            raise ProgramError(
                f"field {field.name} in {field.space}: allowed in the space of the inputs are the inputs"
            )
    fresh = [m.name for m in program.matrices if m.fresh] + [v.name for v in program.vectors if v.fresh]
    for name in fresh:
        raise ProgramError(f"{name} is drawn anew at every step: allowed in a sampled solver are lasting weights")
    for *_, product in program.products():
        if product.matrix.matrix.target.finite or (product.transpose and product.matrix.matrix.source.finite):
            raise ProgramError(f"{product}: allowed in a sampled solver are products that end in a hidden space")
    for _, statement in program.walk():
        if isinstance(statement, Assign) and any(isinstance(atom, Initial) for _, atom in statement.value.terms):
            raise ProgramError(f"{statement}: allowed at the first step are scalars in a sampled solver")
        if isinstance(statement, Observe):
            raise ProgramError(f"{statement}: allowed in a sampled solver are averages")
    names = [symbol.name for symbol in program.parameters]
    for name in names:
        if names.count(name) > 1:
            raise ProgramError(f"parameter {name}: allowed is one symbol of this name, here are {names.count(name)}")
