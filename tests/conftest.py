"""One cache of generated modules for the whole run, one thread per test process, and cases that are listed as slow."""

from __future__ import annotations

import os
from pathlib import Path

# Before anything imports numba or BLAS: the processes of pytest-xdist share the cores already.
for _variable in ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import pytest  # noqa: E402

SLOW_CASES = Path(__file__).with_name("slow_cases.txt")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Mark the cases of ``slow_cases.txt``; a line that is no case, or leaves no other of its test, is an error."""
    listed = {line for line in SLOW_CASES.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"}
    for item in items:
        if item.nodeid in listed:
            item.add_marker(pytest.mark.slow)
    if any("::" in str(argument) for argument in config.args):
        return  # single tests, among which others are missing
    files = {item.nodeid.split("::")[0] for item in items}
    unknown = {line for line in listed if line.split("::")[0] in files} - {item.nodeid for item in items}
    quick = {item.nodeid.split("[")[0] for item in items if not item.get_closest_marker("slow")}
    alone = {item.nodeid for item in items if item.nodeid in listed and item.nodeid.split("[")[0] not in quick}
    if unknown or alone:
        raise pytest.UsageError(f"{SLOW_CASES.name}: no such cases: {sorted(unknown)}; no others: {sorted(alone)}")


@pytest.fixture(scope="session", autouse=True)
def module_cache(tmp_path_factory):
    """A temporary cache folder, shared by the processes of pytest-xdist so that each module is compiled once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "module-cache"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DMFT_SYM_CACHE", str(folder))
        yield folder


@pytest.fixture
def numpy_march(monkeypatch):
    """Spectra from a march by NumPy: to compile one takes 15 seconds for a network that no other test has."""
    from dmft_sym.solvers.spectrum_routes import two_time_spectra

    monkeypatch.setitem(two_time_spectra.__kwdefaults__, "backend", "numpy")
