"""Which sites belong to one stochastic process: independence over layers, found from the equations.

All fields of a space are functions of the same Gaussian fields in principle. In a network without skips the
fields of different layers share none, and the order parameters are diagonal in the layer; with skips or
shared matrices they are not. A weighted union-find over field and noise families decides: two families in
one process at a fixed offset of their layer indices are *aligned*, any other relation couples all layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import sympy as sp

from dmft_sym.program import Field, FieldRef, LayerRange

from .single_site import Noise, SiteEquation
from .uses import Use, UseTable

Member = Field | Noise


@dataclass
class Process:
    """A set of fields and noises with a common single-site measure.

    Attributes
    ----------
    coupled
        True if fields of different layers are correlated; then order parameters have two layer indices.
    shift
        Of every member: its layer index minus the common position (of members without layers: minus their
        position).
    """

    fields: list[Field] = field(default_factory=list)
    noises: list[Noise] = field(default_factory=list)
    coupled: bool = False
    shift: dict[Member, sp.Expr] = field(default_factory=dict)

    def partner_layer(self, of: Member, layer: sp.Expr | None, to: Member) -> sp.Expr | None:
        """Layer of ``to`` in the process of ``of`` at ``layer`` (aligned processes only)."""
        if to.layers is None:
            return None
        position = (sp.Integer(0) if layer is None else layer) - self.shift[of]
        return sp.expand(position + self.shift[to])


class _UnionFind:
    """Weighted union-find: the weight of a member is its shift relative to the root."""

    def __init__(self) -> None:
        self.parent: dict[Member, Member] = {}
        self.weight: dict[Member, sp.Expr] = {}
        self.coupled: set[Member] = set()

    def add(self, member: Member) -> None:
        self.parent.setdefault(member, member)
        self.weight.setdefault(member, sp.Integer(0))

    def find(self, member: Member) -> tuple[Member, sp.Expr]:
        total = sp.Integer(0)
        while self.parent[member] != member:
            total += self.weight[member]
            member = self.parent[member]
        return member, sp.expand(total)

    def relate(self, a: Member, b: Member, difference: sp.Expr | None) -> None:
        """Put both into one set with ``shift_a - shift_b = difference`` (``None``: all layers at once)."""
        (root_a, shift_a), (root_b, shift_b) = self.find(a), self.find(b)
        if root_a == root_b:
            if difference is None or sp.expand(shift_a - shift_b - difference) != 0:
                self.coupled.add(root_a)
            return
        self.parent[root_a] = root_b
        self.weight[root_a] = sp.expand(shift_b - shift_a + (sp.Integer(0) if difference is None else difference))
        if difference is None or root_a in self.coupled:
            self.coupled.add(root_b)


def find_processes(equations: Iterable[SiteEquation], uses: UseTable, noises: Iterable[Noise]) -> list[Process]:
    """Group the fields and noises of a program into independent single-site processes."""
    sets = _UnionFind()
    equations = list(equations)
    for equation in equations:
        sets.add(equation.target.field)
    for noise in noises:
        sets.add(noise)
    for equation in equations:
        _relate_terms(sets, equation)
    for uses_of in uses.matrices:
        for places in (uses_of.forward, uses_of.transposed):
            _relate_siblings(sets, [n for n in noises if n.source in places])
    return _collect(sets)


def _relate_terms(sets: _UnionFind, equation: SiteEquation) -> None:
    scan = equation.scans[0].index if equation.scans else None
    target = equation.target
    for driven in equation.noises:
        sets.add(driven.noise)
        _relate(sets, target.field, target.layer, driven.noise, driven.layer, scan)
    for term in (*equation.memories, *equation.locals):
        sets.add(term.field.field)
        if term.index is not None:
            sets.relate(target.field, term.field.field, None)
        else:
            _relate(sets, target.field, target.layer, term.field.field, term.field.layer, scan)
    for ref in equation.arguments:
        _relate(sets, target.field, target.layer, ref.field, ref.layer, scan)


def _relate_siblings(sets: _UnionFind, noises: list[Noise]) -> None:
    """Products of one matrix in one direction have correlated noises."""
    for noise in noises:
        use = noise.source
        if not use.family and use.index is not None:  # type: ignore[union-attr]
            sets.relate(noise, noise, None)
        for other in noises:
            if other is not noise and not use.independent_of(other.source):  # type: ignore[union-attr, arg-type]
                sets.relate(noise, other, _offset(use, other.source))  # type: ignore[arg-type]


def _offset(a: Use, b: Use) -> sp.Expr | None:
    """Label of one place minus that of another whose noises share sites; ``None`` if all layers meet."""
    if not (a.family and b.family):
        return sp.Integer(0) if a.index is None and b.index is None else None
    # A place with a fixed member has no label of its own and counts as zero.
    if a.member is not None and b.member is None:
        return -a.member
    return b.member if a.member is None and b.member is not None else sp.Integer(0)


def _relate(
    sets: _UnionFind, a: Member, layer_a: sp.Expr | None, b: Member, layer_b: sp.Expr | None, scan: sp.Symbol | None
) -> None:
    here = [sp.Integer(0) if layer is None else layer for layer in (layer_a, layer_b)]
    moving = [scan is not None and scan in layer.free_symbols for layer in here]
    difference = sp.expand(here[0] - here[1]) if moving[0] == moving[1] else None
    if not any(isinstance(member.layers, LayerRange) for member in (a, b)):
        difference = sp.Integer(0)
    sets.relate(a, b, difference)


def _collect(sets: _UnionFind) -> list[Process]:
    processes: dict[Member, Process] = {}
    for member in sets.parent:
        root, shift = sets.find(member)
        process = processes.setdefault(root, Process())
        process.coupled |= root in sets.coupled
        process.shift[member] = shift
        (process.fields if isinstance(member, Field) else process.noises).append(member)  # type: ignore[arg-type]
    for process in processes.values():
        if not any(member.layers is not None for member in process.shift):
            process.coupled = False
    return list(processes.values())


def process_of(processes: Iterable[Process], member: Member | FieldRef) -> Process:
    """The process that a field or noise belongs to."""
    key = member.field if isinstance(member, FieldRef) else member
    for process in processes:
        if key in process.shift:
            return process
    raise KeyError(str(key))
