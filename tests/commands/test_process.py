"""The command line as a process: closed and broken output, interrupts while it imports, inputs that never end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dmft_sym.cli import main

SPEC = str(Path(__file__).parents[2] / "examples" / "deep_linear.toml")
COMMAND = [sys.executable, "-m", "dmft_sym"]

INTERRUPTING = """
import builtins, os, signal, sys

usual = builtins.__import__

def slow(name, *rest, **more):
    if name.split(".")[-1] == {module!r}:
        os.kill(os.getpid(), signal.SIGINT)  # as from the keyboard, while this module is being imported
    return usual(name, *rest, **more)

builtins.__import__ = slow
from dmft_sym.__main__ import main
sys.argv = ["dmft-sym", "derive", {spec!r}]
raise SystemExit(main())
"""


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)


def test_closed_output_is_no_fault():
    """What goes to a stream that is closed goes nowhere, with the rest done."""
    done = shell(f"'{sys.executable}' -m dmft_sym derive '{SPEC}' >&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_has_seen_enough():
    done = shell(f"'{sys.executable}' -m dmft_sym derive '{SPEC}' | head -n 1; exit ${{PIPESTATUS[0]}}")
    assert done.stdout == "Vector program\n"
    assert done.stderr == ""
    assert done.returncode in (0, 1)  # 0 if all of it went into the pipe


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_full_output_is_one_line():
    done = shell(f"'{sys.executable}' -m dmft_sym derive '{SPEC}' > /dev/full")
    assert (done.returncode, done.stderr) == (2, "dmft-sym: No space left on device: standard output\n")


@pytest.mark.parametrize("module", ["cli", "typer", "sympy"])
def test_interrupted_while_importing(module):
    code = INTERRUPTING.format(module=module, spec=SPEC)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 128 + signal.SIGINT
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1


@pytest.fixture
def pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return str(path)


@pytest.mark.parametrize("command", ["derive", "run", "plot"])
@pytest.mark.parametrize("device", [None, "/dev/zero", "/dev/null"])
def test_pipes_and_devices_are_refused(command, device, pipe, capsys):
    """At once, without opening them: nobody writes into this pipe."""
    assert main([command, device or pipe]) == 2
    error = capsys.readouterr().err
    assert "cannot be read (a pipe or a device)" in error
    assert len(error.splitlines()) == 1


def test_pipes_as_data_are_refused(pipe, tmp_path, capsys):
    spec = tmp_path / "spec.toml"
    spec.write_text(
        '[network]\nkind = "mlp"\nactivation = "tanh"\ndepth = 1\nrichness = 1.0\n[data]\nregime = "fixed"\n'
        f'inputs = "{pipe}.npz"\n[training]\nlearning_rate = 0.1\nsteps = 2\n'
    )
    os.rename(pipe, f"{pipe}.npz")
    assert main(["run", str(spec)]) == 2
    error = capsys.readouterr().err
    assert "cannot be read (a pipe or a device)" in error
    assert len(error.splitlines()) == 1


def test_help_of_the_module():
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert "derive" in done.stdout
