"""
Updates know the initial weights
================================

What training adds to a matrix depends on its initial value. Spikes of independent parts, the classical additive model,
are wrong by more than a little: finite networks decide (arXiv:2605.07870).
"""

import matplotlib.pyplot as plt

import dmft_sym as ds

theory = ds.derive(ds.deep_linear(depth=2))
settings = dict(samples_per_dim=4, width_per_dim=1, richness=8, learning_rate=0.004, label_noise=0.3, steps=50)
asked = dict(matrices=["W1"], at=[0, 10, 20, 25, 30, 35, 40, 45, 49], overlaps=False)

# %%
# ``dependence="independent"`` leaves the responses of training out of the spike condition, and nothing else.

lines = {word: ds.spectrum(theory, dependence=word, **asked, **settings) for word in ("joint", "independent")}
sim = ds.simulate(
    theory, dim=400, seeds=4, matrices=["W1"], at=[20, 30, 40, 49], order_parameters=False, normalise=True, **settings
)

# %%
figure, axis = plt.subplots(figsize=(4.8, 3.4), layout="constrained")
for (word, found), colour, style in zip(lines.items(), ("#0072b2", "#d55e00"), ("-", "--")):
    axis.plot(found.spectrum_step, found.outlier.sel(matrix="W1").isel(rank=0), color=colour, ls=style, label=word)
values = sim.outlier.sel(matrix="W1").isel(rank=0)
error = values.std("seed", ddof=1) / values.sizes["seed"] ** 0.5
axis.errorbar(
    sim.spectrum_step, values.mean("seed"), error, fmt="o", color="0.2", mfc="white", capsize=2,
    label="4 networks, D = 400",
)
axis.axhline(2, color="0.4", ls=":", label="edge of the bulk")
axis.set(xlabel="gradient steps", ylabel="outlier of W1", ylim=(1.95, None))
axis.legend(frameon=False, fontsize="small")
