"""Bulk, outliers and sharpness along training, as labelled arrays: level two for users."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from time import perf_counter
from typing import TYPE_CHECKING, Any

from dmft_sym.results.equal_outputs import EQUAL, NOTE
from dmft_sym.results.names import in_time
from dmft_sym.spectra.methods import DEPENDENCE, check_method, default_method
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show
from dmft_sym.support.progress import reported
from dmft_sym.workers import asked_crew

from .arguments import check_integer, check_time, of_one_output, run_arguments
from .attributes import common_attributes, with_rate
from .extensive import PopulationOfDirections
from .flow import flow_tolerance, no_flow
from .memory import check_march_of
from .method import CONDITIONING, Progress, current_method
from .spectrum_parts import part_of, shared_out
from .spectrum_request import check_request, check_tolerance, listed_places
from .spectrum_routes import WantedSpectra

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem
    from dmft_sym.spectra import MatrixProgram


def spectrum(
    theory: Problem,
    *,
    matrices: Sequence[str | MatrixProgram],
    at: Sequence[float],
    steps: int | None = None,
    time: float | Sequence[float] | None = None,
    method: str | None = None,
    dependence: str | None = None,
    tol: float | None = None,
    points: int = 0,
    overlaps: bool = True,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | bool | None = None,
    **parameters: Any,
) -> xr.Dataset:
    """Predict the spectra of matrices of the network at chosen steps of training.

    Where samples are given, the network is trained on sampled sites (or in coordinates, if it is linear) and the result
    has ``outlier``, its standard error ``outlier_sem`` and ``bulk_edge``; a `Solver` finds them along with
    everything else, ``solver(matrices=..., at=...)``.

    Parameters
    ----------
    matrices
        Names: ``"W0"``, ``"W1"``, ... or those of your own network, and ``"NTK"``, the Gauss-Newton matrix of the loss;
        or products and sums of them, made by `dmft_sym.operator`. Where samples are given, names of matrices between
        hidden layers.
    at
        Steps; a spectrum is that of the weights before the update of the step. Of a flow, times.
    steps, time
        Number of gradient steps of the run; of a gradient flow its end, or times as for a `Solver`.
    method
        ``"conditioning"``: growing coordinates. ``"equations"``: the derived spike condition on two-time matrices.
        The numbers agree. By default the quicker one: coordinates for full batches, else the march; the
        NTK of inputs with a spectrum is by ``"equations"`` alone.
        Where samples are given, that of a `Solver`.
    dependence
        ``"joint"`` (default), or ``"independent"``: the classical condition, in which the trained part of a matrix does
        not know its initial part. That needs ``"equations"``, which is then the default.
    tol
        Tolerance of ``"conditioning"``, 1e-8 by default; where samples are given, that of a `Solver`.
    points
        Number of points at which the density of every bulk is computed; 0 for none.
    overlaps
        Whether overlaps are wanted, which take most of the time with ``"equations"``.
    workers, scheduler
        Number of processes, or the address of a Dask scheduler, among which the steps are shared out (replicas where
        samples are given); all is done in this process if neither is given. Numbers do not depend on how many workers
        there are.
    progress
        A bar by default, where somebody looks and it lasts; ``False`` for none. Or a function, called as
        ``progress(done, total)`` in spectra (``"equations"``) or steps (``"conditioning"``), with workers in
        pieces of work.
    **parameters
        As for a `Solver`.

    Returns
    -------
    xarray.Dataset
        ``outlier`` (matrix, spectrum_step, rank): singular values (eigenvalues of the NTK) above the bulk, descending,
        with multiplicity, NaN where there is none. ``bulk_edge`` (matrix, spectrum_step, side): ends of the support,
        lower ones where ``points`` is given. ``overlap`` (matrix, spectrum_step, rank, direction, output): ``|cos|``
        between the vectors of an outlier and a field, ``"a v"`` for right singular vectors with ``v``. ``escape_step``
        (matrix): where the first outlier leaves the bulk, between step 0 and the last step asked for, interpolated.
        Of a flow the axis is ``spectrum_time``, and the variable ``escape_time``.
        ``sharpness`` (spectrum_step): leading eigenvalue of the NTK; gradient descent is stable below
        ``2 / learning_rate``.
        ``density`` and ``value`` (matrix, spectrum_step, point): density of the bulk, normalised to one together with
        what lies at zero; a matrix has as many singular values as rows or columns, whichever are fewer. What could not
        be computed is NaN and named in the attribute ``spectrum_failures``.

    Raises
    ------
    ArgumentError
        Naming the argument, its value and what is allowed: a matrix that does not exist, a step beyond the run, a
        ``dependence`` that the method does not have.

    See Also
    --------
    operator : further matrices.
    critical : where the first outlier appears.
    measure : spectra of weights of real networks.

    References
    ----------
    arXiv:2605.07870; Baik, Ben Arous, Peche, Ann. Probab. 33, 1643 (2005).

    Examples
    --------
    >>> import dmft_sym as ds
    >>> found = ds.spectrum(
    ...     ds.derive(ds.deep_linear(2)), matrices=["W1"], at=[20, 59], steps=60, method="conditioning",
    ...     samples_per_dim=4, width_per_dim=1, richness=8, learning_rate=0.004, label_noise=0.3,
    ... )
    >>> found.outlier.sel(matrix="W1", spectrum_step=59).values.round(4)
    array([2.2228])
    """
    points = check_integer("points", points, 0)
    if theory.program.averaged:
        where = theory.data.where
        if points:
            raise ArgumentError(f"points = {points}: allowed is 0 {where}, the bulk keeps its shape")
        options = {"method": method, "tol": tol, "progress": progress, **parameters}
        options |= {
            name: value for name, value in (("workers", workers), ("scheduler", scheduler)) if value is not None
        }
        if dependence not in (None, DEPENDENCE[0]):
            raise ArgumentError(f"dependence = {show(dependence)}: allowed is 'joint' {where}")
        return _along_a_run(theory, matrices=matrices, at=at, steps=steps, time=time, **options)
    crew = asked_crew(workers, scheduler)
    start = perf_counter()
    dependence = DEPENDENCE[0] if dependence is None else dependence
    method = current_method(theory.data, method, None)[0]
    check_method(method, dependence)
    if theory.training.continuous:
        method, tol = _method_of_flow(theory, method, dependence), flow_tolerance(theory, tol)
    tol = check_tolerance(1e-8 if tol is None else tol)
    arguments = run_arguments(theory, steps, parameters, time=time)
    if arguments.times is not None:
        end = arguments.times[-1]
        arguments = arguments.only(check_time("at", place, end) for place in listed_places(arguments, at))
    chosen, kept = check_request(theory, arguments, matrices, at)
    if theory.program.increments:
        method = _method_of_increments(theory, method, dependence)
    if method is None:
        fresh = any(matrix.fresh for matrix in theory.program.matrices)
        method = default_method(of_one_output(theory, arguments).outputs, fresh, dependence)
        method = "equations" if any(one.of_classes for one in chosen.values()) else method
    if method == "equations" and not theory.program.increments:
        check_march_of(theory, arguments, "numba")
    one = of_one_output(theory, arguments)
    parameters = parameters if one is arguments else {**parameters, "outputs": 1}
    with reported("spectra", progress) as report:
        wanted = WantedSpectra(theory, one, parameters, chosen, kept, dependence, tol, points > 0, overlaps, report)
        if crew is None or theory.program.increments:
            found, outcome = part_of(wanted, method, points, arguments)
            dataset = found.dataset
        else:
            dataset, outcome = shared_out(crew, wanted, method, points, arguments)
    dataset = in_time(with_rate(dataset, arguments), arguments.times)
    options = {"method": method, "dependence": dependence, "tol": tol}
    dataset.attrs |= {**common_attributes(theory, arguments), **options, **outcome.attrs()}
    if one is not arguments:
        dataset.attrs[EQUAL] = NOTE
    dataset.attrs["wall_time"] = perf_counter() - start
    return dataset


def _method_of_flow(theory: Problem, method: str | None, dependence: str) -> str:
    """The route to spectra of a flow.

    Raises
    ------
    ArgumentError
        If another one is asked for.
    """
    if dependence != DEPENDENCE[0]:
        name = type(theory.training).__name__
        raise ArgumentError(f"dependence = {show(dependence)}: allowed with {name} is {DEPENDENCE[0]!r}")
    if method not in (None, CONDITIONING):
        raise ArgumentError(no_flow(theory, str(method), None))
    return CONDITIONING


def _method_of_increments(theory: Problem, method: str | None, dependence: str) -> str:
    """The route to spectra where updates have extensive rank.

    Raises
    ------
    ArgumentError
        If they are not to know the initial matrices.
    """
    if dependence != DEPENDENCE[0]:
        raise ArgumentError(f"dependence = {show(dependence)}: allowed {theory.data.where} is {DEPENDENCE[0]!r}")
    return method or ("equations" if PopulationOfDirections.applies(theory) else CONDITIONING)


def _along_a_run(theory: Problem, **arguments: Any) -> xr.Dataset:
    """Outliers from a run of the solver; matrices and steps are checked as elsewhere."""
    from .solver import Solver

    for name in ("matrices", "at"):
        if isinstance(arguments[name], Sized) and not len(arguments[name]):
            raise ArgumentError(f"{name} = {show(arguments[name])}: allowed is a list that is not empty")
    run = Solver(theory)(**arguments, kernels=())
    names = ("outlier", "outlier_sem", "outlier_bias", "outlier_bias_sem", "bulk_edge")
    return run[[name for name in names if name in run]]
