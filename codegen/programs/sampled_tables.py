"""The parts of a generated sampled solver that say what there is: rows, coefficients, scalars, standard deviations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sympy as sp
from dmft_sym.codegen.text.wrapping import WIDTH, wrapped

from dmft_sym.program import LAYER, Field, GaussianMatrix, LayerRange, Scalar

from .sampled_places import DeclaredPlaces, Numbers, product

_INDENT = "    "
Entry = tuple[str, str, str]  # name, type, meaning


class TableWriter:
    """Writes tuples of places and numbers, and the functions that make them."""

    def __init__(self, places: DeclaredPlaces, numbers: Numbers) -> None:
        self.places, self.numbers = places, numbers
        self._labels = places.labels
        self.sizes = ["M", "C", *places.integer_names]

    def layout(self) -> Iterator[str]:
        """``Layout`` and ``_layout``."""
        places = self.places
        entries: list[Entry] = []
        for field in places.fields:
            meaning = f"{field.name}{_span(field.layers)}, {self._labels.count(field.axes)} rows each"
            entries.append((places.attribute(field), "int", meaning))
        entries += [(places.attribute(v), "int", f"{v.name}, C rows") for v in places.vectors]
        entries += [(name, "int", f"memory of {vector}, C rows") for vector, name in places.memories.items()]
        if places.apart:
            entries.append((places.apart, "int", "room for products before their rows are repeated"))
        entries.append(("rows", "int", "number of rows"))
        numbered = [*zip(places.input_matrices, places.counts, strict=True), (places.matrices, "matrices")]
        for some, total in numbered:
            entries += [(places.attribute(m), "int", f"{m}{_span(m.layers)}: {m.source} -> {m.target}") for m in some]
            entries.append((total, "int", "number of them"))
        yield _tuple("Layout", "First rows of fields and vectors, first numbers of matrices.", entries)
        rows = [product(places.extent(f.layers), self._labels.count(f.axes)) for f in places.fields]
        rows += ["C"] * (len(places.vectors) + len(places.memories))
        rows += [self._labels.count(self._labels.order)] if places.apart else []
        lines = []
        names = ["rows", *(total for _, total in numbered)]
        lists = [rows, *([places.extent(matrix.layers) for matrix in some] for some, _ in numbered)]
        for name, texts in zip(names, lists, strict=True):
            lines += [f"{name} = [", *(f"{_INDENT}{text}," for text in texts), "]"]
        totals = [f"*itertools.accumulate({name}, initial=0)" for name in names]
        lines += wrapped("return Layout(", totals, ")", width=WIDTH - 4)
        yield function_text("_layout", self.sizes, "Where things are, for M samples and C outputs.", lines)

    def numbers_text(self) -> Iterator[str]:
        """``Numbers`` and ``_numbers``."""
        texts = self.numbers.definitions()
        kinds = {name: "np.ndarray" if text.startswith("np.array") else "float" for name, text in texts.items()}
        entries = [*((name, kind, "") for name, kind in kinds.items()), ("one", "float", "")]
        yield _tuple("Numbers", "Coefficients; those that depend on a layer are arrays.", entries)
        values = [f"{_INDENT}{name}={text}," for name, text in texts.items()]
        lines = ["return Numbers(", *values, f"{_INDENT}one=1.0,", ")"]
        arguments = ["C", *self.places.parameters.values()]
        yield function_text("_numbers", arguments, "Evaluate the coefficients.", lines)

    def scalars(self) -> Iterator[str]:
        """``Scalars`` and ``_scalars``."""
        places = self.places
        entries: list[Entry] = []
        lines = ["return Scalars("]
        for scalar in places.computed:
            shape = f"({self._shape('steps', scalar, [self._labels.count(scalar.axes)])})"
            entries.append((places.attribute(scalar), "np.ndarray", shape))
            lines.append(f"{_INDENT}{places.attribute(scalar)}=np.zeros({shape}),")
        for scalar in places.given:
            steps = ["steps"] if scalar.fresh else []
            shape = ", ".join([*steps, self._labels.count(scalar.axes)])
            entries.append((places.attribute(scalar), "np.ndarray", f"({shape}{'' if steps else ','}), given"))
            sizes = [*steps, *self._labels.sizes(scalar.axes)]
            taken = f'_given(given, "{places.keyword(scalar)}", ({", ".join(sizes)}{"," if len(sizes) == 1 else ""}))'
            taken += f".reshape({shape})" if steps else ""
            lines.append(f"{_INDENT}{places.attribute(scalar)}={taken},")
        yield _tuple("Scalars", "Scalars of all steps.", entries)
        yield function_text("_scalars", ["steps", "given", *self.sizes], "Zeros, and what is given.", [*lines, ")"])

    def results(self) -> Iterator[str]:
        """Entries of the scalars that a run returns."""
        for scalar in self.places.computed:
            shape = self._shape("done", scalar, self._labels.sizes(scalar.axes))
            yield f'"{scalar.name}": scalars.{self.places.attribute(scalar)}[:done].reshape({shape})'

    def _shape(self, steps: str, scalar: Scalar, sizes: Sequence[str]) -> str:
        layers = [] if scalar.layers is None else [self.places.extent(scalar.layers)]
        return ", ".join([steps, *layers, *sizes])

    def first_uses(self, body: Sequence[str]) -> str:
        """``_first_uses`` of these lines."""
        lines = ["inputs, vectors = {}, {}", *body, "return inputs, vectors"]
        meaning = (
            "Matrices from the inputs and vectors by their place, with standard deviations, in the order of their use."
        )
        return function_text("_first_uses", ["at", "numbers", *self.sizes], meaning, lines)

    def sides(self) -> str:
        """``_sides``."""
        lines = ["deviation, learns = np.zeros(2 * at.matrices), np.zeros(at.matrices, np.bool_)"]
        for matrix in self.places.matrices:
            first = f"at.{self.places.attribute(matrix)}"
            stop = f"{first} + {self.places.extent(matrix.layers)}"
            back = sp.sqrt(sp.cancel(matrix.variance / matrix.aspect))
            for offset, value in (("", sp.sqrt(matrix.variance)), (" + 1", back)):
                text = self._by_layer(value, matrix.layers)
                lines.append(f"deviation[2 * {first}{offset} : 2 * ({stop}) : 2] = {text}")
            if matrix in self.places.program.learned:
                lines.append(f"learns[{first} : {stop}] = True")
        meaning = "Standard deviation of the noise of every side, and which matrices are trained."
        return function_text("_sides", ["at", "numbers", *self.sizes], meaning, [*lines, "return deviation, learns"])

    def _by_layer(self, value: sp.Expr, layers: LayerRange | None) -> str:
        """A number, or a list of those of all layers of a family."""
        if layers is None or LAYER.symbol not in value.free_symbols:
            return self.numbers.text(value)
        with self.places.scan(LAYER.symbol, layers) as head:
            return f"[{self.numbers.text(value)} {head.removesuffix(':')}]"

    def contents(self) -> str:
        """``_contents``."""
        lines: list[str] = ["fields, matrices, inputs, known = {}, {}, {}, {}"]
        for field in self.places.fields:
            count = self._labels.count(field.axes)
            lines += self._entries("fields", field, f"at.{self.places.attribute(field)}", "({}, " + count + ")", count)
        for vector in self.places.vectors:
            lines.append(f'fields["{vector.name}", None] = (at.{self.places.attribute(vector)}, C)')
        for scalar in self.places.computed:
            lines += self._values(scalar)
        for matrix in self.places.matrices:
            lines += self._entries("matrices", matrix, f"at.{self.places.attribute(matrix)}")
        for which, matrices in enumerate(self.places.input_matrices):
            for matrix in matrices:
                first = f"at.{self.places.attribute(matrix)}"
                lines += self._entries("inputs", matrix, first, f"({which}, {{}})")
        shown = "return _Contents(fields, known, matrices, inputs)"
        meaning = "First row and number of rows of every field, scalars, numbers of every matrix; by name and layer."
        return function_text("_contents", ["at", "scalars", *self.sizes], meaning, [*lines, shown])

    def _values(self, scalar: Scalar) -> list[str]:
        """Lines that list a scalar, with all its layers."""
        values = f"scalars.{self.places.attribute(scalar)}"
        if scalar.layers is None:
            return [f'known["{scalar.name}", None] = {values}']
        start, stop = self.places.integer(scalar.layers.start), self.places.integer(scalar.layers.stop + 1)
        return [f"for l in range({start}, {stop}):", f'{_INDENT}known["{scalar.name}", l] = {values}[:, l - {start}]']

    def _entries(
        self, table: str, thing: Field | GaussianMatrix, first: str, entry: str = "{}", rows: str = "1"
    ) -> list[str]:
        """Lines that list a field, or a matrix, with all its layers, which are so many rows apart."""
        name, layers = thing.name, thing.layers
        if layers is None:
            return [f'{table}["{name}", None] = {entry.format(first)}']
        start, stop = self.places.integer(layers.start), self.places.integer(layers.stop + 1)
        place = f"{first} + {product(f'(l - {start})', rows)}"
        return [f"for l in range({start}, {stop}):", f'{_INDENT}{table}["{name}", l] = {entry.format(place)}']


def function_text(name: str, arguments: Sequence[str], meaning: str, body: Sequence[str]) -> str:
    """A function with a docstring."""
    return "\n".join(
        [*wrapped(f"def {name}(", arguments, "):"), f'{_INDENT}"""{meaning}"""', *(_INDENT + line for line in body)]
    )


def _tuple(name: str, meaning: str, entries: Sequence[Entry]) -> str:
    lines = [f"class {name}(NamedTuple):", f'{_INDENT}"""{meaning}"""', ""]
    return "\n".join(
        [*lines, *(f"{_INDENT}{key}: {kind}" + (f"  # {text}" if text else "") for key, kind, text in entries)]
    )


def _span(layers: LayerRange | None) -> str:
    return "" if layers is None else f"[{layers}]"
