"""The spike condition after few steps of training: a determinant in symbols, from the equations as they are printed."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.polys.matrices import DomainMatrix

from dmft_sym.derivation.equations import Equation
from dmft_sym.derivation.symbols import KERNEL, MemoryKernel, TwoPoint
from dmft_sym.program import OUTPUT, OUTPUTS, PAST_STEP, STEP, Optimizer, ProgramError

from .site_group import OTHER_LAYER, RETENTION

_FACTORED = 200  # operations up to which a condition is factored: the time grows out of bounds


def spike_condition(name: str, items: Iterable[Equation], steps: int, optimizer: Optimizer) -> sp.Expr:
    """``det(1 - J)`` at step ``steps``, over the unknowns that the memories of the matrix lead to; for one output.

    Parameters
    ----------
    name
        The matrix, for messages.
    items
        Its spike equations.
    optimizer
        Of the training program, for what increments are worth.

    Raises
    ------
    ProgramError
        If the unknowns of different layers depend on each other, whose number is not known.
    """
    system = _System(name, items, steps, optimizer)
    rows: dict[sp.Expr, dict[sp.Expr, sp.Expr]] = {}
    waiting = [unknown for memory in system.memories() for unknown in system.unknowns(system.right(memory))]
    while waiting:
        unknown = waiting.pop()
        if unknown not in rows:
            right = system.right(unknown)
            rows[unknown] = {other: right.coeff(other) for other in system.unknowns(right)}
            waiting += rows[unknown]
    order = sorted(rows, key=str)
    size = len(order)
    matrix = sp.Matrix(size, size, lambda i, j: rows[order[i]].get(order[j], sp.Integer(0)) - int(i == j))
    condition = _determinant(-matrix)
    return sp.factor(condition) if sp.count_ops(condition) <= _FACTORED else condition


def _determinant(matrix: sp.Matrix) -> sp.Expr:
    """The determinant over rational functions, without elimination, which takes minutes on expressions."""
    named = {part: sp.Dummy() for part in matrix.atoms(AppliedUndef)}  # independent generators, whatever they share
    fractional = [power for power in matrix.atoms(sp.Pow) if power.exp.is_Rational and power.exp.q > 1]
    roots = {power.base: (sp.Dummy(positive=True), power.exp.q) for power in fractional if power.base.is_Symbol}
    powers = {base: root**degree for base, (root, degree) in roots.items()}
    exact = DomainMatrix.from_Matrix(matrix.xreplace(named).subs(powers))
    found = exact.domain.to_sympy(exact.charpoly()[-1]) * (-1) ** matrix.rows
    back = {root: base ** sp.Rational(1, degree) for base, (root, degree) in roots.items()}
    return found.subs(back).xreplace({name: part for part, name in named.items()})


class _System:
    """The equations at given steps, with memories put in."""

    def __init__(self, name: str, items: Iterable[Equation], steps: int, optimizer: Optimizer) -> None:
        self.name = name
        self.items = list(items)
        self.steps = steps
        self.optimizer = optimizer
        self.functions = {item.left.func for item in self.items}

    def memories(self) -> list[sp.Expr]:
        """Strengths of memories at every past step."""
        found = [item.left for item in self.items if isinstance(item.left, MemoryKernel)]
        return [self._at(left).subs(PAST_STEP, step) for left, step in product(found, range(self.steps))]

    def unknowns(self, right: sp.Expr) -> list[sp.Expr]:
        """Overlaps and responses of level two in an expression."""
        return sorted((part for part in right.atoms(TwoPoint) if part.func in self.functions), key=str)

    def right(self, unknown: sp.Expr) -> sp.Expr:
        """The right-hand side of an unknown, expanded."""
        for item in self.items:
            found = _matched(self._at(item.left), unknown)
            if found is not None:
                made = self._at(item.right).subs(found).doit()
                if made.has(sp.Sum):
                    raise self._coupled(unknown)
                return self._without_memories(sp.expand(self._worth(made)))
        raise self._coupled(unknown)

    def _without_memories(self, right: sp.Expr) -> sp.Expr:
        memories = [part for part in self.unknowns(right) if isinstance(part, MemoryKernel)]
        return sp.expand(right.subs({memory: self.right(memory) for memory in memories}))

    def _at(self, expression: sp.Expr) -> sp.Expr:
        outputs = {OUTPUT.symbol: 0, OUTPUT.other: 0, OUTPUTS: 1}
        return expression.subs({RETENTION: sp.Symbol("rho"), STEP: self.steps, **outputs})

    def _worth(self, expression: sp.Expr) -> sp.Expr:
        """What increments are worth, in numbers of steps."""
        return expression.replace(KERNEL, lambda lag: sp.cancel(self.optimizer.kernel(lag)))

    def _coupled(self, unknown: sp.Expr) -> ProgramError:
        return ProgramError(
            f"condition of {self.name}: {unknown} couples layers, whose number is a run-time argument; allowed are "
            "matrices whose condition stays at one layer, such as W0, W1 or W[l] of a deep network; "
            "ds.spectrum(..., at=[1]) has the numbers of any matrix"
        )


def _matched(pattern: sp.Expr, target: sp.Expr) -> dict[sp.Symbol, sp.Expr] | None:
    """Values of steps and layers for which a left-hand side is an unknown."""
    if not isinstance(pattern, AppliedUndef) or pattern.func != target.func:
        return None
    found: dict[sp.Symbol, sp.Expr] = {}
    for mine, other in zip(pattern.args, target.args, strict=True):
        here = mine.subs(found)
        if here == other:
            continue
        difference = sp.expand(here - other)
        symbol = next((one for one in (PAST_STEP, OTHER_LAYER) if abs(difference.coeff(one)) == 1), None)
        if symbol is None:
            return None
        found[symbol] = sp.expand(symbol - difference / difference.coeff(symbol))
    return found
