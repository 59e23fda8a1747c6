"""Numba's files of generated modules: damage, other users, deletion and killed processes cost a compilation at most."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fresh_cache import COMPILED, OTHER, compiled, forget, fresh_process
from numba import float64, int64, njit
from numba.core import caching, config

from dmft_sym.cache import folders as cache_folders
from dmft_sym.cache import machine_code
from dmft_sym.cache.modules import load_module
from dmft_sym.support.messages import CacheWarning


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    fresh_process(monkeypatch, folder)
    yield folder
    forget()


def files(folder, ending):
    return sorted((folder / "__pycache__").glob(f"*{ending}"))


def doubled():
    """What a new process computes, and whether it found the machine code."""
    forget()
    module = load_module("key", "numba", lambda: COMPILED)
    return module.double(2), sum(module.double.stats.cache_hits.values()) == 1


def test_found_again(cache):
    assert doubled() == (4, False)
    assert doubled() == (4, True)
    assert len(files(cache, ".nbi")) == len(files(cache, ".nbc")) == 1


def test_whether_machine_code_is_at_hand(cache):
    """In memory or in the cache; to ask compiles nothing."""

    def at_hand(*types):
        return machine_code.at_hand(load_module("key", "numba", lambda: COMPILED).double, types)

    assert not at_hand(int64)
    assert files(cache, ".nbc") == []
    doubled()
    assert at_hand(int64)
    forget()
    assert at_hand(int64)
    assert not at_hand(float64)
    files(cache, ".nbc")[0].write_bytes(b"")
    assert at_hand(int64) is False
    assert not machine_code.at_hand(njit(lambda x: x), (int64,))


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:10],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: bytes(len(content)),
        lambda content: b"no pickle at all",
    ],
    ids=["empty", "start", "half", "almost", "zeros", "foreign"],
)
def test_damaged_files_are_made_anew(cache, ending, damage):
    doubled()
    (path,) = files(cache, ending)
    path.write_bytes(damage(path.read_bytes()))
    assert doubled() == (4, False)
    assert doubled() == (4, True)


def test_machine_code_that_does_not_fit_together_is_made_anew(cache):
    """A file that can be read, of something else."""
    doubled()
    (path,) = files(cache, ".nbc")
    key, _ = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps((key, (1, 2, 3))))
    assert doubled() == (4, False)
    assert doubled() == (4, True)


def test_machine_code_of_another_signature_is_not_used(cache):
    """Processes that compile two signatures at once may take one name for both."""
    module = compiled()
    assert (module.double(2), module.double(2.5)) == (4, 5.0)
    first, second = files(cache, ".nbc")
    shutil.copy(second, first)
    forget()
    module = compiled()
    assert (module.double(2), module.double(2.5)) == (4, 5.0)
    assert [str(*signature) for signature in module.double.stats.cache_hits] == ["float64"]


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
def test_damaged_files_that_cannot_be_replaced_are_one_warning(cache, monkeypatch, ending):
    """As in a folder that is shared for reading."""

    def protected(path):
        raise PermissionError(13, "Permission denied")

    doubled()
    (path,) = files(cache, ending)
    path.write_bytes(b"")
    monkeypatch.setattr(cache_folders, "replacing", protected)
    with pytest.warns(CacheWarning, match="Permission denied") as caught:
        assert doubled() == (4, False)
    assert len(caught) == 1
    assert path.read_bytes() == b""


def test_compiled_anew_on_demand(cache):
    module = compiled()
    assert module.double(2) == 4
    module.double.recompile()
    assert module.double(2) == 4
    assert doubled() == (4, True)


def test_machine_code_of_another_source_is_not_used(cache):
    doubled()
    for path in cache.glob("*.py"):
        path.unlink()
    forget()
    assert load_module("key", "numba", lambda: COMPILED.replace("2 * x", "5 * x")).double(2) == 10


class Planted:
    """Shows that it was unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.skipif(sys.platform == "win32", reason="owners of POSIX")
@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
@pytest.mark.parametrize("way", ["owner", "mode", "mode of the folder"])
def test_files_that_others_wrote_are_not_unpickled(cache, tmp_path, monkeypatch, ending, way):
    doubled()
    (path,) = files(cache, ending)
    path.write_bytes(pickle.dumps(Planted(tmp_path / "executed")))
    forget()
    if way == "mode of the folder":
        path.parent.chmod(0o777)
        with pytest.warns(CacheWarning, match="may be written by everybody") as caught:
            found = doubled()
        assert len(caught) == 1
    else:
        if way == "mode":
            path.chmod(0o666)
        elif os.geteuid() == 0:
            os.chown(path, OTHER, OTHER)
        else:
            pytest.skip("only root gives files away")
        found = doubled()
        assert doubled() == (4, True)
    assert found == (4, False)
    assert not (tmp_path / "executed").exists()


def test_planted_file_would_show_itself(cache, tmp_path):
    """What the test before plants is executed where this user wrote it."""
    doubled()
    (path,) = files(cache, ".nbi")
    path.write_bytes(pickle.dumps(Planted(tmp_path / "executed")))
    doubled()
    assert (tmp_path / "executed").exists()


def test_cache_deleted_during_a_run(cache):
    module = compiled()
    assert module.double(2) == 4
    shutil.rmtree(cache)
    assert module.triple(2) == 6
    assert [path.name.split(".")[1].split("-")[0] for path in files(cache, ".nbc")] == ["triple"]
    assert doubled() == (4, False)


def test_folder_that_the_user_named_to_numba(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "numba"))
    assert doubled() == (4, False)
    assert doubled() == (4, True)
    assert files(cache, ".nbi") == []
    assert len(list((tmp_path / "numba" / "dmft-sym").glob("*.nbi"))) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="owners of POSIX")
def test_warning_names_the_variable_of_that_folder(cache, tmp_path, monkeypatch):
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba").chmod(0o777)
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "numba"))
    with pytest.warns(CacheWarning, match=r"may be written by everybody; .* NUMBA_CACHE_DIR"):
        assert compiled().double(2) == 4


def test_locators_that_the_user_chose_do_not_matter(cache, monkeypatch):
    """Numba looks for folders of its own in no case: none of its ways to find one may be open."""
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert doubled() == (4, False)
    assert doubled() == (4, True)


def test_functions_of_others_are_cached_by_numba(tmp_path):
    code = machine_code.ModuleCode("some_module", "0" * 64, (tmp_path,), tmp_path)

    def other(x):
        return x

    with machine_code.kept(code):
        assert type(njit(cache=True)(other)._cache) is caching.FunctionCache
        other.__module__ = "some_module"
        assert isinstance(njit(cache=True)(other)._cache, machine_code._GuardedCache)
    other.__module__ = __name__
    assert type(njit(cache=True)(other)._cache) is caching.FunctionCache


WORKER = """
import os, sys, time
from fresh_cache import COMPILED, compiled
if sys.argv[1:] == ["stop"]:  # in the middle of writing machine code
    replace = os.replace
    def stop(source, target):
        if str(target).endswith(".nbc"):
            print("writing", flush=True)
            time.sleep(60)
        replace(source, target)
    os.replace = stop
print("ready", flush=True)
sys.stdin.readline()
module = compiled()
print(module.double(2), module.triple(2.5), flush=True)
"""


def worker(*arguments):
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "shared")}
    code = [sys.executable, "-W", "error", "-c", WORKER, *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(code, env=env, text=True, **pipes)


def test_processes_that_compile_at_once(cache):
    """They start together, as all wait for the last that is ready; nothing is left but the files of one."""
    workers = [worker() for _ in range(3)]
    assert [one.stdout.readline() for one in workers] == 3 * ["ready\n"]
    for one in workers:
        one.stdin.write("\n")
        one.stdin.flush()
    assert [one.communicate(timeout=60) for one in workers] == 3 * [("4 7.5\n", "")]
    assert len(list(cache.glob("*.py"))) == 1
    assert len(files(cache, ".nbi")) == len(files(cache, ".nbc")) == 2
    assert not [path for path in cache.rglob("*") if ".tmp" in path.name]
    assert doubled()[0] == 4


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_process_killed_while_it_compiles(cache):
    """The next one finds an index without its machine code, and half a file that is in nobody's way."""
    with worker("stop") as one:
        one.stdin.write("\n")
        one.stdin.flush()
        assert [one.stdout.readline() for _ in range(2)] == ["ready\n", "writing\n"]
        one.send_signal(signal.SIGKILL)
    assert len([path for path in cache.rglob("*") if ".tmp" in path.name]) == 1
    assert (len(files(cache, ".nbi")), len(files(cache, ".nbc"))) == (1, 0)
    assert doubled() == (4, False)
    assert doubled() == (4, True)
