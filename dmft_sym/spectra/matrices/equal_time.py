"""Equal-time correlations of level-one fields, as coefficients of a level-two program."""

from __future__ import annotations

import sympy as sp

from dmft_sym.program import FieldRef, Program, ProgramError
from dmft_sym.program.printing import latex_name


class EqualTime(sp.Expr):
    """``C[c, c'] = <a_c(t) b_c'(t)>`` at the step ``t`` whose matrix is looked at.

    As the coefficient of a level-two field it is a matrix over outputs: ``EqualTime(a, b) * x`` has the component
    ``sum_c' <a_c b_c'> x_c'`` at output ``c``. A coefficient without it is a multiple of the identity. It is a number
    of the training run, not an unknown of the eigenproblem.
    """

    is_commutative = True

    def __new__(
        cls, a: sp.Symbol, layer_a: sp.Expr, b: sp.Symbol, layer_b: sp.Expr
    ) -> EqualTime:  # SymPy rebuilds expressions from their arguments
        return sp.Expr.__new__(cls, a, layer_a, b, layer_b)

    @classmethod
    def of(cls, a: FieldRef, b: FieldRef) -> EqualTime:
        """The correlation of two fields of one space."""
        if a.space != b.space:
            raise ProgramError(f"<{a} {b}>: {a} lives in space {a.space}, but {b} in {b.space}")
        return cls(*(part for ref in (a, b) for part in (sp.Symbol(ref.field.name), _layer(ref))))

    def fields(self, program: Program) -> tuple[FieldRef, FieldRef]:
        """The two fields, as references to fields of ``program``."""
        known = {field.name: field for field in program.fields}
        first, layer_a, second, layer_b = self.args
        return (
            FieldRef(known[first.name], None if layer_a is sp.S.NaN else layer_a),
            FieldRef(known[second.name], None if layer_b is sp.S.NaN else layer_b),
        )

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of the layers: the names of the fields are not parameters."""
        return self.args[1].free_symbols | self.args[3].free_symbols

    def _names(self) -> list[str]:
        pairs = ((self.args[0], self.args[1]), (self.args[2], self.args[3]))
        return [f"{name}" + ("" if layer is sp.S.NaN else f"[{layer}]") for name, layer in pairs]

    def _sympystr(self, printer: sp.printing.str.StrPrinter) -> str:
        return "<{} {}>".format(*self._names())

    def _latex(self, printer: sp.printing.latex.LatexPrinter, exp: str | None = None) -> str:
        names = [
            latex_name(name.name) + ("" if layer is sp.S.NaN else f"[{printer.doprint(layer)}]")
            for name, layer in (self.args[:2], self.args[2:])
        ]
        pair = names[0] if names[0] == names[1] else ";\\,".join(names)
        body = f"C^{{{pair}}}(t,t)"
        return body if exp is None else f"\\left[{body}\\right]^{{{exp}}}"


def _layer(ref: FieldRef) -> sp.Expr:
    return sp.S.NaN if ref.layer is None else ref.layer
