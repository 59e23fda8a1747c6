"""One cache of generated modules for the whole run, one thread per test process, and cases that are listed as slow."""

from __future__ import annotations

import os
from pathlib import Path

# Before anything imports numba or BLAS: the processes of pytest-xdist share the cores already.
for _variable in ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import pytest  # noqa: E402

SLOW_CASES = Path(__file__).with_name("slow_cases.txt")


def slow_cases() -> dict[str, str]:
    """Listed cases, with the test that makes the same assertions in ``make test``: after a ~, else the test itself."""
    lines = SLOW_CASES.read_text(encoding="utf-8").splitlines()
    pairs = [line.partition(" ~ ") for line in lines if line and not line.startswith("#")]
    return {case: sibling or case.split("[")[0] for case, _, sibling in pairs}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Mark the cases of ``slow_cases.txt``; a line that is no case, or has no sibling in ``make test``, is an error."""
    listed = slow_cases()
    for item in items:
        if item.nodeid in listed:
            item.add_marker(pytest.mark.slow)
    if any("::" in str(argument) for argument in config.args):
        return  # single tests, among which others are missing
    cases = {item.nodeid for item in items}
    files = {case.split("::")[0] for case in cases}
    quick = {item.nodeid.split("[")[0] for item in items if not item.get_closest_marker("slow")}
    unknown = [case for case in listed if case.split("::")[0] in files and case not in cases]
    alone = [case for case, other in listed.items() if other.split("::")[0] in files and other not in quick]
    if unknown or alone:
        raise pytest.UsageError(f"{SLOW_CASES.name}: no such cases: {unknown}; no sibling in make test: {alone}")


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
