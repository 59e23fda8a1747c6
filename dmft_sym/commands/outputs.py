"""What commands write: files that overwrite no input, a line about each, and the exit status of a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from ..support.exit_status import DIVERGED
from ..support.messages import InputError, show_path

if TYPE_CHECKING:
    import xarray as xr


def check_output(path: str, *inputs: str) -> None:
    """Refuse to write over what is read, and where nothing can be written, before anything is computed."""
    from ..support import files

    for name in inputs:
        if os.path.exists(path) and os.path.exists(name) and os.path.samefile(path, name):
            raise InputError(f"output path {show_path(path)}: the same file as the input; allowed is another name")
    files.check_writable(path)


def hand_out(text: Callable[[], str], path: str | None, *inputs: str) -> None:
    """Print a text, or write it to a file that is none of the inputs."""
    from ..support import files

    if path is None:
        typer.echo(text(), nl=False)
        return
    check_output(path, *inputs)
    files.write_text(path, text())
    typer.echo(f"{path}: written")


def finish(dataset: xr.Dataset, path: str) -> None:
    from ..results import store as results

    results.save(dataset, path)
    typer.echo(f"{path}: {results.summary(dataset)}")
    check_outcome(dataset)


def check_outcome(dataset: xr.Dataset) -> None:
    from ..support.outcomes import Outcome

    outcome = Outcome.of(dataset.attrs)
    if not outcome.completed:
        remedy = dataset.attrs.get("outcome_remedy") or outcome.remedy
        print(f"dmft-sym: {outcome}: {remedy}", file=sys.stderr)
        raise typer.Exit(DIVERGED)
