"""Every stage prints, and the document compiles."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import sympy as sp

import dmft_sym as ds


def _tied(net, x):
    n = net.hidden("N")
    weights = net.matrix("W", n, n)
    h = net.scan(lambda layer, h: h + weights @ h, net.matrix("W0", net.inputs, n) @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


THEORIES = {
    "deep-linear": lambda: ds.derive(ds.deep_linear(2)),
    "regression": lambda: ds.derive(ds.deep_linear(0)),
    "tied": lambda: ds.derive(ds.network(_tied, name="a_b%{}"), training=ds.OnlineSGD(momentum=0.5, weight_decay=0.1)),
}


@pytest.mark.parametrize("name", THEORIES)
def test_stages_print(name):
    theory = THEORIES[name]()
    names = [stage.name for stage in theory.steps]
    assert names == [
        "Vector program",
        "Action before the average",
        "Average over the Gaussian matrices",
        "Order parameters and conjugates",
        "Saddle point",
        "Single-site equations",
        "Closed equations",
    ]
    for stage in theory.steps:
        assert stage.latex.count("{") == stage.latex.count("}")
        assert stage._repr_latex_().startswith("$$")
        assert "nan" not in stage.latex


def test_saddle_stage_holds_derivatives_of_the_action():
    saddle = ds.derive(ds.deep_linear(2)).steps[4]
    assert all(isinstance(expression, sp.Expr) for expression in saddle.expressions)
    assert len(saddle.expressions) == len(saddle.lines)


def test_equations_follow_the_program():
    """A coefficient of the forward pass shows up in the closed equations; nothing is a template."""

    def scaled(net, x):
        n = net.hidden("N")
        zeta = net.parameter("zeta", 0.5)
        return net.readout("w", zeta * (net.matrix("A", net.inputs, n) @ x))

    assert "zeta" in ds.derive(ds.network(scaled)).steps[-1].latex
    assert "zeta" not in ds.derive(ds.deep_linear(1)).steps[-1].latex


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
@pytest.mark.parametrize("name", THEORIES)
def test_document_compiles(name, tmp_path):
    (tmp_path / "theory.tex").write_text(THEORIES[name]().to_latex())
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "theory.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "theory.pdf").stat().st_size > 10_000
