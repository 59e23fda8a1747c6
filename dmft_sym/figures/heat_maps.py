"""Heat maps of two-time order parameters: which panels, which colours, and a note on what is not shown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.results.store import ResultError
from dmft_sym.support.messages import InputError, show

from .panels import VISIBLE, heat_colours, spaced

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

Layers = tuple[int, ...]

MAX_PANELS = 6
MAX_ROWS = 8
_LISTED = 20  # layers that a note names

# Entries beyond the colours: limits are the largest entry, unless it is more than `_SPIKE` times what all but one in a
# hundred of the entries at unequal times stay below. Many responses have an equal-time entry that is far larger.
_QUANTILE, _SPIKE = 0.99, 1.5

# Panels are square and of one size; lengths in inches.
_PANEL, _GAP, _LEFT, _RIGHT = 1.7, 0.12, 0.65, 1.05
_BELOW, _TOP = 0.5, 0.2
_ROW = _BELOW + _PANEL + 0.35
_WIDEST = 13.2
_PIXELS = 250
_NOTE_LINE, _NOTE_LETTERS = 0.15, 15.0

_GREEK = {"Delta", "alpha", "beta", "gamma", "delta", "phi", "Phi", "chi", "psi", "xi", "eta", "mu", "nu"}


def order_parameters(
    result: xr.Dataset, names: Sequence[str] | None = None, outputs: tuple[int, int] = (0, 0)
) -> Figure:
    """Heat maps of two-time order parameters: a panel per layer, one colour scale for all layers of one.

    Correlations that are nowhere negative have colours from zero up, all others colours that are white at zero. A
    few entries that are much larger than the rest, such as the equal-time part of a response, lie beyond the colours;
    the colour bar then ends in an arrow. The note below says how large they are, and what is not drawn.

    Parameters
    ----------
    result
        A result; the mean over seeds is drawn if it has any. ``result.sel(layer=[3, 5])`` draws certain layers.
    names
        Which order parameters; as many of them as fit if not given, correlations and those of layers first.
    outputs
        The two output indices.
    """
    from .shown import ShownFigure

    groups = [group for name in _chosen(names, result) if (group := _group(result[name], outputs)).panels]
    if not groups:
        raise ResultError("the result has no two-time order parameters: allowed are results with at least one step")
    rows = _rows(groups)
    rows, missing = rows[:MAX_ROWS], [group.name for row in rows[MAX_ROWS:] for group in row]
    width = max(sum(group.width for group in row) for row in rows)
    drawn = [group for row in rows for group in row]
    note = _wrapped(_notes(drawn, missing, result, outputs), width)
    below = _NOTE_LINE * len(note) + (0.1 if note else 0.0)
    height = len(rows) * _ROW + _TOP + below
    figure = ShownFigure(figsize=(width, height), layout=None)
    for number, row in enumerate(rows):
        left = 0.0
        for group in row:
            _draw(figure, group, left, height - _TOP - (number + 1) * _ROW)
            left += group.width
    figure.text(0.1 / width, 0.08 / height, "\n".join(note), fontsize="small", color="0.25", va="bottom")
    return figure


@dataclass(frozen=True)
class _Scale:
    """Colours of one order parameter; ``largest`` is its largest entry in size, ``limit`` where the colours end."""

    low: float
    high: float
    limit: float
    signed: bool

    @property
    def colours(self) -> dict[str, Any]:
        """For ``imshow``."""
        return heat_colours(self.limit, self.signed)

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
    largest = max(abs(low), abs(high))
    bulk = max((_bulk(panel) for panel in panels), default=0.0)
    limit = bulk if 0 < bulk * _SPIKE < largest else largest
    return _Scale(low, high, limit or 1.0, response or low < -VISIBLE * limit)


def _bulk(panel: NDArray[Any]) -> float:
    """What all but one in a hundred of the sizes at unequal times stay below; zeros (the future) do not count."""
    rows, columns = np.indices(panel.shape)
    sizes = np.abs(panel[(rows != columns) & np.isfinite(panel) & (panel != 0)])
    return float(np.quantile(sizes, _QUANTILE)) if sizes.size else 0.0


def _rows(groups: Sequence[_Group]) -> list[list[_Group]]:
    """Order parameters side by side, as long as they fit."""
    rows: list[list[_Group]] = [[]]
    for group in groups:
        if rows[-1] and sum(other.width for other in [*rows[-1], group]) > _WIDEST:
            rows.append([])
        rows[-1].append(group)
    return rows


def _draw(figure: Figure, group: _Group, left: float, bottom: float) -> None:
    """The panels of one order parameter and their colour bar, at a place in inches."""
    x, y = left + _LEFT, bottom + _BELOW
    for layers, panel in group.panels.items():
        axis = figure.add_axes(_box(figure, x, y, _PANEL))
        drawing: dict[str, Any] = {"origin": "lower", "extent": _extent(panel), "interpolation": _interpolation(panel)}
        image = axis.imshow(panel.values, **drawing, **group.scale.colours)
        axis.set_title(_title(group.name, layers), fontsize="medium")
        axis.set_xlabel("step s [gradient steps]", fontsize="small")
        axis.tick_params(labelsize="small", labelleft=x == left + _LEFT)
        if x == left + _LEFT:
            axis.set_ylabel("step t [gradient steps]", fontsize="small")
        x += _PANEL + _GAP
    bar = figure.colorbar(image, cax=figure.add_axes(_box(figure, x, y, 0.09)), extend=group.scale.arrows)
    bar.set_label(f"{_symbol(group.name)} [{panel.attrs.get('units', '1')}]", fontsize="small")
    bar.ax.tick_params(labelsize="small")


def _box(figure: Figure, left: float, bottom: float, width: float) -> tuple[float, float, float, float]:
    wide, high = figure.get_size_inches()
    return (left / wide, bottom / high, width / wide, _PANEL / high)


def _extent(panel: xr.DataArray) -> tuple[float, float, float, float]:
    s, t = panel["step2"].values, panel["step"].values
    return (s[0] - 0.5, s[-1] + 0.5, t[0] - 0.5, t[-1] + 0.5)


def _interpolation(panel: xr.DataArray) -> str:
    """Every entry as it is, or averages where there are more entries than pixels."""
    return "nearest" if max(panel.shape) <= _PIXELS else "antialiased"


def _title(name: str, layers: Layers) -> str:
    words = "" if not layers else f", layer{'s' if len(layers) > 1 else ''} " + ", ".join(map(str, layers))
    return _symbol(name) + words


def _symbol(name: str) -> str:
    """``C_h`` or ``R_g_u_W`` as mathematics; names that are not of this form stay as they are."""
    match = re.fullmatch(r"([CR])_([A-Za-z]+)(\d*(?:_\d+)?)(?:_([ur])_(\w+))?", name)
    if match is None:
        return name
    kind, letters, number, noise, matrix = match.groups()
    field = (rf"\{letters}" if letters in _GREEK else letters) + number.replace("_", ",")
    source = rf";\,{noise}_{{{matrix.replace('_', ',')}}}" if noise else ""
    return f"${kind}_{{{field}{source}}}$"


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
