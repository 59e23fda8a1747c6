"""Keys of specs: sections as dataclasses whose annotations say what a value may be, whose docstrings what it means.

Here are the widest sections that any regime has; a regime narrows them or adds keys in its own file. Ranges of physical
keys are those of run-time parameters. Pydantic reads these classes (`dmft_sym.spec`); sessions without specs need not
import it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, make_dataclass, replace
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge, Gt, Le, Len, Lt, MaxLen, MultipleOf, Predicate

from dmft_sym.networks.parameters import BY_KEYWORD
from dmft_sym.support.messages import show

LARGEST = 2**31 - 1
"""Of integers without another bound."""
OWN_FORWARD = (
    "a forward pass of your own is given on the command line, --network file.py:function, or in Python, "
    "dmft_sym.network(forward): text is never executed"
)


@dataclass(frozen=True)
class Words:
    """What a text may be, in words."""

    allowed: str


@dataclass(frozen=True)
class Hints:
    """What is said of values that users may try, by value."""

    of: Mapping[str, str]


Finite = Annotated[float, Gt(-math.inf), Lt(math.inf)]
Count = Annotated[int, Ge(1), Le(LARGEST)]
Index = Annotated[int, Ge(0), Le(LARGEST)]
Tolerance = Annotated[float, Gt(0), Lt(1)]
DISTINCT = Predicate(lambda entries: len(set(entries)) == len(entries))
"""Of lists, which are read as tuples."""
LONGEST = MaxLen(10_000)
Steps = Annotated[tuple[Index, ...], LONGEST, DISTINCT]
Times = Annotated[tuple[Annotated[float, Ge(0), Lt(math.inf)], ...], LONGEST, DISTINCT]
Time = Annotated[
    Annotated[float, Gt(0), Lt(math.inf)] | Times,
    Words("the end of the flow, a finite number > 0, or a list of ascending times from 0 to the end"),
]
FLOW = "gradient-flow"
OF_RUNS = frozenset({*BY_KEYWORD, "at", "kernels", "values", "progress", "checkpoint"})
"""Arguments of runs beside those that are keys of training, solver, simulation, spectrum or sampling."""
ENTRIES = "single entries of a matrix, on which Adam and sign descent act, are outside the averaging rule"
ON_ENTRIES = dict.fromkeys(("adam", "Adam", "adamw", "AdamW", "sign", "sign-descent", "rmsprop"), f"; {ENTRIES}")
SCHEDULE = Words('a formula in t and T such as "1/(1 + t/10)", "cosine" or "warmup(10)"')
File = Annotated[str, Words("the name of an .npz or .csv file")]
Matrix = Annotated[str, Words('the name of a matrix, such as "W0"')]
Method = Literal["equations", "conditioning"]

FROM_ZERO = replace(BY_KEYWORD["depth"], low=0)
"""A depth that may be zero, linear regression."""
_LATER = ("residual", "gated", "attention")
Exponent = Annotated[dict[Literal["exponent"], Finite], Len(1, 1)]
PARAMETERS = Words("a table of finite numbers by name, such as {strength = 0.5}")
LABELS = Words("a table of numbers of values by name, such as {token = 3}, every one an integer >= 1")
Labels = Annotated[dict[str, Count], Len(1, 100), LABELS]
"""Labels of inputs, and how many values they have."""
PARAMETRIZATION = Words('"muP", "NTK" or {exponent = a} with a finite number a (muP is 0.5, NTK is 0)')
KINDS = {"python": f"; {OWN_FORWARD}", **dict.fromkeys(_LATER, f" (not available yet: {', '.join(_LATER)})")}


class Fault(NamedTuple):
    """One thing that is wrong: where, and the line that says it."""

    section: str
    key: str
    line: str


@dataclass(frozen=True)
class Keys:
    """A section."""

    def faults(self) -> Iterator[Fault]:
        """What does not fit together in the section."""
        yield from ()

    @classmethod
    def needed(cls, table: Mapping[str, Any]) -> tuple[str, ...]:
        """Keys without a default that have to be there, given the others."""
        return ()


@dataclass(frozen=True, kw_only=True)
class NetworkKeys(Keys):
    """``[network]``: what is trained.

    Parameters
    ----------
    kind
        Name of a network; ``"deep-linear"``, or ``"mlp"`` for given samples.
    activation
        Of ``"mlp"``: a name or a formula in ``h``.
    depth
        Number ``L`` of hidden layers; 0 is linear regression.
    outputs
        Number ``C`` of outputs; that of the targets if samples are given, else 1.
    parametrization
        Exponent ``a`` of ``gamma = gamma0 nu^(a - 1/2)``, written as ``"muP"`` (1/2), ``"NTK"`` (0) or
        ``{exponent = a}``.
    init_std
        Standard deviation of the initial weights.
    richness
        ``gamma0``; small is lazy, large is rich.
    parameters
        Values of run-time parameters of a forward pass of the user's own, ``net.parameter(name)``, by name.
    """

    kind: Annotated[Literal["deep-linear", "mlp"], Hints(KINDS)]
    activation: Annotated[str, Words('a name such as "tanh", or a formula in h such as "h*tanh(h)"')] | None = None
    depth: Annotated[int, FROM_ZERO, Le(LARGEST)]
    outputs: Annotated[int, BY_KEYWORD["outputs"], Le(LARGEST)] | None = None
    parametrization: Annotated[Literal["muP", "NTK"] | Exponent, PARAMETRIZATION] = "muP"
    init_std: Annotated[float, BY_KEYWORD["init_std"]] = 1.0
    richness: Annotated[float, BY_KEYWORD["richness"]] | None = None
    parameters: Annotated[dict[str, Finite], Len(1, 100), PARAMETERS] | None = None

    def faults(self) -> Iterator[Fault]:
        """An activation where the kind has none, and one that is no function."""
        from dmft_sym.networks.activations import activation

        text = self.activation
        if text is None:
            return
        if self.kind != "mlp":
            yield refused("network", "activation", text, f'nothing, kind = "{self.kind}" has no activation')
            return
        try:
            activation(text)
        except ValueError as error:
            reason = str(error).removeprefix(f"activation {show(text.strip())}")
            separator = "" if reason.startswith((":", " ")) else ": "
            yield Fault("network", "activation", f"[network] activation = {shown(text)}{separator}{reason}")

    @property
    def exponent(self) -> float:
        """Of the parametrization."""
        chosen = self.parametrization
        return {"muP": 0.5, "NTK": 0.0}[chosen] if isinstance(chosen, str) else chosen["exponent"]

    @property
    def linear(self) -> bool:
        """Whether the network is linear: its kind, or an activation that is a multiple of ``h``."""
        if self.activation is None:
            return True
        import sympy as sp

        from dmft_sym.networks.activations import H, activation

        chosen = activation(self.activation)
        return not chosen.derivative.has(H) and sp.expand(chosen.expression - chosen.derivative * H) == 0


@dataclass(frozen=True, kw_only=True)
class DataKeys(Keys):
    """``[data]``: the samples.

    Parameters
    ----------
    regime
        ``"proportional"``: Gaussian inputs and a linear teacher, sizes growing at fixed ratios. ``"fixed"``: given
        samples, the width growing alone.
    """

    regime: str

    @property
    def parameters(self) -> dict[str, float]:
        """Keys that are arguments of a run."""
        given = {key.name: getattr(self, key.name) for key in fields(self) if key.name in BY_KEYWORD}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def fresh(self) -> bool:
        """Whether every step has fresh samples."""
        return False


@dataclass(frozen=True, kw_only=True)
class TrainingKeys(Keys):
    """``[training]``: gradient descent, or its flow in continuous time.

    Parameters
    ----------
    learning_rate
        ``eta0`` of gradient descent.
    steps
        Number of gradient steps.
    momentum
        Heavy-ball coefficient.
    weight_decay
        Decoupled decay per step.
    nesterov
        Whether the momentum is Nesterov's: weights take in ``m V + G`` and not ``V``.
    schedule
        Factor of the learning rate: a formula in the step ``t`` and the number of steps ``T``, ``"cosine"`` or
        ``"warmup(k)"``.
    clip
        Largest norm of the gradient.
    normalised
        Whether increments are divided by the norm of the gradient.
    centered
        Whether the output of the network at initialization is subtracted, which small richness needs.
    kind
        ``"gradient-descent"`` takes ``learning_rate`` and ``steps``; ``"gradient-flow"``, its limit of small steps,
        takes ``time``.
    time
        Of the flow, learning rate times steps: its end, or a list of times from 0 to the end at which results are kept.
    rtol
        Tolerance of an integration step of the flow.
    """

    learning_rate: Annotated[float, BY_KEYWORD["learning_rate"]] | None = None
    steps: Count | None = None
    momentum: Annotated[float, BY_KEYWORD["momentum"]] = 0.0
    weight_decay: Annotated[float, BY_KEYWORD["weight_decay"]] = 0.0
    nesterov: bool = False
    schedule: Annotated[str, SCHEDULE] | None = None
    clip: Annotated[Finite, Gt(0)] | None = None
    normalised: bool = False
    centered: bool = False
    kind: Annotated[Literal["gradient-descent", "gradient-flow"], Hints(ON_ENTRIES)] = "gradient-descent"
    time: Time | None = None
    rtol: Annotated[float, Ge(1e-12), Lt(1)] = 1e-6

    @classmethod
    def of_rules(cls) -> dict[str, object]:
        """Keys that are arguments of a training rule in steps, with their usual values."""
        found = {"momentum": 0, "weight_decay": 0, "centered": False, "nesterov": False, "schedule": None}
        return {**found, "clip": None, "normalised": False}

    @classmethod
    def needed(cls, table: Mapping[str, Any]) -> tuple[str, ...]:
        """How long training lasts, and how fast it is."""
        kinds = {FLOW: ("time",), "gradient-descent": ("learning_rate", "steps")}
        kind = table.get("kind", "gradient-descent")
        return kinds.get(kind, ()) if isinstance(kind, str) else ()

    @property
    def continuous(self) -> bool:
        """Whether training is a flow."""
        return self.kind == FLOW

    @property
    def last(self) -> float:
        """The last step, or the end of a flow."""
        if self.steps is not None:
            return self.steps - 1
        if isinstance(self.time, tuple):
            return max(self.time, default=0.0)
        return self.time or 0.0

    def faults(self) -> Iterator[Fault]:
        """Keys of the other kind, and times that do not ascend."""
        if self.continuous:
            others = {"learning_rate": None, "steps": None, **self.of_rules()}
            others.pop("centered")
        else:
            others = {"time": None, "rtol": TrainingKeys.rtol}
        for key, usual in others.items():
            value = getattr(self, key)
            if value != usual:
                yield refused("training", key, value, f'nothing with kind = "{self.kind}"')
        if self.nesterov and not self.momentum and not self.continuous:
            yield refused("training", "nesterov", True, "false; it needs a momentum > 0")
        if self.normalised and self.clip is not None and not self.continuous:
            yield refused("training", "normalised", True, "false with clip, which bounds the norm")
        yield from self._no_schedule()
        times = self.time if self.continuous and isinstance(self.time, tuple) else (0.0, 1.0)
        if len(times) < 2 or times[0] != 0 or list(times) != sorted(times):
            yield refused("training", "time", list(times), "a list of ascending times from 0 to the end")

    def _no_schedule(self) -> Iterator[Fault]:
        """A schedule that is none, or is negative at a step."""
        if self.schedule is None or self.steps is None:
            return
        from dmft_sym.networks.schedules import factors, schedule

        try:
            factors(schedule(self.schedule), self.steps)
        except ValueError as error:
            yield Fault("training", "schedule", f"[training] {error}")


@dataclass(frozen=True, kw_only=True)
class SolverKeys(Keys):
    """``[solver]``: how the infinite network is computed.

    Parameters
    ----------
    method
        ``"equations"`` solves the derived equations: row by row where they close (memory grows with ``steps^2``), by
        sampling where they do not (slow, for small sizes). ``"conditioning"`` trains the infinite network itself: a
        linear one in a growing basis (for long runs), any other on sampled sites.
    tol
        Relative tolerance below which coordinates open no new direction.
    backend
        Language of the generated march.
    """

    method: Method | None = None
    tol: Tolerance = 1e-8
    backend: Literal["numba", "numpy", "mpmath"] = "numba"

    @property
    def sampled(self) -> bool:
        """Whether results have sampling errors."""
        return False

    @property
    def options(self) -> dict[str, Any]:
        """Further options of a run."""
        return {}


def simulation_keys(size: str, meaning: str, default: int) -> type:
    """The section ``[simulation]`` of a regime whose finite networks have this size."""
    doc = f"""``[simulation]``: the finite networks that a theory is compared with.

    Parameters
    ----------
    {size}
        {meaning[:1].upper()}{meaning[1:]}.
    seeds
        Number of networks.
    seed
        Seed of the first one.
    """
    keys = [(size, Count, default), ("seeds", Count, 4), ("seed", Index, 0)]
    return make_dataclass("SimulationKeys", keys, bases=(Keys,), namespace={"__doc__": doc}, frozen=True, kw_only=True)


@dataclass(frozen=True, kw_only=True)
class SpectrumKeys(Keys):
    """``[spectrum]``: matrices whose spectra are asked for, and at which steps.

    Parameters
    ----------
    matrices
        ``"W0"``, ``"W1"``, ... and, unless samples are given, ``"NTK"``.
    steps
        Steps, counted from 0; a spectrum is that of the weights before the update of the step. Without it, the last.
    times
        Times of a flow, instead of steps.
    """

    matrices: Annotated[tuple[Matrix, ...], LONGEST, DISTINCT] = ()
    steps: Steps = ()
    times: Times = ()

    @property
    def values(self) -> int | None:
        """How many values a simulation keeps; 0 for all, ``None`` for the largest ones."""
        return None


@dataclass(frozen=True, kw_only=True)
class SamplingKeys(Keys):
    """``[sampling]``: sampled sites of nonlinear networks.

    Parameters
    ----------
    sites
        Number ``S`` of sites, of all replicas together; even, because sites come in antithetic pairs. 20 000 if neither
        this nor ``error`` is given.
    error
        Wanted standard error of the outputs ``f``, instead of ``sites``.
    seed
        Seed of the random numbers.
    replicas
        Number of independent replicas that standard errors come from.
    tol
        Relative length below which a field opens no new direction; that of the sampling error by default.
    bias
        Whether the bias by few sites is estimated, with runs of half the sites; takes two to three times as long.
    """

    sites: Annotated[int, Ge(2), Le(LARGEST), MultipleOf(2)] | None = None
    error: Annotated[Finite, Gt(0)] | None = None
    seed: Index = 0
    replicas: Annotated[int, Ge(2), Le(1000)] = 8
    tol: Tolerance | None = None
    bias: bool = False


class UnreadSectionError(LookupError):
    """A section that is not there, or that has errors of its own."""


class Spec:
    """A whole spec, checked; sections that a file leaves out have their default values.

    Parameters
    ----------
    sections
        The sections, which are attributes too.
    written
        The tables as they are in the file.
    old_words
        A line for every word that changed.
    own
        A network of the user's own, whose matrices and kind no key says; see `dmft_sym.spec.own_network`.
    """

    network: NetworkKeys
    data: Any
    training: TrainingKeys
    solver: Any
    simulation: Any
    spectrum: Any
    sampling: SamplingKeys
    kernels: Any

    def __init__(
        self,
        sections: Mapping[str, Any],
        written: Mapping[str, Mapping[str, Any]],
        old_words: Collection[str] = (),
        own: Any = None,
    ) -> None:
        self.sections, self.written, self.old_words, self.own = sections, written, tuple(old_words), own

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in Spec.__annotations__:
            raise AttributeError(name)
        try:
            return self.sections[name]
        except KeyError:
            raise UnreadSectionError(name) from None

    def replaced(self, section: str, **changes: Any) -> Spec:
        """The spec with other values of some keys."""
        changed = replace(self.sections[section], **changes)
        return Spec({**self.sections, section: changed}, self.written, self.old_words, self.own)

    def given(self, section: str) -> Mapping[str, Any]:
        """The keys that the file has, with their values as written."""
        return self.written.get(section, {})

    @property
    def sampled(self) -> bool:
        """Whether results have sampling errors."""
        return bool(self.solver.sampled)

    @property
    def notes(self) -> tuple[str, ...]:
        """Keys that are given and have no effect here, a line each."""
        lines = [*self.old_words, *(() if self.own is None else self.own.notes)]
        if self.sampling != SamplingKeys() and not self.sampled:
            lines.append("[sampling]: a linear network closes without sampling; these keys are not used")
        if self.solver.tol != SolverKeys.tol and self.sampled:
            lines.append("[solver] tol: it is that of coordinates and is not used; sampled sites have [sampling] tol")
        return tuple(lines)


Check = Callable[[Spec], Iterable[Fault]]
"""What does not fit together in a spec whose keys are right one by one; it ends where a section has errors."""


def refused(section: str, key: str, value: object, allowed: str, regime: str | None = None) -> Fault:
    """A value that is not allowed, with a regime or at all."""
    where = "" if regime is None else f' with regime = "{regime}"'
    return Fault(section, key, f"[{section}] {key} = {shown(value)}: allowed{where} is {allowed}")


def late_steps(spec: Spec, section: str) -> Iterator[Fault]:
    """Steps or times of a section beyond the last one, and those of the other kind of training."""
    steps, times = getattr(spec, section).steps, getattr(spec, section).times
    kind = f'nothing with [training] kind = "{spec.training.kind}"'
    if spec.training.continuous:
        for time in times:
            if time > spec.training.last:
                yield refused(section, "times", time, f"times of the flow, 0 to {spec.training.last:g}")
        if steps:
            yield refused(section, "steps", list(steps), f"{kind}, use times")
        return
    if times:
        yield refused(section, "times", list(times), f"{kind}, use steps")
    last = int(spec.training.last)
    for step in steps:
        if step > last:
            line = f"[{section}] steps = {step}: allowed are integers from 0 to {last}, the last step"
            yield Fault(section, "steps", line)


def named_twice(spec: Spec) -> Iterator[Fault]:
    """Parameters of a forward pass that have the names of other arguments of runs."""
    others = (vars(section) for name, section in spec.sections.items() if name not in ("network", "data"))
    taken = OF_RUNS.union(*others)
    for name in spec.network.parameters or ():
        if name in taken:
            allowed = f"parameters of a forward pass; {name} is an argument of every run"
            yield refused("network", "parameters", spec.network.parameters, allowed)


def of_flows(spec: Spec) -> Iterator[Fault]:
    """What there is of gradient descent only."""
    if not spec.training.continuous:
        return
    where = f'with [training] kind = "{spec.training.kind}"'
    for section in ("solver", "spectrum"):
        method = getattr(getattr(spec, section), "method", None)
        if method == "equations":
            allowed = f'{where} is "conditioning"; equations are marched in steps, with a small learning_rate'
            yield Fault(section, "method", f'[{section}] method = "equations": allowed {allowed}')
    if spec.data.fresh:
        yield Fault("data", "online", f"[data] online = true: allowed {where} is false, a flow sees all samples")


def shown(value: object) -> str:
    """A value the way TOML writes it."""
    if isinstance(value, str):
        return show(value).replace("'", '"') if '"' not in value else show(value)
    return show(value)
