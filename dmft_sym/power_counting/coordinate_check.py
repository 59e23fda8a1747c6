"""The coordinate check: finite networks of growing width, and the powers with which their coordinates move.

The networks run the program from whose single-site equations the exponents were counted, with the same powers of the
width in it, and nothing else is shared: what is measured are sizes of vectors and differences of matrices. A slope of
log size against log width stands beside every counted exponent.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import sympy as sp

from dmft_sym.execution.finite import FiniteNetwork
from dmft_sym.execution.planning import make_plan
from dmft_sym.networks.parameters import ETA, GAMMA, INIT_VARIANCE
from dmft_sym.program import DEPTH, SAMPLES, ProgramError
from dmft_sym.support import notebook
from dmft_sym.support.messages import show, suggestion
from dmft_sym.support.threads import single_threaded

from .coordinates import Coordinates
from .counting import CountedStep
from .powers import Powers, exponent_of
from .program import WIDTH, ScaledNetwork
from .slopes import Size, fluctuation, mean, slope, typical


@dataclass(frozen=True)
class CheckedExponent:
    """One row of a coordinate check.

    Attributes
    ----------
    quantity
        What is measured, such as ``"change of h[1]"``.
    predicted
        Its counted exponent.
    fitted, error
        The slope of log size against log width, and its standard error; shape (). Minus infinity and zero if there is
        nothing.
    sizes
        What was measured, one for every width.
    """

    quantity: str
    predicted: sp.Expr
    fitted: float
    error: float
    sizes: tuple[float, ...]

    @property
    def difference(self) -> float:
        """The slope minus the exponent; zero if there is nothing, as counted."""
        return 0.0 if self.fitted == self.predicted else self.fitted - float(self.predicted)


@dataclass(frozen=True)
class CoordinateCheck:
    """Counted exponents beside fitted slopes.

    Attributes
    ----------
    rows
        One for every quantity.
    widths, seeds
        Those of the networks, and how many there were of every width.
    tolerance
        By how much a slope may differ from its exponent.
    """

    rows: tuple[CheckedExponent, ...]
    widths: tuple[int, ...]
    seeds: tuple[int, ...]
    tolerance: float

    @property
    def refuted(self) -> tuple[CheckedExponent, ...]:
        """The rows whose slope is not the exponent, by more than its error explains."""
        return tuple(row for row in self.rows if not abs(row.difference) <= self.tolerance + 2 * row.error)

    @property
    def undecided(self) -> tuple[CheckedExponent, ...]:
        """The rows whose slope is not known to within the tolerance: more seeds, or larger widths, would tell."""
        unknown = (row for row in self.rows if row.error > self.tolerance or abs(row.difference) > self.tolerance)
        refuted = self.refuted
        return tuple(row for row in unknown if row not in refuted)

    @property
    def passed(self) -> bool:
        """Whether every slope is known, and is its exponent."""
        return not self.refuted and not self.undecided

    def __getitem__(self, quantity: str) -> CheckedExponent:
        rows = {row.quantity: row for row in self.rows}
        if quantity not in rows:
            hint = suggestion(str(quantity), list(rows))
            raise ProgramError(f"coordinate check: there is no {show(quantity)}{hint}; allowed are {', '.join(rows)}")
        return rows[quantity]

    def _cells(self, row: CheckedExponent) -> tuple[str, str, str, str]:
        words = {"refuted": self.refuted, "undecided": self.undecided}
        verdict = next((word for word, rows in words.items() if row in rows), "")
        return row.quantity, str(row.predicted), f"{row.fitted:+.2f}({row.error:.2f})", verdict

    def __str__(self) -> str:
        width = max(len(row.quantity) for row in self.rows)
        cells = [("quantity", "exponent", "slope", ""), *map(self._cells, self.rows)]
        return "\n".join(
            f"{name:<{width}}  {exponent:>8}  {slope}  {word}".rstrip() for name, exponent, slope, word in cells
        )

    def __repr__(self) -> str:
        counts = ((self.refuted, "refuted"), (self.undecided, "undecided"))
        verdict = ", ".join(f"{len(rows)} {word}" for rows, word in counts if rows) or "every slope is its exponent"
        ends = f"N = {self.widths[0]} to {self.widths[-1]}"
        return f"<coordinate check of {len(self.rows)} exponents, {ends}: {verdict} within {self.tolerance:g}>"

    def _repr_html_(self) -> str:
        head = ("quantity", "exponent", "slope", "")
        return notebook.table(head, map(self._cells, self.rows)) + notebook.paragraph(repr(self))


def measured_sizes(
    network: ScaledNetwork, values: Mapping[sp.Symbol, float], width: int, seeds: Sequence[int], steps: int
) -> dict[str, Size]:
    """Train networks of one width and measure them after the last update.

    Parameters
    ----------
    values
        Of the symbols of the program, but for the width.
    seeds
        Of the networks, at least two.

    Returns
    -------
    dict
        Typical sizes of fields and updates; of scalars the size of the mean over networks, and of what differs between
        them.

    Raises
    ------
    ProgramError
        If a network diverges before.
    """
    known, data = {**values, WIDTH: width}, network.data
    plan = make_plan(network.program, known, data.outputs, reduced_transpose=False, data=data.given)
    sizes, scalars = [], []
    with single_threaded(), np.errstate(over="ignore", invalid="ignore"):
        for seed in seeds:
            run = Coordinates.after(network, FiniteNetwork(plan, float, width, seed), steps)
            sizes.append(dict(run.sizes()))
            scalars.append({name: np.ravel(values) for name, values in run.scalars()})
    _check_finite([*sizes, *scalars], steps)
    found = {name: typical(np.array([one[name] for one in sizes])) for name in sizes[0]}
    for name in scalars[0]:
        stacked = np.stack([one[name] for one in scalars])
        found[f"mean of {name}"], found[f"fluctuation of {name}"] = mean(stacked), fluctuation(stacked)
    return found


def _check_finite(measured: Sequence[Mapping[str, Any]], steps: int) -> None:
    if not all(np.all(np.isfinite(value)) for one in measured for value in one.values()):
        raise ProgramError(
            f"coordinate check: a network diverges within {steps} steps; allowed are fewer steps or a smaller "
            "learning_rate"
        )


_DEFAULTS: Mapping[str, float] = {"learning_rate": 1.0, "richness": 1.0, "init_std": 1.0}


@dataclass(frozen=True)
class CheckedNetworks:
    """The networks of a coordinate check.

    Attributes
    ----------
    network
        Of which they are instances.
    values
        Of the symbols of its program, but for the width.
    widths, seeds, steps
        How wide they are, the seeds of those of every width, and how often they are updated.
    """

    network: ScaledNetwork
    values: Mapping[sp.Symbol, float]
    widths: tuple[int, ...]
    seeds: tuple[range, ...]
    steps: int

    @classmethod
    def of(
        cls,
        network: ScaledNetwork,
        exponents: Mapping[sp.Symbol, sp.Rational],
        widths: Sequence[int],
        seeds: int,
        seed: int,
        steps: int,
        parameters: Mapping[str, float],
    ) -> Self:
        """The networks that a user asks for.

        Raises
        ------
        ProgramError
            If an argument means nothing.
        """
        for key, value, low in (("seeds", seeds, 2), ("seed", seed, 0), ("steps", steps, 1)):
            if not isinstance(value, int) or value < low:
                raise ProgramError(f"{key} = {show(value)}: allowed is an integer >= {low}")
        values = {**_parameter_values(network, parameters), **exponents}
        used = {symbol: float(value) for symbol, value in values.items() if symbol in network.program.parameters}
        return cls(network, used, _widths(widths), _seeds(widths, seeds, seed), steps)

    def checked(self, expected: Mapping[str, sp.Expr], tolerance: float) -> CoordinateCheck:
        """Fit slopes and lay them beside exponents.

        Raises
        ------
        ProgramError
            If the networks diverge.
        """
        sizes = [
            measured_sizes(self.network, self.values, width, seeds, self.steps)
            for width, seeds in zip(self.widths, self.seeds, strict=True)
        ]
        rows = []
        for quantity, exponent in expected.items():
            found = [size[quantity] for size in sizes]
            there = any(size.value for size in found) or exponent != -sp.oo
            if there and exponent != sp.oo:  # nothing, as counted; faster than any power
                values = tuple(size.value for size in found)
                rows.append(CheckedExponent(quantity, exponent, *slope(self.widths, found), values))
        return CoordinateCheck(tuple(rows), self.widths, tuple(map(len, self.seeds)), tolerance)


def predictions(network: ScaledNetwork, history: Sequence[CountedStep]) -> dict[str, sp.Expr]:
    """Exponents of what is measured, by its name."""
    found: dict[str, sp.Expr] = {}
    first, last = history[0], history[-1]
    for ref in first.features:
        found[f"size of {ref} at init"] = exponent_of(first.fields[ref].size)
        found[f"change of {ref}"] = exponent_of(last.fields[ref].changed.size)
    for scalar, powers in first.scalars.items():
        if scalar.scalar.name in network.reported:
            found |= _of_scalar(f"{scalar} at init", powers)
            found |= _of_scalar(f"change of {scalar}", last.scalars[scalar].changed)
    for one in network.weights:
        if one.trained and one.name in last.updates:  # a family may have no members
            found[f"update of {one.name}"] = exponent_of(last.updates[one.name].size)
    return found


def _of_scalar(name: str, powers: Powers) -> dict[str, sp.Expr]:
    """Its fluctuation, and its mean where that is not hidden by it."""
    mean, fluctuation = powers.mean.size, powers.fluctuation.size
    found = {f"fluctuation of {name}": exponent_of(fluctuation)}
    if mean is not None and (fluctuation is None or mean > fluctuation):
        found[f"mean of {name}"] = exponent_of(mean)
    return found


def _widths(widths: Sequence[int]) -> tuple[int, ...]:
    found = tuple(widths) if isinstance(widths, Sequence) else ()
    if len(set(found)) < 2 or not all(isinstance(width, int) and width > 1 for width in found):
        raise ProgramError(f"widths = {show(widths)}: allowed are at least two integers > 1")
    return found


def _seeds(widths: Sequence[int], seeds: int, seed: int) -> tuple[range, ...]:
    """Those of every width: as many sites in all at every one, which costs little, and no number twice."""
    counts = [seeds * max(widths) // width for width in widths]
    starts = [seed + sum(counts[:n]) for n in range(len(counts))]
    return tuple(range(start, start + count) for start, count in zip(starts, counts, strict=True))


def _parameter_values(network: ScaledNetwork, parameters: Mapping[str, float]) -> dict[sp.Symbol, float]:
    """Values of everything but exponents, from arguments and defaults."""
    own = {parameter.keyword: parameter for parameter in network.trace.parameters}
    known = {**_DEFAULTS, **{k: p.default for k, p in own.items()}, **network.network.defaults}
    given: dict[str, float] = {}
    for key, value in {**known, **parameters}.items():
        if key not in known:
            raise ProgramError(f"{key}: there is no such parameter; allowed are {', '.join(known)}")
        if not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise ProgramError(f"{key} = {show(value)}: allowed is a finite number")
        given[key] = float(value)
    values = {parameter.symbol: given[key] for key, parameter in own.items()}
    standard = {ETA: given["learning_rate"], GAMMA: given["richness"], INIT_VARIANCE: given["init_std"] ** 2}
    return {**values, **standard, SAMPLES: network.data.count, DEPTH: network.depth}
