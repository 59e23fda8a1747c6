"""The derivation as a reader sees it: ordered stages, each made from the objects that the solver is made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import sympy as sp

from dmft_sym.program import MatrixRef

from . import causal_stages, closed_stages
from .action import PairTerm, Place
from .equations import Equations
from .site_equations import SiteWriter
from .stage import Stage, Stages
from .stage_lines import action_lines, averaged_lines, named_lines, named_terms, program_lines, saddle_stage
from .symbols import Applied

if TYPE_CHECKING:
    from .problem import Problem


def stages(problem: Problem) -> Stages:
    """All stages, from the program to what closes, numbered from 1."""
    words = causal_stages if problem.program.averaged else closed_stages
    actions = list(problem.actions.values())
    places = [place for action in actions for place in action.coupling]
    sites, statements = SiteWriter(problem.site_builder), [statement for _, statement in problem.program.walk()]
    averaged = [term for action in actions for term in action.averaged]
    named = [term for action in actions for term in named_terms(action)]
    found = (
        Stage(
            "Vector program",
            words.program_text(problem),
            tuple(program_lines(problem.program)),
            tuple(map(sites.statement, statements)),
        ),
        Stage("Action before the average", words.ACTION, tuple(action_lines(actions)), tuple(map(_coupled, places))),
        Stage(
            "Average over the Gaussian matrices",
            words.average_text(problem.program),
            averaged_lines(actions),
            _expressions(averaged),
        ),
        Stage(
            "Order parameters and conjugates",
            words.order_parameter_text(problem.program),
            named_lines(actions),
            _expressions(named),
        ),
        saddle_stage([(action, problem.saddle_points[name]) for name, action in problem.actions.items()]),
        Equations(words.site_equations(problem), "Single-site equations", words.site_text(problem), True).stage,
        Equations(words.closure_equations(problem), words.CLOSURE, words.closure_text(problem), words.AVERAGES).stage,
    )
    return Stages(replace(stage, number=number) for number, stage in enumerate(found, start=1))


def _coupled(place: Place) -> sp.Expr:
    """``i xhat (x - A h)``."""
    use = place.use
    matrix = MatrixRef(use.matrix, use.member if use.index is None else use.index if use.family else None)
    return sp.I * place.hat * (place.product - Applied.of(matrix, use.transpose, place.operand))


def _expressions(terms: Iterable[PairTerm]) -> tuple[sp.Expr, ...]:
    return tuple(term.expression for term in terms)
