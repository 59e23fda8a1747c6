"""What the command line says to do instead, and what sessions have of it: figures by kind, version, data sets."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import dmft_sym as ds
from dmft_sym import cli
from dmft_sym.spec.reading import parse_spec, read_spec
from dmft_sym.support.messages import InputError, how_to_install

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LINEAR, DIGITS = str(EXAMPLES / "deep_linear.toml"), str(EXAMPLES / "digits.toml")
GIVEN = {"samples_per_dim": 2, "width_per_dim": 1, "richness": 1, "learning_rate": 0.1, "steps": 3}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", LINEAR, "--set", "learning_rate=1"], "such as training.learning_rate=1"),
        (["run", LINEAR, "--steps", "10"], "a key of specs is --set training.steps=10"),
        (["run", LINEAR, "--steps=10"], "a key of specs is --set training.steps=10"),
        (["run", LINEAR, "--learning-rate", "-o"], "a key of specs is --set training.learning_rate=VALUE"),
        (["simulate", LINEAR, "--width", "500"], "the size here is dim (--dim), the input dimension D"),
        (["simulate", DIGITS, "--dim", "500"], "the size here is width (--width), the number of hidden units N"),
    ],
)
def test_what_to_write_instead(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    assert words in capsys.readouterr().err


def test_options_of_nobody_get_no_advice(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", LINEAR, "--colour", "red"]) == 2
    assert "key of specs" not in capsys.readouterr().err


def test_a_shorter_run_drops_later_steps_with_a_note() -> None:
    spec = read_spec(DIGITS, ["training.steps=20"])
    assert (spec.kernels.steps, spec.spectrum.steps) == ((0,), (0, 10, 15))
    assert "[kernels] steps: 20, 99 left out, the run has the steps 0 to 19" in spec.notes
    assert "[spectrum] steps: 20, 25, 30, 40, 60, 99 left out, the run has the steps 0 to 19" in spec.notes


def test_steps_that_are_asked_for_are_not_dropped() -> None:
    """Those of the command line, and those of a file whose run is not made shorter there."""
    with pytest.raises(InputError, match=r"\[kernels\] steps = 30: allowed are integers from 0 to 19"):
        read_spec(DIGITS, ["training.steps=20", "kernels.steps=[30]"])
    with pytest.raises(InputError, match=r"\[kernels\] steps = 20"):
        parse_spec(Path(DIGITS).read_text(encoding="utf-8").replace("steps = 100", "steps = 20"))


def test_extras_of_a_checkout_too() -> None:
    assert how_to_install("data") == (
        "pip install 'dmft-sym[data]', or in a checkout of the source pip install -e '.[data]'"
    )


def test_session_has_version_and_data_sets() -> None:
    assert ds.__version__ == version("dmft-sym")
    assert ds.datasets.digits(samples=4).count == 4
    assert {"__version__", "datasets", "plot"} <= set(dir(ds))


def test_help_starts_with_what_users_call() -> None:
    assert re.findall(r"ds\.(\w+)", (ds.__doc__ or "").partition("Networks:")[0]) == [
        *("derive", "deep_linear", "mlp", "network", "simulate", "compare", "plot")
    ]
    assert all(hasattr(ds, name) for name in re.findall(r"`(\w+)`", ds.__doc__ or ""))


def test_figures_by_kind() -> None:
    theory = ds.derive(ds.deep_linear(depth=1))
    run, sim = theory.compile("numpy")(**GIVEN), ds.simulate(theory, dim=20, seeds=2, **GIVEN)
    assert len(ds.plot(run, sim).axes) == 2
    assert ds.plot(run, kind="order-parameters").axes
    with pytest.raises(InputError, match=r"kind = 'loss': allowed are losses, order-parameters, .*did you mean losses"):
        ds.plot(run, kind="loss")
    with pytest.raises(InputError, match="sim: allowed is a simulation"):
        ds.plot(run, run)


def test_the_package_is_a_command() -> None:
    found = subprocess.run([sys.executable, "-m", "dmft_sym", "--version"], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == f"dmft-sym {version('dmft-sym')}"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("dmft-sym ru", {"run"}),
        ("dmft-sym plot out.nc --kind ord", {"order-parameters"}),
        ("dmft-sym check spec.toml --limit la", {"lazy", "lazy_correction", "late"}),
        ("dmft-sym run spec.toml --set training.st", {"training.steps="}),
        ("dmft-sym sweep spec.toml --what sol", {"solve"}),
        ("dmft-sym run spec.toml --backend mp", {"mpmath"}),
        ("dmft-sym reproduce dep", {"depth", "dependence"}),
    ],
)
def test_a_shell_completes(
    words: str, found: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the script of `dmft-sym --install-completion` asks for at the last word."""
    monkeypatch.setenv("_DMFT_SYM_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    with pytest.raises(SystemExit) as stopped:
        cli.main([])
    assert stopped.value.code == 0
    assert set(capsys.readouterr().out.split()) == found
