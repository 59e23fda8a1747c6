"""All claims by their names: a claim is a file and a line here."""

from __future__ import annotations

from . import dependence, edge, few_outputs, init, outliers, richness, transfer, width
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
        few_outputs.CLAIM,
    )
}
