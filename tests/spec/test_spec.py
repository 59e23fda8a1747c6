"""Specs: what is read, and the one line that refuses everything else."""

from __future__ import annotations

import dataclasses
import math
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_type_hints

import pytest
from annotated_types import Ge, Le
from hypothesis import given, settings
from hypothesis import strategies as st

import dmft_sym as ds
from dmft_sym.networks import MUP, NTK, OnlineSGD
from dmft_sym.networks.parameters import BY_KEYWORD, STANDARD
from dmft_sym.regimes import REGIMES
from dmft_sym.regimes.key_words import allowed, marks_of
from dmft_sym.regimes.keys import Finite, Steps
from dmft_sym.solvers import memory
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.solvers.memory import check_march, check_network
from dmft_sym.spec.objects import (
    data_of,
    in_words_of_specs,
    network_of,
    physical_arguments,
    simulation_arguments,
    spectrum_arguments,
    training_of,
)
from dmft_sym.spec.reading import Spec, SpecError, parse_spec, read_spec, spec_from_tree
from dmft_sym.spec.schema import schema
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.memory import march_bytes

GOOD = """
[network]
kind = "deep-linear"
depth = 2
richness = 8
[data]
samples_per_dim = 4.0
width_per_dim = 1.0
label_noise = 0.3
[training]
learning_rate = 0.004
steps = 60
"""

KEYS = {
    "network": ("kind", "activation", "depth", "outputs", "parametrization", "init_std", "richness", "forward"),
    "data": ("regime", "samples_per_dim", "width_per_dim", "label_noise", "online", "inputs", "targets", "set", "loss"),
    "training": ("learning_rate", "steps", "momentum", "weight_decay", "nesterov", "centered"),
    "solver": ("method", "tol", "dtype", "backend"),
    "simulation": ("dim", "width", "seeds", "seed"),
    "spectrum": ("matrices", "steps", "points", "method", "dependence", "full"),
    "sampling": ("sites", "error", "seed", "replicas", "tol"),
    "kernels": ("steps",),
}


def refusal(*overrides: str, text: str = GOOD) -> str:
    with pytest.raises(SpecError) as caught:
        parse_spec(text, overrides)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 400
    return message


def test_values_and_defaults() -> None:
    spec = parse_spec(GOOD)
    assert spec.network.depth == 2
    assert spec.network.outputs == 1
    assert spec.network.richness == 8.0
    assert isinstance(spec.network.richness, float)
    assert (spec.solver.method, spec.solver.dtype, spec.solver.backend) == ("equations", "float64", "numba")
    assert not spec.data.online
    assert spec.notes == ()


@pytest.mark.parametrize("name", ["deep_linear", "spectra"])
def test_example_is_a_spec(name: str) -> None:
    assert read_spec(Path(__file__).parents[2] / "examples" / f"{name}.toml").notes == ()


def test_overrides_are_toml_or_text() -> None:
    overrides = (
        "network.parametrization={exponent = 0.25}",
        "network.kind=deep-linear",
        "data.samples_per_dim=inf",
        "data.width_per_dim = inf",
        'spectrum.matrices=["W0", "NTK"]',
        "spectrum.steps=[0, 59]",
        "data.online=true",
        "solver.method=conditioning",
    )
    spec = parse_spec(GOOD, overrides)
    assert spec.network.exponent == 0.25
    assert spec.data.samples_per_dim == spec.data.width_per_dim == math.inf
    assert spec.data.online
    assert spec.solver.method == "conditioning"
    assert spec.spectrum.matrices == ("W0", "NTK")
    assert spec.spectrum.steps == (0, 59)
    assert spec.notes == ()


def test_spectra_of_a_spec() -> None:
    plain = parse_spec(GOOD, ['spectrum.matrices=["W1"]'])
    assert (plain.spectrum.points, plain.spectrum.full) == (200, False)
    assert (plain.spectrum.method, plain.spectrum.dependence) == ("conditioning", "joint")
    assert spectrum_arguments(plain) == {"matrices": ("W1",), "at": (59,)}  # the last step if none is given
    spec = parse_spec(GOOD, ['spectrum.matrices=["W1"]', "spectrum.points=0", "spectrum.full=true"])
    assert (spec.spectrum.points, spec.spectrum.full) == (0, True)


def test_override_cannot_smuggle_in_a_second_key() -> None:
    assert "allowed is an integer" in refusal("training.steps=60\nlearning_rate=5")


def test_objects_of_a_spec() -> None:
    spec = parse_spec(GOOD, ["network.parametrization=NTK", "data.online=true", "training.momentum=0.5"])
    network = network_of(spec)
    assert (network.depth, network.outputs, network.parametrization) == (2, 1, NTK)
    assert network_of(parse_spec(GOOD)).parametrization == MUP
    assert training_of(spec) == OnlineSGD(momentum=0.5)
    assert data_of(spec).label_noise == 0.3
    assert physical_arguments(spec) == {
        "samples_per_dim": 4.0,
        "width_per_dim": 1.0,
        "richness": 8.0,
        "learning_rate": 0.004,
        "label_noise": 0.3,
        "init_std": 1.0,
        "steps": 60,
    }


@pytest.mark.parametrize(
    ("overrides", "method"),
    [
        ((), "conditioning"),
        (("solver.method=equations",), "equations"),
        (("solver.method=equations", "spectrum.method=conditioning"), "conditioning"),
        (("network.outputs=2",), "equations"),
        (("data.online=true",), "equations"),
        (("spectrum.dependence=independent",), "equations"),
    ],
)
def test_method_of_spectra(overrides: tuple[str, ...], method: str) -> None:
    """What is said of spectra, else of the solver, else the quicker one; the solver keeps its own default."""
    spec = parse_spec(GOOD.replace('method = "equations"', ""), overrides)
    assert spec.spectrum.method == method
    assert spec.solver.method == "equations"


@pytest.mark.parametrize("section", ["solver", "spectrum"])
def test_coordinates_know_no_independent_updates(section: str) -> None:
    message = refusal("spectrum.dependence=independent", f"{section}.method=conditioning")
    assert message.startswith('[spectrum] dependence = "independent": allowed is "joint" with method = "conditioning"')


def test_no_hidden_layers_need_no_width() -> None:
    text = GOOD.replace("depth = 2", "depth = 0").replace("richness = 8", "").replace("width_per_dim = 1.0", "")
    assert parse_spec(text).data.width_per_dim is None
    assert parse_errors(text, ["network.depth=1"]) == [
        "[network] richness is missing: allowed is a finite number > 0",
        "[data] width_per_dim is missing: allowed is a number > 0, or inf",
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.steps=0", "[training] steps = 0: allowed is an integer >= 1"),
        ("training.steps=-3", "[training] steps = -3: allowed is an integer >= 1"),
        ("training.steps=60.0", "[training] steps = 60.0: allowed is an integer >= 1"),
        ("training.steps=true", "[training] steps = true: allowed is an integer >= 1"),
        ("training.steps=sixty", '[training] steps = "sixty": allowed is an integer >= 1'),
        ("training.steps=1e400", "[training] steps = inf: allowed is an integer >= 1"),
        ("training.learning_rate=nan", "[training] learning_rate = nan: allowed is a finite number > 0"),
        ("training.learning_rate=inf", "[training] learning_rate = inf: allowed is a finite number > 0"),
        ("training.learning_rate=0", "[training] learning_rate = 0: allowed is a finite number > 0"),
        ("training.momentum=1", "[training] momentum = 1: allowed is a finite number >= 0 and < 1"),
        ("data.samples_per_dim=-1.5", "[data] samples_per_dim = -1.5: allowed is a number > 0, or inf"),
        ("data.width_per_dim=-inf", "[data] width_per_dim = -inf: allowed is a number > 0, or inf"),
        ("data.samples_per_dim=nan", "[data] samples_per_dim = nan: allowed is a number > 0, or inf"),
        ("data.online=1", "[data] online = 1: allowed is true or false"),
        ("data.label_noise=[1]", "[data] label_noise = [1]: allowed is a finite number >= 0"),
        ("network.depth=-1", "[network] depth = -1: allowed is an integer >= 0"),
        ("solver.method=condition", "(did you mean conditioning?)"),
        ("solver.tol=0", "[solver] tol = 0: allowed is a finite number > 0 and < 1"),
        ("spectrum.matrices=['W2']", '[spectrum] matrices = "W2": allowed at depth = 2 are "W0" to "W1" and "NTK"'),
        ("spectrum.matrices=['W02']", '[spectrum] matrices = "W02": allowed at depth = 2'),
        ("spectrum.steps=[60]", "[spectrum] steps = 60: allowed are integers from 0 to 59, the last step"),
        ("spectrum.steps=[-1]", "[spectrum] steps = [-1]: allowed is "),
        ("spectrum.points=-1", "[spectrum] points = -1: allowed is an integer >= 0 and <= 100000"),
        ("spectrum.points=1e9", "[spectrum] points = 1000000000.0: allowed is an integer >= 0 and <= 100000"),
        ("spectrum.dependence=free", '[spectrum] dependence = "free": allowed is "joint" or "independent"'),
        ("spectrum.method=sampled", '[spectrum] method = "sampled": allowed is "equations" or "conditioning"'),
        ("spectrum.full=1", "[spectrum] full = 1: allowed is true or false"),
        ("network.parametrization={exponent = nan}", 'allowed is "muP", "NTK" or {exponent = a}'),
        ("network.parametrization=mup", 'allowed is "muP", "NTK" or {exponent = a}'),
        ("training.step=60", "[training] step = 60: unknown key (did you mean steps?); allowed are learning_rate,"),
        ("training.__dataclass_self__=1", "[training] __dataclass_self__ = 1: unknown key"),
        ("training.self=1", "[training] self = 1: unknown key"),
        ("trainig.steps=60", "[trainig]: unknown section (did you mean training?); allowed are [network], [data]"),
        (
            "network.kind=mlp",
            '[network] kind = "mlp": allowed with regime = "proportional" is "deep-linear"; nonlinear',
        ),
        ("network.kind=gated", "not available yet: residual, gated, attention"),
        ("network.kind=python", "text is never executed"),
        ("network.forward=net.py:forward", "text is never executed"),
        ("network.activation=tanh(h)", "has no activation"),
        ("data.inputs=x.npz", 'inputs = "x.npz": allowed is nothing, the key belongs to regime = "fixed"'),
        ("data.set=digits", 'set = "digits": allowed is nothing, the key belongs to regime = "fixed"'),
        ("data.samples=20", "the key belongs to regime"),
        ("data.loss=squared", "the key belongs to regime"),
        ("simulation.width=100", "[simulation] width = 100: allowed is nothing, the key belongs to regime"),
        ("kernels.steps=[0]", "[kernels] steps = [0]: allowed is nothing, the key belongs to regime"),
        ("solver.exact=false", "[solver] exact = false: allowed is nothing, the key belongs to regime"),
        ("solver.method=sampled", '[solver] method = "sampled": allowed is "equations" or "conditioning"'),
        ("solver.method=direct", '[solver] method = "direct": allowed is "equations" or "conditioning"'),
        ("sampling.sites=7", "[sampling] sites = 7: allowed is an even integer >= 2"),
        ("training", "--set 'training': allowed is section.key=value"),
        ("a.b.c=1", "allowed is section.key=value"),
    ],
)
def test_refusals_name_key_value_and_what_is_allowed(override: str, message: str) -> None:
    assert message in refusal(override)


def test_missing_keys_and_misplaced_ones() -> None:
    assert parse_errors("", [])[0] == '[network] kind is missing: allowed is "deep-linear" or "mlp"'
    without = GOOD.replace('kind = "deep-linear"', "")
    assert refusal(text=without) == '[network] kind is missing: allowed is "deep-linear" or "mlp"'
    assert refusal(text=GOOD.replace("samples_per_dim = 4.0", "")) == (
        "[data] samples_per_dim is missing: allowed is a number > 0, or inf"
    )
    assert refusal(text=GOOD.replace("steps = 60", "")) == "[training] steps is missing: allowed is an integer >= 1"
    assert "inside of its section, [training]" in refusal(text="steps = 3\n" + GOOD)
    assert "allowed is a table [network]" in parse_errors("network = 3", [])[0]
    assert "allowed is a table [network]" in parse_errors("[[network]]\ndepth = 1", [])[0]


def test_huge_values_stay_one_line() -> None:
    assert "allowed is a finite number" in refusal(f"training.learning_rate=0x{'f' * 9000}")
    assert "allowed is an integer" in refusal(f"training.steps={'9' * 5000}")
    assert "..." in refusal(f"network.kind={'x' * 5000}")
    assert "not TOML" in refusal(text="a = " + "[" * 100_000)


def test_unreadable_files(tmp_path: Path) -> None:
    half = tmp_path / "half.toml"
    half.write_text(GOOD[: GOOD.index("0.004")])
    latin = tmp_path / "latin.toml"
    latin.write_bytes(GOOD.encode() + b"# \xe9")
    empty = tmp_path / "empty.toml"
    empty.touch()
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * 1_000_001)
    for path, words in [
        (half, "not TOML"),
        (latin, "not UTF-8"),
        (empty, "empty"),
        (large, "at most 1000000"),
        (tmp_path, "cannot be read"),
        (tmp_path / "none.toml", "cannot be read"),
        ("null\0byte", "cannot be read"),
    ]:
        with pytest.raises(SpecError, match=words) as caught:
            read_spec(path)
        assert len(str(caught.value).splitlines()) == 1
        assert Path(os.fspath(path).replace("\0", "")).name[:4] in str(caught.value)


def test_memory_of_a_march(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the solver, in the words of specs."""
    spec = parse_spec(GOOD, ["training.steps=100000"])
    assert march_bytes(spec.network.depth, 100_000, 8) == 36 * 10**10 * 8
    monkeypatch.setattr(memory, "free_bytes", lambda: 8 * 10**9)
    with pytest.raises(ArgumentError) as caught:
        check_march(spec.training.steps, 1, spec.network.depth, 8)
    message = str(in_words_of_specs(caught.value, spec))
    assert "[training] steps = 100000: " in message
    assert "2.88 TB" in message
    assert "8 GB" in message
    assert '[solver] method = "conditioning"' in message
    advised = int(message.split("use at most ")[1].split()[0])
    check_march(advised, 1, spec.network.depth, 8)


def test_simulations_are_finite() -> None:
    def check(*overrides: str) -> None:
        spec = parse_spec(GOOD, overrides)
        theory = ds.derive(network_of(spec), data=data_of(spec))
        given = physical_arguments(spec)
        arguments = run_arguments(theory, given.pop("steps"), given)
        try:
            check_network(theory, arguments, ("dim", simulation_arguments(spec)["dim"]), "float64", {}, {})
        except ArgumentError as error:
            raise in_words_of_specs(error, spec) from error

    check()
    for override, words in [
        ("data.samples_per_dim=inf", r"^\[data\] samples_per_dim = inf: allowed for a simulation"),
        ("data.width_per_dim=inf", r"^\[data\] width_per_dim = inf: allowed for a simulation"),
        ("data.width_per_dim=1e-6", "a number >= 0.001"),
        ("simulation.dim=2000000000", r"^\[simulation\] dim = 2000000000: .*use a smaller dim"),
    ]:
        with pytest.raises(SpecError, match=words):
            check(override)


def test_ranges_are_those_of_the_parameters() -> None:
    """They are not written a second time; only a depth of zero, linear regression, is another network."""
    for regime in REGIMES.values():
        keys = {key.name: cls for cls in regime.sections.values() for key in dataclasses.fields(cls)}
        for parameter in STANDARD:
            if parameter.keyword not in keys:
                assert parameter in (BY_KEYWORD[name] for name in ("samples_per_dim", "width_per_dim", "label_noise"))
                continue
            cls = keys[parameter.keyword]
            hint = get_type_hints(cls, include_extras=True)[parameter.keyword]
            expected = list(parameter)
            if parameter.keyword == "depth" and regime.word == "proportional":
                expected = list(dataclasses.replace(parameter, low=0))
            assert marks_of(hint)[1][: len(expected)] == expected, parameter.keyword
            default = next(key.default for key in dataclasses.fields(cls) if key.name == parameter.keyword)
            if parameter.default is not None and parameter.keyword != "outputs":
                assert default == parameter.default


def test_words_are_those_of_types() -> None:
    assert allowed(Annotated[int, Ge(1), Le(5)]) == "an integer >= 1 and <= 5"
    assert allowed(Literal["a", "b"]) == '"a" or "b"'
    assert allowed(Steps) == "a list without repetitions, every entry an integer >= 0"
    assert allowed(Finite) == "a finite number"
    assert allowed(Annotated[float, BY_KEYWORD["samples_per_dim"]]) == "a number > 0, or inf"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToyData(REGIMES["proportional"].sections["data"]):
    """``[data]``: of a made-up regime.

    Parameters
    ----------
    temperature
        Of nothing.
    """

    regime: Literal["toy"]
    temperature: Annotated[Finite, Ge(0)]


class Toy(REGIMES["proportional"]):
    """A regime is one class: its keys come with it."""

    word = "toy"
    sections: ClassVar = {**REGIMES["proportional"].sections, "data": ToyData}


def test_a_regime_brings_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGIMES, "toy", Toy)
    spec = parse_spec(GOOD, ["data.regime=toy", "data.temperature=2"])
    assert (spec.data.temperature, spec.solver.method) == (2.0, "equations")
    assert isinstance(data_of(spec), Toy)
    assert parse_errors(GOOD, ["data.regime=toy", "data.temperature=-1"]) == [
        "[data] temperature = -1: allowed is a finite number >= 0"
    ]
    assert parse_errors(GOOD, ["data.temperature=1"]) == [
        '[data] temperature = 1: allowed is nothing, the key belongs to regime = "toy"'
    ]
    assert '"proportional" or "fixed" or "extensive" or "toy"' in parse_errors(GOOD, ["data.regime=toi"])[0]
    assert schema()["oneOf"][-1]["properties"]["data"]["properties"]["temperature"]["description"] == "Of nothing."


def test_all_errors_at_once() -> None:
    """In the order of sections and keys; what depends on a section with errors is not asked."""
    overrides = ["training.steps=0", "network.depth=-1", "solver.tol=0", "data.samples=3", "data.online=1"]
    overrides += ["training.momentun=0.1", "spectrum.matrices=['W7']", "network.kind=gated", "spectrum.steps=[99]"]
    with pytest.raises(SpecError) as caught:
        parse_spec(f"{GOOD}[solvr]\na = 1\n", overrides)
    assert str(caught.value).splitlines() == [
        '[network] kind = "gated": allowed is "deep-linear" or "mlp" (not available yet: residual, gated, attention)',
        "[network] depth = -1: allowed is an integer >= 0",
        "[data] online = 1: allowed is true or false",
        '[data] samples = 3: allowed is nothing, the key belongs to regime = "fixed"',
        "[training] steps = 0: allowed is an integer >= 1",
        "[training] momentun = 0.1: unknown key (did you mean momentum?); allowed are learning_rate, steps, momentum, "
        "weight_decay, nesterov, schedule, clip, normalised, centered, kind, time, rtol",
        "[solver] tol = 0: allowed is a finite number > 0 and < 1",
        "[solvr]: unknown section (did you mean solver?); allowed are [network], [data], [training], [solver], "
        "[simulation], [spectrum], [sampling], [kernels]",
    ]
    lines = parse_errors(GOOD, ["spectrum.steps=[99]", "spectrum.matrices=['W7', 'W8']", "solver.tol=2"])
    assert [line.split("]")[0] for line in lines] == ["[solver", "[spectrum", "[spectrum", "[spectrum"]
    assert parse_errors(GOOD, ["data.regime=finite", "training.steps=0", "network.depth=-1"]) == [
        '[data] regime = "finite": allowed is "proportional" or "fixed" or "extensive"',
        "[training] steps = 0: allowed is an integer >= 1",
    ]


def parse_errors(text: str, overrides: list[str]) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_spec(text, overrides)
    return str(caught.value).splitlines()


def test_files_of_another_kind_do_not_flood() -> None:
    keys = "\n".join(f"key{n} = {n}" for n in range(20_000))
    lines = parse_errors(f"{GOOD}{keys}\n", [])
    assert len(lines) == 21
    assert lines[-1] == "[training]: and 19980 more unknown keys"
    assert len(parse_errors(keys, [])) < 40
    lines = parse_errors(GOOD, [f"spectrum.steps={list(range(60, 9_000))}"])
    assert lines[-1] == "and 8840 more errors"
    assert len(lines) == 101


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.dates(), st.just(10**400)
)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
)


def only_spec_errors(read: Callable[..., Spec], *arguments: object) -> None:
    message = "fine"
    try:
        assert isinstance(read(*arguments), Spec)
    except SpecError as error:
        message = str(error)
    assert message
    assert all(0 < len(line) < 800 for line in message.splitlines())


@settings(deadline=None)
@given(st.text())
def test_garbage_text(text: str) -> None:
    only_spec_errors(parse_spec, text)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_garbage_files(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("garbage") / "spec.toml"
    path.write_bytes(content)
    only_spec_errors(read_spec, path)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*KEYS, "netwrok", "steps"]) | st.text(max_size=9), trees, max_size=4))
def test_garbage_trees(tree: dict) -> None:
    only_spec_errors(spec_from_tree, tree)


@st.composite
def nearly_specs(draw: st.DrawFn) -> dict:
    """A good spec in which a few known keys have garbage values."""
    tree = tomllib.loads(GOOD)
    for _ in range(draw(st.integers(1, 3))):
        section = draw(st.sampled_from(sorted(KEYS)))
        key = draw(st.sampled_from(KEYS[section]))
        tree.setdefault(section, {})[key] = draw(trees)
    return tree


@settings(deadline=None)
@given(nearly_specs())
def test_garbage_values(tree: dict) -> None:
    only_spec_errors(spec_from_tree, tree)


@settings(deadline=None)
@given(st.lists(st.text(max_size=30), max_size=3))
def test_garbage_overrides(overrides: list[str]) -> None:
    only_spec_errors(parse_spec, GOOD, overrides)


@settings(deadline=None)
@given(st.sampled_from(sorted(KEYS)), st.text(max_size=20))
def test_garbage_override_values(section: str, value: str) -> None:
    only_spec_errors(parse_spec, GOOD, [f"{section}.{KEYS[section][0]}={value}"])


def test_old_words_are_read_and_named() -> None:
    spec = parse_spec(GOOD, ["solver.method=march", "spectrum.method=coordinates"])
    assert (spec.solver.method, spec.spectrum.method) == ("equations", "conditioning")
    assert spec.notes == (
        '[solver] method = "march" is now "equations"; the old word works until 0.3',
        '[spectrum] method = "coordinates" is now "conditioning"; the old word works until 0.3',
    )
    assert parse_spec(GOOD, ["sampling.samples=8"]).sampling.sites == 8
