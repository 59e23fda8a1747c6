"""Limits in which parameters scale: of closed equations, or, where fields are averaged over sites, of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dmft_sym.networks.parameters import ALPHA, GAMMA, INIT_VARIANCE, NU
from dmft_sym.program import ProgramError

from . import checks as closed_checks
from . import site_checks
from .first_step import split_problem
from .lazy_sites import LazySites
from .limit import CENTERED, EPS, Kind, Limit
from .limiting import LimitingTheory
from .verdicts import Verdicts

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem


def limit_of(theory: Problem, limit: Limit) -> LimitingTheory | LazySites:
    """What is left of closed equations, or of averages over sites.

    Where closed equations diverge, differences from the first step may cancel: fields are then split into what they
    were and what changed.
    """
    if theory.program.averaged:
        return LazySites(theory, limit)
    try:
        return LimitingTheory(theory, limit)
    except ProgramError:
        split = split_problem(theory)
        if split is None:
            raise
        return LimitingTheory(split, limit, whole=theory)


def checks(limiting: LimitingTheory | LazySites, arguments: Mapping[str, Any]) -> Verdicts:
    """All three."""
    if isinstance(limiting, LazySites):
        return site_checks.checks(limiting, arguments)
    return closed_checks.checks(limiting, arguments)


SCALED = Kind(limit_of, checks)
_RATIOS = "data = ds.Proportional() has its ratio to the dimension"

lazy = Limit(
    "lazy",
    {GAMMA.name: EPS * GAMMA},
    why="features stay what they were, and outputs move along a static kernel; the law is the same at -w and -gamma",
    even=True,
    cures={GAMMA.name: CENTERED},
    kind=SCALED,
)
"""The lazy limit, ``gamma0 -> 0``."""

wide = Limit(
    "wide",
    {NU.name: 1 / EPS},
    why="the width exceeds the dimension, and the first layer is not driven by its own noise",
    rate=1,
    needs={NU.name: f"on given samples the width is infinite already; {_RATIOS}"},
    kind=SCALED,
)
"""Infinite width, ``nu -> oo``."""

population = Limit(
    "population",
    {ALPHA.name: 1 / EPS},
    why="samples exceed the dimension, and errors keep no memory of them",
    rate=1,
    needs={ALPHA.name: f"the number of samples has no ratio to the dimension; {_RATIOS}"},
    kind=SCALED,
)
"""Infinite data, ``alpha -> oo``."""

regression = Limit(
    "regression",
    {GAMMA.name: EPS * GAMMA, NU.name: EPS**-4},
    why="wide and lazy: features stay what they were, and the predictor learns by linear regression, at the sum of the "
    "rates of all layers",
    rate=2,
    even=True,
    needs={NU.name: f"on given samples ds.limits.lazy is linear regression by a static kernel; {_RATIOS}"},
    kind=SCALED,
)
"""Linear regression, as the limit of a wide and lazy linear network."""

small_init = Limit(
    "small_init",
    {INIT_VARIANCE.name: EPS * INIT_VARIANCE},
    why="weights start at the saddle point, which they leave after a time that grows like log(1/eps)",
    needs={INIT_VARIANCE.name: "a network with hidden layers, ds.deep_linear(1), has random initial weights"},
    kind=SCALED,
)
"""Small initialization, ``init_std -> 0`` at a fixed number of steps."""
