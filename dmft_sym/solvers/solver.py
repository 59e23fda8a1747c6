"""The solver of a theory behind a call: parameters in, labelled arrays out."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from keyword import iskeyword
from time import perf_counter
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.support import notebook
from dmft_sym.support.deprecation import warn_old_word
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import BiasWarning, show
from dmft_sym.support.progress import reported

from .arguments import RunArguments, arguments_of, check_flag, check_progress, of_one_output, run_arguments, taken
from .attributes import common_attributes, with_rate
from .checkpoints import opened
from .coordinates import Coordinates
from .extensive import PopulationOfDirections, WrittenOut
from .flow import Flow, no_flow
from .generated_modules import march_module, sampled_module
from .march import RowMarch, march
from .method import CONDITIONING, WORDS, Arithmetic, Call, Progress, Solved, current_method
from .observables import described
from .sampled_sites import SiteSampling
from .two_time_sampling import TwoTimeSampling

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem

ARITHMETICS: tuple[type[Arithmetic], ...] = (
    RowMarch,
    PopulationOfDirections,
    TwoTimeSampling,
    Coordinates,
    WrittenOut,
    SiteSampling,
    Flow,
)
"""How a method is carried out; of those that apply to a problem, the first."""
DEFAULTS: Mapping[str, Any] = {
    "tol": None, "dtype": "float64", "order_parameters": True, "sites": None, "error": None, "seed": 0, "replicas": 8,
    "antithetic": True, "bias": False, "kernels": None, "matrices": (), "at": (), "threads": None,
    "workers": None, "scheduler": None,
}  # fmt: skip


@dataclass(frozen=True)
class MethodInfo:
    """What a method does for a theory.

    Attributes
    ----------
    name
        ``"equations"`` or ``"conditioning"``.
    summary
        How it is carried out.
    exact
        Whether results have no sampling error.
    options
        Options of the call that it takes.
    default
        Whether it is taken if a call names none.

    See Also
    --------
    Theory.methods : those of a theory.

    References
    ----------
    docs/mathematics.md, conditioning.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> [(method.name, method.exact) for method in ds.derive(ds.deep_linear(depth=1)).methods if method.default]
    [('equations', True)]
    """

    name: str
    summary: str
    exact: bool
    options: tuple[str, ...]
    default: bool


class Solver:
    """Solves one theory; ``solver(...)`` returns an `xarray.Dataset`.

    Modules are generated (or found in the cache) when they are first needed.

    Parameters
    ----------
    theory
        What `dmft_sym.derive` returned.
    backend
        ``"numba"`` (fast) or ``"numpy"`` (plain); for equations that close also ``"mpmath"`` (any precision).

    Raises
    ------
    ArgumentError
        If there is no such back end.

    See Also
    --------
    Theory.compile : what makes it.
    compare : its results beside finite networks.

    References
    ----------
    arXiv:2502.02531 and arXiv:2205.09653 (equations); Bolthausen, Commun. Math. Phys. 325, 333 (2014) (conditioning).

    Examples
    --------
    >>> import dmft_sym as ds
    >>> solver = ds.derive(ds.deep_linear(depth=1)).compile("numpy")
    >>> run = solver(samples_per_dim=2, width_per_dim=1, richness=1, learning_rate=0.1, steps=3)
    >>> run.train_loss.dims, run.C_h.dims
    (('step', 'output'), ('layer', 'step', 'output', 'step2', 'output2'))
    """

    def __init__(self, theory: Problem, backend: str = "numba") -> None:
        self.theory = theory
        allowed = ("numba", "numpy", "mpmath") if RowMarch.applies(theory) else ("numba", "numpy")
        if backend not in allowed:
            raise ArgumentError(f"backend = {show(backend)}: allowed are {', '.join(allowed)} {theory.data.where}")
        self.backend = backend
        self.__signature__ = self._signature()

    def _signature(self) -> inspect.Signature:
        """What a call takes for this theory, for help and completion: its parameters by name, and its options.

        A parameter that is a word of Python, such as ``lambda``, can be given as ``**{"lambda": 0.1}`` alone.
        """
        general = dict(inspect.signature(type(self).__call__).parameters)
        del general["self"], general["parameters"]
        unused = {name for name in DEFAULTS if not any(name in kind.options for kind in self._kinds)}
        unused.add("steps" if self.theory.training.continuous else "time")
        options = [one for name, one in general.items() if name not in unused]
        own = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if default is None else default,
                annotation="int" if parameter.integer else "float",
            )
            for name, (parameter, default) in arguments_of(self.theory).items()
            if name.isidentifier() and not iskeyword(name) and name not in general
        ]
        length, *others = options
        return inspect.Signature([length, *own, *others], return_annotation="xr.Dataset")

    @property
    def module(self) -> ModuleType | None:
        """The generated module; ``None`` where ``backend="numpy"`` runs the program itself."""
        if RowMarch.applies(self.theory):
            return march_module(self.theory, self.backend)
        return sampled_module(self.theory) if self.backend == "numba" else None

    def __repr__(self) -> str:
        methods = (f"  {m.name}: {m.summary}, {'exact' if m.exact else 'sampled'}" for m in self.methods)
        return notebook.shortened([self._title, f"  arguments {', '.join(taken(self.theory))}", *methods])

    def _repr_html_(self) -> str:
        rows = [(m.name, m.summary, "exact" if m.exact else "sampled", ", ".join(m.options)) for m in self.methods]
        calls = notebook.paragraph(f"arguments of a call: {', '.join(taken(self.theory))}")
        return notebook.heading(self._title) + calls + notebook.table(("method", "how", "results", "options"), rows)

    @property
    def _title(self) -> str:
        return f"Solver of {self.theory.program.name} by {self.backend}"

    @property
    def methods(self) -> tuple[MethodInfo, ...]:
        """What can be done for this theory, the default first."""
        default = self._default
        kinds = {word: self._arithmetic(word, None) for word in WORDS if any(self._arithmetics(word))}
        found = [
            MethodInfo(word, kind.summary, kind.exact(self.theory), tuple(sorted(kind.options)), word == default)
            for word, kind in kinds.items()
        ]
        return tuple(sorted(found, key=lambda info: not info.default))

    def __call__(
        self,
        *,
        steps: int | None = None,
        time: float | Sequence[float] | None = None,
        method: str | None = None,
        exact: bool | None = None,
        tol: float | None = None,
        dtype: str | None = None,
        order_parameters: bool | None = None,
        sites: int | None = None,
        error: float | None = None,
        seed: int | None = None,
        replicas: int | None = None,
        antithetic: bool | None = None,
        bias: bool | None = None,
        kernels: Sequence[float] | None = None,
        matrices: Sequence[str] | None = None,
        at: Sequence[float] | None = None,
        threads: int | None = None,
        workers: int | None = None,
        scheduler: str | None = None,
        progress: Progress | bool | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        **parameters: float,
    ) -> xr.Dataset:
        """Solve the theory.

        Parameters
        ----------
        steps
            Number of gradient steps ``T``.
        time
            Of a gradient flow, in place of ``steps`` and ``learning_rate``: ascending times from 0 at which results are
            wanted, or the last one, then with 200 others in logarithmic distances over five decades. Its unit is that
            of ``learning_rate`` times the number of steps.
        method
            ``"equations"``: the derived equations, marched (``O(T^3)`` time, ``O(T^2)`` memory) where they close, and
            sampled where they do not (slow, for a few steps and samples, to check the other). ``"conditioning"``: the
            program itself, on growing coordinates where it is linear (``O(T r^2)`` time, for long runs) and on sampled
            sites where it is not. By default equations in the proportional regime, conditioning on given samples.
        exact
            Whether conditioning runs on coordinates, without sampling error, the default for linear networks; or on
            sampled sites.
        tol
            Of conditioning: directions shorter than ``tol`` times their scale are dropped; 1e-8 by default, and
            ``1/sqrt(sites of a replica)`` for sampled sites.
        dtype
            ``"float64"`` or ``"float32"``; in the proportional regime.
        order_parameters
            Whether a march returns two-time correlations and responses as well.
        sites
            Number of sampled sites of a space, all replicas together; 20 000 by default. Standard errors fall as
            ``1/sqrt(sites)``.
        error
            Wanted standard error of ``f`` (the largest of all its entries) instead of ``sites``.
        seed
            Seed of the random numbers; the same seed gives the same numbers whatever the number of threads.
        replicas
            Number of independent networks that the sites are divided among (8); standard errors come from them.
        antithetic
            Sites in pairs with opposite readouts and backward noises, which takes most of the error early in training.
            Outliers of few sites have less bias without (docs/mathematics.md).
        bias
            Whether to estimate the bias by few sites, as ``<name>_bias``: both halves of every replica are run as well,
            so that all takes two to three times as long. ``sites`` are rounded up to a multiple of four a replica.
        kernels
            Where samples are given, steps at which kernels are kept; first and last by default, ``()`` for none.
            Negative ones count from the end. Of a flow, times.
        matrices, at
            Matrices (``"W0"``, ``"W1"``, ...) whose outliers are found where samples are given, and at which steps or
            times (the last by default).
        threads
            Number of threads of sampled sites; all cores by default.
        workers, scheduler
            Number of processes, or the address of a Dask scheduler, among which replicas (of sampled sites, in place
            of threads, or of sampled equations) are shared out; numbers do not depend on how many workers there are.
        progress
            A bar by default, where somebody looks and the run lasts; ``False`` for none. Or a function, called as
            ``progress(done, total)``, in steps of all replicas; with ``error``, trial runs come first,
            each of which counts from zero, as do the runs that sampled equations repeat (docs/mathematics.md).
        checkpoint
            A folder, made if it is not there, in which a long run on growing coordinates keeps its state; the same
            call goes on from it with the same numbers, bit for bit. Removed when the run is whole.
        **parameters
            ``richness`` (gamma0), ``learning_rate`` (eta0), ``init_std``, ``depth``, those of the forward pass, and
            the proportional regime ``samples_per_dim`` (alpha), ``width_per_dim`` (nu), ``label_noise`` (sigma_eps)
            and ``outputs``.

        Returns
        -------
        xarray.Dataset
            In the proportional regime ``train_loss`` and ``test_loss`` (step, output), per output and without the
            factor 1/2, and of a march order parameters ``C_<field>`` and ``R_<field>`` ([layer,] step, output, step2,
            output2). Where samples are given ``f`` (step, sample, output), training samples first; ``train_loss``
            (step, output) and ``test_loss`` (without the factor 1/2 for squared error; without ``output`` for
            softmax), accuracies; kernels of all layers (``Phi``, ``G``, ...: layer, kernel_step, sample, [output,]
            sample2, [output2]) and ``NTK``, with their alignments to the targets; ``outlier`` (matrix, spectrum_step,
            rank) and ``bulk_edge``. Sampled variables have standard errors ``<name>_sem`` and, with ``bias``,
            ``<name>_bias`` and ``<name>_bias_sem``: ``f - f_bias`` is what more sites would give. Of a flow, axes
            are ``time``, ``kernel_time`` and ``spectrum_time``. A run that diverges keeps the steps before and says so
            in the attributes ``outcome`` and ``outcome_remedy``.

        Warns
        -----
        BiasWarning
            If the replicas have too few sites for their directions.

        Raises
        ------
        ArgumentError
            Naming the argument, its value and what is allowed; more steps or sites than fit into memory.
        """
        from dmft_sym.results.equal_outputs import for_all_outputs
        from dmft_sym.results.heads import with_outputs
        from dmft_sym.results.names import in_time
        from dmft_sym.results.store import bias_notes

        from .measurements import including_measured

        start = perf_counter()
        given = {
            "tol": tol, "dtype": dtype, "order_parameters": order_parameters, "sites": sites, "error": error,
            "seed": seed, "replicas": replicas, "antithetic": antithetic, "bias": bias, "kernels": kernels,
            "matrices": matrices, "at": at, "threads": threads, "workers": workers, "scheduler": scheduler,
        }  # fmt: skip
        given = _with_old_names({name: value for name, value in given.items() if value is not None}, parameters)
        arguments, given = self._arguments(steps, time, parameters, given)
        method, exact = current_method(self.theory.data, method, exact)
        arguments = including_measured(arguments, kernels=kernels, at=at)
        kind = self._arithmetic(method, exact)
        options = _options(kind, given)
        check_progress(progress)
        one = of_one_output(self.theory, arguments) if kind.exact(self.theory) else arguments
        with reported("run", progress) as report:
            call = Call(self.theory, self.backend, one, options, report)
            solved = kind().run(call) if checkpoint is None else self._resumed(kind, call, checkpoint)
        if solved.outcome.step == 0:
            _check_ratios(arguments)
        spread = solved.dataset if one is arguments else for_all_outputs(solved.dataset, arguments.outputs)
        shown = with_outputs(with_rate(spread, arguments), self.theory.program)
        result = described(in_time(shown, arguments.times), self.theory)
        result.attrs = {
            **common_attributes(self.theory, arguments),
            **solved.attributes,
            **result.attrs,
            "method": kind.method,
            "exact": int(kind.exact(self.theory)),
            **solved.outcome.attrs(),
            "wall_time": perf_counter() - start,
        }

        for note in bias_notes(result):
            warnings.warn(note, BiasWarning, stacklevel=2)
        return result

    def _resumed(self, kind: type[Arithmetic], call: Call, checkpoint: str | os.PathLike[str]) -> Solved:
        """A run that goes on from its checkpoint, if there is one.

        Raises
        ------
        ArgumentError
            If the arithmetic has no checkpoints.
        """
        if not kind.resumes:
            raise ArgumentError(
                f"checkpoint: allowed with method={CONDITIONING!r} of a linear network; this is {kind.summary}"
            )
        settings = {**call.arguments.given, **vars(call.options), "outputs": call.arguments.outputs}
        with opened(checkpoint, "run", self.theory, settings) as parts:
            return kind().run(replace(call, checkpoint=parts))

    def raw(self, *, steps: int, progress: Progress | None = None, **parameters: float) -> dict[str, Any]:
        """What the generated ``march`` returns: unlabelled arrays, all order parameters, in the back end's numbers."""
        arguments = run_arguments(self.theory, steps, parameters)
        return march(self.theory, arguments, self.backend, np.float64, progress)

    def _arithmetics(self, method: str) -> list[type[Arithmetic]]:
        return [kind for kind in self._kinds if kind.method == method]

    @property
    def _kinds(self) -> list[type[Arithmetic]]:
        """What can be done for this theory."""
        continuous = self.theory.training.continuous
        return [kind for kind in ARITHMETICS if kind.continuous == continuous and kind.applies(self.theory)]

    @property
    def _default(self) -> str:
        """The method if a call names none; a flow has one."""
        return CONDITIONING if self.theory.training.continuous else self.theory.data.default_method

    def _arithmetic(self, method: str | None, exact: bool | None) -> type[Arithmetic]:
        """How a method is carried out.

        Raises
        ------
        ArgumentError
            If there is no such method, or none that is exact or not.
        """
        method = self._default if method is None else method
        if method not in WORDS:
            raise ArgumentError(f"method = {show(method)}: allowed are {', '.join(WORDS)}")
        for kind in self._arithmetics(method):
            if exact is None or kind.exact(self.theory) == exact:
                return kind
        if self.theory.training.continuous:
            raise ArgumentError(no_flow(self.theory, method, exact))
        if exact and method == CONDITIONING:
            raise ArgumentError("exact = true: allowed is false, conditioning is exact for a network that is linear")
        raise ArgumentError(f"exact = {show(exact)}: allowed with method = {method!r} is {show(not exact)}")

    def _arguments(
        self, steps: object, time: object, parameters: Mapping[str, object], given: dict[str, Any]
    ) -> tuple[RunArguments, dict[str, Any]]:
        """Checked arguments, and the options that any method of this theory has."""
        if not self._kinds:
            raise ArgumentError(no_flow(self.theory, CONDITIONING, None))
        known = [name for name in DEFAULTS if any(name in kind.options | kind.unused for kind in self._kinds)]
        unknown = {name: value for name, value in given.items() if name not in known}
        options = ["method", "exact", *known, "progress"]
        arguments = run_arguments(self.theory, steps, {**parameters, **unknown}, options, time)
        return arguments, given


def _with_old_names(given: dict[str, Any], parameters: dict[str, float]) -> dict[str, Any]:
    """Options under their present names."""
    if "samples" not in parameters:
        return given
    warn_old_word("samples=", "sites=")
    return {"sites": parameters.pop("samples"), **given}


def _options(kind: type[Arithmetic], given: Mapping[str, Any]) -> SimpleNamespace:
    """Options of an arithmetic with defaults filled in.

    Raises
    ------
    ArgumentError
        If one means nothing to it, or is neither true nor false where it has to be.
    """
    for name in ("antithetic", "bias", "order_parameters"):
        check_flag(name, given.get(name, True))
    for name, value in given.items():
        if name not in kind.options | kind.unused and value != DEFAULTS[name]:
            others = [other.method for other in ARITHMETICS if name in other.options and other.method != kind.method]
            use = f"it is an option of {others[0]!r}" if others else "the result is exact"
            raise ArgumentError(f"{name} with method = {kind.method!r}: allowed is nothing, {use}")
    return SimpleNamespace(**{**DEFAULTS, **given})


def _check_ratios(arguments: RunArguments) -> None:
    """A run that fails at once with an infinite ratio has coefficients without a limit: no learning rate helps.

    Raises
    ------
    ArgumentError
        If a ratio is infinite.
    """
    infinite = [str(symbol) for symbol, value in arguments.values.items() if np.isinf(float(value))]
    if infinite:
        raise ArgumentError(
            f"{' and '.join(infinite)} = inf: the equations of this network have no limit there; allowed is a finite "
            "value"
        )
