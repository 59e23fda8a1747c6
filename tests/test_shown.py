"""How objects show themselves: short lines where they are repeated, words and numbered blocks in a notebook."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

import dmft_sym as ds
from dmft_sym.support.notebook import LINES, WIDTH, folded, shortened, table

RUN = {"steps": 3, "samples_per_dim": 2.0, "width_per_dim": 0.7, "richness": 2.0, "learning_rate": 0.02}
MATHS = re.compile(r"\$\$(.*?)\$\$", re.DOTALL)


class Tags(HTMLParser):
    """Refuses tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def well_formed(page: str) -> bool:
    tags = Tags()
    tags.feed(page)
    tags.close()
    return not tags.open


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """Everything that a session meets, by what it is called."""
    theory = ds.derive(ds.deep_linear(2))
    samples = ds.Samples([[1.0, 0.0], [0.0, 1.0]], [1.0, -1.0])
    nonlinear = ds.derive(ds.mlp(2), data=samples)
    wide, lazy = theory.limit("wide"), nonlinear.limit("lazy")
    run, sim = theory.compile("numpy")(**RUN), ds.simulate(theory, dim=20, seeds=2, **RUN)
    scaling = ds.scaling(ds.mlp(1))
    made = {
        "theory": theory, "steps": theory.steps, "equations": theory.equations, "closed": theory.equations.closed,
        "spikes": theory.spikes("W1"), "bulk": theory.bulk("W1"), "program": theory.program, "wide": wide,
        "lazy": lazy, "vanished": wide.vanished, "limit": ds.limits.wide,
        "checks": ds.limits.check(nonlinear, ["wide"]),
        "correction": nonlinear.limit("lazy_correction"), "solver": theory.compile("numpy"), "network": theory.network,
        "comparison": ds.compare(run, sim), "scaling": scaling, "table": scaling.table,
        "operator": ds.operator(theory, lambda m, x: m["W1"] @ (m["W0"] @ x), "D", name="A"), "nonlinear": nonlinear,
        "methods": theory.compile("numpy").methods, "symbols": theory.symbols, "exact": theory.exact(1),
        "data": theory.data, "samples": samples, "training": theory.training, "muP": ds.MUP,
        "loss": ds.Loss.of("(f - y)**2"), "spectrum": ds.PowerLaw(decay=1.5, source=1.8, modes=100),
        "extensive": ds.ExtensiveOutputs(), "online": ds.OnlineSGD(), "flow": ds.GradientFlow(),
        "many": ds.derive(ds.deep_linear(1), data=ds.ExtensiveOutputs()),
    }  # fmt: skip
    parts = {f"stage {stage.number}": stage for stage in theory.steps}
    singles = {"equation": theory.equations.closed.items[3], "line": theory.steps[-1].lines[0]}
    return made | parts | singles | {"method": theory.compile("numpy").methods[0]}


PLAIN = {"methods", "symbols", "exact", "data", "samples", "training", "muP", "loss", "spectrum", "extensive", "online",
         "flow", "line", "method"}  # fmt: skip
"""What is a line of words, and no equation or table."""


def test_repeated_objects_take_few_lines(shown: dict[str, Any]) -> None:
    for name, thing in shown.items():
        lines = repr(thing).splitlines()
        assert 1 <= len(lines) <= LINES, name
        assert name in PLAIN or max(map(len, lines)) <= WIDTH, name
        assert " at 0x" not in repr(thing), name


def test_every_public_class_is_among_them(shown: dict[str, Any]) -> None:
    public = (getattr(ds, name) for name in ds.__all__)
    for kind in (one for one in public if isinstance(one, type) and not issubclass(one, Exception)):
        assert any(isinstance(thing, kind) for thing in shown.values()), kind


def test_notebooks_show_words_and_numbered_blocks(shown: dict[str, Any]) -> None:
    for name, thing in shown.items():
        if name in PLAIN:
            continue
        pages = [getattr(thing, kind)() for kind in ("_repr_html_", "_repr_latex_") if hasattr(thing, kind)]
        assert pages, name
        assert not hasattr(thing, "_repr_html_") or well_formed(pages[0]), name
        for block in (block for page in pages for block in MATHS.findall(page)):
            assert len(re.findall(r"\\tag\{[\d.]+\}", block)) == 1, (name, block)
            assert block.count("{") == block.count("}"), name


def test_numbers_of_blocks_are_those_of_the_printed_text(shown: dict[str, Any]) -> None:
    for stage in shown["steps"]:
        tags = re.findall(r"\\tag\{([\d.]+)\}", stage._repr_html_())
        assert tags == [stage.tag(place) for place in range(len(stage.lines))]
        assert all(f"({tag})" in str(stage) for tag in tags)
    program = re.findall(r"\\tag\{([\d.]+)\}", shown["program"]._repr_html_())
    assert program == [shown["steps"][0].tag(place) for place in range(len(program))]


def test_long_sums_break(shown: dict[str, Any]) -> None:
    broken = 0
    for line, block in zip(shown["closed"].stage.lines, MATHS.findall(shown["closed"]._repr_html_()), strict=True):
        rows = block.split("\\\\\n")
        broken += len(line.terms) > line.width
        assert len(rows) >= len(line.terms) / line.width
    assert broken > 5


def test_printed_objects_are_whole(shown: dict[str, Any]) -> None:
    assert str(shown["steps"]) == "\n\n".join(map(str, shown["steps"]))
    assert str(shown["closed"]) in str(shown["equations"])
    assert str(shown["equations"].single_site) in str(shown["equations"])


def test_a_derivation_is_folded_stage_by_stage(shown: dict[str, Any]) -> None:
    page = shown["steps"]._repr_html_()
    assert page.count("<details>") == len(shown["steps"]) == 7
    assert "7. Closed equations (37 equations)" in page
    assert 'href="https://arxiv.org/abs/2205.09653"' in page


def test_comparisons_and_limits_are_tables_and_words(shown: dict[str, Any]) -> None:
    page = shown["comparison"]._repr_html_()
    assert "<th>max |z|</th>" in page and "theory and 2 networks of D = 20" in page and "degree of freedom" in page
    assert "the width exceeds the dimension" in shown["wide"]._repr_html_()
    assert "what vanished" in shown["wide"]._repr_html_()
    assert "learning_rate" in shown["theory"]._repr_html_()


def test_text_is_escaped() -> None:
    net = ds.network(lambda net, x: net.readout("w", x), name="<script>&")
    for thing in (net, ds.derive(net), ds.derive(net).compile("numpy"), ds.derive(net).program):
        page = thing._repr_html_()
        assert "<script>" not in page and "&lt;script&gt;&amp;" in page
    assert table(["<a>"], [["<b>"]], "<c>").count("&lt;") == 3
    assert folded("<a>", "<p>b</p>") == "<details><summary>&lt;a&gt;</summary><p>b</p></details>"


def test_what_is_left_out_is_counted() -> None:
    assert shortened(["a\nb", "c"]) == "a\nb\nc"
    assert shortened(str(n) for n in range(12)).splitlines()[-1] == "... 3 more lines"
    assert len(shortened(["x" * 500])) <= WIDTH


def test_a_forward_pass_is_shown_as_it_was_written() -> None:
    def two_paths(net: Any, x: Any) -> Any:
        n = net.hidden("N")
        return net.readout("w", net.matrix("A", net.inputs, n) @ x)

    assert "net.matrix(&quot;A&quot;" in ds.network(two_paths)._repr_html_()
    assert repr(ds.mlp(2)) == "<network MLP with activation tanh: depth 2, 1 output, muP>"
