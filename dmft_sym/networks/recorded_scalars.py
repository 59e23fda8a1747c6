"""Scalars while a forward pass is recorded: averages over sites, functions of these, numbers that are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.program import (
    OUTPUT,
    Average,
    Axes,
    Compute,
    FieldRef,
    ProgramError,
    Scalar,
    ScalarRef,
    SiteFunction,
)

from .functions import Function, site_function
from .labelled import axes_of, inner_order
from .parameters import Parameter
from .recording import Recording
from .scalars import Mean
from .traced import Setting
from .vectors import Vector


class RecordedScalars(Recording):
    """The statements recorded so far, with those that assign scalars."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._parameters: list[Parameter] = []

    def mean(self, name: str | None, function: Function, *arguments: Vector | Mean) -> Mean:
        """The average ``(1/n) sum_i function`` over the sites of the arguments' space, a scalar for every sample.

        It is one for every value of the labels that the arguments carry, too; `dmft_sym.mean` finds a name. Layers that
        normalise are written with it: ``net.apply(lambda h, s: h / sympy.sqrt(s), h, net.mean("s", ...))``.

        Parameters
        ----------
        name
            What equations call it.
        function
            As of `apply`.
        *arguments
            Vectors of one space, and averages.

        Returns
        -------
        scalar
            With the labels of the arguments.

        Raises
        ------
        ProgramError
            If the arguments do not fit, or the function is not allowed.

        Examples
        --------
        >>> import sympy as sp
        >>> import dmft_sym as ds
        >>> def normalised(net, x):
        ...     h = net.matrix("W0", net.inputs, net.hidden("N")) @ x
        ...     size = net.mean("size", lambda a: a**2, h)
        ...     return net.readout("w", net.apply(lambda a, s: a / sp.sqrt(s), h, size))
        >>> theory = ds.derive(ds.network(normalised), data=ds.Samples([[1.0], [2.0]], [1.0, -1.0]))
        >>> str(theory.program.statements[1])
        'size = <h1**2>'
        """
        return self._average(name, self._site_function(function, arguments))

    def average(self, vector: Vector) -> Mean:
        """The average of a vector over its sites, a scalar with a free name."""
        made = vector.function if vector.function is not None else self._site_function(lambda h: h, [vector])
        return self._average(None, cast(SiteFunction, self._current(made)))

    def _average(self, name: str | None, made: SiteFunction) -> Mean:
        what = f"mean {name or 'of a vector'}"
        if not made.spaces or next(iter(made.spaces)).finite:
            raise ProgramError(f"{what}: at least one argument must be a vector of a hidden space")
        ref = self.new_scalar("m", axes_of(made)) if name is None else self._new_scalar(name, axes_of(made))
        self._emit(Average(ref, ((sp.Integer(1), made),)))
        return Mean.of(self, ref)

    def _scalar_function(self, function: Function, arguments: Sequence[Mean]) -> Mean:
        """A function of scalars."""
        refs = [argument.ref for argument in arguments]
        made = site_function(function, refs, {parameter.keyword for parameter in self._parameters})
        return Mean(self, made.expression, made.scalars)

    def new_scalar(self, stem: str, axes: Axes) -> ScalarRef:
        """A scalar with a free name, for every sample and these labels."""
        return self._new_scalar(self._free_name(stem), axes)

    def _new_scalar(self, name: str, axes: Axes) -> ScalarRef:
        index, span = self._scan_index[-1] if self._scan_index else (None, None)
        return ScalarRef(self._declare(Scalar(name, self._axes(axes), span)), index)

    def given_scalar(self, name: str | None, axes: Axes, values: NDArray[np.float64]) -> Mean:
        """A scalar that is known, one for every value of labels."""
        chosen = self._free_name(f"{axes[0]}_values") if name is None else name
        order = inner_order(self._labels, axes)
        flat = values.transpose([axes.index(label) for label in order]).reshape(-1)
        known = Scalar(chosen, order, data=True, values=tuple(map(float, flat)))
        return Mean.of(self, ScalarRef(self._declare(known)))

    def as_scalar(self, mean: Mean) -> ScalarRef:
        """A scalar that has a name; a function of scalars is given one."""
        if mean.only is not None:
            return mean.only
        ref = self.new_scalar("s", mean.axes)
        return cast(ScalarRef, self.computed(Compute(ref, mean.expression, mean.arguments)).only)

    def computed(self, statement: Compute) -> Mean:
        """Record a function of scalars."""
        self._emit(statement)
        return Mean.of(self, statement.target)

    def _site_function(self, function: Function, arguments: Sequence[Vector | Mean]) -> SiteFunction:
        refs = [self._argument(argument) for argument in arguments]
        return site_function(function, refs, {parameter.keyword for parameter in self._parameters})

    def _argument(self, argument: Vector | Mean) -> FieldRef | ScalarRef:
        if isinstance(argument, Mean):
            if OUTPUT in argument.axes:
                raise ProgramError(
                    f"{argument.expression} at the sites of a vector: outputs are no part of hidden layers; allowed "
                    "are functions of outputs and of averages, as outputs"
                )
            return argument.ref
        return self.as_field(argument)
