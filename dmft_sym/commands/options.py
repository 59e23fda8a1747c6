"""Options of the commands: what stands for their values in help, and the help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from . import completion

OPTIONS = {
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
_COMPLETIONS = {
    "--backend": completion.backends,
    "--kind": completion.figures,
    "--limit": completion.limits,
    "--over": completion.keys,
    "--set": completion.keys,
    "--what": completion.tasks,
}


def option(name: str, *, default: bool = False, of: str | None = None) -> Any:
    metavar, words = OPTIONS[of or name]
    known = completion.words_of(_COMPLETIONS[name]) if name in _COMPLETIONS else None
    return typer.Option(name, metavar=metavar, help=words, show_default=default, autocompletion=known)


def saved_as(words: str, *, default: bool = False) -> Any:
    return typer.Option("-o", "--output", metavar="FILE", help=words, show_default=default)


def flag(name: str) -> Any:
    return typer.Option(name, help=OPTIONS[name][1], show_default=False)


def argument(metavar: str, words: str, known: Callable[[str], list[str]] | None = None) -> Any:
    return typer.Argument(metavar=metavar, help=words, show_default=False, autocompletion=known)


SpecPath = Annotated[str, argument("SPEC", "A spec: TOML with \\[network], \\[data], \\[training], see examples/.")]
Overrides = Annotated[list[str] | None, option("--set")]
Own = Annotated[str | None, option("--network")]
Backend = Annotated[str | None, option("--backend")]
Checkpoint = Annotated[str | None, option("--checkpoint")]
