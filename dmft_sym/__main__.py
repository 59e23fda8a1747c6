"""The command line: ``dmft-sym`` and ``python -m dmft_sym``.

Nothing is imported before an interrupt is caught: the libraries below take a second.
"""

from __future__ import annotations

INTERRUPTED = 130
"""Exit status after Ctrl-C, 128 + SIGINT, as shells have it."""


def main() -> int:
    """Run the command line and return the exit status."""
    try:
        from .cli import main as run

        return run()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    raise SystemExit(main())
