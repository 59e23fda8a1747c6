"""Averages in the lazy limit as identities of SymPy: arc-cosine and arcsine kernels, and a tangent kernel.

Price's theorem (1958): for Gaussian ``u, v`` of variances ``a, b`` and covariance ``c``, ``d<F(u) G(v)>/dc`` is
``<F'(u) G'(v)>``. A formula is the average if this holds, to the order where the integral can be done, and if at
``c = 0`` it is ``<F><G>``.
"""

from __future__ import annotations

from functools import cache

import pytest
import sympy as sp
from sympy.core.function import AppliedUndef

import dmft_sym as ds
from dmft_sym.derivation.symbols import SiteAverage, TwoPoint

A, B = sp.symbols("a b", positive=True)
C = sp.Symbol("c", real=True)
U, V = sp.symbols("u v", real=True)
ANGLE = sp.acos(C / sp.sqrt(A * B))
FORMULAS = {
    "relu": sp.sqrt(A * B) / (2 * sp.pi) * (sp.sin(ANGLE) + (sp.pi - ANGLE) * sp.cos(ANGLE)),
    "erf": 2 / sp.pi * sp.asin(2 * C / sp.sqrt((1 + 2 * A) * (1 + 2 * B))),
}
"""Cho and Saul (2009), the arc-cosine kernel of order one (half of theirs, whose average has a factor 2); Williams
(1997), *Computing with infinite networks*, the arcsine kernel."""
INPUTS = [[1.0, -0.7, 0.4], [0.2, 0.5, -1.0]]


@cache
def lazy(activation):
    """Equations of the lazy limit, at any depth; symbols of the theory."""
    theory = ds.derive(ds.mlp(2, activation=activation), data=ds.Samples(INPUTS, [1.0, -1.0]))
    return theory.limit(ds.limits.lazy).equations, theory.symbols


def site_function(activation, name, variable):
    """The function of ``h`` that the equations for ``phi``, or for ``g = phi'(h) z``, have: the same at all layers."""
    found = set()
    for item in (item for item in lazy(activation)[0].items if item.label == name):
        parts = {part.func.__name__: part for part in item.right.atoms(AppliedUndef)}
        found.add(sp.cancel(item.right / parts.get("z", 1)).subs(parts["h"], variable))
    (function,) = found
    return function.replace(sp.Heaviside, lambda x, _: sp.Heaviside(x))


def alone(function):
    """``<F(u)>`` for a variance ``a``."""
    density = sp.exp(-(U**2) / (2 * A)) / sp.sqrt(2 * sp.pi * A)
    return sp.simplify(sp.integrate(function * density, (U, -sp.oo, sp.oo)))


def at_zero(x, y):
    """``<delta(x) delta(y)>`` of the Gaussian density of the pair."""
    covariance = sp.Matrix([[A, C], [C, B]])
    form = (sp.Matrix([[x, y]]) * covariance.inv() * sp.Matrix([x, y]))[0]
    density = sp.exp(-form / 2) / (2 * sp.pi * sp.sqrt(covariance.det()))
    deltas = sp.DiracDelta(x) * sp.DiracDelta(y) * density
    return sp.integrate(sp.integrate(deltas, (y, -sp.oo, sp.oo)), (x, -sp.oo, sp.oo))


def of_gaussians(x, y, exponent):
    """``<exp(exponent)>``, two integrals over ``exp(-p y^2 - q y)``."""
    p, q = sp.Symbol("p", positive=True), sp.Symbol("q", real=True)
    line = sp.integrate(sp.exp(-p * x**2 - q * x), (x, -sp.oo, sp.oo))
    assert sp.simplify(line - sp.sqrt(sp.pi / p) * sp.exp(q**2 / (4 * p))) == 0
    covariance = sp.Matrix([[A, C], [C, B]])
    form = exponent - (sp.Matrix([[x, y]]) * covariance.inv() * sp.Matrix([x, y]))[0] / 2
    weight = 1 / (2 * sp.pi * sp.sqrt(covariance.det()))
    for variable in (x, y):
        *_, square = values = sp.Poly(sp.expand(form), variable).all_coeffs()[::-1]
        weight *= sp.sqrt(sp.pi / -square)
        form = sp.cancel(values[0] - values[1] ** 2 / (4 * square))
    assert form == 0
    return weight


def equal(one, other):
    """Whether two positive functions of ``a, b`` and ``c`` are equal."""
    return (
        sp.simplify(one**2 - other**2) == 0
        and one.subs({A: 2, B: 3, C: -1}) > 0
        and other.subs({A: 2, B: 3, C: -1}) > 0
    )


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_fields_are_gaussian_and_their_covariance_is_that_of_the_layer_below(activation):
    """The recursion: Neal (1996), Lee et al. (2018). Averages are over products of one function at two samples."""
    equations, s = lazy(activation)
    right = {item.label: item for item in equations.items}
    average = right["C_phi"].right
    assert isinstance(average, SiteAverage) and average.args[0] == sp.Mul(*right["C_phi"].left.ends)
    above, below = (item.right.atoms(TwoPoint).pop() for item in (right["C_u_W"], right["C_r_W"]))
    assert right["C_u_W"].right == s.s2 * above and str(above) == "C_phi(l, mu, l, nu)"
    assert right["C_r_W"].right == s.s2 * below and str(below) == "C_g(l + 1, mu, c, l + 1, nu, c')"
    assert str(right["C_u_W0"].right) == "s2*K_x(mu, nu)"


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_gradients_have_the_derivative_of_the_features(activation):
    assert sp.diff(site_function(activation, "phi", U), U) == site_function(activation, "g", U)


def test_relu_has_the_arc_cosine_kernels():
    """Twice differentiated by the covariance, the average is the density at zero; so are both formulas."""
    features, slopes = (site_function("relu", name, U) for name in ("phi", "g"))
    assert sp.diff(features, U, 2) == sp.DiracDelta(U)
    formula = FORMULAS["relu"]
    assert equal(sp.diff(formula, C, 2), at_zero(U, V))
    for order, function in enumerate((features, slopes)):
        value = sp.limit(sp.diff(formula, C, order), C, 0)
        assert sp.simplify(value - alone(function) * alone(function).subs(A, B)) == 0


def test_slopes_of_relu_have_the_arc_cosine_kernel_of_order_zero():
    """Sheppard (1899): two Gaussian numbers are both positive with probability ``(pi - angle)/(2 pi)``."""
    assert sp.simplify(sp.diff(FORMULAS["relu"], C) - (sp.pi - ANGLE) / (2 * sp.pi)) == 0


def test_erf_has_the_arcsine_kernel():
    features, slopes = (site_function("erf", name, U) for name in ("phi", "g"))
    formula = FORMULAS["erf"]
    both = slopes * slopes.subs(U, V)
    assert sp.simplify(both / sp.exp(-(U**2) - V**2)) == 4 / sp.pi
    assert equal(sp.diff(formula, C), 4 / sp.pi * of_gaussians(U, V, -(U**2) - V**2))
    assert formula.subs(C, 0) == 0 == alone(features)


def test_tangent_kernel_of_a_relu_network_on_the_sphere():
    """Jacot et al. (2018), Bietti and Mairal (2019): ``K(x) = kappa_1(x) + x kappa_0(x)`` for one hidden layer.

    Inputs of norm one with cosine ``x``, ``s2 = 2`` of He initialization, ``pi kappa_0 = pi - acos(x)``,
    ``pi kappa_1 = x (pi - acos(x)) + sqrt(1 - x^2)``.
    """
    equations, s = lazy("relu")
    kernel = next(item for item in equations.items if item.label == "K_NTK").right.subs(s.L, 1).doit()
    x = sp.Symbol("x", real=True)
    at = {A: 2, B: 2, C: 2 * x}
    assert str(next(item for item in equations.items if item.label == "C_w_0").right) == "s2*KroneckerDelta(c, c')"
    values = {"C_phi": FORMULAS["relu"].subs(at), "C_g": 2 * sp.diff(FORMULAS["relu"], C).subs(at), "K_x": x}
    found = kernel.subs({point: values[point.func.__name__] for point in kernel.atoms(AppliedUndef)})
    found = found.replace(sp.KroneckerDelta, lambda *_: sp.Integer(1))
    angle = sp.pi - sp.acos(x)
    assert sp.simplify(found - (x * angle + sp.sqrt(1 - x**2) + x * angle) / sp.pi) == 0
