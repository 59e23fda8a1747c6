"""Finds the exponents that were left open: forward fields of order one, and the largest learning rates that are stable.

Where all are open this is the maximal update parametrization: the program as it is comes first, and is taken if every
update moves what it acts on at order one, since any larger rate would blow up. Otherwise open rates are raised until
something blows up, all together and then one by one; those of readouts first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy as sp

from dmft_sym.program import ProgramError

from .arguments import Exponent, Exponents
from .counting import CountedStep, count
from .equations import CountedEquations, Values
from .powers import UNIT, units
from .program import multiplier, rate, sigma

STEPS = 3
"""Updates that are followed: after the first one a matrix may feel what the others have learned."""
LONG = 10
"""Updates for which rates that are raised must stay stable: what grows from a fluctuation, a little more at every step,
blows up later."""
_GRID, _RANGE = UNIT // 12, 72
"""Rates are found as multiples of 1/12 between -6 and 6."""


def found_exponents(
    equations: CountedEquations, given: Sequence[Exponents], averages: Mapping[str, Exponent]
) -> list[Exponents]:
    """The exponents with those that were open.

    Raises
    ------
    ProgramError
        If no learning rate is stable.
    """
    search = _Search(equations, given, averages)
    search.sizes()
    search.rates()
    values = search.values
    exact = {symbol: sp.Rational(value, UNIT) for symbol, value in values.items()}
    return [one.completed(exact[sigma(one.info.name)], exact[rate(one.info.name)]) for one in given]


def symbol_values(given: Sequence[Exponents], averages: Mapping[str, Exponent]) -> dict[sp.Symbol, Exponent]:
    """The symbols of the program, of exponents that are complete."""
    found = {multiplier(name): value for name, value in averages.items()}
    for one in given:
        found[sigma(one.info.name)] = sp.Integer(0) if one.sigma is None else one.sigma
        found[rate(one.info.name)] = sp.Integer(0) if one.rate is None else one.rate
    return found


def stable(history: Sequence[CountedStep], reported: frozenset[str]) -> bool:
    """Whether forward fields, outputs and averages change by no more than order one; one step alone: are no larger."""
    fields = [step.fields[ref] for step in history for ref in step.features]
    scalars = [powers for step in history for ref, powers in step.scalars.items() if ref.scalar.name in reported]
    parts = [part if len(history) == 1 else part.changed for part in (*fields, *scalars)]
    return all(part.size is None or part.size <= 0 for part in parts)


class _Search:
    def __init__(
        self, equations: CountedEquations, given: Sequence[Exponents], averages: Mapping[str, Exponent]
    ) -> None:
        self.equations, self.given = equations, given
        self.values: dict[sp.Symbol, int] = {s: units(v) for s, v in symbol_values(given, averages).items()}
        self.free = [rate(one.info.name) for one in given if one.info.trained and one.rate is None and not one.tied]

    def sizes(self) -> None:
        """Initial entries such that what they make of fields of order one is of order one."""
        for one in self.given:
            if one.sigma is None and one.info.random:
                made = count(self.equations, self.values, 0)[0].products[one.info.name].size
                symbol = sigma(one.info.name)
                self.values[symbol] -= made or 0
                if one.tied:
                    self.values[rate(one.info.name)] = units(one.rate_at(sp.Rational(self.values[symbol], UNIT)))

    def rates(self) -> None:
        """The largest stable ones, those of readouts first: the output is to move."""
        if not self.free or self._maximal():
            return
        self.values |= dict.fromkeys(self.free, -_RANGE * _GRID)
        readouts = [rate(one.info.name) for one in self.given if one.info.readout and rate(one.info.name) in self.free]
        for group in (readouts, [symbol for symbol in self.free if symbol not in readouts]):
            for symbols in (group, *([symbol] for symbol in group if len(group) > 1)):
                self._raise(symbols)

    def _maximal(self) -> bool:
        history = self._history(self.values)
        sizes = [max((step.update_size(name) for step in history), default=None) for name in self._names()]
        return self._stable(history) and all(size == 0 for size in sizes)

    def _names(self) -> list[str]:
        return [one.info.name for one in self.given if rate(one.info.name) in self.free]

    def _history(self, values: Values) -> list[CountedStep]:
        return count(self.equations, values, STEPS)

    def _stable(self, history: list[CountedStep]) -> bool:
        return stable(history, self.equations.network.reported)

    def _lasts(self, values: Values) -> bool:
        return self._stable(self._history(values)) and self._stable(count(self.equations, values, LONG))

    def _raise(self, symbols: Sequence[sp.Symbol]) -> None:
        """The largest common value of some rates at which all is stable; not lower than what they have been."""
        low, high = max((self.values[symbol] // _GRID for symbol in symbols), default=_RANGE), _RANGE
        if low == -_RANGE and not self._lasts(self.values):
            raise ProgramError("learning_rate = None: no learning rate is stable with the other exponents given")
        while high - low > 1:
            middle = (low + high) // 2
            raised = {**self.values, **dict.fromkeys(symbols, middle * _GRID)}
            low, high = (middle, high) if self._lasts(raised) else (low, middle)
        self.values |= dict.fromkeys(symbols, low * _GRID)
