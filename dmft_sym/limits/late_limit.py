"""Infinitely many steps: where responses depend on time differences alone, generating functions at ``z = 1``.

If no correlation enters a kernel, responses are those of a linear system that does not change: with
``X(z) = sum_tau X(tau) z^-tau`` products over the past become products, and what is left of a constant force after
infinitely many steps is ``X(1)``. Correlations of the end are linear equations.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.derivation.equations import Equation, Equations
from dmft_sym.derivation.symbols import KEPT, Correlation, TwoPoint
from dmft_sym.program import ProgramError
from dmft_sym.support.errors import ArgumentError

from .grid_terms import EQUAL, PAST, Key, Row, Term, rows
from .limit import Limit
from .limiting import Vanished
from .orders import parts

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem

Z = sp.Symbol("z", positive=True)
"""Of generating functions; late times are ``z = 1``."""
_FARTHEST = 1e3
_NEAREST = 1e-10
_SHORTER = 0.5
"""``z - 1`` where the continuation begins and ends, and its steps."""
_NEWTON = 50


class LateLimit(Limit):
    """A limit of infinitely many steps, in which no parameter scales."""

    def __hash__(self) -> int:
        return hash(self.name)


class LateTheory:
    """The end of training with a kernel that does not change.

    Parameters
    ----------
    theory
        Whose closed equations are read.
    limit
        Its name and words.

    Raises
    ------
    ProgramError
        If equations do not close, or a kernel depends on correlations: naming it.
    """

    def __init__(self, theory: Problem, limit: Limit) -> None:
        self.theory, self.limit = theory, limit
        if theory.program.averaged:
            raise ProgramError(f"limit {limit.name}: averages over sites do not close; ds.limits.lazy does")
        if theory.training.fresh:
            raise ProgramError(f"limit {limit.name}: fresh samples are noise without end; use GradientDescent")
        for equation in theory.closed.equations:
            if isinstance(equation.left, TwoPoint) and not isinstance(equation.left, Correlation):
                self._check(equation)

    def _check(self, equation: Equation) -> None:
        for term in equation.terms:
            found = next((point for point in parts(term)[1] if isinstance(point, Correlation)), None)
            if found is not None:
                raise ProgramError(
                    f"limit {self.limit.name}: {equation.label} depends on {found.func.__name__}, and the end on the "
                    "whole path; no hidden layers, ds.deep_linear(0), would make it apply"
                )

    @property
    def rate(self) -> sp.Expr:
        """None: the end is approached by an exponential, or at a vanishing gap by a power of the steps."""
        return sp.oo

    @property
    def vanished(self) -> tuple[Vanished, ...]:
        """Nothing: sums over the past became products."""
        return ()

    @cached_property
    def equations(self) -> Equations:
        """Generating functions, then correlations and losses after infinitely many steps."""
        text = f"Limit {self.limit.name}: {self.limit.why}. Responses and kernels are functions of $z$, at $z = 1$."
        items = [Equation(symbol_of(row.left.key), tuple(map(self._term, row.terms))) for row in self.rows]
        return Equations(items, f"Limit: {self.limit.name}", text)

    @cached_property
    def rows(self) -> list[Row]:
        """The closed equations at numbers of their labels."""
        depth = {s: self.theory.network.depth for s in self.theory.program.parameters if s.is_integer}
        known = [e for e in self.theory.closed.equations if e not in self.theory.closed.definitions]
        return list(rows(known, depth))

    def _term(self, term: Term) -> sp.Expr:
        known = {EQUAL: sp.Integer(1), PAST: self.worth}
        kept = sp.Integer(0 if self.theory.program.optimizer.recursion.decays else 1)  # of initial weights, in the end
        coefficient = term.coefficient.replace(lambda part: part.func == KEPT, lambda part: kept)
        return coefficient * sp.Mul(*(known.get(f.key, symbol_of(f.key)) for f in term.factors))

    @cached_property
    def worth(self) -> sp.Expr:
        """What increments are worth, ``sum_tau kappa(tau) z^-tau``."""
        optimizer = self.theory.program.optimizer.recursion
        through = optimizer.from_memory * Z / (Z - optimizer.memory) + optimizer.from_increment
        return sp.cancel(through / (Z - optimizer.keep))

    def solve(self, **arguments: Any) -> xr.Dataset:
        """Losses after infinitely many steps.

        The branch of the generating functions is that which goes to their first values for large ``z``, followed to
        ``z = 1``.

        Parameters
        ----------
        **arguments
            As of a run, without ``steps``; the learning rate has to be stable.

        Returns
        -------
        xarray.Dataset
            Losses (output) of one output.

        Raises
        ------
        ArgumentError
            As of a run, or if the branch is lost.
        """
        import xarray as xr

        values = self.values(arguments)
        losses = [observable.name for observable in self.theory.program.observables]
        found = self._end(values)
        return xr.Dataset({name: ("output", [found[name]]) for name in losses}, {"output": [0]})

    def values(self, arguments: Mapping[str, Any]) -> dict[sp.Symbol, Any]:
        """Of the symbols of the program."""
        from dmft_sym.solvers.arguments import run_arguments

        return run_arguments(self.theory, 1, arguments).values

    @property
    def labels(self) -> dict[str, tuple[int, ...]]:
        """Numbers of labels by name; without hidden layers every name has one."""
        return {row.left.key[0]: row.left.key[1] for row in self.rows}

    @property
    def moving(self) -> list[Equation]:
        """Equations of responses and kernels."""
        return [item for item in self.equations.items if str(item.left).startswith(("R_", "A_"))]

    def _end(self, values: Mapping[sp.Symbol, Any]) -> dict[str, float]:
        moving = self.moving
        still = [item for item in self.equations.items if item not in moving]
        unknown, ends = [item.left for item in moving], [item.left for item in still]
        system = [item.left - item.right.subs(values) for item in moving]
        residual = sp.lambdify((Z, unknown), system)
        jacobian = sp.lambdify((Z, unknown), sp.Matrix(system).jacobian(unknown))
        _followed(residual, jacobian, -1.0, len(unknown))  # an unstable rate has oscillations that grow
        known = _followed(residual, jacobian, 1.0, len(unknown))
        linear = sp.Matrix([item.left - item.right.subs(values) for item in still])
        matrix, right = sp.linear_eq_to_matrix(list(linear), ends)
        numbers = dict(zip(unknown, known, strict=True))
        solved = np.linalg.solve(
            np.array(matrix.subs(numbers), dtype=float), np.array(right.subs(numbers), dtype=float).ravel()
        )
        return {str(end): float(value) for end, value in zip(ends, solved, strict=True)}


def _followed(residual: Any, jacobian: Any, end: float, count: int) -> NDArray[Any]:
    """The branch from large ``z``, where nothing is remembered, to ``z = end``, which is 1 or -1."""
    known: NDArray[Any] = np.zeros(count)
    gap = _FARTHEST
    while gap > _NEAREST:
        known = _newton(residual, jacobian, end * (1 + gap), known)
        gap *= _SHORTER
    return known


def _newton(residual: Any, jacobian: Any, z: float, known: NDArray[Any]) -> NDArray[Any]:
    """The solution next to one of a neighbouring ``z``."""
    for _ in range(_NEWTON):
        change = np.linalg.solve(np.array(jacobian(z, known), dtype=float), np.array(residual(z, known), dtype=float))
        known = known - change
        if np.abs(change).max() <= 1e-12 * (1 + np.abs(known).max()):
            return known
    raise ArgumentError(f"learning_rate: generating functions are lost at z = {z:.6g}; allowed is a lower one")


def symbol_of(key: Key) -> sp.Symbol:
    """The generating function, or what is left after infinitely many steps."""
    name, labels = key
    return sp.Symbol(name if not any(labels) else f"{name}_{'_'.join(map(str, labels))}", real=True)
