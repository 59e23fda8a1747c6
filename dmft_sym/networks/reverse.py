"""Reverse mode: the backward pass of a traced network, in the same language.

The adjoint of every field is a linear combination and, where site-wise functions were applied, a sum of their
derivatives times adjoints; it is given a name where a matrix must act on it. The adjoint of an average is a scalar. A
scan is reversed into a scan over the same layers in descending order whose carry is the adjoint of the carry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import sympy as sp

from dmft_sym.program import (
    OUTPUT,
    Assign,
    Average,
    Axes,
    Compute,
    Field,
    FieldRef,
    ForLayers,
    GaussianMatrix,
    LayerRange,
    Linear,
    Outer,
    Product,
    ProgramError,
    RandomVector,
    Relabelled,
    Scalar,
    ScalarRef,
    SiteFunction,
    SiteMap,
    Statement,
    VectorRef,
    joined_axes,
    reads,
    walk,
)
from dmft_sym.program.expressions import Atom
from dmft_sym.program.site_derivatives import slopes

from .functions import linear_form
from .labelled import inner_order
from .outputs import Readout
from .parametrization import Scalings
from .renaming import reindexed
from .reverse_scalars import AdjointOfScalar, AveragedPart, ComputedPart, Part, parts_of_compute, repeats
from .traced import Trace


@dataclass
class Backward:
    """The backward pass.

    Attributes
    ----------
    statements
        In execution order.
    input_adjoint
        Derivative of ``sum_j sqrt(N/N_j) w_j . h_j`` with respect to the input.
    gradients
        For every matrix and readout vector, the terms of its update (without the common coefficient).
    """

    statements: list[Statement]
    input_adjoint: Linear
    gradients: dict[GaussianMatrix | RandomVector, list[Outer]] = field(default_factory=dict)


@dataclass(frozen=True)
class Adjoint:
    """A linear combination and a sum of site-wise functions."""

    linear: Linear = field(default_factory=Linear)
    functions: tuple[SiteFunction, ...] = ()

    def __add__(self, other: Adjoint) -> Adjoint:
        return Adjoint(self.linear + other.linear, self.functions + other.functions)

    def __bool__(self) -> bool:
        return bool(self.linear.terms or self.functions)


def reverse(trace: Trace, scalings: Scalings, error: ScalarRef | None = None) -> Backward:
    """Differentiate a traced forward pass: every output by itself, or their sum weighted by errors.

    Parameters
    ----------
    scalings
        Gives the seed ``sqrt(N/N_j)`` of every readout.
    error
        Differentiate ``sum_c Delta_c f_c`` at fixed errors ``Delta`` instead of every ``f_c``: adjoints have no label
        of the outputs then, and are gradients already; terms of the gradient of a readout have a weight of their own.

    Raises
    ------
    ProgramError
        If the forward pass reads a random vector other than by a readout: it would not be trained; or if something
        that is trained has the name of a gradient.
    """
    _check_vectors(trace)
    function = None if trace.output is None else trace.output.traced
    taken = {
        trace.input.field.name,
        *(given.name for given in trace.setting.given),
        *trace.setting.reserved,
        *(target.name for target in _targets(trace.statements)),
    }
    taken |= {parameter.keyword for parameter in trace.parameters}
    axes, labels = trace.setting.adjoint_axes, trace.labels
    if error is not None:
        axes, labels = tuple(label for label in axes if label != OUTPUT), (*labels, *axes)
    pass_ = ReverseMode(axes, taken, {"h": "g", "phi": "z"}, trained=True, labels=labels)
    pass_.readouts = {ref: (readout, scalings) for ref, readout in trace.raw.items()}
    pass_.contracted = error is not None
    if function is not None:
        for ref, (slope, arguments) in function.slopes().items():
            unit = sp.Integer(1) if ref in trace.raw else scalings.gamma  # adjoints are gamma N df/dh
            pass_.scalar_adjoints[ref] = [_weighted_part(unit * slope, arguments, error)]
    for readout in trace.readouts if function is None else ():
        pass_.read_out(readout, scalings, sp.Integer(1) if error is None else error)
    for statement in reversed(trace.statements):
        pass_.visit(statement)
    made = {target.name for target in _targets(pass_.blocks[0])}
    for target in pass_.gradients:
        if target.name in made:
            raise ProgramError(
                f"the name {target.name} is used for two different things: it is reserved for gradients, which are "
                "called g for fields h, and z for phi; use another name"
            )
    return Backward(pass_.blocks[0], pass_.adjoints.pop(trace.input, Adjoint()).linear, pass_.gradients)


class ReverseMode:
    """Adjoints of statements that are visited in reverse order.

    Parameters
    ----------
    axes
        Labels of all adjoints; those of things with further labels have these too.
    taken
        Names that are not free.
    stems
        How adjoints are called: ``h2 -> g2`` for a stem ``h: g``, anything else gets the prefix ``g_``.
    trained
        Whether the gradients of the matrices are wanted.
    labels
        Labels of the trace, in their order.

    Attributes
    ----------
    adjoints
        Of what has not been visited yet.
    blocks
        Statements of the backward pass, those of the scan that is being reversed last.
    """

    def __init__(
        self, axes: Axes, taken: Iterable[str], stems: Mapping[str, str], *, trained: bool, labels: Axes = ()
    ) -> None:
        self.axes, self.names, self.stems, self.trained = axes, set(taken), stems, trained
        self.order = inner_order(tuple(dict.fromkeys((*labels, *axes))), (*labels, *axes))
        self.adjoints: dict[FieldRef, Adjoint] = {}
        self.scalar_adjoints: dict[ScalarRef, list[Part]] = {}
        self.families: dict[Field, Field] = {}  # adjoints of families of fields
        self.scanned: set[Field] = set()  # carries of scans that are reversed already
        self.blocks: list[list[Statement]] = [[]]
        self.gradients: dict[GaussianMatrix | RandomVector, list[Outer]] = {}
        self.scan: ForLayers | None = None
        self.lead = sp.Integer(0)  # of the scan that is being reversed
        self.readouts: dict[ScalarRef, tuple[Readout, Scalings]] = {}  # scalars that are readouts
        self.contracted = False

    def axes_of(self, axes: Axes) -> Axes:
        """Labels of the adjoint of a thing with these labels."""
        return joined_axes([self.axes, axes], self.order)

    def add_adjoint(self, ref: FieldRef, value: Linear, read: Axes = ()) -> None:
        """Add to the adjoint of a field, summed over labels that it does not have.

        Parameters
        ----------
        read
            Labels at whose values the field is read, those that it is repeated along included: terms without a
            label of these count once for each of its values.
        """
        axes = self.axes_of(ref.axes)
        terms = ((c * repeats(read, axes, atom.axes), self.summed_atom(atom, axes)) for c, atom in value.terms)
        value = sum((Linear.of(atom, c) for c, atom in terms), Linear())
        self.adjoints[ref] = self.adjoints.get(ref, Adjoint()) + Adjoint(value)

    def add_function(self, ref: FieldRef, function: SiteFunction, read: Axes) -> None:
        """Add a site-wise function to the adjoint of a field that is read at the values of labels."""
        form = linear_form(function)
        if form is not None:
            self.add_adjoint(ref, form, read)
            return
        part = Adjoint(functions=(_repeated(function, read, self.axes_of(ref.axes)),))
        self.adjoints[ref] = self.adjoints.get(ref, Adjoint()) + part

    def visit(self, statement: Statement) -> None:
        if isinstance(statement, ForLayers):
            self.visit_scan(statement)
        elif isinstance(statement, Assign):
            self.visit_assign(statement)
        elif isinstance(statement, SiteMap):
            self.visit_map(statement)
        elif isinstance(statement, Average):
            self.visit_average(statement)
        elif isinstance(statement, Compute):
            self.visit_compute(statement)

    def visit_assign(self, statement: Assign) -> None:
        adjoint = self.adjoints.pop(statement.target, Adjoint())
        if not adjoint or _reads_inputs(statement):
            return
        if adjoint.functions:
            adjoint = Adjoint(Linear.of(self.materialize(statement.target, adjoint)))
        read = statement.target.axes
        for coefficient, atom in statement.value.terms:
            if isinstance(atom, FieldRef):
                self.add_adjoint(atom, adjoint.linear.scaled(coefficient), read)
            elif isinstance(atom, Relabelled):
                left = self.materialize(statement.target, adjoint)
                adjoint = Adjoint(Linear.of(left))
                coefficient *= repeats(read, self.axes_of(atom.axes), left.axes)
                self.add_adjoint(atom.field, Linear.of(self.pulled_back(atom, left), coefficient))
            elif isinstance(atom, Product):
                whole = self.materialize(statement.target, adjoint)
                adjoint = Adjoint(Linear.of(whole))
                coefficient *= repeats(read, self.axes_of(atom.axes), whole.axes)
                left = self.summed(whole, self.axes_of(atom.axes))
                self.add_adjoint(atom.operand, Linear.of(Product(atom.matrix, left, not atom.transpose), coefficient))
                if self.trained:
                    self.add_gradient(atom, coefficient, left)

    def pulled_back(self, atom: Relabelled, left: FieldRef) -> FieldRef | Relabelled:
        """The adjoint of what a field is summed to, or renamed to, as one of the field."""
        if not atom.names:
            return left
        # Summed first: of h_i + k_j the adjoint of k is sum_i g_ij, and only then its j is called i.
        left = self.summed(left, tuple(label for label in left.axes if label in self.axes_of(atom.axes)))
        names = tuple((new, label) for label, new in atom.names if new in left.axes)
        return Relabelled(left, names=names) if names else left

    def summed_atom(self, atom: Atom, axes: Axes) -> Atom:
        """A term of an adjoint, summed over labels that are not among ``axes``: in a product before the matrix acts."""
        if not isinstance(atom, Product):
            return _summed(atom, axes)
        kept = tuple(label for label in atom.operand.axes if label in axes)
        return replace(atom, operand=self.summed(atom.operand, kept))

    def summed(self, left: FieldRef, axes: Axes) -> FieldRef:
        """An adjoint without the labels that are not among ``axes``."""
        total = _summed(left, axes)
        if isinstance(total, FieldRef):
            return total
        ref = FieldRef(Field(self.part_name(left), left.space, left.field.layers, axes), left.layer)
        self.blocks[-1].append(Assign(ref, Linear.of(total)))
        return ref

    def visit_map(self, statement: SiteMap) -> None:
        """``phi = F(h, ..)``: the adjoint of ``h`` gets ``dF/dh`` times that of ``phi``."""
        adjoint = self.adjoints.pop(statement.target, Adjoint())
        if not adjoint:
            return
        read = (*statement.target.axes, *statement.over)
        self.differentiate(statement.function, self.materialize(statement.target, adjoint), read)

    def visit_average(self, statement: Average) -> None:
        """``s = <F(h, ..)>``: the adjoint of ``h`` gets ``dF/dh`` times that of ``s``, which is an average itself."""
        if statement.target in self.readouts:
            self.visit_readout(statement.target)
            return
        ((coefficient, function),) = statement.terms
        (space,) = function.spaces
        adjoint = self.scalar_adjoint(statement.target, coefficient / space.ratio)
        if adjoint is not None:
            self.differentiate(function, adjoint, statement.target.axes)

    def visit_readout(self, target: ScalarRef) -> None:
        """``f_w = <w h>/gamma``: ``h`` and ``w`` get ``w`` and ``h`` times the derivative of the outputs by ``f_w``."""
        outer = self.slope_of_output(target)
        if outer is not None:
            self.read_out(*self.readouts[target], outer)

    def read_out(self, readout: Readout, scalings: Scalings, outer: sp.Expr | ScalarRef) -> None:
        """The adjoint of what is read out, and the gradient of the readout; ``outer`` is the derivative by it."""
        seed = readout.coefficient * scalings.readout(readout.vector.space.ratio)
        vector, read = VectorRef(readout.vector), readout.field
        gradient = self.gradients.setdefault(readout.vector, [])
        if isinstance(outer, sp.Expr):
            self.add_adjoint(read, Linear.of(vector, seed * outer))
            gradient.append(Outer(seed * outer, read))
            return
        slope, weights, field = (sp.Symbol(name, real=True) for name in ("slope", "weights", "field"))
        self.add_function(read, SiteFunction(seed * slope * weights, ((slope, outer), (weights, vector))), outer.axes)
        if self.contracted:  # the errors are in the slopes, one for every output, which fields do not have
            gradient.append(Outer(seed, read, weight=outer))
            return
        name = self.free_name(f"{read.field.name}_{readout.vector.name}")
        left = FieldRef(Field(name, read.space, axes=self.axes_of(read.axes)))
        self.blocks[-1].append(SiteMap(left, SiteFunction(slope * field, ((slope, outer), (field, read)))))
        gradient.append(Outer(seed, left))

    def slope_of_output(self, target: ScalarRef) -> sp.Expr | ScalarRef | None:
        """Derivative of the outputs by a readout: a number, or a scalar."""
        parts = self.scalar_adjoints.get(target, [])
        known = [part for part in parts if isinstance(part, ComputedPart)]
        if not parts or len(known) < len(parts):
            return self.scalar_adjoint(target, sp.Integer(1))
        total = sp.expand(sum(part.expression for part in known))
        if not any(part.arguments for part in known):
            del self.scalar_adjoints[target]
            return total
        same = next((ref for part in known for symbol, ref in part.arguments if symbol == total), None)
        if same is not None and len(known) == 1:
            del self.scalar_adjoints[target]
            return same
        return self.scalar_adjoint(target, sp.Integer(1))

    def visit_compute(self, statement: Compute) -> None:
        """``s = F(a, ..)`` of scalars: the adjoint of ``a`` gets ``dF/da`` times that of ``s``."""
        adjoint = self.scalar_adjoint(statement.target, sp.Integer(1))
        if adjoint is None:
            return

        def made(name: str, axes: Axes) -> ScalarRef:
            scalar = Scalar(self.free_name(name), axes, adjoint.scalar.layers)
            return ScalarRef(scalar, adjoint.layer)

        for found in parts_of_compute(statement, adjoint, made):
            if isinstance(found, tuple):
                self.scalar_adjoints.setdefault(found[0], []).append(found[1])
            else:
                self.blocks[-1].append(found)

    def scalar_adjoint(self, target: ScalarRef, factor: sp.Expr) -> ScalarRef | None:
        """``factor`` times the adjoint of a scalar, which gets a name, if there is any."""
        parts = self.scalar_adjoints.pop(target, [])
        if not parts:
            return None
        scalar = target.scalar
        adjoint = ScalarRef(
            Scalar(self.adjoint_name(scalar.name), self.axes_of(scalar.axes), scalar.layers), target.layer
        )
        made = AdjointOfScalar(adjoint, self.order, lambda name: self.free_name(f"{name}_part"))
        self.blocks[-1] += made.statements(parts, factor)
        return adjoint

    def differentiate(self, function: SiteFunction, outer: FieldRef | ScalarRef, read: Axes) -> None:
        """Add ``dF/dh * outer``, at the values of labels, to the adjoint of every argument ``h``, field or scalar."""
        (space,) = function.spaces
        for ref, slope in slopes(function):
            part = _times(slope, function, outer)
            if isinstance(ref, FieldRef):
                self.add_function(ref, part, read)
            elif isinstance(ref, ScalarRef) and not ref.scalar.data:
                part = _repeated(part, read, self.axes_of(ref.axes))
                self.scalar_adjoints.setdefault(ref, []).append(AveragedPart(part, space))

    def add_gradient(self, product: Product, coefficient: sp.Expr, adjoint: FieldRef) -> None:
        """``d(adjoint . W h)/dW = adjoint h^T``, and ``d(adjoint . W^T h)/dW = h adjoint^T``."""
        matrix = product.matrix
        left, right = (product.operand, adjoint) if product.transpose else (adjoint, product.operand)
        index = layers = None
        if self.scan is not None:
            if matrix.layer is None:
                index, layers = self.scan.index, self.scan.layers
            elif matrix.layer != self.scan.index + self.lead:
                raise ProgramError(
                    f"{matrix}: inside the scan over {self.scan.index} a family is indexed by {self.scan.index} itself"
                )
            else:
                parts = (coefficient, left, right)
                coefficient, left, right = reindexed(parts, self.scan.index, self.scan.index - self.lead)
        elif matrix.layer is not None:
            raise ProgramError(f"{matrix}: a matrix family is used inside a scan over its layers")
        self.gradients.setdefault(matrix.matrix, []).append(Outer(coefficient, left, right, index, layers))

    def materialize(self, primal: FieldRef, adjoint: Adjoint) -> FieldRef:
        """The adjoint of ``primal`` as a named field."""
        if not adjoint.functions and (held := adjoint.linear.only):
            return held
        if primal.field in self.scanned:
            ref = FieldRef(self.total_field(primal.field))
        else:
            ref = FieldRef(self.adjoint_field(primal.field), primal.layer)
        self.assign(ref, adjoint)
        return ref

    def total_field(self, carry: Field) -> Field:
        """The adjoint of the vector that a scan starts from, where more than the scan reads it.

        The reversed scan has assigned the adjoint of its first carry, which is a part of this.
        """
        name = self.free_name(f"{self.adjoint_field(carry).name}_total")
        return Field(name, carry.space, axes=self.axes_of(carry.axes))

    def adjoint_field(self, primal: Field) -> Field:
        """The field of adjoints; one for all members of a family."""
        if primal not in self.families:
            name = self.adjoint_name(primal.name)
            self.families[primal] = Field(name, primal.space, primal.layers, self.axes_of(primal.axes))
        return self.families[primal]

    def assign(self, ref: FieldRef, adjoint: Adjoint) -> None:
        """``ref = adjoint``; a single site-wise function is assigned as it is, several get fields of their own."""
        if len(adjoint.functions) == 1 and not adjoint.linear.terms:
            self.blocks[-1].append(SiteMap(ref, adjoint.functions[0], _beyond(adjoint.functions[0], ref.axes)))
            return
        total = adjoint.linear
        for function in adjoint.functions:
            part = FieldRef(Field(self.part_name(ref), ref.space, ref.field.layers, ref.axes), ref.layer)
            self.blocks[-1].append(SiteMap(part, function, _beyond(function, ref.axes)))
            total += Linear.of(part)
        self.blocks[-1].append(Assign(ref, total))

    def part_name(self, ref: FieldRef) -> str:
        """A name for one of several parts of an adjoint."""
        number = 1
        while f"{ref.field.name}_part{number}" in self.names:
            number += 1
        return self.free_name(f"{ref.field.name}_part{number}")

    def adjoint_name(self, name: str) -> str:
        """A free name by the rule of the stems."""
        stem = name.rstrip("0123456789")
        return self.free_name(self.stems[stem] + name[len(stem) :] if stem in self.stems else f"g_{name}")

    def free_name(self, name: str) -> str:
        """The name, with underscores if it is taken; from now on it is."""
        while name in self.names:
            name += "_"
        self.names.add(name)
        return name

    def visit_scan(self, scan: ForLayers) -> None:
        """Reverse a scan, by the layers of what it hands on."""
        lead, self.lead = self.lead, scan.lead
        layers, body = scan.layers.shifted(-scan.lead), scan.body
        if scan.lead:
            body = reindexed(body, scan.index, scan.index + scan.lead)
        self._reverse(replace(scan, layers=layers, body=body, lead=sp.Integer(0)))
        self.lead = lead

    def _reverse(self, scan: ForLayers) -> None:
        carries = _carries(scan)
        top = scan.layers.stop + 1
        outside = {carry: self.adjoints.pop(FieldRef(carry, top), Adjoint()) for carry in carries}
        if not any(outside.values()):
            return
        adjoints = {carry: self.adjoint_field(carry) for carry in carries}
        for carry, value in outside.items():
            self.assign(FieldRef(adjoints[carry], top), value)
        sums = {ref: self._start_sum(ref, scan) for ref in _captured(scan, carries)}
        body = self._reversed_body(scan, adjoints, sums)
        if self.lead:
            body = reindexed(body, scan.index, scan.index - self.lead)
        layers = scan.layers.shifted(self.lead)
        self.blocks[-1].append(ForLayers(scan.index, layers, body, descending=True, lead=self.lead))
        first = scan.layers.start
        self.scanned.update(carries)
        for carry in carries:
            self.add_adjoint(FieldRef(carry, first), Linear.of(FieldRef(adjoints[carry], first)))
        for ref, total in sums.items():
            self.add_adjoint(ref, Linear.of(FieldRef(total, first)))

    def _reversed_body(
        self, scan: ForLayers, adjoints: dict[Field, Field], sums: dict[FieldRef, Field]
    ) -> tuple[Statement, ...]:
        """One layer of the backward scan: adjoints at ``l`` from those at ``l + 1``."""
        held, self.adjoints = self.adjoints, {}
        self.scan = scan
        self.blocks.append([])
        for carry, adjoint in adjoints.items():
            self.add_adjoint(FieldRef(carry, scan.index + 1), Linear.of(FieldRef(adjoint, scan.index + 1)))
        for statement in reversed(scan.body):
            self.visit(statement)
        for carry, adjoint in adjoints.items():
            self.assign(FieldRef(adjoint, scan.index), self.adjoints.pop(FieldRef(carry, scan.index), Adjoint()))
        for ref, total in sums.items():
            above = Adjoint(Linear.of(FieldRef(total, scan.index + 1)))
            self.assign(FieldRef(total, scan.index), above + self.adjoints.pop(ref, Adjoint()))
        if self.scalar_adjoints:
            names = ", ".join(str(ref) for ref in self.scalar_adjoints)
            raise ProgramError(
                f"scan over {scan.index}: it uses averages from outside of it ({names}); allowed are averages of its "
                "own vectors, such as ds.mean(h * h) of the vector h that its step takes; by one from outside multiply "
                "before or after the scan"
            )
        self.scan = None
        self.adjoints = held
        return tuple(self.blocks.pop())

    def _start_sum(self, ref: FieldRef, scan: ForLayers) -> Field:
        """A family that adds up, layer by layer, the adjoint of a field captured by the scan."""
        name = f"sum_{self.adjoint_name(ref.field.name)}"
        total = Field(name, ref.space, LayerRange(scan.layers.start, scan.layers.stop + 1), self.axes_of(ref.axes))
        self.blocks[-1].append(Assign(FieldRef(total, scan.layers.stop + 1), Linear()))
        return total


def _weighted_part(
    slope: sp.Expr, arguments: tuple[tuple[sp.Symbol, ScalarRef], ...], error: ScalarRef | None
) -> ComputedPart:
    """The derivative of the outputs by a scalar; times their errors, if these are given."""
    if error is None:
        return ComputedPart(slope, arguments)
    name = error.scalar.name
    while any(symbol.name == name for symbol in slope.free_symbols):
        name += "_"
    symbol = sp.Symbol(name, real=True)
    return ComputedPart(slope * symbol, (*arguments, (symbol, error)))


def _reads_inputs(statement: Assign) -> bool:
    """Whether it is what a readout of given inputs reads, of which nothing is trained."""
    return any(isinstance(atom, Product) and atom.matrix.matrix.isometric for _, atom in statement.value.terms)


def _check_vectors(trace: Trace) -> None:
    """Refuse random vectors in a forward pass, which have no gradient here."""
    for statement in _inner(trace.statements):
        for ref in reads(statement) if statement.target not in trace.raw else ():
            if isinstance(ref, VectorRef):
                raise ProgramError(
                    f"{statement}: the random vector {ref} in a forward pass would not be trained; allowed are "
                    f"products with matrices, net.matrix(...) @ h, and readouts, net.readout({str(ref)!r}, h)"
                )


def _times(slope: SiteFunction, function: SiteFunction, outer: FieldRef | ScalarRef) -> SiteFunction:
    """``slope * outer``, by a symbol that neither ``slope`` nor ``function`` has."""
    taken = {symbol.name for symbol in slope.expression.free_symbols | function.expression.free_symbols}
    name = outer.declared.name
    while name in taken:
        name += "_"
    symbol = sp.Symbol(name, real=True)
    return SiteFunction(slope.expression * symbol, (*slope.arguments, (symbol, outer)))


def _repeated(function: SiteFunction, read: Axes, axes: Axes) -> SiteFunction:
    """A part of the adjoint with labels ``axes``, once for every value of the labels ``read`` that neither has."""
    own = tuple(label for _, argument in function.arguments for label in argument.axes)
    count = repeats(read, axes, own)
    return function if count == 1 else replace(function, expression=count * function.expression)


def _summed(atom: Atom, axes: Axes) -> Atom:
    """A term of an adjoint with these labels, summed over those that it has beyond them."""
    over = tuple(label for label in atom.axes if label not in axes)
    if not over:
        return atom
    if isinstance(atom, Relabelled):
        more = tuple(old for old in atom.field.axes if old not in atom.over and atom.at(old) in over)
        return Relabelled(atom.field, (*atom.over, *more), tuple(pair for pair in atom.names if pair[0] not in more))
    assert isinstance(atom, FieldRef)
    return Relabelled(atom, over)


def _beyond(function: SiteFunction, axes: Axes) -> Axes:
    """Labels of a function that are not among ``axes``."""
    found = dict.fromkeys(label for _, argument in function.arguments for label in argument.axes)
    return tuple(label for label in found if label not in axes)


def _inner(statements: Iterable[Statement]) -> list[Assign | SiteMap | Average | Compute]:
    """The statements that assign something, those of scans included."""
    kinds = Assign | SiteMap | Average | Compute
    return [statement for _, statement in walk(statements) if isinstance(statement, kinds)]


def _targets(statements: Iterable[Statement]) -> list[Field | Scalar]:
    """What is assigned."""
    return [statement.target.declared for statement in _inner(statements)]


def _carries(scan: ForLayers) -> list[Field]:
    """Fields that a scan hands from one layer to the next: those its body assigns at the next layer."""
    maps = (statement.target for statement in _inner(scan.body))
    return [ref.field for ref in maps if isinstance(ref, FieldRef) and ref.layer == scan.index + 1]


def _captured(scan: ForLayers, carries: list[Field]) -> list[FieldRef]:
    """Fields that the body reads but neither assigns nor carries (data are no variables)."""
    own = {*_targets(scan.body), *carries}
    found: dict[FieldRef, None] = {}
    for statement in _inner(scan.body):
        for ref in reads(statement):
            if isinstance(ref, FieldRef) and ref.field not in own and not ref.field.data:
                found[ref] = None
    return list(found)
