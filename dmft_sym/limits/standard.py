"""The limits that have names."""

from __future__ import annotations

from dmft_sym.networks.parameters import ALPHA, ETA, GAMMA, INIT_VARIANCE, NU
from dmft_sym.program import DEPTH

from .independent_spikes import SCALING, SpikeLimit
from .late_limit import LateLimit
from .limit import CENTERED, EPS, Limit

lazy = Limit(
    "lazy",
    {GAMMA.name: EPS * GAMMA},
    why="features stay what they were, and outputs move along a static kernel; the law is the same at -w and -gamma",
    even=True,
    cures={GAMMA.name: CENTERED},
)
"""The lazy limit, ``gamma0 -> 0``."""

wide = Limit(
    "wide",
    {NU.name: 1 / EPS},
    why="the width exceeds the dimension, and the first layer is not driven by its own noise",
    rate=1,
)
"""Infinite width, ``nu -> oo``."""

population = Limit(
    "population",
    {ALPHA.name: 1 / EPS},
    why="samples exceed the dimension, and errors keep no memory of them",
    rate=1,
)
"""Infinite data, ``alpha -> oo``."""

regression = Limit(
    "regression",
    {GAMMA.name: EPS * GAMMA, NU.name: EPS**-4},
    why="wide and lazy: features stay what they were, and the predictor learns by linear regression, at the sum of the "
    "rates of all layers",
    rate=2,
    even=True,
)
"""Linear regression, as the limit of a wide and lazy linear network."""

small_init = Limit(
    "small_init",
    {INIT_VARIANCE.name: EPS * INIT_VARIANCE},
    why="weights start at the saddle point, which they leave after a time that grows like log(1/eps)",
)
"""Small initialization, ``init_std -> 0`` at a fixed number of steps."""

gradient_flow = Limit(
    "gradient_flow",
    {ETA.name: EPS * ETA},
    why="steps are infinitesimal at a fixed product of rate and steps, the time t; sums over steps become integrals",
    rate=1,
)
"""Gradient flow, ``eta0 -> 0`` at fixed ``t = eta0 * step``."""

independent = SpikeLimit(
    "independent",
    SCALING,
    why="a rich network at the same strength of its increments: the first one does not know the initial weights, and "
    "outliers are those of an independent spike",
    rate=1,
)
"""Independent spikes after one step (Baik, Ben Arous and Peche)."""

deep = Limit(
    "deep",
    {DEPTH.name: 1 / EPS},
    why="branches are of the order of the inverse root of the depth, layers a time, sums over them integrals",
    rate=1,
)
"""Infinite depth of residual networks, ``L -> oo``."""

late = LateLimit(
    "late",
    {},
    why="a linear system that does not change is left with what it answers to constant forces: interpolation, or ridge",
)
"""Infinitely many steps, of networks whose kernel does not change."""

ALL: dict[str, Limit] = {
    limit.name: limit
    for limit in (lazy, gradient_flow, wide, population, regression, small_init, independent, deep, late)
}
"""By name."""
