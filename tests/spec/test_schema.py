"""The JSON schema of specs: it says of files what reading them says, and of keys what they mean."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dmft_sym.regimes import REGIMES
from dmft_sym.spec.reading import SpecError, spec_from_tree
from dmft_sym.spec.schema import schema

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
SAID = {"$schema", "title", "description", "default"}


def valid(value: Any, rule: dict[str, Any]) -> bool:
    """Whether a value is valid under the keywords that the schema uses; one that is not known here is an error."""
    checks = {
        "type": lambda t: isinstance(value, TYPES[t]) and (t == "boolean" or not isinstance(value, bool)),
        "const": lambda c: value == c,
        "enum": lambda words: value in words,
        "oneOf": lambda rules: sum(valid(value, one) for one in rules) == 1,
        "anyOf": lambda rules: any(valid(value, one) for one in rules),
        "minimum": lambda low: value >= low,
        "maximum": lambda high: value <= high,
        "exclusiveMinimum": lambda low: value > low,
        "exclusiveMaximum": lambda high: value < high,
        "multipleOf": lambda n: value % n == 0,
        "items": lambda one: all(valid(entry, one) for entry in value),
        "maxItems": lambda n: len(value) <= n,
        "uniqueItems": lambda _: all(value.count(entry) == 1 for entry in value),
        "required": lambda keys: set(keys) <= set(value),
        "minProperties": lambda n: len(value) >= n,
        "maxProperties": lambda n: len(value) <= n,
        "propertyNames": lambda one: all(valid(key, {"type": "string", **one}) for key in value),
        "properties": lambda keys: all(valid(value[key], one) for key, one in keys.items() if key in value),
        "additionalProperties": lambda one: all(
            one is not False and valid(value[key], one) for key in set(value) - set(rule.get("properties", ()))
        ),
    }
    order = sorted(set(rule) - SAID, key=lambda keyword: keyword != "type")
    return all(checks[keyword](rule[keyword]) for keyword in order)


def tree_of(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid(path: Path) -> None:
    assert valid(tree_of(path), schema())


def properties() -> Iterator[tuple[str, dict[str, Any]]]:
    for regime in schema()["oneOf"]:
        for name, section in regime["properties"].items():
            yield from ((f"[{name}] {key}", one) for key, one in section["properties"].items())


def test_every_key_has_a_description_and_a_valid_default() -> None:
    found = list(properties())
    assert len(found) > 60
    for key, rule in found:
        assert len(rule["description"]) > 5, key
        assert "default" not in rule or valid(rule["default"], rule), key


def test_sections_and_keys_are_those_of_the_regimes() -> None:
    for found, regime in zip(schema()["oneOf"], REGIMES.values(), strict=True):
        assert list(found["properties"]) == list(regime.sections)
        for name, keys in regime.sections.items():
            assert set(found["properties"][name]["properties"]) == set(keys.__dataclass_fields__)
            assert found["properties"][name]["description"].startswith(f"``[{name}]``")


VALUES = [0, 1, 3, -1, 2.5, 1.0, True, "tanh", "numba", "mpmath", "fixed", [], [0, 1], [1, 1], [-1], 2**40]
VALUES += ["NTK", {"exponent": 1.0}, {"exponent": "a"}, {"power": 1.0}, {}, 0.5, "float32"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_schema_refuses_no_more_than_reading_does(path: Path) -> None:
    """And of single keys no less: what it does not know is what keys are together."""
    keys = [(name, key) for regime in REGIMES.values() for name, k in regime.sections.items() for key in names(k)]
    rule, known = schema(), 0
    for name, key in [*dict.fromkeys(keys), ("training", "step"), ("solvr", "tol")]:
        for value in VALUES:
            tree = tree_of(path)
            tree.setdefault(name, {})[key] = value
            try:
                spec_from_tree(tree)
            except SpecError:
                known += not valid(tree, rule)
            else:
                assert valid(tree, rule), f"[{name}] {key} = {value}"
    assert known > 300


def names(keys: type) -> list[str]:
    return list(keys.__dataclass_fields__)
