"""The step of training at which the first outlier of a matrix leaves the bulk."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Margins = Callable[[list[int]], list[float]]
_SECTIONS = 16


def escape_step(margins: Margins, at: list[int]) -> float:
    """The first crossing of the edge, between step 0 and the last of the steps ``at``.

    Parameters
    ----------
    margins
        First margin of the spectrum at ascending steps: negative outside of the bulk, ``nan`` if nothing is known of
        the outlier that is next to escape.
    at
        Steps, ascending; an escape and its return between two of them is not seen.

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
        if outside - inside == 1:
            before, now = known[inside], known[outside]
            return inside + before / (before - now) if before >= 0 else float(outside)
        between = sorted({int(step) for step in np.linspace(inside, outside, _SECTIONS + 1).round()} - set(known))
        known |= dict(zip(between, margins(between), strict=True))
