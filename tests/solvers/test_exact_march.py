"""First steps in exact arithmetic: rational functions whose numbers are those of the march."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

import dmft_sym as ds
from dmft_sym.support.errors import ArgumentError

NUMBERS = {
    "samples_per_dim": 2, "width_per_dim": Fraction(7, 10), "richness": "5/2", "learning_rate": 0.05, "init_std": 0.9,
    "label_noise": 0.3,
}  # fmt: skip


def residual(net, x):
    """Blocks of strength ``1/sqrt(L)``: an irrational number at most depths."""
    n = net.hidden("N")
    first, blocks = net.matrix("W0", net.inputs, n), net.matrix("W", n, n, layers=(1, net.depth - 1))
    h = net.scan(lambda layer, h: h + (blocks[layer] @ h) / sp.sqrt(net.depth), first @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


def two_widths(net, x):
    n, m = net.hidden("N"), net.hidden("M", 0.5)
    return net.readout("w", net.matrix("V", n, m) @ (net.matrix("W0", net.inputs, n) @ x))


@pytest.mark.parametrize(
    ("network", "training", "steps", "more"),
    [
        (ds.deep_linear(2), ds.GradientDescent(momentum=0.4, weight_decay=0.02),
         3, {"momentum": 0.4, "weight_decay": 0.02}),
        (ds.deep_linear(3), ds.OnlineSGD(), 3, {}),
        (ds.deep_linear(1), ds.GradientDescent(), 3, {"outputs": 2}),
        (ds.network(residual), ds.GradientDescent(), 2, {"depth": 3}),
        (ds.network(two_widths), ds.GradientDescent(), 3, {}),
    ],
    ids=["momentum and decay", "online", "two outputs", "residual", "two widths"],
)  # fmt: skip
def test_exact_numbers_are_those_of_the_march(network, training, steps, more):
    theory = ds.derive(network, training=training)
    exact = theory.exact(steps=steps, **NUMBERS, **more)
    plain = {key: float(Fraction(str(value))) for key, value in NUMBERS.items()}
    run = theory.compile("numpy")(steps=steps, method="equations", **{**plain, **more})
    for name in ("train_loss", "test_loss", "C_Delta", "C_v", "R_r"):
        numbers = np.vectorize(lambda value: float(value))(getattr(exact, name))
        np.testing.assert_allclose(numbers.ravel(), run[name].values.ravel(), rtol=1e-12, atol=1e-13)


def test_losses_of_the_first_steps_are_rational_functions_of_all_parameters():
    """The initial loss of arXiv:2502.02531; the second one is a polynomial of degree 4 (L + 1) in half of the rate."""
    theory = ds.derive(ds.deep_linear(1))
    exact, s = theory.exact(steps=2), theory.symbols
    first = 1 + s.s2**2 / (s.gamma**2 * s.nu) + s.sigma_eps**2
    assert sp.simplify(exact.test_loss[0] - first) == 0
    assert sp.simplify(exact.train_loss[0] - first) == 0
    second = sp.Poly(sp.expand(exact.test_loss[1]), s.eta0)
    assert second.degree() == 4
    assert sp.simplify(second.coeff_monomial(1) - first) == 0
    values = {s.alpha: 2.0, s.nu: 0.7, s.gamma: 2.5, s.eta0: 0.05, s.s2: 0.81, s.sigma_eps: 0.3}
    run = theory.compile("numpy")(
        steps=2, samples_per_dim=2.0, width_per_dim=0.7, richness=2.5, learning_rate=0.05, init_std=0.9, label_noise=0.3
    )
    assert float(exact.test_loss[1].subs(values)) == pytest.approx(float(run.test_loss[1, 0]), rel=1e-12)


def test_the_first_online_step_is_a_polynomial():
    """Of ``C_v`` in ``eta0, 1/nu, 1/alpha_B`` (arXiv:2502.02531, appendix D)."""
    theory = ds.derive(ds.deep_linear(1), training=ds.OnlineSGD())
    exact, s = theory.exact(steps=2, label_noise=0, init_std=1), theory.symbols
    ratio = sp.cancel(exact.C_v[1, 1] * exact.C_v[0, 0] ** -1)
    polynomial = sp.Poly(sp.expand(sp.cancel(exact.C_v[1, 1]).subs({s.nu: 1 / s.nu, s.alpha: 1 / s.alpha})), s.eta0)
    assert polynomial.degree() == 4
    assert sp.denom(sp.together(polynomial.as_expr())).free_symbols <= {s.gamma}
    assert sp.limit(ratio, s.eta0, 0) == 1


def test_one_open_parameter_among_numbers_is_cheap():
    numbers = {key: value for key, value in NUMBERS.items() if key != "learning_rate"}
    exact = ds.derive(ds.deep_linear(1)).exact(steps=3, **numbers)
    assert exact.test_loss[2].free_symbols == {ds.derive(ds.deep_linear(1)).symbols.eta0}


def test_other_parametrizations_have_their_gamma():
    s = ds.derive(ds.deep_linear(1)).symbols
    exact = ds.derive(ds.deep_linear(1, parametrization=ds.NTK)).exact(steps=1, richness=2, width_per_dim=s.nu)
    assert sp.simplify(exact.test_loss[0] - (1 + s.sigma_eps**2 + s.s2**2 / 4)) == 0
    irrational = ds.derive(ds.deep_linear(1)).exact(steps=1, richness=sp.sqrt(2), label_noise=0, init_std=1)
    assert sp.simplify(irrational.test_loss[0] - 1 - 1 / (2 * s.nu)) == 0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"widht_per_dim": 1}, "widht_per_dim: unknown argument (did you mean width_per_dim?); allowed are steps"),
        ({"width_per_dim": float("inf")}, "width_per_dim = inf: allowed is a finite number, a fraction as text"),
        ({"width_per_dim": "1/0"}, "width_per_dim = '1/0': allowed is a finite number, a fraction as text"),
        ({"width_per_dim": -1}, "width_per_dim = -1: allowed is a number > 0"),
        ({"width_per_dim": True}, "width_per_dim = true: allowed is a finite number"),
        ({"steps": 0}, "steps = 0: allowed is an integer >= 1"),
    ],
)
def test_what_is_not_exact_is_refused(parameters, message):
    with pytest.raises(ArgumentError) as error:
        ds.derive(ds.deep_linear(1)).exact(**{"steps": 2, **parameters})
    assert message in str(error.value)


def test_sampled_equations_have_no_exact_numbers():
    theory = ds.derive(ds.mlp(1), data=ds.Samples(np.eye(2), [1.0, -1.0]))
    with pytest.raises(ArgumentError, match="allowed where all equations close"):
        theory.exact(steps=2)
    exact = ds.derive(ds.deep_linear(1)).exact(steps=1)
    with pytest.raises(AttributeError, match="variable 'loss': allowed are train_loss, test_loss"):
        _ = exact.loss
    with pytest.raises(ArgumentError, match="did you mean"):
        exact.elements("test_los")
