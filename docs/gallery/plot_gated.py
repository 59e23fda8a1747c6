"""
A gated network
===============

A product of two paths, one behind a sigmoid, is a forward pass like any other: its equations are sampled, because
products are not linear, and networks of finite width lie on them.
"""

import numpy as np

import dmft_sym as ds


def gated(net, x):
    n = net.hidden("N")
    gate = net.apply("1/(1 + exp(-h))", net.matrix("V", net.inputs, n) @ x)
    return net.readout("w", gate * np.tanh(net.matrix("W0", net.inputs, n) @ x))


# %%
# Six random inputs with targets of both signs.

rng = np.random.default_rng(0)
data = ds.Samples(rng.standard_normal((6, 10)), [1, -1, 1, -1, 1, -1])
theory = ds.derive(ds.network(gated, name="gated network"), data=data)
settings = dict(richness=2, learning_rate=0.5, steps=30)
run = theory.solve(sites=4000, backend="numpy", **settings)
sim = ds.simulate(theory, width=500, seeds=6, **settings)

# %%
# Outputs on all samples, theory as lines, networks as points:

figure = ds.plot(run, sim, kind="outputs")

# %%
# The program, reverse mode included:

print(theory.program)
