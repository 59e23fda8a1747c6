"""A theory against simulated networks, or against itself by another method: z-scores, one table and one figure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dmft_sym.results.axes import as_in, in_steps
from dmft_sym.results.store import SEM, ResultError, check_dataset
from dmft_sym.support import notebook
from dmft_sym.support.messages import show

from .spectra import common_spectra

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure
    from rich.table import Table

FREE = frozenset({
    "antithetic", "backend", "dim", "directions_per_site", "dtype", "error", "exact", "kind", "max_steps", "method",
    "normalise", "outcome", "outcome_remedy", "replicas", "rtol", "seed", "seeds", "sites", "steps", "threads", "time",
    "tol", "wall_time", "width",
    "samples",  # sites, in results of before 0.2
})  # fmt: skip
"""Attributes in which a run and its simulation may differ; so may versions and hashes, but not that of the data."""

_COLUMNS = ("variable", "max |z|", "by chance", "rms z", "max difference", "mean difference")
ROUNDING = 1e-12
CONFIDENCE = 0.999
"""Probability with which chance alone leaves every z of a variable below the values that are printed next to it."""


@dataclass(frozen=True)
class Comparison:
    """How far the mean over simulated networks, or a second theory, is from the theory.

    Parameters
    ----------
    theory, mean, standard_error
        Datasets over the common variables and steps: theory, mean over seeds, and the standard error of their
        difference.
    run, simulation
        What was compared, cut to the common steps.
    seeds
        Number of simulated networks; 0 for a second theory, whose dataset is then that of one network without errors.
    theory_error
        Standard errors of the theory, of the variables that have them (those of sampled networks).
    freedom
        Degrees of freedom of ``z``, at least.

    See Also
    --------
    compare : what makes it.

    References
    ----------
    Student's t distribution, as docs/results.md explains.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> theory = ds.derive(ds.deep_linear(depth=0))
    >>> given = dict(samples_per_dim=2, learning_rate=0.1, steps=3)
    >>> runs = [theory.solve(method=method, **given) for method in ("equations", "conditioning")]
    >>> ds.compare(*runs).seeds
    0
    """

    theory: xr.Dataset
    mean: xr.Dataset
    standard_error: xr.Dataset
    run: xr.Dataset
    simulation: xr.Dataset
    seeds: int
    theory_error: xr.Dataset
    freedom: int

    @property
    def z(self) -> xr.Dataset:
        """(mean over seeds - theory) / standard error of the difference, entry by entry.

        The standard error has a floor of ``1e-12`` of the largest entry of a variable, so that entries which have no
        fluctuations (a response to the future is zero in every network) are not judged by their rounding.
        """
        floor = ROUNDING * abs(self.theory).max()
        return (self.mean - self.theory) / (self.standard_error**2 + floor**2 + 1e-300) ** 0.5

    @property
    def summary(self) -> dict[str, dict[str, float]]:
        """Per variable: largest and rms z, what chance makes of the largest, and differences.

        ``chance_one`` and ``chance_all`` are the bounds of `chance_of_largest`, for one point and for ``points``;
        ``max_diff`` and ``mean_diff`` are the largest and the mean difference relative to the largest entry.
        """
        return {str(name): self._row(str(name)) for name in self.theory.data_vars}

    def within(self, standard_errors: float = 4.0, allowance: float = 0.0) -> bool:
        """Whether every entry agrees up to ``standard_errors`` plus ``allowance`` times the largest entry.

        The allowance is for what the finite size shifts; it is of order ``1/dim`` or ``1/width``.
        """
        scale = abs(self.theory).max()
        excess = abs(self.mean - self.theory) - standard_errors * self.standard_error - (allowance + ROUNDING) * scale
        return all(bool((excess[name].fillna(0.0) <= 0).all()) for name in excess.data_vars)

    def table(self) -> Table:
        """The summary as a table of `rich`."""
        from rich import box
        from rich.table import Table

        table = Table(title=self._title(), caption=self._caption(), box=box.SIMPLE_HEAD)
        table.add_column(_COLUMNS[0])
        for column in _COLUMNS[1:]:
            table.add_column(column, justify="right")
        for row in self._rows():
            table.add_row(*row)
        return table

    def _rows(self) -> Iterator[tuple[str, ...]]:
        """The cells of the table, by `_COLUMNS`."""
        for name, row in self.summary.items():
            chance = f"{_short(row['chance_one'])} to {_short(row['chance_all'])}" if row["points"] else ""
            differences = [_percent(row[key]) for key in ("max_diff", "mean_diff")]
            scores = [f"{row[key]:.2f}" if row["points"] or self.seeds else "" for key in ("max_z", "rms_z")]
            yield name, scores[0], chance, scores[1], *differences

    def figure(self, ax: Any = None) -> Figure:
        """Losses: lines of the theory and points of the simulation, and z below.

        Parameters
        ----------
        ax
            Axes of a figure of your own: one for each loss, then one for its z-scores.
        """
        from dmft_sym.figures.plots import comparison

        return comparison(self, ax=ax)

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=100, color_system=None, legacy_windows=False)
        with console.capture() as capture:
            console.print(self.table())
        return "\n".join(line.rstrip() for line in capture.get().splitlines() if line.strip())

    def __repr__(self) -> str:
        largest = (f"{name} {row['max_z']:.2f}" for name, row in self.summary.items())
        return notebook.shortened([f"<comparison of {self._title()}>", f"  largest |z|: {', '.join(largest)}"])

    def _repr_html_(self) -> str:
        return notebook.table(_COLUMNS, self._rows(), self._title()) + notebook.paragraph(self._caption())

    def _row(self, name: str) -> dict[str, float]:
        z, theory = self.z[name], self.theory[name]
        difference = abs(self.mean[name] - theory)
        scale = float(abs(theory).max()) or 1.0
        points = self._points(name)
        return {
            "max_z": float(abs(z).max()),
            "points": points,
            "chance_one": chance_of_largest(1, self.freedom + 1),
            "chance_all": chance_of_largest(max(points, 1), self.freedom + 1),
            "rms_z": math.sqrt(float((z**2).mean())),
            "max_diff": float(difference.max()) / scale,
            "mean_diff": float(difference.mean()) / scale,
        }

    def _points(self, name: str) -> int:
        """Entries that fluctuate; of a correlation or a kernel and its mirror image one."""
        error = self.standard_error[name]
        fluctuates = error > ROUNDING * abs(self.theory[name]).max()
        fluctuates = in_steps(fluctuates)
        if "step2" in fluctuates.dims:
            fluctuates &= fluctuates["step2"] <= fluctuates["step"]
        if "sample2" in fluctuates.dims:
            fluctuates &= _place(fluctuates, "2") <= _place(fluctuates, "")
        return int(fluctuates.sum())

    def _title(self) -> str:
        attrs = self.simulation.attrs
        sizes = [f" of {letter} = {attrs[key]}" for letter, key in (("D", "dim"), ("N", "width")) if key in attrs]
        size = sizes[0] if sizes else ""
        counts = [f", {self.theory.sizes[name]} {name}s" for name in ("step", "time") if name in self.theory.sizes]
        steps = "".join(counts)
        if not self.seeds:
            methods = " and ".join(str(found.attrs.get("method", "?")) for found in (self.run, self.simulation))
            return f"theory by {methods}{steps}"
        return f"theory and {self.seeds} networks{size}{steps}"

    def _caption(self) -> str:
        freedom, sampled = self.freedom, bool(self.theory_error.data_vars)
        if not (self.seeds or sampled):
            return "Both are exact. Differences are relative to the largest entry."
        expected = f"its rms is {math.sqrt(freedom / (freedom - 2)):.2f}" if freedom > 2 else "large values are common"
        error = "standard error of both together" if sampled else "standard error"
        least = "at least " if sampled else ""
        compared = "mean over seeds" if self.seeds else "second theory"
        return (
            f"z = ({compared} - theory) / {error}, Student's t with {least}{freedom} "
            f"degree{'s' if freedom > 1 else ''} of freedom. By chance alone, {expected}, and max |z| stays below 'by "
            f"chance' with probability {CONFIDENCE:.1%}: the first value if all points of a variable were one, the "
            "second if they were independent. Steps are correlated, so the truth lies between. Differences are "
            "relative to the largest entry."
        )


def chance_of_largest(points: int, seeds: int) -> float:
    """What the largest ``|z|`` of independent points stays below with probability `CONFIDENCE`, by chance alone.

    The mean over seeds of a Gaussian quantity has a z-score of Student's t distribution with ``seeds - 1`` degrees of
    freedom; the two-sided quantile is corrected for the number of points after Sidak, at ``CONFIDENCE**(1/points)``.

    Parameters
    ----------
    points
        Number of independent points. The points of a trajectory are correlated: taking them for independent gives
        an upper bound, taking them for one point a lower bound.
    seeds
        Number of simulated networks, at least 2.
    """
    from scipy.special import stdtrit

    tail = -math.expm1(math.log(CONFIDENCE) / points)
    return float(-stdtrit(seeds - 1, tail / 2))


def _percent(value: float) -> str:
    return f"{value:.2%}" if value == 0 or value >= 1e-4 else f"{value:.0e}"


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}" if value < 1e5 else f"{value:.0e}"


def compare(run: xr.Dataset, sim: xr.Dataset) -> Comparison:
    """Compare the theory ``run`` with the simulated networks ``sim``: losses, order parameters and spectra.

    With given samples: outputs, losses, kernels and their alignments; the standard errors of a sampled theory add up in
    squares with those of the simulation. Accuracies are not compared, as they jump where an output changes its sign.

    Two theories, such as runs by both methods, are compared step by step: z-scores are in units of the standard errors
    of those that are sampled, and where both are exact there are differences alone.

    Spectra of a theory and networks are compared if both results have them: outliers where the theory has one,
    sharpness and overlaps. Outliers that coincide in the theory are one entry, the mean of the measured ones and the
    overlap of the space of their vectors, as they split and mix in a finite network.

    Parameters
    ----------
    run
        What a solver returned.
    sim
        What `simulate` returned: the same variables with a ``seed`` dimension, at least two seeds. Or what a solver
        returned by another method.

    Returns
    -------
    Comparison
        Prints as a table of z-scores; has the datasets behind it.

    Raises
    ------
    ResultError
        If the two are of different programs or data, have different parameters (other than the number of steps), no
        variable or no step in common, or if seeds are missing; one line.

    See Also
    --------
    simulate : finite networks.
    plot : the same as a figure.

    References
    ----------
    Sidak, J. Am. Stat. Assoc. 62, 626 (1967), for what chance leaves of many entries; see docs/results.md.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> theory = ds.derive(ds.deep_linear(depth=1))
    >>> given = dict(samples_per_dim=2, width_per_dim=1, richness=1, learning_rate=0.1, steps=3)
    >>> run = theory.compile("numpy")(**given)
    >>> ds.compare(run, ds.simulate(theory, dim=100, seeds=4, **given)).within(4, allowance=0.1)
    True
    """
    check_dataset(run, "the first result")
    check_dataset(sim, "the second result")
    if "seed" in run.dims:
        raise ResultError("the first result has seeds: allowed is a theory first, a simulation second")
    if "seed" in sim.dims and sim.sizes["seed"] < 2:
        raise ResultError(f"seeds = {sim.sizes.get('seed', 0)}: allowed for a comparison are simulations of 2 or more")
    _check_parameters(run, sim)
    _check_program(run, sim)
    given, run, sim = run, in_steps(run), in_steps(sim)
    names = [str(name) for name in run.data_vars if name in sim.data_vars and _along_steps(run, str(name))]
    if "seed" not in sim.dims:
        return _of_theories(given, run, sim, names)
    theory, simulation, errors = common_spectra(run, sim)
    if not names and not theory:
        raise ResultError("the two results have no variable in common: allowed are a run and its simulation")
    if names:
        found = zip(_common(run, sim, names), (theory, simulation, errors), strict=True)
        theory, simulation, errors = (steps.merge(spectra, combine_attrs="override") for steps, spectra in found)
    theory, simulation, errors = (as_in(found, given) for found in (theory, simulation, errors))
    seeds = sim.sizes["seed"]
    error = simulation.std("seed", ddof=1) / math.sqrt(seeds)
    for name in errors.data_vars:
        error[name] = (error[name] ** 2 + errors[name] ** 2) ** 0.5
    replicas = int(run.attrs.get("replicas", seeds)) if errors.data_vars else seeds
    freedom = min(seeds, replicas) - 1  # Welch's degrees of freedom lie between this and the sum of both
    return Comparison(theory, simulation.mean("seed"), error, theory, simulation, seeds, errors, freedom)


def _of_theories(given: xr.Dataset, run: xr.Dataset, other: xr.Dataset, names: list[str]) -> Comparison:
    """A theory and another one, whose standard errors add up in squares."""
    if not names:
        raise ResultError("the two results have no variable in common: allowed are two runs, or one and its simulation")
    theory, second, errors = _common(run, other.expand_dims("seed"), names)
    of_second = other[[f"{name}{SEM}" for name in second.data_vars if f"{name}{SEM}" in other]]
    of_second = of_second.rename({name: str(name).removesuffix(SEM) for name in of_second.data_vars})
    parts = [
        found[[] if result.attrs.get("exact") else list(found)] for result, found in ((run, errors), (other, of_second))
    ]
    zero = theory.map(abs) * 0.0
    squares = [zero.assign({n: found[n].fillna(0.0) ** 2 for n in found.data_vars}) for found in parts]
    error = (squares[0] + squares[1]) ** 0.5
    replicas = [int(found.attrs.get("replicas", 2)) for found, part in zip((run, other), parts, strict=True) if part]
    of_either = error[[name for name in error.data_vars if any(name in part for part in parts)]]
    theory, second, error, of_either = (as_in(found, given) for found in (theory, second, error, of_either))
    mean, freedom = second.isel(seed=0, drop=True), max(min(replicas, default=2) - 1, 1)
    return Comparison(theory, mean, error, theory, second, 0, of_either, freedom)


def _along_steps(run: xr.Dataset, name: str) -> bool:
    """Whether a variable is compared step by step."""
    along = {"step", "kernel_step"} & set(run[name].dims)
    return bool(along) and not name.endswith((SEM, "_accuracy")) and not name.startswith("rate_")


def _place(array: xr.DataArray, mark: str) -> xr.DataArray:
    """The place of a sample and an output among all of them."""
    place = array[f"sample{mark}"]
    return place * array.sizes["output"] + array[f"output{mark}"] if f"output{mark}" in array.dims else place


def _common(run: xr.Dataset, sim: xr.Dataset, names: list[str]) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """Theory, simulation and standard errors of the theory on the steps that both have."""
    import xarray as xr

    sampled = [name for name in names if f"{name}{SEM}" in run]
    theory = _computed(run[[*names, *(f"{name}{SEM}" for name in sampled)]])
    theory, sim = xr.align(theory, _computed(sim[names]), join="inner", copy=False)
    if not theory.sizes.get("step", 1):
        raise ResultError("the two results have no step in common: allowed are a run and its simulation")
    for name in names:
        if set(sim[name].dims) != {*theory[name].dims, "seed"}:
            dims = ", ".join(str(dim) for dim in sim[name].dims)
            raise ResultError(f"{name} has the dimensions {dims} in the simulation: allowed are those of the run")
    # Kernels may be of other steps, and what vanishes in both has no alignment.
    kept = [n for n in names if theory[n].size and not bool(theory[n].isnull().all() and sim[n].isnull().all())]
    errors = theory[[f"{name}{SEM}" for name in sampled if name in kept]]
    return theory[kept], sim[kept], errors.rename({f"{name}{SEM}": name for name in sampled if name in kept})


def _computed(dataset: xr.Dataset) -> xr.Dataset:
    """The steps whose losses are finite (all of them, unless a run diverged)."""
    losses = [name for name in dataset.data_vars if str(name).endswith("_loss")]
    if not losses:
        return dataset
    table = dataset[losses].to_dataarray()
    finite = table.notnull().all([dim for dim in table.dims if dim != "step"])
    kept = dataset["step"].values[finite.values]
    axes = {axis: dataset[axis].isin(kept) for axis in ("step", "step2") if axis in dataset.dims}
    return dataset.isel({axis: flags.values.nonzero()[0] for axis, flags in axes.items()})


def _check_program(run: xr.Dataset, sim: xr.Dataset) -> None:
    """Names of networks are labels; the hash of the printed program says whether two results are of the same one."""
    ours, theirs = (str(dataset.attrs.get("program_hash", "")) for dataset in (run, sim))
    if ours and theirs and ours != theirs:
        names = " and ".join(show(dataset.attrs.get("network", "")) for dataset in (run, sim))
        raise ResultError(
            f"different programs: program_hash = {ours} and {theirs} (networks {names}): allowed is a simulation of "
            "the program of the run"
        )


def _check_parameters(run: xr.Dataset, sim: xr.Dataset) -> None:
    keys = [key for key in run.attrs if key in sim.attrs and not _free(str(key))]
    differing = [str(key) for key in keys if not _equal(run.attrs[key], sim.attrs[key])]
    if differing:
        pairs = "; ".join(f"{key} = {show(run.attrs[key])} and {show(sim.attrs[key])}" for key in differing)
        raise ResultError(f"different parameters: {pairs}: allowed is a simulation with the parameters of the run")


def _free(key: str) -> bool:
    if key == "data_hash":
        return False
    return key in FREE or "version" in key or "hash" in key


def _equal(a: Any, b: Any) -> bool:
    import numpy as np

    if isinstance(a, str) or isinstance(b, str) or a is None or b is None:
        return bool(a is b or a == b)
    return bool(np.array_equal(a, b))
