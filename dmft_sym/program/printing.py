"""Programs as text and as LaTeX."""

from __future__ import annotations

import sympy as sp

from .expressions import FieldRef, Linear, MatrixRef, Product, VectorRef
from .labels import OUTPUT, STEP
from .program import Program
from .statements import Assign, ForLayers, Learn, Observe, Outer, Statement

_GREEK = {
    "alpha", "beta", "gamma", "delta", "Delta", "epsilon", "eps", "eta", "nu", "sigma", "kappa", "rho", "phi",
    "Phi", "chi", "xi", "lambda", "mu", "tau", "theta", "psi", "omega",
}  # fmt: skip


def program_text(program: Program) -> str:
    """Declarations and statements, one a line."""
    lines = [f"program {program.name}"]
    for space in program.spaces:
        lines.append(f"  space {space.name}: {space.ratio} * n sites")
    for matrix in program.matrices:
        family = "" if matrix.layers is None else f"[{matrix.layers}]"
        fresh = ", drawn anew at every step" if matrix.fresh else ""
        lines.append(
            f"  matrix {matrix.name}{family}: {matrix.source} -> {matrix.target}, "
            f"entries N(0, {matrix.variance}/n_{matrix.source}){fresh}"
        )
    for vector in program.vectors:
        fresh = ", drawn anew at every step" if vector.fresh else ""
        lines.append(f"  vector {vector.name} in {vector.space}: sites N(0, {vector.variance}){fresh}")
    lines.append("  at every step t, for every output c:")
    for statement in program.statements:
        lines += ["    " + line for line in str(statement).splitlines()]
    if not program.optimizer.plain:
        lines.append(f"  optimizer: momentum {program.optimizer.momentum}, weight decay {program.optimizer.decay}")
    return "\n".join(lines)


def latex_name(name: str, layer: sp.Expr | None = None) -> str:
    """A declared name as LaTeX, the layer as superscript: ``h, l+1 -> h^{l + 1}``."""
    stem, _, tail = name.partition("_")
    digits = len(stem) - len(stem.rstrip("0123456789"))
    if digits and digits < len(stem):
        stem, tail = stem[:-digits], stem[-digits:] + ("," + tail if tail else "")
    stem = {"eps": "varepsilon"}.get(stem, stem)
    base = f"\\{stem}" if stem in _GREEK | {"varepsilon"} else (stem if len(stem) == 1 else f"\\mathrm{{{stem}}}")
    if tail:
        base += "_{" + (tail if len(tail) == 1 or tail.isdigit() else f"\\mathrm{{{tail.replace('_', ',')}}}") + "}"
    return base if layer is None else base + "^{" + sp.latex(layer) + "}"


def field_latex(ref: FieldRef, step: sp.Expr | None = STEP, output: sp.Expr | None = OUTPUT) -> str:
    """A field with its labels, e.g. ``h^{l}_{c}(t)``."""
    name = latex_name(ref.field.name, ref.layer)
    if output is not None:
        name = f"{{{name}}}_{{{sp.latex(output)}}}" if "_" in name else f"{name}_{{{sp.latex(output)}}}"
    return name if step is None else f"{name}({sp.latex(step)})"


def product_latex(product: Product) -> str:
    """A product with the current matrix, e.g. ``W^{l}(t)^{\\top} g^{l + 1}_{c}(t)``."""
    matrix = latex_name(product.matrix.matrix.name, product.matrix.layer)
    top = "^{\\top}" if product.transpose else ""
    return f"{{{matrix}}}(t){top}\\, {field_latex(product.operand)}"


def linear_latex(value: Linear) -> str:
    """A right-hand side."""
    parts = []
    for coefficient, atom in value.terms:
        if isinstance(atom, FieldRef):
            body = field_latex(atom)
        elif isinstance(atom, VectorRef):
            body = (
                f"{latex_name(atom.vector.name)}_{{c}}".replace("}_{c}", ",c}")
                if "_" in latex_name(atom.vector.name)
                else f"{latex_name(atom.vector.name)}_{{c}}"
            )
        else:
            body = product_latex(atom)
        parts.append(_signed(coefficient, body))
    text = " ".join(parts) or "0"
    return text[2:] if text.startswith("+ ") else text


def _signed(coefficient: sp.Expr, body: str) -> str:
    if coefficient == 1:
        return f"+ {body}"
    if coefficient == -1:
        return f"- {body}"
    if coefficient.could_extract_minus_sign():
        return f"- {_factor(-coefficient)} {body}"
    return f"+ {_factor(coefficient)} {body}"


def _factor(coefficient: sp.Expr) -> str:
    if coefficient == 1:
        return ""
    text = sp.latex(coefficient)
    return f"\\left({text}\\right)" if coefficient.is_Add else text


def statement_latex(statement: Statement) -> list[str]:
    """Rows of an ``aligned`` block for one statement."""
    if isinstance(statement, Assign):
        return [f"{field_latex(statement.target)} &= {linear_latex(statement.value)}"]
    if isinstance(statement, ForLayers):
        first, last = statement.layers.start, statement.layers.stop
        if statement.descending:
            first, last = last, first
        note = f"&\\quad {sp.latex(statement.index)} = {sp.latex(first)}, \\dots, {sp.latex(last)}"
        return [
            row + (" " + note if i == 0 else "")
            for i, row in enumerate(row for inner in statement.body for row in statement_latex(inner))
        ]
    if isinstance(statement, Learn):
        return [_learn_latex(statement)]
    return [_observe_latex(statement)]


def _learn_latex(statement: Learn) -> str:
    target = statement.target
    name = (
        latex_name(target.matrix.name, target.layer)
        if isinstance(target, MatrixRef)
        else latex_name(target.vector.name)
    )
    matrix = isinstance(target, MatrixRef)
    return f"{{{name}}} &\\mathrel{{+}}= " + " + ".join(_outer_latex(term, matrix) for term in statement.terms)


def _outer_latex(term: Outer, matrix: bool) -> str:
    body = field_latex(term.left, STEP)
    if matrix and term.right is not None:
        body = f"\\sum_c {body}\\, {field_latex(term.right)}^{{\\top}} / n_{{{term.right.space.name}}}"
    if term.index is not None and term.layers is not None:
        lower = f"{sp.latex(term.index)}={sp.latex(term.layers.start)}"
        body = f"\\sum_{{{lower}}}^{{{sp.latex(term.layers.stop)}}} {body}"
    return f"{_factor(term.coefficient)} {body}"


def _observe_latex(statement: Observe) -> str:
    parts = [_signed(c, f"\\langle {field_latex(a)}\\, {field_latex(b)} \\rangle") for c, a, b in statement.terms]
    if statement.constant != 0:
        parts.append(f"+ {sp.latex(statement.constant)}")
    text = " ".join(parts)
    return f"\\mathrm{{{statement.name}}}_c(t) &= {text[2:] if text.startswith('+ ') else text}"


def program_latex(program: Program) -> str:
    """The statements as one display."""
    rows = [row for statement in program.statements for row in statement_latex(statement)]
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"
