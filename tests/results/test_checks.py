"""Damaged and foreign results given to ``compare`` and ``plot``: one line each that says what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import made_up, made_up_spectra

from dmft_sym.cli import main
from dmft_sym.figures import plots
from dmft_sym.results.store import save

CHANGES = {
    "axis without labels": (lambda d: d.drop_vars("step"), "the axis step has no labels"),
    "label twice": (lambda d: d.assign_coords(step=[0, 1, 1, 3, 4, 5]), "the label 1 stands twice on the axis step"),
    "layer twice": (lambda d: d.assign_coords(layer=[0, 1, 0]), "the label 0 stands twice on the axis layer"),
    "texts as labels": (lambda d: d.assign_coords(layer=["a", "b", "c"]), "labels of the axis layer are no numbers"),
    "labels not finite": (lambda d: d.assign_coords(step=np.full(6, np.nan)), "labels of the axis step are not finite"),
    "texts as values": (
        lambda d: d.assign(train_loss=(d.train_loss.dims, np.full(d.train_loss.shape, "x"))),
        "the variable train_loss has no numbers",
    ),
    "another axis": (lambda d: d.rename_dims(step2="other"), "the axis other has no labels"),
    "no variables": (lambda d: d[[]], "it has no variables"),
    "an outcome of numbers": (lambda d: d.assign_attrs(outcome=[1.0, 2.0]), "the attribute outcome is"),
    "losses of nothing": (lambda d: d.drop_vars(["train_loss", "test_loss"]), ""),
    "no steps": (lambda d: d.isel(step=slice(0)), ""),
    "one step": (lambda d: d.isel(step=0), ""),
    "a loss without steps": (lambda d: d.assign(train_loss=1.0), ""),
}
COMMANDS = [
    ["plot", "bad.nc", "-o", "x.png"],
    ["plot", "bad.nc", "--kind", "order-parameters", "-o", "x.png"],
    ["plot", "good.nc", "--sim", "bad.nc", "-o", "x.png"],
    ["compare", "bad.nc", "sim.nc"],
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: None)  # drawing it takes most of the time
    save(made_up(), "good.nc")
    save(made_up(seeds=3), "sim.nc")
    return tmp_path


def check(capsys, command, words):
    """Either it works with what there is, or it says in one line why not."""
    status = main(command)
    error = capsys.readouterr().err
    assert status in (0, 2)
    if status == 2:
        assert len(error.splitlines()) == 1
        assert words in error
    else:
        assert not words
    return status


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("change", CHANGES)
def test_changed_results(change, command, folder, capsys):
    made, words = CHANGES[change]
    save(made(made_up(seeds=3 if "--sim" in command or command[1] == "good.nc" else 0)), "bad.nc")
    check(capsys, command, words)


@pytest.mark.parametrize("kind", ["spectrum", "outliers"])
@pytest.mark.parametrize("name", ["matrix", "spectrum_step", "outlier", "bulk_edge", "density", "value", "sharpness"])
def test_spectra_without_a_part(name, kind, folder, capsys):
    save(made_up_spectra().drop_vars(name), "bad.nc")
    check(capsys, ["plot", "bad.nc", "--kind", kind, "-o", "x.png"], "")


@pytest.mark.parametrize("length", [0, 7, 100, 3000, -200, -1])
def test_truncated_files(length, folder, capsys):
    whole = (folder / "good.nc").read_bytes()
    (folder / "bad.nc").write_bytes(whole[:length])
    assert main(["plot", "bad.nc", "-o", "x.png"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
