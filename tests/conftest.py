"""One cache of generated modules for the whole run, and one thread per test process."""

from __future__ import annotations

import os

# Before anything imports numba or BLAS: the processes of pytest-xdist share the cores already.
for _variable in ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import pytest  # noqa: E402


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
