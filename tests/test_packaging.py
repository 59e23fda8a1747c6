"""The map from folders to import names in setup.cfg: complete, and effective outside of the repository."""

from __future__ import annotations

import configparser
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOP = {"dmft_sym": "dmft_sym", "codegen": "dmft_sym.codegen", "generated": "dmft_sym.generated"}


@pytest.fixture(scope="module")
def options() -> configparser.SectionProxy:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser["options"]


def test_every_package_is_listed(options: configparser.SectionProxy) -> None:
    found = set()
    for folder, name in TOP.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            inner = init.parent.relative_to(ROOT / folder).parts
            found.add(".".join((name, *inner)))
    assert set(options["packages"].split()) == found


def test_packages_import_outside_of_the_repository(options: configparser.SectionProxy, tmp_path: Path) -> None:
    packages = options["packages"].split()
    lines = [f"import {name}" for name in packages] + ["print('imported')"]
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.stdout == "imported\n", result.stderr


def test_symbolic_core_does_not_import_numba(tmp_path: Path) -> None:
    code = "import sys, dmft_sym, dmft_sym.program, dmft_sym.networks; print('numba' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.stdout == "False\n", result.stderr


def test_names_of_the_session_are_no_submodules(tmp_path: Path) -> None:
    """A submodule of the same name would replace an exported function as soon as it is imported."""
    import dmft_sym

    submodules = {module.name for module in pkgutil.iter_modules(dmft_sym.__path__)}
    assert "results" in submodules
    exported = {name for name in dmft_sym.__all__ if not isinstance(getattr(dmft_sym, name), ModuleType)}
    assert submodules.isdisjoint(exported)
    code = "import dmft_sym.comparison.runs, dmft_sym as ds; print(callable(ds.compare))"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.stdout == "True\n", result.stderr
