"""Write the committed solvers of the standard networks: ``python tools/commit_generated.py [FOLDER]``.

They are what `generate` gives for these theories, byte for byte; a test regenerates and compares them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dmft_sym.cache.modules import program_key, stamped
from dmft_sym.networks import GradientDescent, OnlineSGD, deep_linear, mlp
from dmft_sym.regimes import Samples
from dmft_sym.support.files import write_text
from dmft_sym.theory import Theory, derive

BACKENDS = ("numba", "numpy")


def standard_theories() -> Iterator[tuple[str, Theory]]:
    """Theories whose solvers are committed, by module name."""
    yield "deep_linear_batch", derive(deep_linear(), training=GradientDescent())
    yield "deep_linear_online", derive(deep_linear(), training=OnlineSGD())


def theories_on_samples() -> Iterator[tuple[str, Theory]]:
    """The same where samples are given; the program, and so the solver, does not depend on which ones."""
    yield "mlp_tanh", derive(mlp(activation="tanh"), data=Samples(np.ones((1, 1)), np.ones(1)))


def _solvers() -> Iterator[tuple[str, str, str]]:
    """Name, key and source of every module."""
    for name, theory in standard_theories():
        for backend in BACKENDS:
            yield f"{name}_{backend}", program_key(str(theory.program), backend), theory.source(backend)
    for name, theory in theories_on_samples():
        yield f"{name}_sampled", program_key(str(theory.executed), "sampled"), theory.source()
        yield f"{name}_direct", program_key(str(theory.program), "direct"), theory.direct_source()
        compiled = theory.source("numba", method="equations")
        yield f"{name}_direct_numba", program_key(str(theory.program), "direct_numba"), compiled


def committed_files() -> dict[str, str]:
    """Contents of every generated file, by name."""
    files: dict[str, str] = {}
    index: dict[str, str] = {}
    for module, key, source in _solvers():
        files[f"{module}.py"] = stamped(source)
        index[key] = module
    rows = "".join(f'    "{key}": "{module}",\n' for key, module in sorted(index.items(), key=lambda item: item[1]))
    files["index.py"] = (
        '"""Which program each module solves; written by tools/commit_generated.py."""\n\n'
        f"INDEX: dict[str, str] = {{\n{rows}}}\n"
    )
    return files


def main() -> None:
    """Write the files into ``generated/`` (or the folder given)."""
    from dmft_sym import generated

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(generated.__file__).parent
    for name, text in committed_files().items():
        write_text(folder / name, text)
        print(f"{folder / name}: written")


if __name__ == "__main__":
    main()
