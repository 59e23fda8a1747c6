"""Modes of structured inputs: classes with a weight, an eigenvalue of the covariance and a variance of the teacher."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dmft_sym.program import ProgramError

Spectrum: TypeAlias = tuple[tuple[float, float, float], ...]
"""Of every class of modes its weight, eigenvalue, and variance of the teacher."""
_ALLOWED = "allowed are triples of weight > 0, eigenvalue > 0 and variance of the teacher >= 0, all finite"
_SMALLEST = 1e-12  # eigenvalue of modes that samples do not have, in units of the largest


def checked(spectrum: Any) -> Spectrum:
    """Classes of modes, as numbers.

    Raises
    ------
    ProgramError
        If they are something else.
    """
    try:
        found = tuple((float(weight), float(eigenvalue), float(b)) for weight, eigenvalue, b in spectrum)
    except (TypeError, ValueError) as error:
        raise ProgramError(f"spectrum = {spectrum!r}: {_ALLOWED}") from error
    if not found:
        raise ProgramError(f"spectrum = []: {_ALLOWED}")
    for triple in found:
        if not (triple[0] > 0 and triple[1] > 0 and triple[2] >= 0 and all(map(math.isfinite, triple))):
            raise ProgramError(f"spectrum has {triple}: {_ALLOWED}")
    return found


@dataclass(frozen=True)
class PowerLaw:
    """A spectrum for `Proportional`: eigenvalues ``k^-decay``, signal ``k^-source``, of modes ``k = 1, 2, ..``.

    ``lambda_k ~ k^-b`` and ``lambda_k b_k ~ k^-a``, the model of neural scaling laws (arXiv:2402.01092,
    arXiv:2409.17858). The mean eigenvalue and the variance of the targets are one, as for isotropic inputs. Without
    bottlenecks of samples or width the test loss of regression falls as ``t^-((a - 1)/b)``.

    Parameters
    ----------
    decay
        ``b``, of the eigenvalues.
    source
        ``a``, of what the modes contribute to the variance of the targets.
    modes
        Number of modes.
    classes
        Largest number of classes that they are put into, over logarithmic distances; eigenvalues and signals are
        averaged within a class.

    Raises
    ------
    ProgramError
        If a number is not allowed.

    See Also
    --------
    Proportional : takes it as ``spectrum``.

    References
    ----------
    arXiv:2402.01092, arXiv:2409.17858.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> data = ds.Proportional(spectrum=ds.PowerLaw(decay=1.5, source=1.8, modes=1000, classes=8))
    >>> weights, eigenvalues, teacher = zip(*data.spectrum, strict=True)
    >>> mean = sum(w * x for w, x in zip(weights, eigenvalues, strict=True)) / sum(weights)
    >>> round(mean, 6)
    1.0
    """

    decay: float
    source: float
    modes: int = 10_000
    classes: int = 64

    def __post_init__(self) -> None:
        for name, value in (("decay", self.decay), ("source", self.source)):
            if not 0 <= value < math.inf:
                raise ProgramError(f"{name} = {value!r}: allowed is a finite number >= 0")
        for name, count in (("modes", self.modes), ("classes", self.classes)):
            if isinstance(count, bool) or count != int(count) or not 1 <= count <= 10**8:
                raise ProgramError(f"{name} = {count!r}: allowed is an integer >= 1 and <= 100000000")

    def __iter__(self) -> Iterator[tuple[float, float, float]]:
        """Weight, eigenvalue and variance of the teacher of every class."""
        mode = np.arange(1.0, self.modes + 1)
        eigenvalues, signal = mode**-self.decay, mode**-self.source
        ends = np.unique(np.geomspace(1, self.modes + 1, self.classes + 1).round().astype(int) - 1)
        return iter(_grouped(eigenvalues / eigenvalues.mean(), signal / signal.mean(), ends))


def of_samples(inputs: Any, targets: Any, classes: int) -> tuple[Spectrum, float]:
    """The spectrum of given inputs and their linear teacher, and the standard deviation of what it does not explain.

    Raises
    ------
    ProgramError
        If the arrays are something else.
    """
    x, y = np.asarray(inputs, dtype=float), np.asarray(targets, dtype=float)
    y = y.reshape(len(y), -1) if y.ndim else y
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ProgramError(
            f"inputs of shape {x.shape} and targets of shape {np.shape(targets)}: allowed are finite arrays of shapes "
            "(samples, dimension) and (samples,) or (samples, outputs)"
        )
    if isinstance(classes, bool) or classes != int(classes) or classes < 1:
        raise ProgramError(f"classes = {classes!r}: allowed is an integer >= 1")
    count, dim = x.shape
    eigenvalues, modes = np.linalg.eigh(x.T @ x / count)
    eigenvalues, modes = eigenvalues[::-1], modes[:, ::-1]
    seen = eigenvalues > _SMALLEST * eigenvalues[0]
    if not seen.any():
        raise ProgramError("inputs are zero: allowed are some that are not")
    slopes = np.where(seen, 1, 0)[:, None] * (modes.T @ (x.T @ y / count))
    slopes /= np.where(seen, eigenvalues, 1)[:, None]  # of the least-squares teacher, along the modes
    noise = float(np.sqrt(np.mean((y - x @ (modes @ slopes)) ** 2)))
    eigenvalues = np.maximum(eigenvalues, _SMALLEST * eigenvalues[0])
    signal = dim * eigenvalues * (slopes**2).mean(axis=1)
    cuts = np.geomspace(eigenvalues[0], eigenvalues[-1], classes + 1)[1:-1]
    ends = np.unique([0, *(dim - np.searchsorted(eigenvalues[::-1], cuts)), dim])
    return _grouped(eigenvalues, signal, ends), noise


def _grouped(eigenvalues: NDArray[Any], signal: NDArray[Any], ends: Iterable[int]) -> Spectrum:
    """Classes between places; their eigenvalues and signals, variance times eigenvalue, are means over the modes."""
    parts = [slice(*pair) for pair in pairwise(ends)]
    means = [(part.stop - part.start, eigenvalues[part].mean(), signal[part].mean()) for part in parts]
    return tuple((float(count), float(value), float(part / value)) for count, value, part in means)
