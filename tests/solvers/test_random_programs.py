"""Networks that nobody wrote, from the whole language: 150 of them, by the derived equations and by conditioning.

The routes agree to rounding where a program is Gaussian, and within their errors where it is sampled. Finite networks
of the same programs are those of an independent trainer (``tests/execution/test_random_programs_finite.py``).
"""

from __future__ import annotations

import numpy as np
import pytest
from agreement import compare_routes
from random_trainings import in_proportion, numbers, on_samples

import dmft_sym as ds


@pytest.mark.parametrize("number", numbers("proportional"))
def test_in_proportion(number):
    forward, (network, data, training), run, _ = in_proportion(number)
    theory = ds.derive(network, data=data, training=training)
    found = compare_routes(theory, {k: v for k, v in run.items() if k != "steps"}, run["steps"], tol=1e-12)
    assert found.worst()[1] < 1e-11, (found.worst(), str(forward))


def runs_of(number, kind, **methods):
    """The theory of a program run by both methods."""
    _, (network, data, training), run, _ = on_samples(number, kind)
    solver = ds.derive(network, data=data, training=training).compile("numpy")
    return [solver(method=method, **run, **options) for method, options in methods.items()]


@pytest.mark.parametrize("number", numbers("gaussian"))
def test_on_samples_exactly(number):
    ours, theirs = runs_of(number, "gaussian", conditioning={"tol": 1e-12}, equations={})
    assert ours.attrs["exact"]
    assert theirs.attrs["exact"]
    np.testing.assert_allclose(ours.f, theirs.f, rtol=0, atol=1e-11 * max(1.0, float(np.abs(theirs.f).max())))


@pytest.mark.parametrize("number", numbers("sampled"))
def test_on_samples_within_errors(number):
    sites = {"conditioning": {"sites": 4000, "replicas": 8}, "equations": {"sites": 400, "replicas": 8}}
    ours, theirs = runs_of(number, "sampled", **sites)
    gap = np.abs(ours.f - theirs.f)
    assert float((gap / np.hypot(ours.f_sem, theirs.f_sem)).where(gap > 1e-12, 0).max()) < 5
