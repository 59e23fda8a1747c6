"""Lines of the table: a quantity, the theory, what it is held against, and whether it holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

SIGMAS = 4.0
"""Standard errors within which finite networks have to agree."""
NARROW = 8.0
"""On given samples a finite network of so many units is shifted by about this part of one over its width."""


@dataclass(frozen=True)
class Row:
    """A line.

    Attributes
    ----------
    quantity
        In words, with step and parameters.
    theory
        What the theory says; NaN for nothing (no outlier).
    other
        What it is held against: the mean over finite networks, or a number known from elsewhere; NaN for nothing.
    error
        Standard error of ``other``.
    holds
        Whether the criterion is met.
    criterion
        In words.
    """

    quantity: str
    theory: float
    other: float
    error: float
    holds: bool
    criterion: str

    @property
    def z(self) -> float:
        """Deviation in standard errors; NaN without one."""
        return (self.other - self.theory) / self.error if self.error > 0 else math.nan

    @property
    def verdict(self) -> str:
        """In a word."""
        return "holds" if self.holds else "fails"


def against_networks(quantity: str, theory: float, networks: ArrayLike, finite_size: float = 0.0) -> Row:
    """The mean over finite networks agrees within errors, and what a finite size shifts.

    Parameters
    ----------
    networks
        One number for each.
    finite_size
        Shift of a finite network that is known to be of the order of one over its size, relative to the theory.
    """
    values = np.asarray(networks, dtype=float)
    mean, error = float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)
    room = f" + {finite_size:.1%} of it" if finite_size else ""
    holds = abs(mean - theory) <= SIGMAS * error + finite_size * abs(theory)
    return Row(quantity, theory, mean, error, holds, f"|finite - theory| <= {SIGMAS:g} errors{room}")


def sampled_row(quantity: str, theory: float, sem: float, networks: ArrayLike, width: int) -> Row:
    """The mean over finite networks agrees within the errors of both, and what a finite width shifts.

    Parameters
    ----------
    sem
        Standard error of the theory, which is sampled.
    networks
        One number for each.
    """
    values = np.asarray(networks, dtype=float)
    mean, error = float(values.mean()), float(np.hypot(sem, values.std(ddof=1) / len(values) ** 0.5))
    room = NARROW / width
    holds = abs(mean - theory) <= SIGMAS * error + room * abs(theory)
    criterion = f"|finite - theory| <= {SIGMAS:g} errors of both + {room:.1%} of it"
    return Row(quantity, theory, mean, error, holds, criterion)


def none_in_networks(quantity: str, edge: float, networks: ArrayLike, finite_size: float) -> Row:
    """The theory has no outlier: the largest value of finite networks lies at the edge of the bulk."""
    values = np.asarray(networks, dtype=float)
    mean, error = float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)
    holds = mean <= edge * (1 + finite_size) + SIGMAS * error
    return Row(quantity, math.nan, mean, error, holds, f"none: finite <= edge {edge:.4g} + {finite_size:.1%}")


def against_number(quantity: str, theory: float, known: float, digits: int) -> Row:
    """A number that is known from elsewhere to so many decimals; NaN if there is none in either."""
    both = math.isnan(theory) and math.isnan(known)
    holds = both or abs(theory - known) <= 0.5000001 * 10.0**-digits
    wanted = "none" if math.isnan(known) else f"{known:.{digits}f}"
    return Row(quantity, theory, math.nan, math.nan, holds, f"{wanted}, measured by hand")


def stated(quantity: str, value: float, holds: bool, criterion: str) -> Row:
    """A property of the theory alone."""
    return Row(quantity, value, math.nan, math.nan, bool(holds), criterion)
