"""What a direct two-time solver is made of: fields with their tangents, and Gaussian fields drawn row by row.

Arrays have axes for samples and outputs whether a field
has these labels or not; an axis of a label that a field lacks has length one. A process that is sampled has ``sites``
sites; in one that closes as matrix algebra ``sites`` is 0: its fields have no values, and its tangents are the same at
every site.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from dmft_sym.codegen.library.common import _Floats
from dmft_sym.codegen.library.two_time_tangents import Tangents

DIVERGENCE = 1e12  # a scalar beyond this multiple of the largest first one counts as divergence
LARGEST_NORM2 = 1e75  # of a field: products of two kernels, and their squares, have to be finite numbers
PROBES = 16  # sites at which the error of a response is looked at


def checked(steps: int, sites: int, gram: Any, targets: Any, inputs: int = 1) -> tuple[_Floats, _Floats, int, int]:
    """Overlaps of inputs and targets as arrays, numbers of samples and outputs.

    Where every sample has several ``inputs``, overlaps are those of all of them, shape (P, inputs, P, inputs).

    Raises
    ------
    ValueError
        Naming the argument, its value and what is allowed.
    """
    gram, targets = np.asarray(gram, float), np.asarray(targets, float)
    samples, outputs = targets.shape
    if not steps >= 1:
        raise ValueError(f"steps = {steps!r}: allowed is an integer >= 1")
    if not (sites >= 2 and sites % 2 == 0):
        raise ValueError(f"sites = {sites!r}: allowed is an even integer >= 2")
    rows = samples * inputs
    if gram.shape != (rows, rows):
        raise ValueError(f"gram has shape {gram.shape}: allowed is {(rows, rows)}, as of targets")
    gram = gram if inputs == 1 else gram.reshape(samples, inputs, samples, inputs)
    return gram, targets, samples, outputs


def checked_overlaps(name: str, gram: Any, samples: int) -> _Floats:
    """Overlaps of further inputs."""
    gram = np.asarray(gram, float)
    if gram.shape != (samples, samples):
        raise ValueError(f"{name} has shape {gram.shape}: allowed is {(samples, samples)}, as of targets")
    return gram


class Given:
    """What is known before the first step: inputs, by their overlaps ``(P, P)``, or initial vectors, one per output.

    Where a sample has several inputs, ``place`` says which one it is.
    """

    def __init__(self, overlaps: _Floats, factor: float = 1.0, place: int | None = None) -> None:
        self.overlaps = overlaps  # (samples, outputs, samples, outputs), or (samples, places, samples, places)
        self.factor, self.place = factor, place

    def with_other(self, other: "Given") -> _Floats:
        """Overlaps with another thing of the same kind, shape (samples, outputs, samples, outputs)."""
        if self.place is None:
            return self.overlaps
        return self.overlaps[:, self.place][:, None, :, other.place, None]


class GaussianFields:
    """The Gaussian fields that the products with one matrix in one direction leave behind, drawn row by row.

    Their covariance is ``variance`` times the overlap of the operands. Rows that depend on earlier ones (their
    variance, given these, is below ``tolerance`` times their variance) are computed and not drawn: duplicate samples,
    frozen fields.

    Parameters
    ----------
    parity
        Sites ``i`` and ``i + sites/2`` get the same (+1) or opposite (-1) draws: antithetic pairs.
    kind
        Class of tangents by these fields.
    """

    tolerance = 1e-10

    def __init__(
        self, rng: np.random.Generator, variance: float, sites: int, parity: int, kind: Any = Tangents
    ) -> None:
        self.rng, self.variance, self.sites, self.parity, self.kind = rng, variance, sites, parity, kind
        self.members: list[GaussianField] = []
        self.rows: list[tuple[GaussianField, int]] = []  # what was drawn, in order
        self.factor = np.zeros((0, 0))  # Cholesky factor of the covariance of all rows
        self.normals = np.zeros((0, sites))  # independent standard normals, one per row

    def member(self, operand: "SiteField | Given", shape: tuple[int, int, int], tracked: bool) -> "GaussianField":
        """The field of one product; ``shape`` is (steps, samples, outputs) and ``tracked`` asks for tangents."""
        self.members.append(GaussianField(self, operand, shape, tracked))
        return self.members[-1]

    def draw(self, field: "GaussianField", t: int) -> None:
        """Row ``t`` of ``field``, given all rows that were drawn before."""
        overlaps = {other: self.variance * overlap(field.operand, other.operand, t) for other in self.members}
        if not self.sites:
            field.set_covariance(t, overlaps)
            return
        size = field.samples * field.outputs
        past = [overlaps[other][:, :, s].reshape(size, -1) for other, s in self.rows]
        own = overlaps[field][:, :, t].reshape(size, size)
        values = [self._next(np.concatenate([c[k] for c in (*past, own)])[: len(self.factor) + 1]) for k in range(size)]
        field.values[t] = np.reshape(values, (field.samples, field.outputs, self.sites))
        self.rows.append((field, t))

    def _next(self, covariance: _Floats) -> _Floats:
        """One more row, from its covariance with the rows before it and its variance."""
        old = len(self.factor)
        weights = np.zeros(old + 1)
        for k in range(old):
            if self.factor[k, k] > 0:
                weights[k] = (covariance[k] - self.factor[k, :k] @ weights[:k]) / self.factor[k, k]
        rest = covariance[old] - weights @ weights
        weights[old] = np.sqrt(rest) if rest > self.tolerance * covariance[old] else 0.0
        self.factor = np.pad(self.factor, ((0, 1), (0, 1)))
        self.factor[old] = weights
        half = self.rng.standard_normal(self.sites // 2)
        self.normals = np.concatenate([self.normals, [np.concatenate([half, self.parity * half])]])
        return np.asarray(weights @ self.normals)

    def by_parts(
        self, values: _Floats, t: int, reached: "set[GaussianField]"
    ) -> "dict[tuple[GaussianField, int], _Floats]":
        """``<d value / d u>`` for rows ``u`` before step ``t``, and at ``t`` of the fields that values are made of.

        Integration by parts is ``<value u> = sum_u' <d value / d u'> <u' u>``, for functions with jumps too: a
        regression on these rows ``u = L x``, with ``<value u> = L <value x>`` and independent normals ``x``. Of rows
        that depend on each other any solution will do: memories that responses multiply depend in the same way.

        Parameters
        ----------
        values
            Shape (..., sites).

        Returns
        -------
        dict
            Shape (..., samples, outputs) by field and step.
        """
        rows = [(field, s, field.samples * field.outputs) for field, s in self.rows]
        chosen = [s < t or (s == t and field in reached) for field, s, size in rows for _ in range(size)]
        along = values.reshape(-1, self.sites) @ self.normals.T / self.sites
        found = np.zeros(along.shape)
        found[:, chosen] = solved(self.factor[chosen].T, along.T).T
        found = found.reshape(*values.shape[:-1], -1)
        parts = np.split(found, np.cumsum([size for *_, size in rows])[:-1], axis=-1)
        return {
            (field, s): part.reshape(*part.shape[:-1], field.samples, field.outputs)
            for (field, s, _), part in zip(rows, parts, strict=True)
        }


class GaussianField:
    """One Gaussian field ``u`` or ``r``: values (steps, samples, outputs, sites), or covariances with its siblings."""

    def __init__(
        self, family: GaussianFields, operand: "SiteField | Given", shape: tuple[int, int, int], tracked: bool
    ) -> None:
        self.family, self.operand, self.tracked = family, operand, tracked
        self.steps, self.samples, self.outputs = shape
        self.values = np.zeros((*shape, family.sites))
        self.covariances: dict[GaussianField, _Floats] = {}

    def draw(self, t: int) -> None:
        """Row ``t``."""
        self.family.draw(self, t)

    def set_covariance(self, t: int, overlaps: "dict[GaussianField, _Floats]") -> None:
        """Covariance of row ``t`` with all rows up to it."""
        shape = (self.steps, self.samples, self.outputs)
        for other, block in overlaps.items():
            theirs = (other.steps, other.samples, other.outputs)
            here = self.covariances.setdefault(other, np.zeros((*shape, *theirs)))
            there = other.covariances.setdefault(self, np.zeros((*theirs, *shape)))
            here[t, :, :, : t + 1] = block
            there[: t + 1, :, :, t] = np.moveaxis(block, 2, 0).transpose(0, 3, 4, 1, 2)


def drawn(field: GaussianField) -> GaussianField:
    """A field that is the same at all steps."""
    field.draw(0)
    return field


class SiteField:
    """A field of a single-site process, and its derivatives by the Gaussian fields that are tracked.

    Attributes
    ----------
    values
        Shape (steps, samples, outputs, sites).
    tangents
        Derivatives by Gaussian field.
    responses
        Their averages by Gaussian field and step, as far as they were asked for.
    reached
        For every step, the Gaussian fields of the same step that the field responds to at once.
    tangent_error
        The largest `tangent_error` of a response of this field.

    Parameters
    ----------
    kept
        Whether tangents of past steps are needed: by a memory.
    """

    def __init__(self, steps: int, samples: int, outputs: int, sites: int, kept: bool = True) -> None:
        self.shape = steps, samples, outputs
        self.sites, self.kept = sites, kept or not sites
        self.values = np.zeros((*self.shape, sites))
        self.tangents: dict[GaussianField, Any] = {}
        self.responses: dict[tuple[GaussianField, int], _Floats] = {}
        self.reached: list[set[GaussianField]] = [set() for _ in range(steps)]
        self.tangent_error = 0.0

    def tangent(self, noise: GaussianField) -> Any:
        """The tangents by a Gaussian field, zero if there were none before."""
        if noise not in self.tangents:
            columns = noise.steps, noise.samples, noise.outputs
            self.tangents[noise] = noise.family.kind(self.shape, columns, max(self.sites, 1), self.kept)
        return self.tangents[noise]

    def add_noise(self, t: int, factor: float, noise: GaussianField) -> None:
        """``factor * noise(t)``; the tangent by it is the identity."""
        s = t if noise.steps > 1 else 0
        self.values[t] += factor * noise.values[s]
        self.reached[t].add(noise)
        if noise.tracked:
            self.tangent(noise).add_identity(t, s, factor)

    def add_field(self, t: int, factor: float, other: "SiteField") -> None:
        """``factor * other(t)``."""
        self.values[t] += factor * other.values[t]
        self._move(t, factor, other)

    def add_memory(self, t: int, past: "SiteField", *kernels: _Floats | None) -> None:
        """``sum_{s, nu, c'} kernel[mu, c, s, nu, c'] past(s, nu, c')`` over the steps that each kernel has."""
        kernel = added([spread_kernel(kernel, past.shape[1:]) for kernel in kernels if kernel is not None])
        if kernel is None:
            return
        self.values[t] += np.tensordot(kernel, past.values[: kernel.shape[2]], 3)
        if kernel.shape[2] > t:
            self.reached[t] |= past.reached[t]
        for noise, tangent in past.tangents.items():
            self.tangent(noise).add_memory(t, kernel, tangent)

    def set_function(self, t: int, value: _Floats | None, slopes: "Iterable[tuple[Any, SiteField]]") -> None:
        """A function of fields of the same step; chain rule with ``slopes`` of shape (samples, outputs, sites).

        Where responses come by parts slopes may be ``None``.
        """
        if value is not None:
            self.values[t] = value
        for slope, argument in slopes:
            self._move(t, slope, argument)

    def _move(self, t: int, factor: Any, other: "SiteField") -> None:
        """What the field of the same step hands on."""
        self.reached[t] |= other.reached[t]
        for noise, tangent in other.tangents.items():
            self.tangent(noise).add(t, factor, tangent)


def spread_kernel(kernel: _Floats, past: tuple[int, ...]) -> _Floats:
    """A kernel with the samples and outputs of the past: summed over those that the past lacks, or repeated."""
    for axis, size in zip((3, 4), past, strict=True):
        if size == 1:
            kernel = kernel.sum(axis, keepdims=True)
    return np.broadcast_to(kernel, (*kernel.shape[:3], *past))


def added(kernels: list[_Floats]) -> _Floats | None:
    """The sum of kernels, each over the steps that it has."""
    if not kernels:
        return None
    total = np.zeros(np.max([kernel.shape for kernel in kernels], axis=0))
    for kernel in kernels:
        total[:, :, : kernel.shape[2]] += kernel
    return total


def per_output(kernel: _Floats, past: SiteField) -> _Floats:
    """The kernel ``kernel[s, nu, c]`` of a memory ``sum_{s, nu} kernel[s, nu, c] past(s, nu, c)``, for every output."""
    moved = np.moveaxis(kernel, 2, 0)[None, ..., None]
    outputs = past.shape[2]
    return moved if outputs == 1 else moved * np.eye(outputs)[:, None, None, :]


def overlap(a: SiteField | Given, b: SiteField | Given, t: int) -> _Floats:
    """``<a(t, mu, c) b(s, nu, c')>`` for ``s <= t``, shape (samples, outputs, t + 1, samples, outputs).

    Given things have one step. Fields of different processes are independent and have mean zero where one is Gaussian.
    """
    if isinstance(a, Given) or isinstance(b, Given):
        assert isinstance(a, Given) and isinstance(b, Given)
        return a.factor * b.factor * a.with_other(b)[:, :, None]
    if a.sites and b.sites:
        return np.tensordot(a.values[t], b.values[: t + 1], (-1, -1)) / a.sites
    total = np.zeros((*a.shape[1:], t + 1, *b.shape[1:]))
    if a.sites or b.sites:
        return total
    for one, left in a.tangents.items():
        for other, covariance in one.covariances.items():
            if other in b.tangents:
                right = b.tangents[other].values[: t + 1, ..., 0]
                row = left.values[t, ..., 0]
                total += np.tensordot(np.tensordot(row, covariance, 3), right, ((2, 3, 4), (3, 4, 5)))
    return total


def norm_of_terms(weights: _Floats, left: _Floats, right: _Floats | None = None) -> float:
    """``sum w_i w_j <left_i left_j> <right_i right_j>`` over samples and outputs, by overlaps of earlier steps and now.

    Without ``right`` the outputs of ``i`` and ``j`` are the same, those of a vector.
    """
    same = np.eye(weights.shape[1])[None, :, None, :] if right is None else right[:, :, -1]
    return float(np.sum(weights[:, :, None, None] * weights * left[:, :, -1] * same))


def solved(matrix: _Floats, values: _Floats) -> _Floats:
    """The least-squares solution of ``matrix x = values``; NaN in a run that diverges, of which there is none."""
    if not (np.isfinite(matrix).all() and np.isfinite(values).all()):
        return np.full((matrix.shape[1], values.shape[1]), np.nan)
    return np.asarray(np.linalg.lstsq(matrix, values, rcond=1e-6)[0])


def moment(a: SiteField, b: SiteField, t: int) -> _Floats:
    """``<a(t, mu, c) b(t, mu, c)>``, shape (samples, outputs)."""
    block = overlap(a, b, t)[:, :, t]
    samples, outputs = np.maximum(block.shape[:2], block.shape[2:])
    m, c = np.arange(samples)[:, None], np.arange(outputs)[None]
    places = [np.minimum(label, size - 1) for label, size in zip((m, c, m, c), block.shape, strict=True)]
    return np.asarray(block[tuple(places)])


def response(row: SiteField, noise: GaussianField, t: int, now: bool) -> _Floats | None:
    """``<d row(t) / d noise(s)>`` for ``s <= t`` (``s < t`` unless ``now``); ``None`` if it vanishes."""
    if row.sites and not noise.tracked:
        return response_by_parts(row, noise, t, now)
    if noise not in row.tangents:
        return None
    if (noise, t) not in row.responses:
        row.responses[noise, t] = row.tangents[noise].mean(t)
        row.tangent_error = max(row.tangent_error, tangent_error(row, noise, t))
    return row.responses[noise, t][:, :, : t + now]


def response_by_parts(row: SiteField, noise: GaussianField, t: int, now: bool) -> _Floats:
    """The same without tangents."""
    result = np.zeros((*row.shape[1:], min(t + now, noise.steps), noise.samples, noise.outputs))
    if not result.size:
        return result
    for (field, s), part in noise.family.by_parts(row.values[t], t, row.reached[t]).items():
        if field is noise and s < result.shape[2]:
            result[:, :, s] = part
    return result


def tangent_error(row: SiteField, noise: GaussianField, t: int) -> float:
    """How far the sampling error of a response is seen, relative to the field that responds.

    A response multiplies operands of the products that made the Gaussian field, which have its covariance: the error is
    that of the mean of ``sum_s tangent(s) u(s)`` at independent ``u``, ``sqrt(rank/S)`` by parts. The tangents of
    networks that are sensitive to single sites grow from step to step, and then a few sites make up the mean.
    """
    if not row.sites:
        return 0.0
    variance = row.tangents[noise].variance(t, noise.values[: t + 1, ..., :PROBES])
    largest = np.sqrt(np.mean(row.values[t] ** 2, axis=-1).max())
    return float(np.sqrt(variance / row.sites) / largest) if largest > 0 else 0.0


def scaled(factor: float, kernel: _Floats | None) -> _Floats | None:
    """A kernel times a number."""
    return None if kernel is None else factor * kernel


def correlations(field: SiteField) -> _Floats:
    """``<field(t, mu, c) field(s, nu, c')>`` at all steps, shape (steps, samples, outputs) twice."""
    result = np.zeros(field.shape * 2)
    for t in range(field.shape[0]):
        block = overlap(field, field, t)
        result[t, :, :, : t + 1] = block
        result[: t + 1, :, :, t] = np.moveaxis(block, 2, 0).transpose(0, 3, 4, 1, 2)
    return result


def responses(row: SiteField, noise: GaussianField) -> _Floats:
    """``<d row(t) / d noise(s)>`` at all steps, shape (steps, samples, outputs) twice."""
    result = np.zeros((*row.shape, noise.steps, noise.samples, noise.outputs))
    for t in range(row.shape[0]):
        block = response(row, noise, t, True)
        if block is not None:
            result[t, :, :, : block.shape[2]] = block
    return result


def members(family: Any) -> dict[Any, Any]:
    """By layer; of a thing that is no family, it alone, by ``None``."""
    return family if isinstance(family, dict) else {None: family}


def unkeyed(found: dict[Any, Any]) -> Any:
    """Values by layers without those that are ``None``; of one thing its value."""
    layers = {tuple(layer for layer in key if layer is not None): value for key, value in found.items()}
    layers = {key[0] if len(key) == 1 else key: value for key, value in layers.items()}
    return layers.get((), layers)


def results(
    done: int, scalars: Mapping[str, Any], fields: Mapping[str, Any], pairs: Mapping[str, tuple[Any, Any]]
) -> dict[str, Any]:
    """What a march returns: of families by layer, responses by that of the field and that of the Gaussian field."""
    both = {
        name: {(i, k): responses(a, b) for i, a in members(row).items() for k, b in members(noise).items()}
        for name, (row, noise) in pairs.items()
    }
    rows = [one for row, _ in pairs.values() for one in members(row).values()]
    return {
        "steps": done,
        "scalars": scalars,
        "correlations": {
            name: unkeyed({(i,): correlations(a) for i, a in members(family).items()})
            for name, family in fields.items()
        },
        "responses": {name: unkeyed(found) for name, found in both.items()},
        "tangent_error": max([0.0, *(row.tangent_error for row in rows)]),
    }


def largest_of(t: int, scalars: Iterable[_Floats]) -> float:
    """The largest absolute value of scalars at step ``t``, NaN if there is one."""
    return float(np.max([np.abs(values[t]).max() for values in scalars]))


def bounded(t: int, fields: Mapping[str, SiteField | Mapping[int, SiteField]]) -> bool:
    """Whether ``<a a>`` is at most `LARGEST_NORM2` for all fields at step ``t``; outputs may be small when not."""
    every = [one for family in fields.values() for one in members(family).values()]
    norms2 = (np.mean(a.values[t] ** 2, axis=-1) if a.sites else overlap(a, a, t)[:, :, t] for a in every)
    return all(norm2.max() <= LARGEST_NORM2 for norm2 in norms2)


def kernel_of_updates(steps: int, momentum: float, decay: float) -> _Floats:
    """``kappa(lag)`` for ``lag = 0, ..., steps``: what an increment contributes ``lag`` steps later."""
    kappa = np.zeros(steps + 1)
    velocity, weight = 1.0, 0.0
    for lag in range(1, steps + 1):
        weight = (1 - decay) * weight + velocity
        velocity *= momentum
        kappa[lag] = weight
    return kappa


def softmax(f: _Floats) -> _Floats:
    """``exp(f_c) / sum_c' exp(f_c')`` along the last axis."""
    powers = np.exp(f - f.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def erf(x: _Floats) -> _Floats:
    """The error function, number by number."""
    return np.asarray(np.vectorize(math.erf, otypes=[float])(x))
