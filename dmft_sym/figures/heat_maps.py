"""Heat maps of two-time order parameters: which panels, which colours, and a note on what is not shown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.results.store import ResultError
from dmft_sym.support.messages import InputError, show

from . import symbols
from .panels import VISIBLE, AxesLike, Panels, colour_limit, finish, given, heat_map, spaced
from .style import printed

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Layers = tuple[int, ...]

MAX_PANELS = 6
MAX_ROWS = 8
_LISTED = 20  # layers that a note names

# Panels are square and of one size; lengths in inches.
_PANEL, _GAP, _LEFT, _RIGHT = 1.7, 0.12, 0.65, 1.05
_BELOW, _TOP = 0.5, 0.2
_ROW = _BELOW + _PANEL + 0.35
_WIDEST = 13.2
_PIXELS = 250
_NOTE_LINE, _NOTE_LETTERS = 0.15, 15.0


@printed
def order_parameters(
    result: xr.Dataset,
    names: Sequence[str] | None = None,
    outputs: tuple[int, int] = (0, 0),
    ax: AxesLike | None = None,
) -> Figure:
    """Heat maps of two-time order parameters: a panel per layer, one colour scale for all layers of one.

    Correlations that are nowhere negative have colours from zero up, all others colours that are white at zero. A
    few entries that are much larger than the rest, such as the equal-time part of a response, lie beyond the colours;
    the colour bar then ends in an arrow. Negative entries are hatched, so that a sign is seen in grey. The note below
    says how large the entries beyond the colours are, and what is not drawn.

    Parameters
    ----------
    result
        A result; the mean over seeds is drawn if it has any. ``result.sel(layer=[3, 5])`` draws certain layers.
    names
        Which order parameters; as many of them as fit if not given, correlations and those of layers first.
    outputs
        The two output indices.
    ax
        Axes, one for each panel, row by row.
    """
    groups = [group for name in _chosen(names, result) if (group := _group(result[name], outputs)).panels]
    if not groups:
        raise ResultError("the result has no two-time order parameters: allowed are results with at least one step")
    if ax is not None:
        return _on_axes(groups[:MAX_ROWS], ax)
    rows = _rows(groups)
    rows, missing = rows[:MAX_ROWS], [group.name for row in rows[MAX_ROWS:] for group in row]
    width = max(sum(group.width for group in row) for row in rows)
    note = _wrapped(_notes([group for row in rows for group in row], missing, result, outputs), width)
    return _sheet(rows, width, note)


def _sheet(rows: Sequence[Sequence[_Group]], width: float, note: Sequence[str]) -> Figure:
    """A figure of its own: panels of one size in inches, a letter for each order parameter, a note below."""
    from .shown import ShownFigure

    height = len(rows) * _ROW + _TOP + _NOTE_LINE * len(note) + (0.1 if note else 0.0)
    figure = ShownFigure(figsize=(width, height), layout=None)
    letters = Panels(figure, [], True)
    places = [(number, row[:k], group) for number, row in enumerate(rows) for k, group in enumerate(row)]
    for place, (number, before, group) in enumerate(places):
        x, y = sum(other.width for other in before) + _LEFT, height - _TOP - (number + 1) * _ROW + _BELOW
        axes = [figure.add_axes(_box(figure, x + k * (_PANEL + _GAP), y, _PANEL)) for k in range(len(group.panels))]
        bar = figure.add_axes(_box(figure, x + len(axes) * (_PANEL + _GAP), y, 0.09))
        _draw(axes, group, letters.letter(place, len(places)), {"cax": bar})
    figure.text(0.1 / width, 0.08 / height, "\n".join(note), fontsize="small", color="0.25", va="bottom")
    return figure


def _on_axes(groups: Sequence[_Group], ax: AxesLike) -> Figure:
    """Colour bars take their room from the axes."""
    panels = given(ax, sum(len(group.panels) for group in groups))
    axes = iter(panels.axes)
    for group in groups:
        mine = [next(axes) for _ in group.panels]
        _draw(mine, group, "", {"ax": mine})
    return panels.figure


@dataclass(frozen=True)
class _Scale:
    """Colours of one order parameter; ``largest`` is its largest entry in size, ``limit`` where the colours end."""

    low: float
    high: float
    limit: float
    signed: bool

    @property
    def arrows(self) -> str:
        """Ends of the colour bar that are exceeded, as matplotlib calls them."""
        above, below = self.high > self.limit, self.signed and self.low < -self.limit
        return {(True, True): "both", (True, False): "max", (False, True): "min", (False, False): "neither"}[
            above, below
        ]


@dataclass(frozen=True)
class _Group:
    """The panels of one order parameter by the labels of their layers, and the layers that are left out."""

    name: str
    panels: dict[Layers, xr.DataArray]
    left_out: tuple[Layers, ...]
    scale: _Scale

    @property
    def width(self) -> float:
        """In inches, colour bar included."""
        return _LEFT + len(self.panels) * _PANEL + (len(self.panels) - 1) * _GAP + _RIGHT


def _chosen(names: Sequence[str] | None, result: xr.Dataset) -> Sequence[str]:
    known = [
        str(name) for name in result.data_vars if {"step", "step2"} <= set(result[name].dims) and result[name].size
    ]
    if not known:
        raise ResultError(
            "the result has no two-time order parameters: allowed are results of the march, in the proportional regime"
        )
    for name in names or ():
        if name not in known:
            raise InputError(f"order parameter {show(name)}: allowed are {', '.join(known)}")
    return list(names or sorted(known, key=lambda name: (_is_response(name), "layer" not in result[name].dims)))


def _is_response(name: str) -> bool:
    return not name.startswith("C_")


def _group(array: xr.DataArray, outputs: tuple[int, int]) -> _Group:
    """Panels that have numbers, at most `MAX_PANELS` of them."""
    if "seed" in array.dims:
        array = array.mean("seed", keep_attrs=True)
    for dim, index in zip(("output", "output2"), outputs, strict=True):
        if dim in array.dims:
            if not 0 <= index < array.sizes[dim]:
                raise InputError(f"{dim} = {index}: allowed are integers from 0 to {array.sizes[dim] - 1}")
            array = array.isel({dim: index})
    axes = [dim for dim in array.dims if dim not in ("step", "step2")]
    stacked = array.stack(panel=axes) if axes else array.expand_dims("panel")
    stacked = stacked.transpose("panel", "step", "step2")
    labels = stacked["panel"].values if axes else [()]
    there = {
        tuple(int(layer) for layer in label): panel
        for label, panel in zip(labels, stacked, strict=True)
        if bool(panel.notnull().any())
    }
    shown = _selected(list(there))
    name = str(array.name)
    scale = _colour_scale([panel.values for panel in there.values()], _is_response(name))
    left_out = tuple(label for label in there if label not in shown)
    return _Group(name, {label: there[label] for label in shown}, left_out, scale)


def _selected(labels: list[Layers]) -> list[Layers]:
    """The first, the last and evenly spaced ones between; of pairs of layers, two thirds are of equal layers."""
    if len(labels) <= MAX_PANELS:
        return labels
    equal = spaced([label for label in labels if len(set(label)) == 1], MAX_PANELS * 2 // 3)
    others = [label for label in labels if len(set(label)) > 1]
    if not others:
        return spaced(labels, MAX_PANELS)
    return sorted([*equal, *spaced(others, MAX_PANELS - len(equal))])


def _colour_scale(panels: Sequence[NDArray[Any]], response: bool) -> _Scale:
    """One scale for all panels of an order parameter, from all of its layers."""
    finite = [panel[np.isfinite(panel)] for panel in panels]
    low = min((float(values.min()) for values in finite if values.size), default=0.0)
    high = max((float(values.max()) for values in finite if values.size), default=0.0)
    apart = [panel[np.eye(*panel.shape) == 0] for panel in panels]
    limit = colour_limit(panels, apart)
    return _Scale(low, high, limit, response or low < -VISIBLE * limit)


def _rows(groups: Sequence[_Group]) -> list[list[_Group]]:
    """Order parameters side by side, as long as they fit."""
    rows: list[list[_Group]] = [[]]
    for group in groups:
        if rows[-1] and sum(other.width for other in [*rows[-1], group]) > _WIDEST:
            rows.append([])
        rows[-1].append(group)
    return rows


def _draw(axes: Sequence[Axes], group: _Group, letter: str, bar: dict[str, Any]) -> None:
    """The panels of one order parameter and their colour bar."""
    for axis, (layers, panel) in zip(axes, group.panels.items(), strict=True):
        drawing: dict[str, Any] = {"origin": "lower", "extent": _extent(panel), "interpolation": _interpolation(panel)}
        image = heat_map(axis, panel.values, group.scale.limit, group.scale.signed, **drawing)
        first = axis is axes[0]
        axis.set_title((letter if first else "") + symbols.order_parameter(group.name, layers))
        axis.set_xlabel("step $s$")
        finish(axis, "xy")
        axis.grid(False)
        axis.tick_params(labelleft=first)
        if first:
            axis.set_ylabel("step $t$")
    colours = axes[0].figure.colorbar(image, extend=group.scale.arrows, **bar)
    units = panel.attrs.get("units", "1")
    colours.set_label(symbols.order_parameter(group.name) + (f" [{units}]" if units != "1" else ""))


def _box(figure: Figure, left: float, bottom: float, width: float) -> tuple[float, float, float, float]:
    wide, high = figure.get_size_inches()
    return (left / wide, bottom / high, width / wide, _PANEL / high)


def _extent(panel: xr.DataArray) -> tuple[float, float, float, float]:
    s, t = panel["step2"].values, panel["step"].values
    return (s[0] - 0.5, s[-1] + 0.5, t[0] - 0.5, t[-1] + 0.5)


def _interpolation(panel: xr.DataArray) -> str:
    """Every entry as it is, or averages where there are more entries than pixels."""
    return "nearest" if max(panel.shape) <= _PIXELS else "antialiased"


def _notes(
    drawn: Sequence[_Group], missing: Sequence[str], result: xr.Dataset, outputs: tuple[int, int]
) -> Iterable[str]:
    """What a reader would not know from the panels."""
    count = result.sizes.get("output", 1)
    if count > 1:
        yield f"Outputs c = {outputs[0]} and c' = {outputs[1]} of {count}; the other pairs are not drawn."
    if result.sizes.get("seed", 1) > 1:
        yield f"Mean over {result.sizes['seed']} seeds."
    beyond = [group for group in drawn if group.scale.arrows != "neither"]
    if beyond:
        largest = ", ".join(f"{group.name} {_beyond(group.scale)}" for group in beyond)
        yield f"Entries beyond the colours (arrows): {largest}."
    left_out: dict[str, list[str]] = {}
    for group in drawn:
        if group.left_out:
            left_out.setdefault(_layer_words(group), []).append(group.name)
    for layers, names in left_out.items():
        yield f"Not drawn of {', '.join(names)}: {layers}."
    if missing:
        yield f"Not drawn: {', '.join(missing)}."


def _beyond(scale: _Scale) -> str:
    parts = [f"down to {scale.low:.3g}"] if scale.arrows in ("min", "both") else []
    parts += [f"up to {scale.high:.3g}"] if scale.arrows in ("max", "both") else []
    return " and ".join(parts)


def _layer_words(group: _Group) -> str:
    """The layers that are left out; of many, or of pairs of layers, how many."""
    count, paired = len(group.left_out), len(group.left_out[0]) > 1
    if paired or count > _LISTED:
        return f"{count} of {count + len(group.panels)} {'pairs of ' if paired else ''}layers"
    return f"layer{'s' if count > 1 else ''} " + ", ".join(str(layer) for (layer,) in group.left_out)


def _wrapped(notes: Iterable[str], width: float) -> list[str]:
    return [line for note in notes for line in textwrap.wrap(note, int(width * _NOTE_LETTERS))]
