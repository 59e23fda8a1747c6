"""Public names have docstrings with source, neighbours and examples that run; the reference has a place for each."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path

import pytest

import dmft_sym as ds
from dmft_sym.networks import Tracer

API = Path(__file__).resolve().parent.parent / "docs" / "api"
CONSTANTS = {"MUP", "NTK"}
MODULES = {
    "datasets": ("digits", "named_set", "from_npz", "from_csv", "from_files"),
    "limits": (
        "Limit", "Kind", "check", "check_correction", "LimitingTheory", "LazySites", "FlowLimit", "DeepTheory",
        "LateTheory", "IndependentSpikes",
    ),
}  # fmt: skip
OBJECTS = {name: getattr(ds, name) for name in (*ds.__all__, *ds.RETURNED) if name not in CONSTANTS | set(MODULES)} | {
    f"{module}.{name}": getattr(getattr(ds, module), name) for module, names in MODULES.items() for name in names
}
METHODS = {
    "Theory": ("bulk", "compile", "exact", "limit", "replace", "solve", "source", "spikes", "to_latex"),
    "networks.Tracer": (
        "apply", "family", "given", "hidden", "label", "matrix", "mean", "observe", "parameter", "readout", "scan",
        "sum", "vector",
    ),
}  # fmt: skip
"""What users call of an object."""
LONG = {
    "critical", "limits.check", "limits.FlowLimit", "limits.Limit", "max_stable", "measure", "operator", "plot",
    "reproduce", "scaling",
}  # fmt: skip
"""Examples that take longest."""


def sections(thing: object) -> set[str]:
    return set(re.findall(r"^(\w[\w ]*)\n-+$", inspect.getdoc(thing) or "", re.MULTILINE))


def calls(name: str) -> dict[str, object]:
    """Methods of a class by name."""
    owner = ds.Theory if name == "Theory" else Tracer
    return {method: getattr(owner, method) for method in METHODS[name]}


@pytest.mark.parametrize("name", OBJECTS)
def test_docstrings_are_whole(name: str) -> None:
    thing = OBJECTS[name]
    needed = {"See Also", "References", "Examples"}
    if inspect.isfunction(thing):
        needed |= {"Parameters", "Returns", "Raises"}
    assert needed <= sections(thing)


@pytest.mark.parametrize("name", METHODS)
def test_methods_say_what_they_take_and_show_it(name: str) -> None:
    for method, function in calls(name).items():
        assert {"Parameters", "Examples"} <= sections(function) or method in ("solve", "to_latex", "observe"), method


@pytest.mark.parametrize("method", METHODS["networks.Tracer"])
def test_examples_of_forward_passes_print_what_they_say(method: str) -> None:
    run_examples(f"Tracer.{method}", calls("networks.Tracer")[method])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in OBJECTS]
)
def test_examples_print_what_they_say(name: str) -> None:
    run_examples(name, OBJECTS[name])


def run_examples(name: str, thing: object) -> None:
    (examples,) = doctest.DocTestFinder(recurse=False).find(thing, name, globs={})
    assert examples.examples
    report: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(examples, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


def test_the_reference_has_every_name() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in API.glob("*.md"))
    listed = set(re.findall(r"^\.\. auto\w+:: dmft_sym\.(\S+)$", text, re.MULTILINE))
    assert set(OBJECTS) | CONSTANTS <= listed
    assert all(inspect.ismodule(getattr(ds, module)) for module in MODULES)


def test_no_module_takes_the_place_of_a_limit() -> None:
    assert all(isinstance(getattr(ds.limits, name), ds.limits.Limit) for name in ds.limits.ALL)
