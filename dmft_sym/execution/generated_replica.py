"""One replica run by a generated module: symbols and data by the names of the module, its matrices as a view."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from dmft_sym.program import Label, Program
from dmft_sym.program.labels import size_of
from dmft_sym.support.errors import ExecutionError

from .half_streams import Seed, SiteDraws, stream_beside, stream_of
from .inputs import input_coordinates
from .planning import label_sizes, sizes_by_symbol
from .replica import OnStep, ReplicaResult, ReplicaTask
from .sampled_view import Inspect, MatrixView, SampledView


def generated_replica(
    module: ModuleType, task: ReplicaTask, seed: Seed, inspect: Inspect | None, progress: OnStep
) -> ReplicaResult:
    """Run ``module.run``.

    Raises
    ------
    ExecutionError
        If a symbol has no value, or if data are missing or of the wrong shape.
    """
    found = module.run(
        stream_of(seed),
        steps=task.steps,
        sites=task.sites,
        tol=task.tol,
        antithetic=task.antithetic,
        outputs=task.outputs,
        **_arguments(module, task),
        pauses=task.pauses if inspect is not None else (),
        inspect=None if inspect is None else lambda shown: inspect(_view(shown, task, seed)),
        progress=progress,
    )
    return ReplicaResult(found["steps"], found["scalars"], found["directions"])


def _arguments(module: ModuleType, task: ReplicaTask) -> dict[str, Any]:
    """Values of the symbols and the data, by the names of the module's arguments."""
    sizes = label_sizes(task.program, task.values, task.outputs, task.data)
    known = {**sizes_by_symbol(sizes), **task.values}
    values = {symbol.name: int(value) if symbol.is_integer else value for symbol, value in known.items()}
    arguments: dict[str, Any] = {}
    for name, keyword in module.PARAMETERS.items():
        if name not in values:
            raise ExecutionError(f"no value given for {name}: needed are {', '.join(module.PARAMETERS)}")
        arguments[keyword] = values[name]
    data = {**task.data, **_known(task.program, sizes)}
    for name, keyword in module.DATA.items():
        if name not in data:
            raise ExecutionError(f"no data given for {name}: needed are {', '.join(module.DATA)}")
        given = np.asarray(data[name], dtype=float)
        inputs = name in {field.name for field in task.program.data_fields}
        arguments[keyword] = input_coordinates(given.reshape(-1, given.shape[-1])) if inputs else given
    return arguments


def _known(program: Program, sizes: Mapping[Label, int]) -> dict[str, Any]:
    """Numbers that the program knows itself, one axis for every label."""
    known = (scalar for scalar in program.scalars if scalar.values is not None)
    return {s.name: np.array(s.values).reshape([size_of(label, sizes) for label in s.axes]) for s in known}


def _view(shown: Mapping[str, Any], task: ReplicaTask, seed: Seed) -> SampledView:
    matrices = {key: MatrixView(*parts) for key, parts in shown["matrices"].items()}
    draws = SiteDraws(stream_beside(seed, shown["step"]), task.sites, task.antithetic)
    return SampledView(shown["step"], shown["fields"], shown["scalars"], matrices, shown["inputs"], draws)
