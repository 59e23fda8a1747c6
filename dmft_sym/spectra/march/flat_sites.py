"""Single-site equations of the level-two fields at integer depth: sums written out, coefficients still symbolic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import sympy as sp

from dmft_sym.derivation.single_site import Noise, ResponseMemory, SiteEquation, UpdateMemory, VectorMemory
from dmft_sym.derivation.uses import Use
from dmft_sym.program import FieldRef, GaussianMatrix, LayerRange, ProgramError
from dmft_sym.spectra.equations.joint import JointDerivation
from dmft_sym.spectra.equations.site_group import level_two, operand

NoiseAt: TypeAlias = tuple[Noise, int | None]
Integers: TypeAlias = Mapping[sp.Symbol, int]


@dataclass(frozen=True)
class MatrixSide:
    """One direction of one matrix: the places ``x_i = A h_i`` (or ``y_j = A^T g_j``) with a common averaging rule."""

    matrix: GaussianMatrix
    member: int | None
    transpose: bool

    @property
    def opposite(self) -> MatrixSide:
        """The other direction of the same matrix."""
        return MatrixSide(self.matrix, self.member, not self.transpose)

    def __str__(self) -> str:
        member = "" if self.member is None else f"[{self.member}]"
        return f"{self.matrix.name}{member}{'^T' if self.transpose else ''}"


@dataclass(frozen=True)
class ResponseTerm:
    """``coefficient * sum_s R[row, noise(s)] field(s)``; at level two there is no sum over steps."""

    coefficient: sp.Expr
    row: FieldRef
    noise: NoiseAt
    field: FieldRef
    retained: bool


@dataclass(frozen=True)
class UpdateTerm:
    """``coefficient * sum_{s<t} kappa(t-s) <past(s) row> field(s)``."""

    coefficient: sp.Expr
    row: FieldRef
    past: FieldRef
    field: FieldRef


@dataclass
class FlatEquation:
    """``zeta F = locals + noises + responses + updates``, ``zeta`` the eigenvalue in an eigen-equation and else 1."""

    target: FieldRef
    eigen: bool
    noises: list[tuple[sp.Expr, NoiseAt, bool]] = field(default_factory=list)
    locals: list[tuple[sp.Expr, FieldRef]] = field(default_factory=list)
    responses: list[ResponseTerm] = field(default_factory=list)
    updates: list[UpdateTerm] = field(default_factory=list)


def flat_sites(joint: JointDerivation, integers: Integers) -> list[FlatEquation]:
    """The level-two equations, one per field, of the one matrix that is meant.

    Raises
    ------
    ProgramError
        If the matrix is a family and no member (or one that does not exist) was chosen.
    """
    flat = joint.matrix.flat(integers)
    eigen = {left for left, _ in flat.pairs}
    found = [e for equation in joint.site_equations for e in _instances(joint, equation, integers, eigen)]
    if joint.matrix.member is not None:
        member = sp.Integer(joint.matrix.member)
        found = [equation for equation in found if equation.target.layer == member]
    return found


def side_of(noise: NoiseAt) -> MatrixSide:
    """The matrix and the direction of the product that leaves a Gaussian field behind."""
    use, layer = noise[0].source, noise[1]
    assert isinstance(use, Use)
    member = None
    if use.family:
        member = int(use.member) if use.member is not None else layer
    return MatrixSide(use.matrix, member, use.transpose)


def operand_of(noise: NoiseAt) -> FieldRef:
    """What the matrix was applied to when the Gaussian field was left behind."""
    return operand(noise[0], None if noise[1] is None else sp.Integer(noise[1]))


def _instances(
    joint: JointDerivation, equation: SiteEquation, integers: Integers, eigen: set[FieldRef]
) -> Iterator[FlatEquation]:
    bounds: list[dict[sp.Symbol, int]] = [dict(integers)]
    for scan in equation.scans:
        bounds = [{**b, scan.index: layer} for b in bounds for layer in scan.layers.at(b)]
    for bound in bounds:
        yield _instance(joint, equation, bound, eigen)


def _instance(
    joint: JointDerivation, equation: SiteEquation, bound: dict[sp.Symbol, int], eigen: set[FieldRef]
) -> FlatEquation:
    target = equation.target.at(bound)
    flat = FlatEquation(target, target in eigen)
    factor = joint.eigenvalue if flat.eigen else sp.Integer(1)

    def value(coefficient: sp.Expr, inner: dict[sp.Symbol, int]) -> sp.Expr:
        return (factor * coefficient).subs(inner)

    for driven in equation.noises:
        flat.noises.append(
            (value(driven.coefficient, bound), (driven.noise, _layer(driven.layer, bound)), driven.retained)
        )
    for term in equation.locals:
        for inner in _sum(term.index, term.layers, bound):
            flat.locals.append((value(term.coefficient, inner), term.field.at(inner)))
    for memory in equation.memories:
        if isinstance(memory, VectorMemory):
            raise ProgramError(f"{equation.target}: a level-two field cannot contain a trained vector")
        for inner in _sum(memory.index, memory.layers, bound):
            coefficient = value(memory.coefficient, inner)
            row, remembered = memory.row.at(inner), memory.field.at(inner)
            if isinstance(memory, UpdateMemory):
                flat.updates.append(UpdateTerm(coefficient, row, memory.past.at(inner), remembered))
            elif isinstance(memory, ResponseMemory) and not (memory.noise.fresh and not level_two(memory.noise)):
                # What a fresh matrix did at earlier steps was another matrix.
                noise = (memory.noise, _layer(memory.noise_layer, inner))
                flat.responses.append(ResponseTerm(coefficient, row, noise, remembered, memory.retained))
    return flat


def _sum(
    index: sp.Symbol | None, layers: LayerRange | None, bound: dict[sp.Symbol, int]
) -> Iterator[dict[sp.Symbol, int]]:
    if index is None or layers is None:
        yield bound
        return
    for layer in layers.at(bound):
        yield {**bound, index: layer}


def _layer(layer: sp.Expr | None, bound: dict[sp.Symbol, int]) -> int | None:
    return None if layer is None else int(layer.subs(bound))
