"""
Limits
======

A limit of the equations says what is left and what vanished, and is solved like a theory. Runs with ever larger widths
approach it at the rate that the derivation has.
"""

import matplotlib.pyplot as plt
import numpy as np

import dmft_sym as ds

theory = ds.derive(ds.deep_linear(depth=2))
wide = theory.limit(ds.limits.wide)
print("vanished:")
for line in str(wide.vanished).splitlines()[:6]:
    print(line)

# %%
# Losses of finite widths per dimension against those of the limit.

settings = dict(samples_per_dim=4, richness=4, learning_rate=0.02, label_noise=0.2, steps=30)
limit = wide.solve(**settings)
widths = [1, 2, 4, 8, 16, 32]
runs = [theory.solve(width_per_dim=width, backend="numpy", **settings) for width in widths]
distance = [float(abs(run.test_loss - limit.test_loss).max()) for run in runs]
slope = np.polyfit(np.log(widths[2:]), np.log(distance[2:]), 1)[0]
print(f"distance ~ width^{slope:.2f}")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.2), layout="constrained")
for width, run, style in zip(widths[::2], runs[::2], (":", "-.", "--")):
    left.semilogy(run.step, run.test_loss.isel(output=0), ls=style, label=f"N/D = {width}")
left.semilogy(limit.step, limit.test_loss.isel(output=0), color="k", label="limit")
left.set(xlabel="gradient steps", ylabel="test loss")
left.legend(frameon=False, fontsize="small")
right.loglog(widths, distance, "o-", color="#0072b2", mfc="white")
right.set(xlabel="width / input dimension", ylabel="distance of test losses from the limit")
