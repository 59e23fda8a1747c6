"""Programs as text and as LaTeX."""

from __future__ import annotations

from collections.abc import Iterable

import sympy as sp

from .declarations import ONE, UNIT, Scalar
from .expressions import (
    Argument,
    FieldRef,
    Initial,
    LayerSum,
    Linear,
    MatrixRef,
    Product,
    Relabelled,
    ScalarRef,
    SiteFunction,
    VectorRef,
)
from .labels import OUTPUT, STEP, At, Axes, here, joined_axes
from .statements import Assign, Average, Compute, ForLayers, Learn, Observe, Outer, SiteMap, SquaredNorm, Statement
from .step import Step

_GREEK = {
    "alpha", "beta", "gamma", "delta", "Delta", "epsilon", "eps", "eta", "nu", "sigma", "kappa", "rho", "phi",
    "Phi", "chi", "xi", "lambda", "mu", "tau", "theta", "psi", "omega", "zeta", "varepsilon",
}  # fmt: skip


def program_text(program: Step) -> str:
    """Declarations and statements, one a line."""
    lines = [f"program {program.name}"]
    for space in program.spaces:
        kinds = "" if space.classes is None else f", {space.classes}"
        lines.append(
            f"  space {space.name}: " + ("given inputs" if space.finite else f"{space.ratio} * n sites{kinds}")
        )
    for matrix in program.matrices:
        family = "" if matrix.layers is None else f"[{matrix.layers}]"
        fresh = ", drawn anew at every step" if matrix.fresh else ""
        fresh += f", called {', '.join(matrix.members)}" if matrix.members else ""
        if matrix.source == UNIT:
            lines.append(f"  vector {matrix.name}{family} in {matrix.target}: sites N(0, {matrix.variance}){fresh}")
            continue
        if matrix.isometric:
            lines.append(f"  matrix {matrix.name}: {matrix.source} -> {matrix.target}, overlaps of inputs are kept")
            continue
        lines.append(
            f"  matrix {matrix.name}{family}: {matrix.source} -> {matrix.target}, "
            f"entries N(0, {matrix.variance}/n_{matrix.source}){fresh}"
        )
    for vector in program.vectors:
        fresh = ", drawn anew at every step" if vector.fresh else ""
        lines.append(f"  vector {vector.name} in {vector.space}: sites N(0, {vector.variance}){fresh}")
    if len(program.labels) > 1:
        lines += [f"  field {_with_labels(field.name, field.axes)} in {field.space}" for field in program.fields]
    lines += [f"  scalar {_with_labels(scalar.name, scalar.axes)}{_given(scalar)}" for scalar in program.scalars]
    lines.append(f"  at every step {STEP}{_for_every(program.labels)}:")
    for statement in program.statements:
        lines += ["    " + line for line in str(statement).splitlines()]
    if not program.optimizer.recursion.plain:
        lines.append(f"  optimizer: {program.optimizer}")
    return "\n".join(lines)


def _given(scalar: Scalar) -> str:
    """Whether a scalar is given, and how."""
    if scalar.values is not None:
        return f" = {scalar.values}"
    if not scalar.data:
        return ""
    formula = "" if scalar.formula is None else f": {scalar.formula}"
    return f", given{' anew at every step' if scalar.fresh else ''}{formula}"


def _for_every(labels: Axes) -> str:
    """``, for every sample mu and output c``; where the number of values is known, it is said."""
    sizes = [f" = 0..{label.size - 1}" if label.size.is_Integer else "" for label in labels]
    *first, last = [f"{label.name} {label.symbol}{size}" for label, size in zip(labels, sizes, strict=True)] or [""]
    names = f"{', '.join(first)} and {last}" if first else last
    return f", for every {names}" if names else ""


def _with_labels(name: str, axes: Axes) -> str:
    return f"{name}[{', '.join(str(label.symbol) for label in axes)}]" if axes else name


def name_parts(name: str) -> tuple[str, str]:
    """Base and subscript of a declared name: ``h2 -> (h, 2)``, ``u_W0 -> (u, W0)``."""
    stem, _, tail = name.partition("_")
    digits = len(stem) - len(stem.rstrip("0123456789"))
    if digits and digits < len(stem):
        stem, tail = stem[:-digits], stem[-digits:] + ("," + tail if tail else "")
    stem = {"eps": "varepsilon", "betastar": "beta^{*}"}.get(stem, stem)
    base = f"\\{stem}" if stem.partition("^")[0] in _GREEK else stem if len(stem) == 1 else f"\\mathrm{{{stem}}}"
    if tail and not (len(tail) == 1 or tail.isdigit()):
        tail = f"\\mathrm{{{tail.replace('_', ',')}}}"
    return base, tail


def latex_name(name: str, layer: sp.Expr | None = None, *, labels: Iterable[sp.Expr] = (), accent: str = "") -> str:
    """A declared name as LaTeX, the layer as superscript, values of labels as subscripts: ``h^{l + 1}_{c}``.

    All subscripts stand together, because TeX does not take a second one on an accented letter.
    """
    base, tail = ("1", "") if name == ONE.name else name_parts(name)
    base = f"{{{base}}}" if "^" in base and layer is not None else base
    upper = "" if layer is None else "^{" + sp.latex(layer) + "}"
    lower = ", ".join(part for part in (tail, " ".join(map(sp.latex, labels))) if part)
    return (f"\\{accent}{{{base}}}" if accent else base) + upper + (f"_{{{lower}}}" if lower else "")


def field_latex(ref: FieldRef, step: sp.Expr | None = STEP, at: At = here) -> str:
    """A field with its labels, e.g. ``h^{l}_{c}(t)``."""
    name = latex_name(ref.field.name, ref.layer, labels=map(at, ref.axes))
    return name if step is None or ref.field.data else f"{name}({sp.latex(step)})"


def scalar_latex(ref: ScalarRef, step: sp.Expr | None = STEP, at: At = here) -> str:
    r"""A scalar with its labels, e.g. ``\Delta_{\mu c}(t)``."""
    name = latex_name(ref.scalar.name, ref.layer, labels=map(at, ref.axes))
    step = sp.Integer(0) if ref.initial else step
    fixed = ref.scalar.data and not ref.scalar.fresh
    return name if step is None or fixed else f"{name}({sp.latex(step)})"


def argument_latex(argument: Argument) -> str:
    """An argument of a site-wise function with its labels."""
    if isinstance(argument, FieldRef):
        return field_latex(argument)
    return scalar_latex(argument) if isinstance(argument, ScalarRef) else vector_latex(argument)


def function_latex(function: SiteFunction) -> str:
    """A site-wise function of labelled fields."""
    return expression_latex(function.expression, {s: argument_latex(a) for s, a in function.arguments})


def expression_latex(expression: sp.Expr, names: dict[sp.Symbol, str]) -> str:
    """An expression with its symbols printed as ``names``; derivatives of a free function as primes."""
    shown = expression.replace(
        lambda part: isinstance(part, sp.Derivative) and len(part.variables) == part.args[1][1],
        lambda part: primed(part.expr.func.__name__, len(part.variables))(*part.expr.args),
    )
    return str(sp.latex(shown, symbol_names=names))


def primed(name: str, order: int) -> sp.Function:
    """A function that prints as a free one with primes; names that start with a command are printed as they are."""
    base = str(sp.latex(sp.Symbol(name)))
    base = base if base.startswith("\\") else f"\\mathrm{{{base}}}"
    return sp.Function(base + "{}" + "'" * order)


def product_latex(product: Product) -> str:
    r"""A product with the current matrix, e.g. ``W^{l}(t)^{\top} g^{l + 1}_{c}(t)``."""
    matrix = latex_name(product.matrix.matrix.name, product.matrix.layer)
    if product.is_vector:
        return f"{{{matrix}}}(t)"
    top = "^{\\top}" if product.transpose else ""
    return f"{{{matrix}}}(t){top}\\, {field_latex(product.operand)}"


def vector_latex(ref: VectorRef) -> str:
    """A random (or trained) vector with its labels."""
    return latex_name(ref.vector.name, labels=map(here, ref.axes))


def linear_latex(value: Linear) -> str:
    """A right-hand side."""
    parts = []
    for coefficient, atom in value.terms:
        if isinstance(atom, FieldRef):
            body = field_latex(atom)
        elif isinstance(atom, Initial):
            body = field_latex(atom.field, sp.Integer(0))
        elif isinstance(atom, Relabelled):
            body = relabelled_latex(atom)
        elif isinstance(atom, VectorRef):
            body = vector_latex(atom)
        elif isinstance(atom, LayerSum):
            ends = f"_{{{sp.latex(atom.index)}={sp.latex(atom.layers.start)}}}^{{{sp.latex(atom.layers.stop)}}}"
            parts.append(f"+ \\sum{ends} {_factor(coefficient)} {field_latex(atom.field)}")
            continue
        else:
            body = product_latex(atom)
        parts.append(_signed(coefficient, body))
    text = " ".join(parts) or "0"
    return text[2:] if text.startswith("+ ") else text


def sums_latex(over: Axes) -> str:
    """Signs of the sums over labels."""
    return f"\\sum_{{{' '.join(sp.latex(label.symbol) for label in over)}}} " if over else ""


def summed_latex(text: str, expression: sp.Expr, over: Axes) -> str:
    """A function, or its sum over labels."""
    return sums_latex(over) + (f"\\left({text}\\right)" if over and expression.is_Add else text)


def along_latex(statement: Compute) -> str:
    """Where ``softmax`` acts, if it is not along the outputs."""
    if statement.along == OUTPUT:
        return ""
    return f"\\quad \\text{{(along }} {sp.latex(statement.along.symbol)} \\text{{)}}"


def relabelled_latex(atom: Relabelled) -> str:
    r"""A field at other labels, or a sum over some: ``\sum_{i} h_{\mu i}(t)``."""
    return sums_latex(atom.over) + field_latex(atom.field, at=lambda label: atom.at(label).symbol)


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


def statement_latex(statement: Statement, labels: Axes) -> list[str]:
    """Rows of an ``aligned`` block for one statement of a program with these ``labels``."""
    if isinstance(statement, Assign):
        return [f"{field_latex(statement.target)} &= {linear_latex(statement.value)}"]
    if isinstance(statement, SiteMap):
        shown = summed_latex(function_latex(statement.function), statement.function.expression, statement.over)
        return [f"{field_latex(statement.target)} &= {shown}"]
    if isinstance(statement, Average):
        parts = [_signed(c, f"\\left\\langle {function_latex(f)} \\right\\rangle") for c, f in statement.terms]
        return [f"{scalar_latex(statement.target)} &= {' '.join(parts).removeprefix('+ ')}"]
    if isinstance(statement, Compute):
        names = {symbol: scalar_latex(ref) for symbol, ref in statement.arguments}
        shown = summed_latex(expression_latex(statement.expression, names), statement.expression, statement.over)
        return [f"{scalar_latex(statement.target)} &= {shown}" + along_latex(statement)]
    if isinstance(statement, ForLayers):
        first, last = statement.layers.start, statement.layers.stop
        if statement.descending:
            first, last = last, first
        note = f"&\\quad {sp.latex(statement.index)} = {sp.latex(first)}, \\dots, {sp.latex(last)}"
        return [
            row + (" " + note if i == 0 else "")
            for i, row in enumerate(row for inner in statement.body for row in statement_latex(inner, labels))
        ]
    if isinstance(statement, SquaredNorm):
        return [f"{scalar_latex(statement.target)} &= {_norm_latex(statement)}"]
    if isinstance(statement, Learn):
        return [_learn_latex(statement, labels)]
    return [_observe_latex(statement)]


def _norm_latex(statement: SquaredNorm) -> str:
    """``sum factor |G|^2`` over arrays, by their names."""
    parts = []
    for update in statement.updates:
        target = update.target
        name = latex_name(target.declared.name, getattr(target, "layer", None))
        parts.append(_signed(statement.factor(update), f"\\left|G_{{{name}}}\\right|^2"))
    return " ".join(parts).removeprefix("+ ")


def _learn_latex(statement: Learn, labels: Axes) -> str:
    target = statement.target
    name = (
        latex_name(target.matrix.name, target.layer)
        if isinstance(target, MatrixRef)
        else latex_name(target.vector.name)
    )
    kept = () if isinstance(target, MatrixRef) else target.axes
    summed = tuple(label for label in labels if label not in kept)
    return f"{{{name}}} &\\mathrel{{+}}= " + " + ".join(_outer_latex(term, summed) for term in statement.terms)


def _outer_latex(term: Outer, summed: Axes) -> str:
    body = field_latex(term.left)
    if term.right is not None and term.right.field != ONE:
        body = f"{body}\\, {field_latex(term.right)}^{{\\top}} / n_{{{term.right.space.name}}}"
    if term.weight is not None:
        body = f"{scalar_latex(term.weight)}\\, {body}"
    if axes := joined_axes((factor.axes for factor in term.factors), summed):
        body = f"\\sum_{{{' '.join(sp.latex(label.symbol) for label in axes)}}} {body}"
    if term.index is not None and term.layers is not None:
        lower = f"{sp.latex(term.index)}={sp.latex(term.layers.start)}"
        body = f"\\sum_{{{lower}}}^{{{sp.latex(term.layers.stop)}}} {body}"
    return f"{_factor(term.coefficient)} {body}"


def _observe_latex(statement: Observe) -> str:
    parts = [_signed(c, f"\\langle {field_latex(a)}\\, {field_latex(b)} \\rangle") for c, a, b in statement.terms]
    if statement.constant != 0:
        parts.append(f"+ {sp.latex(statement.constant)}")
    text = " ".join(parts)
    labels = " ".join(sp.latex(label.symbol) for label in statement.axes)
    lower = f"_{labels}" if len(labels) == 1 else f"_{{{labels}}}"
    return f"\\text{{{statement.name.replace('_', ' ')}}}{lower}(t) &= {text[2:] if text.startswith('+ ') else text}"


def program_displays(program: Step) -> list[str]:
    """The statements as displays, numbered as in the first stage of a derivation."""
    rows = [row for statement in program.statements for row in statement_latex(statement, program.labels)]
    return [
        f"\\begin{{aligned}}\n{row}\n\\end{{aligned}}\n\\tag{{1.{number}}}" for number, row in enumerate(rows, start=1)
    ]
