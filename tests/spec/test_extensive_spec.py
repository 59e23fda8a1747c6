"""Specs of many outputs: what they may say, and the command line on the example."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmft_sym import cli
from dmft_sym.spec.objects import data_of, physical_arguments
from dmft_sym.spec.reading import read_spec

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "extensive.toml"


def test_the_example_is_read() -> None:
    spec = read_spec(EXAMPLE)
    assert data_of(spec).frozen
    assert physical_arguments(spec) == {
        "richness": 2.0, "learning_rate": 0.3, "init_std": 1.0, "steps": 13, "outputs_per_width": 0.5,
        "width_per_dim": 1.0, "teacher_std": 2.0,
    }  # fmt: skip


def test_the_command_line_has_its_spectrum(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["spectrum", str(EXAMPLE)]) == 0
    assert "7.45966" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("network.depth=2", '[network] depth = 2: allowed with regime = "extensive" is 1'),
        ("network.outputs=3", "[network] outputs = 3: allowed"),
        ("training.momentum=0.5", "[training] momentum = 0.5: allowed"),
        ("data.outputs_per_width=0", "[data] outputs_per_width = 0: allowed is a finite number > 0"),
        ("data.width_per_dim=inf", "[data] width_per_dim = inf: allowed"),
        ('spectrum.matrices=["NTK"]', '[spectrum] matrices = "NTK": allowed'),
        ("data.samples_per_dim=2", "[data] samples_per_dim = 2: allowed is nothing"),
    ],
)
def test_what_is_refused(override: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.nc"
    assert cli.main(["run", str(EXAMPLE), "-o", str(output), "--set", override]) == 2
    assert line in capsys.readouterr().err
    assert not output.exists()
