"""
Digits
======

A tanh network of infinite width learns to tell twelve images of the digits 3 and 8 apart: its kernels turn into those
of the targets.
"""

import matplotlib.pyplot as plt
import numpy as np

import dmft_sym as ds

data = ds.datasets.digits(classes=(3, 8), samples=12)
theory = ds.derive(ds.mlp(depth=2, activation="tanh"), data=data)
shown = [0, 15, 39]
settings = dict(richness=4, learning_rate=0.05, steps=40, kernels=shown)
run = theory.solve(sites=4000, **settings)
sim = ds.simulate(theory, width=500, seeds=4, **settings)

# %%
# Kernel of the last hidden layer, images in the order of their targets.

order = np.argsort(run.target.values[:, 0], kind="stable")
kernels = run.Phi.sel(layer=2)
low, high = float(kernels.min()), float(kernels.max())
figure, axes = plt.subplots(1, 4, figsize=(9, 2.5), layout="constrained", width_ratios=(1, 1, 1, 1.4))
for axis, step in zip(axes, shown):
    values = kernels.sel(kernel_step=step).values[np.ix_(order, order)]
    image = axis.imshow(values, cmap="cividis", vmin=low, vmax=high)
    axis.set(title=f"step {step}", xticks=[], yticks=[], xlabel="images")
figure.colorbar(image, ax=axes[2], label="kernel")
loss, seen = run.train_loss.isel(output=0), sim.train_loss.isel(output=0)
axes[3].plot(run.step, loss, color="#0072b2", label="infinite width")
axes[3].plot(sim.step[::4], seen.mean("seed")[::4], "o", color="0.2", mfc="white", ms=4, label="N = 500")
axes[3].set(xlabel="gradient steps", ylabel="training loss")
axes[3].legend(frameon=False, fontsize="small")

# %%
# Alignments with the targets, theory and networks:

print("theory  ", run.Phi_alignment.sel(layer=2).values.round(3).tolist())
print("networks", sim.Phi_alignment.sel(layer=2).mean("seed").values.round(3).tolist())
