"""A derivation as a LaTeX document that stands alone: setting, stages, summary, references."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import sympy as sp

from .equations import Equation
from .presentation import stages
from .stage_lines import escaped
from .symbols import Correlation, FieldAt, Response

if TYPE_CHECKING:
    from .equations import Equations
    from .problem import Problem

REFERENCES = r"""
\begin{thebibliography}{9}
\bibitem{spectral} C.~Lauditi, C.~Pehlevan, B.~Bordelon, \emph{Spectral Dynamics in Deep Networks: Feature Learning,
Outlier Escape, and Learning Rate Transfer}, arXiv:2605.07870.
\bibitem{linear} B.~Bordelon, C.~Pehlevan, \emph{Deep Linear Network Training Dynamics from Random Initialization: Data,
Width, Depth, and Hyperparameter Transfer}, arXiv:2502.02531.
\bibitem{dmft} B.~Bordelon, C.~Pehlevan, \emph{Self-Consistent Dynamical Field Theory of Kernel Evolution in Wide Neural
Networks}, arXiv:2205.09653.
\bibitem{scaling} B.~Bordelon, A.~Atanasov, C.~Pehlevan, \emph{A Dynamical Model of Neural Scaling Laws},
arXiv:2402.01092.
\bibitem{features} B.~Bordelon, A.~Atanasov, C.~Pehlevan, \emph{How Feature Learning Can Improve Neural Scaling Laws},
arXiv:2409.17858.
\end{thebibliography}
"""
PAPERS = {"h": "H", "phi": "\\Phi", "g": "G", "v": "C_v", "Delta": "C_\\Delta", "r": "C_r"}
"""Letters that the papers have for correlations of a field with itself."""


def document(problem: Problem, closed: Equations) -> str:
    """A self-contained LaTeX document.

    Parameters
    ----------
    closed
        The closed equations, of which the summary lists the order parameters.
    """
    sections = [f"\\section*{{Setting}}\n{setting(problem)}"]
    sections += [f"\\section{{{stage.name}}}\n{stage.latex}" for stage in stages(problem)]
    sections.append(f"\\section*{{Summary}}\n{summary(closed)}")
    title = escaped(problem.network.name)
    return "\n".join(
        [
            r"\documentclass[11pt]{article}",
            r"\usepackage[margin=2cm]{geometry}",
            r"\usepackage{amsmath,amssymb,longtable}",
            r"\allowdisplaybreaks",
            rf"\title{{Mean-field equations of training: {title}}}",
            r"\author{derived by dmft-sym}\date{}",
            r"\begin{document}\maketitle",
            "\n\n".join(sections),
            REFERENCES.strip(),
            r"\end{document}",
            "",
        ]
    )


def setting(problem: Problem) -> str:
    """Loss, data, learning rate, and all parameters with the arguments of a run that set them."""
    rows = [
        f"${sp.latex(p.symbol)}$ & \\texttt{{{escaped(p.keyword)}}} & {_words(p.meaning)}" for p in problem.parameters
    ]
    names = ", ".join(f"${sp.latex(sp.Symbol(matrix.name))}$" for matrix in problem.program.matrices)
    return "\n".join(
        [
            problem.data.text,
            f"Below, $A$ stands for the initial value of any of the Gaussian matrices {names}. Parameters:",
            *_table("lll", "symbol & argument & meaning", rows),
        ]
    )


def summary(closed: Equations) -> str:
    """Order parameters: as they are printed, in the papers, and as variables of results."""
    rows = dict.fromkeys(row for item in closed.items for row in _row(item))
    return "\n".join(
        [
            "Order parameters in the notation above, in that of \\cite{linear,dmft} where they have a letter, and as "
            "variables of results:",
            *_table("llll", "here & papers & variable & what it is", list(rows)),
        ]
    )


def _row(item: Equation) -> Iterator[str]:
    """Of correlations of a field with itself, and of responses."""
    left = item.left
    if not isinstance(left, Correlation | Response):
        return
    row, column = left.ends
    names = f"${sp.latex(sp.Symbol(row.shown))}$", f"${sp.latex(sp.Symbol(column.shown))}$"
    symbol, papers = f"{left.letter}^{{{names[0][1:-1]},{names[1][1:-1]}}}", ""
    if isinstance(left, Response):
        yield f"${symbol}$ & & \\texttt{{R\\_{escaped(row.shown)}}} & response of {names[0]} to {names[1]}"
    elif row.func == column.func and isinstance(row, FieldAt):
        papers = f"${PAPERS[row.shown]}$" if row.shown in PAPERS else ""
        variable = {"phi": "Phi", "g": "G"}.get(row.shown) if closed_on_samples(item) else f"C_{row.shown}"
        yield f"${symbol}$ & {papers} & \\texttt{{{escaped(variable or '')}}} & correlation of {names[0]}"


def closed_on_samples(item: Equation) -> bool:
    """Whether samples are labels: results then have kernels by the letters of the papers."""
    return "sample" in item.left.ends[0].slots


def _table(columns: str, head: str, rows: list[str]) -> Iterator[str]:
    yield rf"\begin{{longtable}}{{{columns}}}"
    yield rf"{head} \\ \hline"
    yield from (rf"{row} \\" for row in rows)
    yield r"\end{longtable}"


def _words(meaning: str) -> str:
    return escaped(meaning)
