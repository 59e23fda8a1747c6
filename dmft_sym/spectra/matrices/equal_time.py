"""Equal-time correlations of level-one fields, as coefficients of a level-two program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import sympy as sp

from dmft_sym.program import FieldRef, Program, ProgramError
from dmft_sym.program.printing import latex_name


class PairOfFields(sp.Expr):
    """A number that belongs to two fields: their names and layers are its arguments, ``nan`` for no layer."""

    is_commutative = True

    def __new__(
        cls, a: sp.Symbol, layer_a: sp.Expr, b: sp.Symbol, layer_b: sp.Expr
    ) -> Self:  # SymPy rebuilds expressions from their arguments
        return sp.Expr.__new__(cls, a, layer_a, b, layer_b)

    @classmethod
    def of(cls, a: FieldRef, b: FieldRef) -> Self:
        """The number that belongs to two references."""
        layers = [sp.S.NaN if ref.layer is None else ref.layer for ref in (a, b)]
        return cls(sp.Symbol(a.field.name), layers[0], sp.Symbol(b.field.name), layers[1])

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of the layers: the names of the fields are not parameters."""
        return self.args[1].free_symbols | self.args[3].free_symbols

    def _names(self, name: Callable[[str], str] = str, layer: Callable[[sp.Expr], str] = str) -> tuple[str, str]:
        """Both fields, with their names and layers printed by two functions."""
        a, layer_a, b, layer_b = self.args
        first, second = (
            name(x.name) + ("" if at is sp.S.NaN else f"[{layer(at)}]") for x, at in ((a, layer_a), (b, layer_b))
        )
        return first, second


class EqualTime(PairOfFields):
    """``C[c, c'] = <a_c(t) b_c'(t)>`` at the step ``t`` whose matrix is looked at.

    As the coefficient of a level-two field it is a matrix over outputs: ``EqualTime(a, b) * x`` has the component
    ``sum_c' <a_c b_c'> x_c'`` at output ``c``. A coefficient without it is a multiple of the identity. It is a number
    of the training run, not an unknown of the eigenproblem.
    """

    @classmethod
    def of(cls, a: FieldRef, b: FieldRef) -> Self:
        """The correlation of two fields of one space."""
        if a.space != b.space:
            raise ProgramError(f"<{a} {b}>: {a} lives in space {a.space}, but {b} in {b.space}")
        return super().of(a, b)

    def fields(self, program: Program) -> tuple[FieldRef, FieldRef]:
        """The two fields, as references to fields of ``program``."""
        known = {field.name: field for field in program.fields}
        first, layer_a, second, layer_b = self.args
        return (
            FieldRef(known[first.name], None if layer_a is sp.S.NaN else layer_a),
            FieldRef(known[second.name], None if layer_b is sp.S.NaN else layer_b),
        )

    def _sympystr(self, printer: sp.printing.str.StrPrinter) -> str:
        return "<{} {}>".format(*self._names())

    def _latex(self, printer: sp.printing.latex.LatexPrinter, exp: str | None = None) -> str:
        names = self._names(latex_name, printer.doprint)
        pair = names[0] if names[0] == names[1] else ";\\,".join(names)
        body = f"C^{{{pair}}}(t,t)"
        return body if exp is None else f"\\left[{body}\\right]^{{{exp}}}"
