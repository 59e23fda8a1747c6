"""Specs of given samples: what is read, what it stands for, and the one line that refuses everything else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dmft_sym as ds
from dmft_sym import execution
from dmft_sym.data.arrays import NAMES
from dmft_sym.data.datasets import digits
from dmft_sym.networks import GradientDescent, Network
from dmft_sym.networks import losses as loss_module
from dmft_sym.regimes import Proportional, Samples
from dmft_sym.regimes.sample_keys import LOSSES
from dmft_sym.solvers import memory, sampled_sites
from dmft_sym.spec.objects import (
    data_of,
    in_words_of_specs,
    kernel_arguments,
    network_of,
    physical_arguments,
    sampling_arguments,
    simulation_arguments,
    solver_arguments,
    training_of,
)
from dmft_sym.spec.reading import Spec, SpecError, parse_spec, read_spec, spec_from_tree
from dmft_sym.spectra.methods import DEPENDENCE
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.threads import available_cores

HINTS = get_type_hints(Samples.sections["data"])
SETS = get_args(get_args(HINTS["set"])[0])

GOOD = """
[network]
kind = "mlp"
activation = "tanh"
depth = 3
richness = 4
[data]
regime = "fixed"
set = "digits"
[training]
learning_rate = 0.3
steps = 16
"""
FILES = GOOD.replace('set = "digits"', 'inputs = "x.npz"\ntargets = "y.csv"')
X, Y = np.array([[1.0, 2.0], [0.0, -1.0], [3.0, 3.0]]), np.array([1.0, -1.0, 1.0])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a spec and its files, which is not the current one."""
    place = tmp_path / "specs"
    place.mkdir()
    monkeypatch.chdir(tmp_path)
    np.savez(place / "x.npz", inputs=X)
    np.savetxt(place / "y.csv", Y)
    (place / "spec.toml").write_text(FILES)
    return place


def refusal(*overrides: str, text: str = GOOD) -> str:
    with pytest.raises(SpecError) as caught:
        parse_spec(text, overrides)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 500
    return message


def refused_data(spec: Spec) -> str:
    with pytest.raises(SpecError) as caught:
        data_of(spec)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_values_and_defaults() -> None:
    spec = parse_spec(GOOD)
    assert spec.data.regime == "fixed"
    assert (spec.network.kind, spec.network.activation, spec.network.outputs) == ("mlp", "tanh", None)
    assert (spec.data.classes, spec.data.samples, spec.data.test_samples, spec.data.seed) == ((0, 1), 20, 0, 0)
    assert (spec.data.loss, spec.solver.method, spec.simulation.width) == ("squared", "conditioning", 2000)
    assert (spec.sampling.sites, spec.sampling.error, spec.sampling.replicas) == (None, None, 8)
    assert spec.notes == ()


def test_words_are_those_of_the_modules() -> None:
    """Annotations have their own lists, which read as such."""
    assert SETS == NAMES
    assert tuple(loss_module.LOSSES) == LOSSES
    spectrum = Proportional.sections["spectrum"]
    assert get_args(get_type_hints(spectrum)["dependence"]) == DEPENDENCE


def test_a_loss_is_a_formula(folder: Path) -> None:
    spec = parse_spec(FILES, ["data.loss=(f - y)**4/4"], folder=str(folder))
    assert data_of(spec) == Samples(X, Y, loss="(f - y)**4/4")


def test_objects_of_a_set() -> None:
    pytest.importorskip("sklearn")
    overrides = ["data.classes=[3, 8]", "data.samples=12", "data.seed=5", "data.test_samples=4", "data.loss=logistic"]
    spec = parse_spec(GOOD, overrides)
    data = data_of(spec)
    assert data == digits((3, 8), 12, 5, loss="logistic", test_samples=4)
    network = network_of(spec, data)
    assert isinstance(network, Network)
    assert (network.depth, network.outputs) == (3, 1)
    assert network_of(parse_spec(GOOD, ["data.classes=[3, 8, 1]", "data.loss=softmax"])).outputs == 3
    assert training_of(spec) == GradientDescent()


def test_keyword_arguments() -> None:
    spec = parse_spec(GOOD, ["network.init_std=0.5", "simulation.width=100", "simulation.seeds=3", "simulation.seed=7"])
    assert physical_arguments(spec) == {"richness": 4.0, "learning_rate": 0.3, "init_std": 0.5, "steps": 16}
    assert sampling_arguments(spec) == {"sites": 20_000, "seed": 0, "replicas": 8}
    assert kernel_arguments(spec) == {"kernels": (0, 15)}
    assert simulation_arguments(spec) == {"width": 100, "kernels": (0, 15), "seeds": 3, "seed": 7}
    overrides = ["sampling.error=0.01", "sampling.seed=2", "sampling.replicas=4", "sampling.tol=1e-3"]
    wanted = parse_spec(GOOD, [*overrides, "kernels.steps=[9, 2]"])
    expected = {"error": 0.01, "seed": 2, "replicas": 4, "tol": 1e-3, "kernels": (2, 9)}
    assert {**sampling_arguments(wanted), **kernel_arguments(wanted)} == expected
    assert kernel_arguments(parse_spec(GOOD, ["training.steps=1"])) == {"kernels": (0,)}


def test_files_are_relative_to_the_spec(folder: Path) -> None:
    spec = read_spec("specs/spec.toml")
    assert data_of(spec) == Samples(X, Y)
    assert network_of(spec).outputs == 1
    assert data_of(read_spec(folder / "spec.toml", [f"data.inputs={folder / 'x.npz'}"])) == Samples(X, Y)
    assert "targets 'specs/none.csv': cannot be read" in refused_data(
        read_spec("specs/spec.toml", ["data.targets=none.csv"])
    )
    np.savez(folder / "both.npz", inputs=X, targets=[0, 2, 1], test_inputs=X, test_targets=[0, 0, 0])
    together = FILES.replace("x.npz", "both.npz").replace('targets = "y.csv"', 'loss = "softmax"')
    data = data_of(parse_spec(together, folder=folder))
    assert isinstance(data, Samples)
    assert (data.count, data.total, data.outputs) == (3, 6, 3)


def test_outputs_follow_the_targets(folder: Path) -> None:
    assert data_of(read_spec(folder / "spec.toml", ["network.outputs=1"])) == Samples(X, Y)
    message = refused_data(read_spec(folder / "spec.toml", ["network.outputs=2"]))
    assert message == "[network] outputs = 2: allowed is what the targets have, 1, or nothing"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.loss=logistic", "data.targets=zeros.csv"], 'allowed with loss = "logistic" are -1 and 1'),
        (["data.loss=softmax", "data.targets=halves.csv"], 'row 0 = 0.5: allowed with loss = "softmax" are classes'),
        (["data.loss=softmax", "data.targets=zeros.csv"], "one class"),
        (["data.targets=short.csv"], "targets of 2 samples: allowed are as many as inputs has, 3"),
        (["data.inputs=x.txt"], "names end in .npz or .csv"),
        (["data.inputs=text.csv"], "line 2, field 1 = '__import__(\"os\")'"),
        (["data.inputs=nan.npz"], "row 2, column 1 = nan"),
    ],
)
def test_data_that_do_not_fit(folder: Path, overrides: list[str], words: str) -> None:
    np.savetxt(folder / "zeros.csv", np.zeros(3))
    np.savetxt(folder / "halves.csv", np.full(3, 0.5))
    np.savetxt(folder / "short.csv", Y[:2])
    (folder / "text.csv").write_text('1,2\n"__import__(""os"")",3\n')
    np.savez(folder / "nan.npz", np.where(np.arange(6).reshape(3, 2) == 5, np.nan, X))
    message = refused_data(read_spec(folder / "spec.toml", overrides))
    assert message.startswith("[data] ")
    assert words in message


def test_csv_alone_has_no_targets(folder: Path) -> None:
    text = FILES.replace("x.npz", "y.csv").replace('targets = "y.csv"', "")
    assert "[data] targets are missing" in refused_data(parse_spec(text, folder=folder))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.classes=[0, 10]"], "[data] classes = (0, 10): allowed for digits are two or more different integers"),
        (["data.classes=[4]"], "[data] classes = (4,): allowed for digits are two or more"),
        (["data.samples=400"], "[data] samples = 400: allowed are integers from 2 to 360"),
        (["data.test_samples=400"], "[data] test_samples = 400: allowed are integers from 0 to 340"),
        (["data.classes=[0, 1, 2]", "data.samples=2"], "[data] samples = 2: allowed are integers from 3 to 537"),
        (["network.outputs=2"], "[network] outputs = 2: allowed is what the targets have, 1, or nothing"),
    ],
)
def test_sets_that_do_not_fit(overrides: list[str], words: str) -> None:
    pytest.importorskip("sklearn")
    assert words in refused_data(parse_spec(GOOD, overrides))


def test_deep_linear_networks_are_mlps(folder: Path) -> None:
    text = FILES.replace('"mlp"', '"deep-linear"').replace('activation = "tanh"', "")
    spec = parse_spec(text, ["solver.method=conditioning"], folder=folder)
    network = network_of(spec)
    assert (network.depth, network.outputs) == (3, 1)
    assert "linear" in network.name
    assert spec.notes == ()
    noted = parse_spec(text, ["solver.method=conditioning", "sampling.seed=3"])
    assert noted.notes == ("[sampling]: a linear network closes without sampling; these keys are not used",)


@pytest.mark.parametrize("activation", ["linear", "h", "2*h", "h/3 + h"])
def test_coordinates_are_for_linear_networks(activation: str) -> None:
    overrides = [f"network.activation={activation}", "solver.method=conditioning"]
    assert parse_spec(GOOD, overrides).solver.exact


@pytest.mark.parametrize("activation", ["linear", "2*h"])
def test_linear_networks_need_no_sampling(activation: str) -> None:
    spec = parse_spec(GOOD, [f"network.activation={activation}"])
    assert (spec.solver.method, spec.solver.exact) == ("conditioning", True)
    expected = {"method": "conditioning", "tol": 1e-8, "kernels": (0, 15)}
    assert solver_arguments(spec) == expected
    assert parse_spec(GOOD, [f"network.activation={activation}", "solver.exact=false"]).sampled


@pytest.mark.parametrize("activation", ["tanh", "relu", "h*tanh(h)", " 2*h ", "gelu(h) + 0.1*h**3"])
def test_activations(activation: str) -> None:
    assert parse_spec(GOOD, [f'network.activation="{activation}"']).network.activation == activation


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["network.activation=tahn"], '[network] activation = "tahn" (did you mean tanh?): allowed are abs'),
        (["network.activation=tanh(x)"], "unknown name; allowed are h, pi"),
        (["network.activation=h.__class__"], "allowed are numbers, names"),
        (["network.activation=__import__('os').mkdir('ran')"], "unknown function"),
        (["network.activation=h**99"], "integers from -20 to 20"),
        ([f"network.activation={'tanh(' * 60}h{')' * 60}"], "1 to 200 characters"),
        (["network.activation=3"], "[network] activation = 3: allowed is a name"),
        (["network.activation="], "[network] activation"),
        (
            ["network.kind=deep-linear"],
            'activation = "tanh": allowed is nothing, kind = "deep-linear" has no activation',
        ),
        (["network.depth=0"], '[network] depth = 0: allowed with regime = "fixed" is an integer >= 1'),
        (
            ["network.parametrization=NTK"],
            'parametrization with exponent 0: allowed with regime = "fixed" is "muP"; at',
        ),
        (["network.parametrization=NTK"], "lazy limit"),
        (["network.parametrization={exponent = 0.7}"], "parametrization with exponent 0.7: allowed"),
        (["data.online=true"], '[data] online = true: allowed is nothing, the key belongs to regime = "proportional"'),
        (["data.online=false"], "[data] online = false: allowed is nothing"),
        (["data.label_noise=0.0"], '[data] label_noise = 0.0: allowed is nothing, the key belongs to regime = "prop'),
        (["data.samples_per_dim=4"], "[data] samples_per_dim = 4: allowed is nothing"),
        (["data.width_per_dim=1"], "[data] width_per_dim = 1: allowed is nothing"),
        (["simulation.dim=100"], "[simulation] dim = 100: allowed is nothing, the key belongs to"),
        (["data.inputs=x.npz"], '[data] inputs = "x.npz": allowed is either inputs or set = "digits"'),
        (["data.targets=y.csv"], '[data] targets = "y.csv": allowed is either targets or set = "digits"'),
        (["data.set=mnist"], '[data] set = "mnist": allowed is "digits" or "iris" or "wine" or "breast_cancer"'),
        (["data.classes=[1, 1]"], "[data] classes = [1, 1]: allowed is a list without repetitions"),
        (["data.classes=3"], "[data] classes = 3: allowed is a list"),
        (["data.samples=1"], "[data] samples = 1: allowed is an integer >= 2"),
        (["data.test_samples=-1"], "[data] test_samples = -1: allowed is an integer >= 0"),
        (["data.seed=0.5"], "[data] seed = 0.5: allowed is an integer >= 0"),
        (["data.loss=hinge"], '[data] loss = "hinge": allowed is "squared" or "logistic" or "softmax"'),
        (["data.loss=y**2"], "[data] loss = 'y**2': it does not depend on the output f"),
        (["data.loss=__import__('os')"], "unknown function; allowed are abs"),
        (["data.loss=sqared"], "(did you mean squared?)"),
        (["solver.method=march"], '[solver] method = "march": allowed is "equations" or "conditioning"'),
        (["solver.exact=true"], '[solver] exact = true: allowed is false; activation = "tanh" is not linear'),
        (["solver.method=coordinates"], 'allowed is false; activation = "tanh" is not linear'),
        (["solver.method=equation"], "(did you mean equations?)"),
        (["sampling.sites=10001"], "[sampling] sites = 10001: allowed is an even integer >= 2"),
        (["sampling.sites=4294967296"], "allowed is an even integer >= 2 and <= 2147483647"),
        (["sampling.sites=30"], "[sampling] sites = 30: allowed is an even integer >= 32, four for each of the"),
        (["sampling.sites=100", "sampling.error=0.1"], "error = 0.1: allowed is either error or sites = 100"),
        (["sampling.error=0"], "[sampling] error = 0: allowed is a finite number > 0"),
        (["sampling.error=inf"], "[sampling] error = inf: allowed is a finite number > 0"),
        (["sampling.replicas=1"], "[sampling] replicas = 1: allowed is an integer >= 2 and <= 1000"),
        (["sampling.tol=1"], "[sampling] tol = 1: allowed is a finite number > 0 and < 1"),
        (["kernels.steps=[0, 16]"], "[kernels] steps = 16: allowed are integers from 0 to 15, the last step"),
        (["kernels.steps=[-1]"], "[kernels] steps = [-1]: allowed is a list"),
        (["kernels.step=[1]"], "[kernels] step = [1]: unknown key (did you mean steps?)"),
        (['spectrum.matrices=["W01"]'], '[spectrum] matrices = "W01": allowed at depth = 3 are "W0" to "W2"'),
        (['spectrum.matrices=["W3"]'], '[spectrum] matrices = "W3": allowed at depth = 3'),
        (['spectrum.matrices=["NTK"]'], '[spectrum] matrices = "NTK": allowed at depth = 3'),
        (['spectrum.matrices=["W1"]', "network.depth=1"], 'allowed at depth = 1 is "W0"'),
        (["spectrum.points=10"], "[spectrum] points = 10: allowed is nothing, the key belongs to"),
        (["spectrum.full=true"], "[spectrum] full = true: allowed is nothing, the key belongs to"),
        (["solver.dtype=float64"], '[solver] dtype = "float64": allowed is nothing, the key belongs to'),
        (["solver.backend=mpmath"], 'backend = "mpmath": allowed with regime = "fixed" is "numba" or "numpy"'),
        (["simulation.width=0"], "[simulation] width = 0: allowed is an integer >= 1"),
    ],
)
def test_refusals_name_key_value_and_what_is_allowed(
    overrides: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refusal(*overrides)
    assert not Path("ran").exists()


def test_a_file_of_the_other_regime() -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(GOOD, ["data.regime=proportional"])
    nonlinear = '"deep-linear"; nonlinear networks are for given samples, regime = "fixed"'
    assert str(caught.value).splitlines() == [
        f'[network] kind = "mlp": allowed with regime = "proportional" is {nonlinear}',
        "[data] samples_per_dim is missing: allowed is a number > 0, or inf",
        '[data] set = "digits": allowed is nothing, the key belongs to regime = "fixed"',
    ]


def test_missing_keys() -> None:
    allowed = 'a name such as "tanh", or a formula in h such as "h*tanh(h)"'
    assert (
        refusal(text=GOOD.replace('activation = "tanh"', ""))
        == f"[network] activation is missing: allowed is {allowed}"
    )
    missing = '[data] inputs is missing: allowed with regime = "fixed" is the name of a file, or set, the name of a set'
    assert refusal(text=GOOD.replace('set = "digits"', "")) == missing
    assert refusal(text=FILES.replace('inputs = "x.npz"', "")) == missing
    assert "[network] richness is missing" in refusal(text=GOOD.replace("richness = 4", ""))
    for key, value in (("classes", [0, 1]), ("samples", 20), ("test_samples", 0), ("seed", 0)):
        message = f"[data] {key} = {value}: allowed is nothing without set, the name of a set to draw from"
        assert refusal(f"data.{key}={value}", text=FILES) == message


def test_spectra_of_hidden_matrices() -> None:
    spec = parse_spec(GOOD, ['spectrum.matrices=["W1", "W2"]', "spectrum.steps=[0, 15]"])
    assert spec.spectrum.matrices == ("W1", "W2")


def test_solver_arguments() -> None:
    spec = parse_spec(GOOD, ['spectrum.matrices=["W2"]', "sampling.error=0.01", "solver.tol=1e-6"])
    assert spec.notes == ("[solver] tol: it is that of coordinates and is not used; sampled sites have [sampling] tol",)
    spectra = {"matrices": ("W2",), "at": (15,)}
    expected = {
        "method": "conditioning",
        "exact": False,
        "error": 0.01,
        "seed": 0,
        "replicas": 8,
        "kernels": (0, 15),
        **spectra,
    }
    assert solver_arguments(spec) == expected
    assert simulation_arguments(spec).items() >= {**spectra, "values": None, "kernels": (0, 15)}.items()


def test_memory_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks of solvers, in the words of specs, made before anything is computed."""
    data = Samples(np.ones((10, 2)), np.zeros((10, 3)))

    def refused(free: int, *overrides: str) -> str:
        spec = parse_spec(GOOD, overrides)
        theory = ds.derive(network_of(spec, data), data=data)
        monkeypatch.setattr(memory, "free_bytes", lambda: free)
        monkeypatch.setattr(sampled_sites, "sampled_module", forbidden)
        with pytest.raises(ArgumentError) as caught:
            theory.compile()(**physical_arguments(spec), **solver_arguments(spec))
        return str(in_words_of_specs(caught.value, spec))

    # Ten samples forward, and ten backward: training contracts the three outputs.
    needed = 8 * (6 * 20 + 4 * 2 * 20) * 1000 * min(available_cores(), 8)
    assert re.match(r"\[sampling\] sites = 8000: .*; fields need at least", refused(needed - 1, "sampling.sites=8000"))
    with pytest.raises(StartedError):
        refused(needed, "sampling.sites=8000")
    message = r"\[kernels\] steps: .*; kernels of 10 samples at 2 steps of 8 networks need"
    assert re.match(message, refused(10_000, "sampling.sites=8000"))
    with pytest.raises(StartedError):  # how many sites an error needs is not known yet
        refused(needed - 1, "sampling.error=1e-9")


class StartedError(Exception):
    """Stands for what takes long."""


def forbidden(*_: object, **__: object) -> None:
    raise StartedError


def test_memory_of_finite_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Samples(np.ones((10, 2)), np.zeros((10, 3)))
    spec = parse_spec(GOOD)
    theory = ds.derive(network_of(spec, data), data=data)
    needed = 8 * (2 * 2000**2 + 2 * 2000 + 6 * 20 * 2000)

    def simulate(free: int) -> None:
        monkeypatch.setattr(memory, "free_bytes", lambda: free)
        monkeypatch.setattr(execution, "run_finite", forbidden)
        ds.simulate(theory, **physical_arguments(spec), **simulation_arguments(spec))

    with pytest.raises(StartedError):
        simulate(needed)
    words = r"^width = 2000: .*; a network with 10 samples needs .*: use a smaller width or fewer samples"
    with pytest.raises(ArgumentError, match=words) as caught:
        simulate(needed - 1)
    assert str(in_words_of_specs(caught.value, spec)).startswith("[simulation] width = 2000: ")


def test_example() -> None:
    pytest.importorskip("sklearn")
    spec = read_spec(Path(__file__).parents[2] / "examples" / "digits.toml")
    assert spec.notes == ()
    data = data_of(spec)
    assert isinstance(data, Samples)
    assert (data.count, data.outputs, spec.network.depth, spec.training.steps) == (20, 1, 3, 100)


def test_the_other_regime_is_as_before() -> None:
    text = '[network]\nkind = "deep-linear"\ndepth = 1\nrichness = 1\n[data]\nsamples_per_dim = 1\nwidth_per_dim = 1\n'
    spec = parse_spec(f"{text}[training]\nlearning_rate = 0.1\nsteps = 3\n")
    assert (spec.solver.method, spec.network.outputs) == ("equations", 1)
    assert isinstance(data_of(spec), Proportional)
    assert simulation_arguments(spec) == {"dim": 1000, "seeds": 4, "seed": 0}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([*SETS, *LOSSES]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
KEYS = [
    ("network", "kind"),
    ("network", "activation"),
    ("network", "outputs"),
    ("network", "parametrization"),
    *(("data", key) for key in ("inputs", "targets", "set", "classes", "samples", "test_samples", "seed", "loss")),
    *(("sampling", key) for key in ("sites", "error", "seed", "replicas", "tol")),
    ("kernels", "steps"),
    ("simulation", "width"),
]


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), values, max_size=3), st.sampled_from([GOOD, FILES]))
def test_garbage_values(changes: dict, text: str) -> None:
    tree = tomllib.loads(text)
    for (section, key), value in changes.items():
        tree.setdefault(section, {})[key] = value
    message = "fine"
    try:
        assert isinstance(spec_from_tree(tree), Spec)
    except SpecError as error:
        message = str(error)
    assert message
    assert all(0 < len(line) < 800 for line in message.splitlines())
