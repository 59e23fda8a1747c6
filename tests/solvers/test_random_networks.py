"""The judge of the derivation: networks that nobody wrote, marched and run in coordinates.

Coordinates (Bolthausen conditioning) know nothing of actions, order parameters or processes; both routes must give
the same losses, correlations and responses for whatever forward pass comes.
"""

from __future__ import annotations

import pytest
from agreement import Diverged, compare_routes
from hypothesis import HealthCheck, Phase, assume, find, given, seed, settings
from strategies import SCANNED, SHARED, STARTED, TRANSPOSED, Combine, Scan, recipes, trainings

import dmft_sym as ds

STEPS = 8
REPRODUCIBLE = {"derandomize": True, "deadline": None, "database": None, "phases": [Phase.generate]}


def agreement(theory, parameters, backend="numpy"):
    """Compare the routes at a learning rate that is stable."""
    for shrink in (1, 10, 100, 1000):
        rate = parameters["learning_rate"] / shrink
        try:
            return compare_routes(theory, {**parameters, "learning_rate": rate}, STEPS, backend=backend)
        except Diverged:
            continue
    raise AssertionError("no stable learning rate found")


def pairs_of_places(theory):
    """How many pairs of products share a matrix: order parameters grow with it, and so does the time of a march."""
    names = [product.matrix.matrix.name for *_, product in theory.program.products()]
    return sum(names.count(name) for name in names)


@pytest.mark.parametrize(
    ("part", "draws"), [(0, 5), *(pytest.param(part, 25, marks=pytest.mark.slow) for part in range(6))]
)
def test_march_and_coordinates_agree(part, draws):
    """In six parts of 25 draws, so that they can share the cores; 40 more programs are in test_random_programs."""

    @seed(part)
    @settings(max_examples=draws, suppress_health_check=list(HealthCheck), **REPRODUCIBLE)
    @given(trainings())
    def check(training):
        _recipe, theory, parameters = training
        assume(pairs_of_places(theory) <= 60)
        found = agreement(theory, parameters)
        assert found.worst()[1] < 1e-8, found.worst()

    check()


def matrix_uses(recipe):
    """How often each matrix is used, by name; in a scan once per statement."""
    terms = [t for s in recipe.statements for c in (s.body if isinstance(s, Scan) else (s,)) for t in c.terms]
    return [t.matrix for t in terms if t.matrix is not None]


def scan_terms(recipe):
    return [t for s in recipe.statements if isinstance(s, Scan) for c in s.body for t in c.terms]


def starts(recipe):
    """Nodes without a name that a scan starts from, and the terms and readouts after that scan that use them."""
    seen, used = set(), []
    unnamed = {c.name for c in recipe.statements if isinstance(c, Combine) and not c.named}
    for statement in recipe.statements:
        body = statement.body if isinstance(statement, Scan) else (statement,)
        used += [t.node for c in body for t in c.terms if t.node in seen]
        if isinstance(statement, Scan):
            seen |= unnamed & set(statement.carries)
    return used + [node for _, node in recipe.readouts if node in seen]


def transposed(recipe):
    terms = [t for s in recipe.statements for c in (s.body if isinstance(s, Scan) else (s,)) for t in c.terms]
    return [t.matrix for t in terms if t.transposed]


FEATURES = {
    "scan with a body of several statements": lambda r: any(
        isinstance(s, Scan) and len(s.body) > 1 for s in r.statements
    ),
    "matrix at several places": lambda r: len(matrix_uses(r)) > len(set(matrix_uses(r))),
    "family of matrices": lambda r: any(m.layers is not None for m in r.matrices),
    "one matrix at every layer": lambda r: any(
        t.matrix and next(m for m in r.matrices if m.name == t.matrix).layers is None and t.node.startswith("carry")
        for t in scan_terms(r)
    ),
    "outside field in a scan": lambda r: any(t.node[0] == "a" and t.matrix for t in scan_terms(r)),
    "coefficient that depends on the layer": lambda r: any(t.coefficient == "1/(l+1)" for t in scan_terms(r)),
    "scan with two carries": lambda r: any(isinstance(s, Scan) and len(s.names) > 1 for s in r.statements),
    "matrix that is not trained": lambda r: any(not m.train for m in r.matrices),
    "two scans": lambda r: sum(isinstance(s, Scan) for s in r.statements) > 1,
    "skip over layers": lambda r: any(
        isinstance(s, Combine) and len({t.node for t in s.terms}) > 1 for s in r.statements
    ),
    "skip from the input into a readout": lambda r: len(r.readouts) > 1 and ("1", "x") in r.readouts,
    "start of a scan is used after it": starts,
    "matrix and its transpose": transposed,
    "transpose in a scan": lambda r: any(t.transposed for t in scan_terms(r)),
    "unequal widths": lambda r: len({m.target for m in r.matrices}) > 1 and len(set(r.widths)) > 1,
}


@pytest.mark.parametrize("feature", FEATURES)
def test_strategy_reaches(feature):
    find(recipes(), FEATURES[feature], settings=settings(max_examples=2000, **REPRODUCIBLE))


# Compiling takes most of the time of these tests, so that one network has to do, and only in the long run: with a scan,
# a family, a matrix at every layer, fresh batches, momentum and decay. What the other one has beyond that, shared
# matrices and full batches, is in the compiled networks of tests/networks/test_new_networks.py and
# tests/codegen/test_numba_march.py.
@pytest.mark.parametrize(
    ("recipe", "training", "depth", "backend"),
    [
        (SHARED, ds.GradientDescent(momentum=0.5, weight_decay=0.04), {}, "numpy"),
        (SCANNED, ds.OnlineSGD(momentum=0.5, weight_decay=0.04), {"depth": 3}, "numpy"),
        pytest.param(
            *(SCANNED, ds.OnlineSGD(momentum=0.5, weight_decay=0.04), {"depth": 3}, "numba"), marks=pytest.mark.slow
        ),
        (STARTED, ds.GradientDescent(weight_decay=0.04), {"depth": 3}, "numpy"),
        (TRANSPOSED, ds.GradientDescent(momentum=0.5, weight_decay=0.04), {"depth": 3}, "numpy"),
        (TRANSPOSED, ds.OnlineSGD(), {"depth": 2}, "numpy"),
    ],
    ids=["shared", "scanned", "scanned and compiled", "start of a scan", "transposed", "transposed and online"],
)
def test_networks_with_most_features(recipe, training, depth, backend):
    theory = ds.derive(ds.network(recipe, parametrization=ds.NTK), training=training)
    parameters = {"samples_per_dim": 2.0, "width_per_dim": 0.7, "richness": 1.0, "learning_rate": 0.01, **depth}
    found = agreement(theory, {**parameters, "label_noise": 0.3, "outputs": 2}, backend=backend)
    assert found.worst()[1] < 1e-8, found.worst()
