"""Well-formedness of a program: names, sides of matrices, and the order inside a step.

Spaces and sides are checked where the expressions are built; what needs the whole program is here. Order
is checked on small unrolled instances: a cycle within a step shows up as a field that is read before the
statement that assigns it.
"""

from __future__ import annotations

import sympy as sp

from .classes import class_values
from .declarations import Field, GaussianMatrix, RandomVector, Scalar, Space
from .errors import ProgramError
from .expressions import FieldRef, Initial, LayerSum, MatrixRef, Product, ScalarRef, VectorRef
from .statements import Assign, Average, Compute, Learn, SiteMap, SquaredNorm, Statement
from .step import Step, reads, scalar_refs, symbols_of
from .unroll import flat_statements

_ASSIGNING = (Assign, SiteMap, Average, Compute, SquaredNorm)
_DEEPEST = 64  # a scan that is empty up to this depth is refused


def validate(program: Step) -> None:
    """Raise `ProgramError` naming the statement if ``program`` is ill-formed."""
    _check_declarations(program)
    _check_classes(program)
    _check_sums(program)
    _check_first_step(program)
    _check_updates(program)
    _check_indices(program)
    first = smallest_depth(program)
    for depth in range(first, first + 3):
        _check_order(program, depth)


def smallest_depth(program: Step) -> int:
    """Smallest depth at which every scan has at least zero layers (``h[first]`` is then its result).

    Raises
    ------
    ProgramError
        If there is none.
    """
    scans = dict.fromkeys(scan for scans, _ in program.walk() for scan in scans)
    integers = {s for s in program.parameters if s.is_integer}
    for depth in range(1, _DEEPEST + 1):
        short = [s for s in scans if s.layers.length.subs(dict.fromkeys(integers, depth)) < 0]
        if not short:
            return depth
    statement = str(short[0]).splitlines()[0].rstrip(":")
    raise ProgramError(f"{statement}: the range {short[0].layers} of layers ends before it starts, at every depth")


def _check_declarations(program: Step) -> None:
    owners: dict[str, object] = {}
    declared: list[Space | GaussianMatrix | RandomVector | Field | Scalar] = [*program.spaces, *program.matrices]
    for thing in [*declared, *program.vectors, *program.data_fields, *program.fields, *program.scalars]:
        known = owners.setdefault(thing.name, thing)
        if known != thing:
            raise ProgramError(f"the name {thing.name} is used for two different things")
    for scalar in program.given_anew:
        if scalar.name in {symbol.name for symbol in program.parameters}:
            raise ProgramError(f"the name {scalar.name} is used for a parameter and for what is given at every step")
    for words in zip(*((label.name, label.symbol, label.other, label.size) for label in program.labels), strict=True):
        for word in words:
            if words.count(word) > 1 and not isinstance(word, sp.Integer):
                raise ProgramError(f"{word} is used for two different labels")
    names = [observable.name for observable in program.observables]
    for name in names:
        if names.count(name) > 1:
            raise ProgramError(f"observe {name}: a scalar of this name is already reported")


def _check_classes(program: Step) -> None:
    """Numbers of classes stand where sites of the classes are."""
    if len(program.classes) > 1:
        raise ProgramError(f"{' and '.join(map(str, program.classes))}: allowed are the classes of one space")
    known = {symbol.name for symbol in program.parameters}
    known |= {str(symbol) for label in program.labels for symbol in (label.symbol, label.other, label.size)}
    for classes in program.classes:
        for symbol in (classes.label.symbol, classes.label.other, classes.label.size):
            if symbol.name in known:
                raise ProgramError(f"the name {symbol} is used for classes of sites, and for a parameter or a label")
    for vector in program.vectors:
        _check_indices_of_class(vector.variance, vector.space, f"vector {vector}")
    for _, statement in program.walk():
        if isinstance(statement, Assign):
            for coefficient, _ in statement.value.terms:
                _check_indices_of_class(coefficient, statement.target.space, str(statement))
        elif any(classes.label.symbol in symbols_of(statement) for classes in program.classes):
            raise ProgramError(f"{statement}: numbers of classes are for sums of fields, and variances of vectors")


def _check_indices_of_class(value: sp.Expr, space: Space, where: str) -> None:
    own = None if space.classes is None else space.classes.label.symbol
    for number in class_values(value):
        if number.args != (own,):
            raise ProgramError(f"{where}: {number} is a number of classes that space {space} does not have")


def _check_sums(program: Step) -> None:
    for _, statement in program.walk():
        if isinstance(statement, Assign) and any(isinstance(atom, LayerSum) for _, atom in statement.value.terms):
            raise ProgramError(f"{statement}: a training step adds up layers in a scan; sums are for level two")


def _check_first_step(program: Step) -> None:
    """Scalars at the first step are for functions of scalars, fields for sums; what is given has no steps."""
    for _, statement in program.walk():
        allowed = [ref for _, ref in statement.arguments] if isinstance(statement, Compute) else []
        for ref in scalar_refs(statement):
            if ref.initial and (ref not in allowed or ref.scalar.data):
                raise ProgramError(f"{statement}: allowed at the first step are scalars that a scalar is computed from")
        atoms = [atom for _, atom in statement.value.terms] if isinstance(statement, Assign) else []
        if any(isinstance(atom, Initial) and atom.field.field.data for atom in atoms):
            raise ProgramError(f"{statement}: allowed at the first step are fields that are computed")


def _check_updates(program: Step) -> None:
    seen = set()
    for _, statement in program.walk():
        if not isinstance(statement, Learn):
            continue
        target = statement.target
        if target in seen:
            raise ProgramError(f"{statement}: {target} is already learned by another statement")
        seen.add(target)
        if isinstance(target, VectorRef):
            sides = {(term.left.space, term.right) for term in statement.terms}
            if any(space != target.space or right is not None for space, right in sides):
                raise ProgramError(f"{statement}: a vector of space {target.space} learns fields of that space")
            continue
        matrix = target.matrix
        if matrix.fresh:
            raise ProgramError(f"{statement}: {matrix.name} is drawn anew at every step and cannot learn")
        for term in statement.terms:
            if term.right is None or (term.left.space, term.right.space) != (matrix.target, matrix.source):
                raise ProgramError(
                    f"{statement}: the update of {matrix.name} ({matrix.source} -> {matrix.target}) is a sum of "
                    f"left right^T with left in {matrix.target} and right in {matrix.source}"
                )


def _check_indices(program: Step) -> None:
    """The index of a scan has a value inside of it only."""
    indices = {scan.index for scans, _ in program.walk() for scan in scans}
    for scans, statement in program.walk():
        for symbol in (symbols_of(statement) & indices) - {scan.index for scan in scans}:
            raise ProgramError(f"{statement}: {symbol} counts the layers of a scan and has no value outside of it")


def _check_layer(statement: Statement, ref: FieldRef | ScalarRef | MatrixRef, integers: dict[sp.Symbol, int]) -> None:
    """A member of a family is one of its layers."""
    layers = ref.declared.layers
    if layers is not None and ref.layer not in layers.at(integers):
        symbols = layers.start.free_symbols | layers.stop.free_symbols
        at = "".join(f" at {symbol} = {integers[symbol]}" for symbol in symbols)
        raise ProgramError(f"{statement}: there is no {ref}, the layers are {layers}{at}")


def _check_order(program: Step, depth: int) -> None:
    integers = {s for s in program.parameters if s.is_integer}
    statements = flat_statements(program, dict.fromkeys(integers, depth))
    assigned: dict[FieldRef | ScalarRef, Statement] = {}
    targets = {s.target for s in statements if isinstance(s, _ASSIGNING)}
    for statement in statements:
        for ref in reads(statement):
            if isinstance(ref, VectorRef) or ref in assigned or ref.declared.data:
                continue
            if ref in targets:
                raise ProgramError(
                    f"{statement}: {ref} is read before it is assigned (a cycle within the step, or a wrong order)"
                )
            raise ProgramError(f"{statement}: {ref} is never assigned")
        for matrix in _matrices(statement):
            _check_layer(statement, matrix, dict.fromkeys(integers, depth))
        if isinstance(statement, _ASSIGNING):
            _check_layer(statement, statement.target, dict.fromkeys(integers, depth))
            if statement.target in assigned or statement.target.declared.data:
                raise ProgramError(f"{statement}: {statement.target} is already assigned in this step")
            assigned[statement.target] = statement


def _matrices(statement: Statement) -> list[MatrixRef]:
    """Matrices that a statement applies."""
    if not isinstance(statement, Assign):
        return []
    return [atom.matrix for _, atom in statement.value.terms if isinstance(atom, Product)]
