"""Figures: what they show, by their structure."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from made_up import made_up
from matplotlib.figure import Figure
from matplotlib.image import imread
from sampled_results import made_run, made_sim

from dmft_sym.comparison.runs import compare
from dmft_sym.figures import plots
from dmft_sym.results.store import ResultError
from dmft_sym.support.messages import InputError


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def titles(figure: Figure) -> list[str]:
    """Without the letters of panels."""
    found = [re.sub(r"^\$\\mathbf\{.*?\}\$ ", "", axis.get_title(loc="left")) for axis in figure.axes]
    return [title for title in found if title]


def test_losses() -> None:
    figure = plots.losses(made_up(), made_up(seeds=4))
    train, test = figure.axes
    assert titles(figure) == ["Train loss", "Test loss"]
    assert [axis.get_title(loc="left")[:16] for axis in (train, test)] == [r"$\mathbf{(a)}$ T", r"$\mathbf{(b)}$ T"]
    for axis in (train, test):
        assert axis.get_xlabel() == "gradient step $t$"
        assert axis.get_ylabel() == "loss per output"
        assert axis.get_yscale() == "log"
        assert [len(bar.lines[0].get_xdata()) for bar in axis.containers] == [6, 6]  # a point a step, for each output
    assert legend(figure) == [
        "theory",
        "smallest to largest seed",
        "simulation, mean of 4 ± standard error",
        "output 0",
        "output 1",
    ]
    lines = [line for line in train.lines if line.get_linestyle() != "None"]
    assert len({line.get_color() for line in lines}) == 2
    assert len({line.get_linestyle() for line in lines}) == 2  # told apart in grey
    assert len({bar.lines[0].get_marker() for bar in train.containers}) == 2


def test_losses_have_bands_of_standard_errors() -> None:
    run = made_run()
    figure = plots.losses(run)
    assert titles(figure) == ["Training loss", "Test loss"]
    assert legend(figure) == ["theory", "theory ± standard error"]
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    high = (run["train_loss"] + run["train_loss_sem"]).values[-1, 0]
    assert np.isclose(band, [5, high]).all(axis=1).any()
    both = plots.losses(run, made_sim())
    assert set(legend(both)) == {
        "theory",
        "theory ± standard error",
        "simulation, mean of 3 ± standard error",
        "smallest to largest seed",
    }


def test_losses_without_outputs() -> None:
    figure = plots.losses(made_run(3, "softmax", 0), made_sim(3, "softmax", 0))
    (axis,) = figure.axes
    assert axis.get_ylabel() == "loss"
    assert not any(text.startswith("output") for text in legend(figure))


def test_theory_lines_are_the_losses() -> None:
    run = made_up(outputs=1)
    figure = plots.losses(run, scale="linear")
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), run["test_loss"].values[:, 0])
    assert figure.axes[0].get_yscale() == "linear"
    assert legend(figure) == ["theory"]
    assert plots.losses(run, scale="loglog").axes[0].get_xscale() == "symlog"


def test_simulations_alone_and_single_seeds() -> None:
    alone = plots.losses(made_up(outputs=1, seeds=3))
    assert legend(alone) == ["smallest to largest seed", "simulation, mean of 3 ± standard error"]
    assert not [line for line in alone.axes[0].lines if line.get_linestyle() != "None"]  # lines are theories
    assert legend(plots.losses(made_up(outputs=1), made_up(outputs=1, seeds=1))) == ["theory", "simulation"]


def notes(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


def bars(figure: Figure) -> list:
    return [image.colorbar for axis in figure.axes for image in axis.images if image.colorbar is not None]


def test_order_parameters() -> None:
    result = made_up()
    figure = plots.order_parameters(result)
    assert titles(figure) == [f"${name}_{{h}}^{{{layer}}}$" for name in "CR" for layer in range(3)]
    images = [axis.images[0] for axis in figure.axes if axis.images]
    assert images[0].norm.vmin == 0  # correlations that are nowhere negative
    assert images[0].get_cmap().name == "viridis"
    assert len({(image.norm.vmin, image.norm.vmax) for image in images[:3]}) == 1
    assert images[3].norm.vmin == -images[3].norm.vmax
    assert figure.axes[0].get_ylabel() == "step $t$"
    assert figure.axes[0].get_xlabel() == "step $s$"
    np.testing.assert_array_equal(images[4].get_array(), result["R_h"][1, :, 0, :, 0])
    assert [bar.ax.get_ylabel() for bar in bars(figure)] == ["$C_{h}$", "$R_{h}$"]
    assert notes(figure) == "Outputs c = 0 and c' = 0 of 2; the other pairs are not drawn."


def colours(**arrays: np.ndarray) -> tuple[Figure, list]:
    """One panel for each array of two steps."""
    steps = np.arange(len(next(iter(arrays.values()))))
    data = {name: (("step", "step2"), values) for name, values in arrays.items()}
    figure = plots.order_parameters(xr.Dataset(data, {"step": steps, "step2": steps}))
    return figure, [axis.images[0] for axis in figure.axes if axis.images]


def test_colours_suit_the_data() -> None:
    ages = np.subtract.outer(np.arange(40), np.arange(40))
    positive, signed = np.exp(-abs(ages) / 9), np.cos(ages / 4)
    _, (of_positive, of_signed, of_response) = colours(C_a=positive, C_b=signed, R_a=np.tril(positive))
    assert (of_positive.get_cmap().name, of_positive.norm.vmin, of_positive.norm.vmax) == ("viridis", 0, 1)
    for image in (of_signed, of_response):  # a response is zero in the future, and zero is white
        assert (image.get_cmap().name, image.norm.vmin, image.norm.vmax) == ("signed", -1, 1)
        assert min(image.to_rgba(np.zeros((1, 1)))[0, 0][:3]) > 0.95
    assert colours(C_a=positive - 1e-4)[1][0].norm.vmin == 0  # less than a colour: the noise of a mean over seeds
    assert colours(R_a=np.zeros((4, 4)))[1][0].norm.vmax == 1


def test_spikes_at_equal_times_do_not_wash_out_the_rest() -> None:
    ages = np.subtract.outer(np.arange(40), np.arange(40))
    smooth = np.where(ages >= 0, 0.02 * np.exp(-ages / 9), 0.0)
    figure, (image,) = colours(R_a=smooth - np.eye(40))
    assert image.norm.vmax == pytest.approx(0.02 * np.exp(-1 / 9), rel=0.01)
    assert [bar.extend for bar in bars(figure)] == ["min"]
    assert notes(figure) == "Entries beyond the colours (arrows): R_a down to -0.98."
    figure, images = colours(C_a=np.exp(-abs(ages) / 9), R_a=np.eye(40))
    assert [image.norm.vmax for image in images] == [1, 1]  # nothing sticks out of these: no arrows
    assert [bar.extend for bar in bars(figure)] == ["neither", "neither"]
    assert notes(figure) == ""
    diverged = np.ones((40, 40))
    diverged[-1, -1] = np.inf
    assert colours(C_a=diverged)[1][0].norm.vmax == 1


def test_order_parameters_of_every_shape() -> None:
    deep = plots.order_parameters(made_up(depth=16, seeds=2))
    assert len(titles(deep)) == 2 * plots.MAX_PANELS
    assert titles(deep)[5] == "$C_{h}^{16}$"
    assert "Mean over 2 seeds." in notes(deep)
    assert "Not drawn of C_h, R_h: layers 1, 2, 4, 5, 7, 8, 9, 11, 12, 14, 15." in notes(deep)
    flat = made_up().isel(layer=0, drop=True).rename(C_h="C_Delta")[["C_Delta"]]
    assert titles(plots.order_parameters(flat)) == [r"$C_{\Delta}$"]
    both = xr.merge([made_up(), flat])
    assert r"$C_{\Delta}$" in titles(plots.order_parameters(both))
    short = made_up()
    short["R_h"] = short["R_h"].where(short["layer"] > 0)
    assert "$R_{h}^{0}$" not in titles(plots.order_parameters(short))
    np.testing.assert_array_equal(
        plots.order_parameters(made_up(), ["C_h"], outputs=(0, 1)).axes[0].images[0].get_array(), np.zeros((6, 6))
    )


def test_pairs_of_layers_show_equal_layers_first() -> None:
    coupled = made_up(depth=4)["R_h"].expand_dims(layer2=np.arange(5)).to_dataset(name="R_g_u_W")
    figure = plots.order_parameters(coupled)
    pairs = [title.removeprefix(r"$R_{g;\,u_{W}}^{").removesuffix("}$") for title in titles(figure)]
    assert pairs == ["0,0", "0,1", "1,1", "3,3", "4,3", "4,4"]
    assert "Not drawn of R_g_u_W: 19 of 25 pairs of layers." in notes(figure)


def test_no_more_order_parameters_than_fit() -> None:
    many = xr.merge([made_up(depth=5)[["C_h"]].rename(C_h=f"C_{letter}") for letter in "abcdefghijk"])
    figure = plots.order_parameters(many)
    assert len(bars(figure)) == plots.MAX_ROWS
    assert notes(figure).endswith("Not drawn: C_i, C_j, C_k.")
    assert figure.get_size_inches()[1] < 25
    figure.draw_without_rendering()


def test_comparison() -> None:
    exact = compare(made_up(), made_up(seeds=4)).figure()
    assert [axis.get_ylabel() for axis in exact.axes][2:] == ["$z$ [standard errors]"] * 2
    assert exact.axes[2].get_xlabel() == "gradient step $t$"
    sampled = compare(made_run(), made_sim()).figure()
    assert "theory ± standard error" in legend(sampled)


def test_axes_of_ones_own() -> None:
    figure = Figure()
    axes = figure.subplots(2, 2)
    assert plots.losses(made_up(), made_up(seeds=2), ax=axes[0]) is figure
    assert [len(axis.lines) > 0 for axis in axes.ravel()] == [True, True, False, False]
    assert axes[0, 0].get_title(loc="left") == "Train loss"  # letters are for whoever has the figure
    assert axes[0, 1].get_legend() is not None
    inner = Figure().subfigures(1, 2)[0]
    assert plots.order_parameters(made_up(), ["C_h"], ax=inner.subplots(1, 3)) is inner.figure
    assert compare(made_up(), made_up(seeds=2)).figure(ax=axes) is figure
    with pytest.raises(
        InputError, match=r"ax: 1 axes for a figure of 2 panels: allowed is figure, ax = plt.subplots\(1, 2"
    ):
        plots.losses(made_up(), ax=axes[0, 0])
    with pytest.raises(InputError, match="allowed are axes of matplotlib"):
        plots.losses(made_up(), ax=["left", "right"])


def test_ticks_are_few_and_at_whole_steps() -> None:
    for steps in (3, 6, 73):
        ticks = plots.losses(made_up(steps=steps)).axes[0].get_xticks()
        assert len(ticks) <= 7
        assert np.all(ticks == np.round(ticks))


def test_refusals() -> None:
    with pytest.raises(InputError, match="allowed are linear, log, loglog"):
        plots.losses(made_up(), scale="cubic")
    with pytest.raises(InputError, match="allowed are C_h, R_h"):
        plots.order_parameters(made_up(), ["C_q"])
    with pytest.raises(InputError, match="output = 5: allowed are integers from 0 to 1"):
        plots.order_parameters(made_up(), outputs=(5, 0))
    with pytest.raises(ResultError, match="no losses"):
        plots.losses(made_up()[["C_h"]])
    with pytest.raises(ResultError, match="no losses"):
        plots.losses(made_up().isel(step=slice(0)))
    with pytest.raises(ResultError, match="no two-time"):
        plots.order_parameters(made_up()[["train_loss"]])
    with pytest.raises(ResultError, match="no two-time"):
        plots.order_parameters(made_up().isel(step=slice(0), step2=slice(0)))


def test_diverged_losses_are_drawn_up_to_the_divergence() -> None:
    run = made_up(outputs=1)
    run["train_loss"][3] = np.inf
    run["train_loss"][4:] = np.nan
    plots.losses(run).draw_without_rendering()


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_figures_are_written_whole(tmp_path: Path, kind: str) -> None:
    figure = plots.losses(made_up(), made_up(seeds=2))
    path = tmp_path / f"losses.{kind}"
    plots.save_figure(figure, path)
    assert path.stat().st_size > 1000
    old = path.read_bytes()
    broken = plots.losses(made_up())
    broken.axes[0].set_title("$\\undefined{$")
    with pytest.raises(ValueError, match="undefined"):
        plots.save_figure(broken, path)
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_pixels(tmp_path: Path) -> None:
    plots.save_figure(plots.order_parameters(made_up()), tmp_path / "o.png", dpi=50)
    pixels = imread(tmp_path / "o.png")
    assert pixels.shape[2] == 4
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 20


def test_figure_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"allowed are names that end in \.png, \.pdf, \.svg"):
        plots.save_figure(plots.losses(made_up()), tmp_path / "figure.gif")
    with pytest.raises(InputError, match="does not exist"):
        plots.check_figure_path(tmp_path / "none" / "x.png")
