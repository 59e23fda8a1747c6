"""Spectra as users ask for them: both routes, refusals, failures, measured networks, files."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import dmft_sym as ds
from dmft_sym.comparison.runs import compare
from dmft_sym.results.store import load, save
from dmft_sym.solvers.spectrum_routes import two_time_spectra
from dmft_sym.support.errors import ArgumentError

SETTINGS = {
    "samples_per_dim": 3.0,
    "width_per_dim": 0.5,
    "richness": 8.0,
    "learning_rate": 0.02,
    "label_noise": 0.3,
    "steps": 12,
}
ASKED = {"matrices": ["W0", "W1", "NTK"], "at": [0, 11]}
METHODS = ("equations", "conditioning")


@pytest.fixture(scope="module", params=[1, 2], ids=["one output", "two outputs"])
def routes(request: pytest.FixtureRequest) -> dict[str, xr.Dataset]:
    theory = ds.derive(ds.deep_linear(2, request.param))
    return {method: ds.spectrum(theory, **ASKED, points=60, method=method, **SETTINGS) for method in METHODS}


@pytest.fixture(scope="module")
def theory() -> ds.Theory:
    return ds.derive(ds.deep_linear(2))


def test_routes_agree(routes: dict[str, xr.Dataset]) -> None:
    march, coordinates = (routes[method] for method in METHODS)
    outputs = march.attrs["outputs"]
    counts = march["outlier"].notnull().sum("rank").sel(spectrum_step=11)
    assert counts.values.tolist() == [0, outputs, outputs**2]
    for name in ("outlier", "bulk_edge", "sharpness"):
        assert march[name].sizes == coordinates[name].sizes
        xr.testing.assert_allclose(march[name], coordinates[name], rtol=1e-6, atol=1e-6)
    assert march.attrs["spectrum_failures"] == coordinates.attrs["spectrum_failures"] == ""
    expected = march["outlier"].sel(matrix="NTK", spectrum_step=11, rank=0)
    assert float(march["sharpness"].sel(spectrum_step=11)) == float(expected)
    assert float(march["sharpness"].sel(spectrum_step=0)) == pytest.approx(
        float(march["bulk_edge"].sel(matrix="NTK", spectrum_step=0, side="upper"))
    )


def test_overlaps_of_routes_agree(routes: dict[str, xr.Dataset]) -> None:
    march, coordinates = xr.align(*(routes[method]["overlap"] for method in METHODS), join="inner")
    both = march.notnull() & coordinates.notnull()
    assert int(both.sum()) >= 6  # two fields on both sides of W1 and for the NTK
    np.testing.assert_allclose(march.where(both), coordinates.where(both), atol=1e-5)


def test_densities_are_of_as_many_values_as_a_network_has(routes: dict[str, xr.Dataset]) -> None:
    """Chebyshev weights of the grid; the width is half of the input dimension, the NTK has D of 3 D eigenvalues."""
    angle = (np.arange(60) + 0.5) * np.pi / 60
    mass = {"W0": 1.0, "W1": 1.0, "NTK": 1 / 3}
    for found in routes.values():
        for name, expected in mass.items():
            at = found.sel(matrix=name, spectrum_step=11)
            low, high = at["bulk_edge"].values
            total = float((at["density"].values * np.sin(angle)).sum() * np.pi / 60 * (high - low) / 2)
            assert total == pytest.approx(expected, abs=2e-3)  # 60 points; NTK has its mass near the lower edge


def test_labels(routes: dict[str, xr.Dataset]) -> None:
    for found in routes.values():
        assert found["outlier"].dims == ("matrix", "spectrum_step", "rank")
        assert found["matrix"].values.tolist() == ASKED["matrices"]
        assert found["density"].dims == found["value"].dims == ("matrix", "spectrum_step", "point")
        assert all({"units", "long_name"} <= set(found[name].attrs) for name in found.data_vars)
        assert {"wall_time", "method", "program_hash", "richness"} <= set(found.attrs)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"matrices": ["W2"]}, "W2"),
        ({"matrices": []}, "matrices = "),
        ({"matrices": "W1"}, "allowed is a list of names"),
        ({"at": []}, "allowed is a list of steps from 0 to 11"),
        ({"at": [12]}, "at = 12: allowed are steps of the run, 0 to 11"),
        ({"at": [-1]}, "at = -1: allowed are steps of the run, 0 to 11"),
        ({"at": [1.5]}, "at = 1.5: allowed are steps of the run"),
        ({"at": [True]}, "at = true: allowed are steps of the run"),
        ({"richness": -1.0}, "richness"),
        ({"points": -1}, "points = -1"),
    ],
)
def test_refusals(theory: ds.Theory, method: str, request_: dict, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        ds.spectrum(theory, method=method, **{**ASKED, **SETTINGS, **request_})
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_methods_are_named(theory: ds.Theory) -> None:
    with pytest.raises(ArgumentError, match="method = 'guess': allowed are equations, conditioning"):
        ds.spectrum(theory, method="guess", **ASKED, **SETTINGS)


def test_the_quicker_method_is_the_default(theory: ds.Theory, routes: dict[str, xr.Dataset]) -> None:
    """Coordinates for full batches, where one output stands for all; fresh batches open too many directions."""
    asked = {"matrices": ["W1"], "at": [11], "overlaps": False}
    outputs = routes["equations"].attrs["outputs"]
    found = ds.spectrum(theory, **asked, **SETTINGS, outputs=outputs)
    assert found.attrs["method"] == "conditioning"
    place = {"matrix": "W1", "spectrum_step": 11}
    expected = routes[found.attrs["method"]]["outlier"].sel(place).dropna("rank")
    np.testing.assert_allclose(found["outlier"].sel(place), expected, rtol=1e-9)
    online = ds.spectrum(ds.derive(ds.deep_linear(1), training=ds.OnlineSGD()), matrices=["W0"], at=[1], **SETTINGS)
    assert online.attrs["method"] == "equations"


def test_independent_updates_have_the_classical_outlier(theory: ds.Theory) -> None:
    """After one step, Benaych-Georges and Nadakuditi: ``z^2 = (1 + theta^2)^2 / theta^2`` for a square matrix."""
    settings = {**SETTINGS, "learning_rate": 0.6, "width_per_dim": 0.25, "richness": 3.0, "samples_per_dim": 4.0}
    asked = {"matrices": ["W1"], "at": [1], "overlaps": True}
    found = {kind: ds.spectrum(theory, dependence=kind, **asked, **settings) for kind in ("joint", "independent")}
    for kind, method in (("joint", "conditioning"), ("independent", "equations")):
        assert (found[kind].attrs["dependence"], found[kind].attrs["method"]) == (kind, method)
    run = theory.compile("numpy")(**settings)
    theta2 = float(0.6**2 * 3.0**2 * run["C_h"][0, 0, 0, 0, 0] * run["C_g"][1, 0, 0, 0, 0])
    classical = (1 + theta2) / np.sqrt(theta2)
    assert float(found["independent"]["outlier"].item()) == pytest.approx(classical, rel=1e-9)
    assert float(found["joint"]["outlier"].item()) == pytest.approx(3.005, abs=5e-4)
    spectrum = two_time_spectra(theory, backend="numpy", **settings).at("W1", 1, "independent")
    assert spectrum.overlap("a", "h[1]")[0, 0] ** 2 == pytest.approx(1 - 1 / theta2, rel=1e-6)
    now = found["independent"]["overlap"].sel(direction="a h[1]").item()
    assert now == pytest.approx(spectrum.overlap("a", "h[1]")[0, 1], rel=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dependence": "free"}, "dependence = 'free': allowed are joint, independent"),
        (
            {"dependence": "independent", "method": "conditioning"},
            "dependence = 'independent': allowed with method = 'conditioning' is 'joint', as it trains the network "
            "itself; use method = 'equations'",
        ),
    ],
)
def test_conditions_that_a_method_does_not_have(theory: ds.Theory, options: dict, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        ds.spectrum(theory, **ASKED, **SETTINGS, **options)
    assert str(caught.value) == message


def test_operators_stand_for_names(theory: ds.Theory) -> None:
    """A product of the two matrices by both routes and in finite networks, next to a matrix that has a name."""
    product = ds.operator(theory, lambda m, x: m["W1"] @ (m["W0"] @ x), "D", name="W1 W0")
    asked = {"matrices": [product, "W1"], "at": [11]}
    found = {method: ds.spectrum(theory, method=method, points=4, **asked, **SETTINGS) for method in METHODS}
    for name, allowed in {"outlier": 1e-6, "bulk_edge": 1e-6, "density": 1e-6, "escape_step": 0.1}.items():
        np.testing.assert_allclose(found["equations"][name], found["conditioning"][name], rtol=1e-6, atol=allowed)
    assert found["equations"]["matrix"].values.tolist() == ["W1 W0", "W1"]
    simulated = ds.simulate(theory, dim=200, seeds=4, **asked, **SETTINGS)
    leading = simulated["outlier"].sel(matrix="W1 W0", rank=0)
    expected = float(found["equations"]["outlier"].sel(matrix="W1 W0", rank=0).item())
    assert expected > 1.3 * float(found["equations"]["bulk_edge"].sel(matrix="W1 W0", side="upper").item())
    assert float(leading.mean()) == pytest.approx(expected, rel=0.07)  # 1/sqrt(200), as the teacher fluctuates
    assert "Bulk of W1 W0" in str(theory.bulk(product))
    assert "Spike condition of W1 W0" in str(theory.spikes(product))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("W1", "matrices: the network has a W1 of its own; allowed for an operator is another name"),
        ("NTK", "matrices: the network has a NTK of its own; allowed for an operator is another name"),
    ],
)
def test_operators_with_the_name_of_a_matrix_are_refused(theory: ds.Theory, name: str, message: str) -> None:
    product = ds.operator(theory, lambda m, x: m["W1"] @ (m["W0"] @ x), "D", name=name)
    with pytest.raises(ArgumentError, match=message):
        ds.spectrum(theory, matrices=[product], at=[1], **SETTINGS)


def test_operators_belong_to_a_network(theory: ds.Theory) -> None:
    decayed = ds.derive(ds.deep_linear(2), training=ds.GradientDescent(weight_decay=0.1))
    other = ds.operator(decayed, lambda m, x: m["W0"] @ x, "D", name="A")
    with pytest.raises(ArgumentError, match="matrices: A is of another network; allowed is operator"):
        ds.spectrum(theory, matrices=[other], at=[1], **SETTINGS)
    with pytest.raises(ds.program.ProgramError, match="operator: theory = 'W0': allowed is what derive"):
        ds.operator("W0", lambda m, x: x, "D")


@pytest.mark.parametrize("method", METHODS)
def test_divergence_before_a_step_is_named(theory: ds.Theory, method: str) -> None:
    settings = {**SETTINGS, "learning_rate": 2.0, "label_noise": 0.0}
    found = ds.spectrum(theory, matrices=["W0", "W1"], at=[0, 11], method=method, points=5, **settings)
    late = found.sel(spectrum_step=11)
    assert bool(late["outlier"].isnull().all())
    assert bool(late["bulk_edge"].isnull().all())
    assert bool(late["density"].isnull().all())
    assert bool(found["bulk_edge"].sel(spectrum_step=0, side="upper").notnull().all())
    lines = found.attrs["spectrum_failures"].splitlines()
    assert [line.split(";")[0] for line in lines] == [
        f"{name} at step 11: the run diverged before this step" for name in ("W0", "W1")
    ]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("ratio", "matrix"), [("width_per_dim", "W0"), ("samples_per_dim", "X")])
def test_a_matrix_without_a_limit_leaves_the_others(theory: ds.Theory, method: str, ratio: str, matrix: str) -> None:
    """Its values grow like the root of the ratio; those of W1 and of the NTK have a limit."""
    settings = {**SETTINGS, ratio: np.inf, "richness": 3.0, "learning_rate": 0.1}
    asked = {"at": [0, 5], "method": method, "overlaps": False}
    found = ds.spectrum(theory, matrices=[matrix, "W1", "NTK"], **asked, **settings)
    alone = ds.spectrum(theory, matrices=["W1", "NTK"], **asked, **settings)
    for name in ("outlier", "bulk_edge", "escape_step", "sharpness"):
        kept = found[name].sel(matrix=["W1", "NTK"]) if "matrix" in found[name].dims else found[name]
        np.testing.assert_array_equal(kept, alone[name])
    assert float(found["sharpness"][1]) > float(found["sharpness"][0]) > 0
    assert all(bool(found[name].sel(matrix=matrix).isnull().all()) for name in ("outlier", "bulk_edge", "escape_step"))
    assert alone.attrs["spectrum_failures"] == ""
    lines = [line.split(";")[0] for line in found.attrs["spectrum_failures"].splitlines()]
    why = "the equations of this matrix are not finite at an infinite ratio"
    assert lines == [f"{matrix} at step {step}: {why}" for step in (0, 5)]


def test_outliers_stay_where_a_density_cannot_be_had(theory: ds.Theory) -> None:
    """Of infinitely many samples all but a vanishing part of the eigenvalues of the NTK are zero."""
    settings = {**SETTINGS, "samples_per_dim": np.inf}
    found = ds.spectrum(theory, matrices=["NTK"], at=[11], points=4, method="equations", overlaps=False, **settings)
    assert bool(found["outlier"].notnull().all())
    assert bool(found["density"].isnull().all())
    assert "NTK at step 11: all of the spectrum but a vanishing part is zero" in found.attrs["spectrum_failures"]


@pytest.mark.parametrize("method", METHODS)
def test_bulk_that_is_a_point_has_no_density(theory: ds.Theory, method: str) -> None:
    settings = {**SETTINGS, "init_std": 0.0}
    found = ds.spectrum(theory, matrices=["W0", "NTK"], at=[3], points=4, method=method, **settings)
    assert found["bulk_edge"].sel(side="upper").values.tolist() == [[0], [0]]
    assert bool(found["density"].isnull().all())
    assert found.attrs["spectrum_failures"] == ""


@pytest.mark.parametrize("method", METHODS)
def test_progress(theory: ds.Theory, method: str) -> None:
    seen: list[tuple[int, int]] = []
    asked = {"matrices": ["W1"], "at": [0, 5]}
    ds.spectrum(theory, method=method, progress=lambda done, total: seen.append((done, total)), **asked, **SETTINGS)
    assert seen[-1][0] == seen[-1][1]
    assert seen == sorted(seen)


@pytest.fixture(scope="module")
def measured(theory: ds.Theory) -> xr.Dataset:
    return ds.simulate(theory, dim=60, seeds=3, seed=5, values=0, **ASKED, **SETTINGS)


def test_measured_spectra_are_reproducible(theory: ds.Theory, measured: xr.Dataset) -> None:
    again = ds.simulate(theory, dim=60, seeds=3, seed=5, values=0, **ASKED, **SETTINGS)
    xr.testing.assert_identical(again, measured.assign_attrs(wall_time=again.attrs["wall_time"]))
    other = ds.simulate(theory, dim=60, seeds=3, seed=6, values=0, **ASKED, **SETTINGS)
    assert float(abs(other["outlier"] - measured["outlier"]).min()) > 0
    # Spectra do not disturb the network that they are measured on.
    plain = ds.simulate(theory, dim=60, seeds=3, seed=5, **SETTINGS)
    xr.testing.assert_identical(plain["test_loss"], measured["test_loss"])


def test_largest_values_are_the_first_of_all(theory: ds.Theory, measured: xr.Dataset) -> None:
    few = ds.simulate(theory, dim=60, seeds=3, seed=5, values=2, **ASKED, **SETTINGS)
    assert "spectrum_value" not in few
    assert few.sizes["rank"] == 2
    np.testing.assert_allclose(few["outlier"], measured["spectrum_value"][..., :2], rtol=1e-8)  # ARPACK against LAPACK
    np.testing.assert_allclose(measured["outlier"], measured["spectrum_value"][..., : measured.sizes["rank"]])


def test_simulations_refuse_like_theories(theory: ds.Theory) -> None:
    for wrong, message in (
        ({"matrices": ["W7"]}, "W7"),
        ({"at": [12]}, "at = 12: allowed are steps of the run, 0 to 11"),
        ({"at": []}, "allowed is a list of steps"),
        ({"values": -1}, "values = -1"),
    ):
        with pytest.raises(ArgumentError) as caught:
            ds.simulate(theory, dim=20, seeds=1, **{**ASKED, **SETTINGS, **wrong})
        assert message in str(caught.value)


def test_networks_that_diverge_have_no_spectra_after(theory: ds.Theory) -> None:
    settings = {**SETTINGS, "learning_rate": 2.0, "steps": 40}
    found = ds.simulate(theory, dim=20, seeds=2, matrices=["W1"], at=[0, 39], **settings)
    assert found.attrs["outcome"].startswith("diverged")
    assert bool(found["outlier"].sel(spectrum_step=39).isnull().all())
    assert bool(found["outlier"].sel(spectrum_step=0).notnull().all())


def test_spectra_survive_a_file(theory: ds.Theory, measured: xr.Dataset, tmp_path) -> None:
    found = ds.spectrum(theory, points=8, method="equations", **ASKED, **SETTINGS)
    for dataset in (found, measured):
        save(dataset, tmp_path / "result.nc")
        xr.testing.assert_identical(load(tmp_path / "result.nc"), dataset)
    compared = compare(found, measured)
    assert set(compared.summary) == {"outlier", "sharpness", "overlap"}
    # The largest deviation at D = 60 is a few per cent of the leading eigenvalue; 1/sqrt(60) = 13 per cent.
    assert compared.within(4, allowance=0.13)


def test_escape_is_found_between_the_steps_that_are_asked_for():
    theory = ds.derive(ds.deep_linear(2))
    options = {
        "samples_per_dim": 4.0, "width_per_dim": 1.0, "richness": 8.0, "learning_rate": 0.004, "label_noise": 0.3,
        "steps": 60, "overlaps": False,
    }  # fmt: skip
    found = {
        (method, len(at)): ds.spectrum(theory, matrices=["W0", "W1"], at=at, method=method, **options)
        for method in ("equations", "conditioning")
        for at in ([59], [0, 20, 40, 59])
    }
    escapes = np.array([spectra["escape_step"].values for spectra in found.values()])
    np.testing.assert_allclose(escapes, escapes[:1].repeat(4, axis=0), atol=0.05)
    for column, matrix in enumerate(("W0", "W1")):
        before = int(escapes[0, column])
        sides = ds.spectrum(theory, matrices=[matrix], at=[before, before + 1], method="equations", **options)
        assert sides["outlier"].notnull().sum("rank").values.tolist() == [[0, 1]]


@pytest.mark.parametrize("method", ["equations", "conditioning"])
def test_a_run_that_diverges_says_so(method):
    found = ds.spectrum(
        ds.derive(ds.deep_linear(1)), matrices=["W0"], at=[0, 50], steps=60, method=method, samples_per_dim=2.0,
        width_per_dim=1.0, richness=2.0, learning_rate=0.5, label_noise=0.3,
    )  # fmt: skip
    assert str(found.attrs["outcome"]).startswith("diverged at step")
    assert found["bulk_edge"].sel(side="upper").isnull().values.tolist() == [[False, True]]


def test_datasets_can_be_written_by_xarray(tmp_path):
    theory = ds.derive(ds.deep_linear(1))
    settings = {"samples_per_dim": 2.0, "width_per_dim": 1.0, "richness": 2.0, "learning_rate": 0.01, "steps": 4}
    for made in (
        theory.compile("numpy")(**settings),
        ds.simulate(theory, dim=20, seeds=2, **settings),
        ds.spectrum(theory, matrices=["W0"], at=[3], method="conditioning", **settings),
    ):
        made.to_netcdf(tmp_path / "plain.nc", engine="h5netcdf")


@pytest.mark.parametrize("method", METHODS)
def test_outliers_are_continuous_at_their_escape(method: str) -> None:
    """An outlier that cannot be told from the edge is at the edge, or about to escape: a number, as ``escape_step``.

    The distance from the edge grows like the square of the excess of the richness, squared overlaps like the excess.
    """
    theory = ds.derive(ds.deep_linear(1))
    settings = {"samples_per_dim": 4.0, "width_per_dim": 1.0, "learning_rate": 0.05, "label_noise": 0.3}
    critical = ds.critical(theory, matrix="W0", at=3, between=(5.0, 20.0), points=2, tol=1e-9, **settings)
    distance, overlap = [], []
    for excess in (-1e-6, -1e-8, 0.0, 1e-8, 1e-6, 1e-4, 1e-3):
        found = ds.spectrum(
            theory, matrices=["W0"], at=[3], steps=4, method=method, richness=critical * (1 + excess), **settings
        )
        assert found.attrs["spectrum_failures"] == ""
        edge = float(found["bulk_edge"].sel(side="upper").item())
        assert edge == pytest.approx(2.0, rel=1e-9)
        assert found.sizes["rank"] == int(np.isfinite(found["escape_step"].item()))
        assert abs(excess) < 1e-7 or found.sizes["rank"] == int(excess > 0)
        distance.append(float(found["outlier"].item()) - edge if found.sizes["rank"] else 0.0)
        there = found["overlap"].sel(direction="a v") if found.sizes["rank"] else np.zeros(1)
        overlap.append(float(there.item()))
    assert np.all(np.diff(distance) >= -1e-12)
    assert np.all(np.diff(overlap) >= -1e-3)
    assert distance[-1] == pytest.approx(100 * distance[-2], rel=0.01)
    assert overlap[-1] ** 2 == pytest.approx(10 * overlap[-2] ** 2, rel=0.01)
