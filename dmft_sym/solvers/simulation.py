"""Finite networks trained with the program of a theory, one per seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dmft_sym.regimes.samples import Samples
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show

from .proportional_simulation import simulate_in_proportion
from .sample_simulation import simulate_on_samples
from .simulated_networks import Progress, SimulatedNetworks

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem
    from dmft_sym.spectra import MatrixProgram

DEFAULT_DIM, DEFAULT_WIDTH = 1000, 2000


def simulate(
    theory: Problem,
    *,
    dim: int | None = None,
    width: int | None = None,
    seeds: int = 4,
    seed: int = 0,
    steps: int,
    normalise: bool = False,
    dtype: str = "float64",
    order_parameters: bool = True,
    matrices: Sequence[str | MatrixProgram] = (),
    at: Sequence[int] = (),
    values: int | None = None,
    kernels: Sequence[int] | None = None,
    progress: Progress | None = None,
    **parameters: float,
) -> xr.Dataset:
    """Train finite networks and return the variables of a run with a leading ``seed`` axis.

    Parameters
    ----------
    dim
        Input dimension ``D``, 1000 by default; a space has ``round(ratio * dim)`` sites. Not where samples are given.
    width
        Number of hidden units ``N`` where samples are given, 2000 by default.
    seeds
        Number of networks.
    seed
        Seed of the random numbers: network ``k`` uses the pair ``(seed, k)``.
    normalise
        Scale random vectors to their expected norms, which makes error bars smaller.
    dtype
        ``"float64"`` or ``"float32"``, the precision of the networks; each draws its own random numbers.
    order_parameters
        Whether to measure the correlations ``C_<field>`` (of runs of up to 400 steps); not where samples are given.
    matrices, at
        Matrices whose singular values (eigenvalues of the NTK) are measured, by name or made by `dmft_sym.operator`,
        and steps, as for `dmft_sym.spectrum`.
    values
        How many of the largest values to keep; all with 0 (which takes the time of a dense decomposition, and is not
        for given samples); by default twice the number of outputs and one more.
    kernels
        Where samples are given: steps at which kernels are measured, the first and the last by default.
    progress
        Called as ``progress(done, total)``, in steps of all seeds.
    **parameters
        As for a `Solver`.

    Returns
    -------
    xarray.Dataset
        ``train_loss``, ``test_loss`` (seed, step, output) and correlations; responses are not measurable. With
        ``matrices``, ``outlier`` (seed, matrix, spectrum_step, rank) has the largest values, whether they are outside
        of the bulk or not, ``sharpness`` (seed, spectrum_step) the first of the NTK, ``overlap`` those of their
        vectors with the fields of the same step, and ``spectrum_value`` (seed, matrix, spectrum_step, number) all
        values if all are kept. Where samples are given, the variables of a `SampledSolver` without standard errors:
        ``f`` (seed, step, sample, output), losses, accuracies, kernels, ``NTK`` and alignments, and ``outlier``.

    Raises
    ------
    ArgumentError
        Naming the argument, its value and what is allowed.
    """
    from dmft_sym.derivation.problem import Problem

    if not isinstance(theory, Problem):
        raise ArgumentError(f"theory = {show(theory)}: allowed is what ds.derive returned")
    if isinstance(theory.data, Samples):
        if dim is not None:
            raise ArgumentError(f"dim = {show(dim)}: allowed is nothing, the samples have theirs; width is the size")
        size = DEFAULT_WIDTH if width is None else width
        networks = SimulatedNetworks.checked("width", size, seeds, seed, normalise, dtype, progress)
        names: Any = matrices  # operators are refused there
        return simulate_on_samples(theory, theory.data, networks, steps, parameters, kernels, names, at, values)
    for name, value in (("width", width), ("kernels", kernels)):
        if value is not None:
            raise ArgumentError(f"{name} = {show(value)}: allowed is nothing unless samples are given; dim is the size")
    size = DEFAULT_DIM if dim is None else dim
    networks = SimulatedNetworks.checked("dim", size, seeds, seed, normalise, dtype, progress)
    return simulate_in_proportion(theory, networks, steps, parameters, order_parameters, matrices, at, values)
