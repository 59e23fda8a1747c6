"""First steps in closed form, and the learning rates beyond which they lead uphill, from the march in exact arithmetic.

Closed forms come from moments of Wishart matrices: the derivation knows none of them.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from math import comb

import pytest
import sympy as sp

import dmft_sym as ds


@cache
def theory_of(depth, online=True):
    return ds.derive(ds.deep_linear(depth), training=ds.OnlineSGD() if online else ds.GradientDescent())


@cache
def two_steps(depth, online=True):
    """The run with all parameters open."""
    return theory_of(depth, online).exact(steps=2)


def moments(power, ratio):
    """``<lambda^k>`` of the Marchenko-Pastur law: Narayana polynomials in ``1/alpha``."""
    return sum(sp.Rational(comb(power, r) * comb(power - 1, r), r + 1) * ratio**r for r in range(power)) if power else 1


def errors_of_two_layers(s):
    """``<Delta(t)^2>`` of one hidden layer at ``t = 0, 1``, fresh batches (arXiv:2502.02531, appendix D).

    ``Delta(1) = Delta - (e M + a)(S Delta + n)`` with ``e = eta0 s2``, ``M = W0^T W0/(s2 nu D)`` at initialization,
    ``S`` and the noise ``n`` of the fresh batch, and ``a = e - e^2/nu`` from the step of the readout, the second term
    from its product with that of ``W0``; ``Delta = beta* - W0^T w/(gamma nu)``, the second term of square ``b``.
    """
    e, b = s.eta0 * s.s2, s.s2**2 / (s.gamma**2 * s.nu)
    a, more, batch = e - e**2 / s.nu, 1 / s.nu, 1 / s.alpha
    norm = 1 + b
    first = 1 + b * (1 + more)  # <Delta M Delta>
    second = 1 + more + b * (1 + 3 * more + more**2)  # <Delta M^2 Delta>
    square = e**2 * (second + norm * (1 + more) * batch)
    square += 2 * e * a * (first + norm * batch) + a**2 * norm * (1 + batch)
    noise = s.sigma_eps**2 * batch * (e**2 * (1 + more) + 2 * e * a + a**2)
    return norm, norm - 2 * e * first - 2 * a * norm + square + noise


def test_first_online_step_of_two_layers():
    """In all parameters: an identity of rational functions."""
    run, s = two_steps(1), theory_of(1).symbols
    for loss, error in zip((run.test_loss[0], run.test_loss[1]), errors_of_two_layers(s), strict=True):
        assert sp.cancel(loss - error - s.sigma_eps**2) == 0


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_first_online_step_is_a_polynomial(depth):
    """arXiv:2502.02531, appendix D: ``C_v(1, 1)`` is a polynomial in the learning rate and the inverse ratios."""
    run, s = two_steps(depth), theory_of(depth).symbols
    width, batch, rich = sp.symbols("width batch rich")
    inverse = {s.alpha: 1 / batch} | ({s.nu: 1 / width, s.gamma: 1 / rich} if depth else {})
    value = sp.cancel(run.C_v[1, 1].subs(inverse))
    names = [s.eta0, batch, *([width, rich] if depth else [])]
    assert value.is_polynomial(*names)
    assert sp.Poly(value, *names).degree(s.eta0) == 2 * (depth + 1)


def test_online_regression_shrinks_by_the_same_factor_at_every_step():
    """Werfel, Xie, Seung (2003): ``<Delta^2>`` times ``1 - 2 eta + eta^2 (1 + 1/alpha)``, plus ``eta^2 sigma^2/alpha``.

    So that ``eta0 < 2/(1 + 1/alpha)`` is stable, and beyond it batches are too small for the learning rate.
    """
    run, s = theory_of(0).exact(steps=4), theory_of(0).symbols
    error = [run.test_loss[t] - s.sigma_eps**2 for t in range(4)]
    factor = 1 - 2 * s.eta0 + s.eta0**2 * (1 + 1 / s.alpha)
    for before, after in pairwise(error):
        assert sp.cancel(after - factor * before - s.eta0**2 * s.sigma_eps**2 / s.alpha) == 0
    assert sp.solve(factor - 1, s.eta0) == [2 * s.alpha / (s.alpha + 1)]


def test_batch_regression_has_moments_of_marchenko_and_pastur():
    """``<Delta(t)^2> = <(1 - eta0 lambda)^{2t}>``, and the training error has one ``lambda`` more."""
    run, s = theory_of(0, online=False).exact(steps=4, label_noise=0), theory_of(0, online=False).symbols
    for t in range(4):
        for loss, extra in ((run.test_loss[t], 0), (run.train_loss[t], 1)):
            terms = (comb(2 * t, k) * (-s.eta0) ** k * moments(k + extra, 1 / s.alpha) for k in range(2 * t + 1))
            assert sp.cancel(loss - sum(terms)) == 0


def threshold(run, symbols, **values):
    """The smallest positive learning rate at which the first step leaves the test loss what it was."""
    numbers = {symbols[name]: sp.nsimplify(value) for name, value in values.items()}
    gained = sp.cancel((run.test_loss[1] - run.test_loss[0]).subs(numbers) / symbols.eta0)
    roots = sp.Poly(sp.numer(sp.together(gained)), symbols.eta0).nroots(n=30)
    return min(root for root in roots if root.is_real and root > 0)


VALUES = {"nu": 0.8, "alpha": 1.5, "gamma": 2, "s2": 1, "sigma_eps": 0.25}


@pytest.mark.parametrize("online", [True, False], ids=["online", "batch"])
def test_the_loss_grows_beyond_the_threshold_of_the_first_step(online):
    """On both sides of the root of the exact step, by marches that know nothing of it."""
    theory = theory_of(1, online)
    root = threshold(two_steps(1, online), theory.symbols, **VALUES)
    run = {
        rate: theory.compile("numpy")(
            method="equations", steps=2, learning_rate=float(root) * rate, width_per_dim=0.8, samples_per_dim=1.5,
            richness=2.0, label_noise=0.25,
        ).test_loss.sel(output=0).values
        for rate in (0.999, 1.001)
    }  # fmt: skip
    assert run[0.999][1] < run[0.999][0] and run[1.001][1] > run[1.001][0]


@pytest.mark.parametrize("depth", [1, 2])
def test_threshold_of_wide_networks_is_that_of_regression_shared_by_the_layers(depth):
    """``eta0 (L + 1) s2^L < 2/(1 + 1/alpha)`` while features have not moved: all layers learn at once.

    Infinitely wide, where a first step from zero output is lazy at any richness: the NTK is the sum of ``L + 1``
    equal kernels (Jacot, Gabriel, Hongler 2018; Lee et al. 2019).
    """
    s = theory_of(depth).symbols
    run = theory_of(depth).exact(steps=2, label_noise=0)
    gained = run.test_loss[1] - run.test_loss[0]
    gained = sp.factor(sp.limit(gained, s.nu, sp.oo))
    (root,) = (root for root in sp.solve(gained, s.eta0) if root != 0)
    assert sp.simplify(root * (depth + 1) * s.s2**depth - 2 / (1 + 1 / s.alpha)) == 0
