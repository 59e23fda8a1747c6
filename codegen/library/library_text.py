"""Parts of the library as text for generated modules: functions of ``numba_math`` with what they use, whole files."""

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


def file_text(name: str) -> str:
    """What a file of this folder has after its imports."""
    source = resources.files(__package__).joinpath(f"{name}.py").read_text(encoding="utf-8")
    body = iter(ast.parse(source).body[1:])  # after the docstring
    first = next(node for node in body if not isinstance(node, (ast.Import, ast.ImportFrom)))
    line = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", ()))])
    return "\n".join(source.splitlines()[line - 1 :]).strip("\n")


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
