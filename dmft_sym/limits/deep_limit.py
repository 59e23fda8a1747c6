"""Infinite depth of residual networks: layers become a continuous ``tau = l/L``, sums over layers integrals.

What is carried on from layer to layer, ``X[l+1] = X[l] + ...``, is an integral over the depth below (or above);
responses to the Gaussian fields of layers are densities in their depth. Powers of ``1/L`` of all order parameters are
the least solution of the equations, in which an increment counts ``L`` times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import sympy as sp

from dmft_sym.derivation.continuous import Flat, flat_term
from dmft_sym.derivation.equations import Equation, Equations
from dmft_sym.derivation.symbols import PAST_KERNEL, MemoryKernel, ReportedAt, TwoPoint
from dmft_sym.program import DEPTH, LAYER, OUTPUTS, ProgramError

from .limit import EPS, Limit
from .limit_theory import LimitTheory, Vanished, VanishedTerms
from .orders import leading

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem

Key: TypeAlias = tuple[str, bool]
"""A family; and of kernels, whether it is that of the first or the last layer alone."""
_MOST = 60


class Depth(sp.Symbol):
    """A place in continuous depth, between 0 and 1, of a layer label."""

    def __new__(cls, name: str) -> Self:
        """With a name that prints as ``tau`` and what tells it apart."""
        return super().__new__(cls, name, nonnegative=True)


WITHIN = Depth("tau_1")
"""What integrals over the depth below run over."""


@dataclass(frozen=True)
class Term:
    """A term without its coefficient, which is a power of ``1/L`` times what is leading."""

    whole: sp.Expr
    flat: Flat
    power: sp.Expr
    coefficient: sp.Expr
    factors: tuple[sp.Expr, ...]


class DeepTheory(LimitTheory):
    """Closed equations of a residual network at infinite depth.

    Parameters
    ----------
    theory
        Whose equations go to the limit; its branches are divided by the root of the depth.
    limit
        With a depth ``1/eps``.

    Raises
    ------
    ProgramError
        If there is no limit, naming what grows and what would cure it.

    See Also
    --------
    Theory.limit : makes it.
    limits.check : whether it is right.

    References
    ----------
    arXiv:2502.02531, residual networks; arXiv:2309.16620.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> ds.limits.deep.name
    'deep'
    """

    def __init__(self, theory: Problem, limit: Limit) -> None:
        super().__init__(theory, limit)
        limit.values({symbol.name: symbol for symbol in theory.program.parameters})
        if theory.program.averaged:
            raise ProgramError(
                f"limit {limit.name}: averages over sites do not close; a residual network that is linear, with "
                "data = ds.Proportional(), has equations that do"
            )
        self.known = [e for e in theory.closed.equations if e not in theory.closed.definitions]
        self.layers = frozenset(label for equation in self.known for label in layer_labels(equation))
        self.carried = {equation.left.func for equation in self.known if self.carries(equation)}
        if not self.carried:
            raise ProgramError(
                f"limit {limit.name}: no field is carried on from layer to layer, as in h[l+1] = h[l] + ...; "
                "a residual network has this limit"
            )
        self.powers_of = self._powers()

    @property
    def rate(self) -> int:
        """Sums over layers differ from integrals by one over the depth."""
        return 1

    @property
    def powers(self) -> dict[str, sp.Expr]:
        """Powers of ``1/L`` of order parameters, by name; of kernels those between layers."""
        return {name: power for (name, edge), power in self.powers_of.items() if not edge}

    @cached_property
    def equations(self) -> Equations:
        """With integrals over depth, in units of the powers of ``1/L``."""
        small = ", ".join(f"{name}: {power}" for name, power in self.powers.items() if power not in (0, sp.oo))
        text = f"Limit {self.limit.name}: {self.limit.why}. In units of powers of $1/L$: {small}."
        items = [Equation(self._in_depth(e.left), self.right(e), note=e.note) for e in self.known]
        return Equations(items, f"Limit: {self.limit.name}", text.replace("_", "\\_"))

    @cached_property
    def vanished(self) -> VanishedTerms:
        """Terms of higher powers of ``1/L``, in units of what is left."""
        found = []
        for equation in self.known:
            power = self.powers_of[self.key(equation.left)]
            for term in self._terms(equation):
                if self._power(term, self.carries(equation)) > power:
                    found.append(
                        Vanished(equation.label, term.whole, self._power(term, self.carries(equation)) - power)
                    )
        return VanishedTerms(found)

    def solve(self, depths: tuple[int, int] = (8, 16), **arguments: Any) -> xr.Dataset:
        """Losses at infinite depth: Euler's rule in depth is the network itself, extrapolated from two depths.

        Parameters
        ----------
        depths
            Numbers of layers, the second one twice the first one.
        **arguments
            As of a run, without ``depth``.

        Returns
        -------
        xarray.Dataset
            Losses, axes as of a run.
        """
        from dmft_sym.solvers.solver import Solver

        self.refuse(arguments, ("depth",))
        solver = Solver(self.theory, "numpy")
        few, many = (solver(method="equations", depth=depth, **arguments) for depth in depths)
        losses = [observable.name for observable in self.theory.program.observables]
        return 2 * many[losses] - few[losses]

    def terms_of(self, equation: Equation) -> list[sp.Expr]:
        """Terms of the equation of layers, without what is carried on."""
        return [term.whole for term in self._terms(equation)]

    def right(self, equation: Equation) -> tuple[sp.Expr, ...]:
        """Leading terms; what is carried on begins at an edge."""
        power, carries = self.powers_of[self.key(equation.left)], self.carries(equation)
        terms = [term for term in self._terms(equation) if self._power(term, carries) == power != sp.oo]
        if not carries:
            return tuple(self._made(term, None) for term in terms)
        (label,) = equation.left.args[0].free_symbols - {DEPTH}
        down = label in equation.where.descending
        start = self._in_depth(equation.left.subs(equation.left.args[0], DEPTH if down else sp.Integer(1)))
        return (start, *(self._made(term, (label, down)) for term in terms))

    def carries(self, equation: Equation) -> bool:
        """Whether an order parameter is carried on from layer to layer."""
        return any(_is_carried(equation.left, term) for term in equation.terms)

    @staticmethod
    def _increments(equation: Equation) -> Iterator[sp.Expr]:
        """All but what is carried on; of ``(1 - 1/L) X`` the rest."""
        for whole in equation.terms:
            rest = _change(equation.left, whole) if _is_carried(equation.left, whole) else whole
            if rest != 0:
                yield rest

    def _terms(self, equation: Equation) -> Iterator[Term]:
        """All but what is carried on."""
        for whole in self._increments(equation):
            flat = flat_term(whole)
            if flat.conditions:
                raise ProgramError(f"limit {self.limit.name}: {equation.label} has conditions on layers")
            things = tuple(factor for factor in flat.factors if _is_thing(factor))
            power, coefficient = leading(sp.Mul(*(f for f in flat.factors if not _is_thing(f))).subs(DEPTH, 1 / EPS))
            sums = sum(1 for symbol, *limits in flat.sums if OUTPUTS not in sp.Tuple(*limits).free_symbols)
            deltas = sum(1 for factor in things if self._is_layer_delta(factor))
            yield Term(whole, flat, power - sums + deltas, coefficient, things)

    def _power(self, term: Term, carries: bool, powers: dict[Key, sp.Expr] | None = None) -> sp.Expr:
        """Of a term as it counts in its equation."""
        known = self.powers_of if powers is None else powers
        points = sum(known.get(self.key(factor), 0) for factor in term.factors if isinstance(factor, TwoPoint))
        return term.power + points - (1 if carries else 0)

    def _powers(self) -> dict[Key, sp.Expr]:
        """The least solution, from zero order parameters; `_power` reads what is known so far."""
        listed = [(self.key(e.left), self.carries(e), list(self._terms(e))) for e in self.known]
        powers: dict[Key, sp.Expr] = {key: sp.oo for key, _, _ in listed}
        for _ in range(_MOST):
            before = dict(powers)
            for key, carries, terms in listed:
                found = [self._power(term, carries, powers) for term in terms]
                powers[key] = min([*found, powers[key]])
            if powers == before:
                break
        worst = next((k for k in powers if powers[k] != before[k] or (powers[k] < 0 and k[0].startswith("C_"))), None)
        if worst is not None:
            raise ProgramError(
                f"limit {self.limit.name}: {worst[0]} grows with the depth; a branch divided by sqrt(net.depth) would "
                "cure it"
            )
        return powers

    def _is_layer_delta(self, factor: sp.Expr) -> bool:
        return isinstance(factor, sp.KroneckerDelta) and bool(factor.free_symbols & self.layers)

    def key(self, thing: sp.Expr) -> Key:
        """What has a power of its own."""
        edge = isinstance(thing, MemoryKernel) and all(
            not sp.sympify(value, strict=True).free_symbols - {DEPTH}
            for slot, value in labels_of(thing)
            if slot == LAYER.name
        )
        has_layers = any(slot == LAYER.name for slot, _ in labels_of(thing))
        return thing.func.__name__, edge and has_layers

    def _made(self, term: Term, carried: tuple[sp.Symbol, bool] | None) -> sp.Expr:
        """A term with integrals over depth."""
        factors, steep = [], None
        for factor in term.factors:
            if self._is_layer_delta(factor):
                steep = factor
            else:
                factors.append(self._in_depth(factor))
        value = sp.Mul(*factors)
        steps = [(symbol, 0, last) for symbol, last in term.flat.steps]
        for symbol, *limits in term.flat.sums:
            if OUTPUTS in sp.Tuple(*limits).free_symbols:
                steps.append((symbol, *limits))
            else:
                value = sp.Integral(value, (tau(symbol), 0, 1))
        value = sp.Sum(value, *steps) if steps else value
        if carried is not None:
            label, down = carried
            here = tau(label)
            if steep is not None:
                (other,) = (tau(arg) for arg in steep.args if arg != label)
                value *= sp.Heaviside(other - here if down else here - other)
            else:
                value = sp.Integral(value.subs(here, WITHIN), (WITHIN, here, 1) if down else (WITHIN, 0, here))
        return term.coefficient * value

    def _in_depth(self, thing: sp.Expr) -> sp.Expr:
        """With continuous depth in the place of layers."""
        if not isinstance(thing, TwoPoint):
            return thing
        values = [_depth(value) if slot == LAYER.name else value for slot, value in labels_of(thing)]
        return thing.func(*values)


def labels_of(thing: sp.Expr) -> list[tuple[str, sp.Expr]]:
    """Names of labels of an order parameter with their values."""
    if not isinstance(thing, TwoPoint):
        return []
    return list(zip((*thing.row.slots, *thing.column.slots), thing.args, strict=True))


def _depth(value: Any) -> sp.Expr:
    """``l``, ``l + 1`` are at ``tau``; the first layer is at 0, the last one at 1."""
    labels = sp.sympify(value, strict=True).free_symbols - {DEPTH}
    if labels:
        (label,) = labels
        return tau(label)
    return sp.Integer(1) if sp.sympify(value, strict=True).has(DEPTH) else sp.Integer(0)


def tau(label: sp.Symbol) -> Depth:
    """The depth of a layer label."""
    if label == LAYER.symbol:
        return Depth("tau")
    return Depth(f"tau_{label.name.rpartition('_')[2]}")


def layer_labels(equation: Equation) -> Iterator[sp.Symbol]:
    """Symbols that are numbers of layers: what stands where an order parameter has its layer."""
    for part in (equation.left, *equation.terms):
        for point in part.atoms(TwoPoint):
            for slot, value in labels_of(point):
                if slot == LAYER.name:
                    yield from sp.sympify(value, strict=True).free_symbols - {DEPTH}


def _is_thing(factor: sp.Expr) -> bool:
    return isinstance(factor, TwoPoint | sp.KroneckerDelta | ReportedAt) or factor.func == PAST_KERNEL


def _is_carried(left: sp.Expr, term: sp.Expr) -> bool:
    """Whether a term is the same one layer before, up to a factor that goes to one with the depth."""
    coefficient, point = _split(term)
    if not isinstance(left, TwoPoint) or point.func != left.func or left.func.row.slots[:1] != (LAYER.name,):
        return False
    if abs(sp.simplify(left.args[0] - point.args[0])) != 1 or left.args[1:] != point.args[1:]:
        return False
    return coefficient == 1 or sp.limit(coefficient, DEPTH, sp.oo) == 1


def _change(left: sp.Expr, term: sp.Expr) -> sp.Expr:
    """What the factor of a carried term adds to one."""
    coefficient, point = _split(term)
    return sp.together(coefficient - 1) * point


def _split(term: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """The coefficient and what it multiplies."""
    coefficient, point = term.as_independent(TwoPoint, as_Add=False)
    return coefficient, point
