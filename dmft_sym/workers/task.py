"""What a worker is given and what comes back: functions and items go as pickles from here, results as values.

Pickles go from this process to its own workers only, or to the cluster that the user named. Nothing that is read from a
file is unpickled.
"""

from __future__ import annotations

import functools
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import BiasWarning, CacheWarning, DataWarning, InputError
from dmft_sym.support.threads import one_core

Note = tuple[type[Warning], str]
_NOTED = (BiasWarning, CacheWarning, DataWarning)


class WorkerError(RuntimeError):
    """A worker failed for a reason that is none of the user's; the message has its traceback."""


@dataclass(frozen=True)
class Answer:
    """What a worker has to say about an item.

    Attributes
    ----------
    value
        What the function returned.
    refusal
        The line with which it refused its input.
    failure
        A traceback.
    notes
        Warnings of the toolkit.
    """

    value: Any = None
    refusal: str | None = None
    failure: str | None = None
    notes: tuple[Note, ...] = ()

    def result(self) -> Any:
        """The value; warnings are given here again.

        Raises
        ------
        ArgumentError
            If the input was refused.
        WorkerError
            If the function failed otherwise.
        """
        for category, text in self.notes:
            warnings.warn(text, category, stacklevel=4)
        if self.refusal is not None:
            raise ArgumentError(self.refusal)
        if self.failure is not None:
            raise WorkerError(self.failure)
        return self.value


def packed(value: Any) -> bytes:
    """A pickle for workers; functions that no worker can import (of a notebook, a lambda) go by value."""
    import cloudpickle

    return bytes(cloudpickle.dumps(value))


@functools.lru_cache(maxsize=64)
def unpacked(content: bytes) -> Any:
    """What a parent packed; the same content is unpacked once."""
    import cloudpickle

    return cloudpickle.loads(content)


def answer(function: bytes, item: bytes, alone: bool = True) -> Answer:
    """Call a function with an item, in a worker.

    Parameters
    ----------
    alone
        Whether nothing else runs in this process, so that its warnings are those of the item.
    """
    import cloudpickle

    with _heard(alone) as heard:
        try:
            with one_core():
                found = Answer(unpacked(function)(cloudpickle.loads(item)))
        except InputError as error:
            found = Answer(refusal=str(error))
        except MemoryError:
            found = Answer(refusal="workers: out of memory; allowed are fewer workers, or smaller runs")
        except Exception:
            found = Answer(failure=traceback.format_exc())
    notes = {(one.category, str(one.message)): None for one in heard if issubclass(one.category, _NOTED)}
    return Answer(found.value, found.refusal, found.failure, tuple(notes))


@contextmanager
def _heard(alone: bool) -> Iterator[list[warnings.WarningMessage]]:
    """Warnings inside the block; lists of warnings belong to a process, so that threads cannot have their own."""
    if not alone:
        yield []
        return
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield found


def here(function: Callable[[Any], Any], item: Any) -> Any:
    """Call a function in this process, as a worker would: with one core."""
    with one_core():
        return function(item)
