"""The coordinate check: finite networks of growing width, and the powers with which their coordinates move.

The networks run the program from whose single-site equations the exponents were counted, with the same powers of the
width in it, and nothing else is shared: what is measured are sizes of vectors and differences of matrices. A slope of
log size against log width stands beside every counted exponent.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import sympy as sp

from dmft_sym.execution.finite import FiniteNetwork
from dmft_sym.execution.plan import Combine, Plan
from dmft_sym.execution.planning import make_plan
from dmft_sym.networks.parameters import ETA, GAMMA, INIT_VARIANCE
from dmft_sym.program import DEPTH, SAMPLES, FieldRef, ProgramError
from dmft_sym.support.messages import show
from dmft_sym.support.threads import single_threaded

from .counting import CountedStep
from .powers import Powers, exponent_of
from .program import WIDTH, ScaledNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray

Sizes = dict[str, float]
"""Root mean squares by the name of the quantity."""
Scalars = dict[str, "NDArray[Any]"]
"""Values of scalars at initialization, and their changes, by the name of the quantity; shape (labels,)."""


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
        The slope of log size against log width, and its standard error; shape ().
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
        """The slope minus the exponent."""
        return self.fitted - float(self.predicted)


@dataclass(frozen=True)
class CoordinateCheck:
    """Counted exponents beside fitted slopes.

    Attributes
    ----------
    rows
        One for every quantity.
    widths
        Those of the networks.
    tolerance
        By how much a slope may differ from its exponent.
    """

    rows: tuple[CheckedExponent, ...]
    widths: tuple[int, ...]
    tolerance: float

    @property
    def refuted(self) -> tuple[CheckedExponent, ...]:
        """The rows whose slope is not the exponent."""
        return tuple(row for row in self.rows if not abs(row.difference) <= self.tolerance)

    @property
    def passed(self) -> bool:
        """Whether every slope is its exponent."""
        return not self.refuted

    def __getitem__(self, quantity: str) -> CheckedExponent:
        return {row.quantity: row for row in self.rows}[quantity]

    def __str__(self) -> str:
        width = max(len(row.quantity) for row in self.rows)
        lines = [f"{'quantity':<{width}}  exponent  slope"]
        for row in self.rows:
            word = "" if row not in self.refuted else "  refuted"
            lines.append(f"{row.quantity:<{width}}  {row.predicted!s:>8}  {row.fitted:+.2f}({row.error:.2f}){word}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        verdict = "every slope is its exponent" if self.passed else f"{len(self.refuted)} exponents refuted"
        ends = f"N = {self.widths[0]} to {self.widths[-1]}"
        return f"<coordinate check of {len(self.rows)} exponents, {ends}: {verdict} within {self.tolerance:g}>"


class Coordinates:
    """What is measured of one network: how far it has moved from where it was.

    Parameters
    ----------
    network
        Of which it is an instance.
    run
        The network of finite width.
    """

    def __init__(self, network: ScaledNetwork, run: FiniteNetwork) -> None:
        self.network, self.run = network, run
        self.keep()

    def keep(self) -> None:
        """From now on distances are from here."""
        self._fields = [values.copy() for values in self.run.values]
        self._matrices = [matrix.copy() for matrix in self.run.matrices]
        self._scalars = [scalar.copy() for scalar in self.run.scalars]

    def scalars(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Outputs and averages over sites."""
        for ref, number in self.run.plan.scalars.items():
            if ref.scalar.name in self.network.reported:
                yield f"{ref} at init", self._scalars[number]
                yield f"change of {ref}", self.run.scalars[number] - self._scalars[number]

    def sizes(self) -> Iterator[tuple[str, float]]:
        """Root mean squares of fields and updates."""
        run, names = self.run, self.network.forward_names
        for ref, slot in run.plan.fields.items():
            if ref.field.name in names:
                yield f"size of {ref} at init", _rms(self._fields[slot])
                yield f"change of {ref}", _rms(run.values[slot] - self._fields[slot])
        yield from self._updates(run, names)

    def _updates(self, network: FiniteNetwork, names: frozenset[str]) -> Iterator[tuple[str, float]]:
        """``(W(t) - W(0)) h`` of every matrix, ``<(w(t) - w(0)) h>`` of every readout; the largest of its uses."""
        found: Sizes = {}
        forward = {slot for ref, slot in network.plan.fields.items() if ref.field.name in names}
        for name, made in (*self._products(network, forward), *self._readouts(network)):
            found[name] = max(found.get(name, 0.0), _rms(made))
        for name, size in found.items():
            yield f"update of {name}", size

    def _products(self, network: FiniteNetwork, forward: set[int]) -> Iterator[tuple[str, NDArray[Any]]]:
        plan: Plan = network.plan
        for step in plan.steps:
            if isinstance(step, Combine) and step.target in forward:
                for product in step.products:
                    moved = network.matrices[product.matrix] - self._matrices[product.matrix]
                    made = network.values[product.operand] @ (moved if product.transpose else moved.T)
                    yield plan.matrices[product.matrix].key[0], made * product.coefficient

    def _readouts(self, network: FiniteNetwork) -> Iterator[tuple[str, NDArray[Any]]]:
        slots, layers = network.plan.named_slots, {ref.key: slot for ref, slot in network.plan.fields.items()}
        for readout in self.network.trace.readouts:
            moved = network.values[slots[readout.vector.name]] - self._fields[slots[readout.vector.name]]
            read = network.values[layers[_key(readout.field, network.plan, self.network)]]
            yield readout.vector.name, moved @ read.T / read.shape[1]


def _key(ref: FieldRef, plan: Plan, network: ScaledNetwork) -> tuple[str, int | None]:
    return ref.at({DEPTH: network.depth}).key


def _rms(values: NDArray[Any]) -> float:
    return math.sqrt(float(np.mean(np.square(values, dtype=float))))


def measured_sizes(
    network: ScaledNetwork, values: Mapping[sp.Symbol, float], width: int, seeds: Sequence[int], steps: int
) -> Sizes:
    """Train networks of one width and measure them after the last update.

    Parameters
    ----------
    values
        Of the symbols of the program, but for the width.

    Returns
    -------
    dict
        Root mean squares over sites, labels and networks; of scalars the size of the mean over networks, and of what
        differs between them.

    Raises
    ------
    ProgramError
        If a network diverges before.
    """
    known, data = {**values, WIDTH: width}, network.data
    plan = make_plan(network.program, known, data.outputs, reduced_transpose=False, data=data.given)
    with single_threaded(), np.errstate(over="ignore", invalid="ignore"):
        runs = [_trained(network, FiniteNetwork(plan, float, width, seed), steps) for seed in seeds]
    scalars = [dict(run.scalars()) for run in runs]
    found = _mean_squares([dict(run.sizes()) for run in runs])
    for name in scalars[0]:
        stacked = np.stack([one[name] for one in scalars])
        found[f"mean of {name}"] = _rms(stacked.mean(axis=0))
        found[f"fluctuation of {name}"] = _rms(stacked - stacked.mean(axis=0))
    if not all(map(math.isfinite, found.values())):
        raise ProgramError(
            f"coordinate check: a network diverges within {steps} steps; allowed are fewer steps or a smaller "
            "learning_rate"
        )
    return found


def _trained(network: ScaledNetwork, run: FiniteNetwork, steps: int) -> Coordinates:
    coordinates = Coordinates(network, run)
    for step in range(steps + 1):
        for statement in run.plan.steps:
            run.execute(statement)
        if step == 0:
            coordinates.keep()
        if step < steps:
            for rule in run.plan.learn_matrices:
                run.learn_matrix(rule)
            for vector in run.plan.learn_vectors:
                run.learn_vector(vector)
    return coordinates


def fitted(widths: Sequence[int], sizes: Sequence[float]) -> tuple[float, float]:
    """The slope of log size against log width, and its standard error from the scatter about the line."""
    x, y = np.log(widths), np.log(sizes)
    slope, start = np.polyfit(x, y, 1)
    scatter = np.sum((y - slope * x - start) ** 2) / max(len(x) - 2, 1)
    return float(slope), float(np.sqrt(scatter / np.sum((x - x.mean()) ** 2)))


_DEFAULTS: Mapping[str, float] = {"learning_rate": 0.5, "richness": 1.0, "init_std": 1.0}


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
        How wide they are, how many of every width, and how often they are updated.
    """

    network: ScaledNetwork
    values: Mapping[sp.Symbol, float]
    widths: tuple[int, ...]
    seeds: range
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
        for key, value, low in (("seeds", seeds, 1), ("seed", seed, 0), ("steps", steps, 1)):
            if not isinstance(value, int) or value < low:
                raise ProgramError(f"{key} = {show(value)}: allowed is an integer >= {low}")
        values = {**_parameter_values(network, parameters), **exponents}
        used = {symbol: float(value) for symbol, value in values.items() if symbol in network.program.parameters}
        return cls(network, used, _widths(widths), range(seed, seed + seeds), steps)

    def checked(self, expected: Mapping[str, sp.Expr], tolerance: float) -> CoordinateCheck:
        """Fit slopes and lay them beside exponents.

        Raises
        ------
        ProgramError
            If the networks diverge.
        """
        sizes = [measured_sizes(self.network, self.values, w, self.seeds, self.steps) for w in self.widths]
        rows = []
        for quantity, exponent in expected.items():
            found = tuple(size.get(quantity, 0.0) for size in sizes)
            if exponent.is_finite and min(found) > 0:
                rows.append(CheckedExponent(quantity, exponent, *fitted(self.widths, found), found))
        return CoordinateCheck(tuple(rows), self.widths, tolerance)


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
        if one.trained:
            found[f"update of {one.name}"] = exponent_of(last.updates[one.name].size)
    return found


def _of_scalar(name: str, powers: Powers) -> dict[str, sp.Expr]:
    """Its fluctuation, and its mean where that is not hidden by it."""
    mean, fluctuation = powers.mean.size, powers.fluctuation.size
    found = {f"fluctuation of {name}": exponent_of(fluctuation)}
    if mean is not None and (fluctuation is None or mean > fluctuation):
        found[f"mean of {name}"] = exponent_of(mean)
    return found


def _mean_squares(runs: Sequence[Sizes]) -> Sizes:
    return {name: math.sqrt(np.mean([run[name] ** 2 for run in runs])) for name in runs[0]}


def _widths(widths: Sequence[int]) -> tuple[int, ...]:
    found = tuple(widths) if isinstance(widths, Sequence) else ()
    if len(set(found)) < 2 or not all(isinstance(width, int) and width > 1 for width in found):
        raise ProgramError(f"widths = {show(widths)}: allowed are at least two integers > 1")
    return found


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
