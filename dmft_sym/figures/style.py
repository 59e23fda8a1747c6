"""What figures look like, in one place: lines of a theory, points of networks, bands, colours; in colour and in grey.

A theory is a line, and its standard error a band. Finite networks are open markers with error bars. Series are told
apart three times: by colour, by dash or marker, and by how dark the colour is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

P = ParamSpec("P")
T = TypeVar("T")

RC: Any = {
    "font.size": 9.0,
    "axes.labelsize": 9.0,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "lines.linewidth": 1.5,
    "lines.dash_capstyle": "butt",
    "errorbar.capsize": 2.0,
    "hatch.linewidth": 0.4,
    "mathtext.default": "it",
}
"""Settings of matplotlib under which everything is drawn; those of a session hold for what they do not name.

Its own type for them lists the names of one version.
"""

COLOURS = ("#0b4f9c", "#d55e00", "#2fa98c", "#7b2d7f", "#e0a100", "#56b4e9", "#4a4a4a", "#98a000")
"""Told apart by readers who see few colours; neighbours in the list differ in how dark they are."""
SOLID: Any = "-"
DASHED, DOTTED = (0, (4.5, 1.6)), (0, (1.0, 1.2))
DASHES: tuple[Any, ...] = (
    SOLID,
    DASHED,
    (0, (4.5, 1.4, 1.0, 1.4)),
    (0, (2.0, 1.2)),
    (0, (8.0, 1.6)),
    (0, (4.5, 1.2, 1.0, 1.2, 1.0, 1.2)),
    DOTTED,
    (0, (8.0, 1.4, 2.0, 1.4)),
)
MARKERS = "os^DvP<X"
GREY, LIGHT = "0.35", "0.8"
BAND = 0.25
"""Opacity of bands."""
MOST_POINTS = 16
"""Markers along a line; more of them would hide it."""
ONE_ERROR = "± standard error"


@dataclass(frozen=True)
class Look:
    """Colour, dash and marker of a series."""

    colour: Any
    dash: Any = SOLID
    marker: str = "o"

    @property
    def line(self) -> dict[str, Any]:
        """For ``plot``: a theory."""
        return {"color": self.colour, "ls": self.dash}

    @property
    def points(self) -> dict[str, Any]:
        """For ``plot`` and ``errorbar``: open markers, of finite networks."""
        return {"color": self.colour, "ls": "none", "marker": self.marker, "mfc": "white", "ms": 4.0, "mew": 1.0}


def look(number: int) -> Look:
    """The look of the ``number``-th series; there are eight."""
    return Look(*(choice[number % len(choice)] for choice in (COLOURS, DASHES, MARKERS)))


NETWORKS = Look("0.15")
"""Of networks beside a single theory."""
EDGE = Look("0.45", DOTTED)
"""Of the edge of a bulk, and of other levels that lines are held against."""


def printed(draw: Callable[P, T]) -> Callable[P, T]:
    """A function that draws, under `RC`; what the session has set stays as it is."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        import matplotlib as mpl

        with mpl.rc_context(RC):
            return draw(*args, **kwargs)

    return drawn


def theory(
    axis: Axes,
    x: ArrayLike,
    values: ArrayLike,
    seen: Look,
    label: str | None = None,
    error: ArrayLike | None = None,
    **more: Any,
) -> None:
    """A line, with a band of one standard error if there is one."""
    x, values = np.asarray(x), np.asarray(values)
    axis.plot(x, values, **seen.line, label=label, **{"zorder": 3, **more})
    if error is not None:
        band = np.asarray(error)
        axis.fill_between(x, values - band, values + band, color=seen.colour, alpha=BAND, lw=0, zorder=2)


def networks(
    axis: Axes, x: ArrayLike, values: ArrayLike, seen: Look, label: str | None = None, most: int = MOST_POINTS
) -> None:
    """Means over finite networks as points, with error bars of one standard error.

    Parameters
    ----------
    values
        Of every network: shape (networks, points).
    most
        Points that are drawn, evenly spaced ones (in logarithms, where the axis has them).
    """
    x, values = np.asarray(x), np.asarray(values)
    shown = few(x, most, axis.get_xscale() != "linear")
    seeds, x, values = len(values), x[shown], values[:, shown]
    error = values.std(axis=0, ddof=1) / seeds**0.5 if seeds > 1 else None
    axis.errorbar(x, values.mean(axis=0), error, label=label, **seen.points, elinewidth=1.0, capsize=2.0, zorder=4)


def few(x: NDArray[Any], most: int, logarithmic: bool = False) -> NDArray[np.intp]:
    """Places of at most ``most`` points: the first, the last and evenly spaced ones between."""
    if len(x) <= most:
        return np.arange(len(x))
    if logarithmic:
        shifted = x - x[0] + (x[1] - x[0])
        wanted = np.geomspace(shifted[0], shifted[-1], most)
        return np.unique(np.abs(shifted[:, None] - wanted).argmin(axis=0))
    return np.unique(np.linspace(0, len(x) - 1, most).round().astype(np.intp))
