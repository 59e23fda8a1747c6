"""Words of specs that changed: read as what they mean, with a line that says the new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dmft_sym.regimes import REGIMES
from dmft_sym.support.deprecation import old_word


def present_words(tree: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The tables of a spec in the words of today, and a line for every one that was translated."""
    found = {name: dict(table) if isinstance(table, dict) else table for name, table in tree.items()}
    lines: list[str] = []
    data = found.get("data")
    regime = REGIMES.get(str(data.get("regime", "proportional")) if isinstance(data, dict) else "")
    for section in ("solver", "spectrum"):
        table = found.get(section)
        if regime is None or not isinstance(table, dict):
            continue
        method = table.get("method")
        if not isinstance(method, str) or method not in regime.old_methods:
            continue
        table["method"], exact = regime.old_methods[method]
        extra = ""
        if exact is not None and section == "solver":
            table.setdefault("exact", exact)
            extra = f" with exact = {str(exact).lower()}"
        lines.append(old_word(f'[{section}] method = "{method}"', f'"{table["method"]}"{extra}'))
    sampling = found.get("sampling")
    if isinstance(sampling, dict) and "samples" in sampling:
        sampling["sites"] = sampling.pop("samples")
        lines.append(old_word("[sampling] samples", "sites"))
    return found, tuple(lines)
