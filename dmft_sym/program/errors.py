"""The one exception of the program language."""


class ProgramError(ValueError):
    """An ill-formed vector program; the message names the statement and says what is allowed."""
