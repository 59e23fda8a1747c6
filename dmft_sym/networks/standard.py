"""The standard networks: forward passes like any other, kept here because everybody uses them."""

from __future__ import annotations

import inspect
import numbers
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import sympy as sp

from dmft_sym.program import ProgramError
from dmft_sym.support import notebook

from .functions import Function
from .outputs import Outputs
from .parametrization import BY_NAME, MUP, Parametrization
from .trace import Tracer, trace
from .traced import PROPORTIONAL, Setting, Trace
from .vectors import Vector

Forward = Callable[[Tracer, Vector], Outputs]


@dataclass(frozen=True)
class Network:
    """A forward pass with default values of its run-time arguments.

    Parameters
    ----------
    forward
        ``forward(net, x)`` returns ``net.readout(...)``; see `Tracer` for what ``net`` offers.
    depth
        Default value of ``net.depth``; ``None`` if the forward pass does not use it.
    outputs
        Default number ``C`` of outputs.
    parametrization
        How ``gamma`` follows from ``richness`` and width.
    defaults
        Default values of further run-time parameters.

    See Also
    --------
    network : makes one from a forward pass.
    derive : takes it.

    References
    ----------
    docs/program.md.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> ds.deep_linear(depth=2).depth
    2
    """

    forward: Forward
    name: str = "network"
    depth: int | None = None
    outputs: int = 1
    parametrization: Parametrization = MUP
    defaults: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not callable(self.forward):
            raise ProgramError(f"forward = {self.forward!r}: allowed is a function forward(net, x)")
        if self.depth is not None:
            _check_integer("depth", self.depth, 0)
        _check_integer("outputs", self.outputs, 1)
        object.__setattr__(self, "parametrization", _parametrization(self.parametrization))

    def __repr__(self) -> str:
        return notebook.shortened([f"<network {self.name}: {self._settings}>"])

    def _repr_html_(self) -> str:
        source = notebook.folded("forward pass", notebook.listing(_source(self.forward)), shown=True)
        return notebook.heading(f"Network {self.name}") + notebook.paragraph(self._settings) + source

    @property
    def _settings(self) -> str:
        depth = [] if self.depth is None else [f"depth {self.depth}"]
        outputs = f"{self.outputs} output{'' if self.outputs == 1 else 's'}"
        values = (f"{name} {value}" for name, value in self.defaults.items())
        return ", ".join([*depth, outputs, str(self.parametrization), *values])

    def trace(self, setting: Setting = PROPORTIONAL) -> Trace:
        """Statements of the forward pass."""
        return trace(self.forward, replace(setting, outputs=setting.outputs or self.outputs))


def _source(forward: Forward) -> str:
    """The forward pass as it was written, or its name where that is not known."""
    try:
        return textwrap.dedent(inspect.getsource(forward)).strip()
    except (OSError, TypeError):
        return str(getattr(forward, "__name__", forward))


def _check_integer(key: str, value: object, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < low:
        raise ProgramError(f"{key} = {value!r}: allowed is an integer >= {low}")


def _parametrization(value: object) -> Parametrization:
    """A parametrization, or the one that has this name."""
    if isinstance(value, Parametrization):
        return value
    if isinstance(value, str) and value in BY_NAME:
        return BY_NAME[value]
    raise ProgramError(f"parametrization = {value!r}: allowed are 'muP', 'NTK' or Parametrization(exponent)")


def network(
    forward: Forward,
    *,
    name: str | None = None,
    depth: int | None = None,
    outputs: int = 1,
    parametrization: Parametrization | str = MUP,
    **defaults: float,
) -> Network:
    """Wrap your own forward pass.

    Parameters
    ----------
    forward
        ``forward(net, x)`` returns ``net.readout(...)``; see `Tracer` for what ``net`` offers.
    name
        Label of the network in results; the name of the function by default.
    depth, outputs
        Default values of these run-time arguments.
    parametrization
        `Parametrization`, or ``"muP"`` or ``"NTK"``.
    **defaults
        Default values of other run-time arguments; `dmft_sym.derive` refuses names that the program does not have.

    Returns
    -------
    Network
        For `derive`.

    Raises
    ------
    ProgramError
        Naming the argument, its value and what is allowed.

    See Also
    --------
    mlp, deep_linear : forward passes that are there.
    dmft_sym.networks.Tracer : what ``net`` offers.

    References
    ----------
    docs/program.md; the language of vector programs is that of tensor programs, arXiv:2009.10685.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> def two_paths(net, x):
    ...     n = net.hidden("N")
    ...     h = net.matrix("A", net.inputs, n) @ x
    ...     return net.readout("w", h + net.matrix("B", n, n) @ h)
    >>> net = ds.network(two_paths)
    """
    label = name or getattr(forward, "__name__", "network").strip("<>")
    return Network(forward, label, depth, outputs, _parametrization(parametrization), dict(defaults))


def _deep_linear(net: Tracer, x: Vector) -> Outputs:
    n = net.hidden("N")
    first = net.matrix("W0", net.inputs, n)
    weights = net.matrix("W", n, n, layers=(1, net.depth - 1))
    h = net.scan(lambda layer, h: weights[layer] @ h, first @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


def _linear_regression(net: Tracer, x: Vector) -> Outputs:
    # The readout starts at zero: without hidden layers there is nothing for a random one to feed.
    return net.readout("w", x, init=0)


def deep_linear(depth: int = 1, outputs: int = 1, parametrization: Parametrization | str = MUP) -> Network:
    """A deep linear network ``x -> w^T W^{L-1} ... W^0 x`` with ``depth`` hidden layers.

    ``depth = 0`` is linear regression on ``x`` from zero, where ``richness`` and ``width_per_dim`` cancel and need not
    be given.

    Parameters
    ----------
    depth
        Default number ``L`` of hidden layers, an integer >= 0.
    outputs
        Default number ``C`` of outputs, an integer >= 1.
    parametrization
        ``"muP"``, ``"NTK"`` or a `Parametrization`: how ``gamma`` follows from the richness and the width.

    Returns
    -------
    Network
        For `derive`.

    Raises
    ------
    ProgramError
        Naming the argument, its value and what is allowed.

    See Also
    --------
    mlp : with an activation, on given samples.
    network : a forward pass of your own.

    References
    ----------
    arXiv:2502.02531.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> ds.derive(ds.deep_linear(depth=3)).solve(
    ...     samples_per_dim=2, width_per_dim=1, richness=1, learning_rate=0.05, steps=2, method="conditioning"
    ... ).attrs["depth"]
    3
    """
    _check_integer("depth", depth, 0)
    chosen = _parametrization(parametrization)
    if depth == 0:
        cancels = {"richness": 1.0, "width_per_dim": 1.0}
        return Network(_linear_regression, "linear regression", None, outputs, chosen, cancels)
    return Network(_deep_linear, "deep linear network", depth, outputs, chosen)


def mlp(
    depth: int = 2,
    activation: Function | None = "tanh",
    outputs: int = 1,
    parametrization: Parametrization | str = MUP,
) -> Network:
    """A multilayer perceptron ``f = (1/(gamma0 N)) w . phi(h^L)``, ``h^{l+1} = N^{-1/2} W^l phi(h^l)``.

    Parameters
    ----------
    depth
        Number ``L`` of hidden layers.
    activation
        ``phi``: a name (``"tanh"``, ``"erf"``, ``"relu"``, ``"gelu"``, ...), a formula in ``h`` as text or as SymPy
        expression, or a function of a SymPy symbol. ``None`` leaves it open: the equations are derived for any ``phi``,
        but nothing can be computed.
    outputs
        Number ``C`` of outputs.
    parametrization
        At infinite width only muP trains features.

    Returns
    -------
    Network
        For `derive`.

    Raises
    ------
    ProgramError
        Naming the argument, its value and what is allowed.

    See Also
    --------
    deep_linear : the same without an activation, in either regime.
    network : a forward pass of your own.

    References
    ----------
    arXiv:2205.09653.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> net = ds.mlp(depth=2, activation="h*tanh(h)")
    """
    from .activations import activation as chosen

    _check_integer("depth", depth, 1)
    phi = chosen(activation)

    def forward(net: Tracer, x: Vector) -> Outputs:
        n = net.hidden("N")
        first = net.matrix("W0", net.inputs, n)
        weights = net.matrix("W", n, n, layers=(1, net.depth - 1))
        features = net.family("phi", n, layers=(1, net.depth))

        def layer(number: sp.Expr, h: Vector) -> Vector:
            return weights[number] @ net.apply(phi, h).named(features[number])

        h = net.scan(layer, first @ x, layers=(1, net.depth - 1))
        return net.readout("w", net.apply(phi, h).named(features[net.depth]))

    return Network(forward, f"MLP with activation {phi}", depth, outputs, _parametrization(parametrization))
