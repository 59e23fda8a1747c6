"""Linear networks on which limits are checked, and the parameters where sequences begin."""

from __future__ import annotations

import dmft_sym as ds

RUN = {
    "samples_per_dim": 2.0, "width_per_dim": 0.8, "richness": 2.0, "learning_rate": 0.02, "label_noise": 0.3,
    "init_std": 0.9,
}  # fmt: skip


def residual(net, x):
    n = net.hidden("N")
    first, blocks = net.matrix("W0", net.inputs, n), net.matrix("W", n, n, layers=(1, net.depth - 1))
    h = net.scan(lambda layer, h: h + blocks[layer] @ h, first @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


def tied(net, x):
    n = net.hidden("N")
    first, inner = net.matrix("W0", net.inputs, n), net.matrix("W", n, n)
    h = net.scan(lambda _, h: h + inner @ h, first @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


def lora(net, x):
    """A frozen matrix and a trained product of two, through a bottleneck, that starts at zero."""
    n, m = net.hidden("N"), net.hidden("M", 0.5)
    h = net.matrix("W0", net.inputs, n, train=False) @ x
    low = net.matrix("B", m, n, init=0) @ (net.matrix("A", n, m) @ h)
    return net.readout("w", net.matrix("W1", n, n, train=False) @ h + low)


def autoencoder(net, x):
    n, m = net.hidden("N"), net.hidden("M", 0.5)
    first, inner = net.matrix("W0", net.inputs, n), net.matrix("V", n, m)
    h = first @ x
    return net.readout("w", h + inner.T @ (inner @ h))


NETWORKS = {
    "deep linear": (ds.deep_linear(2), {}),
    "NTK": (ds.deep_linear(2, parametrization=ds.NTK), {}),
    "residual": (ds.network(residual), {"depth": 2}),
    "tied": (ds.network(tied), {"depth": 2}),
    "lora": (ds.network(lora), {}),
    "autoencoder": (ds.network(autoencoder), {}),
}
