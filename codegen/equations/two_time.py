"""Single-site equations on given samples -> a direct two-time solver, row by row, responses by tangents.

`two_time_lower` turns the printed equations into nodes, `two_time_step` these into text. Both back ends have the same
text; what differs is the class of tangents, which are nearly all of the work. The solver has nothing in common with the
sampled solver (no directions, no conditioning of matrices), which is what it is for.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from dmft_sym.codegen.text.library_text import TWO_TIME, module_text
from dmft_sym.codegen.text.names import python_name
from dmft_sym.codegen.text.wrapping import WIDTH, wrapped
from sympy.core.function import AppliedUndef

from dmft_sym.derivation.pipeline import Pipeline
from dmft_sym.derivation.written_out import without_labels
from dmft_sym.program import OUTPUT, SAMPLE, ProgramError
from dmft_sym.program.validation import smallest_depth

from .two_time_lower import Lowering
from .two_time_scope import Scope
from .two_time_setup import SetupWriter
from .two_time_step import StepText
from .two_time_text import DOCSTRING, MARCH_DOCSTRING, SOLVE

KINDS = {"numpy": None, "numba": "CompiledTangents"}
"""Classes of tangents at sampled sites by back end, if not the plain one."""
STEP = "        "  # indentation of what is done at a step


def two_time_source(derivation: Pipeline, backend: str = "numpy", alone: bool = True) -> str:
    """Source of a module with ``march`` (one run) and ``solve`` (several, with standard errors).

    Parameters
    ----------
    alone
        Whether the module stands alone, with what it needs of the library; otherwise it imports the library.

    Raises
    ------
    ProgramError
        If a function is left open, or if the program has other labels than samples and outputs.
    """
    derivation = without_labels(derivation)
    _check(derivation)
    return _TwoTimeModule(derivation, KINDS[backend]).text(alone)


def _check(derivation: Pipeline) -> None:
    labels = derivation.program.labels
    if labels != (SAMPLE, OUTPUT):
        names = ", ".join(map(str, labels))
        raise ProgramError(f"labels {names}: allowed in a direct two-time solver are {SAMPLE}, {OUTPUT}")
    for function in derivation.program.functions:
        for free in function.expression.atoms(AppliedUndef):
            raise ProgramError(f"{function}: the function {free.func} is left open; numbers need a definite one")


class _TwoTimeModule:
    def __init__(self, derivation: Pipeline, kind: str | None) -> None:
        self.scope = Scope(derivation, kind)

    def text(self, alone: bool) -> str:
        """The module."""
        arguments = ", ".join(python_name(s) for s in self.scope.parameters)
        head = DOCSTRING.format(
            title=self.scope.program.name,
            program=textwrap.indent(str(self.scope.program), "    "),
            arguments=arguments,
            closures=textwrap.indent("\n".join(self._closures()), "    "),
            train="``train`` is 1 for samples that are trained on and 0 for others. " if self.scope.masked else "",
        )
        own = "\n\n".join([self._march(), SOLVE.strip() + "\n"])
        return module_text(head, own.rstrip("\n"), alone, TWO_TIME, ["overlap"])

    def _closures(self) -> Iterator[str]:
        for closure in self.scope.derivation.closures:
            names = ", ".join(field.name for field in closure.process.fields)
            how = "linear: matrix algebra, exact" if closure.gaussian else "sampled"
            how += ", responses by parts" if closure.by_parts else ""
            yield f"space {closure.space}, fields {names}: {how}"

    def _march(self) -> str:
        given = [
            "gram",
            *[*self.scope.grams.values()][1:],
            "targets",
            *(["train"] if self.scope.masked else []),
            *map(python_name, self.scope.parameters),
        ]
        given += map(self.scope.names.of, self.scope.given_anew)
        options = ["tangents=True", "progress=None", "inspect=None"]
        lines = [
            *wrapped("def march(", ["rng", "*", "steps", "sites", *given, *options], "):"),
            textwrap.indent(MARCH_DOCSTRING, "    "),
            f"    gram, targets, samples, outputs = checked(steps, sites, gram, targets{self._inputs()})",
            *(f"    {line}" for line in self._checks()),
            *(f"    {line}" for line in SetupWriter(self.scope).lines()),
            f"    fields = {{{', '.join(self._fields())}}}",
            "    done, limit = steps, np.inf",
            "    for t in range(steps):",
            f"{STEP}lag = kappa[t:0:-1, None, None]  # kappa(t - s) for s = 0, ..., t - 1",
            *StepText(self.scope.symbols).lines(tuple(Lowering(self.scope).step()), STEP),
            f"{STEP}largest = largest_of(t, [{self._scalar_arrays()}])",
            f"{STEP}limit = DIVERGENCE * largest if t == 0 and largest > 0 else limit",
            f"{STEP}if not largest <= limit or not np.isfinite(largest) or not bounded(t, fields):",
            f"{STEP}    done = t  # diverged",
            f"{STEP}    break",
            f"{STEP}if inspect is not None:",
            f"{STEP}    inspect(t, fields)",
            f"{STEP}if progress is not None:",
            f"{STEP}    progress(t + 1)",
            *self._result(),
        ]
        return "\n".join(lines) + "\n"

    def _inputs(self) -> str:
        """How many inputs a sample has, if it has several."""
        count = self.scope.inputs_of_a_sample
        return f", {count}" if count > 1 else ""

    def _fields(self) -> Iterator[str]:
        for closure in self.scope.derivation.closures:
            for field in closure.process.fields:
                yield f'"{field.name}": {self.scope.names.of(field)}'

    def _checks(self) -> Iterator[str]:
        for symbol in self.scope.parameters:
            name = python_name(symbol)
            if symbol.is_integer:
                low = smallest_depth(self.scope.program)
                yield f"if not {name} >= {low}:"
                yield f'    raise ValueError(f"{name} = {{{name}!r}}: allowed is an integer >= {low}")'

    def _result(self) -> list[str]:
        names = self.scope.names
        kinds = [kind for closure in self.scope.derivation.closures for kind in closure.responses]
        scalars = ", ".join(f'"{scalar.name}": {names.of(scalar)}' for scalar in self.scope.scalars)
        pairs = [f'"{k.row.name}, {k.noise.name}": ({names.of(k.row)}, {names.of(k.noise)})' for k in kinds]
        parts = ["done", f"{{{scalars}}}", "fields", f"{{{', '.join(pairs)}}}"]
        return wrapped("return results(", parts, ")", "    ", WIDTH)

    def _scalar_arrays(self) -> str:
        parts = []
        for scalar in self.scope.scalars:
            name = self.scope.names.of(scalar)
            parts.append(name if scalar.layers is None else f"*{name}.values()")
        return ", ".join(parts)
