"""IR -> Numba: the same rows as the NumPy back end, with kernels that use triangles and threads.

All two-time matrices of a module lie in one block of memory and are named by their number there, so that one
compiled kernel serves all. Products of a statement that do not depend on each other are done together: those of all
its kernels, then the weights of all its noises, then the correlations with them. The kernels are copied from the text
files beside this one: ``numba_rows`` (element-wise), ``numba_products``, ``numba_history`` (past steps in compressed
form) and ``numba_sharing`` (threads).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from typing import TypeAlias

from dmft_sym.codegen.text.coefficient_text import integer_text, length_text
from dmft_sym.codegen.text.names import python_name

from .coefficients import CoefficientTable
from .ir import (
    AddCorrelation,
    AddKernel,
    AddProduct,
    AddWeight,
    ArraySpec,
    Guard,
    Loop,
    March,
    Node,
    Ref,
    StartKernel,
    StartWeight,
)
from .python_text import (
    LineStyle,
    NodeWriter,
    argument_checks,
    block_head,
    docstring,
    kernel_table,
    labels_function,
    signature,
)

IMPORTS = """\
import math
import threading
import time
from contextlib import contextmanager
from typing import NamedTuple

import numba as nb
import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic"""

Kinds: TypeAlias = tuple[type, ...]
KERNELS = ("rows", "products", "history", "sharing")
# Products that a plan holds; the kernels' _QUEUE.
PLANNED = 64
_KERNEL: Kinds = (StartKernel, AddKernel, AddProduct)
_WEIGHT: Kinds = (StartWeight, AddWeight, AddCorrelation)


class NumbaStyle(LineStyle):
    """One kernel call a node; matrices are numbers in ``store`` or, with static columns, in ``fixed``."""

    def matrix(self, ref: Ref) -> str:
        return _place(ref)

    def add_row(self, target: str, factor: str, source: str, static: bool) -> str:
        return f"_add_row({_of(target, static)}, {_number(factor)}, {_of(source, static)}, lo, hi)"

    def add_identity(self, target: str, factor: str, static: bool) -> str:
        return f"_add_identity({_of(target, static)}, {_number(factor)}, lo, hi)"

    def start_kernel(self) -> str:
        return "_start_row(rows[A], hi)"

    def add_kernel(self, factor: str, source: str | None, steps: str) -> str:
        if source is None:
            return f"_add_kernel_identity(rows[A], {_number(factor)}, kappa, lo, hi)"
        row = f"rows[A], {_number(factor)}, {_of(source)}"
        if steps == "past":
            return f"_add_kernel_past({row}, kappa, lo, hi)"
        return f"{'_add_kernel_now' if steps == 'now' else '_add_weight'}({row}, lo, hi)"

    def add_product(self, target: str, source: str, static: bool) -> str:
        if static:
            return f"_add_product_static({_of(target, static)}, rows[A], {_of(source, static)}, lo, hi)"
        return f"_product(plan, {target}, A, {source})"

    def start_weight(self, static: bool) -> str:
        return "_start_row(rows[W], hi)"

    def add_weight(self, factor: str, response: str, static: bool) -> str:
        return f"_add_weight(rows[W], {_number(factor)}, {_of(response, static)}, lo, hi)"

    def add_covariance(self, factor: str, response: str, covariance: str, transposed: str, fresh: bool) -> str:
        if fresh:
            return f"_add_covariance_fresh(rows[W], {_number(factor)}, {_of(response)}, {_of(covariance)}, lo, hi)"
        return f"_covariance(plan, factors, W, {_number(factor)}, {response}, {covariance}, {transposed})"

    def add_correlation(self, target: str, source: str, static: bool) -> str:
        if static:
            return f"_add_correlation_static({_of(target)}, rows[W], {_of(source, static)}, lo, hi)"
        return f"_correlation(plan, {target}, W, {source})"

    def mirror(self, target: str, source: str) -> str | None:
        return None if target == source else f"_mirror({_of(target)}, {_of(source)}, lo, hi)"


def _of(place: str, static: bool = False) -> str:
    return f"{'fixed' if static else 'store'}[{place}]"


def _number(factor: str) -> str:
    """The factor of a line as an argument: ``"c1 * "`` is ``c1``, the empty one is ``1.0``."""
    number = factor.removesuffix(" * ") or "1"
    return f"{number}.0" if number.strip("()-").isdigit() and not number.endswith(")") else number


def _place(ref: Ref) -> str:
    """``R_h_u_W + l - 1``: the number of a matrix, layers counted in C order from the first of each axis."""
    text = ""
    for layer, axis in zip(ref.layers, ref.array.axes, strict=True):
        offset = integer_text(layer - axis[0])
        if not text:
            text = offset
        else:
            text = f"({text}) * {length_text(*axis)} + {offset}"
    return ref.array.name if text in ("", "0") else f"{ref.array.name} + {text}"


class NumbaNodes(NodeWriter):
    """Nodes of a statement, with independent products next to each other."""

    def lines(self, nodes: tuple[Node, ...], indent: str) -> Iterator[str]:
        """Source lines of a block."""
        start = 0
        while start < len(nodes):
            family = next((f for f in (_KERNEL, _WEIGHT) if _only(nodes[start], f)), None)
            if family is None:
                yield from super().lines(nodes[start : start + 1], indent)
                start += 1
                continue
            stop = start
            while stop < len(nodes) and _only(nodes[stop], family):
                stop += 1
            run, start = nodes[start:stop], stop
            kinds = [_KERNEL] if family is _KERNEL else [(StartWeight, AddWeight), (StartWeight, AddCorrelation)]
            for some in kinds:
                yield from _Run(self, run, some).text(indent)
                yield f"{indent}_finish(desk, store, flat, history)"


class _Run:
    """Lines of nodes whose products are done together; kernels and weights are rows numbered from zero."""

    def __init__(self, writer: NodeWriter, nodes: Sequence[Node], kinds: Kinds) -> None:
        self.writer = writer
        self.nodes = nodes
        self.kinds = kinds
        self.row = "A" if StartKernel in kinds else "W"
        self.counted = _starts_in_loops(nodes)  # the number of rows depends on layers
        self.used = 0
        self.many = sum(1 for _ in _flat(nodes)) >= PLANNED

    def text(self, indent: str) -> Iterator[str]:
        """Source lines of the nodes of the run's kinds."""
        if self.counted:
            yield f"{indent}{self.row} = -1"
        yield from self._lines(self.nodes, indent, False)

    def _lines(self, nodes: Sequence[Node], indent: str, looped: bool) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, Loop | Guard):
                inner = list(self._lines(node.body, indent + "    ", looped or isinstance(node, Loop)))
                if inner:
                    yield indent + block_head(node)
                    yield from inner
                continue
            if not isinstance(node, self.kinds):
                continue
            if isinstance(node, StartKernel | StartWeight):
                yield f"{indent}{self.row} += 1" if self.counted else f"{indent}{self.row} = {self.used}"
                self.used += 1
                if AddCorrelation in self.kinds:
                    continue
            line = self.writer.line(node)
            yield f"{indent}{line}"
            if (looped or self.many) and line and line.startswith(("_product(", "_covariance(", "_correlation(")):
                yield f"{indent}if plan[0, 0] == _QUEUE:"
                yield f"{indent}    _finish(desk, store, flat, history)"


def _only(node: Node, kinds: Kinds) -> bool:
    if isinstance(node, Loop | Guard):
        return all(_only(inner, kinds) for inner in node.body)
    return isinstance(node, kinds)


def _flat(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        if isinstance(node, Loop | Guard):
            yield from _flat(node.body)
        else:
            yield node


def _starts_in_loops(nodes: Sequence[Node]) -> bool:
    loops = [n for n in nodes if isinstance(n, Loop)]
    guards = [n for n in nodes if isinstance(n, Guard)]
    inside = any(isinstance(n, StartKernel | StartWeight) for n in _flat(loops))
    return inside or any(_starts_in_loops(guard.body) for guard in guards)


class NumbaWriter:
    """A module with the kernels, a compiled ``_advance`` over a range of steps, and ``march`` around it."""

    def __init__(self, march: March) -> None:
        self.march = march
        self.coefficients = CoefficientTable(march)
        self.nodes = NumbaNodes(NumbaStyle(), self.coefficients)
        self._wide = [a for a in march.arrays if not a.static]
        self._narrow = [a for a in march.arrays if a.static]
        self._passed: list[str] = []

    def text(self) -> str:
        """The source."""
        advance = self._advance()
        texts = [resources.files("dmft_sym.codegen.library").joinpath(f"numba_{name}.txt") for name in KERNELS]
        kernels = [text.read_text(encoding="utf-8").strip() for text in texts]
        head = "\n".join([docstring(self.march, "numba"), "", IMPORTS])
        return "\n\n\n".join([head, *kernels, advance, labels_function(self.march), self._march()]) + "\n"

    def _advance(self) -> str:
        body = list(self.nodes.lines(self.march.body, "        "))
        observables = list(self._observables())
        finite = " and ".join(f"np.all(np.isfinite({o.name}[t]))" for o in self.march.observables)
        # Coefficients get their names when they are first written.
        integers = [python_name(s) for s in self.march.integers]
        self._passed = [*integers, *self.coefficients.symbols(), *self.coefficients.names()]
        arrays = [a.name for a in (*self._wide, *self._narrow)]
        arguments = [
            *("first", "last", "C", "desk", "store", "flat", "fixed", "history", "kappa", "rho"),
            *self._passed,
            *arrays,
            *(o.name for o in self.march.observables),
        ]
        return "\n".join(
            [
                "@njit(cache=True, nogil=True)",
                f"def _advance({', '.join(arguments)}):",
                '    """Rows first..last of every order parameter; the first step that is not finite, or last."""',
                "    plan, factors, rows = desk.plan, desk.factors, desk.rows",
                "    for t in range(first, last):",
                "        lo, hi = t * C, (t + 1) * C",
                "        plan[0, 1] = lo",
                *body,
                *observables,
                f"        if not ({finite}):",
                "            return t",
                "    return last",
            ]
        )

    def _observables(self) -> list[str]:
        lines = []
        for observable in self.march.observables:
            terms = [
                f"{self.coefficients.factor(c)}store[{_place(ref)}, lo + c, lo + c]" for c, ref in observable.terms
            ]
            if observable.constant != 0:
                terms.append(self.coefficients.text(observable.constant))
            lines += ["        for c in range(C):", f"            {observable.name}[t, c] = {' + '.join(terms) or '0'}"]
        return lines

    def _march(self) -> str:
        scales = ", ".join(f'"{e.array.name}": {self.coefficients.text(e.scale)}' for e in self.march.exports)
        observables = [o.name for o in self.march.observables]
        plain = self.march.recursion.plain
        memory = ["desk", "store", "flat", "fixed", "history", "kappa", "rho"]
        passed = ", ".join([*memory, *self._passed, "*places", *observables])
        return "\n".join(
            [
                signature(self.march),
                '    """March the closed equations; see the module docstring."""',
                *argument_checks(self.march),
                "    C = outputs",
                "    n = steps * C",
                *kernel_table(self.march),
                *(["    rho = np.ones(steps, dtype)"] if plain else ["    rho = rho.astype(dtype)"]),
                *(f"    {name} = dtype({name})" for name in self.coefficients.symbols()),
                *(f"    {line}" for line in self._typed_definitions()),
                "    # Layers of the two-time matrices, and of those with static columns.",
                *_axes_lines("wide", self._wide),
                *_axes_lines("narrow", self._narrow),
                "    store, arrays, places = _lay_out(wide, n, n, dtype)",
                "    fixed, static_arrays, static_places = _lay_out(narrow, n, C, dtype)",
                "    places += static_places",
                "    flat = store.reshape(len(store), n * n)",
                "    history = _make_history(len(store), C, n, dtype)",
                "    desk = _make_desk(len(store) + len(fixed) + 1, C, n, dtype)",
                *(f"    {name} = np.zeros((steps, C), dtype)" for name in observables),
                "    done = 0",
                "    with _helpers(desk, store, flat, history):",
                "        while done < steps:",
                "            last = min(steps, (done // _CHUNK + 1) * _CHUNK)",
                "            if progress is not None:",
                "                last = min(last, done + max(1, 20_000 // (done + 20)))",
                f"            done = _advance(done, last, C, {passed})",
                "            if progress is not None:",
                "                progress(done, steps)",
                "            if done < last:",
                "                break",
                "            if done < steps:",
                "                _close(store, done * C, history)",
                *self._uppers(),
                "    return {",
                '        "steps": done,',
                *(f'        "{name}": {name},' for name in observables),
                "        **arrays,",
                "        **static_arrays,",
                f'        "scales": {{{scales}}},',
                "    }",
            ]
        )

    def _uppers(self) -> list[str]:
        """Lines that complete the correlations once the march is over."""
        lines = []
        for array in self._wide:
            if array.causal:
                continue
            axes = len(array.axes)
            target, back = f'arrays["{array.name}"]', f'arrays["{array.mirror}"]'
            if axes == 0:
                lines.append(f"    _fill_upper({target}, {back}, C)")
                continue
            place = "place[::-1]" if axes == 2 else "place"
            lines += [
                f"    for place in np.ndindex({target}.shape[:{axes}]):",
                f"        _fill_upper({target}[place], {back}[{place}], C)",
            ]
        return lines

    def _typed_definitions(self) -> list[str]:
        lines = []
        for line in self.coefficients.definitions():
            name, _, value = line.partition(" = ")
            lines.append(f"{name} = dtype({value})")
        return lines


def _axes_lines(name: str, arrays: Sequence[ArraySpec]) -> list[str]:
    lines = []
    for array in arrays:
        extents = "".join(f"{length_text(*axis)}, " for axis in array.axes)
        lines.append(f'        "{array.name}": ({extents.rstrip()}),  # {array.meaning}')
    return [f"    {name} = {{", *lines, "    }"]


def write(march: March) -> str:
    """The module's source."""
    return NumbaWriter(march).text()
