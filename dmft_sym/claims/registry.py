"""All claims by their names: a claim is a file and a line here."""

from __future__ import annotations

from . import (
    dependence,
    depth,
    edge,
    few_outputs,
    init,
    many_outputs,
    nonlinear,
    outliers,
    real_network,
    richness,
    transfer,
    width,
)
from .claim import Claim

ALL: dict[str, Claim] = {
    claim.name: claim
    for claim in (
        outliers.CLAIM,
        width.CLAIM,
        richness.CLAIM,
        init.CLAIM,
        dependence.CLAIM,
        transfer.CLAIM,
        edge.CLAIM,
        depth.CLAIM,
        nonlinear.CLAIM,
        few_outputs.CLAIM,
        many_outputs.CLAIM,
        real_network.CLAIM,
    )
}
