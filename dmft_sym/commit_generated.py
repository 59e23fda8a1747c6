"""Write the committed solvers of the standard networks: ``python -m dmft_sym.commit_generated [FOLDER]``.

They are what `generate` gives for these theories, byte for byte; a test regenerates and compares them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from .module_cache import program_key, stamped
from .networks import GradientDescent, OnlineSGD, deep_linear
from .theory import Theory, derive

BACKENDS = ("numba", "numpy")


def standard_theories() -> Iterator[tuple[str, Theory]]:
    """Theories whose solvers are committed, by module name."""
    yield "deep_linear_batch", derive(deep_linear(), training=GradientDescent())
    yield "deep_linear_online", derive(deep_linear(), training=OnlineSGD())


def committed_files() -> dict[str, str]:
    """Contents of every generated file, by name."""
    files: dict[str, str] = {}
    index: dict[str, str] = {}
    for name, theory in standard_theories():
        for backend in BACKENDS:
            module = f"{name}_{backend}"
            files[f"{module}.py"] = stamped(theory.source(backend))
            index[program_key(str(theory.program), backend)] = module
    rows = "".join(f'    "{key}": "{module}",\n' for key, module in sorted(index.items(), key=lambda item: item[1]))
    files["index.py"] = (
        '"""Which program each module solves; written by dmft_sym.commit_generated."""\n\n'
        f"INDEX: dict[str, str] = {{\n{rows}}}\n"
    )
    return files


def main() -> None:
    """Write the files into ``generated/`` (or the folder given)."""
    from . import generated

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(generated.__file__).parent
    for name, text in committed_files().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(f"{folder / name}: written")


if __name__ == "__main__":
    main()
