"""Three checks of a limit, by routes that share nothing: structure, exact first steps, approach in numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from dmft_sym.derivation.equations import Equation
from dmft_sym.derivation.symbols import TwoPoint
from dmft_sym.solvers.exact_march import exact_run
from dmft_sym.solvers.solver import Solver

from .limit import EPS
from .limiting import LimitingTheory
from .verdicts import Verdict, Verdicts, fitted

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

ROOT = sp.Symbol("eps_root", positive=True)
"""Of ``eps``, so that powers of the root are powers of a generator."""
_SIZES = (1e-2, 3e-3, 1e-3, 3e-4)
_FEW = 40
"""Two-time matrices up to which a third step in exact arithmetic is quick."""


def structural(limiting: LimitingTheory) -> Verdict:
    """Whether the limiting equations are what SymPy finds for ``eps -> 0`` when all powers of ``eps`` are put in.

    The equations of the theory, with every order parameter ``X`` replaced by ``eps^k X``, are divided by the power of
    the left-hand side; what is left at ``eps = 0`` must be the limiting equation, and claimed powers the derived ones.
    """
    limit = limiting.limit
    wrong = [name for name, power in limit.powers.items() if limiting.powers.get(name) != power]
    if wrong:
        found = ", ".join(f"{name}: eps^{limiting.powers.get(name)}" for name in wrong)
        return Verdict(False, f"powers that were claimed are not those derived, {found}")
    if limit.rate is not None and limiting.rate not in (limit.rate, sp.oo):
        return Verdict(False, f"what vanishes is smaller by eps^{limiting.rate}, not by eps^{limit.rate}")
    theory, count = limiting.theory.closed, 0
    for whole, left in zip(theory.equations, limiting.closed.equations, strict=True):
        if whole.left.func in limiting.needed:
            count += 1
            if sp.expand(_at_zero(limiting, whole) - _flat(left.right)) != 0:
                return Verdict(False, f"{whole.label} has another limit")
    return Verdict(True, f"{count} equations, {len(limiting.vanished)} terms and order parameters vanish")


def _at_zero(limiting: LimitingTheory, equation: Equation) -> sp.Expr:
    """The right-hand side at ``eps = 0``, in units of the left-hand side."""
    powers = limiting.orders.powers
    right = _flat(equation.right).xreplace(limiting.values)
    sizes = {point: EPS ** powers.get(point.func, 0) * point for point in right.atoms(TwoPoint)
             if powers.get(point.func, 0) != sp.oo}  # fmt: skip
    zeros = {point: sp.Integer(0) for point in right.atoms(TwoPoint) if powers.get(point.func, 0) == sp.oo}
    power = powers[equation.left.func]
    if power == sp.oo:
        return sp.Integer(0)
    scaled = sp.expand(right.xreplace({**sizes, **zeros}) / EPS**power)
    return sp.expand(sp.powdenest(scaled.subs(EPS, ROOT**2), force=True)).subs(ROOT, 0)


def _flat(expression: sp.Expr) -> sp.Expr:
    """Sums and conditions as factors, so that what stands inside of them is in sight."""

    def flat(part: sp.Expr) -> sp.Expr:
        if isinstance(part, sp.Sum):
            return sp.Function("Sum_over")(*(sp.Tuple(*limit) for limit in part.limits)) * flat(part.function)
        if isinstance(part, sp.Piecewise) and len(part.args) == 2:
            value, condition = part.args[0]
            return sp.Function("If")(sp.Symbol(str(condition))) * flat(value)
        if part.is_Add or part.is_Mul:
            return part.func(*map(flat, part.args))
        return part

    return sp.expand(flat(expression))


def exact(
    limiting: LimitingTheory, steps: int = 3, seed: int = 0, tries: int = 2, **fixed: Any
) -> tuple[Verdict, sp.Expr]:
    """Whether first steps, as exact rational functions of ``eps``, go to those of the limiting equations.

    Other parameters are random rational numbers, so that equality at each of the ``tries`` is a proof but for a
    probability of about the degree over a thousand. Correlations are compared entry by entry, and losses have to come
    closer by the power of ``eps`` that is claimed. The second result is this power.
    """
    rng, count = random.Random(seed), 0
    closest: list[sp.Rational] = []
    for _ in range(tries):
        values = {**rationals(limiting.whole, rng), **fixed}
        whole = exact_run(limiting.whole, steps, limiting.arguments_at(ROOT**2, values))
        left = limiting.exact(steps, **limiting.kept(values))
        for name in (name for name in left.variables if not name.startswith("R_")):
            full, limit = whole.elements(name), left.elements(name)
            for place in np.ndindex(limit.shape):
                distance = _valuation(_difference(full[place], limit[place]))
                count += 1
                if distance <= 0:
                    return Verdict(False, f"{name}{list(place)} does not go to that of the limiting equations"), sp.oo
                closest += [distance] if name.endswith("loss") else []
    rate = min(closest, default=sp.oo)
    words = f"{count} entries of {steps} steps; losses differ by eps^{rate}"
    claimed = limiting.limit.rate
    return Verdict(claimed is None or rate in (claimed, sp.oo), words), rate


def rationals(theory: Problem, rng: random.Random) -> dict[str, Any]:
    """Random values of all parameters by keyword; learning rates and what the optimizer keeps are below one."""
    values: dict[str, Any] = {}
    for parameter in (parameter for parameter in theory.parameters if not parameter.integer):
        small = parameter.high == 1.0 or parameter.keyword == "learning_rate"
        root = Fraction(rng.randint(1, 6), rng.randint(7, 12) if small else rng.randint(3, 8))
        values[parameter.keyword] = root**2  # so that roots are rational too
    return values


def _difference(whole: Any, limit: Any) -> Any:
    """Of elements of two fields, that without ``eps`` in the other one; roots of eigenvalues are in both."""
    if hasattr(whole, "field") and hasattr(limit, "field") and whole.field != limit.field:
        limit = whole.field.from_expr(limit.as_expr())
    return whole - limit


def _valuation(element: Any) -> sp.Rational:
    """The power of ``eps`` with which an element of the field of rational functions of its root vanishes."""
    if not element:
        return sp.oo
    if not hasattr(element, "numer") or isinstance(element, Fraction) or not hasattr(element.numer, "monoms"):
        return sp.Integer(0)
    low, base = (min(part.monoms())[0] for part in (element.numer, element.denom))
    return sp.Rational(low - base, 2)


def approach(
    limiting: LimitingTheory, values: Mapping[str, Any], steps: int = 20, backend: str = "numpy",
    rate: sp.Expr | int | None = None,
) -> Verdict:  # fmt: skip
    """Whether losses come closer with a rate, that of the limit by default, fitted to a sequence of small ``eps``."""
    expected = limiting.limit.rate if rate is None else rate
    limit = limiting.solve(backend, steps=steps, **limiting.kept(values))
    distances = []
    sizes = [math.sqrt(size) for size in _SIZES] if limiting.limit.even else _SIZES  # even: a series in eps^2
    for size in sizes:
        scaled = limiting.arguments_at(size, values)
        arguments: dict[str, Any] = {k: v if isinstance(v, int) else float(v) for k, v in scaled.items()}
        run = Solver(limiting.whole, backend)(steps=steps, method="equations", **arguments)
        losses = [name for name in limit.data_vars if str(name).endswith("loss")]
        distances.append(max(float(np.abs(run[name].values - limit[name].values).max()) for name in losses))
    return fitted(sizes, distances, float(limiting.rate if expected is None else expected))


def checks(limiting: LimitingTheory, arguments: Mapping[str, Any]) -> Verdicts:
    """All three; a third step in exact arithmetic where it is quick."""
    steps = {key: value for key, value in arguments.items() if key == "steps"}
    values = {key: value for key, value in arguments.items() if key != "steps"}
    fixed = integers(limiting.whole, values)
    proved, rate = exact(limiting, 3 if _matrices(limiting, fixed) <= _FEW else 2, **fixed)
    claimed = limiting.limit.rate
    expected = claimed if claimed is not None else rate if rate.is_finite else None  # first steps may be equal
    return structural(limiting), proved, approach(limiting, values, rate=expected, **steps)


def integers(theory: Problem, values: Mapping[str, Any]) -> dict[str, int]:
    """Integer parameters that are given, or have a default of the network."""
    given = {p.keyword: values[p.keyword] for p in theory.parameters if p.integer and p.keyword in values}
    if theory.network.depth is not None:
        given.setdefault("depth", theory.network.depth)
    return given


def _matrices(limiting: LimitingTheory, fixed: Mapping[str, int]) -> int:
    """Number of two-time matrices of the whole theory at the depth of the network."""
    depth = fixed.get("depth", limiting.theory.network.depth or 0)
    values = {symbol: int(depth) for symbol in limiting.theory.program.parameters if symbol.is_integer}
    return sum(math.prod(len(layers.at(values)) for layers in array.stored) for array in limiting.whole.closed.arrays)
