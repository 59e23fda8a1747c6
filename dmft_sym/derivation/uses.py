"""Where a program uses its Gaussian matrices: the index sets of the averaging rule.

For a matrix ``A`` the labels ``i`` of forward products ``x_i = A h_i`` and ``j`` of transposed ones
``y_j = A^T g_j`` run over steps, outputs and every place where the matrix is used. A place inside a scan is
one `Use` with a layer index: for a matrix family the index names the independent member, for a shared matrix
it is one more label.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import sympy as sp

from dmft_sym.program import (
    Assign,
    Axes,
    FieldRef,
    ForLayers,
    GaussianMatrix,
    LayerRange,
    Product,
    Step,
)


@dataclass(frozen=True)
class Use:
    """One place where a program applies a Gaussian matrix (or its transpose).

    Attributes
    ----------
    operand
        What the matrix is applied to; its layer is an expression in ``index``.
    index, layers
        Layer index of the place and its range; ``None`` outside of scans.
    number, count
        Running number among the uses of this matrix in this direction, and how many there are.
    mark
        What stands before the number in the label.
    member
        The one member of a family that is used, if the place is outside of scans.
    level_two
        Whether the place is in a program about the trained matrices, which does not act back on training.
    """

    matrix: GaussianMatrix
    transpose: bool
    operand: FieldRef
    index: sp.Symbol | None
    layers: LayerRange | None
    number: int = 0
    count: int = 1
    mark: str = "_"
    member: sp.Expr | None = None
    level_two: bool = False

    @property
    def family(self) -> bool:
        """Whether the layer index selects an independent member of a matrix family."""
        return self.matrix.layers is not None

    @property
    def label(self) -> str:
        """Name for equations and generated arrays, unique within the program: ``W``, ``W_2`` (or ``W_use2``).

        Level-two places carry the name of their operand.
        """
        tail = f"{self.mark}{self.number + 1}" if self.count > 1 else ""
        if self.level_two:
            tail = f"_{self.operand.field.name}" + tail
        return self.matrix.name + tail

    @property
    def place(self) -> tuple[object, ...]:
        """What tells it from the other uses of the matrix in its direction."""
        return self.operand, self.index, self.layers, self.member

    def independent_of(self, other: Use) -> bool:
        """Whether the two places use different members of a family."""
        return None not in (self.member, other.member) and self.member != other.member

    @property
    def noise_name(self) -> str:
        """Name of the Gaussian field that this product leaves behind: ``u_...`` or ``r_...``."""
        return ("r_" if self.transpose else "u_") + self.label

    def operand_at(self, layer: sp.Expr | None) -> FieldRef:
        """The operand at a given value of the layer index."""
        if self.index is None or layer is None or self.operand.layer is None:
            return self.operand
        return FieldRef(self.operand.field, self.operand.layer.subs(self.index, layer))


@dataclass(frozen=True)
class MatrixUses:
    """Forward and transposed uses of one Gaussian matrix (or matrix family)."""

    matrix: GaussianMatrix
    forward: tuple[Use, ...]
    transposed: tuple[Use, ...]
    labels: Axes  # of the program

    @property
    def random(self) -> bool:
        """Whether there is anything to average over: a matrix that starts at zero is all that it has learned."""
        return bool(self.matrix.variance != 0)


class UseTable:
    """All uses of the matrices of a program, and which use every product belongs to.

    ``known`` is the table of a part of the program (training): its places keep their names, and the places that are new
    are of level two.
    """

    def __init__(self, program: Step, known: UseTable | None = None) -> None:
        self.labels = program.labels
        found: dict[tuple[GaussianMatrix, bool], list[Use]] = {}
        for scans, _, _, product in program.products():
            use = _use(product, scans)
            places = found.setdefault((use.matrix, use.transpose), [])
            if use not in places:
                places.append(use)
        self._uses: dict[tuple[GaussianMatrix, bool], list[Use]] = {}
        names_of_matrices = [matrix.name for matrix, _ in found]
        for key, places in found.items():
            old = [] if known is None else known._uses.get(key, [])
            new = places[len(old) :]
            names = [use.operand.field.name for use in new]
            self._uses[key] = old + [
                replace(
                    use,
                    number=number if known is None else names[:number].count(names[number]),
                    count=len(new) if known is None else names.count(names[number]),
                    level_two=known is not None,
                    mark=_mark(key[0].name, names_of_matrices),
                )
                for number, use in enumerate(new)
            ]

    def of_product(self, product: Product, scans: tuple[ForLayers, ...]) -> Use:
        """The use that a product of the program belongs to."""
        bare = _use(product, scans)
        for use in self._uses[bare.matrix, bare.transpose]:
            if use.place == bare.place:
                return use
        raise KeyError(str(product))

    def forward(self, matrix: GaussianMatrix) -> tuple[Use, ...]:
        """Uses ``x = A h``."""
        return tuple(self._uses.get((matrix, False), ()))

    def transposed(self, matrix: GaussianMatrix) -> tuple[Use, ...]:
        """Uses ``y = A^T g``."""
        return tuple(self._uses.get((matrix, True), ()))

    def partners(self, use: Use) -> tuple[Use, ...]:
        """Uses of the same matrix in the other direction: the ``j`` for an ``i`` and the reverse."""
        return self.forward(use.matrix) if use.transpose else self.transposed(use.matrix)

    def siblings(self, use: Use) -> tuple[Use, ...]:
        """Uses of the same matrix in the same direction, itself included."""
        return self.transposed(use.matrix) if use.transpose else self.forward(use.matrix)

    @property
    def matrices(self) -> tuple[MatrixUses, ...]:
        """Every matrix with its uses, in program order."""
        names = dict.fromkeys(matrix for matrix, _ in self._uses)
        return tuple(MatrixUses(m, self.forward(m), self.transposed(m), self.labels) for m in names)

    @property
    def all(self) -> tuple[Use, ...]:
        """Every use."""
        return tuple(use for places in self._uses.values() for use in places)


def _mark(name: str, names: list[str]) -> str:
    """What to put between a matrix' name and a number, so that no other matrix is called like that: ``_``, ``_use``."""
    mark = "_"
    while any(other.startswith(name + mark) and other[len(name + mark) :][:1].isdigit() for other in names):
        mark = "_use" if mark == "_" else mark + "x"
    return mark


def _use(product: Product, scans: tuple[ForLayers, ...]) -> Use:
    matrix = product.matrix.matrix
    index = layers = None
    if scans:
        (scan,) = scans
        moves = product.operand.layer is not None and scan.index in product.operand.layer.free_symbols
        if matrix.layers is not None or moves:
            index, layers = scan.index, scan.layers
    member = product.matrix.layer if not scans else None
    return Use(matrix, product.transpose, product.operand, index, layers, member=member)


def assigns(program: Step) -> list[tuple[tuple[ForLayers, ...], Assign]]:
    """The assignments of a program with the scans around them, in program order."""
    return [(scans, s) for scans, s in program.walk() if isinstance(s, Assign)]
