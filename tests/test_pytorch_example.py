"""The network of a theory in PyTorch: learning rates and weight decay are those of the program, to rounding."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmft_sym as ds

torch = pytest.importorskip("torch")
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def example() -> Any:
    pytest.importorskip("sklearn")
    spec = importlib.util.spec_from_file_location("pytorch_digits", EXAMPLES / "pytorch_digits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("hidden", [1, 2])
@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.6, 0.0), (0.0, 0.02)])
def test_the_table_of_learning_rates(example: Any, hidden: int, momentum: float, decay: float) -> None:
    """An independent trainer in the normalisation of the theory: entries of order one, one learning rate for all."""
    dim, width, outputs, samples, richness, rate = 7, 12, 3, 5, 1.7, 0.2
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((samples, dim)), rng.standard_normal((samples, outputs))
    network = example.Network(dim, width, outputs, richness, hidden).double()
    optimizer = torch.optim.SGD(example.groups(network, richness, rate, decay), lr=1.0, momentum=momentum)
    sizes = [dim, *[width] * hidden, 1]  # what a matrix is divided by the root of, and the readout by nothing
    stored = [weight.detach().numpy() for weight in network.layers]
    arrays = [array * size**0.5 for array, size in zip(stored[:-1], sizes, strict=False)]
    readout = stored[-1] * richness * width
    speeds = [np.zeros_like(array) for array in (*arrays, readout)]
    for _ in range(5):
        fields, features = [], [x]
        for array, size in zip(arrays, sizes, strict=False):
            fields.append(features[-1] @ array.T / size**0.5)
            features.append(np.tanh(fields[-1]))
        f = features[-1] @ readout.T / (richness * width)
        error = (y - f) / samples
        loss = example.loss_of(network(torch.tensor(x)), torch.tensor(y))
        assert 2 * loss.item() == pytest.approx(((y - f) ** 2).sum() / samples, rel=1e-12)
        gradients, back = [error.T @ features[-1] / (richness * width)], error @ readout / (richness * width)
        for field, feature, array, size in zip(
            reversed(fields), reversed(features[:-1]), reversed(arrays), reversed(sizes[: len(arrays)]), strict=True
        ):
            back = back / np.cosh(field) ** 2
            gradients.insert(0, back.T @ feature / size**0.5)
            back = back @ array / size**0.5
        eta = rate * richness**2 * width
        for array, speed, gradient in zip((*arrays, readout), speeds, gradients, strict=True):
            speed[:] = momentum * speed + eta * gradient
            array[:] = (1 - decay) * array + speed
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for weight, array, size in zip(network.layers, arrays, sizes, strict=False):
        assert weight.detach().numpy() == pytest.approx(array / size**0.5, rel=1e-10, abs=1e-13)
    assert network.layers[-1].detach().numpy() == pytest.approx(readout / (richness * width), rel=1e-10)


@pytest.mark.parametrize(
    ("width", "seeds", "sites", "steps"),
    [(150, 3, 1200, 26), pytest.param(1000, 4, 20_000, 60, marks=pytest.mark.slow)],
)
def test_losses_and_outliers_lie_on_the_lines(
    example: Any, monkeypatch: pytest.MonkeyPatch, width: int, seeds: int, sites: int, steps: int
) -> None:
    """Within four standard errors, and what the finite width shifts."""
    monkeypatch.setattr(example, "STEPS", steps)
    monkeypatch.setattr(example, "RATE", 0.05 * 60 / steps)
    at = [step * steps // 60 for step in (0, 30, 40, 59)]
    monkeypatch.setattr(example, "AT", at)
    data = example.digits(classes=(3, 8), samples=20)
    backend = "numpy" if sites < 5000 else "numba"
    run = ds.derive(ds.mlp(2, "tanh"), data=data).compile(backend)(
        richness=example.RICHNESS, learning_rate=example.RATE, steps=steps, sites=sites, kernels=(), matrices=["W1"],
        at=at, replicas=4,
    )  # fmt: skip
    sim = example.measured(run, data, width, seeds)
    compared = ds.compare(run, sim)
    assert {"train_loss", "outlier"} <= set(compared.theory.data_vars)
    assert compared.within(4, allowance=8 / width)
    assert sim.verdict.sel(matrix="W1").values[[0, -1]].tolist() == ["lazy", "spikes"]


def test_the_script_draws(
    example: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(example, "STEPS", 3)
    monkeypatch.setattr(example, "AT", [0, 2])
    words = ["--width", "60", "--seeds", "2", "--sites", "160", "--backend", "numpy"]
    example.main([str(tmp_path / "f.png"), *words])
    assert "verdict on W1: {0: 'lazy'" in capsys.readouterr().out
    assert (tmp_path / "f.png").exists()
