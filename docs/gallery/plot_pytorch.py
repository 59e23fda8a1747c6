"""
A network in PyTorch
====================

A network trained by plain ``torch.optim.SGD`` lies on the lines of the theory, if its arrays start as they should and
each has its learning rate (:doc:`/conventions` has the table).
"""

import matplotlib.pyplot as plt
import numpy as np

import dmft_sym as ds

rng = np.random.default_rng(0)
signs = np.where(np.arange(8) % 2, 1.0, -1.0)
data = ds.Samples(rng.standard_normal((8, 20)) + 0.7 * signs[:, None] * rng.standard_normal(20), signs)
theory = ds.derive(ds.mlp(depth=2, activation="tanh"), data=data)
richness, rate, steps, width = 4.0, 0.05, 40, 500
run = theory.solve(sites=4000, richness=richness, learning_rate=rate, steps=steps, kernels=())


# %%
# The network as anybody would write it.
def train(seed):
    torch.manual_seed(seed)
    x, y = torch.tensor(data.inputs), torch.tensor(data.targets)
    dim = x.shape[1]
    shapes = [(width, dim), (width, width), (1, width)]
    scales = [dim**-0.5, width**-0.5, 1 / (richness * width)]
    rates = [rate * richness**2 * width / dim, rate * richness**2, rate / width]
    layers = [(std * torch.randn(shape, dtype=x.dtype)).requires_grad_() for shape, std in zip(shapes, scales)]
    optimizer = torch.optim.SGD([{"params": [w], "lr": lr} for w, lr in zip(layers, rates)])
    losses = []
    for _ in range(steps):
        f = torch.tanh(torch.tanh(x @ layers[0].T) @ layers[1].T) @ layers[2].T
        loss = ((f - y) ** 2).sum() / (2 * len(y))
        losses.append(2 * loss.item() / y.shape[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


# %%
figure, axis = plt.subplots(figsize=(4.8, 3.4), layout="constrained")
axis.semilogy(run.step, run.train_loss.isel(output=0), color="#0072b2", label="theory, infinite width")
try:
    import torch
except ImportError:
    print("PyTorch is not installed: pip install 'dmft-sym[torch]'")
else:
    for seed in range(3):
        label = f"PyTorch, N = {width}, three seeds" if seed == 0 else None
        axis.plot(np.arange(steps)[::3], train(seed)[::3], "o", color="0.3", mfc="none", ms=4, label=label)
axis.set(xlabel="gradient steps", ylabel="training loss")
axis.legend(frameon=False)
