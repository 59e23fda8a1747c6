"""What to write instead of Python that a traced forward pass cannot run: loops and conditions on symbols."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dmft_sym.program import ProgramError

_SCAN = "net.scan(lambda l, h: W[l] @ h, h, layers=(1, net.depth - 1))"
_ADVICE = {
    "cannot be interpreted as an integer": f"a loop over range(net.depth): the depth is a symbol, layers are {_SCAN}; "
    "a loop over a number of your own, range(3), is written out",
    "Cannot convert symbols to int": f"an integer of net.depth, which is a symbol: layers are {_SCAN}",
    "cannot determine truth value": "a condition on a symbol, such as net.depth > 1: a forward pass is the same for "
    "all values; write ranges of layers, which may be empty, or a network for each case",
    "for @: 'Space'": "a space is no matrix: allowed is net.matrix(name, source, target) @ h",
}
"""What is said of errors of Python, by a part of their messages."""


@contextmanager
def explained() -> Iterator[None]:
    """Say what to write where a forward pass fails on a symbol.

    Raises
    ------
    ProgramError
        Instead of the `TypeError` of Python.
    """
    try:
        yield
    except TypeError as error:
        for part, advice in _ADVICE.items():
            if part in str(error):
                raise ProgramError(advice) from error
        raise


def check_body(label: str, body: Callable[..., Any], carries: int) -> None:
    """Refuse the body of a scan that does not take the layer and the carries."""
    try:
        inspect.signature(body).bind(*range(carries + 1))
    except TypeError as error:
        names = "h" if carries == 1 else "a, b" if carries == 2 else "a, b, ..."
        raise ProgramError(
            f"scan {label}: the body takes the layer and the carries, lambda l, {names}: ...; {error}"
        ) from error
    except ValueError:  # it has no signature
        return
