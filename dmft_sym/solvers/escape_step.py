"""The step (or the time of a flow) at which the first outlier of a matrix leaves the bulk."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Margins = Callable[[list[Any]], list[float]]
Between = Callable[[float, float], list[Any]]
_SECTIONS = 16
_RESOLVED = 0.01  # times this close, in units of the later one, are not divided any more


def steps_between(inside: float, outside: float) -> list[int]:
    """Some steps between two steps; none between neighbours."""
    found = {int(step) for step in np.linspace(inside, outside, _SECTIONS + 1).round()}
    return sorted(found - {int(inside), int(outside)})


def times_between(inside: float, outside: float) -> list[float]:
    """Some times between two times, none if they are close."""
    if outside - inside < _RESOLVED * outside:
        return []
    return [float(time) for time in np.linspace(inside, outside, _SECTIONS + 1)[1:-1]]


def escape_step(margins: Margins, at: list[Any], between: Between = steps_between) -> float:
    """The first crossing of the edge, between step 0 and the last of the steps (or times) ``at``.

    Parameters
    ----------
    margins
        First margin of the spectrum at ascending steps: negative outside of the bulk, ``nan`` if nothing is known of
        the outlier that is next to escape.
    at
        Steps, ascending; an escape and its return between two of them is not seen.
    between
        Steps between two steps, in whose distance the escape is looked for next; none if they are close enough.

    Returns
    -------
    float
        Interpolated between the last step inside and the first one outside, 0 if the outlier is outside from the
        start, ``nan`` if it never is.
    """
    steps = sorted({0, *at})
    known = dict(zip(steps, margins(steps), strict=True))
    while True:
        outside = next((step for step in sorted(known) if known[step] < 0), None)
        if outside is None:
            return math.nan
        inside = max((step for step in known if step < outside), default=None)
        if inside is None:
            return float(outside)
        closer = between(inside, outside)
        if not closer:
            before, now = known[inside], known[outside]
            share = before / (before - now)
            return float(inside + share * (outside - inside) if before >= 0 else outside)
        known |= dict(zip(closer, margins(closer), strict=True))
