"""derive, generate, schema: texts."""

from __future__ import annotations

import shutil
from typing import Annotated

import typer

from .options import Backend, Overrides, Own, SpecPath, option, saved_as
from .outputs import hand_out
from .specs import read_from, theory_of, with_backend


def derive(
    spec: SpecPath,
    latex: Annotated[str | None, option("--latex")] = None,
    network: Own = None,
    overrides: Overrides = None,
) -> None:
    """Derive the mean-field equations: action, saddle point, single-site equations, closed equations.

    Depth and outputs stay symbols, so the equations hold for every value of them.
    """
    read = read_from(spec, overrides, network)
    if latex is not None:
        hand_out(lambda: str(theory_of(read).to_latex()), latex, spec)
        return
    width = min(shutil.get_terminal_size((100, 0)).columns, 120)
    for stage in theory_of(read).steps:
        typer.echo(f"{stage.plain(width)}\n")


def generate(
    spec: SpecPath,
    output: Annotated[
        str | None,
        saved_as("The module to write; without it the source is printed. Example: -o solver.py"),
    ] = None,
    backend: Backend = None,
    network: Own = None,
    overrides: Overrides = None,
) -> None:
    """Write the solver of the derived equations: a Python module that runs without dmft-sym.

    Where samples are given it is the one on sampled sites, or with solver.method = "equations" that of the two-time
    equations.
    """
    read = read_from(spec, with_backend(overrides, backend), network)
    hand_out(lambda: str(theory_of(read).source(read.solver.backend, read.solver.method)), output, spec)


def schema(
    output: Annotated[
        str | None,
        saved_as("The file to write; without it the schema is printed. Example: -o dmft-sym.schema.json"),
    ] = None,
) -> None:
    """Print the JSON schema of specs, with which editors complete and check them."""
    import json

    from ..spec.schema import schema as schema_of_specs

    hand_out(lambda: json.dumps(schema_of_specs(), indent=2, allow_nan=False) + "\n", output)
