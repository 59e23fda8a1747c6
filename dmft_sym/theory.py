"""`derive`: from a network, data and a training rule to a `Theory` that prints, generates and compiles."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .derivation.problem import Problem
from .networks.standard import Network
from .networks.training import GradientDescent, TrainingRule
from .program import LAYER, TIME, ProgramError
from .regimes import Proportional, Regime
from .support import notebook
from .support.messages import show
from .support.progress import DERIVING, notice

if TYPE_CHECKING:
    import xarray as xr

    from .derivation.named_symbols import Symbols
    from .derivation.stage import Stages
    from .limits.limit import Limit
    from .limits.limit_theory import LimitTheory
    from .solvers.exact_march import ExactRun
    from .solvers.solver import MethodInfo, Solver
    from .spectra.equations.bulk_equations import BulkEquations
    from .spectra.equations.spike_equations import SpikeEquations
    from .spectra.equations.symbolic import TheoryEquations
    from .spectra.matrices.matrix_program import MatrixProgram


class Theory(Problem):
    """The mean-field theory of one training program.

    Attributes
    ----------
    program : Program
        One training step, as statements over spaces.
    network, data, training
        What it was made from.

    See Also
    --------
    derive : what makes it.
    Solver : what `compile` returns.
    simulate : finite networks of the same program.

    References
    ----------
    arXiv:2205.09653, arXiv:2502.02531, arXiv:2605.07870; `cite` has those of a theory as BibTeX.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> theory = ds.derive(ds.deep_linear(depth=2))
    >>> [stage.name for stage in theory.steps][-2:]
    ['Single-site equations', 'Closed equations']
    >>> theory.equations.closed["train_loss"]
    Eq(train_loss(t, c), C_r(t, c, t, c))
    """

    @cached_property
    def steps(self) -> Stages:
        """The stages of the derivation; each shows itself as LaTeX, and prints as text."""
        from .derivation.presentation import stages

        with notice(DERIVING):
            return stages(self)

    @cached_property
    def equations(self) -> TheoryEquations:
        """Its equations as SymPy: ``single_site``, ``closed``, ``spikes("W1")``, ``bulk("W1")``.

        Each is a sequence of `sympy.Eq` with labels, on which ``subs``, ``limit``, ``series``, ``diff``, ``solve`` and
        ``lambdify`` work.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> theory = ds.derive(ds.deep_linear(1))
        >>> theory.equations.closed["A_Delta_v"].rhs.coeff(theory.symbols.s2)
        -R_g_u_W0(1, t, c, s, c')/gamma
        """
        from .spectra.equations.symbolic import TheoryEquations

        return TheoryEquations(self)

    @cached_property
    def symbols(self) -> Symbols:
        """Symbols of its equations by name: ``theory.symbols.gamma``; parameters, then labels."""
        from .derivation.named_symbols import Symbols
        from .derivation.symbols import COLUMN, STEPS
        from .spectra.equations.joint import EIGEN, SINGULAR

        labels = (label for label in (TIME, LAYER, *self.program.labels))
        indices = (symbol for label in labels for symbol in (label.symbol, label.other, label.size))
        return Symbols((*self.program.parameters, *indices, SINGULAR, EIGEN, *STEPS[1:], COLUMN))

    def to_latex(self) -> str:
        """A self-contained LaTeX document with every stage.

        Returns
        -------
        str
            With numbered equations, a summary of order parameters and references.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> "Single-site equations" in ds.derive(ds.deep_linear(depth=1)).to_latex()
        True
        """
        from .derivation.document import document

        return document(self, self.equations.closed)

    def bulk(self, matrix: str | MatrixProgram) -> BulkEquations:
        """The matrix Dyson equation of the bulk of a trained matrix, symbolic.

        Parameters
        ----------
        matrix
            ``"W0"``, ``"W1"``, ``"W[l]"`` (any layer), ``"NTK"``, or a matrix made by `dmft_sym.operator`.

        Returns
        -------
        BulkEquations
            A sequence of equations.

        Raises
        ------
        ProgramError
            If there is no such matrix.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> ds.derive(ds.deep_linear(depth=2)).bulk("W1")["m_b"].rhs
        1/(-s2*m_a(1, z) + z)
        """
        from .spectra.equations.symbolic import symbolic_bulk

        with notice(DERIVING):
            return symbolic_bulk(self, matrix)

    def spikes(self, matrix: str | MatrixProgram, dependence: str = "joint") -> SpikeEquations:
        """The spike condition ``J(z) x = x`` of a trained matrix, symbolic.

        Parameters
        ----------
        matrix
            As for `bulk`.
        dependence
            ``"joint"``; or ``"independent"``, the classical condition in which updates do not know the initial weights.

        Returns
        -------
        SpikeEquations
            A sequence of linear equations, with ``condition(steps=1)``.

        Raises
        ------
        ProgramError
            If there is no such matrix.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> ds.derive(ds.deep_linear(depth=2)).spikes("W1").dependence
        'joint'
        """
        from .spectra.equations.symbolic import symbolic_spikes

        with notice(DERIVING):
            return symbolic_spikes(self, matrix, dependence)

    def source(self, backend: str = "numba", method: str | None = None) -> str:
        """Source of the generated solver.

        Parameters
        ----------
        backend
            ``"numba"`` (fast), ``"numpy"`` (plain) or ``"mpmath"`` (any precision, small sizes). Where samples are
            given the solver on sampled sites, ``"numba"`` only.
        method
            ``"equations"``: where samples are given, the solver of the two-time equations instead (``"numba"`` or
            ``"numpy"``).

        Returns
        -------
        str
            A module that runs with NumPy (and Numba) alone.

        Raises
        ------
        ProgramError
            If there is no such solver.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> ds.derive(ds.deep_linear(depth=1)).source("numpy").splitlines()[0].strip('"')
        'Mean-field equations of training: deep linear network (numpy back end).'
        """
        from .codegen import solver_source

        return solver_source(self, backend, method)

    def direct_source(self) -> str:
        """Source of the direct two-time solver for given samples: plain NumPy, slow, from the single-site equations.

        Raises
        ------
        ProgramError
            If samples are not given, or a function is left open.
        """
        from .codegen import direct_source

        return direct_source(self)

    def compile(self, backend: str = "numba") -> Solver:
        """The solver behind a call; see `Solver`.

        Parameters
        ----------
        backend
            ``"numba"`` (fast), ``"numpy"`` (plain), or ``"mpmath"`` (any precision) for equations that close.

        Returns
        -------
        Solver
            Modules are generated, or found in the cache, when they are first needed.

        Raises
        ------
        ArgumentError
            If there is no such back end.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> solver = ds.derive(ds.deep_linear(depth=1)).compile("numpy")
        >>> solver(samples_per_dim=2, width_per_dim=1, richness=1, learning_rate=0.1, steps=2).attrs["backend"]
        'numpy'
        """
        from .solvers.solver import Solver

        return Solver(self, backend)

    def solve(self, *, backend: str = "numba", **arguments: Any) -> xr.Dataset:
        """A run: ``theory.compile(backend)(**arguments)``; see `Solver` for the arguments.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> run = ds.derive(ds.deep_linear(0)).solve(samples_per_dim=2, learning_rate=0.1, steps=2)
        >>> run.train_loss.sel(output=0).values.round(3).tolist()
        [1.0, 0.728]
        """
        return self.compile(backend)(**arguments)

    def limit(self, limit: Limit | str) -> LimitTheory:
        """A limit of the equations: what is left of them, what vanished, and a solver.

        Parameters
        ----------
        limit
            One of ``ds.limits``: ``wide``, ``population``, ..., or a ``ds.limits.Limit`` of your own. What is left has
            limits in turn where equations close, parameters are other ones, and the order does not matter:
            ``theory.limit("wide").limit("population")``.

        Raises
        ------
        ProgramError
            If there is no limit, naming the term that diverges and what would cure it.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> limiting = ds.derive(ds.deep_linear(1)).limit(ds.limits.wide)
        >>> limiting.equations["A_Delta_v"].rhs
        -eta0*C_g(1, t, c, 1, s, c')*S_kappa(t, s) - s2*R_g_u_W0(1, t, c, s, c')/gamma
        """
        from .limits.table import limit_of, named

        with notice(DERIVING):
            return limit_of(self, named(limit))

    def exact(self, steps: int = 1, **parameters: Any) -> ExactRun:
        """The first steps as rational functions of the parameters, by the march in exact arithmetic.

        Parameters
        ----------
        steps
            Number of steps, one by default; with all parameters open two take a second, with one open and numbers
            elsewhere six do.
        **parameters
            As of a run: ``samples_per_dim``, ``richness``, ...; numbers (``0.05`` is 1/20), fractions as text
            (``"1/3"``), or expressions of SymPy. One that is missing stays the symbol of `symbols`; of ``richness``
            that is ``gamma``, of ``init_std`` its square ``s2``.

        Returns
        -------
        ExactRun
            With the variables of a solver, such as ``test_loss[t]`` (one output) and ``C_h[l - 1, t, s]``, as SymPy.

        Raises
        ------
        ArgumentError
            If the equations do not close, or an argument is unknown or not exact.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> ds.derive(ds.deep_linear(1)).exact(steps=1).test_loss[0]
        (gamma**2*nu*sigma_eps**2 + gamma**2*nu + s2**2)/(gamma**2*nu)
        """
        from .solvers.exact_march import exact_run

        return exact_run(self, steps, parameters)

    def replace(self, **changes: Any) -> Theory:
        """The theory of another network, data or training, derived from the changed parts.

        Parameters
        ----------
        **changes
            Fields of the network (``depth``, ``outputs``, ``parametrization``, ``forward``, ...), of the data
            (``spectrum``, ``inputs``, ...) or of the training rule (``momentum``, ``centered``, ...); or ``network``,
            ``data``, ``training`` and ``probes`` as a whole. A name that two of them have is that of the first.

        Raises
        ------
        ProgramError
            If there is no such field, or no theory with its value.
        ArgumentError
            If the network has a default value that no run could use.

        Examples
        --------
        >>> import dmft_sym as ds
        >>> theory = ds.derive(ds.deep_linear(depth=2))
        >>> str(theory.replace(parametrization="NTK", momentum=0.9).network.parametrization)
        'NTK'
        """
        from .derivation.replacing import replaced

        return derive(**replaced(self.parts, changes))

    @property
    def methods(self) -> tuple[MethodInfo, ...]:
        """What a solver can do for this theory, and which methods are exact; the default first."""
        return self.compile("numpy").methods

    def _repr_html_(self) -> str:
        """Parameters and program; the stages of the derivation, each opened by a click."""
        rows = [(p.keyword, p.symbol, p.meaning, p.allowed) for p in self.parameters]
        head = ("argument", "symbol", "meaning", "allowed")
        try:
            steps = self.steps._repr_html_()
        except ProgramError as error:  # a regime may have no derivation by stages
            steps = notebook.paragraph(str(error))
        return "".join(
            [
                notebook.heading(f"Theory of {self.program.name}"),
                notebook.paragraph(self._made_from),
                self.program._repr_html_(),
                notebook.folded(f"parameters ({len(rows)})", notebook.table(head, rows)),
                steps,
            ]
        )

    def _repr_latex_(self) -> str:
        return self.steps[-1]._repr_latex_()

    def __str__(self) -> str:
        return str(self.program)

    def __repr__(self) -> str:
        names = ", ".join(parameter.keyword for parameter in self.parameters)
        return notebook.shortened(
            [
                f"<theory of {self.program.name}>",
                *(f"  {line}" for line in self._parts),
                f"  arguments of a run: {names}",
            ]
        )

    @property
    def _parts(self) -> tuple[str, ...]:
        return f"network: {self.network!r}", f"data: {self.data!r}", f"training: {self.training!r}"

    @property
    def _made_from(self) -> str:
        return "; ".join(self._parts)


def derive(
    network: Network,
    data: Regime | None = None,
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

    Returns
    -------
    Theory
        Prints its equations, compiles and solves them.

    Raises
    ------
    ProgramError
        If the forward pass is ill-formed or uses an undeclared symbol, or if an argument is of the wrong type.
    ArgumentError
        If the network has a default value that no run could use.

    See Also
    --------
    Theory.solve : a run of the infinite network.
    simulate : finite networks of the same program.
    network : a forward pass of your own.

    References
    ----------
    arXiv:2205.09653 (the method), arXiv:2502.02531 (proportional regime), arXiv:2605.07870 (spectra).

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
    if not isinstance(data, Regime):
        made = data if isinstance(data, type) and issubclass(data, Regime) else Proportional
        raise ProgramError(f"data = {show(data)}: allowed is an instance, such as ds.{made.example}")
    if not isinstance(training, TrainingRule):
        rule = training if isinstance(training, type) and issubclass(training, TrainingRule) else GradientDescent
        rule = GradientDescent if rule is TrainingRule else rule
        raise ProgramError(f"training = {show(training)}: allowed is an instance, such as ds.{rule.__name__}()")
    theory = Theory(network, data, training, probes)
    check_defaults(theory)
    return theory
