"""What keys of specs may be, in words: read off the annotations of `dmft_sym.regimes.keys`."""

from __future__ import annotations

import inspect
import math
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, GroupedMetadata, Le, Lt, MultipleOf

from .keys import LARGEST, Fault


def missing(keys: type, section: str, key: str) -> Fault:
    """A key that has to be there."""
    return Fault(section, key, f"[{section}] {key} is missing: allowed is {allowed(widest(keys, key))}")


def owner(keys: type, key: str) -> type:
    """The section of any regime that has a key, which a regime may have narrowed."""
    return next(cls for cls in reversed(keys.__mro__) if key in inspect.get_annotations(cls))


def widest(keys: type, key: str) -> Any:
    """The annotation of a key in any regime."""
    return get_type_hints(owner(keys, key), include_extras=True)[key]


def marks_of(annotation: Any) -> tuple[Any, list[Any]]:
    """The type of a key and what an annotation says of it, without ``None``."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is not Annotated:
        return annotation, []
    kind, *marks = get_args(annotation)
    return kind, [part for mark in marks for part in (mark if isinstance(mark, GroupedMetadata) else (mark,))]


def allowed(annotation: Any, large: bool = False) -> str:
    """The allowed values in words.

    Parameters
    ----------
    large
        Whether to say how large integers without another bound may be.
    """
    kind, marks = marks_of(annotation)
    for mark in marks:
        if hasattr(mark, "allowed"):
            return str(mark.allowed)
    if kind is bool:
        return "true or false"
    if get_origin(kind) is Literal:
        return " or ".join(f'"{word}"' for word in get_args(kind))
    if get_origin(kind) is tuple:
        return f"a list without repetitions, every entry {allowed(get_args(kind)[0], large)}"
    return _integers(marks, large) if kind is int else _numbers(marks)


def _integers(marks: list[Any], large: bool) -> str:
    even = "even " if MultipleOf(2) in marks else ""
    low = next(mark.ge for mark in marks if isinstance(mark, Ge))
    high: Any = next(mark.le for mark in marks if isinstance(mark, Le))
    return f"an {even}integer >= {low}" + (f" and <= {high}" if large or high < LARGEST else "")


def _numbers(marks: list[Any]) -> str:
    signs = {"gt": ">", "ge": ">=", "lt": "<"}
    pairs = [(sign, getattr(mark, name)) for mark in marks for name, sign in signs.items() if hasattr(mark, name)]
    bounds = " and ".join(f"{sign} {bound:g}" for sign, bound in pairs if math.isfinite(bound))
    infinite = not any(isinstance(mark, Lt) for mark in marks)
    return f"a {'' if infinite else 'finite '}number {bounds}".rstrip() + (", or inf" if infinite else "")
