"""Theory against simulation: z-scores that are what they say, what is compared, and refusals.

In two regimes: made-up results of exact equations, and a theory that is sampled and has errors of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from made_up import made_up
from sampled_results import SETTINGS as SAMPLED
from sampled_results import WANTED, made_run, made_sim, theory
from scipy.stats import t as student_t

import dmft_sym as ds
from dmft_sym.comparison.runs import chance_of_largest, compare
from dmft_sym.results.store import ResultError

PAIRS = {
    "exact": (made_up, lambda: made_up(seeds=4, dim=500)),
    "sampled": (made_run, made_sim),
}
LOSSES = {"train_loss", "test_loss"}
KERNELS = {"Phi", "G", "NTK", "Phi_alignment", "G_alignment", "NTK_alignment"}


def pair(regime: str) -> tuple[xr.Dataset, xr.Dataset]:
    """A theory and a simulation."""
    run, sim = PAIRS[regime]
    return run(), sim()


@pytest.mark.parametrize(
    ("regime", "name"),
    [("exact", "train_loss"), *(("sampled", name) for name in ("f", "NTK", "train_loss", "Phi_alignment"))],
)
def test_z_scores(regime: str, name: str) -> None:
    """Errors of the theory, if it has any, and of the seeds add up in squares."""
    run, sim = pair(regime)
    compared = compare(run, sim)
    own = run[f"{name}_sem"] if regime == "sampled" else xr.zeros_like(run[name])
    together = np.sqrt(sim[name].var("seed", ddof=1) / sim.sizes["seed"] + own**2)
    floor = 1e-12 * float(abs(run[name]).max())
    expected = (sim[name].mean("seed") - run[name]) / np.sqrt(together**2 + floor**2)
    xr.testing.assert_allclose(compared.standard_error[name], together)
    xr.testing.assert_allclose(compared.z[name], expected)
    assert (name in compared.theory_error) == (regime == "sampled")
    if regime == "sampled":
        xr.testing.assert_equal(compared.theory_error[name], own.rename(name))
    if name == "train_loss":
        row = compared.summary[name]
        assert row["max_z"] == pytest.approx(float(abs(expected).max()))
        assert row["rms_z"] == pytest.approx(float((expected**2).mean() ** 0.5))


@pytest.mark.parametrize(
    ("regime", "names"),
    [
        ("exact", {*LOSSES, "C_h", "R_h"}),
        ("sampled", {"f", *LOSSES, *KERNELS, "sharpness", "NTK_eigenvalue"}),
    ],  # no targets, errors and accuracies
)
def test_only_what_is_measured_is_compared(regime: str, names: set[str]) -> None:
    assert set(compare(*pair(regime)).summary) - {"outlier"} == names


def test_many_seeds_of_the_truth_have_rms_one() -> None:
    compared = compare(made_up(steps=30), made_up(steps=30, seeds=40))
    assert compared.summary["train_loss"]["rms_z"] == pytest.approx(1, abs=0.25)
    assert compared.within(5)
    shifted = made_up(steps=30)
    shifted["test_loss"] = shifted["test_loss"] * 1.1
    assert not compare(shifted, made_up(steps=30, seeds=40)).within(5)
    assert compare(shifted, made_up(steps=30, seeds=40)).within(5, allowance=0.11)


@pytest.mark.parametrize(("outputs", "loss"), [(1, "squared"), (3, "softmax")])
def test_theory_and_simulation_agree(outputs: int, loss: str) -> None:
    of_samples = theory(outputs, loss)
    run = of_samples.compile("numpy")(sites=3200, threads=1, **WANTED, **SAMPLED)
    sim = ds.simulate(of_samples, width=200, seeds=8, **WANTED, **SAMPLED)
    assert compare(run, sim).within(4, allowance=1 / 200)
    assert not compare(run * 1.2, sim).within(4, allowance=1 / 200)


def test_exact_theories_of_linear_networks_have_no_errors() -> None:
    run = theory(activation="linear").compile("numpy")(**WANTED, **SAMPLED)
    sim = ds.simulate(theory(activation="linear"), width=60, seeds=3, **WANTED, **SAMPLED)
    compared = compare(run, sim)
    assert not compared.theory_error.data_vars
    assert compared.within(4, allowance=3 / 60)


def test_entries_without_fluctuations_are_not_judged_by_rounding() -> None:
    compared = compare(made_up(), made_up(seeds=3))
    future = compared.z["R_h"].isel(layer=0, step=0, step2=3, output=0, output2=0)
    assert float(future) == 0
    sim = made_up(seeds=3, noise=0)
    sim["C_h"] = sim["C_h"] * (1 + 1e-16)
    assert compare(made_up(), sim).summary["C_h"]["max_z"] < 1e-2


def test_table_and_text() -> None:
    compared = compare(made_up(), made_up(seeds=4, dim=500))
    assert compared.table().row_count == 4
    text = str(compared)
    assert "4 networks of D = 500, 6 steps" in text
    chance = f"12.9 to {chance_of_largest(12, 4):.1f}"
    for word in ("train_loss", "C_h", "max |z|", "rms z", "rms is 1.73", "by chance", chance):
        assert word in text
    assert "large values" in str(compare(made_up(), made_up(seeds=3)))


def test_degrees_of_freedom_are_those_of_the_smaller_group() -> None:
    compared = compare(made_run(), made_sim())
    assert compared.freedom == 2
    assert compared.summary["f"]["chance_one"] == chance_of_largest(1, 3)
    text = str(compared)
    assert "3 networks of N = 60, 6 steps" in text
    assert "standard error of both together" in " ".join(text.split())
    exact = made_run()[[name for name in made_run().data_vars if not str(name).endswith("_sem")]]
    alone = compare(exact, made_sim())
    assert not alone.theory_error.data_vars
    assert "at least" not in str(alone)
    few = made_run().assign_attrs(replicas=2)
    assert compare(few, made_sim()).freedom == 1


def test_largest_z_by_chance_is_the_quantile_of_independent_points() -> None:
    for points, seeds in ((1, 2), (1, 4), (60, 4), (3660, 4), (100, 30)):
        tail = -np.expm1(np.log(0.999) / points)
        assert chance_of_largest(points, seeds) == pytest.approx(student_t.isf(tail / 2, seeds - 1), rel=1e-9)
    # Two textbook values: 12.92 for one point and four seeds, and the normal distribution for many seeds.
    assert chance_of_largest(1, 4) == pytest.approx(12.92, abs=0.01)
    assert chance_of_largest(1, 10**6) == pytest.approx(3.2905, abs=1e-3)


@pytest.mark.parametrize("correlation", [0.0, 0.9, 1.0])
def test_largest_z_by_chance_brackets_correlated_points(correlation: float) -> None:
    """Of 20000 trajectories of 30 steps, 20 should exceed the value of their number of independent points."""
    trials, seeds, steps = 20_000, 5, 30
    rng = np.random.default_rng(4)
    noise = rng.standard_normal((steps, trials, seeds))
    walk = noise.copy()
    for step in range(1, steps):  # stationary, and Gaussian as the test assumes
        walk[step] = correlation * walk[step - 1] + np.sqrt(1 - correlation**2) * noise[step]
    largest = abs(walk.mean(-1) / (walk.std(-1, ddof=1) / np.sqrt(seeds))).max(0)
    above_one, above_all = (int((largest > chance_of_largest(n, seeds)).sum()) for n in (1, steps))
    four_sigma = 4 * np.sqrt(20)
    assert above_all <= 20 + four_sigma
    assert above_one >= 20 - four_sigma
    if correlation == 0:
        assert above_all >= 20 - four_sigma
    if correlation == 1:
        assert above_one <= 20 + four_sigma
        assert above_all == pytest.approx(0, abs=2)


def test_points_are_entries_that_fluctuate_and_are_not_mirror_images() -> None:
    compared = compare(made_up(), made_up(seeds=4))
    points = {name: row["points"] for name, row in compared.summary.items()}
    # 6 steps and 2 outputs; outputs do not mix, so 3 layers and 21 pairs of steps; layer 1 of R_h is zero everywhere.
    assert points == {"train_loss": 12, "test_loss": 12, "C_h": 3 * 21 * 2, "R_h": 2 * 15 * 2}
    still = made_up(seeds=3, noise=0)
    assert compare(made_up(), still).summary["train_loss"]["points"] == 0
    assert "to" not in next(line for line in str(compare(made_up(), still)).splitlines() if "train_loss" in line)


def test_points_of_kernels_are_not_counted_twice() -> None:
    points = {
        name: row["points"]
        for name, row in compare(made_run(3, "softmax", 0), made_sim(3, "softmax", 0)).summary.items()
    }
    assert points["Phi"] == 2 * 3 * 4 * 5 // 2
    assert points["NTK"] <= 3 * 12 * 13 // 2
    assert points["NTK"] > 3 * 12 * 11 // 2


def test_common_steps() -> None:
    compared = compare(made_up(steps=9), made_up(steps=5, seeds=3))
    assert compared.theory.sizes["step"] == compared.theory.sizes["step2"] == 5
    assert compared.theory["C_h"].sizes["step2"] == 5


def test_steps_and_kernels_that_are_not_common_are_left_out() -> None:
    run, sim = made_run(), made_sim()
    compared = compare(run.isel(step=slice(4)), sim.isel(kernel_step=[0, 2]))
    assert compared.theory.sizes["step"] == 4
    assert compared.theory["kernel_step"].values.tolist() == [0, 5]
    apart = compare(run.isel(kernel_step=[0]), sim.isel(kernel_step=[1]))
    assert "NTK" not in apart.theory
    assert "NTK" not in apart.theory_error
    assert "f" in apart.theory


def test_diverged_runs_are_compared_before_the_divergence() -> None:
    run = made_up(steps=6)
    run["train_loss"][4:] = np.nan
    run["C_h"] = run["C_h"].where(run["step"] < 4)
    compared = compare(run, made_up(steps=6, seeds=3))
    assert compared.theory.sizes["step"] == 4
    assert all(np.isfinite(value) for row in compared.summary.values() for value in row.values())


@pytest.mark.parametrize(
    ("run", "sim", "words"),
    [
        (made_up, lambda: made_up(seeds=1), "seeds = 1"),
        (lambda: made_up(seeds=2), lambda: made_up(seeds=2), "a theory first"),
        (lambda: made_up()[["C_h"]].rename(C_h="C_x"), lambda: made_up(seeds=3), "no variable in common"),
        (lambda: made_up().isel(step=slice(0)), lambda: made_up(seeds=3), "no step in common"),
    ],
)
def test_refusals(run: Callable[[], xr.Dataset], sim: Callable[[], xr.Dataset], words: str) -> None:
    with pytest.raises(ResultError, match=words) as caught:
        compare(run(), sim())
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("regime", "ours", "theirs", "words"),
    [
        ("exact", {}, {"richness": 4.0}, "richness = 8.0 and 4.0"),
        ("exact", {"online": True, "program_hash": "a1"}, {"program_hash": "b2"}, "online = true and false"),
        ("exact", {"program_hash": "a1"}, {"program_hash": "b2"}, "program_hash = a1 and b2"),
        ("exact", {"depth": 3}, {}, "depth = 3 and 2"),
        ("sampled", {}, {"data_hash": "0" * 16}, "data_hash = "),
        ("sampled", {}, {"loss": "logistic"}, "loss = 'squared' and 'logistic'"),
        ("sampled", {}, {"richness": 3.0}, "richness = 2.0 and 3.0"),
        ("sampled", {}, {"learning_rate": 0.3}, "learning_rate = 0.2 and 0.3"),
        ("sampled", {}, {"momentum": 0.5}, "momentum = 0.0 and 0.5"),
        ("sampled", {}, {"weight_decay": 0.01}, "weight_decay = 0.0 and 0.01"),
        ("sampled", {}, {"init_std": 2.0}, "init_std = 1.0 and 2.0"),
        ("sampled", {}, {"depth": 3}, "depth = 2 and 3"),
    ],
)
def test_other_data_and_parameters_are_refused(regime: str, ours: dict, theirs: dict, words: str) -> None:
    run, sim = pair(regime)
    with pytest.raises(ResultError, match=words) as caught:
        compare(run.assign_attrs(ours), sim.assign_attrs(theirs))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("regime", "ours", "theirs"),
    [
        (
            "exact",
            {"wall_time": 1.0, "hash": "a", "dmft_sym_version": "1", "method": "equations", "outcome": "completed"},
            {"wall_time": 2.0, "hash": "b", "dmft_sym_version": "2", "method": "finite", "seed": 3},
        ),
        (
            "sampled",
            {"width": 99, "sites": 3, "replicas": 2, "error": 0.1, "antithetic": 0, "threads": 4},
            dict.fromkeys(("width", "sites", "replicas", "error", "antithetic", "threads"), -1),
        ),
    ],
)
def test_free_attributes_may_differ(regime: str, ours: dict, theirs: dict) -> None:
    run, sim = pair(regime)
    compare(run.assign_attrs(ours), sim.assign_attrs(theirs))


def test_other_samples_are_refused() -> None:
    other = ds.derive(ds.mlp(2, "tanh"), data=ds.Samples(np.eye(5), np.ones(5)))
    sim = ds.simulate(other, width=20, seeds=2, **SAMPLED)
    with pytest.raises(ResultError, match="different parameters: data_hash"):
        compare(made_run(tests=0), sim)


# What may differ: where and how something was computed, and how many networks, steps or sites were afforded.
FREE = {"backend", "dim", "dtype", "method", "module_hash", "normalise", "outcome", "outcome_remedy", "seed", "seeds"}
FREE |= {"antithetic", "directions_per_site", "replicas", "sites", "steps", "tol", "wall_time", "width"}
FREE |= {"version_dmft_sym", "version_numba", "version_numpy"}
SETTINGS = {
    "depth": 1, "samples_per_dim": 2.0, "width_per_dim": 1.0, "richness": 2.0, "learning_rate": 0.01, "momentum": 0.5,
    "weight_decay": 0.01, "label_noise": 0.1, "init_std": 0.9, "outputs": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained():
    """A theory with momentum and decay, its run, and a function that simulates with other settings."""
    theory = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(momentum=0.5, weight_decay=0.01))
    small = {"steps": 3, "order_parameters": False}

    def simulated(**changes):
        return ds.simulate(theory, dim=20, seeds=2, **small, **SETTINGS | changes)

    return theory.compile("numpy")(**small, **SETTINGS), simulated


@pytest.mark.parametrize("name", SETTINGS)
def test_results_of_other_settings_are_refused(trained, name) -> None:
    run, simulated = trained
    other = 2 if name in ("depth", "outputs") else 1.5 * SETTINGS[name]
    with pytest.raises(ResultError, match=rf"^different parameters: {name} = ") as caught:
        compare(run, simulated(**{name: other}))
    assert len(str(caught.value).splitlines()) == 1


def test_every_attribute_of_a_run_says_whether_it_may_differ(trained) -> None:
    """One that is new is a setting unless it is listed as free."""
    run, simulated = trained
    sim = simulated()
    compare(run, sim)
    assert set(SETTINGS) <= set(run.attrs) & set(sim.attrs)
    for name in set(run.attrs) & set(sim.attrs):
        changed = sim.assign_attrs({name: "something else"})
        if name in FREE:
            compare(run, changed)
            continue
        with pytest.raises(ResultError, match=rf"^different [a-z]+: {name} = "):
            compare(run, changed)


def test_networks_of_one_name_are_told_apart() -> None:
    def skip(net, x):
        n = net.hidden("N")
        h = net.matrix("A", net.inputs, n) @ x
        return net.readout("w", h + net.matrix("B", n, n) @ h)

    def plain(net, x):
        n = net.hidden("N")
        h = net.matrix("A", net.inputs, n) @ x
        return net.readout("w", net.matrix("B", n, n) @ h)

    settings = {"steps": 3, "samples_per_dim": 2, "width_per_dim": 1, "richness": 2.0, "learning_rate": 0.01}
    run = ds.derive(ds.network(skip, name="net")).compile("numpy")(**settings, order_parameters=False)
    other, same = (
        ds.simulate(ds.derive(ds.network(forward, name="net")), dim=20, seeds=2, order_parameters=False, **settings)
        for forward in (plain, skip)
    )
    compare(run, same)
    with pytest.raises(ResultError, match=r"^different programs: program_hash = [0-9a-f]{16} and ") as caught:
        compare(run, other)
    assert len(str(caught.value).splitlines()) == 1
