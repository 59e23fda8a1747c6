"""Limits of derived equations, and how they are checked: structure, exact first steps, approach in numbers.

`lazy`, `wide`, `population`, `regression`, `small_init`, ... are objects for `Theory.limit`; a `Limit` of your own says
which parameters scale how with `EPS`.
"""

from __future__ import annotations

from .checks import Verdict
from .limit import EPS, Limit
from .standard import ALL, deep, gradient_flow, independent, late, lazy, population, regression, small_init, wide
from .table import STEPS, Checks, LimitCheck, check

__all__ = [
    "ALL",
    "EPS",
    "STEPS",
    "Checks",
    "Limit",
    "LimitCheck",
    "Verdict",
    "check",
    "deep",
    "gradient_flow",
    "independent",
    "late",
    "lazy",
    "population",
    "regression",
    "small_init",
    "wide",
]
