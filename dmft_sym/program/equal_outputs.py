"""Outputs that are alike: programs whose order parameters are those of one output, for any number of them.

Let the sign of everything that carries one output be flipped, or two outputs be exchanged. Random vectors are drawn for
every output on its own from a symmetric law, so that neither changes the joint law of what is drawn. If no statement
changes either, ``<a_c b_c'>`` vanishes for ``c != c'`` and is the same for all ``c = c'``. Sums over outputs in
updates, ``sum_c g_c h_c^T``, then act on ``h_c`` as the one term ``c``, and what is left is the program of one output.

Statements keep both symmetries if every one is linear in what carries an output, an update multiplies two things of the
same output, and no coefficient knows which output it is or how many there are. Norms of gradients over all arrays do
not: they count outputs.
"""

from __future__ import annotations

from typing import Protocol

from .expressions import Relabelled, VectorRef
from .labels import OUTPUT, OUTPUTS, Axes
from .statements import Assign, Learn, Observe, Outer, SiteMap, Statement
from .step import Step, is_linear, reads, symbols_of

_KNOWS = {OUTPUT.symbol, OUTPUT.other, OUTPUTS}
"""Symbols of which output it is, and of how many there are."""


class _Labelled(Protocol):
    @property
    def axes(self) -> Axes: ...


def outputs_are_alike(program: Step) -> bool:
    """Whether one output stands for all: the order parameters are diagonal in it, and do not depend on their number.

    Examples
    --------
    >>> outputs_are_alike(ds.derive(ds.deep_linear(2)).program)
    True
    """
    laws = (vector.variance for vector in program.vectors)
    same = not any(law.free_symbols & _KNOWS for law in laws)
    return same and all(_keeps_symmetry(statement) for _, statement in program.walk())


def _keeps_symmetry(statement: Statement) -> bool:
    """Whether a statement is the same after outputs are exchanged, and after the sign of one of them is flipped."""
    if symbols_of(statement) & _KNOWS:
        return False
    match statement:
        case Assign():
            return not _between_outputs(statement) and _all_carry(statement, _carries(statement.target))
        case SiteMap():
            linear = is_linear(statement.function) and not statement.function.scalars and OUTPUT not in statement.over
            return linear and _all_carry(statement, _carries(statement.target))
        case Learn():
            return all(_of_one_output(term, isinstance(statement.target, VectorRef)) for term in statement.terms)
        case Observe():
            return statement.axes == (OUTPUT,) and _all_carry(statement, True)
        case _:
            return False


def _carries(part: _Labelled) -> bool:
    return OUTPUT in part.axes


def _all_carry(statement: Statement, wanted: bool) -> bool:
    return all(_carries(part) is wanted for part in reads(statement))


def _between_outputs(statement: Assign) -> bool:
    """Whether values at other outputs are read."""
    atoms = [atom for _, atom in statement.value.terms if isinstance(atom, Relabelled)]
    return any(OUTPUT in atom.over or any(OUTPUT in pair for pair in atom.names) for atom in atoms)


def _of_one_output(term: Outer, of_vector: bool) -> bool:
    """Whether the factors of an update both carry an output, or neither does; vectors carry one."""
    if term.weight is not None:
        return False
    return _carries(term.left) if of_vector else term.right is not None and _carries(term.left) == _carries(term.right)
