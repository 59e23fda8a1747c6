"""Closed equations -> IR: rows become loops, guards and matrix nodes; nothing is decided here."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import sympy as sp

from dmft_sym.derivation.arrays import Entry, OrderParameter
from dmft_sym.derivation.closure import (
    ClosedEquations,
    Contribution,
    Kernel,
    LayerLoop,
    RowEquations,
    Weight,
)
from dmft_sym.derivation.exports import NamedParameter
from dmft_sym.derivation.single_site import Noise
from dmft_sym.program import Assign, ForLayers
from dmft_sym.program.validation import smallest_depth

from . import ir


def lower(closed: ClosedEquations, exports: Iterable[NamedParameter] = ()) -> ir.March:
    """Lower closed equations to a march.

    Parameters
    ----------
    exports
        Order parameters that users see, by name.
    """
    program = closed.program
    specs = {array: _spec(array) for array in closed.arrays}
    body: list[ir.Node] = []
    numbered = zip(closed.rows, _statement_texts(closed), strict=True)
    # Statements of one scan share its loop: at every layer they run in the order of the program.
    for scans, group in itertools.groupby(numbered, key=lambda pair: pair[0].scans):
        nodes: tuple[ir.Node, ...] = ()
        for rows, statement in group:
            nodes += (ir.Comment(statement), *_row_nodes(rows, specs))
        for scan in reversed(scans):
            nodes = _looped(scan, nodes)
        body += nodes
    return ir.March(
        title=program.name,
        statements=str(program),
        parameters=tuple(s for s in program.parameters if not s.is_integer),
        integers=tuple(s for s in program.parameters if s.is_integer),
        arrays=tuple(specs.values()),
        body=tuple(body),
        observables=tuple(
            ir.Observable(o.name, tuple((c, _ref(e, specs)) for c, e in o.terms), o.constant)
            for o in closed.observables
        ),
        exports=tuple(ir.Export(e.name, specs[e.array], e.scale, e.layer) for e in exports),
        smallest_depth=smallest_depth(program),
        recursion=program.optimizer.recursion,
    )


def _spec(array: OrderParameter) -> ir.ArraySpec:
    axes = tuple((layers.start, layers.stop) for layers in array.stored)
    words = "response of {} to {}" if array.kind == "R" else "correlation of {} and {}"
    meaning = words.format(array.row.name, array.column.name)
    mirror = "" if array.kind == "R" else f"C_{array.column.name}_{array.row.name}"
    scale = array.column.scale if isinstance(array.column, Noise) else sp.Integer(1)
    return ir.ArraySpec(array.name, axes, array.static, array.kind == "R", meaning, mirror, scale)


def _statement_texts(closed: ClosedEquations) -> list[str]:
    return [str(s) for _, s in closed.program.walk() if isinstance(s, Assign)]


def _ref(entry: Entry, specs: dict[OrderParameter, ir.ArraySpec]) -> ir.Ref:
    return ir.Ref(specs[entry.array], entry.layers)


def _guarded(condition: sp.Basic, node: ir.Node) -> ir.Node:
    return node if condition == sp.true else ir.Guard(condition, (node,))


def _looped(loop: LayerLoop | ForLayers | None, nodes: tuple[ir.Node, ...]) -> tuple[ir.Node, ...]:
    if loop is None:
        return nodes
    return (ir.Loop(loop.index, loop.layers.start, loop.layers.stop, loop.descending, nodes),)


def _row_nodes(rows: RowEquations, specs: dict[OrderParameter, ir.ArraySpec]) -> tuple[ir.Node, ...]:
    nodes: list[ir.Node] = []
    for part in rows.local:
        assert part.source is not None
        add = ir.AddRow(_ref(part.destination, specs), part.coefficient, _ref(part.source, specs))
        nodes += _looped(part.loop, (_guarded(part.condition, add),))
    for part in rows.direct:
        identity = ir.AddIdentity(_ref(part.destination, specs), part.coefficient, part.retained)
        nodes += _looped(part.loop, (_guarded(part.condition, identity),))
    for kernel, transfers in rows.kernels:
        nodes += _kernel_nodes(kernel, transfers, specs)
    for weight in rows.weights:
        nodes += _weight_nodes(weight, specs)
    for mirror in rows.mirrors:
        node = ir.CopyTransposed(_ref(mirror.transposed, specs), _ref(mirror.entry, specs))
        nodes += _looped(mirror.loop, (_guarded(mirror.condition, node),))
    return tuple(nodes)


def _kernel_nodes(
    kernel: Kernel, transfers: tuple[Contribution, ...], specs: dict[OrderParameter, ir.ArraySpec]
) -> tuple[ir.Node, ...]:
    nodes: list[ir.Node] = [ir.StartKernel()]
    for term in kernel.terms:
        source = None if term.entry is None else _ref(term.entry, specs)
        condition = sp.true if term.entry is None else term.entry.condition
        nodes.append(_guarded(condition, ir.AddKernel(term.coefficient, source, term.steps, term.retained)))
    for part in transfers:
        assert part.source is not None
        product = ir.AddProduct(_ref(part.destination, specs), _ref(part.source, specs))
        nodes += _looped(part.loop, (_guarded(part.condition, product),))
    return _looped(kernel.loop, tuple(nodes))


def _weight_nodes(weight: Weight, specs: dict[OrderParameter, ir.ArraySpec]) -> tuple[ir.Node, ...]:
    nodes: list[ir.Node] = [ir.StartWeight(weight.noise.static)]
    for term in weight.terms:
        cov = term.covariance
        matrix, back = (None if e is None else _ref(e, specs) for e in (cov.entry, cov.transposed))
        add = ir.AddWeight(cov.coefficient, _ref(term.response, specs), matrix, back, cov.fresh)
        nodes += _looped(term.loop, (_guarded(term.condition, add),))
    for part in weight.targets:
        assert part.source is not None
        node = ir.AddCorrelation(_ref(part.destination, specs), _ref(part.source, specs))
        nodes += _looped(part.loop, (_guarded(part.condition, node),))
    return _looped(weight.loop, tuple(nodes))
