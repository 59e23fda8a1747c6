"""The command line: ``dmft-sym`` and ``python -m dmft_sym``.

No library is imported before an interrupt is caught: the libraries below take a second.
"""

from __future__ import annotations

import gc

from .support.exit_status import INTERRUPTED


def main() -> int:
    """Run the command line and return the exit status."""
    gc.set_threshold(100_000)  # libraries make many objects that stay: looking for garbage among them takes long
    try:
        from .cli import main as run

        return run()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    raise SystemExit(main())
