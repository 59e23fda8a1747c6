"""The judge of finite networks is judged: its reverse mode against differences of its own outputs."""

from __future__ import annotations

import numpy as np
import pytest
from eager_arrays import SITE, Value, gradients
from eager_network import EagerNet, EagerSpace
from labelled_networks import LABELLED, TOKENS


@pytest.mark.parametrize("name", ["causal", "layers_of_attention", "scores_of_all"])
def test_gradients_are_differences(name):
    rng = np.random.default_rng(3)
    net = EagerNet(lambda *given: rng.standard_normal(given[-1]), 6, 2, 1.0, 1.0)
    x = Value(rng.standard_normal((3, TOKENS, 4)), ("sample", "token", SITE), space=EagerSpace("D", 4))
    seed = rng.standard_normal((3, 2))
    net.forward(LABELLED[name], {"x": x})
    result = net.forward(LABELLED[name], {"x": x})
    found = dict(zip(net.leaves, gradients(result, seed, list(net.leaves.values())), strict=True))
    for key, gradient in found.items():
        direction, start, values = rng.standard_normal(gradient.shape), net.arrays[key].copy(), []
        for shift in (1e-5, -1e-5):
            net.arrays[key] = start + shift * direction
            values.append(np.sum(seed * net.forward(LABELLED[name], {"x": x}).array))
        net.arrays[key] = start
        np.testing.assert_allclose((values[0] - values[1]) / 2e-5, np.sum(gradient * direction), rtol=1e-7, atol=1e-8)
