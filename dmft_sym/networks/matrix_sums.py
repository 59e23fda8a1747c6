"""Linear combinations of matrices: ``2 * W``, ``W + V``, ``W.T / 2 - V``, applied term by term."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NoReturn, Protocol, Self

import sympy as sp

from dmft_sym.program import ProgramError, Space

from .coefficients import Number, number

Vector = Any  # a traced one; vectors know matrices


class Applicable(Protocol):
    """A matrix, a member of a family of matrices, or the transpose of either."""

    @property
    def sides(self) -> tuple[Space, Space]:
        """The space that it takes, and the one of the result."""

    @property
    def T(self) -> Self:
        """The transpose."""

    def __matmul__(self, vector: Any) -> Any: ...


class Combined:
    """Arithmetic of matrices."""

    __array_ufunc__ = None  # a number of NumPy times a matrix

    @property
    def parts(self: Any) -> tuple[tuple[sp.Expr, Applicable], ...]:
        """Coefficients and matrices."""
        return ((sp.Integer(1), self),)

    def __mul__(self, factor: Number) -> MatrixSum:
        if isinstance(factor, Combined) or hasattr(factor, "combination"):
            raise ProgramError(
                f"{self} * ({factor}): entries are not multiplied; a matrix is applied by {self} @ h, two of them by "
                f"{self} @ (V @ h)"
            )
        return MatrixSum(tuple((number(factor) * coefficient, part) for coefficient, part in self.parts))

    __rmul__ = __mul__

    def __truediv__(self, factor: Number) -> MatrixSum:
        return self * (1 / number(factor))

    def __neg__(self) -> MatrixSum:
        return self * -1

    def __add__(self, other: Combined) -> MatrixSum:
        if not isinstance(other, Combined):
            raise ProgramError(f"{self} plus {type(other).__name__}: allowed are sums of matrices, such as W + V")
        return MatrixSum(self.parts + other.parts)

    def __radd__(self, other: object) -> Combined:
        return self if other == 0 else self._refused("a number plus a matrix")  # sum([V, W]) starts from 0

    def __sub__(self, other: Combined) -> MatrixSum:
        return self + -other if isinstance(other, Combined) else self + other

    def __rsub__(self, other: object) -> NoReturn:
        self._refused("a number minus a matrix")

    def __rmatmul__(self, other: object) -> NoReturn:
        self._refused(f"h @ {self}")

    def __pow__(self, power: object) -> NoReturn:
        self._refused(f"{self} ** {power}")

    def __call__(self, *_: object) -> NoReturn:
        self._refused(f"{self}(h)")

    def _refused(self, what: str) -> NoReturn:
        raise ProgramError(f"{what}: a matrix is applied to a vector by {self} @ h, its transpose by {self}.T @ h")


@dataclass(frozen=True)
class MatrixSum(Combined):
    """``sum_k coefficient_k matrix_k`` between two spaces; each matrix learns by its own place in it."""

    terms: tuple[tuple[sp.Expr, Any], ...]

    def __post_init__(self) -> None:
        sides = dict.fromkeys(part.sides for _, part in self.terms)
        if len(sides) > 1:
            shown = " and ".join(f"{source} -> {target}" for source, target in sides)
            raise ProgramError(f"{self}: allowed are sums of matrices between the same spaces, here {shown}")

    @property
    def parts(self) -> tuple[tuple[sp.Expr, Applicable], ...]:
        """Coefficients and matrices."""
        return self.terms

    @property
    def T(self) -> MatrixSum:
        """The transpose."""
        return self._each(lambda part: part.T)

    def __getitem__(self, layer: Number) -> MatrixSum:
        return self._each(lambda part: part[layer])

    def _each(self, change: Any) -> MatrixSum:
        return replace(self, terms=tuple((coefficient, change(part)) for coefficient, part in self.terms))

    def __matmul__(self, vector: Any) -> Any:
        (coefficient, part), *others = self.terms
        total = coefficient * (part @ vector)
        for coefficient, part in others:
            total += coefficient * (part @ vector)
        return total

    def __str__(self) -> str:
        text = " + ".join(str(part) if c == 1 else f"({c}) {part}" for c, part in self.terms)
        return f"({text})" if len(self.terms) > 1 else text
