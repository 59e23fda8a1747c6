"""compare, plot: tables and figures of result files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..support.messages import InputError, show
from .options import argument, option, saved_as
from .outputs import check_output


def compare(
    out: Annotated[str, argument("OUT", "What dmft-sym run wrote.")],
    sim: Annotated[str, argument("SIM", "What dmft-sym simulate wrote.")],
    figure: Annotated[str | None, option("--figure")] = None,
) -> None:
    """Compare theory and simulation: z-scores of the losses and of every order parameter."""
    from ..comparison.runs import compare as compare_results
    from ..figures import plots
    from ..results.checks import load_labelled, understood

    if figure is not None:
        check_output(figure, out, sim)
        plots.check_figure_path(figure)
    theory, simulation = load_labelled(out), load_labelled(sim)
    with understood(out, sim):
        compared = compare_results(theory, simulation)
        table = str(compared)
        drawn = None if figure is None else compared.figure()
    typer.echo(table)
    if figure is not None and drawn is not None:
        plots.save_figure(drawn, figure)
        typer.echo(f"{figure}: written")


def plot(
    out: Annotated[str, argument("OUT", "What dmft-sym run or simulate wrote.")],
    sim: Annotated[str | None, option("--sim")] = None,
    output: Annotated[
        str | None,
        saved_as("The figure to write: .png, .pdf or .svg; by default OUT with .png. Example: -o losses.pdf"),
    ] = None,
    kind: Annotated[str, option("--kind", default=True)] = "losses",
    scale: Annotated[str, option("--scale", default=True)] = "log",
) -> None:
    """Draw losses, order parameters, observables, outputs, kernels or spectra."""
    from ..figures import drawing, plots
    from ..results.checks import load_labelled, understood

    if kind not in drawing.KINDS:
        raise InputError(f"--kind {show(kind)}: allowed are {', '.join(drawing.KINDS)}")
    path = output if output is not None else str(Path(out).with_suffix(".png"))
    check_output(path, out, *([sim] if sim else []))
    plots.check_figure_path(path)
    dataset, simulation = load_labelled(out), None if sim is None else load_labelled(sim)
    if simulation is not None and ("seed" in dataset.dims or "seed" not in simulation.dims):
        raise InputError("--sim: allowed is a simulation, drawn with the lines of a theory")
    with understood(out, sim):
        figure = drawing.plot(dataset, simulation, kind, scale)
    plots.save_figure(figure, path)
    typer.echo(f"{path}: written")
