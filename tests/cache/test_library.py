"""The library of generated modules: compiled once for all of them, under the rules for what is executed."""

from __future__ import annotations

import ast
import os
import pickle
import sys
from pathlib import Path

import pytest
from dmft_sym.codegen import solver_source
from dmft_sym.codegen.text.library_text import LIBRARY, MODULES, linked
from fresh_cache import OTHER, forget, fresh_process

import dmft_sym as ds
from dmft_sym.cache import modules as module_cache
from dmft_sym.cache.modules import load_module, stamped

TINY = "from numba import njit\n\n\n@njit(cache=True)\ndef _double(x):\n    return 2 * x\n"
UPPER = (
    f"from numba import njit\nfrom {LIBRARY}.tiny import _double\n\n\n"
    "@njit(cache=True)\ndef _fourfold(x):\n    return _double(_double(x))\n"
)
USER = f"from {LIBRARY}.upper import _fourfold\n\n\ndef march(x):\n    return _fourfold(x) + {{}}\n"


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library of two small modules, and no cache."""
    folder = tmp_path / "site" / "library"
    folder.mkdir(parents=True)
    (folder / "tiny.py").write_text(TINY)
    (folder / "upper.py").write_text(UPPER)
    monkeypatch.setattr(module_cache, "_library_folder", lambda: folder)
    fresh_process(monkeypatch, tmp_path / "cache")
    yield folder
    forget()


def used(number=0):
    """What a module that imports the library computes in a new process, and whether it found the machine code."""
    forget()
    module = load_module(f"key{number}", "numba", lambda: USER.format(number))
    return module.march(3), sum(module._fourfold.stats.cache_hits.values()) == 1


def defined(module):
    """What a module of the library defines."""
    tree = ast.parse((module_cache._library_folder() / f"{module}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))


def machine_code(folder):
    return sorted(path.name.split("-")[0] for path in folder.rglob("*.nbc"))


def test_compiled_once_for_all_modules(library, tmp_path):
    assert used(0) == (12, False)
    assert machine_code(library) == ["tiny._double", "upper._fourfold"]
    assert used(1) == (13, True)
    assert machine_code(tmp_path) == ["tiny._double", "upper._fourfold"]


@pytest.mark.skipif(sys.platform == "win32", reason="owners of POSIX")
def test_or_in_the_cache_folder(library, tmp_path):
    library.chmod(0o777)
    assert used() == (12, False)
    assert machine_code(library) == []
    assert machine_code(tmp_path / "cache") == ["tiny._double", "upper._fourfold"]
    assert used() == (12, True)


@pytest.mark.parametrize("name", ["tiny", "upper"])
def test_changed_library_does_not_meet_old_modules_and_machine_code(library, tmp_path, name):
    """Modules, and functions of the library that call others, contain what they call."""
    assert used() == (12, False)
    before = stamped(USER.format(0))
    path = library / f"{name}.py"
    path.write_text(path.read_text().replace("2 * x", "3 * x").replace("_double(_double(x))", "_double(x)"))
    assert stamped(USER.format(0)) != before
    assert module_cache._stamp(before) is None
    assert used() == ({"tiny": 27, "upper": 6}[name], False)
    (kept,) = (tmp_path / "cache").glob("*.py")
    assert kept.read_text() == stamped(USER.format(0))


def test_module_of_a_library_that_is_not_there_is_made_anew(library, tmp_path):
    assert used() == (12, False)
    (path,) = (tmp_path / "cache").glob("*.py")
    path.write_text(path.read_text().replace(f"{LIBRARY}.upper", f"{LIBRARY}.gone"))
    assert used() == (12, True)
    assert f"{LIBRARY}.upper" in path.read_text()


class Planted:
    """Shows that it was unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.skipif(sys.platform == "win32", reason="owners of POSIX")
@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
@pytest.mark.parametrize("way", ["owner", "mode", "nobody"])
def test_files_that_others_wrote_are_not_unpickled(library, tmp_path, ending, way):
    used()
    (path,) = (path for path in library.rglob(f"upper*{ending}"))
    path.write_bytes(pickle.dumps(Planted(tmp_path / "executed")))
    if way == "mode":
        path.chmod(0o666)
    elif way == "owner":
        if os.geteuid() != 0:
            pytest.skip("only root gives files away")
        os.chown(path, OTHER, OTHER)
    assert used() == (12, False)
    assert (tmp_path / "executed").exists() is (way == "nobody")


def test_library_that_was_imported_in_another_way_is_not_used(library, monkeypatch):
    """Its machine code is where Numba looks for it."""
    for name in ("tiny", "upper"):
        module = type(sys)(f"{LIBRARY}.{name}")
        module.__dict__.update(_double=len, _fourfold=len)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    module = load_module("key0", "numba", lambda: USER.format(0))
    assert module.march(3) == 12


def test_library_in_memory_alone(library, tmp_path):
    tmp_path.chmod(0o777)
    with pytest.warns(match="may be written by everybody"):
        assert used() == (12, False)
    assert machine_code(tmp_path) == []


def test_modules_of_the_library_import_those_before_them():
    for number, name in enumerate(MODULES):
        text = (module_cache._library_folder() / f"{name}.py").read_text(encoding="utf-8")
        assert set(module_cache._LIBRARY.findall(text)) <= set(MODULES[:number]), name


def skip(net, x):
    hidden, other = net.hidden("N"), net.hidden("M")
    h = net.matrix("A", net.inputs, hidden) @ x
    return net.readout("w", net.matrix("B", hidden, other) @ h + net.matrix("S", net.inputs, other) @ x)


def compiled(*modules):
    """Signatures of the compiled functions of modules of the library."""
    found = {}
    for module in modules:
        functions = vars(sys.modules[f"{LIBRARY}.{module}"]).items()
        found |= {name: list(f.signatures) for name, f in functions if hasattr(f, "signatures")}
    return found


def own_functions(module):
    """Compiled functions that a module does not import."""
    functions = [f for f in vars(module).values() if hasattr(f, "signatures")]
    return {f.__name__ for f in functions if f.__module__ == module.__name__}


def test_second_network_is_marched_by_the_code_of_the_first():
    settings = {"samples_per_dim": 2.0, "width_per_dim": 0.7, "richness": 2.0, "learning_rate": 0.01, "steps": 3}
    solvers = [ds.derive(network).compile() for network in (ds.deep_linear(2), ds.network(skip))]
    solvers[0](**settings)
    before = compiled("numba_march")
    assert before["_advance"]
    solvers[1](**settings)
    assert compiled("numba_march") == before
    assert own_functions(solvers[1].module) == set()


def test_second_sampled_network_adds_its_own_functions_alone():
    given = ds.Samples([[1.0, 0.5], [-0.3, 2.0]], [1.0, -1.0])
    settings = {"richness": 2.0, "learning_rate": 0.1, "steps": 3, "sites": 40, "depth": 2}
    solvers = [ds.derive(ds.mlp(activation=name), data=given).compile() for name in ("tanh", "h + tanh(h)")]
    solvers[0](**settings)
    before = compiled("sampled_replica", "sampled_walk")
    assert {name for name, signatures in before.items() if signatures} >= {"_project", "_open", "_add_all"}
    solvers[1](**settings)
    assert compiled("sampled_replica", "sampled_walk") == before
    assert own_functions(solvers[1].module) == {"_map_phi", "_map_g", "_average_f", "_compute_Delta"}


def test_module_that_stands_alone_can_be_linked():
    samples = ds.Samples([[1.0]], [1.0])
    for theory in (ds.derive(ds.network(skip)), ds.derive(ds.mlp(activation="sin(h)"), data=samples)):
        alone = theory.source()
        assert f"\nfrom {LIBRARY}" not in alone
        assert linked(alone) == solver_source(theory, alone=False)
        assert linked(linked(alone)) == linked(alone)


def test_names_of_the_library_are_defined_once():
    """A module that stands alone has them side by side."""
    names = [name for module in MODULES for name in defined(module)]
    assert len(names) == len(set(names))
    assert all(name.startswith("_") for name in names)
