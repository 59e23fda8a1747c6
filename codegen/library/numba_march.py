"""A march from beginning to end: what one step does, written down once, and the walk over the steps."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from dmft_sym.codegen.library.common import _Floats
from dmft_sym.codegen.library.numba_advance import (
    _CONSTANT,
    _FINISH,
    _FIRST_ROW,
    _FRESH,
    _IDENTITY,
    _KERNEL_IDENTITY,
    _KERNEL_NOW,
    _KERNEL_PAST,
    _MIRROR,
    _OBSERVE,
    _PLAN_CORRELATION,
    _PLAN_COVARIANCE,
    _PLAN_PRODUCT,
    _ROW,
    _START,
    _STATIC_CORRELATION,
    _STATIC_PRODUCT,
    _WEIGHT,
    _advance,
    _Table,
)
from dmft_sym.codegen.library.numba_history import _CHUNK, _close, _History, _make_history
from dmft_sym.codegen.library.numba_rows import _fill_upper
from dmft_sym.codegen.library.numba_sharing import _Desk, _helpers, _make_desk


class _Family:
    """Matrices of one kind, named by number, all layers of an array one after another."""

    def __init__(self) -> None:
        self.layers: dict[str, tuple[int, ...]] = {}
        self.count = 0

    def declare(self, name: str, layers: tuple[int, ...]) -> int:
        """Number of the first matrix of an array."""
        first, self.layers[name] = self.count, layers
        self.count += math.prod(layers)
        return first

    def room(self, n: int, width: int, dtype: Any) -> tuple[_Floats, dict[str, _Floats]]:
        """One block of all matrices, and views of it by name with their layer axes."""
        block, views, first = np.zeros((self.count, n, width), dtype), {}, 0
        for name, layers in self.layers.items():
            stop = first + math.prod(layers)
            views[name] = block[first:stop].reshape(*layers, n, width)
            first = stop
        return block, views


class _Step:
    """What one step of a march does, written down in order: a table for `_advance`.

    Matrices are numbers: of two-time matrices, and by themselves of those with static columns, one draw for all steps.
    A kernel ``A`` and a weight ``W`` are rows that the lines after `start_kernel` and `start_weight` speak of. Products
    of a statement that do not depend on each other are done together: those of all its kernels, then the weights of all
    its noises, then the correlations with them.
    """

    def __init__(self, steps: int, outputs: int, dtype: Any) -> None:
        self.steps, self.outputs, self.dtype = steps, outputs, dtype
        self._two_time, self._static = _Family(), _Family()
        self._transposed: dict[str, str] = {}
        self._observables: list[str] = []
        self._lines: list[tuple[int, tuple[int, ...], bool, bool, float]] = []
        self._correlations: list[tuple[int, tuple[int, ...], bool]] = []  # of the weights since the statement began
        self._kind, self._row, self._most_rows = "", -1, 1

    # Arrays: name, numbers of layers; the number of their first matrix

    def response(self, name: str, *layers: int) -> int:
        """Lower triangular two-time matrices."""
        return self._two_time.declare(name, tuple(max(0, count) for count in layers))

    def correlation(self, name: str, *layers: int, transposed: str = "") -> int:
        """Two-time matrices of which the lower triangle is kept; the array itself has the transposes, or another."""
        self._transposed[name] = transposed or name
        return self.response(name, *layers)

    def static_response(self, name: str, *layers: int) -> int:
        """Matrices with static columns."""
        return self._static.declare(name, tuple(max(0, count) for count in layers))

    # Statements

    def begin(self) -> None:
        """A statement begins: what those before it have planned is done."""
        self._finish()

    def add_row(self, target: int, factor: float, source: int, static: bool = False) -> None:
        """target[t] += factor * source[t]."""
        self._finish()
        self._line(_ROW, target, source, factor=factor, static=static)

    def add_first_row(self, target: int, factor: float, source: int, static: bool = False) -> None:
        """target[t] += factor * source[0]."""
        self._finish()
        self._line(_FIRST_ROW, target, source, factor=factor, static=static)

    def add_identity(self, target: int, factor: float, static: bool = False, retained: bool = False) -> None:
        """target[t, t] += factor * 1."""
        self._finish()
        self._line(_IDENTITY, target, factor=factor, static=static, retained=retained)

    def mirror(self, target: int, source: int) -> None:
        """target[t, t] = source[t, t]^T."""
        self._finish()
        self._line(_MIRROR, target, source)

    def start_kernel(self) -> None:
        """A = 0."""
        self._start("kernel")

    def add_kernel(self, factor: float, source: int, retained: bool = False) -> None:
        """A += factor * source[t]."""
        self._line(_WEIGHT, self._row, source, factor=factor, retained=retained)

    def add_kernel_now(self, factor: float, source: int, retained: bool = False) -> None:
        """A[t] += factor * source[t, t]."""
        self._line(_KERNEL_NOW, self._row, source, factor=factor, retained=retained)

    def add_kernel_past(self, factor: float, source: int, retained: bool = False) -> None:
        """A[s] += factor * kappa(t - s) * weight(s) * source[t, s] for s < t."""
        self._line(_KERNEL_PAST, self._row, source, factor=factor, retained=retained)

    def add_kernel_identity(self, factor: float, retained: bool = False) -> None:
        """A[s] += factor * kappa(t - s) * weight(s) * 1 for s < t."""
        self._line(_KERNEL_IDENTITY, self._row, factor=factor, retained=retained)

    def add_product(self, target: int, source: int, static: bool = False) -> None:
        """target[t] += A @ source."""
        self._line(_STATIC_PRODUCT if static else _PLAN_PRODUCT, target, source, self._row, static=static)

    def start_weight(self) -> None:
        """W = 0."""
        self._start("weight")

    def add_weight(self, factor: float, response: int, static: bool = False) -> None:
        """W += factor * response[t]."""
        self._line(_WEIGHT, self._row, response, factor=factor, static=static)

    def add_covariance(self, factor: float, response: int, covariance: int, transposed: int) -> None:
        """W += factor * response[t] @ covariance."""
        self._line(_PLAN_COVARIANCE, self._row, response, covariance, transposed, factor=factor)

    def add_fresh_covariance(self, factor: float, response: int, covariance: int) -> None:
        """W += factor * response[t] @ covariance, of which equal steps alone count."""
        self._line(_FRESH, self._row, response, covariance, factor=factor)

    def add_correlation(self, target: int, source: int, static: bool = False) -> None:
        """target[t] += W @ source^T."""
        code = _STATIC_CORRELATION if static else _PLAN_CORRELATION
        self._correlations.append((code, (target, source, self._row), static))

    def observe(self, name: str, constant: float, *terms: tuple[float, int]) -> None:
        """An observable: constant + sum of factor * matrix[t, t], output by output."""
        self._finish()
        number = len(self._observables)
        self._observables.append(name)
        for factor, matrix in terms:
            self._line(_OBSERVE, number, matrix, factor=factor)
        self._line(_CONSTANT, number, factor=constant)

    def _line(self, code: int, *places: int, factor: float = 1.0, static: bool = False, retained: bool = False) -> None:
        self._lines.append((code, (*places, *(0,) * (4 - len(places))), static, retained, factor))

    def _start(self, kind: str) -> None:
        if kind != self._kind:
            self._finish()
        self._kind, self._row = kind, self._row + 1
        self._most_rows = max(self._most_rows, self._row + 1)
        self._line(_START, self._row)

    def _finish(self) -> None:
        """Do what is planned, and then the correlations with the weights."""
        if self._kind:
            self._line(_FINISH)
        if self._correlations:
            for code, places, static in self._correlations:
                self._line(code, *places, static=static)
            self._line(_FINISH)
        self._correlations, self._kind, self._row = [], "", -1

    # The march

    def march(
        self,
        kappa: _Floats,
        rho: _Floats,
        progress: Callable[[int, int], object] | None = None,
        weights: _Floats | None = None,
        weigh: Callable[[int, dict[str, _Floats]], object] | None = None,
    ) -> dict[str, Any]:
        """Number of steps done, observables, and all arrays.

        `kappa` has the response of the weights to one increment by lag, `rho` what is left of the initial weights,
        `weights` by what the increments of a step are multiplied. If they depend on the step, `weigh` computes that of
        a step from all arrays, when its rows are done.
        """
        self._finish()
        weights = np.ones(self.steps, self.dtype) if weights is None else weights
        C, n, dtype = self.outputs, self.steps * self.outputs, self.dtype
        store, arrays = self._two_time.room(n, n, dtype)
        fixed, static = self._static.room(n, C, dtype)
        results = np.zeros((len(self._observables), self.steps, C), dtype)
        desk, history = _make_desk(self._most_rows, C, n, dtype), _make_history(len(store), C, n, dtype)
        given = kappa, rho, weights, results
        each = None if weigh is None else lambda step: weigh(step, {**arrays, **static})
        done = _take_steps(self._table(), desk, store, fixed, history, *given, progress, each)
        for name, transposed in self._transposed.items():
            target, back = arrays[name], arrays[transposed]
            for place in np.ndindex(target.shape[:-2]):
                _fill_upper(target[place], back[place[::-1]], C)
        return {"steps": done, **dict(zip(self._observables, results, strict=True)), **arrays, **static}

    def _table(self) -> _Table:
        codes, places, static, retained, factors = zip(*self._lines, strict=True)
        return _Table(
            np.array(codes),
            np.array(places),
            np.array(static),
            np.array(retained),
            np.array([float(factor) for factor in factors], self.dtype),
        )


def _take_steps(
    table: _Table,
    desk: _Desk,
    store: _Floats,
    fixed: _Floats,
    history: _History,
    kappa: _Floats,
    rho: _Floats,
    weights: _Floats,
    results: _Floats,
    progress: Callable[[int, int], object] | None,
    each: Callable[[int], object] | None,
) -> int:
    """Take the steps, and call `each` after every one of them; the number of those that are done."""
    _, steps, C = results.shape
    flat, done = store.reshape(len(store), (steps * C) ** 2), 0
    with _helpers(desk, store, flat, history):
        while done < steps:
            last = min(steps, (done // _CHUNK + 1) * _CHUNK)
            if progress is not None:
                last = min(last, done + max(1, 20_000 // (done + 20)))
            if each is not None:
                last = done + 1
            done = _advance(done, last, table, desk, store, flat, fixed, history, kappa, rho, weights, results)
            if progress is not None:
                progress(done, steps)
            if done < last:
                break
            if each is not None:
                each(done - 1)
            if done < steps:
                _close(store, done * C, history)
    return done
