"""Parts of ``numba_math`` for generated modules: the functions asked for and what they use, as text."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator
from importlib import resources

IMPORTS = """\
import numpy as np
from numba import njit, types
from numba.extending import intrinsic"""


def library_text(names: Iterable[str]) -> str:
    """The definitions of ``names`` (``_tanh``, ...) and of all they need, in the order of ``numba_math``.

    The module that they are copied into has the lines of `IMPORTS`.

    Raises
    ------
    KeyError
        If there is no such definition.
    """
    definitions = _definitions()
    needed: set[str] = set()
    open_names = list(names)
    while open_names:
        name = open_names.pop()
        if name not in needed:
            needed.add(name)
            open_names += definitions[name][1]
    chosen = [(name, definitions[name][0]) for name in definitions if name in needed]
    pieces = []
    for k, (_, text) in enumerate(chosen):
        function = "\ndef " in text
        pieces.append(("\n\n\n" if function else "\n") if k else "")
        pieces.append(text)
    return "".join(pieces)


@functools.cache
def _definitions() -> dict[str, tuple[str, frozenset[str]]]:
    """Text of every definition at the top of ``numba_math``, and the others that it names."""
    source = resources.files(__package__).joinpath("numba_math.py").read_text(encoding="utf-8")
    lines, nodes = source.splitlines(), dict(_top_level(ast.parse(source)))
    result = {}
    for name, node in nodes.items():
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]) - 1
        while lines[first - 1].startswith("#"):
            first -= 1
        used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & nodes.keys() - {name}
        result[name] = "\n".join(lines[first : node.end_lineno]), frozenset(used)
    return result


def _top_level(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node
