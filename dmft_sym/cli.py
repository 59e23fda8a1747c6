"""The command line: ``dmft-sym derive | generate | run | spectrum | simulate | sweep | compare | plot | measure | ..``.

Exit status: 0 fine, 1 a check failed, 2 bad input (a line for every error on standard error), 3 the run diverged (the
file has everything before), 130 interrupted. Nothing is ever half-written. Libraries are imported inside the commands
(`commands`), so that help is quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from .commands.checks import check, reproduce
from .commands.derivations import derive, generate, schema
from .commands.grids import sweep
from .commands.results import compare, plot
from .commands.runs import run, simulate, spectrum
from .commands.specs import session
from .commands.weights import measure
from .support.exit_status import BAD_INPUT, INTERRUPTED
from .support.messages import InputError, warnings_as_notes

app = typer.Typer(
    name="dmft-sym",
    help="Mean-field equations of network training: derived from a forward pass, solved by generated code, checked "
    "against finite networks.",
    epilog="Start with: dmft-sym run examples/deep_linear.toml -o out.nc, then dmft-sym plot out.nc",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


for _command in (derive, generate, run, spectrum, simulate, sweep, compare, plot, measure, check, reproduce, schema):
    app.command()(_command)


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


def _version() -> str:
    return str(session().__version__)


if __name__ == "__main__":
    sys.exit(main())
