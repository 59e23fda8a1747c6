"""From the spec that a command is given to what is derived and solved."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

    from ..regimes.keys import Spec


def read_from(path: str, overrides: Sequence[str] | None, network: str | None = None) -> Spec:
    from ..spec.objects import notes_of
    from ..spec.own_network import load_network
    from ..spec.reading import read_spec

    spec = completed(read_spec(path, overrides or (), None if network is None else load_network(network)))
    for note in notes_of(spec):
        print(f"dmft-sym: note: {note}", file=sys.stderr)
    return spec


def completed(spec: Spec) -> Spec:
    """The spec; with a network of the user's own whether it is linear, which no key says."""
    if spec.own is not None and spec.sampled and spec.solver.exact is not True and "exact" not in spec.given("solver"):
        return spec.replaced("solver", exact=theory_of(spec).program.linear)
    return spec


def with_backend(overrides: Sequence[str] | None, backend: str | None) -> list[str]:
    extra = [] if backend is None else [f"solver.backend={backend}"]
    return [*(overrides or ()), *extra]


def session() -> Any:
    import dmft_sym

    return dmft_sym


def theory_of(spec: Spec) -> Any:
    from ..spec.objects import data_of, network_of, training_of

    data = data_of(spec)
    return session().derive(network_of(spec, data), data=data, training=training_of(spec))


def kept_in(checkpoint: str | None) -> dict[str, str]:
    """The argument of a checkpoint, if there is one."""
    return {} if checkpoint is None else {"checkpoint": checkpoint}


def solve(spec: Spec, label: str, checkpoint: str | None = None) -> xr.Dataset:
    """A run of the solver; where samples are given it has the spectra as well."""
    from ..spec.objects import physical_arguments, solver_arguments

    with words_of_specs(spec):
        solver = theory_of(spec).compile(backend=spec.solver.backend)
        with progress_of(label) as progress:
            arguments = {**physical_arguments(spec), **solver_arguments(spec), **kept_in(checkpoint)}
            found: xr.Dataset = solver(**arguments, progress=progress)
    return found


def spectra_of(spec: Spec) -> xr.Dataset:
    from ..spec.objects import physical_arguments, spectrum_options

    with words_of_specs(spec), progress_of("spectra") as progress:
        found: xr.Dataset = session().spectrum(
            theory_of(spec), **spectrum_options(spec), **physical_arguments(spec), progress=progress
        )
    for failure in str(found.attrs["spectrum_failures"]).splitlines():
        print(f"dmft-sym: note: {failure}", file=sys.stderr)
    return found


@contextmanager
def words_of_specs(spec: Spec) -> Iterator[None]:
    """What a solver refuses is said of keys of the spec."""
    from ..spec.objects import in_words_of_specs
    from ..support.errors import ArgumentError

    try:
        yield
    except ArgumentError as error:
        raise in_words_of_specs(error, spec) from error


def progress_of(label: str) -> Any:
    from ..support.progress import StepProgress

    return StepProgress(label)
