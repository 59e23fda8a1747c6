"""Progress bars and notices: on a terminal or in a notebook, for work that lasts, and never in the way otherwise."""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

DELAY = 1.0
"""Seconds of work before anything is shown."""
DERIVING = "deriving the equations (a few seconds, once for each network)"
_TICK = 0.5
_INSIDE: ContextVar[bool] = ContextVar("inside of work that is reported", default=False)

Report = Callable[[int, int], None]
"""Called as ``report(done, total)``."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


def interactive(stream: TextIO) -> bool:
    """Whether somebody looks at what is drawn there."""
    return stream.isatty() or (stream is sys.stderr and in_notebook())


def _bar(stream: TextIO, text: str, **options: Any) -> tqdm[Any]:
    """A bar that leaves nothing behind; a widget in a notebook that has them."""
    with warnings.catch_warnings():  # a notebook without widgets has a bar of text
        warnings.simplefilter("ignore")
        from tqdm import auto

        kind = auto.tqdm if in_notebook() else auto.std_tqdm
        return kind(desc=text, file=stream, leave=False, dynamic_ncols=True, **options)


class StepProgress:
    """A callable ``progress(step, steps)`` that draws a bar once the work has lasted longer than ``delay``.

    Nothing is drawn where nobody looks at ``stream``. It is worth passing there all the same: compiled solvers come
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

    def __init__(self, label: str, stream: TextIO | None = None, delay: float | None = None) -> None:
        self.label = label
        self.stream = sys.stderr if stream is None else stream
        self.delay = DELAY if delay is None else delay
        self._start = time.monotonic()
        self._bar: tqdm[Any] | None = None

    def __call__(self, step: int, steps: int) -> None:
        """Report that ``step`` of ``steps`` are done."""
        if self._bar is None:
            if time.monotonic() - self._start < self.delay or not interactive(self.stream):
                return
            self._bar = _bar(self.stream, self.label, total=steps)
        self._bar.total = steps
        self._bar.update(step - self._bar.n)
        if step == steps:
            self._bar.refresh()

    def __enter__(self) -> StepProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


@contextmanager
def reported(label: str, progress: Report | bool | None) -> Iterator[Report]:
    """What the work in the body reports to: the function of the user, or a bar.

    Work inside of other work that is reported has no bar of its own. What is yielded can be called in any case, as
    compiled solvers come back to Python for it.

    Parameters
    ----------
    label
        Words in front of the bar.
    progress
        The function of the user; ``None`` or true for a bar, false for none.
    """
    nested = _INSIDE.get()
    token = _INSIDE.set(True)
    try:
        if callable(progress):
            yield progress
        elif progress is False or nested:
            yield _silent
        else:
            with StepProgress(label) as bar:
                yield bar
    finally:
        _INSIDE.reset(token)


def _silent(done: int, total: int) -> None:
    """Nothing is shown."""


class _Waiting:
    """One line that is there from ``delay`` seconds on until it is taken away, with the time that has passed."""

    def __init__(self, text: str, stream: TextIO, delay: float | None) -> None:
        self.text, self.stream, self.delay = text, stream, DELAY if delay is None else delay
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._bar: tqdm[Any] | None = None

    def start(self) -> None:
        """Begin to count."""
        if self.delay <= 0:
            self._open()
        self._thread.start()

    def _open(self) -> None:
        self._bar = _bar(self.stream, self.text, total=0, bar_format="{desc} {elapsed}")

    def _show(self) -> None:
        if self._bar is None:
            if self._over.wait(self.delay):
                return
            self._open()
        assert self._bar is not None
        while not self._over.wait(_TICK):
            self._bar.refresh()

    def stop(self) -> None:
        """Take the line away."""
        self._over.set()
        self._thread.join()
        if self._bar is not None:
            self._bar.close()


@contextmanager
def notice(text: str, stream: TextIO | None = None, delay: float | None = None) -> Iterator[None]:
    """Show one line while the body runs, if it lasts; nothing where nobody looks at ``stream``.

    Parameters
    ----------
    text
        What is going on.
    stream
        Where to draw; standard error if not given.
    delay
        Seconds before the line appears; `DELAY` if not given.
    """
    stream = sys.stderr if stream is None else stream
    if not interactive(stream):
        yield
        return
    waiting = _Waiting(text, stream, delay)
    waiting.start()
    try:
        yield
    finally:
        waiting.stop()


@contextmanager
def compilation_notice(
    stream: TextIO | None = None, once: str = "once, then 1 or 2 for each network", delay: float | None = None
) -> Iterator[None]:
    """`notice` while Numba compiles something in the body, which it does once for the library and for each module.

    Numba itself tells when it compiles: code that comes from its cache leaves no trace.

    Parameters
    ----------
    once
        What is compiled once.
    """
    stream = sys.stderr if stream is None else stream
    if not interactive(stream):
        yield
        return
    from numba.core import event

    watch = _CompilationWatch(stream, once, delay)

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

    def __init__(self, stream: TextIO, once: str, delay: float | None) -> None:
        self.text = f"compiling the solver (about 15 seconds {once})"
        self.stream, self.delay = stream, delay
        self.depth = 0
        self.waiting: _Waiting | None = None

    def begin(self) -> None:
        self.depth += 1
        if self.waiting is None:
            self.waiting = _Waiting(self.text, self.stream, self.delay)
            self.waiting.start()

    def end(self) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.stop()

    def stop(self) -> None:
        """Take the line away."""
        if self.waiting is not None:
            self.waiting.stop()
            self.waiting = None
