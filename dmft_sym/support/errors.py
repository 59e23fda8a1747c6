"""Errors of bad input, by who refuses it; each is a line that names the argument, its value and what is allowed."""

from __future__ import annotations

from .messages import InputError


class ArgumentError(InputError):
    """A run-time argument that is missing, unknown or out of range.

    See Also
    --------
    Solver : arguments of a run.

    References
    ----------
    docs/faq.md.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> ds.derive(ds.deep_linear(depth=0)).solve(samples_per_dim=2, learning_rate=-1, steps=2)
    Traceback (most recent call last):
        ...
    dmft_sym.support.errors.ArgumentError: learning_rate = -1: allowed is a number > 0, finite
    """


class ExecutionError(ArgumentError):
    """A run that cannot be started as asked: coefficients or arrays that its arguments make impossible."""


class SpecError(InputError):
    """A spec that cannot be used: a line for every error, which names the key, its value and what is allowed.

    Parameters
    ----------
    *lines
        What is wrong, in the order of sections and keys.
    """

    def __init__(self, *lines: str) -> None:
        ValueError.__init__(self, "\n".join(" ".join(line.split()) for line in lines))
