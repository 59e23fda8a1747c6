"""Infinitely many steps: where responses depend on time differences alone, generating functions at ``z = 1``.

If no correlation enters a kernel, responses are those of a linear system that does not change: with
``X(z) = sum_tau X(tau) z^-tau`` products over the past become products, and what is left of a constant force after
infinitely many steps is ``X(1)``. Correlations of the end are linear equations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.sparse.linalg import spsolve

from dmft_sym.derivation.equations import Equation, Equations
from dmft_sym.derivation.symbols import KEPT, Correlation, TwoPoint
from dmft_sym.program import TIME, ProgramError
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show

from .class_numbers import class_counts, class_numbers
from .grid_terms import EQUAL, PAST, Key, Row, Term, rows
from .limit import Limit
from .limit_theory import LimitTheory, VanishedTerms
from .orders import needed, parts
from .unchanging import unchanging, without_zeros, zeros

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
_POLISH = 3


class LateTheory(LimitTheory):
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
        If equations do not close, or a kernel depends on correlations that change: naming it.

    See Also
    --------
    Theory.limit : makes it.
    limits.check : whether it is right.

    References
    ----------
    docs/limits.md; residuals of random features, arXiv:2402.01092.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> ds.limits.late.name
    'late'
    """

    def __init__(self, theory: Problem, limit: Limit) -> None:
        super().__init__(theory, limit)
        if theory.program.averaged:
            raise ProgramError(
                f"limit {limit.name}: averages over sites do not close; ds.limits.lazy has a static kernel, and "
                "data = ds.Proportional() with a linear network equations that close"
            )
        if theory.training.fresh:
            raise ProgramError(f"limit {limit.name}: fresh samples are noise without end; use GradientDescent")
        if self._integers and theory.network.depth is None:
            raise ProgramError(
                f"limit {limit.name}: layers are put in as numbers; allowed is a network with a depth, "
                "ds.network(forward, depth=3)"
            )
        closed = theory.closed
        whole = without_zeros(equation for equation in closed.equations if equation not in closed.definitions)
        needs = needed(whole, closed.observables, lambda equation: equation.terms)
        self.known = [equation for equation in whole if equation.left.func in needs]
        self.functions: dict[str, type] = {e.left.func.__name__: e.left.func for e in self.known}
        still = unchanging(self.known)
        self.moving_functions = {f for f in self.functions.values() if f in still or _remembers(f)}
        for equation in self.known:
            if _remembers(equation.left.func):
                self._check(equation)

    @property
    def decays(self) -> bool:
        """Whether nothing is left of initial weights in the end."""
        return self.theory.program.optimizer.recursion.decays

    @cached_property
    def forgotten(self) -> set[type]:
        """Responses to initial weights, which are zero in the end."""
        return zeros(self.known, lambda term: not (self.decays and term.has(KEPT)))

    def _check(self, equation: Equation) -> None:
        for term in equation.terms:
            found = next((point for point in parts(term)[1] if point.func not in self.moving_functions), None)
            if found is not None:
                raise ProgramError(
                    f"limit {self.limit.name}: {equation.label} depends on {found.func.__name__}, and the end on the "
                    "whole path; no hidden layers, ds.deep_linear(0), or readouts that are not trained would help"
                )

    @property
    def rate(self) -> sp.Expr:
        """None: the end is approached by an exponential, or at a vanishing gap by a power of the steps."""
        return sp.oo

    @property
    def vanished(self) -> VanishedTerms:
        """Nothing: sums over the past became products."""
        return VanishedTerms()

    @cached_property
    def equations(self) -> Equations:
        """Generating functions, then correlations and losses after infinitely many steps."""
        text = f"Limit {self.limit.name}: {self.limit.why}. Responses and kernels are functions of $z$, at $z = 1$."
        items = [Equation(self.symbol(row.left.key), tuple(map(self._term, row.terms))) for row in self.rows]
        return Equations(items, f"Limit: {self.limit.name}", text)

    @cached_property
    def rows(self) -> list[Row]:
        """The closed equations at numbers of their labels."""
        depth = dict.fromkeys(self._integers, self.theory.network.depth)
        return list(rows(self.known, {**depth, **class_counts(self.theory)}))

    @property
    def _integers(self) -> list[sp.Symbol]:
        return [symbol for symbol in self.theory.program.parameters if symbol.is_integer]

    def symbol(self, key: Key) -> End:
        """The generating function of an order parameter at numbers of its labels, or what is left of it in the end."""
        name, labels = key
        return End(name if not any(labels) else f"{name}_{'_'.join(map(str, labels))}", self.functions[name], labels)

    def _term(self, term: Term) -> sp.Expr:
        known = {EQUAL: sp.Integer(1), PAST: self.worth}
        kept = sp.Integer(0 if self.decays else 1)  # of initial weights, in the end
        coefficient = term.coefficient.replace(lambda part: part.func == KEPT, lambda part: kept)
        return coefficient * sp.Mul(*(known[f.key] if f.key in known else self.symbol(f.key) for f in term.factors))

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

        self.refuse(arguments, ("steps",))
        values = self.values(arguments)
        losses = [observable.name for observable in self.theory.program.observables]
        found = self._end(values)
        return xr.Dataset({name: ("output", [found[name]]) for name in losses}, {"output": [0]})

    def values(self, arguments: Mapping[str, Any]) -> dict[sp.Expr, Any]:
        """Of the symbols of the program, and of its classes of sites."""
        from dmft_sym.solvers.arguments import run_arguments

        depth = self.theory.network.depth
        if arguments.get("depth", depth) != depth:
            raise ArgumentError(f"depth = {show(arguments['depth'])}: allowed is {depth}, that of the network")
        known = run_arguments(self.theory, 1, arguments).values
        return {**known, **class_numbers(self.theory)}

    @property
    def moving(self) -> list[Equation]:
        """Equations of responses and kernels, and of correlations that do not change, on which they may depend."""
        return [item for item in self.equations.items if item.left.function in self.moving_functions]

    def _end(self, values: Mapping[sp.Symbol, Any]) -> dict[str, float]:
        moving = self.moving
        still = [item for item in self.equations.items if item not in moving]
        unknown, ends = [item.left for item in moving], [item.left for item in still]
        numbers = {
            symbol: sp.Float(value) if symbol.is_Function else sp.sympify(value, strict=True)
            for symbol, value in values.items()
        }
        system = [item.left - item.right.xreplace(numbers) for item in moving]
        residual = sp.lambdify((Z, unknown), system)
        jacobian = _jacobian(system, unknown)
        _followed(residual, jacobian, -1.0, len(unknown))  # an unstable rate has oscillations that grow
        known = _followed(residual, jacobian, 1.0, len(unknown))
        numbers |= {symbol: sp.Float(value) for symbol, value in zip(unknown, known.tolist(), strict=True)}
        linear = [item.left - item.right.xreplace(numbers) for item in still]
        right = -np.array(sp.lambdify((ends,), linear)(np.zeros(len(ends))), dtype=float)
        matrix, losses = _jacobian(linear, ends)(1.0, right), {o.name for o in self.theory.program.observables}
        needed = _reached(matrix, np.array([str(end) in losses for end in ends]))
        solved = spsolve(matrix[needed][:, needed], right[needed])
        return {str(ends[place]): float(value) for place, value in zip(needed, solved, strict=True)}


def _jacobian(system: Sequence[sp.Expr], unknown: Sequence[sp.Symbol]) -> Callable[[float, NDArray[Any]], csc_array]:
    """Derivatives of equations, most of which know few of the unknowns, shape (equation, unknown)."""
    columns = {symbol: column for column, symbol in enumerate(unknown)}
    places = [(row, columns[s]) for row, item in enumerate(system) for s in item.free_symbols if s in columns]
    entries = sp.lambdify((Z, unknown), [system[row].diff(unknown[column]) for row, column in places])
    indices = np.array(places).T

    def at(z: float, known: NDArray[Any]) -> csc_array:
        values = np.array(entries(z, known), dtype=float)
        return csc_array((values, indices), shape=(len(system), len(unknown)))

    return at


def _reached(matrix: csc_array, first: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Unknowns on which the first ones depend; others may have grown without bound, beyond all precision."""
    links, reached, before = (matrix != 0).astype(float).T, first, np.zeros_like(first)
    while (reached != before).any():
        reached, before = reached | (links @ reached.astype(float) > 0), reached
    return np.flatnonzero(reached)


def _followed(residual: Any, jacobian: Any, end: float, count: int) -> NDArray[Any]:
    """The branch from large ``z``, where nothing is remembered, to ``z = end``, which is 1 or -1."""
    known: NDArray[Any] = np.zeros(count)
    gap = _FARTHEST
    while gap > _NEAREST:
        known = _newton(residual, jacobian, end * (1 + gap), known)
        gap *= _SHORTER
    for _ in range(_POLISH):  # until here, small ones are known as exactly as the largest
        known = known - _change(residual, jacobian, end * (1 + gap / _SHORTER), known)
    return known


def _newton(residual: Any, jacobian: Any, z: float, known: NDArray[Any]) -> NDArray[Any]:
    """The solution next to one of a neighbouring ``z``."""
    for _ in range(_NEWTON):
        change = _change(residual, jacobian, z, known)
        known = known - change
        if np.abs(change).max() <= 1e-12 * (1 + np.abs(known).max()):
            return known
    raise ArgumentError(f"learning_rate: generating functions are lost at z = {z:.6g}; allowed is a lower one")


def _change(residual: Any, jacobian: Any, z: float, known: NDArray[Any]) -> NDArray[Any]:
    """Of an iteration of Newton's method."""
    return np.asarray(spsolve(jacobian(z, known), np.array(residual(z, known), dtype=float)))


class End(sp.Symbol):
    """An order parameter or a loss in the end: a symbol that prints as the order parameter does, without steps.

    Attributes
    ----------
    function
        The order parameter as a function of labels.
    """

    function: type

    def __new__(cls, name: str, function: Any, labels: Sequence[int]) -> Self:
        """Of a function at numbers of all labels but steps."""
        made = super().__new__(cls, name, real=True)
        made.function, made.labels = function, tuple(labels)
        return made

    def _latex(self, printer: sp.printing.latex.LatexPrinter) -> str:
        slots = _slots(self.function)
        numbers = iter(self.labels)
        point = self.function(*(TIME.symbol if slot == TIME.name else next(numbers) for slot in slots))
        if not isinstance(point, TwoPoint):
            return str(point.name_latex())
        row, column = (end.name_latex() for end in point.ends)
        return f"{point.letter}^{{{row},{column}}}"


def _slots(function: Any) -> tuple[str, ...]:
    """Of a two-point function or a scalar."""
    return (*function.row.slots, *function.column.slots) if issubclass(function, TwoPoint) else function.slots


def _remembers(function: type) -> bool:
    """Whether it is a response or a kernel."""
    return issubclass(function, TwoPoint) and not issubclass(function, Correlation)
