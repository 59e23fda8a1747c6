"""Averages of a march by the SymPy functions that they are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp

from dmft_sym.derivation.single_site import Noise
from dmft_sym.derivation.site_equations import SiteWriter
from dmft_sym.derivation.symbols import NoiseAt, Response
from dmft_sym.derivation.uses import Use
from dmft_sym.program import TIME, FieldRef
from dmft_sym.spectra.matrices.class_numbers import Kind
from dmft_sym.support.array_types import Array, Floats

from .averages import Averages
from .level_one import TwoTime
from .lowering import Place


class MarchAverages(Averages):
    """Two-time matrices of one output, shape (T, T); labels other than the step have one value.

    Parameters
    ----------
    run
        What was marched.
    """

    def __init__(self, run: TwoTime) -> None:
        super().__init__(run.theory.program.optimizer, run.values, run.steps, run.classes)
        self.run = run
        self.sizes: Mapping[str, int] = {}
        self._fields = {field.name: field for field in run.theory.program.fields}
        self._sizes: dict[tuple[Any, int | None], Floats] = {}

    @cached_property
    def _noises(self) -> dict[str, Noise]:
        writer = SiteWriter(self.run.theory.site_builder)
        return {writer.noise(noise, None).func.__name__: noise for noise in self.run.theory.noises}

    def ref(self, function: Any, layer: int | None) -> FieldRef:
        """A field at a layer."""
        return FieldRef(self._fields[function.__name__], None if layer is None else sp.Integer(layer))

    def noise(self, function: Any) -> Noise:
        """A Gaussian field."""
        return self._noises[function.__name__]

    def two_time(self, place: Place, kind: Kind = None) -> Array | None:
        """See `Averages.two_time`."""
        (first, at), (second, layer) = place.ends
        if not issubclass(place.function, Response):
            return self.run.correlation(self.ref(first, at), self.ref(second, layer), kind)
        found = self.run.response(self.ref(first, at), self.noise(second), layer, kind)
        return found if found is None or TIME.name in second.slots else found[:, 0]

    def scalar(self, place: Place) -> Array:
        """See `Averages.scalar`."""
        return self.run.scalar(place.function.__name__)

    def equal_time(self, point: Any, step: int) -> float:
        """See `Averages.equal_time`."""
        one, other = (self.ref(end.func, None if end.layer is None else int(end.layer)) for end in point.ends)
        found = self.run.correlation(one, other)
        return 0.0 if found is None else float(found[step, step])

    def size(self, thing: Any, layer: int | None) -> Floats:
        """Norm at every step, at least a millionth of its largest; shape (T,)."""
        if (thing, layer) not in self._sizes:
            self._sizes[thing, layer] = self._norm(self._field(thing, layer))
        return self._sizes[thing, layer]

    def _field(self, thing: Any, layer: int | None) -> FieldRef:
        """A field, or what a matrix was applied to when it left a Gaussian field behind."""
        if not issubclass(thing, NoiseAt):
            return self.ref(thing, layer)
        use = self.noise(thing).source
        assert isinstance(use, Use)
        return use.operand_at(None if layer is None else sp.Integer(layer))

    def _norm(self, ref: FieldRef) -> Floats:
        own = self.run.correlation(ref, ref)
        if own is None or not own.any():
            return np.ones(self.steps)
        square = np.diag(own)
        return np.asarray(np.sqrt(np.maximum(square, 1e-12 * square.max())))
