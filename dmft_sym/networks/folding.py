"""What a user wrote out in Python becomes a scan where it repeats, so that equations do not grow with it.

``for l in range(1, 9): h = h + W[l] @ h`` over eight matrices is recorded as eight statements. They are one statement
of a scan over eight layers, whose matrices are members of a family and keep their names. What does not repeat, or what
has names that members of a family cannot have, stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import cast

import sympy as sp

from dmft_sym.program import (
    LAYER,
    Assign,
    Field,
    FieldRef,
    ForLayers,
    GaussianMatrix,
    LayerRange,
    Linear,
    MatrixRef,
    Scalar,
    ScalarRef,
    Statement,
)

from .anatomy import Ref, anatomy, with_coefficients, with_refs
from .by_layer import by_layer
from .member_names import Names
from .renaming import reindexed
from .repeats import Repeat, best_repeat
from .shorter import shorter
from .traced import Trace


def folded(trace: Trace, automatic: Collection[str], taken: Collection[str] = ()) -> Trace:
    """The trace with repeating statements as scans.

    Parameters
    ----------
    automatic
        Names of fields that the user did not give.
    taken
        Further names that are not free.
    """
    found = _once(replace(trace, statements=shorter(trace.statements)), automatic, taken)
    while found is not None:
        trace, found = found, _once(found, automatic, taken)
    return trace


def _once(trace: Trace, automatic: Collection[str], taken: Collection[str]) -> Trace | None:
    """The repetition that saves most becomes a scan; ``None`` if there is none."""

    def scan(repeat: Repeat) -> _Scan | None:
        names = Names(repeat, _others(trace, repeat) | set(taken), automatic)
        made = None if names.first is None else _Scan(trace, repeat, names)
        return made if made is not None and made.exists else None

    found = best_repeat(trace.statements, trace.readers, scan)
    return None if found is None else found.trace()


def _others(trace: Trace, repeat: Repeat) -> set[str]:
    """Names of everything but what the blocks have of their own."""
    inside: set[str] = {ref.declared.name for block in repeat.targets for ref in block}
    inside |= {member.matrix.name for members in repeat.matrices.values() for member in members}
    refs = anatomy((trace.statements, trace.readers)).refs
    readouts = {readout.vector.name for readout in trace.readouts}
    return ({ref.declared.name for ref in refs} - inside) | readouts


class _Scan:
    """A repetition as a scan."""

    def __init__(self, trace: Trace, repeat: Repeat, names: Names) -> None:
        assert names.first is not None
        self.before, self.repeat, self.names = trace, repeat, names
        self.index, self.lead = sp.Symbol("l", integer=True, positive=True), sp.Integer(names.lead)
        self.span = LayerRange(sp.Integer(names.first), sp.Integer(names.first + repeat.count - 1))
        self.layers = self.span.shifted(self.lead)
        self.exists = True  # unless some of its matrices are trained and others are not
        self.frozen, self.rates = set(trace.frozen), dict(trace.rates)
        self.families = {ref: self._family(members, names) for ref, members in repeat.matrices.items()}
        self.carries = {place: self._carry(place, names) for place in repeat.carries}
        self.own = {place: self._own(place, names) for place in range(repeat.period) if self._is_own(place)}
        self.body = self._body()

    def trace(self) -> Trace:
        """The trace with the scan."""
        repeat, trace = self.repeat, self.before
        copies, new = self._starts()
        for place in repeat.carries:
            new[repeat.targets[-1][place]] = FieldRef(self.carries[place], self.span.stop + 1)
        head = (*trace.statements[: repeat.start], *copies)
        scan = ForLayers(self.index, self.layers, self.body, lead=self.lead)
        found = replace(
            trace,
            statements=(*with_refs(head, new), scan, *with_refs(trace.statements[repeat.stop :], new)),
            frozen=frozenset(self.frozen),
            rates=self.rates,
        )
        return found.read_by(with_refs(trace.readers, new))

    def _is_own(self, place: int) -> bool:
        """Whether there is a field for every layer of the scan, beside or instead of a carry."""
        return place not in self.repeat.carries or place in self.repeat.copied

    def _family(self, members: tuple[MatrixRef, ...], names: Names) -> GaussianMatrix:
        """The family of the matrices of all blocks, trained as they are."""
        matrices = [member.matrix for member in members]
        name, called = names.of_matrices([matrix.name for matrix in matrices])
        variance = self._at_layers([matrix.variance for matrix in matrices])
        frozen = {matrix.name in self.frozen for matrix in matrices}
        rate = self._at_layers([self.rates.pop(matrix.name, sp.Integer(1)) for matrix in matrices])
        self.exists &= len(frozen) == 1
        self.frozen -= {matrix.name for matrix in matrices}
        if frozen == {True}:
            self.frozen.add(name)
        elif rate != 1:
            self.rates[name] = rate
        return replace(matrices[0], name=name, variance=variance, layers=self.layers, members=called)

    def _at_layers(self, values: list[sp.Expr]) -> sp.Expr:
        """Numbers of the blocks as an expression in the index of the scan."""
        return by_layer(values, LAYER.symbol, int(self.layers.start))

    def _carry(self, place: int, names: Names) -> Field:
        things = [block[place] for block in self.repeat.targets]
        layers = LayerRange(self.span.start, self.span.stop + 1)
        return replace(things[0].declared, name=names.of_fields(things), layers=layers)

    def _own(self, place: int, names: Names) -> Field | Scalar:
        things = [block[place] for block in self.repeat.targets]
        carry = self.carries.get(place)
        name = names.of_fields(things) if carry is None else names.copy_of(carry.name)
        return replace(things[0].declared, name=name, layers=self.span)

    def _body(self) -> tuple[Statement, ...]:
        """The second block, for any layer."""
        repeat, index = self.repeat, self.index
        new: dict[Ref, Ref] = {ref: MatrixRef(matrix, index + self.lead) for ref, matrix in self.families.items()}
        new |= {repeat.targets[0][place]: FieldRef(field, index) for place, field in self.carries.items()}
        for place, ref in enumerate(repeat.targets[1]):
            own = self.own.get(place)
            if own is None:
                new[ref] = FieldRef(self.carries[place], index + 1)
            else:
                new[ref] = FieldRef(own, index) if isinstance(own, Field) else ScalarRef(own, index)
        begin = repeat.start + repeat.period
        block = self.before.statements[begin : begin + repeat.period]
        body = [with_refs(self._with_numbers(place, statement), new) for place, statement in enumerate(block)]
        for place in sorted(repeat.copied):
            kept = cast(FieldRef, new[repeat.targets[1][place]])
            body.append(Assign(FieldRef(self.carries[place], index + 1), Linear.of(kept)))
        return tuple(reindexed(tuple(body), index, index - self.lead)) if self.lead else tuple(body)

    def _with_numbers(self, place: int, statement: Statement) -> Statement:
        """A statement with the coefficients of all blocks, which are expressions in the layer of the matrices."""
        every = zip(*(block[place].coefficients for block in self.repeat.blocks), strict=True)
        found = [self._at_layers(list(values)).subs(self.index, self.index + self.lead) for values in every]
        return with_coefficients(statement, found)

    def _starts(self) -> tuple[tuple[Statement, ...], dict[Ref, Ref]]:
        """What carries start from: fields that get the name of a first member, or copies if something needs theirs."""
        copies: list[Statement] = []
        new: dict[Ref, Ref] = {}
        for place, initial in self.repeat.carries.items():
            first = FieldRef(self.carries[place], self.span.start)
            free = initial.layer is None and initial not in new and initial not in self.repeat.captured
            if free and self.names.may_be(initial.field.name, first.field.name):
                new[initial] = first
            else:
                copies.append(Assign(first, Linear.of(cast(FieldRef, new.get(initial, initial)))))
        return tuple(copies), new
