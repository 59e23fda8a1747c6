"""Checks of the limit of independent spikes: the derivation without its own steps, and outliers that approach it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from dmft_sym.derivation.symbols import TwoPoint
from dmft_sym.solvers.spectrum_routes import two_time_spectra
from dmft_sym.spectra.equations.symbolic import symbolic_spikes

from .independent_spikes import SCALING, IndependentSpikes, Spike, dyson, responses_of, strength_in
from .limit import EPS, Kind, Limit
from .verdicts import Verdict, Verdicts, fitted

_SIZES = (3e-2, 1e-2, 3e-3, 1e-3)
_ABOVE = 2.0
"""Strengths at which positions are compared, in units of the threshold."""
_SMALL = 1e-9
_ROUNDS = 400
"""Iterations of the Dyson equations, which shrink errors by ``1/theta^2`` in units of the threshold."""


def structural(limiting: IndependentSpikes) -> Verdict:
    """Whether the joint condition goes to the claimed strength, and has its outlier at the claimed position.

    The joint condition, with every response at its power of ``eps``, must be ``1 - theta^2 m_a m_b`` at ``eps = 0``.
    Where ``theta^2 m_a m_b`` must be one, the Dyson equations are iterated in numbers.
    """
    limit = limiting.limit
    if limit.rate not in (None, limiting.rate) and limiting.rate != sp.oo:
        return Verdict(False, f"responses are of order eps^{limiting.rate}, not eps^{limit.rate}")
    claims = {item.left: item.right for item in limiting.equations.items}
    for spike in limiting.spikes:
        theta, z, least = (spike.symbol(name) for name in ("theta", "z", "theta_c"))
        if sp.simplify(_from_joint(limiting, spike) - claims[theta] ** 2) != 0:
            return Verdict(False, f"the joint condition of {spike.matrix} has another limit than {theta} says")
        wrong = _misplaced(limiting, spike, claims[z], theta, claims[least])
        if wrong:
            return Verdict(False, wrong)
    words = f"{len(limiting.equations)} equations, {len(limiting.vanished)} terms with responses vanish"
    return Verdict(True, "; ".join([words, *limiting.reasons.values()]))


def _from_joint(limiting: IndependentSpikes, spike: Spike) -> sp.Expr:
    """``theta^2`` of the joint condition for ``eps -> 0``."""
    spikes = symbolic_spikes(limiting.theory, spike.matrix)
    condition, known = spikes.condition(steps=1), responses_of(limiting.theory, spikes)
    sizes = {
        point: sp.Integer(0) if (power := limiting.powers.get(point.func, sp.oo)) == sp.oo else EPS**power * point
        for point in condition.atoms(TwoPoint)
        if point.func in known
    }
    return strength_in(sp.expand(condition.xreplace(sizes)).subs(EPS, 0), spike.bulk, spike.matrix)


def _misplaced(limiting: IndependentSpikes, spike: Spike, z: sp.Expr, theta: sp.Expr, least: sp.Expr) -> str:
    """What is wrong with the claimed position and threshold, at a few values of the parameters."""
    for number in range(3):
        values = {symbol: sp.Rational(number + 1, 5) for symbol in (z.free_symbols | least.free_symbols) - {theta}}
        values = {symbol: value for symbol, value in values.items() if symbol not in theta.free_symbols}
        position = sp.lambdify(_T, z.subs(theta, _T).subs(values))
        edge = float(least.subs(values))
        at = _ABOVE * edge or 1.0
        if abs(at**2 * _resolvents(limiting, spike, values, position(at)) - 1) > 1e-9:
            return f"{spike.matrix} has no outlier at the position that is claimed"
        if edge and not position(edge) < min(position(0.99 * edge), position(1.01 * edge)):
            return f"the outlier of {spike.matrix} does not leave the bulk at the threshold that is claimed"
    return ""


_T = sp.Symbol("theta", positive=True)


def _resolvents(
    limiting: IndependentSpikes, spike: Spike, values: Mapping[sp.Symbol, sp.Expr], position: float
) -> float:
    """``m_a m_b``, by iteration of the bulk from ``1/z``."""
    equations = dyson(limiting.theory, spike.bulk)
    z = spike.bulk.eigenvalue
    step = sp.lambdify([*equations], [right.subs({**values, z: position}) for right in equations.values()])
    found = np.full(len(equations), 1 / position)
    for _ in range(_ROUNDS):
        found = np.array(step(*found), dtype=float)
    return float(np.prod(found))


def approach(limiting: IndependentSpikes, arguments: Mapping[str, Any]) -> Verdict:
    """Whether outliers of the full condition after one step go to the positions, with the power of the responses.

    Learning rates are those at which a spike stands at twice its threshold, so that there is an outlier.
    """
    given = {name: value for name, value in arguments.items() if name != "steps"}
    values = {"richness": 1.0, "learning_rate": 1.0, **given}
    distances: dict[str, list[float]] = {}
    for size in _SIZES:
        scaled = {**values, "richness": values["richness"] / size, "learning_rate": values["learning_rate"] * size}
        solved = limiting.solve(**scaled)
        for name in map(str, solved.matrix.values):
            theta, threshold = (float(solved[key].sel(matrix=name)) for key in ("theta", "threshold"))
            if 0 < theta < np.inf and threshold < np.inf:
                found = _distance(limiting, scaled, name, theta, _ABOVE * threshold or theta)
                distances.setdefault(name, []).append(found)
    if not distances:
        return Verdict(None, "no matrix of finite ratio moves within the first step")
    rate = float(limiting.rate if limiting.limit.rate is None else limiting.limit.rate)
    verdicts = {name: _judged(found, rate) for name, found in distances.items()}
    words = "; ".join(f"{name}: {verdict}" for name, verdict in verdicts.items())
    return Verdict(all(verdict.holds for verdict in verdicts.values()), words)


def _distance(limiting: IndependentSpikes, values: Mapping[str, Any], name: str, theta: float, wanted: float) -> float:
    """Between the outlier of the joint condition and the position, at a strength, which goes with the learning rate."""
    scaled = {**values, "learning_rate": values["learning_rate"] * wanted / theta}
    expected = float(limiting.solve(theta=wanted, **scaled).outlier.sel(matrix=name))
    outliers = two_time_spectra(limiting.theory, steps=2, backend="numpy", **scaled).at(name, 1).outliers
    return abs(float(np.max(outliers, initial=0.0)) - expected)


def _judged(distances: list[float], rate: float) -> Verdict:
    return Verdict(True, "no distance at all") if max(distances) < _SMALL else fitted(_SIZES, distances, rate)


def checks(limiting: IndependentSpikes, arguments: Mapping[str, Any]) -> Verdicts:
    """All three."""
    roots = Verdict(None, "outliers are roots of polynomials, not rational functions")
    return structural(limiting), roots, approach(limiting, arguments)


independent = Limit(
    "independent",
    SCALING,
    why="a rich network at the same strength of its increments: the first one does not know the initial weights, and "
    "outliers are those of an independent spike",
    rate=1,
    kind=Kind(IndependentSpikes, checks),
)
"""Independent spikes after one step (Baik, Ben Arous and Peche)."""
