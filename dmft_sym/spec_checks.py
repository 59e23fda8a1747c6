"""What the keys of a spec may be together; one line for what does not fit."""

from __future__ import annotations

import re

from .spec_sections import SECTIONS, Spec, SpecError, keys_of, shown


def check_together(spec: Spec) -> None:
    """Refuse keys that do not fit each other.

    Raises
    ------
    SpecError
        Naming the key, its value and what is allowed.
    """
    _check_ratios(spec)
    _check_spectrum(spec)


def _check_ratios(spec: Spec) -> None:
    if spec.network.depth == 0:
        return
    for section, key, value in (
        ("network", "richness", spec.network.richness),
        ("data", "width_per_dim", spec.data.width_per_dim),
    ):
        if value is None:
            raise SpecError(f"[{section}] {key} is missing: allowed is {keys_of(SECTIONS[section])[key].allowed}")


def _check_spectrum(spec: Spec) -> None:
    depth, last = spec.network.depth, spec.training.steps - 1
    for name in spec.spectrum.matrices:
        weight = re.fullmatch(r"W(0|[1-9]\d{0,8})", name)
        if name != "NTK" and (weight is None or int(weight[1]) >= depth):
            weights = {0: "", 1: '"W0" and '}.get(depth, f'"W0" to "W{depth - 1}" and ')
            raise SpecError(f'[spectrum] matrices = {shown(name)}: allowed at depth = {depth} are {weights}"NTK"')
    for step in spec.spectrum.steps:
        if step > last:
            raise SpecError(f"[spectrum] steps = {step}: allowed are integers from 0 to {last}, the last step")
