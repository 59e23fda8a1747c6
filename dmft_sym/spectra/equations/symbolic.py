"""Symbolic results of level two: what ``theory.bulk(...)`` and ``theory.spikes(...)`` return."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dmft_sym.derivation.derived import DerivedEquations
from dmft_sym.derivation.equations import Equations
from dmft_sym.program import ProgramError
from dmft_sym.spectra.matrices.catalogue import KERNEL, matrix_program
from dmft_sym.spectra.matrices.matrix_program import MatrixProgram
from dmft_sym.spectra.methods import DEPENDENCE

from .bulk_equations import BulkEquations, bulk_equations
from .joint import JointDerivation
from .site_group import SiteGroups
from .spike_equations import SpikeEquations, spike_equations

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem


def joint_derivation(theory: Problem, matrix: str | MatrixProgram) -> JointDerivation:
    """The stages of the derivation for a matrix by name, or for one that `operator` made.

    Raises
    ------
    ProgramError
        If there is no such matrix, or if it belongs to another program.
    """
    if isinstance(matrix, str):
        _check_finite(theory, matrix)
        matrix = matrix_program(theory.program, matrix)
    if not isinstance(matrix, MatrixProgram) or matrix.program != theory.program:
        raise ProgramError(f"matrix = {matrix!r:.60}: allowed is a name, or a matrix of this theory's program")
    # Members of a family share one derivation.
    bare = replace(matrix, member=None, name="")
    known = theory.joint_derivations.get(bare)
    joint = JointDerivation(matrix, theory) if known is None else known.renamed(matrix)
    theory.joint_derivations.setdefault(bare, joint)
    return joint


def _check_finite(theory: Problem, name: str) -> None:
    """Refuse matrices with finitely many rows or columns, whose spectra are those of arrays of numbers."""
    inputs = {matrix.name for matrix in theory.program.matrices if matrix.source.finite}
    if theory.program.data_fields and name in {KERNEL, *inputs}:
        is_kernel = name == KERNEL
        what = "is over samples, the variable NTK of results" if is_kernel else "has given inputs on one side"
        raise ProgramError(f"matrix = {name!r}: allowed are matrices between hidden layers; this one {what}")


def symbolic_bulk(theory: Problem, matrix: str | MatrixProgram) -> BulkEquations:
    """The matrix Dyson equation of the bulk."""
    return bulk_equations(SiteGroups(theory, _of_sites_alike(joint_derivation(theory, matrix))))


def symbolic_spikes(theory: Problem, matrix: str | MatrixProgram, dependence: str = "joint") -> SpikeEquations:
    """The spike condition ``J(z) x = x``.

    Raises
    ------
    ProgramError
        If ``dependence`` is neither ``"joint"`` nor ``"independent"``.
    """
    if dependence not in DEPENDENCE:
        raise ProgramError(f"dependence = {dependence!r}: allowed are {', '.join(DEPENDENCE)}")
    return spike_equations(SiteGroups(theory, _of_sites_alike(joint_derivation(theory, matrix))), dependence)


def _of_sites_alike(joint: JointDerivation) -> JointDerivation:
    """Refuse equations in which every class of sites would have bulk responses of its own."""
    if joint.matrix.of_classes:
        raise ProgramError(
            f"equations of {joint.matrix.name}: allowed are those of weight matrices, as it depends on the classes of "
            "sites; its numbers are ds.spectrum(...)"
        )
    return joint


class TheoryEquations(DerivedEquations):
    """The equations of training and of the spectra of its matrices, as sequences of labelled `sympy.Eq`.

    Parameters
    ----------
    theory
        The theory they belong to.

    See Also
    --------
    Theory.equations : those of a theory.
    Theory.limit : equations of limits.

    References
    ----------
    arXiv:2205.09653, arXiv:2502.02531; spectra: arXiv:2605.07870.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> equations = ds.derive(ds.deep_linear(depth=2)).equations
    >>> equations.closed["train_loss"]
    Eq(train_loss(t, c), C_r(t, c, t, c))
    >>> equations.bulk("W1").labels
    ('m_b', 'm_a')
    """

    def __init__(self, theory: Problem) -> None:
        super().__init__(theory)
        self._theory = theory

    def bulk(self, matrix: str | MatrixProgram) -> Equations:
        """The matrix Dyson equation of the bulk of a trained matrix; see `Theory.bulk`."""
        return symbolic_bulk(self._theory, matrix)

    def spikes(self, matrix: str | MatrixProgram, dependence: str = "joint") -> Equations:
        """The spike condition of a trained matrix; see `Theory.spikes`."""
        return symbolic_spikes(self._theory, matrix, dependence)
