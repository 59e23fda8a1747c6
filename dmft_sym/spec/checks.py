"""What the keys of a spec may be together; one line for what does not fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dmft_sym.spectra.methods import DEPENDENCE, default_method
from dmft_sym.support.messages import InputError, show

from .sections import (
    DEEP_LINEAR,
    FIXED,
    MLP,
    PROPORTIONAL,
    SECTIONS,
    Spec,
    SpecError,
    keys_of,
    regimes_of,
    shown,
)

_DRAWN = ("classes", "samples", "test_samples", "seed")


def check_given(spec: Spec, tree: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse keys that have no meaning where they are given, whatever their value.

    Parameters
    ----------
    spec
        The spec as read.
    tree
        The tables that it was read from.

    Raises
    ------
    SpecError
        Naming the key, its value and what is allowed.
    """
    regime = spec.data.regime
    for section, table in tree.items():
        regimes = regimes_of(SECTIONS[section])
        for key, value in table.items():
            if regimes[key] not in (None, regime):
                raise _refused(section, key, value, f'nothing, the key belongs to regime = "{regimes[key]}"')
    given = tree.get("data", {})
    if not spec.fixed:
        return
    if "set" in given:
        for key in ("inputs", "targets"):
            if key in given:
                raise _refused("data", key, given[key], f"either {key} or set = {shown(given['set'])}")
        return
    for key in _DRAWN:
        if key in given:
            raise _refused("data", key, given[key], "nothing without set, the name of a set to draw from")


def check_together(spec: Spec) -> None:
    """Refuse values that do not fit each other.

    Raises
    ------
    SpecError
        Naming the key, its value and what is allowed.
    """
    _check_network(spec)
    if spec.fixed:
        _check_fixed(spec)
        _check_sampling(spec)
    else:
        _check_ratios(spec)
    _check_activation(spec)
    _check_method(spec)
    _check_backend(spec)
    _check_spectrum(spec)
    _check_steps("kernels", spec.kernels.steps, spec)


def _refused(section: str, key: str, value: object, allowed: str, regime: str | None = None) -> SpecError:
    where = "" if regime is None else f' with regime = "{regime}"'
    return SpecError(f"[{section}] {key} = {shown(value)}: allowed{where} is {allowed}")


def _check_present(section: str, key: str, value: object) -> None:
    if value is None:
        raise SpecError(f"[{section}] {key} is missing: allowed is {keys_of(SECTIONS[section])[key].allowed}")


def _check_network(spec: Spec) -> None:
    network = spec.network
    if network.kind == MLP and not spec.fixed:
        allowed = f'"{DEEP_LINEAR}"; nonlinear networks are for given samples, regime = "{FIXED}"'
        raise _refused("network", "kind", MLP, allowed, PROPORTIONAL)
    if network.kind != MLP and network.activation is not None:
        raise _refused(
            "network", "activation", network.activation, f'nothing, kind = "{network.kind}" has no activation'
        )


def _check_ratios(spec: Spec) -> None:
    _check_present("data", "samples_per_dim", spec.data.samples_per_dim)
    if spec.network.depth > 0:
        _check_present("network", "richness", spec.network.richness)
        _check_present("data", "width_per_dim", spec.data.width_per_dim)


def _check_fixed(spec: Spec) -> None:
    network, data = spec.network, spec.data
    where = f'with regime = "{FIXED}"'
    if network.parametrization != 0.5:
        raise SpecError(
            f'[network] parametrization with exponent {network.parametrization:g}: allowed {where} is "muP"; at '
            "infinite width NTK is the lazy limit, which a small richness has: set richness instead"
        )
    if network.depth == 0:
        raise _refused("network", "depth", 0, "an integer >= 1", FIXED)
    _check_present("network", "richness", network.richness)
    if network.kind == MLP:
        _check_present("network", "activation", network.activation)
    if data.set is None and data.inputs is None:
        raise SpecError(f"[data] inputs is missing: allowed {where} is the name of a file, or set, the name of a set")


def _check_sampling(spec: Spec) -> None:
    sampling = spec.sampling
    if sampling.sites is not None and sampling.error is not None:
        raise _refused("sampling", "error", sampling.error, f"either error or sites = {sampling.sites}")
    if sampling.sites is not None and sampling.sites < 4 * sampling.replicas:
        low = 4 * sampling.replicas
        raise _refused("sampling", "sites", sampling.sites, f"an even integer >= {low}, four for each of the replicas")


def _check_activation(spec: Spec) -> None:
    text = spec.network.activation
    if text is None:
        return
    from dmft_sym.networks.activations import activation

    try:
        activation(text)
    except (InputError, ValueError) as error:
        reason = str(error).removeprefix(f"activation {show(text.strip())}")
        separator = "" if reason.startswith((":", " ")) else ": "
        raise SpecError(f"[network] activation = {shown(text)}{separator}{reason}") from error


def is_linear(spec: Spec) -> bool:
    """Whether the network is linear: its kind, or an activation that is a multiple of ``h``."""
    if spec.network.activation is None:
        return True
    import sympy as sp

    from dmft_sym.networks.activations import H, activation

    chosen = activation(spec.network.activation)
    return not chosen.derivative.has(H) and sp.expand(chosen.expression - chosen.derivative * H) == 0


def _check_method(spec: Spec) -> None:
    if spec.fixed and spec.solver.exact and not is_linear(spec):
        raise _refused("solver", "exact", True, f"false; activation = {shown(spec.network.activation)} is not linear")


def _check_backend(spec: Spec) -> None:
    if spec.fixed and spec.solver.backend == "mpmath":
        raise _refused("solver", "backend", "mpmath", '"numba" or "numpy"', FIXED)


def _check_spectrum(spec: Spec) -> None:
    depth = spec.network.depth
    for name in spec.spectrum.matrices:
        weight = re.fullmatch(r"W(0|[1-9]\d{0,8})", name)
        if spec.fixed:
            if weight is None or not 1 <= int(weight[1]) < depth:
                raise SpecError(f"[spectrum] matrices = {shown(name)}: allowed {_hidden(depth)}")
        elif name != "NTK" and (weight is None or int(weight[1]) >= depth):
            weights = {0: "", 1: '"W0" and '}.get(depth, f'"W0" to "W{depth - 1}" and ')
            raise SpecError(f'[spectrum] matrices = {shown(name)}: allowed at depth = {depth} are {weights}"NTK"')
    _check_steps("spectrum", spec.spectrum.steps, spec)
    if spec.spectrum.dependence != DEPENDENCE[0] and spectrum_method(spec) == "conditioning":
        raise SpecError(
            f"[spectrum] dependence = {shown(spec.spectrum.dependence)}: allowed is "
            f'"{DEPENDENCE[0]}" with method = "conditioning", which trains the network itself; use [spectrum] '
            'method = "equations"'
        )


def spectrum_method(spec: Spec) -> str:
    """The route to spectra: what ``[spectrum]`` says, else what ``[solver]`` says, else the quicker one."""
    quicker = default_method(spec.network.outputs or 1, spec.data.online, spec.spectrum.dependence)
    return spec.spectrum.method or spec.solver.method or quicker


def _hidden(depth: int) -> str:
    """The matrices that grow in both directions when samples are given."""
    if depth == 1:
        return "at depth = 1 is nothing, there is no matrix between hidden layers"
    names = '"W1"' if depth == 2 else f'"W1" to "W{depth - 1}"'
    return f"at depth = {depth} are matrices between hidden layers, {names}"


def _check_steps(section: str, steps: tuple[int, ...], spec: Spec) -> None:
    last = spec.training.steps - 1
    for step in steps:
        if step > last:
            raise SpecError(f"[{section}] steps = {step}: allowed are integers from 0 to {last}, the last step")
