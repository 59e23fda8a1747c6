"""Notebooks of the examples: one for each regime, whose outputs are pictures, LaTeX and tables, and no dump of text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import execute_notebooks
import pytest

from dmft_sym.support.notebook import LINES

nbformat = pytest.importorskip("nbformat")
FOLDER = Path(__file__).resolve().parents[1] / "examples"
NAMES = ("extensive", "proportional", "samples")


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def check(notebook: Any) -> None:
    found = outputs(notebook)
    assert found and not [output for output in found if output.output_type in ("error", "stream")]
    shown = [output.data for output in found]
    pictures = [data["image/png"] for data in shown if "image/png" in data]
    assert pictures and len(pictures) == len(set(pictures))  # each once
    assert any("\\tag{" in data.get("text/html", "") for data in shown)
    assert any("<table>" in data.get("text/html", "") for data in shown)
    assert all(len(data["text/plain"].splitlines()) <= LINES for data in shown)
    assert all("text/html" in data or "image/png" in data for data in shown)


def test_there_is_one_for_each_regime() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_committed_outputs_are_pictures_and_equations(name: str) -> None:
    check(nbformat.read(FOLDER / f"{name}.ipynb", as_version=4))


@pytest.mark.parametrize(
    "name", ["extensive", *(pytest.param(name, marks=pytest.mark.slow) for name in ("proportional", "samples"))]
)
@pytest.mark.filterwarnings("default")  # of the kernel's transport
def test_execution_gives_what_is_committed(name: str) -> None:
    made = execute_notebooks.executed(FOLDER / f"{name}.ipynb")
    check(made)
    known = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    for new, old in zip(outputs(made), outputs(known), strict=True):
        assert set(new.data) == set(old.data)
        if "\\tag{" in old.data.get("text/html", ""):
            assert new.data["text/html"] == old.data["text/html"]
