"""The sections of a spec: their keys as typed fields, each with the rule that says what it may be."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from dmft_sym.spectra.methods import DEPENDENCE
from dmft_sym.support.messages import InputError, show

from .rules import Choice, Even, Exponent, Flag, Integer, ListOf, Number, Rule, Text

DEEP_LINEAR, MLP = "deep-linear", "mlp"
PROPORTIONAL, FIXED = "proportional", "fixed"
METHODS = ("equations", "conditioning")
"""How infinite networks are computed: from the derived equations, or by running the program itself."""
SETS = ("digits", "iris", "wine", "breast_cancer")
LOSSES = ("squared", "logistic", "softmax")
SITES = 20_000
"""Number of sampled sites if a spec says nothing."""

OWN_FORWARD = "a forward pass of your own is written in Python, dmft_sym.network(forward): text is never executed"
_OTHER_KINDS = ("residual", "gated", "attention")


class SpecError(InputError):
    """A spec that cannot be used; the message names the key, the value and what is allowed."""


def _key(rule: Rule, default: Any = dataclasses.MISSING, regime: str | None = None) -> Any:
    """A key with its rule; one that belongs to a ``regime`` is refused in the other."""
    metadata = {"rule": rule, "regime": regime}
    if default is dataclasses.MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """``[network]``: what is trained.

    Parameters
    ----------
    kind
        Name of a network; ``"deep-linear"``, or ``"mlp"`` for given samples.
    activation
        Of ``"mlp"``: a name or a formula in ``h``.
    depth
        Number ``L`` of hidden layers; 0 is linear regression.
    outputs
        Number ``C`` of outputs; that of the targets if samples are given, else 1.
    parametrization
        Exponent ``a`` of ``gamma = gamma0 nu^(a - 1/2)``, written as ``"muP"`` (1/2), ``"NTK"`` (0) or
        ``{exponent = a}``.
    init_std
        Standard deviation of the initial weights.
    richness
        ``gamma0``; small is lazy, large is rich.
    """

    kind: str = _key(Choice((DEEP_LINEAR, MLP), _OTHER_KINDS, (("python", OWN_FORWARD),)))
    activation: str | None = _key(Text('a name such as "tanh", or a formula in h such as "h*tanh(h)"'), None)
    depth: int = _key(Integer(0))
    outputs: int | None = _key(Integer(1), None)
    parametrization: float = _key(Exponent(), 0.5)
    init_std: float = _key(Number(open_low=False), 1.0)
    richness: float | None = _key(Number(), None)


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """``[data]``: the samples.

    Parameters
    ----------
    regime
        ``"proportional"``: Gaussian inputs and a linear teacher, sizes growing at fixed ratios. ``"fixed"``: given
        samples, the width growing alone.
    samples_per_dim
        ``alpha = P/D``, the batch per dimension when online; ``inf`` is the population.
    width_per_dim
        ``nu = N/D``; ``inf`` is the infinitely wide network.
    label_noise
        Standard deviation ``sigma_eps`` of the noise on the labels.
    online
        A fresh batch at every step instead of the same samples.
    inputs, targets
        Given samples: ``.npz`` or CSV files, relative to the folder of the spec.
    set
        A set that comes with scikit-learn, instead of files.
    classes, samples, test_samples, seed
        Which classes of the set, how many samples are drawn from it to train and to test on, and the seed of the draw.
    loss
        What is minimised on given samples.
    """

    regime: str = _key(Choice((PROPORTIONAL, FIXED)), PROPORTIONAL)
    samples_per_dim: float | None = _key(Number(infinite=True), None, PROPORTIONAL)
    width_per_dim: float | None = _key(Number(infinite=True), None, PROPORTIONAL)
    label_noise: float = _key(Number(open_low=False), 0.0, PROPORTIONAL)
    online: bool = _key(Flag(), False, PROPORTIONAL)
    inputs: str | None = _key(Text("the name of an .npz or .csv file"), None, FIXED)
    targets: str | None = _key(Text("the name of an .npz or .csv file"), None, FIXED)
    set: str | None = _key(Choice(SETS), None, FIXED)
    classes: tuple[int, ...] = _key(ListOf(Integer(0)), (0, 1), FIXED)
    samples: int = _key(Integer(2), 20, FIXED)
    test_samples: int = _key(Integer(0), 0, FIXED)
    seed: int = _key(Integer(0), 0, FIXED)
    loss: str = _key(Choice(LOSSES), "squared", FIXED)


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
        ``"equations"`` solves the derived equations: row by row where they close (memory grows with ``steps^2``), by
        sampling where they do not (slow, for small sizes). ``"conditioning"`` trains the infinite network itself: a
        linear one in a growing basis (for long runs), any other on sampled sites.
    exact
        Whether conditioning is without sampling error, the default for a linear network; ``false`` samples sites.
    tol
        Relative tolerance below which coordinates open no new direction.
    dtype
        Precision of the arrays.
    backend
        Language of the generated march.
    """

    method: str | None = _key(Choice(METHODS), None)
    exact: bool | None = _key(Flag(), None, FIXED)
    tol: float = _key(Number(high=1.0), 1e-8)
    dtype: str = _key(Choice(("float64", "float32")), "float64", PROPORTIONAL)
    backend: str = _key(Choice(("numba", "numpy", "mpmath")), "numba")


@dataclass(frozen=True, kw_only=True)
class SimulationSpec:
    """``[simulation]``: the finite networks that a theory is compared with.

    Parameters
    ----------
    dim
        Input dimension ``D`` of a simulated network; its width follows.
    width
        Width ``N`` of a network that is simulated on given samples.
    seeds
        Number of networks.
    seed
        Seed of the first one.
    """

    dim: int = _key(Integer(1), 1000, PROPORTIONAL)
    width: int = _key(Integer(1), 2000, FIXED)
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
    method
        ``"conditioning"`` or ``"equations"``: by which route; that of ``[solver]`` if given there, else the quicker.
    dependence
        ``"independent"`` is the classical condition, in which trained parts do not know the initial matrices.
    full
        Whether a simulation keeps all singular values (for histograms) instead of the largest ones.
    """

    matrices: tuple[str, ...] = _key(ListOf(Text('the name of a matrix, such as "W0"')), ())
    steps: tuple[int, ...] = _key(ListOf(Integer(0)), ())
    points: int = _key(Integer(0, 100_000), 200, PROPORTIONAL)
    method: str | None = _key(Choice(METHODS), None, PROPORTIONAL)
    dependence: str = _key(Choice(DEPENDENCE), DEPENDENCE[0], PROPORTIONAL)
    full: bool = _key(Flag(), False, PROPORTIONAL)


@dataclass(frozen=True, kw_only=True)
class SamplingSpec:
    """``[sampling]``: sampled sites of nonlinear networks.

    Parameters
    ----------
    sites
        Number ``S`` of sites, of all replicas together; even, because sites come in antithetic pairs. `SITES` if
        neither this nor ``error`` is given.
    error
        Wanted standard error of the outputs ``f``, instead of ``sites``.
    seed
        Seed of the random numbers.
    replicas
        Number of independent replicas that standard errors come from.
    tol
        Relative length below which a field opens no new direction; that of the sampling error by default.
    bias
        Whether the bias by few sites is estimated, with runs of half the sites; takes two to three times as long.
    """

    sites: int | None = _key(Even(2), None)
    error: float | None = _key(Number(), None)
    seed: int = _key(Integer(0), 0)
    replicas: int = _key(Integer(2, 1000), 8)
    tol: float | None = _key(Number(high=1.0), None)
    bias: bool = _key(Flag(), False)


@dataclass(frozen=True, kw_only=True)
class KernelsSpec:
    """``[kernels]``: at which steps kernels are kept.

    Parameters
    ----------
    steps
        Steps, counted from 0; the first and the last if empty.
    """

    steps: tuple[int, ...] = _key(ListOf(Integer(0)), (), FIXED)


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
    kernels: KernelsSpec
    old_words: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """A line for every word that changed."""

    @property
    def fixed(self) -> bool:
        """Whether samples are given."""
        return self.data.regime == FIXED

    @property
    def sampled(self) -> bool:
        """Whether results have sampling errors."""
        return self.fixed and not (self.solver.method == METHODS[1] and self.solver.exact)

    @property
    def notes(self) -> tuple[str, ...]:
        """Keys that are given and have no effect here, a line each."""
        lines = list(self.old_words)
        if self.sampling != SamplingSpec() and not self.sampled:
            lines.append("[sampling]: a linear network closes without sampling; these keys are not used")
        if self.solver.tol != SolverSpec.tol and self.sampled:
            lines.append("[solver] tol: it is that of coordinates and is not used; sampled sites have [sampling] tol")
        return tuple(lines)


SECTIONS: dict[str, type] = {
    "network": NetworkSpec,
    "data": DataSpec,
    "training": TrainingSpec,
    "solver": SolverSpec,
    "simulation": SimulationSpec,
    "spectrum": SpectrumSpec,
    "sampling": SamplingSpec,
    "kernels": KernelsSpec,
}


def keys_of(cls: type) -> dict[str, Rule]:
    """The rules of a section by key."""
    return {entry.name: entry.metadata["rule"] for entry in dataclasses.fields(cls)}


def shown(value: object) -> str:
    """A value the way TOML writes it."""
    if isinstance(value, str):
        return show(value).replace("'", '"') if '"' not in value else show(value)
    return show(value)


def regimes_of(cls: type) -> dict[str, str | None]:
    """The regime that a key of a section belongs to; ``None`` for both."""
    return {entry.name: entry.metadata["regime"] for entry in dataclasses.fields(cls)}
