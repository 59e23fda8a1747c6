"""Outliers from growing coordinates: reference numbers, classical spikes, other networks and matrices, failures."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from execution_support import REFERENCE, program, values
from spectrum_tracks import _halves, coordinate_spectra, measured_spectra, outliers_elsewhere, touches

import dmft_sym as ds
from dmft_sym.networks import GradientDescent, OnlineSGD, network
from dmft_sym.program import ProgramError
from dmft_sym.spectra import operator
from dmft_sym.spectra.numerics.continuation import BulkError
from dmft_sym.spectra.numerics.supports import support
from dmft_sym.spectra.pencil import coordinates
from dmft_sym.spectra.pencil.dyson import PencilDyson
from dmft_sym.spectra.pencil.effective import EffectivePencil, MatrixState
from dmft_sym.spectra.pencil.outliers import OutlierSearch, PencilOutliers, outliers_above_a_point
from dmft_sym.spectra.pencil.pencil import Coupling, GaussianBlock, Input, Pencil

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))


def reference_tracks(case, tol=1e-8):
    given = case["parameters"]
    names = ("depth", "nu", "alpha", "gamma", "eta", "label_noise")
    numbers = values(**{key: given[key] for key in names}, s2=given.get("sigma", 1.0) ** 2)
    prog = program(None, OnlineSGD() if given.get("online") else GradientDescent())
    outputs, steps = given.get("outputs", 1), given["steps"]
    at = case["times"][1:]
    return coordinate_spectra(prog, numbers, outputs, steps, list(case["outliers"]), at, tol=tol)[0]


@pytest.mark.parametrize("case", REFERENCE, ids=lambda case: case["name"])
def test_reference_outliers(case):
    """Numbers with 8 decimals; degenerate ones have their multiplicity."""
    tracks = reference_tracks(case)
    for name, expected in case["outliers"].items():
        track = tracks[name]
        assert not track.failures
        for step, outliers in expected.items():
            found = track.spectra[int(step)].outliers
            assert len(found) == len(outliers), (name, step)
            np.testing.assert_allclose(found, outliers, rtol=0, atol=1.5e-8)


def test_outliers_follow_the_tolerance():
    """The error of an outlier is of the order of the tolerance of the run."""
    case = REFERENCE[1]
    exact = reference_tracks(case, 1e-11)["W1"].outliers
    for tol in (1e-4, 1e-6):
        assert np.abs(reference_tracks(case, tol)["W1"].outliers - exact).max() < 10 * tol


@pytest.mark.parametrize(
    ("changes", "steps", "expected"),
    [
        ({"depth": 1, "nu": 0.5, "alpha": 4.0, "label_noise": 0.3}, 60, {30: 13.360, 59: 15.898}),
        ({"depth": 2, "nu": 0.7, "alpha": 3.0, "label_noise": 0.2}, 50, {10: 24.05, 30: 43.64, 49: 45.47}),
    ],
    ids=["one layer", "two layers"],
)
def test_sharpness(changes, steps, expected):
    """Leading eigenvalues of the NTK, computed once from hand-written equations and printed to four digits."""
    numbers = values(gamma=6.0, eta=0.01, **changes)
    track = coordinate_spectra(program(), numbers, 1, steps, ["NTK"], expected)[0]["NTK"]
    # Half a unit of the last digit of the less precise case.
    np.testing.assert_allclose(track.leading, list(expected.values()), rtol=0, atol=6e-3)


def spiked(thetas, tau, *, variance=1.0, known=False):
    """A Gaussian matrix with spikes that know nothing of it: ``A + sum theta_k u_k v_k^T``.

    With ``known``, ``A`` acts on what is orthogonal to the spikes alone, so that ``theta_k`` are its singular values.
    """
    k = len(thetas)
    pencil = Pencil(
        ("a", "b"),
        (0, 1),
        np.zeros((2, 2)),
        np.eye(2),
        (Coupling(0, 1, 0, np.sqrt(tau)),),
        {0: GaussianBlock(variance, 1 / tau)},
        0,
        (Input("a", 0, 0), Input("b", 0, 1)),
        True,
    )
    directions = np.eye(k) if known else np.zeros((0, k))
    spans = {"target": directions, "source": directions}
    state = MatrixState(1, 0, np.diag(thetas) / np.sqrt(tau), spans, 1.0)
    return EffectivePencil(PencilDyson(pencil), ((0,), (1,)), {0: state}, [k, k])


@pytest.mark.parametrize("tau", [0.4, 1.0, 3.0])
def test_independent_spikes(tau):
    """Benaych-Georges and Nadakuditi: threshold, position and overlaps; three equal spikes are three outliers."""
    threshold = tau**0.25
    thetas = threshold * np.array([2.0, 1.4, 1.4, 1.4, 0.9, 0.2])
    found = OutlierSearch(spiked(thetas, tau), 1 + np.sqrt(tau), watched=6).run()
    theta2 = thetas[:4] ** 2
    expected = np.sqrt((1 + theta2) * (tau + theta2) / theta2)
    np.testing.assert_allclose(found.values, expected, rtol=1e-9)
    right, left = found.found[0].vectors[0], found.found[0].vectors[1]
    t2 = theta2[0]
    assert 2 * right[0] ** 2 == pytest.approx(1 - (tau + t2) / (t2 * (t2 + 1)), rel=1e-7)
    assert 2 * left[0] ** 2 == pytest.approx(1 - tau * (1 + t2) / (t2 * (t2 + tau)), rel=1e-7)


def test_threshold_of_a_spike():
    """The margin vanishes at ``theta = tau^{1/4}``, and an outlier at the edge is said to touch it."""
    tau = 0.5
    signs = []
    for factor in (1 - 1e-6, 1 + 1e-6):
        result = OutlierSearch(spiked(np.array([factor * tau**0.25]), tau), 1 + np.sqrt(tau)).run()
        signs.append(result.margins[0] < 0)
        assert touches(result, 1e-6)
    assert signs == [False, True]


@pytest.mark.parametrize("theta", [1.3, 4.0])
def test_outliers_below_the_bulk(theta):
    """A symmetric Gaussian matrix with a spike of either sign: ``theta + 1/theta`` outside of the semicircle."""
    half = Coupling(0, 0, 0, np.sqrt(0.5))
    pencil = Pencil(
        ("p",), (0,), np.zeros((1, 1)), np.eye(1), (half,), {0: GaussianBlock(1.0, 1.0)}, 0, (Input("p", 0, 0),), False
    )
    spans = {"target": np.zeros((0, 2)), "source": np.zeros((0, 2))}
    state = MatrixState(0, 0, np.diag([theta, -theta]) / np.sqrt(2), spans, 1.0)
    dyson = PencilDyson(pencil)
    np.testing.assert_allclose(support(dyson).bands, [[-2, 2]], atol=1e-10)
    effective = EffectivePencil(dyson, ((0,),), {0: state}, [2])
    for side in (1, -1):
        result = OutlierSearch(effective, 2.0 * side, side).run()
        np.testing.assert_allclose(result.values, [side * (theta + 1 / theta)], rtol=1e-9)
    np.testing.assert_allclose(outliers_elsewhere(effective, support(dyson)), [-theta - 1 / theta], rtol=1e-9)


def test_outlier_between_two_bands():
    """``X^T X + 30 Y^T Y`` with a strong direction of ``X`` that ``Y`` does not see, against a large random matrix."""
    pencil = Pencil(
        ("p", "Xp", "Yp"),
        (0, 1, 2),
        np.diag([0.0, 1.0, 1 / 30]),
        np.diag([1.0, 0.0, 0.0]),
        (Coupling(0, 1, 0, 1.0), Coupling(1, 2, 0, 1.0)),
        {0: GaussianBlock(1.0, 4.0), 1: GaussianBlock(1.0, 4.0)},
        0,
        (Input("p", 0, 0),),
        False,
    )
    dyson, theta, one, none = PencilDyson(pencil), 3.5, np.ones((1, 1)), np.zeros((0, 1))
    states = {
        0: MatrixState(1, 0, theta * one, {"target": none, "source": none}, 1.0),
        1: MatrixState(2, 0, 0 * one, {"target": none, "source": one}, 1.0),
    }
    effective = EffectivePencil(dyson, ((0,), (1,), (2,)), states, [1, 1, 1])
    (found,) = outliers_elsewhere(effective, support(dyson))
    (_, low), (high, _) = support(dyson).bands
    assert low < found < high
    rng, n = np.random.default_rng(1), 1200
    x, y = rng.standard_normal((2, n // 4, n)) / np.sqrt(n // 4)
    x[0, 0] += theta
    y[:, 0] = 0
    values_ = np.linalg.eigvalsh(x.T @ x + 30 * y.T @ y)
    # The fluctuations of an outlier are O(n^(-1/2)).
    np.testing.assert_allclose(values_[(values_ > 1.1 * low) & (values_ < 0.9 * high)], [found], rtol=3 / np.sqrt(n))


def test_nothing_is_found_elsewhere_where_nothing_is(monkeypatch):
    """Training makes large eigenvalues: none below the bulk of a weight matrix or of the NTK."""
    numbers = values(depth=2, nu=0.7, alpha=3.0, gamma=6.0, eta=0.01)
    seen = []

    def search(effective, *arguments, **options):
        seen.append(effective)
        return OutlierSearch(effective, *arguments, **options)

    monkeypatch.setattr(coordinates, "OutlierSearch", search)
    tracks, _ = coordinate_spectra(program(), numbers, 1, 31, ["W0", "W1", "NTK"], [30])
    assert len(seen) == len(tracks)
    for track, effective in zip(tracks.values(), seen, strict=True):
        assert not track.failures
        assert not len(outliers_elsewhere(effective, support(effective.dyson)))


@pytest.mark.parametrize("train", [True, False])
def test_a_matrix_that_is_not_used(train):
    """At this depth the scan over the layers of the shared matrix is empty: it stays as it was, if it was drawn."""

    def shared(net, x):
        n = net.hidden("N")
        inner = net.matrix("W", n, n, train=train)
        start = net.matrix("W0", net.inputs, n) @ x
        return net.readout("w", net.scan(lambda _, h: inner @ h, start, layers=(1, net.depth - 1)))

    theory = ds.derive(network(shared))
    numbers = {symbol: values(depth=1)[symbol] for symbol in theory.program.parameters}
    if train:
        track = coordinate_spectra(theory.program, numbers, 1, 3, ["W"], [2])[0]["W"]
        assert track.leading[0] == track.edges[0] == pytest.approx(2.0)
        return
    with pytest.raises(ProgramError, match=r"matrix = 'W': the network does not use W at this depth"):
        coordinate_spectra(theory.program, numbers, 1, 3, ["W"], [2])
    with pytest.raises(ProgramError, match=r"matrix = 'W': the network does not use W at this depth"):
        measured_spectra(theory.program, numbers, 1, 3, 40, 0, ["W"], [2])


def test_outliers_between_bands_end_at_the_next_band():
    """The search in an interval counts what is in it and nothing beyond."""
    effective = spiked(np.array([2.0, 1.6]), 1.0)
    z = np.sqrt((1 + 2.56) ** 2 / 2.56)
    found = OutlierSearch(effective, 2.0, end=0.5 * (z + 2.5)).run()
    np.testing.assert_allclose(found.values, [z], rtol=1e-9)


@pytest.mark.parametrize("interval", [(-2, 1, 3), (-3, 1, 2), (1, 1, 2), (1, -1, np.inf), (-1, -1, np.inf), (1, -1, 0)])
def test_searches_do_not_cross_zero(interval):
    """Eigenvalues at zero may be infinitely many: parts of an interval begin at a band and end before zero."""
    edge, side, end = interval
    parts = _halves(*interval)
    reach = side * 1e9 if np.isinf(end) else end
    covered = 0.0
    for start, direction, stop in parts:
        stop = direction * 1e9 if np.isinf(stop) else stop
        assert direction * (stop - start) > 0
        assert start * stop > 0
        covered += abs(stop - start)
    assert covered == pytest.approx(abs(reach - edge), rel=1e-5)


@pytest.mark.parametrize("tau", [0.25, 4.0])
def test_outliers_below_a_folded_bulk(tau):
    """A matrix that is not square has no singular values in ``(0, |1 - sqrt(tau)|)`` but those it is known to have."""
    low = abs(1 - np.sqrt(tau))
    thetas = np.array([0.2, 0.7, 0.7, 1.3]) * low
    effective = spiked(thetas, tau, known=True)
    np.testing.assert_allclose(outliers_elsewhere(effective, support(effective.dyson)), thetas[:3], rtol=1e-9)
    assert not OutlierSearch(effective, 1 + np.sqrt(tau)).run().found


def test_there_is_always_a_margin_more_than_outliers():
    """The eigenvalue of the next outlier, which shows when it escapes."""
    found = OutlierSearch(spiked(np.array([2.0, 0.8]), 1.0), 2.0).run()
    assert len(found.found) == 1
    assert found.margins[0] < 0 < found.margins[1] < np.inf


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-7])
def test_outliers_above_a_point_are_found_at_any_size(size):
    """A matrix that starts at zero has no bulk: its singular values are those of its spikes, however small."""
    thetas = size * np.array([2.0, 0.7])
    found = outliers_above_a_point(spiked(thetas, 1.0, variance=0.0), 2)
    np.testing.assert_allclose(found.values, thetas, rtol=1e-7)
    assert found.edge == 0


def test_outliers_touch_an_edge_by_their_distance():
    """The margin vanishes with the root of the distance, here ``1e-2**2 = 1e-4`` from an edge at 2."""
    near = PencilOutliers(2.0, [], np.array([1e-2]), np.array([1.0]))
    assert touches(near, 1e-3)
    assert not touches(near, 1e-5)


def test_before_training_there_are_no_outliers():
    tracks, _ = coordinate_spectra(program(), values(depth=3), 2, 1, ["W0", "W1", "W2", "NTK"], [0])
    for name in ("W0", "W1", "W2"):
        assert not tracks[name].outliers.size
        assert tracks[name].escape() != tracks[name].escape()


def test_one_step_of_a_rich_network_is_an_independent_spike():
    """``gamma -> inf`` at fixed ``eta gamma``: the first update does not know ``W0``, up to corrections ``1/gamma``."""
    gamma, theta, nu = 1e5, 3.0, 0.6
    numbers = values(depth=1, nu=nu, gamma=gamma, eta=theta / np.sqrt(nu) / gamma, alpha=np.inf, label_noise=0.0)
    tracks, _ = coordinate_spectra(program(), numbers, 1, 2, ["W0"], [1])
    track, t2 = tracks["W0"], theta**2
    np.testing.assert_allclose(track.outliers, [[np.sqrt((1 + t2) * (nu + t2) / t2)]], rtol=1e-4)
    right = np.sqrt(1 - (nu + t2) / (t2 * (t2 + 1)))
    assert track.overlap("a", "betastar")[0, 0, 0] == pytest.approx(right, rel=1e-4)
    for rows in track.spectra[1].overlaps.values():
        assert 0 <= rows.min() <= rows.max() <= 1 + 1e-9


def test_escape_is_interpolated():
    """Spectra at every third step give the escape to a tenth of their distance."""
    numbers = values(depth=2, nu=1.0, alpha=4.0, gamma=8.0, eta=0.004, label_noise=0.3)
    every = coordinate_spectra(program(), numbers, 1, 40, ["W0", "W1"], range(40))[0]
    third = coordinate_spectra(program(), numbers, 1, 40, ["W0", "W1"], range(0, 40, 3))[0]
    for name, track in every.items():
        escape = track.escape()
        assert third[name].escape() == pytest.approx(escape, abs=0.3)
        outside = np.isfinite(track.outliers[:, 0])
        assert outside[int(np.ceil(escape))]
        assert not outside[int(np.floor(escape))]
        assert (track.leading >= track.edges).all()


def test_outputs_escape_together():
    numbers = values(depth=1, nu=0.7, alpha=3.0, gamma=6.0, eta=0.01, label_noise=0.1)
    tracks, _ = coordinate_spectra(program(), numbers, 3, 40, ["W0", "NTK"], range(10, 40, 5))
    assert tracks["W0"].outliers.shape[1] == 3
    assert tracks["NTK"].outliers.shape[1] == 9  # every output sees the three spikes of W0
    for track in tracks.values():
        assert track.escape(2) == pytest.approx(track.escape(0), abs=0.2)


def test_weight_decay_shrinks_the_bulk():
    """Without a signal to learn the bulk is that of the initial matrix times what decay has left of it."""
    prog = program(None, GradientDescent(weight_decay=0.05))
    numbers = values(depth=1, decay=0.05, eta=1e-9, nu=1.0)
    track = coordinate_spectra(prog, numbers, 1, 31, ["W0"], [0, 10, 30])[0]["W0"]
    np.testing.assert_allclose(track.edges, 2 * 0.95 ** np.array([0, 10, 30]), rtol=1e-9)


def test_product_of_layers_and_its_transpose_have_the_same_spectrum():
    numbers = values(depth=2, nu=1.2, alpha=4.0, gamma=8.0, eta=0.004, label_noise=0.3)
    prog = program()
    product = operator(prog, lambda m, x: m["W1"] @ (m["W0"] @ x), "D", name="W1W0")
    back = operator(prog, lambda m, x: m["W0"].T @ (m["W1"].T @ x), "N", name="W0TW1T")
    gram = operator(
        prog, lambda m, x: m["W0"].T @ (m["W1"].T @ (m["W1"] @ (m["W0"] @ x))), "D", name="gram", symmetric=True
    )
    tracks, _ = coordinate_spectra(prog, numbers, 1, 50, [product, back, gram], [49])
    first = tracks["W1W0"].spectra[49]
    assert len(first.outliers) == 1
    for name, power in (("W0TW1T", 1.0), ("gram", 2.0)):
        np.testing.assert_allclose(tracks[name].spectra[49].outliers, first.outliers**power, rtol=1e-8)
        assert tracks[name].spectra[49].edge == pytest.approx(first.edge**power, rel=1e-9)


def test_multipliers_give_the_same_as_pairing(monkeypatch):
    """The form for symmetric matrices whose equations do not pair, on one whose equations do."""
    from dmft_sym.spectra.pencil import symmetric

    numbers = values(depth=2, nu=0.7, alpha=3.0, gamma=6.0, eta=0.01)
    paired = coordinate_spectra(program(), numbers, 1, 31, ["NTK"], [30])[0]["NTK"].spectra[30]
    monkeypatch.setattr(symmetric._Pairing, "rows", lambda self: None)
    other = coordinate_spectra(program(), numbers, 1, 31, ["NTK"], [30])[0]["NTK"].spectra[30]
    np.testing.assert_allclose(other.outliers, paired.outliers, rtol=1e-8)
    assert other.edge == pytest.approx(paired.edge, rel=1e-8)


def test_infinite_samples_are_a_limit():
    """The sharpness of the population, and of ever more samples."""
    found = []
    for alpha in (1e3, 1e5, np.inf):
        numbers = values(depth=2, nu=0.7, alpha=alpha, gamma=6.0, eta=0.01)
        track = coordinate_spectra(program(), numbers, 1, 31, ["NTK"], [30])[0]["NTK"]
        assert not track.failures
        found.append(track.leading[0])
    assert abs(found[1] - found[2]) < 0.02 * abs(found[0] - found[2])


def test_infinite_width_is_a_limit():
    found = []
    for nu in (1e3, 1e5, np.inf):
        numbers = values(depth=2, nu=nu, gamma=6.0, eta=0.01)
        tracks, _ = coordinate_spectra(program(), numbers, 1, 31, ["W1", "NTK"], [30])
        assert not tracks["W1"].failures
        assert not tracks["NTK"].failures
        found.append([tracks["W1"].leading[0], tracks["NTK"].leading[0]])
    gaps = np.abs(np.array(found[:2]) - found[2])
    assert (gaps[1] < 0.05 * gaps[0] + 1e-9).all()


def test_singular_values_of_infinitely_tall_matrices_are_refused():
    tracks, _ = coordinate_spectra(program(), values(nu=np.inf, depth=2), 1, 2, ["W0", "W1"], [1])
    assert not tracks["W0"].spectra
    assert tracks["W0"].failures[1].startswith("W0 at step 1: the equations of this matrix are not finite")
    assert list(tracks["W1"].spectra) == [1]


def test_a_matrix_that_does_not_exist_is_named():
    for name in ("W7", "V", "W2"):
        with pytest.raises(ProgramError, match=rf"matrix = '{name}': allowed"):
            coordinate_spectra(program(), values(depth=2), 1, 3, [name], [2])


@pytest.mark.parametrize("step", [-1, 3])
def test_a_step_that_does_not_exist_is_named(step):
    with pytest.raises(ValueError, match=rf"spectrum step = {step}: allowed are steps of the run, 0 to 2"):
        coordinate_spectra(program(), values(), 1, 3, ["W0"], [step])


def test_an_overlap_that_does_not_exist_is_named():
    numbers = values(depth=2, nu=1.0, alpha=4.0, gamma=8.0, eta=0.004)
    track = coordinate_spectra(program(), numbers, 1, 40, ["W1"], [39])[0]["W1"]
    with pytest.raises(ValueError, match=r"overlap = a with betastar: allowed are .*a with h\[1\]"):
        track.overlap("a", "betastar")


def test_a_failure_keeps_the_other_steps(monkeypatch):
    run = OutlierSearch.run
    calls = []

    def fail_once(self, hints=None):
        calls.append(1)
        if len(calls) == 2:
            raise BulkError("made up")
        return run(self, hints)

    monkeypatch.setattr(OutlierSearch, "run", fail_once)
    track = coordinate_spectra(program(), values(), 1, 3, ["W0"], [0, 1, 2])[0]["W0"]
    assert track.steps == [0, 2]
    assert list(track.failures) == [1]
    assert track.failures[1].startswith("W0 at step 1: made up: no convergence; look at another step")


def test_a_run_that_diverges_keeps_the_spectra_before():
    tracks, result = coordinate_spectra(program(), values(eta=3.0), 1, 100, ["W0"], [0, 99])
    assert not result.outcome.completed
    assert tracks["W0"].steps == [0]


def two_heads(net, x):
    """Nothing built in: two widths, a skip from the input, a shared matrix that is used twice, two readouts."""
    n, k = net.hidden("N"), net.hidden("K", width=1.5)
    inner = net.matrix("B", n, n)
    h = (net.matrix("A", net.inputs, n) @ x).named("h")
    f = (inner @ (inner @ h + h)).named("f")
    e = (net.matrix("E", n, k) @ f + net.matrix("F", net.inputs, k) @ x).named("e")
    return net.readout("w", f) + net.readout("u", e)


def test_every_matrix_of_a_network_written_here():
    theory = ds.derive(network(two_heads))
    numbers = values(nu=0.8, alpha=3.0, gamma=10.0, eta=0.005)
    numbers = {symbol: numbers[symbol] for symbol in theory.program.parameters}
    tracks, _ = coordinate_spectra(theory.program, numbers, 1, 25, ["A", "B", "E", "F", "NTK"], [5, 24])
    for track in tracks.values():
        assert not track.failures
        assert np.isfinite(track.leading).all()
    assert sum(np.isfinite(track.outliers).sum() for track in tracks.values()) > 0
