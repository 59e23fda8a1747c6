"""Training rules: how errors are drawn and how increments become weights."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp

from dmft_sym.program import (
    LAYER,
    OUTPUT,
    SAMPLE,
    Compute,
    GaussianMatrix,
    Learn,
    MatrixRef,
    Optimizer,
    ProgramError,
    RandomVector,
    Scalar,
    ScalarRef,
    SquaredNorm,
    Statement,
    VectorRef,
)
from dmft_sym.support.array_types import Array
from dmft_sym.support.messages import show

from .parameters import DECAY, ETA, MOMENTUM
from .reverse import Backward
from .schedules import factors, schedule
from .traced import Trace


@dataclass(frozen=True)
class TrainingRule:
    """Gradient descent on the squared loss ``(1/2P) sum (f - y)^2`` with optional memory.

    Parameters
    ----------
    momentum
        Heavy-ball coefficient in [0, 1); a run may override a non-zero one.
    weight_decay
        Decoupled decay per step in [0, 1).
    centered
        Subtract the output that the network has at initialization, for the error, the reported losses and outputs
        alike: training begins at zero output. The limit of small richness needs it.

    Raises
    ------
    ProgramError
        Naming the argument, its value and what is allowed.
    """

    momentum: float = 0.0
    weight_decay: float = 0.0
    centered: bool = False

    def __post_init__(self) -> None:
        for key in ("momentum", "weight_decay"):
            value = getattr(self, key)
            bad = isinstance(value, bool) or not isinstance(value, numbers.Real)
            if bad or not 0 <= value < 1:
                raise ProgramError(f"{key} = {value!r}: allowed is a number >= 0 and < 1")
        if not isinstance(self.centered, bool):
            raise ProgramError(f"centered = {self.centered!r}: allowed is True or False")

    @property
    def fresh(self) -> bool:
        """Whether the samples are drawn anew at every step."""
        return False

    @property
    def continuous(self) -> bool:
        """Whether training goes on in continuous time: a run has a ``time``, and neither steps nor a learning rate."""
        return False

    @property
    def values(self) -> dict[sp.Symbol, float]:
        """Symbols of the program that the rule sets, with their values."""
        return {}

    def refusal(self, argument: str) -> str | None:
        """Why a standard argument of a run means nothing; ``None`` if it does."""
        return None

    @property
    def options(self) -> Mapping[str, Any]:
        """How precisely it is carried out, where that is part of the rule."""
        return {}

    @property
    def text(self) -> str:
        """What a derivation says of it beside the optimizer (LaTeX text mode)."""
        return ""

    @property
    def weight(self) -> ScalarRef | None:
        """By what all increments of a step are multiplied, before they enter the memory."""
        return None

    @property
    def batch_weight(self) -> ScalarRef | None:
        """By what the increments of every given sample are multiplied: which of them are in the batch of a step."""
        return None

    @property
    def target_noise(self) -> ScalarRef | None:
        """What is added to the targets of given samples at every step, in units of ``label_noise``."""
        return None

    @property
    def by_norm(self) -> Callable[[sp.Expr], sp.Expr] | None:
        """By what increments are multiplied, as a function of the squared norm of all gradients."""
        return None

    @property
    def defaults(self) -> dict[str, float]:
        """Defaults of arguments of a run."""
        return {"momentum": self.momentum, "weight_decay": self.weight_decay}

    @property
    def given_by(self) -> tuple[str, ...]:
        """Arguments of the rule that give something anew at every step."""
        return ()

    def given(self, steps: int) -> dict[str, Array]:
        """What is given anew at every one of so many steps, by name; the first axis is that of the steps.

        Raises
        ------
        ArgumentError
            If a number is not allowed.
        """
        return {}

    def draws(self, steps: int, samples: int, total: int, outputs: int) -> dict[str, Array]:
        """What is drawn at every step for given samples, by name, shape (steps, total[, outputs]); 0 for test samples.

        Parameters
        ----------
        samples, total
            Number of training samples, and of all samples.
        """
        return {}

    def optimizer(self) -> Optimizer:
        """The memory of the program, with a symbol for every part that is switched on."""
        return Optimizer(MOMENTUM if self.momentum else sp.Integer(0), DECAY if self.weight_decay else sp.Integer(0))


def updates(
    backward: Backward,
    trace: Trace,
    coefficient: sp.Expr,
    weight: ScalarRef | None = None,
    together: Mapping[ScalarRef, ScalarRef] | None = None,
) -> list[Learn]:
    """The updates of a program: of every matrix and readout that is not frozen, by its gradient.

    Parameters
    ----------
    trace
        Which are frozen, and which have learning rates of their own.
    coefficient, weight
        Common factors of all terms.
    together
        Products of the common weight and the weights that terms have of their own (`with_own_weights`).

    Raises
    ------
    ProgramError
        If there are none.
    """
    learns = []
    for target, gradient in backward.gradients.items():
        rate = trace.rates.get(target.name, sp.Integer(1))
        if target.name not in trace.frozen and rate != 0:
            step = coefficient * rate
            known: dict[ScalarRef | None, ScalarRef | None] = {None: weight}
            known.update((together or {}).items())
            terms = tuple(
                replace(term, coefficient=step * term.coefficient, weight=known.get(term.weight, term.weight))
                for term in gradient
            )
            learns.append(Learn(_weights(target), terms, rate))
    if not learns:
        raise ProgramError("nothing is trained: at least one matrix or readout needs train=True")
    return learns


def weighed(
    training: TrainingRule,
    gradients: Callable[[ScalarRef | None], list[Learn]],
    scale: sp.Expr,
    labelled: Sequence[ScalarRef] = (),
) -> tuple[ScalarRef | None, list[Statement]]:
    """The scalar by which increments are multiplied, if there is one, and the statements that make it.

    Parameters
    ----------
    gradients
        The updates with increments that are multiplied by a scalar, at a learning rate ``eta0 gamma`` of one.
    scale
        Of their squared norm, see `dmft_sym.program.SquaredNorm`.
    labelled
        By what outer products are multiplied in any case, label by label: errors, the batch.
    """
    made: list[Statement] = []
    factors = list(labelled)
    if training.by_norm is not None:
        if len(factors) > 1:
            factors = [product_of("xi_batch", factors, made)]
        norm = ScalarRef(Scalar("norm_squared", ()))
        made.append(SquaredNorm(norm, tuple(gradients(factors[0] if factors else None)), scale))
        factors.append(norm)
    factors += [] if training.weight is None else [training.weight]
    if len(factors) > 1 or training.by_norm is not None:
        return product_of("xi", factors, made, training.by_norm), made
    return (factors[0] if factors else None), made


def with_own_weights(
    backward: Backward, weight: ScalarRef | None
) -> tuple[dict[ScalarRef, ScalarRef], list[Statement]]:
    """Products of the common weight with those that terms of gradients have of their own, and their statements."""
    made: list[Statement] = []
    own = dict.fromkeys(term.weight for terms in backward.gradients.values() for term in terms if term.weight)
    if weight is None:
        return {}, made
    return {ref: product_of(f"xi_{ref.scalar.name}", [ref, weight], made) for ref in own}, made


def product_of(
    name: str,
    factors: list[ScalarRef],
    made: list[Statement],
    by_norm: Callable[[sp.Expr], sp.Expr] | None = None,
) -> ScalarRef:
    """The product of scalars, of which the squared norm enters by a function."""
    symbols = {sp.Symbol(factor.scalar.name, nonnegative=True): factor for factor in factors}
    parts = (s if by_norm is None or s.name != "norm_squared" else by_norm(s) for s in symbols)
    target = ScalarRef(Scalar(name, next((factor.axes for factor in factors if factor.axes), ())))
    made.append(Compute(target, sp.Mul(*parts), tuple(symbols.items())))
    return target


def _weights(target: GaussianMatrix | RandomVector) -> MatrixRef | VectorRef:
    """A readout, or a matrix with the index of its family."""
    if isinstance(target, RandomVector):
        return VectorRef(target)
    return MatrixRef(target, None if target.layers is None else LAYER.symbol)


@dataclass(frozen=True)
class Descent(TrainingRule):
    """What steps may have and a flow may not.

    Parameters
    ----------
    nesterov
        Nesterov's momentum: with the gradient increment ``G``, ``V = m V + G`` and then ``W += m V + G`` instead of
        ``W += V`` (as ``torch.optim.SGD(nesterov=True)``). Needs a momentum > 0.
    schedule
        Factor of the learning rate at step ``t`` of ``T``: a formula as text (``"1/(1 + t/10)"``, see
        `dmft_sym.program.formulas`), ``"cosine"``, ``"warmup(k)"`` with a number of steps, or an expression of SymPy in
        ``t`` and ``T``. It multiplies the gradient before the momentum, ``V = m V + eta(t) G``, and leaves weight decay
        as it is; finite and >= 0 at every step of a run.
    clip
        Largest norm ``c`` of the gradient: increments are multiplied by ``min(1, c/norm)``, before the momentum. The
        norm is that of all arrays together in the units of their learning rates: its square is how fast the loss of the
        step falls along the gradient, in units of the learning rate ``eta0``. With given samples it is ``sum_ij Delta_i
        K_ij Delta_j / P^2``, ``K`` the neural tangent kernel as it is reported, ``i`` and ``j`` samples and outputs; in
        proportion ``sum_l sum_cc' <g^{l+1}_c g^{l+1}_c'> <h^l_c h^l_c'>``, ``h^0 = v``, with ``delta_cc'`` for ``g`` of
        the readout. Arrays as they are stored, with gradients ``dL/dW`` and their own rates ``eta_W``, have
        ``norm^2 = sum_W (eta_W / eta0) |dL/dW|^2``: it does not depend on how they are stored.
    normalised
        Whether increments are divided by the norm instead, so that every step has the same length; not with ``clip``.
    batch
        Of given samples, how many are drawn anew at every step, without repetition; the loss is their mean.
    label_noise
        Of given samples, standard deviation of Gaussian noise that is drawn anew at every step and added to the targets
        that the error knows, while losses are reported of the targets themselves (squared error only). A run may
        override one that is not 0.
    seed
        Of the draws of batches and label noise, which are the same in all replicas and all finite networks.
    """

    nesterov: bool = False
    schedule: str | sp.Expr | None = None
    batch: int | None = None
    label_noise: float = 0.0
    seed: int = 0
    clip: float | None = None
    normalised: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_draws()
        self._check_norms()
        if not isinstance(self.nesterov, bool):
            raise ProgramError(f"nesterov = {self.nesterov!r}: allowed is True or False")
        if self.nesterov and not self.momentum:
            raise ProgramError(f"nesterov = True with momentum = {self.momentum!r}: allowed is a momentum > 0")
        if self.schedule is not None:
            object.__setattr__(self, "schedule", schedule(self.schedule))

    @property
    def options(self) -> Mapping[str, Any]:
        """Those that are switched on."""
        found: dict[str, Any] = {"nesterov": 1} if self.nesterov else {}
        found |= {} if self.schedule is None else {"schedule": str(self.schedule)}
        found |= {} if self.batch is None else {"batch": self.batch}
        found |= {} if self.clip is None else {"clip": self.clip}
        found |= {"normalised": 1} if self.normalised else {}
        return found | ({"draw_seed": self.seed} if self.batch or self.label_noise else {})

    @property
    def text(self) -> str:
        """What is drawn."""
        found = ""
        if self.batch is not None:
            found += (
                f" At every step {self.batch} of the samples are drawn: $\\mathrm{{batch}}_\\mu(t)$ is "
                f"$P/{self.batch}$ for these and 0 for others."
            )
        if self.label_noise:
            found += " Targets have $\\sigma_\\varepsilon \\zeta_{\\mu c}(t)$ added, $\\zeta$ standard normal."
        return found

    @property
    def batch_weight(self) -> ScalarRef | None:
        """``P/k`` in the batch, 0 elsewhere."""
        return None if self.batch is None else ScalarRef(Scalar("batch", (SAMPLE,), data=True, fresh=True))

    @property
    def target_noise(self) -> ScalarRef | None:
        """Standard normal."""
        return ScalarRef(Scalar("zeta", (SAMPLE, OUTPUT), data=True, fresh=True)) if self.label_noise else None

    @property
    def defaults(self) -> dict[str, float]:
        """With the noise."""
        return {**super().defaults, **({"label_noise": self.label_noise} if self.label_noise else {})}

    @property
    def weight(self) -> ScalarRef | None:
        """The factor of the schedule."""
        if self.schedule is None:
            return None
        return ScalarRef(Scalar("eta", (), data=True, fresh=True, formula=self.schedule))

    @property
    def given_by(self) -> tuple[str, ...]:
        """What is set of them."""
        found = {"schedule": self.schedule, "batch": self.batch, "label_noise": self.label_noise or None}
        found |= {"clip": self.clip, "normalised": self.normalised or None}
        return tuple(name for name, value in found.items() if value is not None)

    def given(self, steps: int) -> dict[str, Array]:
        """The factors of all steps."""
        return {} if self.schedule is None else {"eta": factors(self.schedule, steps)}

    def draws(self, steps: int, samples: int, total: int, outputs: int) -> dict[str, Array]:
        """Batches and noise; those of a shorter run are the first ones."""
        found: dict[str, Array] = {}
        if self.batch is not None:
            stream = np.random.default_rng([self.seed, 0])
            weights = found["batch"] = np.zeros((steps, total))
            for row in weights:
                row[stream.choice(samples, self.batch, replace=False)] = samples / self.batch
        if self.label_noise:
            noise = found["zeta"] = np.zeros((steps, total, outputs))
            noise[:, :samples] = np.random.default_rng([self.seed, 1]).standard_normal((steps, samples, outputs))
        return found

    def _check_norms(self) -> None:
        """A largest norm, or a norm that is fixed."""
        clip = self.clip
        real = isinstance(clip, numbers.Real) and not isinstance(clip, bool)
        if clip is not None and not (real and 0 < clip < float("inf")):
            raise ProgramError(f"clip = {show(clip)}: allowed is a finite number > 0")
        if not isinstance(self.normalised, bool):
            raise ProgramError(f"normalised = {show(self.normalised)}: allowed is True or False")
        if self.normalised and clip is not None:
            raise ProgramError(f"normalised = True with clip = {clip!r}: allowed is one of both")

    @property
    def by_norm(self) -> Callable[[sp.Expr], sp.Expr] | None:
        """The factor of the squared norm."""
        if self.normalised:
            return lambda squared: 1 / sp.sqrt(squared)
        if self.clip is None:
            return None
        clip = sp.Rational(repr(float(self.clip)))
        return lambda squared: sp.Min(1, clip / sp.sqrt(squared))

    def _check_draws(self) -> None:
        """Numbers of the right kind."""
        for name, low in (("batch", 1), ("seed", 0)):
            value = getattr(self, name)
            whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
            if not (value is None and name == "batch") and not (whole and value >= low):
                raise ProgramError(f"{name} = {show(value)}: allowed is an integer >= {low}")
        noise = self.label_noise
        real = isinstance(noise, numbers.Real) and not isinstance(noise, bool)
        if not (real and 0 <= noise < float("inf")):
            raise ProgramError(f"label_noise = {show(noise)}: allowed is a finite number >= 0")

    def optimizer(self) -> Optimizer:
        """Heavy ball, or Nesterov's method."""
        plain = super().optimizer()
        if not self.nesterov:
            return plain
        return replace(plain, from_memory=plain.momentum, from_increment=sp.Integer(1))


@dataclass(frozen=True)
class GradientDescent(Descent):
    """Full-batch gradient descent: the same ``P = alpha D`` samples at every step.

    Parameters
    ----------
    momentum, weight_decay, centered
        As for `TrainingRule`.
    nesterov, schedule, clip, normalised, batch, label_noise, seed
        As for `Descent`.

    See Also
    --------
    OnlineSGD : a fresh batch at every step.
    GradientFlow : the limit of small learning rates.

    References
    ----------
    arXiv:2502.02531; momentum as in Polyak, USSR Comput. Math. Math. Phys. 4, 1 (1964).

    Examples
    --------
    >>> import dmft_sym as ds
    >>> print(ds.GradientDescent(momentum=0.9, nesterov=True).optimizer())
    momentum m, weight decay 0, added to weights: (m) V + (1) G
    """


@dataclass(frozen=True)
class OnlineSGD(Descent):
    """One-pass SGD: a fresh batch of ``B = alpha D`` samples at every step, whose size and noise a run says.

    Parameters
    ----------
    momentum, weight_decay, centered
        As for `TrainingRule`.
    nesterov, schedule, clip, normalised
        As for `Descent`.

    See Also
    --------
    GradientDescent : the same samples at every step.

    References
    ----------
    arXiv:2502.02531, one-pass SGD.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> theory = ds.derive(ds.deep_linear(depth=1), training=ds.OnlineSGD(momentum=0.5))
    >>> run = theory.compile("numpy")(samples_per_dim=1, width_per_dim=1, richness=1, learning_rate=0.1, steps=3)
    >>> run.attrs["online"], run.attrs["momentum"]
    (1, 0.5)
    """

    @property
    def fresh(self) -> bool:
        """Always true: no sample is seen twice."""
        return True


@dataclass(frozen=True)
class GradientFlow(TrainingRule):
    """Gradient flow on all samples: gradient descent in the limit ``eta0 -> 0`` at fixed time ``eta0 t``.

    A run takes ``time`` instead of ``learning_rate`` and ``steps``: either the time at which it ends, or the times at
    which results are wanted, from 0 to the end.

    Parameters
    ----------
    rtol
        Tolerance of an integration step: of the error of every trained array, in units of its size.
    max_steps
        Number of integration steps after which a run is given up.

    Raises
    ------
    ProgramError
        Naming the argument, its value and what is allowed; momentum and weight decay are those of steps.

    See Also
    --------
    GradientDescent : steps of a finite size.
    limits.check : the limit ``gradient_flow`` of descent.

    References
    ----------
    arXiv:2205.09653; Dormand, Prince, J. Comput. Appl. Math. 6, 19 (1980), for pairs of integrators.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> theory = ds.derive(ds.deep_linear(2), training=ds.GradientFlow())
    >>> run = theory.compile()(time=[0.0, 0.5, 2.0], samples_per_dim=2, width_per_dim=1, richness=1)
    >>> [round(float(loss), 5) for loss in run.train_loss.sel(output=0)]
    [2.0, 0.22731, 0.02577]
    """

    rtol: float = 1e-6
    max_steps: int = 100_000

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("momentum", "weight_decay"):
            if getattr(self, key):
                raise ProgramError(
                    f"{key} = {getattr(self, key)!r}: allowed with GradientFlow is 0, a flow has no steps"
                )
        if isinstance(self.rtol, bool) or not isinstance(self.rtol, numbers.Real) or not 1e-12 <= self.rtol < 1:
            raise ProgramError(f"rtol = {self.rtol!r}: allowed is a number >= 1e-12 and < 1")
        steps = self.max_steps
        if isinstance(steps, bool) or not isinstance(steps, numbers.Integral) or steps < 1:
            raise ProgramError(f"max_steps = {steps!r}: allowed is an integer >= 1")

    @property
    def continuous(self) -> bool:
        """Always true."""
        return True

    @property
    def values(self) -> dict[sp.Symbol, float]:
        """Increments are the right-hand side of the flow at a learning rate of one."""
        return {ETA: 1.0}

    def refusal(self, argument: str) -> str | None:
        """There is no learning rate."""
        return "a gradient flow has none, its time is eta0 t" if argument == "learning_rate" else None

    @property
    def options(self) -> dict[str, Any]:
        """Tolerance and number of steps."""
        return {"rtol": self.rtol, "max_steps": self.max_steps}

    @property
    def text(self) -> str:
        """The limit in which steps become a flow."""
        return (
            " The gradient flow is the limit $\\eta_0 \\to 0$ of these steps at fixed time $\\eta_0 t$: an increment "
            "divided by $\\eta_0$ becomes a derivative by time, and $\\eta_0 \\sum_s$ an integral over it."
        )
