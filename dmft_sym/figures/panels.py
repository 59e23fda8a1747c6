"""What all figures share: axes, titles with letters, ticks, labels, legends, colours of heat maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from dmft_sym.support.messages import InputError

from .style import BAND, GREY, NETWORKS, RC, SOLID

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

T = TypeVar("T")
AxesLike: TypeAlias = "Axes | Sequence[Axes] | NDArray[Any]"
"""One axis, or as many as a figure has panels."""

VISIBLE = 1 / 256
"""What is not seen in 256 colours is not called negative (the mean over a few networks can be, by chance)."""
HATCHED = 0.1
"""Entries below minus this part of the limit are hatched, so that a sign is seen in grey."""

# Entries beyond the colours: limits are the largest entry, unless it is more than `_SPIKE` times what all but one in a
# hundred of the entries stay below.
_QUANTILE, _SPIKE = 0.99, 1.5
_HATCH_CELLS = 200
_LEGEND_ROW = 0.17  # inches
_PALE = 0.14  # of the ends of diverging colours, which are too dark for hatching to be seen


@dataclass(frozen=True)
class Panels:
    """Axes in the order in which they are filled.

    Attributes
    ----------
    figure
        Theirs.
    axes
        As many as there are panels.
    own
        Whether the figure was made for them; others have no panel letters and no notes, and their legend is inside of
        the last one.
    """

    figure: Figure
    axes: list[Axes]
    own: bool

    def entitle(self, titles: Sequence[str]) -> None:
        """Titles, with letters if there are several."""
        for number, (axis, title) in enumerate(zip(self.axes, titles, strict=True)):
            axis.set_title(self.letter(number, len(titles)) + title)

    def letter(self, number: int, count: int) -> str:
        """The letter of a panel in front of its title."""
        return rf"$\mathbf{{({_letters(number)})}}$ " if self.own and count > 1 else ""

    def legend(self, inches: float, entries: Mapping[str, Any] | None = None) -> None:
        """One legend for all panels, an entry for each label.

        Parameters
        ----------
        inches
            Width of an entry.
        entries
            Handles by their label; those of the axes if not given.
        """
        found = dict(entries) if entries is not None else labelled(self.axes)
        if not self.own:
            self.axes[-1].legend(list(found.values()), list(found))
        elif found:
            columns = max(1, min(len(found), int(self.figure.get_figwidth() / inches)))
            more = max(0, -(-len(found) // columns) - 2)  # rows beyond those for which figures have room
            self.figure.set_figheight(self.figure.get_figheight() + _LEGEND_ROW * more)
            self.figure.legend(list(found.values()), list(found), loc="outside upper center", ncols=columns)


def labelled(axes: Sequence[Axes]) -> dict[str, Any]:
    """Handles by their label."""
    found: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return found


def in_grey(handle: Any, dash: Any = SOLID) -> Any:
    """What a legend shows of lines, points and bands whose colours have entries of their own."""
    from matplotlib.collections import LineCollection
    from matplotlib.container import ErrorbarContainer
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if isinstance(handle, ErrorbarContainer):
        return Line2D([], [], **{**NETWORKS.points, "color": GREY})
    if isinstance(handle, LineCollection):
        return Line2D([], [], color=GREY, lw=0.6)
    if isinstance(handle, Line2D):
        return Line2D([], [], color=GREY, ls=dash, lw=handle.get_linewidth())
    return Patch(color=GREY, alpha=BAND, lw=0)


def new_figure(width: float, height: float) -> Figure:
    """A figure of a size in inches."""
    from .shown import ShownFigure

    return ShownFigure(figsize=(width, height), layout="constrained")


def panels(ax: AxesLike | None, count: int, columns: int, panel: tuple[float, float], **subplots: Any) -> Panels:
    """Axes for so many panels: of a figure of its own, or those that were given.

    Parameters
    ----------
    columns
        Panels side by side.
    panel
        Width and height of one in inches, its labels included.
    subplots
        For `matplotlib.figure.Figure.subplots`.
    """
    if ax is not None:
        return given(ax, count)
    rows = -(-count // columns)
    figure = new_figure(panel[0] * columns, panel[1] * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False, **subplots).ravel()
    for unused in grid[count:]:
        unused.remove()
    return Panels(figure, list(grid[:count]), True)


def given(ax: AxesLike, count: int) -> Panels:
    """The axes that were given.

    Raises
    ------
    InputError
        If they are not axes, or not as many as there are panels.
    """
    from matplotlib.axes import Axes

    axes = [ax] if isinstance(ax, Axes) else list(np.ravel(np.asarray(ax, dtype=object)))
    if not all(isinstance(axis, Axes) for axis in axes):
        raise InputError("ax: allowed are axes of matplotlib, one or a sequence of them")
    if len(axes) != count:
        shape = "one axis" if count == 1 else f"figure, ax = plt.subplots(1, {count})"
        raise InputError(f"ax: {len(axes)} axes for a figure of {count} panels: allowed is {shape}")
    found: Any = axes[0].figure  # of axes in a subfigure this is the subfigure, whose figure is the whole one
    return Panels(found.figure, axes, False)


def spaced(entries: list[T], count: int) -> list[T]:
    """The first, the last and evenly spaced ones between, at most ``count``."""
    if len(entries) <= count:
        return entries
    return [entries[round(k * (len(entries) - 1) / (count - 1))] for k in range(count)]


def axis_label(data: xr.Dataset | xr.DataArray, dim: str = "step") -> str:
    """Name, symbol and units of an axis of training."""
    units = (data[dim].attrs if dim in data.coords else {}).get("units", "gradient steps")
    return "gradient step $t$" if units == "gradient steps" else f"time $t$ [{units}]"


def finish(axis: Axes, whole: str = "x") -> None:
    """Few ticks, and grey lines below everything else; what comes last to a panel.

    Parameters
    ----------
    whole
        The directions in which ticks are at whole steps.
    """
    from matplotlib.ticker import MaxNLocator

    sizes = {name: RC[f"{name}tick.labelsize"] for name in "xy"}
    directions: tuple[tuple[Literal["x", "y"], Any], ...] = (("x", axis.xaxis), ("y", axis.yaxis))
    for name, one in directions:
        if one.get_scale() == "linear":
            one.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=name in whole))
        elif one.get_scale() == "log":
            _logarithmic(one)
        axis.tick_params(axis=name, which="both", labelsize=sizes[name])  # ticks are made after the style has ended
    axis.grid(color="0.92", lw=0.6)
    axis.set_axisbelow(True)


def _logarithmic(one: Any) -> None:
    """Labels at 1, 2 and 5 where an axis has not many decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = sorted(one.get_view_interval())
    if low > 0 and high / low < 110:
        one.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low > 4 else (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
        one.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        one.set_minor_formatter(NullFormatter())


def of_networks(seeds: int) -> str:
    """What a legend calls a simulation."""
    return f"simulation, mean of {seeds} ± standard error" if seeds > 1 else "simulation"


def colour_limit(arrays: Sequence[NDArray[Any]], ordinary: Sequence[NDArray[Any]] | None = None) -> float:
    """Where colours end: at the largest entry, unless it is much larger than almost all others.

    Parameters
    ----------
    arrays
        Panels that share the colours.
    ordinary
        The entries that are to be seen, panel by panel; all of them if not given. The panel with the largest ones
        decides, and zeros (the future) do not count.
    """
    largest = max(float(size.max(initial=0.0)) for size in map(_sizes, arrays))
    bulk = max(float(np.quantile(size, _QUANTILE)) if size.size else 0.0 for size in map(_sizes, ordinary or arrays))
    return (bulk if 0 < bulk * _SPIKE < largest else largest) or 1.0


def _sizes(values: NDArray[Any]) -> NDArray[Any]:
    return np.abs(values[np.isfinite(values) & (values != 0)])


def heat_map(axis: Axes, values: NDArray[Any], limit: float, signed: bool, **more: Any) -> Any:
    """An image, from zero up or white at zero with hatched negative entries."""
    limits: dict[str, Any] = {"vmin": -limit, "vmax": limit} if signed else {"vmin": 0.0, "vmax": limit}
    image = axis.imshow(values, cmap=_diverging() if signed else "viridis", **limits, **more)
    if signed:
        _hatch(axis, values < -HATCHED * limit, image.get_extent(), more.get("origin", "upper"))
    for side in ("top", "right"):
        axis.spines[side].set_visible(True)
    return image


def _diverging() -> Any:
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("signed", colormaps["RdBu_r"](np.linspace(_PALE, 1 - _PALE, 255)))


def _hatch(axis: Axes, negative: NDArray[np.bool_], extent: Sequence[float], origin: str) -> None:
    """Hatching, by cells."""
    if not negative.any():
        return
    rows, columns = (np.linspace(0, n - 1, min(n, _HATCH_CELLS)).round().astype(int) for n in negative.shape)
    left, right, bottom, top = extent
    first, last = (bottom, top) if origin == "lower" else (top, bottom)
    x, y = _centres(left, right, len(columns)), _centres(first, last, len(rows))
    mask = np.pad(negative[np.ix_(rows, columns)].astype(float), 1, mode="edge")
    axis.contourf(x, y, mask, levels=[0.5, 1.5], colors="none", hatches=["/////"])


def _centres(first: float, last: float, count: int) -> NDArray[np.float64]:
    """Centres of cells; the two outermost ones stand at the ends."""
    width = (last - first) / count
    return np.array([first, *(first + width * (np.arange(count) + 0.5)), last])


def _letters(number: int) -> str:
    """The letters a to z, then aa, ab and so on."""
    more, last = divmod(number, 26)
    return (_letters(more - 1) if more else "") + chr(ord("a") + last)
