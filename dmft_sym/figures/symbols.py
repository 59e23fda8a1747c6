"""Symbols of results as mathematics, those of the papers: ``C_h`` of layer 1 is C_h^1, the matrix ``W1`` is W^1."""

from __future__ import annotations

import re
from collections.abc import Sequence

_GREEK = {"Delta", "alpha", "beta", "gamma", "delta", "phi", "Phi", "chi", "psi", "xi", "eta", "mu", "nu"}
_KERNELS = {"Phi": r"\Phi", "G": "G", "NTK": r"K"}


def order_parameter(name: str, layers: Sequence[int] = ()) -> str:
    """``C_h`` or ``R_g_u_W``, of a layer or a pair of them; names that are not of this form stay, with words."""
    match = re.fullmatch(r"([CR])_([A-Za-z]+)(\d*(?:_\d+)?)(?:_([ur])_(\w+))?", name)
    if match is None:
        words = f", layer{'s' if len(layers) > 1 else ''} {', '.join(map(str, layers))}" if layers else ""
        return name + words
    kind, letters, number, noise, matrix = match.groups()
    field = _letters(letters) + number.replace("_", ",")
    source = rf";\,{noise}_{{{matrix.replace('_', ',')}}}" if noise else ""
    upper = f"^{{{','.join(map(str, layers))}}}" if layers else ""
    return f"${kind}_{{{field}{source}}}{upper}$"


def kernel(name: str, layer: int | None = None) -> str:
    """``Phi``, ``G`` or ``NTK`` with its samples mu and nu; other names stay."""
    if name not in _KERNELS:
        return name + ("" if layer is None else f", layer {layer}")
    upper = "" if layer is None else f"^{{{layer}}}"
    return ("NTK, " if name == "NTK" else "") + rf"${_KERNELS[name]}{upper}_{{\mu\nu}}$"


def matrix(name: str) -> str:
    """``W1`` with its layer above, products factor by factor; other names stay."""
    factors = [re.fullmatch(r"([A-Za-z])(\d+)", factor) for factor in name.split()]
    if not factors or None in factors:
        return name
    return "$" + r"\,".join(f"{found[1]}^{{{found[2]}}}" for found in factors if found) + "$"


def value_of(name: str) -> str:
    """What a spectrum consists of."""
    return f"{'eigenvalue' if name == 'NTK' else 'singular value'} of {matrix(name)}"


def _letters(letters: str) -> str:
    return rf"\{letters}" if letters in _GREEK else letters
