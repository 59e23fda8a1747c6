"""Two theories against each other: both methods of one theory."""

from __future__ import annotations

import numpy as np
import pytest

import dmft_sym as ds

RNG = np.random.default_rng(2)
DATA = ds.Samples(RNG.standard_normal((3, 4)), RNG.standard_normal((3, 1)))
RUN = {"steps": 4, "learning_rate": 0.1, "richness": 1.0}


def runs(activation, **options):
    solver = ds.derive(ds.mlp(2, activation), data=DATA).compile("numpy")
    return [solver(method=method, **RUN, **options) for method in ("conditioning", "equations")]


def test_exact_methods():
    compared = ds.compare(*runs("linear"))
    text = str(compared)
    assert compared.within(0)
    assert "theory by conditioning and equations, 4 steps" in text
    assert "Both are exact" in text and "nan" not in text
    assert compared.summary["f"]["max_diff"] < 1e-12
    assert compared.figure() is not None


def test_sampled_methods_have_errors_of_both():
    ours, theirs = runs("tanh", sites=400)
    compared = ds.compare(ours, theirs)
    np.testing.assert_allclose(compared.standard_error.f, np.hypot(ours.f_sem, theirs.f_sem))
    np.testing.assert_allclose(compared.z.f[1:], ((theirs.f - ours.f) / compared.standard_error.f)[1:], rtol=1e-6)
    assert compared.within(6)
    assert "(second theory - theory)" in str(compared)
    wrong = theirs.assign(f=theirs.f + 12 * compared.standard_error.f)
    assert not ds.compare(ours, wrong).within(6)


def test_what_vanishes_has_no_row():
    """A network that starts from zero has kernels of backward fields that vanish at first, and no alignment of them."""

    def forward(net, x):
        n = net.hidden("N")
        return net.readout("w", net.matrix("W", net.inputs, n) @ x, init=0, learning_rate=0, train=False)

    with pytest.raises(ValueError, match="theory"):
        ds.compare(*(ds.derive(ds.mlp(1, "linear"), data=DATA).compile("numpy")(**RUN).expand_dims("seed"),) * 2)
    solver = ds.derive(ds.network(forward), data=DATA).compile("numpy")
    text = str(ds.compare(*(solver(method=method, **RUN) for method in ("conditioning", "equations"))))
    assert "nan" not in text
    assert "G1_alignment" not in text


def test_copies_of_labels_have_coordinates():
    def forward(net, x):
        token, n = net.label("token", 2), net.hidden("N")
        other = token.copy()
        h = net.matrix("W", net.inputs, n) @ x
        weights = ds.softmax(ds.mean(h * h.at(other)), over=other)
        return net.readout("w", net.sum(net.sum(weights * h.at(other), over=other), over=token))

    data = ds.Samples(RNG.standard_normal((2, 2, 4)), RNG.standard_normal((2, 1)), labels=("token",))
    run = ds.derive(ds.network(forward), data=data).compile("numpy")(**RUN)
    assert {"token", "token2", "other_token", "other_token2"} <= set(run.coords)
    np.testing.assert_array_equal(run.other_token, [0, 1])
