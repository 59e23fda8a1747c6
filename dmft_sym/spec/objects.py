"""What a spec stands for: network, data and training rule, and the keyword arguments of a run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dmft_sym.regimes import REGIMES
from dmft_sym.regimes.keys import Spec
from dmft_sym.support.errors import ArgumentError, SpecError
from dmft_sym.support.messages import InputError

if TYPE_CHECKING:
    from dmft_sym.networks import Network, TrainingRule
    from dmft_sym.regimes import Regime

SITES = 20_000
"""Number of sampled sites if a spec says nothing."""


def regime_of(spec: Spec) -> type[Regime]:
    """The regime of a spec."""
    return REGIMES[spec.data.regime]


def data_of(spec: Spec) -> Regime:
    """The data of a spec, ready for `dmft_sym.derive`; given samples are read or drawn.

    Raises
    ------
    SpecError
        If the samples cannot be had, or do not fit the network.
    """
    try:
        return regime_of(spec).of_spec(spec)
    except SpecError:
        raise
    except InputError as error:
        raise SpecError(f"[data] {error}") from error


def network_of(spec: Spec, data: Regime | None = None) -> Network:
    """The network of a spec, ready for `dmft_sym.derive`.

    Parameters
    ----------
    data
        What `data_of` returned, if it is there already.
    """
    data = data_of(spec) if data is None else data
    network: Network = data.network(spec.network) if spec.own is None else spec.own.network(spec.network, data)
    return network


def notes_of(spec: Spec) -> tuple[str, ...]:
    """Keys that are given and have no effect, a line each; a depth too that a forward pass of the user's own ignores.

    Raises
    ------
    InputError
        If that forward pass fails.
    """
    own = spec.own
    if own is None or not own.with_depth or network_of(spec).depth is not None:
        return spec.notes
    return (*spec.notes, f"[network] depth: not used, the forward pass {own.text} has no net.depth")


def training_of(spec: Spec) -> TrainingRule:
    """The training rule of a spec, ready for `dmft_sym.derive`."""
    from dmft_sym.networks import GradientDescent, GradientFlow, OnlineSGD

    if spec.training.continuous:
        return GradientFlow(rtol=spec.training.rtol, centered=spec.training.centered)
    keys, rule = spec.training, OnlineSGD if spec.data.fresh else GradientDescent
    return rule(**{name: getattr(keys, name) for name in keys.of_rules()})


def physical_arguments(spec: Spec) -> dict[str, Any]:
    """Keyword arguments that a solver and a simulation share."""
    richness = {} if spec.network.richness is None else {"richness": spec.network.richness}
    training = spec.training
    length = {"time": training.time} if training.continuous else {"steps": training.steps}
    rate = {} if training.continuous else {"learning_rate": training.learning_rate}
    return {
        **(spec.network.parameters or {}),
        **richness,
        **rate,
        "init_std": spec.network.init_std,
        **length,
        **spec.data.parameters,
    }


def sampling_arguments(spec: Spec) -> dict[str, Any]:
    """Keyword arguments of sampled sites: ``sites`` or ``error``, and what else is given of them."""
    sampling = spec.sampling
    size = {"sites": sampling.sites or SITES} if sampling.error is None else {"error": sampling.error}
    options: dict[str, Any] = {} if sampling.tol is None else {"tol": sampling.tol}
    options |= {"bias": True} if sampling.bias else {}
    return {**size, "seed": sampling.seed, "replicas": sampling.replicas, **options}


def solver_arguments(spec: Spec) -> dict[str, Any]:
    """Further keyword arguments of a solver: how, and what is kept along the way."""
    solver = spec.solver
    found: dict[str, Any] = {"method": solver.method, **solver.options, **kernel_arguments(spec)}
    found |= sampling_arguments(spec) if spec.sampled else tolerance_arguments(spec)
    if spec.sampled and solver.method == "conditioning":
        found["exact"] = False
    if regime_of(spec).spectra_of_runs and spec.spectrum.matrices:
        found |= spectrum_arguments(spec)
    return found


def check_arguments(spec: Spec, longest: int, *, sampled: bool) -> dict[str, Any]:
    """Keyword arguments of checks of limits: those of a run, of few steps, with sites where results are sampled."""
    found = physical_arguments(spec)
    if "steps" in found:  # a flow has none
        found["steps"] = min(int(found["steps"]), longest)
    if sampled:
        given = sampling_arguments(spec)
        found |= {name: given[name] for name in ("sites", "seed", "replicas") if name in given}
    return found


def tolerance_arguments(spec: Spec) -> dict[str, Any]:
    """The tolerance of coordinates; that of a flow follows its ``rtol`` if the file does not say it."""
    return {} if spec.training.continuous and "tol" not in spec.given("solver") else {"tol": spec.solver.tol}


def simulation_arguments(spec: Spec) -> dict[str, Any]:
    """Further keyword arguments of a simulation: those of its section, kernels, and spectra that are asked for."""
    found = {**vars(spec.simulation), **kernel_arguments(spec)}
    if spec.spectrum.matrices:
        found |= {**spectrum_arguments(spec), "values": spec.spectrum.values}
    return found


def kernel_arguments(spec: Spec) -> dict[str, Any]:
    """Steps at which kernels are kept, in ascending order; the first and the last by default."""
    if "kernels" not in spec.sections:
        return {}
    wanted = spec.kernels.times if spec.training.continuous else spec.kernels.steps
    return {"kernels": tuple(sorted(set(wanted or (0, spec.training.last))))}


def spectrum_arguments(spec: Spec) -> dict[str, Any]:
    """What `dmft_sym.spectrum` and a simulation need to know of the section ``[spectrum]``."""
    wanted = spec.spectrum.times if spec.training.continuous else spec.spectrum.steps
    return {"matrices": spec.spectrum.matrices, "at": wanted or (spec.training.last,)}


def spectrum_options(spec: Spec) -> dict[str, Any]:
    """What `dmft_sym.spectrum` is called with beside the physical arguments, where spectra are computed apart."""
    wanted = spec.spectrum
    options = {"method": wanted.method, "dependence": wanted.dependence, "points": wanted.points}
    return {**spectrum_arguments(spec), **options, **tolerance_arguments(spec)}


def in_words_of_specs(error: ArgumentError, spec: Spec) -> SpecError:
    """What a solver refuses, with the keys of a spec for the arguments that they stand for."""
    homes = {key: f"[{name}] {key}" for name, keys in reversed([*spec.sections.items()]) for key in vars(keys)}
    places = "times" if spec.training.continuous else "steps"
    homes |= {"kernels": f"[kernels] {places}", "at": f"[spectrum] {places}"}
    homes |= {name: f"[network] parameters: {name}" for name in spec.network.parameters or ()}
    homes |= {"steps": "[training] steps", "time": "[training] time"}
    text = re.sub(r"^\w+(?= = |: )", lambda found: homes.get(found[0], found[0]), str(error))
    return SpecError(re.sub(r"\bmethod = '(\w+)'", r'[solver] method = "\1"', text))
