"""The command line: what it writes, its exit status, and one line for everything that is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import xarray as xr
from made_up import made_up, made_up_spectra

import dmft_sym.cli as cli
from dmft_sym.commands import runs, specs
from dmft_sym.comparison.runs import compare
from dmft_sym.results.store import load, save
from dmft_sym.spec.schema import schema
from dmft_sym.support.outcomes import Outcome, diverged
from dmft_sym.support.progress import StepProgress

ROOT = Path(__file__).resolve().parent.parent
SPEC = """
[network]
kind = "deep-linear"
depth = 2
outputs = 2
richness = 8.0
[data]
samples_per_dim = 4.0
width_per_dim = 1.0
label_noise = 0.3
[training]
learning_rate = 0.004
steps = 6
"""
HELP = {
    "derive": ["--latex", "--set", "Example: --latex theory.tex"],
    "generate": ["--output", "--backend", "numba", "mpmath"],
    "run": ["--output", "--set", "status 3"],
    "spectrum": ["--output", "--set", "section spectrum"],
    "simulate": ["--dim", "--width", "--seeds", "--seed", "an integer >= 1"],
    "compare": ["--figure", ".pdf"],
    "schema": ["--output", "JSON"],
    "plot": ["--sim", "--kind", "order-parameters", "sharpness", "--scale", "loglog"],
}


class Session:
    """Stands for the package: records what the command line asks of it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict]] = []
        self.answer: Callable[[], xr.Dataset] = made_up
        self.spectra = made_up_spectra()
        self.steps = [
            SimpleNamespace(plain=lambda width: f"Action\n------\nS = {width}"),
            SimpleNamespace(plain=lambda width: "Closed\n------\nC = 1"),
        ]

    def derive(self, network: object, **options: object) -> Session:
        self.calls.append(("derive", {"network": network, **options}))
        return self

    def to_latex(self) -> str:
        return "\\documentclass{article}"

    def source(self, backend: str, method: str | None = None) -> str:
        return f"# {backend}\n"

    def compile(self, backend: str) -> Callable[..., xr.Dataset]:
        def solver(**arguments: object) -> xr.Dataset:
            self.calls.append((backend, arguments))
            return self.answer()

        return solver

    def spectrum(self, theory: object, **arguments: object) -> xr.Dataset:
        assert theory is self
        self.calls.append(("spectrum", arguments))
        return self.spectra

    def simulate(self, theory: object, **arguments: object) -> xr.Dataset:
        assert theory is self
        self.calls.append(("simulate", arguments))
        return made_up(seeds=int(str(arguments["seeds"])))


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Session:
    fake = Session()
    for module in (specs, runs):
        monkeypatch.setattr(module, "session", lambda: fake)
    monkeypatch.chdir(tmp_path)
    Path("spec.toml").write_text(SPEC)
    return fake


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on standard error of a command that is refused."""
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith("dmft-sym: ")
    return captured.err


def test_run(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "spec.toml", "--set", "training.steps=7", "--set", "solver.tol=1e-6"]) == 0
    assert capsys.readouterr().out.startswith("out.nc: 6 steps, train loss ")
    xr.testing.assert_identical(load("out.nc"), made_up())
    backend, arguments = session.calls[-1]
    assert backend == "numba"
    assert isinstance(arguments.pop("progress"), StepProgress)
    assert arguments == {
        "samples_per_dim": 4.0,
        "width_per_dim": 1.0,
        "richness": 8.0,
        "learning_rate": 0.004,
        "label_noise": 0.3,
        "init_std": 1.0,
        "steps": 7,
        "method": "equations",
        "tol": 1e-6,
        "dtype": "float64",
    }
    network = session.calls[0][1]["network"]
    assert (network.depth, network.outputs) == (2, 2)


def test_backend_option(session: Session) -> None:
    assert cli.main(["run", "spec.toml", "--backend", "numpy", "-o", "x.nc"]) == 0
    assert session.calls[-1][0] == "numpy"


def test_diverged_runs_are_kept(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.answer = lambda: made_up(steps=4).assign_attrs(diverged(4).attrs())
    assert cli.main(["run", "spec.toml"]) == 3
    captured = capsys.readouterr()
    assert captured.err.startswith("dmft-sym: diverged at step 4: lower learning_rate")
    assert len(captured.err.splitlines()) == 1
    assert load("out.nc").sizes["step"] == 4


def test_interrupted_runs_leave_the_old_file(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> xr.Dataset:
        raise KeyboardInterrupt

    session.answer = interrupt
    Path("out.nc").write_bytes(b"old")
    assert cli.main(["run", "spec.toml"]) == 130
    assert Path("out.nc").read_bytes() == b"old"
    assert sorted(os.listdir()) == ["out.nc", "spec.toml"]


def test_out_of_memory_is_one_line(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    def exhaust() -> xr.Dataset:
        raise MemoryError

    session.answer = exhaust
    assert "out of memory" in complaint(capsys, "run", "spec.toml")


def test_simulate_compare_plot(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "spec.toml"]) == 0
    assert cli.main(["simulate", "spec.toml", "--dim", "50", "--seeds", "3", "--seed", "9"]) == 0
    name, arguments = session.calls[-1]
    assert name == "simulate"
    assert (arguments["dim"], arguments["seeds"], arguments["seed"], arguments["steps"]) == (50, 3, 9, 6)
    assert "method" not in arguments
    capsys.readouterr()
    assert cli.main(["compare", "out.nc", "sim.nc", "--figure", "compare.pdf"]) == 0
    out = capsys.readouterr().out
    assert "max |z|" in out
    assert "compare.pdf: written" in out
    assert cli.main(["plot", "out.nc"]) == 0
    assert cli.main(["plot", "out.nc", "--sim", "sim.nc", "-o", "both.svg", "--scale", "loglog"]) == 0
    assert cli.main(["plot", "out.nc", "--kind", "order-parameters", "-o", "c.png"]) == 0
    assert {"out.png", "both.svg", "c.png", "compare.pdf"} <= set(os.listdir())


def test_derive_and_generate(
    session: Session, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["derive", "spec.toml"]) == 0
    assert capsys.readouterr().out == "Action\n------\nS = 80\n\nClosed\n------\nC = 1\n\n"
    assert cli.main(["derive", "spec.toml", "--latex", "theory.tex"]) == 0
    assert Path("theory.tex").read_text() == "\\documentclass{article}"
    assert cli.main(["generate", "spec.toml", "-o", "solver.py", "--backend", "mpmath"]) == 0
    assert Path("solver.py").read_text() == "# mpmath\n"
    capsys.readouterr()
    assert cli.main(["generate", "spec.toml"]) == 0
    assert capsys.readouterr().out == "# numba\n"


def test_notes(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "spec.toml", "--set", "sampling.sites=8"]) == 0
    assert "dmft-sym: note: [sampling]: a linear network" in capsys.readouterr().err


def test_run_merges_spectra(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.spectra.attrs["wall_time"] = 2.0
    session.spectra.attrs["spectrum_failures"] = "W1 at step 3: no convergence\nNTK at step 5: no convergence"
    assert cli.main(["run", "spec.toml", "--set", 'spectrum.matrices=["W1", "NTK"]', "--set", "solver.tol=1e-6"]) == 0
    name, arguments = session.calls[-1]
    assert name == "spectrum"
    assert isinstance(arguments.pop("progress"), StepProgress)
    assert arguments.items() >= {"matrices": ("W1", "NTK"), "at": (5,), "steps": 6, "richness": 8.0}.items()
    assert arguments.items() >= {"method": "equations", "dependence": "joint", "points": 200, "tol": 1e-6}.items()
    found = load("out.nc")
    xr.testing.assert_equal(found, made_up().merge(made_up_spectra()))
    assert found.attrs["wall_time"] == 2.1
    assert found.attrs["spectrum_failures"] == session.spectra.attrs["spectrum_failures"]
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"dmft-sym: note: {name} at step {step}: no convergence" for name, step in (("W1", 3), ("NTK", 5))]


def test_spectrum(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    matrices = ["--set", 'spectrum.matrices=["W1", "NTK"]']
    assert cli.main(["spectrum", "spec.toml", *matrices, "--set", "spectrum.steps=[0, 3, 5]"]) == 0
    assert session.calls[-1][1]["at"] == (0, 3, 5)
    assert sorted(os.listdir()) == ["spec.toml"]
    out = capsys.readouterr().out
    for words in ("W1          3           2   2.5, 2.5", "20, 20, 20, 20", "W1: an outlier is outside", "1, 2, 2"):
        assert words in out
    assert cli.main(["spectrum", "spec.toml", *matrices, "--set", "spectrum.dependence=independent"]) == 0
    assert session.calls[-1][1].items() >= {"method": "equations", "dependence": "independent"}.items()
    assert cli.main(["spectrum", "spec.toml", *matrices, "--set", "spectrum.method=conditioning"]) == 0
    assert session.calls[-1][1].items() >= {"method": "conditioning", "dependence": "joint"}.items()
    assert cli.main(["spectrum", "spec.toml", *matrices, "-o", "spectra.nc"]) == 0
    assert "spectra.nc: written" in capsys.readouterr().out
    xr.testing.assert_identical(load("spectra.nc"), made_up_spectra())


def test_plot_spectra(session: Session) -> None:
    save(made_up_spectra(), "spectra.nc")
    save(made_up_spectra(seeds=3), "measured.nc")
    for kind in ("spectrum", "outliers", "sharpness"):
        assert cli.main(["plot", "spectra.nc", "--kind", kind, "-o", f"{kind}.svg"]) == 0
        assert cli.main(["plot", "spectra.nc", "--sim", "measured.nc", "--kind", kind, "-o", f"{kind}.png"]) == 0
    assert len([name for name in os.listdir() if name.endswith((".png", ".svg"))]) == 6


def test_simulate_measures_spectra(session: Session) -> None:
    wanted = ["--set", 'spectrum.matrices=["W1"]', "--set", "spectrum.steps=[0, 5]"]
    for full, values in (("false", None), ("true", 0)):
        assert cli.main(["simulate", "spec.toml", *wanted, "--set", f"spectrum.full={full}"]) == 0
        assert session.calls[-1][1].items() >= {"matrices": ("W1",), "at": (0, 5), "values": values}.items()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "Missing argument 'SPEC'"),
        (["frobnicate"], "No such command"),
        (["run", "spec.toml", "--frobnicate"], "No such option"),
        (["run", "none.toml"], "spec 'none.toml': cannot be read"),
        (["run", "."], "cannot be read"),
        (["run", "half.toml"], "not TOML"),
        (["run", "spec.toml", "--set", "training.steps=0"], "[training] steps = 0: allowed is an integer >= 1"),
        (["run", "spec.toml", "--set", "network.width=3"], "[network] width = 3: unknown key"),
        (["run", "spec.toml", "--backend", "fortran"], '[solver] backend = "fortran": allowed is "numba"'),
        (["run", "spec.toml", "-o", "none/out.nc"], "the folder"),
        (["run", "spec.toml", "-o", "."], "is a folder"),
        (["run", "spec.toml", "-o", "spec.toml"], "the same file as the input"),
        (["derive", "spec.toml", "--latex", "none/x.tex"], "the folder"),
        (["generate", "spec.toml", "-o", "none/x.py"], "the folder"),
        (["spectrum", "spec.toml"], "[spectrum] matrices is missing"),
        (["spectrum", "spec.toml", "--set", 'spectrum.matrices=["W2"]'], 'matrices = "W2": allowed at depth = 2'),
        (["spectrum", "spec.toml", "--set", 'spectrum.matrices=["W1"]', "-o", "spec.toml"], "the same file"),
        (["simulate", "spec.toml", "--dim", "0"], "[simulation] dim = 0: allowed is an integer >= 1"),
        (["simulate", "spec.toml", "--dim", "many"], '[simulation] dim = "many": allowed is an integer >= 1'),
        (["simulate", "spec.toml", "--width", "9"], "[simulation] width = 9: allowed is nothing"),
        (["simulate", "spec.toml", "--seeds", "-1"], "[simulation] seeds = -1"),
        (["compare", "none.nc", "sim.nc"], "result 'none.nc': cannot be read"),
        (["compare", "half.nc", "sim.nc"], "half-written"),
        (["compare", "old.nc", "old.nc", "--figure", "old.nc"], "the same file"),
        (["compare", "old.nc", "old.nc", "--figure", "x.gif"], "end in .png"),
        (["plot", "old.nc", "--kind", "pie"], "--kind 'pie': allowed are losses, order-parameters, outputs, kernels"),
        (["plot", "old.nc", "--kind", "spectrum"], "the result has no predicted spectra: allowed are results of"),
        (["plot", "old.nc", "--kind", "outliers"], "the result has no predicted spectra"),
        (["plot", "old.nc", "--kind", "sharpness"], "the result has no sharpness"),
        (["plot", "old.nc", "--scale", "cubic"], "allowed are linear, log, loglog"),
        (["plot", "spec.toml"], "not a netCDF-4 file"),
    ],
)
def test_bad_input_is_one_line(
    session: Session, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    save(made_up(), "old.nc")
    content = Path("old.nc").read_bytes()
    Path("half.nc").write_bytes(content[: len(content) // 2])
    Path("half.toml").write_text(SPEC[: SPEC.index("0.004")])
    before = sorted(os.listdir())
    assert words in complaint(capsys, *arguments)
    assert sorted(os.listdir()) == before
    assert Path("old.nc").read_bytes() == content
    assert Path("spec.toml").read_text() == SPEC
    assert session.calls == []


def test_errors_of_the_system_are_one_line(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    def protected() -> xr.Dataset:
        raise PermissionError(13, "Permission denied", "/cache/module.py")

    session.answer = protected
    assert "Permission denied: /cache/module.py" in complaint(capsys, "run", "spec.toml")


def test_bugs_are_not_swallowed(session: Session) -> None:
    def bug() -> xr.Dataset:
        raise ZeroDivisionError

    session.answer = bug
    with pytest.raises(ZeroDivisionError):
        cli.main(["run", "spec.toml"])


@pytest.mark.parametrize("command", HELP)
def test_help_teaches(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main([command, "--help"]) == 0
    text = capsys.readouterr().out
    for word in HELP[command]:
        assert word in text


def test_no_arguments_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in HELP)
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("dmft-sym ")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with a spec for the plain back end, to run the real thing in."""
    monkeypatch.chdir(tmp_path)
    Path("spec.toml").write_text(SPEC + '[solver]\nbackend = "numpy"\n')
    return tmp_path


def test_from_spec_to_figure(plain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "spec.toml"]) == 0
    assert cli.main(["simulate", "spec.toml", "--dim", "60", "--seeds", "3"]) == 0
    assert cli.main(["compare", "out.nc", "sim.nc", "--figure", "compare.png"]) == 0
    assert cli.main(["plot", "out.nc", "--sim", "sim.nc"]) == 0
    assert cli.main(["plot", "out.nc", "--kind", "order-parameters", "-o", "c.png"]) == 0
    out = capsys.readouterr().out
    for name in ("train_loss", "test_loss", "C_h", "C_g", "C_r", "C_Delta"):
        assert name in out
    run, sim = load("out.nc"), load("sim.nc")
    assert dict(run["train_loss"].sizes) == {"step": 6, "output": 2}
    assert sim["C_h"].dims == ("seed", "layer", "step", "output", "step2", "output2")
    assert run.attrs["richness"] == sim.attrs["richness"] == 8.0
    assert all("units" in run[name].attrs and "long_name" in run[name].attrs for name in run.data_vars)
    assert compare(run, sim).within(6, allowance=0.2)


@pytest.mark.parametrize(
    ("command", "change", "words"),
    [
        ("run", "training.steps=10000000", "[training] steps = 10000000: allowed is what fits into memory; the march "),
        ("run", "training.steps=10000000", "needs 28.8 PB"),
        ("run", "training.steps=10000000", ' steps, or [solver] method = "conditioning"'),
        (
            "simulate",
            "data.width_per_dim=inf",
            "[data] width_per_dim = inf: allowed for a simulation is a finite ",
        ),
        ("simulate", "simulation.dim=2000000000", "[simulation] dim = 2000000000: allowed is what fits into memory"),
    ],
)
def test_memory_is_checked_by_the_solver(
    plain: Path, capsys: pytest.CaptureFixture[str], command: str, change: str, words: str
) -> None:
    """In the words of specs, before anything is computed or written."""
    assert words in complaint(capsys, command, "spec.toml", "--set", change)
    assert os.listdir() == ["spec.toml"]


def test_spectra_that_do_not_fit_are_refused_before_the_run(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ["training.steps=10000000", "solver.method=conditioning", "spectrum.method=equations"]
    changes.append('spectrum.matrices=["W1"]')
    arguments = [part for change in changes for part in ("--set", change)]
    assert "[training] steps = 10000000: allowed is what fits" in complaint(capsys, "run", "spec.toml", *arguments)
    assert session.calls == []


def test_every_error_is_a_line(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["--set", "training.steps=0", "--set", "network.width=3", "--set", "solver.backend=fortran"]
    assert cli.main(["run", "spec.toml", *changes]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line.partition(" = ")[0] for line in captured.err.splitlines()] == [
        "dmft-sym: [network] width",
        "dmft-sym: [training] steps",
        "dmft-sym: [solver] backend",
    ]


def test_schema(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert cli.main(["schema", "-o", "schema.json"]) == 0
    assert capsys.readouterr().out == "schema.json: written\n"
    assert json.loads(Path("schema.json").read_text()) == printed == schema()


def test_coordinates_agree_with_the_march(plain: Path) -> None:
    assert cli.main(["run", "spec.toml"]) == 0
    assert cli.main(["run", "spec.toml", "--set", "solver.method=conditioning", "-o", "c.nc"]) == 0
    xr.testing.assert_allclose(load("out.nc")["test_loss"], load("c.nc")["test_loss"], rtol=1e-6)


@pytest.mark.parametrize("method", ["equations", "conditioning"])
def test_divergence_is_named(plain: Path, capsys: pytest.CaptureFixture[str], method: str) -> None:
    changes = ["--set", "training.learning_rate=2", "--set", "training.steps=40", "--set", f"solver.method={method}"]
    assert cli.main(["run", "spec.toml", *changes]) == 3
    error = capsys.readouterr().err
    assert error.startswith("dmft-sym: diverged at step ")
    assert "learning_rate" in error
    kept = load("out.nc")
    step = Outcome.of(kept.attrs).step
    assert step is not None
    assert 0 < step < 40
    assert bool(kept["train_loss"][:step].notnull().all())


def test_oscillations_are_not_divergence(plain: Path) -> None:
    values = {
        "network.depth": 3,
        "network.outputs": 1,
        "network.richness": 15,
        "data.samples_per_dim": 2,
        "training.learning_rate": 0.012,
        "training.steps": 60,
    }
    changes = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    assert cli.main(["run", "spec.toml", *changes]) == 0
    assert load("out.nc").sizes["step"] == 60


def test_no_hidden_layers_and_limits(plain: Path) -> None:
    for changes in (
        ["network.depth=0"],
        ["data.width_per_dim=inf"],
        ["data.samples_per_dim=inf"],
        ["data.online=true"],
    ):
        assert cli.main(["run", "spec.toml", *(part for change in changes for part in ("--set", change))]) == 0
        assert bool(load("out.nc")["test_loss"].notnull().all())


def test_ratios_may_be_absent_without_hidden_layers(plain: Path) -> None:
    lines = Path("spec.toml").read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("richness", "width_per_dim"))]
    assert len(kept) == len(lines) - 2
    Path("regression.toml").write_text("\n".join(kept).replace("depth = 2", "depth = 0"))
    assert cli.main(["run", "regression.toml"]) == 0
    assert cli.main(["simulate", "regression.toml", "--dim", "40", "--seeds", "2"]) == 0
    assert load("out.nc").attrs["richness"] == load("sim.nc").attrs["width_per_dim"] == 1.0


def test_generated_source_and_latex(plain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["generate", "spec.toml", "-o", "solver.py"]) == 0
    compile(Path("solver.py").read_text(), "solver.py", "exec")
    assert cli.main(["derive", "spec.toml", "--latex", "theory.tex"]) == 0
    assert Path("theory.tex").read_text().rstrip().endswith("\\end{document}")
    capsys.readouterr()
    assert cli.main(["derive", "spec.toml"]) == 0
    printed = capsys.readouterr().out
    assert "(6.1)  g^L_c(t) = w_c + " in printed
    assert not set("\\{}$") & set(printed)


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "dmft_sym.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_process_refuses_in_one_line(tmp_path: Path) -> None:
    result = command("run", "none.toml", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


def test_help_does_not_import_the_heavy_libraries(tmp_path: Path) -> None:
    code = (
        "import sys, dmft_sym.cli as cli\n"
        "assert cli.main(['--help']) == 0\n"
        "heavy = {'sympy', 'pydantic', 'numba', 'xarray', 'matplotlib', 'numpy', 'scipy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_a_run_imports_neither_optimizers_nor_figures(tmp_path: Path) -> None:
    """They take longer than the run."""
    (tmp_path / "spec.toml").write_text(SPEC)
    code = (
        "import sys, dmft_sym.cli as cli\n"
        "assert cli.main(['run', 'spec.toml', '--backend', 'numpy', '--set', 'training.steps=2']) == 0\n"
        "heavy = {'scipy.optimize', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_sessions_without_specs_do_not_import_pydantic(tmp_path: Path) -> None:
    code = "import sys, dmft_sym as ds; ds.derive(ds.deep_linear()); sys.exit('pydantic' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env).returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_interrupting_a_process(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(SPEC)
    (tmp_path / "slow.py").write_text(
        "import sys, time, dmft_sym.cli as cli, dmft_sym.commands.specs as specs\n"
        "class Session:\n"
        "    def derive(self, *a, **k):\n"
        "        print('working', flush=True)\n"
        "        time.sleep(60)\n"
        "specs.session = Session\n"
        "sys.exit(cli.main(['run', 'spec.toml']))\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(
        [sys.executable, "slow.py"], cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert sorted(os.listdir(tmp_path)) == ["slow.py", "spec.toml"]
