"""
Residual networks: transfer over depths
=======================================

With branches times one over the root of the depth, the best learning rate does not depend on the depth; without, it
falls. Depth is a symbol of the equations and an argument of a run (arXiv:2502.02531).
"""

import matplotlib.pyplot as plt
import sympy as sp

import dmft_sym as ds


def residual(scaled):
    def forward(net, x):
        n, b = net.hidden("N"), net.parameter("branch", default=0.5)
        b = b / sp.sqrt(net.depth) if scaled else b
        weights = net.matrix("W", n, n, layers=(1, net.depth - 1))
        h = net.matrix("W0", net.inputs, n) @ x
        h = net.scan(lambda layer, h: h + b * (weights[layer] @ h), h, layers=(1, net.depth - 1))
        return net.readout("w", h)

    return ds.derive(ds.network(forward))


# %%
# One theory each, swept over depths and learning rates.

depths = [3, 6, 12]
over = {"depth": depths, "learning_rate": ds.logspace(-2.5, 0, 11)}
settings = dict(samples_per_dim=4, width_per_dim=1, richness=1, label_noise=0.2, steps=12, variables=["train_loss"])
grids = {
    scaled: ds.sweep(residual(scaled), over, workers=1, backend="numpy", method="conditioning", **settings)
    for scaled in (True, False)
}

# %%
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.2), sharey=True, layout="constrained")
titles = {True: "branch b/sqrt(L)", False: "branch b"}
for axis, (scaled, grid) in zip(axes, grids.items()):
    best = ds.optimum(grid, "train_loss", along="learning_rate")
    print(titles[scaled], "best rates:", best.learning_rate.values.ravel().round(3).tolist())
    for depth, colour, style in zip(depths, ("#0072b2", "#d55e00", "#009e73"), ("-", "--", ":")):
        loss = grid.train_loss.isel(step=-1, output=0).sel(depth=depth)
        axis.loglog(grid.learning_rate, loss, color=colour, ls=style, label=f"L = {depth}")
        one = best.sel(depth=depth)
        axis.loglog(one.learning_rate, one.train_loss, "o", color=colour, mfc="white")
    axis.set(title=titles[scaled], xlabel="learning rate", ylim=(0.02, 3))
axes[0].set_ylabel("training loss after 12 steps")
axes[0].legend(frameon=False)
