"""What a spec stands for: network, data and training rule, and the keyword arguments of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .spec_sections import Spec

if TYPE_CHECKING:
    from dmft_sym.networks import Network, Proportional, TrainingRule


def network_of(spec: Spec) -> Network:
    """The network of a spec, ready for `dmft_sym.derive`."""
    from dmft_sym.networks import Parametrization, deep_linear

    return deep_linear(spec.network.depth, spec.network.outputs, Parametrization(spec.network.parametrization))


def data_of(spec: Spec) -> Proportional:
    """The data of a spec, ready for `dmft_sym.derive`."""
    from dmft_sym.networks import Proportional

    return Proportional(label_noise=spec.data.label_noise)


def training_of(spec: Spec) -> TrainingRule:
    """The training rule of a spec, ready for `dmft_sym.derive`."""
    from dmft_sym.networks import GradientDescent, OnlineSGD

    rule = OnlineSGD if spec.data.online else GradientDescent
    return rule(momentum=spec.training.momentum, weight_decay=spec.training.weight_decay)


def physical_arguments(spec: Spec) -> dict[str, float | int]:
    """Keyword arguments that a solver and a simulation share."""
    arguments: dict[str, float | int | None] = {
        "samples_per_dim": spec.data.samples_per_dim,
        "width_per_dim": spec.data.width_per_dim,
        "richness": spec.network.richness,
        "learning_rate": spec.training.learning_rate,
        "label_noise": spec.data.label_noise,
        "init_std": spec.network.init_std,
        "steps": spec.training.steps,
    }
    return {key: value for key, value in arguments.items() if value is not None}


def spectrum_arguments(spec: Spec) -> dict[str, Any]:
    """What `dmft_sym.spectrum` and a simulation need to know of the section ``[spectrum]``."""
    return {"matrices": spec.spectrum.matrices, "at": spec.spectrum.steps or (spec.training.steps - 1,)}
