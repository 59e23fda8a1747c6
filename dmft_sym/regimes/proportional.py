"""A traced network with linear forward pass becomes the training program of the proportional regime.

``D, N, P -> inf`` at fixed ratios; ``x ~ N(0, I_D)``, ``y_c = beta*_c . x / sqrt(D) + sigma_eps eps_c``. By
linearity the network is its predictor ``beta``, and the forward fields of all samples enter updates only
through the combination ``v = (1/alpha) D^{-1/2} X^T r`` (arXiv:2605.07870, section 2; arXiv:2502.02531).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import sympy as sp
from annotated_types import Ge, Gt, Le, Lt

from dmft_sym.networks.parameters import ALPHA, BY_KEYWORD, LABEL_NOISE, NU, Parameter
from dmft_sym.networks.parametrization import Parametrization, Scalings
from dmft_sym.networks.reverse import reverse
from dmft_sym.networks.standard import Network, deep_linear
from dmft_sym.networks.traced import PROPORTIONAL, Setting, Trace
from dmft_sym.networks.training import TrainingRule, weighed
from dmft_sym.program import (
    OUTPUT,
    Assign,
    Field,
    FieldRef,
    GaussianMatrix,
    Initial,
    Label,
    Learn,
    Linear,
    MatrixRef,
    Observe,
    Product,
    Program,
    ProgramError,
    RandomVector,
    ScalarRef,
    SiteClasses,
    Space,
    Statement,
    Step,
    VectorRef,
)
from dmft_sym.program.observations import Observations
from dmft_sym.program.written_labels import written_statements
from dmft_sym.support.messages import show

from .base import Regime, Size
from .input_modes import PowerLaw, Spectrum, checked, of_samples
from .key_words import missing
from .keys import (
    KINDS,
    LONGEST,
    Check,
    DataKeys,
    Fault,
    Hints,
    Labels,
    Method,
    NetworkKeys,
    SamplingKeys,
    SolverKeys,
    Spec,
    SpectrumKeys,
    TrainingKeys,
    Words,
    refused,
    shown,
    simulation_keys,
)
from .labelled_inputs import LabelledInputs, Sizes, axes_of, checked_labels, written_observations
from .outputs_apart import OutputStep, added, traces_of_outputs, without_unread

MODES = SiteClasses(Label.of("mode class", "k", "k_s", "K"))
"""Modes of the inputs that have one eigenvalue and one variance of the teacher."""
EIGENVALUE, TEACHER = "Lambda", "b"
CLASSES = Words("a list of [weight, eigenvalue, variance of the teacher], the first two > 0, the last one >= 0")
Positive = Annotated[float, Gt(0), Lt(math.inf)]
Exponent = Annotated[float, Ge(0), Lt(math.inf)]
ONLY_SQUARED = (
    'allowed in the proportional regime is "squared", whose errors are linear; others are for given samples, '
    "ds.Samples(inputs, targets, loss)"
)
NONLINEAR = '; nonlinear networks are for given samples, regime = "fixed"'


@dataclass(frozen=True, kw_only=True)
class ProportionalNetwork(NetworkKeys):
    """``[network]``: what is trained."""

    kind: Annotated[Literal["deep-linear"], Hints({**KINDS, "mlp": NONLINEAR})]


@dataclass(frozen=True, kw_only=True)
class ProportionalData(DataKeys):
    """``[data]``: Gaussian inputs with a linear teacher.

    Parameters
    ----------
    samples_per_dim
        ``alpha = P/D``, the batch per dimension when online; ``inf`` is the population.
    width_per_dim
        ``nu = N/D``; ``inf`` is the infinitely wide network.
    label_noise
        Standard deviation ``sigma_eps`` of the noise on the labels.
    online
        A fresh batch at every step instead of the same samples.
    spectrum
        Classes of modes of the inputs: of each its weight, eigenvalue and variance of the teacher.
    decay
        ``lambda_k ~ k^-decay``: eigenvalues of inputs whose spectrum is a power law.
    source
        ``lambda_k b_k ~ k^-source``: what the modes contribute to the variance of the targets, in a power law.
    modes
        Number of modes of a power law.
    mode_classes
        Largest number of classes that they are put into.
    labels
        Labels of the inputs with their numbers of values, ``{token = 3}``: a sample is so many independent inputs.
    """

    regime: Literal["proportional"] = "proportional"
    samples_per_dim: Annotated[float, BY_KEYWORD["samples_per_dim"]]
    width_per_dim: Annotated[float, BY_KEYWORD["width_per_dim"]] | None = None
    label_noise: Annotated[float, BY_KEYWORD["label_noise"]] = 0.0
    online: bool = False
    spectrum: Annotated[tuple[tuple[Positive, Positive, Exponent], ...], LONGEST, CLASSES] | None = None
    decay: Exponent | None = None
    source: Exponent | None = None
    modes: Annotated[int, Ge(1), Le(10**8)] = 10_000
    mode_classes: Annotated[int, Ge(1), Le(10_000)] = 64
    labels: Labels | None = None

    @classmethod
    def needed(cls, table: Mapping[str, Any]) -> tuple[str, ...]:
        """A power law has two exponents."""
        law = ("decay", "source") if any(key in table for key in ("decay", "source")) else ()
        return (*super().needed(table), *law)

    def faults(self) -> Iterator[Fault]:
        """Two spectra, or none where a list is."""
        yield from super().faults()
        if self.spectrum is not None and self.decay is not None:
            yield refused("data", "decay", self.decay, "nothing with spectrum, which has the eigenvalues")
        if self.spectrum == ():
            yield refused("data", "spectrum", [], CLASSES.allowed)

    @property
    def modes_of_inputs(self) -> Iterable[tuple[float, float, float]] | None:
        """Classes of modes, if inputs are not isotropic."""
        if self.decay is not None and self.source is not None:
            return PowerLaw(self.decay, self.source, self.modes, self.mode_classes)
        return self.spectrum

    @property
    def fresh(self) -> bool:
        """Whether every step has fresh samples."""
        return self.online


@dataclass(frozen=True, kw_only=True)
class ProportionalSolver(SolverKeys):
    """``[solver]``: how the infinite network is computed.

    Parameters
    ----------
    dtype
        Precision of the arrays.
    """

    dtype: Literal["float64", "float32"] = "float64"

    @property
    def options(self) -> dict[str, Any]:
        """Further options of a run."""
        return {"dtype": self.dtype}


@dataclass(frozen=True, kw_only=True)
class ProportionalSpectrum(SpectrumKeys):
    """``[spectrum]``: matrices whose spectra are asked for, and at which steps.

    Parameters
    ----------
    points
        Number of points at which densities are computed; 0 for none.
    method
        ``"conditioning"`` or ``"equations"``: by which route; that of ``[solver]`` if given there, else the quicker.
    dependence
        ``"independent"`` is the classical condition, in which trained parts do not know the initial matrices.
    full
        Whether a simulation keeps all singular values (for histograms) instead of the largest ones.
    """

    points: Annotated[int, Ge(0), Le(100_000)] = 200
    method: Method | None = None
    dependence: Literal["joint", "independent"] = "joint"
    full: bool = False

    @property
    def values(self) -> int | None:
        """How many values a simulation keeps; 0 for all, ``None`` for the largest ones."""
        return 0 if self.full else None


def _hidden_layers(spec: Spec) -> Iterator[Fault]:
    """Hidden layers need a richness and a width."""
    if spec.network.depth > 0 and spec.network.richness is None:
        yield missing(ProportionalNetwork, "network", "richness")
    if spec.network.depth > 0 and spec.data.width_per_dim is None:
        yield missing(ProportionalData, "data", "width_per_dim")


def _no_matrices(spec: Spec) -> Iterator[Fault]:
    """Names that no matrix has at this depth."""
    depth = spec.network.depth
    for name in spec.spectrum.matrices if spec.own is None else ():
        weight = re.fullmatch(r"W(0|[1-9]\d{0,8})", name)
        if name != "NTK" and (weight is None or int(weight[1]) >= depth):
            weights = {0: "", 1: '"W0" and '}.get(depth, f'"W0" to "W{depth - 1}" and ')
            line = f'[spectrum] matrices = {shown(name)}: allowed at depth = {depth} are {weights}"NTK"'
            yield Fault("spectrum", "matrices", line)


def _independent(spec: Spec) -> Iterator[Fault]:
    """Conditioning knows the initial matrices."""
    dependence = spec.spectrum.dependence
    if dependence != "joint" and _method_of_spectra(spec) == "conditioning":
        line = (
            f'[spectrum] dependence = {shown(dependence)}: allowed is "joint" with method = "conditioning", which '
            'trains the network itself; use [spectrum] method = "equations"'
        )
        yield Fault("spectrum", "dependence", line)


def _method_of_spectra(spec: Spec) -> str:
    """The route to spectra: what ``[spectrum]`` says, else what ``[solver]`` says, else the quicker one."""
    from dmft_sym.spectra.methods import default_method

    if spec.training.continuous:
        return spec.spectrum.method or "conditioning"
    quicker = default_method(spec.network.outputs or 1, spec.data.fresh, spec.spectrum.dependence)
    if spec.data.modes_of_inputs is not None and spec.spectrum.dependence == "joint":
        quicker = "conditioning"
    return spec.spectrum.method or spec.solver.method or quicker


@dataclass(frozen=True)
class Proportional(Regime):
    """Gaussian inputs with a linear teacher, ``P = alpha D`` samples.

    Parameters
    ----------
    label_noise
        Default of the run-time parameter ``label_noise`` (``sigma_eps``).
    spectrum
        Classes of modes of the inputs: of each its weight, the eigenvalue of the covariance of the inputs, and the
        variance of the teacher; weights are in units of their sum. A list of such triples, or a `PowerLaw`. Isotropic
        inputs, one class with 1 and 1, if it is missing.
    loss
        ``"squared"``: errors are linear in outputs, as all of the regime is.
    labels
        Labels of the inputs with their numbers of values, ``{"token": 3}``: a sample is so many independent inputs,
        each with a teacher of its own, and its target the sum of what these say.

    See Also
    --------
    PowerLaw : a spectrum for it.
    Samples : inputs and targets that are given.

    References
    ----------
    arXiv:2502.02531; with a spectrum arXiv:2402.01092.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> data = ds.Proportional(labels={"token": 3})
    >>> data = ds.Proportional(spectrum=[(0.5, 2.0, 1.0), (0.5, 0.1, 3.0)])
    >>> data = ds.Proportional(spectrum=ds.PowerLaw(decay=1.5, source=1.8))
    """

    label_noise: float = 0.0
    spectrum: Spectrum | None = None
    loss: str = "squared"
    labels: Sizes = ()

    word: ClassVar[str] = "proportional"
    example: ClassVar[str] = "Proportional()"
    where: ClassVar[str] = "in the proportional regime"
    default_method: ClassVar[str] = "equations"
    size: ClassVar[Size] = Size("dim", "input dimension D; a space has round(ratio * dim) sites", 1000)
    old_methods: ClassVar[Mapping[str, tuple[str, bool | None]]] = {
        "march": ("equations", None),
        "coordinates": ("conditioning", None),
    }
    arguments: ClassVar[tuple[Parameter, ...]] = (BY_KEYWORD["outputs"],)
    sections: ClassVar[Mapping[str, type]] = {
        "network": ProportionalNetwork,
        "data": ProportionalData,
        "training": TrainingKeys,
        "solver": ProportionalSolver,
        "simulation": simulation_keys(size.keyword, size.meaning, size.default),
        "spectrum": ProportionalSpectrum,
        "sampling": SamplingKeys,
    }
    checks: ClassVar[tuple[Check, ...]] = (_hidden_layers, _no_matrices, _independent)

    @property
    def text(self) -> str:
        """Gaussian inputs and a linear teacher; the squared error."""
        isotropic = self.spectrum is None
        covariance = "I_D" if isotropic else "\\mathrm{diag}\\,\\Lambda_k"
        variances = "$\\beta^*_c$ and $\\varepsilon_c$ of variance one"
        if not isotropic:
            variances = (
                "$\\beta^*_c$ of variance $b_k$ and $\\varepsilon_c$ of variance one; $k$ is the class of a mode, and "
                "fields of the space $D$ are in units of the standard deviation of their modes \\cite{scaling,features}"
            )
        return (
            f"$P$ samples, or fresh batches of $P$ at every step, have inputs $x \\sim N(0, {covariance})$ and targets "
            f"$y_c = D^{{-1/2}} \\beta^*_c \\cdot x + \\sigma_\\varepsilon \\varepsilon_c$, with {variances}. "
            "The loss is "
            "$\\frac{1}{2P} \\sum_{\\mu c} (f_c(x_\\mu) - y_{\\mu c})^2$; losses are reported per output and without "
            "the factor $1/2$. The output is $f = \\gamma_N^{-1} N^{-1/2}\\, w \\cdot h$, and every array has the "
            "learning rate $\\eta_0 \\gamma_N^2 D$. The limit is $D, N, P \\to \\infty$ at fixed $\\nu = N/D$ and "
            "$\\alpha = P/D$, with $\\gamma = \\gamma_N / \\sqrt{\\nu}$ \\cite{linear}."
        )

    def __post_init__(self) -> None:
        if self.loss != "squared":
            raise ProgramError(f"loss = {show(self.loss)}: {ONLY_SQUARED}")
        if self.spectrum is not None:
            object.__setattr__(self, "spectrum", checked(self.spectrum))
        object.__setattr__(self, "labels", checked_labels(self.labels))

    @classmethod
    def from_samples(cls, inputs: Any, targets: Any, classes: int = 64) -> Self:
        """Gaussian inputs with the covariance of given ones, and their linear teacher.

        Eigenvalues are those of ``inputs^T inputs / samples``, variances of the teacher those of the least-squares
        solution along the modes, and the label noise is what this does not explain. All are estimates: samples should
        be many more than dimensions.

        Parameters
        ----------
        inputs
            Shape (samples, dimension); centered by the user, if at all.
        targets
            Shape (samples,) or (samples, outputs), of which the mean is taken.
        classes
            Largest number of classes of modes, over logarithmic distances of their eigenvalues.

        Raises
        ------
        ProgramError
            If the arrays are something else.
        """
        spectrum, noise = of_samples(inputs, targets, classes)
        return cls(noise, spectrum)

    @property
    def setting(self) -> Setting:
        """What forward passes are traced for."""
        given = replace(PROPORTIONAL.input, axes=(*axes_of(checked_labels(self.labels)), OUTPUT))
        if self.spectrum is None:
            return replace(PROPORTIONAL, input=given)
        modes = replace(given, space=replace(given.space, classes=MODES))
        return replace(PROPORTIONAL, input=modes, reserved=PROPORTIONAL.reserved | {"z", EIGENVALUE, TEACHER})

    @property
    def given(self) -> dict[str, np.ndarray[Any, Any]]:
        """Shares, eigenvalues and variances of the teacher of every class of modes."""
        if self.spectrum is None:
            return {}
        weights, eigenvalues, teacher = np.array(self.spectrum).T
        return {MODES.share: weights / weights.sum(), EIGENVALUE: eigenvalues, TEACHER: teacher}

    def noise_scale(self, matrix: GaussianMatrix, transpose: bool) -> sp.Expr:
        """``sqrt(n_out/n_in)`` of a transposed product: ratios may be infinite."""
        return sp.sqrt(matrix.aspect) if transpose else sp.Integer(1)

    @property
    def defaults(self) -> dict[str, object]:
        """The label noise."""
        return {"label_noise": self.label_noise}

    def program(self, trace: Trace, training: TrainingRule, name: str) -> Program:
        """One step of training: backward fields, error, forward fields, updates.

        Raises
        ------
        ProgramError
            If nothing is trained, or if the forward pass reads a random vector.
        """
        _check_draws(training)
        traces = traces_of_outputs(trace)
        if self.labels and len(traces) > 1:
            raise ProgramError(
                f"labels = {show(dict(self.labels))} with readouts of some outputs: allowed is one of both"
            )
        numbers = [None] if len(traces) == 1 else range(len(traces))
        parts = [self._output(*pair, training) for pair in zip(traces, numbers, strict=True)]

        def learned(coefficient: sp.Expr, weight: ScalarRef | None) -> list[Learn]:
            found = tuple(added(chain.from_iterable(part.updates(coefficient, weight) for part in parts)))
            labels = Step(tuple(chain.from_iterable((*p.backward.statements, *p.trace.statements) for p in parts)))
            return list(written_statements(labels, found) if self.labels else found)  # type: ignore[arg-type]

        weight, weighing = weighed(training, lambda w: learned(sp.Integer(1), w), 1 / NU)
        statements: list[Statement] = [
            *chain.from_iterable(part.named(part.statements) for part in parts),
            *weighing,
            *learned(Scalings().update, weight),
            *chain.from_iterable(part.named(part.observed) for part in parts),
        ]
        wanted = without_unread(statements) if len(parts) > 1 else statements
        return Program(tuple(wanted), training.optimizer(), name)

    def _output(self, trace: Trace, number: int | None, training: TrainingRule) -> OutputStep:
        """Statements of one output, or of all."""
        scalings = Scalings()
        backward = reverse(trace, scalings)
        dim = trace.input.space
        samples = Space("P", ALPHA)
        data = MatrixRef(GaussianMatrix("X", dim, samples, fresh=training.fresh))
        amplitude, variance = _of_modes(dim)
        inputs = LabelledInputs(trace.input.axes[:-1], dim, samples, training.fresh, variance)
        teacher = Linear.of(inputs.teacher if inputs.axes else VectorRef(RandomVector("betastar", dim, variance)))
        noise = VectorRef(RandomVector("eps", samples, fresh=training.fresh))
        value = backward.input_adjoint.scaled(scalings.predictor)
        predictor, centering = _predictor(value, training.centered, inputs.field("beta"))
        gap = inputs.field("Delta")
        seen = gap if amplitude == 1 else inputs.field("z")  # of which all components count alike
        error = FieldRef(Field("r", samples))
        before: list[Statement] = [
            *backward.statements,
            *centering,
            Assign(gap, teacher + predictor.scaled(-1)),
            *([] if amplitude == 1 else [Assign(seen, Linear.of(gap, amplitude))]),
        ]
        after: list[Statement] = [*trace.statements]
        products, factor = Linear.of(Product(data, seen)), amplitude / ALPHA
        sums: list[Statement] = [Assign(trace.input, Linear.of(Product(data, error, True), factor))]
        if inputs.axes:
            labels = Step((*before, *after))
            before, after = inputs.written(labels, before), inputs.written(labels, after)
            products, sums = inputs.error(seen), inputs.sums_of_samples(error, trace.input, factor)
        statements = (*before, Assign(error, products + Linear.of(noise, LABEL_NOISE)), *sums, *after)
        observed = (
            Observe("train_loss", ((sp.Integer(1), error, error),)),
            Observe("test_loss", tuple((sp.Integer(1), one, one) for one in inputs.ones(seen)), LABEL_NOISE**2),
        )
        return OutputStep(backward, trace, statements, observed, number)

    def observations(self, trace: Trace) -> Observations:
        """Those of the network, with labels written out."""
        return written_observations(Step((*trace.statements, *trace.observations.statements)), trace.observations)

    @classmethod
    def of_spec(cls, spec: Spec) -> Self:
        """The data that a spec describes."""
        return cls(spec.data.label_noise, spec.data.modes_of_inputs, labels=spec.data.labels or ())

    def network(self, keys: NetworkKeys) -> Network:
        """The network that a spec describes."""
        return deep_linear(keys.depth, keys.outputs or 1, Parametrization(keys.exponent))

    @classmethod
    def completed(cls, spec: Spec, folder: str) -> Spec:
        """A spec with one output, and the route to spectra, if nothing is said."""
        found = super().completed(spec, folder).replaced("network", outputs=spec.network.outputs or 1)
        return found.replaced("spectrum", method=_method_of_spectra(spec))


def _of_modes(dim: Space) -> tuple[sp.Expr, sp.Expr]:
    """Standard deviation of inputs, and variance of the teacher, along the modes."""
    if dim.classes is None:
        return sp.Integer(1), sp.Integer(1)
    return sp.sqrt(dim.classes.value(EIGENVALUE)), dim.classes.value(TEACHER)


def _check_draws(training: TrainingRule) -> None:
    """Batches and noise are those of the samples."""
    if training.batch_weight is not None:
        raise ProgramError("batch in the proportional regime: allowed is nothing; OnlineSGD has fresh samples")
    if training.target_noise is not None:
        raise ProgramError(
            "label_noise of a training rule: allowed in the proportional regime is 0; that of the samples is an "
            "argument of a run, or of Proportional"
        )


def _predictor(value: Linear, centered: bool, beta: FieldRef) -> tuple[Linear, list[Statement]]:
    """The predictor, from which that of the first step is subtracted if it is ``centered``; a statement names it."""
    if not centered:
        return value, []
    return Linear.of(beta) + Linear.of(Initial(beta), -1), [Assign(beta, value)]
