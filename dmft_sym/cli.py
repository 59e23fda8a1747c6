"""The command line: ``dmft-sym derive | generate | run | spectrum | simulate | sweep | compare | plot | measure | ..``.

Exit status: 0 fine, 1 a check failed, 2 bad input (a line for every error on standard error), 3 the run diverged (the
file has everything before), 130 interrupted. Nothing is ever half-written. Libraries are imported inside the commands,
so that help is quick.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .support.exit_status import BAD_INPUT, DIVERGED, FAILED, INTERRUPTED
from .support.messages import InputError, show, show_path, warnings_as_notes

if TYPE_CHECKING:
    import xarray as xr

    from .regimes.keys import Spec

app = typer.Typer(
    name="dmft-sym",
    help="Mean-field equations of network training: derived from a forward pass, solved by generated code, checked "
    "against finite networks.",
    epilog="Start with: dmft-sym run examples/deep_linear.toml -o out.nc, then dmft-sym plot out.nc",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_OPTIONS = {
    "--set": (
        "SECTION.KEY=VALUE",
        "Replace a key of the spec; may be repeated. Example: --set training.steps=200 --set network.depth=3",
    ),
    "--network": (
        "FILE.py:FUNCTION",
        "A forward pass of your own, function(net, x) of a Python file, which is run; instead of \\[network] kind. "
        "Example: --network mine.py:forward",
    ),
    "--backend": (
        "NAME",
        "numba (fast), numpy (plain, one line an equation) or mpmath (any precision, small sizes); instead of "
        "\\[solver] backend. Example: --backend numpy",
    ),
    "--latex": (
        "FILE",
        "Write a self-contained LaTeX document instead of printing the stages as text. Example: --latex theory.tex",
    ),
    "--dim": (
        "D",
        "Input dimension, an integer >= 1; width and samples follow by their ratios. Instead of \\[simulation] dim "
        "(1000). Example: --dim 1000",
    ),
    "--width": (
        "N",
        "Width of the hidden layers where samples are given, an integer >= 1. Instead of \\[simulation] width (2000). "
        "Example: --width 2000",
    ),
    "--checkpoint": (
        "DIR",
        "A folder, made if it is not there, from which the same command goes on after it was killed: conditioning of a "
        "linear network, and simulations. Example: --checkpoint long.state",
    ),
    "--seeds": (
        "COUNT",
        "Number of networks, an integer >= 1 (2 or more to compare). Instead of \\[simulation] seeds (4). "
        "Example: --seeds 4",
    ),
    "--seed": (
        "NUMBER",
        "Seed of the random numbers, an integer >= 0; the same seed gives the same networks. Instead of "
        "\\[simulation] seed (0). Example: --seed 7",
    ),
    "--over": (
        "SECTION.KEY=VALUES",
        "An axis of the grid: numbers or words separated by commas, linspace(FIRST, LAST, COUNT), or "
        "logspace(EXPONENT, EXPONENT, COUNT); may be repeated. Example: --over "
        "training.learning_rate=logspace(-3,-1,25) --over data.width_per_dim=0.25,0.5,1",
    ),
    "--what": (
        "WHAT",
        "What is done at every point: solve, simulate, spectrum or compare (theory beside finite networks). "
        "Example: --what compare",
    ),
    "--variables": (
        "NAMES",
        "Variables that are kept, separated by commas; without it all but two-time order parameters. Example: "
        "--variables test_loss,train_loss",
    ),
    "--workers": (
        "COUNT",
        "Number of processes, an integer >= 1; without it one for each core. Results do not depend on it. "
        "Example: --workers 4",
    ),
    "--scheduler": (
        "ADDRESS",
        "A Dask scheduler whose workers are taken instead of local processes. Example: --scheduler "
        "tcp://127.0.0.1:8786",
    ),
    "--figure": (
        "FILE",
        "Write losses and z-scores as a figure: .png, .pdf or .svg. Example: --figure compare.png",
    ),
    "--sim": (
        "SIM",
        "A simulation to draw with the lines of OUT: bands of losses, histograms and points of spectra. "
        "Example: --sim sim.nc",
    ),
    "--kind": (
        "KIND",
        "losses, order-parameters (heat maps over two steps), observables (those of a network of your own); where "
        "samples are given outputs and kernels; of spectra: spectrum (bulk and outliers at each step), outliers "
        "(tracks), sharpness. Example: --kind order-parameters",
    ),
    "--limit": (
        "NAME",
        "A limit to check, instead of all: lazy, lazy_correction, gradient_flow, wide, population, regression, "
        "small_init, independent, deep, late; may be repeated. Example: --limit wide",
    ),
    "--theory": (
        "OUT",
        "A result with predicted spectra of matrices of these names, of dmft-sym run or spectrum. Example: --theory "
        "out.nc",
    ),
    "--step": (
        "NUMBER",
        "The step of the theory that the weights belong to, its last one by default. Example: --step 59",
    ),
    "--matrix": (
        "NAME=ARRAY",
        "Measure this array under this name, and no others that are not named; may be repeated. Example: --matrix "
        "W1=layers.1.weight",
    ),
    "--std": (
        "NUMBER",
        "Standard deviation of sqrt(columns) W at initialization, or NAME=NUMBER for a matrix, which may be repeated; "
        "fitted to the bulk without it. Example: --std 1.0",
    ),
    "histograms": (
        "FILE",
        "Draw singular values and shifts of the bulk: .png, .pdf or .svg. Example: --figure weights.png",
    ),
    "--all": ("", "Check every claim."),
    "--quick": ("", "Smaller networks and coarser grids: all claims within 15 minutes on two cores."),
    "--scale": ("SCALE", "Axes of the losses: linear, log or loglog. Example: --scale linear"),
}
"""What stands for the value of an option in its help, and the help."""


def _option(name: str, *, default: bool = False, of: str | None = None) -> Any:
    metavar, words = _OPTIONS[of or name]
    return typer.Option(name, metavar=metavar, help=words, show_default=default)


def _output(words: str, *, default: bool = False) -> Any:
    return typer.Option("-o", "--output", metavar="FILE", help=words, show_default=default)


def _flag(name: str) -> Any:
    return typer.Option(name, help=_OPTIONS[name][1], show_default=False)


def _argument(metavar: str, words: str) -> Any:
    return typer.Argument(metavar=metavar, help=words, show_default=False)


SpecPath = Annotated[str, _argument("SPEC", "A spec: TOML with \\[network], \\[data], \\[training], see examples/.")]
Overrides = Annotated[list[str] | None, _option("--set")]
Own = Annotated[str | None, _option("--network")]
Backend = Annotated[str | None, _option("--backend")]
Checkpoint = Annotated[str | None, _option("--checkpoint")]


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        typer.echo(f"dmft-sym {_version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


@app.command()
def derive(
    spec: SpecPath,
    latex: Annotated[str | None, _option("--latex")] = None,
    network: Own = None,
    overrides: Overrides = None,
) -> None:
    """Derive the mean-field equations: action, saddle point, single-site equations, closed equations.

    Depth and outputs stay symbols, so the equations hold for every value of them.
    """
    read = _read(spec, overrides, network)
    if latex is not None:
        _hand_out(lambda: str(_theory(read).to_latex()), latex, spec)
        return
    width = min(shutil.get_terminal_size((100, 0)).columns, 120)
    for stage in _theory(read).steps:
        typer.echo(f"{stage.plain(width)}\n")


@app.command()
def generate(
    spec: SpecPath,
    output: Annotated[
        str | None,
        _output("The module to write; without it the source is printed. Example: -o solver.py"),
    ] = None,
    backend: Backend = None,
    network: Own = None,
    overrides: Overrides = None,
) -> None:
    """Write the solver of the derived equations: a Python module that runs without dmft-sym.

    Where samples are given it is the one on sampled sites, or with solver.method = "equations" that of the two-time
    equations.
    """
    read = _read(spec, _with_backend(overrides, backend), network)
    _hand_out(lambda: str(_theory(read).source(read.solver.backend, read.solver.method)), output, spec)


@app.command()
def run(
    spec: SpecPath,
    output: Annotated[str, _output("The netCDF file to write. Example: -o theory.nc", default=True)] = "out.nc",
    backend: Backend = None,
    checkpoint: Checkpoint = None,
    network: Own = None,
    overrides: Overrides = None,
) -> None:
    """Solve the equations of the infinite network and write losses and order parameters.

    Exit status 3 if training diverges; the file then has every step before.
    """
    from .spec.objects import regime_of

    read = _read(spec, _with_backend(overrides, backend), network)
    _check_output(output, spec)
    separate = read.spectrum.matrices and not regime_of(read).spectra_of_runs
    if separate:
        _check_march_of_spectra(read)
    dataset = _solve(read, "run", checkpoint)
    if separate:
        dataset = _with_spectra(dataset, _spectra(read))
    _finish(dataset, output)


@app.command()
def spectrum(
    spec: SpecPath,
    output: Annotated[
        str | None,
        _output("A netCDF file to write; without it the table is printed only. Example: -o spectra.nc"),
    ] = None,
    network: Own = None,
    overrides: Overrides = None,
) -> None:
    """Predict bulk, outliers and sharpness of the matrices and steps in the spec's section spectrum.

    Prints bulk edges, outliers, and where the first one escapes. With spectrum.method = "equations" the numbers come
    from the derived spike condition, with "conditioning" from growing coordinates; by default from what is quicker.
    Where samples are given, outliers come from the sampled network and have standard errors.
    """
    from .results import store as results
    from .results.spectrum_table import spectrum_table
    from .spec.objects import regime_of

    read = _read(spec, overrides, network)
    if not read.spectrum.matrices:
        raise InputError('[spectrum] matrices is missing: allowed is a list such as ["W0", "NTK"]')
    if output is not None:
        _check_output(output, spec)
    dataset = _solve(read, "spectra") if regime_of(read).spectra_of_runs else _spectra(read)
    typer.echo(spectrum_table(dataset))
    for note in results.notes(dataset):
        print(f"dmft-sym: note: {note}", file=sys.stderr)
    if output is not None:
        results.save(dataset, output)
        typer.echo(f"{output}: written")
    _check_outcome(dataset)


@app.command()
def simulate(
    spec: SpecPath,
    dim: Annotated[str | None, _option("--dim")] = None,
    width: Annotated[str | None, _option("--width")] = None,
    seeds: Annotated[str | None, _option("--seeds")] = None,
    seed: Annotated[str | None, _option("--seed")] = None,
    output: Annotated[str, _output("The netCDF file to write. Example: -o simulation.nc", default=True)] = "sim.nc",
    checkpoint: Checkpoint = None,
    network: Own = None,
    overrides: Overrides = None,
) -> None:
    """Train finite networks from the same program and write the same variables, with a seed axis."""
    from .spec.objects import physical_arguments, simulation_arguments

    given = {"dim": dim, "width": width, "seeds": seeds, "seed": seed}
    extra = [f"simulation.{key}={value}" for key, value in given.items() if value is not None]
    read = _read(spec, [*(overrides or ()), *extra], network)
    _check_output(output, spec)
    arguments = {**simulation_arguments(read), **physical_arguments(read), **_kept_in(checkpoint)}
    with _words_of_specs(read), _progress("simulate") as progress:
        dataset = _session().simulate(_theory(read), **arguments, progress=progress)
    _finish(dataset, output)


@app.command()
def sweep(
    spec: SpecPath,
    over: Annotated[list[str] | None, _option("--over")] = None,
    what: Annotated[str, _option("--what", default=True)] = "solve",
    variables: Annotated[str | None, _option("--variables")] = None,
    workers: Annotated[str | None, _option("--workers")] = None,
    scheduler: Annotated[str | None, _option("--scheduler")] = None,
    output: Annotated[str, _output("The netCDF file to write. Example: -o grid.nc", default=True)] = "grid.nc",
    network: Own = None,
    overrides: Overrides = None,
) -> None:
    """Solve a spec over a grid of values of its keys, by several processes, and write one file.

    Points are kept in the folder FILE.parts until the file is whole: after an interruption, or a crash, the same
    command goes on from there. Runs that diverge are points with a status.
    """
    from .spec.own_network import load_network
    from .spec.reading import Specs
    from .spec.swept import axes_of_texts, first_values, grid_of_specs
    from .support.messages import whole_number
    from .sweeps.assembly import summary
    from .sweeps.sweep import run_grid, task_named
    from .workers import check_crew

    axes, task = axes_of_texts(over or ()), task_named(what)
    crew = check_crew(None if workers is None else whole_number("--workers", workers), scheduler, None)
    names = tuple(word.strip() for word in variables.split(",")) if variables else ()
    specs = Specs.of_file(spec, overrides or (), None if network is None else load_network(network))
    _check_output(output, spec)
    grid = grid_of_specs(specs, axes, task, _completed, _theory)
    with _words_of_specs(specs.spec(first_values(axes))), _progress("sweep") as progress:
        found = run_grid(grid, names, crew, output, progress)
    typer.echo(f"{output}: {summary(found)}")


@app.command()
def compare(
    out: Annotated[str, _argument("OUT", "What dmft-sym run wrote.")],
    sim: Annotated[str, _argument("SIM", "What dmft-sym simulate wrote.")],
    figure: Annotated[str | None, _option("--figure")] = None,
) -> None:
    """Compare theory and simulation: z-scores of the losses and of every order parameter."""
    from .comparison.runs import compare as compare_results
    from .figures import plots
    from .results.checks import load_labelled, understood

    if figure is not None:
        _check_output(figure, out, sim)
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


@app.command()
def plot(
    out: Annotated[str, _argument("OUT", "What dmft-sym run or simulate wrote.")],
    sim: Annotated[str | None, _option("--sim")] = None,
    output: Annotated[
        str | None,
        _output("The figure to write: .png, .pdf or .svg; by default OUT with .png. Example: -o losses.pdf"),
    ] = None,
    kind: Annotated[str, _option("--kind", default=True)] = "losses",
    scale: Annotated[str, _option("--scale", default=True)] = "log",
) -> None:
    """Draw losses, order parameters, observables, outputs, kernels or spectra."""
    from .figures import drawing, plots
    from .results.checks import load_labelled, understood

    if kind not in drawing.KINDS:
        raise InputError(f"--kind {show(kind)}: allowed are {', '.join(drawing.KINDS)}")
    path = output if output is not None else str(Path(out).with_suffix(".png"))
    _check_output(path, out, *([sim] if sim else []))
    plots.check_figure_path(path)
    dataset, simulation = load_labelled(out), None if sim is None else load_labelled(sim)
    if simulation is not None and ("seed" in dataset.dims or "seed" not in simulation.dims):
        raise InputError("--sim: allowed is a simulation, drawn with the lines of a theory")
    with understood(out, sim):
        figure = drawing.plot(dataset, simulation, kind, scale)
    plots.save_figure(figure, path)
    typer.echo(f"{path}: written")


@app.command()
def measure(
    weights: Annotated[str, _argument("WEIGHTS", "Matrices: .npz, .npy or .safetensors; rows are outputs of a layer.")],
    theory: Annotated[str | None, _option("--theory")] = None,
    step: Annotated[int | None, _option("--step")] = None,
    matrix: Annotated[list[str] | None, _option("--matrix")] = None,
    std: Annotated[list[str] | None, _option("--std")] = None,
    output: Annotated[str | None, _output("A netCDF file to write as well. Example: -o measured.nc")] = None,
    figure: Annotated[str | None, _option("--figure", of="histograms")] = None,
) -> None:
    """Singular values of trained weight matrices: edge of the bulk, outliers, how far the bulk has moved.

    The bulk of the initialization is that of a theory, or of a given standard deviation, or fitted to the middle of the
    singular values. Pickles are refused.
    """
    from .data.weights import chosen, read_weights
    from .figures import plots, weight_plots
    from .results import store as results
    from .results.checks import load_labelled, understood
    from .results.weight_table import weight_table

    for path in (output, figure):
        if path is not None:
            _check_output(path, weights, *([theory] if theory else []))
    if figure is not None:
        plots.check_figure_path(figure)
    names = dict(_pair("--matrix", word, word) for word in matrix or ())
    predicted = None if theory is None else load_labelled(theory)
    arrays = chosen(read_weights(weights), names)
    found = _session().measure(arrays, predicted, step, initial_std=_deviations(std))
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


@app.command()
def check(
    spec: SpecPath,
    limit: Annotated[list[str] | None, _option("--limit")] = None,
    network: Own = None,
    overrides: Overrides = None,
) -> None:
    """Check limits of the equations: by structure, by exact first steps, by numbers that approach them.

    A limit that does not apply is a line that says why. The exit status is 1 if a check fails.
    """
    from .spec.objects import check_arguments

    read = _read(spec, overrides, network)
    limits = _session().limits
    with _words_of_specs(read), _progress("check") as progress:
        theory = _theory(read)
        arguments = check_arguments(read, limits.STEPS, sampled=not theory.methods[0].exact)
        found = limits.check(theory, limit or None, progress=progress, **arguments)
    typer.echo(str(found))
    if found.failed:
        raise typer.Exit(FAILED)


@app.command()
def reproduce(
    claims: Annotated[list[str] | None, _argument("[CLAIM]...", "Names of claims.")] = None,
    every: Annotated[bool, _flag("--all")] = False,
    quick: Annotated[bool, _flag("--quick")] = False,
    output: Annotated[
        str | None,
        _output("A folder for results (netCDF), figures and table.md. Example: -o reproduced"),
    ] = None,
) -> None:
    """Check claims of arXiv:2605.07870: theory, finite networks, z and a verdict for each; results and figures.

    Without a claim their names are printed. The exit status is 1 if one fails.
    """
    from .claims.registry import ALL
    from .claims.reproduction import reproduce as check_claims

    if not claims and not every:
        typer.echo("\n".join(f"{claim.name:<14} {claim.statement}" for claim in ALL.values()))
        return
    if claims and every:
        raise InputError("--all: allowed without names of claims")

    def report(name: str, found: object) -> None:
        if found is None:
            print(f"dmft-sym: {name} ...", file=sys.stderr)

    found = check_claims(claims or None, size="quick" if quick else "full", output=output, report=report)
    typer.echo(str(found))
    if output is not None:
        typer.echo(f"{output}: written")
    if found.failed:
        raise typer.Exit(FAILED)


@app.command()
def schema(
    output: Annotated[
        str | None,
        _output("The file to write; without it the schema is printed. Example: -o dmft-sym.schema.json"),
    ] = None,
) -> None:
    """Print the JSON schema of specs, with which editors complete and check them."""
    import json

    from .spec.schema import schema as schema_of_specs

    _hand_out(lambda: json.dumps(schema_of_specs(), indent=2, allow_nan=False) + "\n", output)


@warnings_as_notes()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; the console script ``dmft-sym``."""
    command = typer.main.get_command(app)
    _open_closed_streams()
    try:
        status = command.main(
            args=None if arguments is None else list(arguments), prog_name="dmft-sym", standalone_mode=False
        )
        sys.stdout.flush()
    except InputError as error:
        return _complain(str(error))
    except _USAGE as error:
        return _complain(f"{error.format_message()}{_meant_key(error, arguments)}")
    except MemoryError:
        return _complain(
            "out of memory: allowed is what fits; use fewer [training] steps, a smaller --dim or --width, or fewer "
            "[sampling] samples"
        )
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has seen enough, as in `dmft-sym derive spec.toml | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ValueError as error:
        if not _refused_program(error):
            raise
        return _complain(str(error))
    except OSError as error:  # a cache folder that cannot be written, for example
        return _complain(f"{error.strerror or error}: {error.filename or 'standard output'}")
    return status if isinstance(status, int) else 0


def _open_closed_streams() -> None:
    """Send what goes to a closed standard stream (``>&-``) nowhere, as Python has no stream for it."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


_USAGE: type[Any] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def _refused_program(error: ValueError) -> bool:
    """Whether a stage refuses the program itself; the class is imported when it is needed, as SymPy takes its time."""
    from .program import ProgramError

    return isinstance(error, ProgramError)


def _meant_key(error: Any, arguments: Sequence[str] | None) -> str:
    """The key of a spec that an unknown option has the name of, as an option."""
    from .spec.sections import homes_of

    option = str(getattr(error, "option_name", ""))
    homes = homes_of(option.lstrip("-").replace("-", "_"))
    if not homes or not option.startswith("--"):
        return ""
    words = [word for argument in (sys.argv[1:] if arguments is None else arguments) for word in argument.split("=", 1)]
    after = words[words.index(option) + 1 :][:1] if option in words else []
    value = after[0] if after and not after[0].startswith("-") else "VALUE"
    return f"; a key of specs is --set {homes[0]}.{option.lstrip('-').replace('-', '_')}={value}"


def _complain(message: str) -> int:
    for line in message.splitlines():
        print(f"dmft-sym: {' '.join(line.split())}", file=sys.stderr)
    return BAD_INPUT


def _read(path: str, overrides: Sequence[str] | None, network: str | None = None) -> Spec:
    from .spec.objects import notes_of
    from .spec.own_network import load_network
    from .spec.reading import read_spec

    spec = _completed(read_spec(path, overrides or (), None if network is None else load_network(network)))
    for note in notes_of(spec):
        print(f"dmft-sym: note: {note}", file=sys.stderr)
    return spec


def _completed(spec: Spec) -> Spec:
    """The spec; with a network of the user's own whether it is linear, which no key says."""
    if spec.own is not None and spec.sampled and spec.solver.exact is not True and "exact" not in spec.given("solver"):
        return spec.replaced("solver", exact=_theory(spec).program.linear)
    return spec


def _with_backend(overrides: Sequence[str] | None, backend: str | None) -> list[str]:
    extra = [] if backend is None else [f"solver.backend={backend}"]
    return [*(overrides or ()), *extra]


def _session() -> Any:
    import dmft_sym

    return dmft_sym


def _theory(spec: Spec) -> Any:
    from .spec.objects import data_of, network_of, training_of

    data = data_of(spec)
    return _session().derive(network_of(spec, data), data=data, training=training_of(spec))


def _kept_in(checkpoint: str | None) -> dict[str, str]:
    """The argument of a checkpoint, if there is one."""
    return {} if checkpoint is None else {"checkpoint": checkpoint}


def _solve(spec: Spec, label: str, checkpoint: str | None = None) -> xr.Dataset:
    """A run of the solver; where samples are given it has the spectra as well."""
    from .spec.objects import physical_arguments, solver_arguments

    with _words_of_specs(spec):
        solver = _theory(spec).compile(backend=spec.solver.backend)
        with _progress(label) as progress:
            arguments = {**physical_arguments(spec), **solver_arguments(spec), **_kept_in(checkpoint)}
            found: xr.Dataset = solver(**arguments, progress=progress)
    return found


def _spectra(spec: Spec) -> xr.Dataset:
    from .spec.objects import physical_arguments, spectrum_options

    with _words_of_specs(spec), _progress("spectra") as progress:
        found: xr.Dataset = _session().spectrum(
            _theory(spec), **spectrum_options(spec), **physical_arguments(spec), progress=progress
        )
    for failure in str(found.attrs["spectrum_failures"]).splitlines():
        print(f"dmft-sym: note: {failure}", file=sys.stderr)
    return found


def _check_march_of_spectra(spec: Spec) -> None:
    """Refuse spectra that need a march that does not fit, before the run that comes first."""
    from .solvers.memory import check_march

    if spec.spectrum.method == "equations":
        with _words_of_specs(spec):
            check_march(int(spec.training.last) + 1, spec.network.outputs or 1, spec.network.depth, 8)


@contextmanager
def _words_of_specs(spec: Spec) -> Iterator[None]:
    """What a solver refuses is said of keys of the spec."""
    from .spec.objects import in_words_of_specs
    from .support.errors import ArgumentError

    try:
        yield
    except ArgumentError as error:
        raise in_words_of_specs(error, spec) from error


def _with_spectra(run: xr.Dataset, spectra: xr.Dataset) -> xr.Dataset:
    """A run and its spectra in one dataset; of attributes that both have, those of the run, and the times added up."""
    merged = run.merge(spectra, combine_attrs="override")
    times = (float(dataset.attrs.get("wall_time", 0.0)) for dataset in (run, spectra))
    route = {"spectrum_method": spectra.attrs["method"]} if "method" in spectra.attrs else {}
    merged.attrs = {**spectra.attrs, **route, **run.attrs, "wall_time": sum(times)}
    return merged


def _progress(label: str) -> Any:
    from .support.progress import StepProgress

    return StepProgress(label)


def _check_output(path: str, *inputs: str) -> None:
    """Refuse to write over what is read, and where nothing can be written, before anything is computed."""
    from .support import files

    for name in inputs:
        if os.path.exists(path) and os.path.exists(name) and os.path.samefile(path, name):
            raise InputError(f"output path {show_path(path)}: the same file as the input; allowed is another name")
    files.check_writable(path)


def _hand_out(text: Callable[[], str], path: str | None, *inputs: str) -> None:
    """Print a text, or write it to a file that is none of the inputs."""
    from .support import files

    if path is None:
        typer.echo(text(), nl=False)
        return
    _check_output(path, *inputs)
    files.write_text(path, text())
    typer.echo(f"{path}: written")


def _finish(dataset: xr.Dataset, path: str) -> None:
    from .results import store as results

    results.save(dataset, path)
    typer.echo(f"{path}: {results.summary(dataset)}")
    _check_outcome(dataset)


def _check_outcome(dataset: xr.Dataset) -> None:
    from .support.outcomes import Outcome

    outcome = Outcome.of(dataset.attrs)
    if not outcome.completed:
        remedy = dataset.attrs.get("outcome_remedy") or outcome.remedy
        print(f"dmft-sym: {outcome}: {remedy}", file=sys.stderr)
        raise typer.Exit(DIVERGED)


def _version() -> str:
    return str(_session().__version__)


if __name__ == "__main__":
    sys.exit(main())
