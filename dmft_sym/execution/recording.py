"""Fields of the steps that were asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

from dmft_sym.program import FieldRef

from .interface import Array


@dataclass
class Recording:
    """Fields at recorded steps.

    Attributes
    ----------
    steps : list of int
        The recorded steps.
    fields : dict
        For every field (integer layer) one array (C, size at that step) per recorded step.
    """

    steps: list[int] = field(default_factory=list)
    fields: dict[FieldRef, list[Array]] = field(default_factory=dict)
