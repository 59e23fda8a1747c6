"""A traced network becomes the training program on given samples, at infinite width.

``N -> inf`` at a fixed number ``P`` of samples ``x_mu``: ``f_mu = (1/(gamma0 N)) w . phi(h^L_mu)``, learning rate
``eta0 gamma0^2 N`` on every array (muP), loss ``(1/P) sum_mu l(f_mu, y_mu)`` (arXiv:2205.09653; arXiv:2605.07870).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import sympy as sp

from dmft_sym.networks.outputs import Readout
from dmft_sym.networks.parameters import ETA, GAMMA, LABEL_NOISE
from dmft_sym.networks.parametrization import Scalings
from dmft_sym.networks.reverse import reverse
from dmft_sym.networks.traced import Setting, Trace
from dmft_sym.networks.training import TrainingRule, product_of, updates, weighed, with_own_weights
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
    Space,
    Statement,
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
    contracted: bool = False,
) -> Program:
    """One step of training: forward fields, output, error, backward fields, updates.

    The backward pass starts from every output, so that its fields are derivatives of each, or, ``contracted``, from the
    sum of outputs times their errors (and times the weight of a sample in the batch). Both train alike, as errors are
    numbers: they change between steps, not within a backward pass.

    Parameters
    ----------
    error, error_symbols
        Minus the derivative of the loss of one sample with respect to its output, and its symbols ``(f, y)``.
    masked
        Whether some samples are not trained on (``train_mu = 0``) but only looked at.
    contracted
        Whether backward fields have one value for a sample, of all its outputs together.

    Raises
    ------
    ProgramError
        If the network reads out its inputs directly, or trains nothing.
    """
    scalings = Scalings(GAMMA, sp.Integer(1))
    function, target = error_symbols
    arguments = [(function, OUTPUT_FUNCTION), (target, TARGETS)]
    if masked:
        mask = sp.Symbol("train", real=True)
        error, arguments = mask * error, [*arguments, (mask, TRAINED_SAMPLES)]
    if training.target_noise is not None:
        noise = sp.Symbol("zeta", real=True)
        error = error.subs(target, target + LABEL_NOISE * noise)
        arguments.append((noise, training.target_noise))
    pulled, pulling = (ERROR, []) if trace.output is None else trace.output.pulled_back(ERROR)
    pass_ = _contracted if contracted else _output_by_output
    statements = (
        *trace.statements,
        *_output(trace, scalings, training.centered),
        Compute(ERROR, error, tuple(arguments)),
        *pulling,
        *pass_(trace, training, scalings, pulled),
    )
    return Program(statements, training.optimizer(), name)


def _output_by_output(
    trace: Trace, training: TrainingRule, scalings: Scalings, error: ScalarRef
) -> Iterator[Statement]:
    """Backward fields of every output, and updates, in which errors are weights.

    ``G = (1/P) sum_mu Delta_mu g h^T / n`` of a hidden matrix.
    """
    backward = reverse(trace, scalings)
    factors = [error, *_batch(training)]
    weight, weighing = weighed(training, lambda w: updates(backward, trace, 1 / SAMPLES, w), sp.Integer(1), factors)
    yield from (*backward.statements, *weighing)
    yield from updates(backward, trace, ETA * GAMMA / SAMPLES, weight)


def _contracted(trace: Trace, training: TrainingRule, scalings: Scalings, error: ScalarRef) -> Iterator[Statement]:
    """Backward fields of all outputs together, in which errors and batch are, and updates."""
    made: list[Statement] = []
    factors = [error, *_batch(training)]
    seed = error if len(factors) == 1 else product_of("Delta_batch", factors, made)
    backward = reverse(trace, scalings, seed)
    weight, weighing = weighed(training, lambda w: updates(backward, trace, 1 / SAMPLES, w), sp.Integer(1))
    together, joining = with_own_weights(backward, weight)
    yield from (*made, *backward.statements, *weighing, *joining)
    yield from updates(backward, trace, ETA * GAMMA / SAMPLES, weight, together)


def _batch(training: TrainingRule) -> list[ScalarRef]:
    """The weight of every sample, where not all are in the batch of a step."""
    return [] if training.batch_weight is None else [training.batch_weight]


def _output(trace: Trace, scalings: Scalings, centered: bool) -> list[Statement]:
    """The output ``f``, from which that of the first step is subtracted if it is ``centered``."""
    if not centered:
        return [_output_statement(trace, scalings, OUTPUT_FUNCTION)]
    now, first = sp.symbols("now first", real=True)
    difference = ((now, RAW_OUTPUT), (first, replace(RAW_OUTPUT, initial=True)))
    return [_output_statement(trace, scalings, RAW_OUTPUT), Compute(OUTPUT_FUNCTION, now - first, difference)]


def _output_statement(trace: Trace, scalings: Scalings, target: ScalarRef) -> Average | Compute:
    """A sum of readouts, or the function of scalars that the forward pass returned."""
    if trace.output is not None:
        return Compute(target, trace.output.expression, trace.output.arguments)
    terms = tuple(term for readout in trace.readouts for term in _average(readout, target, scalings).terms)
    return Average(target, terms)


def _average(readout: Readout, target: ScalarRef, scalings: Scalings) -> Average:
    """``f = (1/gamma0) sqrt(n/N) <w h>`` of a readout from ``n`` sites."""
    if readout.field.space.finite:
        raise ProgramError(f"readout {readout.vector.name}: a readout of the inputs themselves has no limit of width")
    return readout.average(target, scalings)
