"""A residual linear network, ``h -> h + (b/sqrt(L)) W h``: derived, marched, and checked in two other ways.

Run it with ``python examples/residual.py``.
"""

from __future__ import annotations

import sympy as sp
from checks import report

import dmft_sym as ds


def forward(net, x):
    """``L`` hidden layers; every block adds to the stream that skips it."""
    n = net.hidden("N")
    b = net.parameter("b", default=1.0)
    weights = net.matrix("W", n, n, layers=(1, net.depth - 1))
    h = net.matrix("W0", net.inputs, n) @ x
    h = net.scan(lambda layer, h: h + b / sp.sqrt(net.depth) * (weights[layer] @ h), h, layers=(1, net.depth - 1))
    return net.readout("w", h)


PARAMETERS = {
    "depth": 3,
    "samples_per_dim": 2.0,
    "width_per_dim": 0.8,
    "richness": 2.0,
    "learning_rate": 0.05,
    "label_noise": 0.2,
}


def main() -> None:
    report(ds.derive(ds.network(forward, name="residual network")), PARAMETERS)


if __name__ == "__main__":
    main()
