"""Names in single backticks of docstrings become links to the page of a public name."""

from __future__ import annotations

import re
from typing import Any

import dmft_sym as ds

NAMES = {name: f"dmft_sym.{name}" for name in (*ds.__all__, *getattr(ds, "RETURNED", ()))}
_NAME = re.compile(r"(?<![`:\w])`(?:dmft_sym\.|ds\.)?(\w+)`(?![`_\w])")


def link(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Replace names of the toolkit by references; the rest stays as it is written, as code."""
    for number, line in enumerate(lines):
        lines[number] = _NAME.sub(_reference, line)


def _reference(match: re.Match[str]) -> str:
    target = NAMES.get(match[1])
    return f":py:obj:`{match[1]} <{target}>`" if target else f"``{match[1]}``"


def setup(app: Any) -> dict[str, bool]:
    """After numpydoc, which reads sections at an earlier place in the order."""
    app.connect("autodoc-process-docstring", link, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
