"""First steps of a march in exact arithmetic: order parameters as rational functions of the parameters."""

from __future__ import annotations

import inspect
import numbers
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.codegen.equations.exact_backend import PREFIX, root_of
from dmft_sym.codegen.text.coefficient_text import class_name
from dmft_sym.codegen.text.names import python_name
from dmft_sym.networks.parameters import GAMMA, INIT_VARIANCE, NU
from dmft_sym.program import STEP, TIME
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show, suggestion

from .arguments import check_integer
from .generated_modules import march_module

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

Objects = NDArray[np.object_]


class ExactRun:
    """Variables of a solver as SymPy scalars: losses ``test_loss[t]``, order parameters ``C_h[l - 1, t, s]``, ...

    Attributes are variables: arrays of `sympy.Expr` with axes ([layer,] step [, output] [, step2 [, output2]]); axes of
    outputs are there if there are several. What is left open is a symbol of the theory.

    Parameters
    ----------
    raw
        What the exact back end returned, by name: elements of a field, over the joint index (step, output).
    losses
        Names of those that have one step only.
    outputs
        Number of outputs.
    known
        What symbols of the field stand for.

    See Also
    --------
    Theory.exact : makes it.

    References
    ----------
    arXiv:2502.02531, appendix D (closed forms of first steps).

    Examples
    --------
    >>> import dmft_sym as ds
    >>> ds.derive(ds.deep_linear(depth=0)).exact(steps=2, samples_per_dim=2, label_noise=0).test_loss[1]
    3*eta0**2/2 - 2*eta0 + 1
    """

    def __init__(
        self,
        raw: Mapping[str, Objects],
        losses: Collection[str],
        outputs: int,
        known: Mapping[sp.Symbol, sp.Expr],
    ) -> None:
        self.raw, self.losses, self.outputs, self.known = dict(raw), tuple(losses), outputs, dict(known)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables."""
        return tuple(self.raw)

    def elements(self, name: str) -> Objects:
        """A variable as elements of the field.

        Raises
        ------
        ArgumentError
            If there is no such variable.
        """
        if name not in self.raw:
            near = suggestion(name, self.variables)
            raise ArgumentError(f"variable {show(name)}: allowed are {', '.join(self.variables)}{near}")
        array, c = self.raw[name], self.outputs
        if name in self.losses:
            return array[:, 0] if c == 1 else array
        lead, (rows, columns) = array.shape[:-2], array.shape[-2:]
        return array if c == 1 else array.reshape(*lead, rows // c, c, columns // c, c)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self.__dict__.get("raw", {}):
            raise AttributeError(f"variable {show(name)}: allowed are {', '.join(self.__dict__.get('raw', {}))}")
        found = self.elements(name)
        made = np.empty(found.shape, dtype=object)
        for place in np.ndindex(found.shape):
            made[place] = self.expression(found[place])
        return made

    def expression(self, element: Any) -> sp.Expr:
        """An element of the field as an expression in the symbols of the theory."""
        value = element.as_expr() if hasattr(element, "as_expr") else sp.sympify(element, strict=True)
        return sp.sympify(value, strict=True).xreplace(self.known)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.variables]

    def __repr__(self) -> str:
        return f"<exact first steps of {', '.join(self.variables)}>"


def exact_run(problem: Problem, steps: int, keywords: Mapping[str, Any]) -> ExactRun:
    """March in exact arithmetic.

    Parameters
    ----------
    keywords
        As of a run; numbers, fractions as text or expressions. What is missing is a symbol.

    Raises
    ------
    ArgumentError
        If the equations do not close, or an argument is unknown or not exact.
    """
    steps = check_integer("steps", steps, 1)
    if problem.training.continuous:
        raise ArgumentError("exact: a gradient flow has no first steps; allowed is GradientDescent")
    if problem.program.averaged:
        raise ArgumentError("exact: allowed where all equations close, as in the proportional regime")
    if problem.program.has_norms:
        raise ArgumentError("exact: norms of gradients are roots; allowed is a training rule without them")
    module = march_module(problem, "exact")
    outputs = check_integer("outputs", keywords.get("outputs", problem.network.outputs), 1)
    given, known = _arguments(module, _values(problem, keywords))
    integers = {python_name(symbol) for symbol in problem.program.parameters if symbol.is_integer}
    kinds, roots = _class_arguments(module, problem)
    field = _field_of([*given.values(), *(value for row in kinds.values() for value in row)])
    elements = {name: int(value) if name in integers else field.from_sympy(value) for name, value in given.items()}
    weights = {name: np.array([field.from_sympy(x) for x in row]) for name, row in _given_anew(problem, steps)}
    weights |= {name: np.array([field.from_sympy(value) for value in row]) for name, row in kinds.items()}
    raw = module.march(steps=steps, outputs=outputs, **elements, **weights)
    losses = {observable.name: raw[observable.name] for observable in problem.program.observables}
    arrays = {name: raw[array] for name, array in _order_parameters(problem)}
    return ExactRun({**losses, **arrays}, losses, outputs, {**known, **roots})


def _given_anew(problem: Problem, steps: int) -> Iterator[tuple[str, list[sp.Expr]]]:
    """Scalars that are given at every step, by their formulas.

    Raises
    ------
    ArgumentError
        If a number is not a fraction, negative or not finite.
    """
    problem.training.given(steps)
    for scalar in problem.program.given_anew:
        assert scalar.formula is not None  # it is so where all equations close
        row = [sp.nsimplify(scalar.formula.subs({TIME.size: steps, STEP: step})) for step in range(steps)]
        if not all(value.is_Rational for value in row):
            raise ArgumentError(f"exact: {scalar} = {scalar.formula} has values that are no fractions")
        yield scalar.name, row


def _order_parameters(problem: Problem) -> Iterator[tuple[str, str]]:
    """Names and arrays; where one name has several arrays these have their own."""
    count = Counter(export.name for export in problem.order_parameters)
    for export in problem.order_parameters:
        yield export.name if count[export.name] == 1 else export.array.name, export.array.name


def _values(problem: Problem, keywords: Mapping[str, Any]) -> dict[sp.Symbol, sp.Expr]:
    """Every parameter of the program: what is given, or its own symbol."""
    parameters = {parameter.keyword: parameter for parameter in problem.parameters}
    allowed = [*parameters, "outputs", *(["width_per_dim"] if "richness" in parameters else [])]
    for name in keywords:
        if name not in allowed:
            near = suggestion(name, allowed)
            raise ArgumentError(
                f"{name}: unknown argument{near}; allowed are steps, {', '.join(dict.fromkeys(allowed))}"
            )
    given = {name: exact_number(name, value) for name, value in keywords.items()}
    if problem.network.depth is not None:
        given.setdefault("depth", sp.Integer(problem.network.depth))
    found = {}
    for name, parameter in parameters.items():
        if parameter.integer and name not in given:
            raise ArgumentError(f"{name}: missing; allowed is {parameter.allowed} ({parameter.meaning})")
        value = given.get(name, parameter.symbol)
        if name in given and value.is_number and not parameter.admits(float(value)):
            raise ArgumentError(f"{name} = {value}: allowed is {parameter.allowed}")
        if name in given and parameter.symbol == GAMMA:
            power = sp.nsimplify(problem.network.parametrization.exponent) - sp.Rational(1, 2)
            value *= given.get("width_per_dim", NU) ** power
        found[parameter.symbol] = value**2 if name in given and parameter.symbol == INIT_VARIANCE else value
    return found


def exact_number(name: str, value: Any) -> sp.Expr:
    """``3``, ``0.05`` (which is 1/20), ``"1/3"``, a fraction, or an expression of SymPy.

    Raises
    ------
    ArgumentError
        If it is something else, or not finite.
    """
    if isinstance(value, sp.Expr) and not value.has(sp.Float, sp.oo, sp.nan, sp.zoo):
        return value
    try:
        if isinstance(value, numbers.Real | str) and not isinstance(value, bool):
            return sp.Rational(str(value))
    except (TypeError, ValueError, ZeroDivisionError):
        pass
    raise ArgumentError(f"{name} = {show(value)}: allowed is a finite number, a fraction as text, or an expression")


def _arguments(
    module: ModuleType, values: Mapping[sp.Symbol, sp.Expr]
) -> tuple[dict[str, sp.Expr], dict[sp.Symbol, sp.Expr]]:
    """Arguments of the module, which takes roots of some parameters; what is not rational stays a symbol.

    Returns
    -------
    given, known
        Arguments by name, and what symbols stand for.
    """
    names = inspect.signature(module.march).parameters
    wanted = {name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)}
    surds = {sp.Integer(name): sp.Integer(name) for name in wanted if name.isdigit()}
    pairs = [(symbol, value) for symbol, value in values.items() if python_name(symbol) in names]
    for base, value in {**values, **surds}.items():
        if python_name(root_of(base)) in names:
            pairs.append((root_of(base), sp.sqrt(value)))
    given = {python_name(symbol): value if _is_rational(value) else symbol for symbol, value in pairs}
    return given, {symbol: value for symbol, value in pairs if not _is_rational(value)}


def class_fractions(problem: Problem) -> dict[str, list[sp.Rational]]:
    """Numbers of classes of sites as fractions; shares add up to one."""
    given = problem.data.given
    found = {name: [sp.Rational(str(float(x))) for x in given[name]] for name in problem.program.class_values}
    for share in {classes.share for classes in problem.program.classes}:
        found[share] = [number / sum(found[share]) for number in found[share]]
    return found


def _class_arguments(module: ModuleType, problem: Problem) -> tuple[dict[str, list[sp.Expr]], dict[sp.Symbol, sp.Expr]]:
    """Numbers of classes of sites, as fractions; shares add up to one. Roots that are no fractions are symbols.

    Returns
    -------
    given, known
        Arguments by name, and what symbols stand for.
    """
    names = inspect.signature(module.march).parameters
    given, known = dict[str, list[sp.Expr]](), dict[sp.Symbol, sp.Expr]()
    for name, row in class_fractions(problem).items():
        if class_name(name) not in names:  # of which it takes the roots
            name = f"{PREFIX}{name}"
            symbols = [sp.Symbol(f"{name}_{place}", positive=True) for place in range(len(row))]
            roots = dict(zip(symbols, map(sp.sqrt, row), strict=True))
            known |= {symbol: root for symbol, root in roots.items() if not root.is_Rational}
            row = [symbol if symbol in known else root for symbol, root in roots.items()]
        given[class_name(name)] = row
    return given, known


def _is_rational(value: sp.Expr) -> bool:
    """Whether it is a rational function with rational coefficients."""
    numbers = value.atoms(sp.Number, sp.NumberSymbol)
    powers = all(power.exp.is_Integer for power in value.atoms(sp.Pow))
    return bool(value.is_rational_function() and powers and all(number.is_Rational for number in numbers))


def _field_of(values: Iterable[sp.Expr]) -> Any:
    """The field of rational functions of all symbols in values."""
    symbols = sorted({symbol for value in values for symbol in value.free_symbols}, key=lambda symbol: symbol.name)
    return sp.QQ.frac_field(*symbols) if symbols else sp.QQ
