"""Linear regression in high dimension: the double-descent peak, ridge regression, and what early stopping does to them.

``alpha = P/D`` samples per dimension, ``gamma = 1/alpha``, teacher of unit norm, label noise ``sigma``. Risks of the
literature are excess risks; ``test_loss`` has ``sigma^2`` on top.
"""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import dmft_sym as ds

NOISE = 0.5
STEPS = 250
MEMORY = ds.GradientDescent(momentum=0.7)


def losses(alpha, training=MEMORY, **arguments):
    """Test losses of a run that is long enough to converge away from the peak."""
    solver = ds.derive(ds.deep_linear(0), training=training).compile("numpy")
    values = {"samples_per_dim": alpha, "label_noise": NOISE, "learning_rate": 0.3, **arguments}
    return solver(method="equations", steps=STEPS, **values).test_loss.sel(output=0).values


def late(*arguments, **named):
    """The last of them."""
    return losses(*arguments, **named)[-1]


@pytest.mark.parametrize("alpha", [0.2, 0.5, 2.0, 5.0])
def test_ridgeless_regression(alpha):
    """Hastie, Montanari, Rosset, Tibshirani (2022), Theorem 1: ``sigma^2 gamma/(1 - gamma)`` below the peak in
    ``gamma``, ``r^2 (1 - 1/gamma) + sigma^2/(gamma - 1)`` above (arXiv:1903.08560)."""
    gamma = 1 / alpha
    excess = NOISE**2 * gamma / (1 - gamma) if gamma < 1 else (1 - 1 / gamma) + NOISE**2 / (gamma - 1)
    assert late(alpha) == pytest.approx(NOISE**2 + excess, rel=1e-9)


def test_the_peak_is_where_samples_are_as_many_as_dimensions():
    """Belkin, Hsu, Ma, Mandal (2019); Advani and Saxe (2017), arXiv:1710.03667."""
    alphas = np.array([0.25, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0])
    found = np.array([late(alpha) for alpha in alphas])
    assert alphas[found.argmax()] == 1
    assert (np.diff(found) > 0).tolist() == [False, True, True, False, False, False]


def test_the_peak_grows_as_the_root_of_time():
    """Advani and Saxe (2017): eigenvalues at the peak begin at zero, with density ``1/(pi sqrt(lambda))``.

    ``sigma^2 int (1 - exp(-lambda t))^2/(pi lambda^{3/2}) = 4 sigma^2 (1 - 1/sqrt(2)) sqrt(t/pi)``, by SymPy.
    """
    x = sp.Symbol("x", positive=True)
    by_parts = sp.integrate(4 * (1 - sp.exp(-x)) * sp.exp(-x) / sp.sqrt(x), (x, 0, sp.oo))
    slope = float(by_parts / sp.pi)
    assert sp.simplify(by_parts / sp.pi - 4 * (1 - 1 / sp.sqrt(2)) / sp.sqrt(sp.pi)) == 0
    noisy, clean = (losses(1.0, ds.GradientDescent(), label_noise=noise) for noise in (NOISE, 0.0))
    early, last = 60, 240
    gained = np.diff((noisy - clean)[[early, last]])[0] / NOISE**2
    assert gained == pytest.approx(slope * np.diff(np.sqrt([0.3 * early, 0.3 * last]))[0], rel=0.01)


L, GAMMA, X = sp.symbols("lambda gamma x", positive=True)
STIELTJES = (-(1 - GAMMA + L) + sp.sqrt((1 - GAMMA + L) ** 2 + 4 * GAMMA * L)) / (2 * GAMMA * L)
"""``m(-lambda) = int rho(x)/(x + lambda)`` of the Marchenko-Pastur law."""


def ridge_risk(alpha, penalty):
    """Dobriban and Wager (2018), arXiv:1507.03003; Hastie et al. (2022): at isotropic inputs
    ``lambda^2 m'(-lambda) + sigma^2 gamma (m(-lambda) - lambda m'(-lambda))``."""
    slope = -sp.diff(STIELTJES, L)
    risk = L**2 * slope + NOISE**2 * GAMMA * (STIELTJES - L * slope)
    return float(risk.subs({GAMMA: 1 / sp.Float(alpha), L: penalty}))


def test_stieltjes_transform_solves_the_marchenko_pastur_equation():
    m = STIELTJES
    assert sp.simplify(1 / m - (L + 1 / (1 + GAMMA * m))) == 0


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("penalty", [0.1, 0.5])
def test_ridge_regression(alpha, penalty):
    """Decay ``l`` per step at learning rate ``eta`` is ridge regression with penalty ``l (1 - m)/eta``.

    A constant gradient moves the weights by ``eta/(1 - m)`` of it per step, which the decay balances.
    """
    training, decay = ds.GradientDescent(momentum=0.7, weight_decay=0.1), 0.1
    found = late(alpha, training, weight_decay=decay, learning_rate=(1 - 0.7) * decay / penalty)
    assert found == pytest.approx(NOISE**2 + ridge_risk(alpha, penalty), rel=1e-9)


def test_optimal_ridge_has_no_peak():
    """Nakkiran, Venkat, Kakade, Ma (2021), arXiv:2003.01897: at the optimal penalty the loss falls with samples.

    The optimal one is ``sigma^2 gamma``, where the risk is ``sigma^2 gamma m(-lambda)`` (Dobriban and Wager 2018).
    """
    alphas, found = [0.5, 0.8, 1.0, 1.25, 2.0], []
    for alpha in alphas:
        penalty = NOISE**2 / alpha
        training = ds.GradientDescent(weight_decay=0.01)
        found.append(late(alpha, training, weight_decay=(rate := 0.2) * penalty, learning_rate=rate))
        best = float((NOISE**2 * GAMMA * STIELTJES).subs({GAMMA: 1 / sp.Float(alpha), L: penalty}))
        assert found[-1] == pytest.approx(NOISE**2 + best, rel=1e-6)
    assert (np.diff(found) < 0).all()
    assert all(found[2] < NOISE**2 + ridge_risk(1.0, factor * NOISE**2) for factor in (0.5, 2.0))


def test_wide_networks_have_the_peak_of_ridgeless_regression():
    """Late lazy training of an infinitely wide network is ridgeless regression too (Jacot et al. 2018)."""
    limiting = ds.derive(ds.deep_linear(1), training=MEMORY).limit(ds.limits.regression)
    run = limiting.solve("numpy", steps=STEPS, richness=1.0, samples_per_dim=2.0, label_noise=NOISE, learning_rate=0.15)
    assert float(run.test_loss[-1, 0]) == pytest.approx(NOISE**2 * 2, rel=1e-9)
