"""Run-time arguments: what users pass by keyword becomes values of the symbols of a program."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import sympy as sp

from dmft_sym.networks.parameters import BY_KEYWORD, GAMMA, INIT_VARIANCE, Parameter
from dmft_sym.program import outputs_are_alike
from dmft_sym.support.array_types import Array
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show, suggestion

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem


@dataclass(frozen=True)
class RunArguments:
    """Checked arguments of a run.

    Attributes
    ----------
    values
        Of the symbols of the program, depth included.
    steps
        Number of gradient steps, or of the times of a flow.
    given
        As the user named them, defaults filled in; what results record.
    times
        Of a flow, ascending from 0 to its end.
    data
        Arrays that are given from outside, by the names of the program; those of every step have an axis of steps.
    """

    values: dict[sp.Symbol, float]
    outputs: int
    steps: int
    given: dict[str, float | int]
    times: tuple[float, ...] | None = None
    data: Mapping[str, Array] = field(default_factory=dict, compare=False)

    @property
    def integers(self) -> dict[sp.Symbol, int]:
        """Values of the integer symbols, such as the depth."""
        return {symbol: int(value) for symbol, value in self.values.items() if symbol.is_integer}

    @property
    def axis(self) -> str:
        """Along what a run goes: ``"step"``, or ``"time"``."""
        return "step" if self.times is None else "time"

    def place(self, step: int) -> float:
        """What users call a step: its number, or its time."""
        return step if self.times is None else self.times[step]

    def where(self, step: int) -> str:
        """A step in words: ``"step 20"``, or ``"time 2.5"``."""
        return f"{self.axis} {self.place(step):g}" if self.times is not None else f"step {step}"

    def only(self, times: Iterable[float]) -> RunArguments:
        """The same run, a flow looked at at these times, at its beginning and at its end."""
        return self if self.times is None else replace(self, times=(0.0, self.times[-1]), steps=2).including(times)

    def including(self, times: Iterable[float]) -> RunArguments:
        """The same run, a flow looked at at these times as well."""
        if self.times is None:
            return self
        found = tuple(sorted({*self.times, *times}))
        return replace(self, times=found, steps=len(found))

    def step_of(self, name: str, place: object) -> int:
        """The number of a step that users asked for, of a flow of one of its times.

        Raises
        ------
        ArgumentError
            If the run does not have it.
        """
        if self.times is None:
            return _step_of(name, place, self.steps)
        return self.times.index(check_time(name, place, self.times[-1]))


DTYPES = ("float64", "float32")
_TIMES, _EARLIEST = 200, 1e-5
"""Of a flow whose end alone is given: number of times beside 0, and the first of them in units of the last."""


def run_arguments(
    theory: Problem,
    steps: object,
    keywords: Mapping[str, object],
    options: Iterable[str] = (),
    time: object = None,
) -> RunArguments:
    """Check the keyword arguments of a run against the parameters of a theory.

    Parameters
    ----------
    steps, time, keywords
        As the user gave them.
    options
        Further arguments of the call, which messages list.

    Raises
    ------
    ArgumentError
        Naming the argument, its value and what is allowed.
    """
    number, times = _length(theory, steps, time)
    needed = _needed(theory)
    defaults = _defaults(theory)
    for name in sorted(set(keywords) - set(needed)):
        if name not in BY_KEYWORD:
            known = [*sorted(needed), *options]
            length = "steps" if times is None else "time"
            raise ArgumentError(
                f"{name}: unknown argument{suggestion(name, known)}; allowed are {length}, {', '.join(known)}"
            )
        _check_unused(name, keywords[name], theory)
    given: dict[str, float | int] = {}
    for name, parameter in needed.items():
        value = keywords.get(name, defaults.get(name, parameter.default))
        if value is None:
            raise ArgumentError(f"{name}: missing; allowed is {parameter.allowed} ({parameter.meaning})")
        given[name] = checked(parameter, value)
    values = _symbol_values(theory, given)
    values |= {**theory.data.values, **theory.training.values}
    given |= {"steps": number} if times is None else {"time": times[-1]}
    data = {**theory.data.given, **theory.data.given_anew(theory.training, number)}
    return RunArguments(values, _outputs(theory, given), number, given, times, data)


def _outputs(theory: Problem, given: Mapping[str, float | int]) -> int:
    """Outputs that a field carries: those of the run, or one where they have fields of their own."""
    outputs = theory.data.outputs_of(given)
    if not theory.program.outputs_apart:
        return outputs
    if outputs != theory.network.outputs:
        raise ArgumentError(f"outputs = {outputs}: allowed is {theory.network.outputs}, as its readouts are of these")
    return 1


def of_one_output(theory: Problem, arguments: RunArguments) -> RunArguments:
    """The run of one output, where it stands for others like it; else the same run.

    What is equal for all of them is then made of it, see `dmft_sym.results.equal_outputs`.
    """
    if arguments.outputs == 1 or theory.program.increments or not outputs_are_alike(theory.program):
        return arguments
    return replace(arguments, outputs=1)


def _length(theory: Problem, steps: object, time: object) -> tuple[int, tuple[float, ...] | None]:
    """Number of steps; or number of times, and the times."""
    flows, name = theory.training.continuous, type(theory.training).__name__
    wanted, unwanted, value = ("time", "steps", steps) if flows else ("steps", "time", time)
    if value is not None:
        raise ArgumentError(f"{unwanted} = {show(value)}: allowed is nothing with {name}, whose runs take {wanted}")
    if flows:
        times = _times(time)
        return len(times), times
    if steps is None:
        raise ArgumentError("steps: missing; allowed is an integer >= 1, finite (number of gradient steps)")
    parameter = Parameter(sp.Symbol("steps"), "steps", "", low=1, open_low=False, integer=True)
    return int(checked(parameter, steps)), None


def _times(time: object) -> tuple[float, ...]:
    """The times of a flow: as given, or many in logarithmic distances up to the end that is given.

    Raises
    ------
    ArgumentError
        Naming what is allowed.
    """
    import numpy as np

    allowed = "allowed is the end of the flow, a finite number > 0, or ascending times from 0 to the end"
    if time is None:
        raise ArgumentError(f"time: missing; {allowed} (learning rate times steps, as the rate goes to 0)")
    if isinstance(time, numbers.Real) and not isinstance(time, bool):
        end = float(time)
        if not 0 < end * _EARLIEST < math.inf:
            raise ArgumentError(f"time = {time!r}: {allowed}")
        return (0.0, *np.geomspace(end * _EARLIEST, end, _TIMES).tolist()[:-1], end)
    try:
        found = np.zeros(0) if isinstance(time, str | bytes | bool) else np.asarray(time, dtype=float)
    except (TypeError, ValueError):
        found = np.zeros(0)
    ascending = found.ndim == 1 and len(found) > 1 and found[0] == 0 and bool((np.diff(found) > 0).all())
    if not ascending or not np.isfinite(found).all():
        raise ArgumentError(f"time = {show(time)}: {allowed}")
    return tuple(found.tolist())


def check_time(name: str, value: object, end: float) -> float:
    """A time within a flow.

    Raises
    ------
    ArgumentError
        If it is something else.
    """
    number = math.nan if isinstance(value, bool) or not isinstance(value, numbers.Real) else float(value)
    if not 0 <= number <= end:
        raise ArgumentError(f"{name} = {show(value)}: allowed are times of the flow, 0 to {end:g}")
    return number


def _step_of(name: str, step: object, steps: int) -> int:
    if isinstance(step, bool) or not isinstance(step, numbers.Integral) or not 0 <= int(step) < steps:
        raise ArgumentError(f"{name} = {show(step)}: allowed are steps of the run, 0 to {steps - 1}")
    return int(step)


def check_integer(name: str, value: object, low: int) -> int:
    """The integer ``value``; numbers of NumPy are integers, truth values are not.

    Raises
    ------
    ArgumentError
        If it is something else or below ``low``.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < low:
        raise ArgumentError(f"{name} = {show(value)}: allowed is an integer >= {low}")
    return int(value)


def check_flag(name: str, value: object) -> None:
    """Raise `ArgumentError` if ``value`` is neither true nor false."""
    if not isinstance(value, bool):
        raise ArgumentError(f"{name} = {show(value)}: allowed are True and False")


def check_progress(progress: object) -> None:
    """Raise `ArgumentError` if ``progress`` is neither something to be called nor whether there is a bar."""
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        raise ArgumentError(
            f"progress = {show(progress)}: allowed is a function of two integers, done and total; or False for no bar"
        )


def check_dtype(dtype: object) -> str:
    """The precision ``dtype``, one of `DTYPES`.

    Raises
    ------
    ArgumentError
        If it is something else.
    """
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ArgumentError(f"dtype = {show(dtype)}: allowed are {', '.join(DTYPES)}")
    return dtype


def check_defaults(theory: Problem) -> None:
    """Refuse defaults of a network that no run of its theory could use.

    Raises
    ------
    ArgumentError
        Naming the default, its value and what is allowed.
    """
    network, needed = theory.network, _needed(theory)
    for name, value in network.defaults.items():
        if name in needed:
            checked(needed[name], value)
        elif name in BY_KEYWORD:
            _check_unused(name, value, theory)
        else:
            allowed = ", ".join(sorted(needed))
            raise ArgumentError(
                f"{name} = {show(value)}: network {network.name} has no such parameter{suggestion(name, needed)}; "
                f"allowed defaults are those of {allowed}"
            )
    if network.depth is not None:
        if "depth" in needed:
            checked(needed["depth"], network.depth)
        else:
            _check_unused("depth", network.depth, theory)


def taken(theory: Problem) -> list[str]:
    """Names of the parameters that a run of a theory takes, beside its steps or its time."""
    return sorted(_needed(theory))


def arguments_of(theory: Problem) -> dict[str, tuple[Parameter, Any]]:
    """Parameters that a run of a theory takes, by name, each with its default; ``None`` where it has to be given."""
    defaults = _defaults(theory)
    return {name: (one, defaults.get(name, one.default)) for name, one in sorted(_needed(theory).items())}


def _needed(theory: Problem) -> dict[str, Parameter]:
    """Parameters that a run takes: those of the program, outputs, and what the parametrization needs."""
    found = {parameter.keyword: parameter for parameter in theory.parameters}
    if "depth" in found:
        found["depth"] = replace(found["depth"], low=theory.program.smallest_depth)
    found |= {parameter.keyword: parameter for parameter in theory.data.arguments}
    symbols = {parameter.symbol for parameter in theory.parameters}
    if GAMMA in symbols and theory.network.parametrization.exponent != 0.5:
        found.setdefault("width_per_dim", BY_KEYWORD["width_per_dim"])
    return found


def _defaults(theory: Problem) -> dict[str, object]:
    training, network = theory.training, theory.network
    found: dict[str, object] = {
        **training.defaults,
        **network.defaults,
        "outputs": network.outputs,
        **theory.data.defaults,
    }
    if network.depth is not None:
        found["depth"] = network.depth
    return found


def _check_unused(name: str, value: object, theory: Problem) -> None:
    """A standard argument that this program has no symbol for must be in range, and zero for the optimizer.

    A depth has no neutral value: where it means nothing it is refused.
    """
    if name == "depth":
        raise ArgumentError(f"depth = {show(value)}: allowed is nothing, the forward pass does not use net.depth")
    reason = theory.data.refusal(name) or theory.training.refusal(name)
    if reason is not None:
        raise ArgumentError(f"{name} = {show(value)}: allowed is nothing, {reason}")
    number = checked(BY_KEYWORD[name], value)
    if name in ("momentum", "weight_decay") and number != 0:
        raise ArgumentError(
            f"{name} = {value!r}: the theory was derived without it; derive with a training rule that has {name}"
        )


def checked(parameter: Parameter, value: object) -> float | int:
    """The value of a parameter, if it is one.

    Raises
    ------
    ArgumentError
        Naming what is allowed.
    """
    bad = isinstance(value, bool) or not isinstance(value, numbers.Real)
    number = math.nan if bad else float(value)  # type: ignore[arg-type]
    if not parameter.admits(number):
        raise ArgumentError(f"{parameter.keyword} = {value!r}: allowed is {parameter.allowed}")
    return int(number) if parameter.integer else number


def _symbol_values(theory: Problem, given: Mapping[str, float | int]) -> dict[sp.Symbol, float]:
    values: dict[sp.Symbol, float] = {}
    for parameter in theory.parameters:
        value = float(given[parameter.keyword])
        if parameter.symbol == GAMMA:
            width = float(given.get("width_per_dim", 1.0))
            value = theory.network.parametrization.gamma(value, width)
            if not 0 < value < math.inf:
                raise ArgumentError(
                    f"width_per_dim = {width:g}: gamma = {value:g} in the parametrization "
                    f"{theory.network.parametrization}; allowed is a finite width, or muP"
                )
        elif parameter.symbol == INIT_VARIANCE:
            value = value * value  # a power of a large float raises, and what is infinite is refused by name
        values[parameter.symbol] = int(value) if parameter.integer else value
    return values
