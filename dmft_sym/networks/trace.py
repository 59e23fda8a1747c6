"""Tracing: a forward pass written in Python becomes statements of the program language.

The user's function receives a `Tracer` and the traced input, builds matrices and combines vectors with ``+``,
``-``, ``*``, ``@`` and site-wise functions, and returns the sum of its readouts. Nothing is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar, cast, overload

import sympy as sp

from dmft_sym.program import (
    DEPTH,
    LAYER,
    ONE,
    OUTPUT,
    SAMPLE,
    UNIT,
    Average,
    Axes,
    Field,
    FieldRef,
    ForLayers,
    GaussianMatrix,
    Label,
    LayerRange,
    Linear,
    MatrixRef,
    Product,
    ProgramError,
    RandomVector,
    Scalar,
    SiteFunction,
    SiteMap,
    Space,
    Statement,
    is_linear,
    walk,
)
from dmft_sym.program.declarations import check_name
from dmft_sym.support.messages import suggestion

from .advice import check_body, explained
from .coefficients import Number, number
from .folding import folded
from .functions import Function, linear_form
from .labelled import TracedLabel, axes_of, content_of, declared, total
from .layer_values import LayerNumber, layer_value
from .members import Members
from .observing import check_names, check_observable, taken_apart
from .outputs import Outputs, Readout, check_all_served, check_returned, heads, output_function, without_unused
from .parameters import INIT_VARIANCE, Parameter
from .read_out import ReadOut
from .recorded_scalars import RecordedScalars
from .renaming import reindexed, renamed
from .scalars import Mean
from .traced import PROPORTIONAL, Setting, Trace
from .vectors import Family, Vector, VectorFamily, Weights

Traced = TypeVar("Traced", Vector, Mean)


class _NoSuchNameError(ProgramError, AttributeError):
    """A name that a tracer does not have."""


class Tracer(RecordedScalars):
    """Records a forward pass; handed to it as its first argument.

    Attributes
    ----------
    inputs : Space
        The space ``D`` of the input.
    depth : sympy.Symbol
        The number ``L`` of hidden layers, an integer symbol whose value is a run-time argument.

    See Also
    --------
    dmft_sym.network : what hands it to a forward pass.
    dmft_sym.mean, dmft_sym.norm, dmft_sym.softmax : averages over sites.

    References
    ----------
    docs/program.md.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> def forward(net, x):
    ...     n = net.hidden("N")
    ...     return net.readout("w", net.matrix("W0", net.inputs, n) @ x)
    >>> [str(statement) for statement in ds.network(forward).trace().statements]
    ['h1 = W0 v']
    """

    def __init__(self, setting: Setting = PROPORTIONAL) -> None:
        super().__init__(setting)
        self.inputs = setting.input.space
        self.depth = DEPTH
        self._frozen: set[str] = set()
        self._rates: dict[str, sp.Expr] = {}
        self._declared_labels: set[Label] = set()
        self._read_out = ReadOut(self, self._frozen)
        self._observed: dict[str, Scalar] = {}
        self._leads: list[sp.Integer | None] = []  # of each scan, how far the layers of its matrices are from its index
        self._members = Members(self._single)
        self._inner_scans = 0  # that are being written out

    def __getattr__(self, name: str) -> NoReturn:
        known = [one for one in (*dir(type(self)), *vars(self)) if not one.startswith("_")]
        hint = "" if name.startswith("_") else suggestion(name, known).replace("mean ", "mean net.")
        raise _NoSuchNameError(f"net.{name}: the tracer has no such name{hint}; it has net.matrix, net.readout, ...")

    @property
    def outputs(self) -> TracedLabel:
        """The label of the outputs, for ``ds.softmax(f, over=net.outputs)``."""
        return TracedLabel(self, OUTPUT)

    @property
    def input(self) -> Vector:
        """The traced sample."""
        return Vector(self, Linear.of(self._input), self.inputs)

    def given(self, name: str) -> Vector:
        """A further input of every sample, by its name in ``ds.Samples(inputs={"x": ..., name: ...})``.

        Matrices read it from its own space: ``x2 = net.given("x2")``, ``net.matrix("V", x2.space, n) @ x2``.

        Parameters
        ----------
        name
            That of the array.

        Returns
        -------
        Vector
            In a space of its own.

        Raises
        ------
        ProgramError
            If the data have no input of this name.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> data = ds.Samples(inputs={"x": [[1.0, 0.0], [0.0, 1.0]], "x2": [[1.0], [-1.0]]}, targets=[1.0, -1.0])
        >>> def both(net, x):
        ...     n, x2 = net.hidden("N"), net.given("x2")
        ...     return net.readout("w", net.matrix("W0", net.inputs, n) @ x + net.matrix("V", x2.space, n) @ x2)
        >>> sorted(matrix.name for matrix in ds.derive(ds.network(both), data=data).program.matrices)
        ['V', 'W0']
        """
        for found in (self.setting.input, *self.setting.given):
            if found.name == name and found.data:
                return Vector(self, Linear.of(FieldRef(found)), found.space)
        known = ", ".join(other.name for other in self.setting.given) or "none beside the one of the forward pass"
        raise ProgramError(
            f"given {name!r}: the samples have {known}; further inputs are arrays by name, "
            f'ds.Samples(inputs={{"x": ..., "{name}": ...}}, targets=...)'
        )

    def hidden(self, name: str, width: Number = 1) -> Space:
        """A hidden space of ``width * nu * D`` sites (of ``width * N`` where samples are given).

        Parameters
        ----------
        name
            What equations call it.
        width
            Relative size: a number > 0, or an expression in run-time parameters.

        Returns
        -------
        Space
            Between spaces act matrices.

        Raises
        ------
        ProgramError
            If there is another space of this name, or the width is no number > 0.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> def bottleneck(net, x):
        ...     n, m = net.hidden("N"), net.hidden("M", 0.25)
        ...     return net.readout("w", net.matrix("V", n, m) @ (net.matrix("W0", net.inputs, n) @ x))
        >>> [str(space.ratio) for space in ds.derive(ds.network(bottleneck)).program.spaces if space.name in "MN"]
        ['nu/4', 'nu']
        """
        if not isinstance(name, str):
            raise ProgramError(
                f'hidden {name!r}: allowed is a name, net.hidden("N"), and the width in units of the others'
            )
        factor = number(width)
        if not factor.is_positive and not factor.free_symbols:
            raise ProgramError(f"space {name}: width {width}: allowed is a number > 0")
        return self._declare(Space(name, factor * self.setting.width))

    def matrix(
        self,
        name: str,
        source: Space,
        target: Space,
        *,
        layers: tuple[Number, Number] | None = None,
        init: LayerNumber = 1,
        learning_rate: LayerNumber = 1,
        train: bool = True,
    ) -> Weights:
        """A matrix ``source -> target`` with entries ``N(0, init^2 init_std^2 / n_source)``.

        ``layers=(first, last)`` makes it a family of independent matrices, to be indexed in a scan;
        ``learning_rate`` is a factor on that of the run, and ``train=False`` keeps it at its initial value. Of a family
        ``init`` and ``learning_rate`` may depend on the layer: expressions in ``l``, or functions of it.

        Parameters
        ----------
        name
            What equations and spectra call it.
        source, target
            Spaces of columns and rows.
        layers
            First and last layer of a family.
        init
            Initial standard deviation in units of ``init_std``; 0 starts from zero.
        learning_rate
            A factor on the learning rate of the run.
        train
            Whether it learns.

        Returns
        -------
        Weights
            To be applied by ``W @ h``, transposed ``W.T @ h``; a family is indexed, ``W[l] @ h``.

        Raises
        ------
        ProgramError
            If there is another array of this name, or an option is out of range.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> def tied(net, x):
        ...     W = net.matrix("W", net.inputs, net.hidden("N"))
        ...     return net.readout("w", W @ x)
        >>> ds.derive(ds.network(tied)).program.matrices[0].name
        'W'
        """
        for side in (source, target):
            if not isinstance(side, Space):
                raise ProgramError(f"matrix {name}: a matrix goes from a space to a space, got {type(side).__name__}")
        if target.finite:
            raise ProgramError(
                f"matrix {name}: no vector of the space {target} is computed, as the inputs are given; allowed are "
                f"matrices from the inputs to a hidden space, and between hidden spaces"
            )
        return self._weights("matrix", name, source, target, layers, init, learning_rate, train)

    def _weights(
        self,
        kind: str,
        name: str,
        source: Space,
        target: Space,
        layers: tuple[Number, Number] | None,
        init: LayerNumber,
        learning_rate: LayerNumber,
        train: bool,
    ) -> Weights:
        """Declare a matrix, or the one that a vector is."""
        what = f"{kind} {name}"
        family = None if layers is None else _layer_range(what, layers)
        variance = self._training(what, name, family, init, learning_rate, train)
        return Weights(self, self._declare(GaussianMatrix(name, source, target, variance, family)))

    def _training(
        self, what: str, name: str, family: LayerRange | None, init: LayerNumber, rate: LayerNumber, train: bool
    ) -> sp.Expr:
        """Remember how weights are trained; the variance with which they start."""
        value = layer_value(what, "learning_rate", rate, family)
        if not train:
            self._frozen.add(name)
        elif value != 1:
            self._rates[name] = value
        return layer_value(what, "init", init, family) ** 2 * INIT_VARIANCE

    @overload
    def vector(
        self, name: str, space: Space, *, init: LayerNumber = 1, learning_rate: LayerNumber = 1, train: bool = True
    ) -> Vector: ...

    @overload
    def vector(
        self,
        name: str,
        space: Space,
        *,
        layers: tuple[Number, Number],
        init: LayerNumber = 1,
        learning_rate: LayerNumber = 1,
        train: bool = True,
    ) -> VectorFamily: ...

    def vector(
        self,
        name: str,
        space: Space,
        *,
        layers: tuple[Number, Number] | None = None,
        init: LayerNumber = 1,
        learning_rate: LayerNumber = 1,
        train: bool = True,
    ) -> Vector | VectorFamily:
        """A trained vector with sites ``N(0, init^2 init_std^2)``, the same for all samples: a bias or a gain.

        It learns as a readout does, ``b += eta0 gamma g`` summed over errors. ``layers=(first, last)`` makes it a
        family, to be indexed in a scan: ``b[l]``. Other options are those of a matrix.

        Parameters
        ----------
        name
            What equations call it.
        space
            Of its sites.
        layers, init, learning_rate, train
            As of `matrix`.

        Returns
        -------
        Vector
            To be added or multiplied; a family is indexed.

        Raises
        ------
        ProgramError
            In the proportional regime, where a bias learns ``D`` times as fast as the rest.

        Examples
        --------
        >>> import numpy as np
        >>> import dmft_sym as ds
        >>> def biased(net, x):
        ...     n = net.hidden("N")
        ...     return net.readout("w", np.tanh(net.matrix("W0", net.inputs, n) @ x + net.vector("b", n, init=0)))
        >>> theory = ds.derive(ds.network(biased), data=ds.Samples([[1.0], [2.0]], [1.0, -1.0]))
        >>> str(theory.program.statements[0])
        'h1 = W0 x + b'
        """
        if not isinstance(space, Space):
            raise ProgramError(f"vector {name}: a vector lives in a space, got {type(space).__name__}")
        if self.setting.no_vectors:
            raise ProgramError(
                f"vector {name}: {self.setting.no_vectors}; write the network without it here, as targets have mean "
                "zero; it is allowed with ds.Samples(inputs, targets)"
            )
        if space.finite:
            raise ProgramError(f"vector {name}: the inputs are given; allowed are vectors of hidden spaces")
        made = self._weights("vector", name, UNIT, space, layers, init, learning_rate, train)
        one = Vector(self, Linear.of(FieldRef(ONE)), UNIT)
        return made @ one if layers is None else VectorFamily(made, one)

    def parameter(self, name: str, default: float | None = None) -> sp.Symbol:
        """A real run-time parameter of the forward pass, passed by keyword to the solver.

        Parameters
        ----------
        name
            The keyword of a run.
        default
            Its value where a run does not say it; without one it has to be given.

        Returns
        -------
        sympy.Symbol
            For coefficients.

        Raises
        ------
        ProgramError
            If the name is taken, such as that of an argument that all runs have.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> def scaled(net, x):
        ...     b = net.parameter("b", default=0.5)
        ...     return net.readout("w", b * (net.matrix("W0", net.inputs, net.hidden("N")) @ x))
        >>> given = dict(samples_per_dim=2, width_per_dim=1, richness=1, learning_rate=0.1, steps=2)
        >>> ds.derive(ds.network(scaled)).solve(method="conditioning", b=2.0, **given).attrs["b"]
        2.0
        """
        symbol = sp.Symbol(check_name(name), real=True)
        if self._names.get(name) not in (None, symbol):  # site-wise functions have symbols named after fields
            raise ProgramError(f"the name {name} is used for two different things")
        low = -float("inf")
        self._declare_parameter(Parameter(symbol, name, "of the forward pass", low=low, default=default))
        self._names[name] = symbol
        return symbol

    def label(self, name: str, size: int) -> TracedLabel:
        """A label of your own, such as the token of a sequence: an index with finitely many values.

        Inputs of the shape (samples, token, D) carry it, and so does what is computed from things that carry it; the
        same matrices act on all of its values. Outputs do not have it: sum over it, ``net.sum(h, over=token)``.

        Parameters
        ----------
        name
            What messages and axes of results call it.
        size
            How many values it has.

        Returns
        -------
        TracedLabel
            With ``copy()`` for a second index and ``values(...)`` for known numbers.

        Raises
        ------
        ProgramError
            If the data say otherwise, or if the setting has no labels of users.

        Examples
        --------
        >>> import numpy as np
        >>> import dmft_sym as ds
        >>> def last(net, x):
        ...     token = net.label("token", 2)
        ...     h = net.matrix("W0", net.inputs, net.hidden("N")) @ x
        ...     return net.readout("w", net.sum(token.values([0.0, 1.0]) * h, over=token))
        >>> theory = ds.derive(ds.network(last), data=ds.Samples(np.ones((2, 2, 3)), [1.0, -1.0], labels=("token",)))
        >>> [label.name for label in theory.program.labels if label.name == "token"]
        ['token']
        """
        for label in self._labels:
            if label.name == name and label not in self._declared_labels:
                if label.size != size:
                    raise ProgramError(f"label {name} of size {size}: allowed is {label.size}, that of the data")
                self._declared_labels.add(label)
                return TracedLabel(self, label)
        if not self.setting.nonlinear:
            raise ProgramError(
                f"label {name}: labels need given samples: ds.derive(network, data=ds.Samples(inputs, targets)); in "
                f'proportion they are those of the inputs, data=ds.Proportional(labels={{"{name}": {size}}})'
            )
        return TracedLabel(self, self.declare_label(name, size))

    def declare_label(self, name: str, size: int, original: Label | None = None) -> Label:
        """A label, or a copy of one, with an index of its own."""
        if any(label.name == name for label in self._labels):
            raise ProgramError(f"label {name} is declared twice; a second index of it is {name}.copy()")
        label = declared(name, size, self._labels, original)
        place = len(self._labels) if original is None else self._labels.index(original) + 1
        self._labels.insert(place, label)
        self._declared_labels.add(label)
        return label

    def sum(self, thing: Traced, *, over: TracedLabel) -> Traced:
        """The sum of vectors, or of scalars, over the values of a label.

        Parameters
        ----------
        thing
            Vectors or scalars that carry the label.
        over
            The label.

        Returns
        -------
        Vector or scalar
            Without the label.

        Raises
        ------
        ProgramError
            If they do not carry it.

        Examples
        --------
        >>> import numpy as np
        >>> import dmft_sym as ds
        >>> def bag(net, x):
        ...     token, n = net.label("token", 3), net.hidden("N")
        ...     return net.readout("w", net.sum(np.tanh(net.matrix("W", net.inputs, n) @ x), over=token))
        >>> theory = ds.derive(ds.network(bag), data=ds.Samples(np.ones((2, 3, 4)), [1.0, -1.0], labels=("token",)))
        >>> str(theory.program.statements[2])
        'h2 = sum_{i} phi1'
        """
        return total(thing, over)

    def weighted_sum(self, vector: Vector, label: Label) -> Vector:
        """A sum of vectors with scalars for weights: one field, whose terms are no fields of their own."""
        function = cast(SiteFunction, self._current(vector.function))
        key: Any = (function, label)
        if key not in self._known[-1]:
            axes = tuple(other for other in axes_of(function) if other != label)
            ref = self._new_member(self._free_name("h"), vector.space, axes)
            self._automatic.add(ref)
            self._emit(SiteMap(ref, function, (label,)))
            self._known[-1][key] = ref
        return Vector(self, Linear.of(self._known[-1][key]), vector.space)

    def family(
        self,
        name: str,
        space: Space,
        *,
        layers: tuple[Number, Number],
        labels: Sequence[TracedLabel] = (),
    ) -> Family:
        """A family of fields; ``vector.named(family[l])`` is how its members are assigned.

        It gives one name to vectors inside and outside of a scan, which may carry the ``labels``.

        Parameters
        ----------
        name
            What equations call its members.
        space
            Of their sites.
        layers
            First and last layer.
        labels
            Labels that they carry.

        Returns
        -------
        Family
            Indexed by a layer.

        Raises
        ------
        ProgramError
            If the name is taken.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> def forward(net, x):
        ...     n = net.hidden("N")
        ...     h = net.family("h", n, layers=(1, 2))
        ...     first = (net.matrix("A", net.inputs, n) @ x).named(h[1])
        ...     return net.readout("w", (net.matrix("B", n, n) @ first).named(h[2]))
        >>> [str(statement) for statement in ds.network(forward).trace().statements]
        ['h[1] = A v', 'h[2] = B h[1]']
        """
        span = _layer_range(f"family {name}", layers)
        return Family(self._declare(Field(name, space, span, self._axes(tuple(label.label for label in labels)))))

    def apply(self, function: Function, *arguments: Vector | Mean | Outputs) -> Any:
        """A function of vectors of one space, site by site; of scalars alone it is a scalar.

        Parameters
        ----------
        function
            An activation by its name (``"tanh"``, ``"relu"``, ...) or as a formula in ``h`` (a text such as
            ``"h*tanh(h)"``, a SymPy expression), or a function of as many SymPy symbols as there are arguments, such
            as ``lambda h, k: h * sympy.tanh(k)``.
        *arguments
            Vectors of the same space, and averages made by `mean`; or readouts, whose functions are outputs.

        Returns
        -------
        Vector, scalar or outputs
            What the arguments are.

        Raises
        ------
        ProgramError
            If the arguments do not fit, if the function is not allowed, or if it is nonlinear and the setting does not
            admit that (nonlinear networks are trained on given samples, ``data=dmft_sym.Samples(...)``).

        Examples
        --------
        >>> import dmft_sym as ds
        >>> def gated(net, x):
        ...     n = net.hidden("N")
        ...     h, k = (net.matrix(name, net.inputs, n) @ x for name in "AB")
        ...     return net.readout("w", net.apply(lambda a, b: a * b**2, h, k))
        >>> theory = ds.derive(ds.network(gated), data=ds.Samples([[1.0], [2.0]], [1.0, -1.0]))
        >>> str(theory.program.statements[2])
        'phi1 = h1*h2**2'
        """
        traced = tuple(a.scalar if isinstance(a, Outputs) else a for a in arguments)
        if traced and all(isinstance(argument, Mean) for argument in traced):
            return self._scalar_function(function, cast("tuple[Mean, ...]", traced))
        made = self._site_function(function, traced)
        if not made.spaces:
            raise ProgramError(f"apply {function}: at least one argument must be a vector")
        (space,) = made.spaces
        if (form := linear_form(made)) is not None:
            return Vector(self, form, space)
        if space.finite:
            raise ProgramError(f"{made}: the inputs are data; apply the function to them before they are given")
        return Vector(self, Linear(), space, made)

    def observe(self, name: str, thing: Vector | Mean) -> None:
        """Report an average over sites, or a function of averages, as a variable of results.

        Every method and finite networks measure it at every step, under this name, and training does not know of it.

        Parameters
        ----------
        name
            Of the variable; its axes are the step and the labels that the thing carries. In a scan it is measured at
            every layer of the scan.
        thing
            A vector, whose average over sites is meant (``h * k``, ``net.apply(...)``), or a scalar such as
            ``ds.mean(h * h)`` and functions of scalars. Vectors are those that the network computes. Where the network
            is linear, so that its fields are Gaussian, averages are polynomials of fields; `dmft_sym.simulate`, and
            sampled sites where samples are given, take any function.

        Raises
        ------
        ProgramError
            If it cannot be observed, or not under this name.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> def watched(net, x):
        ...     h = net.matrix("W0", net.inputs, net.hidden("N")) @ x
        ...     net.observe("size", h * h)
        ...     return net.readout("w", h)
        >>> theory = ds.derive(ds.network(watched))
        >>> str(theory.equations.observables["size"].rhs)
        'C_h1(t, c, t, c)'
        """
        check_observable(name, thing, self._observed)
        scalar = self.average(thing) if isinstance(thing, Vector) else thing
        self._observed[name] = scalar.ref.scalar

    @overload
    def scan(
        self, body: Callable[..., Vector], carry: Vector, *, layers: tuple[Number, Number], name: str = "h"
    ) -> Vector: ...

    @overload
    def scan(
        self,
        body: Callable[..., tuple[Vector, ...]],
        carry: tuple[Vector, ...],
        *,
        layers: tuple[Number, Number],
        name: tuple[str, ...],
    ) -> tuple[Vector, ...]: ...

    def scan(
        self,
        body: Callable[..., Vector | tuple[Vector, ...]],
        carry: Vector | tuple[Vector, ...],
        *,
        layers: tuple[Number, Number],
        name: str | tuple[str, ...] = "h",
    ) -> Vector | tuple[Vector, ...]:
        """``h[first] = carry``, ``h[l+1] = body(l, h[l])`` for ``l = first..last``; returns ``h[last+1]``.

        The number of layers may be symbolic (``net.depth``); the body is traced once. With a tuple of carries (and of
        names) the body is called as ``body(l, a[l], b[l], ...)`` and returns as many vectors. In the body of another
        scan the number of layers is a number, and they are written out.

        Parameters
        ----------
        body
            ``body(l, h)`` returns the vector of the next layer.
        carry
            The vector of the first layer.
        layers
            First and last layer; numbers, or expressions in ``net.depth``.
        name
            What equations call the vectors.

        Returns
        -------
        Vector
            That of the layer after the last one; as many as there are carries.

        Raises
        ------
        ProgramError
            If the body does not return what it was given, a vector of the same space.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> def deep(net, x):
        ...     n = net.hidden("N")
        ...     W = net.matrix("W", n, n, layers=(1, net.depth - 1))
        ...     h = net.scan(lambda l, h: W[l] @ h, net.matrix("W0", net.inputs, n) @ x, layers=(1, net.depth - 1))
        ...     return net.readout("w", h)
        >>> str(ds.network(deep).trace().statements[-1]).splitlines()[0]
        'for l = 1 to L - 1:'
        """
        check_body(str(name), body, len(carry) if isinstance(carry, tuple | list) else 1)
        if isinstance(carry, Vector):
            (last,) = self._scan(lambda *args: (cast(Vector, body(*args)),), (carry,), layers, (str(name),))
            return last
        names = (name,) if isinstance(name, str) else tuple(name)
        return self._scan(lambda *args: tuple(cast(tuple[Vector, ...], body(*args))), tuple(carry), layers, names)

    def _scan(
        self,
        body: Callable[..., tuple[Vector, ...]],
        carries: tuple[Vector, ...],
        layers: tuple[Number, Number],
        names: tuple[str, ...],
    ) -> tuple[Vector, ...]:
        label = ", ".join(names)
        span = _layer_range(f"scan {label}", layers)
        index = sp.Symbol("l", integer=True, positive=True)
        if len(names) != len(carries):
            raise ProgramError(f"scan {label}: {len(carries)} carries need as many names")
        if self._scan_index:
            return self._written_out(body, carries, span, label)
        families = [
            self._declare(Field(name, carry.space, LayerRange(span.start, span.stop + 1), self._carry_axes(carry)))
            for name, carry in zip(names, carries, strict=True)
        ]
        for family, carry in zip(families, carries, strict=True):
            self._assign(FieldRef(family, span.start), carry)
        self._blocks.append([])
        self._known.append({})
        self._scan_index.append((index, span))
        self._leads.append(None)
        results = body(index, *(self._member(family, index) for family in families))
        if len(results) != len(carries):
            raise ProgramError(f"scan {label}: the body returned {len(results)} vectors for {len(carries)} carries")
        results = tuple(self._checked(label, family, r) for family, r in zip(families, results, strict=True))
        for place, (family, result) in enumerate(zip(families, results, strict=True), 1):
            self._carry(FieldRef(family, index + 1), result, results[place:])
        self._scan_index.pop()
        self._known.pop()
        lead = self._leads.pop() or sp.Integer(0)
        body_of = reindexed(tuple(self._blocks.pop()), index, index - lead) if lead else tuple(self._blocks.pop())
        self._emit(ForLayers(index, span.shifted(lead), body_of, lead=lead))
        return tuple(self._member(family, span.stop + 1) for family in families)

    def _written_out(
        self, body: Callable[..., tuple[Vector, ...]], carries: tuple[Vector, ...], span: LayerRange, label: str
    ) -> tuple[Vector, ...]:
        """A scan inside of a scan, layer by layer."""
        if not span.length.is_Integer:
            raise ProgramError(
                f"scan {label}: a scan inside a scan is not supported over the layers {span}; allowed there is a "
                "number of layers, layers=(1, 3), and the outer one may have net.depth of them"
            )
        self._inner_scans += 1
        for layer in span.at({}):
            results = body(sp.Integer(layer), *carries)
            if len(results) != len(carries):
                raise ProgramError(f"scan {label}: the body returned {len(results)} vectors for {len(carries)} carries")
            for result, carry in zip(results, carries, strict=True):
                if not isinstance(result, Vector) or result.space != carry.space:
                    raise ProgramError(
                        f"scan {label}: the body must return traced vectors in the spaces of the carries"
                    )
            carries = results
        self._inner_scans -= 1
        return carries

    def _carry_axes(self, carry: Vector) -> Axes:
        return self._axes(axes_of(content_of(carry)))

    def _member(self, family: Field, layer: sp.Expr) -> Vector:
        return Vector(self, Linear.of(FieldRef(family, layer)), family.space)

    @staticmethod
    def _checked(label: str, family: Field, result: Vector) -> Vector:
        """The next value of a carry, if it is a vector of the carry's space."""
        if not isinstance(result, Vector):
            raise ProgramError(f"scan {label}: the body must return traced vectors, got {type(result).__name__}")
        if result.space != family.space:
            raise ProgramError(f"scan {label}: the carry lives in {family.space}, its next value in {result.space}")
        return result

    def readout(
        self,
        name: str,
        vector: Vector,
        *,
        outputs: int | Sequence[int] | None = None,
        init: LayerNumber | None = None,
        learning_rate: LayerNumber = 1,
        train: bool = True,
    ) -> Outputs:
        """The outputs ``gamma_N^{-1} n^{-1/2} w . vector``, sites of ``w`` ``N(0, init^2 init_std^2)``.

        Parameters
        ----------
        outputs
            Which outputs have this readout: the number of one, counted from 0, a list of numbers, or all. Different
            heads are added up, ``net.readout("u", h, outputs=0) + net.readout("v", k, outputs=[1, 2])``.
        init
            Standard deviation of ``w`` in units of ``init_std``, 1 by default; a readout of given inputs starts from 0.
        learning_rate, train
            A factor on the learning rate of the run, and whether ``w`` learns.

        Returns
        -------
        Outputs
            What a forward pass returns; readouts add up.

        Raises
        ------
        ProgramError
            If it is read inside of a scan, if what it reads has another label, or if there are no such outputs.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> def forward(net, x):
        ...     return net.readout("w", net.matrix("W0", net.inputs, net.hidden("N")) @ x)
        >>> ds.derive(ds.network(forward)).network.outputs
        1
        """
        if self._scan_index:
            raise ProgramError(f"readout {name}: readouts stand outside of scans")
        self._check_readout(name, vector)
        inputs = vector.space.finite
        start: LayerNumber = (0 if inputs else 1) if init is None else init
        variance = self._training(f"readout {name}", name, None, start, learning_rate, train)
        if inputs:
            if variance != 0:
                raise ProgramError(
                    f"readout {name}: init = {start}: a readout of given inputs starts from 0, allowed is init=0; from "
                    "random values it would add a random function of the inputs, which no average over sites replaces"
                )
            vector = self._read_out.of_inputs(vector)
        weights = self._declare(RandomVector(name, vector.space, variance))
        served = heads(name, outputs, self.setting.outputs)
        return Outputs((Readout(sp.Integer(1), weights, self.as_field(vector), served),), self)

    def scalar_of(self, outputs: Outputs) -> Mean:
        """Readouts as scalars, added up; each is an average from now on."""
        return self._read_out.scalar_of(outputs)

    def _check_readout(self, name: str, vector: Vector) -> None:
        """Outputs have samples and outputs, and no other label."""
        if not isinstance(vector, Vector):
            raise ProgramError(f'readout {name}: of a {type(vector).__name__}; allowed is net.readout("w", h)')
        for label in axes_of(content_of(vector)):
            if label not in (*self.setting.axes, SAMPLE, OUTPUT):
                how = f"net.sum(h, over={label}), or ds.mean(h, over={label})"
                if label not in self._declared_labels:
                    how += f", with {label} = net.label({label.name!r}, {label.size})"
                raise ProgramError(f"readout {name}: what it reads carries {label}; sum over it first, {how}")

    def multiply(self, ref: MatrixRef, transposed: bool, vector: Vector) -> Vector:
        """A matrix times a vector; given inputs, and multiples of them, need no field of their own."""
        ref = self._member_of(ref)
        if transposed and ref.matrix.source.finite:
            raise ProgramError(
                f"{ref}.T: the inputs are given, and a vector of their space {ref.matrix.source} is no part of a "
                f"network; allowed are transposes of matrices between hidden spaces"
            )
        if not (isinstance(vector, Vector) and vector.space.finite):
            product = Product(ref, self.as_field(vector), transposed)
            return Vector(self, Linear.of(product), product.space)
        total = Linear()
        for coefficient, atom in vector.value.terms:
            if not isinstance(atom, FieldRef):
                raise ProgramError(f"{ref} @ ({vector.value}): allowed are the inputs and multiples of them")
            total += Linear.of(Product(ref, atom), coefficient)
        return Vector(self, total, ref.matrix.target)

    def _member_of(self, ref: MatrixRef) -> MatrixRef:
        """A matrix, or the member of a family at its place."""
        if ref.matrix.layers is None:
            return ref
        if not self._scan_index or (self._inner_scans and ref.layer is not None and ref.layer.is_Integer):
            return self._members.outside(ref)  # of a scan inside of another: the same at all layers of the outer one
        shift = self._members.in_scan(ref, *self._scan_index[-1])
        if self._leads[-1] not in (None, shift):
            raise ProgramError(f"{ref}: a scan indexes all its families alike; number {ref.matrix} as the others are")
        self._leads[-1] = shift
        return ref

    def _single(self, single: GaussianMatrix, family: GaussianMatrix, layer: sp.Expr) -> GaussianMatrix:
        """Declare a member of a family as a matrix of its own."""
        if family.name in self._frozen:
            self._frozen.add(single.name)
        if family.name in self._rates:
            self._rates[single.name] = self._rates[family.name].subs(LAYER.symbol, layer)
        return self._declare(single)

    def _declare_parameter(self, parameter: Parameter) -> None:
        if any(known.keyword == parameter.keyword for known in self._parameters):
            raise ProgramError(f"parameter {parameter.keyword} is declared twice")
        self._parameters.append(parameter)

    def finish(self, outputs: Outputs | Mean) -> Trace:
        """Close the trace with what the forward pass returned."""
        check_returned(outputs)
        readouts = outputs.readouts if isinstance(outputs, Outputs) else tuple(self._read_out.raw.values())
        function = None
        if isinstance(outputs, Outputs):
            check_all_served(readouts, self.setting.outputs)
            outputs = outputs.scalar if self.setting.nonlinear and not outputs.plain else outputs
        statements: tuple[Statement, ...] = tuple(self._blocks[0])
        if isinstance(outputs, Mean):
            function = output_function(outputs, self._blocks[0], self._read_out.raw)
        for family, left in self._members.families().items():
            if family != left:
                statements = renamed(statements, family, left)
        needed = [readout.field.field for readout in readouts] + ([] if function is None else function.scalars)
        network, observations = taken_apart(statements, needed, self._observed)
        check_names(observations, self._names)
        if not self.setting.nonlinear:
            _check_linear(network)
        written = Trace(
            network if function is None else without_unused(network, function),
            self._input,
            readouts,
            self.setting,
            tuple(self._parameters),
            frozenset(self._frozen),
            self._rates,
            tuple(self._labels),
            function,
            self._read_out.raw,
            observations,
        )
        return folded(written, {ref.field.name for ref in self._automatic}, self._other_names())

    def _other_names(self) -> set[str]:
        """Names that no field may have and that are not in the statements."""
        inputs = (self.setting.input, *self.setting.given)
        named = {parameter.keyword for parameter in self._parameters} | {field.name for field in inputs}
        return named | set(self.setting.reserved)


def trace(forward: Callable[[Tracer, Vector], Outputs | Mean], setting: Setting = PROPORTIONAL) -> Trace:
    """Run ``forward`` on traced vectors and return its statements."""
    tracer = Tracer(setting)
    with explained():
        return tracer.finish(forward(tracer, tracer.input))


def _check_linear(statements: tuple[Statement, ...]) -> None:
    """Refuse what outputs may not depend on where no samples are given; observables may."""
    for _, statement in walk(statements):
        if isinstance(statement, SiteMap) and is_linear(statement.function):
            raise ProgramError(
                f"{statement.function}: known numbers with labels need given samples: ds.derive(network, "
                "data=ds.Samples(inputs, targets))"
            )
        if isinstance(statement, SiteMap):
            raise ProgramError(
                f"{statement.function}: nonlinear functions need given samples: ds.derive(network, "
                "data=ds.Samples(inputs, targets))"
            )
        if isinstance(statement, Average):
            raise ProgramError(
                f"mean {statement.target}: averages over sites need given samples: data=ds.Samples(inputs, targets)"
            )


def _layer_range(what: str, layers: tuple[Number, Number]) -> LayerRange:
    if not isinstance(layers, tuple | list) or len(layers) != 2:
        raise ProgramError(f"{what}: layers {layers}: allowed is a pair, such as (1, net.depth - 1)")
    first, last = (number(end) for end in layers)
    for end in (first, last):
        if not end.is_integer:
            raise ProgramError(f"{what}: layers {end}: allowed are integers, net.depth, and sums of them")
    return LayerRange(first, last)
