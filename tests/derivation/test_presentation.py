"""Every stage prints, and the document compiles."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache

import pytest
import sympy as sp
from strategies import SCANNED, SHARED

import dmft_sym as ds
from dmft_sym.derivation.plain_text import COMMANDS, plain


def _tied(net, x):
    n = net.hidden("N")
    weights = net.matrix("W", n, n)
    h = net.scan(lambda layer, h: h + weights @ h, net.matrix("W0", net.inputs, n) @ x, layers=(1, net.depth - 1))
    return net.readout("w", h)


THEORIES = {
    "deep-linear": lambda: ds.derive(ds.deep_linear(2)),
    "regression": lambda: ds.derive(ds.deep_linear(0)),
    "tied": lambda: ds.derive(ds.network(_tied, name="a_b%{}"), training=ds.OnlineSGD(momentum=0.5, weight_decay=0.1)),
    "shared": lambda: ds.derive(ds.network(SHARED), training=ds.GradientDescent(momentum=0.5, weight_decay=0.1)),
    "scanned": lambda: ds.derive(ds.network(SCANNED, parametrization=ds.NTK)),
}


@cache
def derived(name):
    """One of them, once for all tests."""
    return THEORIES[name]()


@pytest.mark.parametrize("name", THEORIES)
def test_stages_print(name):
    theory = derived(name)
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


@pytest.mark.parametrize("name", THEORIES)
def test_equations_have_numbers(name):
    theory = derived(name)
    expected = [f"{n}.{k}" for n, stage in enumerate(theory.steps, 1) for k in range(1, len(stage.lines) + 1)]
    assert re.findall(r"\\tag\{(.*?)\}", theory.to_latex()) == expected
    assert theory.to_latex().count("\\begin{align}") == len(expected)
    text = "\n".join(map(str, theory.steps))
    assert re.findall(r"^\((\d+\.\d+)\)  ", text, re.MULTILINE) == expected


@pytest.mark.parametrize("name", THEORIES)
def test_closed_equations_stand_below_the_comments_of_the_solver(name):
    """What a reader of the generated module has in front of him leads to the equations, in the same order."""
    theory = derived(name)
    comments = re.findall(r"^ +# (?!\(7\.)(.*)$", theory.source("numpy"), re.MULTILINE)
    headings = re.findall(r"^Statement \((1\.\d+)\): (.*)$", str(theory.steps[-1]), re.MULTILINE)
    assert [statement for _, statement in headings] == comments
    program = str(theory.steps[0])
    for number, statement in headings:
        field = re.match(r"\w+", statement).group()
        first = re.search(rf"^\({number}\)  (\w)", program, re.MULTILINE).group(1)
        assert first == {"Delta": "Δ"}.get(field, field)[0]


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("name", THEORIES)
def test_lines_of_the_solver_stand_below_numbers_of_equations(name, backend):
    """Those of the last stage, below the statement that they follow from, and of `theory.equations.closed`."""
    theory = derived(name)
    source = theory.source(backend)
    numbered = {f"(7.{k}) {equation.lhs}" for k, equation in enumerate(theory.equations.closed, start=1)}
    assert set(re.findall(r"^ +# (\(7\..*)$", source, re.MULTILINE)) == numbered
    assert theory.steps[-1].expressions == tuple(equation.rhs for equation in theory.equations.closed)
    printed = places_of_numbers(r"^Statement \(.*?\): (.*)$|^\((7\.\d+)\)  ", str(theory.steps[-1]))
    march = source[source.index("\ndef march(") :]
    assert places_of_numbers(r"^ +# (?!\(7\.)(.*)$|^ +# \((7\.\d+)\) ", march) == printed


def places_of_numbers(pattern, text):
    """Pairs of a number and the statement above it; reported scalars come after the last one."""
    found, statement = set(), ""
    for heading, number in re.findall(pattern, text, re.MULTILINE):
        statement = heading or statement
        found |= {(number, statement)} if number else set()
    return found


@pytest.mark.parametrize("name", THEORIES)
def test_notebooks_have_what_the_document_has(name):
    for stage in derived(name).steps:
        shown = stage._repr_markdown_()
        assert re.findall(r"\\tag\{.*?\}", shown) == re.findall(r"\\tag\{.*?\}", stage.latex)
        assert re.findall(r"`(.*)`", shown) == [plain(line.heading) for line in stage.lines if line.heading]
        assert "\\cite" not in shown
        assert shown.count("arXiv:") == str(stage).count("arXiv:")


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("name", THEORIES)
def test_stages_are_text_for_a_terminal(name, width):
    theory = derived(name)
    for stage in theory.steps:
        text = stage.plain(width)
        assert text.startswith(f"{stage.name}\n---")
        assert not set("\\{}$&\u00a0") & set(text)
        assert max(map(len, text.splitlines())) <= width + 40  # a factor is not broken
        used = set(re.findall(r"\\([A-Za-z]+)", "\n".join([stage.latex, *(line.latex for line in stage.lines)])))
        assert used - COMMANDS <= {"begin", "end", "tag", "notag", "medskip", "noindent", "zeta"}


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"R^{h[l];\,\bar{r}_{W}[l]}", "R^(h[l]; r̄_W[l])"),
        (r"\hat C^{h^{l + 1},g}_{cc'}(t,s)", "Ĉ^(h^(l+1), g)_cc'(t,s)"),
        (r"- \frac{s_{2}}{\gamma \sqrt{\nu}}\, {W_{0}}(t)^{\top}", "- s_2/(γ √ν) W_0(t)ᵀ"),
        (r"\frac{1 - m^{\tau}}{1 - m}", "(1 - m^τ)/(1 - m)"),
        (r"\frac{1}{a \cdot b}", "1/(a · b)"),
        (r"\frac{\frac{a}{b}}{\frac{c}{d}}", "a/b/(c/d)"),
        (
            r"\sum_{s \le t, c'} \Big\langle \frac{\partial g_{c}}{\partial u^{l}_{W, c'}(s)} \Big\rangle",
            "Σ_(s≤t, c') ⟨∂g_c/∂u^l_W,c'(s)⟩",
        ),
        (r"\sum_{l_{s}=1}^{L - 1} x_{10}^{2}", "Σ_(l_s=1)^(L-1) x_10^2"),
        (r"\sqrt{1 - \lambda}", "√(1 - λ)"),
        (r"if $L \ge 2$ \texttt{g\_1 = W\^{}T x}", "if L ≥ 2 g_1 = W^T x"),
        (r"S_\kappa\circ C + \mathbf{1}", "S_κ∘C + 𝟏"),
        (r"\unknown{x}", "unknownx"),
    ],
)
def test_plain_text(latex, text):
    assert plain(latex) == text


def test_saddle_stage_holds_derivatives_of_the_action():
    saddle = ds.derive(ds.deep_linear(2)).steps[4]
    assert all(isinstance(expression, sp.Expr) for expression in saddle.expressions)
    assert len(saddle.expressions) == len(saddle.lines)


def test_the_convention_of_responses_is_stated_where_it_matters():
    stated = {name: "before weight decay" in str(derived(name).steps[5]) for name in ("deep-linear", "tied")}
    assert stated == {"deep-linear": False, "tied": True}


def test_equations_follow_the_program():
    """A coefficient of the forward pass shows up in the closed equations; nothing is a template."""

    def scaled(net, x):
        n = net.hidden("N")
        zeta = net.parameter("zeta", 0.5)
        return net.readout("w", zeta * (net.matrix("A", net.inputs, n) @ x))

    assert "zeta" in ds.derive(ds.network(scaled)).steps[-1].latex
    assert "zeta" not in ds.derive(ds.deep_linear(1)).steps[-1].latex


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
@pytest.mark.parametrize("name", THEORIES)
def test_document_compiles(name, tmp_path):
    (tmp_path / "theory.tex").write_text(derived(name).to_latex())
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "theory.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "theory.pdf").stat().st_size > 10_000
