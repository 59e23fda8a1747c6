"""Two-time order parameters from the fields of recorded steps: correlations, and responses where they are defined."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.execution import ExecutionError, ExecutionResult
from dmft_sym.execution.coordinates import GrowingCoordinates, Side
from dmft_sym.execution.interface import Array
from dmft_sym.execution.plan import Combine, MatrixKey, Multiply, Plan
from dmft_sym.program import FieldRef

RESPONSE_ERROR = 1e-4
"""A response is given while ``tol`` times the condition number of the noise, the order of its error, stays below."""


def field(result: ExecutionResult, name: str, layer: int | None = None) -> FieldRef:
    """The reference of a field by its name in the program and, for a family, its layer."""
    return next(ref for ref in result.fields if ref.key == (name, layer))


def correlation(result: ExecutionResult, a: FieldRef, b: FieldRef | None = None) -> NDArray[Any]:
    """``<a_c(t) b_d(s)>`` between all recorded steps, ``<a a>`` without ``b``.

    Returns
    -------
    ndarray, shape (S, C, S, C)
        Indices ``t, c, s, d``. Fields of different sectors of a space are orthogonal in the infinite network.

    Raises
    ------
    ExecutionError
        If the fields live in different spaces, or nothing was recorded.
    """
    b = a if b is None else b
    if a.space != b.space:
        raise ExecutionError(f"<{a} {b}>: {a} lives in space {a.space}, {b} in {b.space}")
    left, right = _stacked(result, a), _stacked(result, b)
    steps, outputs = left.shape[:2]
    sector_a, sector_b = _sector(result, a), _sector(result, b)
    growing = isinstance(result.arithmetic, GrowingCoordinates)
    if growing and sector_a != sector_b:
        return np.zeros((steps, outputs, steps, outputs))
    overlap = np.einsum("tci,sdi->tcsd", left, right, optimize=True) * result.arithmetic.overlap(sector_a)
    if growing and result.arithmetic.plan.sectors[sector_a].ephemeral:
        # The coordinates of such a sector are drawn anew at every step: different steps are independent.
        overlap *= np.eye(steps)[:, None, :, None]
    return overlap


def response(result: ExecutionResult, a: FieldRef, operand: FieldRef, matrix: MatrixKey) -> NDArray[Any]:
    """Response ``<d a_c(t) / d u_d(s)>`` to the Gaussian noise ``u(s)`` of the product of ``matrix`` with ``operand``.

    The noise of a forward product is ``u(s) = sum_k <p_k h(s)> sqrt(s2) e_k`` and a field is a combination of the
    ``e_k``, of which the responses are the coefficients with respect to the ``u(s)``: ``F = R U`` is solved for ``R``.
    If the fields vary slowly the ``u(s)`` are almost linearly dependent and only the product ``R U`` has a meaning.

    Returns
    -------
    ndarray, shape (S, C, S, C)
        Indices ``t, c, s, d``; the product is meant without its coefficient, the noise with the factor that weight
        decay has left.

    Raises
    ------
    ExecutionError
        If the steps ``0..S-1`` were not all recorded, if there is no such product, if the network is finite, or if the
        noise is too ill-conditioned.
    """
    arithmetic = result.arithmetic
    if not isinstance(arithmetic, GrowingCoordinates):
        raise ExecutionError("responses need coordinates: a finite network does not know its Gaussian noise")
    if result.recorded != list(range(result.steps)):
        raise ExecutionError("responses need every step: record_steps=range(steps)")
    product = _find_product(result, operand, matrix)
    side, scale = noise_side(arithmetic, product)
    operands = _operands(result, product)
    own = operands.index(operand)
    noise = np.concatenate([noise_rows(result, ref, side, scale, product.matrix) for ref in operands])
    field = _stacked(result, a)
    steps, outputs = field.shape[:2]
    if _sector(result, a) != far_sector(arithmetic, product):
        return np.zeros((steps, outputs, steps, outputs))
    along = np.zeros((steps * outputs, len(side.noise)))
    known = [k for k, coordinate in enumerate(side.noise) if coordinate < field.shape[2]]
    along[:, known] = field.reshape(steps * outputs, -1)[:, [side.noise[k] for k in known]]
    solved = _solve(noise, along, arithmetic.tol, f"response of {a} to the noise of {matrix[0]} {operand}")
    block = slice(own * steps * outputs, (own + 1) * steps * outputs)
    return solved[:, block].reshape(steps, outputs, steps, outputs)


def _solve(noise: Array, along: Array, tol: float, what: str) -> Array:
    """``R`` of ``along = R noise``."""
    condition = float(np.linalg.cond(noise)) if noise.shape[0] <= noise.shape[1] else np.inf
    if not condition * tol < RESPONSE_ERROR:
        raise ExecutionError(
            f"{what}: the noise has condition number {condition:.1e}, allowed at tol = {tol:g} is "
            f"{RESPONSE_ERROR / tol:.0e}; use fewer steps, a smaller tol, or the causal march"
        )
    return np.linalg.lstsq(noise.T, along.T, rcond=None)[0].T


def noise_rows(result: ExecutionResult, operand: FieldRef, side: Side, scale: float, matrix: int) -> Array:
    """Coefficients of ``u(s, d)`` along the ``e_k``, shape (S * C, directions)."""
    fields = _stacked(result, operand)
    steps, outputs, size = fields.shape
    directions = side.directions.basis[: side.directions.count, :size]
    rows = fields.reshape(steps * outputs, size) @ directions.T
    plan = result.arithmetic.plan
    learned = plan.matrices[matrix].learned
    retention = plan.recursion.retention(np.arange(steps)) if learned else np.ones(steps)
    return scale * np.repeat(retention, outputs)[:, None] * rows


def noise_side(arithmetic: GrowingCoordinates, product: Multiply) -> tuple[Side, float]:
    """The side that a product opens, and the standard deviation of its noise in the units of the field."""
    matrix = arithmetic.matrices[product.matrix]
    spec = matrix.spec
    if spec.fresh:
        raise ExecutionError(f"matrix {spec.key[0]} is drawn anew at every step: its noise is not kept")
    if not product.transpose:
        return matrix.forward, matrix.forward.std
    if spec.inverse_aspect == 0:
        raise ExecutionError(f"matrix {spec.key[0]}: the noise of its transpose vanishes at an infinite ratio")
    return matrix.backward, matrix.backward.std / spec.inverse_aspect


def products_of(plan: Plan) -> list[Multiply]:
    """Every product with a matrix, in program order."""
    return [product for step in plan.steps if isinstance(step, Combine) for product in step.products]


def _find_product(result: ExecutionResult, operand: FieldRef, key: MatrixKey) -> Multiply:
    plan = result.arithmetic.plan
    for product in products_of(plan):
        if plan.matrices[product.matrix].key == key and product.operand == plan.fields[operand]:
            return product
    raise ExecutionError(f"no product of {key[0]} with {operand} in this program")


def _operands(result: ExecutionResult, product: Multiply) -> list[FieldRef]:
    """Every field that the same side of the same matrix is applied to."""
    plan = result.arithmetic.plan
    slots = {
        other.operand
        for other in products_of(plan)
        if (other.matrix, other.transpose) == (product.matrix, product.transpose)
    }
    return [ref for ref, slot in plan.fields.items() if slot in slots]


def far_sector(arithmetic: GrowingCoordinates, product: Multiply) -> int:
    spec = arithmetic.plan.matrices[product.matrix]
    return spec.source if product.transpose else spec.target


def _sector(result: ExecutionResult, ref: FieldRef) -> int:
    return result.arithmetic.plan.slots[result.arithmetic.plan.fields[ref]]


def _stacked(result: ExecutionResult, ref: FieldRef) -> Array:
    """A recorded field over time, shape (S, C, size), padded with zeros."""
    snapshots = result.fields.get(ref)
    if not snapshots:
        raise ExecutionError(f"{ref}: no steps were recorded, ask for them with record_steps")
    size = max(snapshot.shape[1] for snapshot in snapshots)
    return np.stack([np.pad(s, ((0, 0), (0, size - s.shape[1]))) for s in snapshots])
