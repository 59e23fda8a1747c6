r"""Equations with a number of their own, ``\tag{1}``: they are handed to MathJax as they are.

Sphinx puts formulas of several rows into a ``split``, inside of which MathJax allows no tag.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes


def unwrap(app: Any, document: nodes.document) -> None:
    """Take the wrapping into our own hands."""
    for block in document.findall(nodes.math_block):
        text = block.astext()
        if "\\tag{" in text and "no-wrap" not in block:
            block["no-wrap"] = block["nowrap"] = True
            block.children = []
            block += nodes.Text(f"\\[{text.strip()}\\]")


def setup(app: Any) -> dict[str, bool]:
    """After a page was read, its executed cells included."""
    app.connect("doctree-read", unwrap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
