"""What lowered equations ask of a run: averages by the SymPy functions that they are, and numbers of a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import sympy as sp

from dmft_sym.derivation.symbols import KEPT, TwoPoint
from dmft_sym.execution.evaluate import Evaluator
from dmft_sym.program import Optimizer
from dmft_sym.spectra.matrices.class_numbers import ClassNumbers, Kind
from dmft_sym.support.array_types import Array, Floats

from .lowering import Place


class Averages(ABC):
    """Averages of a run.

    Parameters
    ----------
    optimizer
        Of the training program.
    values
        Of its parameters.
    steps
        Number of steps.

    Attributes
    ----------
    sizes
        Number of values of every label beside the step, by its name; labels without a number have one value.
    integers
        Values of the symbols of layers.
    classes
        Numbers of the classes of sites.
    """

    sizes: Mapping[str, int]

    def __init__(
        self, optimizer: Optimizer, values: Mapping[sp.Symbol, float], steps: int, classes: ClassNumbers | None = None
    ) -> None:
        self.steps = steps
        self.classes = ClassNumbers({}) if classes is None else classes
        self.evaluate = Evaluator(values)
        self.integers = {symbol: int(value) for symbol, value in values.items() if symbol.is_integer}
        self.recursion = optimizer.numbers(self.evaluate)
        self._polynomials: dict[sp.Expr, _Polynomial] = {}

    @abstractmethod
    def two_time(self, place: Place, kind: Kind = None) -> Array | None:
        """A correlation or a response, an axis for every label of its two things; ``None`` if always zero.

        At the sites of a class, or the average over all sites.
        """

    @abstractmethod
    def scalar(self, place: Place) -> Array:
        """A scalar, an axis for every label."""

    @abstractmethod
    def equal_time(self, point: sp.Expr, step: int) -> float:
        """A correlation of the step."""

    @abstractmethod
    def size(self, thing: Any, layer: int | None) -> Floats:
        """Typical size of a field, or of what is behind a Gaussian field, an axis for every label."""

    def number(self, coefficient: sp.Expr, step: int, kind: Kind = None) -> float:
        """A coefficient at a step; it is a polynomial in correlations of the step and in what is left by decay.

        With the numbers of a class if it depends on the class.
        """
        coefficient = self.classes.at(coefficient, kind)
        if coefficient not in self._polynomials:
            self._polynomials[coefficient] = _Polynomial(coefficient, self.evaluate)
        return self._polynomials[coefficient](lambda atom: self._atom(atom, step))

    def _atom(self, atom: sp.Expr, step: int) -> float:
        return self.equal_time(atom, step) if isinstance(atom, TwoPoint) else float(self.recursion.retention(step))


class _Polynomial:
    """A coefficient as a polynomial in what depends on the step; ratios may be infinite in the rest."""

    def __init__(self, coefficient: sp.Expr, evaluate: Evaluator) -> None:
        self.atoms = sorted(coefficient.atoms(TwoPoint, KEPT), key=str)
        names = [sp.Dummy() for _ in self.atoms]
        parts: list[tuple[tuple[int, ...], sp.Expr]] = [((), coefficient)]
        if names:
            bare = coefficient.xreplace(dict(zip(self.atoms, names, strict=True)))
            parts = sp.Poly(bare, *names).terms()
        self.parts = [(powers, evaluate(part, coefficient)) for powers, part in parts]

    def __call__(self, value: Callable[[sp.Expr], float]) -> float:
        values = [value(atom) for atom in self.atoms]
        total = 0.0
        for powers, weight in self.parts:
            for number, power in zip(values, powers, strict=bool(values)):
                weight *= number**power
            total += weight
        return total
