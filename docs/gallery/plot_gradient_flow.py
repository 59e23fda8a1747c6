"""
Gradient flow
=============

Small learning rates at fixed time: an integrator with error control takes the place of steps. With noisy labels the
test loss has a minimum, and the network fits the noise afterwards.
"""

import matplotlib.pyplot as plt
import numpy as np

import dmft_sym as ds

net = ds.deep_linear(depth=2)
settings = dict(samples_per_dim=2, width_per_dim=0.7, richness=4, label_noise=0.5)
times = np.geomspace(0.02, 10, 25)
flow = ds.derive(net, training=ds.GradientFlow()).solve(time=[0.0, *times], **settings)
best = flow.test_loss.isel(output=0).idxmin("time")
print(f"the test loss is smallest at time {float(best):.2f}")

# %%
# Descent at two rates, on the same axis of time (rate times steps).

figure, axis = plt.subplots(figsize=(4.8, 3.4), layout="constrained")
axis.semilogx(times, flow.test_loss.values[1:, 0], color="#0072b2", label="flow, test")
axis.semilogx(times, flow.train_loss.values[1:, 0], color="#d55e00", ls="--", label="flow, training")
for rate, marker in ((0.05, "s"), (0.02, "o")):
    run = ds.derive(net).solve(
        learning_rate=rate, steps=int(2 / rate), method="conditioning", backend="numpy", **settings
    )
    shown = np.unique(np.geomspace(1, run.sizes["step"] - 1, 10).astype(int))
    axis.plot(
        rate * shown, run.test_loss.values[shown, 0], marker, color="0.3", mfc="none", label=f"descent, rate {rate}"
    )
axis.set(xlabel="time = learning rate x steps", ylabel="loss")
axis.legend(frameon=False, fontsize="small")
