"""Labels of a program in a generated sampled solver: names of sizes and indices, and rows as functions of these.

The rows of a field follow each other label by label, the last one fastest. The first label of the inputs, the sample,
has M values, of which P are trained on; any other size has the name of its symbol.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from dmft_sym.codegen.text.names import free_name, python_name

from dmft_sym.program import OUTPUT, Axes, Field, Label, Program, ProgramError, Relabelled

_INDENT = "    "
# Names that stand beside an index in the loops over labels.
_BESIDE = frozenset(
    ["n", "x", "y", "z", "w", "i", "to", "by", "out", "source", "weight", "factor", "fields", "total", "work"]
)


class Labels:
    """The labels of a program as text.

    Parameters
    ----------
    inputs
        The given inputs; they say how many values their first label has.

    Attributes
    ----------
    order : tuple of Label
        That of the program.
    given : tuple of Label
        Labels whose sizes are arguments of a run beside its outputs.

    Raises
    ------
    ProgramError
        If the inputs have no label.
    """

    def __init__(self, program: Program, inputs: Field) -> None:
        if not inputs.axes:
            raise ProgramError(f"inputs {inputs} without a label: allowed in a sampled solver are inputs of samples")
        self.order = program.labels
        self.inputs: Axes = inputs.axes
        self.sample = inputs.axes[0]
        others = tuple(label for label in self.order if label not in (self.sample, OUTPUT))
        self.given = tuple(label for label in others if not label.size.is_Integer)
        self._sizes = {OUTPUT: str(OUTPUT.size), self.sample: "M"}
        self._sizes |= {label: str(label.size) for label in others if label.size.is_Integer}
        self._indices = {label: free_name(python_name(label.symbol), _BESIDE) for label in self.order}

    def name_sizes(self, names: Mapping[Label, str]) -> None:
        """Say what the sizes are called that are arguments of a run."""
        self._sizes |= names

    @property
    def arguments(self) -> list[str]:
        """Sizes as functions take them."""
        return [*(self._sizes[label] for label in (self.sample, OUTPUT)), *self.sizes(self.given)]

    @property
    def indices(self) -> list[str]:
        """Names of the indices."""
        return list(self._indices.values())

    def sizes(self, axes: Axes) -> list[str]:
        """Numbers of values, label by label."""
        return [self._sizes[label] for label in axes]

    def count(self, axes: Axes) -> str:
        """Number of rows."""
        return " * ".join(self.sizes(axes)) or "1"

    def place(self, axes: Axes) -> str:
        """Number of the row at the present values of the labels: ``mu * C + c``."""
        text = ""
        for label in axes:
            before = f"({text})" if "+" in text else text
            text = f"{before} * {self._sizes[label]} + {self._indices[label]}" if text else self._indices[label]
        return text or "0"

    def span(self, axes: Axes) -> str:
        """Rows at all values of the last label of the program, one row for things that do not have it."""
        if self.order[-1] not in axes:
            place = self.place(axes)
            return ":1" if place == "0" else f"{place} : {place} + 1"
        first, size = self.place(axes[:-1]), self._sizes[axes[-1]]
        if first == "0":
            return f":{size}"
        first = f"({first}) * {size}" if "+" in first else f"{first} * {size}"
        return f"{first} : {first} + {size}"

    def steps(self, axes: Axes) -> str:
        """How many rows it is from one value of every label of the program to the next."""
        return ", ".join(self.count(axes[axes.index(label) + 1 :]) if label in axes else "0" for label in self.order)

    def steps_of(self, atom: Relabelled) -> str:
        """The same for a field at other labels than its own; those that it is summed over have no steps."""
        axes = atom.field.axes
        at = {atom.at(label): self.count(axes[axes.index(label) + 1 :]) for label in axes if label not in atom.over}
        return ", ".join(at.get(label, "0") for label in self.order)

    def terms(self, atom: Relabelled) -> Iterator[str]:
        """Where the terms of a sum begin: how many rows after the first one of the field."""
        axes = atom.field.axes
        steps = [self.count(axes[axes.index(label) + 1 :]) for label in atom.over]
        for values in product(*(range(int(label.size)) for label in atom.over)):
            parts = (f"{value} * {step}" for value, step in zip(values, steps, strict=True) if value)
            yield " + ".join(parts) or "0"

    def counts(self, axes: Axes) -> str:
        """Numbers of values of every label of the program in a loop over ``axes``."""
        return f"({', '.join(self._sizes[label] if label in axes else '1' for label in self.order)})"

    def zeros(self) -> str:
        """First row and steps of what is one number."""
        return f"({', '.join('0' for _ in (None, *self.order))})"

    def run(self, axes: Axes, target: Axes) -> str | None:
        """How many rows of a result with labels ``target`` in a row take the same row of ``axes``.

        ``None`` if these labels do not follow each other in ``target``.
        """
        if not axes:
            return "1"
        first, last = target.index(axes[0]), target.index(axes[-1]) + 1
        return self.count(target[last:]) if target[first:last] == axes else None

    def softmax(self, axes: Axes, along: Label) -> list[str]:
        """Lines that apply softmax to the numbers of ``total``, at the present values of the labels but ``along``."""
        place, size, step = self.place(axes), self._sizes[along], self.count(axes[axes.index(along) + 1 :])
        return [f"{self._indices[along]} = 0", f"_softmax(total[{place} : {place} + {size} * ({step}) : {step}])"]

    @property
    def samples(self) -> str:
        """Number of samples, from the rows of the inputs."""
        others = " * ".join(self.sizes(self.inputs[1:]))
        return f"len(inputs) // ({others})" if others else "len(inputs)"

    def loops(self, axes: Axes, lines: Sequence[str]) -> Iterator[str]:
        """Lines inside of loops over labels."""
        for depth, label in enumerate(axes):
            yield _INDENT * depth + f"for {self._indices[label]} in range({self._sizes[label]}):"
        yield from (_INDENT * len(axes) + line for line in lines)

    def declaration(self) -> list[str]:
        """What the library knows of the labels: arguments of ``_Labels``."""
        sizes, outputs = self.sizes(self.order), self._sizes[OUTPUT]
        return [f"({', '.join(sizes)})", outputs, f"vectors=({self.steps((OUTPUT,))})"]


def _index(label: Label) -> str:
    name = python_name(label.symbol)
    return f"{name}_" if name in _BESIDE else name
