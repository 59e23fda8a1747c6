"""Limits of derived equations, and how they are checked: structure, exact first steps, approach in numbers.

`lazy`, `wide`, `population`, `regression`, `small_init`, ... (what `ALL` has by name) are objects for `Theory.limit`; a
`Limit` of your own says which parameters scale how with `EPS`.
"""

from __future__ import annotations

from .deep_limit import DeepTheory
from .flow_limit import FlowLimit
from .independent_spikes import IndependentSpikes
from .late_limit import LateTheory
from .lazy_sites import LazySites
from .limit import EPS, Kind, Limit
from .limiting import LimitingTheory
from .standard import ALL
from .table import STEPS, Checks, LimitCheck, check, check_correction
from .verdicts import Verdict

__all__ = [
    "ALL",
    "EPS",
    "STEPS",
    "Checks",
    "DeepTheory",
    "FlowLimit",
    "IndependentSpikes",
    "Kind",
    "LateTheory",
    "LazySites",
    "Limit",
    "LimitCheck",
    "LimitingTheory",
    "Verdict",
    "check",
    "check_correction",
]


def __getattr__(name: str) -> Limit:
    """A limit by its name."""
    if name not in ALL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return ALL[name]


def __dir__() -> list[str]:
    return [*__all__, *ALL]
