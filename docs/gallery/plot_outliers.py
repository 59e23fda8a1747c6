"""
Outliers leave the bulk
=======================

While a deep linear network learns, singular values of its hidden matrices leave the bulk of the initialization: theory
as lines, finite networks as points (arXiv:2605.07870).
"""

import matplotlib.pyplot as plt

import dmft_sym as ds

theory = ds.derive(ds.deep_linear(depth=2))
settings = dict(samples_per_dim=4, width_per_dim=1, richness=8, learning_rate=0.004, label_noise=0.3, steps=60)
matrices = ["W0", "W1"]

# %%
# Spectra follow from the equations of training alone. An outlier that is not there is NaN, so that lines begin where it
# leaves the bulk.

spectra = ds.spectrum(theory, matrices=matrices, at=list(range(0, 60, 3)), overlaps=False, **settings)
sim = ds.simulate(
    theory, dim=300, seeds=4, matrices=matrices, at=[0, 15, 30, 45, 59], order_parameters=False,
    normalise=True, **settings,
)

# %%
# Largest singular values of finite networks end at the edge as long as there is no outlier.

figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.2), sharey=True, layout="constrained")
for axis, matrix, colour in zip(axes, matrices, ("#0072b2", "#d55e00")):
    axis.plot(spectra.spectrum_step, spectra.outlier.sel(matrix=matrix).isel(rank=0), color=colour, label="theory")
    edge = spectra.bulk_edge.sel(matrix=matrix, side="upper")
    axis.plot(spectra.spectrum_step, edge, color="0.4", ls=":", label="edge of the bulk")
    values = sim.outlier.sel(matrix=matrix).isel(rank=0)
    axis.errorbar(
        sim.spectrum_step, values.mean("seed"), values.std("seed", ddof=1) / 2, fmt="o", color="0.2",
        mfc="white", capsize=2, label="4 networks, D = 300",
    )
    axis.set(title=matrix, xlabel="gradient steps")
axes[0].set_ylabel("largest singular value")
axes[1].legend(frameon=False, fontsize="small")

# %%
# The steps at which they leave, interpolated:

print(spectra.escape_step.to_pandas().round(1))
