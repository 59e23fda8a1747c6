"""Two-layer linear networks learn a mode along a sigmoid that begins at a saddle point.

Infinitely wide, with infinite data of white inputs and a teacher of norm one: ``beta`` is the overlap with the teacher,
``(1 - beta)^2`` the loss. A site has ``a = (W0 beta*)_i`` and ``w_i``, with ``a' = gamma (1 - beta) w`` and
``w' = gamma (1 - beta) a``, from independent Gaussian numbers of variance ``s2``; ``beta = <w a>/gamma``. Hence
``beta = (s2/gamma) sinh(theta)``, ``theta' = 2 gamma (1 - beta)``, that is

    beta' = 2 (1 - beta) sqrt(s2^2 + gamma^2 beta^2)  ->  2 gamma beta (1 - beta)   as s2 -> 0.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import sympy as sp
from scipy.integrate import quad

import dmft_sym as ds

GAMMA = 1.5
WIDE = {"samples_per_dim": np.inf, "width_per_dim": np.inf, "richness": GAMMA}
TIMES = np.linspace(0, 6, 25)


@cache
def flow(init_std):
    """``beta`` at `TIMES`."""
    run = ds.derive(ds.deep_linear(1), training=ds.GradientFlow(rtol=1e-9)).compile()
    return 1 - np.sqrt(run(time=TIMES, init_std=init_std, **WIDE).test_loss.sel(output=0).values)


def logistic(times, start):
    """``beta/(1 - beta) = start exp(2 gamma t)``."""
    return start / (start + np.exp(-2 * GAMMA * np.asarray(times)))


def test_the_logistic_curve_solves_the_equation_without_initial_weights():
    t, start, gamma = sp.symbols("t start gamma", positive=True)
    beta = start / (start + sp.exp(-2 * gamma * t))
    assert sp.simplify(sp.diff(beta, t) - 2 * gamma * beta * (1 - beta)) == 0


@pytest.mark.parametrize("init_std", [0.05, 0.5, 1.0])
def test_the_overlap_grows_along_the_curve_of_its_initial_variance(init_std):
    """Fukumizu (1998), *Effect of batch learning in multilayer neural networks*: the batch flow is solved exactly.

    The time at which an overlap is reached is an integral, from the saddle point on.
    """

    def slowness(beta):
        return 1 / (2 * (1 - beta) * np.hypot(init_std**2, GAMMA * beta))

    for time, beta in zip(TIMES[1:13], flow(init_std)[1:13], strict=True):
        found, _ = quad(slowness, 0, beta, points=[min(init_std**2 / GAMMA, beta / 2)])
        assert found == pytest.approx(time, abs=1e-7)


def test_small_initial_weights_give_a_sigmoid():
    """Saxe, McClelland, Ganguli (2013), arXiv:1312.6120: ``u(t) = s e^(2st/tau)/(e^(2st/tau) - 1 + s/u_0)``.

    From independent weights half of the variance lies along the growing mode, ``u_0 = s2/(2 gamma)``; what the other
    half does vanishes as ``s2``.
    """
    stds = (0.2, 0.1, 0.05)
    gaps = [np.abs(flow(std) - logistic(TIMES, std**2 / (2 * GAMMA))).max() for std in stds]
    assert gaps[-1] < 1e-3
    assert np.polyfit(np.log(stds), np.log(gaps), 1)[0] == pytest.approx(2, abs=0.1)


def test_the_plateau_is_as_long_as_the_logarithm_of_the_initial_variance():
    """Half of the mode is learnt at ``log(1/u_0)/(2 gamma)`` (Saxe et al. 2013), then the transition is sharp."""
    for std in (0.1, 0.05):
        half = np.interp(0.5, flow(std), TIMES)
        assert half == pytest.approx(np.log(2 * GAMMA / std**2) / (2 * GAMMA), abs=0.02)


def test_derived_equations_go_to_the_flow():
    """Gradient descent at two learning rates, extrapolated to none: the closed equations, which no flow has part in."""
    solver, ends = ds.derive(ds.deep_linear(1)).compile("numpy"), []
    for rate in (0.02, 0.01):
        steps = round(3 / rate) + 1
        run = solver(method="equations", steps=steps, learning_rate=rate, init_std=0.05, **WIDE)
        ends.append(1 - np.sqrt(run.test_loss.sel(output=0).values[:: round(0.5 / rate)]))
    expected = flow(0.05)[:13:2]
    assert np.abs(ends[1] - expected).max() < 0.02
    assert np.abs(2 * ends[1] - ends[0] - expected).max() < 5e-4


def test_the_first_step_leaves_the_saddle_point_at_the_rate_of_the_variance():
    """``beta(1) = 2 eta0 s2``, exactly: one ``eta0 s2`` for each layer."""
    theory = ds.derive(ds.deep_linear(1))
    run, s = theory.exact(steps=2, label_noise=0), theory.symbols
    wide = sp.limit(sp.limit(run.test_loss[1], s.nu, sp.oo), s.alpha, sp.oo)
    assert sp.expand(wide - (1 - 2 * s.eta0 * s.s2) ** 2) == 0
