"""The direct two-time solver against independent routes: coordinates where linear, sampled sites where not."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import sympy as sp
from averages import correlation, field
from programs_with_averages import X, Y, gated, half_linear, linear_below, normalised, symmetric, theory_of, tied

import dmft_sym as ds
from dmft_sym.execution import run_coordinates, run_sampled
from dmft_sym.networks.parameters import DECAY, ETA, GAMMA, INIT_VARIANCE, MOMENTUM
from dmft_sym.program import DEPTH, SAMPLES

LINEAR = {"eta0": 0.3, "gamma": 2.0, "s2": 0.8}
INPUTS = np.random.default_rng(0).standard_normal((3, 5))
TARGETS = np.random.default_rng(1).standard_normal((3, 2))
RICH = {"eta0": 1.0, "gamma": 2.0, "s2": 1.0}

SYMBOLS = {
    "L": DEPTH,
    "eta0": ETA,
    "gamma": GAMMA,
    "s2": INIT_VARIANCE,
    "m": MOMENTUM,
    "lambda_": DECAY,
}
"""Symbols of the run-time arguments of generated modules."""


def direct_module(theory, folder, name="direct"):
    """The direct solver of a theory, imported from a file."""
    path = folder / f"{name}.py"
    path.write_text(theory.direct_source(), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arguments(theory, steps, **parameters):
    """Arguments of the direct solver but sites and seeds."""
    data = theory.data
    given = {"gram": data.gram, "targets": data.all_targets, "steps": steps, **parameters}
    if data.total > data.count:
        given["train"] = data.train
    return given


def values_of(theory, parameters):
    """The same for the executions of the program."""
    return {SAMPLES: theory.data.count, **{SYMBOLS[name]: value for name, value in parameters.items()}}


def by_coordinates(theory, steps, **parameters):
    """Scalars of the exact execution of a linear program."""
    values = values_of(theory, parameters)
    result = run_coordinates(
        theory.program, values, theory.data.outputs, steps, tol=1e-10, data=theory.data.given, record_steps=range(steps)
    )
    return result, {ref.scalar.name: array for ref, array in result.scalars.items()}


def by_sampled_sites(theory, steps, sites, replicas, **parameters):
    """Mean of ``f`` over replicas of the sampled execution, and its standard error."""
    values = values_of(theory, parameters)
    runs = []
    for seed in range(replicas):
        result = run_sampled(theory.program, values, theory.data.outputs, steps, sites, seed, data=theory.data.given)
        (f,) = (array for ref, array in result.scalars.items() if ref.scalar.name == "f")
        runs.append(f)
    return np.mean(runs, axis=0), np.std(runs, axis=0, ddof=1) / np.sqrt(replicas)


def scores(mean, error, other, other_error):
    """Differences in units of the combined standard error; where nothing scatters they have to vanish."""
    spread = np.sqrt(error**2 + other_error**2)
    certain = spread < 1e-14
    assert np.allclose(mean[certain], other[certain], atol=1e-12)
    return np.abs(mean - other)[~certain] / spread[~certain]


def exact(theory, folder, steps, **parameters):
    """A run of a linear program: neither sites nor seeds matter."""
    module = direct_module(theory, folder)
    runs = [module.march(None, sites=2, **arguments(theory, steps, **parameters))]
    runs.append(module.march(None, sites=20, **arguments(theory, steps, **parameters)))
    assert np.array_equal(runs[0]["scalars"]["f"], runs[1]["scalars"]["f"])
    return runs[0]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_linear_activation_is_exact(depth, tmp_path):
    theory = theory_of(ds.mlp(depth, activation="h", outputs=2), INPUTS, TARGETS)
    run = exact(theory, tmp_path, 10, L=depth, **LINEAR)
    result, scalars = by_coordinates(theory, 10, L=depth, **LINEAR)
    np.testing.assert_allclose(run["scalars"]["f"], scalars["f"], atol=1e-8)
    assert np.ptp(scalars["f"][:, :, 0]) > 0.5
    for name in ("h", "g"):
        for layer in range(1, depth + 1):
            ref = field(result, name, layer)
            labels = run["correlations"][name][layer].shape
            expected = correlation(result, ref).reshape(labels)
            np.testing.assert_allclose(run["correlations"][name][layer], expected, atol=1e-8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("network", "parameters", "training"),
    [
        (ds.mlp(3, activation="h"), {"L": 3, "m": 0.5, "lambda_": 0.1}, ds.GradientDescent(0.5, 0.1)),
        (tied(lambda h: h), {"L": 3}, None),
        (symmetric(lambda h: h), {"L": 3, "m": 0.5, "lambda_": 0.1}, ds.GradientDescent(0.5, 0.1)),
        (ds.network(normalised), {}, None),
    ],
)
def test_linear_programs_are_exact(network, parameters, training, seed, tmp_path):
    """Momentum and decay, a shared matrix, averages and several spaces, on random samples."""
    stream = np.random.default_rng(seed)
    theory = theory_of(network, stream.standard_normal((2, 4)), stream.standard_normal(2), training)
    parameters = {**parameters, "eta0": 0.1, "gamma": 2.0, "s2": 0.8}
    run = exact(theory, tmp_path, 8, **parameters)
    _, scalars = by_coordinates(theory, 8, **parameters)
    for name, values in scalars.items():
        np.testing.assert_allclose(run["scalars"][name].reshape(values.shape), values, atol=1e-8)
    assert 1e-2 < np.abs(scalars["f"]).max() < 1e2


def test_duplicate_samples_and_test_samples(tmp_path):
    """A singular kernel; a copy of a trained sample that is only looked at has the same output."""
    theory = theory_of(ds.mlp(2, activation="h"), X[[0, 1, 1]], Y[[0, 1, 1]], test_inputs=X[:1], test_targets=Y[:1])
    run = exact(theory, tmp_path, 8, L=2, **LINEAR)
    _, scalars = by_coordinates(theory, 8, L=2, **LINEAR)
    np.testing.assert_allclose(run["scalars"]["f"], scalars["f"], atol=1e-8)
    np.testing.assert_allclose(run["scalars"]["f"][:, 3], run["scalars"]["f"][:, 0], atol=1e-12)


def solved(theory, module, steps, sites, parameters, seed=0):
    mean, error = module.solve(seed, batches=16, sites=sites, **arguments(theory, steps, **parameters))
    return mean["scalars"]["f"], error["scalars"]["f"]


@pytest.mark.parametrize("depth", [1, 2])
def test_tanh_agrees_with_sampled_sites(depth, tmp_path):
    """Within 4 combined standard errors; without responses, or without those at equal time, far off."""
    theory = theory_of(ds.mlp(depth, activation="tanh"))
    module = direct_module(theory, tmp_path)
    other = by_sampled_sites(theory, 8, 40000, 16, L=depth, **RICH)
    assert scores(*solved(theory, module, 8, 4000, {"L": depth, **RICH}), *other).max() < 4
    assert other[0][-1, 0, 0] > 0.9
    if depth == 1:
        return
    kept = module.response
    for changed in (lambda *_: None, lambda row, noise, t, equal: kept(row, noise, t, False)):
        module.response = changed
        assert scores(*solved(theory, module, 8, 4000, {"L": depth, **RICH}), *other).max() > 6


@pytest.mark.parametrize(
    ("activation", "depth"),
    [("relu", 2), *(pytest.param(*case, marks=pytest.mark.slow) for case in [("relu", 3), ("leaky_relu", 2)])],
)
def test_responses_by_parts(activation, depth, tmp_path):
    """Point masses of tangents are seen: within 4 combined standard errors, and far off without these responses."""
    theory = theory_of(ds.mlp(depth, activation=activation))
    parameters = {"L": depth, "eta0": 0.2, "gamma": 2.0, "s2": 1.0}
    module = direct_module(theory, tmp_path)
    other = by_sampled_sites(theory, 8, 60000, 16, **parameters)
    assert scores(*solved(theory, module, 8, 20000, parameters), *other).max() < 4
    if (activation, depth) == ("relu", 2):
        kept = module.response_by_parts
        module.response_by_parts = lambda *given: 0 * kept(*given)
        assert scores(*solved(theory, module, 8, 20000, parameters), *other).max() > 6


def test_two_ways_to_responses(tmp_path):
    """Where tangents are whole, their averages are what integration by parts gives.

    Responses are compared as memories see them, times the covariance of the Gaussian field: two-time covariances are
    nearly singular, and single entries mean little.
    """
    theory = theory_of(ds.mlp(2, activation="tanh"))
    module = direct_module(theory, tmp_path)
    given = {"sites": 8000, **arguments(theory, 6, L=2, **RICH)}
    found = {}
    for way in (True, False):
        seeds = np.random.SeedSequence(1).spawn(16)
        runs = [module.march(np.random.default_rng(seed), **given, tangents=way) for seed in seeds]
        for name, layers, operand, layer in (("phi, r_W", (1, 1), "g", 2), ("g, u_W", (2, 1), "phi", 1)):
            seen = [np.tensordot(r["responses"][name][layers], r["correlations"][operand][layer], 3) for r in runs]
            found[way, name] = np.mean(seen, axis=0), np.std(seen, axis=0, ddof=1) / 4
    for name in ("phi, r_W", "g, u_W"):
        (mean, error), (other, other_error) = (found[way, name] for way in (True, False))
        spread = np.sqrt(error**2 + other_error**2)
        assert scores(mean, error, other, other_error).max() < 4
        assert np.abs(mean).max() > 20 * spread.max()


def test_responses_at_equal_time(tmp_path):
    """``g(t) = phi'(h(t)) z(t)`` responds at once where ``phi`` is curved, but not before ``z`` knows of ``h``."""
    at_once = {}
    for name in ("tanh", "h"):
        theory = theory_of(ds.mlp(2, activation=name))
        module = direct_module(theory, tmp_path, f"direct_{name}")
        mean, error = module.solve(0, batches=8, sites=2000, **arguments(theory, 5, L=2, **RICH))
        at_once[name] = [np.einsum("tmctnd->tmcnd", part["responses"]["g, u_W"][2, 1]) for part in (mean, error)]
    assert not at_once["h"][0].any()
    value, spread = (part[:, [0, 1], 0, [0, 1], 0] for part in at_once["tanh"])
    assert np.abs(value[0]).max() < 1e-15  # both signs of the readout are sampled
    assert np.all(np.abs(value[1:]) > 8 * spread[1:])


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (ds.network(gated), {}),
        pytest.param(tied(sp.tanh), {"L": 3}, marks=pytest.mark.slow),
        (ds.network(half_linear), {}),
        (ds.mlp(2, activation="elu"), {"L": 2}),
        (symmetric(sp.tanh), {"L": 2}),
        (ds.network(linear_below), {}),
    ],
    ids=["gated", "tied", "half-linear", "elu", "symmetric", "linear-below"],
)
def test_other_networks_agree_with_sampled_sites(network, parameters, tmp_path):
    theory = theory_of(network)
    parameters = {**parameters, "eta0": 0.5, "gamma": 2.0, "s2": 1.0}
    module = direct_module(theory, tmp_path)
    other = by_sampled_sites(theory, 6, 40000, 16, **parameters)
    assert scores(*solved(theory, module, 6, 4000, parameters), *other).max() < 4


@pytest.mark.parametrize("scale", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_cross_entropy_and_outputs(scale, tmp_path):
    """``softmax`` acts along the outputs; test samples are looked at but not trained on."""
    data = {"loss": "softmax", "test_inputs": 0.7 * X[:1], "test_targets": [0]}
    theory = theory_of(ds.mlp(2, activation="erf", outputs=2), X, [[1, 0], [0, 1]], **data)
    module = direct_module(theory, tmp_path)
    parameters = {"L": 2, "eta0": 2.0, "gamma": 3.0, "s2": 1.0}
    other = by_sampled_sites(theory, 6, scale * 10_000, 16, **parameters)
    assert scores(*solved(theory, module, 6, scale * 2000, parameters), *other).max() < 4


def test_duplicate_samples_are_drawn_once(tmp_path):
    """A row that depends on earlier ones is computed: fields of a copy are the same at every site."""
    theory = theory_of(ds.mlp(2, activation="tanh"), X[[0, 1, 0]], [1.0, -1.0, 1.0])
    module = direct_module(theory, tmp_path)
    run = module.march(np.random.default_rng(0), sites=400, **arguments(theory, 6, L=2, **RICH))
    f = run["scalars"]["f"]
    np.testing.assert_allclose(f[:, 0], f[:, 2], atol=1e-4)  # dropped directions have a variance of 1e-10
    assert np.isfinite(f).all()


def test_relabelling_samples(tmp_path):
    """Exchanging samples exchanges outputs."""
    parameters = {"L": 2, **LINEAR}
    order = [2, 0, 1]
    runs = []
    for places in ([0, 1, 2], order):
        theory = theory_of(ds.mlp(2, activation="h"), INPUTS[places], TARGETS[places, 0])
        runs.append(exact(theory, tmp_path, 6, **parameters)["scalars"]["f"])
    np.testing.assert_allclose(runs[0][:, order], runs[1], atol=1e-12)


def test_shapes_and_seeds(tmp_path):
    theory = theory_of(ds.mlp(2, activation="tanh", outputs=2), INPUTS, TARGETS)
    module = direct_module(theory, tmp_path)
    given = {"sites": 20, **arguments(theory, 3, L=2, **RICH)}
    (mean, error), (again, _) = module.solve(1, batches=2, **given), module.solve(1, batches=2, **given)
    assert np.array_equal(mean["scalars"]["f"], again["scalars"]["f"])
    assert mean["scalars"]["f"].shape == error["scalars"]["f"].shape == (3, 3, 2)
    assert mean["correlations"]["phi"][2].shape == (3, 3, 1, 3, 3, 1)
    assert mean["responses"]["g, u_W"][2, 1].shape == (3, 3, 2, 3, 3, 1)
    assert np.abs(mean["scalars"]["f"][0]).max() < 1e-15  # antithetic signs of the readout
    assert np.isnan(module.solve(1, batches=1, **given)[1]["scalars"]["f"]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps = 0: allowed is an integer >= 1"),
        ({"sites": 3}, "sites = 3: allowed is an even integer >= 2"),
        ({"gram": np.eye(3)}, r"gram has shape \(3, 3\): allowed is \(2, 2\)"),
        ({"L": 0}, "L = 0: allowed is an integer >= 1"),
    ],
)
def test_arguments_are_checked(changes, message, tmp_path):
    theory = theory_of(ds.mlp(2))
    module = direct_module(theory, tmp_path)
    given = {"sites": 20, **arguments(theory, 3, L=2, **RICH), **changes}
    with pytest.raises(ValueError, match=message):
        module.march(np.random.default_rng(0), **given)


def test_two_ways_to_responses_where_a_matrix_is_used_twice(tmp_path):
    """``g3`` responds at once to the Gaussian field of the second product, and that of the first correlates with it."""

    def forward(net, x):
        n = net.hidden("N")
        w = net.matrix("W", n, n)
        second = w @ net.apply(sp.tanh, net.matrix("W0", net.inputs, n) @ x)
        return net.readout("w", net.apply(sp.tanh, w @ net.apply(sp.tanh, second)))

    theory = theory_of(forward)
    module = direct_module(theory, tmp_path)
    last, kept, calls = 4, module.response, []

    def recorded(row, noise, t, now):
        found = kept(row, noise, t, now)
        calls.append((t, now, found))
        return found

    module.response = recorded
    found = {}
    for tangents in (True, False):
        runs = []
        for seed in np.random.SeedSequence(1).spawn(16):
            calls.clear()
            given = {"sites": 4000, "tangents": tangents, **arguments(theory, last + 1, **RICH)}
            overlaps = module.march(np.random.default_rng(seed), **given)["correlations"]
            # In a step: four responses of phi1 and phi2, then of g3 and of g2 to the first and to the second product.
            kernels = [(now, kernel) for t, now, kernel in calls if t == last][4:8]
            assert [now for now, _ in kernels] == [False, True, True, False]
            pairs = zip(kernels, 2 * ("phi1", "phi2"), strict=True)
            runs.append([np.tensordot(r, overlaps[name][: last + now, ..., last, :, :], 3) for (now, r), name in pairs])
        found[tangents] = np.mean(runs, axis=0), np.std(runs, axis=0, ddof=1) / 4
    assert scores(*found[True], *found[False]).max() < 4
    assert np.all(np.abs(found[True][0][1:3]).max(axis=(1, 2, 3, 4)) > 50 * found[False][1].max())


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_tangents_that_do_not_converge(backend, tmp_path):
    """A few sites respond without bounds: the run is repeated with responses by parts, which agree."""
    theory = theory_of(ds.mlp(2, "sin(2*h)"))
    solver = theory.compile(backend)
    settings = {"richness": 2.0, "learning_rate": 0.5, "steps": 8, "replicas": 8}
    other = solver(**settings, sites=40_000)
    run = solver(**settings, sites=8000, method="equations")
    assert run.attrs["responses"] == "by parts"
    expected = other.f.values, other.f_sem.values
    assert scores(run.f.values, run.f_sem.values, *expected).max() < 4
    given = {"sites": 1000, **arguments(theory, 8, L=2, eta0=0.5, gamma=2.0, s2=1.0)}
    mean, error = direct_module(theory, tmp_path).solve(0, batches=8, **given)
    assert scores(mean["scalars"]["f"], error["scalars"]["f"], *expected).max() > 10
    smooth = theory_of(ds.mlp(2, "tanh")).compile(backend)(**settings, sites=8000, method="equations")
    assert smooth.attrs["responses"] == "tangents"
    assert smooth.attrs["tangent_error"] < 0.1


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_tangent_kernel_of_a_shared_matrix(backend):
    """It needs correlations of different fields, those of all layers."""
    solver = theory_of(tied(sp.tanh)).compile(backend)
    settings = {"richness": 2.0, "learning_rate": 0.3, "steps": 5}
    run = solver(**settings, sites=8000, method="equations")
    other = solver(**settings, sites=16_000)
    assert scores(run.NTK.values, run.NTK_sem.values, other.NTK.values, other.NTK_sem.values).max() < 4
