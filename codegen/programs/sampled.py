"""Program -> a module that trains the infinite network on sampled sites, one replica a call.

The statements of the program become two plain functions, ``_fields`` and ``_update``, a few lines for each statement.
What these call is compiled: the program's own site-wise functions, averages and functions of scalars, and kernels that
every module has, skinny products (``sampled_products.txt``) and Gaussian matrices that are known on directions alone
(``sampled_directions.txt``). They are called from plain Python and not from one compiled function around them, because
Numba compiles what a function calls once more with the function. A call takes some microseconds; it does the work of
all sites. Depth, samples and outputs are arguments: scans stay loops.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from importlib import resources
from string import Template

from dmft_sym.codegen.library.library_text import library_text

from dmft_sym.program import Program

from .sampled_functions import Functions
from .sampled_places import DeclaredPlaces, Numbers
from .sampled_statements import StatementWriter
from .sampled_tables import TableWriter, function_text

IMPORTS = """\
import itertools
import math
from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import intrinsic"""
_INDENT = "    "


def write(program: Program) -> str:
    """The module's source.

    Parameters
    ----------
    program
        One training step of a network on given samples, without free functions.

    Raises
    ------
    ProgramError
        If the program has what a sampled solver cannot run; the message names it.
    """
    return _SampledModule(program).text()


class _SampledModule:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.places = DeclaredPlaces(program)
        self.numbers = Numbers(self.places)
        self.functions = Functions(self.places.labels)
        self.statements = StatementWriter(self.places, self.numbers, self.functions)
        self.tables = TableWriter(self.places, self.numbers)

    def text(self) -> str:
        """The source."""
        # Functions and coefficients get their names when they are first written.
        fields, updates = self.statements.fields(), self.statements.updates()
        first_uses, sides = self.tables.first_uses(self.statements.first_uses()), self.tables.sides()
        library = self.functions.library
        parts = [
            "\n".join([self._docstring(), "", IMPORTS]),
            self._constants(),
            *([library_text(library)] if library else []),
            _library("products"),
            self.places.labels.gather(),
            _library("directions"),
            *self.functions.texts(),
            *self.tables.layout(),
            *self.tables.numbers_text(),
            *self.tables.scalars(),
            sides,
            first_uses,
            self.tables.contents(),
            self._step("_fields", "Fields and scalars of step t.", fields),
            self._step("_update", "Change the weights at the end of step t.", updates),
            Template(_optional(_library("replica"), self.program.optimizer.recursion.mixed)).substitute(
                self.places.labels.marks()
            ),
            self._run(),
        ]
        return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"

    def _docstring(self) -> str:
        program = textwrap.indent(str(self.program), _INDENT)
        call = f"run(stream, steps=T, sites=S, tol=0.01, outputs=C, {', '.join(f'{k}=..' for k in self._keywords())})"
        call = textwrap.fill(call, 110, initial_indent=_INDENT, subsequent_indent=_INDENT * 2)
        return f'''"""Infinite-width training on sampled sites: {self.program.name}.

Written by dmft_sym.codegen from the program of one training step; not meant to be edited. The program:

{program}

Fields are vectors of S sites, averages are means over sites, and Gaussian matrices are known on the directions that
they were applied to (see below). This is the limit of infinite width (arXiv:2205.09653) with fluctuations of
O(1/sqrt(S)). They differ from replica to replica, and one call of

{call}

trains one. All quantities are dimensionless; time is counted in gradient steps.
"""'''

    def _constants(self) -> str:
        parameters = ", ".join(f'"{s.name}": "{name}"' for s, name in self.places.parameters.items())
        data = ", ".join(f'"{name}": "{keyword}"' for name, keyword in self._data().items())
        computed = ", ".join(f'"{self.places.attribute(s)}"' for s in self.places.computed)
        return "\n".join(
            [
                "# What `run` calls the symbols of the program, and what is given.",
                f"PARAMETERS = {{{parameters}}}",
                f"DATA = {{{data}}}",
                f"_COMPUTED = [{computed}]  # scalars that are reported",
                f'_SAMPLES = "{self.places.input.name}"',
                f"_SHARES = {self.statements.shares}  # most softmaxes of a statement",
                f"_MOMENTUM = {self.program.optimizer.recursion.has_memory}",
            ]
        )

    def _data(self) -> dict[str, str]:
        return {self.places.input.name: "inputs", **{s.name: self.places.keyword(s) for s in self.places.given}}

    def _keywords(self) -> list[str]:
        return [*self._data().values(), *self.places.parameters.values()]

    def _step(self, name: str, meaning: str, body: Sequence[str]) -> str:
        arguments = ["t", "replica", "at", "numbers", "scalars", *self.places.integer_names]
        start = ["M, C, n = replica.M, replica.C, replica.S", "fields, line = replica.fields, replica.line"]
        return function_text(name, arguments, meaning, [*start, *body])

    def _run(self) -> str:
        integers = ", ".join(["M", "C", *self.places.integer_names])
        numbers = ", ".join(["C", *self.places.parameters.values()])
        given = ", ".join(f'"{name}": {name}' for name in map(self.places.keyword, self.places.given))
        counts = "".join(f", {name}=({name}, {low})" for name, low in self.places.lowest.items())
        sizes = ", ".join(["C", *self.places.labels.sizes(self.places.labels.given)])
        lines = [
            f"_check(steps=(steps, 1), sites=(sites, 2), outputs=(outputs, 1){counts})",
            "if antithetic and sites % 2:",
            '    raise ValueError(f"sites = {sites}: allowed is an even number")',
            "inputs, C = np.ascontiguousarray(inputs, dtype=np.float64), outputs",
            f"M = {self.places.labels.samples}",
            f"at, numbers = _layout({integers}), _numbers({numbers})",
            f"scalars = _scalars(steps, {{{given}}}, {integers})",
            f"replica = Replica(stream, sites, tol, antithetic, {sizes}, inputs, at, *_sides(at, numbers, {integers}))",
            f"_begin(replica, *_first_uses(at, numbers, {integers}))",
            f"integers = ({''.join(f'{name}, ' for name in self.places.integer_names).strip()})",
            'with np.errstate(all="ignore"):  # a run that diverges is ended',
            "    done, directions = _walk(replica, steps, at, numbers, scalars, integers, pauses, inspect, progress)",
            f"matrices = _contents(at, {integers})[1]",
            "return {",
            '    "steps": done,',
            '    "scalars": {',
            *(f"        {line}," for line in self.tables.results()),
            "    },",
            '    "directions": {key: directions[:done, 2 * m : 2 * m + 2] for key, m in matrices.items()},',
            "}",
        ]
        keywords = ", ".join(self._keywords())
        options = "antithetic=True, pauses=(), inspect=None, progress=None"
        arguments = f"\n    stream, *, steps, sites, tol, outputs, {keywords},\n    {options}\n"
        return function_text("run", [arguments], self._run_meaning(), lines)

    def _run_meaning(self) -> str:
        given = [f"{self.places.keyword(s)}: shape ({', '.join(map(str, s.axes))})" for s in self.places.given]
        shapes = [
            f"{s.name}, shape ({', '.join(['step', *(['layer'] if s.layers else []), *map(str, s.axes)])})"
            for s in self.places.computed
        ]
        symbols = ", ".join(self.places.parameters.values())
        rows = " * ".join(f"{label}s" for label in self.places.labels.inputs)
        return f"""Train one replica.

    stream: numpy.random.Generator
    steps, sites, outputs: how many; an even number of sites if they are paired (antithetic)
    tol: directions shorter than this, in units of the largest norm that a field has had, are dropped
    inputs: shape ({rows}, rank), coordinates of the samples with dot products x_mu . x_nu / D
    {(chr(10) + _INDENT).join(given)}
    {symbols}: symbols of the program
    antithetic: whether sites i and i + S/2 share the Gaussian fields of forward products, and have opposite ones of
        transposed products and random vectors
    pauses, inspect: steps at which inspect is called with a dict of what there is, when the fields of a step are
        computed and before its updates: "step", "fields" by (name, layer), "matrices" by (name, layer), see `_shown`
    progress: called with the number of finished steps after each

    Returns a dict: "steps", the number of those done, fewer than asked for if a scalar is not finite or has become 1e12
    times the largest first one; "directions", by (name, layer) of a matrix: how many it, and its transpose, are known
    on, shape (step, 2); and "scalars" of these steps:

    {(chr(10) + _INDENT).join(shapes)}
    """


def _optional(text: str, kept: bool) -> str:
    """Text with what stands in ``<< >>``, or without it."""
    return re.sub(r"<<(.*?)>>", r"\1" if kept else "", text, flags=re.DOTALL)


def _library(name: str) -> str:
    """A part that all modules have."""
    return resources.files("dmft_sym.codegen.library").joinpath(f"sampled_{name}.txt").read_text(encoding="utf-8")
