"""Figures of a result by the word of their kind, of the command line and of sessions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from dmft_sym.results.store import ResultError
from dmft_sym.support.messages import InputError, show, suggestion

from . import observable_plots, plots, sample_plots, spectrum_plots
from .panels import AxesLike

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

_OTHERS: Mapping[str, Callable[..., Figure]] = {
    **sample_plots.KINDS,
    **spectrum_plots.KINDS,
    **observable_plots.KINDS,
}
KINDS = ("losses", "order-parameters", *_OTHERS)
"""Words of figures, the usual one first."""


def plot(
    run: xr.Dataset,
    sim: xr.Dataset | None = None,
    kind: str = "losses",
    scale: str = "log",
    *,
    ax: AxesLike | None = None,
) -> Figure:
    """A figure of a result, as ``dmft-sym plot`` draws it.

    A theory is a line, with a band where it has standard errors; finite networks are open markers with error bars.

    Parameters
    ----------
    run
        What a solver, `simulate` or `spectrum` returned.
    sim
        A simulation, drawn with the lines of a theory.
    kind
        ``"losses"``, ``"order-parameters"``, ``"observables"``; on given samples ``"outputs"`` and ``"kernels"``;
        of results with spectra ``"spectrum"``, ``"outliers"``, ``"sharpness"``.
    scale
        Axes of losses: ``"linear"``, ``"log"`` (losses logarithmic) or ``"loglog"``.
    ax
        Axes of a figure of your own, as many as the kind has panels: one, or a sequence row by row. Panel letters
        and notes are then yours.

    Returns
    -------
    Figure
        Of matplotlib, that of ``ax`` if axes were given; notebooks show it, and ``figure.savefig(path)`` writes it.

    Raises
    ------
    InputError
        If there is no such kind or scale, if a result has not what is drawn, if ``sim`` is no simulation, or if
        the number of axes is not that of the panels.

    See Also
    --------
    compare : the same as numbers.
    spectrum : what ``"spectrum"``, ``"outliers"`` and ``"sharpness"`` draw.

    References
    ----------
    Figures of arXiv:2605.07870 and arXiv:2205.09653 have these kinds.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> theory = ds.derive(ds.deep_linear(depth=1))
    >>> given = dict(samples_per_dim=2, width_per_dim=1, richness=1, learning_rate=0.1, steps=3)
    >>> figure = ds.plot(theory.compile("numpy")(**given), ds.simulate(theory, dim=20, seeds=2, **given))
    >>> len(figure.axes)
    2

    Beside something else in a figure of one's own:

    >>> from matplotlib.figure import Figure
    >>> axes = Figure(layout="constrained").subplots(1, 3)  # or plt.subplots(1, 3)[1]
    >>> figure = ds.plot(theory.compile("numpy")(**given), ax=axes[:2])
    """
    if kind not in KINDS:
        raise InputError(f"kind = {show(kind)}: allowed are {', '.join(KINDS)}{suggestion(str(kind), KINDS)}")
    if sim is not None and ("seed" in run.dims or "seed" not in sim.dims):
        raise ResultError("sim: allowed is a simulation, drawn with the lines of a theory")
    if kind == "losses":
        return plots.losses(run, sim, scale, ax=ax)
    return plots.order_parameters(run, ax=ax) if kind == "order-parameters" else _OTHERS[kind](run, sim, ax=ax)
