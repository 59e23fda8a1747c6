"""The generated sampled solver against the plain replica, which does the same in NumPy, and independent of threads."""

from __future__ import annotations

import ast

import numpy as np
import pytest
import sympy as sp
from dmft_sym.codegen.programs.sampled import write

import dmft_sym as ds
from dmft_sym.cache.modules import load_module, program_key
from dmft_sym.execution.replicas import run_replicas, sites_per_replica
from dmft_sym.networks import GradientDescent
from dmft_sym.networks.losses import LOSSES, F, Y
from dmft_sym.networks.trace import trace
from dmft_sym.program import ProgramError
from dmft_sym.regimes.sample_program import FIXED, fixed_program

STEPS, SITES, REPLICAS = 7, 200, 2
VALUES = {"L": 2, "eta0": 0.3, "gamma": 2.0, "s2": 1.2, "a": 0.7, "m": 0.4, "lambda": 0.02}
MEMORY = GradientDescent(momentum=0.4, weight_decay=0.02)


def gated(net, x):
    """Two spaces, a gate, a normalisation whose average is a scalar, inputs that enter twice, two readouts."""
    n, m = net.hidden("N"), net.hidden("M", width=2)
    h = (net.matrix("A", net.inputs, n) @ x).named("c")
    gate = net.apply(lambda h: 1 / (1 + sp.exp(-h)), net.matrix("B", net.inputs, n) @ x)
    k = h * gate
    size = net.mean("s", lambda h: h**2 + sp.Rational(1, 10), k)
    k = net.apply(lambda h, q: h / sp.sqrt(q), k, size)
    deep = net.matrix("V", n, m) @ k + net.parameter("a") * (net.matrix("U", net.inputs, m) @ x)
    return net.readout("w", net.apply(sp.sin, deep)) + net.readout("u", k + h)


def residual(net, x):
    """A scan with an average in it and a coefficient that depends on the depth, a tied and a frozen matrix."""
    n = net.hidden("N")
    tied, frozen = net.matrix("T", n, n), net.matrix("K", n, n, train=False)
    weights = net.matrix("W", n, n, layers=(1, net.depth))
    start = net.matrix("W0", net.inputs, n) @ x

    def layer(number, h):
        size = net.mean("q", lambda h: h**2, h)
        normal = net.apply(lambda h, q: sp.tanh(h / sp.sqrt(1 + q)), h, size)
        return h + (1 / sp.sqrt(net.depth)) * (weights[number] @ normal) + tied @ net.apply(sp.erf, h) / (number + 1)

    h = net.scan(layer, start, layers=(1, net.depth))
    return net.readout("w", frozen @ net.apply(sp.tanh, h) + start / 2)


def experts(net, x):
    """Gates, whose averages symmetric sites cancel at the first step, and an adapter that starts at zero in a sum."""
    n = net.hidden("N")
    first = net.matrix("A", net.inputs, n) @ x
    h, shared = net.apply(sp.tanh, first), net.matrix("S", n, n)
    moved = net.apply(sp.tanh, first + net.matrix("U", n, n, init=0) @ h)
    total = net.matrix("T", n, n) @ (shared @ moved - shared @ h).named("k")
    for name in ("1", "2"):
        gate = net.mean(f"q{name}", lambda h: h + h * sp.tanh(h), net.matrix(f"G{name}", n, n) @ h)
        expert = net.apply(sp.erf, net.matrix(f"E{name}", n, n) @ h)
        total += net.apply(lambda h, q: h / (1 + sp.exp(-q)), expert, gate)
    return net.readout("w", net.apply(sp.sin, total))


def program(forward, training=None, loss="squared", masked=False):
    """One training step."""
    traced = forward.trace(FIXED) if isinstance(forward, ds.networks.Network) else trace(forward, FIXED)
    return fixed_program(traced, training or GradientDescent(), LOSSES[loss].error, (F, Y), "test", masked=masked)


PROGRAMS = {
    "tanh": lambda: program(ds.mlp(activation="tanh")),
    "formula": lambda: program(ds.mlp(activation="h*tanh(h) + h/3"), MEMORY),
    "relu": lambda: program(ds.mlp(activation="relu"), loss="softmax", masked=True),
    "gated": lambda: program(gated, MEMORY),
    "residual": lambda: program(residual, loss="logistic"),
    "experts": lambda: program(experts),
}
CASES = {
    "tanh-1": ("tanh", {"L": 1}),
    "tanh-2": ("tanh", {"L": 2}),
    "tanh-3": ("tanh", {"L": 3, "outputs": 3}),
    "tanh-unpaired": ("tanh", {"antithetic": False}),
    "tanh-few-directions": ("tanh", {"L": 3, "tol": 0.3}),
    "tanh-blocks": ("tanh", {"L": 2, "sites": 1100}),
    "formula-2": ("formula", {"L": 2, "outputs": 2}),
    "formula-3": ("formula", {"L": 3}),
    "relu-softmax-masked": ("relu", {"outputs": 3, "masked": True}),
    "gated": ("gated", {}),
    "gated-3": ("gated", {"outputs": 3}),
    "residual-1": ("residual", {"L": 1}),
    "residual-3": ("residual", {"L": 3, "outputs": 2}),
    "experts": ("experts", {"sites": 202}),
    "experts-other-seed": ("experts", {"sites": 202, "seed": 6}),
    "experts-2": ("experts", {"sites": 1102, "outputs": 2}),
}


def module(name):
    """The generated module of one of the programs, compiled once for all tests."""
    made = PROGRAMS[name]()
    return made, load_module(program_key(str(made), "sampled"), "sampled", lambda: write(made, alone=False))


def samples(outputs=1, masked=False, dimension=5, samples=4):
    """Inputs, targets of +-1, and which samples are trained on."""
    rng = np.random.default_rng(3)
    data = {"x": rng.standard_normal((samples, dimension)), "y": rng.choice([-1.0, 1.0], (samples, outputs))}
    if masked:
        data["y"] = np.eye(outputs)[rng.integers(0, outputs, samples)]
        data["train"] = np.array([1.0] * (samples - 1) + [0.0])
    return data


def run(made, generated, data, threads=2, sites=SITES, outputs=1, tol=1e-3, antithetic=True, **options):
    """Replicas with the values above."""
    trained = int(data["train"].sum()) if "train" in data else len(data["x"])
    given = {**VALUES, "P": trained, **{key: options.pop(key) for key in ("L",) if key in options}}
    values = {symbol: given[symbol.name] for symbol in made.parameters}
    return run_replicas(
        generated,
        made,
        values,
        outputs,
        options.pop("steps", STEPS),
        sites * REPLICAS,
        REPLICAS,
        seed=options.pop("seed", 5),
        tol=tol,
        antithetic=antithetic,
        data=data,
        threads=threads,
        **options,
    )


def assert_same(results, expected):
    for found, wanted in zip(results, expected, strict=True):
        assert found.steps == wanted.steps
        assert found.scalars.keys() == wanted.scalars.keys()
        for name, values in wanted.scalars.items():
            np.testing.assert_allclose(found.scalars[name], values, rtol=1e-10, atol=1e-10, err_msg=name)
        assert found.directions.keys() == wanted.directions.keys()
        for key, counts in wanted.directions.items():
            np.testing.assert_array_equal(found.directions[key], counts, err_msg=str(key))


@pytest.mark.parametrize("case", CASES)
def test_generated_is_the_plain_replica(case):
    name, options = CASES[case]
    made, generated = module(name)
    options = dict(options)
    data = samples(options.get("outputs", 1), options.pop("masked", False))
    found = run(made, generated, data, **options)
    assert found[0].steps == STEPS
    assert_same(found, run(made, None, data, **options))
    assert np.abs(found[0].scalars["f"][-1]).max() > 0.05


def test_threads_change_nothing():
    made, generated = module("tanh")
    data = samples(2)
    one, two = (run(made, generated, data, threads=threads, outputs=2, L=3) for threads in (1, 2))
    for a, b in zip(one, two, strict=True):
        for name in a.scalars:
            assert a.scalars[name].tobytes() == b.scalars[name].tobytes()


def test_replicas_differ_and_outputs_start_at_zero():
    made, generated = module("tanh")
    first, second = run(made, generated, samples())
    assert np.abs(first.scalars["f"][0]).max() < 1e-14
    assert np.abs(first.scalars["f"][-1] - second.scalars["f"][-1]).max() > 1e-4


def test_what_cancels_to_rounding_is_zero():
    """Noise of 1e-18 in an average, or in a sum, would be a field of its own, and open a direction at random."""
    made, generated = module("experts")
    for one in (generated, None):
        seen = {}

        def keep(replica, view, seen=seen):
            seen[replica] = {key: np.abs(rows).max() for key, rows in view.fields.items()}, view.matrices["T", None]

        results = run(made, one, samples(), sites=202, pauses=(0,), inspect=keep)
        for replica, result in enumerate(results):
            largest, after = seen[replica]
            assert {result.scalars[f"g_q{gate}"][0].any() for gate in "12"} == {False}
            assert {name for (name, _), size in largest.items() if size == 0} == {"k", "g3", "g5"}
            assert len(after.directions) == 0


def test_repeated_and_dependent_samples():
    made, generated = module("tanh")
    data = samples(samples=6, dimension=3)
    data["x"][3] = data["x"][1]
    data["y"][3] = data["y"][1]
    found = run(made, generated, data, L=3, tol=1e-10)
    assert_same(found, run(made, None, data, L=3, tol=1e-10))
    for result in found:
        np.testing.assert_allclose(result.scalars["f"][:, 3], result.scalars["f"][:, 1], atol=1e-8)


def test_a_sample_without_inputs_opens_no_direction():
    """Its fields are zero, and so are the lengths of what is left of them and the smallest length that counts."""
    made, generated = module("tanh")
    data = samples(samples=2)
    data["x"][:] = np.eye(2, 5) * [[1.0], [0.0]]
    with np.errstate(all="raise"):
        found, plain = (run(made, one, data, L=3) for one in (generated, None))
    assert_same(found, plain)
    for result in plain:
        assert np.isfinite(result.scalars["f"]).all()
        assert not result.scalars["f"][:, 1].any()


def test_untrained_samples_do_not_matter():
    made, generated = module("relu")
    data = samples(3, masked=True)
    other = {**data, "x": data["x"].copy(), "y": data["y"].copy()}
    other["y"][-1] = np.roll(data["y"][-1], 1)
    found, again = (run(made, generated, given, outputs=3)[0] for given in (data, other))
    np.testing.assert_array_equal(found.scalars["f"], again.scalars["f"])


@pytest.mark.parametrize(
    ("name", "options"), [("residual", {"L": 2}), ("formula", {"L": 2, "outputs": 2}), ("gated", {})]
)
def test_views_are_those_of_the_plain_replica(name, options):
    made, generated = module(name)
    seen = []
    for one in (generated, None):
        views = {}

        def keep(replica, view, views=views):
            fields = {key: np.array(rows) for key, rows in view.fields.items()}
            parts = {
                key: [np.array(part) for part in (m.directions, m.images, m.back_directions, m.back_images, m.trained)]
                for key, m in view.matrices.items()
            }
            views[replica, view.step] = fields, parts, {key: m.retention for key, m in view.matrices.items()}

        run(made, one, samples(options.get("outputs", 1)), pauses=(0, 4), inspect=keep, **options)
        seen.append(views)
    assert seen[0].keys() == seen[1].keys() == {(k, step) for k in range(REPLICAS) for step in (0, 4)}
    for key, (fields, parts, kept) in seen[1].items():
        for ref, rows in fields.items():
            np.testing.assert_allclose(seen[0][key][0][ref], rows, atol=1e-9, err_msg=str(ref))
        for matrix, arrays in parts.items():
            for found, wanted in zip(seen[0][key][1][matrix], arrays, strict=True):
                np.testing.assert_allclose(found, wanted, atol=1e-8, err_msg=str(matrix))
        assert seen[0][key][2] == pytest.approx(kept, rel=1e-12)


def test_divergence_ends_a_run():
    made, generated = module("formula")
    data = samples()
    data["y"] = 1e3 * data["y"]
    found, plain = (run(made, one, data, steps=60, L=3)[0] for one in (generated, None))
    assert found.steps == plain.steps < 60
    assert len(found.scalars["f"]) == found.steps == len(found.directions["W", 1])


def test_a_failure_ends_all_replicas():
    made, generated = module("tanh")

    def fail(replica, view):
        raise ZeroDivisionError(f"replica {replica}")

    for one in (generated, None):
        with pytest.raises(ZeroDivisionError, match="replica"):
            run(made, one, samples(), pauses=(2,), inspect=fail)


def test_progress_counts_steps_of_all_replicas():
    made, generated = module("tanh")
    seen = []
    run(made, generated, samples(), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, STEPS * REPLICAS) for done in range(1, STEPS * REPLICAS + 1)]


def test_bad_arguments_are_refused():
    made, generated = module("tanh")
    for options, text in (
        ({"sites": 0}, "sites = 0"),
        ({"steps": 0}, "steps = 0"),
        ({"L": 0}, "L = 0"),
    ):
        with pytest.raises(ValueError, match=text):
            run(made, generated, samples(), **options)
    with pytest.raises(ValueError, match="targets of shape"):
        run(made, generated, samples(2))
    with pytest.raises(ValueError, match="no data given for y"):
        run(made, generated, {"x": np.ones((2, 2))})


def test_sites_are_shared_out_in_even_numbers():
    assert sites_per_replica(20_000, 8) == 2500
    assert sites_per_replica(20_001, 8) == 2502
    assert sites_per_replica(1, 8) == 2


def test_source_is_a_product():
    source = write(PROGRAMS["residual"]())
    tree = ast.parse(source)
    imports = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imports |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imports == {"itertools", "math", "numba", "numba.extending", "numpy", "typing"}
    assert "for l = L down to 1" in ast.get_docstring(tree)
    assert "# learn W[l]: " in source
    assert source.count("def _map_") == len({line for line in source.splitlines() if line.startswith("def _map_")})


def test_deeper_networks_use_the_same_source():
    """Nothing is unrolled: the text knows no depth and no number of outputs."""
    assert write(program(ds.mlp(depth=1, outputs=4))) == write(program(ds.mlp(depth=7)))


def test_programs_of_the_other_regime_are_refused():
    linear = ds.derive(ds.deep_linear()).program
    with pytest.raises(ProgramError, match="allowed in a sampled solver"):
        write(linear)
