"""Single-site equations on given samples -> a direct two-time solver in plain NumPy, row by row, responses by tangents.

The solver transcribes the derived objects: noises, memories and their coefficients, tangents, averages. It is slow and
has nothing in common with the sampled solver (no directions, no conditioning of matrices), which is what it is for.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from importlib import resources

import sympy as sp
from sympy.core.function import AppliedUndef

from dmft_sym.derivation.fixed import FixedDerivation
from dmft_sym.derivation.fixed_closure import ProcessClosure, quadratic_form
from dmft_sym.derivation.fixed_latex import numbered_equations
from dmft_sym.derivation.fixed_sites import ScalarEquation
from dmft_sym.derivation.layer_logic import within
from dmft_sym.derivation.plain_text import plain
from dmft_sym.derivation.single_site import (
    Memory,
    Noise,
    ResponseMemory,
    SiteEquation,
    UpdateMemory,
    VectorMemory,
)
from dmft_sym.derivation.uses import Use
from dmft_sym.program import (
    OUTPUT_AXIS,
    SAMPLE_AXIS,
    SAMPLES,
    Average,
    Axes,
    Field,
    FieldRef,
    ForLayers,
    LayerRange,
    ProgramError,
    Scalar,
    ScalarRef,
    SiteFunction,
)

from .coefficients import integer_text, number_text
from .names import python_name
from .numpy_text import numpy_lines
from .python_text import condition_text
from .two_time_names import Names
from .two_time_text import DOCSTRING, SOLVE

STEP = "        "  # indentation of what is done at a step


def two_time_source(derivation: FixedDerivation) -> str:
    """Source of a module with ``march`` (one run) and ``solve`` (several, with standard errors).

    Raises
    ------
    ProgramError
        If a function is left open, or jumps where its tangent is needed.
    """
    _check(derivation)
    return _Writer(derivation).text()


def _check(derivation: FixedDerivation) -> None:
    for function in derivation.program.functions:
        for free in function.expression.atoms(AppliedUndef):
            raise ProgramError(f"{function}: the function {free.func} is left open; numbers need a definite one")
    for closure in derivation.closures:
        for tangent in closure.jumps:
            raise ProgramError(
                f"{tangent.equation.target} = {tangent.equation.function}: a jump in {tangent.jumps[0]} has no "
                "tangent; use the sampled solver, theory.compile()"
            )


class _Writer:
    def __init__(self, derivation: FixedDerivation) -> None:
        self.derivation = derivation
        self.program = derivation.program
        self.builder = derivation.builder
        self.parameters = [s for s in self.program.parameters if s != SAMPLES]
        self.names = Names(derivation, [python_name(s) for s in self.parameters])
        self.closure_of: dict[Field, ProcessClosure] = {
            field: closure for closure in derivation.closures for field in closure.process.fields
        }
        self.slopes = {id(t.equation): t.slopes for closure in derivation.closures for t in closure.tangents}
        self.masked = any(scalar.name == "train" and scalar.data for scalar in self.program.scalars)

    def text(self) -> str:
        """The module."""
        library = resources.files(__package__).joinpath("two_time_fields.py").read_text(encoding="utf-8")
        start = library.index("from __future__")
        arguments = ", ".join(python_name(s) for s in self.parameters)
        head = DOCSTRING.format(
            title=self.program.name,
            program=textwrap.indent(str(self.program), "    "),
            arguments=arguments,
            closures=textwrap.indent("\n".join(self._closures()), "    "),
            train="``train`` is 1 for samples that are trained on and 0 for others. " if self.masked else "",
        )
        return "\n\n".join([head, library[start:].rstrip() + "\n", self._march(), SOLVE.strip() + "\n"])

    def _closures(self) -> Iterator[str]:
        for closure in self.derivation.closures:
            names = ", ".join(field.name for field in closure.process.fields)
            how = "linear: matrix algebra, exact" if closure.gaussian else "sampled"
            yield f"space {closure.space}, fields {names}: {how}"

    def _march(self) -> str:
        train = ", train" if self.masked else ""
        arguments = "".join(f", {python_name(s)}" for s in self.parameters)
        lines = [
            f"def march(rng, *, steps, sites, gram, targets{train}{arguments}):",
            '    """One run; see the docstring of the module."""',
            *(f"    {line}" for line in self._checks()),
            *(f"    {line}" for line in self._setup()),
            "    done = steps",
            "    for t in range(steps):",
            f"{STEP}lag = kappa[t:0:-1, None, None]  # kappa(t - s) for s = 0, ..., t - 1",
            *self._equations(),
            f"{STEP}if not all(np.all(np.isfinite(value[t])) for value in ({self._scalar_arrays()},)):",
            f"{STEP}    done = t  # diverged",
            f"{STEP}    break",
            *(f"    {line}" for line in self._results()),
        ]
        return "\n".join(lines) + "\n"

    def _checks(self) -> Iterator[str]:
        yield from (
            "gram, targets = np.asarray(gram, float), np.asarray(targets, float)",
            "samples, outputs = targets.shape",
            "if not steps >= 1:",
            '    raise ValueError(f"steps = {steps!r}: allowed is an integer >= 1")',
            "if not (sites >= 2 and sites % 2 == 0):",
            '    raise ValueError(f"sites = {sites!r}: allowed is an even integer >= 2")',
            "if gram.shape != (samples, samples):",
            '    raise ValueError(f"gram has shape {gram.shape}: allowed is {(samples, samples)}, as of targets")',
        )
        for symbol in self.parameters:
            name = python_name(symbol)
            if symbol.is_integer:
                low = self.program.smallest_depth
                yield f"if not {name} >= {low}:"
                yield f'    raise ValueError(f"{name} = {{{name}!r}}: allowed is an integer >= {low}")'

    # What exists before the first step.

    def _setup(self) -> Iterator[str]:
        optimizer = self.program.optimizer
        momentum, decay = (number_text(value) for value in (optimizer.momentum, optimizer.decay))
        if self.masked:
            yield "train = np.asarray(train, float).reshape(samples, 1)"
        yield f"{self.names.of_samples} = " + ("train.sum()" if self.masked else "samples")
        yield f"kappa = kernel_of_updates(steps, {momentum}, {decay})"
        yield f"rho = (1 - {decay}) ** np.arange(steps)"
        yield "y = targets"
        yield from self._inputs()
        for closure in self.derivation.closures:
            yield f"# Space {closure.space}: " + ("closes as matrix algebra." if closure.gaussian else "sampled.")
            for field in closure.process.fields:
                made = f"Field(steps, {_sizes(field.axes)}, {self._sites(closure)})"
                yield f"{self.names.field(field)} = {_family(made, field.layers)}"
        for closure in self.derivation.closures:
            yield from self._noises(closure)
        for scalar in self.program.scalars:
            if not scalar.data:
                made = f"np.zeros((steps, {_sizes(scalar.axes)}))"
                yield f"{self.names.scalar(scalar)} = {_family(made, scalar.layers)}"

    def _sites(self, closure: ProcessClosure) -> str:
        return "0" if closure.gaussian else "sites"

    def _inputs(self) -> Iterator[str]:
        for ref in self._finite_operands():
            factor = self.builder.input_factor(ref)
            tail = "" if factor == 1 else f", {number_text(factor)}"
            yield f"{self.names.field(ref.field)} = Given(gram[:, None, :, None]{tail})"
        if self.program.vectors:
            yield "identity = Given(np.eye(outputs)[None, :, None, :])"

    def _finite_operands(self) -> list[FieldRef]:
        operands = (product.operand for *_, product in self.program.products())
        return list(dict.fromkeys(ref for ref in operands if ref.space.finite))

    def _noises(self, closure: ProcessClosure) -> Iterator[str]:
        """Families of correlated Gaussian fields, and their members."""
        sites = self._sites(closure)
        families: dict[str, None] = {}
        for noise in closure.process.noises:
            family = self.names.family(noise)
            if family not in families:
                families[family] = None
                variance = number_text(self._variance(noise))
                forward = isinstance(noise.source, Use) and not noise.source.transpose
                made = f"GaussianFields(rng, {variance}, {sites}, {1 if forward else -1})"
                layers = noise.source.matrix.layers if isinstance(noise.source, Use) else None
                yield f"{family} = {_family(made, layers)}"
            yield f"{self.names.noise(noise)} = {self._member(noise, closure)}"
        for noise in closure.process.noises:
            if noise.static:
                yield from self._static_draws(noise)

    def _variance(self, noise: Noise) -> sp.Expr:
        """Coefficient of the overlap of the operands in the covariance, which siblings share."""
        siblings = [n for n in self.derivation.noises if self.names.family(n) == self.names.family(noise)]
        found = {self.builder.noise_covariance(noise, sibling) for sibling in siblings}
        found.discard(sp.Integer(0))  # different members of a family
        (coefficient,) = found or {sp.Integer(0)}
        assert coefficient is not None
        return coefficient

    def _member(self, noise: Noise, closure: ProcessClosure) -> str:
        tracked = noise in closure.tracked
        steps = "1" if noise.static else "steps"
        shape = f"({steps}, {_sizes(noise.axes)})"
        family = self.names.family(noise)
        if not isinstance(noise.source, Use):
            return f"{family}.member(identity, {shape}, {tracked})"
        use = noise.source
        if use.family:
            family += f"[{integer_text(use.index if use.member is None else use.member)}]"
        made = f"{family}.member({self._ref(use.operand)}, {shape}, {tracked})"
        return _family(made, use.layers, use.index)

    def _static_draws(self, noise: Noise) -> Iterator[str]:
        name = self.names.noise(noise)
        if noise.layers is None:
            yield f"{name}.draw(0)"
            return
        yield f"for noise in {name}.values():"
        yield "    noise.draw(0)"

    # One step.

    def _equations(self) -> Iterator[str]:
        drawn: set[Noise] = set()
        open_scans: tuple[ForLayers, ...] = ()
        for equation, line, number in numbered_equations(self.derivation):
            scans = equation.scans
            if scans and scans != open_scans:
                yield STEP + _loop_head(scans[0])
            open_scans = scans
            indent = STEP + ("    " if scans else "")
            comment = plain(f"{line.left} = " + " ".join(line.terms).removeprefix("+ "))
            yield from textwrap.wrap(
                f"# ({number}) {comment}", 116, initial_indent=indent, subsequent_indent=f"{indent}#     "
            )
            if isinstance(equation, ScalarEquation):
                body = list(self._scalar(equation))
            else:
                body = list(self._site(equation, drawn))
            yield from (indent + text for text in body)

    def _site(self, equation: SiteEquation, drawn: set[Noise]) -> Iterator[str]:
        target = self._ref(equation.target)
        for term in equation.noises:
            noise = self._noise(term.noise, term.layer)
            if not term.noise.static and term.noise not in drawn:
                drawn.add(term.noise)
                yield f"{noise}.draw(t)"
            yield f"{target}.add_noise(t, {self._factor(term.coefficient, term.retained)}, {noise})"
        for memory in equation.memories:
            yield from self._memory(target, memory, equation)
        for local in equation.locals:
            yield f"{target}.add_field(t, {number_text(local.coefficient)}, {self._ref(local.field)})"
        if equation.function is not None:
            yield from self._map(target, equation)

    def _memory(self, target: str, term: Memory, equation: SiteEquation) -> Iterator[str]:
        past = self._ref(term.field)
        if isinstance(term, VectorMemory):
            lines = [f"{target}.add_vector_memory(t, {self._weight(term)}, {past})"]
        elif isinstance(term, UpdateMemory):
            overlap = f"overlap({self._ref(term.row)}, {self._ref(term.past)}, t)[:, :, :t]"
            lines = [f"{target}.add_memory(t, {overlap} * ({self._weight(term)}), {past})"]
        else:
            noise = self._noise(term.noise, term.noise_layer)
            found = f"response({self._ref(term.row)}, {noise}, t, {term.equal_time})"
            factor = self._factor(term.coefficient, term.retained)
            lines = [f"{target}.add_memory(t, scaled({factor}, {found}), {past})"]
            lines = self._guarded(lines, term, equation)
        if term.index is not None and term.layers is not None:
            lines = [_layer_loop(term.index, term.layers), *(f"    {line}" for line in lines)]
        yield from lines

    def _guarded(self, lines: list[str], term: ResponseMemory, equation: SiteEquation) -> list[str]:
        """The product in the other direction may not exist at a layer."""
        if term.noise_layer is None or term.noise.layers is None:
            return lines
        ranges = {scan.index: scan.layers for scan in equation.scans}
        if term.index is not None and term.layers is not None:
            ranges[term.index] = term.layers
        condition = within(term.noise_layer, term.noise.layers, ranges)
        if condition == sp.true:
            return lines
        if condition == sp.false:
            return []
        return [f"if {condition_text(condition)}:", *(f"    {line}" for line in lines)]

    def _weight(self, term: UpdateMemory | VectorMemory) -> str:
        factor = "" if term.coefficient == 1 else f"{_bracketed(number_text(term.coefficient))} * "
        weight = "" if term.weight is None else f" * {self._scalar_ref(term.weight)}[:t]"
        return f"{factor}lag{weight}"

    def _map(self, target: str, equation: SiteEquation) -> Iterator[str]:
        function = equation.function
        assert function is not None
        gaussian = self.closure_of[equation.target.field].gaussian
        slopes = self.slopes.get(id(equation), ())
        expressions = [slope.function.expression for slope in slopes]
        if not gaussian:
            expressions = [function.expression, *expressions]
        lines, texts = numpy_lines(expressions, self._arguments(function, sites=True))
        yield from lines
        value = "None" if gaussian else texts.pop(0)
        pairs = [f"({text}, {self._ref(slope.argument)})" for text, slope in zip(texts, slopes, strict=True)]
        yield f"{target}.set_function(t, {value}, [{', '.join(pairs)}])"

    def _scalar(self, equation: ScalarEquation) -> Iterator[str]:
        statement = equation.statement
        target = f"{self._scalar_ref(statement.target)}[t]"
        if isinstance(statement, Average):
            yield f"{target} = 0"
            for coefficient, function in statement.terms:
                lines, text = self._average(function)
                yield from lines
                factor = "" if coefficient == 1 else f"{_bracketed(number_text(coefficient))} * "
                yield f"{target} += {factor}{text}"
            return
        names = self._arguments(SiteFunction(statement.expression, statement.arguments), sites=False)
        lines, (text,) = numpy_lines([statement.expression], names)
        yield from lines
        yield f"{target} = {text}"

    def _average(self, function: SiteFunction) -> tuple[list[str], str]:
        fields = [ref for _, ref in function.fields]
        assert isinstance(fields[0], FieldRef)
        if not self.closure_of[fields[0].field].gaussian:
            lines, (text,) = numpy_lines([function.expression], self._arguments(function, sites=True))
            return lines, f"np.mean({text}, axis=-1)"
        form = quadratic_form(function)
        assert form is not None
        names = self._arguments(function, sites=False)
        lines, texts = numpy_lines([form.constant, *(c for c, _, _ in form.products)], names)
        parts = [] if form.constant == 0 else [texts[0]]
        for text, (_, a, b) in zip(texts[1:], form.products, strict=True):
            parts.append(f"{_bracketed(text)} * moment({self._ref(a)}, {self._ref(b)}, t)")
        return lines, f"({' + '.join(parts) or '0'})"

    def _arguments(self, function: SiteFunction, sites: bool) -> dict[sp.Symbol, str]:
        """What the symbols of an expression are called; scalars get an axis of sites where they meet fields."""
        names = {symbol: python_name(symbol) for symbol in self.parameters}
        names[SAMPLES] = self.names.of_samples
        for symbol, ref in function.arguments:
            if isinstance(ref, ScalarRef):
                shown = self._scalar_ref(ref) + ("" if ref.scalar.data else "[t]")
                names[symbol] = f"{shown}[:, :, None]" if sites else shown
            elif isinstance(ref, FieldRef):
                names[symbol] = f"{self._ref(ref)}.values[t]"
        return names

    # Names.

    def _ref(self, ref: FieldRef) -> str:
        name = self.names.field(ref.field)
        return name if ref.layer is None else f"{name}[{integer_text(ref.layer)}]"

    def _scalar_ref(self, ref: ScalarRef) -> str:
        name = self.names.scalar(ref.scalar)
        return name if ref.layer is None else f"{name}[{integer_text(ref.layer)}]"

    def _noise(self, noise: Noise, layer: sp.Expr | None) -> str:
        name = self.names.noise(noise)
        return name if noise.layers is None or layer is None else f"{name}[{integer_text(layer)}]"

    def _factor(self, coefficient: sp.Expr, retained: bool) -> str:
        text = number_text(coefficient)
        return f"{_bracketed(text)} * rho[t]" if retained else text

    # Results.

    def _scalars(self) -> list[Scalar]:
        return [scalar for scalar in self.program.scalars if not scalar.data]

    def _scalar_arrays(self) -> str:
        parts = []
        for scalar in self._scalars():
            name = self.names.scalar(scalar)
            parts.append(name if scalar.layers is None else f"*{name}.values()")
        return ", ".join(parts)

    def _results(self) -> Iterator[str]:
        yield "return {"
        yield '    "steps": done,'
        yield '    "scalars": {'
        for scalar in self._scalars():
            yield f'        "{scalar.name}": {self.names.scalar(scalar)},'
        yield "    },"
        yield '    "correlations": {'
        for closure in self.derivation.closures:
            for field in closure.process.fields:
                yield f'        "{field.name}": {self._each(field, "correlations({0})")},'
        yield "    },"
        yield '    "responses": {'
        for closure in self.derivation.closures:
            for kind in closure.responses:
                yield f'        "{kind.row.name}, {kind.noise.name}": {self._response(kind.row, kind.noise)},'
        yield "    },"
        yield "}"

    def _each(self, field: Field, call: str) -> str:
        name = self.names.field(field)
        if field.layers is None:
            return call.format(name)
        return f"{{l: {call.format('one')} for l, one in {name}.items()}}"

    def _response(self, row: Field, noise: Noise) -> str:
        """Responses of all members of a family to all members of a Gaussian field: keys (layer, layer)."""
        rows, noises = self.names.field(row), self.names.noise(noise)
        one = rows if row.layers is None else f"{rows}[l]"
        other = noises if noise.layers is None else f"{noises}[k]"
        loops = "" if row.layers is None else f" for l in {rows}"
        loops += "" if noise.layers is None else f" for k in {noises}"
        key = ", ".join(part for part, has in (("l", row.layers is not None), ("k", noise.layers is not None)) if has)
        made = f"responses({one}, {other})"
        return f"{{({key}): {made}{loops}}}" if loops else made


def _sizes(axes: Axes) -> str:
    samples = "samples" if SAMPLE_AXIS in axes else "1"
    return f"{samples}, {'outputs' if OUTPUT_AXIS in axes else '1'}"


def _family(made: str, layers: LayerRange | None, index: sp.Symbol | None = None) -> str:
    """One object, or a dictionary of them with a layer for key."""
    if layers is None:
        return made
    name = "l" if index is None else str(index.name)
    return f"{{{name}: {made} for {name} in {_range(layers)}}}"


def _range(layers: LayerRange, descending: bool = False) -> str:
    start, stop = layers.start, layers.stop
    if descending:
        return f"range({integer_text(stop)}, {integer_text(start - 1)}, -1)"
    return f"range({integer_text(start)}, {integer_text(stop + 1)})"


def _loop_head(scan: ForLayers) -> str:
    return f"for {scan.index.name} in {_range(scan.layers, scan.descending)}:"


def _layer_loop(index: sp.Symbol, layers: LayerRange) -> str:
    return f"for {index.name} in {_range(layers)}:"


def _bracketed(text: str) -> str:
    return f"({text})" if any(sign in text for sign in "+-/ ") else text
