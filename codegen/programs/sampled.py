"""Program -> a module that trains the infinite network on sampled sites, one replica a call.

The statements of the program become two plain functions, ``_fields`` and ``_update``, a few lines for each statement.
What these call is compiled: the program's own site-wise functions, averages and functions of scalars, and the kernels
of the library, which are those of all modules: skinny products (``sampled_products``) and Gaussian matrices that are
known on directions alone (``sampled_directions``), of a replica (``sampled_replica``). They are called from plain
Python and not from one compiled function around them, because Numba compiles what a function calls once more with the
function. A call takes some microseconds; it does the work of all sites. Depth, samples and outputs are arguments: scans
stay loops.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from dmft_sym.codegen.text.library_text import module_text
from dmft_sym.codegen.text.wrapping import WIDTH, wrapped

from dmft_sym.program import ONE, Program, ProgramError

from .sampled_functions import Functions
from .sampled_places import DeclaredPlaces, Numbers
from .sampled_statements import StatementWriter
from .sampled_tables import TableWriter, function_text

_INDENT = "    "
_FIELDS = "n, fields, line = replica.S, replica.fields, replica.line"


def write(program: Program, alone: bool = True) -> str:
    """The module's source.

    Parameters
    ----------
    program
        One training step of a network on given samples, without free functions.
    alone
        Whether the module stands alone, with what it needs of the library; otherwise it imports the library.

    Raises
    ------
    ProgramError
        If the program has what a sampled solver cannot run; the message names it.
    """
    if program.has_norms:
        raise ProgramError("norms of gradients: allowed is backend = 'numpy', which runs the program itself")
    return _SampledModule(program).text(alone)


class _SampledModule:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.places = DeclaredPlaces(program)
        self.numbers = Numbers(self.places)
        self.functions = Functions(self.places.labels)
        self.statements = StatementWriter(self.places, self.numbers, self.functions)
        self.tables = TableWriter(self.places, self.numbers)

    def text(self, alone: bool) -> str:
        """The source."""
        # Functions and coefficients get their names when they are first written.
        fields, updates = self.statements.fields(), self.statements.updates()
        first_uses, sides = self.tables.first_uses(self.statements.first_uses()), self.tables.sides()
        parts = [
            self._constants(),
            *self.functions.texts(),
            *self.tables.layout(),
            *self.tables.numbers_text(),
            *self.tables.scalars(),
            sides,
            first_uses,
            self.tables.contents(),
            self._step("_fields", "Fields and scalars of step t.", [_FIELDS, *fields]),
            self._step("_update", "Change the weights at the end of step t.", updates),
            self._run(),
        ]
        return module_text(self._docstring(), "\n\n\n".join(part.strip("\n") for part in parts), alone)

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
        return "\n".join(
            [
                "# What `run` calls the symbols of the program, and what is given.",
                f"PARAMETERS = {{{parameters}}}",
                f"DATA = {{{data}}}",
            ]
        )

    def _data(self) -> dict[str, str]:
        given = [field for field in self.places.inputs if field != ONE]
        inputs = {field.name: f"inputs_{field.name}" if number else "inputs" for number, field in enumerate(given)}
        return {**inputs, **{s.name: self.places.keyword(s) for s in self.places.given}}

    def _keywords(self) -> list[str]:
        return [*self._data().values(), *self.places.parameters.values()]

    def _step(self, name: str, meaning: str, body: Sequence[str]) -> str:
        arguments = ["t", "replica", "at", "numbers", "scalars", *self.tables.sizes]
        return function_text(name, arguments, meaning, body)

    def _run(self) -> str:
        sizes = ", ".join(self.tables.sizes)
        numbers = ", ".join(["C", *self.places.parameters.values()])
        given = ", ".join(f'"{name}": {name}' for name in map(self.places.keyword, self.places.given))
        counts = [f"{name}=({name}, {low})" for name, low in self.places.lowest.items()]
        computed = ", ".join(f"scalars.{self.places.attribute(s)}" for s in self.places.computed)
        options = [f"momentum={self.program.optimizer.recursion.has_memory}", f"shares={self.statements.shares}"]
        replica = ["stream", "sites", "tol", "antithetic", "labels", "inputs", "at", "deviation", "learns", *options]
        walk = ["replica", "steps", "_fields", "_update", f"(replica, at, numbers, scalars, {sizes})", f"[{computed}]"]
        seen = ["contents", "pauses=pauses", "inspect=inspect", "progress=progress"]
        lines = [
            *wrapped("_check(", ["steps=(steps, 1)", "sites=(sites, 2)", "outputs=(outputs, 1)", *counts], ")"),
            "if antithetic and sites % 2:",
            '    raise ValueError(f"sites = {sites}: allowed is an even number")',
            f"M, C = {self.places.labels.samples}, outputs",
            f"at, numbers = _layout({sizes}), _numbers({numbers})",
            f"scalars = _scalars(steps, {{{given}}}, {sizes})",
            *wrapped("labels = _Labels(", self.places.labels.declaration(), ")"),
            "inputs = [",
            *(f"{_INDENT}{line}" for line in self._inputs()),
            "]",
            f"deviation, learns = _sides(at, numbers, {sizes})",
            *wrapped("replica = _Replica(", replica, ")", width=WIDTH - 4),
            f"_begin(replica, *_first_uses(at, numbers, {sizes}))",
            f"contents = _contents(at, scalars, {sizes})",
            'with np.errstate(all="ignore"):  # a run that diverges is ended',
            *wrapped("done, directions = _walk(", [*walk, *seen], ")", _INDENT, WIDTH - 4),
            "return {",
            '    "steps": done,',
            '    "scalars": {',
            *(f"        {line}," for line in self.tables.results()),
            "    },",
            '    "directions": {key: directions[:done, 2 * m : 2 * m + 2] for key, m in contents.matrices.items()},',
            "}",
        ]
        arguments = ["stream", "*", "steps", "sites", "tol", "outputs", *self._keywords()]
        options = ["antithetic=True", "pauses=()", "inspect=None", "progress=None"]
        return function_text("run", [*arguments, *options], self._run_meaning(), lines)

    def _inputs(self) -> Iterator[str]:
        """What is given, with the number of matrices from it."""
        keywords, labels = self._data(), self.places.labels
        for given, count in zip(self.places.inputs, self.places.counts, strict=True):
            array = "np.ones((1, 1))" if given == ONE else f"np.ascontiguousarray({keywords[given.name]}, np.float64)"
            yield from wrapped(
                "_Inputs(", [f'"{given.name}"', array, f"({labels.steps(given.axes)})", f"at.{count}"], "),"
            )

    def _run_meaning(self) -> str:
        given = [
            f"{self.places.keyword(s)}: shape ({', '.join([*(['step'] if s.fresh else []), *map(str, s.axes)])})"
            for s in self.places.given
        ]
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
        computed and before its updates: "step", and "fields", "scalars", "matrices", "inputs" by (name, layer), see
        `_Contents`
    progress: called with the number of finished steps after each

    Returns a dict: "steps", the number of those done, fewer than asked for if a scalar is not finite or has become 1e12
    times the largest first one; "directions", by (name, layer) of a matrix: how many it, and its transpose, are known
    on, shape (step, 2); and "scalars" of these steps:

    {(chr(10) + _INDENT).join(shapes)}
    """
