"""The one exception of execution."""

from dmft_sym.support.messages import InputError


class ExecutionError(InputError):
    """A run that cannot be started as asked; the message names the argument, its value and what is allowed."""
