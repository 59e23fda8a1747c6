"""Execute the notebooks of the examples and write their outputs: ``python tools/execute_notebooks.py [NAME ...]``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "examples"


def executed(path: Path) -> nbformat.NotebookNode:
    """A notebook with the outputs that it has now."""
    os.environ["TQDM_DISABLE"] = "1"  # bars would stay in what is committed
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(FOLDER)}}, record_timing=False).execute()
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return notebook


def main() -> None:
    """Execute those that are named, or all."""
    for path in [FOLDER / name for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb")):
        nbformat.write(executed(path), path)
        print(f"{path.name}: written")


if __name__ == "__main__":
    main()
