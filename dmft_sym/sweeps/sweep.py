"""`sweep`: a theory over a grid of values."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from dmft_sym.derivation.carried import CarriedProblem
from dmft_sym.results.parts import ENDING, Parts
from dmft_sym.results.store import ResultError, check_writable, load, save
from dmft_sym.solvers.arguments import check_progress
from dmft_sym.solvers.method import Progress
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import InputError, show
from dmft_sym.support.progress import reported
from dmft_sym.workers import Crew, check_crew

from .assembly import assembled, chosen
from .axes import Grid, grid_of
from .identity import identity
from .tasks import TASKS, Task, completed_settings, warm

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem


def sweep(
    theory: Problem,
    over: Mapping[str, Sequence[Any]],
    what: str = "solve",
    *,
    variables: Sequence[str] = (),
    workers: int | None = None,
    scheduler: str | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: Progress | bool | None = None,
    **settings: Any,
) -> xr.Dataset:
    """Solve a theory over a grid of values, and return everything as one dataset.

    Runs that diverge are points of the grid like any other: NaN from the step at which they did, with a status.

    Parameters
    ----------
    theory
        What `dmft_sym.derive` returned.
    over
        Axes: names with their values. A name is that of an argument of a run (``learning_rate``, ``width_per_dim``,
        ``depth``, ``steps``, ``seed``, ``method``, ...), or of a field of the network, the data or the training rule
        (``parametrization``, ``momentum``, ``centered``, ...), for each value of which the theory is derived once, by
        ``theory.replace(...)``; ``network``, ``data`` and ``training`` can be swept as a whole.
    what
        ``"solve"`` (a run), ``"simulate"`` (finite networks), ``"spectrum"``, or ``"compare"``: a run, with spectra if
        ``matrices`` are given, beside the means over finite networks ``<name>_finite``, the standard errors of their
        differences ``<name>_error``, and ``<name>_z``. ``"critical"`` and ``"max_stable"`` are `dmft_sym.critical` and
        `dmft_sym.max_stable`.
    variables
        Names of variables that are kept; all by default. Two-time order parameters are computed only if one of them,
        ``C_...`` or ``R_...``, is named.
    workers
        Number of processes, by default one for each core; with 1 the work is done in this one. Numbers do not depend on
        it.
    scheduler
        Address of a Dask scheduler, ``"tcp://host:port"``, whose workers are taken instead. Name clusters that you
        trust: theories go there as pickles.
    output
        A netCDF file to write. Points are kept in the folder ``<output>.parts`` as they are finished, until the file is
        whole; the same sweep goes on from there, after a crash too, and a sweep that is whole is read and not repeated.
    progress
        A bar by default, where somebody looks and it lasts; ``False`` for none. Or a function, called as
        ``progress(done, total)``, in points.
    **settings
        Arguments that all points have in common, as for a `Solver`, `dmft_sym.simulate` or `dmft_sym.spectrum`.

    Returns
    -------
    xarray.Dataset
        The variables of a run, with the swept axes as leading dimensions and coordinates; ``status`` says in a word
        how each run ended, and ``divergence_step`` when, NaN for those that did not diverge. Attributes are those that
        all points have in common.

    Raises
    ------
    InputError
        Naming the argument, its value and what is allowed; the folder of another sweep; a scheduler that does not
        answer. `ArgumentError` is one of these.

    See Also
    --------
    optimum : where a loss is smallest along an axis.
    max_stable, critical : can be swept too.

    References
    ----------
    arXiv:2502.02531, transfer of hyperparameters.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> grid = ds.sweep(
    ...     ds.derive(ds.deep_linear(1)), over={"learning_rate": [0.01, 10.0], "parametrization": ["muP", "NTK"]},
    ...     samples_per_dim=4, width_per_dim=2, richness=1, steps=5, workers=1,
    ... )
    >>> grid.status.sel(parametrization="muP").values.tolist()
    ['completed', 'diverged']
    """
    grid = grid_of(task_named(what), theory, over, settings)
    return run_grid(grid, check_variables(variables), check_crew(workers, scheduler, None), output, progress)


def task_named(what: object) -> Task:
    """The task of a word.

    Raises
    ------
    ArgumentError
        If there is none.
    """
    if not isinstance(what, str) or what not in TASKS:
        raise ArgumentError(f"what = {show(what)}: allowed are {', '.join(TASKS)}")
    return TASKS[what]


def check_variables(variables: object) -> tuple[str, ...]:
    """Names of variables.

    Raises
    ------
    ArgumentError
        If they are none.
    """
    listed = variables if isinstance(variables, list | tuple) else None
    if listed is None or not all(isinstance(name, str) for name in listed):
        raise ArgumentError(f'variables = {show(variables)}: allowed is a list of names, such as ["test_loss"]')
    return tuple(listed)


def run_grid(
    grid: Grid,
    variables: tuple[str, ...],
    crew: Crew,
    output: str | os.PathLike[str] | None = None,
    progress: Progress | bool | None = None,
) -> xr.Dataset:
    """Run all points of a grid; finished ones are kept beside ``output`` until it is whole.

    Raises
    ------
    InputError
        If a point is refused, before any is run where that can be known; one line.
    """
    start = perf_counter()
    check_progress(progress)
    _check_points(grid)
    what = identity(grid, variables)
    if output is None:
        crew.check()
        found = _results(grid, variables, crew, progress, {}, None)
        return _whole(grid, found, what, start)
    if (known := _already_there(output, what["hash"])) is not None:
        return known
    check_writable(output)
    crew.check()
    with Parts.opened(f"{os.fspath(output)}{ENDING}", what, "sweep") as parts:
        found = _results(grid, variables, crew, progress, parts.finished(len(grid.points)), parts)
        whole = _whole(grid, found, what, start)
        save(whole, output)
        parts.remove()
    return whole


def _check_points(grid: Grid) -> None:
    """Refuse arguments of any point, before the first one is run."""
    for point in grid.points:
        try:
            grid.task.check(grid.theories[point.theory], point.settings)
        except ArgumentError as error:
            raise ArgumentError(f"{error} (at {grid.where(point)})") from error


def _already_there(output: str | os.PathLike[str], sweep: str) -> xr.Dataset | None:
    """The result of the same sweep, if it is whole."""
    if not os.path.exists(output):
        return None
    try:
        found = load(output)
    except ResultError:
        return None
    return found if found.attrs.get("sweep_hash") == sweep else None


def _results(
    grid: Grid,
    variables: tuple[str, ...],
    crew: Crew,
    progress: Progress | bool | None,
    finished: dict[int, xr.Dataset],
    parts: Parts | None,
) -> list[xr.Dataset]:
    """Results of all points, in their order."""
    found, total = dict(finished), len(grid.points)
    left = [number for number in range(total) if number not in found]
    if not crew.here:
        _warm(grid, left, variables)
    carried = [CarriedProblem(theory) for theory in grid.theories]
    points = [grid.points[number] for number in left]
    items = [(carried[point.theory], point.settings, grid.where(point)) for point in points]
    with reported("sweep", progress) as report:
        report(len(found), total)
        for place, result in crew.work(partial(solved_point, grid.task.name, variables), items):
            found[left[place]] = result
            if parts is not None:
                parts.keep(left[place], result)
            report(len(found), total)
    return [found[number] for number in range(total)]


def _warm(grid: Grid, left: Sequence[int], variables: tuple[str, ...]) -> None:
    """Derive and compile what points need, once, before there are workers."""
    for number, point in {grid.points[number].theory: grid.points[number] for number in reversed(left)}.items():
        theory = grid.theories[number]
        warm(grid.task, theory, completed_settings(grid.task, theory, point.settings, variables))


def solved_point(what: str, variables: tuple[str, ...], item: tuple[CarriedProblem, dict[str, Any], str]) -> xr.Dataset:
    """One point, in a worker or here.

    Parameters
    ----------
    item
        The theory, settings, and the point in words.

    Raises
    ------
    ArgumentError
        If it is refused; the line ends with where.
    """
    carried, settings, where = item
    task, theory = TASKS[what], carried.problem
    try:
        with reported("point", False):  # a worker has no bar of its own
            result = task.run(theory, completed_settings(task, theory, settings, variables))
        return chosen(result, variables)
    except InputError as error:
        raise ArgumentError(f"{error} (at {where})") from error


def _whole(grid: Grid, results: Sequence[xr.Dataset], what: Mapping[str, Any], start: float) -> xr.Dataset:
    found = assembled(grid, results)
    found.attrs |= {"what": grid.task.name, "sweep_hash": what["hash"], "wall_time": perf_counter() - start}
    return found
