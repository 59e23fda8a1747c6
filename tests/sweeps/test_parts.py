"""Finished points outlive whatever stops a sweep; the same sweep repeats nothing, and another one is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import xarray as xr
from filelock import FileLock

import dmft_sym as ds
from dmft_sym.results.parts import decoded, encoded
from dmft_sym.support.messages import InputError
from dmft_sym.sweeps import sweep as sweeps

SETTINGS = {
    "samples_per_dim": 4.0, "width_per_dim": 1.0, "richness": 3.0, "steps": 5, "backend": "numpy", "workers": 1,
}  # fmt: skip
OVER = {"learning_rate": [0.01, 0.02, 0.05, 9.0], "depth": [1, 2]}
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "deep_linear.toml"


@pytest.fixture(scope="module")
def theory():
    return ds.derive(ds.deep_linear(2))


@pytest.fixture
def runs(monkeypatch):
    """Arguments of the runs that are made."""
    made = []
    real = sweeps.solved_point

    def counted(what, variables, item):
        made.append(item[1])
        return real(what, variables, item)

    monkeypatch.setattr(sweeps, "solved_point", counted)
    return made


class Stopped(Exception):  # noqa: N818
    pass


def stop_after(count):
    def progress(done, total):
        if done == count:
            raise Stopped

    return progress


def stopped(theory, path, count=3):
    with pytest.raises(Stopped):
        ds.sweep(theory, OVER, output=path, progress=stop_after(count), **SETTINGS)


def test_the_same_sweep_goes_on(theory, tmp_path, runs):
    path = tmp_path / "grid.nc"
    stopped(theory, path)
    assert not path.exists()
    seen = []
    found = ds.sweep(theory, OVER, output=path, progress=lambda *done: seen.append(done), **SETTINGS)
    assert len(runs) == 8
    assert seen[0] == (3, 8)
    xr.testing.assert_equal(found, ds.sweep(theory, OVER, **SETTINGS))
    assert sorted(os.listdir(tmp_path)) == ["grid.nc"]


def test_a_whole_sweep_is_not_repeated(theory, tmp_path, runs):
    path = tmp_path / "grid.nc"
    first = ds.sweep(theory, OVER, output=path, **SETTINGS)
    again = ds.sweep(theory, OVER, output=path, **SETTINGS)
    assert len(runs) == 8
    xr.testing.assert_identical(first, again)
    ds.sweep(theory, {"learning_rate": [0.03]}, output=path, **SETTINGS)
    assert ds.load(path).sizes["learning_rate"] == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"over": {"learning_rate": [0.01, 0.02], "depth": [1, 2]}}, "its over differ"),
        ({"richness": 4.0}, "its settings differ"),
        ({"variables": ["test_loss"]}, "its variables differ"),
        ({"theory": ds.derive(ds.deep_linear(2), training=ds.GradientDescent(momentum=0.5))}, "of another network"),
    ],
)
def test_the_folder_of_another_sweep_is_refused(theory, tmp_path, change, reason):
    path = tmp_path / "grid.nc"
    stopped(theory, path)
    before = sorted((file.name, file.stat().st_mtime_ns) for file in (tmp_path / "grid.nc.parts").iterdir())
    with pytest.raises(InputError, match=rf"grid.nc.parts': it belongs to another sweep \({reason}"):
        ds.sweep(**{"theory": theory, "over": OVER, "output": path, **SETTINGS, **change})
    assert before == sorted((file.name, file.stat().st_mtime_ns) for file in (tmp_path / "grid.nc.parts").iterdir())


def test_a_folder_without_points_is_taken_over(theory, tmp_path):
    """A sweep that was killed before its first point leaves nothing that another one could spoil."""
    stopped(theory, tmp_path / "grid.nc")
    for point in (tmp_path / "grid.nc.parts").glob("point-*"):
        point.unlink()
    found = ds.sweep(theory, {"learning_rate": [0.03]}, output=tmp_path / "grid.nc", **SETTINGS)
    assert found.sizes["learning_rate"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["grid.nc"]


def test_a_folder_of_something_else_is_refused(theory, tmp_path):
    folder = tmp_path / "grid.nc.parts"
    folder.mkdir()
    (folder / "thesis.tex").write_text("all of it")
    with pytest.raises(InputError, match="it has other files"):
        ds.sweep(theory, OVER, output=tmp_path / "grid.nc", **SETTINGS)
    assert (folder / "thesis.tex").read_text() == "all of it"


def test_a_sweep_that_is_running_is_left_alone(theory, tmp_path):
    stopped(theory, tmp_path / "grid.nc")
    with FileLock(tmp_path / "grid.nc.parts" / "lock"), pytest.raises(InputError, match="running writes there"):
        ds.sweep(theory, OVER, output=tmp_path / "grid.nc", **SETTINGS)


@pytest.mark.parametrize("damage", ["empty", "half", "pickle", "another"])
def test_damaged_points_are_computed_again(theory, tmp_path, runs, damage):
    path = tmp_path / "grid.nc"
    stopped(theory, path)
    point = tmp_path / "grid.nc.parts" / "point-000001.npz"
    content = point.read_bytes()
    if damage == "pickle":
        np.savez(point, header=np.array([print], dtype=object), allow_pickle=True)
    elif damage == "another":
        point.write_bytes((point.parent / "point-000002.npz").read_bytes())
    else:
        point.write_bytes(content[: len(content) // 2] if damage == "half" else b"")
    found = ds.sweep(theory, OVER, output=path, **SETTINGS)
    assert len(runs) == 9
    xr.testing.assert_equal(found, ds.sweep(theory, OVER, **SETTINGS))


def test_nothing_is_left_of_a_sweep_that_never_began(theory, tmp_path):
    with pytest.raises(InputError, match="did you mean test_loss"):
        ds.sweep(theory, OVER, output=tmp_path / "grid.nc", variables=["test_los"], **SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_parts_are_read_without_unpickling(theory):
    run = theory.solve(backend="numpy", learning_rate=0.1, samples_per_dim=4, width_per_dim=1, richness=3, steps=3)
    content = encoded(run, "a", 7)
    xr.testing.assert_identical(decoded(content, "a", 7), run)
    for other in (("b", 7), ("a", 8)):
        with pytest.raises(ValueError, match="another point"):
            decoded(content, *other)


def command(path, *more):
    values = "training.learning_rate=logspace(-3,-2,12)"
    options = ["--set", "solver.backend=numpy", "--set", "training.steps=50"]
    return [sys.executable, "-m", "dmft_sym", "sweep", str(EXAMPLE), "--over", values, *options, "-o", str(path), *more]


def finished(path):
    return {file.name for file in Path(f"{path}.parts").glob("point-*.npz")}


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_killed_sweep_goes_on(tmp_path, workers):
    path = tmp_path / "grid.nc"
    with subprocess.Popen(command(path, "--workers", workers), stderr=subprocess.PIPE) as process:
        limit = time.monotonic() + 120
        while len(finished(path)) < 3 and time.monotonic() < limit:
            time.sleep(0.005)
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs(children, timeout=20)
    assert not any(child.is_running() and "LokyProcess" in " ".join(child.cmdline()) for child in children)
    before = finished(path)
    assert 3 <= len(before) < 12
    times = {name: (tmp_path / "grid.nc.parts" / name).stat().st_mtime_ns for name in before}
    manifest = json.loads((tmp_path / "grid.nc.parts" / "sweep.json").read_text())
    assert manifest["over"]["learning_rate"][0] == "0.001"
    watched = subprocess.Popen(command(path, "--workers", "1"), stdout=subprocess.PIPE, text=True)
    while watched.poll() is None:
        for name in before:
            file = tmp_path / "grid.nc.parts" / name
            assert not file.exists() or file.stat().st_mtime_ns == times[name]
        time.sleep(0.01)
    assert watched.communicate()[0].startswith(f"{path}: 12 points (learning_rate 12)")
    assert not (tmp_path / "grid.nc.parts").exists()
    assert ds.load(path).test_loss.notnull().all()
