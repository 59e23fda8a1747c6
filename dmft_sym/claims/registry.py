"""All claims by their names: a claim is a file and a line here."""

from __future__ import annotations

from . import dependence, depth, few_outputs, init, many_outputs, nonlinear, outliers, real_network
from .claim import Claim

ALL: dict[str, Claim] = {
    claim.name: claim
    for claim in (
        outliers.CLAIM,
        init.CLAIM,
        dependence.CLAIM,
        few_outputs.CLAIM,
        many_outputs.CLAIM,
        depth.CLAIM,
        nonlinear.CLAIM,
        real_network.CLAIM,
    )
}
