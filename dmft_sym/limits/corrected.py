"""The first correction of the lazy limit as a limit of its own: a row of the table of checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import sympy as sp

from dmft_sym.derivation.equations import Equations

from . import correction_checks
from .closed_correction import ClosedCorrection
from .lazy_sites import LazySites
from .limit import Kind, Limit
from .limit_theory import LimitTheory, Vanished, VanishedTerms
from .limiting import LimitingTheory
from .scaled import lazy, limit_of
from .site_correction import LazyCorrection
from .verdicts import Verdict, Verdicts

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem


class Corrected(LimitTheory):
    """What is beyond a lazy limit at order ``gamma^2``.

    Parameters
    ----------
    limiting
        The lazy limit.
    limit
        Under whose name it is asked for.

    Raises
    ------
    ProgramError
        If there is no correction of this order: naming why.
    """

    def __init__(self, limiting: LimitingTheory | LazySites, limit: Limit) -> None:
        super().__init__(limiting.theory, limit)
        self.limiting = limiting
        self.correction: LazyCorrection | ClosedCorrection = limiting.correction

    @property
    def equations(self) -> Equations:
        """Those of the correction, and of the limit that it needs."""
        return self.correction.equations

    @property
    def vanished(self) -> VanishedTerms:
        """Odd orders of outputs or losses."""
        found = [self.correction.output] if isinstance(self.correction, LazyCorrection) else self.correction.losses
        return VanishedTerms(Vanished(str(name), None, sp.Integer(1)) for name in found)

    @property
    def rate(self) -> int:
        """Power of the richness of the next correction, in units of this one."""
        return self.correction.rate

    @property
    def solve(self) -> Callable[..., xr.Dataset]:  # type: ignore[override]
        """What multiplies ``gamma^2``; arguments as of a run, without ``richness``."""
        return self.correction.solve


def _of(theory: Problem, limit: Limit) -> Corrected:
    return Corrected(limit_of(theory, lazy), limit)


def _checks(corrected: Corrected, arguments: Mapping[str, Any]) -> Verdicts:
    """All three: two derivations, first steps exactly, the approach in numbers."""
    correction, limiting = corrected.correction, corrected.limiting
    if isinstance(correction, LazyCorrection):
        sampled = Verdict(None, "averages over sites are not rational functions")
        return correction_checks.structural(correction), sampled, correction_checks.approach(correction, arguments)
    assert isinstance(limiting, LimitingTheory)
    return correction_checks.closed(limiting, arguments)


lazy_correction = Limit(
    "lazy_correction",
    lazy.scaling,
    why="what outputs and losses are beyond the lazy limit, at order gamma^2",
    even=True,
    cures=lazy.cures,
    kind=Kind(_of, _checks),
)
"""The first correction of the lazy limit, of order ``gamma0^2``."""
