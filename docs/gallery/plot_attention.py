"""
Attention over tokens
=====================

Scores are averages over sites, their softmax is a function of scalars and tokens are a label, so that attention has a
theory. The first of three
tokens tells the classes apart.
"""

import matplotlib.pyplot as plt
import numpy as np

import dmft_sym as ds


def attention(net, x):
    token, n = net.label("token", 3), net.hidden("N")
    other = token.copy()
    q, k, v = (net.matrix(name, net.inputs, n) @ x for name in "QKV")
    weights = ds.softmax(ds.mean(q * k.at(other)), over=other)
    h = net.sum(weights * v.at(other), over=other)
    return net.readout("w", net.sum(np.tanh(h), over=token))


# %%
# The sign of the first token is the class; the other two are noise.

rng = np.random.default_rng(1)
classes = np.array([1.0, -1.0, 1.0, -1.0])
tokens = 0.5 * rng.standard_normal((4, 3, 6))
tokens[:, 0, 0] += 2 * classes
theory = ds.derive(ds.network(attention, name="attention"), data=ds.Samples(tokens, classes, labels=("token",)))
settings = dict(richness=2, learning_rate=0.2, steps=25)
run = theory.solve(sites=4000, backend="numpy", kernels=(), **settings)
sim = ds.simulate(theory, width=600, seeds=4, kernels=(), **settings)

# %%
# Outputs of all four sequences, and the loss:

figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.2), layout="constrained")
for sample, style in enumerate(("-", "--", "-.", ":")):
    colour = "#0072b2" if classes[sample] > 0 else "#d55e00"
    f, seen = (found.f.isel(sample=sample, output=0) for found in (run, sim))
    left.plot(run.step, f, color=colour, ls=style, label=f"sequence {sample}, target {classes[sample]:+.0f}")
    left.errorbar(
        sim.step[::6],
        seen.mean("seed")[::6],
        seen.std("seed", ddof=1)[::6] / 2,
        fmt="o",
        color=colour,
        mfc="white",
        ms=4,
    )
left.set(xlabel="gradient steps", ylabel="output (points: N = 600)")
left.legend(frameon=False, fontsize="x-small")
right.semilogy(run.step, run.train_loss.isel(output=0), color="0.2")
right.set(xlabel="gradient steps", ylabel="training loss")
