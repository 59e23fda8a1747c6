"""The stages of the derivation for a network on given samples, as a reader sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import sympy as sp

from dmft_sym.program import Program
from dmft_sym.program.printing import function_latex, latex_name

from .fixed import FixedDerivation
from .fixed_closure import ProcessClosure
from .fixed_latex import closure_lines, gaussian_lines, numbered_equations
from .presentation import (
    action_lines,
    averaged_lines,
    matrices_text,
    named_lines,
    named_terms,
    program_lines,
    saddle_stage,
)
from .site_latex import noise_latex
from .stage import Line, Stage


def stages_of(derivation: FixedDerivation) -> tuple[Stage, ...]:
    """All stages, from the program to the closure of its single-site processes, numbered from 1."""
    actions = list(derivation.actions.values())
    saddles = [(action, derivation.saddle_points[name]) for name, action in derivation.actions.items()]
    found = (
        Stage("Vector program", _program_text(derivation.program), tuple(program_lines(derivation.program))),
        Stage("Action before the average", _ACTION, tuple(action_lines(actions))),
        Stage(
            "Average over the Gaussian matrices",
            _AVERAGE,
            averaged_lines(actions),
            tuple(term.expression for action in actions for term in action.averaged),
        ),
        Stage(
            "Order parameters and conjugates",
            _ORDER_PARAMETERS,
            named_lines(actions),
            tuple(term.expression for action in actions for term in named_terms(action)),
        ),
        saddle_stage(saddles),
        Stage("Single-site equations", _site_text(derivation), tuple(_site_lines(derivation))),
        Stage("Closure", _closure_text(derivation), tuple(_closure_lines(derivation))),
    )
    return tuple(replace(stage, number=number) for number, stage in enumerate(found, start=1))


_ACTION = (
    "Every product with the initial value of a matrix is enforced by a conjugate field (MSRDJ); the exponent of the "
    "generating functional is the sum of the terms below, and linear in every matrix \\cite{dmft}. Products with the "
    "given inputs do not depend on the step, and are enforced once."
)
_AVERAGE = (
    "The average over the entries of $A$ replaces $-i\\,\\mathrm{Tr}\\,A^\\top\\Xi$, $\\Xi = \\sum_i \\hat x_i "
    "h_i^\\top + \\sum_j g_j \\hat y_j^\\top$, by $-(s_2/2n_{\\mathrm{in}})|\\Xi|^2$: the fields meet in overlaps "
    "only, averages over the $n_k$ sites of the space $k$ that two fields share. Sums run over those of the labels "
    "$(t,\\mu,c)$ and $(s,\\nu,c')$ that the two places have, and over the layers of a family."
)
_ORDER_PARAMETERS = (
    "Overlaps of fields are named correlations $C$, overlaps of a field with a conjugate field $i$ times a response "
    "$R$; conjugates $\\hat C$, $\\hat R$ tie the names to the fields. Overlaps of the given inputs are numbers, "
    "$K^{x}_{\\mu \\nu} = x_{\\mu} \\cdot x_{\\nu} / D$, and no order parameters. The exponent is $n$ times a function "
    "of order parameters plus the logarithm of one single-site integral per space."
)


def _program_text(program: Program) -> str:
    spaces = ", ".join(
        f"${space.name}$: " + ("that of the given inputs" if space.finite else f"${sp.latex(space.ratio)}$")
        for space in program.spaces
    )
    return (
        "One training step as a vector program, for $P$ given samples at infinite width. Fields carry the step $t$ "
        "and, as they are written, the sample $\\mu$ and the output $c$; a trained matrix means its value at $t$. "
        "Backward fields are derivatives of one output at one sample; updates weigh them with the error of the sample. "
        "The spaces and "
        f"their sizes in units of the width are {spaces}. Entries are independent: {matrices_text(program)}."
        + _optimizer_text(program)
    )


def _optimizer_text(program: Program) -> str:
    optimizer = program.optimizer
    if optimizer.plain:
        return ""
    kernel = sp.latex(optimizer.kernel(sp.Symbol("tau", positive=True)))
    return (
        f" Weights keep $\\rho(t) = {sp.latex(optimizer.retention())}$ of their initial value, and an increment made "
        f"$\\tau$ steps ago contributes $\\kappa(\\tau) = {kernel}$."
    )


def _site_text(derivation: FixedDerivation) -> str:
    text = (
        "With the conjugates eliminated, a Hubbard--Stratonovich transform of the quadratic terms leaves Gaussian "
        "fields $u$ (of $A h$) and $r$ (of $A^\\top g$) and a memory for every product. Site-wise functions stay as "
        "they are, functions of fields at one site; averages over sites are deterministic. Trained weights add the "
        "memory of past updates, in which the error of a sample is the weight of its increment. Sums of responses "
        "include $s = t$ where the order of the step lets the field follow the Gaussian field. The equations are in "
        "causal order: row $t$ follows from earlier rows and from what stands above."
    )
    if derivation.program.optimizer.decay != 0:
        text += " Responses are to the Gaussian fields $u(s)$, $r(s)$ before weight decay."
    return text


def _site_lines(derivation: FixedDerivation) -> Iterator[Line]:
    yield from (line for _, line, _ in numbered_equations(derivation))
    heading = "Covariances of the Gaussian fields"
    for line in gaussian_lines(derivation):
        yield replace(line, heading=heading)
        heading = ""


def _closure_text(derivation: FixedDerivation) -> str:
    text = (
        "Responses are averages of total derivatives. $\\partial$ is the derivative by one of the Gaussian fields of "
        "the process, at labels of its own; of a Gaussian field it is one at the same labels and zero elsewhere. "
        "Memories have deterministic kernels and hand derivatives on, site-wise functions hand them on by the chain "
        "rule."
    )
    return " ".join([text, *(_verdict(closure) for closure in derivation.closures)])


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
        f"{functions}. {_needed(closure)}"
    )


def _needed(closure: ProcessClosure) -> str:
    noises = dict.fromkeys(noise_latex(noise, None, None) for noise in closure.tracked)
    if not noises:
        return "No response of it is needed."
    return "Derivatives are needed by " + ", ".join(f"${name}$" for name in noises) + "."


def _closure_lines(derivation: FixedDerivation) -> Iterator[Line]:
    for closure in derivation.closures:
        yield from closure_lines(closure, derivation.program.optimizer)
