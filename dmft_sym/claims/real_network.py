"""A network in PyTorch, trained by plain ``torch.optim.SGD``, lies on the lines of the theory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .claim import Claim, Evidence
from .rows import sampled_row

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

RICHNESS, RATE, STEPS = 4.0, 0.05, 36
SAMPLES, DIM = 16, 24
MATRIX, REPLICAS = "W1", 3
AT = (0, 10, 20, 25, 30, 35)
COMPARED = (25, 35)


def evidence(width: int, seeds: int, sites: int) -> Evidence:
    """Losses, and outliers by `dmft_sym.measure`, of networks in PyTorch with the learning rates of docs/measure.md."""
    from dmft_sym.data.datasets import Samples
    from dmft_sym.networks import mlp
    from dmft_sym.solvers.measure import measure
    from dmft_sym.theory import derive

    inputs, targets = _samples()
    theory = derive(mlp(2, "tanh"), data=Samples(inputs, targets))
    asked: dict[str, Any] = {"richness": RICHNESS, "learning_rate": RATE, "steps": STEPS, "kernels": ()}
    predicted = theory.compile("numpy")(sites=sites, replicas=REPLICAS, matrices=[MATRIX], at=list(AT), **asked)
    trained = [train(inputs, targets, width, seed) for seed in range(seeds)]
    losses = np.array([found for found, _ in trained])
    measured = {at: measure({MATRIX: np.stack([hidden[at] for _, hidden in trained])}, predicted, at) for at in AT}
    rows = []
    for step in COMPARED:
        line, error = (float(predicted[name].isel(step=step).mean()) for name in ("train_loss", "train_loss_sem"))
        rows.append(sampled_row(f"training loss, step {step}", line, error, losses[:, step], width))
    for step in COMPARED:
        place = {"matrix": MATRIX, "spectrum_step": step}
        value, sem = (float(predicted[name].sel(place).isel(rank=0)) for name in ("outlier", "outlier_sem"))
        rows.append(sampled_row(f"outlier of {MATRIX}, step {step}", value, sem, _largest(measured[step]), width))

    def draw() -> Figure:
        return _figure(predicted, losses, measured)

    results = {"theory": predicted, **{f"step_{at}": found for at, found in measured.items()}}
    return Evidence(tuple(rows), results, draw)


def _samples() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two Gaussian clouds, and targets that tell them apart."""
    rng = np.random.default_rng(0)
    targets = np.where(np.arange(SAMPLES) % 2, 1.0, -1.0)
    inputs = rng.standard_normal((SAMPLES, DIM)) + 0.7 * targets[:, None] * rng.standard_normal(DIM)
    return inputs, targets[:, None]


def train(
    inputs: NDArray[np.float64], targets: NDArray[np.float64], width: int, seed: int
) -> tuple[list[float], dict[int, NDArray[np.float64]]]:
    """Squared errors before all steps, and the hidden matrix before the steps `AT`, by plain SGD in PyTorch."""
    import torch

    source = torch.Generator().manual_seed(seed)
    x, y = torch.tensor(inputs), torch.tensor(targets)
    shapes, stds = ((width, DIM), (width, width), (1, width)), (DIM**-0.5, width**-0.5, 1 / (RICHNESS * width))
    draws = [std * torch.randn(shape, generator=source, dtype=x.dtype) for shape, std in zip(shapes, stds, strict=True)]
    weights = [torch.nn.Parameter(draw) for draw in draws]
    rates = (RATE * RICHNESS**2 * width / DIM, RATE * RICHNESS**2, RATE / width)
    optimizer = torch.optim.SGD([{"params": [w], "lr": rate} for w, rate in zip(weights, rates, strict=True)])
    losses, hidden = [], {}
    for step in range(STEPS):
        if step in AT:
            hidden[step] = weights[1].detach().numpy().copy()
        h = torch.tanh(torch.tanh(x @ weights[0].T) @ weights[1].T)
        loss = ((h @ weights[2].T - y) ** 2).sum() / (2 * len(y))
        losses.append(2 * float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses, hidden


def _largest(measured: xr.Dataset) -> NDArray[np.float64]:
    """The largest singular value of every network."""
    return np.asarray(measured.spectrum_value.isel(number=0).values, dtype=float).ravel()


def _figure(predicted: xr.Dataset, losses: NDArray[np.float64], measured: dict[int, xr.Dataset]) -> Figure:
    from dmft_sym.figures import style, symbols
    from dmft_sym.figures.panels import finish, panels

    drawn = panels(None, 2, 2, (3.5, 3.0))
    left, right = drawn.axes
    loss, error = (predicted[name].mean("output") for name in ("train_loss", "train_loss_sem"))
    style.theory(left, predicted.step, loss, style.look(0), "theory ± standard error", error)
    outlier, error = (predicted[name].sel(matrix=MATRIX).isel(rank=0) for name in ("outlier", "outlier_sem"))
    style.theory(right, predicted.spectrum_step, outlier, style.look(0), None, error)
    edge = predicted.bulk_edge.sel(matrix=MATRIX, side="upper")
    style.theory(right, predicted.spectrum_step, edge, style.EDGE, "edge of the bulk")
    shown = np.arange(0, STEPS, 4)
    largest = np.array([_largest(found) for found in measured.values()]).T
    label = f"PyTorch, mean of {len(losses)} ± standard error"
    for axis, steps, values in ((left, shown, losses[:, shown]), (right, np.array(list(measured)), largest)):
        style.networks(axis, steps, values, style.NETWORKS, label)
        axis.set_xlabel("gradient step $t$")
        finish(axis)
    left.set_ylabel("training loss")
    right.set_ylabel(f"largest {symbols.value_of(MATRIX)}")
    drawn.entitle(["", ""])
    drawn.legend(2.7)
    return drawn.figure


CLAIM = Claim(
    "real-network",
    "Losses and outliers of a network trained by plain torch.optim.SGD are those of the theory.",
    "arXiv:2605.07870, real networks",
    evidence,
    {
        "full": {"width": 1500, "seeds": 8, "sites": 40_000},
        "quick": {"width": 600, "seeds": 4, "sites": 16_000},
        "smallest": {"width": 200, "seeds": 3, "sites": 6_000},
    },
    needs=("torch",),
)
