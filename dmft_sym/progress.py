"""Progress bars: on a terminal, for work that lasts, and never in the way otherwise."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

DELAY = 1.0


class StepProgress:
    """A callable ``progress(step, steps)`` that draws a bar once the work has lasted longer than ``delay``.

    Nothing is drawn where ``stream`` is not a terminal. It is worth passing there all the same: compiled solvers come
    back to Python to report, and only there Ctrl-C takes effect.

    Parameters
    ----------
    label
        Words in front of the bar.
    stream
        Where to draw; standard error if not given.
    delay
        Seconds of work before the bar appears.
    """

    def __init__(self, label: str, stream: TextIO | None = None, delay: float = DELAY) -> None:
        self.label = label
        self.stream = sys.stderr if stream is None else stream
        self.delay = delay
        self._start = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __call__(self, step: int, steps: int) -> None:
        """Report that ``step`` of ``steps`` are done."""
        if self._bar is None:
            if time.monotonic() - self._start < self.delay or not self.stream.isatty():
                return
            self._open(steps)
        assert self._bar is not None and self._task is not None
        self._bar.update(self._task, completed=step, total=steps)

    def _open(self, steps: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(file=self.stream), transient=True)
        self._task = self._bar.add_task(self.label, total=steps)
        self._bar.start()

    def __enter__(self) -> StepProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
