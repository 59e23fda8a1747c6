"""Closed equations in LaTeX, from the objects that are lowered to code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import sympy as sp

from dmft_sym.program import FieldRef, LayerRange
from dmft_sym.program.printing import latex_name

from .arrays import Entry, OrderParameter
from .closure import ClosedEquations, Contribution, Kernel, KernelTerm, LayerLoop, RowEquations, Weight
from .single_site import Noise
from .stage import Line, signed

_Key: TypeAlias = tuple[OrderParameter, tuple[sp.Expr, ...]]


def observable_lines(closed: ClosedEquations) -> Iterable[Line]:
    """The reported scalars."""
    for observable in closed.observables:
        terms = [signed(c, f"{entry_latex(e)}_{{cc}}(t,t)") for c, e in observable.terms]
        if observable.constant != 0:
            terms.append(signed(observable.constant, ""))
        yield Line(f"\\text{{{observable.name.replace('_', ' ')}}}_c(t)", tuple(terms))


def entry_latex(entry: Entry) -> str:
    """A two-time matrix: ``R`` or ``C`` with the names of row and column as superscript."""
    array = entry.array
    layers = list(entry.layers)
    row = layers.pop(0) if array.row_layers is not None else None
    column = layers.pop(0) if array.column_layers is not None else None
    if column is None and array.offset is not None and row is not None:
        column = sp.expand(row + array.offset)
    barred = isinstance(array.column, Noise) and array.column.scale != 1
    names = f"{_member(array.row.name, row)};\\,{_member(array.column.name, column, 'bar' if barred else '')}"
    return f"{array.kind}^{{{names}}}"


def _member(name: str, layer: sp.Expr | None, accent: str = "") -> str:
    """Name with its layer in brackets (exponents of exponents are hard to read)."""
    return latex_name(name, accent=accent) + ("" if layer is None else f"[{sp.latex(layer)}]")


def _field(ref: FieldRef) -> str:
    return _member(ref.field.name, ref.layer)


def row_lines(rows: RowEquations) -> Iterable[Line]:
    """Kernels, responses and correlations of one field, in marching order."""
    note = _scan_note(rows)
    names: dict[Kernel, str] = {}
    for kernel, _ in rows.kernels:
        names[kernel] = f"A^{{{_field(rows.target)};\\,{_field(kernel.field)}}}"
        terms = tuple(_kernel_term(term) for term in kernel.terms)
        yield Line(names[kernel], terms, _notes(note, _loop_note(kernel.loop)))
    yield from _response_lines(rows, names, note)
    yield from _correlation_lines(rows, note)


def _kernel_term(term: KernelTerm) -> str:
    body = "S_\\kappa" if term.entry is None else entry_latex(term.entry)
    if term.steps == "past" and term.entry is not None:
        body = f"S_\\kappa\\circ {body}"
    elif term.steps == "now":
        body = f"\\delta_{{ts}}\\circ {body}"
    return signed(term.coefficient, ("\\rho\\, " if term.retained else "") + body)


def _response_lines(rows: RowEquations, names: dict[Kernel, str], note: str) -> Iterable[Line]:
    """One line per response of the field: all contributions to one array together."""
    found: dict[_Key, list[str]] = {}
    notes: dict[_Key, str] = {}

    def add(part: Contribution, text: str) -> None:
        key = (part.destination.array, part.destination.layers)
        found.setdefault(key, []).append(text)
        notes.setdefault(key, _notes(note, _condition_note(part.condition), _loop_note(part.loop)))

    for part in rows.local:
        assert part.source is not None
        add(part, signed(part.coefficient, entry_latex(part.source)))
    for kernel, transfers in rows.kernels:
        prefix = "" if kernel.loop is None else f"\\sum_{{{sp.latex(kernel.loop.index)}}} "
        for part in transfers:
            assert part.source is not None
            add(part, f"+ {prefix}{names[kernel]}\\, {entry_latex(part.source)}")
    for part in rows.direct:
        unit = "\\mathbf{1}" if part.destination.array.static else "I"
        unit = f"\\rho\\, {unit}" if part.retained else unit
        swept = _swept_key(part.destination, found)
        if swept is None:
            add(part, signed(part.coefficient, unit))
        else:
            here, index = part.destination.layers[-1], swept[1][-1]
            delta = f"\\delta_{{{sp.latex(index)},\\, {sp.latex(here)}}}\\, {unit}"
            found[swept].append(signed(part.coefficient, delta))
    for key, terms in found.items():
        entry = Entry(*key)
        yield Line(entry_latex(entry), tuple(terms), notes[key])


def _swept_key(entry: Entry, found: dict[_Key, list[str]]) -> _Key | None:
    """The response of the same row to all layers of the same noise, if it has an equation."""
    if entry.array.column_layers is None:
        return None
    for array, layers in found:
        if array == entry.array and layers[:-1] == entry.layers[:-1] and layers != entry.layers:
            return array, layers
    return None


def _correlation_lines(rows: RowEquations, note: str) -> Iterable[Line]:
    found: dict[_Key, list[str]] = {}
    notes: dict[_Key, str] = {}
    for weight in rows.weights:
        for target in weight.targets:
            key = (target.destination.array, target.destination.layers)
            found.setdefault(key, []).extend(_weighted(weight, target))
            notes.setdefault(key, _notes(note, _loop_note(target.loop)))
    for key, terms in found.items():
        yield Line(entry_latex(Entry(*key)), tuple(terms), notes[key])


def _weighted(weight: Weight, target: Contribution) -> Iterable[str]:
    assert target.source is not None
    for term in weight.terms:
        covariance = "" if term.covariance.entry is None else entry_latex(term.covariance.entry) + "\\, "
        if term.covariance.fresh:
            covariance = f"(\\delta_{{ts}}\\circ {covariance.rstrip()[:-2]})\\, " if covariance else ""
        sums = "".join(_sum_latex(loop) for loop in (weight.loop, term.loop) if loop is not None)
        holds = sp.And(term.condition, target.condition)
        if holds != sp.true:
            sums = f"\\left[{condition_latex(holds)}\\right] {sums}"
        body = (
            f"{sums}{entry_latex(term.response)}\\, {covariance}\\big({entry_latex(target.source)}\\big)^{{\\!\\top}}"
        )
        yield signed(term.covariance.coefficient, body)


def _scan_note(rows: RowEquations) -> str:
    if not rows.scans:
        return ""
    scan = rows.scans[0]
    return _range_note(scan.index, scan.layers)


def _loop_note(loop: LayerLoop | None) -> str:
    return "" if loop is None else _range_note(loop.index, loop.layers)


def _range_note(index: sp.Expr, layers: LayerRange) -> str:
    return f"${sp.latex(index)} = {sp.latex(layers.start)}, \\dots, {sp.latex(layers.stop)}$"


def _sum_latex(loop: LayerLoop) -> str:
    bounds = f"{sp.latex(loop.index)}={sp.latex(loop.layers.start)}"
    return f"\\sum_{{{bounds}}}^{{{sp.latex(loop.layers.stop)}}} "


def _condition_note(condition: sp.Basic) -> str:
    return "" if condition == sp.true else f"if ${condition_latex(condition)}$"


def condition_latex(condition: sp.Basic) -> str:
    """A relation between layer indices, solved for the index: ``l = 1``, ``l <= L - 2``."""
    if isinstance(condition, sp.And):
        return ",\\ ".join(sorted(condition_latex(part) for part in condition.args))
    assert isinstance(condition, (sp.Eq, sp.Ge))
    slack = sp.expand(condition.lhs - condition.rhs)
    # Loop indices first, the depth last.
    for symbol in sorted(slack.free_symbols, key=lambda s: (s.name.isupper(), s.name)):
        factor = slack.coeff(symbol)
        if abs(factor) == 1:
            rest = sp.expand(-(slack - factor * symbol) / factor)
            relation = "=" if isinstance(condition, sp.Eq) else "\\ge" if factor == 1 else "\\le"
            return f"{sp.latex(symbol)} {relation} {sp.latex(rest)}"
    return str(sp.latex(condition))


def _notes(*notes: str) -> str:
    return ", ".join(dict.fromkeys(note for note in notes if note))
