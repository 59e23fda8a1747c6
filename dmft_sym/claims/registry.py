"""All claims by their names: a claim is a file and a line here."""

from __future__ import annotations

from . import dependence, few_outputs, init, outliers, richness, width
from .claim import Claim

ALL: dict[str, Claim] = {
    claim.name: claim
    for claim in (
        outliers.CLAIM,
        width.CLAIM,
        richness.CLAIM,
        init.CLAIM,
        dependence.CLAIM,
        few_outputs.CLAIM,
    )
}
