"""IR -> Numba: the same rows as the NumPy back end, with kernels that use triangles and threads."""

from __future__ import annotations

from importlib import resources

from .coefficients import CoefficientTable
from .ir import March
from .names import python_name
from .python_text import (
    LineStyle,
    NodeWriter,
    docstring,
    kernel_table,
    labels_function,
    matrix,
    shape_text,
    signature,
)


class NumbaStyle(LineStyle):
    """One kernel call a node."""

    def add_row(self, target: str, factor: str, source: str, static: bool) -> str:
        return f"_add_row({target}, {_number(factor)}, {source}, lo, hi)"

    def add_identity(self, target: str, factor: str, static: bool) -> str:
        return f"_add_identity({target}, {_number(factor)}, lo, hi)"

    def start_kernel(self) -> str:
        return "_zero(A, hi)"

    def add_kernel(self, factor: str, source: str | None, steps: str) -> str:
        if source is None:
            return f"_add_kernel_identity(A, {_number(factor)}, kappa, lo, hi)"
        if steps == "past":
            return f"_add_kernel_past(A, {_number(factor)}, {source}, kappa, lo, hi)"
        name = "_add_kernel_now" if steps == "now" else "_add_kernel"
        return f"{name}(A, {_number(factor)}, {source}, lo, hi)"

    def add_product(self, target: str, source: str, static: bool) -> str:
        if static:
            return f"_product_static({target}, A, {source}, lo, hi)"
        return f"_product({target}, A, {source}, lo, hi, threads)"

    def start_weight(self, static: bool) -> str:
        return "_zero(W, hi)"

    def add_weight(self, factor: str, response: str, static: bool) -> str:
        return f"_add_weight(W, {_number(factor)}, {response}, lo, hi)"

    def add_covariance(self, factor: str, response: str, covariance: str, transposed: str, fresh: bool) -> str:
        if fresh:
            return f"_add_covariance_fresh(W, {_number(factor)}, {response}, {covariance}, lo, hi)"
        matrices = f"{response}, {covariance}, {transposed}"
        return f"_add_covariance(W, {_number(factor)}, {matrices}, lo, hi, threads, x, buffer)"

    def add_correlation(self, target: str, source: str, static: bool) -> str:
        if static:
            return f"_add_correlation_static({target}, W, {source}, lo, hi)"
        return f"_add_correlation({target}, W, {source}, lo, hi, threads)"

    def mirror(self, target: str, source: str) -> str | None:
        return None if target == source else f"_mirror({target}, {source}, lo, hi)"


def _number(factor: str) -> str:
    """The factor of a line as an argument: ``"c1 * "`` is ``c1``, the empty one is ``1.0``."""
    number = factor.removesuffix(" * ") or "1"
    return f"{number}.0" if number.strip("()-").isdigit() and not number.endswith(")") else number


class NumbaWriter:
    """A module with the kernels, a compiled ``_advance`` over a range of steps, and ``march`` around it."""

    def __init__(self, march: March) -> None:
        self.march = march
        self.coefficients = CoefficientTable(march)
        self.nodes = NodeWriter(NumbaStyle(), self.coefficients)
        self._passed = ""

    def text(self) -> str:
        """The source."""
        advance = self._advance()
        kernels = resources.files(__package__).joinpath("numba_kernels.txt").read_text(encoding="utf-8").strip()
        head = "\n".join(
            [
                docstring(self.march, "numba"),
                "",
                "import numba as nb",
                "import numpy as np",
                "from numba import njit, prange",
            ]
        )
        return "\n\n\n".join([head, kernels, advance, labels_function(self.march), self._march()]) + "\n"

    def _arguments(self) -> list[str]:
        integers = [python_name(s) for s in self.march.integers]
        numbers = [*self.coefficients.symbols(), *self.coefficients.names()]
        arrays = [a.name for a in self.march.arrays]
        observables = [o.name for o in self.march.observables]
        return [*integers, *numbers, *arrays, *observables]

    def _advance(self) -> str:
        body = list(self.nodes.lines(self.march.body, "        "))
        observables = list(self._observables())
        finite = " and ".join(f"np.all(np.isfinite({o.name}[t]))" for o in self.march.observables)
        arguments = ", ".join(["first", "last", "C", "threads", "kappa", "rho", "A", "W", "x", "buffer"])
        self._passed = ", ".join(self._arguments())
        return "\n".join(
            [
                "@njit(cache=True)",
                f"def _advance({arguments}, {self._passed}):",
                '    """Rows first..last of every order parameter; the first step that is not finite, or last."""',
                "    for t in range(first, last):",
                "        lo, hi = t * C, (t + 1) * C",
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
            terms = [f"{self.coefficients.factor(c)}{matrix(ref)}[lo + c, lo + c]" for c, ref in observable.terms]
            if observable.constant != 0:
                terms.append(self.coefficients.text(observable.constant))
            lines += ["        for c in range(C):", f"            {observable.name}[t, c] = {' + '.join(terms) or '0'}"]
        return lines

    def _march(self) -> str:
        scales = ", ".join(f'"{e.array.name}": {self.coefficients.text(e.scale)}' for e in self.march.exports)
        results = [*(o.name for o in self.march.observables), *(a.name for a in self.march.arrays)]
        plain = self.march.momentum == 0 and self.march.decay == 0
        return "\n".join(
            [
                signature(self.march),
                '    """March the closed equations; see the module docstring."""',
                "    C = outputs",
                "    n = steps * C",
                "    threads = nb.get_num_threads()",
                "    A, W, x = np.zeros((3, C, n), dtype)",
                "    buffer = np.zeros((threads, C, n), dtype)",
                *kernel_table(self.march),
                *(["    rho = np.ones(steps, dtype)"] if plain else ["    rho = rho.astype(dtype)"]),
                *(f"    {name} = dtype({name})" for name in self.coefficients.symbols()),
                *(f"    {line}" for line in self._typed_definitions()),
                *(f"    {a.name} = np.zeros({shape_text(a)}, dtype)  # {a.meaning}" for a in self.march.arrays),
                *(f"    {o.name} = np.zeros((steps, C), dtype)" for o in self.march.observables),
                "    done = 0",
                "    while done < steps:",
                "        last = steps if progress is None else min(steps, done + max(1, 20_000 // (done + 20)))",
                f"        reached = _advance(done, last, C, threads, kappa, rho, A, W, x, buffer, {self._passed})",
                "        done = reached",
                "        if progress is not None:",
                "            progress(done, steps)",
                "        if reached < last:",
                "            break",
                *self._uppers(),
                "    return {",
                '        "steps": done,',
                *(f'        "{name}": {name},' for name in results),
                f'        "scales": {{{scales}}},',
                "    }",
            ]
        )

    def _uppers(self) -> list[str]:
        """Lines that complete the correlations once the march is over."""
        lines = []
        for array in self.march.arrays:
            if array.causal:
                continue
            axes = len(array.axes)
            if axes == 0:
                lines.append(f"    _fill_upper({array.name}, {array.mirror}, C)")
                continue
            back = "place[::-1]" if axes == 2 else "place"
            lines += [
                f"    for place in np.ndindex({array.name}.shape[:{axes}]):",
                f"        _fill_upper({array.name}[place], {array.mirror}[{back}], C)",
            ]
        return lines

    def _typed_definitions(self) -> list[str]:
        lines = []
        for line in self.coefficients.definitions():
            name, _, value = line.partition(" = ")
            lines.append(f"{name} = dtype({value})")
        return lines


def write(march: March) -> str:
    """The module's source."""
    return NumbaWriter(march).text()
