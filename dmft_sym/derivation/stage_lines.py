"""Lines of the first stages, up to the saddle point, which are the same for every program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sympy as sp

from dmft_sym.program import UNIT, ForLayers, GaussianMatrix, LayerRange, Step
from dmft_sym.program.printing import latex_name, statement_latex

from .action import MatrixAction, PairTerm, Place
from .saddle_point import SaddlePoint
from .stage import Line, Stage


def escaped(text: str) -> str:
    spelled = {"^": "\\^{}", "~": "\\~{}", "\\": ""}
    return "".join(f"\\{ch}" if ch in "_&%#${}" else spelled.get(ch, ch) for ch in text)


def matrices_text(program: Step) -> str:
    """Every matrix with its spaces and its entries at the start."""
    return ", ".join(
        (f"${latex_name(m.name)}$" if m.source == UNIT else f"${latex_name(m.name)}\\!: {m.source} \\to {m.target}$")
        + f" {_entries(m)}"
        + (" (drawn anew at every step)" if m.fresh else "")
        for m in program.matrices
    )


def _entries(matrix: GaussianMatrix) -> str:
    if matrix.variance == 0:
        return "that starts at zero"
    if matrix.source == UNIT:
        return f"with variance ${sp.latex(matrix.variance)}$ in ${matrix.target}$"
    return f"with variance ${sp.latex(matrix.variance)}/n_{{{matrix.source}}}$"


def program_lines(program: Step) -> Iterator[Line]:
    """One relation for every statement, in program order; those of a scan say for which layers they hold."""
    for scans, statement in program.walk():
        (row,) = statement_latex(statement, program.labels)
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
            terms = (f"+ i{_sum(_labels(place))} {conjugate}\\cdot\\big( {product} - {applied} \\big)",)
            left = f"S_{{{latex_name(place.product.name, place.use.index)}}}"
            yield Line(left, terms, _range_note(place))


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


def _share(action: MatrixAction) -> str:
    return f"\\frac{{1}}{{n}} S_{{{latex_name(action.uses.matrix.name)}}}"


def _summed(term: PairTerm) -> str:
    expression = term.expression
    sign = "-" if expression.could_extract_minus_sign() else "+"
    body = sp.latex(-expression if sign == "-" else expression)
    between = ",\\,"
    labels = between.join(_joined_labels(place) for place in (term.first, term.second))
    return f"{sign} {_sum(labels if labels.strip(between) else '')} {body}"


def _sum(labels: str) -> str:
    """A sum over labels, if there are any."""
    return f"\\sum_{{{labels}}}" if labels else ""


def _joined_labels(place: Place) -> str:
    """Step, sample and output of a place, as far as it has them: ``tc``."""
    text = ""
    for label in (place.product.step, *place.product.axis_labels):
        if label is not None:
            text += (" " if text.rpartition("\\")[1] else "") + sp.latex(label)
    return text


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
    heading = "Single-site action, per site of its own space, with the conjugates put in"
    for action, saddle in saddles:
        site = tuple(map(_summed, saddle.site_action))
        lines.append(
            Line(f"S_{{\\mathrm{{site}},\\, {latex_name(action.uses.matrix.name)}}}", site, width=1, heading=heading)
        )
        expressions.append(sp.Add(*(term.expression for term in saddle.site_action)))
        heading = ""
    text = "The action is stationary in every order parameter and conjugate."
    return Stage("Saddle point", text, tuple(lines), tuple(expressions))
