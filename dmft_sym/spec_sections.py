"""The sections of a spec: their keys as typed fields, each with the rule that says what it may be."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from .messages import InputError, show
from .rules import Choice, Exponent, Flag, Integer, ListOf, Number, Rule, Text

DEEP_LINEAR = "deep-linear"

OWN_FORWARD = "a forward pass of your own is written in Python, dmft_sym.network(forward): text is never executed"
_OTHER_KINDS = ("mlp", "residual", "gated", "attention")


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

    kind: str = _key(Choice((DEEP_LINEAR,), _OTHER_KINDS, (("python", OWN_FORWARD),)))
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


SECTIONS: dict[str, type] = {
    "network": NetworkSpec,
    "data": DataSpec,
    "training": TrainingSpec,
    "solver": SolverSpec,
    "simulation": SimulationSpec,
    "spectrum": SpectrumSpec,
    "sampling": SamplingSpec,
}


def keys_of(cls: type) -> dict[str, Rule]:
    """The rules of a section by key."""
    return {entry.name: entry.metadata["rule"] for entry in dataclasses.fields(cls)}


def shown(value: object) -> str:
    """A value the way TOML writes it."""
    if isinstance(value, str):
        return show(value).replace("'", '"') if '"' not in value else show(value)
    return show(value)
