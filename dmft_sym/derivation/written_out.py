"""A derivation with labels written out: its program has a field for every value of labels whose sizes are numbers."""

from __future__ import annotations

from typing import Any

import sympy as sp

from dmft_sym.program.written_labels import fixed_labels, written_out

from .pipeline import Pipeline
from .uses import Use


class WrittenOut(Pipeline):
    """The derivation of a program with its labels written out, for arithmetics of samples and outputs alone."""

    def __init__(self, derivation: Pipeline) -> None:
        self._scale = derivation.noise_scale
        super().__init__(written_out(derivation.program), derivation.probes)
        self.joint_derivations: dict[Any, Any] = {}

    def noise_scale(self, use: Use) -> sp.Expr:
        """That of the derivation."""
        return self._scale(use)


def without_labels(derivation: Pipeline) -> Pipeline:
    """The derivation itself, unless its program has labels whose sizes are numbers."""
    return WrittenOut(derivation) if fixed_labels(derivation.program.labels) else derivation
