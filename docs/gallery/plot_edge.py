"""
The edge of stability
=====================

Gradient descent is stable while the learning rate times the leading eigenvalue of the tangent kernel is below two.
Training raises this eigenvalue; beyond the edge the network turns itself back (arXiv:2605.07870).
"""

import matplotlib.pyplot as plt

import dmft_sym as ds

theory = ds.derive(ds.deep_linear(depth=2))
settings = dict(samples_per_dim=4, width_per_dim=2, richness=4, label_noise=0.2, steps=61)
at = list(range(0, 61, 4))

# %%
# The NTK is a matrix of the network like any other: its program has the same ingredients.

runs = {
    rate: ds.spectrum(theory, matrices=["NTK"], at=at, overlaps=False, learning_rate=rate, **settings)
    for rate in (0.03, 0.06, 0.1)
}

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.2), layout="constrained")
for (rate, run), colour, style in zip(runs.items(), ("#0072b2", "#d55e00", "#009e73"), ("-", "--", "-.")):
    left.plot(run.spectrum_step, run.rate_sharpness, color=colour, ls=style, label=f"rate {rate:g}")
    loss = theory.solve(learning_rate=rate, method="conditioning", backend="numpy", **settings).train_loss.isel(
        output=0
    )
    right.semilogy(loss.step, loss, color=colour, ls=style)
left.axhline(2, color="0.4", ls=":", label="edge of stability")
left.set(xlabel="gradient steps", ylabel="learning rate x sharpness")
right.set(xlabel="gradient steps", ylabel="training loss")
left.legend(frameon=False, fontsize="small")
