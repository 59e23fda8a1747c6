"""The standard networks: forward passes like any other, kept here because everybody uses them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .parametrization import MUP, Parametrization
from .trace import Outputs, Trace, Tracer, Vector, trace

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
    """

    forward: Forward
    name: str = "network"
    depth: int | None = None
    outputs: int = 1
    parametrization: Parametrization = MUP
    defaults: Mapping[str, float] = field(default_factory=dict)

    def trace(self) -> Trace:
        """Statements of the forward pass."""
        return trace(self.forward)


def network(
    forward: Forward,
    *,
    name: str | None = None,
    depth: int | None = None,
    outputs: int = 1,
    parametrization: Parametrization = MUP,
    **defaults: float,
) -> Network:
    """Wrap your own forward pass.

    Examples
    --------
    >>> def two_paths(net, x):
    ...     n = net.hidden("N")
    ...     h = net.matrix("A", net.inputs, n) @ x
    ...     return net.readout("w", h + net.matrix("B", n, n) @ h)
    >>> net = network(two_paths)
    """
    label = name or getattr(forward, "__name__", "network").strip("<>")
    return Network(forward, label, depth, outputs, parametrization, dict(defaults))


def _deep_linear(net: Tracer, x: Vector) -> Outputs:
    n = net.hidden("N")
    first = net.matrix("W0", net.inputs, n)
    weights = net.matrix("W", n, n, layers=(1, net.depth - 1))
    h = net.scan(lambda layer, h: weights[layer] @ h, first @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


def _linear_regression(net: Tracer, x: Vector) -> Outputs:
    # The readout starts at zero: without hidden layers there is nothing for a random one to feed.
    return net.readout("w", x, init=0)


def deep_linear(depth: int = 1, outputs: int = 1, parametrization: Parametrization = MUP) -> Network:
    """A deep linear network ``x -> w^T W^{L-1} ... W^0 x`` with ``depth`` hidden layers.

    ``depth = 0`` is linear regression on ``x`` from zero.
    """
    if depth == 0:
        return Network(_linear_regression, "linear regression", None, outputs, parametrization)
    return Network(_deep_linear, "deep linear network", depth, outputs, parametrization)
