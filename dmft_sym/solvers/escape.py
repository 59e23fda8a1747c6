"""The richness at which an outlier escapes, under the name that it had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dmft_sym.support.deprecation import warn_old_word

from .critical import critical

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem


def critical_richness(theory: Problem, **arguments: Any) -> float:
    """The smallest richness for which a matrix has an outlier at a step: ``critical(theory, parameter="richness")``.

    Parameters
    ----------
    **arguments
        As for `critical`.

    Returns
    -------
    float
        As of `critical`.

    Raises
    ------
    ArgumentError
        As of `critical`.

    Warns
    -----
    DeprecationWarning
        Always.

    See Also
    --------
    critical : the name to use.

    References
    ----------
    arXiv:2605.07870.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> ds.critical_richness.__name__, ds.critical.__name__
    ('critical_richness', 'critical')
    """
    warn_old_word("critical_richness(...)", 'critical(parameter="richness", ...)', stacklevel=3)
    return critical(theory, parameter="richness", **arguments)
