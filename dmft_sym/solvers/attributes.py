"""What every result says about itself: parameters, network, versions."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from dmft_sym.execution.evaluate import Evaluator
from dmft_sym.results.names import describe
from dmft_sym.results.store import SEM

from .arguments import RunArguments

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem


def common_attributes(theory: Problem, arguments: RunArguments) -> dict[str, Any]:
    """Attributes that theory and simulation share: parameters, network, versions."""
    from importlib.metadata import version

    rule = theory.training
    return {
        **arguments.given,
        "network": theory.network.name,
        "program_hash": hashlib.sha256(_what_runs(theory).encode()).hexdigest()[:16],
        "parametrization": str(theory.network.parametrization),
        "training": type(rule).__name__,
        "online": int(rule.fresh),  # netCDF has no truth values
        "momentum": arguments.given.get("momentum", rule.momentum),
        "weight_decay": arguments.given.get("weight_decay", rule.weight_decay),
        "centered": int(rule.centered),
        **rule.options,
        "stable_below": float(theory.program.optimizer.numbers(Evaluator(arguments.values)).stable_below),
        **{f"version_{name.replace('-', '_')}": version(name) for name in ("dmft-sym", "numpy", "numba")},
    }


def with_rate(dataset: xr.Dataset, arguments: RunArguments) -> xr.Dataset:
    """The sharpness times the learning rate as well; below the attribute ``stable_below`` steps are stable."""
    if "sharpness" not in dataset or "learning_rate" not in arguments.given:
        return dataset
    rate = float(arguments.given["learning_rate"])
    ends = [end for end in ("", SEM) if f"sharpness{end}" in dataset]
    return describe(dataset.assign({f"rate_sharpness{end}": rate * dataset[f"sharpness{end}"] for end in ends}))


def _what_runs(theory: Problem) -> str:
    """The program, and the numbers of classes of sites, which it has by name alone."""
    numbers = [f"{name} = {theory.data.given[name].tolist()}" for name in theory.program.class_values]
    return "\n".join([str(theory.program), *numbers])
