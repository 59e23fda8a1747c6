"""A generated solver behind a call: parameters in, labelled arrays out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.program import DEPTH
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.memory import NUMBER_OF_MPMATH, free_bytes, march_bytes, most_steps, shown_bytes
from dmft_sym.support.messages import show
from dmft_sym.support.outcomes import COMPLETED, Outcome, diverged, of_losses

from .arguments import RunArguments, check_dtype, run_arguments

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem

Progress = Callable[[int, int], None]
METHODS = ("march", "coordinates")
# A loss this many times its first value will not come back: the run is reported as diverged.
DIVERGENCE = 1e12


class Solver:
    """Solves the equations of one theory; ``solver(...)`` returns an `xarray.Dataset`.

    The module is generated (or found in the cache) when it is first needed.
    """

    def __init__(self, theory: Problem, backend: str = "numba") -> None:
        from dmft_sym.codegen import BACKENDS

        if backend not in BACKENDS:
            raise ArgumentError(f"backend = {show(backend)}: allowed are {', '.join(BACKENDS)}")
        self.theory = theory
        self.backend = backend
        self._module: ModuleType | None = None

    @property
    def module(self) -> ModuleType:
        """The generated module."""
        if self._module is None:
            from dmft_sym.cache.modules import load_module, program_key

            theory = self.theory
            key = program_key(str(theory.program), self.backend, theory.probes)
            with self._compilation():
                self._module = load_module(key, self.backend, self._source)
        return self._module

    def _source(self) -> str:
        from dmft_sym.codegen import solver_source
        from dmft_sym.support.progress import notice

        with notice("deriving the equations (a few seconds, once for each network)"):
            return solver_source(self.theory, self.backend)

    def _compilation(self) -> AbstractContextManager[None]:
        """A line on the terminal while the solver is compiled."""
        from dmft_sym.support.progress import compilation_notice

        return compilation_notice() if self.backend == "numba" else nullcontext()

    def __call__(
        self,
        *,
        steps: int,
        method: str = "march",
        tol: float = 1e-8,
        dtype: str = "float64",
        order_parameters: bool = True,
        progress: Progress | None = None,
        **parameters: float,
    ) -> xr.Dataset:
        """Run the theory.

        Parameters
        ----------
        steps
            Number of gradient steps ``T``.
        method
            ``"march"``: the generated march of the closed equations, ``O(T^3)`` time and ``O(T^2)`` memory.
            ``"coordinates"``: the program on growing bases, ``O(T r^2)`` time, losses only; for long runs.
        tol
            Tolerance of ``"coordinates"``: directions shorter than ``tol`` times their scale are dropped.
        dtype
            ``"float64"`` or ``"float32"``.
        order_parameters
            Whether to return the two-time correlations and responses as well (march only).
        progress
            Called as ``progress(done, steps)``.
        **parameters
            ``samples_per_dim`` (alpha), ``width_per_dim`` (nu), ``richness`` (gamma0), ``learning_rate`` (eta0),
            ``label_noise`` (sigma_eps), ``init_std``, ``depth``, ``outputs``, and those of the forward pass.

        Returns
        -------
        xarray.Dataset
            ``train_loss`` and ``test_loss`` (step, output), per output and without the factor 1/2; order parameters
            ``C_<field>`` and ``R_<field>`` ([layer,] step, output, step2, output2). A run that diverges keeps the
            steps before and says so in the attributes ``outcome`` and ``outcome_remedy``.

        Raises
        ------
        ArgumentError
            Naming the argument, its value and what is allowed; more steps than fit into memory, for a march.
        """
        if method not in METHODS:
            raise ArgumentError(f"method = {show(method)}: allowed are {', '.join(METHODS)}")
        check_dtype(dtype)
        arguments = run_arguments(self.theory, steps, parameters)
        start = time.perf_counter()
        if method == "march":
            scalars, order, outcome = self._march(arguments, dtype, order_parameters, progress)
        else:
            scalars, order, outcome = self._coordinates(arguments, tol, dtype, progress)
        if outcome.step == 0:
            _check_ratios(arguments)
        attrs = self._attributes(arguments, method, tol, dtype, outcome)
        attrs["wall_time"] = time.perf_counter() - start
        from dmft_sym.results.order_parameters import make_dataset

        return make_dataset(scalars, order, attrs)

    def raw(self, *, steps: int, progress: Progress | None = None, **parameters: float) -> dict[str, Any]:
        """What the generated ``march`` returns: unlabelled arrays, all order parameters, in the back end's numbers."""
        return self._call(run_arguments(self.theory, steps, parameters), np.float64, progress)

    def _call(self, arguments: RunArguments, dtype: Any, progress: Progress | None) -> dict[str, Any]:
        from dmft_sym.codegen.text.names import python_name

        self._check_memory(arguments, dtype)
        values = {python_name(symbol): value for symbol, value in arguments.values.items()}
        options = {} if self.backend == "mpmath" else {"dtype": dtype}
        module = self.module
        with np.errstate(all="ignore"), self._compilation():
            result: dict[str, Any] = module.march(
                steps=arguments.steps, outputs=arguments.outputs, progress=progress, **options, **values
            )
        return result

    def _check_memory(self, arguments: RunArguments, dtype: Any) -> None:
        """Refuse a march that cannot fit into memory; layers of networks of other kinds are counted by matrices."""
        depth = int(arguments.values.get(DEPTH, len(self.theory.program.matrices)))
        number = NUMBER_OF_MPMATH if self.backend == "mpmath" else np.dtype(dtype).itemsize
        needed, available = march_bytes(depth, arguments.steps * arguments.outputs, number), free_bytes()
        if needed > available:
            raise ArgumentError(
                f"steps = {arguments.steps}: allowed is what fits into memory; the march needs {shown_bytes(needed)} "
                f"and {shown_bytes(available)} are free: use at most "
                f"{most_steps(arguments.steps, needed, available)} steps, or method = 'coordinates'"
            )

    def _march(
        self, arguments: RunArguments, dtype: str, order_parameters: bool, progress: Progress | None
    ) -> tuple[dict[str, Any], Mapping[str, Any], Outcome]:
        result = self._call(arguments, np.dtype(dtype).type, progress)
        names = [observable.name for observable in self.theory.program.observables]
        losses = {name: np.asarray(result[name][: result["steps"]], dtype=float) for name in names}
        first = max((float(np.max(np.abs(rows[:1]), initial=0.0)) for rows in losses.values()), default=0.0)
        outcome = of_losses(*losses.values(), bound=DIVERGENCE * (first or 1.0))
        if outcome.completed and result["steps"] < arguments.steps:
            outcome = diverged(result["steps"])
        kept = arguments.steps if outcome.step is None else outcome.step
        losses = {name: rows[:kept] for name, rows in losses.items()}
        if not order_parameters or self.backend == "mpmath":
            return losses, {}, outcome
        from dmft_sym.results.order_parameters import label_order_parameters

        integers = {s.name: v for s, v in arguments.values.items() if s.is_integer}
        labels, retained = self.module.labels(**integers), self._retained(arguments)
        order = label_order_parameters(result, labels, result["scales"], kept, arguments.outputs, retained)
        return losses, order, outcome

    def _retained(self, arguments: RunArguments) -> dict[str, NDArray[Any]]:
        """What weight decay leaves of the Gaussian fields of trained matrices at every step, by their names."""
        program = self.theory.program
        keep = float(program.optimizer.retention(1).subs(arguments.values))
        if keep == 1:
            return {}
        left = keep ** np.arange(arguments.steps)
        return {use.noise_name: left for use in self.theory.uses.all if use.matrix in program.learned}

    def _coordinates(
        self, arguments: RunArguments, tol: float, dtype: str, progress: Progress | None
    ) -> tuple[dict[str, Any], Mapping[str, Any], Outcome]:
        from dmft_sym.execution import ExecutionError, run_coordinates

        report = None if progress is None else lambda done: progress(done, arguments.steps)
        try:
            result = run_coordinates(
                self.theory.program,
                arguments.values,
                arguments.outputs,
                arguments.steps,
                tol,
                np.dtype(dtype).type,
                progress=report,
            )
        except ExecutionError as error:
            raise ArgumentError(str(error)) from error
        done = min(len(rows) for rows in result.observables.values())
        return dict(result.observables), {}, COMPLETED if done == arguments.steps else diverged(done)

    def _attributes(
        self, arguments: RunArguments, method: str, tol: float, dtype: str, outcome: Outcome
    ) -> dict[str, Any]:
        marched = method == "march"
        return {
            **common_attributes(self.theory, arguments),
            "method": method,
            "tol": tol,
            "dtype": dtype,
            "backend": self.backend if marched else "",
            "module_hash": self.module.__dict__["__dmft_sym_hash__"] if marched else "",
            **outcome.attrs(),
        }


def common_attributes(theory: Problem, arguments: RunArguments) -> dict[str, Any]:
    """Attributes that theory and simulation share: parameters, network, versions."""
    from importlib.metadata import version

    rule = theory.training
    return {
        **arguments.given,
        "network": theory.network.name,
        "program_hash": hashlib.sha256(str(theory.program).encode()).hexdigest()[:16],
        "parametrization": str(theory.network.parametrization),
        "training": type(rule).__name__,
        "online": int(rule.fresh),  # netCDF has no truth values
        "momentum": arguments.given.get("momentum", rule.momentum),
        "weight_decay": arguments.given.get("weight_decay", rule.weight_decay),
        **{f"version_{name.replace('-', '_')}": version(name) for name in ("dmft-sym", "numpy", "numba")},
    }


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
