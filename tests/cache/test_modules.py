"""Generated modules on disk: found again, never half-written, never imported if they do not fit their hash."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dmft_sym.cache import modules as module_cache
from dmft_sym.cache.modules import cache_folder, compiler_fingerprint, load_module, program_key, stamped

SOURCE = "def march():\n    return 41 + 1\n\n\ndef labels():\n    return []\n"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DMFT_SYM_CACHE", str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("dmft_sym_cache_"):
            del sys.modules[name]


def forget():
    """As a new process would start."""
    for name in [name for name in sys.modules if name.startswith("dmft_sym_cache_numpy_key")]:
        del sys.modules[name]


def no_source():
    raise AssertionError("the module was there: nothing has to be derived")


def only_file(cache):
    (path,) = cache.glob("*.py")
    return path


def test_made_once_and_found_again(cache):
    module = load_module("key", "numpy", lambda: SOURCE)
    assert module.march() == 42
    forget()
    again = load_module("key", "numpy", no_source)
    assert again.march() == 42
    assert again.__dmft_sym_hash__ == module.__dmft_sym_hash__


def test_folder_is_the_one_of_the_environment(cache):
    assert cache_folder() == cache
    load_module("key", "numpy", lambda: SOURCE)
    assert only_file(cache).name.startswith("numpy_key_")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("41 + 1", "raise SystemExit"),
        lambda text: text + "raise SystemExit\n",
        lambda text: text + "# source: " + 64 * "0" + "\n",
        lambda text: "raise SystemExit\n" + text,
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.rsplit("# source", 1)[0],
    ],
    ids=["changed", "appended", "second stamp", "prepended", "half", "empty", "without stamp"],
)
def test_damaged_file_is_not_imported_but_written_anew(cache, damage):
    load_module("key", "numpy", lambda: SOURCE)
    path = only_file(cache)
    intact = path.read_text()
    path.write_text(damage(intact))
    forget()
    assert load_module("key", "numpy", lambda: SOURCE).march() == 42
    assert path.read_text() == intact


def test_binary_file_is_written_anew(cache):
    load_module("key", "numpy", lambda: SOURCE)
    only_file(cache).write_bytes(b"\xff\xfe\x00")
    forget()
    assert load_module("key", "numpy", lambda: SOURCE).march() == 42


def test_failed_derivation_leaves_nothing(cache):
    def fails():
        raise ValueError("no equations")

    with pytest.raises(ValueError, match="no equations"):
        load_module("key", "numpy", fails)
    assert not list(cache.glob("*.py"))


def test_folder_deleted_while_a_module_is_made(cache):
    def deletes():
        shutil.rmtree(cache)
        return SOURCE

    assert load_module("key", "numpy", deletes).march() == 42
    forget()
    assert load_module("key", "numpy", no_source).march() == 42


def test_interrupted_writer_leaves_no_module(cache, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_module("key", "numpy", lambda: SOURCE)
    assert not list(cache.iterdir())


def test_module_that_fails_to_import_is_not_kept(cache):
    with pytest.raises(ZeroDivisionError):
        load_module("key", "numpy", lambda: "1 / 0\n")
    assert not [name for name in sys.modules if name.startswith("dmft_sym_cache_numpy_key")]


def one_writer(folder, start):
    os.environ["DMFT_SYM_CACHE"] = folder
    start.wait()
    return [load_module(f"key{k}", "numpy", lambda: SOURCE).march() for k in range(20)]


def test_concurrent_writers(cache):
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(4) as pool:
        start = manager.Event()
        results = [pool.apply_async(one_writer, (str(cache), start)) for _ in range(4)]
        start.set()
        assert [result.get(timeout=60) for result in results] == 4 * [20 * [42]]
    assert len(list(cache.glob("*.py"))) == 20
    assert not list(cache.glob("*.tmp*"))


def test_keys():
    """Program, back end and options name a module; so does the code that writes it."""
    keys = {
        program_key(*given)
        for given in (
            ("p", "numpy"),
            ("p", "numba"),
            ("q", "numpy"),
            ("p", "numpy", ("w",)),
            ("p", "numpy", ("w", "u")),
        )
    }
    assert len(keys) == 5
    assert program_key("p", "numpy") == program_key("p", "numpy", ())


def test_changed_compiler_makes_modules_stale(cache, monkeypatch):
    load_module("key", "numpy", lambda: SOURCE)
    monkeypatch.setattr(module_cache, "compiler_fingerprint", lambda: "0" * 8)
    assert load_module("key", "numpy", lambda: SOURCE.replace("41", "42")).march() == 43
    assert len(compiler_fingerprint()) == 8


def test_stamp_covers_the_source():
    assert stamped(SOURCE) != stamped(SOURCE + "x = 1\n")
    assert stamped(SOURCE).startswith(SOURCE.rstrip())


def test_second_process_derives_nothing(cache):
    code = (
        "import sys, dmft_sym as ds\n"
        "def forward(net, x):\n"
        "    n = net.hidden('N')\n"
        "    return net.readout('w', net.matrix('A', n, n) @ (net.matrix('B', net.inputs, n) @ x))\n"
        "theory = ds.derive(ds.network(forward))\n"
        "run = theory.compile('numpy')(steps=3, samples_per_dim=2, width_per_dim=1, richness=1, learning_rate=0.1)\n"
        "print('closed' in vars(theory), float(run.test_loss[-1, 0]))\n"
    )
    lines = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    ]
    assert lines[0][0] == "True"
    assert lines[1] == ["False", lines[0][1]]
    assert isinstance(only_file(cache), Path)
