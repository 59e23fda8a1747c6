"""What the NumPy and mpmath back ends share: the skeleton of a module and the walk over the nodes."""

from __future__ import annotations

import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator

import sympy as sp
from dmft_sym.codegen.text.coefficient_text import class_name, integer_text, length_text, number_text, range_text
from dmft_sym.codegen.text.names import python_name
from dmft_sym.codegen.text.numpy_text import numpy_lines
from dmft_sym.codegen.text.wrapping import WIDTH, wrapped

from . import ir
from .coefficients import CoefficientTable


class LineStyle(ABC):
    """How a back end writes one node; ``factor`` is a coefficient as a prefix (``"c1 * "`` or empty)."""

    imports: tuple[str, ...] = ()
    dtype = "np.float64"
    exact = ""

    def matrix(self, ref: ir.Ref) -> str:
        """How lines name a matrix."""
        return matrix(ref)

    def convert(self, name: str) -> str:
        """A run-time number in the arithmetic of the module."""
        return f"dtype({name})"

    def numbers(self, name: str) -> str:
        """An array of run-time numbers in the arithmetic of the module."""
        return f"np.asarray({name}, dtype)"

    def class_numbers(self, name: str) -> str:
        """Those of all classes of sites, one after another."""
        return self.numbers(name)

    def finite(self, row: str) -> str:
        """Whether a row of a scalar is finite."""
        return f"np.all(np.isfinite({row}))"

    @abstractmethod
    def add_row(self, target: str, factor: str, source: str, static: bool) -> str: ...

    @abstractmethod
    def add_first_row(self, target: str, factor: str, source: str, static: bool) -> str: ...

    @abstractmethod
    def add_identity(self, target: str, factor: str, static: bool) -> str: ...

    @abstractmethod
    def start_kernel(self) -> str: ...

    @abstractmethod
    def add_kernel(self, factor: str, source: str | None, steps: str) -> str: ...

    @abstractmethod
    def add_product(self, target: str, source: str, static: bool) -> str: ...

    @abstractmethod
    def start_weight(self, static: bool) -> str: ...

    @abstractmethod
    def add_weight(self, factor: str, response: str, static: bool) -> str: ...

    @abstractmethod
    def add_covariance(self, factor: str, response: str, covariance: str, transposed: str, fresh: bool) -> str: ...

    @abstractmethod
    def add_correlation(self, target: str, source: str, static: bool) -> str: ...

    @abstractmethod
    def mirror(self, target: str, source: str) -> str | None: ...


class NodeWriter:
    """Writes nodes as indented lines of Python."""

    def __init__(self, style: LineStyle, coefficients: CoefficientTable) -> None:
        self.style = style
        self.coefficients = coefficients

    def lines(self, nodes: tuple[ir.Node, ...], indent: str) -> Iterator[str]:
        """Source lines of a block."""
        for node in nodes:
            if isinstance(node, ir.Statement | ir.Comment):
                yield f"{indent}# {node.text}"
            elif isinstance(node, ir.Loop | ir.Guard):
                body = list(self.lines(node.body, indent + "    "))
                # A back end may have nothing to do for what stands inside.
                if not all(line.lstrip().startswith("#") for line in body):
                    yield indent + block_head(node)
                yield from body
            else:
                line = self.line(node)
                if line is not None:
                    yield indent + line

    def line(self, node: ir.Node) -> str | None:
        """One elementary node; ``None`` if the back end has nothing to do for it."""
        style, at, factor = self.style, self.style.matrix, self.coefficients.factor
        match node:
            case ir.AddRow(target, coefficient, source):
                return style.add_row(at(target), factor(coefficient), at(source), target.array.static)
            case ir.AddFirstRow(target, coefficient, source):
                return style.add_first_row(at(target), factor(coefficient), at(source), target.array.static)
            case ir.AddIdentity(target, coefficient, retained):
                return style.add_identity(at(target), factor(coefficient, retained), target.array.static)
            case ir.StartKernel():
                return style.start_kernel()
            case ir.AddKernel(coefficient, source, steps, retained):
                row = None if source is None else at(source)
                return style.add_kernel(factor(coefficient, retained), row, steps)
            case ir.AddProduct(target, source):
                return style.add_product(at(target), at(source), source.array.static)
            case ir.StartWeight(static):
                return style.start_weight(static)
            case ir.AddWeight(coefficient, response, None):
                return style.add_weight(factor(coefficient), at(response), response.array.static)
            case ir.AddWeight(coefficient, response, ir.Ref() as covariance, ir.Ref() as transposed, fresh):
                names = at(response), at(covariance), at(transposed)
                return style.add_covariance(factor(coefficient), *names, fresh)
            case ir.AddCorrelation(target, source):
                return style.add_correlation(at(target), at(source), source.array.static)
            case ir.CopyTransposed(target, source):
                return style.mirror(at(target), at(source))
            case ir.AddNorm(target, coefficient, left, None):
                return f"{target} += {factor(coefficient)}np.trace({at(left)}[i, i])"
            case ir.AddNorm(target, coefficient, left, ir.Ref() as right):
                return f"{target} += {factor(coefficient)}np.sum({at(left)}[i, i] * {at(right)}[i, i])"
            case ir.SetScalar(target, function, per_step):
                return scalar_line(target, function, per_step)
        raise TypeError(f"no line for {type(node).__name__}")


def scalar_line(target: str, function: sp.Expr, per_step: tuple[str, ...]) -> str:
    """A function of scalars; the last one, the weight, is kept for every step."""
    if function == 0:
        return f"{target} = 0.0"
    names = {
        symbol: f"{symbol.name}[t]" if symbol.name in per_step else symbol.name for symbol in function.free_symbols
    }
    lines, (text,) = numpy_lines([function], names)
    assert not lines
    return f"{target}[t] = {text}"


def matrix(ref: ir.Ref) -> str:
    """``R_h_u_W[l - 1]``: the matrix at given layers; storage starts at the first layer of the range."""
    if not ref.layers:
        return ref.array.name
    places = [integer_text(layer - start) for layer, (start, _) in zip(ref.layers, ref.array.axes, strict=True)]
    return f"{ref.array.name}[{', '.join(places)}]"


def block_head(node: ir.Loop | ir.Guard) -> str:
    """The line that opens a block."""
    if isinstance(node, ir.Loop):
        return f"for {node.index} in {range_text(node.start, node.stop, node.descending)}:"
    return f"if {condition_text(node.condition)}:"


def condition_text(condition: sp.Basic) -> str:
    """A relation between layer indices as Python."""
    if isinstance(condition, sp.And):
        return " and ".join(sorted(condition_text(part) for part in condition.args))
    assert isinstance(condition, sp.Rel)
    return f"{integer_text(condition.lhs)} {condition.rel_op} {integer_text(condition.rhs)}"


def shape_text(array: ir.ArraySpec) -> str:
    """Shape of an array in terms of the module's local names."""
    axes = [length_text(start, stop) for start, stop in array.axes]
    return f"({', '.join([*axes, 'n', 'C' if array.static else 'n'])})"


class ModuleWriter:
    """A complete module: docstring, metadata, and a function ``march`` that is one loop over the steps."""

    def __init__(self, march: ir.March, style: LineStyle, backend: str) -> None:
        self.march = march
        self.style = style
        self.backend = backend
        self.coefficients = CoefficientTable(march, style.exact)
        self.nodes = NodeWriter(style, self.coefficients)

    def text(self) -> str:
        """The source."""
        body = list(self.nodes.lines(self.march.body, "        "))
        parts = [self._head(), labels_function(self.march), self._function(body)]
        return "\n\n\n".join(parts) + "\n"

    def _head(self) -> str:
        return "\n".join([docstring(self.march, self.backend), "", *self.style.imports])

    def _function(self, body: list[str]) -> str:
        arrays = [f"    {a.name} = np.zeros({shape_text(a)}, dtype)  # {a.meaning}" for a in self.march.arrays]
        # Write everything that names a coefficient before the definitions are listed.
        observables, scales = list(self._observables()), scale_lines(self.march, self.coefficients)
        weighing = list(self.nodes.lines(self.march.weighing, "        "))
        lines = [
            *signature(self.march, self.style.dtype),
            '    """March the closed equations; see the module docstring."""',
            *argument_checks(self.march, self.style.exact == "field"),
            "    C = outputs",
            "    n = steps * C",
            "    one = np.eye(C, dtype=dtype)",
            "    zero_row = np.zeros((C, n), dtype)",
            "    one_row = np.tile(one, steps)",
            "    same_step = np.kron(np.eye(steps, dtype=dtype), np.ones((C, C), dtype))",
            *(f"    {name} = {self.style.convert(name)}" for name in map(python_name, self.march.parameters)),
            *weight_lines(self.march, self.style.numbers),
            *class_lines(self.march, self.style.class_numbers),
            *kernel_table(self.march, self.style.exact),
            *(f"    {line}" for line in self.coefficients.definitions()),
            *arrays,
            *(f"    {o.name} = np.zeros((steps, C), dtype)" for o in self.march.observables),
            "    done = steps",
            "    for t in range(steps):",
            "        i = slice(t * C, (t + 1) * C)",
            f"        past = np.repeat(np.concatenate([{worth(self.march)}, np.zeros(steps - t, dtype)]), C)",
            *body,
            *weighing,
            *observables,
            "        if progress is not None:",
            "            progress(t + 1, steps)",
            "        if not (" + " and ".join(self.style.finite(f"{o.name}[t]") for o in self.march.observables) + "):",
            "            done = t",
            "            break",
            "    return {",
            '        "steps": done,',
            *(f'        "{o.name}": {o.name},' for o in self.march.observables),
            *(f'        "{a.name}": {a.name},' for a in self.march.arrays),
            *weight_entry(self.march),
            *scales,
            "    }",
        ]
        return "\n".join(lines)

    def _observables(self) -> Iterator[str]:
        for observable in self.march.observables:
            terms = [
                summed(f"{self.coefficients.factor(c)}{matrix(ref)}[i, i].diagonal()", sums)
                for c, ref, sums in observable.terms
            ]
            if observable.constant != 0:
                terms.append(self.coefficients.text(observable.constant))
            yield f"        # {observable.comment.text}"
            yield f"        {observable.name}[t] = {' + '.join(terms) or '0'}"


def summed(term: str, sums: Iterable[tuple[sp.Symbol, sp.Expr, sp.Expr]]) -> str:
    """A term, summed over its indices."""
    for index, start, stop in sums:
        term = f"sum({term} for {index} in {range_text(start, stop)})"
    return term


def signature(march: ir.March, dtype: str = "np.float64") -> list[str]:
    """``def march(...)`` with keyword-only arguments."""
    names = [python_name(s) for s in (*march.integers, *march.parameters)]
    names += [*march.given, *map(class_name, march.class_values)]
    return wrapped("def march(", ["*", "steps", "outputs", *names, f"dtype={dtype}", "progress=None"], "):")


def weight_lines(march: ir.March, numbers: Callable[[str], str]) -> list[str]:
    """Lines that take what is given at every step, and make room for the weights of increments if they are not."""
    lines = [f"    {name} = {numbers(name)}" for name in march.given]
    made = march.weight is not None and march.weight not in march.given
    return [*lines, f"    {march.weight} = np.zeros(steps, dtype)"] if made else lines


def class_lines(march: ir.March, numbers: Callable[[str], str]) -> list[str]:
    """Lines that take the numbers of classes, and count these."""
    names = map(class_name, march.class_values)
    sizes = [f"    {classes.size} = len({class_name(classes.share)})" for classes in march.classes]
    return [*(f"    {name} = {numbers(name)}" for name in names), *sizes]


def weight_entry(march: ir.March) -> list[str]:
    """The entry of the results that has the weights of increments."""
    return [] if march.weight is None else [f'        "{march.weight}": {march.weight},']


def worth(march: ir.March) -> str:
    """What increments of past steps are worth at step ``t``."""
    kernel = "kappa[t:0:-1]"
    return kernel if march.weight is None else f"{kernel} * {march.weight}[:t]"


def scale_lines(march: ir.March, coefficients: CoefficientTable) -> list[str]:
    """The entry of the results that says what the arrays are multiplied by."""
    scales = [f'"{e.array.name}": {coefficients.text(e.scale)}' for e in march.exports]
    return wrapped('"scales": {', scales, "},", "        ")


def argument_checks(march: ir.March, symbolic: bool = False) -> list[str]:
    """Lines that refuse arguments for which the arrays or the equations make no sense.

    Parameters
    ----------
    symbolic
        Whether parameters may be expressions, which have no sign.
    """
    counts = [("steps", 1), ("outputs", 1), *((python_name(s), march.smallest_depth) for s in march.integers)]
    lines = []
    for name, low in counts:
        lines += [
            f"    if not {name} >= {low}:",
            f'        raise ValueError(f"{name} = {{{name}!r}}: allowed is an integer >= {low}")',
        ]
    for symbol in () if symbolic else march.parameters:
        name = python_name(symbol)
        bound = "> 0" if symbol.is_positive else ">= 0" if symbol.is_nonnegative else None
        if bound is not None:
            lines += [
                f"    if not {name} {bound}:",
                f'        raise ValueError(f"{name} = {{{name}!r}}: allowed is a number {bound}")',
            ]
    return lines


def kernel_table(march: ir.March, exact: str = "") -> list[str]:
    """Lines that tabulate ``kappa(lag)`` and ``rho(t)`` by the optimizer's own recursion."""
    recursion, numbers = march.recursion, [f"    # {comment.text}" for comment in march.definitions]
    if recursion.plain:
        return [*numbers, "    kappa = np.ones(steps + 1, dtype)"]
    parts = (recursion.memory, recursion.keep, recursion.from_memory, recursion.first)
    memory, keep, start, first = (number_text(part, exact) for part in parts)
    # Elements of a field do not multiply arrays, arrays of one element do.
    one, lag, column = ("1:2", "lag:lag + 1", "[:, None]") if exact == "field" else ("1", "lag", "")
    kept = f"({keep}) ** np.arange(steps)"
    kept = f"({kept}){column}" if column else kept
    return [
        *numbers,
        "    kappa = np.zeros(steps + 1, dtype)  # response of the weights to one increment, by lag",
        f"    velocity, kappa[{one}] = {start}, {first}",
        "    for lag in range(2, steps + 1):",
        f"        velocity = ({memory}) * velocity",
        f"        kappa[{lag}] = ({keep}) * kappa[lag - 1] + velocity",
        f"    rho = {kept}  # what is left of the initial weights",
    ]


def docstring(march: ir.March, backend: str) -> str:
    """The module's docstring: network, program, arguments, results."""
    program = textwrap.indent(march.statements, "    ")
    arguments = ", ".join(
        [*map(python_name, (*march.integers, *march.parameters)), *map(class_name, march.class_values)]
    )
    decay = " With weight decay they are to the fields before it." if march.recursion.decays else ""
    about = textwrap.fill(
        f"``march(steps=..., outputs=C, {arguments})`` returns observables of shape (step, output) and two-time "
        "matrices over the joint index (step, output), step-major, with leading layer axes. Responses are with respect "
        "to the Gaussian fields normalised by the square root of the aspect ratio (``scales`` undoes it)."
        f"{decay} All quantities are dimensionless; time is counted in gradient steps.",
        WIDTH,
    )
    return f'''"""Mean-field equations of training: {march.title} ({backend} back end).

Written by dmft_sym.codegen from the closed equations; not meant to be edited. Lines stand below the numbers of the
equations that they compute, as `dmft-sym derive` prints them: (7.k) is number k of `theory.equations.closed`. The
program:

{program}

{about}
"""'''


def labels_function(march: ir.March) -> str:
    """Source of ``labels``: what the arrays are called and where their layer axes start."""
    names = ", ".join(python_name(s) for s in march.integers)
    lines = [
        f"def labels({f'*, {names}' if names else ''}):",
        '    """Order parameters by name: array, first layer of every axis, layer of arrays without an axis."""',
        "    return [",
    ]
    for export in march.exports:
        starts = "".join(f"{_start_text(axis, march)}, " for axis in export.array.axes)
        layer = "None" if export.layer is None else integer_text(export.layer)
        lines.append(f'        ("{export.name}", "{export.array.name}", ({starts.rstrip()}), {layer}),')
    return "\n".join([*lines, "    ]"])


def _start_text(axis: tuple[sp.Expr, sp.Expr], march: ir.March) -> str:
    """The first layer of an axis, or that it is one of classes."""
    start, stop = axis
    return '"class"' if any(stop.has(classes.size) for classes in march.classes) else integer_text(start)
