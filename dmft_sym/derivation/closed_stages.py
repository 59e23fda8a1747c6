"""The stages in words for programs that close in order parameters: linear statements alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import sympy as sp

from dmft_sym.program import Step

from .equations import Equation, headed
from .observed_equations import observed_equations
from .site_equations import SiteWriter
from .stage_lines import escaped, matrices_text

if TYPE_CHECKING:
    from .problem import Problem

ACTION = (
    "Every product with the initial value of a matrix is enforced by a conjugate field (MSRDJ); the "
    "exponent of the generating functional is the sum of the terms below, and linear in every matrix "
    "\\cite{dmft,linear}."
)
CLOSURE = "Closed equations"
AVERAGES = False
"""Whether order parameters are written as averages in the last stage."""


def average_text(program: Step) -> str:
    """What the average leaves."""
    return (
        "The average over the entries of $A$ replaces $-i\\,\\mathrm{Tr}\\,A^\\top\\Xi$, "
        "$\\Xi = \\sum_i \\hat x_i h_i^\\top + \\sum_j g_j \\hat y_j^\\top$, by $-(s_2/2n_{\\mathrm{in}})|\\Xi|^2$: "
        "the fields meet in overlaps only, averages over the $n_k$ sites of the space $k$ that two fields share. "
        "Sums run over the labels $(t,c)$ and $(s,c')$ of both places, and over the layers of a family."
    )


def classes_text(program: Step) -> str:
    """What classes of sites are, of spaces that have some."""
    found = ""
    for space in program.spaces:
        if space.classes is not None:
            share, label = space.classes.value(space.classes.share), space.classes.label
            found += (
                f"Sites of ${space.name}$ are of classes ${label.symbol} = 0, \\dots, {space.classes.last}$, each "
                f"a share ${sp.latex(share)}$ of them; what has this index differs from class to class, and averages "
                "over the sites are sums over the classes, weighted by their shares. "
            )
    return found


def order_parameter_text(program: Step) -> str:
    """What is named."""
    return (
        "Overlaps of fields are named correlations $C$, overlaps of a field with a conjugate field $i$ times a "
        "response $R$; conjugates $\\hat C$, $\\hat R$ tie the names to the fields. The exponent is $n$ times a "
        "function of order parameters plus the logarithm of one single-site integral per space."
    )


def program_text(problem: Problem) -> str:
    """Spaces, entries, parametrization and optimizer."""
    program = problem.program
    return (
        "One training step as a vector program. Every field carries the step $t$ and the output $c$; a trained matrix "
        "means its value at $t$. The spaces and their sizes in units of the input dimension are "
        + ", ".join(f"${space.name}$: ${sp.latex(space.ratio)}$" for space in program.spaces)
        + ". Entries are independent: "
        + matrices_text(program)
        + ". "
        + classes_text(program)
        + f"Parametrization: $\\gamma = {sp.latex(problem.network.parametrization.symbolic_gamma())}$. "
        + program.optimizer.latex()
        + problem.words
    )


def site_text(problem: Problem) -> str:
    """What the Gaussian fields are."""
    text = (
        "With the conjugates eliminated, a Hubbard--Stratonovich transform of the quadratic terms leaves Gaussian "
        "fields $u$ (of $A h$) and $r$ (of $A^\\top g$) and a memory for every product. Bars mark Gaussian fields "
        "divided by $\\sqrt{n_{\\mathrm{out}}/n_{\\mathrm{in}}}$, whose covariances stay finite when a ratio goes to "
        "infinity. Trained weights add the memory of past updates. Equal-time responses are kept where the order of "
        "the step allows them."
    )
    if problem.program.optimizer.recursion.decays:
        text += (
            " Responses are to the Gaussian fields $u(s)$, $r(s)$ before weight decay; results report those to "
            "$\\rho(s)\\, u(s)$, $\\rho(s)\\, r(s)$, which are $1/\\rho(s)$ times as large."
        )
    return text


def site_equations(problem: Problem) -> Iterator[Equation]:
    """Every process: its equations, then the covariances of its Gaussian fields."""
    writer = SiteWriter(problem.site_builder)
    for process in problem.processes:
        fields = set(process.fields)
        yield from (writer.equation(e) for e in problem.site_equations if e.target.field in fields)
        yield from writer.covariances(process.noises)


def closure_text(problem: Problem) -> str:
    """How to read the closed equations."""
    several = any(equation.label.startswith("A2_") for equation in problem.closed.equations)
    further = " ($A2$: at further layers)" if several else ""
    return (
        "All functions of the sites are linear, so the fields are Gaussian and the equations close. $A$ is the memory "
        f"of one field in the equation of another{further}, $R$ the response of a field to a Gaussian field, $C$ a "
        "correlation; "
        "$S_\\kappa(t,s)$ is what an increment of step $s$ is worth at step $t$, zero unless $s < t$. A response to a "
        "vector that is drawn once has no second step. Row $t$ follows from rows before it and from those computed "
        "earlier in the same step, in the order below. A bracket is one where its condition holds and zero elsewhere "
        "\\cite{linear,spectral}. The statements of the program that stand above the equations, and the numbers of the "
        "equations, are the comments of a generated solver."
    )


def closure_equations(problem: Problem) -> Iterator[Equation]:
    """The closed equations below the statements they follow from, as in the comments of generated modules."""
    places = {id(statement): place for place, (_, statement) in enumerate(problem.program.walk(), start=1)}
    yield from headed(problem.closed.definitions, "Training rule")
    for part in problem.closed.statements:
        heading = f"Statement (1.{places[id(part.statement)]}): \\texttt{{{escaped(str(part.statement))}}}"
        yield from headed(part.equations, heading)
    yield from headed(problem.closed.observables, "Reported scalars")
    yield from headed(observed_equations(problem), "Observables of the network")
