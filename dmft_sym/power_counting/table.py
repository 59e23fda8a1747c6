"""A scaling as a table: text for a terminal, HTML and LaTeX for a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import sympy as sp

from dmft_sym.program.printing import latex_name
from dmft_sym.regimes.sample_program import OUTPUT_FUNCTION
from dmft_sym.support import notebook

from .depth import DepthScaling
from .rows import MatrixScaling, ScalarExponents

OUTPUT = OUTPUT_FUNCTION.scalar.name

_HEAD = ("matrix", "inputs", "init variance", "multiplier", "learning rate", "its updates")
_ROWS_OF_REPR = 6


class ScalingTable:
    """The exponents of a scaling in storage conventions, one row for every matrix.

    ``a, b, c`` of Yang and Hu (arXiv:2011.14522) are minus the exponent of the multiplier, minus half of that of the
    variance, and minus that of the learning rate. Without multipliers the rows are what an optimizer takes.

    Parameters
    ----------
    regime, features, matrices, scalars, depth
        Those of a `Scaling`.
    """

    def __init__(
        self,
        regime: str,
        features: sp.Expr,
        matrices: Mapping[str, MatrixScaling],
        scalars: Mapping[str, tuple[ScalarExponents, ScalarExponents]],
        depth: Sequence[DepthScaling],
    ) -> None:
        self.regime, self.features, self.matrices = regime, features, matrices
        self.scalars, self.depth = scalars, depth

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """Cells as text."""
        return [_cells(row) for row in self.matrices.values()]

    @property
    def abc(self) -> dict[str, tuple[sp.Expr | None, ...]]:
        """``(a, b, c)`` of every matrix; ``None`` where it starts at zero, or is frozen."""
        return {
            name: (
                -row.multiplier,
                None if row.init is None else -row.init / 2,
                None if row.learning_rate is None else -row.learning_rate,
            )
            for name, row in self.matrices.items()
        }

    @property
    def heading(self) -> str:
        """The regime with the exponents of features and output."""
        start, change = self.scalars[OUTPUT]
        return (
            f"{self.regime}: features move by {_power(self.features)}, the output starts at "
            f"{_power(start.size)} and moves by {_power(change.size)}"
        )

    @property
    def notes(self) -> list[str]:
        """Averages over sites, and exponents of the depth."""
        found = []
        for name, (start, change) in self.scalars.items():
            if name != OUTPUT:
                found.append(
                    f"average {name}: mean {_power(start.mean)}, fluctuation {_power(start.fluctuation)} at "
                    f"initialization; moves by {_power(change.size)}"
                )
        return [*found, *map(str, self.depth)]

    @property
    def short(self) -> list[str]:
        """At most ten lines."""
        lines = self._aligned()
        cut = lines[: _ROWS_OF_REPR + 1]
        if len(lines) > len(cut):
            cut[-1] = f"... {len(lines) - len(cut) + 1} more matrices"
        return [self.heading, *cut, *self.notes[:2]]

    def _aligned(self) -> list[str]:
        rows = [_HEAD, *self.rows]
        widths = [max(len(row[n]) for row in rows) for n in range(len(_HEAD))]
        return ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]

    def __str__(self) -> str:
        return "\n".join([self.heading, *self._aligned(), *self.notes])

    def __repr__(self) -> str:
        return "\n".join(self.short)

    def _repr_html_(self) -> str:
        return notebook.table(_HEAD, self.rows) + "".join(map(notebook.paragraph, (self.heading, *self.notes)))

    @property
    def latex(self) -> str:
        """A ``tabular``."""
        lines = [" & ".join(_HEAD) + r" \\ \hline"]
        lines += [" & ".join(_latex_cells(row)) + r" \\" for row in self.matrices.values()]
        return "\n".join([r"\begin{tabular}{l" + "c" * (len(_HEAD) - 1) + "}", *lines, r"\end{tabular}"])


def _power(exponent: sp.Expr | None, none: str = "-") -> str:
    if exponent is None:
        return none
    if exponent == -sp.oo:
        return "0"
    return "1" if exponent == 0 else "N" if exponent == 1 else f"N^{exponent}" if exponent != sp.oo else "e^N"


def _cells(row: MatrixScaling) -> tuple[str, ...]:
    variance, rate = _power(row.init, "starts at 0"), _power(row.learning_rate, "frozen")
    return row.name, row.fan_in, variance, _power(row.multiplier), rate, f"{row.verdict}: {_power(row.update)}"


def _latex_cells(row: MatrixScaling) -> Iterator[str]:
    yield f"${latex_name(row.name, None)}$"
    yield f"${row.fan_in}$"
    for exponent, none in ((row.init, "starts at 0"), (row.multiplier, ""), (row.learning_rate, "frozen")):
        yield none if exponent is None else f"${_latex_power(exponent)}$"
    yield f"{row.verdict}: ${_latex_power(row.update)}$"


def _latex_power(exponent: sp.Expr) -> str:
    if exponent == -sp.oo:
        return "0"
    return "1" if exponent == 0 else "N" if exponent == 1 else f"N^{{{sp.latex(exponent)}}}"
