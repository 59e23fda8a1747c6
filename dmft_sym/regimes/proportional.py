"""A traced network with linear forward pass becomes the training program of the proportional regime.

``D, N, P -> inf`` at fixed ratios; ``x ~ N(0, I_D)``, ``y_c = beta*_c . x / sqrt(D) + sigma_eps eps_c``. By
linearity the network is its predictor ``beta``, and the forward fields of all samples enter updates only
through the combination ``v = (1/alpha) D^{-1/2} X^T r`` (arXiv:2605.07870, section 2; arXiv:2502.02531).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import sympy as sp

from dmft_sym.networks.parameters import ALPHA, BY_KEYWORD, LABEL_NOISE, Parameter
from dmft_sym.networks.parametrization import Scalings
from dmft_sym.networks.reverse import Backward, reverse
from dmft_sym.networks.trace import PROPORTIONAL, Setting, Trace
from dmft_sym.networks.training import TrainingRule, trained
from dmft_sym.program import (
    Assign,
    Field,
    FieldRef,
    GaussianMatrix,
    Learn,
    Linear,
    MatrixRef,
    Observe,
    Outer,
    Product,
    Program,
    RandomVector,
    Space,
    Statement,
    VectorRef,
)

from .base import Regime, Size


@dataclass(frozen=True)
class Proportional(Regime):
    """Isotropic Gaussian inputs with a linear teacher, ``P = alpha D`` samples.

    Parameters
    ----------
    label_noise
        Default of the run-time parameter ``label_noise`` (``sigma_eps``).
    """

    label_noise: float = 0.0

    word: ClassVar[str] = "proportional"
    example: ClassVar[str] = "Proportional()"
    where: ClassVar[str] = "in the proportional regime"
    default_method: ClassVar[str] = "equations"
    size: ClassVar[Size] = Size("dim", "input dimension D; a space has round(ratio * dim) sites", 1000)
    old_methods: ClassVar[Mapping[str, tuple[str, bool | None]]] = {
        "march": ("equations", None),
        "coordinates": ("conditioning", None),
    }
    arguments: ClassVar[tuple[Parameter, ...]] = (BY_KEYWORD["outputs"],)

    @property
    def setting(self) -> Setting:
        """What forward passes are traced for."""
        return PROPORTIONAL

    def noise_scale(self, matrix: GaussianMatrix, transpose: bool) -> sp.Expr:
        """``sqrt(n_out/n_in)`` of a transposed product: ratios may be infinite."""
        return sp.sqrt(matrix.aspect) if transpose else sp.Integer(1)

    @property
    def defaults(self) -> dict[str, object]:
        """The label noise."""
        return {"label_noise": self.label_noise}

    def program(self, trace: Trace, training: TrainingRule, name: str) -> Program:
        """One step of training: backward fields, error, forward fields, updates.

        Raises
        ------
        ProgramError
            If nothing is trained, or if the forward pass reads a random vector.
        """
        scalings = Scalings()
        backward = reverse(trace, scalings)
        dim = trace.input.space
        samples = Space("P", ALPHA)
        data = MatrixRef(GaussianMatrix("X", dim, samples, fresh=training.fresh))
        teacher = VectorRef(RandomVector("betastar", dim))
        noise = VectorRef(RandomVector("eps", samples, fresh=training.fresh))
        gap = FieldRef(Field("Delta", dim))
        error = FieldRef(Field("r", samples))
        statements: list[Statement] = [
            *backward.statements,
            Assign(gap, Linear.of(teacher) + backward.input_adjoint.scaled(-scalings.predictor)),
            Assign(error, Linear.of(Product(data, gap)) + Linear.of(noise, LABEL_NOISE)),
            Assign(trace.input, Linear.of(Product(data, error, True), 1 / ALPHA)),
            *trace.statements,
            *trained(_updates(backward, scalings, trace.frozen)),
            Observe("train_loss", ((sp.Integer(1), error, error),)),
            Observe("test_loss", ((sp.Integer(1), gap, gap),), LABEL_NOISE**2),
        ]
        return Program(tuple(statements), training.optimizer(), name)


def _updates(backward: Backward, scalings: Scalings, frozen: frozenset[str]) -> list[Learn]:
    layer = sp.Symbol("l", integer=True, positive=True)
    learns = []
    for target, terms in backward.gradients.items():
        if target.name in frozen:
            continue
        scaled = tuple(
            Outer(scalings.update * term.coefficient, term.left, term.right, term.index, term.layers) for term in terms
        )
        if isinstance(target, RandomVector):
            learns.append(Learn(VectorRef(target), scaled))
        else:
            learns.append(Learn(MatrixRef(target, None if target.layers is None else layer), scaled))
    return learns
