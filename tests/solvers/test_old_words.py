"""Words of before 0.2 mean what they meant, and warn."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym.support.errors import ArgumentError

PROPORTIONAL = {"samples_per_dim": 2.0, "width_per_dim": 1.0, "richness": 2.0, "learning_rate": 0.05, "steps": 4}
GIVEN = {"richness": 2.0, "learning_rate": 0.1, "steps": 3, "replicas": 2, "seed": 3}
DATA = ds.Samples([[1.0, 0.5], [-0.3, 2.0], [0.2, 0.1]], [1.0, -1.0, 1.0])


@pytest.mark.parametrize(("old", "new"), [("march", "equations"), ("coordinates", "conditioning")])
def test_methods_of_the_proportional_regime(old, new):
    theory = ds.derive(ds.deep_linear(1))
    with pytest.warns(DeprecationWarning, match=f"^method='{old}' is now method='{new}'; .* until 0.3$") as caught:
        run = theory.compile("numpy")(**PROPORTIONAL, method=old)
    assert [w.filename for w in caught] == [__file__]
    assert (run.attrs["method"], run.attrs["exact"]) == (new, 1)
    same = theory.compile("numpy")(**PROPORTIONAL, method=new)
    np.testing.assert_array_equal(run.test_loss, same.test_loss)
    with pytest.warns(DeprecationWarning, match=f"method='{new}'") as caught:
        spectra = ds.spectrum(theory, matrices=["W0"], at=[3], method=old, **PROPORTIONAL)
    assert [w.filename for w in caught] == [__file__]
    assert spectra.attrs["method"] == new


@pytest.mark.parametrize(
    ("old", "new", "exact"),
    [("sampled", "conditioning", False), ("direct", "equations", None), ("coordinates", "conditioning", True)],
)
def test_methods_on_given_samples(old, new, exact):
    theory = ds.derive(ds.mlp(2, "linear"), data=DATA)
    with pytest.warns(DeprecationWarning, match=f"method='{new}'"):
        run = theory.compile("numpy")(**GIVEN, method=old, sites=40)
    same = theory.compile("numpy")(**GIVEN, method=new, exact=exact, sites=40)
    np.testing.assert_array_equal(run.f, same.f)
    assert run.attrs["exact"] == same.attrs["exact"] == int(old != "sampled")


def test_sites_were_samples():
    solver = ds.derive(ds.mlp(2, "tanh"), data=DATA).compile("numpy")
    with pytest.warns(DeprecationWarning, match=r"^samples= is now sites=; .* until 0\.3$") as caught:
        run = solver(**GIVEN, samples=40)
    assert [w.filename for w in caught] == [__file__]
    np.testing.assert_array_equal(run.f, solver(**GIVEN, sites=40).f)


def test_words_of_the_other_regime_are_refused():
    with pytest.raises(ArgumentError, match=r"^method = 'sampled': allowed are equations, conditioning$"):
        ds.derive(ds.deep_linear(1)).compile("numpy")(**PROPORTIONAL, method="sampled")
    with pytest.raises(ArgumentError, match=r"^method = 'march': allowed are equations, conditioning$"):
        ds.derive(ds.mlp(2, "tanh"), data=DATA).compile("numpy")(**GIVEN, method="march")


@pytest.mark.parametrize(
    ("network", "data", "expected"),
    [
        (ds.deep_linear(2), None, [("equations", True, True), ("conditioning", True, False)]),
        (ds.mlp(2, "tanh"), DATA, [("conditioning", False, True), ("equations", False, False)]),
        (ds.mlp(2, "linear"), DATA, [("conditioning", True, True), ("equations", True, False)]),
    ],
)
def test_a_theory_says_what_can_be_done(network, data, expected):
    methods = ds.derive(network, data).methods
    assert [(m.name, m.exact, m.default) for m in methods] == expected


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("datasets", "data.datasets", "digits"),
        ("messages", "support.messages", "BiasWarning"),
        ("plots", "figures.plots", "comparison"),
    ],
)
def test_modules_under_their_old_names(old, new, name):
    """In a process of its own: a module is imported once."""
    code = f"import warnings; warnings.simplefilter('always'); from dmft_sym.{old} import {name}\n"
    code += f"import dmft_sym.{new} as new; print(new.{name} is {name})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout == "True\n", run.stderr
    words = f"<string>:1: DeprecationWarning: module dmft_sym.{old} is now dmft_sym.{new}; the old word works until 0.3"
    assert run.stderr.splitlines()[0] == words
