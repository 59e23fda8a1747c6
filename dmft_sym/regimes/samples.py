"""Given samples: inputs, targets and a loss, the data of a network of infinite width."""

from __future__ import annotations

import functools
import hashlib
import os
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import sympy as sp

from dmft_sym.networks.labelled import declared
from dmft_sym.networks.losses import F, Loss, Y, loss_named
from dmft_sym.networks.parametrization import MUP
from dmft_sym.networks.standard import Network, mlp
from dmft_sym.networks.traced import Setting, Trace
from dmft_sym.networks.training import TrainingRule
from dmft_sym.program import OUTPUT, SAMPLE, Axes, Label, Program, ProgramError
from dmft_sym.support.errors import SpecError
from dmft_sym.support.messages import DataWarning, show
from dmft_sym.support.real_arrays import Array, DataError, real_array

from .base import Regime, Size
from .further_inputs import MAIN, fields_of, gram_of, separated, together
from .keys import Check, NetworkKeys, SamplingKeys, Spec, SpectrumKeys, simulation_keys
from .sample_keys import CHECKS, KernelsKeys, SamplesData, SamplesNetwork, SamplesSolver, SamplesTraining
from .sample_program import FIXED, fixed_program

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MAX_SAMPLES = 10_000
_OF_PROPORTIONS = frozenset({"samples_per_dim", "width_per_dim", "label_noise", "outputs"})
USUAL_SIZE = 4.0
"""Mean ``|x|^2/D`` up to which, and down to whose inverse, nothing is said: within it, results differ by little."""


@dataclass(frozen=True, eq=False, repr=False)
class Samples(Regime):
    """``P`` given samples, and optionally test samples that are looked at but not trained on.

    The arrays are copied and read-only; two objects are equal if their content is. Samples may be repeated.

    Parameters
    ----------
    inputs
        Shape (P, D), finite real numbers. The first layer is ``D^{-1/2} W x``: scale inputs so that ``|x|^2/D`` is of
        order one. Samples that are sequences have the shape (P, K, D), see ``labels``. Several inputs are arrays by
        name, ``{"x": ..., "x2": ...}``: a forward pass receives ``x`` and has the others by ``net.given("x2")``.
    targets
        Shape (P, C), or (P,) for one output. With the loss ``"softmax"``, one column has the classes 0, 1, ... of the
        samples; they are kept as one-hot rows.
    loss
        ``"squared"``, ``"logistic"`` (targets -1 and 1), ``"softmax"``, or one of your own: a formula in the output
        ``f`` and the target ``y`` as text (``"(f - y)**4/4"``) or expression of SymPy, or a `Loss`; see
        `dmft_sym.networks.losses`.
    test_inputs, test_targets
        Test samples in the same form; both or none.
    labels
        Names of the axes of inputs between samples and dimension, such as ``("token",)`` for inputs of the shape
        (P, K, D). A forward pass has them by ``net.label("token", K)``.

    Attributes
    ----------
    count, total
        Number ``P`` of training samples, and of all samples.
    dim, outputs
        ``D`` and ``C``.
    all_inputs, all_targets
        Shape (total, D) and (total, C), training samples first.
    further
        Further inputs by name, of all samples.
    rule
        The loss with its error, values and accuracy.
    train
        1 for training samples and 0 for test samples, shape (total,).
    gram
        ``Kx = X X^T / D`` of all samples, shape (total, total), or of all tokens of all samples, tokens fastest;
        singular if they are repeated.
    digest
        SHA-256 of the content, 64 hexadecimal digits.

    Raises
    ------
    DataError
        If the arrays do not fit together or to the loss; one line that says where, rows counted from 0.

    Warns
    -----
    DataWarning
        If ``|x|^2/D`` of the training samples is on average below 1/4 or above 4.

    See Also
    --------
    datasets.digits : images of scikit-learn.
    Proportional : Gaussian inputs whose dimension grows.

    References
    ----------
    arXiv:2205.09653.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> samples = ds.Samples([[1.0, 0.0], [0.0, 2.0]], [1.0, -1.0])
    >>> samples.count, samples.dim, samples.outputs
    (2, 2, 1)
    >>> samples.gram.tolist()
    [[0.5, 0.0], [0.0, 2.0]]
    """

    inputs: Array
    targets: Array
    loss: str | Loss | sp.Expr = "squared"
    test_inputs: Array | None = None
    test_targets: Array | None = None
    labels: tuple[str, ...] = ()
    further: Mapping[str, Array] = field(init=False, default_factory=dict)
    rule: Loss = field(init=False)

    if TYPE_CHECKING:  # lists do as well

        def __init__(
            self,
            inputs: ArrayLike,
            targets: ArrayLike,
            loss: str | Loss | sp.Expr = "squared",
            test_inputs: ArrayLike | None = None,
            test_targets: ArrayLike | None = None,
            labels: str | tuple[str, ...] = (),
        ) -> None: ...

    word: ClassVar[str] = "fixed"
    example: ClassVar[str] = "Samples(inputs, targets)"
    where: ClassVar[str] = "where samples are given"
    default_method: ClassVar[str] = "conditioning"
    old_methods: ClassVar[Mapping[str, tuple[str, bool | None]]] = {
        "sampled": ("conditioning", False),
        "coordinates": ("conditioning", True),
        "direct": ("equations", None),
    }
    size: ClassVar[Size] = Size("width", "number of hidden units N", 2000)
    sections: ClassVar[Mapping[str, type]] = {
        "network": SamplesNetwork,
        "data": SamplesData,
        "training": SamplesTraining,
        "solver": SamplesSolver,
        "simulation": simulation_keys(size.keyword, size.meaning, size.default),
        "spectrum": SpectrumKeys,
        "sampling": SamplingKeys,
        "kernels": KernelsKeys,
    }
    checks: ClassVar[tuple[Check, ...]] = CHECKS
    spectra_of_runs: ClassVar[bool] = True
    placeholder: ClassVar[Mapping[str, str]] = {"kind": "mlp", "activation": "tanh"}

    def __post_init__(self) -> None:
        if (self.test_inputs is None) != (self.test_targets is None):
            given, missing = ("inputs", "targets") if self.test_targets is None else ("targets", "inputs")
            raise DataError(
                f"test_{missing} are missing: allowed are both test_inputs and test_targets, not test_{given}"
            )
        loss = loss_named(self.loss)
        labels = _names_of_axes(self.labels)
        main, others = separated("inputs", self.inputs)
        test_main, test_others = separated("test_inputs", self.test_inputs)
        inputs = _inputs("inputs", main, labels)
        test_inputs = None if self.test_inputs is None else _inputs("test_inputs", test_main, labels)
        targets, test_targets = _targets(loss, self.targets, self.test_targets)
        _check_counts("", inputs, targets)
        if test_inputs is not None and test_targets is not None:
            _check_counts("test_", test_inputs, test_targets)
            _check_columns(inputs, test_inputs, "inputs")
            _check_columns(targets, test_targets, "targets")
        object.__setattr__(self, "labels", labels)
        tests = None if test_inputs is None else test_others
        further = together(len(inputs), others, tests, 0 if test_inputs is None else len(test_inputs))
        object.__setattr__(self, "further", further)
        values = (inputs, targets, test_inputs, test_targets)
        for name, value in zip(("inputs", "targets", "test_inputs", "test_targets"), values, strict=True):
            object.__setattr__(self, name, None if value is None else _frozen(value))
        object.__setattr__(self, "rule", loss)
        object.__setattr__(self, "loss", self.loss if isinstance(self.loss, str) else loss)
        if self.total > MAX_SAMPLES:
            raise DataError(
                f"inputs with {self.total} samples: allowed are at most {MAX_SAMPLES}, test samples included"
            )
        for array in (self.inputs, *others.values()):
            _warn_of_size(array)

    @property
    def count(self) -> int:
        """Number ``P`` of training samples."""
        return len(self.inputs)

    @property
    def total(self) -> int:
        """Number of all samples."""
        return self.count + (0 if self.test_inputs is None else len(self.test_inputs))

    @property
    def dim(self) -> int:
        """Input dimension ``D``."""
        return int(self.inputs.shape[-1])

    @functools.cached_property
    def axes(self) -> Axes:
        """Labels of the inputs."""
        found = [SAMPLE]
        for name, size in zip(self.labels, self.inputs.shape[1:-1], strict=True):
            found.append(declared(name, int(size), found))
        return tuple(found)

    @property
    def outputs(self) -> int:
        """Number ``C`` of outputs."""
        return int(self.targets.shape[1])

    @property
    def sizes(self) -> dict[Label, int]:
        """Number of values of every label of a program on these samples."""
        return {**dict(zip(self.axes, self.all_inputs.shape, strict=False)), OUTPUT: self.outputs}

    @functools.cached_property
    def all_inputs(self) -> Array:
        """Inputs of training and test samples, shape (total, D)."""
        return _stacked(self.inputs, self.test_inputs)

    @functools.cached_property
    def all_targets(self) -> Array:
        """Targets of training and test samples, shape (total, C)."""
        return _stacked(self.targets, self.test_targets)

    @functools.cached_property
    def train(self) -> Array:
        """1 for training samples, 0 for test samples, shape (total,)."""
        return _frozen((np.arange(self.total) < self.count).astype(np.float64))

    @functools.cached_property
    def gram(self) -> Array:
        """``Kx = X X^T / D`` of all samples, shape (total, total)."""
        return gram_of(self.all_inputs)

    def gram_of(self, name: str) -> Array:
        """The overlaps of an input by its name in programs."""
        return gram_of(self.further[name]) if name in self.further else self.gram

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of loss, shapes and numbers: the same on every machine."""
        shapes = f"{self.rule.key} {self.count} {self.total} {self.dim} {self.outputs}\n"
        if self.labels:
            shapes += f"{self.labels} {self.inputs.shape[1:-1]}\n"
        shapes += "".join(f"{name} {array.shape[1]}\n" for name, array in self.further.items())
        content = hashlib.sha256(shapes.encode())
        for array in (self.all_inputs, self.all_targets, *self.further.values()):
            content.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return content.hexdigest()

    @property
    def text(self) -> str:
        """The loss of given samples."""
        return (
            f"$P$ samples $x_\\mu$ with targets $y_{{\\mu c}}$ are given. The loss is $\\frac{{1}}{{P}} \\sum_\\mu "
            f"\\ell(f(x_\\mu), y_\\mu)$ with $\\ell = {self.rule.latex}$, whose negative derivative by the "
            "output is the error $\\Delta$. The output is $f = (\\gamma_0 N)^{-1} w \\cdot \\phi$, and every array has "
            "the learning rate $\\eta_0 \\gamma_0^2 N$. The limit is $N \\to \\infty$ at fixed samples \\cite{dmft}."
        )

    @property
    def setting(self) -> Setting:
        """What forward passes are traced for."""
        given = fields_of(self.further)
        return replace(FIXED, input=replace(FIXED.input, axes=self.axes), given=given, outputs=self.outputs)

    @property
    def given(self) -> dict[str, Array]:
        """The arrays under the names that programs give them."""
        return {MAIN: self.all_inputs, **self.further, "y": self.all_targets, "train": self.train}

    def outputs_of(self, given: Mapping[str, Any]) -> int:
        """That of the targets."""
        return self.outputs

    @property
    def values(self) -> dict[sp.Symbol, float]:
        """The number of training samples."""
        return {SAMPLE.size: self.count}

    def refusal(self, argument: str) -> str | None:
        """Sizes, outputs and noise are those of the samples."""
        if argument == "label_noise":
            return "the samples are given; noise of every step is that of GradientDescent(label_noise=...)"
        return "the samples are given" if argument in _OF_PROPORTIONS else None

    def check(self, network: Network, probes: Collection[str]) -> None:
        """Outputs are those of the targets, the width is infinite, and results have no responses."""
        if network.outputs != self.outputs:
            raise ProgramError(
                f"outputs = {network.outputs} of the network: allowed is {self.outputs}, that of the targets"
            )
        if network.parametrization != MUP:
            raise ProgramError(
                f"parametrization {network.parametrization} with given samples: at infinite width features move under "
                "muP only; any other is its lazy limit, a small richness"
            )
        if len(probes):
            raise ProgramError(
                f"probes = {show(probes)}: allowed is nothing where samples are given, whose results have no responses"
            )

    def program(self, trace: Trace, training: TrainingRule, name: str) -> Program:
        """One step of training: forward fields, output, error, backward fields, updates.

        Raises
        ------
        ProgramError
            If the training rule draws fresh samples, or if the network has no limit on given samples.
        """
        if training.fresh:
            raise ProgramError("OnlineSGD with given samples: allowed is GradientDescent, every step sees all samples")
        self._check_draws(training)
        return self._step(trace, training, name, contracted=False)

    def executed(self, program: Program, trace: Trace, training: TrainingRule) -> Program:
        """One backward field for a sample, where it has several outputs."""
        return program if self.outputs == 1 else self._step(trace, training, program.name, contracted=True)

    def _step(self, trace: Trace, training: TrainingRule, name: str, *, contracted: bool) -> Program:
        masked = self.total > self.count
        return fixed_program(trace, training, self.rule.error, (F, Y), name, masked=masked, contracted=contracted)

    def _check_draws(self, training: TrainingRule) -> None:
        """Batches of samples that there are; noise on targets that are numbers."""
        batch = training.options.get("batch", 1)
        if batch > self.count:
            raise ProgramError(f"batch = {batch}: allowed is an integer from 1 to {self.count}, the number of samples")
        if training.target_noise is not None and self.rule.classes:
            raise ProgramError(f"label_noise with loss = {show(self.rule.name)}: allowed is 0, its targets are classes")

    def given_anew(self, training: TrainingRule, steps: int) -> dict[str, Array]:
        """Schedule, batches and noise."""
        return training.given(steps) | training.draws(steps, self.count, self.total, self.outputs)

    @classmethod
    def of_spec(cls, spec: Spec) -> Self:
        """The samples of files, or of a set."""
        from dmft_sym.data.arrays import arrays_of_files, arrays_of_set, with_axes

        data, outputs = spec.data, spec.network.outputs
        if data.set is None:
            arrays = with_axes(arrays_of_files(data.inputs, data.targets, axes=len(data.labels or ())), data.labels)
        else:
            drawn = {"loss": data.loss, "test_samples": data.test_samples}
            arrays = with_axes(arrays_of_set(data.set, data.classes, data.samples, data.seed, **drawn), data.labels)
        samples = cls(loss=data.loss, labels=tuple(data.labels or ()), **arrays)
        if outputs not in (None, samples.outputs):
            raise SpecError(
                f"[network] outputs = {outputs}: allowed is what the targets have, {samples.outputs}, or nothing"
            )
        return samples

    def network(self, keys: NetworkKeys) -> Network:
        """The network that a spec describes, with the outputs of the targets."""
        return mlp(keys.depth, "linear" if keys.kind == "deep-linear" else keys.activation, self.outputs)

    @classmethod
    def completed(cls, spec: Spec, folder: str) -> Spec:
        """A spec whose conditioning is exact where it can be; files are relative to its folder."""
        exact = spec.network.linear if spec.solver.exact is None else spec.solver.exact
        found = super().completed(spec, folder).replaced("solver", exact=exact)
        files = {name: getattr(spec.data, name) for name in ("inputs", "targets")}
        return found.replaced("data", **{k: None if v is None else os.path.join(folder, v) for k, v in files.items()})

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, Samples) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        tests = self.total - self.count
        axes = zip(self.labels, self.inputs.shape[1:], strict=False)
        labels = "".join(f", {size} values of {name}" for name, size in axes)
        return (
            f"<Samples: {self.count}{f' and {tests} for testing' if tests else ''}{labels}, dimension {self.dim}, "
            f"outputs {self.outputs}, loss {show(self.rule.name)}>"
        )


def _inputs(name: str, value: object, labels: tuple[str, ...]) -> Array:
    several = isinstance(value, np.ndarray) and value.ndim > 2 and not labels
    shape = f"({', '.join(['P', *labels, 'D'])})" + ('; with labels=("token",) it is (P, token, D)' if several else "")
    return real_array(name, value, shape, (2 + len(labels),))


def _targets(loss: Loss, targets: object, test_targets: object) -> tuple[Array, Array | None]:
    """Training and test targets; test classes have to be classes of the training samples."""
    trained = loss.check_targets(targets)
    if test_targets is None:
        return trained, None
    return trained, loss.check_targets(test_targets, "test_targets", trained.shape[1])


def _check_counts(prefix: str, inputs: Array, targets: Array) -> None:
    if len(inputs) != len(targets):
        raise DataError(
            f"{prefix}targets of {len(targets)} samples: allowed are as many as {prefix}inputs has, {len(inputs)}"
        )


def _check_columns(trained: Array, tested: Array, name: str) -> None:
    if trained.ndim != tested.ndim or trained.shape[1:-1] != tested.shape[1:-1]:
        raise DataError(
            f"test_{name} have the shape {tested.shape}: allowed is that of {name}, {trained.shape}, for other samples"
        )
    if trained.shape[-1] != tested.shape[-1]:
        raise DataError(
            f"test_{name} have {tested.shape[-1]} columns: allowed are as many as {name} has, {trained.shape[-1]}"
        )


def _names_of_axes(labels: object) -> tuple[str, ...]:
    """Names of the axes of inputs between samples and dimension."""
    names = (labels,) if isinstance(labels, str) else labels
    if not isinstance(names, tuple | list) or len(set(names)) < len(names):
        raise DataError(f'labels = {show(labels)}: allowed are different names, such as labels=("token",)')
    try:
        found: list[Label] = []
        for name in names:
            found.append(declared(name, 1, found))
    except ProgramError as error:
        raise DataError(f"labels = {show(labels)}: {error}") from None
    return tuple(names)


def _stacked(first: Array, second: Array | None) -> Array:
    return first if second is None else _frozen(np.concatenate([first, second]))


def _frozen(array: Array) -> Array:
    array.flags.writeable = False
    return array


def _warn_of_size(inputs: Array) -> None:
    """Point out inputs far from the scale that the parameters of a run are meant for."""
    size = float(np.mean(inputs**2))
    if not 1 / USUAL_SIZE <= size <= USUAL_SIZE and size > 0:
        message = (
            f"inputs with |x|^2/D = {size:.3g} on average: the first layer has the size that init_std = "
            f"{np.sqrt(size):.3g} would give, and learns {size:.3g} times as fast; divide inputs by "
            f"{np.sqrt(size):.3g} for the usual meaning of parameters"
        )
        warnings.warn(message, DataWarning, stacklevel=4)


def samples_of(regime: Regime) -> Samples:
    """The samples of a theory that has outputs and targets.

    Raises
    ------
    TypeError
        If there are none.
    """
    if not isinstance(regime, Samples):
        raise TypeError(f"{type(regime).__name__} has no samples")
    return regime
