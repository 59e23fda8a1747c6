"""Outputs with different heads in a program without scalars: fields of their own for every output.

Where some readouts serve some outputs only, outputs are not alike, and a field that carries all of them would need
coefficients that know which output it is. Each output gets the statements of a network with its readouts instead, over
the same matrices, whose updates add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from dmft_sym.networks.renaming import renamed
from dmft_sym.networks.reverse import Backward
from dmft_sym.networks.traced import Trace
from dmft_sym.networks.training import updates
from dmft_sym.program import (
    Assign,
    FieldRef,
    GaussianMatrix,
    Learn,
    Observe,
    RandomVector,
    ScalarRef,
    Statement,
    VectorRef,
    reads,
    walk,
)


def traces_of_outputs(trace: Trace) -> list[Trace]:
    """A trace for every output, with the readouts that it has; one for all if they have the same."""
    if all(readout.outputs is None for readout in trace.readouts):
        return [trace]
    return [_of_output(trace, number) for number in range(trace.setting.outputs or 1)]


def _of_output(trace: Trace, number: int) -> Trace:
    own = (readout for readout in trace.readouts if readout.outputs is None or number in readout.outputs)
    return replace(trace, readouts=tuple(replace(readout, outputs=None) for readout in own))


@dataclass(frozen=True)
class OutputStep:
    """What a step is for one output, or for all that are alike.

    Attributes
    ----------
    backward, trace
        The backward pass, of which updates are made.
    statements, observed
        The step up to its updates, and what is reported.
    number
        Of the output, where each has fields of its own.
    """

    backward: Backward
    trace: Trace
    statements: tuple[Statement, ...]
    observed: tuple[Observe, ...]
    number: int | None = None

    def named(self, statements: Sequence[Any]) -> tuple[Any, ...]:
        """Statements in which fields and random vectors are those of the output, ``h_0``; matrices are shared."""
        if self.number is None:
            return tuple(statements)
        assigned = (s.target for _, s in walk(self.statements) if isinstance(s, Assign))
        read = (ref for _, s in walk(self.statements) for ref in reads(s))
        things = [ref.field if isinstance(ref, FieldRef) else ref.declared for ref in (*assigned, *read)]
        found: Any = tuple(statements)
        for thing in dict.fromkeys(things):
            found = renamed(found, thing, replace(thing, name=f"{thing.name}_{self.number}"))
        return tuple(self._observed(s) if isinstance(s, Observe) else s for s in found)

    def _observed(self, observe: Observe) -> Observe:
        return replace(observe, name=f"{observe.name}_{self.number}", output=self.number)

    def updates(self, coefficient: sp.Expr, weight: ScalarRef | None) -> tuple[Learn, ...]:
        """Of all that is trained."""
        return self.named(updates(self.backward, self.trace, coefficient, weight))


def without_unread(statements: Sequence[Statement]) -> list[Statement]:
    """Statements without fields of the forward pass that no readout of an output reads.

    A member of a family is read by the index of a scan: all members stay if one is read.
    """
    kept = list(statements)
    while True:
        read = {ref.declared for _, s in walk(kept) for ref in reads(s)}
        left = [s for s in kept if not isinstance(s, Assign) or s.target.declared in read]
        if len(left) == len(kept):
            return kept
        kept = left


def added(updates: Iterable[Learn]) -> Iterator[Learn]:
    """Updates of the same array as one, a sum of their terms."""
    found: dict[GaussianMatrix | RandomVector, Learn] = {}
    for update in updates:
        key = update.target.vector if isinstance(update.target, VectorRef) else update.target.matrix
        known = found.get(key)
        found[key] = update if known is None else replace(known, terms=(*known.terms, *update.terms))
    yield from found.values()
