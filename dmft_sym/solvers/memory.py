"""Whether a run fits into memory, asked before anything is computed.

Every check raises `ArgumentError` that names the argument, what is needed and what is free. Needs are lower bounds: of
what a run takes in any case.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.networks.parameters import ALPHA, NU
from dmft_sym.program import DEPTH, SAMPLE, Assign, Field, Label, Product, flat_statements
from dmft_sym.program.labels import size_of
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.memory import NUMBER_OF_MPMATH, free_bytes, march_bytes, most_steps, shown_bytes

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem
    from dmft_sym.derivation.single_site import Noise

    from .arguments import RunArguments
    from .measurements import WantedMeasurements

DIRECTIONS = 2
"""Directions that an operand of a product opens in a sampled network at least; long rich runs have several."""

Sizes = Mapping[Label, int]


def check_march(steps: int, outputs: int, depth: int, number: int) -> None:
    """Refuse a march that cannot fit; ``number`` is the size of one entry in bytes."""
    needed = march_bytes(depth, steps * outputs, number)
    most = most_steps(steps, needed, free_bytes())
    advice = f"use at most {most} steps, or method = 'conditioning'"
    _check(needed, f"steps = {steps}", "the march needs", advice)


def check_march_of(problem: Problem, arguments: RunArguments, backend: str, dtype: Any = np.float64) -> None:
    """`check_march` for a run; layers of networks of other kinds are counted by matrices."""
    depth = int(arguments.values.get(DEPTH, len(problem.program.matrices)))
    depth += max((len(arguments.data[classes.share]) for classes in problem.program.classes), default=0)
    number = NUMBER_OF_MPMATH if backend == "mpmath" else np.dtype(dtype).itemsize
    check_march(arguments.steps, arguments.outputs, depth, number)


def check_sites(
    problem: Problem, arguments: RunArguments, sizes: Sizes, sites: int, replicas: int, at_a_time: int
) -> None:
    """Refuse sampled sites that cannot fit: fields, and directions with their images, of replicas that run together.

    Parameters
    ----------
    sizes
        Number of values of every label.
    sites
        Number of sites of all replicas.
    """
    operands = sum(
        _count(atom.operand.axes, sizes)
        for statement in flat_statements(problem.executed, arguments.integers)
        if isinstance(statement, Assign)
        for _, atom in statement.value.terms
        if isinstance(atom, Product) and not atom.matrix.matrix.source.finite
    )
    rows = _field_rows(problem, arguments, sizes) + 2 * DIRECTIONS * operands
    needed = 8 * rows * (sites // replicas) * at_a_time
    _check(needed, f"sites = {sites}", "fields need at least", "use fewer of them, or more replicas")


def check_tangents(rows: int, sites: int, tangents: int) -> None:
    """Refuse two-time matrices of tangents that cannot fit.

    Parameters
    ----------
    rows
        Steps times samples times outputs.
    sites
        Number of sites in a replica.
    tangents
        Number of matrices that are kept at every site.
    """
    what = f'method = "equations" with {rows} rows and {sites} sites in a replica'
    _check(8 * rows**2 * sites * tangents, what, "tangents need about", "use fewer samples, or more replicas")


def check_kernels(wanted: WantedMeasurements, networks: int) -> None:
    """Refuse kernels of so many networks that cannot fit, and once more for what is made of them."""
    steps, sizes = len(wanted.kernel_steps), wanted.kernels.sizes
    numbers = _count(wanted.kernels.labels, sizes) ** 2
    numbers += sum(len(kernel.members) * _count(kernel.field.axes, sizes) ** 2 for kernel in wanted.kernels.fields)
    needs = f"kernels of {sizes[SAMPLE]} samples at {steps} steps of {networks} networks need"
    _check(8 * steps * numbers * (networks + 1), "kernels", needs, "use fewer steps or samples")


def check_network(
    problem: Problem,
    arguments: RunArguments,
    size: tuple[str, int],
    dtype: str,
    data: Mapping[str, Any],
    sizes: Sizes,
) -> None:
    """Refuse finite networks that do not exist or do not fit: matrices, and on given samples fields.

    A ratio must not be infinite, nor leave a space without sites.

    Parameters
    ----------
    size
        Its argument and value: ``("dim", 1000)``.
    data, sizes
        Arrays that are given from outside, and the number of values of their labels.
    """
    from dmft_sym.execution import finite_memory

    name, number = size
    _check_ratios(arguments, name, number)
    kind = np.dtype(dtype)
    needed = finite_memory(problem.executed, arguments.values, arguments.outputs, number, kind.type, data or None)
    samples = fewer = ""
    if sizes:
        needed += kind.itemsize * _field_rows(problem, arguments, sizes) * number
        samples, fewer = f" with {sizes[SAMPLE]} samples", " or fewer samples"
    _check(needed, f"{name} = {number}", f"a network{samples} needs", f"use a smaller {name}{fewer}")


def _check(needed: int, what: str, needs: str, advice: str) -> None:
    """Refuse ``what`` if more bytes are needed than are free."""
    free = free_bytes()
    if needed > free:
        raise ArgumentError(
            f"{what}: allowed is what fits into memory; {needs} {shown_bytes(needed)} and {shown_bytes(free)} are "
            f"free: {advice}"
        )


def _check_ratios(arguments: RunArguments, name: str, number: int) -> None:
    for keyword in (
        p for p, symbol in (("samples_per_dim", ALPHA), ("width_per_dim", NU)) if symbol in arguments.values
    ):
        ratio = float(arguments.given[keyword])
        if math.isinf(ratio):
            raise ArgumentError(f"{keyword} = inf: allowed for a simulation is a finite number > 0")
        if round(ratio * number) < 1:
            raise ArgumentError(
                f"{keyword} = {ratio:g}: allowed for a simulation with {name} = {number} is a number >= {1 / number:g}"
            )


def layer_count(thing: Field | Noise, arguments: RunArguments) -> int:
    """Number of members of a family, one for what is no family."""
    return 1 if thing.layers is None else int(thing.layers.length.subs(arguments.values))


def _field_rows(problem: Problem, arguments: RunArguments, sizes: Sizes) -> int:
    """Number of fields, counted by layer and label."""
    fields = (field for field in problem.executed.fields if not field.data)
    return sum(layer_count(field, arguments) * _count(field.axes, sizes) for field in fields)


def _count(axes: tuple[Label, ...], sizes: Sizes) -> int:
    return math.prod(size_of(label, sizes) for label in axes)
