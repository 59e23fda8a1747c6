"""run, spectrum, simulate: datasets of one setting."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ..support.messages import InputError
from .options import Backend, Checkpoint, Overrides, Own, SpecPath, option, saved_as
from .outputs import check_outcome, check_output, finish
from .specs import kept_in, progress_of, read_from, session, solve, spectra_of, theory_of, with_backend, words_of_specs

if TYPE_CHECKING:
    import xarray as xr

    from ..regimes.keys import Spec


def run(
    spec: SpecPath,
    output: Annotated[str, saved_as("The netCDF file to write. Example: -o theory.nc", default=True)] = "out.nc",
    backend: Backend = None,
    checkpoint: Checkpoint = None,
    network: Own = None,
    overrides: Overrides = None,
) -> None:
    """Solve the equations of the infinite network and write losses and order parameters.

    Exit status 3 if training diverges; the file then has every step before.
    """
    from ..spec.objects import regime_of

    read = read_from(spec, with_backend(overrides, backend), network)
    check_output(output, spec)
    separate = read.spectrum.matrices and not regime_of(read).spectra_of_runs
    if separate:
        check_march_of_spectra(read)
    dataset = solve(read, "run", checkpoint)
    if separate:
        dataset = with_spectra(dataset, spectra_of(read))
    finish(dataset, output)


def spectrum(
    spec: SpecPath,
    output: Annotated[
        str | None,
        saved_as("A netCDF file to write; without it the table is printed only. Example: -o spectra.nc"),
    ] = None,
    network: Own = None,
    overrides: Overrides = None,
) -> None:
    """Predict bulk, outliers and sharpness of the matrices and steps in the spec's section spectrum.

    Prints bulk edges, outliers, and where the first one escapes. With spectrum.method = "equations" the numbers come
    from the derived spike condition, with "conditioning" from growing coordinates; by default from what is quicker.
    Where samples are given, outliers come from the sampled network and have standard errors.
    """
    from ..results import store as results
    from ..results.spectrum_table import spectrum_table
    from ..spec.objects import regime_of

    read = read_from(spec, overrides, network)
    if not read.spectrum.matrices:
        raise InputError('[spectrum] matrices is missing: allowed is a list such as ["W0", "NTK"]')
    if output is not None:
        check_output(output, spec)
    dataset = solve(read, "spectra") if regime_of(read).spectra_of_runs else spectra_of(read)
    typer.echo(spectrum_table(dataset))
    for note in results.notes(dataset):
        print(f"dmft-sym: note: {note}", file=sys.stderr)
    if output is not None:
        results.save(dataset, output)
        typer.echo(f"{output}: written")
    check_outcome(dataset)


def simulate(
    spec: SpecPath,
    dim: Annotated[str | None, option("--dim")] = None,
    width: Annotated[str | None, option("--width")] = None,
    seeds: Annotated[str | None, option("--seeds")] = None,
    seed: Annotated[str | None, option("--seed")] = None,
    output: Annotated[str, saved_as("The netCDF file to write. Example: -o simulation.nc", default=True)] = "sim.nc",
    checkpoint: Checkpoint = None,
    network: Own = None,
    overrides: Overrides = None,
) -> None:
    """Train finite networks from the same program and write the same variables, with a seed axis."""
    from ..spec.objects import physical_arguments, simulation_arguments

    given = {"dim": dim, "width": width, "seeds": seeds, "seed": seed}
    extra = [f"simulation.{key}={value}" for key, value in given.items() if value is not None]
    read = read_from(spec, [*(overrides or ()), *extra], network)
    check_output(output, spec)
    arguments = {**simulation_arguments(read), **physical_arguments(read), **kept_in(checkpoint)}
    with words_of_specs(read), progress_of("simulate") as progress:
        dataset = session().simulate(theory_of(read), **arguments, progress=progress)
    finish(dataset, output)


def with_spectra(run: xr.Dataset, spectra: xr.Dataset) -> xr.Dataset:
    """A run and its spectra in one dataset; of attributes that both have, those of the run, and the times added up."""
    merged = run.merge(spectra, combine_attrs="override")
    times = (float(dataset.attrs.get("wall_time", 0.0)) for dataset in (run, spectra))
    route = {"spectrum_method": spectra.attrs["method"]} if "method" in spectra.attrs else {}
    merged.attrs = {**spectra.attrs, **route, **run.attrs, "wall_time": sum(times)}
    return merged


def check_march_of_spectra(spec: Spec) -> None:
    """Refuse spectra that need a march that does not fit, before the run that comes first."""
    from ..solvers.memory import check_march

    if spec.spectrum.method == "equations":
        with words_of_specs(spec):
            check_march(int(spec.training.last) + 1, spec.network.outputs or 1, spec.network.depth, 8)
