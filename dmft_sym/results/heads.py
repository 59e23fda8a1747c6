"""Results of outputs that have statements of their own: losses of all of them on one axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .names import describe

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.program import Program

SQUARED = {"train_loss": "training loss (mean squared error)", "test_loss": "test loss (mean squared error)"}


def with_outputs(dataset: xr.Dataset, program: Program) -> xr.Dataset:
    """A dataset with ``train_loss`` (step, output) for ``train_loss_0``, ``train_loss_1``, ...

    Other variables belong to one output by their names, and lose the axis. Where outputs share their statements the
    dataset stays as it is.
    """
    import xarray as xr

    families: dict[str, list[str]] = {}
    for observable in program.observables:
        if observable.output is not None:
            families.setdefault(observable.name.removesuffix(f"_{observable.output}"), []).append(observable.name)
    if not families:
        return dataset
    apart = {name for names in families.values() for name in names}
    axes = [axis for axis in ("output", "output2") if axis in dataset.dims]
    kept = dataset.drop_vars(apart).squeeze(axes, drop=True)
    losses = {name: xr.concat([dataset[part] for part in parts], "output") for name, parts in families.items()}
    count = len(next(iter(families.values())))
    both = kept.assign({name: loss.transpose(..., "step", "output") for name, loss in losses.items()})
    return describe(both.assign_coords(output=np.arange(count)), **SQUARED)
