"""Theory against simulation: z-scores that are what they say, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import made_up

import dmft_sym as ds
from dmft_sym.comparison import compare
from dmft_sym.results import ResultError


def test_z_scores() -> None:
    run, sim = made_up(), made_up(seeds=4, dim=500)
    compared = compare(run, sim)
    loss = sim["train_loss"]
    error = loss.std("seed", ddof=1) / 2
    expected = (loss.mean("seed") - run["train_loss"]) / error
    np.testing.assert_allclose(compared.z["train_loss"], expected, rtol=1e-6)
    row = compared.summary["train_loss"]
    assert row["max_z"] == pytest.approx(float(abs(expected).max()))
    assert row["rms_z"] == pytest.approx(float((expected**2).mean() ** 0.5))
    assert set(compared.summary) == {"train_loss", "test_loss", "C_h", "R_h"}


def test_many_seeds_of_the_truth_have_rms_one() -> None:
    compared = compare(made_up(steps=30), made_up(steps=30, seeds=40))
    assert compared.summary["train_loss"]["rms_z"] == pytest.approx(1, abs=0.25)
    assert compared.within(5)
    shifted = made_up(steps=30)
    shifted["test_loss"] = shifted["test_loss"] * 1.1
    assert not compare(shifted, made_up(steps=30, seeds=40)).within(5)
    assert compare(shifted, made_up(steps=30, seeds=40)).within(5, allowance=0.11)


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
    for word in ("train_loss", "C_h", "max |z|", "rms z", "rms 1.73"):
        assert word in text
    assert "large values" in str(compare(made_up(), made_up(seeds=3)))


def test_common_steps() -> None:
    compared = compare(made_up(steps=9), made_up(steps=5, seeds=3))
    assert compared.theory.sizes["step"] == compared.theory.sizes["step2"] == 5
    assert compared.theory["C_h"].sizes["step2"] == 5


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
        (made_up(), made_up(), "seeds = 0"),
        (made_up(), made_up(seeds=1), "seeds = 1"),
        (made_up(seeds=2), made_up(seeds=2), "a theory first"),
        (made_up(), made_up(seeds=3, richness=4.0), "richness = 8.0 and 4.0"),
        (made_up(online=True, program_hash="a1"), made_up(seeds=3, program_hash="b2"), "online = true and false"),
        (made_up(program_hash="a1"), made_up(seeds=3, program_hash="b2"), "program_hash = a1 and b2"),
        (made_up(depth=3), made_up(seeds=3), "depth = 3 and 2"),
        (made_up()[["C_h"]].rename(C_h="C_x"), made_up(seeds=3), "no variable in common"),
        (made_up().isel(step=slice(0)), made_up(seeds=3), "no step in common"),
    ],
)
def test_refusals(run: object, sim: object, words: str) -> None:
    with pytest.raises(ResultError, match=words) as caught:
        compare(run, sim)  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 1


def test_free_attributes_may_differ() -> None:
    run = made_up(wall_time=1.0, hash="a", dmft_sym_version="1", method="march", outcome="completed")
    compare(run, made_up(seeds=2, wall_time=2.0, hash="b", dmft_sym_version="2", method="finite", seed=3))


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
