"""Updates of extensive rank: runs of the first steps, and of any number where one matrix learns between frozen ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmft_sym.spectra.matrices.polynomials import LongPolynomialError, TrainedWriter
from dmft_sym.support.errors import ArgumentError

from .coordinates import tolerance
from .method import CONDITIONING, EQUATIONS, Arithmetic, Call, Solved, end_of_run

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem
    from dmft_sym.program import Program
    from dmft_sym.spectra.population import PopulationRun

    from .arguments import RunArguments


class PopulationOfDirections(Arithmetic):
    """One matrix learns, and those next to it are frozen: a scalar recursion for every singular direction of these."""

    method = EQUATIONS
    summary = "a scalar recursion along the singular directions of the frozen readout"
    options = frozenset({"order_parameters"})
    unused = frozenset({"tol", "dtype"})

    @staticmethod
    def applies(problem: Problem) -> bool:
        """Whether the program is of this kind."""
        from dmft_sym.spectra.frozen import Frozen

        return Frozen.of(problem.program) is not None

    @staticmethod
    def exact(problem: Problem) -> bool:
        """Always."""
        return True

    def run(self, call: Call) -> Solved:
        """Losses."""
        from dmft_sym.results.order_parameters import make_dataset

        run = population_run(call.problem, call.arguments)
        kept = run.completed
        losses = {name: rows[:kept, None] for name, rows in run.losses.items()}
        return Solved(make_dataset(losses, {}), end_of_run(kept, run.steps), {})


class WrittenOut(Arithmetic):
    """The first steps as one program over the initial matrices, on coordinates."""

    method = CONDITIONING
    summary = "the first steps, written out over the initial matrices, on coordinates"
    options = frozenset({"tol", "dtype"})
    unused = frozenset({"order_parameters"})

    @staticmethod
    def applies(problem: Problem) -> bool:
        """Whether updates have extensive rank."""
        return bool(problem.program.increments)

    @staticmethod
    def exact(problem: Problem) -> bool:
        """Always, up to ``tol``."""
        return True

    def run(self, call: Call) -> Solved:
        """Losses."""
        from dmft_sym.execution import run_coordinates
        from dmft_sym.results.order_parameters import make_dataset

        arguments, tol = call.arguments, tolerance(call)
        program = _written_out(call.problem.program, arguments.steps)
        result = run_coordinates(program, arguments.values, 1, 1, tol)
        names = [observed.name for observed in call.problem.program.observables]
        losses = {
            name: np.array([result.observables[f"{name}_{step}"][0] for step in range(arguments.steps)])
            for name in names
        }
        return Solved(make_dataset(losses, {}), end_of_run(arguments.steps, arguments.steps), {"tol": tol})


def _written_out(program: Program, steps: int) -> Program:
    """Fields of all steps for one input, with what is observed of them.

    Raises
    ------
    ArgumentError
        If it becomes too long.
    """
    from dmft_sym.program import Assign, Linear, Observe
    from dmft_sym.program import Program as Written

    first, *rest = (statement for statement in program.statements if isinstance(statement, Assign))
    writer = TrainedWriter(program, first.target.space)
    observed = []
    for step in range(steps):
        writer.step = step
        try:
            values = writer.carried_out(rest, {first.target: Linear.of(writer.input)})
        except LongPolynomialError as error:
            raise ArgumentError(
                f"steps = {steps}: allowed are at most {step}, weights are polynomials whose length grows with every "
                "step; finite networks (simulate) take any number, as does method = 'equations' where readouts are "
                "frozen"
            ) from error
        for one in program.observables:
            pairs = ((c, writer.named(values[a], a.space), writer.named(values[b], b.space)) for c, a, b in one.terms)
            observed.append(Observe(f"{one.name}_{step}", tuple(pairs), one.constant))
    start = Assign(writer.input, first.value)
    return Written((start, *writer.statements, *observed), program.optimizer, program.name)


def population_run(theory: Problem, arguments: RunArguments) -> PopulationRun:
    """Training along the singular directions of frozen matrices."""
    from dmft_sym.spectra.frozen import Frozen
    from dmft_sym.spectra.population import PopulationRun

    frozen = Frozen.of(theory.program)
    assert frozen is not None
    return PopulationRun(frozen, arguments.values, arguments.steps)
