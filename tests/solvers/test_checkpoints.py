"""A process is killed in the middle of its work; the same call goes on from its checkpoint, with the same numbers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

import dmft_sym as ds
from dmft_sym.execution import snapshots
from dmft_sym.support.messages import InputError

RUN = {"samples_per_dim": 2.0, "width_per_dim": 1.0, "richness": 2.0, "learning_rate": 0.01, "steps": 80}
SESSION = """
import os, signal
import dmft_sym as ds
from dmft_sym.execution import snapshots

snapshots.PERIOD = 0

def stop(done, total):
    if done == {at}:
        os.kill(os.getpid(), signal.SIGKILL)

theory = ds.derive(ds.deep_linear(2), training=ds.{rule})
{work}(progress=stop, checkpoint="there", **{settings})
"""
RULES = {"GradientDescent(momentum=0.9)": ds.GradientDescent(momentum=0.9), "OnlineSGD()": ds.OnlineSGD()}
WORK = {
    "coordinates": (lambda theory: theory.solve, {"method": "conditioning"}, 45, "theory.solve"),
    "simulation": (lambda theory: lambda **a: ds.simulate(theory, **a), {"dim": 40, "seeds": 2}, 125,
                   "lambda **a: ds.simulate(theory, **a)"),
}  # fmt: skip


def numbers(dataset: xr.Dataset) -> xr.Dataset:
    found = dataset.copy()
    found.attrs = {name: value for name, value in dataset.attrs.items() if name not in ("wall_time", "backend")}
    return found


@pytest.mark.parametrize(
    ("work", "rule"),
    [
        ("coordinates", "GradientDescent(momentum=0.9)"),
        ("simulation", "OnlineSGD()"),
        pytest.param("coordinates", "OnlineSGD()", marks=pytest.mark.slow),
        pytest.param("simulation", "GradientDescent(momentum=0.9)", marks=pytest.mark.slow),
    ],
)
def test_killed_and_resumed_is_uninterrupted(work: str, rule: str, tmp_path: Path, monkeypatch) -> None:
    call, own, at, name = WORK[work]
    settings = {**RUN, **own}
    code = SESSION.format(at=at, rule=rule, work=f"({name})", settings=settings)
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, env=os.environ, check=False)
    assert ended.returncode == -signal.SIGKILL
    monkeypatch.chdir(tmp_path)
    assert [path.name for path in Path("there").iterdir() if path.name.startswith("state-")]
    theory, begun = ds.derive(ds.deep_linear(2), training=RULES[rule]), []
    resumed = call(theory)(checkpoint="there", progress=lambda done, total: begun.append(done), **settings)
    assert begun[0] >= min(at, 80) - 1  # a network that is finished, or the step of the snapshot
    assert not Path("there").exists()
    xr.testing.assert_identical(numbers(resumed), numbers(call(theory)(**settings)))


def test_a_checkpoint_of_other_settings_is_refused_in_a_line(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(snapshots, "PERIOD", 0.0)
    theory, path = ds.derive(ds.deep_linear(1)), tmp_path / "there"

    def stop(done: int, total: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        theory.solve(method="conditioning", checkpoint=path, progress=stop, **RUN)
    with pytest.raises(InputError, match=r"it belongs to another run \(its settings differ\); allowed is") as refused:
        theory.solve(method="conditioning", checkpoint=path, **{**RUN, "richness": 3.0})
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="of another network, data or code"):
        ds.derive(ds.deep_linear(1, parametrization="NTK")).solve(method="conditioning", checkpoint=path, **RUN)
    theory.solve(method="conditioning", checkpoint=path, **RUN)
    assert not path.exists()


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    theory, file = ds.derive(ds.deep_linear(1)), tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="a file; allowed is the name of a folder"):
        theory.solve(method="conditioning", checkpoint=file, **RUN)
    with pytest.raises(InputError, match="checkpoint = 3: allowed is the name of a folder"):
        theory.solve(method="conditioning", checkpoint=3, **RUN)
    with pytest.raises(InputError, match="checkpoint: allowed with method='conditioning' of a linear network"):
        theory.compile("numpy")(checkpoint=tmp_path / "new", **RUN)
    with pytest.raises(InputError, match="checkpoint: allowed without workers"):
        ds.simulate(theory, dim=10, checkpoint=tmp_path / "new", workers=1, **RUN)
    assert not (tmp_path / "new").exists()


def test_damage_costs_the_steps_since_the_beginning(tmp_path: Path) -> None:
    kept = snapshots.Snapshots(tmp_path / "state.npz", "run")
    assert kept.resume({}) is None
    (tmp_path / "state.npz").write_bytes(b"damaged")
    assert kept.resume({}) is None
