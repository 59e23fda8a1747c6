"""check, reproduce: tables whose failures are the exit status."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..support.exit_status import FAILED
from ..support.messages import InputError
from . import completion
from .options import Overrides, Own, SpecPath, argument, flag, option, saved_as
from .specs import progress_of, read_from, session, theory_of, words_of_specs

_CLAIMS = argument("[CLAIM]...", "Names of claims.", completion.words_of(completion.claims))


def check(
    spec: SpecPath,
    limit: Annotated[list[str] | None, option("--limit")] = None,
    network: Own = None,
    overrides: Overrides = None,
) -> None:
    """Check limits of the equations: by structure, by exact first steps, by numbers that approach them.

    A limit that does not apply is a line that says why. The exit status is 1 if a check fails.
    """
    from ..spec.objects import check_arguments

    read = read_from(spec, overrides, network)
    limits = session().limits
    with words_of_specs(read), progress_of("check") as progress:
        theory = theory_of(read)
        arguments = check_arguments(read, limits.STEPS, sampled=not theory.methods[0].exact)
        found = limits.check(theory, limit or None, progress=progress, **arguments)
    typer.echo(str(found))
    if found.failed:
        raise typer.Exit(FAILED)


def reproduce(
    claims: Annotated[list[str] | None, _CLAIMS] = None,
    every: Annotated[bool, flag("--all")] = False,
    quick: Annotated[bool, flag("--quick")] = False,
    output: Annotated[
        str | None,
        saved_as("A folder for results (netCDF), figures and table.md. Example: -o reproduced"),
    ] = None,
) -> None:
    """Check claims of arXiv:2605.07870: theory, finite networks, z and a verdict for each; results and figures.

    Without a claim their names are printed. The exit status is 1 if one fails.
    """
    from ..claims.registry import ALL
    from ..claims.reproduction import reproduce as check_claims

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
