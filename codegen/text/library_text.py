"""The library as text: what a module uses of it, copied into the module or imported by it.

A module is written once, as its own text; the names in it say what it needs. Standing alone, it has the definitions of
the library verbatim and runs with NumPy and Numba; otherwise it imports them, so that their machine code is that of
every other module too.
"""

from __future__ import annotations

import ast
import functools
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

from .wrapping import wrapped

LIBRARY = "dmft_sym.codegen.library"
MODULES = (
    "common",
    "numba_math",
    "numba_rows",
    "numba_history",
    "numba_products",
    "numba_sharing",
    "numba_advance",
    "numba_march",
    "sampled_products",
    "sampled_directions",
    "sampled_replica",
    "sampled_walk",
)
"""Those that are copied or imported, each after those that it imports; a name is defined in one of them."""
TWO_TIME = (*MODULES, "two_time_tangents", "numba_tangents", "two_time_fields")
"""The same for solvers of sampled two-time equations, whose text keeps clear of the names in it."""

_COPIED = "# The library of dmft_sym, the same in all modules. One that does not stand alone only imports:\n#\n"
_OWN = "# From here on this network's own."
Bindings = Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class _Definition:
    """What stands at the top of a module of the library: its text, names in it, whether it is a function or class."""

    module: str
    text: str
    names: frozenset[str]
    block: bool


def module_text(
    docstring: str, own: str, alone: bool = True, modules: tuple[str, ...] = MODULES, public: Iterable[str] = ()
) -> str:
    """A module of the given docstring and text, with what the text uses of the library: copied, or imported.

    Parameters
    ----------
    public
        Names that are to be found in the module whether its text uses them or not.
    """
    library = _library(modules)
    used = _names(ast.parse(own)) | set(public)
    called = used & library.definitions.keys()
    imports = [*library.import_lines(used), *library.library_imports(called)]
    copied = []
    if alone and called:
        instead = _COPIED + "\n".join(f"#     {line}".rstrip() for line in imports)
        copied = [instead, library_text(called, modules), _OWN]
        imports = list(library.import_lines(used | library.names_in(called)))
    head = "\n".join([docstring, "", *imports])
    return "\n\n\n".join([head, *copied, own]) + "\n"


def linked(source: str) -> str:
    """A module that stands alone with the library imported; any other text as it is."""
    head, found, rest = source.partition(_COPIED)
    if not found:
        return source
    commented, _, _ = rest.partition("\n\n")
    imports = [line.removeprefix("#").removeprefix("     ") for line in commented.split("\n")]
    docstring = head[: head.index('"""\n', 3) + 3]
    _, _, own = rest.partition(_OWN)
    return "\n".join([docstring, "", *imports]) + own


def library_text(names: Iterable[str], modules: tuple[str, ...] = MODULES) -> str:
    """The definitions of ``names`` (``_tanh``, ...) and of all they need, in the order of the library.

    Raises
    ------
    KeyError
        If there is no such definition.
    """
    library = _library(modules)
    chosen = list(dict.fromkeys(library.definitions[name] for name in library.in_order(names)))
    pieces = []
    before: _Definition | None = None
    for definition in chosen:
        if before is None or before.module != definition.module:
            about = textwrap.indent(library.about[definition.module], "# ", lambda _: True)
            pieces += ["\n\n\n" if before else "", *(f"{line.rstrip()}\n" for line in about.split("\n")), "\n"]
        else:
            pieces.append("\n\n\n" if definition.block or before.block else "\n")
        pieces.append(definition.text)
        before = definition
    return "".join(pieces)


def _names(tree: ast.AST) -> frozenset[str]:
    return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def library_names(modules: tuple[str, ...] = MODULES) -> frozenset[str]:
    """All names that modules of the library define."""
    return frozenset(_library(modules).definitions)


@dataclass(frozen=True)
class _Library:
    """Definitions by name, what names from elsewhere are bound to, and what the modules are about."""

    definitions: Mapping[str, _Definition]
    bindings: Bindings
    about: Mapping[str, str]

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Names and those that their definitions need, in the order of the library."""
        needed: set[str] = set()
        open_names = set(names)
        while open_names:
            name = open_names.pop()
            needed.add(name)
            open_names |= self.definitions[name].names & self.definitions.keys() - needed
        return [name for name in self.definitions if name in needed]

    def names_in(self, names: Iterable[str]) -> frozenset[str]:
        """All names in the definitions of names and of what they need."""
        return frozenset().union(*(self.definitions[name].names for name in self.in_order(names)))

    def library_imports(self, names: Iterable[str]) -> Iterator[str]:
        """Lines that import names from the library."""
        for module in self.about:
            found = sorted(name for name in names if self.definitions[name].module == module)
            if found:
                bare = wrapped(f"from {LIBRARY}.{module} import ", found, "")
                yield from bare if len(bare) == 1 else wrapped(f"from {LIBRARY}.{module} import (", found, ")")

    def import_lines(self, names: Iterable[str]) -> Iterator[str]:
        """Lines that bind those names that the library takes from elsewhere; the standard library stands first."""
        bindings = {name: self.bindings[name] for name in names if name in self.bindings}
        inside = {name for name, (module, _) in bindings.items() if module.partition(".")[0] in sys.stdlib_module_names}
        for standard in (True, False):
            some = {n: b for n, b in bindings.items() if (n in inside) is standard}
            if not standard and len(some) not in (0, len(bindings)):
                yield ""
            for name, (module, part) in sorted(some.items(), key=lambda item: item[1]):
                if not part:
                    yield f"import {module}" if name == module else f"import {module} as {name}"
            for module in sorted({module for module, part in some.values() if part}):
                yield f"from {module} import {', '.join(sorted(n for n, b in some.items() if b == (module, n)))}"


@functools.cache
def _library(modules: tuple[str, ...]) -> _Library:
    definitions: dict[str, _Definition] = {}
    bindings: dict[str, tuple[str, str]] = {"itertools": ("itertools", "")}  # used by modules alone
    about: dict[str, str] = {}
    for module in modules:
        source = resources.files(LIBRARY).joinpath(f"{module}.py").read_text(encoding="utf-8")
        tree = ast.parse(source)
        about[module] = ast.get_docstring(tree) or ""
        bindings.update(_bindings(tree))
        definitions.update(_definitions(module, source, tree))
    return _Library(definitions, bindings, about)


def _bindings(tree: ast.Module) -> Iterator[tuple[str, tuple[str, str]]]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name, (alias.name, "")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith(LIBRARY):
            yield from ((alias.name, (node.module, alias.name)) for alias in node.names)


def _definitions(module: str, source: str, tree: ast.Module) -> Iterator[tuple[str, _Definition]]:
    lines = source.splitlines()
    for node in tree.body:
        names = list(_defined(node))
        if names:
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]) - 1
            while lines[first - 1].startswith("#"):
                first -= 1
            text = "\n".join(lines[first : node.end_lineno])
            block = isinstance(node, ast.FunctionDef | ast.ClassDef)
            yield from ((name, _Definition(module, text, _names(node), block)) for name in names)


def _defined(node: ast.stmt) -> Iterator[str]:
    """Names that a statement at the top of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))
