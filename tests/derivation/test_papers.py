"""Papers behind a theory: the same in `ds.cite`, in `CITATION.cff` and in stages."""

from __future__ import annotations

import re
from pathlib import Path

import dmft_sym as ds
from dmft_sym.derivation.papers import PAPERS, TOOLKIT
from dmft_sym.derivation.stage import CITATIONS

CFF = (Path(__file__).resolve().parents[2] / "CITATION.cff").read_text(encoding="utf-8")


def test_the_citation_file_has_the_same_papers() -> None:
    titles = re.findall(r'^ *(?:- )?title: "(.*)"$', CFF, flags=re.MULTILINE)
    assert titles == [TOOLKIT, *(paper.title for paper in PAPERS)]
    names = re.findall(r"family-names: (\w+)", CFF)
    assert names == [name for paper in PAPERS for name in paper.authors]
    assert re.findall(r'notes: "(arXiv:.*)"', CFF) == [CITATIONS[paper.key] for paper in PAPERS]
    assert {paper.key for paper in PAPERS} == set(CITATIONS)


def test_all_papers_without_a_theory() -> None:
    text = ds.cite()
    assert text.startswith("@software{dmft-sym,")
    assert re.findall(r"eprint = \{(.*)\}", text) == [
        "2605.07870",
        "2502.02531",
        "2205.09653",
        "2402.01092",
        "2409.17858",
    ]
    assert text.count("{") == text.count("}")


def test_papers_of_a_theory_are_those_that_it_cites() -> None:
    theory = ds.derive(ds.deep_linear(depth=1))
    found = re.findall(r"@\w+\{([\w-]+),", ds.cite(theory))
    assert found[0] == "dmft-sym" and "linear" in found and "dmft" in found
    cited = {key for key in CITATIONS if re.search(rf"\\cite\{{[^}}]*\b{key}\b", theory.to_latex())}
    assert set(found[1:]) == cited
    assert "scaling" not in found
    structured = ds.cite(theory.replace(spectrum=[(1.0, 2.0, 1.0), (1.0, 0.5, 1.0)]))
    assert "2402.01092" in structured and "2409.17858" in structured
