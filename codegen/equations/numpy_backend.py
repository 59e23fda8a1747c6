"""IR -> plain NumPy: one line an equation, whole rows, no optimisation. The judge of every other back end."""

from __future__ import annotations

from .ir import March
from .python_text import LineStyle, ModuleWriter


class NumpyStyle(LineStyle):
    """Lines in NumPy; rows are slices ``i`` of the two-time matrices."""

    imports: tuple[str, ...] = ("import numpy as np",)

    def add_row(self, target: str, factor: str, source: str, static: bool) -> str:
        return f"{target}[i] += {factor}{source}[i]"

    def add_first_row(self, target: str, factor: str, source: str, static: bool) -> str:
        return f"{target}[i, :C] += {factor}{source}[:C, :C]"

    def add_identity(self, target: str, factor: str, static: bool) -> str:
        return f"{target}[i{'' if static else ', i'}] += {factor}one"

    def start_kernel(self) -> str:
        return "A = zero_row.copy()"

    def add_kernel(self, factor: str, source: str | None, steps: str) -> str:
        if source is None:
            return f"A += {factor}past * one_row"
        if steps == "now":
            return f"A[:, i] += {factor}{source}[i, i]"
        weight = "past * " if steps == "past" else ""
        return f"A += {factor}{weight}{source}[i]"

    def add_product(self, target: str, source: str, static: bool) -> str:
        return f"{target}[i] += A @ {source}"

    def start_weight(self, static: bool) -> str:
        return "W = 0 * one" if static else "W = zero_row.copy()"

    def add_weight(self, factor: str, response: str, static: bool) -> str:
        return f"W += {factor}{response}[i]"

    def add_covariance(self, factor: str, response: str, covariance: str, transposed: str, fresh: bool) -> str:
        return f"W += {factor}{response}[i] @ {f'({covariance} * same_step)' if fresh else covariance}"

    def add_correlation(self, target: str, source: str, static: bool) -> str:
        return f"{target}[i] += W @ {source}.T"

    def mirror(self, target: str, source: str) -> str | None:
        return f"{target}[:, i] = {source}[i].T"


def write(march: March, alone: bool = True) -> str:
    """The module's source; it stands alone in any case."""
    return ModuleWriter(march, NumpyStyle(), "numpy").text()
