"""The idea in one picture: from a forward pass to a comparison, drawn by the build of the documentation."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

INK, BLUE, ORANGE, GREEN, GREY = "#222222", "#0072b2", "#d55e00", "#009e73", "#666666"
BOXES = {
    "forward": (0.0, 3.0, "forward pass", "a Python function of yours", INK),
    "program": (4.0, 3.0, "vector program", "one training step, as statements", INK),
    "action": (8.0, 3.0, "action", "averaged over the matrices", BLUE),
    "site": (8.0, 1.5, "single-site equations", "saddle point", BLUE),
    "closed": (8.0, 0.0, "closed equations", "processes: Gaussian, or sampled", BLUE),
    "coordinates": (4.0, 1.5, "infinite network", "the program on growing coordinates", GREEN),
    "finite": (0.0, 1.5, "finite networks", "the program with stored matrices", ORANGE),
    "compare": (0.0, 0.0, "compare", "three routes, the same numbers", INK),
    "solver": (4.0, 0.0, "generated solver", "a Python module of loops", BLUE),
}
ARROWS = (
    ("forward", "program", "trace,\nreverse mode"),
    ("program", "action", "average"),
    ("action", "site", "stationarity"),
    ("site", "closed", "closure"),
    ("closed", "solver", "write"),
    ("program", "coordinates", "conditioning"),
    ("program", "finite", ""),
    ("finite", "compare", ""),
    ("coordinates", "compare", ""),
    ("solver", "compare", "run"),
)
WIDTH, HEIGHT = 2.9, 0.85


def draw() -> Figure:
    """The figure of the front page."""
    figure, axis = plt.subplots(figsize=(10.2, 4.0), layout="constrained")
    for x, y, title, words, colour in BOXES.values():
        box = FancyBboxPatch((x, y), WIDTH, HEIGHT, "round,pad=0.02,rounding_size=0.12", fc="white", ec=colour, lw=1.8)
        axis.add_patch(box)
        axis.text(x + WIDTH / 2, y + 0.57, title, ha="center", va="center", color=colour, weight="bold", size=10.5)
        axis.text(x + WIDTH / 2, y + 0.24, words, ha="center", va="center", color=GREY, size=8)
    for start, end, words in ARROWS:
        _arrow(axis, start, end, words)
    axis.set(xlim=(-0.15, 11.1), ylim=(-0.2, 4.0), aspect="equal")
    axis.set_axis_off()
    return figure


def _arrow(axis: Axes, start: str, end: str, words: str) -> None:
    """From the side of one box that faces the other."""
    (x0, y0), (x1, y1) = BOXES[start][:2], BOXES[end][:2]
    if y0 == y1:
        right = x1 > x0
        tail, head = (x0 + WIDTH * right, y0 + HEIGHT / 2), (x1 + WIDTH * (not right), y1 + HEIGHT / 2)
    else:
        shift = (x1 > x0) - (x1 < x0)
        tail, head = (x0 + WIDTH / 2 + 0.3 * WIDTH * shift, y0), (x1 + WIDTH / 2 - 0.3 * WIDTH * shift, y1 + HEIGHT)
    style = {"arrowstyle": "-|>", "color": INK, "lw": 1.3, "shrinkA": 4, "shrinkB": 4}
    axis.annotate("", head, tail, arrowprops=style)
    if words:
        flat = y0 == y1
        place = ((tail[0] + head[0]) / 2 + (0 if flat else 0.1), (tail[1] + head[1]) / 2 + (0.09 if flat else 0))
        alignment = {"ha": "center", "va": "bottom"} if flat else {"ha": "left", "va": "center"}
        axis.text(*place, words, size=8, color=INK, style="italic", linespacing=0.95, **alignment)
