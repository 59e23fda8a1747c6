"""How many sites a wanted standard error needs: trial runs, each with the number that the one before asks for."""

from __future__ import annotations

import math
from collections.abc import Callable

from dmft_sym.support.errors import ArgumentError

LARGEST_SITES = 2**31
_PILOT_SITES = 512  # of every replica of the first trial
_SAFETY = 1.2  # more sites than the error of the trial before asks for
_GROWTH = 4  # an error of few sites is not trusted further than this
_TRIALS = 20


def sites_for_error(error: float, replicas: int, trial: Callable[[int], float]) -> int:
    """Grow the number of sites until the standard error of a run is at most the wanted one.

    Parameters
    ----------
    error
        The wanted standard error.
    replicas
        Number of replicas that share the sites.
    trial
        The standard error of a run with a number of sites; NaN or infinite for one that diverges.

    Raises
    ------
    ArgumentError
        If there are no such sites.
    """
    sites = _PILOT_SITES * replicas
    for _ in range(_TRIALS):
        found = trial(sites)
        if found <= error or not math.isfinite(found):
            return sites
        needed = sites * (found / error) ** 2
        if needed > LARGEST_SITES:
            raise ArgumentError(f"error = {error:g}: allowed is a larger one, this needs {needed:.1e} sites")
        sites = even_sites(int(min(_SAFETY * needed, _GROWTH * sites)), replicas)
    raise ArgumentError(
        f"error = {error:g}: allowed is a larger one; {sites} sites have {found:.2g}, and it does not fall as "
        "1/sqrt(sites)"
    )


def even_sites(sites: int, replicas: int) -> int:
    """The smallest number of sites, at least ``sites``, that every replica has an even share of."""
    return 2 * replicas * math.ceil(sites / (2 * replicas))
