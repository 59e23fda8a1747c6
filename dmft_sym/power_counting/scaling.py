"""`scaling`: puts powers of the width into a network and says what they do to its training."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import sympy as sp

from dmft_sym.networks.labelled import MissingLabelError
from dmft_sym.networks.standard import Network
from dmft_sym.program import ProgramError
from dmft_sym.regimes.samples import Samples
from dmft_sym.support.messages import show

from .arguments import NAMES, Exponent, Exponents, Given, given_exponents
from .counting import CountedStep, count
from .depth import DepthScaling, depth_scalings
from .equations import CountedEquations
from .powers import Powers, exponent_of, units
from .program import ScaledNetwork
from .rows import MatrixScaling, ScalarExponents
from .search import STEPS, found_exponents, stable, symbol_values
from .table import ScalingTable

if TYPE_CHECKING:
    from .coordinate_check import CoordinateCheck

LAYERS = 3
"""Layers that are written out for counting where their number is open: exponents are those of any more."""


@dataclass(frozen=True, eq=False, repr=False)
class Scaling:
    """A network with powers of the width, and what follows from them.

    Attributes
    ----------
    exponents
        Of every matrix, then of every readout.
    averages
        Exponents of the multipliers of averages over sites.
    """

    network: ScaledNetwork
    equations: CountedEquations
    exponents: tuple[Exponents, ...]
    averages: Mapping[str, Exponent]

    def counted(self, steps: int = STEPS, equations: CountedEquations | None = None) -> list[CountedStep]:
        """Exponents of everything at initialization and after every update."""
        return count(
            equations or self.equations, {symbol: units(value) for symbol, value in self._symbols.items()}, steps
        )

    @property
    def _symbols(self) -> dict[sp.Symbol, Exponent]:
        """Values of the symbols of exponents."""
        return symbol_values(self.exponents, self.averages)

    @cached_property
    def _history(self) -> list[CountedStep]:
        """Up to the first update that blows up."""
        history = self.counted()
        ends = (n for n in range(1, len(history)) if not stable(history[: n + 1], self.network.reported))
        return history[: next(ends, len(history)) + 1]

    @cached_property
    def matrices(self) -> dict[str, MatrixScaling]:
        """What is said of every matrix, by name."""
        found = {}
        for one in self.exponents:
            sizes = [step.updates[one.info.name].size for step in self._history if one.info.name in step.updates]
            update = exponent_of(max((size for size in sizes if size is not None), default=None))
            fan_in = "N" if one.info.grows else "1" if one.info.vector else "D"
            assert one.multiplier is not None
            found[one.info.name] = MatrixScaling(
                one.info.name, fan_in, one.init, one.multiplier, one.learning_rate, update
            )
        return found

    @cached_property
    def features(self) -> sp.Expr:
        """Exponent of the largest change of a field of the forward pass."""
        return _largest([step.fields[ref].changed for step in self._history for ref in step.features])

    @cached_property
    def fields(self) -> dict[str, tuple[sp.Expr, sp.Expr]]:
        """Size at initialization and change of every field of the forward pass."""
        first = self._history[0]
        return {
            str(ref): (
                exponent_of(first.fields[ref].size),
                _largest([step.fields[ref].changed for step in self._history]),
            )
            for ref in first.features
        }

    @cached_property
    def scalars(self) -> dict[str, tuple[ScalarExponents, ScalarExponents]]:
        """The output ``f`` and averages over sites: at initialization, and their change."""
        refs = [ref for ref in self._history[0].scalars if ref.scalar.name in self.network.reported]
        return {
            str(ref): (
                _scalar([self._history[0].scalars[ref]]),
                _scalar([step.scalars[ref].changed for step in self._history]),
            )
            for ref in refs
        }

    @property
    def output(self) -> tuple[ScalarExponents, ScalarExponents]:
        """The output at initialization, and its change."""
        return self.scalars["f"]

    @property
    def stable(self) -> bool:
        """Whether fields, outputs and averages are of order one, and change by no more."""
        return stable(self._history, self.network.reported) and stable(self._history[:1], self.network.reported)

    @property
    def regime(self) -> str:
        """What training does at infinite width, in words."""
        if not self.stable:
            return "unstable"
        if self.features == 0:
            trained = [one for one in self.matrices.values() if one.verdict != "frozen"]
            maximal = all(one.verdict == "moves" for one in trained)
            return "rich (feature learning, maximal update)" if maximal else "rich (feature learning)"
        return "lazy (kernel)" if self.output[1].size == 0 else "frozen (the output does not move)"

    @cached_property
    def depth(self) -> tuple[DepthScaling, ...]:
        """Exponents of the number of layers, where layers add up."""
        return depth_scalings(self.network, self._history)

    @property
    def table(self) -> ScalingTable:
        """The exponents as a table, in storage conventions."""
        return ScalingTable(self.regime, self.features, self.matrices, self.scalars, self.depth)

    def gauge(
        self, *, multiplier: Exponent | int | None = None, learning_rate: Exponent | int | None = None
    ) -> Scaling:
        """The same network stored otherwise: one multiplier, or one learning rate, for all matrices.

        Multipliers ``N^theta`` times larger, with initial variances and learning rates ``N^(-2 theta)`` times what they
        were, are the same training (arXiv:2011.14522).

        Parameters
        ----------
        multiplier, learning_rate
            The exponent that all matrices shall have; one of the two.

        Raises
        ------
        ProgramError
            If not one of them is given.
        """
        if (multiplier is None) == (learning_rate is None):
            raise ProgramError("gauge: allowed is one of multiplier and learning_rate, the exponent of all matrices")
        moved = []
        for one in self.exponents:
            assert one.multiplier is not None
            if multiplier is not None:
                moved.append(one.with_multiplier(sp.Rational(multiplier)))
            elif one.learning_rate is None:
                moved.append(one)
            else:
                shift = (one.learning_rate - sp.Rational(learning_rate)) / 2
                moved.append(one.with_multiplier(one.multiplier + shift))
        return replace(self, exponents=tuple(moved))

    def equivalent(self, other: Scaling) -> bool:
        """Whether two scalings of a network are the same training, stored in two ways."""
        return [(one.info, one.sigma, one.rate) for one in self.exponents] == [
            (one.info, one.sigma, one.rate) for one in other.exponents
        ] and self.averages == other.averages

    def coordinate_check(
        self,
        widths: Sequence[int] = (64, 128, 256, 512),
        seeds: int = 128,
        steps: int = 3,
        *,
        seed: int = 0,
        tolerance: float = 0.1,
        against: Scaling | None = None,
        **parameters: float,
    ) -> CoordinateCheck:
        """Train finite networks of growing width and fit the exponents.

        Parameters
        ----------
        widths
            Numbers of hidden units ``N``, at least two.
        seeds, seed
            Networks of the largest width, at least two, and the seed of the first; of smaller widths there are more,
            as many sites in all.
        steps
            Updates after which they are measured.
        tolerance
            By how much a slope may differ from its exponent.
        against
            A scaling whose exponents are tested on the networks of this one; its own by default.
        **parameters
            ``learning_rate`` (``eta0``), ``richness``, ``init_std`` (all 1 by default) and those of the forward pass.

        Returns
        -------
        CoordinateCheck

        Raises
        ------
        ProgramError
            If an argument means nothing, or if the networks diverge.

        Notes
        -----
        Coordinate checks are those of arXiv:2203.03466. Slopes are those at large width: terms ``1/N`` are fitted
        where sizes bend. A row whose error exceeds the tolerance is undecided, and the check does not pass. Where
        a mean has just grown out of its fluctuation, as scores do at low learning rates, larger widths tell, not more
        seeds.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> check = ds.scaling(ds.mlp(depth=2)).coordinate_check(widths=(32, 64), seeds=16)
        >>> check["change of h[1]"].predicted
        0
        """
        from .coordinate_check import CheckedNetworks, predictions

        networks = CheckedNetworks.of(self.network, self._symbols, widths, seeds, seed, steps, parameters)
        predicted = against or self
        equations = CountedEquations(predicted.network, self.network.depth)  # at the depth of what is run
        return networks.checked(predictions(predicted.network, predicted.counted(steps, equations)), tolerance)

    def __repr__(self) -> str:
        return "\n".join(self.table.short)

    def __str__(self) -> str:
        return str(self.table)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def _largest(quantities: Sequence[Powers]) -> sp.Expr:
    return exponent_of(max((p.size for p in quantities if p.size is not None), default=None))


def _scalar(quantities: Sequence[Powers]) -> ScalarExponents:
    return ScalarExponents(_largest([p.mean for p in quantities]), _largest([p.fluctuation for p in quantities]))


def scaling(
    network: Network,
    parametrization: str | None = None,
    *,
    init: Given = None,
    multiplier: Given = None,
    learning_rate: Given = None,
    data: Samples | None = None,
) -> Scaling:
    """Count powers of the width: which exponents make a network lazy, rich or unstable.

    A matrix acts as ``N^multiplier W``, the entries of ``W`` have variance ``N^init``, and ``W`` learns by gradient
    descent at the rate ``N^learning_rate``. Exponents are counted through the derived single-site equations along the
    first updates, of means and of fluctuations: a scalar whose limit vanishes counts as ``N^{-1/2}``.

    Parameters
    ----------
    network
        On given samples; its own parametrization plays no part.
    parametrization
        ``"muP"``, ``"NTK"`` or ``"standard"`` for all of the following that are not given.
    init, multiplier, learning_rate
        Exponents by the names of matrices and readouts, or the name of a parametrization. What is not given is found:
        forward fields of order one, and the largest stable learning rates. ``multiplier`` takes names of averages too:
        ``{"s": 1/2}`` makes a score ``q.k/sqrt(N)`` of ``s = <q k>``.
    data
        The samples, which play no part in exponents but in `Scaling.coordinate_check`.

    Returns
    -------
    Scaling

    Raises
    ------
    ProgramError
        Naming the argument, its value and what is allowed.

    See Also
    --------
    Parametrization : the family of standard networks.

    Notes
    -----
    Exponents are upper bounds where coefficients vanish by a symmetry that signs of Gaussian fields do not show, as
    between two tokens of equal size; the coordinate check shows it.

    References
    ----------
    arXiv:2011.14522 (maximal update), arXiv:2205.09653 (single-site equations).

    Examples
    --------
    >>> import dmft_sym as ds
    >>> found = ds.scaling(ds.mlp(depth=2))
    >>> found.regime
    'rich (feature learning, maximal update)'
    >>> found.matrices["w"].learning_rate, found.matrices["w"].init
    (-1, -2)
    >>> ds.scaling(ds.mlp(depth=2), "NTK").features
    -1/2
    """
    if parametrization is not None and parametrization not in NAMES:
        raise ProgramError(
            f"parametrization = {show(parametrization)}: allowed are {', '.join(map(repr, NAMES))}, or None"
            + _meant(parametrization)
        )
    scaled = ScaledNetwork(network, data) if data is not None else _on_usual_samples(network)
    given, averages = given_exponents(scaled, *(_filled(g, parametrization) for g in (init, multiplier, learning_rate)))
    equations = CountedEquations(scaled, LAYERS)
    return Scaling(scaled, equations, tuple(found_exponents(equations, given, averages)), averages)


def _meant(name: object) -> str:
    """What a name that is usual elsewhere, or misspelt, is here."""
    known = {"sp": "standard", "pytorch": "standard", "ntp": "NTK", "mup": "muP", "mu-p": "muP"}
    known |= {own.lower(): own for own in NAMES}
    near = difflib.get_close_matches(str(name).lower(), known, n=1)
    return f" (did you mean {known[near[0]]}?)" if near else ""


def _filled(given: Given, parametrization: str | None) -> Given:
    return parametrization if given is None else given


def _on_usual_samples(network: Network) -> ScaledNetwork:
    """The network on samples without labels of its own."""
    try:
        return ScaledNetwork(network, _usual_samples(network))
    except MissingLabelError as error:
        raise ProgramError(
            f"data = None: the samples that stand in for missing ones have no labels, but {error}: give "
            'data=ds.Samples(inputs, targets, labels=("token",)), with a label for every axis of the inputs between '
            "samples and D"
        ) from error


def _usual_samples(network: Network) -> Samples:
    """A few samples of the usual size, random but always the same."""
    random = np.random.default_rng(0)
    inputs = random.standard_normal((16, 16))
    inputs /= np.sqrt(np.mean(inputs**2, axis=1, keepdims=True))
    outputs = network.outputs if isinstance(network, Network) else 1
    return Samples(inputs, random.choice([-1.0, 1.0], (16, outputs)))
