"""From single-site equations and a training run to numbers: the Dyson equation and ``J(z)`` at a step."""

from __future__ import annotations

import numpy as np
import sympy as sp

from dmft_sym.program import FieldRef, ProgramError
from dmft_sym.spectra.equations.joint import JointDerivation
from dmft_sym.spectra.equations.site_group import level_two
from dmft_sym.spectra.matrices.equal_time import EqualTime
from dmft_sym.support.array_types import Floats

from .dyson import DysonOfEquations
from .flat_sites import FlatEquation, MatrixSide, NoiseAt, flat_sites, operand_of, side_of
from .level_one import TwoTime
from .places import PlaceTable
from .spike_system import Drive, LevelTwoProduct, Link, SpikeSystem


class Assembly:
    """One matrix of one training run, at any of its steps.

    Parameters
    ----------
    joint
        The derivation on the joint program.
    table
        Two-time matrices, shared by all matrices of a run.
    responses
        False for the classical condition, in which the trained part does not know the initial matrix.
    """

    def __init__(self, joint: JointDerivation, table: PlaceTable, *, responses: bool = True) -> None:
        self.joint = joint
        self.table = table
        self.run: TwoTime = table.run
        self.responses = responses
        self.equations = flat_sites(joint, self.run.integers)
        self.fields = [equation.target for equation in self.equations]
        self.products = list(dict.fromkeys(noise for e in self.equations for _, noise, _ in e.noises))
        self.copies = self.run.outputs ** (2 if joint.matrix.per_output else 1)
        self.recursion = joint.program.optimizer.numbers(self.run.evaluate)
        self._constants: dict[sp.Expr, tuple[float, tuple[tuple[float, EqualTime], ...]]] = {}

    @property
    def start(self) -> FieldRef:
        """The input field: its response to its own source is the resolvent."""
        return self.joint.matrix.flat(self.run.integers).input

    def value(self, coefficient: sp.Expr, step: int) -> float:
        """A coefficient at a step: linear in equal-time correlations."""
        if coefficient not in self._constants:
            times = sorted(coefficient.atoms(EqualTime), key=str)
            expanded = sp.expand(coefficient)
            constant = self.run.evaluate(expanded.subs(dict.fromkeys(times, 0)), coefficient)
            parts = tuple((self.run.evaluate(expanded.coeff(time), coefficient), time) for time in times)
            self._constants[coefficient] = constant, parts
        constant, parts = self._constants[coefficient]
        return constant + sum(weight * self.run.equal_time(time, step) for weight, time in parts)

    def _retained(self, coefficient: sp.Expr, retained: bool, step: int) -> float:
        """A coefficient, times ``rho(t)`` where the initial value of a trained matrix is meant."""
        return self.value(coefficient, step) * (self.recursion.retention(step) if retained else 1.0)

    def dyson(self, step: int) -> DysonOfEquations:
        """The (2,2) block at a step."""
        position = {ref: i for i, ref in enumerate(self.fields)}
        column = {noise: i for i, noise in enumerate(self.products)}
        local = np.zeros((len(self.fields), len(self.fields)))
        drive = np.zeros((len(self.fields), len(self.products)))
        entries: list[tuple[int, int, int, int]] = []
        weights: list[float] = []
        for alpha, equation in enumerate(self.equations):
            for coefficient, ref in equation.locals:
                local[alpha, position[ref]] += self.value(coefficient, step)
            for coefficient, noise, retained in equation.noises:
                drive[alpha, column[noise]] += self._retained(coefficient, retained, step)
            for term in equation.responses:
                if level_two(term.noise[0]):
                    entries.append((alpha, position[term.field], position[term.row], column[term.noise]))
                    weights.append(self._retained(term.coefficient, term.retained, step))
        eigen = np.array([float(equation.eigen) for equation in self.equations])
        where = np.array(entries, dtype=np.intp).reshape(-1, 4).T
        return DysonOfEquations(
            eigen,
            local,
            drive,
            where[0],
            where[1],
            where[2],
            where[3],
            np.array(weights),
            position[self.start],
            not self.joint.matrix.symmetric,
        )

    def system(self, step: int, horizon: int | None = None) -> SpikeSystem:
        """``J(z)`` of the matrix before the update of ``step``.

        Parameters
        ----------
        horizon
            Steps of training that are part of the index set: ``step`` of them, or more. What happens after ``step``
            does not move outliers, but the vectors of an outlier know it.
        """
        horizon = step if horizon is None else horizon
        products, size = self._unknowns(horizon)
        drives: dict[tuple[int, int], Drive] = {}
        for alpha, equation in enumerate(self.equations):
            for beta, drive in self._drives(equation, step, horizon).items():
                drives[alpha, beta] = drive
        links = tuple(self._pairs(products, horizon))
        return SpikeSystem(
            self.dyson(step), tuple(products), drives, links, size, self.copies, horizon, self._scale(products, size)
        )

    def _scale(self, products: list[LevelTwoProduct], size: int) -> Floats:
        """Overlaps are of the size of the field of training, responses of the inverse size of its partner."""
        scale = np.ones(size)
        for product in products:
            side = side_of(product.noise)
            overlaps = product.overlap.stop - product.overlap.start
            responses = product.response.stop - product.response.start
            scale[product.overlap] = self.table.norms(side)[:overlaps]
            scale[product.response] = 1 / self.table.norms(side.opposite)[:responses]
        return scale

    def _unknowns(self, step: int) -> tuple[list[LevelTwoProduct], int]:
        found: list[LevelTwoProduct] = []
        end = 0
        for noise in self.products:
            side = side_of(noise)
            places, partners = len(self.table[side]), len(self.table[side.opposite])
            middle = end + step * places
            last = middle + (step * partners if self.responses else 0)
            operand = self.fields.index(operand_of(noise))
            found.append(LevelTwoProduct(noise, operand, slice(end, middle), slice(middle, last), places, partners))
            end = last
        return found, end

    def _drives(self, equation: FlatEquation, step: int, horizon: int) -> dict[int, Drive]:
        """What every product contributes to an equation through fields of training."""
        drives: dict[int, Drive] = {}
        for coefficient, noise, retained in equation.noises:
            covariance = self._covariance(noise) if self.responses else 0.0
            drives[self.products.index(noise)] = Drive(covariance * self._retained(coefficient, retained, step))
        memories: dict[int, set[float]] = {}
        for term in equation.responses:
            if not level_two(term.noise[0]) and self.responses:
                beta = self._product(equation, term.row, side_of(term.noise).opposite)
                memories.setdefault(beta, set()).add(self._retained(term.coefficient, term.retained, step))
        for beta, weights in memories.items():
            if max(weights) - min(weights) > 1e-12 * max(map(abs, weights)):
                raise ProgramError(f"{equation.target}: the places of one matrix have different memories")
            drives[beta].memory = max(weights)
        kernel = np.concatenate([self.recursion.kernel(step)[:0:-1], np.zeros(horizon - step)])  # kappa(t - s)
        for update in equation.updates:
            beta, here, there = self._update(equation, update.row, update.past, update.field)
            drives[beta].updates.append((here, there, self.value(update.coefficient, step) * kernel))
        return drives

    def _product(self, equation: FlatEquation, operand: FieldRef, side: MatrixSide) -> int:
        for _, noise, _ in equation.noises:
            if side_of(noise) == side and operand_of(noise) == operand:
                return self.products.index(noise)
        raise ProgramError(f"{equation.target}: no product of {side} with {operand}")

    def _update(
        self, equation: FlatEquation, row: FieldRef, past: FieldRef, remembered: FieldRef
    ) -> tuple[int, int, int]:
        """The product that an update belongs to, and the places of its two factors."""
        for _, noise, _ in equation.noises:
            side = side_of(noise)
            here, there = self.table[side].operands, self.table[side.opposite].operands
            if operand_of(noise) == row and past in here and remembered in there:
                return self.products.index(noise), here.index(past), there.index(remembered)
        raise ProgramError(
            f"{equation.target}: the update with {past} and {remembered} is not made of fields that the matrix acts on"
        )

    def _pairs(self, products: list[LevelTwoProduct], step: int) -> list[Link]:
        """Products whose drives share sites with the operand of another product."""
        driven = {
            beta: {equation.target.space for equation in self.equations for _, n, _ in equation.noises if n == p.noise}
            for beta, p in enumerate(products)
        }
        found = []
        for gamma, target in enumerate(products):
            side = side_of(target.noise)
            space = self.fields[target.operand].space
            for beta, source in enumerate(products):
                if space in driven[beta]:
                    link = self._link(gamma, beta, side, side_of(source.noise), step)
                    if not (link.known is None and link.mixed is None and link.back is None):
                        found.append(link)
        return found

    def _link(self, gamma: int, beta: int, target: MatrixSide, source: MatrixSide, step: int) -> Link:
        mixed = _nonzero(self.table.overlap(target, source.opposite, step))
        if not self.responses:
            return Link(gamma, beta, None, mixed, None)
        known = _nonzero(self.table.response(target, source, step))
        back = _nonzero(self.table.response(source.opposite, target.opposite, step).T)
        return Link(gamma, beta, known, mixed, back)

    def _covariance(self, noise: NoiseAt) -> float:
        """``k'`` in ``<u u_i> = k' <operand operand_i>``, ``u_i`` of training."""
        places = self.table[side_of(noise)].noises
        if not places:
            return 0.0
        coefficient = self.joint.site_builder.noise_covariance(noise[0], places[0][0])
        return 0.0 if coefficient is None else self.run.evaluate(coefficient, f"<{noise[0].name} {places[0][0].name}>")


def _nonzero(matrix: Floats) -> Floats | None:
    return matrix if matrix.size and matrix.any() else None
