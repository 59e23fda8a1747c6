"""The committed solvers are what the code generator writes today, and they run alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dmft_sym.generated
import numpy as np
import pytest
from commit_generated import committed_files

import dmft_sym as ds
from dmft_sym.solvers.generated_modules import two_time_module

FOLDER = Path(dmft_sym.generated.__file__).parent


@pytest.fixture(scope="module")
def files():
    return committed_files()


def test_regenerated_byte_for_byte(files):
    for name, text in files.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name}: run python tools/commit_generated.py"


def test_nothing_else_is_there(files):
    names = {path.name for path in FOLDER.glob("*.py")}
    assert names == set(files) | {"__init__.py"}


def test_solver_is_found_by_its_program():
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


def test_modules_of_given_samples_run_without_the_toolkit(tmp_path):
    """The direct module needs NumPy alone, the sampled one Numba too; the outputs of both start at zero and move."""
    for name in ("direct", "sampled"):
        (tmp_path / f"{name}.py").write_text((FOLDER / f"mlp_tanh_{name}.py").read_text())
    code = (
        "import sys; sys.modules['dmft_sym'] = None\n"
        "import numpy as np, direct\n"
        "assert 'numba' not in sys.modules\n"
        "x = np.array([[1.0, 0.5], [-0.3, 2.0]])\n"
        "y = np.array([[1.0], [-1.0]])\n"
        "given = dict(steps=3, L=2, eta0=0.3, gamma=2.0, s2=1.0)\n"
        "mean, error = direct.solve(0, batches=2, sites=200, gram=x @ x.T / 2, targets=y, **given)\n"
        "f = mean['scalars']['f']\n"
        "assert np.abs(f[0]).max() < 1e-15 < 0.05 < np.abs(f[2]).min()\n"
        "import sampled\n"
        "given |= dict(sites=4000, tol=0.02, outputs=1, inputs=x / 2**0.5, targets=y, P=2)\n"
        "other = sampled.run(np.random.default_rng(0), **given)['scalars']['f']\n"
        "assert np.abs(other[0]).max() < 1e-15\n"
        "assert np.abs(other - f).max() < 0.1 * np.abs(f).max()\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True)


def test_march_that_stands_alone_gives_the_same_bits(tmp_path):
    """As the one that imports the library; beyond the first chunks of steps whose history is compressed."""
    (tmp_path / "solver.py").write_text((FOLDER / "deep_linear_online_numba.py").read_text())
    code = (
        "import sys; sys.modules['dmft_sym'] = None\n"
        "import numpy as np, solver\n"
        "symbols = dict(L=2, alpha=2.0, eta0=0.01, gamma=2.0, nu=0.7, s2=1.0, sigma_eps=0.3)\n"
        "found = solver.march(steps=330, outputs=2, **symbols)\n"
        "np.savez('alone', **{name: value for name, value in found.items() if name != 'scales'})\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True)
    solver = ds.derive(ds.deep_linear(), training=ds.OnlineSGD()).compile("numba")
    settings = {"samples_per_dim": 2.0, "width_per_dim": 0.7, "richness": 2.0, "learning_rate": 0.01}
    found = solver.raw(**settings, label_noise=0.3, depth=2, outputs=2, steps=330)
    with np.load(tmp_path / "alone.npz") as alone:
        assert set(alone) == set(found) - {"scales"}
        for name, value in alone.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert len(found["C_h_h"]) == 2


def test_direct_module_that_stands_alone_gives_the_same_bits(tmp_path):
    """Compiled, as the one that imports the library."""
    (tmp_path / "solver.py").write_text((FOLDER / "mlp_tanh_direct_numba.py").read_text())
    code = (
        "import sys; sys.modules['dmft_sym'] = None\n"
        "import numpy as np, solver\n"
        "x, y = np.random.default_rng(1).standard_normal((2, 3, 2))\n"
        "given = dict(steps=6, sites=700, gram=x @ x.T / 2, targets=y, L=3, eta0=0.3, gamma=2.0, s2=1.0)\n"
        "found = solver.march(np.random.default_rng(0), **given)\n"
    )
    save = "np.savez('alone', **found['scalars'])\n"
    subprocess.run([sys.executable, "-W", "error", "-c", code + save], cwd=tmp_path, check=True)
    theory = ds.derive(ds.mlp(activation="tanh"), data=ds.Samples(np.ones((1, 1)), np.ones(1)))
    scope = {"solver": two_time_module(theory, "numba")}
    assert scope["solver"].__name__ == "dmft_sym.generated.mlp_tanh_direct_numba"
    exec(code.replace("import sys; sys.modules['dmft_sym'] = None\n", "").replace(", solver", ""), scope)  # our own
    with np.load(tmp_path / "alone.npz") as alone:
        assert set(alone) == {"f", "Delta"}
        for name, value in alone.items():
            assert len(value) == 6
            np.testing.assert_array_equal(scope["found"]["scalars"][name], value, err_msg=name)


def test_sampled_module_that_stands_alone_gives_the_same_bits(tmp_path):
    """As the one that imports the library."""
    (tmp_path / "solver.py").write_text((FOLDER / "mlp_tanh_sampled.py").read_text())
    code = (
        "import sys; sys.modules['dmft_sym'] = None\n"
        "import numpy as np, solver\n"
        "given = dict(steps=6, sites=700, tol=0.02, outputs=2, L=3, P=3, eta0=0.3, gamma=2.0, s2=1.0)\n"
        "inputs, targets = np.random.default_rng(1).standard_normal((2, 3, 2))\n"
        "found = solver.run(np.random.default_rng(0), inputs=inputs, targets=targets, **given)\n"
    )
    save = "np.savez('alone', **found['scalars'])\n"
    subprocess.run([sys.executable, "-W", "error", "-c", code + save], cwd=tmp_path, check=True)
    theory = ds.derive(ds.mlp(activation="tanh"), data=ds.Samples(np.ones((1, 1)), np.ones(1)))
    scope = {"solver": theory.compile().module}
    exec(code.replace("import sys; sys.modules['dmft_sym'] = None\n", "").replace(", solver", ""), scope)  # our own
    with np.load(tmp_path / "alone.npz") as alone:
        assert set(alone) == {"f", "Delta"}
        for name, value in alone.items():
            assert len(value) == 6
            np.testing.assert_array_equal(scope["found"]["scalars"][name], value, err_msg=name)
