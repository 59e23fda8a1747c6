"""A traced network becomes the training program on given samples, at infinite width.

``N -> inf`` at a fixed number ``P`` of samples ``x_mu``: ``f_mu = (1/(gamma0 N)) w . phi(h^L_mu)``, learning rate
``eta0 gamma0^2 N`` on every array (muP), loss ``(1/P) sum_mu l(f_mu, y_mu)`` (arXiv:2205.09653; arXiv:2605.07870).
"""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from dmft_sym.networks.parameters import ETA, GAMMA, LABEL_NOISE
from dmft_sym.networks.parametrization import Scalings
from dmft_sym.networks.reverse import reverse
from dmft_sym.networks.traced import Readout, Setting, Trace
from dmft_sym.networks.training import TrainingRule, updates, weighed
from dmft_sym.program import (
    OUTPUT,
    SAMPLE,
    SAMPLES,
    Average,
    Compute,
    Field,
    Program,
    ProgramError,
    Scalar,
    ScalarRef,
    SiteFunction,
    Space,
    Statement,
    VectorRef,
)

FIXED = Setting(
    Field("x", Space("D", sp.Integer(1), finite=True), axes=(SAMPLE,), data=True),
    sp.Integer(1),
    (SAMPLE,),
    (SAMPLE, OUTPUT),
    True,
    frozenset({"x", "f", "Delta", "y", "train"}),
)
OUTPUT_FUNCTION = ScalarRef(Scalar("f", (SAMPLE, OUTPUT)))
RAW_OUTPUT = ScalarRef(Scalar("f_raw", (SAMPLE, OUTPUT)))
TARGETS = ScalarRef(Scalar("y", (SAMPLE, OUTPUT), data=True))
ERROR = ScalarRef(Scalar("Delta", (SAMPLE, OUTPUT)))
TRAINED_SAMPLES = ScalarRef(Scalar("train", (SAMPLE,), data=True))


def fixed_program(
    trace: Trace,
    training: TrainingRule,
    error: sp.Expr,
    error_symbols: tuple[sp.Symbol, sp.Symbol],
    name: str,
    *,
    masked: bool = False,
) -> Program:
    """One step of training: forward fields, output, error, backward fields, updates.

    Parameters
    ----------
    error, error_symbols
        Minus the derivative of the loss of one sample with respect to its output, and its symbols ``(f, y)``.
    masked
        Whether some samples are not trained on (``train_mu = 0``) but only looked at.

    Raises
    ------
    ProgramError
        If the network reads out its inputs directly, or trains nothing.
    """
    scalings = Scalings(GAMMA, sp.Integer(1))
    backward = reverse(trace, scalings)
    outputs = tuple(_output_term(readout, scalings) for readout in trace.readouts)
    function, target = error_symbols
    arguments = [(function, OUTPUT_FUNCTION), (target, TARGETS)]
    if masked:
        mask = sp.Symbol("train", real=True)
        error, arguments = mask * error, [*arguments, (mask, TRAINED_SAMPLES)]
    if training.target_noise is not None:
        noise = sp.Symbol("zeta", real=True)
        error = error.subs(target, target + LABEL_NOISE * noise)
        arguments.append((noise, training.target_noise))
    # G = (1/P) sum_mu Delta_mu g h^T / n of a hidden matrix
    weight, weighing = weighed(training, lambda w: updates(backward, trace, 1 / SAMPLES, w), sp.Integer(1), ERROR)
    statements = (
        *trace.statements,
        *_output(outputs, training.centered),
        Compute(ERROR, error, tuple(arguments)),
        *backward.statements,
        *weighing,
        *updates(backward, trace, ETA * GAMMA / SAMPLES, weight),
    )
    return Program(statements, training.optimizer(), name)


def _output(terms: tuple[tuple[sp.Expr, SiteFunction], ...], centered: bool) -> list[Statement]:
    """The output ``f``, from which that of the first step is subtracted if it is ``centered``."""
    if not centered:
        return [Average(OUTPUT_FUNCTION, terms)]
    now, first = sp.symbols("now first", real=True)
    difference = ((now, RAW_OUTPUT), (first, replace(RAW_OUTPUT, initial=True)))
    return [Average(RAW_OUTPUT, terms), Compute(OUTPUT_FUNCTION, now - first, difference)]


def _output_term(readout: Readout, scalings: Scalings) -> tuple[sp.Expr, SiteFunction]:
    """``f = (1/gamma0) sqrt(n/N) <w h>`` of a readout from ``n`` sites."""
    space = readout.field.space
    if space.finite:
        raise ProgramError(f"readout {readout.vector.name}: a readout of the inputs themselves has no limit of width")
    vector, field = sp.Symbol(readout.vector.name, real=True), sp.Symbol(readout.field.field.name, real=True)
    coefficient = readout.coefficient / (scalings.gamma * scalings.readout(space.ratio))
    return coefficient, SiteFunction(vector * field, ((vector, VectorRef(readout.vector)), (field, readout.field)))
