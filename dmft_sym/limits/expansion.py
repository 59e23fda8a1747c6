"""Equations of single sites and of their averages in powers of the richness, as SymPy expressions.

Fields are ``h = h_0 + gamma h_1 + ...``, Gaussian fields ``u = u_0 + gamma u_1 + ...`` with ``<u_j u_k>`` made of what
the matrix acts on, averages are expanded inside. What is odd under the change of sign of the readout together with the
richness is zero: correlations ``<a_j b_k>``, responses ``R = gamma R_1 + gamma^3 R_3``, or the even orders of these.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import sympy as sp

from dmft_sym.derivation.equations import Equation
from dmft_sym.derivation.problem import Problem
from dmft_sym.derivation.single_site import Noise, ScalarEquation
from dmft_sym.derivation.site_equations import SiteWriter
from dmft_sym.derivation.symbols import (
    Correlation,
    Gram,
    Labelled,
    NoiseAt,
    Response,
    ScalarAt,
    SiteAverage,
    Tangent,
    TwoPoint,
)
from dmft_sym.derivation.uses import Use
from dmft_sym.networks.parameters import GAMMA
from dmft_sym.program import Compute, scalar_refs
from dmft_sym.program.site_derivatives import differentiate

from .parity import Parities
from .series import Series
from .static_fields import renamed, timeless

Orders = dict[int, sp.Expr]
"""Expressions by powers of the richness; those that are zero are left out."""


Moved = tuple[sp.Dummy, int, sp.Expr]
"""What stands for a thing, an order, and the thing at this order."""
_AVERAGED = (TwoPoint, Tangent, SiteAverage, sp.Sum)


class Expansion:
    """Powers of the richness in expressions of a problem.

    Parameters
    ----------
    problem
        With averages over sites.
    series
        Of its program: which orders of fields are there, and their names.
    parities
        Signs of its fields.
    highest
        Powers above it are left out.
    """

    def __init__(self, problem: Problem, series: Series, parities: Parities, highest: int) -> None:
        self.series, self.highest = series, highest
        self.things: dict[str, object] = {thing.name: thing for thing in (*series.whole.fields, *series.whole.vectors)}
        self.scalars = {scalar.name: scalar for scalar in series.whole.scalars}
        writer = SiteWriter(problem.site_builder)
        self.noises: dict[type[Labelled], Noise] = {
            writer.noise(noise, noise.source.index if isinstance(noise.source, Use) else None).func: noise
            for noise in problem.noises
        }
        self.signs: dict[type[Labelled] | str, int] = {kind: parities.of_noise(n) for kind, n in self.noises.items()}
        self.signs |= {equation.target.declared.name: parities.of(equation.target) for equation in problem.causal}
        self.moving = _moving(problem, parities)

    def of(self, expression: sp.Expr) -> Orders:
        """Coefficients of powers of the richness."""
        if isinstance(expression, Labelled):
            return {k: self._still(k, thing) for k, thing in self._things(expression).items()}
        if isinstance(expression, TwoPoint):
            return self._two_point(expression)
        if isinstance(expression, Tangent):
            moved, by = expression.args
            known = self._things(moved).items()  # derivatives are those by Gaussian fields of order zero
            return {k: Tangent(thing, by) for k, thing in known if k == 0 or not isinstance(moved, NoiseAt)}
        if isinstance(expression, SiteAverage):
            sign, inner = self.sign(expression.args[0]), self.of(expression.args[0])
            return {k: SiteAverage(value) for k, value in inner.items() if sign * (-1) ** k != -1}
        if isinstance(expression, sp.Sum):
            inner = self.of(expression.function)
            return {k: _summed(value, expression.limits) for k, value in inner.items()}
        if expression.is_Add:
            return _sum(self.of(part) for part in expression.args)
        if expression == GAMMA or (expression.is_Pow and expression.base == GAMMA):
            return {int(expression.as_base_exp()[1]): sp.Integer(1)}
        if expression.is_Mul:
            plain = [part for part in expression.args if part != GAMMA and not part.has(*_AVERAGED, GAMMA)]
            others = [self.of(part) for part in expression.args if part not in plain]
            return self._product([*others, self._function(sp.Mul(*plain))])
        return self._function(expression)

    def pairs(self, equation: Equation) -> Iterator[tuple[int, int, Equation]]:
        """The equation of a correlation for all orders of both ends, those that vanish left out."""
        a, b = equation.left.ends
        for (j, x), (k, y) in itertools.product(self.of(a).items(), self.of(b).items()):
            if self._sign_of(a) * self._sign_of(b) * (-1) ** (j + k) == -1:
                continue
            found = {a: x, b: y}
            for point in (point for term in equation.terms for point in term.atoms(TwoPoint)):
                if isinstance(point, Correlation):
                    ends = (self.of(end).get(order) for end, order in zip(point.ends, (j, k), strict=True))
                    found[point] = Correlation(*ends)
            terms = tuple(term.xreplace(found) for term in equation.terms)
            yield j, k, replace(equation, left=Correlation(x, y), terms=terms)

    # Things at their labels

    def _things(self, thing: Labelled) -> dict[int, Labelled]:
        """A field, Gaussian field or scalar of every order, with all its labels."""
        if isinstance(thing, NoiseAt):
            source = self.noises[thing.func].source
            orders = self.series.present.get(source.operand.field, {0}) if isinstance(source, Use) else {0}
            name = str(thing.name)
            found = {k: f"{name}_{k}" if k else name for k in orders}
        else:
            known = self.scalars if isinstance(thing, ScalarAt) else self.things
            whole = known.get(str(thing.name))
            orders = {0} if whole is None else self.series.present.get(whole, set())
            found = {k: self.series.part(whole, k).name if k else str(thing.name) for k in orders}
        return {k: renamed(thing, name) if k else thing for k, name in sorted(found.items()) if k <= self.highest}

    def _two_point(self, point: TwoPoint) -> Orders:
        """A correlation of all orders of both ends; a response of those of its row, to what is there at order zero."""
        a, b = point.ends
        if isinstance(point, Gram):
            return {0: point}
        if isinstance(point, Response):
            pairs: Iterable[tuple[int, TwoPoint]] = [(k, Response(x, b)) for k, x in self._things(a).items()]
        else:
            ends = itertools.product(self.of(a).items(), self.of(b).items())
            pairs = [(j + k, Correlation(x, y)) for (j, x), (k, y) in ends]
        even = self._sign_of(a) * self._sign_of(b)
        return _sum({k: made} for k, made in pairs if even * (-1) ** k != -1 and k <= self.highest)

    def _sign_of(self, thing: Labelled) -> int:
        return self.signs.get(thing.func, self.signs.get(str(thing.name), 1))

    def sign(self, expression: sp.Expr) -> int:
        """Of a function of fields under the change of sign of readouts: of an average, all orders included."""
        flipped: dict[sp.Expr, sp.Expr] = {}
        for part in expression.atoms(Labelled, Tangent):
            ends = [end for end in part.args if isinstance(end, Labelled)] if isinstance(part, Tangent) else [part]
            flipped[part] = sp.Mul(part, *(self._sign_of(end) for end in ends))
        moved = expression.xreplace(flipped)
        if 0 in flipped.values():
            return 0
        return -1 if sp.expand(moved + expression) == 0 else 1 if sp.expand(moved - expression) == 0 else 0

    def _still(self, order: int, thing: Labelled) -> Labelled:
        """Fields are static at order zero; so are scalars, but for outputs and what is computed from them."""
        return thing if order or thing.step is None or str(thing.name) in self.moving else timeless(thing)

    # Arithmetic

    def _product(self, factors: list[Orders]) -> Orders:
        total: Orders = {0: sp.Integer(1)}
        for factor in sorted(factors, key=lambda orders: min(orders, default=0)):
            pairs = itertools.product(total.items(), factor.items())
            total = _sum({j + k: a * b} for (j, a), (k, b) in pairs if j + k <= self.highest)
        return total

    def _function(self, expression: sp.Expr) -> Orders:
        """A function of things at their labels, by its derivatives."""
        things = sorted(expression.atoms(Labelled), key=sp.default_sort_key)
        dummies = {thing: sp.Dummy(real=True) for thing in things}
        parts = {dummies[thing]: self.of(thing) for thing in things}
        at = {dummy: found.get(0, sp.Integer(0)) for dummy, found in parts.items()}
        moved = [(dummy, k, found[k]) for dummy, found in parts.items() for k in found if k > 0]
        terms = self._derivatives(expression.xreplace(dummies), moved)
        return _sum({order: value.xreplace(at)} for order, value in terms)

    def _derivatives(self, function: sp.Expr, moved: list[Moved]) -> Iterator[tuple[int, sp.Expr]]:
        """Terms of the Taylor series, with their orders."""
        for count in range(self.highest + 1):
            for chosen in itertools.combinations_with_replacement(moved, count):
                order, value = sum(k for _, k, _ in chosen), function
                if order <= self.highest:
                    for dummy, _, _ in chosen:
                        value = differentiate(value, dummy)
                    repeats = sp.Mul(*map(sp.factorial, Counter(chosen).values()))
                    yield order, value * sp.Mul(*(shift for *_, shift in chosen)) / repeats


def _moving(problem: Problem, parities: Parities) -> set[str]:
    """Outputs, and scalars that are computed from them."""
    found: set[str] = set()
    for equation in (e for e in problem.causal if isinstance(e, ScalarEquation)):
        read = {ref.scalar.name for ref in scalar_refs(equation.statement)}
        if parities.is_output(equation) or (isinstance(equation.statement, Compute) and read & found):
            found.add(equation.target.scalar.name)
    return found


def _summed(value: sp.Expr, limits: tuple[sp.Tuple, ...]) -> sp.Expr:
    """A sum for every term."""
    return sp.Add(*(sp.Sum(term, *limits) for term in sp.Add.make_args(sp.expand_mul(value))))


def _sum(parts: Iterable[Mapping[int, sp.Expr]]) -> Orders:
    total: Orders = {}
    for part in parts:
        for order, value in part.items():
            total[order] = total.get(order, sp.Integer(0)) + value
    return {order: value for order, value in total.items() if value != 0}
