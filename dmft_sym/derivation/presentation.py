"""The derivation as a reader sees it: ordered stages, each made from the objects that the solver is made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import sympy as sp

from dmft_sym.program import Assign, ForLayers, GaussianMatrix, LayerRange, Program
from dmft_sym.program.printing import latex_name, statement_latex

from .action import MatrixAction, PairTerm, Place
from .closed_latex import observable_lines, row_lines
from .closure import ClosedEquations
from .fixed_sites import on_samples
from .saddle_point import SaddlePoint
from .site_latex import covariance_lines, site_line
from .stage import Line, Stage

if TYPE_CHECKING:
    from dmft_sym.theory import Theory

REFERENCES = r"""
\begin{thebibliography}{9}
\bibitem{spectral} C.~Lauditi, C.~Pehlevan, B.~Bordelon, \emph{Spectral Dynamics in Deep Networks: Feature Learning,
Outlier Escape, and Learning Rate Transfer}, arXiv:2605.07870.
\bibitem{linear} B.~Bordelon, C.~Pehlevan, \emph{Deep Linear Network Training Dynamics from Random Initialization: Data,
Width, Depth, and Hyperparameter Transfer}, arXiv:2502.02531.
\bibitem{dmft} B.~Bordelon, C.~Pehlevan, \emph{Self-Consistent Dynamical Field Theory of Kernel Evolution in Wide Neural
Networks}, arXiv:2205.09653.
\end{thebibliography}
"""


def stages(theory: Theory) -> tuple[Stage, ...]:
    """All stages of a theory, from the program to its closed equations, numbered from 1."""
    if on_samples(theory.program):
        from .fixed_stages import stages_of

        return stages_of(theory.fixed)
    actions = list(theory.actions.values())
    saddles = [(action, theory.saddle_points[name]) for name, action in theory.actions.items()]
    found = (
        _program_stage(theory),
        _action_stage(actions),
        _average_stage(actions),
        _order_parameter_stage(actions),
        saddle_stage(saddles),
        _site_stage(theory),
        _closure_stage(theory),
    )
    return tuple(replace(stage, number=number) for number, stage in enumerate(found, start=1))


def document(theory: Theory) -> str:
    """A self-contained LaTeX document."""
    body = "\n\n".join(f"\\section{{{stage.name}}}\n{stage.latex}" for stage in theory.steps)
    title = escaped(theory.network.name)
    return "\n".join(
        [
            r"\documentclass[11pt]{article}",
            r"\usepackage[margin=2cm]{geometry}",
            r"\usepackage{amsmath,amssymb}",
            r"\allowdisplaybreaks",
            rf"\title{{Mean-field equations of training: {title}}}",
            r"\author{derived by dmft-sym}\date{}",
            r"\begin{document}\maketitle",
            body,
            REFERENCES.strip(),
            r"\end{document}",
            "",
        ]
    )


def escaped(text: str) -> str:
    spelled = {"^": "\\^{}", "~": "\\~{}", "\\": ""}
    return "".join(f"\\{ch}" if ch in "_&%#${}" else spelled.get(ch, ch) for ch in text)


def _program_stage(theory: Theory) -> Stage:
    program = theory.program
    text = (
        "One training step as a vector program. Every field carries the step $t$ and the output $c$; a trained matrix "
        "means its value at $t$. The spaces and their sizes in units of the input dimension are "
        + ", ".join(f"${space.name}$: ${sp.latex(space.ratio)}$" for space in program.spaces)
        + ". Entries are independent: "
        + matrices_text(program)
        + f". Parametrization: $\\gamma = {sp.latex(theory.network.parametrization.symbolic_gamma())}$. "
        f"Weights keep $\\rho(t) = {sp.latex(program.optimizer.retention())}$ of their initial value, and an increment "
        f"made $\\tau$ steps ago contributes $\\kappa(\\tau) = "
        f"{sp.latex(program.optimizer.kernel(sp.Symbol('tau', positive=True)))}$."
    )
    return Stage("Vector program", text, tuple(program_lines(program)))


def matrices_text(program: Program) -> str:
    """Every matrix with its spaces and its entries at the start."""
    return ", ".join(
        f"${latex_name(m.name)}\\!: {m.source} \\to {m.target}$ {_entries(m)}"
        + (" (drawn anew at every step)" if m.fresh else "")
        for m in program.matrices
    )


def _entries(matrix: GaussianMatrix) -> str:
    if matrix.variance == 0:
        return "that starts at zero"
    return f"with variance ${sp.latex(matrix.variance)}/n_{{{matrix.source}}}$"


def program_lines(program: Program) -> Iterator[Line]:
    """One relation for every statement, in program order; those of a scan say for which layers they hold."""
    for scans, statement in program.walk():
        (row,) = statement_latex(statement)
        left, right = row.split("&", 1)
        relation = next(sign for sign in ("\\mathrel{+}=", "=") if right.startswith(sign))
        note = "".join(_scan_note(scan) for scan in scans)
        yield Line(left.strip(), (right.removeprefix(relation).strip(),), note, relation)


def _scan_note(scan: ForLayers) -> str:
    ends = (scan.layers.stop, scan.layers.start) if scan.descending else (scan.layers.start, scan.layers.stop)
    return layer_note(scan.index, LayerRange(*ends))


def action_lines(actions: Iterable[MatrixAction]) -> Iterator[Line]:
    """The terms that enforce every product."""
    for action in actions:
        for place in action.coupling:
            conjugate, product = sp.latex(place.hat), sp.latex(place.product)
            applied = _applied(place)
            terms = (f"+ i\\sum_{{{_labels(place)}}} {conjugate}\\cdot\\big( {product} - {applied} \\big)",)
            left = f"S_{{{latex_name(place.product.name, place.use.index)}}}"
            yield Line(left, terms, _range_note(place))


def _action_stage(actions: list[MatrixAction]) -> Stage:
    text = (
        "Every product with the initial value of a matrix is enforced by a conjugate field (MSRDJ); the "
        "exponent of the generating functional is the sum of the terms below, and linear in every matrix "
        "\\cite{dmft,linear}."
    )
    return Stage("Action before the average", text, tuple(action_lines(actions)))


def _applied(place: Place) -> str:
    matrix = latex_name(place.use.matrix.name, place.use.index if place.use.family else None)
    top = "^{\\top}" if place.use.transpose else ""
    return f"{{{matrix}}}(0){top}\\, {sp.latex(place.operand)}"


def _labels(place: Place) -> str:
    shared = place.use.index is not None and not place.use.family
    labels = [place.product.step, *place.product.axis_labels, place.use.index if shared else None]
    return " ".join(sp.latex(label) for label in labels if label is not None)


def _range_note(place: Place) -> str:
    return "" if place.use.layers is None else layer_note(place.use.index, place.use.layers)


def layer_note(index: sp.Expr | None, layers: LayerRange) -> str:
    """``l = 1, ..., L-1`` in text mode."""
    return f"${sp.latex(index)} = {sp.latex(layers.start)}, \\dots, {sp.latex(layers.stop)}$"


def averaged_lines(actions: Iterable[MatrixAction]) -> tuple[Line, ...]:
    """The action of every matrix after the average, in overlaps."""
    return tuple(Line(_share(action), tuple(map(_summed, action.averaged)), width=1) for action in actions)


def named_terms(action: MatrixAction) -> tuple[PairTerm, ...]:
    """The action of a matrix in order parameters, with what ties them to the fields."""
    return (*action.substituted, *action.constraints)


def named_lines(actions: Iterable[MatrixAction]) -> tuple[Line, ...]:
    """The action of every matrix in order parameters."""
    return tuple(Line(_share(action), tuple(map(_summed, named_terms(action))), width=1) for action in actions)


def _average_stage(actions: list[MatrixAction]) -> Stage:
    expressions = tuple(term.expression for action in actions for term in action.averaged)
    text = (
        "The average over the entries of $A$ replaces $-i\\,\\mathrm{Tr}\\,A^\\top\\Xi$, "
        "$\\Xi = \\sum_i \\hat x_i h_i^\\top + \\sum_j g_j \\hat y_j^\\top$, by $-(s_2/2n_{\\mathrm{in}})|\\Xi|^2$: "
        "the fields meet in overlaps only, averages over the $n_k$ sites of the space $k$ that two fields share. "
        "Sums run over the labels $(t,c)$ and $(s,c')$ of both places, and over the layers of a family."
    )
    return Stage("Average over the Gaussian matrices", text, averaged_lines(actions), expressions)


def _share(action: MatrixAction) -> str:
    return f"\\frac{{1}}{{n}} S_{{{latex_name(action.uses.matrix.name)}}}"


def _summed(term: PairTerm) -> str:
    expression = term.expression
    sign = "-" if expression.could_extract_minus_sign() else "+"
    body = sp.latex(-expression if sign == "-" else expression)
    labels = ",\\,".join(_joined_labels(place) for place in (term.first, term.second))
    return f"{sign} \\sum_{{{labels}}} {body}"


def _joined_labels(place: Place) -> str:
    """Step, sample and output of a place, as far as it has them: ``tc``."""
    text = ""
    for label in (place.product.step, *place.product.axis_labels):
        if label is not None:
            text += (" " if text.rpartition("\\")[1] else "") + sp.latex(label)
    return text


def _order_parameter_stage(actions: list[MatrixAction]) -> Stage:
    expressions = tuple(term.expression for action in actions for term in named_terms(action))
    text = (
        "Overlaps of fields are named correlations $C$, overlaps of a field with a conjugate field $i$ times a "
        "response $R$; conjugates $\\hat C$, $\\hat R$ tie the names to the fields. The exponent is $n$ times a "
        "function of order parameters plus the logarithm of one single-site integral per space."
    )
    return Stage("Order parameters and conjugates", text, named_lines(actions), expressions)


def saddle_stage(saddles: list[tuple[MatrixAction, SaddlePoint]]) -> Stage:
    """Variations of the action, and what follows from each."""
    lines = []
    expressions = []
    for _, saddle in saddles:
        for equation in saddle.equations:
            left = f"0 = \\frac{{\\partial}}{{\\partial {sp.latex(equation.variable)}}}"
            solution = sp.latex(equation.solution)
            note = ""
            if equation.vanishes:
                note = "an average of two conjugate fields: zero by causality, $Z = 1$"
            elif equation.solution.has(sp.I):
                note = "the response to the Gaussian field of the product"
            terms = (f"{sp.latex(equation.solved_for)} = {solution}",)
            lines.append(Line(left, terms, note, "\\;\\Rightarrow\\;"))
            expressions.append(equation.derivative)
    text = "The action is stationary in every order parameter and conjugate."
    return Stage("Saddle point", text, tuple(lines), tuple(expressions))


def _site_stage(theory: Theory) -> Stage:
    lines: list[Line] = []
    for process in theory.processes:
        fields = set(process.fields)
        lines += [site_line(e) for e in theory.site_equations if e.target.field in fields]
        lines += covariance_lines(theory.site_builder, process.noises)
    text = (
        "With the conjugates eliminated, a Hubbard--Stratonovich transform of the quadratic terms leaves Gaussian "
        "fields $u$ (of $A h$) and $r$ (of $A^\\top g$) and a memory for every product. Bars mark Gaussian fields "
        "divided by $\\sqrt{n_{\\mathrm{out}}/n_{\\mathrm{in}}}$, whose covariances stay finite when a ratio goes to "
        "infinity. Trained weights add the memory of past updates. Equal-time responses are kept where the order of "
        "the step allows them."
    )
    if theory.program.optimizer.decay != 0:
        text += (
            " Responses are to the Gaussian fields $u(s)$, $r(s)$ before weight decay; results report those to "
            "$\\rho(s)\\, u(s)$, $\\rho(s)\\, r(s)$, which are $1/\\rho(s)$ times as large."
        )
    return Stage("Single-site equations", text, tuple(lines))


def _closure_stage(theory: Theory) -> Stage:
    text = (
        "All functions of the sites are linear, so the fields are Gaussian and the equations close. Order parameters "
        "are matrices over $(t,c)$; $S_\\kappa$ is the matrix $\\kappa(t-s)$ for $s<t$, the identity over outputs, and "
        "$S_\\kappa\\circ$ multiplies by it entry by entry in time; $I$ is the identity, and $\\mathbf{1}$ the "
        "identity over outputs at every step (the response to a vector that is drawn once). Row $t$ follows from rows "
        "before it and from those computed earlier in the same step, in the order below. A bracket is one where its "
        "condition holds and zero elsewhere \\cite{linear,spectral}. The statements of the program that stand above "
        "the equations are the comments of a generated solver, where the same equations follow in the same order."
    )
    return Stage("Closed equations", text, tuple(_closed_under_statements(theory.closed)))


def _closed_under_statements(closed: ClosedEquations) -> Iterator[Line]:
    """The closed equations below the statements they follow from, as in the comments of generated modules."""
    statements = [statement for _, statement in closed.program.walk()]
    places = [place for place, statement in enumerate(statements) if isinstance(statement, Assign)]
    for rows, place in zip(closed.rows, places, strict=True):
        heading = f"Statement (1.{place + 1}): \\texttt{{{escaped(str(statements[place]))}}}"
        for line in row_lines(rows):
            yield replace(line, heading=heading)
            heading = ""
    heading = "Reported scalars"
    for line in observable_lines(closed):
        yield replace(line, heading=heading)
        heading = ""
