"""Specs: TOML files that describe a network, its data and its training.

A spec is data. Text in it is looked up in lists of allowed words and never executed; whatever is not understood is
refused, all of it at once, with a line for every error that names the key, the value and what is allowed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

from dmft_sym.regimes import REGIMES
from dmft_sym.regimes.base import Regime
from dmft_sym.regimes.keys import (
    Check,
    Fault,
    Keys,
    Spec,
    UnreadSectionError,
    late_steps,
    named_twice,
    of_flows,
    refused,
)
from dmft_sym.support.errors import SpecError
from dmft_sym.support.files import read_bytes
from dmft_sym.support.messages import InputError, show, show_key, show_path, suggestion

from .old_words import present_words
from .own_network import OwnNetwork
from .sections import MOST_UNKNOWN, SECTIONS, homes_of, names_of, read_section

__all__ = ["Spec", "SpecError", "parse_spec", "read_spec", "spec_from_tree"]

MAX_BYTES = 1_000_000
_MOST_STEPS = 10
MOST_LINES = 100
"""Errors that are listed."""
USUAL = next(iter(REGIMES))
"""The regime of a spec that names none."""
CHECKS: tuple[Check, ...] = (partial(late_steps, section="spectrum"), of_flows, named_twice)
"""What keys of any regime may be together; each has its own."""


def read_spec(path: str | os.PathLike[str], overrides: Iterable[str] = (), own: OwnNetwork | None = None) -> Spec:
    """Read the spec at ``path``.

    Parameters
    ----------
    path
        A TOML file.
    overrides
        Texts ``section.key=value`` that replace keys of the file; a value that is not TOML is taken as text.
    own
        A network of the user's own, instead of the kind that the file names.

    Raises
    ------
    SpecError
        If anything is wrong with the file, keys or values; a line for each.
    """
    return Specs.of_file(path, overrides, own).spec()


class Specs:
    """The spec of a file, and others that differ from it in some keys.

    Parameters
    ----------
    tree
        Tables, as `tomllib` returns them.
    folder
        What names of files in them are relative to.
    own
        A network of the user's own.
    notes
        Lines about overrides.
    """

    def __init__(
        self,
        tree: Mapping[str, Any],
        folder: str | os.PathLike[str],
        own: OwnNetwork | None,
        notes: Iterable[str] = (),
    ) -> None:
        self.tree, self.folder, self.own, self.notes = tree, folder, own, tuple(notes)

    @classmethod
    def of_file(
        cls, path: str | os.PathLike[str], overrides: Iterable[str] = (), own: OwnNetwork | None = None
    ) -> Specs:
        """Those of a file; see `read_spec`."""
        tree, notes = _parsed(_text(path), overrides, f"spec {show_path(path)}")
        return cls(tree, os.path.dirname(path), own, notes)

    def spec(self, changes: Mapping[tuple[str, str], Any] | None = None) -> Spec:
        """The spec with other values of some keys, by section and key.

        Raises
        ------
        SpecError
            If anything is wrong with keys or values; a line for each.
        """
        tree = dict(self.tree)
        for (section, key), value in (changes or {}).items():
            table = tree.get(section, {})
            if not isinstance(table, dict):
                raise SpecError(f"{show_key(section)} = {show(table)}: allowed is a table [{show_key(section)}]")
            inner, _, last = key.rpartition(".")
            changed = {last: value} if not inner else {inner: {**_table(section, inner, table), last: value}}
            tree[section] = {**table, **changed}
        return spec_from_tree(tree, self.folder, self.own, self.notes)


def _table(section: str, key: str, table: Mapping[str, Any]) -> Mapping[str, Any]:
    """A key that is a table; empty if it is not given."""
    found: Any = table.get(key, {})
    if not isinstance(found, Mapping):
        raise SpecError(f"[{section}] {key} = {show(found)}: allowed is a table")
    return found


def _text(path: str | os.PathLike[str]) -> str:
    """The text of a file.

    Raises
    ------
    SpecError
        If it is none.
    """
    if os.fspath(path).endswith(".py"):
        raise SpecError(
            f"spec {show_path(path)}: a Python file; allowed is a TOML file, and beside it a forward pass of your own, "
            f"--network {os.fspath(path)}:function"
        )
    try:
        content = read_bytes(path, "spec", MAX_BYTES)
    except InputError as error:
        raise SpecError(str(error)) from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        label = f"spec {show_path(path)}"
        raise SpecError(f"{label}: byte {error.start} is not UTF-8; allowed is a TOML file in UTF-8") from error


def parse_spec(
    text: str,
    overrides: Iterable[str] = (),
    label: str = "spec",
    folder: str | os.PathLike[str] = "",
    own: OwnNetwork | None = None,
) -> Spec:
    """The spec that ``text`` writes in TOML, with files relative to ``folder``; see `read_spec`."""
    tree, notes = _parsed(text, overrides, label)
    return spec_from_tree(tree, folder, own, notes)


def _parsed(text: str, overrides: Iterable[str], label: str) -> tuple[dict[str, Any], list[str]]:
    """The tables that a text writes, with overrides, and a line for what these leave without meaning.

    Raises
    ------
    SpecError
        If it is not TOML.
    """
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{label}: not TOML ({error}); is the file complete?") from error
    texts = list(overrides)
    found = _overridden(tree, texts)
    return found, _shortened(found, {text.partition("=")[0].strip() for text in texts})


def _shortened(tree: dict[str, Any], overridden: Collection[str]) -> list[str]:
    """Leave out steps of the file beyond a run that an override has made shorter; a line for every list."""
    training = tree.get("training")
    last = training.get("steps") if isinstance(training, dict) else None
    if "training.steps" not in overridden or not isinstance(last, int) or last < 1:
        return []
    lines = []
    for section in ("spectrum", "kernels"):
        table = tree.get(section)
        steps = table.get("steps") if isinstance(table, dict) else None
        if f"{section}.steps" in overridden or not isinstance(table, dict) or not isinstance(steps, list):
            continue
        late = [step for step in steps if isinstance(step, int) and step >= last]
        if late:
            table["steps"] = [step for step in steps if step not in late]
            beyond = ", ".join(map(str, late[:_MOST_STEPS])) + (", ..." if len(late) > _MOST_STEPS else "")
            lines.append(f"[{section}] steps: {beyond} left out, the run has the steps 0 to {last - 1}")
    return lines


def spec_from_tree(
    tree: Mapping[str, Any],
    folder: str | os.PathLike[str] = "",
    own: OwnNetwork | None = None,
    notes: Iterable[str] = (),
) -> Spec:
    """The spec of a tree of tables, as `tomllib` returns them, with files relative to ``folder``."""
    tables, old_words = present_words(tree)
    old_words = (*old_words, *notes)
    if own is not None:
        own = own.beside(tables)
        tables = own.completed(tables, _regime_of(tables).placeholder)
    faults = list(_no_sections(tables))
    tables = {name: table for name, table in tables.items() if name in SECTIONS and isinstance(table, dict)}
    word, checks = tables.get("data", {}).get("regime", USUAL), CHECKS
    names = [name for name in SECTIONS if name in tables or name not in tree]
    if isinstance(word, str) and word in REGIMES:
        checks += REGIMES[word].checks
    else:  # no more is known than what all regimes have in common
        faults.append(_unknown_regime(word))
        names, word = [name for name in names if _common(name)], USUAL
    read: dict[str, Any] = {}
    for name in names:
        section, found = read_section(name, word, tables.get(name, {}))
        faults += found
        if section is not None and name in REGIMES[word].sections:
            read[name] = section
    spec = Spec(read, tables, old_words, own)
    for check in checks:
        with suppress(UnreadSectionError):
            faults.extend(check(spec))
    if faults:
        raise SpecError(*_lines(faults, word))
    return REGIMES[word].completed(spec, os.fspath(folder))


def _regime_of(tables: Mapping[str, Any]) -> type[Regime]:
    """The regime that a tree names, the usual one if it is none."""
    data = tables.get("data", {})
    word = data.get("regime", USUAL) if isinstance(data, dict) else USUAL
    return REGIMES[word if isinstance(word, str) and word in REGIMES else USUAL]


def _lines(faults: Iterable[Fault], regime: str) -> list[str]:
    """Lines in the order of sections and keys, what is unknown last."""
    keys = {(name, key): n for name in SECTIONS for n, key in enumerate(_keys(name, regime))}
    sections = {name: n for n, name in enumerate(SECTIONS)}

    def place(fault: Fault) -> tuple[int, int]:
        return sections.get(fault.section, len(sections)), keys.get((fault.section, fault.key), len(keys))

    lines = [fault.line for fault in sorted(faults, key=place)]
    return lines if len(lines) <= MOST_LINES else [*lines[:MOST_LINES], f"and {len(lines) - MOST_LINES} more errors"]


def _keys(section: str, regime: str) -> list[str]:
    keys = REGIMES[regime].sections.get(section)
    return [] if keys is None else names_of(keys)


def _common(section: str) -> bool:
    """Whether all regimes have the keys of a section that the usual one has, perhaps with more."""
    keys = REGIMES[USUAL].sections.get(section)
    return keys is not None and all(issubclass(r.sections.get(section, Keys), keys) for r in REGIMES.values())


def _unknown_regime(value: object) -> Fault:
    hint = suggestion(value, REGIMES) if isinstance(value, str) else ""
    return refused("data", "regime", value, " or ".join(f'"{word}"' for word in REGIMES) + hint)


def _overridden(tree: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    for text in overrides:
        name, equals, value = text.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and section and key) or "." in key:
            homes = homes_of(section) if equals and not dot else []
            example = f"{homes[0]}.{section}={value.strip()}" if homes else "training.steps=60"
            raise SpecError(f"--set {show(text)}: allowed is section.key=value, such as {example}")
        table = tree.setdefault(section, {})
        if not isinstance(table, dict):
            raise SpecError(f"{show_key(section)} = {show(table)}: allowed is a table [{show_key(section)}]")
        table[key] = _toml_value(value.strip())
    return tree


def _toml_value(text: str) -> Any:
    try:
        tree = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return tree["value"] if list(tree) == ["value"] else text


def _no_sections(tree: Mapping[str, Any]) -> Iterator[Fault]:
    """What stands at the top of a file and is no section."""
    for name, table in tree.items():
        if name in SECTIONS and not isinstance(table, dict):
            yield Fault(name, "", f"{name} = {show(table)}: allowed is a table [{name}]")
    unknown = [name for name in tree if name not in SECTIONS]
    for name in islice(unknown, MOST_UNKNOWN):
        yield Fault("", name, _unknown_section(name, tree[name]))
    if len(unknown) > MOST_UNKNOWN:
        yield Fault("", "", f"and {len(unknown) - MOST_UNKNOWN} more unknown sections")


def _unknown_section(name: str, table: object) -> str:
    homes = homes_of(name)
    if homes:
        return f"{name} = {show(table)}: allowed is this key inside of its section, [{homes[0]}]"
    allowed = ", ".join(f"[{section}]" for section in SECTIONS)
    return f"[{show_key(name)}]: unknown section{suggestion(name, SECTIONS)}; allowed are {allowed}"
