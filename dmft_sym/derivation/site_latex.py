"""Single-site equations in LaTeX."""

from __future__ import annotations

from collections.abc import Iterable

import sympy as sp

from dmft_sym.program import (
    LAYER,
    PAST_STEP,
    STEP,
    Axes,
    FieldRef,
    ForLayers,
    Optimizer,
    RandomVector,
    ScalarRef,
    joined_axes,
)
from dmft_sym.program.labels import At, elsewhere, elsewhere_but, here
from dmft_sym.program.printing import field_latex, function_latex, latex_name, scalar_latex

from .single_site import (
    LocalTerm,
    Memory,
    Noise,
    NoiseTerm,
    ResponseMemory,
    SiteBuilder,
    SiteEquation,
    UpdateMemory,
    VectorMemory,
)
from .stage import Line, signed
from .symbols import Gram, field_at


def noise_latex(noise: Noise, layer: sp.Expr | None, step: sp.Expr | None = STEP, at: At = here) -> str:
    """A Gaussian field with its labels; barred if it is normalised by the aspect ratio."""
    accent = "" if noise.scale == 1 else "bar"
    body = latex_name(noise.name, layer, accent=accent, labels=map(at, noise.axes))
    if noise.initial:
        return f"{body}(0)"
    return body if noise.static or step is None else f"{body}({sp.latex(step)})"


def site_line(equation: SiteEquation, labels: Axes, optimizer: Optimizer | None = None, tangent: bool = False) -> Line:
    """One field's single-site equation, or its derivative (of a sum of terms) for ``tangent``.

    Sums run over labels in the order of the ``labels`` of the program.
    With an ``optimizer`` that has no memory, the factor ``kappa = 1`` is left out.
    """
    kernel = "" if optimizer is not None and optimizer.recursion.plain else "\\kappa(t-s)\\, "
    change = "\\partial " if tangent else ""
    terms = [_noise(term, change) for term in equation.noises]
    terms += [_memory(term, labels, kernel, change) for term in equation.memories]
    terms += [_local(term, change) for term in equation.locals]
    if equation.function is not None:
        terms.append(f"+ {function_latex(equation.function)}")
    return Line(change + field_latex(equation.target), tuple(terms), scan_note(equation.scans))


def scan_note(scans: tuple[ForLayers, ...]) -> str:
    """The layers of a scan in the order in which they follow each other."""
    if not scans:
        return ""
    scan = scans[0]
    first, last = scan.layers.start, scan.layers.stop
    first, last = (last, first) if scan.descending else (first, last)
    return f"${sp.latex(scan.index)} = {sp.latex(first)}, \\dots, {sp.latex(last)}$"


def _noise(term: NoiseTerm, change: str) -> str:
    body = change + noise_latex(term.noise, term.layer)
    return signed(term.coefficient, f"\\rho(t)\\, {body}" if term.retained else body)


def _local(term: LocalTerm, change: str) -> str:
    return signed(term.coefficient, change + field_latex(term.field))


def _memory(term: Memory, labels: Axes, kernel: str, change: str) -> str:
    if isinstance(term, VectorMemory):
        at = elsewhere_but(term.kept)
        past = change + field_latex(term.field, PAST_STEP, at)
        axes = tuple(label for label in _joined(labels, term.field, term.weight) if label not in term.kept)
        weight = _weight(term.weight, at)
        return signed(term.coefficient, f"\\sum_{{{_bounds('<', axes)}}} {kernel}{weight}{past}")
    if isinstance(term, UpdateMemory):
        overlap = overlap_latex(term.row, term.past)
        bounds = _bounds("<", _joined(labels, term.past, term.field, term.weight), term.index)
        body = f"{kernel}{_weight(term.weight, elsewhere)}{overlap}\\, {change}{_past(term.field)}"
        return signed(term.coefficient, f"\\sum_{{{bounds}}} {body}")
    return signed(term.coefficient, _response_sum(term, change))


def overlap_latex(row: FieldRef, past: FieldRef) -> str:
    """The correlation of a field now with one in the past; a given number for inputs."""
    if row.space.finite:
        return str(sp.latex(Gram(field_at(row, STEP, here, row.axes), field_at(past, PAST_STEP, elsewhere, past.axes))))
    return f"\\big\\langle {field_latex(row)}\\, {_past(past)} \\big\\rangle"


def _joined(labels: Axes, *parts: FieldRef | ScalarRef | None) -> Axes:
    return joined_axes((part.axes for part in parts if part is not None), labels)


def _bounds(relation: str, axes: Axes, index: sp.Symbol | None = None) -> str:
    """What a sum over the past runs over: ``s<t, nu c'``."""
    labels = " ".join(sp.latex(label.other) for label in axes)
    layer = "" if index is None else sp.latex(index)
    return ", ".join(part for part in (f"s{relation}t", labels, layer) if part)


def _weight(weight: ScalarRef | None, at: At) -> str:
    return "" if weight is None else f"{scalar_latex(weight, PAST_STEP, at)}\\, "


def response_latex(term: ResponseMemory) -> str:
    """The response of a memory."""
    noise = noise_latex(term.noise, term.noise_layer, PAST_STEP, elsewhere)
    return f"\\Big\\langle \\frac{{\\partial {field_latex(term.row)}}}{{\\partial {noise}}} \\Big\\rangle"


def _response_sum(term: ResponseMemory, change: str) -> str:
    steps = " = " if term.noise.fresh else " \\le " if term.equal_time else "<"
    rho = "\\rho(t) " if term.retained else ""
    bounds = _bounds(steps, term.field.axes, term.index)
    return f"{rho}\\sum_{{{bounds}}} {response_latex(term)}\\, {change}{_past(term.field)}"


def covariance_lines(builder: SiteBuilder, noises: Iterable[Noise]) -> list[Line]:
    """Covariances of the Gaussian fields of a process."""
    noises = list(noises)
    lines = []
    for number, a in enumerate(noises):
        for b in noises[number:]:
            coefficient = builder.noise_covariance(a, b)
            if coefficient is not None:
                lines.append(_covariance(a, b, coefficient))
    return lines


def _covariance(a: Noise, b: Noise, coefficient: sp.Expr) -> Line:
    if isinstance(a.source, RandomVector) or isinstance(b.source, RandomVector):
        return _vector_covariance(a, b, coefficient)
    other = b.source.index
    if other is not None and not b.source.family:
        other = LAYER.other
    first, second = a.source.operand, b.source.operand_at(other)
    left = (
        f"\\big\\langle {noise_latex(a, a.source.index)}\\, {noise_latex(b, other, PAST_STEP, elsewhere)} \\big\\rangle"
    )
    delta = "\\, \\delta_{t s}" if a.fresh else ""
    return Line(left, (signed(coefficient, overlap_latex(first, second) + delta),))


def _vector_covariance(a: Noise, b: Noise, coefficient: sp.Expr) -> Line:
    left = f"\\big\\langle {noise_latex(a, None)}\\, {noise_latex(b, None, PAST_STEP, elsewhere)} \\big\\rangle"
    deltas = [f"\\delta_{{{sp.latex(label.symbol)} {sp.latex(label.other)}}}" for label in a.axes]
    delta = "\\, ".join(deltas + (["\\delta_{t s}"] if a.fresh else []))
    return Line(left, (signed(coefficient, delta),))


def _past(ref: FieldRef) -> str:
    return field_latex(ref, PAST_STEP, elsewhere)
