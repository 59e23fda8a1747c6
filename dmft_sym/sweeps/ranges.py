"""Values along a swept axis, given in Python or as text; text is parsed by a small language and never executed."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Sequence

from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import InputError, show

MOST_VALUES = 100_000
"""Of one axis."""
_CALL = re.compile(r"(?P<name>[a-z]+)\((?P<inside>[^()]*)\)")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]?inf")
_WORD = re.compile(r"[A-Za-z][\w.+-]*")
LANGUAGE = "numbers or words separated by commas, linspace(first, last, count) or logspace(exponent, exponent, count)"


def linspace(first: float, last: float, count: int) -> tuple[float, ...]:
    """Equally spaced values, both ends included.

    Parameters
    ----------
    first, last
        The ends, two different finite numbers.
    count
        Number of values, an integer >= 2.

    Returns
    -------
    list of float
        For `sweep`.

    Raises
    ------
    ArgumentError
        Naming what is allowed.

    See Also
    --------
    logspace : values in logarithmic distances.

    References
    ----------
    As `numpy.linspace`, with lists.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> ds.linspace(0, 1, 5)
    (0.0, 0.25, 0.5, 0.75, 1.0)
    """
    import numpy as np

    start, end, number = _checked("linspace", first, last, count)
    return tuple(np.linspace(start, end, number).tolist())


def logspace(first: float, last: float, count: int) -> tuple[float, ...]:
    """Values at equal ratios from ``10^first`` to ``10^last``, both included.

    Parameters
    ----------
    first, last
        Exponents of ten, two different finite numbers.
    count
        Number of values, an integer >= 2.

    Returns
    -------
    list of float
        For `sweep`.

    Raises
    ------
    ArgumentError
        Naming what is allowed.

    See Also
    --------
    linspace : values in equal distances.

    References
    ----------
    As `numpy.logspace`, with lists.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> ds.logspace(-3, -1, 3)
    (0.001, 0.01, 0.1)
    """
    import numpy as np

    start, end, number = _checked("logspace", first, last, count)
    if max(abs(start), abs(end)) > 300:
        raise ArgumentError(f"logspace({first}, {last}, {count}): allowed are exponents of ten from -300 to 300")
    return tuple(np.logspace(start, end, number).tolist())


def _checked(name: str, first: object, last: object, count: object) -> tuple[float, float, int]:
    """The three arguments of a range.

    Raises
    ------
    ArgumentError
        If they make no range.
    """
    said = f"{name}({show(first)}, {show(last)}, {show(count)})"
    for value in (first, last):
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise ArgumentError(f"{said}: allowed are two finite numbers and a count")
    start, end = float(first), float(last)  # type: ignore[arg-type]
    if isinstance(count, bool) or not isinstance(count, numbers.Integral) or not 2 <= int(count) <= MOST_VALUES:
        raise ArgumentError(f"{said}: allowed is a count from 2 to {MOST_VALUES}")
    if start == end:
        raise ArgumentError(f"{said}: allowed are two different ends")
    return start, end, int(count)


def parsed(text: str) -> tuple[float | int | str | bool, ...]:
    """The values that a text lists.

    Parameters
    ----------
    text
        ``"0.25,0.5,1"``, ``"muP,NTK"``, ``"logspace(-3,-1,25)"`` or ``"linspace(0,1,5)"``.

    Raises
    ------
    InputError
        If it is something else.
    """
    text = text.strip()
    call = _CALL.fullmatch(text)
    if call is not None:
        return _range_of(text, call["name"], call["inside"])
    words = [word.strip() for word in text.split(",")]
    if not text or not all(words) or len(words) > MOST_VALUES:
        raise InputError(f"{show(text)}: allowed are {LANGUAGE}")
    return tuple(_value(text, word) for word in words)


def _range_of(text: str, name: str, inside: str) -> tuple[float, ...]:
    known = {"linspace": linspace, "logspace": logspace}
    parts = [part.strip() for part in inside.split(",")]
    if name not in known or len(parts) != 3 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise InputError(f"{show(text)}: allowed are {LANGUAGE}")
    first, last, count = (_number(part) for part in parts)
    return known[name](first, last, count)  # type: ignore[arg-type]


def _value(text: str, word: str) -> float | int | str | bool:
    if _NUMBER.fullmatch(word):
        return _number(word)
    if word in ("true", "false"):
        return word == "true"
    quoted = len(word) >= 2 and word[0] == word[-1] and word[0] in "\"'"
    bare = word[1:-1] if quoted else word
    if (quoted and bare and not set(bare) & set("\"'\\")) or _WORD.fullmatch(word):
        return bare
    raise InputError(f"{show(text)}: {show(word)} is neither a number nor a word; allowed are {LANGUAGE}")


def _number(word: str) -> float | int:
    return int(word) if re.fullmatch(r"[+-]?\d{1,18}", word) else float(word)


def check_values(name: str, values: object) -> tuple[object, ...]:
    """The values of an axis as a tuple: at least one, all different.

    Raises
    ------
    ArgumentError
        If they are something else.
    """
    allowed = "allowed is a list of different values, such as [0.5, 1, 2] or logspace(-3, -1, 25)"
    listed = getattr(values, "tolist", lambda: values)()
    if isinstance(listed, str | bytes) or not isinstance(listed, Sequence):
        raise ArgumentError(f"{name} = {show(values)}: {allowed}")
    found = tuple(listed)
    if not 0 < len(found) <= MOST_VALUES:
        raise ArgumentError(f"{name} = {show(found)}: {allowed}, 1 to {MOST_VALUES} of them")
    if any(isinstance(value, float) and math.isnan(value) for value in found):
        raise ArgumentError(f"{name} = {show(found)}: {allowed}; nan is none")
    seen: list[object] = []
    for value in found if len(found) <= 1000 else ():
        if any(value is other or (type(value) is type(other) and value == other) for other in seen):
            raise ArgumentError(f"{name} = {show(value)}: it is listed twice; {allowed}")
        seen.append(value)
    return found
