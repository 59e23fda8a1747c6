"""A weight-tied linear network: one hidden matrix, used at every layer.

Run it with ``python examples/weight_tied.py``.
"""

from __future__ import annotations

from checks import report

import dmft_sym as ds


def forward(net, x):
    """``L`` hidden layers that share the matrix ``W``, as a recurrent network does over time."""
    n = net.hidden("N")
    weights = net.matrix("W", n, n)
    h = net.matrix("W0", net.inputs, n) @ x
    h = net.scan(lambda _, h: weights @ h, h, layers=(1, net.depth - 1))
    return net.readout("w", h)


PARAMETERS = {
    "depth": 3,
    "samples_per_dim": 2.0,
    "width_per_dim": 0.8,
    "richness": 2.0,
    "learning_rate": 0.02,
    "label_noise": 0.2,
}


def main() -> None:
    report(ds.derive(ds.network(forward, name="weight-tied network")), PARAMETERS)


if __name__ == "__main__":
    main()
