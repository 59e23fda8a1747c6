"""Figures of results on given samples: what they show, by their structure."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import made_up
from matplotlib.figure import Figure
from sampled_results import made_run, made_sim

from dmft_sym.figures import plots, sample_plots
from dmft_sym.results.store import ResultError
from dmft_sym.support.messages import InputError


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def titles(figure: Figure) -> list[str]:
    """Without the letters of panels."""
    found = [axis.get_title(loc="left").rpartition("}$ ")[2] for axis in figure.axes]
    return [title for title in found if title]


def note(figure: Figure) -> str:
    return "" if figure._supxlabel is None else " ".join(figure._supxlabel.get_text().split())


def test_outputs() -> None:
    run, sim = made_run(), made_sim()
    figure = sample_plots.outputs(run, sim)
    (axis,) = figure.axes
    assert axis.get_title(loc="left") == "Output on 5 samples"
    assert axis.get_xlabel() == "gradient step $t$"
    assert axis.get_ylabel() == r"output $f_\mu(t)$"
    assert set(legend(figure)) == {
        "theory",
        "theory, test samples",
        "simulation, mean of 3 ± standard error",
        "theory ± standard error",
        "target -1",
        "target 1",
    }
    lines = {tuple(line.get_ydata()): line for line in axis.lines if len(line.get_ydata())}
    for sample in range(5):
        track = tuple(run["f"].values[:, sample, 0])
        other = lines[tuple(sim["f"].values[:, :, sample, 0].mean(0))]
        assert lines[track].get_color() == other.get_color()
    of_sign = {
        sign: {
            lines[tuple(run["f"].values[:, k, 0])].get_color() for k in range(5) if run["target"].values[k, 0] == sign
        }
        for sign in (-1, 1)
    }
    assert [len(colours) for colours in of_sign.values()] == [1, 1]
    assert of_sign[-1] != of_sign[1]
    assert len(axis.containers) == 5  # a simulation is points with error bars


def test_outputs_of_several_and_of_simulations() -> None:
    figure = sample_plots.outputs(made_run(3, "softmax", 0))
    assert titles(figure) == [f"Output {c}, 4 samples" for c in range(3)]
    assert not any(text.startswith("simulation") for text in legend(figure))
    alone = sample_plots.outputs(made_sim())
    assert set(legend(alone)) == {"simulation, mean of 3 ± standard error", "target -1", "target 1"}
    regression = made_run().assign(target=made_run()["target"] * np.arange(5)[:, None])
    assert {"target -0", "target 0", "target 4"} & set(legend(sample_plots.outputs(regression)))


def test_outputs_of_many_samples_are_thinned() -> None:
    many = made_run().isel(sample=np.arange(60) % 5, sample2=slice(0)).assign_coords(sample=np.arange(60))
    many["target"] = many["target"] + 0.01 * np.arange(60)[:, None]
    figure = sample_plots.outputs(many)
    assert figure.axes[0].get_title(loc="left") == f"Output on {sample_plots.MAX_LINES} of 60 samples"
    drawn = [line for line in figure.axes[0].lines if len(line.get_ydata())]
    assert len(drawn) == sample_plots.MAX_LINES
    assert [text for text in legend(figure) if text.startswith("target")] == [
        "target -0.98",
        "target 1.59",
    ]  # of a scale


def images(figure: Figure) -> list:
    return [axis.images[0] for axis in figure.axes if axis.images]


def test_kernels() -> None:
    run, sim = made_run(), made_sim()
    figure = sample_plots.kernels(run, sim)
    panels = images(figure)
    assert len(panels) == 3 * 6  # features of two layers and the tangent kernel; three steps, two results
    assert titles(figure) == [f"step {step}, {words}" for step in (0, 3, 5) for words in ("theory", "simulation")]
    order = np.lexsort([-run["target"].values[:, 0], [0, 0, 0, 0, 1]])
    expected = run["NTK"].sel(kernel_step=5).values[:, 0, :, 0][np.ix_(order, order)]
    np.testing.assert_array_equal(panels[-2].get_array(), expected)
    expected = sim["Phi"].sel(layer=2, kernel_step=3).mean("seed").values[np.ix_(order, order)]
    np.testing.assert_array_equal(panels[9].get_array(), expected)
    assert len({panel.get_clim() for panel in panels[:6]}) == 1
    bars = [panel.colorbar.ax.get_ylabel() for panel in panels[5::6]]
    assert bars == [r"$\Phi^{1}_{\mu\nu}$", r"$\Phi^{2}_{\mu\nu}$", r"NTK, $K_{\mu\nu}$"]
    assert figure.axes[0].get_ylabel() == r"sample $\mu$, by target"
    assert figure.axes[12].get_xlabel() == r"sample $\nu$, by target"
    assert len(figure.axes[0].lines) == 2  # between training and test samples
    assert note(figure).endswith("Simulation: mean over 3 networks.")
    figure.draw_without_rendering()


def test_kernels_of_many_layers_steps_and_outputs() -> None:
    deep = made_run(3, "softmax", 0).isel(layer=[0, 1] * 4, kernel_step=[0, 1, 2, 2, 2])
    deep = deep.assign_coords(layer=np.arange(1, 9), kernel_step=np.arange(5))
    figure = sample_plots.kernels(deep, outputs=(1, 2))
    assert len(images(figure)) == sample_plots.MAX_KERNELS * sample_plots.MAX_STEPS
    assert not figure.axes[0].lines
    text = note(figure)
    assert text.startswith("NTK: outputs c = 1 and c' = 2 of 3.")
    assert "Not drawn: Phi of layer 2; Phi of layer 4; Phi of layer 5; Phi of layer 7; steps 1, 3." in text
    last = images(figure)[-1].get_array()
    order = np.lexsort([*(-deep["target"].values.T)[::-1]])
    np.testing.assert_array_equal(last, deep["NTK"].values[-1][:, 1, :, 2][np.ix_(order, order)])


def test_test_samples_do_not_wash_out_the_rest() -> None:
    run = made_run().copy(deep=True)
    run["NTK"][:, 4, :, 4] = 1e6
    panel = images(sample_plots.kernels(run))[-1]
    trained = float(abs(run["NTK"][:, :4, :, :4]).max())
    assert 0.9 * trained < panel.get_clim()[1] <= trained
    assert panel.colorbar.extend == "max"
    assert images(sample_plots.kernels(made_sim()))[-1].colorbar is not None


@pytest.mark.parametrize("kind", sample_plots.KINDS)
def test_refusals(kind: str) -> None:
    draw = sample_plots.KINDS[kind]
    for result in (made_up(), made_run().isel(step=slice(0), kernel_step=slice(0))):
        with pytest.raises(ResultError, match=r"allowed are results on given samples") as caught:
            draw(result)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(ResultError, match="allowed"):
        draw(made_run(), made_sim(tests=0))
    with pytest.raises(ResultError, match="allowed"):
        draw(made_run(), made_up(seeds=2))


def test_kernels_of_other_outputs_or_steps() -> None:
    with pytest.raises(InputError, match="output = 3: allowed are integers from 0 to 0"):
        sample_plots.kernels(made_run(), outputs=(0, 3))
    with pytest.raises(ResultError, match="in common"):
        sample_plots.kernels(made_run().isel(kernel_step=[0]), made_sim().isel(kernel_step=[1]))
    with pytest.raises(ResultError, match="no two-time"):
        plots.order_parameters(made_run())
