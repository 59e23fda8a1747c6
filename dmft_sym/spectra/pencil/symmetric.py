"""The symmetric form of an eigenproblem: equations paired with unknowns, and scaled, so that ``H(z)`` is symmetric.

A matrix made by a forward pass and its reverse (a weight matrix with its transpose, the NTK) contains for every field
its adjoint; the equation that defines a field belongs to the row of its adjoint. The pairing is found from the
equations alone. A matrix whose equations do not pair gets multipliers instead: the stationary points of
``z p.p/2 - p.(S p)/2``, or of ``z a.a/2 + z b.b/2 - b.(M a)``, under the constraints ``f = ...``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse.csgraph import connected_components

from dmft_sym.execution.plan import Plan
from dmft_sym.program import ProgramError

from .linear_system import EIGENVALUE, IDENTITY, Atom, LinearSystem, Node, Terms
from .pencil import Coupling, GaussianBlock, Input, Pencil

_EQUAL = 1e-8  # relative difference of coefficients that are the same up to rounding


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the level-two fields of a pencil live.

    Attributes
    ----------
    sectors : tuple of tuple of int
        The sectors of the plan, whose coordinates put together are those of a component.
    """

    sectors: tuple[tuple[int, ...], ...]


def symmetric_pencil(
    system: LinearSystem, plan: Plan, blocks: dict[int, GaussianBlock], folded: bool
) -> tuple[Pencil, Layout]:
    """The pencil of an eigenproblem.

    Parameters
    ----------
    blocks
        What is to be known of the matrices of the plan.
    folded
        Singular values are meant.

    Raises
    ------
    ProgramError
        If the equations of a rectangular matrix and of its transpose do not pair, and its shape is infinite.
    """
    paired = _Pairing(system).rows()
    if paired is None:
        paired = _rectangular(system, plan) if folded else _Multipliers(system).rows()
    return _assemble(paired, system, plan, blocks, folded)


Rows = dict[Node, Terms]
"""Coefficients of ``H(z)``, symmetric, by row and column."""


class _Pairing:
    """Search for the row of every equation; decisions are forced one after the other by what is decided already."""

    def __init__(self, system: LinearSystem) -> None:
        self.equations = system.equations
        self.inputs = list(system.inputs)
        self.holders: dict[tuple[Node, object], list[Node]] = {}
        for name, terms in self.equations.items():
            for key in terms:
                self.holders.setdefault(key, []).append(name)

    def rows(self) -> Rows | None:
        """``None`` if there is no pairing."""
        row_of: dict[Node, Node] = {}
        scale: dict[Node, float] = {}
        for start in self.inputs:
            if start in row_of:
                continue
            found = self._extend({**row_of, start: start}, {**scale, start: 1.0}, [start])
            if found is None:
                return None
            row_of, scale = found
        if set(row_of) != set(self.equations):
            return None
        return {
            row_of[name]: {key: scale[name] * value for key, value in terms.items()}
            for name, terms in self.equations.items()
        }

    def _extend(
        self, row_of: dict[Node, Node], scale: dict[Node, float], queue: list[Node]
    ) -> tuple[dict[Node, Node], dict[Node, float]] | None:
        """Follow the entries of the equations in ``queue`` to the equations that have to mirror them."""
        queue = list(queue)
        while queue:
            name = queue.pop()
            row = row_of[name]
            for (column, atom), value in self.equations[name].items():
                wanted, mirror = scale[name] * value, (row, atom.mirrored)
                owner = next((n for n, r in row_of.items() if r == column), None)
                if owner is not None:
                    if not _close(self.equations[owner].get(mirror, 0.0) * scale[owner], wanted):
                        return None
                    continue
                candidates = [n for n in self.holders.get(mirror, []) if n not in row_of]
                for candidate in candidates:
                    factor = wanted / self.equations[candidate][mirror]
                    result = self._extend(
                        {**row_of, candidate: column},
                        {**scale, candidate: factor},
                        [*queue, name, candidate],
                    )
                    if result is not None:
                        return result
                return None
        return row_of, scale


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= _EQUAL * max(abs(a), abs(b))


class _Multipliers:
    """Rows of the stationarity conditions of ``z p.p/2 - p.(S p)/2 + e.(f - ...)/2``."""

    def __init__(self, system: LinearSystem) -> None:
        self.system = system

    def rows(self) -> Rows:
        adjoint = {node: _adjoint(node) for node in self.system.equations if node not in self.system.inputs}
        found: Rows = {node: {} for node in (*self.system.equations, *adjoint.values())}
        for name, terms in self.system.equations.items():
            row = adjoint.get(name, name)
            for (column, atom), value in terms.items():
                if atom == EIGENVALUE:
                    self._add(found, row, column, atom, value)
                    continue
                # The input has no multiplier: its row is the derivative of p.(S p)/2 itself.
                self._add(found, row, column, atom, 0.5 * value)
                self._add(found, column, row, atom.mirrored, 0.5 * value)
        return found

    @staticmethod
    def _add(found: Rows, row: Node, column: Node, atom: Atom, value: float) -> None:
        terms = found[row]
        terms[column, atom] = terms.get((column, atom), 0.0) + value


def _rectangular(system: LinearSystem, plan: Plan) -> Rows:
    """Rows of the stationarity conditions of ``z a.a/2 + tau (z b.b/2 - b.(M a) + e.(f - ...))``.

    The equations of ``M a`` are enough; multipliers stand for the fields of the transposed matrix, and products are
    those of coordinates, which are normalised by the sizes of spaces.
    """
    ratios = {sector.space: sector.ratio for sector in plan.sectors}
    left, right = system.inputs
    aspect = ratios[left[0].space.name] / ratios[right[0].space.name]
    if not 0 < aspect < math.inf:
        raise ProgramError("the statements of the transposed matrix are not the transpose of those of the matrix")
    found: Rows = {left: {}, right: {(right, EIGENVALUE): 1.0}}
    waiting = [left]
    while waiting:
        name = waiting.pop()
        row = name if name == left else _adjoint(name)
        for (column, atom), value in system.equations[name].items():
            found.setdefault(row, {})[column, atom] = aspect * value
            if column != left:
                found.setdefault(column, {})[row, atom.mirrored] = aspect * value
            if column not in system.inputs and _adjoint(column) not in found:
                found[_adjoint(column)] = {}
                waiting.append(column)
    return found


def _adjoint(node: Node) -> Node:
    """A multiplier's name."""
    return replace(node[0], field=replace(node[0].field, name=f"{node[0].field.name}_")), node[1]


def _assemble(
    rows: Rows, system: LinearSystem, plan: Plan, blocks: dict[int, GaussianBlock], folded: bool
) -> tuple[Pencil, Layout]:
    nodes = list(system.inputs) + [node for node in rows if node not in system.inputs]
    number = {node: n for n, node in enumerate(nodes)}
    constant, slope = np.zeros((2, len(nodes), len(nodes)))
    couplings = []
    for row, terms in rows.items():
        for (column, atom), value in terms.items():
            i, j = number[row], number[column]
            if atom == IDENTITY:
                constant[i, j] += value
            elif atom == EIGENVALUE:
                slope[i, j] += value
            elif not atom.transpose:
                couplings.append(Coupling(int(atom.matrix or 0), i, j, -value))
    components, layout = _components(nodes, constant + slope, couplings, plan)
    used = {c.matrix: blocks[c.matrix] for c in couplings}
    names = tuple(_name(node, system) for node in nodes)
    inputs = tuple(Input(name, node[1], number[node]) for node, name in system.inputs.items())
    # The singular values that are not zero by shape are seen in full from the smaller side, the lighter in slope.
    probe = min((i.field for i in inputs), key=lambda f: slope[f, f]) if folded else inputs[0].field
    constant, slope = 0.5 * (constant + constant.T), 0.5 * (slope + slope.T)
    return Pencil(names, components, constant, slope, tuple(couplings), used, probe, inputs, folded), layout


def _name(node: Node, system: LinearSystem) -> str:
    several = len({c for _, c in system.inputs}) > 1
    return f"{node[0]}" + (f"_{node[1]}" if several else "")


def _components(
    nodes: list[Node], overlaps: np.ndarray, couplings: list[Coupling], plan: Plan
) -> tuple[tuple[int, ...], Layout]:
    """Fields that share sectors of the plan, transitively."""
    fields = len(nodes)
    linked = np.zeros((fields + len(plan.sectors),) * 2, bool)  # fields, and then sectors
    linked[:fields, :fields] = overlaps != 0
    for coupling in couplings:
        spec = plan.matrices[coupling.matrix]
        linked[coupling.target, fields + spec.target] = linked[coupling.source, fields + spec.source] = True
    _, labels = connected_components(linked, directed=False)
    of_fields, of_sectors = labels[:fields].tolist(), labels[fields:]
    kinds = list(dict.fromkeys(of_fields))
    sectors = tuple(tuple(np.flatnonzero(of_sectors == kind).tolist()) for kind in kinds)
    return tuple(kinds.index(kind) for kind in of_fields), Layout(sectors)
