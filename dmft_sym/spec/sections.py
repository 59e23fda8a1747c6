"""Sections of specs, read by pydantic: their models, and what is wrong in one of them, all at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from dmft_sym.regimes import REGIMES
from dmft_sym.regimes.key_words import allowed, marks_of, missing, owner, widest
from dmft_sym.regimes.keys import ENTRIES, LARGEST, OWN_FORWARD, Fault, Hints, Keys, refused, shown
from dmft_sym.support.messages import show_key, suggestion

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SECTIONS = tuple(dict.fromkeys(name for regime in REGIMES.values() for name in regime.sections))
"""Names of all sections, in the order in which errors are listed."""
TABLES = {("network", "parameters")}
"""Sections and keys whose values are tables of numbers, of which one may be an axis of a sweep."""
MOST_UNKNOWN = 20
"""Unknown keys of a section, and unknown sections, that are listed: a file of another kind has thousands."""
_NOT_HERE = {
    ("network", "forward"): f"nothing, {OWN_FORWARD}",
    ("training", "rule"): f'nothing, kind is "gradient-descent" or "gradient-flow"; {ENTRIES}',
}


@cache
def model(keys: type) -> Any:
    """The pydantic model of a section: strict, and without other keys."""
    from pydantic import ConfigDict
    from pydantic.dataclasses import dataclass

    return dataclass(keys, frozen=True, kw_only=True, config=ConfigDict(strict=True, extra="forbid"))


def read_section(name: str, regime: str, table: Mapping[str, Any]) -> tuple[Keys | None, list[Fault]]:
    """A section of a spec, or what is wrong in it.

    Parameters
    ----------
    regime
        The word of the regime, whose keys the section has.
    table
        As in the file.
    """
    keys: Any = REGIMES[regime].sections.get(name, Keys)
    known = {key: value for key, value in table.items() if key in names_of(keys)}
    unknown = [key for key in table if key not in known]
    found, errors = _validated(keys, known)
    faults = [*_refusals(name, regime, keys, known, errors)]
    faults += [missing(keys, name, key) for key in keys.needed(known) if key not in known]
    faults += [_unknown_key(name, keys, key, table[key]) for key in unknown[:MOST_UNKNOWN]]
    if len(unknown) > MOST_UNKNOWN:
        faults.append(Fault(name, "", f"[{name}]: and {len(unknown) - MOST_UNKNOWN} more unknown keys"))
    if faults:
        return None, faults
    section: Keys = keys(**{key: getattr(found, key) for key in names_of(keys)})
    faults = list(section.faults())
    return None if faults else section, faults


def _validated(keys: type, table: Mapping[str, Any]) -> tuple[Any, list[ErrorDetails]]:
    """What pydantic makes of a table, and what it has against it; lists are tuples in sections."""
    from pydantic import ValidationError

    values = {key: _tuples(value) for key, value in table.items()}
    try:
        return model(keys)(**values), []
    except ValidationError as error:
        return None, error.errors(include_url=False, include_input=False)


def _tuples(value: Any) -> Any:
    """Lists as tuples, those within them too."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _refusals(
    section: str, regime: str, keys: type, table: Mapping[str, Any], errors: Iterable[ErrorDetails]
) -> Iterator[Fault]:
    """A fault for every key that pydantic has something against."""
    by_key: dict[str, list[ErrorDetails]] = {}
    for error in errors:
        by_key.setdefault(str(error["loc"][0]), []).append(error)
    for key, found in by_key.items():
        if key in table:
            large = any(error.get("ctx", {}).get("le") == LARGEST for error in found)
            yield _refused(section, regime, keys, key, table[key], large)
        else:
            yield missing(keys, section, key)


def _refused(section: str, regime: str, keys: type, key: str, value: object, large: bool) -> Fault:
    """A value that is not allowed; in any regime, unless it is one that this regime has narrowed."""
    annotation, where = widest(keys, key), None
    if not any(error["loc"][0] == key for error in _validated(owner(keys, key), {key: value})[1]):
        annotation, where = get_type_hints(keys, include_extras=True)[key], regime
    words = allowed(annotation, large)
    kind, marks = marks_of(get_type_hints(keys, include_extras=True)[key])
    if isinstance(value, str):
        hint = next((mark.of.get(value) for mark in marks if isinstance(mark, Hints)), None)
        choices = [word for word in get_args(kind) if isinstance(word, str)] if get_origin(kind) is not tuple else []
        words += hint or suggestion(value, choices)
    return refused(section, key, value, words, where)


def _size(section: str, keys: type) -> str:
    """What finite networks of a regime have instead of the size of another."""
    if section != "simulation":
        return ""
    size = next((regime.size for regime in REGIMES.values() if regime.sections.get(section) is keys), None)
    if size is None:
        return ""
    return f"; the size here is {size.keyword} (--{size.keyword}), the {size.meaning}"


def _unknown_key(section: str, keys: type, key: str, value: object) -> Fault:
    others = {word: names_of(other.sections.get(section, Keys)) for word, other in REGIMES.items()}
    for word, names in others.items():
        if key in names:
            return refused(section, key, value, f'nothing, the key belongs to regime = "{word}"{_size(section, keys)}')
    if (section, key) in _NOT_HERE:
        return refused(section, key, value, _NOT_HERE[section, key])
    known = names_of(keys) or [name for names in others.values() for name in names]
    line = f"[{section}] {show_key(key)} = {shown(value)}: unknown key{suggestion(key, known)}; allowed are "
    return Fault(section, key, line + ", ".join(known))


def homes_of(key: str) -> list[str]:
    """Sections of any regime that have a key."""
    return [name for name in SECTIONS if any(key in names_of(r.sections.get(name, Keys)) for r in REGIMES.values())]


def names_of(keys: type) -> list[str]:
    """The keys of a section."""
    return [key.name for key in fields(keys)]
