"""The limiting theory: leading terms of closed equations, what vanished, and a solver."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import sympy as sp

from dmft_sym.derivation.closure import ClosedEquations
from dmft_sym.derivation.equations import Equation, Equations
from dmft_sym.derivation.exports import NamedParameter, named_parameters
from dmft_sym.derivation.processes import Member
from dmft_sym.derivation.single_site import Noise
from dmft_sym.derivation.symbols import TwoPoint
from dmft_sym.derivation.uses import Use
from dmft_sym.networks.parameters import GAMMA, INIT_VARIANCE, NU
from dmft_sym.networks.parametrization import MUP
from dmft_sym.program import ProgramError
from dmft_sym.program.observations import Observations

from .closed_correction import ClosedCorrection, series_of
from .first_step import problem_of
from .limit import CENTERED, EPS, Limit
from .limit_theory import LimitTheory, Vanished, VanishedTerms
from .orders import Orders, leading, needed, parts

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem
    from dmft_sym.solvers.exact_march import ExactRun


class LimitingTheory(LimitTheory):
    """A limit of the closed equations of a theory.

    Parameters
    ----------
    theory
        Whose equations go to the limit.
    limit
        How parameters scale.
    whole
        The theory of a user, if the one whose equations go to the limit is the same training written in another way.

    Raises
    ------
    ProgramError
        If there is no limit, naming the term that diverges and what would cure it.

    See Also
    --------
    Theory.limit : makes it.
    limits.check : whether it is right.

    References
    ----------
    arXiv:2502.02531 (infinite width, population); docs/limits.md.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> theory = ds.derive(ds.deep_linear(depth=1))
    >>> theory.limit(ds.limits.wide).rate
    1
    """

    def __init__(self, theory: Problem, limit: Limit, whole: Problem | None = None) -> None:
        super().__init__(theory, limit)
        self.whole = theory if whole is None else whole
        self.values = scaled_parameters(theory, limit)
        self.orders = Orders(theory.closed.equations, self.values)
        self._check_finite()

    @property
    def powers(self) -> dict[str, sp.Expr]:
        """Powers of ``eps`` of order parameters, by name; infinite where all of them are zero."""
        return {func.__name__: power for func, power in self.orders.powers.items() if issubclass(func, TwoPoint)}

    @cached_property
    def needed(self) -> set[type]:
        """What losses depend on in the limit."""
        closed = self.theory.closed
        return needed(closed.equations, closed.observables, self._leading_terms)

    @cached_property
    def closed(self) -> ClosedEquations:
        """The limiting equations in marching order, ready to be lowered."""
        closed = self.theory.closed
        rows = tuple(replace(part, equations=tuple(map(self._limited, part.equations))) for part in closed.statements)
        observables = tuple(map(self._limited, closed.observables))
        made = replace(closed, statements=rows, observables=observables)
        gone = (*closed.absent, *self._gone)
        return replace(made, absent=tuple(s for s in gone if s not in _symbols(made.equations)))

    @cached_property
    def equations(self) -> Equations:
        """The limiting equations that losses depend on; what vanishes by a power of ``eps`` is in its units."""
        text = f"Limit {self.limit.name}: {self.limit.why}. " + self._words()
        items = (*self.closed.definitions, *(e for e in self.closed.equations if e.left.func in self.needed))
        return Equations(items, f"Limit: {self.limit.name}", text)

    @cached_property
    def vanished(self) -> VanishedTerms:
        """Order parameters that vanish, and terms of the others."""
        return VanishedTerms(self._vanished())

    @cached_property
    def rate(self) -> sp.Expr:
        """Power of ``eps`` of the largest term that vanished, the next even one if odd ones drop; or infinity."""
        found = min((item.order for item in self.vanished if item.term is not None), default=sp.oo)
        return 2 * sp.ceiling(found / 2) if self.limit.even and found != sp.oo else found

    @cached_property
    def correction(self) -> ClosedCorrection:
        """What losses are beyond the lazy limit, at order ``gamma^2``.

        Raises
        ------
        ProgramError
            If this is another limit, or the first correction is of another order: naming why.
        """
        if dict(self.limit.scaling) != {GAMMA.name: EPS * GAMMA}:
            raise ProgramError(
                f"correction of the limit {self.limit.name}: allowed is the lazy one, gamma -> eps gamma"
            )
        series = problem_of(self.theory, series_of(self.theory, self.limit))
        return ClosedCorrection(LimitingTheory(series, replace(self.limit, scaling={})))

    @cached_property
    def problem(self) -> Problem:
        """The problem whose closed equations these are."""
        made = copy.copy(self.theory)
        stale = ("closed", "order_parameters", "equations", "steps", "symbols")
        made.__dict__ = {key: value for key, value in made.__dict__.items() if key not in stale}
        made.__dict__["closed"] = self.closed
        made.observations, made.observed = Observations(), ()  # fields may vanish in the limit, or grow
        made.parameters = tuple(p for p in made.parameters if p.symbol not in self.closed.absent)
        if NU in self.closed.absent:  # gamma0 is what is left of gamma
            made.network = replace(made.network, parametrization=MUP)
        made.__dict__["order_parameters"] = list(self._reported())
        made.variant = "\n".join(map(str, (*self.closed.equations, self.closed.absent)))
        return made

    def solve(self, backend: str = "numba", **arguments: Any) -> xr.Dataset:
        """Solve the limiting equations.

        Parameters
        ----------
        **arguments
            As of a run, without those that went to the limit; one that scales and cancels, as the richness of lazy
            networks, may be missing.

        Raises
        ------
        ArgumentError
            As of a run, or if there is an argument that went to the limit.
        """
        from dmft_sym.solvers.solver import Solver

        self.refuse(arguments, self.gone)
        arguments = {**{p.keyword: 1.0 for p in self.problem.parameters if self.cancels(p.symbol)}, **arguments}
        return Solver(self.problem, backend)(method="equations", **arguments)

    def exact(self, steps: int = 1, **parameters: Any) -> ExactRun:
        """First steps in exact arithmetic; see `Theory.exact`."""
        from dmft_sym.solvers.exact_march import exact_run

        return exact_run(self.problem, steps, parameters)

    def arguments_at(self, size: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of the whole theory at a value of ``eps``; those of the limit are where they scale from."""
        found = dict(arguments)
        for parameter in self.whole.parameters:
            value = self.limit.scaling.get(parameter.symbol.name)
            if value is None:
                continue
            squared = parameter.symbol == INIT_VARIANCE
            own = sp.sympify(arguments.get(parameter.keyword, 1), strict=True)
            scaled = sp.sympify(value, strict=True).subs({parameter.symbol: own**2 if squared else own, EPS: size})
            found[parameter.keyword] = sp.sqrt(scaled) if squared else scaled
        return found

    def kept(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments without those that went to the limit."""
        return {name: value for name, value in arguments.items() if name not in self.gone}

    @property
    def scaled(self) -> set[sp.Symbol]:
        """Parameters that scale."""
        return set(self.values)

    @property
    def gone(self) -> set[str]:
        """Arguments that went to the limit."""
        return {p.keyword for p in self.whole.parameters} - {p.keyword for p in self.problem.parameters}

    def cancels(self, symbol: sp.Symbol) -> bool:
        """Whether results do not depend on a parameter that scales: it is in the units of order parameters alone.

        All terms of an equation are then of one power of it, and results of none.
        """
        if symbol not in self.scaled:
            return False
        kept = [e for e in self.closed.equations if e.left.func in self.needed]
        orders = Orders(kept, {symbol: EPS * symbol})
        whole = all(orders.of(term) == orders.powers[e.left.func] for e in kept for term in e.terms)
        families = {array: func for func, array in self.closed.families.items()}
        results = [families[p.array] for p in self.problem.order_parameters]
        results += [equation.left.func for equation in self.closed.observables]
        return whole and all(orders.powers.get(func, 0) in (0, sp.oo) for func in results)

    @property
    def _gone(self) -> tuple[sp.Symbol, ...]:
        """Parameters whose own value is gone."""
        return tuple(symbol for symbol, value in self.values.items() if symbol not in value.free_symbols)

    def _reported(self) -> Iterator[NamedParameter]:
        """Order parameters of results: those that neither vanish nor are in units of a power of ``eps``."""
        finite = {array for func, array in self.closed.families.items() if self.orders.powers.get(func) == 0}
        for export in named_parameters(self.closed, self.theory.uses):
            if export.array in finite and all(map(self._is_known, (export.array.row, export.array.column))):
                yield replace(export, scale=export.scale.subs(dict.fromkeys(self.closed.absent, 1)))

    def _is_known(self, member: Member) -> bool:
        """Whether the program of the user has a field, or what leaves a Gaussian field behind."""
        program = self.whole.program
        if not isinstance(member, Noise):
            return member in program.fields
        source = member.source
        return source.operand.field in program.fields if isinstance(source, Use) else source in program.vectors

    def _leading_terms(self, equation: Equation) -> Iterator[sp.Expr]:
        """Terms of the power of the left-hand side, with leading coefficients."""
        power = self.orders.powers[equation.left.func]
        for term in equation.terms:
            if self.orders.of(term) == power != sp.oo:
                coefficient, _ = parts(term)
                yield term * (leading(self.orders.scaled(coefficient))[1] / coefficient)

    def _limited(self, equation: Equation) -> Equation:
        """An equation of the limit; what vanishes and is not needed is zero."""
        gone = self.orders.powers[equation.left.func] > 0 and equation.left.func not in self.needed
        return replace(equation, terms=() if gone else tuple(self._leading_terms(equation)))

    def _vanished(self) -> Iterator[Vanished]:
        """What vanishes by a power; what is zero at any ``eps`` does not vanish."""
        seen = set()
        for equation in self.theory.closed.equations:
            func = equation.left.func
            power = self.orders.powers[func]
            if func not in self.needed:
                if 0 < power < sp.oo and func not in seen:
                    yield Vanished(equation.label, None, power)
                seen.add(func)
                continue
            for term in equation.terms:
                if power < self.orders.of(term) < sp.oo:
                    yield Vanished(equation.label, term, self.orders.of(term) - power)

    def _words(self) -> str:
        """What is in units of powers of ``eps``, and what vanished."""
        small = [name for name, power in self.powers.items() if power != 0 and power.is_finite]
        gone = [item.label for item in self.vanished if item.term is None]
        scaled = ", ".join(f"{name}: {self.powers[name]}" for name in small if name not in gone)
        parts_of_text = [f"In units of powers of $\\epsilon$: {_escaped(scaled)}." if scaled else ""]
        if self.whole is not self.theory:
            parts_of_text.insert(0, "Fields are split, $x = x_0 + dx$: what they were at the first step, what changed.")
        parts_of_text += [f"Vanished: {_escaped(', '.join(gone))}." if gone else ""]
        return " ".join(part for part in parts_of_text if part)

    def _check_finite(self) -> None:
        for equation in self.theory.closed.equations:
            power = self.orders.powers[equation.left.func]
            if power < 0 and equation.left.func in self.needed and self._matters(equation):
                term = next(term for term in equation.terms if self.orders.of(term) == power)
                raise ProgramError(
                    f"limit {self.limit.name}: {equation.label} diverges as {self._size(power)} by its term {term}"
                    + self._cure()
                )

    def _matters(self, equation: Equation) -> bool:
        """Correlations and losses have to stay finite; responses and kernels may be large where others are small."""
        return not isinstance(equation.left, TwoPoint) or equation.left.func.letter == "C"

    def _size(self, power: sp.Expr) -> str:
        """``1/richness^2``."""
        for parameter in self.theory.parameters:
            value = self.values.get(parameter.symbol)
            if value is not None and value == EPS * parameter.symbol:
                return f"1/{parameter.keyword}^{-power}"
        return f"1/{EPS}^{-power}"

    def _cure(self) -> str:
        keywords = {parameter.symbol: parameter.keyword for parameter in self.theory.parameters}
        names = {name for symbol in self.values for name in (symbol.name, keywords.get(symbol, ""))}
        found = (cure for name, cure in self.limit.cures.items() if name in names)
        cures = [cure for cure in (self._centering() if cure == CENTERED else cure for cure in found) if cure]
        return f"; {' or '.join(cures)} would cure it" if cures else ""

    def _centering(self) -> str:
        """What is missing of it; differences from the first step cancel where no weight decays."""
        missing = [] if getattr(self.whole.training, "centered", False) else [CENTERED]
        missing += ["weight_decay = 0"] if self.whole.program.optimizer.recursion.decays else []
        return " with ".join(missing)


def scaled_parameters(theory: Problem, limit: Limit) -> dict[sp.Symbol, sp.Expr]:
    """What the symbols of a program become; ``gamma`` goes with the width where the parametrization says so."""
    symbols = {symbol.name: symbol for symbol in theory.program.parameters}
    values = limit.values(symbols)
    power = sp.nsimplify(theory.network.parametrization.exponent) - sp.Rational(1, 2)
    if NU in values and GAMMA in symbols.values() and power != 0:
        width = values[NU] if NU in values[NU].free_symbols else values[NU] * NU
        values[GAMMA] = values.get(GAMMA, GAMMA) * (width / NU) ** power
    return values


def _symbols(equations: Iterable[Equation]) -> set[sp.Symbol]:
    return {symbol for equation in equations for symbol in equation.right.free_symbols}


def _escaped(text: str) -> str:
    return text.replace("_", "\\_")
