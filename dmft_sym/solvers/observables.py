"""Observables of the user's own along a run: which there are, what was seen of them, and as variables of results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.execution.interface import Arithmetic
from dmft_sym.execution.observing import Observing
from dmft_sym.results.store import BIAS, SEM
from dmft_sym.support.array_types import Array
from dmft_sym.support.errors import ArgumentError, ExecutionError

from .arguments import RunArguments

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem


def observing_of(problem: Problem, arguments: RunArguments, *, gaussian: bool = False) -> Observing | None:
    """What a run observes; ``None`` if that is nothing.

    Parameters
    ----------
    gaussian
        Whether averages are those of Gaussian fields, which are derived of polynomials.

    Raises
    ------
    ArgumentError
        If an observable is none of these.
    """
    if not problem.observations:
        return None
    found = Observing(
        problem.program, problem.observations, arguments.values, arguments.outputs, arguments.data or None
    )
    try:
        if gaussian:
            found.check_polynomials()
    except ExecutionError as error:
        others = 'method="conditioning", exact=False and with ' if problem.program.averaged else ""
        raise ArgumentError(
            f"observables {', '.join(problem.observations.names)}: {error}, and averages of Gaussian fields, as this "
            f"network has, are derived of polynomials; allowed are these, and any function with {others}ds.simulate"
        ) from None
    return found


@dataclass
class Observed:
    """What one network showed, step by step."""

    observing: Observing | None
    tracks: dict[str, list[Array]] = field(default_factory=dict)

    def see(self, found: Mapping[str, Array]) -> None:
        """Keep the values of one more step."""
        for name, values in found.items():
            self.tracks.setdefault(name, []).append(values)

    def see_network(self, step: int, network: Arithmetic) -> None:
        """Look at a finite network, or at one in growing coordinates."""
        if self.observing is not None:
            self.see(self.observing.of_network(network))

    def variables(self, done: int) -> dict[str, tuple[tuple[str, ...], Array]]:
        """Axes and values of every observable on the steps that are done."""
        if self.observing is None:
            return {}
        found = {}
        for name, scalar in self.observing.observations.targets:
            layer: tuple[str, ...] = () if scalar.layers is None else (f"{name}_layer",)
            axes = ("step", *layer, *(label.name for label in scalar.axes))
            shape = [self.observing.plan.sizes[label] for label in scalar.axes]
            empty = np.zeros((0, *([len(self.observing.layers(name))] if layer else []), *shape))
            rows = self.tracks.get(name, [])[:done]
            found[name] = axes, np.stack(rows) if rows else empty
        return found

    def coordinates(self) -> dict[str, Any]:
        """Of the axes of layers, and of labels."""
        if self.observing is None:
            return {}
        plan, found = self.observing.plan, dict[str, Any]()
        for name, scalar in self.observing.observations.targets:
            found |= {label.name: np.arange(plan.sizes[label]) for label in scalar.axes}
            if scalar.layers is not None:
                found[f"{name}_layer"] = np.array(self.observing.layers(name))
        return found

    def added_to(self, dataset: xr.Dataset, done: int) -> xr.Dataset:
        """The dataset with a variable for every observable."""
        coords = {name: values for name, values in self.coordinates().items() if name not in dataset.coords}
        return dataset.assign_coords(coords).assign(self.variables(done))


def described(dataset: xr.Dataset, problem: Problem) -> xr.Dataset:
    """The dataset with words for its observables."""
    for name in problem.observations.names:
        for variable, words in ((name, ""), (f"{name}{SEM}", "standard error of "), (f"{name}{BIAS}", "bias of ")):
            if variable in dataset:
                text = problem.observations.text(name)
                dataset[variable].attrs = {"long_name": f"{words}{name}", "units": "1", "observable": text}
        layers = f"{name}_layer"
        if layers in dataset.coords:
            dataset[layers].attrs = {"long_name": f"layer of {name}", "units": "1"}
    return dataset
