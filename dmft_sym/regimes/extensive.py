"""Two-layer linear networks with as many outputs as hidden units: bulks that move, and not outliers.

``D, N, C -> inf`` at fixed ratios, on the population: inputs ``x ~ N(0, I_D)``, targets ``Theta* x``. The program is
the one of the proportional regime for an output, and the sum over outputs, of which there are finitely many there, is a
product with matrices here: ``w`` with the readout, ``betastar`` with the teacher. Updates have extensive rank
(`dmft_sym.program.Increment`): weights are polynomials of the initial ones and of the teacher (docs/extensive.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, Self

import sympy as sp
from annotated_types import Gt, Le, Lt

from dmft_sym.networks.linear_maps import MapWriter, scaled, transposed
from dmft_sym.networks.parameters import BY_KEYWORD, NU, Parameter
from dmft_sym.networks.parametrization import Parametrization, Scalings
from dmft_sym.networks.reverse import Backward, reverse
from dmft_sym.networks.standard import Network, deep_linear
from dmft_sym.networks.traced import PROPORTIONAL, Setting, Trace
from dmft_sym.networks.training import TrainingRule, updates
from dmft_sym.program import (
    DEPTH,
    Assign,
    Field,
    FieldRef,
    GaussianMatrix,
    Increment,
    Learn,
    Linear,
    LinearMap,
    MatrixRef,
    Observe,
    Program,
    ProgramError,
    RandomVector,
    Space,
    VectorRef,
    flatten,
)
from dmft_sym.support.messages import show

from .base import Regime, Size
from .keys import (
    LARGEST,
    Check,
    DataKeys,
    Fault,
    NetworkKeys,
    SamplingKeys,
    SolverKeys,
    Spec,
    TrainingKeys,
    refused,
    simulation_keys,
)
from .proportional import ProportionalSpectrum

OUTPUTS_PER_WIDTH = Parameter(
    sp.Symbol("chi", positive=True), "outputs_per_width", "chi = C/N, outputs per hidden unit"
)
TEACHER_STD = Parameter(
    sp.Symbol("sigma_star", nonnegative=True), "teacher_std", "standard deviation of sqrt(D) Theta*", open_low=False,
    default=1.0,
)  # fmt: skip
ONE_LAYER = Parameter(
    DEPTH, "depth", "number L of hidden layers", low=1, high=2, open_low=False, integer=True, default=1
)
TEACHER = "Theta"
ERROR = "Delta"


@dataclass(frozen=True, kw_only=True)
class ExtensiveNetwork(NetworkKeys):
    """``[network]``: what is trained."""

    kind: Literal["deep-linear"]
    depth: Annotated[int, BY_KEYWORD["depth"], Le(LARGEST)]
    richness: Annotated[float, BY_KEYWORD["richness"]]


@dataclass(frozen=True, kw_only=True)
class ExtensiveData(DataKeys):
    """``[data]``: the population of Gaussian inputs, with a linear teacher of as many outputs as the network.

    Parameters
    ----------
    outputs_per_width
        ``chi = C/N``, outputs per hidden unit.
    width_per_dim
        ``nu = N/D``.
    teacher_std
        Standard deviation of ``sqrt(D)`` times the entries of the teacher.
    frozen
        Whether readouts stay as they are at initialization.
    """

    regime: Literal["extensive"]
    outputs_per_width: Annotated[float, OUTPUTS_PER_WIDTH]
    width_per_dim: Annotated[float, Gt(0), Lt(math.inf)]
    teacher_std: Annotated[float, TEACHER_STD] = 1.0
    frozen: bool = False

    @property
    def parameters(self) -> dict[str, float]:
        """Keys that are arguments of a run."""
        names = ("outputs_per_width", "width_per_dim", "teacher_std")
        return {name: getattr(self, name) for name in names}


def _plain(spec: Spec) -> Iterator[Fault]:
    """Matrices that there are, and one hidden layer trained by plain gradient descent."""
    if spec.network.depth != 1:
        yield refused("network", "depth", spec.network.depth, "1", "extensive")
    if spec.network.outputs is not None:
        yield refused("network", "outputs", spec.network.outputs, "nothing, use outputs_per_width", "extensive")
    for key, usual in {**spec.training.of_rules(), "kind": "gradient-descent"}.items():
        value = getattr(spec.training, key)
        if value != usual:
            yield refused("training", key, value, "nothing else than plain gradient descent", "extensive")
    for name in spec.spectrum.matrices if spec.own is None else ():
        if name not in ("W0", "w"):
            yield refused("spectrum", "matrices", name, '"W0" and "w"', "extensive")


@dataclass(frozen=True)
class ExtensiveOutputs(Regime):
    """``C = chi N`` outputs of a two-layer linear network, trained on the population.

    ``f(x) = V W x / (gamma sqrt(nu))`` with entries ``N(0, s2/D)`` of ``W`` (the matrix ``W0``) and ``N(0, s2/N)`` of
    ``V`` (the readout ``w``); the target is ``Theta* x`` with entries ``N(0, teacher_std^2/D)`` of ``Theta*``.

    Parameters
    ----------
    frozen
        Whether readouts stay as they are at initialization.

    See Also
    --------
    Proportional : finitely many outputs.
    spectrum : bulks and their edges.

    References
    ----------
    arXiv:2605.07870, many outputs; Silverstein, J. Multivar. Anal. 55, 331 (1995).

    Examples
    --------
    >>> import dmft_sym as ds
    >>> theory = ds.derive(ds.deep_linear(1), data=ds.ExtensiveOutputs(frozen=True))
    >>> found = ds.spectrum(
    ...     theory, matrices=["W0"], at=[0, 12], steps=13, outputs_per_width=0.5, width_per_dim=1, teacher_std=2,
    ...     richness=2, learning_rate=0.3,
    ... )
    >>> found.bulk_edge.sel(matrix="W0", side="upper").values.round(3)
    array([2.  , 7.46])
    """

    frozen: bool = False

    word: ClassVar[str] = "extensive"
    example: ClassVar[str] = "ExtensiveOutputs(frozen=True)"
    where: ClassVar[str] = "with as many outputs as hidden units"
    default_method: ClassVar[str] = "conditioning"
    size: ClassVar[Size] = Size("dim", "input dimension D; a space has round(ratio * dim) sites", 1000)
    arguments: ClassVar[tuple[Parameter, ...]] = (ONE_LAYER,)
    sections: ClassVar[Mapping[str, type]] = {
        "network": ExtensiveNetwork,
        "data": ExtensiveData,
        "training": TrainingKeys,
        "solver": SolverKeys,
        "simulation": simulation_keys(size.keyword, size.meaning, size.default),
        "spectrum": ProportionalSpectrum,
        "sampling": SamplingKeys,
    }
    checks: ClassVar[tuple[Check, ...]] = (_plain,)

    def __post_init__(self) -> None:
        if not isinstance(self.frozen, bool):
            raise ProgramError(f"frozen = {show(self.frozen)}: allowed are True and False")

    @property
    def text(self) -> str:
        """The population, a linear teacher with as many outputs as the network."""
        return (
            "Inputs $x \\sim N(0, I_D)$ and all of them, with targets $\\Theta^* x$ in $C$ dimensions and the loss "
            "$\\frac{1}{2} \\langle |f(x) - \\Theta^* x|^2 \\rangle$; it is reported per output and without the factor "
            "$1/2$. The limit is $D, N, C \\to \\infty$ at fixed $\\nu = N/D$ and $\\chi = C/N$; otherwise conventions "
            "are those of finitely many outputs: every array has the learning rate $\\eta_0 \\gamma_N^2 D$ for entries "
            "of order one, $\\gamma = \\gamma_N/\\sqrt{\\nu}$ \\cite{linear}."
        )

    @property
    def own_parameters(self) -> tuple[Parameter, ...]:
        """Outputs per hidden unit, and the size of the teacher."""
        return (OUTPUTS_PER_WIDTH, TEACHER_STD)

    @property
    def setting(self) -> Setting:
        """Forward passes are those of finitely many outputs."""
        return replace(PROPORTIONAL, reserved=frozenset({"v", "x", "f", TEACHER, ERROR}))

    def outputs_of(self, given: Mapping[str, Any]) -> int:
        """Statements are about one input; that there are many outputs is the size of a space."""
        return 1

    def program(self, trace: Trace, training: TrainingRule, name: str) -> Program:
        """The forward pass on one input, whose error is observed, and updates as maps.

        Raises
        ------
        ProgramError
            If the forward pass has families of layers, or the training rule is not plain gradient descent.
        """
        _check_rule(training)
        trace = _at_one_layer(trace)
        if self.frozen:
            trace = replace(trace, frozen=trace.frozen | {readout.vector.name for readout in trace.readouts})
        maps = _Maps(trace, Space("C", OUTPUTS_PER_WIDTH.symbol * NU))
        increments = tuple(maps.increment(learn) for learn in updates(maps.backward, trace, Scalings().update))
        statements = maps.error_of_an_input()
        error = statements[-1].target
        loss = Observe("test_loss", ((sp.Integer(1), error, error),))
        return Program((*statements, loss), training.optimizer(), name, increments)

    @classmethod
    def of_spec(cls, spec: Spec) -> Self:
        """The data that a spec describes."""
        return cls(spec.data.frozen)

    def network(self, keys: NetworkKeys) -> Network:
        """The network that a spec describes."""
        return deep_linear(keys.depth, 1, Parametrization(keys.exponent))


def _check_rule(training: TrainingRule) -> None:
    plain = not training.continuous and not training.fresh and training.weight is None and training.by_norm is None
    if not plain or training.momentum or training.weight_decay or training.centered:
        raise ProgramError(
            f"training = {show(training)}: allowed with ExtensiveOutputs is GradientDescent() without options"
        )


def _at_one_layer(trace: Trace) -> Trace:
    """A trace with one hidden layer, its scans written out."""
    integers = {DEPTH: 1}
    statements = tuple(flatten(trace.statements, integers))
    readouts = tuple(replace(readout, field=readout.field.at(integers)) for readout in trace.readouts)
    for statement in statements:
        assert isinstance(statement, Assign)
        for _, atom in statement.value.terms:
            matrix = getattr(atom, "matrix", None)
            if matrix is not None and matrix.layer is not None:
                raise ProgramError(f"{statement}: allowed with ExtensiveOutputs are networks with one hidden layer")
    return replace(trace, statements=statements, readouts=readouts)


@dataclass(frozen=True)
class _Maps:
    """The maps of a network with many outputs.

    Fields of one output ``c`` are images of its unit vector: ``w_c = sqrt(N_j) V^T e_c`` and
    ``betastar_c = sqrt(D) Theta*^T e_c``. Backward fields are taken in units of ``sqrt(N)``, errors in those of
    ``sqrt(D)``.
    """

    trace: Trace
    space: Space
    backward: Backward = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "backward", reverse(self.trace, Scalings()))

    @property
    def teacher(self) -> MatrixRef:
        """``Theta*``."""
        return MatrixRef(GaussianMatrix(TEACHER, self.trace.input.space, self.space, TEACHER_STD.symbol**2))

    def readout(self, vector: RandomVector) -> MatrixRef:
        """``V``."""
        return MatrixRef(GaussianMatrix(vector.name, vector.space, self.space, vector.variance))

    def adjoints(self, writer: MapWriter) -> dict[FieldRef | VectorRef, Linear]:
        """Backward fields of a combination of outputs."""
        known: dict[FieldRef | VectorRef, Linear] = {}
        for readout in self.trace.readouts:
            vector = readout.vector
            value = writer.times(self.readout(vector), Linear.of(writer.input), True)
            known[VectorRef(vector)] = scaled(value, sp.sqrt(vector.space.ratio / NU))
        return writer.carried_out(_assigns(self.backward.statements), known)

    @property
    def function(self) -> LinearMap:
        """``x -> f``: the transpose of what the backward pass makes of a combination of outputs."""
        dim = self.trace.input.space
        writer = MapWriter("y", self.space)
        last = Assign(FieldRef(Field("q", dim)), self.backward.input_adjoint)
        values = self.adjoints(writer)
        found = writer.carried_out([last], values)[last.target]
        return transposed(writer.finished(scaled(found, Scalings().predictor * sp.sqrt(NU)), dim), "f")

    def error(self, writer: MapWriter, value: Linear) -> Linear:
        """``Theta* x - f(x)``."""
        return writer.times(self.teacher, value) + writer.after(self.function, value).scaled(-1)

    def forward(self, target: FieldRef) -> LinearMap:
        """From an input to a field of the forward pass."""
        writer = MapWriter("h", self.trace.input.space)
        given: dict[FieldRef | VectorRef, Linear] = {self.trace.input: Linear.of(writer.input)}
        values = writer.carried_out(_assigns(self.trace.statements), given)
        return writer.finished(values[target], target.space)

    def increment(self, learn: Learn) -> Increment:
        """What is added to a matrix: of every term ``left error right^T``, as maps."""
        readout = isinstance(learn.target, VectorRef)
        target = self.readout(learn.target.vector) if isinstance(learn.target, VectorRef) else learn.target
        matrix = target.matrix
        writer = MapWriter("a", matrix.source)
        total = Linear()
        for term in learn.terms:
            right = term.left if readout else term.right
            assert right is not None
            seen = Linear.of(writer.input)
            if right != self.trace.input:
                seen = writer.after(transposed(self.forward(right), "u"), seen)
            error = Linear.of(writer.named(self.error(writer, seen), self.space))
            if readout:
                total += scaled(error, term.coefficient / sp.sqrt(matrix.source.ratio))
            else:
                inner = MapWriter("z", self.space)
                back = inner.finished(self.adjoints(inner)[term.left], matrix.target)
                coefficient = term.coefficient * sp.sqrt(NU) / matrix.source.ratio
                total += scaled(writer.after(back, error), coefficient)
        forward = writer.finished(total, matrix.target)
        return Increment(matrix, forward, transposed(forward, "b"))

    def error_of_an_input(self) -> tuple[Assign, ...]:
        """Statements of a forward pass on one input, the error last."""
        dim = self.trace.input.space
        writer = MapWriter("x_", dim)
        value = self.error(writer, Linear.of(writer.input))
        first = Assign(writer.input, Linear.of(VectorRef(RandomVector("x", dim))))
        error = FieldRef(Field(ERROR, self.space))
        return (first, *writer.statements, Assign(error, value))


def _assigns(statements: Any) -> Iterator[Assign]:
    return (statement for statement in statements if isinstance(statement, Assign))
