"""IR -> plain NumPy: one line an equation, whole rows, no optimisation. The judge of every other back end."""

from __future__ import annotations

from .ir import March
from .python_text import LineStyle, ModuleWriter


class NumpyStyle(LineStyle):
    """Lines in NumPy; rows are slices ``i`` of the two-time matrices."""

    imports = ("import numpy as np",)

    def add_row(self, target: str, coefficient: str, source: str) -> str:
        return f"{target}[i] += {coefficient} * {source}[i]"

    def add_identity(self, target: str, coefficient: str, static: bool) -> str:
        return f"{target}[i{'' if static else ', i'}] += {coefficient} * one"

    def start_kernel(self) -> str:
        return "A = zero_row.copy()"

    def add_kernel(self, coefficient: str, source: str | None, steps: str) -> str:
        if source is None:
            return f"A += {coefficient} * past * one_row"
        if steps == "now":
            return f"A[:, i] += {coefficient} * {source}[i, i]"
        weight = "past * " if steps == "past" else ""
        return f"A += {coefficient} * {weight}{source}[i]"

    def add_product(self, target: str, source: str, static: bool) -> str:
        return f"{target}[i] += A @ {source}"

    def start_weight(self, static: bool) -> str:
        return "W = 0 * one" if static else "W = zero_row.copy()"

    def add_weight(self, coefficient: str, response: str, covariance: str | None, fresh: bool) -> str:
        if covariance is None:
            return f"W += {coefficient} * {response}[i]"
        same = " * same_step" if fresh else ""
        body = f"({covariance}{same})" if fresh else covariance
        return f"W += {coefficient} * {response}[i] @ {body}"

    def add_correlation(self, target: str, source: str) -> str:
        return f"{target}[i] += W @ {source}.T"

    def mirror(self, target: str, source: str) -> str:
        return f"{target}[:, i] = {source}[i].T"


def write(march: March) -> str:
    """The module's source."""
    return ModuleWriter(march, NumpyStyle(), "numpy").text()
