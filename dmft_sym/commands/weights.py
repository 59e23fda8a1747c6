"""measure: weight matrices of real networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from ..support.messages import InputError, show
from .options import argument, option, saved_as
from .outputs import check_output
from .specs import session


def measure(
    weights: Annotated[str, argument("WEIGHTS", "Matrices: .npz, .npy or .safetensors; rows are outputs of a layer.")],
    theory: Annotated[str | None, option("--theory")] = None,
    step: Annotated[int | None, option("--step")] = None,
    matrix: Annotated[list[str] | None, option("--matrix")] = None,
    std: Annotated[list[str] | None, option("--std")] = None,
    output: Annotated[str | None, saved_as("A netCDF file to write as well. Example: -o measured.nc")] = None,
    figure: Annotated[str | None, option("--figure", of="histograms")] = None,
) -> None:
    """Singular values of trained weight matrices: edge of the bulk, outliers, how far the bulk has moved.

    The bulk of the initialization is that of a theory, or of a given standard deviation, or fitted to the middle of the
    singular values. Pickles are refused.
    """
    from ..data.weights import chosen, read_weights
    from ..figures import plots, weight_plots
    from ..results import store as results
    from ..results.checks import load_labelled, understood
    from ..results.weight_table import weight_table

    for path in (output, figure):
        if path is not None:
            check_output(path, weights, *([theory] if theory else []))
    if figure is not None:
        plots.check_figure_path(figure)
    names = dict(_pair("--matrix", word, word) for word in matrix or ())
    predicted = None if theory is None else load_labelled(theory)
    arrays = chosen(read_weights(weights), names)
    found = session().measure(arrays, predicted, step, initial_std=_deviations(std))
    with understood(theory):
        table = weight_table(found, predicted)
        drawn = None if figure is None else weight_plots.weights(found, predicted)
    typer.echo(table)
    if output is not None:
        results.save(found, output)
        typer.echo(f"{output}: written")
    if figure is not None and drawn is not None:
        plots.save_figure(drawn, figure)
        typer.echo(f"{figure}: written")


def _pair(option: str, word: str, usual: str | None) -> tuple[str, str]:
    """``NAME=VALUE``, or ``NAME`` alone where there is a usual value."""
    name, sign, value = word.partition("=")
    if not name or (sign and not value) or (not sign and usual is None):
        raise InputError(f"{option} {show(word)}: allowed is NAME=VALUE")
    return name, value if sign else str(usual)


def _deviations(words: Sequence[str] | None) -> float | dict[str, float] | None:
    """One number, or one by name."""
    if not words:
        return None
    try:
        if len(words) == 1 and "=" not in words[0]:
            return float(words[0])
        return {name: float(value) for name, value in (_pair("--std", word, None) for word in words)}
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"--std {show(' '.join(words))}: allowed is a number, or NAME=NUMBER") from None
