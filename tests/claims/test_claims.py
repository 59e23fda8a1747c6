"""Claims of the paper at their smallest size; each of them can fail."""

import math
from dataclasses import replace

import pytest

import dmft_sym as ds
from dmft_sym.claims.claim import SIZES, Claim, Evidence
from dmft_sym.claims.registry import ALL
from dmft_sym.claims.reproduction import Reproduction
from dmft_sym.claims.rows import against_networks, against_number, none_in_networks, sampled_row, stated
from dmft_sym.cli import main
from dmft_sym.support.errors import ArgumentError


@pytest.mark.parametrize("name", ALL)
def test_claim_holds_at_its_smallest_size(name, tmp_path):
    """Theory, finite networks, a table without a failure, results that open and a figure."""
    found = ds.reproduce(name, size="smallest", output=tmp_path)

    if name in found.missing:
        pytest.skip(found.missing[name])
    assert not found.failed, f"\n{found}"
    assert (tmp_path / "table.md").read_text() == f"{found}\n"
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    for kept in found.evidence[name].results:
        assert ds.load(tmp_path / f"{name}_{kept}.nc").sizes


@pytest.mark.parametrize("claim", ALL.values(), ids=list(ALL))
def test_claim_has_every_size(claim):
    """With the same numbers in each, and words for readers."""
    assert set(claim.sizes) == set(SIZES)
    assert len({tuple(sorted(size)) for size in claim.sizes.values()}) == 1
    assert claim.statement.endswith(".")
    assert "arXiv" in claim.source


def test_rows_fail():
    """A mean far from the theory, a digit that differs, an outlier where there is none, a statement that is wrong."""
    assert against_networks("x", 2.0, [2.01, 1.99, 2.0]).holds
    assert not against_networks("x", 2.1, [2.01, 1.99, 2.0]).holds
    assert against_networks("x", 2.02, [2.001, 1.999, 2.0], finite_size=0.01).holds
    assert sampled_row("x", 2.0, 0.01, [2.04, 2.02, 2.03], 1000).holds  # 0.03 of errors 0.0115 and 0.8 %
    assert not sampled_row("x", 2.0, 0.0, [2.07, 2.05, 2.06], 1000).holds
    assert sampled_row("x", 2.0, 0.0, [2.07, 2.05, 2.06], 200).holds  # narrow networks are shifted by more
    assert against_number("x", 2.13249, 2.132, 3).holds
    assert not against_number("x", 2.1326, 2.132, 3).holds
    assert against_number("x", math.nan, math.nan, 3).holds
    assert not against_number("x", 2.0, math.nan, 3).holds
    assert not none_in_networks("x", 2.0, [2.3, 2.31, 2.29], 0.01).holds
    assert not stated("x", 1.0, False, "falls").holds


def test_a_claim_that_fails_is_an_exit_status(monkeypatch, capsys, tmp_path):
    """Its table says which criterion was not met."""
    wrong = Claim("wrong", "Two is three.", "arXiv:0", lambda: Evidence((stated("two", 2.0, False, "is 3"),), {}))
    monkeypatch.setitem(ALL, "wrong", wrong)

    assert main(["reproduce", "wrong", "--quick", "-o", str(tmp_path / "out")]) == 1

    assert "fails: is 3" in capsys.readouterr().out
    assert "fails: is 3" in (tmp_path / "out" / "table.md").read_text()


def test_a_claim_whose_extra_is_missing_is_skipped(monkeypatch):
    """With the extra that it needs, and without a failure."""
    claim = replace(ALL["outliers"], needs=("no_such_package",))
    monkeypatch.setitem(ALL, "outliers", claim)

    found = ds.reproduce("outliers", size="smallest")

    assert not found.failed
    assert "skipped: needs no_such_package" in str(found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"claims": "outlier"}, "claim = 'outlier': allowed are outliers"),
        ({"claims": []}, "claims = []: allowed are"),
        ({"claims": "outliers", "size": "tiny"}, "size = 'tiny': allowed are full, quick, smallest"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message):
    """They name what is allowed."""
    with pytest.raises(ArgumentError) as caught:
        ds.reproduce(**arguments)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_command_line_names_claims(capsys):
    """Without a claim the list is printed, and a folder that cannot be made is a line."""
    assert main(["reproduce"]) == 0
    assert "dependence" in capsys.readouterr().out
    assert main(["reproduce", "nothing"]) == 2
    assert main(["reproduce", "outliers", "-o", __file__]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_tables_are_markdown_and_html():
    """Cells are escaped, numbers have their errors."""
    row = against_networks("<W1>", 2.0, [2.01, 1.99, 2.0])
    table = Reproduction({"mine": Evidence((row,), {})}, {})
    assert "| mine  | <W1>     | 2      | 2(0.006) | +0.0 | holds   |" in str(table)
    assert "&lt;W1&gt;" in table._repr_html_()
