"""The study of width consistency: what it says is so, and it writes its figures."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from dmft_sym.solvers import spectrum_routes

EXAMPLE = Path(__file__).parents[2] / "examples" / "width_consistency.py"
WIDTHS = (0.5, 1, 2, 4, 8, 16)
W1, KERNEL = 0, 1


@pytest.fixture(scope="module")
def study():
    """The example without the search for steps of escape, which it does not show and which takes most of its time."""
    spec = importlib.util.spec_from_file_location("width_consistency", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectrum_routes, "escape_step", lambda margins, at, between=None: math.nan)
        yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def mup(study):
    return study.against(study.theory_of("muP"), "width_per_dim", (*WIDTHS, math.inf))


@pytest.fixture(scope="module")
def ntk(study):
    return study.against(study.theory_of("NTK"), "width_per_dim", WIDTHS)


def test_outliers_converge_under_mup(mup):
    assert np.isfinite(mup.outlier).all()
    gaps = np.abs(mup.outlier[:, :-1] - mup.outlier[:, -1:])
    assert (np.diff(gaps, axis=1) < 0).all()
    changes = np.abs(np.diff(mup.outlier[W1, :-1]))
    assert (np.diff(changes) < 0).all()
    np.testing.assert_allclose(changes[1:] / changes[:-1], 0.5, atol=0.07)  # corrections go with 1/nu
    assert gaps[W1, -1] < 2e-3 * mup.outlier[W1, -1]
    assert gaps[KERNEL, -1] < 3e-4 * mup.outlier[KERNEL, -1]


def test_outliers_drift_and_sink_under_the_ntk_parametrization(ntk):
    assert list(np.isfinite(ntk.outlier[W1])) == [True, True, True, False, False, False]
    assert list(np.isfinite(ntk.outlier[KERNEL])) == [True] * 5 + [False]
    assert (np.diff(ntk.outlier[W1, :3]) < -0.05).all()
    assert (ntk.leading[KERNEL, 1:] < 0.8 * ntk.leading[KERNEL, :-1]).all()  # at every doubling


def test_parametrizations_agree_where_the_width_is_the_input_dimension(mup, ntk):
    np.testing.assert_allclose(mup.outlier[:, 1], ntk.outlier[:, 1], rtol=1e-12)


def test_wider_networks_need_more_richness_only_under_the_ntk_parametrization(study):
    mup, ntk = (study.critical_richness(study.theory_of(p), 4.0) for p in ("muP", "NTK"))
    assert ntk == pytest.approx(2 * mup, rel=0.02)  # gamma = gamma0 / nu^(1/2)


def test_finite_networks_are_on_the_lines(study, mup):
    points = study.measured_against(study.theory_of("muP"), "width_per_dim", [2.0], dim=300, seeds=4)
    theory = mup.outlier[:, 2]
    allowed = 4 * points.error[:, 0] + np.array([0.5, 5]) / 300 * theory  # corrections to the limit are of order 1/D
    assert (np.abs(points.mean[:, 0] - theory) < allowed).all()


@pytest.mark.parametrize(
    "plan",
    [
        ((1, 4, 16), (1,), (1,), 60, (6,), (0.7,), 60, 2),
        pytest.param(((1, 4, 16), (1,), (1,), 40, (4, 8), (0.7, 1.3), 100, 2), marks=pytest.mark.slow),
    ],
    ids=["one point", "two points"],
)
def test_main_writes_figures_and_prints_the_numbers(plan, study, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "QUICK", study.Plan(*plan))
    monkeypatch.setattr(study, "STEPS", 60)
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), str(tmp_path), "--quick"])
    study.main()
    assert {f.name for f in tmp_path.iterdir()} == {"width.png", "time.png", "richness.png", "init_std.png"}
    printed = capsys.readouterr().out
    assert "W1, NTK parametrization: relative changes" in printed
    assert "no outlier at nu = 4, 16" in printed
