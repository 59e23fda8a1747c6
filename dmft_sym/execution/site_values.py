"""Site-wise functions in numbers: at sites, and as forms of Gaussian fields where they are linear or bilinear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np
import sympy as sp

from dmft_sym.program.site_functions import numpy_function
from dmft_sym.program.wick import monomials
from dmft_sym.support.array_types import Array
from dmft_sym.support.errors import ExecutionError

_SOFTMAX = sp.Function("softmax")


@dataclass(frozen=True)
class SiteValues:
    """An expression in ``fields`` (which differ from site to site) and ``scalars`` (which do not), without parameters.

    ``softmax`` of scalars acts along the axis ``along``.
    """

    expression: sp.Expr
    fields: tuple[sp.Symbol, ...]
    scalars: tuple[sp.Symbol, ...]
    along: int = -1

    def __call__(self, *values: Array) -> Array:
        """The function at arrays that broadcast: those of the fields first."""
        shape = np.broadcast_shapes(*(np.shape(value) for value in values))
        return np.broadcast_to(self._compiled(*values), shape)

    @cached_property
    def parts(self) -> tuple[sp.Expr, dict[sp.Symbol, sp.Expr]]:
        """The expression with a symbol for every ``softmax``, and of what these are taken."""
        found = sorted(self.expression.atoms(_SOFTMAX), key=sp.default_sort_key)
        shares = {part: sp.Dummy(f"softmax{number}", real=True) for number, part in enumerate(found)}
        return self.expression.xreplace(shares), {share: part.args[0] for part, share in shares.items()}

    @cached_property
    def _compiled(self) -> Callable[..., Array]:
        """The expression as NumPy calls; ``softmax`` of its arguments is computed first."""
        symbols = (*self.fields, *self.scalars)
        expression, shares = self.parts
        inner = [numpy_function((part,), symbols) for part in shares.values()]
        outer = numpy_function((expression,), (*symbols, *shares))
        from scipy.special import softmax

        return lambda *values: outer(*values, *(softmax(f(*values)[0], axis=self.along) for f in inner))[0]

    @cached_property
    def slopes(self) -> list[Callable[..., Array]]:
        """Functions of the scalars: coefficients of the fields in a linear function."""
        return [self._of_scalars(slope) for slope in self.slope_expressions]

    @cached_property
    def slope_expressions(self) -> list[sp.Expr]:
        """Coefficients of the fields in a linear function.

        Raises
        ------
        ExecutionError
            If the function is not linear in its fields.
        """
        rest = self.expression.subs(dict.fromkeys(self.fields, sp.Integer(0)))
        found = [sp.diff(self.expression, field) for field in self.fields]
        if sp.simplify(rest) != 0 or any(slope.free_symbols & set(self.fields) for slope in found):
            raise ExecutionError(
                f"{self.expression} is not linear in the fields: growing coordinates need linear programs"
            )
        return found

    @cached_property
    def products(self) -> list[tuple[int, int, Callable[..., Array]]]:
        """Functions of the scalars: coefficients ``k_ij`` of products in a bilinear function, ``(i, j, k_ij)``."""
        return [(i, j, self._of_scalars(coefficient)) for i, j, coefficient in self.product_expressions]

    @cached_property
    def product_expressions(self) -> list[tuple[int, int, sp.Expr]]:
        """Coefficients ``k_ij`` of products in a bilinear function, ``(i, j, k_ij)``; ``i = j = -1`` is the constant.

        Terms of first order are left out: in coordinates, fields have mean zero.

        Raises
        ------
        ExecutionError
            If the function has terms of higher order in its fields.
        """
        zero = dict.fromkeys(self.fields, sp.Integer(0))
        found, rest = [], self.expression
        for (i, a), (j, b) in combinations_with_replacement(enumerate(self.fields), 2):
            coefficient = sp.diff(self.expression, a, b) / (2 if i == j else 1)
            if coefficient != 0:
                found.append((i, j, coefficient.subs(zero)))
                rest = rest - coefficient.subs(zero) * a * b
        constant = rest.subs(zero)
        first = sum((sp.diff(rest, field).subs(zero) * field for field in self.fields), sp.Integer(0))
        if sp.simplify(rest - constant - first) != 0:
            raise ExecutionError(
                f"<{self.expression}> is not bilinear in the fields: growing coordinates need such averages"
            )
        return [*found, (-1, -1, constant)]

    @cached_property
    def monomials(self) -> list[tuple[tuple[int, ...], Callable[..., Array]]]:
        """Powers of the fields in a polynomial, with functions of the scalars: their coefficients.

        Raises
        ------
        ExecutionError
            If the function is no polynomial of its fields.
        """
        found = monomials(self.expression, self.fields)
        if found is None:
            raise ExecutionError(f"<{self.expression}> is no polynomial of the fields")
        return [(powers, self._of_scalars(coefficient)) for powers, coefficient in found]

    def _of_scalars(self, expression: sp.Expr) -> Callable[..., Array]:
        compiled = numpy_function((sp.sympify(expression, strict=True),), self.scalars)
        return lambda *values: compiled(*values)[0]
