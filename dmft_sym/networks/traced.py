"""What a forward pass is traced for, and what comes of it: statements, readouts and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sympy as sp

from dmft_sym.program import (
    OUTPUT,
    Axes,
    Field,
    FieldRef,
    ScalarRef,
    Space,
    Statement,
)
from dmft_sym.program.observations import Observations

from .outputs import OutputFunction, Readout
from .parameters import NU, Parameter


@dataclass(frozen=True)
class Setting:
    """What a forward pass is traced for.

    Parameters
    ----------
    input
        The field that stands for a sample (or, by linearity, for a combination of samples).
    width
        Number of sites of a hidden space of width 1, in units of the reference size.
    axes, adjoint_axes
        Labels of the fields of the forward and of the backward pass.
    nonlinear
        Whether site-wise functions may be nonlinear.
    reserved
        Names that the training program uses around the forward pass.
    no_vectors
        Why trained vectors have no limit; empty if they have one.
    given
        Further inputs, beside the one that a forward pass receives.
    outputs
        How many outputs a network has, if that is known before the run.
    """

    input: Field
    width: sp.Expr
    axes: Axes
    adjoint_axes: Axes
    nonlinear: bool
    reserved: frozenset[str]
    no_vectors: str = ""
    given: tuple[Field, ...] = ()
    outputs: int | None = None


PROPORTIONAL = Setting(
    Field("v", Space("D", sp.Integer(1))),
    NU,
    (OUTPUT,),
    (OUTPUT,),
    False,
    frozenset({"v", "Delta", "r", "X", "betastar", "eps"}),
    "it adds one constant to the outputs of all samples, which is no average over sites and learns D times as fast as "
    "the rest, so that there is no limit",
)


@dataclass(frozen=True)
class Trace:
    """A traced forward pass.

    Parameters
    ----------
    statements
        ``Assign`` and ``ForLayers`` in the order of the forward pass.
    input
        The field that stands for a sample (or, by linearity, for a combination of samples).
    parameters
        Run-time parameters that the forward pass introduced.
    frozen
        Names of matrices, vectors and readouts that are not trained.
    rates
        Learning rates in units of that of the run, by the names of what has another one.
    labels
        Labels of its fields, in their order.
    output
        The function of readouts that the outputs are; ``None`` for the sum of all.
    raw
        Of such a function, the scalars that stand for readouts.
    observations
        What is observed of its fields.
    """

    statements: tuple[Statement, ...]
    input: FieldRef
    readouts: tuple[Readout, ...]
    setting: Setting
    parameters: tuple[Parameter, ...]
    frozen: frozenset[str] = frozenset()
    rates: Mapping[str, sp.Expr] = field(default_factory=dict)
    labels: Axes = ()
    output: OutputFunction | None = None
    raw: Mapping[ScalarRef, Readout] = field(default_factory=dict)
    observations: Observations = field(default_factory=Observations)

    @property
    def readers(self) -> tuple[Any, ...]:
        """Whatever reads fields behind the statements."""
        return self.readouts, self.output, tuple(self.raw.items()), self.observations.statements

    def read_by(self, readers: tuple[Any, ...]) -> Trace:
        """The same statements with other readers."""
        readouts, output, raw, observed = readers
        observations = replace(self.observations, statements=observed)
        return replace(self, readouts=readouts, output=output, raw=dict(raw), observations=observations)
