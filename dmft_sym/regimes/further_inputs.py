"""Samples with several inputs, arrays by name: ``x``, which a forward pass receives, and further ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import sympy as sp

from dmft_sym.program import SAMPLE, Field, ProgramError, Space
from dmft_sym.program.declarations import check_name
from dmft_sym.support.messages import show
from dmft_sym.support.real_arrays import Array, DataError, real_array

from .sample_program import FIXED

MAIN = "x"
"""The input that a forward pass receives."""


def separated(name: str, value: object) -> tuple[object, dict[str, Array]]:
    """The input ``x``, and the others by name.

    Raises
    ------
    DataError
        If ``x`` is missing, or a name or an array is not allowed.
    """
    if not isinstance(value, Mapping):
        return value, {}
    if MAIN not in value:
        raise DataError(f'{name} = {show(sorted(map(str, value)))}: allowed are arrays by name, one of them "{MAIN}"')
    others = {key: array for key, array in value.items() if key != MAIN}
    for key in others:
        try:
            check_name(key)
        except ProgramError as error:
            raise DataError(f"{name}: {error}") from None
        if key in FIXED.reserved:
            raise DataError(f"{name}: the name {key} is taken by the data; allowed is another one")
    return value[MAIN], {
        key: real_array(f"{name}[{show(key)}]", array, "(P, D)", (2,)) for key, array in others.items()
    }


def together(
    count: int, trained: Mapping[str, Array], tested: Mapping[str, Array] | None, tests: int
) -> dict[str, Array]:
    """Further inputs of all samples, training samples first.

    Raises
    ------
    DataError
        If there are not as many rows as samples, or if test samples have other inputs.
    """
    if tested is not None and {k: v.shape[1] for k, v in trained.items()} != {k: v.shape[1] for k, v in tested.items()}:
        raise DataError(
            f"test_inputs with {_shown(tested)}: allowed are the further inputs of training samples, {_shown(trained)}"
        )
    for prefix, arrays, rows in (("", trained, count), ("test_", tested or {}, tests)):
        for key, array in arrays.items():
            if len(array) != rows:
                raise DataError(f"{prefix}inputs[{show(key)}] of {len(array)} samples: allowed are {rows}, as of x")
    found = {}
    for key, array in trained.items():
        found[key] = array if tested is None else np.concatenate([array, tested[key]])
        found[key].flags.writeable = False
    return found


def _shown(arrays: Mapping[str, Array]) -> str:
    return ", ".join(f"{key} of {array.shape[1]} columns" for key, array in arrays.items()) or "none"


def fields_of(arrays: Mapping[str, Array]) -> tuple[Field, ...]:
    """The fields that stand for them, each in a space of its own."""
    return tuple(
        Field(name, Space(f"D_{name}", sp.Integer(1), finite=True), axes=(SAMPLE,), data=True) for name in arrays
    )


def gram_of(array: Array) -> Array:
    """``x_mu . x_nu / D`` of rows, symmetric to the last bit."""
    rows = array.reshape(-1, array.shape[-1])
    product = rows @ rows.T / array.shape[-1]
    gram: Array = (product + product.T) / 2
    gram.flags.writeable = False
    return gram
