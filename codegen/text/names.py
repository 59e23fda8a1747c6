"""Names in generated source: identifiers that clash with nothing there."""

from __future__ import annotations

import keyword
import re
from collections.abc import Container

import sympy as sp

# Names that the writers use in a module; parameters that clash with them get an underscore.
_RESERVED = re.compile(
    r"(np|nb|mp|math|t|i|n|A|W|C|one|zero_row|one_row|same_step|kappa|rho|past|lag|velocity|done|steps?|outputs|dtype"
    r"|math|time|threading|types|store|fixed|desk|rows|wide|narrow|arrays|static_arrays|places|static_places|place"
    r"|progress|march|advance|first|last|min|max|range|print|l|l_.*|[RC]_.*|c\d+|_.*|.*_loss|EXPORTS)"
)


def python_name(symbol: sp.Symbol) -> str:
    """A run-time argument's name in generated source."""
    name = str(symbol.name)
    return free_name(f"{name}_" if _RESERVED.fullmatch(name) else name)


def free_name(name: str, taken: Container[str] = ()) -> str:
    """A name with underscores until it is neither a keyword nor taken."""
    while keyword.iskeyword(name) or name in taken:
        name += "_"
    return name
