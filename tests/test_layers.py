"""The order of the rooms (docs/architecture.md): a module imports from its own room and from those before it.

Imports under TYPE_CHECKING and inside of functions count, and no file is in a circle.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TREES = {"dmft_sym": "dmft_sym", "codegen": "dmft_sym.codegen", "generated": "dmft_sym.generated"}

ORDER = """
    generated
    support
    workers
    program
    networks
    spectra.methods
    data.files
    data.arrays
    regimes
    data
    derivation
    codegen.library codegen.text
    codegen.equations codegen.programs
    codegen
    cache
    execution
    spectra.numerics
    spectra.matrices
    spectra.equations spectra.pencil
    spectra.march spectra.measured
    spectra
    results
    figures
    comparison
    solvers
    limits power_counting
    sweeps
    spec
    theory
    claims
    commands
    cli
    __main__
"""
RANKS = {room: rank for rank, line in enumerate(ORDER.split("\n")) for room in line.split()}
WALLS = {
    "execution": {"derivation", "codegen", "spectra", "generated", "networks", "regimes"},
    "codegen": {"execution", "spectra", "generated", "cache"},
    "spectra": {"codegen", "generated", "cache"},
    "spectra.pencil": {"derivation", "spectra.equations", "spectra.march"},
    "spectra.march": {"spectra.pencil"},
    "generated": set(RANKS) - {"generated"},
}
"""What must not know each other although the order would allow it: two opinions, and modules that run alone."""


def modules() -> dict[str, Path]:
    """Every module by its name without ``dmft_sym.``; not the package itself, which has the names of a session."""
    found = {}
    for folder, name in TREES.items():
        for path in (ROOT / folder).rglob("*.py"):
            inner = path.relative_to(ROOT / folder).with_suffix("").parts
            parts = (*name.split("."), *(inner[:-1] if inner[-1] == "__init__" else inner))
            found[".".join(parts[1:])] = path
    del found[""]
    return found


MODULES = modules()


def room_of(module: str) -> str:
    """The longest room that the name begins with."""
    parts = module.split(".")
    return next(room for n in range(len(parts), 0, -1) if (room := ".".join(parts[:n])) in RANKS)


def imports_of(module: str) -> set[str]:
    """Modules of the package that a module imports, wherever the statement stands."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name.removeprefix("dmft_sym.") for alias in node.names if alias.name.startswith("dmft_sym.")]
            found |= set(names) & set(MODULES)
        elif isinstance(node, ast.ImportFrom):
            base = ["dmft_sym", *package][: len(package) + 2 - node.level] if node.level else []
            full = ".".join([*base, *([node.module] if node.module else [])]).split(".")
            if full[0] != "dmft_sym":
                continue
            source = ".".join(full[1:])
            inner = {".".join([*full[1:], alias.name]) for alias in node.names}
            found |= (inner & set(MODULES)) or ({source} & set(MODULES))
    return found - {module}


IMPORTS = {module: imports_of(module) for module in MODULES}


@pytest.mark.parametrize("module", MODULES)
def test_arrows_go_down(module: str) -> None:
    room = room_of(module)
    for other in IMPORTS[module]:
        target = room_of(other)
        assert target == room or RANKS[target] < RANKS[room], f"{module} imports {other}"


@pytest.mark.parametrize("room", WALLS)
def test_walls(room: str) -> None:
    inside = {module for module in MODULES if f"{module}.".startswith(f"{room}.")}
    for module in inside:
        for other in IMPORTS[module] - inside:
            assert not any(f"{other}.".startswith(f"{wall}.") for wall in WALLS[room]), f"{module} imports {other}"


def test_no_file_is_in_a_circle() -> None:
    left = {module: set(others) for module, others in IMPORTS.items()}
    while free := [module for module, others in left.items() if not others & set(left)]:
        for module in free:
            del left[module]
    # What is left imports, or is imported from, a circle; drop what nobody in it imports.
    while loose := [module for module in left if not any(module in others for others in left.values())]:
        for module in loose:
            del left[module]
    assert left == {}


REGIME_ASKED = re.compile(r"isinstance\([^()]*\b(Samples|Proportional)\b|\bon_samples\b|\.fixed\b|\.word\b")


@pytest.mark.parametrize("module", [module for module in MODULES if room_of(module) != "regimes"])
def test_no_module_asks_which_regime_it_is(module: str) -> None:
    """What differs is asked from the regime, or read off the program."""
    assert not REGIME_ASKED.search(MODULES[module].read_text(encoding="utf-8"))


def test_every_room_exists() -> None:
    for room in RANKS:
        assert any(f"{module}.".startswith(f"{room}.") for module in MODULES), room


def test_nothing_else_lies_at_the_top() -> None:
    assert {path.name for path in (ROOT / "dmft_sym").glob("*.py")} == {
        "__init__.py",
        "__main__.py",
        "cli.py",
        "theory.py",
    }
