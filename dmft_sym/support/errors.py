"""Errors of bad input, by who refuses it; each is one line that names the argument, its value and what is allowed."""

from __future__ import annotations

from .messages import InputError


class ArgumentError(InputError):
    """A run-time argument that is missing, unknown or out of range."""


class ExecutionError(InputError):
    """A run that cannot be started as asked."""
