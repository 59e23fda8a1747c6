"""What is measured of one finite network, against the same network trained and measured by hand."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import dmft_sym as ds
from dmft_sym.execution.finite import FiniteNetwork
from dmft_sym.execution.planning import make_plan
from dmft_sym.power_counting.coordinate_check import CheckedNetworks
from dmft_sym.power_counting.coordinates import Coordinates
from dmft_sym.power_counting.program import WIDTH
from dmft_sym.power_counting.scaling import Scaling

WIDTH_OF, STEPS = 24, 3
PARAMETERS = {"learning_rate": 0.7, "richness": 1.5, "init_std": 0.8}


def there_and_back(back):
    """Linear, with one matrix twice: to the fields of half the width, and with a coefficient back again."""

    def forward(net, x):
        n, narrow = net.hidden("N"), net.hidden("M", sp.Rational(1, 2))
        h, weights = net.matrix("A", net.inputs, n) @ x, net.matrix("W", n, narrow)
        return net.readout("w", h - back * (weights.T @ (weights @ h)))

    return ds.network(forward)


def network_of(scaling: Scaling) -> FiniteNetwork:
    checked = CheckedNetworks.of(scaling.network, scaling._symbols, (8, WIDTH_OF), 2, 0, STEPS, PARAMETERS)
    data = scaling.network.data
    known = {**checked.values, WIDTH: WIDTH_OF}
    plan = make_plan(scaling.network.program, known, data.outputs, reduced_transpose=False, data=data.given)
    return FiniteNetwork(plan, float, WIDTH_OF, seed=5)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


class ByHand:
    """``f = <w b>/gamma``, ``b = h - c W^T W h``, ``h = A x``, with gradients that are written out."""

    def __init__(self, back: float, run: FiniteNetwork, inputs: np.ndarray, targets: np.ndarray) -> None:
        self.back, self.X, self.y = back, inputs, targets
        names = [spec.key[0] for spec in run.plan.matrices]
        self.A, self.W = (run.matrices[names.index(name)].copy() for name in "AW")
        self.w = run.values[run.plan.named_slots["w"]][0].copy()
        self.forward()

    def forward(self) -> None:
        self.h = self.X @ self.A.T
        self.code = self.h @ self.W.T
        self.b = self.h - self.back * self.code @ self.W
        self.f = self.b @ self.w / (PARAMETERS["richness"] * len(self.w))

    def step(self) -> None:
        """Rates of stored arrays: ``eta gamma^2`` hidden, ``eta gamma^2 N/D`` first, ``eta N gamma^2`` of ``w``."""
        strength = PARAMETERS["learning_rate"] * PARAMETERS["richness"] / len(self.X)
        error = (self.y - self.f)[:, None]
        down = self.w - self.back * self.w @ self.W.T @ self.W
        up = self.w @ self.W.T
        move_A = (error * down).T @ self.X / self.X.shape[1]
        move_W = np.outer(up, (error * self.h).sum(0)) + np.outer((error * self.code).sum(0), self.w)
        move_w = (error * self.b).sum(0)
        self.A, self.W = self.A + strength * move_A, self.W - self.back * strength * move_W / len(self.w)
        self.w = self.w + strength * move_w
        self.forward()


@pytest.mark.parametrize(("back", "larger"), [(sp.Rational(1, 3), 0), (sp.Integer(3), 1)])
def test_sizes_and_changes_are_those_of_a_network_by_hand(back: sp.Rational, larger: int) -> None:
    """The update of a matrix that is used twice is the larger one of what it adds."""
    scaling = ds.scaling(there_and_back(back))
    run, data = network_of(scaling), scaling.network.data
    inputs, targets = np.asarray(data.inputs, dtype=float), np.asarray(data.targets, dtype=float).ravel()
    first, last = (ByHand(float(back), run, inputs, targets) for _ in range(2))
    coordinates = Coordinates.after(scaling.network, run, STEPS)
    for _ in range(STEPS):
        last.step()
    sizes, scalars = dict(coordinates.sizes()), {name: np.ravel(value) for name, value in coordinates.scalars()}
    np.testing.assert_allclose(scalars["f at init"], first.f, rtol=1e-12)
    np.testing.assert_allclose(scalars["change of f"], last.f - first.f, rtol=1e-10)
    moved = last.W - first.W
    uses = rms(last.h @ moved.T), float(back) * rms(last.code @ moved)
    assert int(np.argmax(uses)) == larger
    found = {
        "update of A": rms(inputs @ (last.A - first.A).T),
        "update of W": max(uses),
        "update of w": rms(last.b @ (last.w - first.w) / len(last.w)),
    }
    assert {name: sizes[name] for name in found} == pytest.approx(found, rel=1e-10)
    fields = sorted(size for name, size in sizes.items() if name.endswith("at init"))
    changes = sorted(size for name, size in sizes.items() if name.startswith("change"))
    assert rms(first.h) in [pytest.approx(size) for size in fields]
    for start, end in ((first.h, last.h), (first.code, last.code), (first.b, last.b)):
        assert any(size == pytest.approx(rms(end - start), rel=1e-10) for size in changes), (changes, sizes)
