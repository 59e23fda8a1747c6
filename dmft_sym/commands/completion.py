"""What a shell may complete beside names of options and files: words that a command knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def words_of(words: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """A completion by words that are looked up when they are asked for, as their modules take time to import."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in words() if word.startswith(incomplete)]

    return complete


def backends() -> Iterable[str]:
    """Back ends of solvers."""
    from ..codegen import BACKENDS

    return BACKENDS


def claims() -> Iterable[str]:
    """Names of claims."""
    from ..claims.registry import ALL

    return ALL


def figures() -> Iterable[str]:
    """Kinds of figures."""
    from ..figures.drawing import KINDS

    return KINDS


def keys() -> Iterable[str]:
    """Keys of specs, up to where their value begins."""
    from ..regimes import REGIMES
    from ..spec.sections import names_of

    sections = [section for regime in REGIMES.values() for section in regime.sections.items()]
    return dict.fromkeys(f"{name}.{key}=" for name, keys in sections for key in names_of(keys))


def limits() -> Iterable[str]:
    """Names of limits."""
    from ..limits import ALL

    return ALL


def tasks() -> Iterable[str]:
    """What is done at a point of a sweep."""
    from ..sweeps.tasks import TASKS

    return TASKS
