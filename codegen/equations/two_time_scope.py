"""What all parts of a direct two-time solver share: a derivation, and its objects and loops as text of Python."""

from __future__ import annotations

from functools import cached_property

import sympy as sp
from dmft_sym.codegen.text.coefficient_text import integer_text, range_text
from dmft_sym.codegen.text.names import python_name

from dmft_sym.derivation.pipeline import Pipeline
from dmft_sym.derivation.process_closure import ProcessClosure
from dmft_sym.derivation.single_site import Noise
from dmft_sym.program import OUTPUT, SAMPLE, SAMPLES, Axes, Field, LayerRange, Scalar, Space

from .two_time_names import Names


class Scope:
    """A derivation and the text that stands for its objects.

    Parameters
    ----------
    kind
        Class of tangents at sampled sites, if not the plain one.
    """

    def __init__(self, derivation: Pipeline, kind: str | None = None) -> None:
        self.derivation, self.kind = derivation, kind
        self.program = derivation.program
        self.builder = derivation.site_builder
        self.parameters = [s for s in self.program.parameters if s != SAMPLES]
        self.names = Names(derivation, [python_name(s) for s in self.parameters])
        self.symbols = {**{s: python_name(s) for s in self.parameters}, SAMPLES: self.names.of_samples}
        self.closure_of: dict[Field, ProcessClosure] = {
            field: closure for closure in derivation.closures for field in closure.process.fields
        }

    @cached_property
    def kept(self) -> set[Field]:
        """Fields whose tangents of past steps are needed, by memories or in results."""
        sites = [equation for closure in self.derivation.closures for equation in closure.equations]
        past = {term.field.field for equation in sites for term in equation.memories}
        return past | {kind.row for closure in self.derivation.closures for kind in closure.responses}

    @property
    def inputs_of_a_sample(self) -> int:
        """How many values the labels of inputs have together: one without labels."""
        return max(1, sum(field.place is not None for field in self.program.data_fields))

    @property
    def grams(self) -> dict[Space, str]:
        """Arguments that have the overlaps of inputs, by their spaces."""
        inputs = {field.space: field for field in reversed(self.program.data_fields)}
        first, *others = reversed(inputs)
        return {first: "gram", **{space: f"gram_{inputs[space].name}" for space in others}}

    @property
    def masked(self) -> bool:
        """Whether there are samples that are looked at but not trained on."""
        return any(scalar.name == "train" and scalar.data for scalar in self.program.scalars)

    @property
    def given_anew(self) -> list[Scalar]:
        """Scalars that are given at every step."""
        return list(self.program.given_anew)

    @property
    def known(self) -> list[Scalar]:
        """Scalars whose numbers the program has."""
        return [scalar for scalar in self.program.scalars if scalar.values is not None]

    @property
    def scalars(self) -> list[Scalar]:
        """Scalars that are computed."""
        return [scalar for scalar in self.program.scalars if not scalar.data]

    def at(self, thing: Field | Scalar | Noise, layer: sp.Expr | None) -> str:
        """A field, a scalar or a Gaussian field at a layer."""
        return item_text(self.names.of(thing), None if thing.layers is None else layer)


def item_text(name: str, layer: sp.Expr | None) -> str:
    """One object, or a member of a family of them."""
    return name if layer is None else f"{name}[{integer_text(layer)}]"


def sizes(axes: Axes) -> str:
    """Lengths of the axes of samples and outputs."""
    names = {SAMPLE: "samples", OUTPUT: "outputs"}
    return ", ".join(name if label in axes else "1" for label, name in names.items())


def per_layer(made: str, layers: LayerRange | None, index: sp.Symbol | None = None) -> str:
    """One object, or a dictionary of them with a layer for key."""
    if layers is None:
        return made
    name = "l" if index is None else str(index.name)
    return f"{{{name}: {made} for {name} in {range_text(layers.start, layers.stop)}}}"
