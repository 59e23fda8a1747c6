"""The committed solvers are what the code generator writes today, and they run alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dmft_sym.generated
import numpy as np
import pytest

from dmft_sym.commit_generated import committed_files

FOLDER = Path(dmft_sym.generated.__file__).parent


@pytest.fixture(scope="module")
def files():
    return committed_files()


def test_regenerated_byte_for_byte(files):
    for name, text in files.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name}: run python -m dmft_sym.commit_generated"


def test_nothing_else_is_there(files):
    names = {path.name for path in FOLDER.glob("*.py")}
    assert names == set(files) | {"__init__.py"}


def test_solver_is_found_by_its_program():
    import dmft_sym as ds

    module = ds.derive(ds.deep_linear(depth=3, outputs=2)).compile("numpy").module
    assert module.__name__ == "dmft_sym.generated.deep_linear_batch_numpy"


def test_module_runs_without_the_toolkit(tmp_path):
    """NumPy alone (and Numba for the fast one) is enough; t = 0 has a closed form."""
    (tmp_path / "solver.py").write_text((FOLDER / "deep_linear_batch_numpy.py").read_text())
    code = (
        "import sys; sys.modules['dmft_sym'] = None\n"
        "import solver\n"
        "run = solver.march(steps=3, outputs=1, L=2, alpha=3.0, eta0=0.01, gamma=2.0, nu=0.5, s2=0.8, sigma_eps=0.1)\n"
        "print(repr(float(run['test_loss'][0, 0])))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    np.testing.assert_allclose(float(done.stdout), 1 + 0.8**3 / (2.0**2 * 0.5) + 0.1**2, rtol=1e-14)
