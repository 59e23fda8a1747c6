"""Axes of training: steps, or the times of a flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import xarray as xr

    Labelled = TypeVar("Labelled", xr.Dataset, xr.DataArray)

IN_TIME = {
    "step": "time",
    "step2": "time2",
    "kernel_step": "kernel_time",
    "spectrum_step": "spectrum_time",
}
"""The axes of a flow by those of steps."""


def in_steps(dataset: Labelled) -> Labelled:
    """The results of a flow under the names of steps, with labels that are times: one code draws both."""
    return dataset.rename({time: step for step, time in IN_TIME.items() if time in dataset.dims})


def as_in(dataset: Labelled, result: xr.Dataset) -> Labelled:
    """What came from `in_steps` of a result, under the names that axes have in the result."""
    return dataset.rename({s: t for s, t in IN_TIME.items() if s in dataset.dims and t in result.dims})


def word(result: xr.Dataset) -> str:
    """What the axes of training are called: ``"step"``, or ``"time"`` of a flow."""
    return "time" if any(time in result.dims for time in IN_TIME.values()) else "step"
