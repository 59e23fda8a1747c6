"""Products and polynomials of the matrices of a network, written by the user as a function on traced vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, Protocol

from dmft_sym.networks.vectors import Mean, Member, Vector, WeightsMember
from dmft_sym.program import (
    Assign,
    Field,
    FieldRef,
    Linear,
    MatrixRef,
    Product,
    Program,
    ProgramError,
    Space,
    Statement,
)
from dmft_sym.support.messages import show

from .matrix_program import MatrixProgram, fresh_name
from .transpose import transpose


class HasProgram(Protocol):
    """A theory."""

    @property
    def program(self) -> Program:
        """The program of its training."""


class MatrixRecorder:
    """Records what a function does to a vector; ``m[name]`` is a matrix of the trained network."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.statements: list[Statement] = []
        self._count = 0

    def __getitem__(self, name: str) -> WeightsMember:
        from .catalogue import find_matrix

        matrix, member = find_matrix(self.program, name)
        if matrix.layers is not None and member is None:
            raise ProgramError(f"matrix = {name!r}: allowed in a product is one member, such as {matrix.name}1")
        return WeightsMember(self, MatrixRef(matrix, member))

    def as_field(self, vector: Vector) -> FieldRef:
        """The vector as a field that a matrix can act on."""
        if not isinstance(vector, Vector):
            raise ProgramError(f"expected a traced vector, got {type(vector).__name__}")
        if held := vector.value.only:
            return held
        self._count += 1
        return self.assign(f"a{self._count}", vector).value.terms[0][1]  # type: ignore[return-value]

    def assign(self, name: str | Member, vector: Vector) -> Vector:
        """Name a vector; see `Vector.named`."""
        if isinstance(name, Member):
            raise ProgramError(f"{name.ref}: allowed as a name inside of an operator is a text")
        ref = FieldRef(Field(fresh_name(name, self.program), vector.space))
        self.statements.append(Assign(ref, vector.value))
        return Vector(self, Linear.of(ref), vector.space)

    def apply(self, function: Callable[..., object], *arguments: Vector | Mean) -> NoReturn:
        """Refuse site-wise functions."""
        raise ProgramError("functions of sites inside of an operator: allowed are products, sums and numbers")

    def multiply(self, ref: MatrixRef, transposed: bool, vector: Vector) -> Vector:
        """A matrix, or its transpose, times a vector."""
        product = Product(ref, self.as_field(vector), transposed)
        return Vector(self, Linear.of(product), product.space)


def operator(
    theory: HasProgram | Program,
    function: Callable[[MatrixRecorder, Vector], Vector],
    source: str,
    *,
    name: str = "M",
    symmetric: bool = False,
) -> MatrixProgram:
    """A matrix made of the matrices of a network: a product, a sum, any polynomial of them.

    It stands in place of a name in ``theory.bulk``, ``theory.spikes``, `dmft_sym.spectrum`, `dmft_sym.simulate` and
    `dmft_sym.critical`.

    Parameters
    ----------
    theory
        The theory of the network (or its program).
    function
        ``function(m, x)`` returns the matrix applied to the vector ``x``, e.g. ``m["W1"] @ (m["W0"] @ x)``. ``m[name]``
        is a matrix of the trained network, ``m[name].T`` its transpose; vectors are added and multiplied by numbers and
        by parameters of the network.
    source
        Space of ``x``: ``"D"`` (inputs), ``"P"`` (samples), or a hidden one by the name it has in the forward pass,
        ``"N"`` in the standard networks.
    name
        What results call it; not that of a matrix of the network.
    symmetric
        Whether the matrix is symmetric by construction, so that eigenvalues are meant and not singular values.

    Returns
    -------
    MatrixProgram

    Raises
    ------
    ProgramError
        Naming a matrix or a space that does not exist.

    See Also
    --------
    spectrum : takes it in place of a name.

    References
    ----------
    arXiv:2605.07870; linear pencils as in Haagerup, Thorbjornsen, Ann. Math. 162, 711 (2005).

    Examples
    --------
    The map from inputs to the last hidden layer, in symbols and in numbers:

    >>> import dmft_sym as ds
    >>> theory = ds.derive(ds.deep_linear(2))
    >>> product = ds.operator(theory, lambda m, x: m["W1"] @ (m["W0"] @ x), "D", name="W1 W0")
    >>> bulk, spikes = theory.bulk(product), theory.spikes(product)
    >>> found = ds.spectrum(
    ...     theory, matrices=[product, "W1"], at=[19], steps=20, samples_per_dim=4, width_per_dim=1, richness=8,
    ...     learning_rate=0.02, label_noise=0.3,
    ... )
    >>> found.matrix.values.tolist()
    ['W1 W0', 'W1']
    """
    program = theory if isinstance(theory, Program) else getattr(theory, "program", None)
    if not isinstance(program, Program):
        raise ProgramError(f"operator: theory = {show(theory)}: allowed is what derive(...) returns")
    space = _space(program, source)
    recorder = MatrixRecorder(program)
    start = FieldRef(Field(fresh_name("a", program), space))
    result = function(recorder, Vector(recorder, Linear.of(start), space))
    end = FieldRef(Field(fresh_name("Ma", program), result.space))
    statements = (*recorder.statements, Assign(end, result.value))
    if symmetric:
        if result.space != space:
            raise ProgramError(f"{name}: a symmetric matrix maps {space} to itself, this one goes to {result.space}")
        return MatrixProgram(name, program, statements, start, end)
    seed = FieldRef(Field(fresh_name("b", program), result.space))
    back, last = transpose(statements, start, end, seed, program)
    return MatrixProgram(name, program, statements, start, end, back, seed, last)


def _space(program: Program, name: str) -> Space:
    known = {space.name: space for space in program.spaces}
    if name not in known:
        raise ProgramError(f"source = {name!r}: allowed are {', '.join(known)}")
    return known[name]
