"""Numbers of the classes of sites of a run, in coefficients and in averages over the sites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import sympy as sp

from dmft_sym.program import SiteClasses, Space, class_values
from dmft_sym.support.array_types import Floats

Kind: TypeAlias = int | None
"""A class of sites; ``None`` where all sites are alike, or an average over the classes is meant."""


class ClassNumbers:
    """What a run knows of the classes of sites.

    Parameters
    ----------
    data
        Numbers of all classes by name, shape (classes,) each, shares among them; empty without classes.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = {name: np.asarray(array, dtype=float) for name, array in data.items()}

    def shares(self, space: Space) -> Floats:
        """Shares of the classes of a space, shape (classes,); one class of all sites if they are alike."""
        return np.ones(1) if space.classes is None else self._data[space.classes.share]

    def kinds(self, space: Space) -> Iterator[tuple[int, float]]:
        """Classes of a space with their shares."""
        yield from enumerate(self.shares(space).tolist())

    def at(self, expression: sp.Expr, kind: Kind) -> sp.Expr:
        """An expression with the numbers of a class."""
        if kind is None:
            return expression
        numbers = {value: self._data[value.func.__name__][kind] for value in class_values(expression)}
        return expression.xreplace({value: sp.Float(float(number), 17) for value, number in numbers.items()})

    def average(self, classes: SiteClasses, values: Any) -> Any:
        """The average over classes of values, an array whose first axis are the classes."""
        return np.tensordot(self._data[classes.share], values, 1)
