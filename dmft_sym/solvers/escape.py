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

    Warns
    -----
    DeprecationWarning
        Always.
    """
    warn_old_word("critical_richness(...)", 'critical(parameter="richness", ...)', stacklevel=3)
    return critical(theory, parameter="richness", **arguments)
