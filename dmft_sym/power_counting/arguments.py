"""What `scaling` is given, in exponents: of every matrix its initial variance, multiplier and learning rate.

A matrix acts as ``N^multiplier W`` with entries of ``W`` of variance ``N^init``, and ``W`` learns at the rate
``N^learning_rate`` by plain gradient descent on a loss of order one. Two combinations of the three mean something, the
size of what acts and that of its updates (the abc symmetry of Yang and Hu, arXiv:2011.14522):

    sigma  = multiplier + init / 2 + (1 for a readout, 1/2 for a growing number of inputs, 0 for given inputs)
    lambda = 2 multiplier + learning_rate + (1 for a readout, 0 for a growing number of inputs, -1 for given inputs)

both zero where the network is as the program has it: ``f = w . h / N``, matrices with entries of variance ``1/n_in``.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import sympy as sp

from dmft_sym.program import ProgramError
from dmft_sym.support.messages import show, suggestion

from .program import ScaledNetwork, WeightsInfo

Exponent: TypeAlias = sp.Rational
Given: TypeAlias = Mapping[str, object] | str | None
HALF = sp.Rational(1, 2)
NAMES = ("muP", "NTK", "standard")
"""Parametrizations with a name; muP has exponents of its own for every network, which are found."""


@dataclass(frozen=True)
class Exponents:
    """The exponents of one matrix; ``None`` where they are to be found, or mean nothing.

    Attributes
    ----------
    info
        Of which matrix.
    """

    info: WeightsInfo
    init: Exponent | None = None
    multiplier: Exponent | None = None
    learning_rate: Exponent | None = None

    @property
    def sigma_offset(self) -> Exponent:
        """What ``sigma`` has beside multiplier and initial variance."""
        return sp.Integer(1) if self.info.readout else HALF if self.info.grows else sp.Integer(0)

    @property
    def rate_offset(self) -> Exponent:
        """What ``lambda`` has beside multiplier and learning rate."""
        return sp.Integer(1 if self.info.readout else 0 if self.info.grows else -1)

    @property
    def sigma(self) -> Exponent | None:
        """The exponent of initial entries, if it is given."""
        if self.init is None or self.multiplier is None:
            return None
        return self.multiplier + self.init / 2 + self.sigma_offset

    @property
    def rate(self) -> Exponent | None:
        """The exponent of updates, if it is given."""
        if self.learning_rate is None or self.multiplier is None:
            return None
        return 2 * self.multiplier + self.learning_rate + self.rate_offset

    @property
    def tied(self) -> bool:
        """Whether the multiplier alone is to be found, which moves both of them."""
        return self.multiplier is None and self.init is not None and self.learning_rate is not None

    def rate_at(self, sigma: Exponent) -> Exponent:
        """``lambda`` where the multiplier is what ``sigma`` asks for."""
        assert self.init is not None and self.learning_rate is not None
        return 2 * (sigma - self.sigma_offset - self.init / 2) + self.learning_rate + self.rate_offset

    def with_multiplier(self, multiplier: Exponent) -> Exponents:
        """The same network with another multiplier: the abc symmetry."""
        shift = multiplier - (self.multiplier or 0)
        init = None if self.init is None else self.init - 2 * shift
        rate = None if self.learning_rate is None else self.learning_rate - 2 * shift
        return replace(self, multiplier=multiplier, init=init, learning_rate=rate)

    def completed(self, sigma: Exponent, rate: Exponent) -> Exponents:
        """With what was found; a multiplier that nothing asks for is one."""
        multiplier = self.multiplier
        if multiplier is None and self.init is not None:
            multiplier = sigma - self.sigma_offset - self.init / 2
        elif multiplier is None and self.learning_rate is not None:
            multiplier = (rate - self.rate_offset - self.learning_rate) / 2
        elif multiplier is None:
            multiplier = sp.Integer(0)
        init = 2 * (sigma - multiplier - self.sigma_offset)
        learning_rate = rate - 2 * multiplier - self.rate_offset
        return Exponents(
            self.info,
            (init if self.init is None else self.init) if self.info.random else None,
            multiplier,
            (learning_rate if self.learning_rate is None else self.learning_rate) if self.info.trained else None,
        )


def given_exponents(
    network: ScaledNetwork, init: Given, multiplier: Given, learning_rate: Given
) -> tuple[list[Exponents], dict[str, Exponent]]:
    """Exponents of matrices, and multipliers of averages.

    Raises
    ------
    ProgramError
        Naming the argument, its value and what is allowed.
    """
    names = [info.name for info in network.weights]
    found = {
        "init": _read("init", init, names),
        "multiplier": _read("multiplier", multiplier, [*names, *network.averages]),
        "learning_rate": _read("learning_rate", learning_rate, names),
    }
    for info in network.weights:
        for key, there, word in (("init", info.random, "starts at zero"), ("learning_rate", info.trained, "is frozen")):
            if info.name in _mapping(found[key]) and not there:
                raise ProgramError(f"{key} of {info.name}: allowed is nothing, it {word}")
    exponents = [
        Exponents(info, **{key: _exponent(key, given, info) for key, given in found.items()})
        for info in network.weights
    ]
    averages = _mapping(found["multiplier"])
    return exponents, {name: averages.get(name, sp.Integer(0)) for name in network.averages}


def _mapping(given: Mapping[str, Exponent] | str | None) -> Mapping[str, Exponent]:
    return given if isinstance(given, Mapping) else {}


def _read(key: str, given: Given, names: Collection[str]) -> Mapping[str, Exponent] | str | None:
    if given is None or (isinstance(given, str) and given in NAMES):
        return given
    if not isinstance(given, Mapping):
        allowed = ", ".join(map(repr, NAMES))
        raise ProgramError(
            f"{key} = {show(given)}: allowed are {allowed}, a mapping from matrices to exponents, or None"
        )
    for name in given:
        if name not in names:
            hint = suggestion(str(name), names)
            raise ProgramError(f"{key}: there is no matrix {show(name)}{hint}; allowed are {', '.join(names)}")
    return {name: _number(f"{key} of {name}", value) for name, value in given.items()}


def _number(what: str, value: object) -> Exponent:
    number = value
    if isinstance(value, sp.Expr) and value.is_number and value.is_real and value.is_finite:
        number = sp.nsimplify(value, rational=True)
    elif isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
        number = sp.nsimplify(str(value), rational=True)
    if not isinstance(number, sp.Rational) or not number.is_finite:
        raise ProgramError(f"{what} = {show(value)}: allowed is a finite number, the exponent of the width")
    return number


def _exponent(key: str, given: Mapping[str, Exponent] | str | None, info: WeightsInfo) -> Exponent | None:
    """What a named parametrization, or a mapping, says of one matrix."""
    if isinstance(given, Mapping):
        return given.get(info.name)
    if given in (None, "muP"):
        return None
    if key == "learning_rate":
        return sp.Integer(0)
    root = "init" if given == "standard" else "multiplier"  # where the root of the number of inputs stands
    if key != root or not info.grows:
        return sp.Integer(0)
    return sp.Integer(-1) if key == "init" else -HALF
