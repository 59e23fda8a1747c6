"""Level-two equations of a matrix at integer layers: positions of its fields, and the Dyson equation at a step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import sympy as sp

from dmft_sym.derivation.single_site import SiteEquation, VectorMemory
from dmft_sym.program import FieldRef, ProgramError
from dmft_sym.spectra.equations.site_group import OwnTerm, SiteGroups

from .averages import Averages
from .dyson import DysonOfEquations


class LevelTwo:
    """The fields of a matrix program at integer layers, with what their equations have of each other.

    Parameters
    ----------
    groups
        The equations at symbolic layers.
    integers
        Values of the symbols of layers.

    Attributes
    ----------
    fields
        In the order of ``G``.

    Raises
    ------
    ProgramError
        If the matrix is a family and no member (or one that does not exist) was chosen, or if a level-two field
        contains a trained vector.
    """

    def __init__(self, groups: SiteGroups, integers: dict[sp.Symbol, int]) -> None:
        self.groups = groups
        self.matrix = groups.joint.matrix.flat(integers)
        found = [pair for equation in groups.joint.site_equations for pair in self._instances(equation, integers)]
        self.fields = [target for target, _ in found]
        self._terms = [terms for _, terms in found]

    def _instances(
        self, equation: SiteEquation, integers: dict[sp.Symbol, int]
    ) -> Iterator[tuple[FieldRef, list[OwnTerm]]]:
        if any(isinstance(memory, VectorMemory) for memory in equation.memories):
            raise ProgramError(f"{equation.target}: a level-two field cannot contain a trained vector")
        written = [
            replace(term, coefficient=self.groups.at_present(term.coefficient))
            for term in self.groups.own_terms(equation)
        ]
        bounds = [integers]
        for scan in equation.scans:
            bounds = [{**bound, scan.index: layer} for bound in bounds for layer in scan.layers.at(bound)]
        member = self.groups.joint.matrix.member
        for bound in bounds:
            target = equation.target.at(bound)
            if member is None or target.layer == member:
                yield target, [one for term in written for one in term.instances(bound)]

    def names(self) -> list[tuple[str, int | None]]:
        """Names and layers of the fields."""
        return [(ref.field.name, None if ref.layer is None else int(ref.layer)) for ref in self.fields]

    def dyson(self, averages: Averages, step: int) -> DysonOfEquations:
        """The (2,2) block at a step."""
        position = {ref: number for number, ref in enumerate(self.fields)}
        local = np.zeros((len(self.fields), len(self.fields)))
        entries: list[tuple[int, int, int, int]] = []
        weights: list[float] = []
        for alpha, terms in enumerate(self._terms):
            for term in terms:
                weight = averages.number(term.coefficient, step)
                if term.loop is None:
                    local[alpha, position[term.field]] += weight
                else:
                    row, source = term.loop
                    entries.append((alpha, position[term.field], position[row], position[source]))
                    weights.append(weight)
        left = {one for one, _ in self.matrix.pairs}
        eigen = np.array([float(ref in left) for ref in self.fields])
        where = np.array(entries, dtype=np.intp).reshape(-1, 4).T
        probe, folded = position[self.matrix.input], not self.matrix.symmetric
        return DysonOfEquations(eigen, local, where[0], where[1], where[2], where[3], np.array(weights), probe, folded)
