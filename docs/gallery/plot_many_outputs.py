"""
As many outputs as units
========================

When the number of outputs grows with the width, there are no outliers any more: the bulk itself moves. With a frozen
readout Silverstein's equation has it at every step.
"""

import matplotlib.pyplot as plt

import dmft_sym as ds

theory = ds.derive(ds.deep_linear(depth=1), data=ds.ExtensiveOutputs(frozen=True))
settings = dict(width_per_dim=1, teacher_std=2, richness=2, learning_rate=0.3, steps=13, matrices=["W0"], at=[12])
dim = 200

# %%
# The same number of outputs per unit in theory and in networks; a few outputs are a few values beyond the bulk.

figure, axes = plt.subplots(1, 3, figsize=(8.4, 2.9), sharey=True, layout="constrained")
for axis, count in zip(axes, (2, 20, 100)):
    found = ds.spectrum(theory, points=200, outputs_per_width=count / dim, **settings)
    sim = ds.simulate(theory, dim=dim, seeds=3, values=0, outputs_per_width=count / dim, **settings)
    axis.hist(sim.spectrum_value.values.ravel(), 50, range=(0, 8), density=True, color="0.8", label="3 networks")
    axis.plot(found.value.values.ravel(), found.density.values.ravel(), color="#0072b2", label="theory")
    upper = found.bulk_edge.sel(side="upper").values.max()
    axis.plot([upper], [0], "^", color="#d55e00", clip_on=False, label="upper edge")
    print(f"{count} outputs for {dim} units: upper edge {upper:.3f}")
    axis.set(title=f"C/N = {count / dim:g}", xlabel="singular value of W0", xlim=(0, 8.2), ylim=(0, 0.8))
axes[0].set_ylabel("density")
axes[0].legend(frameon=False, fontsize="small")
