"""The examples in the documentation print what they say."""

from __future__ import annotations

import dataclasses
import doctest
import re
from pathlib import Path

import pytest

import dmft_sym as ds
from dmft_sym.regimes import REGIMES
from dmft_sym.regimes.key_words import allowed, widest
from dmft_sym.spec.reading import parse_spec

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.mark.parametrize(
    "page",
    [
        "program.md",
        "equations.md",
        "limits.md",
        "results.md",
        "sweeps.md",
        "extensive.md",
        "measure.md",
        "reproduce.md",
    ],
)
def test_examples_print_what_they_say(page: str) -> None:
    text = re.sub(r"^```.*$", "", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    assert examples.examples
    report: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(examples, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


def rows(page: str) -> dict[str, list[str]]:
    """Table rows that start with code, by the last heading above them."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line
        elif line.startswith("| `"):
            found.setdefault(heading, []).append(line)
    return found


def test_every_key_of_a_spec_is_explained() -> None:
    sections = {(name, keys) for regime in REGIMES.values() for name, keys in regime.sections.items()}
    for name, section in sections:
        here = [line for heading, lines in rows("specs.md").items() if f"`[{name}]`" in heading for line in lines]
        for key in dataclasses.fields(section):
            line = next((line for line in here if f"| `{key.name}` " in line), None)
            assert line is not None, f"[{name}] {key.name}"
            words = re.findall('"[^"]*"', allowed(widest(section, key.name))) if key.name != "regime" else REGIMES
            if key.name not in ("activation", "matrices"):  # whose words are examples
                assert all(word in line for word in words), line
            if isinstance(key.default, str):
                assert line.rstrip("| ").endswith(f'`"{key.default}"`'), line
            elif key.name != "parametrization" and isinstance(key.default, (int, float)) and key.default is not False:
                assert float(line.rstrip("| ").split("|")[-1]) == key.default, line


def test_example_spec_is_read() -> None:
    text = (DOCS / "specs.md").read_text(encoding="utf-8")
    assert parse_spec(text.split("```toml")[1].split("```")[0]).training.steps == 60


def test_every_attribute_of_a_result_is_explained() -> None:
    theory = ds.derive(ds.deep_linear())
    settings = {"samples_per_dim": 2.0, "width_per_dim": 1.0, "richness": 1.0, "learning_rate": 0.01, "steps": 2}
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    given = {"learning_rate", "init_std", "label_noise", "width_per_dim", "richness"}  # "the run-time arguments"
    for result in (theory.compile("numpy")(**settings), ds.simulate(theory, dim=10, seeds=1, **settings)):
        assert [name for name in result.attrs if name not in given and f"`{name}`" not in text] == []
        assert [axis for axis in result.dims if f"`{axis}`" not in text] == []


def test_tutorial_is_ten_cells_with_equations_a_figure_and_a_comparison() -> None:
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    cells = re.findall(r"^```\{code-cell\}.*?^```", text, flags=re.MULTILINE | re.DOTALL)
    assert len(cells) >= 10
    first = "".join(cells[:10])
    assert "theory.equations" in first and "ds.plot(" in first and "ds.compare(" in first


def test_gallery_is_of_short_scripts_that_draw() -> None:
    scripts = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "gallery").glob("*.py")}
    assert len(scripts) >= 14
    for name, text in scripts.items():
        assert len(text.splitlines()) <= 60, name
        assert "figure" in text and text.startswith('"""'), name
        compile(text, name, "exec")


def test_every_page_has_its_place() -> None:
    pages = {page.relative_to(DOCS).with_suffix("") for page in DOCS.rglob("*.md") if "_build" not in page.parts}
    listed = {Path("index")}
    for page in pages:
        text = (DOCS / page).with_suffix(".md").read_text(encoding="utf-8")
        for tree in re.findall(r"```\{toctree\}(.*?)```", text, flags=re.DOTALL):
            listed |= {page.parent / line for line in tree.split() if not line.startswith(":")}
    assert pages - listed == set()
