"""What the arithmetics share whose fields have sites: the finite network and the sampled one."""

from __future__ import annotations

import numpy as np

from .interface import Arithmetic, Array, taken
from .plan import Evaluation, MapSites


class ArithmeticOnSites(Arithmetic):
    """Fields are their values at sites, averages are means over these."""

    def map_sites(self, statement: MapSites) -> None:
        """The function at every site and label, or the sum of several."""
        first, *others = statement.values
        out = self.values[statement.target]
        out[:] = self.evaluated(first)
        for value in others:
            out += self.evaluated(value)

    def mean(self, value: Evaluation, labels: int) -> Array:
        """Means over the sites, shape (labels,)."""
        return np.asarray(self.evaluated(value).mean(axis=1))

    def inner(self, a: int, b: int) -> Array:
        """Means over the sites, shape (labels,)."""
        left, right = self.values[a], self.values[b]
        return np.asarray(np.einsum("ki,ki->k", left, right) / left.shape[1])

    def snapshot(self, slot: int) -> Array:
        """A copy of a field, shape (labels, sites)."""
        return self.values[slot].copy()

    def evaluated(self, value: Evaluation) -> Array:
        """A site-wise function, shape (labels, sites)."""
        fields = [taken(self.values[slot], rows) for slot, rows in value.slots]
        scalars = [row[:, np.newaxis] for row in self.scalar_arguments(value.scalars)]
        return value.function(*fields, *scalars)
