"""Every kind of figure against a stored picture, in `baseline/`.

The pictures are made anew by

    python -m pytest tests/figures/test_pictures.py --mpl-generate-path=tests/figures/baseline

and have to be looked at before they are committed, in colour and in grey.

The tolerance is a root mean square over pixels and colours, of 255. Text is not compared, as fonts are drawn a little
differently by versions of matplotlib, and panels fill the picture. What the tolerance has to tell apart is in the last
test.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import xarray as xr
from made_up import made_up, made_up_spectra
from matplotlib.figure import Figure
from matplotlib.testing.compare import calculate_rms

import dmft_sym as ds
from dmft_sym.figures import style
from dmft_sym.figures.weight_plots import weights

TOLERANCE = 3.0
SAMPLES, STEPS = 6, 12


@cache
def on_samples(seeds: int = 0) -> xr.Dataset:
    """Outputs that approach their targets, and kernels that do; with errors, or with networks that scatter."""
    rng, t = np.random.default_rng(seeds), np.arange(STEPS)
    target = np.where(np.arange(SAMPLES) % 2, 1.0, -1.0)
    f = (target * np.linspace(0.7, 1, SAMPLES) * (1 - np.exp(-t / 4))[:, None])[..., None]
    kernel = np.array([np.eye(SAMPLES) + 0.1 * k * np.outer(target, target) for k in (0, 6)])
    values = {
        "f": (("step", "sample", "output"), f),
        "train_loss": (("step", "output"), ((f - target[:, None]) ** 2).mean(axis=1)),
        "Phi": (("kernel_step", "layer", "sample", "sample2"), kernel[:, None]),
        "NTK": (("kernel_step", "sample", "output", "sample2", "output2"), 2 * kernel[:, :, None, :, None]),
    }
    if seeds:
        scatter = {name: (seeds, *array.shape) for name, (_, array) in values.items()}
        values = {
            name: (("seed", *dims), array * (1 + 0.1 * rng.standard_normal(scatter[name])))
            for name, (dims, array) in values.items()
        }
    else:
        values |= {f"{name}_sem": (values[name][0], 0.05 + 0 * values[name][1]) for name in ("f", "train_loss")}
    data = xr.Dataset(values, {"step": t, "kernel_step": [0, STEPS - 1], "layer": [1]})
    return data.assign(target=(("sample", "output"), target[:, None]), trained=("sample", [1, 1, 1, 1, 0, 0]))


@cache
def observed(seeds: int = 0) -> xr.Dataset:
    loss = made_up(seeds=seeds, noise=0.1).train_loss
    return loss.rename("q").assign_attrs(observable="q").to_dataset()


def measured() -> xr.Dataset:
    entries = np.random.default_rng(1).standard_normal((2, 40, 40)) / 40**0.5
    return ds.measure({"W1": entries[0], "W2": entries[1] + 0.07}, initial_std=1.0)


PICTURES = {
    "losses": lambda: ds.plot(made_up(), made_up(seeds=4, noise=0.2)),
    "losses_loglog": lambda: ds.plot(on_samples(), on_samples(3), scale="loglog"),
    "simulation": lambda: ds.plot(made_up(outputs=1, seeds=4, noise=0.2)),
    "order_parameters": lambda: ds.plot(made_up(), kind="order-parameters"),
    "observables": lambda: ds.plot(observed(), observed(3), kind="observables"),
    "outputs": lambda: ds.plot(on_samples(), on_samples(3), kind="outputs"),
    "kernels": lambda: ds.plot(on_samples(), on_samples(3), kind="kernels"),
    "spectrum": lambda: ds.plot(made_up_spectra(), made_up_spectra(seeds=4), kind="spectrum"),
    "outliers": lambda: ds.plot(made_up_spectra(), made_up_spectra(seeds=4), kind="outliers"),
    "sharpness": lambda: ds.plot(made_up_spectra(), made_up_spectra(seeds=4), kind="sharpness"),
    "comparison": lambda: ds.compare(made_up(outputs=1), made_up(outputs=1, seeds=4, noise=0.2)).figure(),
    "weights": lambda: weights(measured()),
}
"""A figure of every kind; kinds of `ds.plot` that are not here fail the test below."""


def test_every_kind_has_a_picture() -> None:
    from dmft_sym.figures.drawing import KINDS

    assert {kind.replace("-", "_") for kind in KINDS} <= set(PICTURES)


def without_text(figure: Figure) -> Figure:
    """Without words and numbers, at places that do not depend on the size of letters."""
    figure.set_layout_engine("none")
    side = math.ceil(len(figure.axes) ** 0.5)
    rows = -(-len(figure.axes) // side)
    for number, axis in enumerate(figure.axes):
        place = ((number % side + 0.06) / side, 1 - (number // side + 0.94) / rows, 0.88 / side, 0.88 / rows)
        axis.set_position(place)
        axis.set_aspect("auto")
        axis.tick_params(which="both", labelleft=False, labelbottom=False, labelright=False)
        axis.set(xlabel="", ylabel="")
        axis.set_title("", loc="left")
        for text in axis.texts:
            text.set_visible(False)
    for text in figure.texts:
        text.set_visible(False)
    for legend in figure.legends:
        legend.set_visible(False)
    figure.suptitle("")
    figure.supxlabel("")
    figure.set_size_inches(4.0, 3.0)
    return figure


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.mpl_image_compare(
    baseline_dir="baseline", tolerance=TOLERANCE, style="default", savefig_kwargs={"dpi": 80}
)
def test_pictures(kind: str) -> Figure:
    return without_text(PICTURES[kind]())


CHANGES = {
    "MARKERS": ("simulation", "D^sovP<X"),
    "DASHES": ("losses", (style.DOTTED,) * 8),
    "BAND": ("losses_loglog", 0.9),
    "COLOURS": ("losses", style.COLOURS[1:] + style.COLOURS[:1]),
}
"""What is changed of the style, and the kind in which it is to be seen."""


@pytest.mark.parametrize("name", CHANGES)
def test_the_tolerance_tells_changes_apart(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, value = CHANGES[name]
    before = pixels(without_text(PICTURES[kind]()))
    monkeypatch.setattr(style, name, value)
    rms = calculate_rms(before, pixels(without_text(PICTURES[kind]())))
    assert rms > TOLERANCE, rms


def pixels(figure: Figure) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(80)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(np.int16)
