"""IR -> Numba: one line a node, written down once as a table, which compiled kernels of the library go through.

The module says what one step does (``_Step``); the kernels do it at every step, with triangles, compressed history and
threads, and are the same for all networks (``codegen/library/numba_*.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import sympy as sp
from dmft_sym.codegen.text.coefficient_text import integer_text, length_text, range_text
from dmft_sym.codegen.text.library_text import module_text
from dmft_sym.codegen.text.wrapping import wrapped

from .coefficients import CoefficientTable
from .ir import AddIdentity, AddKernel, AddNorm, ArraySpec, Guard, Loop, March, Node, Ref, Statement
from .numpy_backend import NumpyStyle
from .python_text import (
    LineStyle,
    NodeWriter,
    argument_checks,
    class_lines,
    docstring,
    kernel_table,
    labels_function,
    scale_lines,
    signature,
    weight_entry,
    weight_lines,
)


class NumbaStyle(LineStyle):
    """One call a node; matrices are numbers."""

    def matrix(self, ref: Ref) -> str:
        return _place(ref)

    def add_row(self, target: str, factor: str, source: str, static: bool) -> str:
        return _call("add_row", target, _number(factor), source, static=static)

    def add_first_row(self, target: str, factor: str, source: str, static: bool) -> str:
        return _call("add_first_row", target, _number(factor), source, static=static)

    def add_identity(self, target: str, factor: str, static: bool) -> str:
        return _call("add_identity", target, _number(factor), static=static)

    def start_kernel(self) -> str:
        return _call("start_kernel")

    def add_kernel(self, factor: str, source: str | None, steps: str) -> str:
        if source is None:
            return _call("add_kernel_identity", _number(factor))
        name = {"past": "add_kernel_past", "now": "add_kernel_now", "causal": "add_kernel"}[steps]
        return _call(name, _number(factor), source)

    def add_product(self, target: str, source: str, static: bool) -> str:
        return _call("add_product", target, source, static=static)

    def start_weight(self, static: bool) -> str:
        return _call("start_weight")

    def add_weight(self, factor: str, response: str, static: bool) -> str:
        return _call("add_weight", _number(factor), response, static=static)

    def add_covariance(self, factor: str, response: str, covariance: str, transposed: str, fresh: bool) -> str:
        if fresh:
            return _call("add_fresh_covariance", _number(factor), response, covariance)
        return _call("add_covariance", _number(factor), response, covariance, transposed)

    def add_correlation(self, target: str, source: str, static: bool) -> str:
        return _call("add_correlation", target, source, static=static)

    def mirror(self, target: str, source: str) -> str | None:
        return None if target == source else _call("mirror", target, source)


def _call(name: str, *arguments: str, static: bool = False) -> str:
    """A line of the step."""
    return f"step.{name}({', '.join([*arguments, *(['static=True'] if static else [])])})"


def _number(factor: str) -> str:
    """The factor of a line as an argument: ``"c1 * "`` is ``c1``, the empty one is ``1``."""
    return factor.removesuffix(" * ") or "1"


def _extent(axis: tuple[sp.Expr, sp.Expr]) -> str:
    """Number of layers of an axis, as far as it is not negative."""
    start, stop = axis
    return integer_text(stop - start + 1)


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
    """Nodes as lines of a step; statements begin below their comments."""

    def lines(self, nodes: tuple[Node, ...], indent: str) -> Iterator[str]:
        """Source lines of a block."""
        for node in nodes:
            yield from super().lines((node,), indent)
            if isinstance(node, Statement):
                yield f"{indent}step.begin()"

    def line(self, node: Node) -> str | None:
        """One elementary node; what is left of the initial weights is known to the march alone."""
        if isinstance(node, AddIdentity | AddKernel) and node.retained:
            line = super().line(replace(node, retained=False))
            assert line is not None
            return f"{line.removesuffix(')')}, retained=True)"
        return super().line(node)


class NumbaWriter:
    """A module with ``march``, which writes a step down and has it done."""

    def __init__(self, march: March) -> None:
        self.march = march
        self.coefficients = CoefficientTable(march)
        self.nodes = NumbaNodes(NumbaStyle(), self.coefficients)

    def text(self, alone: bool) -> str:
        """The source, standing alone or with the library imported."""
        own = "\n\n\n".join([labels_function(self.march), self._march()])
        return module_text(docstring(self.march, "numba"), own, alone)

    def _march(self) -> str:
        # Coefficients get their names when they are first written.
        body = [*self.nodes.lines(self.march.body, "    "), *self._observables()]
        scales = scale_lines(self.march, self.coefficients)
        weighing = [f"    {line}" for line in self._weighing()]
        weights = [] if self.march.weight is None else [self.march.weight]
        weights += ["weigh"] if weighing else []
        rho = "np.ones(steps, dtype)" if self.march.recursion.plain else "rho.astype(dtype)"
        return "\n".join(
            [
                *signature(self.march),
                '    """March the closed equations; see the module docstring."""',
                *argument_checks(self.march),
                *kernel_table(self.march),
                f"    rho = {rho}",
                *(f"    {name} = dtype({name})" for name in self.coefficients.symbols()),
                *(f"    {line}" for line in self._definitions()),
                *weight_lines(self.march, self.nodes.style.numbers),
                *class_lines(self.march, self.nodes.style.numbers),
                "    step = _Step(steps, outputs, dtype)",
                *(f"    {line}" for line in self._arrays()),
                *body,
                *weighing,
                "    return {",
                f"        **step.march({', '.join(['kappa', 'rho', 'progress', *weights])}),",
                *weight_entry(self.march),
                *scales,
                "    }",
            ]
        )

    def _weighing(self) -> Iterator[str]:
        """A function that computes the weight of a step when its rows are done: once a step, so that NumPy will do."""
        if not self.march.weighing:
            return
        nodes = NodeWriter(NumpyStyle(), self.coefficients)
        yield "def weigh(t, arrays):"
        yield "    i = slice(t * outputs, (t + 1) * outputs)"
        for name in dict.fromkeys(_arrays_of(self.march.weighing)):
            yield f'    {name} = arrays["{name}"]'
        yield from nodes.lines(self.march.weighing, "    ")

    def _definitions(self) -> Iterator[str]:
        for line in self.coefficients.definitions():
            name, _, value = line.partition(" = ")
            yield f"{name} = dtype({value})"

    def _arrays(self) -> Iterator[str]:
        for array in self.march.arrays:
            yield f"{array.name} = step.{_declaration(array)}  # {array.meaning}"

    def _observables(self) -> Iterator[str]:
        for observable in self.march.observables:
            terms = [
                _listed(f"({_number(self.coefficients.factor(c))}, {_place(ref)})", sums)
                for c, ref, sums in observable.terms
            ]
            yield f"    # {observable.comment.text}"
            constant = "0" if observable.constant == 0 else self.coefficients.text(observable.constant)
            yield from wrapped("step.observe(", [f'"{observable.name}"', constant, *terms], ")", "    ")


def _listed(term: str, sums: Iterable[tuple[sp.Symbol, sp.Expr, sp.Expr]]) -> str:
    """A term of an observable, or one for every value of its indices."""
    loops = " ".join(f"for {index} in {range_text(start, stop)}" for index, start, stop in sums)
    return f"*({term} {loops})" if loops else term


def _arrays_of(nodes: Iterable[Node]) -> Iterator[str]:
    """Names of the arrays that norms are made of."""
    for node in nodes:
        if isinstance(node, Loop | Guard):
            yield from _arrays_of(node.body)
        elif isinstance(node, AddNorm):
            yield from (ref.array.name for ref in (node.left, node.right) if ref is not None)


def _declaration(array: ArraySpec) -> str:
    """The call that declares an array."""
    kind = "static_response" if array.static else "response" if array.causal else "correlation"
    arguments = [f'"{array.name}"', *(_extent(axis) for axis in array.axes)]
    if not array.causal and array.mirror != array.name:
        arguments.append(f'transposed="{array.mirror}"')
    return f"{kind}({', '.join(arguments)})"


def write(march: March, alone: bool = True) -> str:
    """The module's source, standing alone or with the library imported."""
    return NumbaWriter(march).text(alone)
