"""Specs: TOML files that describe a network, its data and its training.

A spec is data. Text in it is looked up in lists of allowed words and never executed; whatever is not understood is
refused with one line that names the key, the value and what is allowed. `Spec` has the keys as typed fields.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from dmft_sym.regimes import REGIMES
from dmft_sym.support.files import read_bytes
from dmft_sym.support.messages import InputError, show, show_key, show_path, suggestion

from .checks import check_given, check_together, is_linear, spectrum_method
from .old_words import present_words
from .rules import RefusedError
from .sections import (
    OWN_FORWARD,
    PROPORTIONAL,
    SECTIONS,
    DataSpec,
    Spec,
    SpecError,
    keys_of,
    regimes_of,
    shown,
)

MAX_BYTES = 1_000_000

_NOT_HERE = {("network", "forward"): f"nothing, {OWN_FORWARD}"}

Section = TypeVar("Section")


def read_spec(path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Spec:
    """Read the spec at ``path``.

    Parameters
    ----------
    path
        A TOML file.
    overrides
        Texts ``section.key=value`` that replace keys of the file; a value that is not TOML is taken as text.

    Raises
    ------
    SpecError
        If anything is wrong with the file, a key or a value; one line.
    """
    try:
        content = read_bytes(path, "spec", MAX_BYTES)
    except InputError as error:
        raise SpecError(str(error)) from error
    label = f"spec {show_path(path)}"
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(f"{label}: byte {error.start} is not UTF-8; allowed is a TOML file in UTF-8") from error
    return parse_spec(text, overrides, label, os.path.dirname(path))


def parse_spec(
    text: str, overrides: Iterable[str] = (), label: str = "spec", folder: str | os.PathLike[str] = ""
) -> Spec:
    """The spec that ``text`` writes in TOML, with files relative to ``folder``; see `read_spec`."""
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{label}: not TOML ({error}); is the file complete?") from error
    return spec_from_tree(_overridden(tree, overrides), folder)


def spec_from_tree(tree: Mapping[str, Any], folder: str | os.PathLike[str] = "") -> Spec:
    """The spec of a tree of tables, as `tomllib` returns them, with files relative to ``folder``."""
    for name, table in tree.items():
        _check_section(name, table)
    tree, lines = present_words(tree)
    regime = tree.get("data", {}).get("regime", PROPORTIONAL)
    spec = Spec(
        **{name: _section(cls, name, tree.get(name, {}), regime) for name, cls in SECTIONS.items()}, old_words=lines
    )
    check_given(spec, tree)
    check_together(spec)
    return _completed(spec, os.fspath(folder))


def _completed(spec: Spec, folder: str) -> Spec:
    """Defaults that depend on the regime, and paths from the folder of the spec."""
    method = spec.solver.method or REGIMES[spec.data.regime].default_method
    exact = is_linear(spec) if spec.solver.exact is None else spec.solver.exact
    found = dataclasses.replace(spec, solver=dataclasses.replace(spec.solver, method=method, exact=exact))
    if not spec.fixed:
        network = dataclasses.replace(spec.network, outputs=spec.network.outputs or 1)
        spectrum = dataclasses.replace(spec.spectrum, method=spectrum_method(spec))
        return dataclasses.replace(found, network=network, spectrum=spectrum)
    return dataclasses.replace(found, data=_in_folder(spec.data, folder))


def _in_folder(data: DataSpec, folder: str) -> DataSpec:
    def found(path: str | None) -> str | None:
        return None if path is None else os.path.join(folder, path)

    return dataclasses.replace(data, inputs=found(data.inputs), targets=found(data.targets))


def _overridden(tree: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    for text in overrides:
        name, equals, value = text.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and section and key) or "." in key:
            raise SpecError(f"--set {show(text)}: allowed is section.key=value, such as training.steps=60")
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


def _check_section(name: str, table: object) -> None:
    if name not in SECTIONS:
        for section, cls in SECTIONS.items():
            if name in keys_of(cls):
                raise SpecError(f"{name} = {show(table)}: allowed is this key inside of its section, [{section}]")
        allowed = ", ".join(f"[{section}]" for section in SECTIONS)
        hint = suggestion(name, SECTIONS)
        raise SpecError(f"[{show_key(name)}]: unknown section{hint}; allowed are {allowed}")
    if not isinstance(table, dict):
        raise SpecError(f"{name} = {show(table)}: allowed is a table [{name}]")


def _section(cls: type[Section], name: str, table: Mapping[str, object], regime: object = None) -> Section:
    """One section as typed fields; ``regime``, as written, is what the message about an unknown key lists keys for."""
    rules = keys_of(cls)
    values = {}
    for key, value in table.items():
        if key not in rules:
            regimes = regimes_of(cls)
            raise _unknown_key(name, key, value, [k for k in rules if regimes[k] in (None, regime)])
        try:
            values[key] = rules[key].read(value)
        except RefusedError as refused:
            raise SpecError(f"[{name}] {key} = {shown(value)}: allowed is {refused}") from None
    for entry in dataclasses.fields(cls):  # type: ignore[arg-type]  # every section is a dataclass
        if entry.name not in values and entry.default is dataclasses.MISSING:
            raise SpecError(f"[{name}] {entry.name} is missing: allowed is {rules[entry.name].allowed}")
    return cls(**values)


def _unknown_key(section: str, key: str, value: object, known: Iterable[str]) -> SpecError:
    label = f"[{section}] {show_key(key)} = {shown(value)}"
    if (section, key) in _NOT_HERE:
        return SpecError(f"{label}: allowed is {_NOT_HERE[section, key]}")
    return SpecError(f"{label}: unknown key{suggestion(key, known)}; allowed are {', '.join(known)}")
