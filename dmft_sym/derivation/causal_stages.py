"""The stages of the derivation for a network on given samples, as a reader sees them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import sympy as sp

from dmft_sym.program import TIME, UNIT, Field, FieldRef, Step
from dmft_sym.program.labels import elsewhere, here
from dmft_sym.program.printing import field_latex, function_latex, latex_name

from .average_equations import AverageWriter
from .equations import Equation, headed
from .observed_equations import observed_equations
from .process_closure import ProcessClosure
from .single_site import Noise
from .site_equations import SiteWriter, tangent_writer
from .stage_lines import matrices_text
from .symbols import NOW, THEN, Gram, SiteAverage, field_at

if TYPE_CHECKING:
    from .problem import Problem

ACTION = (
    "Every product with the initial value of a matrix is enforced by a conjugate field (MSRDJ); the exponent of the "
    "generating functional is the sum of the terms below, and linear in every matrix \\cite{dmft}. Products with the "
    "given inputs do not depend on the step, and are enforced once."
)
CLOSURE = "Closure"
AVERAGES = True
"""Whether order parameters are written as averages in the last stage."""


def average_text(program: Step) -> str:
    """What the average leaves, with the labels of the program."""
    places = (TIME, *program.labels)
    first, second = (",".join(sp.latex(at(label)) for label in places) for at in (here, elsewhere))
    return (
        "The average over the entries of $A$ replaces $-i\\,\\mathrm{Tr}\\,A^\\top\\Xi$, $\\Xi = \\sum_i \\hat x_i "
        "h_i^\\top + \\sum_j g_j \\hat y_j^\\top$, by $-(s_2/2n_{\\mathrm{in}})|\\Xi|^2$: the fields meet in overlaps "
        "only, averages over the $n_k$ sites of the space $k$ that two fields share. Sums run over those of the labels "
        f"$({first})$ and $({second})$ that the two places have, and over the layers of a family."
    )


def order_parameter_text(program: Step) -> str:
    """What is named, and which overlaps are numbers."""
    inputs = [field for field in program.data_fields if field.space.finite]
    numbers = ", ".join(_gram(field) for field in inputs)
    return (
        "Overlaps of fields are named correlations $C$, overlaps of a field with a conjugate field $i$ times a "
        "response $R$; conjugates $\\hat C$, $\\hat R$ tie the names to the fields. Overlaps of the given inputs are "
        f"numbers, {numbers}, and no order parameters. {_of_vectors(program)}The exponent is $n$ times a function of "
        "order parameters plus the logarithm of one single-site integral per space."
    )


def _of_vectors(program: Step) -> str:
    """What the input of trained vectors is, if there are any."""
    found = any(matrix.source == UNIT for matrix in program.matrices)
    return "A trained vector is a matrix whose one input is the number $1$, $K^{1} = 1$. " if found else ""


def _gram(field: Field) -> str:
    """``K_{mu nu} = x_mu . x_nu / D``."""
    first, second = (field_latex(FieldRef(field), None, at) for at in (here, elsewhere))
    axes = field.axes
    number = Gram(field_at(FieldRef(field), *NOW, axes), field_at(FieldRef(field), *THEN, axes))
    return f"${sp.latex(number)} = {first} \\cdot {second} / {field.space}$"


def program_text(problem: Problem) -> str:
    """Spaces, entries and optimizer."""
    program = problem.program
    spaces = ", ".join(
        f"${space.name}$: " + ("that of the given inputs" if space.finite else f"${sp.latex(space.ratio)}$")
        for space in program.spaces
    )
    *others, last = [f"the {label.name} ${sp.latex(label.symbol)}$" for label in program.labels]
    labels = f"{', '.join(others)} and {last}" if others else last
    return (
        "One training step as a vector program, for $P$ given samples at infinite width. Fields carry the step $t$ "
        f"and, as they are written, {labels}; a trained matrix means its value at $t$. "
        "Backward fields are derivatives of one output at one sample; updates weigh them with the error of the sample. "
        "The spaces and "
        f"their sizes in units of the width are {spaces}. Entries are independent: {matrices_text(program)}."
        + ("" if program.optimizer.recursion.plain else f" {program.optimizer.latex()}")
        + problem.words
    )


def site_text(problem: Problem) -> str:
    """What the Gaussian fields are, and in which order the equations stand."""
    text = (
        "With the conjugates eliminated, a Hubbard--Stratonovich transform of the quadratic terms leaves Gaussian "
        "fields $u$ (of $A h$) and $r$ (of $A^\\top g$) and a memory for every product. Site-wise functions stay as "
        "they are, functions of fields at one site; averages over sites are deterministic. Trained weights add the "
        "memory of past updates, in which the error of a sample is the weight of its increment. Sums of responses "
        "include $s = t$ where the order of the step lets the field follow the Gaussian field. The equations are in "
        "causal order: row $t$ follows from earlier rows and from what stands above."
    )
    if problem.program.optimizer.recursion.decays:
        text += " Responses are to the Gaussian fields $u(s)$, $r(s)$ before weight decay."
    return text


def site_equations(problem: Problem) -> Iterator[Equation]:
    """Equations in causal order, then the covariances of the Gaussian fields."""
    writer = SiteWriter(problem.site_builder)
    yield from map(writer.equation, problem.causal)
    covariances = (e for closure in problem.closures for e in writer.covariances(closure.process.noises))
    yield from headed(covariances, "Covariances of the Gaussian fields")


def closure_text(problem: Problem) -> str:
    """Which processes are Gaussian, and why others are not."""
    text = (
        "Responses are averages of total derivatives. $\\partial$ is the derivative by one of the Gaussian fields of "
        "the process, at labels of its own; of a Gaussian field it is one at the same labels and zero elsewhere. "
        "Memories have deterministic kernels and hand derivatives on, site-wise functions hand them on by the chain "
        "rule."
    )
    return " ".join([text, *(_verdict(closure) for closure in problem.closures)])


def _verdict(closure: ProcessClosure) -> str:
    """Whether a process is Gaussian, and why not."""
    fields = ", ".join(f"${latex_name(field.name)}$" for field in closure.process.fields)
    where = f"Space ${closure.space}$ (fields {fields})"
    if closure.gaussian:
        return (
            f"{where}: all site-wise functions are linear, so the fields are Gaussian, their derivatives are the same "
            "at every site, and the equations close as matrix algebra."
        )
    functions = ", ".join(f"${function_latex(function)}$" for function in closure.obstacles)
    return (
        f"{where}: the single-site process is sampled, because not linear (or, under an average, not quadratic) are "
        f"{functions}. {_needed(closure)}{_BY_PARTS if closure.by_parts else ''}"
    )


_BY_PARTS = (
    " Responses come by parts (Stein), because sampled sites miss point masses: $\\langle \\partial a / \\partial u "
    "\\rangle = \\sum_{u'} \\langle a\\, u' \\rangle [ \\langle u\\, u \\rangle^{-1} ]_{u' u}$ over the Gaussian "
    "fields of the same matrix."
)


def _needed(closure: ProcessClosure) -> str:
    noises = dict.fromkeys(_bare(noise) for noise in closure.tracked)
    if not noises:
        return "No response of it is needed."
    return "Derivatives are needed by " + ", ".join(f"${name}$" for name in noises) + "."


def _bare(noise: Noise) -> str:
    """A Gaussian field without layer and step."""
    accent = "" if noise.scale == 1 else "bar"
    name = latex_name(noise.name, accent=accent, labels=map(here, noise.axes))
    return f"{name}(0)" if noise.initial else name


def closure_equations(problem: Problem) -> Iterator[Equation]:
    """Averages and tangents of every process, or its order parameters if it is Gaussian."""
    gaussian, tangents = AverageWriter(problem), tangent_writer(problem.site_builder)
    for closure in problem.closures:
        if closure.gaussian:
            found = chain(gaussian.correlations(closure), gaussian.responses(closure))
            yield from headed(found, f"Space {closure.space}, closes as matrix algebra")
        else:
            found = chain([_AVERAGE], map(tangents.derivative, closure.tangents))
            yield from headed(found, f"Space {closure.space}, sampled")
    yield from headed(observed_equations(problem), "Observables of the network")


_SITE, _SITES, _OF_SITES = sp.Symbol("i", integer=True), sp.Symbol("S", integer=True), sp.Function("F")
_AVERAGE = Equation(
    SiteAverage(sp.Symbol("F")), (sp.Sum(_OF_SITES(_SITE), (_SITE, 1, _SITES)) / _SITES,), note="$S$ sampled sites"
)
