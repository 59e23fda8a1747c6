"""Site-wise functions where fields have sites: the finite network and the sampled one."""

from __future__ import annotations

import numpy as np

from .interface import Arithmetic, Array, taken
from .plan import Evaluation, MapSites


def map_sites(arithmetic: Arithmetic, statement: MapSites) -> None:
    """Set a field to a function of others, at every site and label."""
    arithmetic.values[statement.target][:] = evaluated(arithmetic, statement.value)


def mean_over_sites(arithmetic: Arithmetic, value: Evaluation) -> Array:
    """Mean of a function over its sites, shape (labels,)."""
    return np.asarray(evaluated(arithmetic, value).mean(axis=1))


def evaluated(arithmetic: Arithmetic, value: Evaluation) -> Array:
    """A site-wise function, shape (labels, sites)."""
    fields = [taken(arithmetic.values[slot], rows) for slot, rows in value.slots]
    scalars = [row[:, np.newaxis] for row in arithmetic.scalar_arguments(value.scalars)]
    return value.function(*fields, *scalars)
