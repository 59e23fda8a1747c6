"""Figures of spectra: what they show, by their structure."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import made_up, made_up_spectra
from matplotlib.figure import Figure
from sampled_results import made_run, made_sim

from dmft_sym.figures import spectrum_plots
from dmft_sym.results.store import ResultError
from dmft_sym.support.messages import InputError


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def titles(figure: Figure) -> list[str]:
    """Without the letters of panels."""
    return [axis.get_title(loc="left").rpartition("}$ ")[2] for axis in figure.axes]


def test_a_row_of_panels_for_each_matrix() -> None:
    run, sim = made_up_spectra(), made_up_spectra(seeds=4)
    figure = spectrum_plots.spectra(run, sim)
    assert len(figure.axes) == 6
    assert titles(figure)[:3] == ["step 0", "step 3", "step 5"]
    assert {axis.get_xlabel() for axis in figure.axes} == {"singular value of $W^{1}$", "eigenvalue of NTK"}
    assert figure.axes[0].get_ylabel() == "density"
    assert len({axis.get_xlim() for axis in figure.axes[:3]}) == 1
    assert set(legend(figure)) == {
        "simulation, 4 networks",
        "simulation, values above the edge",
        "theory, bulk",
        "theory, outlier",
    }


def test_histograms_and_densities_have_the_same_area() -> None:
    run, sim = made_up_spectra(), made_up_spectra(seeds=4)
    sim["spectrum_value"] = sim["spectrum_value"].where(np.arange(80) < 60, 0.0)
    axis = spectrum_plots.spectra(run, sim, ["W1"]).axes[1]
    area = sum(bar.get_width() * bar.get_height() for bar in axis.patches)
    assert area == pytest.approx(60 / 80)  # what lies at zero is not drawn, and is not shared out
    line = next(line for line in axis.lines if line.get_label() == "theory, bulk")
    np.testing.assert_array_equal(line.get_ydata(), run["density"].sel(matrix="W1", spectrum_step=3))


def test_outliers_are_marked_with_their_multiplicity() -> None:
    figure = spectrum_plots.spectra(made_up_spectra())
    marks = [[line for line in axis.lines if line.get_label() == "theory, outlier"] for axis in figure.axes]
    assert [len(found) for found in marks] == [0, 1, 1, 0, 1, 1]
    assert marks[1][0].get_xdata() == [2.5]
    assert [[text.get_text() for text in axis.texts] for axis in figure.axes[3:]] == [[], ["×4"], ["×4"]]
    assert legend(figure) == ["theory, bulk", "theory, outlier"]


def test_without_density_the_edge_is_drawn() -> None:
    figure = spectrum_plots.spectra(made_up_spectra().drop_vars(["density", "value"]))
    assert legend(figure)[0] == "theory, edge"
    assert figure.axes[3].lines[0].get_xdata() == [10.0, 10.0]


def test_many_steps_are_thinned() -> None:
    figure = spectrum_plots.spectra(made_up_spectra(steps=tuple(range(20))), matrices=["NTK"])
    found = titles(figure)
    assert len(found) == spectrum_plots.MAX_STEPS
    assert (found[0], found[-1]) == ("step 0", "step 19")


def test_tracks_of_outliers() -> None:
    sim = made_up_spectra(seeds=4)
    figure = spectrum_plots.outliers(made_up_spectra(), sim)
    assert titles(figure) == ["$W^{1}$", "NTK"]
    axis = figure.axes[0]
    assert axis.get_xlabel() == "gradient step $t$"
    assert axis.get_ylabel() == "singular value of $W^{1}$"
    assert axis.get_ylim()[0] > 1  # outliers at 2.5 above an edge at 2 are not lost in the bulk
    bars = axis.containers
    assert len(bars) == 1  # the largest value, then the mean of the two that coincide in the theory
    expected = sim["outlier"].sel(matrix="W1")
    heights = [
        float(expected.sel(spectrum_step=0, rank=0).mean()),
        *(float(expected.sel(spectrum_step=step, rank=[0, 1]).mean()) for step in (3, 5)),
    ]
    np.testing.assert_allclose(bars[0].lines[0].get_ydata(), heights)
    assert set(legend(figure)) == {
        "theory, edges of the bulk",
        "theory, outlier",
        "escape",
        "simulation, mean of 4 ± standard error",
        "simulation, coinciding ones singly",
    }


def test_tracks_without_simulation_or_with_other_matrices_and_steps() -> None:
    assert legend(spectrum_plots.outliers(made_up_spectra())) == [
        "theory, edges of the bulk",
        "theory, outlier",
        "escape",
    ]
    sim = made_up_spectra(steps=(3, 4), seeds=1).sel(matrix=["NTK"])
    for figure in (spectrum_plots.outliers(made_up_spectra(), sim), spectrum_plots.spectra(made_up_spectra(), sim)):
        assert figure.axes
    none = made_up_spectra(steps=(0,))
    assert spectrum_plots.outliers(none.isel(rank=slice(0)), made_up_spectra(steps=(0,), seeds=3)).axes


def test_outliers_have_bands_of_standard_errors() -> None:
    sim, dims = made_sim(), ("matrix", "spectrum_step", "rank")
    run = made_run().drop_dims("rank").assign_coords(rank=[0])
    run = run.assign(outlier=(dims, np.full((1, 3, 1), 2.4)), outlier_sem=(dims, np.full((1, 3, 1), 0.1)))
    figure = spectrum_plots.outliers(run, sim)
    assert "theory, outlier ± standard error" in legend(figure)
    vertices = np.concatenate([path.vertices for c in figure.axes[0].collections for path in c.get_paths()])
    assert np.isclose(vertices, [3, 2.5]).all(axis=1).any()
    with pytest.raises(ResultError, match=r"no densities.* allowed is the kind outliers"):
        spectrum_plots.spectra(run, sim)


def test_sharpness() -> None:
    run, sim = made_up_spectra(), made_up_spectra(seeds=4)
    figure = spectrum_plots.sharpness(run, sim)
    (axis,) = figure.axes
    assert legend(figure) == ["theory", "2 / learning rate", "simulation, mean of 4 ± standard error"]
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), run["sharpness"])
    limit = next(line for line in axis.lines if line.get_label() == "2 / learning rate")
    assert set(limit.get_ydata()) == {20.0}
    assert axis.get_xlabel() == "gradient step $t$"
    assert legend(spectrum_plots.sharpness(sim)) == ["2 / learning rate", "simulation, mean of 4 ± standard error"]


@pytest.mark.parametrize("kind", spectrum_plots.KINDS)
def test_results_without_spectra(kind: str) -> None:
    for result in (made_up(), made_up(seeds=3)):
        with pytest.raises(ResultError, match=r"allowed are results") as caught:
            spectrum_plots.KINDS[kind](result)
        assert len(str(caught.value).splitlines()) == 1


def test_matrices_that_are_not_there() -> None:
    with pytest.raises(InputError, match="matrix = 'W9': allowed are W1, NTK"):
        spectrum_plots.spectra(made_up_spectra(), matrices=["W9"])
