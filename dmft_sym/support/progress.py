"""Progress bars and notices: on a terminal, for work that lasts, and never in the way otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.status import Status

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


@contextmanager
def notice(text: str, stream: TextIO | None = None) -> Iterator[None]:
    """Show one line with a spinner while the body runs; nothing where ``stream`` is not a terminal.

    Parameters
    ----------
    text
        What is going on.
    stream
        Where to draw; standard error if not given.
    """
    stream = sys.stderr if stream is None else stream
    if not stream.isatty():
        yield
        return
    with _status(text, stream):
        yield


@contextmanager
def compilation_notice(
    stream: TextIO | None = None, once: str = "once, then 1 or 2 for each network"
) -> Iterator[None]:
    """`notice` while Numba compiles something in the body, which it does once for the library and for each module.

    Numba itself tells when it compiles: code that comes from its cache leaves no trace.

    Parameters
    ----------
    once
        What is compiled once.
    """
    stream = sys.stderr if stream is None else stream
    if not stream.isatty():
        yield
        return
    from numba.core import event

    watch = _CompilationWatch(stream, once)

    class Listener(event.Listener):
        def on_start(self, _: Any) -> None:
            watch.begin()

        def on_end(self, _: Any) -> None:
            watch.end()

    with event.install_listener("numba:compile", Listener()):
        try:
            yield
        finally:
            watch.stop()


class _CompilationWatch:
    """Shows a notice from the first compilation to its end; what is compiled for others nests inside them."""

    def __init__(self, stream: TextIO, once: str) -> None:
        self.text = f"compiling the solver (about 15 seconds {once})"
        self.stream = stream
        self.depth = 0
        self.status: Status | None = None

    def begin(self) -> None:
        self.depth += 1
        if self.status is None:
            self.status = _status(self.text, self.stream)
            self.status.start()

    def end(self) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.stop()

    def stop(self) -> None:
        """Take the line away."""
        if self.status is not None:
            self.status.stop()
            self.status = None


def _status(text: str, stream: TextIO) -> Status:
    from rich.console import Console
    from rich.status import Status

    return Status(text, console=Console(file=stream))
