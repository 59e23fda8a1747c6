"""`derive`: from a network, data and a training rule to a `Theory` that prints, generates and compiles.

The forward pass is traced at once, so that mistakes show where they are made; the SymPy stages run when they
are first needed, so that a solver found in the cache starts without them.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from .derivation.averaged import AveragedProgram
from .derivation.closure import ClosedEquations, Closure
from .derivation.exports import NamedParameter, named_parameters
from .derivation.fixed import FixedDerivation
from .derivation.fixed_sites import on_samples
from .derivation.processes import Process, find_processes
from .derivation.single_site import SiteBuilder, SiteEquation
from .derivation.stage import Stage
from .networks.parameters import STANDARD, Parameter
from .networks.parametrization import MUP
from .networks.standard import Network
from .networks.training import GradientDescent, TrainingRule
from .program import SAMPLES, Program, ProgramError
from .regimes.proportional import Proportional
from .regimes.samples import Samples
from .support.messages import show

if TYPE_CHECKING:
    from .solvers.sampled_solver import SampledSolver
    from .solvers.solver import Solver
    from .spectra.equations.bulk_equations import BulkEquations
    from .spectra.equations.joint import JointDerivation
    from .spectra.equations.spike_equations import SpikeEquations
    from .spectra.matrices.matrix_program import MatrixProgram


Data: TypeAlias = Proportional | Samples


class Theory(AveragedProgram):
    """The mean-field theory of one training program.

    Attributes
    ----------
    program : Program
        One training step, as statements over spaces.
    network, data, training
        What it was made from.
    """

    def __init__(self, network: Network, data: Data, training: TrainingRule, probes: Collection[str] = ()) -> None:
        self.network = network
        self.data = data
        self.training = training
        self.probes = tuple(probes)
        _check_samples(network, data)
        trace = network.trace(data.setting)
        self.program = data.program(trace, training, network.name)
        self.parameters = _parameters(self.program, trace.parameters)
        _check_probes(probes, self.program, [readout.vector.name for readout in trace.readouts])
        self.joint_derivations: dict[MatrixProgram, JointDerivation] = {}

    @cached_property
    def site_builder(self) -> SiteBuilder:
        """Single-site equations and noise covariances, made from the saddle points."""
        if on_samples(self.program):
            return self.fixed.builder
        return SiteBuilder(self.program, self.uses, self.saddle_points, self.probes)

    @cached_property
    def fixed(self) -> FixedDerivation:
        """The derivation where samples are given: scalars, tangents and closures of the single-site processes."""
        return FixedDerivation(self.program)

    @cached_property
    def site_equations(self) -> list[SiteEquation]:
        """Single-site equation of every field, in program order."""
        return self.site_builder.equations()

    @cached_property
    def processes(self) -> list[Process]:
        """Independent single-site processes."""
        noises = list(dict.fromkeys(term.noise for e in self.site_equations for term in e.noises))
        return find_processes(self.site_equations, self.uses, noises)

    @cached_property
    def closed(self) -> ClosedEquations:
        """Closed equations for responses and correlations, in the proportional regime.

        Raises
        ------
        ProgramError
            If samples are given; `fixed` has what closes then.
        """
        if on_samples(self.program):
            raise ProgramError("closed: allowed in the proportional regime; on given samples see fixed.closures")
        return Closure(self.site_builder, self.site_equations, self.processes).close()

    @cached_property
    def order_parameters(self) -> list[NamedParameter]:
        """Order parameters under the names that results use."""
        return named_parameters(self.closed, self.uses)

    @cached_property
    def steps(self) -> tuple[Stage, ...]:
        """The stages of the derivation; each prints as LaTeX."""
        from .derivation.presentation import stages

        return stages(self)

    def to_latex(self) -> str:
        """A self-contained LaTeX document with every stage."""
        from .derivation.presentation import document

        return document(self)

    def bulk(self, matrix: str | MatrixProgram) -> BulkEquations:
        """The matrix Dyson equation of the bulk of a trained matrix, symbolic.

        Parameters
        ----------
        matrix
            ``"W0"``, ``"W1"``, ``"W[l]"`` (any layer), ``"NTK"``, or a matrix made by `dmft_sym.operator`.

        Raises
        ------
        ProgramError
            If there is no such matrix.
        """
        from .spectra.equations.symbolic import symbolic_bulk

        return symbolic_bulk(self, matrix)

    def spikes(self, matrix: str | MatrixProgram, dependence: str = "joint") -> SpikeEquations:
        """The spike condition ``J(z) x = x`` of a trained matrix, symbolic.

        Parameters
        ----------
        matrix
            As for `bulk`.
        dependence
            ``"joint"``; or ``"independent"``, the classical condition in which updates do not know the initial weights.

        Raises
        ------
        ProgramError
            If there is no such matrix.
        """
        from .spectra.equations.symbolic import symbolic_spikes

        return symbolic_spikes(self, matrix, dependence)

    def source(self, backend: str = "numba") -> str:
        """Source of the generated solver.

        Parameters
        ----------
        backend
            ``"numba"`` (fast), ``"numpy"`` (plain) or ``"mpmath"`` (any precision, small sizes). Where samples are
            given ``"numba"`` only, the solver on sampled sites; see also `direct_source`.

        Raises
        ------
        ProgramError
            If there is no such solver.
        """
        from .codegen import generate

        if on_samples(self.program):
            from .codegen.programs.sampled import write

            if backend != "numba":
                raise ProgramError(
                    f"backend = {show(backend)}: allowed is 'numba' where samples are given; 'numpy' runs the program "
                    "itself, and direct_source() has the two-time equations"
                )
            return write(self.program)
        return generate(self.closed, self.order_parameters, backend)

    def direct_source(self) -> str:
        """Source of the direct two-time solver for given samples: plain NumPy, slow, from the single-site equations.

        Raises
        ------
        ProgramError
            If samples are not given, or a function is left open.
        """
        from .codegen.equations.two_time import two_time_source

        if not on_samples(self.program):
            raise ProgramError("direct_source: allowed for given samples, data=ds.Samples(inputs, targets)")
        return two_time_source(self.fixed)

    def compile(self, backend: str = "numba") -> Solver | SampledSolver:
        """The generated solver behind a call; see `Solver`, and `SampledSolver` for given samples."""
        if isinstance(self.data, Samples):
            from .solvers.sampled_solver import SampledSolver

            return SampledSolver(self, self.data, backend)
        from .solvers.solver import Solver

        return Solver(self, backend)

    def _repr_latex_(self) -> str:
        return self.steps[-1]._repr_latex_()

    def __str__(self) -> str:
        return str(self.program)


def derive(
    network: Network,
    data: Data | None = None,
    training: TrainingRule | None = None,
    *,
    probes: Collection[str] = (),
) -> Theory:
    """Derive the mean-field equations of training a network.

    Parameters
    ----------
    network
        ``deep_linear(...)``, ``mlp(...)``, or ``network(forward)`` with your own forward pass.
    data
        `Proportional` by default, or `Samples` (inputs and targets).
    training
        `GradientDescent` (default) or `OnlineSGD`.
    probes
        Names of readout vectors to add a source to, for time-resolved responses to it (``R_...``); in the proportional
        regime.

    Raises
    ------
    ProgramError
        If the forward pass is ill-formed or uses an undeclared symbol, or if an argument is of the wrong type.
    ArgumentError
        If the network has a default value that no run could use.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> theory = ds.derive(ds.deep_linear(depth=2))
    >>> len(theory.program.matrices)
    3
    """
    from .solvers.arguments import check_defaults

    data = Proportional() if data is None else data
    training = GradientDescent() if training is None else training
    if not isinstance(network, Network):
        wrap = "; wrap the forward pass: ds.network(forward)" if callable(network) else ""
        raise ProgramError(f"network = {show(network)}: allowed is a network, such as ds.deep_linear(){wrap}")
    for name, value, kinds in (("data", data, (Proportional, Samples)), ("training", training, (TrainingRule,))):
        if not isinstance(value, kinds):
            made = value if isinstance(value, type) and issubclass(value, kinds) else kinds[0]
            example = "GradientDescent" if made is TrainingRule else made.__name__
            arguments = "inputs, targets" if made is Samples else ""
            raise ProgramError(f"{name} = {show(value)}: allowed is an instance, such as ds.{example}({arguments})")
    theory = Theory(network, data, training, probes)
    check_defaults(theory)
    return theory


def _parameters(program: Program, own: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """Run-time parameters of the program; symbols that nobody declared are refused."""
    known = {parameter.symbol: parameter for parameter in (*STANDARD, *own)}
    used = [symbol.name for symbol in program.parameters]
    for parameter in own:
        keywords = [other.keyword for other in known.values()]
        if keywords.count(parameter.keyword) > 1 or used.count(parameter.symbol.name) > 1:
            raise ProgramError(f"parameter {parameter.keyword}: the name belongs to a standard parameter")
    parameters = [symbol for symbol in program.parameters if symbol != SAMPLES]
    for symbol in parameters:
        if symbol not in known:
            raise ProgramError(
                f"symbol {symbol} is not declared: the forward pass needs net.parameter({symbol.name!r})"
            )
    return tuple(known[symbol] for symbol in parameters)


def _check_probes(probes: Collection[str], program: Program, readouts: Collection[str]) -> None:
    """Refuse names of what has no time-resolved response."""
    if not len(probes):
        return
    if on_samples(program):
        raise ProgramError(
            f"probes = {show(probes)}: allowed is nothing where samples are given, whose results have no responses"
        )
    if isinstance(probes, str) or not set(probes) <= set(readouts):
        raise ProgramError(f"probes = {show(probes)}: allowed is a list of the readouts {', '.join(readouts)}")


def _check_samples(network: Network, data: Data) -> None:
    """Refuse networks that do not fit given samples."""
    if not isinstance(data, Samples):
        return
    if network.outputs != data.outputs:
        raise ProgramError(
            f"outputs = {network.outputs} of the network: allowed is {data.outputs}, that of the targets"
        )
    if network.parametrization != MUP:
        raise ProgramError(
            f"parametrization {network.parametrization} with given samples: at infinite width features move under muP "
            "only; any other is its lazy limit, a small richness"
        )
