"""Terms of closed equations taken apart: coefficient, condition on layers, order parameters, sums over layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import sympy as sp

from dmft_sym.derivation.symbols import KEPT, PAST_KERNEL, TwoPoint
from dmft_sym.program import PAST_STEP, STEP

Limits: TypeAlias = tuple[tuple[sp.Symbol, sp.Expr, sp.Expr], ...]
"""Layer labels, and classes of sites, with inclusive ends."""
Kind = TypeVar("Kind", bound=TwoPoint)
_FUNCTIONS = (TwoPoint, sp.KroneckerDelta, KEPT, PAST_KERNEL)


@dataclass(frozen=True)
class Term:
    """``coefficient * [condition] * sum over layers of a product``; other sums are those of matrix products.

    Attributes
    ----------
    factors
        Order parameters, Kronecker deltas, ``rho(t)``, ``S_kappa(t, s)``.
    sums
        Layers, and classes of sites, that are summed over.
    """

    coefficient: sp.Expr
    condition: sp.Basic
    factors: tuple[sp.Expr, ...]
    sums: Limits

    @staticmethod
    def of(term: sp.Expr) -> Term:
        """A term of an equation."""
        coefficient, condition = sp.Integer(1), sp.true
        found: list[sp.Expr] = []
        limits: Limits = ()
        waiting = list(sp.Mul.make_args(term))
        for factor in waiting:
            if isinstance(factor, sp.Piecewise):
                value, condition = factor.args[0]
                waiting += sp.Mul.make_args(value)
            elif isinstance(factor, sp.Sum):
                limits += tuple(map(tuple, factor.limits))
                waiting += sp.Mul.make_args(factor.function)
            elif isinstance(factor, _FUNCTIONS):
                found.append(factor)
            else:
                coefficient *= factor
        ends = [end for factor in found if isinstance(factor, TwoPoint) for end in factor.ends]
        stored = [index for end in ends for index in (end.layer, end.site_class) if index is not None]
        sums = tuple(limit for limit in limits if any(index.has(limit[0]) for index in stored))
        return Term(coefficient, condition, tuple(found), sums)

    @property
    def retained(self) -> bool:
        """Whether ``rho(t)`` is a factor."""
        return any(isinstance(factor, KEPT) for factor in self.factors)

    @property
    def steps(self) -> str:
        """For which steps a kernel's term is there, as `ir.AddKernel` says it."""
        if any(isinstance(factor, PAST_KERNEL) for factor in self.factors):
            return "past"
        return "now" if sp.KroneckerDelta(STEP, PAST_STEP) in self.factors else "causal"

    def point(self, kind: type[Kind], present: bool | None = None) -> Kind | None:
        """The order parameter of a kind, if there is one; ``present``: whose row is the present step, or is not."""
        for factor in self.factors:
            if isinstance(factor, kind) and present in (None, factor.ends[0].step == STEP):
                return factor
        return None

    def value_of(self, index: sp.Symbol) -> sp.Expr | None:
        """What a Kronecker delta fixes a layer label to."""
        deltas = (set(factor.args) for factor in self.factors if isinstance(factor, sp.KroneckerDelta))
        return next((layer for delta in deltas if index in delta for layer in delta - {index}), None)
