"""What a claim is, and what speaks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from .rows import Row

Size: TypeAlias = Literal["full", "quick", "smallest"]
SIZES: tuple[Size, ...] = ("full", "quick", "smallest")
"""How much is computed: for print, within minutes on two cores, and as little as shows the effect (for tests)."""


@dataclass(frozen=True)
class Evidence:
    """What was found.

    Attributes
    ----------
    rows
        The lines of the table.
    results
        Datasets by a name, which become files.
    draw
        Makes the figure.
    """

    rows: tuple[Row, ...]
    results: Mapping[str, xr.Dataset]
    draw: Callable[[], Figure] | None = None

    @property
    def holds(self) -> bool:
        """Whether all lines hold."""
        return all(row.holds for row in self.rows)


@dataclass(frozen=True)
class Claim:
    """A statement of a paper, with all that it takes to check it.

    Parameters
    ----------
    name
        What users call it.
    statement
        In a sentence.
    source
        Paper and section.
    evidence
        Computes it; its keywords are the sizes.
    sizes
        Numbers of everything that is expensive, for every `Size`.
    needs
        Extras without which it cannot be checked.

    Examples
    --------
    >>> CLAIM = Claim("mine", "Outliers grow with the richness.", "this page", evidence, {"full": {"dim": 1000}, ...})
    """

    name: str
    statement: str
    source: str
    evidence: Callable[..., Evidence]
    sizes: Mapping[Size, Mapping[str, Any]] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    def check(self, size: Size) -> Evidence:
        """Compute it."""
        return self.evidence(**self.sizes.get(size, {}))
