"""Level-two equations of a matrix at integer layers: positions of its fields, and the Dyson equation at a step."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp

from dmft_sym.derivation.single_site import SiteEquation, VectorMemory
from dmft_sym.program import FieldRef, ProgramError, class_values
from dmft_sym.spectra.equations.site_group import OwnTerm, SiteGroups
from dmft_sym.spectra.matrices.class_numbers import ClassNumbers, Kind

from .averages import Averages
from .dyson import DysonOfEquations, Sums


@dataclass(frozen=True)
class Placed:
    """A place in ``G``: the class of its sites, and their share of all sites."""

    number: int
    kind: Kind = None
    share: float = 1.0


class LevelTwo:
    """The fields of a matrix program at integer layers, with what their equations have of each other.

    Parameters
    ----------
    groups
        The equations at symbolic layers.
    integers
        Values of the symbols of layers.
    classes
        Numbers of the classes of sites.

    Attributes
    ----------
    fields
        In the order of ``G``, or of its parts if fields have several places there.
    places
        Of every field its places in ``G``, with class and share: one of all sites, or one a class where equations at
        its sites depend on the class.

    Raises
    ------
    ProgramError
        If the matrix is a family and no member (or one that does not exist) was chosen, or if a level-two field
        contains a trained vector.
    """

    def __init__(self, groups: SiteGroups, integers: dict[sp.Symbol, int], classes: ClassNumbers) -> None:
        self.groups = groups
        self.matrix = groups.joint.matrix.flat(integers)
        found = [pair for equation in groups.joint.site_equations for pair in self._instances(equation, integers)]
        self.fields = [target for target, _ in found]
        self._terms = [terms for _, terms in found]
        self.places = self._placed(classes)

    def _placed(self, classes: ClassNumbers) -> list[list[Placed]]:
        told_apart = {
            self._classed(ref, term).space
            for ref, terms in zip(self.fields, self._terms, strict=True)
            for term in terms
            if class_values(term.coefficient)
        }
        number, places = itertools.count(), []
        for ref in self.fields:
            kinds: Iterable[tuple[Kind, float]] = classes.kinds(ref.space) if ref.space in told_apart else [(None, 1.0)]
            places.append([Placed(next(number), kind, share) for kind, share in kinds])
        return places

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

    def _classed(self, ref: FieldRef, term: OwnTerm) -> FieldRef:
        """Where the sites are whose class a coefficient depends on: in an equation, or where a loop starts."""
        ends = [one for one in (ref, *(term.loop or ())[1:]) if one.space.classes is not None]
        if len(ends) != 1:
            raise ProgramError(f"matrix {self.matrix.name}: allowed are matrices with classes of sites on one side")
        return ends[0]

    def names(self) -> list[tuple[str, int | None]]:
        """Names and layers of the fields."""
        return [(ref.field.name, None if ref.layer is None else int(ref.layer)) for ref in self.fields]

    def dyson(self, averages: Averages, step: int) -> DysonOfEquations:
        """The (2,2) block at a step."""
        position = dict(zip(self.fields, self.places, strict=True))
        size = sum(map(len, self.places))
        local = np.zeros((size, size))
        entries: list[tuple[int, int, int]] = []
        loops: list[tuple[int, int, int]] = []
        weights: list[float] = []
        shares: list[float] = []
        for equation, terms in zip(self.places, self._terms, strict=True):
            for term in terms:
                pairs = list(zip(equation, position[term.field], strict=True))  # at the same sites
                if term.loop is None:
                    numbers = [averages.number(term.coefficient, step, alpha.kind) for alpha in equation]
                    for (alpha, field), weight in zip(pairs, numbers, strict=True):
                        local[alpha.number, field.number] += weight
                    continue
                unknown = loops[-1][0] + 1 if loops else 0
                loop = list(zip(*(position[ref] for ref in term.loop), strict=True))
                of_loop = len(loop) > 1 and bool(class_values(term.coefficient))
                entries += [(unknown, alpha.number, field.number) for alpha, field in pairs]
                weights += [
                    1.0 if of_loop else averages.number(term.coefficient, step, alpha.kind) for alpha, _ in pairs
                ]
                for row, source in loop:
                    loops.append((unknown, row.number, source.number))
                    weight = averages.number(term.coefficient, step, row.kind) if of_loop else 1.0
                    shares.append(row.share * weight)
        left = {one for one, _ in self.matrix.pairs}
        eigen = np.array([float(ref in left) for ref, places in position.items() for _ in places])
        entry, pair = (np.array(part, dtype=np.intp).reshape(-1, 3).T for part in (entries, loops))
        sums = None if size == len(self.fields) else Sums(entry[0], pair[0], np.array(shares))
        (probe, *others), folded = position[self.matrix.input], not self.matrix.symmetric
        if others:
            raise ProgramError(
                f"matrix {self.matrix.name} acts on {self.matrix.input.space.name} and depends on the classes of its "
                "sites: allowed are matrices of weights, and those that act on other spaces"
            )
        where = (entry[1], entry[2], pair[1], pair[2])
        return DysonOfEquations(eigen, local, *where, np.array(weights), probe.number, folded, sums)
