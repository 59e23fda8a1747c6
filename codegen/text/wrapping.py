"""Lines of Python that are too long, broken between arguments."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 120


def wrapped(opening: str, parts: Sequence[str], closing: str, indent: str = "", width: int = WIDTH) -> list[str]:
    """``opening``, parts with commas between them, ``closing``: one line, or parts on lines of their own.

    ``width`` is less where lines are indented later.

    Examples
    --------
    >>> wrapped("f(", ["a", "b"], ")")
    ['f(a, b)']
    """
    line = f"{indent}{opening}{', '.join(parts)}{closing}"
    if len(line) <= width:
        return [line]
    lines, inner = [f"{indent}{opening}"], indent + "    "
    current = inner
    for part in parts:
        if current != inner and len(current) + len(part) + 1 > width:
            lines.append(current.rstrip())
            current = inner
        current += f"{part}, "
    return [*lines, current.rstrip(), f"{indent}{closing}"]
