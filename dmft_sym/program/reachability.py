"""What depends on what: the one fixed point that decides it."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from typing import TypeAlias, TypeVar

Node = TypeVar("Node", bound=Hashable)
Rule: TypeAlias = tuple[Collection[Node], Node]
"""Premises and what they lead to together."""


def reached(start: Iterable[Node], rules: Iterable[Rule[Node]]) -> set[Node]:
    """The smallest set that holds ``start`` and, with all premises of a rule, what they lead to.

    Examples
    --------
    >>> sorted(reached("a", [("a", "b"), ("bc", "d"), ("b", "c")]))
    ['a', 'b', 'c', 'd']
    """
    found, rules = set(start), list(rules)
    size = -1
    while size != (size := len(found)):
        found.update(end for premises, end in rules if end not in found and found.issuperset(premises))
    return found
