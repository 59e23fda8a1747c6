"""The network of a theory, trained in PyTorch: losses and outliers on the lines of infinite width.

    python examples/pytorch_digits.py [FILE] [--width 1000] [--seeds 4] [--sites 20000] [--backend numba]

A tanh network with two hidden layers learns to tell 20 images of the digits 3 and 8 apart. It is written as anybody
would write it in PyTorch, and trained by plain ``torch.optim.SGD``; what makes it the network of the theory are the
standard deviations of its weights and a learning rate for every matrix (docs/measure.md has the table, for momentum and
weight decay too). Its weights are measured with ``ds.measure`` and compared with the theory; FILE
(``pytorch_digits.png`` by default) shows the training loss and the outlier of the hidden matrix.

Needs PyTorch and scikit-learn: ``pip install 'dmft-sym[torch,data]'``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr

import dmft_sym as ds
from dmft_sym.data.datasets import digits
from dmft_sym.figures.plots import save_figure
from dmft_sym.support.progress import StepProgress

RICHNESS, RATE, STEPS = 4.0, 0.05, 60
AT = [0, 10, 15, 20, 25, 30, 40, 59]
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "0.25"


class Network(torch.nn.Module):
    """``f = w . phi(W1 phi(W0 x))`` without biases."""

    def __init__(self, dim: int, width: int, outputs: int, richness: float, hidden: int = 1) -> None:
        super().__init__()
        shapes = [(width, dim), *[(width, width)] * hidden, (outputs, width)]
        self.layers = torch.nn.ParameterList([torch.nn.Parameter(torch.empty(shape)) for shape in shapes])
        for weight in self.layers[:-1]:
            torch.nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
        torch.nn.init.normal_(self.layers[-1], std=1 / (richness * width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for weight in self.layers[:-1]:
            x = torch.tanh(x @ weight.T)
        return x @ self.layers[-1].T


def groups(network: Network, richness: float, rate: float, decay: float = 0.0) -> list[dict]:
    """Learning rates of plain SGD that are those of the theory; ``decay`` is that of the theory per step."""
    first, *hidden, last = network.layers
    width, dim = first.shape
    rates = [rate * richness**2 * width / dim, *[rate * richness**2] * len(hidden), rate / width]
    found = zip((first, *hidden, last), rates, strict=True)
    return [{"params": [weight], "lr": lr, "weight_decay": decay / lr} for weight, lr in found]


def loss_of(f: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Half the squared error, a mean over samples and a sum over outputs; ``torch.nn.MSELoss`` has another factor."""
    return ((f - y) ** 2).sum() / (2 * len(y))


def train(data: ds.Samples, width: int, seed: int) -> tuple[list[float], dict[int, np.ndarray]]:
    """Losses of all steps (without the factor 1/2), and the hidden matrix before the steps `AT`."""
    torch.manual_seed(seed)
    x, y = (torch.tensor(array) for array in (data.inputs, data.targets))
    network = Network(x.shape[1], width, y.shape[1], RICHNESS).double()
    optimizer = torch.optim.SGD(groups(network, RICHNESS, RATE))
    losses, hidden = [], {}
    for step in range(STEPS):
        if step in AT:
            hidden[step] = network.layers[1].detach().numpy().copy()
        loss = loss_of(network(x), y)
        losses.append(2 * loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses, hidden


def measured(run: xr.Dataset, data: ds.Samples, width: int, seeds: int) -> xr.Dataset:
    """Losses and outliers of networks in PyTorch, with the variables of the theory."""
    with StepProgress(f"PyTorch, width {width}") as progress:
        found = []
        for seed in range(seeds):
            found.append(train(data, width, seed))
            progress(seed + 1, seeds)
    spectra = [ds.measure({"W1": np.stack([hidden[step] for _, hidden in found])}, run, step) for step in AT]
    losses = xr.DataArray(np.array([losses for losses, _ in found])[..., None], dims=("seed", "step", "output"))
    joined = xr.concat(spectra, "spectrum_step", data_vars="all").assign_attrs(width=width)
    return joined.assign(train_loss=losses).assign_coords(step=np.arange(STEPS), output=[0])


def main(words: Sequence[str] | None = None) -> None:
    options = arguments(words)
    data = digits(classes=(3, 8), samples=20)
    theory = ds.derive(ds.mlp(2, "tanh"), data=data)
    with StepProgress("infinite width") as progress:
        run = theory.compile(options.backend)(
            richness=RICHNESS, learning_rate=RATE, steps=STEPS, sites=options.sites, kernels=(), matrices=["W1"],
            at=AT, progress=progress,
        )  # fmt: skip
    sim = measured(run, data, options.width, options.seeds)
    if options.seeds > 1:
        print(ds.compare(run, sim))
    print("verdict on W1:", dict(zip(AT, sim.verdict.sel(matrix="W1").values.tolist(), strict=True)))
    draw(run, sim, options.file)
    print(f"{options.file}: written")


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE", nargs="?", default=Path("pytorch_digits.png"), type=Path)
    parser.add_argument("--width", type=int, default=1000, help="of the networks in PyTorch")
    parser.add_argument("--seeds", type=int, default=4, help="number of networks in PyTorch")
    parser.add_argument("--sites", type=int, default=20_000, help="sites of the infinite network")
    parser.add_argument("--backend", default="numba", help="numba, or numpy: the program itself, several times slower")
    return parser.parse_args(words)


def draw(run: xr.Dataset, sim: xr.Dataset, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    label = f"PyTorch, {sim.sizes['seed']} networks, N = {sim.attrs['width']}"
    loss = sim.train_loss.isel(output=0)
    left.fill_between(sim.step, loss.min("seed"), loss.max("seed"), color=GREY, alpha=0.25, lw=0)
    left.plot(run.step, run.train_loss.isel(output=0), color=BLUE, label="theory")
    points(left, loss.isel(step=slice(0, None, 4)), "step", label)
    left.set(yscale="log", xlabel="training step [gradient steps]", ylabel="training loss [1]")
    if run.sizes["rank"]:
        outlier, error = (run[name].sel(matrix="W1").isel(rank=0) for name in ("outlier", "outlier_sem"))
        right.fill_between(run.spectrum_step, outlier - error, outlier + error, color=ORANGE, alpha=0.3, lw=0)
        right.plot(run.spectrum_step, outlier, color=ORANGE, marker=".", label="theory, outlier of W1")
    edge = run.bulk_edge.sel(matrix="W1", side="upper")
    right.plot(run.spectrum_step, edge, color=GREY, lw=1, ls=(0, (1, 1.5)), label="edge of the bulk")
    largest = sim.spectrum_value.sel(matrix="W1").isel(number=0)
    points(right, largest, "spectrum_step", "PyTorch, largest value")
    right.set(xlabel="training step [gradient steps]", ylabel="singular value of W1 [1]")
    for axis in (left, right):
        axis.grid(color="0.92", lw=0.6)
        axis.legend(fontsize="small", frameon=False)
    save_figure(figure, str(path))


def points(axis, values: xr.DataArray, along: str, label: str) -> None:
    """Mean over networks with its standard error."""
    table = values.transpose("seed", along).values
    error = table.std(axis=0, ddof=1) / len(table) ** 0.5 if len(table) > 1 else None
    axis.errorbar(
        values[along], table.mean(axis=0), error, fmt="o", ms=4, mfc="white", color=GREY, capsize=2, lw=1, label=label
    )


if __name__ == "__main__":
    main()
