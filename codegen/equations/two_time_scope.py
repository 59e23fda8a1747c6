"""What all parts of a direct two-time solver share: a derivation, and its objects and loops as text of Python."""

from __future__ import annotations

from functools import cached_property

import sympy as sp
from dmft_sym.codegen.text.coefficient_text import integer_text, number_text, range_text
from dmft_sym.codegen.text.names import python_name

from dmft_sym.derivation.pipeline import Pipeline
from dmft_sym.derivation.process_closure import ProcessClosure
from dmft_sym.derivation.single_site import Noise
from dmft_sym.program import (
    OUTPUT,
    SAMPLE,
    SAMPLES,
    Axes,
    Field,
    FieldRef,
    LayerRange,
    Scalar,
    ScalarRef,
    SiteFunction,
)

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
    def masked(self) -> bool:
        """Whether there are samples that are looked at but not trained on."""
        return any(scalar.name == "train" and scalar.data for scalar in self.program.scalars)

    @property
    def scalars(self) -> list[Scalar]:
        """Scalars that are computed."""
        return [scalar for scalar in self.program.scalars if not scalar.data]

    def ref(self, ref: FieldRef | ScalarRef) -> str:
        """A field or a scalar over steps, or a member of a family of them."""
        return self.at(ref.declared, ref.layer)

    def at(self, thing: Field | Scalar | Noise, layer: sp.Expr | None) -> str:
        """A field, a scalar or a Gaussian field at a layer."""
        name = self.names.of(thing)
        return name if thing.layers is None or layer is None else f"{name}[{integer_text(layer)}]"

    def factor(self, coefficient: sp.Expr, retained: bool) -> str:
        """A coefficient, with what weight decay leaves of the initial matrix if it is ``retained``."""
        text = number_text(coefficient)
        return f"{bracketed(text)} * rho[t]" if retained else text

    def arguments(self, function: SiteFunction, sites: bool) -> dict[sp.Symbol, str]:
        """What the symbols of an expression are called; scalars get an axis of sites where they meet fields."""
        names = {symbol: python_name(symbol) for symbol in self.parameters}
        names[SAMPLES] = self.names.of_samples
        for symbol, ref in function.arguments:
            if isinstance(ref, ScalarRef):
                shown = self.ref(ref) + ("" if ref.scalar.data else "[t]")
                names[symbol] = f"{shown}[:, :, None]" if sites else shown
            elif isinstance(ref, FieldRef):
                names[symbol] = f"{self.ref(ref)}.values[t]"
        return names


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


def layer_loop(index: sp.Symbol, layers: LayerRange, descending: bool = False) -> str:
    """The loop over layers of a scan, or of a sum."""
    return f"for {index.name} in {range_text(layers.start, layers.stop, descending)}:"


def bracketed(text: str) -> str:
    """A factor of a product."""
    return f"({text})" if any(sign in text for sign in "+-/ ") else text
