"""`reproduce`: claims are computed, and become files and one table."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from dmft_sym.results.store import ResultError, save
from dmft_sym.support import files, notebook
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import InputError, show, suggestion

from .claim import Claim, Evidence, Size
from .registry import ALL

HEAD = ("claim", "quantity", "theory", "finite", "z", "verdict")
TABLE = "table.md"
Report = Callable[[str, Evidence | None], object]
"""Called with the name of a claim before it is computed (``None``) and after it."""


@dataclass(frozen=True)
class Reproduction:
    """Claims with their evidence; prints as a table.

    Attributes
    ----------
    evidence
        By the name of the claim.
    missing
        Claims that could not be computed, and what they need.
    """

    evidence: Mapping[str, Evidence]
    missing: Mapping[str, str]

    @property
    def failed(self) -> bool:
        """Whether a criterion is not met."""
        return not all(found.holds for found in self.evidence.values())

    @property
    def lines(self) -> list[tuple[str, ...]]:
        """The cells of the table."""
        found: list[tuple[str, ...]] = []
        for name, evidence in self.evidence.items():
            for row in evidence.rows:
                finite = _number(row.other) + (f"({row.error:.1g})" if row.error > 0 else "")
                z = "" if math.isnan(row.z) else f"{row.z:+.1f}"
                verdict = row.verdict if row.holds else f"fails: {row.criterion}"
                found.append((name, row.quantity, _number(row.theory), finite, z, verdict))
        return found + [(name, "", "", "", "", f"skipped: {why}") for name, why in self.missing.items()]

    def __str__(self) -> str:
        """A table in Markdown."""
        rows = [HEAD, *self.lines]
        widths = [max(len(row[k]) for row in rows) for k in range(len(HEAD))]
        rows.insert(1, tuple("-" * width for width in widths))
        lines = (" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
        return "\n".join(f"| {line} |" for line in lines)

    def _repr_html_(self) -> str:
        return notebook.table(HEAD, self.lines)

    def __repr__(self) -> str:
        return notebook.shortened([str(self)])


def reproduce(
    claims: str | Iterable[str] | None = None,
    *,
    size: Size = "full",
    output: str | os.PathLike[str] | None = None,
    report: Report | None = None,
) -> Reproduction:
    """Check claims of arXiv:2605.07870 by theory and finite networks.

    Parameters
    ----------
    claims
        Names; all by default.
    size
        ``"full"``, ``"quick"`` (all claims within minutes on two cores) or ``"smallest"``.
    output
        Folder for the results: ``<claim>_<what>.nc``, ``<claim>.png`` and ``table.md``, each written as soon as it is
        known.
    report
        Called with the name of a claim before it is computed, and with its evidence afterwards.

    Returns
    -------
    Reproduction
        Prints as a table: claim, quantity, theory, finite networks, z, verdict.

    Raises
    ------
    ArgumentError
        If there is no claim of a name.
    InputError
        If the folder cannot be written.

    See Also
    --------
    compare : one run beside finite networks.

    References
    ----------
    arXiv:2605.07870.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> ds.reproduce("dependence", size="smallest").failed
    False
    """
    chosen = [claim_named(name) for name in _names(claims)]
    if size not in get_args(Size):
        raise ArgumentError(f"size = {show(size)}: allowed are {', '.join(get_args(Size))}")
    folder = None if output is None else _folder(output)
    evidence: dict[str, Evidence] = {}
    missing: dict[str, str] = {}
    for claim in chosen:
        if report is not None:
            report(claim.name, None)
        if needed := _not_installed(claim):
            missing[claim.name] = f"needs {needed}"
            continue
        found = evidence[claim.name] = claim.check(size)
        if report is not None:
            report(claim.name, found)
        if folder is not None:
            _write(folder, claim, found)
            files.write_bytes(folder / TABLE, f"{Reproduction(evidence, missing)}\n".encode())
    return Reproduction(evidence, missing)


def claim_named(name: object) -> Claim:
    """A claim.

    Raises
    ------
    ArgumentError
        If there is none of this name.
    """
    if not isinstance(name, str) or name not in ALL:
        near = suggestion(name, ALL) if isinstance(name, str) else ""
        raise ArgumentError(f"claim = {show(name)}: allowed are {', '.join(ALL)}{near}")
    return ALL[name]


def _names(claims: str | Iterable[str] | None) -> list[Any]:
    if claims is None:
        return list(ALL)
    listed = [claims] if isinstance(claims, str) else list(claims)
    if not listed:
        raise ArgumentError(f"claims = {show(claims)}: allowed are {', '.join(ALL)}")
    return list(dict.fromkeys(listed))


def _folder(output: str | os.PathLike[str]) -> Path:
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ResultError(f"output {show(str(output))}: {reason}; allowed is a folder that can be written") from error
    files.check_writable(folder / TABLE)
    return folder


def _not_installed(claim: Claim) -> str:
    from importlib.util import find_spec

    return ", ".join(name for name in claim.needs if find_spec(name) is None)


def _write(folder: Path, claim: Claim, found: Evidence) -> None:
    """Results and figure of a claim."""
    from dmft_sym.figures.plots import save_figure
    from dmft_sym.figures.style import printed

    for name, dataset in found.results.items():
        save(dataset, folder / f"{claim.name}_{name}.nc")
    if found.draw is not None:
        save_figure(printed(found.draw)(), str(folder / f"{claim.name}.png"))


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.5g}"


__all__ = ["InputError", "Reproduction", "reproduce"]
