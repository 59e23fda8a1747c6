"""What a spec stands for: network, data and training rule, and the keyword arguments of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dmft_sym.support.messages import InputError

from .sections import DEEP_LINEAR, SITES, Spec, SpecError

if TYPE_CHECKING:
    from dmft_sym.networks import Network, TrainingRule
    from dmft_sym.regimes import Proportional, Samples


def data_of(spec: Spec) -> Proportional | Samples:
    """The data of a spec, ready for `dmft_sym.derive`; given samples are read or drawn.

    Raises
    ------
    SpecError
        If the samples cannot be had, or do not fit the network.
    """
    from dmft_sym.regimes import Proportional

    return _samples(spec) if spec.fixed else Proportional(label_noise=spec.data.label_noise)


def _samples(spec: Spec) -> Samples:
    from dmft_sym.data.datasets import from_files, named_set

    data, outputs = spec.data, spec.network.outputs
    try:
        if data.set is not None:
            samples = named_set(
                data.set, data.classes, data.samples, data.seed, loss=data.loss, test_samples=data.test_samples
            )
        else:
            assert data.inputs is not None  # a spec without both is refused when it is read
            samples = from_files(data.inputs, data.targets, data.loss)
    except InputError as error:
        raise SpecError(f"[data] {error}") from error
    if outputs not in (None, samples.outputs):
        raise SpecError(
            f"[network] outputs = {outputs}: allowed is what the targets have, {samples.outputs}, or nothing"
        )
    return samples


def network_of(spec: Spec, data: Proportional | Samples | None = None) -> Network:
    """The network of a spec, ready for `dmft_sym.derive`.

    Parameters
    ----------
    data
        What `data_of` returned, if it is there already: given samples set the number of outputs.
    """
    from dmft_sym.networks import Parametrization, deep_linear, mlp
    from dmft_sym.regimes import Samples

    network = spec.network
    if not spec.fixed:
        return deep_linear(network.depth, network.outputs or 1, Parametrization(network.parametrization))
    samples = data_of(spec) if data is None else data
    assert isinstance(samples, Samples)
    activation = "linear" if network.kind == DEEP_LINEAR else network.activation
    return mlp(network.depth, activation, samples.outputs)


def training_of(spec: Spec) -> TrainingRule:
    """The training rule of a spec, ready for `dmft_sym.derive`."""
    from dmft_sym.networks import GradientDescent, OnlineSGD

    rule = OnlineSGD if spec.data.online else GradientDescent
    return rule(momentum=spec.training.momentum, weight_decay=spec.training.weight_decay)


def physical_arguments(spec: Spec) -> dict[str, float | int]:
    """Keyword arguments that a solver and a simulation share."""
    arguments: dict[str, float | int | None] = {
        "richness": spec.network.richness,
        "learning_rate": spec.training.learning_rate,
        "init_std": spec.network.init_std,
        "steps": spec.training.steps,
    }
    if not spec.fixed:
        arguments |= {
            "samples_per_dim": spec.data.samples_per_dim,
            "width_per_dim": spec.data.width_per_dim,
            "label_noise": spec.data.label_noise,
        }
    return {key: value for key, value in arguments.items() if value is not None}


def sampling_arguments(spec: Spec) -> dict[str, Any]:
    """Further keyword arguments of a solver on sampled sites.

    ``sites`` or ``error``, ``seed``, ``replicas``, ``tol`` and ``bias`` if given, and ``kernels``, the steps.
    """
    sampling = spec.sampling
    size = {"sites": sampling.sites or SITES} if sampling.error is None else {"error": sampling.error}
    options: dict[str, Any] = {} if sampling.tol is None else {"tol": sampling.tol}
    options |= {"bias": True} if sampling.bias else {}
    return {**size, "seed": sampling.seed, "replicas": sampling.replicas, **options, "kernels": kernel_steps(spec)}


def solver_arguments(spec: Spec) -> dict[str, Any]:
    """Further keyword arguments of a solver: how, and with given samples what is kept along the way."""
    solver = spec.solver
    if not spec.fixed:
        return {"method": solver.method, "tol": solver.tol, "dtype": solver.dtype}
    spectra = spectrum_arguments(spec) if spec.spectrum.matrices else {}
    if not spec.sampled:
        return {"method": solver.method, "tol": solver.tol, "kernels": kernel_steps(spec), **spectra}
    exact = {} if solver.method == "equations" else {"exact": False}
    return {"method": solver.method, **exact, **sampling_arguments(spec), **spectra}


def simulation_arguments(spec: Spec) -> dict[str, Any]:
    """Further keyword arguments of a simulation.

    ``width`` and ``kernels``, or ``dim``; ``seeds`` and ``seed``; ``matrices``, ``at`` and ``values`` where spectra are
    asked for.
    """
    simulation = spec.simulation
    size: dict[str, Any] = {"dim": simulation.dim}
    if spec.fixed:
        size = {"width": simulation.width, "kernels": kernel_steps(spec)}
    spectra: dict[str, Any] = {}
    if spec.spectrum.matrices:
        spectra = {**spectrum_arguments(spec), "values": 0 if spec.spectrum.full else None}
    return {**size, "seeds": simulation.seeds, "seed": simulation.seed, **spectra}


def kernel_steps(spec: Spec) -> tuple[int, ...]:
    """Steps at which kernels are kept, in ascending order; the first and the last by default."""
    return tuple(sorted(set(spec.kernels.steps or (0, spec.training.steps - 1))))


def spectrum_arguments(spec: Spec) -> dict[str, Any]:
    """What `dmft_sym.spectrum` and a simulation need to know of the section ``[spectrum]``."""
    return {"matrices": spec.spectrum.matrices, "at": spec.spectrum.steps or (spec.training.steps - 1,)}
