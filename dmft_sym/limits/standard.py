"""The limits that have names; each stands in the file of its kind."""

from __future__ import annotations

from .corrected import lazy_correction
from .deep_checks import deep
from .flow_checks import gradient_flow
from .late_checks import late
from .limit import Limit
from .scaled import lazy, population, regression, small_init, wide
from .spike_checks import independent

_LISTED = (lazy, lazy_correction, gradient_flow, wide, population, regression, small_init, independent, deep, late)
ALL: dict[str, Limit] = {limit.name: limit for limit in _LISTED}
"""By name."""
