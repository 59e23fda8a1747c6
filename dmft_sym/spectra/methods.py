"""By which of two routes spectra are computed, and under which condition."""

from __future__ import annotations

from dmft_sym.support.messages import show

METHODS = ("equations", "conditioning")
DEPENDENCE = ("joint", "independent")
"""Whether trained parts know the initial matrices (they do), or not, as in the classical condition."""


def default_method(outputs: int, fresh: bool, dependence: str = DEPENDENCE[0]) -> str:
    """The quicker of the two routes, whose numbers agree (benchmarks/spectra.py).

    One output and the same samples at every step: coordinates, whose bases saturate. Fresh batches open directions at
    every step, and each output that has to be solved for opens its own: the march. Only the derivation can leave out
    what trained parts know of the initial matrices.

    Parameters
    ----------
    outputs
        Number of outputs that are solved for; one, where it stands for others like it.
    fresh
        Whether batches are fresh at every step.
    """
    return "equations" if fresh or outputs > 1 or dependence != DEPENDENCE[0] else "conditioning"


def check_method(method: object, dependence: object) -> None:
    """Refuse routes and conditions that do not exist, or not together; ``None`` is the default route.

    Raises
    ------
    ArgumentError
        Naming the argument, its value and what is allowed.
    """
    from dmft_sym.support.errors import ArgumentError

    if dependence not in DEPENDENCE:
        raise ArgumentError(f"dependence = {show(dependence)}: allowed are {', '.join(DEPENDENCE)}")
    if method is not None and method not in METHODS:
        raise ArgumentError(f"method = {show(method)}: allowed are {', '.join(METHODS)}")
    if method == "conditioning" and dependence != DEPENDENCE[0]:
        raise ArgumentError(
            f"dependence = {show(dependence)}: allowed with method = 'conditioning' is 'joint', as it trains the "
            "network itself; use method = 'equations'"
        )
