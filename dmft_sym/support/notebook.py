"""How objects show themselves: pieces of HTML for notebooks, in which text is escaped, and short lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

LINES, WIDTH = 10, 120
"""What a `repr` has at most: lines, and letters in a line."""


def display(latex: str) -> str:
    r"""A displayed relation, set by MathJax; ``latex`` is what stands between the dollars, with its ``\tag``."""
    return f"<div>$$\n{escape(latex, quote=False)}\n$$</div>"


def paragraph(text: str) -> str:
    """Words, escaped."""
    return f"<p>{escape(text)}</p>"


def heading(text: str) -> str:
    """What stands above a piece, escaped."""
    return f"<h4>{escape(text)}</h4>"


def folded(summary: str, body: str, shown: bool = False) -> str:
    """A piece of HTML that opens with a click on a line of text.

    Parameters
    ----------
    summary
        The line, text.
    body
        What opens, HTML.
    shown
        Whether it is open from the start.
    """
    return f"<details{' open' if shown else ''}><summary>{escape(summary)}</summary>{body}</details>"


def table(head: Sequence[object], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """A table of texts, with a caption above it."""
    top = f"<caption>{escape(caption)}</caption>" if caption else ""
    body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
    return f"<table>{top}<thead><tr>{_cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"


def listing(text: str) -> str:
    """A text whose lines stay as they are."""
    return f"<pre>{escape(text)}</pre>"


def shortened(lines: Iterable[str]) -> str:
    """At most `LINES` lines of at most `WIDTH` letters, for a `repr`; what is left out is counted."""
    found = list(_split(lines))
    if len(found) > LINES:
        found[LINES - 1 :] = [f"... {len(found) - LINES + 1} more lines"]
    return "\n".join(line if len(line) <= WIDTH else line[: WIDTH - 4].rstrip() + " ..." for line in found)


def _split(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield from line.splitlines() or [""]


def _cells(kind: str, row: Sequence[object]) -> str:
    return "".join(f"<{kind}>{escape(str(cell))}</{kind}>" for cell in row)
