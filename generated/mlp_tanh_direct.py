"""Direct two-time solver: MLP with activation tanh.

Written by dmft_sym.codegen from the derived single-site equations; not meant to be edited. The program:

    program MLP with activation tanh
      space D: given inputs
      space N: 1 * n sites
      matrix W0: D -> N, entries N(0, s2/n_D)
      matrix W[1..L - 1]: N -> N, entries N(0, s2/n_N)
      vector w in N: sites N(0, s2)
      field h[mu] in N
      field phi[mu] in N
      field z[mu, c] in N
      field g[mu, c] in N
      scalar f[mu, c]
      scalar Delta[mu, c]
      scalar y[mu, c], given
      at every step t, for every sample mu and output c:
        h[1] = W0 x
        for l = 1 to L - 1:
            phi[l] = tanh(h[l])
            h[l + 1] = W[l] phi[l]
        phi[L] = tanh(h[L])
        f = (1/gamma) <phi[L]*w>
        Delta = -f + y
        z[L] = w
        g[L] = z[L]*(1 - tanh(h[L])**2)
        for l = L - 1 down to 1:
            z[l] = W[l]^T g[l + 1]
            g[l] = z[l]*(1 - tanh(h[l])**2)
        learn w: (eta0*gamma/P) Delta phi[L]
        learn W[l]: (eta0*gamma/P) Delta g[l + 1] phi[l]^T
        learn W0: (eta0*gamma/P) Delta g[1] x^T

Rows of all fields and order parameters follow each other in time. Gaussian fields are drawn with the covariances that
earlier rows give; responses are averages of tangents, total derivatives with memories included, or come by parts: where
a function jumps, and everywhere without ``tangents``. The processes:

    space N, fields w, h, phi, z, g: sampled

``march(rng, steps=T, sites=S, gram, targets, L, eta0, gamma, s2)`` runs it once, ``solve(seed, batches=R, ...)``
several times, with means and standard errors. ``gram`` has ``x_mu . x_nu / D``, shape (P, P), ``targets`` shape (P, C).
``overlap(a, b, t)`` is the average over sites of two fields that ``inspect`` shows.
Scalars have shape (T, P, C), correlations (T, P, C, T, P, C), an axis of length one standing for a label that a
field does not have; families are dictionaries by layer. Responses are to Gaussian fields before weight decay. Time is
counted in gradient steps; everything is dimensionless.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np


# The library of dmft_sym, the same in all modules. One that does not stand alone only imports:
#
#     import numpy as np
#     from dmft_sym.codegen.library.two_time_fields import (
#         DIVERGENCE, GaussianFields, Given, SiteField, bounded, checked, drawn, kernel_of_updates, largest_of, overlap,
#         per_output, response, results, scaled,
#     )


# Arrays in annotations, and options of compiled functions.

_Floats: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]


# Tangents in NumPy: derivatives of one field of a single-site process by one Gaussian field, at every site.

class Tangents:
    """``d field(t, mu, c) / d noise(s, nu, c')``; zero for ``s > t``.

    Attributes
    ----------
    values
        Shape (steps, samples, outputs, steps, samples, outputs, sites).

    Parameters
    ----------
    shape, noise
        Steps, samples and outputs of the field and of the Gaussian field.
    kept
        Whether rows of past steps are looked at.
    """

    def __init__(self, shape: tuple[int, int, int], noise: tuple[int, int, int], sites: int, kept: bool) -> None:
        self.values = np.zeros((*shape, *noise, sites))

    def add_identity(self, t: int, s: int, factor: float) -> None:
        """The Gaussian field itself, at its step ``s``."""
        self.values[t, :, :, s] += factor * identity_of(self.values.shape[1:3], self.values.shape[4:6])[..., None]

    def add(self, t: int, factor: Any, other: "Tangents") -> None:
        """``factor`` times those of another field at the same step; a number, or of shape (samples, outputs, sites)."""
        factor = np.asarray(factor)
        factor = factor.reshape(*factor.shape[:2], 1, 1, 1, -1) if factor.ndim else factor
        self.values[t] += factor * other.values[t]

    def add_memory(self, t: int, kernel: _Floats, past: "Tangents") -> None:
        """``sum_{s, nu, c'} kernel[mu, c, s, nu, c'] past(s, nu, c')``."""
        self.values[t] += np.tensordot(kernel, past.values[: kernel.shape[2]], 3)

    def mean(self, t: int) -> _Floats:
        """Average over sites for ``s <= t``, shape (samples, outputs, steps, samples, outputs)."""
        return np.asarray(self.values[t, :, :, : t + 1].mean(-1))

    def variance(self, t: int, probes: _Floats) -> float:
        """Variance over sites of ``sum_s tangent(s) probe(s)``, averaged over probes; the largest of all labels."""
        tangents = self.values[t, :, :, : t + 1]
        seen = np.tensordot(np.moveaxis(tangents, -1, 2), probes, 3)
        return float(seen.var(axis=2).mean(-1).max())


def identity_of(shape: tuple[int, ...], noise: tuple[int, ...]) -> _Floats:
    """1 where samples and outputs are the same, shape (samples, outputs) twice; labels that noise lacks are free."""
    same = (np.eye(n) if m > 1 else np.ones((n, 1)) for n, m in zip(shape, noise, strict=True))
    return np.asarray(np.einsum("mn,cd->mcnd", *same))


# What a direct two-time solver is made of: fields with their tangents, and Gaussian fields drawn row by row.
#
# Arrays have axes for samples and outputs whether a field
# has these labels or not; an axis of a label that a field lacks has length one. A process that is sampled has ``sites``
# sites; in one that closes as matrix algebra ``sites`` is 0: its fields have no values, and its tangents are the same at
# every site.

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


def solved(matrix: _Floats, values: _Floats) -> _Floats:
    """The least-squares solution of ``matrix x = values``; NaN in a run that diverges, of which there is none."""
    if not (np.isfinite(matrix).all() and np.isfinite(values).all()):
        return np.full((matrix.shape[1], values.shape[1]), np.nan)
    return np.asarray(np.linalg.lstsq(matrix, values, rcond=1e-6)[0])


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


# From here on this network's own.


def march(rng, *, steps, sites, gram, targets, L, eta0, gamma, s2, tangents=True, progress=None, inspect=None):
    """One run of the equations in the docstring of the module.

    Parameters
    ----------
    rng
        A `numpy.random.Generator`; unused where every process closes as matrix algebra.
    steps, sites
        Number ``T`` of gradient steps, and ``S`` of sampled sites, an even number.
    gram, targets
        Shapes (P, P) and (P, C).
    tangents
        Whether sampled responses are averages of tangents.
    progress
        Called as ``progress(steps done)``.
    inspect
        Called as ``inspect(t, fields)`` at every step; ``fields`` by name, families as dictionaries by layer.

    Returns
    -------
    dict
        ``steps`` that were done before a scalar was 1e12 times its first size, ``scalars``, ``correlations`` and
        ``responses``, and ``tangent_error``: the largest error of a field that the sampling error of tangents makes,
        relative to its size.

    Raises
    ------
    ValueError
        Naming the argument, its value and what is allowed.
    """
    gram, targets, samples, outputs = checked(steps, sites, gram, targets)
    if not L >= 1:
        raise ValueError(f"L = {L!r}: allowed is an integer >= 1")
    P = samples
    kappa = kernel_of_updates(steps, 0, 0)
    rho = (1 - 0) ** np.arange(steps)
    y = targets
    x = Given(gram[:, None, :, None])
    identity = Given(np.eye(outputs)[None, :, None, :])
    # Space N: sampled.
    w = SiteField(steps, 1, outputs, sites, kept=False)
    h = {l: SiteField(steps, samples, 1, sites, kept=False) for l in range(1, L + 1)}
    phi = {l: SiteField(steps, samples, 1, sites) for l in range(1, L + 1)}
    z = {l: SiteField(steps, samples, outputs, sites, kept=False) for l in range(1, L + 1)}
    g = {l: SiteField(steps, samples, outputs, sites) for l in range(1, L + 1)}
    gaussian_w = GaussianFields(rng, s2, sites, -1)
    w_0 = drawn(gaussian_w.member(identity, (1, 1, outputs), False))
    gaussian_u_W0 = GaussianFields(rng, s2, sites, 1)
    u_W0 = drawn(gaussian_u_W0.member(x, (1, samples, 1), False))
    gaussian_u_W = {l: GaussianFields(rng, s2, sites, 1) for l in range(1, L)}
    u_W = {l: gaussian_u_W[l].member(phi[l], (steps, samples, 1), tangents) for l in range(1, L)}
    gaussian_r_W = {l: GaussianFields(rng, s2, sites, -1) for l in range(1, L)}
    r_W = {l: gaussian_r_W[l].member(g[l + 1], (steps, samples, outputs), tangents) for l in range(1, L)}
    f = np.zeros((steps, samples, outputs))
    Delta = np.zeros((steps, samples, outputs))
    fields = {"w": w, "h": h, "phi": phi, "z": z, "g": g}
    done, limit = steps, np.inf
    for t in range(steps):
        lag = kappa[t:0:-1, None, None]  # kappa(t - s) for s = 0, ..., t - 1
        # (6.1) w_c(t) = w_c(0) + (η_0 γ)/P Σ_(s<t, ν) Δ_(ν c)(s) φ^L_ν(s)
        w.add_noise(t, 1, w_0)
        w.add_memory(t, phi[L], per_output((eta0*gamma/P) * lag * Delta[:t], phi[L]))
        # (6.2) h^1_μ(t) = u_W0,μ + (η_0 γ)/P Σ_(s<t, ν c') Δ_(ν c')(s) K^x_(μ ν) g^1_(ν c')(s)
        h[1].add_noise(t, 1, u_W0)
        h[1].add_memory(t, g[1], overlap(x, x, t)[:, :, :t] * ((eta0*gamma/P) * lag * Delta[:t]))
        for l in range(1, L):
            # (6.3) φ^l_μ(t) = tanh(h^l_μ(t))
            s0 = np.tanh(h[l].values[t])
            phi[l].set_function(t, s0, [(1 - s0 ** 2, h[l])])
            # (6.4) h^(l+1)_μ(t) = u^l_W,μ(t) + s_2 Σ_(s<t, ν c') ⟨∂φ^l_μ(t)/∂r^l_(W, ν c')(s)⟩ g^(l+1)_(ν c')(s) +
            #     (η_0 γ)/P Σ_(s<t, ν c') Δ_(ν c')(s) ⟨φ^l_μ(t) φ^l_ν(s)⟩ g^(l+1)_(ν c')(s)
            u_W[l].draw(t)
            h[l + 1].add_noise(t, 1, u_W[l])
            h[l + 1].add_memory(
                t, g[l + 1], scaled(s2, response(phi[l], r_W[l], t, False)),
                overlap(phi[l], phi[l], t)[:, :, :t] * ((eta0*gamma/P) * lag * Delta[:t]),
            )
        # (6.5) φ^L_μ(t) = tanh(h^L_μ(t))
        s0 = np.tanh(h[L].values[t])
        phi[L].set_function(t, s0, [(1 - s0 ** 2, h[L])])
        # (6.6) f_(μ c)(t) = 1/γ ⟨φ^L_μ(t) w_c(t)⟩
        mean0 = np.mean(phi[L].values[t] * w.values[t], axis=-1)
        f[t] = mean0 / gamma
        # (6.7) Δ_(μ c)(t) = - f_(μ c)(t) + y_(μ c)
        Delta[t] = y - f[t]
        # (6.8) z^L_(μ c)(t) = w_c(t)
        z[L].add_field(t, 1, w)
        # (6.9) g^L_(μ c)(t) = z^L_(μ c)(t) (1 - tanh^2(h^L_μ(t)))
        s0 = np.tanh(h[L].values[t])
        s1 = 1 - s0 ** 2
        s3 = s1 * z[L].values[t]
        g[L].set_function(t, s3, [(-2 * s0 * s3, h[L]), (s1, z[L])])
        for l in range(L - 1, 0, -1):
            # (6.10) z^l_(μ c)(t) = r^l_(W, μ c)(t) + s_2 Σ_(s≤t, ν) ⟨∂g^(l+1)_(μ c)(t)/∂u^l_W,ν(s)⟩ φ^l_ν(s) + (η_0
            #     γ)/P Σ_(s<t, ν c') Δ_(ν c')(s) ⟨g^(l+1)_(μ c)(t) g^(l+1)_(ν c')(s)⟩ φ^l_ν(s)
            r_W[l].draw(t)
            z[l].add_noise(t, 1, r_W[l])
            z[l].add_memory(
                t, phi[l], scaled(s2, response(g[l + 1], u_W[l], t, True)),
                overlap(g[l + 1], g[l + 1], t)[:, :, :t] * ((eta0*gamma/P) * lag * Delta[:t]),
            )
            # (6.11) g^l_(μ c)(t) = z^l_(μ c)(t) (1 - tanh^2(h^l_μ(t)))
            s0 = np.tanh(h[l].values[t])
            s1 = 1 - s0 ** 2
            s3 = s1 * z[l].values[t]
            g[l].set_function(t, s3, [(-2 * s0 * s3, h[l]), (s1, z[l])])
        largest = largest_of(t, [f, Delta])
        limit = DIVERGENCE * largest if t == 0 and largest > 0 else limit
        if not largest <= limit or not np.isfinite(largest) or not bounded(t, fields):
            done = t  # diverged
            break
        if inspect is not None:
            inspect(t, fields)
        if progress is not None:
            progress(t + 1)
    return results(done, {"f": f, "Delta": Delta}, fields, {"phi, r_W": (phi, r_W), "g, u_W": (g, u_W)})


def solve(seed, *, batches=8, **arguments):
    """Independent runs of `march`, and standard errors of their mean.

    Parameters
    ----------
    batches
        Number of runs, each with all ``sites``; one is enough where every process closes as matrix algebra.

    Returns
    -------
    mean, error : dict
        As `march` returns, without ``steps``; ``error`` is NaN for a single run.
    """
    streams = np.random.SeedSequence(seed).spawn(batches)
    runs = [march(np.random.default_rng(stream), **arguments) for stream in streams]
    kinds = ("scalars", "correlations", "responses")
    mean = {kind: joined([run[kind] for run in runs], average) for kind in kinds}
    error = {kind: joined([run[kind] for run in runs], standard_error) for kind in kinds}
    return mean, error


def joined(values, combine):
    """Apply ``combine`` to the arrays at the same place of nested dictionaries."""
    if isinstance(values[0], dict):
        return {key: joined([value[key] for value in values], combine) for key in values[0]}
    return combine(np.stack(values))


def average(values):
    """Mean over runs."""
    return values.mean(axis=0)


def standard_error(values):
    """Standard error of the mean over runs."""
    if len(values) == 1:
        return np.full(values.shape[1:], np.nan)
    return values.std(axis=0, ddof=1) / np.sqrt(len(values))

# source: fd6f3d0619c6678cdf26286de8008b8500c6dfa3bb5553f61120becc4f0ee7f1
