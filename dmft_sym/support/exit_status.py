"""Exit statuses of the command line."""

FAILED, BAD_INPUT, DIVERGED = 1, 2, 3

INTERRUPTED = 130
"""After Ctrl-C: 128 + SIGINT, as shells have it."""
