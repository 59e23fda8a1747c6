"""Specs: TOML files that describe a network, its data and its training.

A spec is data. Text in it is looked up in lists of allowed words and never executed; whatever is not understood is
refused with one line that names the key, the value and what is allowed. `Spec` has the keys as typed fields.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from .files import read_bytes
from .messages import InputError, show, show_key, show_path, suggestion
from .rules import Choice, Exponent, Flag, Integer, ListOf, Number, RefusedError, Rule, Text

if TYPE_CHECKING:
    from dmft_sym.networks import Network, Proportional, TrainingRule

MAX_BYTES = 1_000_000
DEEP_LINEAR = "deep-linear"

_OWN_FORWARD = "a forward pass of your own is written in Python, dmft_sym.network(forward): text is never executed"
_OTHER_KINDS = ("mlp", "residual", "gated", "attention")
_FIXED = 'nothing, this key belongs to regime = "fixed", which is not available yet'
_NOT_HERE = {
    ("network", "activation"): f'nothing, kind = "{DEEP_LINEAR}" has no activation',
    ("network", "forward"): f"nothing, {_OWN_FORWARD}",
    ("data", "inputs"): _FIXED,
    ("data", "targets"): _FIXED,
}


class SpecError(InputError):
    """A spec that cannot be used; the message names the key, the value and what is allowed."""


def _key(rule: Rule, default: Any = dataclasses.MISSING) -> Any:
    if default is dataclasses.MISSING:
        return field(metadata={"rule": rule})
    return field(default=default, metadata={"rule": rule})


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """``[network]``: what is trained.

    Parameters
    ----------
    kind
        Name of a network; ``"deep-linear"``.
    depth
        Number ``L`` of hidden layers; 0 is linear regression.
    outputs
        Number ``C`` of outputs.
    parametrization
        Exponent ``a`` of ``gamma = gamma0 nu^(a - 1/2)``, written as ``"muP"`` (1/2), ``"NTK"`` (0) or
        ``{exponent = a}``.
    init_std
        Standard deviation of the initial weights.
    richness
        ``gamma0``; small is lazy, large is rich.
    """

    kind: str = _key(Choice((DEEP_LINEAR,), _OTHER_KINDS, (("python", _OWN_FORWARD),)))
    depth: int = _key(Integer(0))
    outputs: int = _key(Integer(1), 1)
    parametrization: float = _key(Exponent(), 0.5)
    init_std: float = _key(Number(open_low=False), 1.0)
    richness: float | None = _key(Number(), None)


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """``[data]``: the samples.

    Parameters
    ----------
    regime
        ``"proportional"``: Gaussian inputs and a linear teacher, sizes growing at fixed ratios.
    samples_per_dim
        ``alpha = P/D``, the batch per dimension when online; ``inf`` is the population.
    width_per_dim
        ``nu = N/D``; ``inf`` is the infinitely wide network.
    label_noise
        Standard deviation ``sigma_eps`` of the noise on the labels.
    online
        A fresh batch at every step instead of the same samples.
    """

    regime: str = _key(Choice(("proportional",), ("fixed",)), "proportional")
    samples_per_dim: float = _key(Number(infinite=True))
    width_per_dim: float | None = _key(Number(infinite=True), None)
    label_noise: float = _key(Number(open_low=False), 0.0)
    online: bool = _key(Flag(), False)


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """``[training]``: gradient descent.

    Parameters
    ----------
    learning_rate
        ``eta0``.
    steps
        Number of gradient steps.
    momentum
        Heavy-ball coefficient.
    weight_decay
        Decoupled decay per step.
    """

    learning_rate: float = _key(Number())
    steps: int = _key(Integer(1))
    momentum: float = _key(Number(high=1.0, open_low=False), 0.0)
    weight_decay: float = _key(Number(high=1.0, open_low=False), 0.0)


@dataclass(frozen=True, kw_only=True)
class SolverSpec:
    """``[solver]``: how the infinite network is computed.

    Parameters
    ----------
    method
        ``"march"`` solves the closed equations row by row (memory grows with ``steps^2``), ``"coordinates"`` trains
        the infinite network in a growing basis (for long runs).
    tol
        Relative tolerance below which coordinates open no new direction.
    dtype
        Precision of the arrays.
    backend
        Language of the generated march.
    """

    method: str = _key(Choice(("march", "coordinates")), "march")
    tol: float = _key(Number(high=1.0), 1e-8)
    dtype: str = _key(Choice(("float64", "float32")), "float64")
    backend: str = _key(Choice(("numba", "numpy", "mpmath")), "numba")


@dataclass(frozen=True, kw_only=True)
class SimulationSpec:
    """``[simulation]``: the finite networks that a theory is compared with.

    Parameters
    ----------
    dim
        Input dimension ``D`` of a simulated network.
    seeds
        Number of networks.
    seed
        Seed of the first one.
    """

    dim: int = _key(Integer(1), 1000)
    seeds: int = _key(Integer(1), 4)
    seed: int = _key(Integer(0), 0)


@dataclass(frozen=True, kw_only=True)
class SpectrumSpec:
    """``[spectrum]``: matrices whose spectra are asked for, and at which steps.

    Parameters
    ----------
    matrices
        ``"W0"``, ``"W1"``, ... and ``"NTK"``.
    steps
        Steps, counted from 0; a spectrum is that of the weights before the update of the step. Without it, the last.
    points
        Number of points at which densities are computed; 0 for none.
    full
        Whether a simulation keeps all singular values (for histograms) instead of the largest ones.
    """

    matrices: tuple[str, ...] = _key(ListOf(Text('the name of a matrix, such as "W0"')), ())
    steps: tuple[int, ...] = _key(ListOf(Integer(0)), ())
    points: int = _key(Integer(0, 100_000), 200)
    full: bool = _key(Flag(), False)


@dataclass(frozen=True, kw_only=True)
class SamplingSpec:
    """``[sampling]``: sampled single-site processes of nonlinear networks."""

    samples: int = _key(Integer(1), 10_000)
    seed: int = _key(Integer(0), 0)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A whole spec, checked; sections that a file leaves out have their default values."""

    network: NetworkSpec
    data: DataSpec
    training: TrainingSpec
    solver: SolverSpec
    simulation: SimulationSpec
    spectrum: SpectrumSpec
    sampling: SamplingSpec

    @property
    def notes(self) -> tuple[str, ...]:
        """What this version reads but does not use yet, a line each."""
        lines = []
        if self.sampling != SamplingSpec():
            lines.append("[sampling]: a linear network closes without sampling; these keys are not used")
        return tuple(lines)


_SECTIONS: dict[str, type] = {
    "network": NetworkSpec,
    "data": DataSpec,
    "training": TrainingSpec,
    "solver": SolverSpec,
    "simulation": SimulationSpec,
    "spectrum": SpectrumSpec,
    "sampling": SamplingSpec,
}

Section = TypeVar("Section")


def read_spec(path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Spec:
    """Read the spec at ``path``.

    Parameters
    ----------
    path
        A TOML file.
    overrides
        Texts ``section.key=value`` that replace keys of the file; a value that is not TOML is taken as text.

    Raises
    ------
    SpecError
        If anything is wrong with the file, a key or a value; one line.
    """
    try:
        content = read_bytes(path, "spec", MAX_BYTES)
    except InputError as error:
        raise SpecError(str(error)) from error
    label = f"spec {show_path(path)}"
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(f"{label}: byte {error.start} is not UTF-8; allowed is a TOML file in UTF-8") from error
    return parse_spec(text, overrides, label)


def parse_spec(text: str, overrides: Iterable[str] = (), label: str = "spec") -> Spec:
    """The spec that ``text`` writes in TOML; see `read_spec`."""
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{label}: not TOML ({error}); is the file complete?") from error
    return spec_from_tree(_overridden(tree, overrides))


def spec_from_tree(tree: Mapping[str, Any]) -> Spec:
    """The spec of a tree of tables, as `tomllib` returns them."""
    for name, table in tree.items():
        _check_section(name, table)
    spec = Spec(**{name: _section(cls, name, tree.get(name, {})) for name, cls in _SECTIONS.items()})
    _check_ratios(spec)
    _check_spectrum(spec)
    return spec


def network_of(spec: Spec) -> Network:
    """The network of a spec, ready for `dmft_sym.derive`."""
    from dmft_sym.networks import Parametrization, deep_linear

    return deep_linear(spec.network.depth, spec.network.outputs, Parametrization(spec.network.parametrization))


def data_of(spec: Spec) -> Proportional:
    """The data of a spec, ready for `dmft_sym.derive`."""
    from dmft_sym.networks import Proportional

    return Proportional(label_noise=spec.data.label_noise)


def training_of(spec: Spec) -> TrainingRule:
    """The training rule of a spec, ready for `dmft_sym.derive`."""
    from dmft_sym.networks import GradientDescent, OnlineSGD

    rule = OnlineSGD if spec.data.online else GradientDescent
    return rule(momentum=spec.training.momentum, weight_decay=spec.training.weight_decay)


def physical_arguments(spec: Spec) -> dict[str, float | int]:
    """Keyword arguments that a solver and a simulation share."""
    arguments: dict[str, float | int | None] = {
        "samples_per_dim": spec.data.samples_per_dim,
        "width_per_dim": spec.data.width_per_dim,
        "richness": spec.network.richness,
        "learning_rate": spec.training.learning_rate,
        "label_noise": spec.data.label_noise,
        "init_std": spec.network.init_std,
        "steps": spec.training.steps,
    }
    return {key: value for key, value in arguments.items() if value is not None}


def spectrum_arguments(spec: Spec) -> dict[str, Any]:
    """What `dmft_sym.spectrum` and a simulation need to know of the section ``[spectrum]``."""
    return {"matrices": spec.spectrum.matrices, "at": spec.spectrum.steps or (spec.training.steps - 1,)}


def _overridden(tree: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    for text in overrides:
        name, equals, value = text.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and section and key) or "." in key:
            raise SpecError(f"--set {show(text)}: allowed is section.key=value, such as training.steps=60")
        table = tree.setdefault(section, {})
        if not isinstance(table, dict):
            raise SpecError(f"{show_key(section)} = {show(table)}: allowed is a table [{show_key(section)}]")
        table[key] = _toml_value(value.strip())
    return tree


def _toml_value(text: str) -> Any:
    try:
        tree = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return tree["value"] if list(tree) == ["value"] else text


def _check_section(name: str, table: object) -> None:
    if name not in _SECTIONS:
        for section, cls in _SECTIONS.items():
            if name in _keys(cls):
                raise SpecError(f"{name} = {show(table)}: allowed is this key inside of its section, [{section}]")
        allowed = ", ".join(f"[{section}]" for section in _SECTIONS)
        hint = suggestion(name, _SECTIONS)
        raise SpecError(f"[{show_key(name)}]: unknown section{hint}; allowed are {allowed}")
    if not isinstance(table, dict):
        raise SpecError(f"{name} = {show(table)}: allowed is a table [{name}]")


def _section(cls: type[Section], name: str, table: Mapping[str, object]) -> Section:
    rules = _keys(cls)
    values = {}
    for key, value in table.items():
        if key not in rules:
            raise _unknown_key(name, key, value, rules)
        try:
            values[key] = rules[key].read(value)
        except RefusedError as refused:
            raise SpecError(f"[{name}] {key} = {_shown(value)}: allowed is {refused}") from None
    for entry in dataclasses.fields(cls):  # type: ignore[arg-type]  # every section is a dataclass
        if entry.name not in values and entry.default is dataclasses.MISSING:
            raise SpecError(f"[{name}] {entry.name} is missing: allowed is {rules[entry.name].allowed}")
    return cls(**values)


def _unknown_key(section: str, key: str, value: object, known: Iterable[str]) -> SpecError:
    label = f"[{section}] {show_key(key)} = {_shown(value)}"
    if (section, key) in _NOT_HERE:
        return SpecError(f"{label}: allowed is {_NOT_HERE[section, key]}")
    return SpecError(f"{label}: unknown key{suggestion(key, known)}; allowed are {', '.join(known)}")


def _keys(cls: type) -> dict[str, Rule]:
    return {entry.name: entry.metadata["rule"] for entry in dataclasses.fields(cls)}


def _shown(value: object) -> str:
    """A value the way TOML writes it."""
    if isinstance(value, str):
        return show(value).replace("'", '"') if '"' not in value else show(value)
    return show(value)


def _check_ratios(spec: Spec) -> None:
    if spec.network.depth == 0:
        return
    for section, key, value in (
        ("network", "richness", spec.network.richness),
        ("data", "width_per_dim", spec.data.width_per_dim),
    ):
        if value is None:
            raise SpecError(f"[{section}] {key} is missing: allowed is {_keys(_SECTIONS[section])[key].allowed}")


def _check_spectrum(spec: Spec) -> None:
    depth, last = spec.network.depth, spec.training.steps - 1
    for name in spec.spectrum.matrices:
        weight = re.fullmatch(r"W(0|[1-9]\d{0,8})", name)
        if name != "NTK" and (weight is None or int(weight[1]) >= depth):
            weights = {0: "", 1: '"W0" and '}.get(depth, f'"W0" to "W{depth - 1}" and ')
            raise SpecError(f'[spectrum] matrices = {_shown(name)}: allowed at depth = {depth} are {weights}"NTK"')
    for step in spec.spectrum.steps:
        if step > last:
            raise SpecError(f"[spectrum] steps = {step}: allowed are integers from 0 to {last}, the last step")
