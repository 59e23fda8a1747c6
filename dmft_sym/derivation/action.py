"""The MSRDJ action of a program, before and after the average over its Gaussian matrices.

Every product is enforced by a conjugate field, ``x_i = A h_i`` by ``xhat_i`` and ``y_j = A^T g_j`` by
``yhat_j``. ``A`` then enters the exponent linearly, through ``-i Tr A^T Xi`` with
``Xi = sum_i xhat_i h_i^T + sum_j g_j yhat_j^T``, and the average over its entries ``N(0, s2/n_in)`` is
``exp(-(s2 / 2 n_in) |Xi|^2)`` (arXiv:2205.09653, appendix D; arXiv:2502.02531).

All expressions are per site of the reference space (``S / n``) and stand under sums over the labels of the
two places they connect; the sums are over ordered pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from dmft_sym.program import LAYER, PAST_STEP, STEP, Axes
from dmft_sym.program.labels import elsewhere, here

from .symbols import (
    ConjugateCorrelation,
    ConjugateResponse,
    Correlation,
    FieldAt,
    Gram,
    HatAt,
    Labelled,
    NoiseAt,
    Overlap,
    Response,
    field_at,
    values_of,
)
from .uses import MatrixUses, Use


@dataclass(frozen=True)
class Place:
    """One use at explicit labels: the four fields of the path integral that meet there.

    ``left`` and ``right`` are the factors of its term of ``Xi`` (target and source side).
    """

    use: Use
    product: FieldAt
    hat: HatAt
    noise: NoiseAt
    operand: FieldAt

    @property
    def left(self) -> Labelled:
        """Factor in the target space."""
        return self.operand if self.use.transpose else self.hat

    @property
    def right(self) -> Labelled:
        """Factor in the source space."""
        return self.hat if self.use.transpose else self.operand


def place(use: Use, labels: Axes, second: bool = False) -> Place:
    """The use at labels ``(t, mu, c)``, or at ``(s, nu, c')`` as second member of a pair.

    It has those of the ``labels`` of the program that its operand has.
    The layer index of a shared matrix is a label of its own and gets its own symbol in the second member.
    """
    step, at = (PAST_STEP, elsewhere) if second else (STEP, here)
    layer = use.index
    if second and layer is not None and not use.family:
        layer = LAYER.other
    prefix = "y" if use.transpose else "x"
    operand = use.operand_at(layer)
    values = values_of(operand, step, at, labels)
    return Place(
        use,
        FieldAt.of(f"{prefix}_{use.label}", layer, values),
        HatAt.of(f"{prefix}hat_{use.label}", layer, values),
        NoiseAt.of(use.noise_name, layer, values),
        field_at(operand, step, at, labels),
    )


@dataclass(frozen=True)
class PairTerm:
    """One summand of an action: an expression under a sum over the labels of two places."""

    first: Place
    second: Place
    expression: sp.Expr


@dataclass(frozen=True)
class MatrixAction:
    """What one Gaussian matrix contributes to the action.

    Attributes
    ----------
    coupling
        ``-i Tr A^T Xi``: the summands ``-i left . A right`` before the average, one per use.
    averaged
        After the average: products of overlaps.
    substituted
        The same with overlaps named as order parameters.
    constraints
        Order parameters tied to the fields by their conjugates.
    """

    uses: MatrixUses
    coupling: tuple[Place, ...]
    averaged: tuple[PairTerm, ...]
    substituted: tuple[PairTerm, ...]
    constraints: tuple[PairTerm, ...]


def matrix_action(uses: MatrixUses) -> MatrixAction:
    """Average over one matrix and name the overlaps."""
    pairs = [(a, b, 1) for side in (uses.forward, uses.transposed) for a in side for b in side]
    # |Xi|^2 holds every cross term twice, as (i, j) and as (j, i).
    pairs += [(a, b, 2) for a in uses.forward for b in uses.transposed]
    averaged = [_averaged(a, b, uses.labels, weight) for a, b, weight in pairs if not a.independent_of(b)]
    substituted = tuple(
        PairTerm(term.first, term.second, term.expression.xreplace(_names(term.first, term.second)))
        for term in averaged
    )
    constraints = tuple(
        PairTerm(term.first, term.second, expression)
        for term in averaged
        for expression in _constraints(term.first, term.second)
    )
    everything = uses.forward + uses.transposed
    return MatrixAction(
        uses, tuple(place(u, uses.labels) for u in everything), tuple(averaged), substituted, constraints
    )


def _averaged(a: Use, b: Use, labels: Axes, weight: int) -> PairTerm:
    """The pair's part of ``-(s2 / 2 n_in) |Xi|^2 / n``, from the Gaussian integral over the entries."""
    first, second = place(a, labels), place(b, labels, second=True)
    matrix = a.matrix
    size = sp.Symbol("n", positive=True)
    n_target, n_source = matrix.target.ratio * size, matrix.source.ratio * size
    square = (n_target * Overlap(first.left, second.left)) * (n_source * Overlap(first.right, second.right))
    exponent = -matrix.variance / (2 * n_source) * weight * square
    return PairTerm(first, second, sp.cancel(exponent / size))


def _names(first: Place, second: Place) -> dict[sp.Expr, sp.Expr]:
    """Names of the overlaps of a pair of places; overlaps of two conjugate fields keep theirs.

    ``(1/n_out) xhat . g = i R_{g u}`` and ``(1/n_in) yhat . h = i R_{h r}``.
    """
    if first.use.transpose == second.use.transpose:
        pair = first.operand, second.operand
        return {Overlap(*pair): operand_overlap(first, second)}
    return {
        Overlap(one.hat, other.operand): sp.I * Response(other.operand, one.noise)
        for one, other in ((first, second), (second, first))
    }


def operand_overlap(first: Place, second: Place) -> Correlation | Gram:
    """What the overlap of the operands of two places of one direction is called."""
    made = Gram if first.use.operand.space.finite else Correlation
    return made(first.operand, second.operand)


def _constraints(first: Place, second: Place) -> list[sp.Expr]:
    """``conjugate * (order parameter - overlap)`` for the overlaps of a pair of places.

    For places of one direction it is the correlation of the operands; for places of opposite directions
    the responses of each operand to the other place's noise. Overlaps of given inputs are numbers already.
    """
    if first.use.operand.space.finite:
        return []
    if first.use.transpose == second.use.transpose:
        pair = first.operand, second.operand
        ratio = first.use.operand.space.ratio
        return [ratio * ConjugateCorrelation(*pair) * (Correlation(*pair) - Overlap(*pair))]
    found = []
    for one, other in ((first, second), (second, first)):
        conjugate = ConjugateResponse(other.operand, one.noise)
        overlap = sp.I * Overlap(one.hat, other.operand)
        found.append(other.use.operand.space.ratio * conjugate * (Response(other.operand, one.noise) + overlap))
    return found
