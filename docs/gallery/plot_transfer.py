"""
Learning rates that transfer
============================

The best learning rate of a narrow network is that of a wide one under muP, and not in the NTK parametrization
(arXiv:2502.02531, arXiv:2605.07870).
"""

import matplotlib.pyplot as plt

import dmft_sym as ds

widths = [1, 2, 8]
grid = ds.sweep(
    ds.derive(ds.deep_linear(depth=2)),
    over={"parametrization": ["muP", "NTK"], "width_per_dim": widths, "learning_rate": ds.logspace(-2.4, -0.5, 9)},
    samples_per_dim=4, richness=2, steps=30, variables=["train_loss"], method="conditioning",
    backend="numpy", workers=1,
)

# %%
# Runs that diverge are points with a status; the optimum lies between points of the grid, by a parabola.

print(grid.status.to_series().value_counts())
best = ds.optimum(grid, "train_loss", along="learning_rate")
print(best.learning_rate.to_pandas().round(4))

# %%
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.2), sharey=True, layout="constrained")
loss = grid.train_loss.isel(step=-1, output=0)
styles = zip(widths, ("#0072b2", "#d55e00", "#009e73"), ("-", "--", ":"))
for width, colour, style in styles:
    for axis, name in zip(axes, grid.parametrization.values):
        place = dict(parametrization=name, width_per_dim=width)
        axis.loglog(grid.learning_rate, loss.sel(place), color=colour, ls=style, label=f"N/D = {width}")
        one = best.sel(place)
        axis.loglog(one.learning_rate, one.train_loss, "o", color=colour, mfc="white")
        axis.set(title=name, xlabel="learning rate")
axes[0].set_ylabel("training loss after 30 steps")
axes[1].legend(frameon=False)
