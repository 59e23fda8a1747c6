"""Results: every attribute comes back, and a file is whole or untouched."""

from __future__ import annotations

import errno
import math
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from made_up import made_up

from dmft_sym.figures import plots
from dmft_sym.results import store as results
from dmft_sym.results.store import ResultError, check_writable, load, save
from dmft_sym.support import files
from dmft_sym.support.messages import InputError
from dmft_sym.support.outcomes import COMPLETED, Failure, Outcome, diverged, of_losses


def test_round_trip(tmp_path: Path) -> None:
    attrs = {
        "flag": True,
        "nothing": None,
        "ratio": math.inf,
        "count": np.int64(3),
        "small": np.float64(0.1),
        "versions": {"numpy": "2"},
        "list": [1, 2.5, "x"],
        "array": np.arange(3),
        "huge": 10**40,
        "empty": "",
        "text": "σ_eps\nzweite Zeile",
        "null": "a\0b",
    }
    dataset = made_up(**attrs)
    save(dataset, tmp_path / "out.nc")
    back = load(tmp_path / "out.nc")
    expected = {**dataset.attrs, "array": [0, 1, 2]}
    assert back.attrs == expected
    assert {key: type(value) for key, value in back.attrs.items()} == {
        **{key: type(value) for key, value in expected.items()},
        "count": int,
        "small": float,
    }
    xr.testing.assert_equal(back, dataset)
    assert back["C_h"].dims == dataset["C_h"].dims
    assert back["C_h"].attrs == {"long_name": "correlation of h", "units": "1"}
    assert back["step"].attrs["units"] == "gradient steps"
    assert dataset.attrs["flag"] is True  # what was saved is not changed
    assert "format" not in back.attrs


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_diverged_runs_keep_their_rows(tmp_path: Path, kept: int) -> None:
    dataset = made_up(steps=6).isel(step=slice(kept), step2=slice(kept)).assign_attrs(diverged(kept).attrs())
    save(dataset, tmp_path / "out.nc")
    back = load(tmp_path / "out.nc")
    assert dict(back.sizes) == dict(dataset.sizes)
    assert Outcome.of(back.attrs) == diverged(kept)
    assert results.summary(back).startswith(f"diverged at step {kept}")


def test_nan_and_float32(tmp_path: Path) -> None:
    dataset = made_up().astype("float32")
    dataset["train_loss"][3:] = np.nan
    save(dataset, tmp_path / "out.nc")
    back = load(tmp_path / "out.nc")
    xr.testing.assert_equal(back, dataset)
    assert back["train_loss"].dtype == np.float32
    assert "6 steps, train loss 1.357" in results.summary(back)


def half_then(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the system take a hundred bytes of what is written, and then fail."""
    write, taken = os.write, []

    def fail(handle: int, content: memoryview) -> int:
        if taken:
            raise error
        taken.append(write(handle, content[:100]))
        return taken[0]

    monkeypatch.setattr(os, "write", fail)


def test_crash_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.nc"
    save(made_up(), path)
    old = path.read_bytes()
    half_then(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        save(made_up(steps=9), path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["out.nc"]


def draw(path: Path) -> None:
    plots.save_figure(plots.losses(made_up()), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("out.nc", lambda path: save(made_up(), path)),
        ("theory.tex", lambda path: files.write_text(path, "x" * 5000)),
        ("losses.png", draw),
        ("losses.pdf", draw),
        ("losses.svg", draw),
    ],
)
def test_full_disk_is_one_line(
    name: str, write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_text("old")
    half_then(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(InputError, match=r"No space left on device \(\d.* needed, .* free\); nothing") as caught:
        write(path)
    assert len(str(caught.value).splitlines()) == 1
    assert isinstance(caught.value, ResultError) == (name == "out.nc")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == [name]


SAVE = (
    "import sys; from made_up import made_up; from dmft_sym.results import save; save(made_up(steps=80), sys.argv[1])"
)


def saved_elsewhere(path: Path, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """A result of several hundred kB that a process of its own saves; with ``limit``, the largest file it may write."""
    code = SAVE if limit is None else f"import resource as r; r.setrlimit(r.RLIMIT_FSIZE, ({limit}, {limit})); {SAVE}"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "shared")}
    return subprocess.run([sys.executable, "-c", code, str(path)], env=env, capture_output=True, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_limit_of_the_system_is_one_line(tmp_path: Path) -> None:
    """The system itself refuses in the middle of the file: no crash of the process, nothing left behind."""
    path = tmp_path / "out.nc"
    save(made_up(), path)
    old = path.read_bytes()
    process = saved_elsewhere(path, limit=len(old))
    assert process.returncode == 1
    assert re.search(r"ResultError: output path .*: File too large \(.* needed, .* free\)", process.stderr)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["out.nc"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB; only root may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("no mount")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], capture_output=True)
    if made.returncode != 0:
        pytest.skip("mounting is not allowed")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_small_disk_is_one_line(small_disk: Path) -> None:
    path = small_disk / "out.nc"
    save(made_up(steps=3), path)
    old = path.read_bytes()
    process = saved_elsewhere(path)
    assert process.returncode == 1
    assert re.search(
        r"ResultError: output path .*: No space left on device \(.* needed, \d+ bytes free\)", process.stderr
    )
    assert path.read_bytes() == old
    assert os.listdir(small_disk) == ["out.nc"]
    assert load(path).sizes["step"] == 3


def test_permissions_and_links_survive(tmp_path: Path) -> None:
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    files.write_text(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    mask = os.umask(0o022)
    try:
        files.write_text(tmp_path / "fresh.txt", "x")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "fresh.txt").stat().st_mode) == 0o644


def test_unwritable_paths(tmp_path: Path) -> None:
    check_writable(tmp_path / "fine.nc")
    assert os.listdir(tmp_path) == []
    file = tmp_path / "file"
    file.touch()
    for path, words in [
        ("", "name of a file"),
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "out.nc", "does not exist"),
        (file / "out.nc", "does not exist|Not a directory"),
        ("/dev/null", "not a regular file"),
        (tmp_path / ("x" * 300), "too long"),
        ("null\0byte.nc", "null byte"),
    ]:
        with pytest.raises(ResultError, match=words) as caught:
            check_writable(path)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is writable for root")
def test_write_protected(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ResultError, match="Permission denied"):
        check_writable(tmp_path / "out.nc")


def test_unreadable_files(tmp_path: Path) -> None:
    good = tmp_path / "good.nc"
    save(made_up(), good)
    content = good.read_bytes()
    foreign = tmp_path / "foreign.nc"
    with h5py.File(foreign, "w") as file:
        file["x"] = 1
    text = tmp_path / "text.nc"
    text.write_text("[network]")
    cases = [(foreign, "not a result of dmft-sym"), (text, "not a netCDF-4 file"), (tmp_path, "cannot be read")]
    cases += [(tmp_path / "none.nc", "cannot be read")]
    for size in (0, 5, 8, 100, len(content) // 2, len(content) - 1):
        half = tmp_path / f"half{size}.nc"
        half.write_bytes(content[:size])
        cases.append((half, "empty|not a netCDF-4 file|damaged or half-written"))
    for path, words in cases:
        with pytest.raises(ResultError, match=words) as caught:
            load(path)
        assert len(str(caught.value).splitlines()) == 1


def test_outcomes() -> None:
    assert str(COMPLETED) == "completed"
    assert COMPLETED.completed
    assert COMPLETED.remedy == ""
    assert str(diverged(17)) == "diverged at step 17"
    assert "learning_rate" in diverged(17).remedy
    for outcome in (COMPLETED, diverged(0), diverged(12345)):
        assert Outcome.of(outcome.attrs()) == outcome
    assert Outcome.of({}) == COMPLETED
    assert {str(Outcome(failure)) for failure in (None, Failure.DIVERGED)} == {"completed", "diverged"}
    with pytest.raises(ValueError, match="allowed are completed, diverged"):
        Outcome.of({"outcome": "exploded"})


def test_outcomes_of_losses() -> None:
    loss = np.ones((5, 2))
    assert of_losses(loss) == COMPLETED
    assert of_losses(np.ones((0, 2))) == COMPLETED
    late = loss.copy()
    late[4, 1] = np.nan
    early = loss.copy()
    early[3, 0] = np.inf
    assert of_losses(late) == diverged(4)
    assert of_losses(late, early) == diverged(3)
    assert of_losses(np.arange(5.0), bound=2.5) == diverged(3)


def test_write_text_refuses_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="output path"):
        files.write_text(tmp_path / "none" / "x.tex", "text")
