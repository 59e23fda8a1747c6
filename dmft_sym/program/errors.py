"""The one exception of the program language."""


class ProgramError(ValueError):
    """An ill-formed vector program; the message names the statement and says what is allowed.

    See Also
    --------
    network : traces forward passes.

    References
    ----------
    docs/program.md, what is refused.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> try:
    ...     ds.GradientDescent(momentum=2)
    ... except ds.ProgramError as error:
    ...     print(type(error).__name__)
    ProgramError
    """
