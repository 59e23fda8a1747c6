"""Runge-Kutta methods of gradient flows: their order, how far they are stable, and when which of them is taken."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from execution_support import program, values

from dmft_sym.execution import flow_coordinates
from dmft_sym.execution.flow import run, steps
from dmft_sym.execution.flow.tableaus import DORMAND_PRINCE, chebyshev, stable_stages

METHODS = {"pair": DORMAND_PRINCE, "2 stages": chebyshev(2), "5 stages": chebyshev(5), "12 stages": chebyshev(12)}


def oscillator(y):
    """A nonlinear oscillation: no method is better at it than its order."""
    return np.array([y[1], -np.sin(y[0]) - 0.1 * y[1]])


def stages_of(tableau, y, length):
    """The increments of all stages of a step."""
    found = np.zeros((tableau.stages, len(y)))
    for stage in range(tableau.stages):
        found[stage] = oscillator(y + length * tableau.a[stage, :stage] @ found[:stage])
    return found


def integrated(tableau, count, end=1.0):
    y = np.array([1.5, 0.3])
    for _ in range(count):
        y = y + end / count * tableau.weights @ stages_of(tableau, y, end / count)
    return y


@cache
def exactly(time):
    return integrated(DORMAND_PRINCE, 2000, time)


def slope(lengths, errors):
    return np.polyfit(np.log(lengths), np.log(errors), 1)[0]


@pytest.mark.parametrize("method", METHODS)
def test_global_errors_are_of_the_order_of_the_method(method):
    tableau, counts = METHODS[method], np.array([8, 12, 16, 24, 32])
    errors = [np.abs(integrated(tableau, int(count)) - exactly(1.0)).max() for count in counts]
    assert slope(1 / counts, errors) == pytest.approx(tableau.order, abs=0.25)


@pytest.mark.parametrize("method", METHODS)
def test_estimates_of_the_error_are_of_their_order(method):
    tableau, lengths = METHODS[method], np.array([0.08, 0.06, 0.04, 0.03])
    y = np.array([1.5, 0.3])
    errors = [np.abs(length * tableau.error @ stages_of(tableau, y, length)).max() for length in lengths]
    assert slope(lengths, errors) == pytest.approx(tableau.error_order, abs=0.35)


@pytest.mark.parametrize(("method", "order"), [("pair", 5), ("5 stages", 3)])
def test_interpolation_between_the_ends_of_a_step(method, order):
    """Errors of one step: one order more than that of the interpolant, or of the method."""
    tableau, lengths = METHODS[method], np.array([0.4, 0.3, 0.2, 0.15])
    y, errors = np.array([1.5, 0.3]), []
    for length in lengths:
        increments = stages_of(tableau, y, length)
        between = [
            np.abs(y + length * tableau.at(theta) @ increments - exactly(theta * length)).max()
            for theta in (0.25, 0.5, 0.8)
        ]
        errors.append(max(between))
        np.testing.assert_allclose(tableau.at(1.0), tableau.weights, atol=1e-9)
        np.testing.assert_allclose(tableau.at(0.0), 0, atol=1e-15)
    assert slope(lengths, errors) == pytest.approx(order, abs=0.4)


def growth(tableau, z):
    """What a step makes of ``y' = lambda y`` with ``z = h lambda``."""
    increments = np.zeros(tableau.stages)
    for stage in range(tableau.stages):
        increments[stage] = 1 + z * tableau.a[stage, :stage] @ increments[:stage]
    return 1 + z * tableau.weights @ increments


@pytest.mark.parametrize("method", METHODS)
def test_steps_are_stable_on_the_interval_and_not_far_beyond(method):
    tableau = METHODS[method]
    inside = [abs(growth(tableau, -z)) for z in np.linspace(1e-3, tableau.stability, 500)]
    assert max(inside) <= 1 + 1e-9
    assert abs(growth(tableau, -1.1 * tableau.stability)) > 1


def test_the_interval_grows_as_the_square_of_the_stages():
    stages = np.array([10, 20, 50, 100, 200])
    assert slope(stages, [chebyshev(int(s)).stability for s in stages]) == pytest.approx(2, abs=0.02)
    for interval in (0.1, 3.0, 70.0, 9000.0):
        found = stable_stages(interval)
        assert chebyshev(found).stability >= interval
        assert found == 2 or chebyshev(found - 1).stability < interval


def lost(tableau, count, end=0.5):
    """Losses at the end of a flow in steps of one length."""

    class Constant(steps.Steps):
        def __init__(self, network, evaluate, rtol, last):
            super().__init__(network, evaluate, rtol, last, (tableau, end / count))
            self.stiff = False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "Steps", Constant)
        return losses(end, tol=1e-12)


def losses(end, **options):
    found = flow_coordinates(program(), values(eta=1.0), 1, [0.0, end], **options)
    assert found.outcome.completed
    return np.array([found.observables[name][-1, 0] for name in ("train_loss", "test_loss")])


@pytest.mark.parametrize("method", ["pair", "5 stages"])
def test_losses_of_a_network_converge_at_least_at_the_order_of_the_method(method):
    tableau, counts = METHODS[method], np.array([8, 10, 14, 20])
    exact = losses(0.5, rtol=1e-11, tol=1e-13)
    errors = [np.abs(lost(tableau, int(count)) - exact).max() for count in counts]
    assert slope(1 / counts, errors) > tableau.order - 0.3  # fast modes, which have died out, make it larger


def test_the_error_follows_the_tolerance():
    exact = losses(1.0, rtol=1e-11, tol=1e-13)
    errors = [np.abs(losses(1.0, rtol=rtol) - exact).max() for rtol in (1e-4, 1e-6, 1e-8)]
    assert errors[0] < 1e-3
    assert errors[1] < 1e-6
    assert errors[2] < 1e-8
    assert errors[0] > errors[1] > errors[2]


def methods_of(end):
    """The method of every step, and its length."""
    taken = []

    class Watched(steps.Steps):
        def take(self, interval):
            taken.append((interval.tableau.name, interval.length))
            super().take(interval)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "Steps", Watched)
        losses(end)
    return [name for name, _ in taken], np.array([length for _, length in taken])


def test_the_stabilized_method_is_taken_where_stiffness_binds():
    names, _ = methods_of(0.5)
    assert set(names) == {DORMAND_PRINCE.name}
    names, lengths = methods_of(100.0)
    assert names[0] == DORMAND_PRINCE.name
    assert names[-1] == chebyshev(2).name
    pair = [length for name, length in zip(names, lengths, strict=True) if name == DORMAND_PRINCE.name]
    assert lengths.max() > 20 * max(pair)
    assert len(names) < 400
