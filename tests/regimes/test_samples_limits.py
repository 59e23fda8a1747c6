"""Networks on given samples where the answer is known: linear ones, the lazy limit, one step by hand, symmetries.

Means are compared within 4 standard errors, of 8 or more replicas. A replica of ``S/R`` sites has a bias of order
``R/S`` of its own; numbers of sites are chosen so that it is a small part of the standard error.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.hermite_e import hermegauss
from samples_and_scores import largest, made_samples

import dmft_sym as ds
from dmft_sym.execution.replicas import run_replicas
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.spectra.measured.sampled_outliers import FiniteRank, MarchenkoPastur, noise_edge


def trained(depth, activation, data, *, training=None, **arguments):
    """A run of the plain solver."""
    theory = ds.derive(ds.mlp(depth, activation, outputs=data.outputs), data=data, training=training)
    return theory.compile("numpy")(**arguments)


def distance(run, exact, name):
    """Largest deviation from exact values in standard errors; what is the same in all replicas must be exact."""
    exact = np.asarray(exact)
    gap, error = np.abs(run[name].values - exact), run[f"{name}_sem"].values
    return float((gap / np.maximum(error, 1e-11 * np.abs(exact).max())).max())


# Linear networks, whose infinite width limit is computed exactly by other means.


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("outputs", [1, 2])
def test_linear_networks_have_their_exact_solution(depth, outputs):
    data = made_samples(21, 3, outputs)
    matrices = [f"W{layer}" for layer in range(1, depth)]
    arguments = {"richness": 2.0, "learning_rate": 0.1, "steps": 12, "matrices": matrices}
    exact = trained(depth, "linear", data, **arguments)
    run = trained(depth, "linear", data, method="conditioning", exact=False, sites=40_000, replicas=16, **arguments)
    assert exact.attrs["exact"] == 1
    assert largest(exact.f.isel(step=-1) - exact.f.isel(step=0)) > 50 * largest(run.f_sem)
    for name in ("f", "Phi", "G", "NTK", "train_loss"):
        assert distance(run, exact[name], name) < 4


@pytest.mark.parametrize(
    ("depth", "count"), [*(pytest.param(*case, marks=pytest.mark.slow) for case in [(1, 300), (2, 120)]), (3, 80)]
)
def test_errors_fall_as_one_over_the_root_of_the_number_of_sites(depth, count):
    """The rms error of single replicas against the exact ``f``, and the slope of its logarithm by least squares."""
    data = made_samples(21, 3)
    theory = ds.derive(ds.mlp(depth, "linear"), data=data)
    parameters = {"richness": 2.0, "learning_rate": 0.1}
    exact = theory.compile("numpy")(steps=8, kernels=[], **parameters).f.values
    values = run_arguments(theory, 8, parameters).values
    sites = np.array([256, 512, 1024, 2048])
    squares = np.zeros((len(sites), count))
    for row, each in enumerate(sites):
        replicas = run_replicas(None, theory.program, values, 1, 8, int(each) * count, count, 7, data=data.given)
        squares[row] = [np.mean((replica.scalars["f"] - exact) ** 2) for replica in replicas]
    logs = np.log(squares.mean(axis=1)) / 2
    errors = squares.std(axis=1, ddof=1) / squares.mean(axis=1) / np.sqrt(count) / 2
    slope, error = weighted_slope(np.log(sites), logs, errors)
    assert error < 0.04
    assert abs(slope + 0.5) < 2 * error


@pytest.mark.parametrize("tol", [None, 0.3])
def test_features_that_move_by_less_than_what_is_dropped(tol):
    """Slow training: in the first steps no direction opens, and the output follows the features all the same."""
    data = made_samples(21, 3)
    arguments = {"richness": 1.0, "learning_rate": 0.02, "steps": 12}
    exact = trained(3, "linear", data, kernels=[], **arguments)
    run = trained(
        3,
        "linear",
        data,
        method="conditioning",
        exact=False,
        sites=20_000,
        replicas=16,
        kernels=[],
        tol=tol,
        **arguments,
    )
    gap, error = np.abs(run.f - exact.f).isel(step=slice(1, None)), run.f_sem.isel(step=slice(1, None))
    assert float((gap / error).max()) < 4
    assert float((exact.f.isel(step=1) / error.isel(step=0)).max()) > 50


def weighted_slope(x, y, errors):
    weights = errors**-2.0
    centred = x - np.average(x, weights=weights)
    total = np.sum(weights * centred**2)
    return np.sum(weights * centred * y) / total, total**-0.5


@pytest.mark.parametrize(("depth", "richness", "rate", "steps"), [(2, 8.0, 0.05, 41), (3, 10.0, 0.03, 101)])
def test_outliers_of_linear_networks(depth, richness, rate, steps):
    """Outliers of all hidden matrices, two outputs, against those of the network in exact coordinates."""
    data, matrices = made_samples(22, 3, 2), [f"W{layer}" for layer in range(1, depth)]
    arguments = {"richness": richness, "learning_rate": rate, "steps": steps, "matrices": matrices}
    arguments["at"] = [steps // 2, steps - 1]
    exact = trained(depth, "linear", data, **arguments)
    run = trained(depth, "linear", data, method="conditioning", exact=False, sites=40_000, **arguments)
    compared = 0
    for rank in range(exact.sizes["rank"]):
        line = exact.outlier.isel(rank=rank)
        clear = line > 2.015  # an outlier appears in some replicas and not in others where it leaves the bulk
        if clear.any():
            found, error = run.outlier.isel(rank=rank), run.outlier_sem.isel(rank=rank)
            assert bool(found.notnull().where(clear, True).all())
            assert float((np.abs(found - line) / error).where(clear).max()) < 4
            compared += int(clear.sum())
    assert compared == 4


# The lazy limit: the tangent kernel does not move, and is known in closed form.


def relu_kernels(k):
    norms = np.sqrt(np.outer(np.diag(k), np.diag(k)))
    cosine = np.clip(k / norms, -1, 1)
    angle = np.arccos(cosine)
    return norms * (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi), (np.pi - angle) / (2 * np.pi)


def erf_kernels(k):
    both = np.outer(1 + 2 * np.diag(k), 1 + 2 * np.diag(k))
    return 2 / np.pi * np.arcsin(2 * k / np.sqrt(both)), 4 / np.pi / np.sqrt(both - 4 * k**2)


CLOSED = {"relu": relu_kernels, "erf": erf_kernels}


def initial_kernels(activation, gram, depth, variance):
    """``<phi phi>`` and ``<g g>`` of layers 1 to L, and the tangent kernel ``sum_l G^{l+1} Phi^l`` (``Phi^0 = Kx``)."""
    features, slopes, below = [], [], gram
    for _ in range(depth):
        feature, slope = CLOSED[activation](variance * below)
        features.append(feature)
        slopes.append(slope)
        below = feature
    gradients, above = [], np.ones_like(gram)
    tangent = features[-1].copy()
    for layer in reversed(range(depth)):
        above = variance * slopes[layer] * above
        gradients.insert(0, above)
        tangent += above * (features[layer - 1] if layer else gram)
    return features, gradients, tangent


@pytest.mark.parametrize("activation", ["relu", "erf"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_lazy_networks_have_a_static_kernel(activation, depth):
    """Arc-cosine and arcsine kernels, their recursion, and ``Delta(t+1) = (I - eta0 K/P) Delta(t)``."""
    data, init_std, rate, steps = made_samples(23, 4, 2), 1.2, 0.4, 10
    run = trained(
        depth, activation, data, sites=40_000, replicas=16, richness=1e-4, learning_rate=rate, steps=steps,
        init_std=init_std,
    )  # fmt: skip
    features, gradients, tangent = initial_kernels(activation, data.gram, depth, init_std**2)
    gradients = [np.einsum("mn,cd->mcnd", g, np.eye(2)) for g in gradients]
    tangents = np.einsum("mn,cd->mcnd", tangent, np.eye(2))
    for step in (0, -1):  # 16 replicas, 2 x 272 entries that are correlated
        now = run.isel(kernel_step=step)
        for name, expected in (("Phi", features), ("G", gradients)):
            expected = expected if depth > 1 or "layer" in run[name].dims else expected[0]
            assert distance(now, np.array(expected), name) < 4
        assert distance(now, tangents, "NTK") < 4
    factor = np.eye(4) - rate / data.count * tangent
    line = [data.targets - np.linalg.matrix_power(factor, t) @ data.targets for t in range(steps)]
    assert distance(run, np.array(line), "f") < 4
    assert largest(run.f.isel(step=-1)) > 50 * largest(run.f_sem)


def falls_as_its_square(outputs, richness):
    """Slope of the distance from the first entry, which is much closer to the limit than the others."""
    gaps = [np.abs(values - outputs[0]).max() for values in outputs[1:]]
    return np.polyfit(np.log(richness[1:]), np.log(gaps), 1)[0]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_lazy_limit_is_approached_quadratically(depth):
    """``w -> -w`` changes the sign of ``richness`` and nothing else: the outputs are even in it."""
    richness, data = (1e-3, 0.02, 0.04, 0.08), made_samples(21, 3)
    outputs = [trained(depth, "linear", data, richness=r, learning_rate=0.1, steps=12, tol=1e-13).f for r in richness]
    assert abs(falls_as_its_square([f.values for f in outputs], richness) - 2) < 0.01


@pytest.mark.parametrize("activation", ["tanh", "erf"])
def test_the_lazy_limit_of_a_sampled_network_is_approached_quadratically(activation):
    """With the same random numbers; one hidden layer, where no noise is drawn in training."""
    richness, data = (1e-3, 0.03, 0.06, 0.12), made_samples(21, 3)
    outputs = [trained(1, activation, data, sites=8000, richness=r, learning_rate=0.1, steps=12).f for r in richness]
    assert abs(falls_as_its_square([f.values for f in outputs], richness) - 2) < 0.05


def test_features_of_a_two_layer_linear_network_at_the_end():
    """``H -> I + (sqrt(1 + gamma0^2 y^2) - 1) y y^T / y^2`` for white inputs, in the limit of small steps."""
    rng = np.random.default_rng(24)
    rotation, _ = np.linalg.qr(rng.standard_normal((8, 8)))
    y = np.array([0.9, -0.5, 0.7])
    data, richness = ds.Samples(np.sqrt(8) * rotation[:3], y), 3.0
    np.testing.assert_allclose(data.gram, np.eye(3), atol=1e-12)
    norm2 = y @ y
    line = np.eye(3) + (np.sqrt(1 + richness**2 * norm2) - 1) / norm2 * np.outer(y, y)
    gaps = []
    for rate in (0.04, 0.02):
        run = trained(1, "linear", data, richness=richness, learning_rate=rate, steps=int(24 / rate) + 1)
        assert largest(run.f.isel(step=-1) - run.target) < 1e-6
        kernel = run[next(name for name in ("Phi", "H1", "Phi1") if name in run)].isel(kernel_step=-1)
        gaps.append(np.abs(kernel.values.squeeze() - line).max())
    assert gaps[1] < 0.02
    assert abs(gaps[0] / gaps[1] - 2) < 0.1  # the error is of first order in the size of the steps


# One step by hand.

POINTS, WEIGHTS = hermegauss(80)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def sech2(x):
    return 1 / np.cosh(x) ** 2


def test_one_step_of_one_sample_by_hand():
    """``f(1) = <(w + c phi(u)) phi(u + c k phi'(u) w)>/gamma0`` with ``c = eta0 gamma0 y``, one hidden layer."""
    gamma, rate, y = 1.5, 0.8, 1.3
    data = ds.Samples([[1.0, -0.7, 0.4]], [y])
    k, c = data.gram[0, 0], rate * gamma * y
    u, w = np.sqrt(k) * POINTS[:, None], POINTS[None, :]
    expected = WEIGHTS @ ((w + c * np.tanh(u)) * np.tanh(u + c * k * sech2(u) * w)) @ WEIGHTS / gamma
    run = trained(1, "tanh", data, sites=400_000, richness=gamma, learning_rate=rate, steps=2)
    assert float(run.f[0, 0, 0]) == 0
    assert distance(run.isel(step=1), [[expected]], "f") < 4
    assert expected > 100 * float(run.f_sem[1, 0, 0])


def test_one_step_of_two_layers_by_hand():
    """The same with two hidden layers, where the second responds to the noise of the first."""
    gamma, rate, y = 2.0, 0.8, 1.3
    data = ds.Samples([[1.0, -0.7, 0.4]], [y])
    k, c = data.gram[0, 0], rate * gamma * y
    # First layer: z(0) = r has variance <phi'(u2)^2> (w has 1), no response as <phi''(u2) w> = 0; g(0) = phi'(u) r.
    u, start = np.sqrt(k) * POINTS[:, None], np.tanh(np.sqrt(k) * POINTS[:, None])
    phi00 = float(WEIGHTS @ start[:, 0] ** 2)
    back = float(WEIGHTS @ sech2(np.sqrt(phi00) * POINTS) ** 2)
    h = u + c * k * sech2(u) * np.sqrt(back) * POINTS[None, :]
    phi01, phi11 = (float(WEIGHTS @ (a * np.tanh(h)) @ WEIGHTS) for a in (start, np.tanh(h)))
    response = float(WEIGHTS @ (sech2(h) * c * k * sech2(u)) @ WEIGHTS)  # <d phi(h(1)) / d r(0)>
    # Second layer: u2(0), u2(1) of covariance Phi, and the readout w.
    a, b, w = POINTS[:, None, None], POINTS[None, :, None], POINTS[None, None, :]
    first = np.sqrt(phi00) * a
    second = phi01 / np.sqrt(phi00) * a + np.sqrt(phi11 - phi01**2 / phi00) * b

    def output(memory):
        h2 = second + memory * sech2(first) * w
        return np.einsum("abw,a,b,w", (w + c * np.tanh(first)) * np.tanh(h2), *[WEIGHTS] * 3) / gamma

    run = trained(2, "tanh", data, sites=400_000, richness=gamma, learning_rate=rate, steps=2)
    assert distance(run.isel(step=1), [[output(response + c * phi01)]], "f") < 4
    assert distance(run.isel(step=1), [[output(c * phi01)]], "f") > 20  # without the response
    end = run.isel(kernel_step=-1).sel(layer=1)
    assert distance(end, [[phi11]], "Phi") < 4


@pytest.mark.parametrize("activation", ["erf", "relu"])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_outliers_after_one_step_are_those_of_independent_spikes(activation, loss):
    """After one step all responses vanish (``<phi'' w> = 0``): the classical additive spikes, without and with pairs.

    ``z^2 = (1 + theta^2)^2 / theta^2`` if ``theta > 1``; the ``theta^2`` are eigenvalues of ``c G^2 c Phi^1`` with the
    diagonal matrix ``c = eta0 gamma0 Delta / P`` (Benaych-Georges and Nadakuditi 2012).
    """
    gamma, rate, data = 6.0, 4.0, made_samples(27, 3, 1, loss)
    run = trained(
        2, activation, data, sites=200_000, richness=gamma, learning_rate=rate, steps=2, matrices=["W1"], at=[0, 1]
    )
    features, gradients, _ = initial_kernels(activation, data.gram, 2, 1.0)
    delta = data.targets[:, 0] / (1 if loss == "squared" else 2)
    spikes = np.diag(rate * gamma * delta / data.count)
    theta2 = np.sort(np.linalg.eigvals(spikes @ gradients[1] @ spikes @ features[0]).real)[::-1]
    line = (1 + theta2) / np.sqrt(theta2)
    count = int((theta2 > 1.2).sum())
    assert count >= 1
    assert not np.any((theta2 > 0.9) & (theta2 < 1.2))  # where replicas would disagree on its existence
    assert run.sizes["rank"] == count
    assert not run.outlier.isel(spectrum_step=0).notnull().any()
    assert distance(run.isel(spectrum_step=1), line[:count][None], "outlier") < 4


# Symmetries. Those of the random numbers as well hold to rounding, the others in law.

DATA = made_samples(28, 4, 2)
RICH = {"richness": 2.0, "learning_rate": 0.3, "steps": 8}


def sampled(data, depth=2, activation="tanh", sites=16_000, **changes):
    return trained(depth, activation, data, sites=sites, replicas=8, **{**RICH, **changes})


def rotation(seed, size):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), depth=st.integers(1, 3))
def test_symmetries_of_linear_networks(seed, depth):
    """Permuted samples, rotated inputs and rotated outputs of the exact network."""
    rng = np.random.default_rng(seed)
    data = made_samples(seed, 3, 2)
    order, turned, mixed = rng.permutation(3), rotation(seed, data.dim), rotation(seed + 1, 2)
    other = ds.Samples(data.inputs[order] @ turned, data.targets[order] @ mixed)
    parameters = {"richness": 1.5, "learning_rate": 0.02, "steps": 8}
    first, second = (trained(depth, "linear", d, **parameters) for d in (data, other))
    np.testing.assert_allclose(second.f, first.f.values[:, order] @ mixed, atol=1e-7 * largest(first.f))
    kernels = np.einsum("kmcnd,ca,db->kmanb", first.NTK.values, mixed, mixed)[:, order][:, :, :, order]
    np.testing.assert_allclose(second.NTK, kernels, atol=1e-7 * largest(first.NTK))


def same_in_law(first, second, name="f"):
    """Two independent runs within 4 combined standard errors."""
    error = np.hypot(first[f"{name}_sem"].values, second[f"{name}_sem"].values)
    return float((np.abs(first[name].values - second[name].values)[1:] / error[1:]).max()) < 4


def test_permuted_samples_and_rotated_outputs():
    order, mixed = [2, 0, 3, 1], rotation(3, 2)
    run = sampled(DATA)
    other = sampled(ds.Samples(DATA.inputs[order], DATA.targets[order] @ mixed), seed=1)
    expected = run.assign(f=(run.f.dims, run.f.values[:, order] @ mixed))
    expected = expected.assign(f_sem=(run.f.dims, np.sqrt(run.f_sem.values[:, order] ** 2 @ mixed**2)))
    assert same_in_law(expected, other)
    assert largest(run.f.isel(step=-1)) > 30 * largest(run.f_sem)


def test_rotated_inputs_and_more_dimensions_change_nothing():
    """The inputs enter by ``X X^T / D`` alone; singular vectors are known up to a sign, so the noise differs."""
    wide = np.concatenate([DATA.inputs @ rotation(4, DATA.dim), np.zeros((4, 5))], axis=1) * np.sqrt(17 / 12)
    other = ds.Samples(wide, DATA.targets)
    np.testing.assert_allclose(other.gram, DATA.gram, atol=1e-12)
    assert same_in_law(sampled(DATA), sampled(other, seed=1))


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_every_sample_twice_changes_nothing(loss):
    """The kernel of the inputs is singular, and the dynamics is that of each sample once."""
    data = made_samples(29, 3, 1, loss)
    twice = ds.Samples(np.tile(data.inputs, (2, 1)), np.tile(data.targets, (2, 1)), loss)
    assert np.linalg.matrix_rank(twice.gram) == 3
    once, run = sampled(data), sampled(twice, seed=1)
    np.testing.assert_allclose(run.f[:, :3], run.f[:, 3:], atol=1e-9)
    assert same_in_law(once, run.isel(sample=slice(0, 3)))


def test_a_sample_with_two_targets_has_one_output():
    """Contradicting targets of one input act like their mean; the kernel of the inputs is singular."""
    data = made_samples(30, 3)
    inputs, targets = data.inputs[[0, 1, 2, 2]], np.array([[1.0], [-0.5], [1.5], [-0.3]])
    run = sampled(ds.Samples(inputs, targets))
    np.testing.assert_allclose(run.f[:, 2], run.f[:, 3], atol=1e-9)
    mean = sampled(ds.Samples(inputs, targets[[0, 1, 2, 2]] - [[0], [0], [0.9], [0.9]]), seed=1)
    assert same_in_law(run, mean)


def test_scaled_targets_are_richness():
    """``y -> a y`` at ``gamma0/a`` is the same network with outputs ``a f``, number by number."""
    run, other = sampled(DATA), sampled(ds.Samples(DATA.inputs, 3 * DATA.targets), richness=RICH["richness"] / 3)
    np.testing.assert_allclose(other.f, 3 * run.f, atol=1e-8)
    np.testing.assert_allclose(other.Phi, run.Phi, rtol=1e-7, atol=1e-9)


# Standard errors.


@pytest.fixture(scope="module", params=[0.3, 4.0], ids=["lazy", "rich"])
def many(request):
    """Outputs of 240 replicas with and without pairs, shape (replicas, steps, samples), and a better answer."""
    data, parameters = made_samples(21, 3), {"richness": request.param, "learning_rate": 0.3}
    theory = ds.derive(ds.mlp(2, "tanh"), data=data)
    values = run_arguments(theory, 12, parameters).values
    tracks = {}
    for pairs in (True, False):
        found = run_replicas(None, theory.program, values, 1, 12, 256 * 240, 240, 1, antithetic=pairs, data=data.given)
        tracks[pairs] = np.array([replica.scalars["f"][..., 0] for replica in found])
    best = theory.compile("numpy")(sites=160_000, steps=12, kernels=[], seed=2, **parameters)
    return request.param, tracks, best


@pytest.fixture(scope="module", params=[True, False], ids=["pairs", "no pairs"])
def repeated(request):
    """120 runs of 8 replicas with few sites, three outputs and three samples, with the errors that they report."""
    solver = ds.derive(ds.mlp(2, "tanh", outputs=3), data=made_samples(21, 3, 3)).compile("numba")
    options = {"sites": 8 * 128, "replicas": 8, "antithetic": request.param, "kernels": [], "threads": 1}
    physics = {"richness": 2.0, "learning_rate": 0.3, "steps": 4}
    return [solver(seed=seed, **options, **physics).isel(step=-1) for seed in range(120)]


@pytest.mark.parametrize("name", ["f", "train_loss"])
def test_standard_errors_are_honest(repeated, name):
    """z-scores of 8 replicas are Student's t of 7 degrees of freedom, whose square has the mean 7/5.

    The truth is the mean of all other runs, so that the bias of few sites is left out; it scatters itself, by 1/119 of
    the square. Entries of one run are correlated: the error of the mean over runs is that of independent runs, and has
    to be small enough for errors that are wrong by a factor of sqrt(2), either way, to be seen.
    """
    values, errors = (np.array([run[key].values.ravel() for run in repeated]) for key in (name, f"{name}_sem"))
    others = (values.sum(axis=0) - values) / (len(values) - 1)
    squares = np.mean(((values - others) / errors) ** 2, axis=1) / (7 / 5 * (1 + 1 / 119))
    assert 0.8 < squares.mean() < 1.3
    assert squares.std(ddof=1) / np.sqrt(len(squares)) < 0.12
    for wrong in (2.0, 0.5):  # squares of z-scores with errors that are too small or too large
        assert not 0.8 < wrong * squares.mean() < 1.3


@pytest.mark.parametrize("pairs", [True, False])
def test_replicas_are_not_biased(many, pairs):
    """The mean of 30 z-scores of 8 replicas against a run of many more sites; its variance is 7/5 of 1/30."""
    _, tracks, best = many
    groups = tracks[pairs].reshape(30, 8, *tracks[pairs].shape[1:])
    groups, line = groups[:, :, 1:], best.isel(step=slice(1, None), output=0)  # pairs have no error at step 0
    z = (groups.mean(axis=1) - line.f.values) / np.hypot(groups.std(axis=1, ddof=1) / np.sqrt(8), line.f_sem.values)
    assert np.abs(z.mean(axis=0)).max() < 4 * np.sqrt(1.4 / 30)


def test_pairs_take_the_error_of_early_steps(many):
    """``f(0) = 0`` exactly; the ratio of errors with and without pairs, early and late, and equal means."""
    richness, tracks, _ = many
    paired, single = tracks[True], tracks[False]
    assert np.abs(paired[:, 0]).max() < 1e-13
    assert single[:, 0].std() > 0.01 / richness
    error = np.sqrt((paired.var(axis=0, ddof=1) + single.var(axis=0, ddof=1)) / len(paired))
    assert np.abs((paired - single).mean(axis=0) / error).max() < 4
    ratio = np.sqrt(paired.var(axis=0).mean(axis=1) / single.var(axis=0).mean(axis=1))
    if richness < 1:  # 0.08 to 0.5 in 12 steps
        assert ratio[1] < 0.15
        assert ratio[-1] < 0.65
    else:  # little in rich runs
        assert ratio[1] < 0.95
        assert 0.85 < ratio[-1] < 1.25


@pytest.mark.parametrize(("rows", "columns"), [(0.0, 0.4), (0.4, 0.0), (0.3, 0.4)])
def test_noise_edge_is_that_of_a_profile_of_variances(rows, columns):
    """Against a random matrix whose rows and columns have variances ``1 +- p/S`` and ``1 +- q/S``.

    Its largest singular value scatters by about ``S^(-2/3)``, one percent; the effect is one of 6 percent.
    """
    sites, signs = 1000, np.where(np.arange(1000) % 2, 1.0, -1.0)
    normal = np.random.default_rng(0).standard_normal((sites, sites)) / np.sqrt(sites)
    matrix = np.sqrt(1 + rows * signs)[:, None] * normal * np.sqrt(1 + columns * signs)
    edge = noise_edge(FiniteRank(np.eye(1), columns * 1e9, rows * 1e9, 1e9, paired=True), MarchenkoPastur(1.0, 1.0))
    product = 0.0 if rows * columns == 0 else 0.01  # the product of both effects is not exact
    allowed = sites ** (-2 / 3) + product
    assert edge == pytest.approx(np.linalg.norm(matrix, 2), rel=allowed)


@pytest.mark.parametrize("side", ["source", "target"])
def test_resolvents_of_a_matrix_that_is_known_on_a_part_of_a_space(side):
    """Against what is left of a random matrix between spaces of different size, on what is not known."""
    tau, sites, share = 0.25, 600, 0.4
    n_in = round(sites / tau) if side == "source" else sites  # images have the sites of the target, or of the source
    n_out = round(tau * n_in)
    known = round(share * (n_in if side == "source" else n_out))
    fresh = np.random.default_rng(2).standard_normal((n_out, n_in)) / np.sqrt(n_in)
    fresh = fresh[:, known:] if side == "source" else fresh[known:]
    values2 = np.zeros(max(fresh.shape))
    values2[: min(fresh.shape)] = np.linalg.svd(fresh, compute_uv=False) ** 2
    bulk = MarchenkoPastur(1.0, tau)
    z = 1.3 * bulk.edge
    m_out, m_in = (float(np.mean(z / (z**2 - values2[:count]))) for count in fresh.shape)
    found = FiniteRank(np.eye(2), *((0, known) if side == "source" else (known, 0)), sites)
    assert bulk.resolvents(z, *found.known(tau)) == pytest.approx((m_in, m_out), rel=1 / n_out)
    one = FiniteRank(np.eye(1), found.rows, found.columns, sites).singular_values(z, bulk)
    assert one**2 == pytest.approx((m_out if side == "source" else m_in) / z, rel=1 / n_out)


def test_noise_of_many_directions_is_no_outlier():
    """Pairs of few sites: with the edge of the limit, noise would be reported as outliers."""
    inputs = np.random.default_rng(3).standard_normal((8, 5))
    data = ds.Samples(inputs, [0, 1, 2, 0, 1, 2, 0, 1], "softmax")
    theory = ds.derive(ds.mlp(2, "tanh", outputs=3), data=data)
    settings = {"richness": 2.0, "learning_rate": 1.0, "steps": 20, "matrices": ["W1"], "kernels": []}
    run = theory.compile("numpy")(sites=800, replicas=2, **settings)
    assert run.attrs["directions_per_site"] > 0.4
    finite = ds.simulate(theory, width=400, seeds=4, **settings).outlier
    count = int((finite.mean("seed") > 2.1).sum())
    assert run.sizes["rank"] == count == 2


@pytest.mark.parametrize("width", [0.1, 10.0])
def test_noise_of_directions_between_layers_of_different_width_is_no_outlier(width):
    """Lazy networks: matrices into a layer and out of it keep their bulk."""

    def forward(net, x):
        n, m = net.hidden("N"), net.hidden("M", width)
        k = net.matrix("B", n, m) @ net.apply("tanh", net.matrix("A", net.inputs, n) @ x)
        return net.readout("w", net.apply("tanh", net.matrix("C", m, n) @ net.apply("tanh", k)))

    data = made_samples(43, 6, 3)
    solver = ds.derive(ds.network(forward, outputs=3), data=data).compile("numpy")
    settings = {"richness": 0.01, "learning_rate": 0.3, "steps": 5, "matrices": ["B", "C"], "at": [4]}
    run = solver(**settings, sites=4000, replicas=8)
    assert run.attrs["directions_per_site"] > 0.05
    assert run.sizes["rank"] == 0
