"""What help and completion show of a solver: the arguments of its own theory."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import dmft_sym as ds
from dmft_sym.solvers.solver import Solver

SESSION = """
from typing import Any

import dmft_sym as ds

net = ds.deep_linear(depth=2, outputs=1)
theory = ds.derive(net, data=ds.Proportional(), training=ds.GradientDescent())
print(theory.steps[-1], theory.equations.closed[0].lhs)
solver = theory.compile()
settings: dict[str, Any] = dict(samples_per_dim=4, width_per_dim=1, richness=8, learning_rate=0.004, steps=60)
run = solver(**settings)
sim = ds.simulate(theory, dim=1000, seeds=4, **settings)
print(ds.compare(run, sim).within(4.0))
ds.plot(run, sim)
"""
TUTORIAL = """
samples = ds.Samples([[1.0, 0.0], [0.0, 1.0]], [1.0, -1.0])
digits = ds.derive(ds.mlp(2), data=samples)
second = digits.compile()(sites=20_000, richness=4, learning_rate=0.05, steps=100, matrices=["W1"], at=[0, 99])
print(second.f, digits.limit("lazy").equations, ds.scaling(ds.mlp(depth=3)), ds.cite(theory))
spectra = ds.spectrum(theory, matrices=["W0", "NTK"], at=[0, 59], **settings)
rates = ds.logspace(-3, -1, 9)
grid = ds.sweep(theory, over={"learning_rate": rates, "depth": [1, 2]}, steps=50, samples_per_dim=4, richness=6)
print(ds.optimum(grid, "test_loss", along="learning_rate"))
flow = ds.derive(net, training=ds.GradientFlow()).solve(time=10, samples_per_dim=4, width_per_dim=1, richness=8)
"""


def names(solver: Solver) -> list[str]:
    return list(inspect.signature(solver).parameters)


def test_a_solver_has_the_arguments_of_its_theory() -> None:
    linear = ds.derive(ds.deep_linear(2)).compile("numpy")
    assert names(linear)[:4] == ["steps", "depth", "init_std", "label_noise"]
    assert {"samples_per_dim", "width_per_dim", "tol", "checkpoint", "progress"} <= set(names(linear))
    assert not {"time", "sites", "replicas", "parameters"} & set(names(linear))
    given = inspect.signature(linear).parameters
    assert given["depth"].default == 2
    assert given["samples_per_dim"].default is inspect.Parameter.empty
    flow = ds.derive(ds.deep_linear(2), training=ds.GradientFlow()).compile("numpy")
    assert names(flow)[0] == "time" and not {"steps", "learning_rate"} & set(names(flow))
    samples = ds.derive(ds.mlp(2), data=ds.Samples([[1.0, 0.0]], [1.0])).compile("numpy")
    assert {"sites", "replicas", "matrices", "richness"} <= set(names(samples))
    assert "samples_per_dim" not in names(samples)
    assert "parameters" in inspect.signature(Solver.__call__).parameters


def test_whatever_the_signature_has_a_call_takes() -> None:
    solver = ds.derive(ds.deep_linear(0)).compile("numpy")
    needed = [name for name, one in inspect.signature(solver).parameters.items() if one.default is one.empty]
    values = {"samples_per_dim": 2.0, "learning_rate": 0.1}
    assert set(needed) == set(values)
    assert solver(steps=1, **values).sizes["step"] == 1


def test_what_a_session_calls_is_annotated() -> None:
    for name in ds.__all__:
        call = getattr(ds, name)
        if inspect.isfunction(call):
            given = inspect.signature(call)
            assert given.return_annotation is not inspect.Signature.empty, name
            assert all(one.annotation is not one.empty for one in given.parameters.values()), name


@pytest.mark.parametrize("session", [pytest.param(SESSION + TUTORIAL, marks=pytest.mark.slow)], ids=["tutorial"])
def test_sessions_are_typed(session: str, tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "session.py").write_text(session)
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", "/dev/null", "--ignore-missing-imports",
         "--follow-imports=silent", "--cache-dir", str(tmp_path / "cache"), "session.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout
