"""Names of fields, Gaussian fields and scalars in a direct two-time solver: identifiers that clash with nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dmft_sym.codegen.text.library_text import TWO_TIME, library_names
from dmft_sym.codegen.text.names import free_name

from dmft_sym.derivation.pipeline import Pipeline
from dmft_sym.derivation.single_site import Noise
from dmft_sym.derivation.uses import Use
from dmft_sym.program import Field, Scalar

_LOCAL = {
    "Any", "Iterable", "Mapping", "TypeAlias", "all", "annotations", "done", "fields", "float", "gram", "inspect",
    "identity", "k", "kappa", "l", "l_s", "lag", "largest", "limit", "march", "math", "njit", "noise", "np", "one",
    "outputs", "progress", "range", "rho", "rng", "samples", "sites", "solve", "steps", "t", "tangents", "targets",
    "train", "value", "y",
}  # fmt: skip
_COMMON = re.compile(r"(s|share|mean)\d+")  # subexpressions that functions share


class Names:
    """One identifier for every object of a derivation.

    Parameters
    ----------
    parameters
        Names of run-time arguments, which others must not take.
    """

    def __init__(self, derivation: Pipeline, parameters: Iterable[str]) -> None:
        self._taken = {*_LOCAL, *library_names(TWO_TIME), *parameters}
        self.of_samples = self._new("P")
        self._names: dict[Field | Scalar | Noise, str] = {}
        self._families: dict[tuple[object, ...], str] = {}
        program = derivation.program
        self._taken |= {f"gram_{field.name}" for field in program.data_fields}
        fields = [field for closure in derivation.closures for field in closure.process.fields]
        operands = [product.operand.field for *_, product in program.products() if product.operand.space.finite]
        for field in dict.fromkeys((*operands, *fields)):
            self._names[field] = self._new(field.name)
        for scalar in program.scalars:
            self._names[scalar] = scalar.name if scalar.data else self._new(scalar.name)
        for noise in derivation.noises:
            self._names[noise] = self._new(f"{noise.name}_0" if noise.initial else noise.name)
            key = _family_key(noise)
            if key not in self._families:
                self._families[key] = self._new(f"gaussian_{noise.name}")

    @property
    def things(self) -> Iterable[Field | Scalar | Noise]:
        """All fields, scalars and Gaussian fields."""
        return self._names.keys()

    def of(self, thing: Field | Scalar | Noise) -> str:
        """A field or a family of fields, a scalar over steps, a Gaussian field."""
        return self._names[thing]

    def family(self, noise: Noise) -> str:
        """Gaussian fields that are correlated with each other."""
        return self._families[_family_key(noise)]

    def _new(self, name: str) -> str:
        name = free_name(f"{name}_" if _COMMON.fullmatch(name) else name, self._taken)
        self._taken.add(name)
        return name


def _family_key(noise: Noise) -> tuple[object, ...]:
    if isinstance(noise.source, Use):
        return noise.source.matrix, noise.source.transpose
    return (noise.source,)
