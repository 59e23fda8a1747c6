"""sweep: a dataset of many settings."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Overrides, Own, SpecPath, option, saved_as
from .outputs import check_output
from .specs import completed, progress_of, theory_of, words_of_specs


def sweep(
    spec: SpecPath,
    over: Annotated[list[str] | None, option("--over")] = None,
    what: Annotated[str, option("--what", default=True)] = "solve",
    variables: Annotated[str | None, option("--variables")] = None,
    workers: Annotated[str | None, option("--workers")] = None,
    scheduler: Annotated[str | None, option("--scheduler")] = None,
    output: Annotated[str, saved_as("The netCDF file to write. Example: -o grid.nc", default=True)] = "grid.nc",
    network: Own = None,
    overrides: Overrides = None,
) -> None:
    """Solve a spec over a grid of values of its keys, by several processes, and write one file.

    Points are kept in the folder FILE.parts until the file is whole: after an interruption, or a crash, the same
    command goes on from there. Runs that diverge are points with a status.
    """
    from ..spec.own_network import load_network
    from ..spec.reading import Specs
    from ..spec.swept import axes_of_texts, check_task, first_values, grid_of_specs
    from ..support.messages import whole_number
    from ..sweeps.assembly import summary
    from ..sweeps.sweep import run_grid, task_named
    from ..workers import check_crew

    axes, task = axes_of_texts(over or ()), task_named(what)
    check_task(task)
    crew = check_crew(None if workers is None else whole_number("--workers", workers), scheduler, None)
    names = tuple(word.strip() for word in variables.split(",")) if variables else ()
    specs = Specs.of_file(spec, overrides or (), None if network is None else load_network(network))
    check_output(output, spec)
    grid = grid_of_specs(specs, axes, task, completed, theory_of)
    with words_of_specs(specs.spec(first_values(axes))), progress_of("sweep") as progress:
        found = run_grid(grid, names, crew, output, progress)
    typer.echo(f"{output}: {summary(found)}")
