"""
A sweep on Dask
===============

Points of a sweep are shared out among the workers of a Dask cluster; here it is one of threads on this machine,
elsewhere the address of a scheduler. The numbers are the same as without, bit by bit.
"""

import matplotlib.pyplot as plt
import numpy as np
from distributed import Client, LocalCluster

import dmft_sym as ds

theory = ds.derive(ds.deep_linear(depth=1))
over = {"samples_per_dim": [0.5, 1, 2, 4], "width_per_dim": [0.25, 0.5, 1, 2, 4]}
settings = dict(
    richness=1, learning_rate=0.1, label_noise=0.3, steps=40, variables=["test_loss"], method="conditioning",
    backend="numpy",
)

# %%
with (
    LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
    Client(cluster),
):
    grid = ds.sweep(theory, over, scheduler=cluster.scheduler_address, **settings)
alone = ds.sweep(theory, over, workers=1, **settings)
print("the same numbers:", bool((grid.test_loss == alone.test_loss).all()))

# %%
figure, axis = plt.subplots(figsize=(4.6, 3.3), layout="constrained")
loss = grid.test_loss.isel(step=-1, output=0)
image = axis.pcolormesh(np.arange(6), np.arange(5), loss, cmap="cividis")
axis.set_xticks(np.arange(5) + 0.5, [f"{value:g}" for value in grid.width_per_dim.values])
axis.set_yticks(np.arange(4) + 0.5, [f"{value:g}" for value in grid.samples_per_dim.values])
axis.set(xlabel="width / input dimension", ylabel="samples / input dimension")
figure.colorbar(image, label="test loss after 40 steps")
