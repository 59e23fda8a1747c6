"""
Outliers against the width
==========================

Under muP outliers keep their place when networks get wider; in the NTK parametrization they drift into the bulk and are
lost (arXiv:2605.07870, width consistency).
"""

import matplotlib.pyplot as plt

import dmft_sym as ds

settings = dict(samples_per_dim=4, richness=6, learning_rate=0.005, label_noise=0.2, steps=60)
widths = [0.25, 0.5, 1, 2, 4, 8]

# %%
# A sweep over an argument of a run and a field of the network is one dataset.

grid = ds.sweep(
    ds.derive(ds.deep_linear(depth=2)), over={"parametrization": ["muP", "NTK"], "width_per_dim": widths},
    what="spectrum", matrices=["W1"], at=[59], overlaps=False, workers=1, **settings,
)
outlier = grid.outlier.sel(matrix="W1", spectrum_step=59).isel(rank=0)
print(outlier.to_pandas().round(3))

# %%
# NaN: there is no outlier.

figure, axis = plt.subplots(figsize=(4.8, 3.4), layout="constrained")
for name, colour, style, marker in (("muP", "#0072b2", "-", "o"), ("NTK", "#d55e00", "--", "s")):
    line = outlier.sel(parametrization=name)
    axis.plot(widths, line, color=colour, ls=style, marker=marker, ms=5, label=name)
axis.axhline(2, color="0.4", ls=":", label="edge of the bulk")
axis.set_xscale("log", base=2)
axis.set_xticks(widths, [f"{width:g}" for width in widths])
axis.set(xlabel="width / input dimension", ylabel="outlier of W1 after 60 steps")
axis.legend(frameon=False)
