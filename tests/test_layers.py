"""Who may import whom (docs/architecture.md): stages do not know later ones, the two routes do not know each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {
    "dmft_sym.program": "dmft_sym/program",
    "dmft_sym.networks": "dmft_sym/networks",
    "dmft_sym.derivation": "dmft_sym/derivation",
    "dmft_sym.execution": "dmft_sym/execution",
    "dmft_sym.spectra": "dmft_sym/spectra",
    "dmft_sym.codegen": "codegen",
    "dmft_sym.generated": "generated",
}
FORBIDDEN = {
    "program": {"networks", "derivation", "execution", "spectra", "codegen", "generated"},
    "networks": {"derivation", "execution", "spectra", "codegen", "generated"},
    "derivation": {"networks", "execution", "spectra", "codegen", "generated"},
    "execution": {"derivation", "spectra", "codegen", "generated"},
    "spectra": {"codegen", "generated"},
    "codegen": {"execution", "spectra", "generated"},
    "generated": {"program", "networks", "derivation", "execution", "spectra", "codegen"},
}


def imported_names(path: Path, package: str) -> set[str]:
    """Absolute names of the modules that a file imports, the ones inside functions included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("package", FOLDERS)
def test_imports_respect_the_layers(package: str) -> None:
    folder = ROOT / FOLDERS[package]
    forbidden = {f"dmft_sym.{name}" for name in FORBIDDEN[package.split(".")[1]]}
    found = []
    for path in sorted(folder.rglob("*.py")):
        inner = ".".join((package, *path.parent.relative_to(folder).parts))
        for name in sorted(imported_names(path, inner)):
            if any(name == other or name.startswith(f"{other}.") for other in forbidden):
                found.append(f"{path.relative_to(ROOT)} imports {name}")
    assert found == []
