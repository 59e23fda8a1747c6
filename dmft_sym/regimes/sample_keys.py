"""Keys of specs on given samples, and what does not fit together in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Literal

from annotated_types import Ge, Le

from dmft_sym.networks.parameters import BY_KEYWORD
from dmft_sym.support.messages import suggestion
from dmft_sym.support.real_arrays import DataError

from .key_words import missing
from .keys import (
    DISTINCT,
    LARGEST,
    LONGEST,
    Check,
    Count,
    DataKeys,
    Fault,
    File,
    Index,
    Keys,
    Labels,
    NetworkKeys,
    SolverKeys,
    Spec,
    Steps,
    Times,
    TrainingKeys,
    Words,
    late_steps,
    refused,
    shown,
)

LOSSES = ("squared", "logistic", "softmax")
FORMULA = 'a formula in f and y such as "(f - y)**4/4"'


@dataclass(frozen=True, kw_only=True)
class SamplesNetwork(NetworkKeys):
    """``[network]``: what is trained."""

    depth: Annotated[int, BY_KEYWORD["depth"], Le(LARGEST)]
    richness: Annotated[float, BY_KEYWORD["richness"]] = field()  # without the default of None


@dataclass(frozen=True, kw_only=True)
class SamplesData(DataKeys):
    """``[data]``: given samples, from files or drawn from a set.

    Parameters
    ----------
    inputs, targets
        Given samples: ``.npz`` or CSV files, relative to the folder of the spec.
    set
        A set that comes with scikit-learn, instead of files.
    classes, samples, test_samples, seed
        Which classes of the set, how many samples are drawn from it to train and to test on, and the seed of the draw.
    loss
        What is minimised on given samples: ``"squared"``, ``"logistic"``, ``"softmax"``, or a formula in the output
        ``f`` and the target ``y``.
    labels
        Labels of the inputs with their numbers of values, ``{token = 3}``, in the order of the axes between samples and
        dimension; rows of files have the values of the last label one after another.
    """

    regime: Literal["fixed"]
    inputs: File | None = None
    targets: File | None = None
    set: Literal["digits", "iris", "wine", "breast_cancer"] | None = None
    classes: Annotated[tuple[Index, ...], LONGEST, DISTINCT] = (0, 1)
    samples: Annotated[int, Ge(2), Le(LARGEST)] = 20
    test_samples: Index = 0
    seed: Index = 0
    loss: Annotated[str, Words(f"a name, or {FORMULA}")] = "squared"
    labels: Labels | None = None

    def faults(self) -> Iterator[Fault]:
        """A loss that is none."""
        yield from super().faults()
        if self.loss in LOSSES:
            return
        if self.loss.strip().isidentifier():
            names = " or ".join(map(shown, LOSSES))
            yield refused("data", "loss", self.loss, f"{names}, or {FORMULA}{suggestion(self.loss, LOSSES)}")
            return
        from dmft_sym.networks.losses import loss_named

        try:
            loss_named(self.loss)
        except DataError as error:
            yield Fault("data", "loss", f"[data] {error}")


@dataclass(frozen=True, kw_only=True)
class SamplesTraining(TrainingKeys):
    """``[training]``: gradient descent, or its flow in continuous time.

    Parameters
    ----------
    batch
        How many samples are drawn anew at every step; all of them if it is missing.
    label_noise
        Standard deviation of noise that is added to the targets anew at every step.
    seed
        Seed of the draws of batches and noise.
    """

    batch: Count | None = None
    label_noise: Annotated[float, BY_KEYWORD["label_noise"]] = 0.0
    seed: Index = 0

    @classmethod
    def of_rules(cls) -> dict[str, object]:
        """With what is drawn."""
        return {**super().of_rules(), "batch": None, "label_noise": 0, "seed": 0}


@dataclass(frozen=True, kw_only=True)
class SamplesSolver(SolverKeys):
    """``[solver]``: how the infinite network is computed.

    Parameters
    ----------
    exact
        Whether conditioning is without sampling error, the default for a linear network; ``false`` samples sites.
    """

    backend: Literal["numba", "numpy"] = "numba"
    exact: bool | None = None

    @property
    def sampled(self) -> bool:
        """Whether results have sampling errors."""
        return not (self.method == "conditioning" and self.exact)


@dataclass(frozen=True, kw_only=True)
class KernelsKeys(Keys):
    """``[kernels]``: at which steps kernels are kept.

    Parameters
    ----------
    steps
        Steps, counted from 0; the first and the last if empty.
    times
        Times of a flow, instead of steps.
    """

    steps: Steps = ()
    times: Times = ()


def _limit_of_width(spec: Spec) -> Iterator[Fault]:
    """Only muP has a limit of width in which features move."""
    if spec.network.exponent != 0.5:
        line = (
            f"[network] parametrization with exponent {spec.network.exponent:g}: allowed with regime = "
            f'"{spec.data.regime}" is "muP"; at infinite width NTK is the lazy limit, which a small richness has: set '
            "richness instead"
        )
        yield Fault("network", "parametrization", line)


def _either_files_or_set(spec: Spec) -> Iterator[Fault]:
    """Either files or a set; keys of the draw have no meaning without a set, whatever their value."""
    data, given = spec.data, spec.given("data")
    files, drawn = ("inputs", "targets"), ("classes", "samples", "test_samples", "seed")
    allowed = "nothing without set, the name of a set to draw from"
    for key in given:
        if data.set is None and key in drawn:
            yield refused("data", key, given[key], allowed)
        elif data.set is not None and key in files:
            yield refused("data", key, given[key], f"either {key} or set = {shown(data.set)}")
    if data.set is None and data.inputs is None:
        where = f'with regime = "{spec.data.regime}" is the name of a file, or set, the name of a set'
        yield Fault("data", "inputs", f"[data] inputs is missing: allowed {where}")


def _enough_sites(spec: Spec) -> Iterator[Fault]:
    """Sites or an error; two antithetic pairs in a replica."""
    sampling, low = spec.sampling, 4 * spec.sampling.replicas
    if sampling.sites is None:
        return
    if sampling.error is not None:
        yield refused("sampling", "error", sampling.error, f"either error or sites = {sampling.sites}")
    if sampling.sites < low:
        yield refused("sampling", "sites", sampling.sites, f"an even integer >= {low}, four for each of the replicas")


def _exact(spec: Spec) -> Iterator[Fault]:
    """Conditioning is exact for linear networks."""
    if spec.solver.exact and spec.own is None and not spec.network.linear:
        activation = shown(spec.network.activation)
        yield refused("solver", "exact", True, f"false; activation = {activation} is not linear")


def _no_matrices(spec: Spec) -> Iterator[Fault]:
    """Matrices that the network does not have; the tangent kernel is a variable of its own when samples are given."""
    depth = spec.network.depth
    where = 'is "W0"' if depth == 1 else f'are "W0" to "W{depth - 1}"'
    for name in spec.spectrum.matrices if spec.own is None else ():
        weight = re.fullmatch(r"W(0|[1-9]\d{0,8})", name)
        if weight is None or int(weight[1]) >= depth:
            line = f"[spectrum] matrices = {shown(name)}: allowed at depth = {depth} {where}"
            yield Fault("spectrum", "matrices", line)


def _an_activation(spec: Spec) -> Iterator[Fault]:
    """Perceptrons have an activation."""
    if spec.network.kind == "mlp" and spec.network.activation is None:
        yield missing(SamplesNetwork, "network", "activation")


CHECKS: tuple[Check, ...] = (
    _an_activation,
    _limit_of_width,
    _either_files_or_set,
    _enough_sites,
    _exact,
    _no_matrices,
    partial(late_steps, section="kernels"),
)
