"""Figures that show themselves: once in a notebook, whatever its back end, and without a list of open figures."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

DPI = 110
"""Pixels by inch in a notebook."""


class ShownFigure(Figure):
    """A figure that a notebook shows as a picture when it is the value of a cell.

    pyplot does not know of it, so that nothing has to be closed and no cell shows it a second time.
    """

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=DPI)
        return content.getvalue()
