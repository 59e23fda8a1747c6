"""The command line on specs of given samples: the real thing on small networks, and one line for what is wrong."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym import cli
from dmft_sym.commands import specs
from dmft_sym.data.datasets import from_npz
from dmft_sym.results.store import load
from dmft_sym.solvers import memory
from dmft_sym.solvers.sampled_sites import DEFAULT_SITES
from dmft_sym.spec.objects import SITES
from dmft_sym.support.progress import StepProgress

SPEC = """
[network]
kind = "mlp"
activation = "tanh"
depth = 2
richness = 2.0
[data]
regime = "fixed"
inputs = "samples.npz"
[training]
learning_rate = 0.2
steps = 5
[solver]
backend = "numpy"
[sampling]
sites = 160
replicas = 4
[simulation]
width = 40
seeds = 2
[kernels]
steps = [0, 2, 4]
[spectrum]
matrices = ["W1"]
steps = [2, 4]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((5, 4)), np.array([1.0, -1.0, 1.0, -1.0, 1.0])
    np.savez("samples.npz", inputs=x[:4], targets=y[:4], test_inputs=x[4:], test_targets=y[4:])
    Path("spec.toml").write_text(SPEC)
    return tmp_path


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on standard error of a command that is refused."""
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith("dmft-sym: ")
    return captured.err


def test_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "spec.toml"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("out.nc: 5 steps, train loss ")
    assert ", standard error of f up to " in out
    run = load("out.nc")
    assert run["kernel_step"].values.tolist() == [0, 2, 4]
    assert run["spectrum_step"].values.tolist() == [2, 4]
    assert (
        run.attrs.items()
        >= {"method": "conditioning", "exact": 0, "backend": "numpy", "sites": 160, "replicas": 4}.items()
    )
    assert {"f", "f_sem", "NTK", "Phi", "G", "outlier", "bulk_edge", "test_accuracy", "target"} <= set(run.data_vars)
    data = from_npz("samples.npz")
    solver = ds.derive(ds.mlp(2, "tanh"), data=data).compile("numpy")
    same = solver(richness=2.0, learning_rate=0.2, steps=5, sites=160, replicas=4)
    np.testing.assert_array_equal(run["f"], same["f"])


def test_runs_of_wanted_errors_and_of_linear_networks(folder: Path) -> None:
    without = SPEC.replace("sites = 160\n", "")
    Path("wanted.toml").write_text(without)
    assert cli.main(["run", "wanted.toml", "--set", "sampling.error=0.05", "-o", "wanted.nc"]) == 0
    assert float(load("wanted.nc")["f_sem"].max()) < 0.06
    linear = ["--set", "network.activation=linear"]
    assert cli.main(["run", "spec.toml", *linear]) == 0
    run = load("out.nc")
    assert run.attrs.items() >= {"method": "conditioning", "tol": 1e-8}.items()
    assert "f_sem" not in run
    assert cli.main(["run", "spec.toml", *linear, "--set", "solver.exact=false", "-o", "sampled.nc"]) == 0
    sampled = load("sampled.nc")
    assert float((abs(sampled["f"] - run["f"]) / (sampled["f_sem"] + 1e-12)).max()) < 12  # three degrees of freedom


def test_defaults_are_those_of_the_solver() -> None:
    assert SITES == DEFAULT_SITES


def test_simulate_and_compare(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "spec.toml"]) == 0
    assert cli.main(["simulate", "spec.toml", "--width", "50", "--seeds", "3", "--seed", "4"]) == 0
    sim = load("sim.nc")
    assert (sim.sizes["seed"], sim.attrs["width"], sim.attrs["seed"]) == (3, 50, 4)
    assert sim["kernel_step"].values.tolist() == [0, 2, 4]
    assert sim["outlier"].dims == ("seed", "matrix", "spectrum_step", "rank")
    capsys.readouterr()
    assert cli.main(["compare", "out.nc", "sim.nc", "--figure", "both.png"]) == 0
    out = capsys.readouterr().out
    for words in ("3 networks of N = 50, 5 steps", "NTK_alignment", "standard error of both"):
        assert words in " ".join(out.split())
    assert not any(line.split()[:1] in (["f_sem"], ["target"], ["test_accuracy"]) for line in out.splitlines())
    other = ["--set", "network.richness=1.0", "-o", "other.nc"]
    assert cli.main(["simulate", "spec.toml", *other]) == 0
    capsys.readouterr()
    assert "richness = 2.0 and 1.0" in complaint(capsys, "compare", "out.nc", "other.nc")


def test_spectrum(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strong = ["--set", "network.richness=6.0", "--set", "sampling.sites=800", "--set", "training.learning_rate=0.3"]
    assert cli.main(["spectrum", "spec.toml", *strong, "-o", "spectra.nc"]) == 0
    out = capsys.readouterr().out
    assert "W1          4           2   " in out
    assert " ± " in out
    assert "spectra.nc: written" in out
    found = load("spectra.nc")
    assert f"{found['outlier'].values[0, 1, 0]:.5f}"[:4] in out
    message = complaint(capsys, "spectrum", "spec.toml", "--set", "spectrum.matrices=[]")
    assert "[spectrum] matrices is missing" in message


@pytest.mark.parametrize("kind", ["losses", "outputs", "kernels", "outliers"])
def test_plot(folder: Path, kind: str) -> None:
    assert cli.main(["run", "spec.toml"]) == 0
    assert cli.main(["simulate", "spec.toml"]) == 0
    assert cli.main(["plot", "out.nc", "--kind", kind, "-o", "alone.png"]) == 0
    assert cli.main(["plot", "out.nc", "--sim", "sim.nc", "--kind", kind, "-o", "both.svg"]) == 0
    assert {"alone.png", "both.svg"} <= set(os.listdir())


def test_plots_are_of_a_theory_with_a_simulation(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "spec.toml"]) == 0
    assert cli.main(["simulate", "spec.toml"]) == 0
    capsys.readouterr()
    for out, sim in (("out.nc", "out.nc"), ("sim.nc", "out.nc")):
        assert "--sim: allowed is a simulation" in complaint(capsys, "plot", out, "--sim", sim, "-o", "figure.png")
    assert "no densities" in complaint(capsys, "plot", "out.nc", "--kind", "spectrum", "-o", "figure.png")


def test_a_step_is_not_linear(folder: Path) -> None:
    assert cli.main(["run", "spec.toml", "--set", "network.activation=sign(h)"]) == 0
    assert load("out.nc").attrs["exact"] == 0


def test_diverged_runs_are_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wild = ["--set", "training.learning_rate=1e9", "--set", "training.steps=40", "--set", "network.activation=h**3"]
    for command, name in (("run", "out.nc"), ("simulate", "sim.nc")):
        with np.errstate(all="ignore"):
            assert cli.main([command, "spec.toml", *wild, "-o", name]) == 3
        assert "dmft-sym: diverged at step " in capsys.readouterr().err
        kept = load(name)
        assert 0 < kept.sizes["step"] < 40
        assert kept["kernel_step"].values.tolist() == [step for step in (0, 2, 4) if step < kept.sizes["step"]]


def test_interrupted_runs_leave_the_old_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: StepProgress, step: int, steps: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(StepProgress, "__call__", interrupt)
    Path("out.nc").write_bytes(b"old")
    for command in ("run", "simulate"):
        assert cli.main([command, "spec.toml", "-o", "out.nc"]) == 130
        assert Path("out.nc").read_bytes() == b"old"


def test_progress_is_of_all_replicas(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(specs, "progress_of", lambda label: StepProgress(label, screen, 0.0))
    assert cli.main(["run", "spec.toml"]) == 0
    assert "/20" in screen.getvalue()


def test_derive_and_generate(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["derive", "spec.toml"]) == 0
    assert "tanh" in capsys.readouterr().out
    assert cli.main(["derive", "spec.toml", "--latex", "theory.tex"]) == 0
    assert "\\tanh" in Path("theory.tex").read_text()
    made = (("conditioning", "numba", "solver"), ("equations", "numpy", "direct"), ("equations", "numba", "compiled"))
    for method, backend, stem in made:
        name, options = f"{stem}.py", ["--set", f"solver.method={method}", "--backend", backend]
        assert cli.main(["generate", "spec.toml", *options, "-o", name]) == 0
        compile(Path(name).read_text(), name, "exec")
    assert "njit" in Path("solver.py").read_text()
    assert "njit" not in Path("direct.py").read_text()
    assert "njit" in Path("compiled.py").read_text()
    capsys.readouterr()
    assert "backend = 'numpy': allowed is 'numba'" in complaint(capsys, "generate", "spec.toml")
    jumps = [f"--set={key}" for key in ("network.activation=relu", "solver.method=equations", "spectrum.matrices=[]")]
    assert cli.main(["run", "spec.toml", *jumps, "-o", "direct.nc"]) == 0
    assert ds.load("direct.nc").attrs["method"] == "equations"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--set", "data.inputs=none.npz"], "[data] inputs 'none.npz': cannot be read"),
        (["run", "--set", "data.loss=softmax"], "[data] targets"),
        (["run", "--set", "network.activation=__import__('os')"], '[network] activation = "__import__'),
        (["run", "--set", "network.activation=1/h"], "[network] activation"),
        (["run", "--set", "network.outputs=2"], "[network] outputs = 2: allowed is what the targets have, 1"),
        (["run", "--set", "solver.method=march"], 'method = "march": allowed is "equations" or "conditioning"'),
        (["run", "--set", "solver.exact=true"], 'activation = "tanh" is not linear'),
        (["run", "--set", "solver.dtype=float32"], "[solver] dtype"),
        (["run", "--backend", "mpmath"], 'backend = "mpmath": allowed with regime = "fixed" is "numba" or "numpy"'),
        (["run", "--set", "sampling.sites=2000000000"], "[sampling] sites = 2000000000: allowed is what fits into"),
        (["spectrum", "--set", 'spectrum.matrices=["NTK"]'], 'matrices = "NTK": allowed at depth = 2'),
        (["spectrum", "--set", "spectrum.points=3"], "[spectrum] points = 3: allowed is nothing"),
        (["simulate", "--dim", "9"], "[simulation] dim = 9: allowed is nothing"),
        (["simulate", "--width", "0"], "[simulation] width = 0: allowed is an integer >= 1"),
        (["simulate", "--width", "2000000"], "[simulation] width = 2000000: allowed is what fits into memory"),
        (["simulate", "--set", "spectrum.full=true"], "[spectrum] full = true: allowed is nothing"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 10**11)
    before = sorted(os.listdir())
    command, *rest = arguments
    assert words in complaint(capsys, command, "spec.toml", *rest)
    assert sorted(os.listdir()) == before


def test_spectrum_of_a_session_on_samples(folder: Path) -> None:
    data = from_npz("samples.npz")
    settings = {"richness": 2.0, "learning_rate": 0.2, "steps": 5}
    theory = ds.derive(ds.mlp(2, "linear"), data=data)
    found = ds.spectrum(theory, matrices=["W1"], at=[2, 4], **settings)
    run = theory.compile("numpy")(matrices=["W1"], at=[2, 4], **settings)
    assert set(found.data_vars) == {"outlier", "bulk_edge"}
    np.testing.assert_array_equal(found["outlier"], run["outlier"])
    assert found["bulk_edge"].values.tolist() == [[[0, 2], [0, 2]]]
    for bad, words in (
        ({"matrices": ["W2"], "at": [2]}, "matrices: 'W2': allowed are W0, W1"),
        ({"matrices": [], "at": [2]}, r"matrices = \[\]: allowed is a list that is not empty"),
        ({"matrices": ["W1"], "at": [5]}, "at: 5: allowed are steps from 0 to 4"),
        ({"matrices": ["W1"], "at": 2}, "at = 2: allowed is a list of steps"),
        ({"matrices": ["W1"], "at": [2], "points": 9}, "points = 9: allowed is 0"),
        ({"matrices": ["W1"], "at": [2], "method": "march"}, "method = 'march': allowed are equations, conditioning"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            ds.spectrum(theory, **bad, **settings)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(ValueError, match="matrices: 'W2': allowed are W0, W1"):
        ds.critical(theory, matrix="W2", at=3, learning_rate=0.2)
    with pytest.raises(ValueError, match="parameter = 'width_per_dim': allowed are richness, init_std"):
        ds.critical(theory, parameter="width_per_dim", matrix="W1", at=3, learning_rate=0.2)
    with pytest.raises(ValueError, match="values = 0: allowed is an integer >= 1"):
        ds.simulate(theory, width=10, seeds=1, values=0, matrices=["W1"], at=[2], **settings)


def test_edges_follow_weight_decay(folder: Path) -> None:
    decay = ["--set", "training.weight_decay=0.1"]
    for activation in ("tanh", "linear"):
        assert cli.main(["run", "spec.toml", *decay, "--set", f"network.activation={activation}"]) == 0
        edges = load("out.nc")["bulk_edge"].sel(matrix="W1", side="upper")
        np.testing.assert_allclose(edges, [2 * 0.9**2, 2 * 0.9**4], rtol=1e-12)
