"""Who could have written a cached module is asked before it is executed; without a cache everything works."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import re
import stat
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from fresh_cache import (
    COMPILED,
    OTHER,
    PLAIN,
    compiled,
    forget,
    fresh_process,
    give_away,
    no_source,
    planted,
)

from dmft_sym import generated
from dmft_sym.cache import folders as cache_folders
from dmft_sym.cache import modules as module_cache
from dmft_sym.cache import ownership
from dmft_sym.cache.modules import load_module, stamped
from dmft_sym.cli import main
from dmft_sym.support.messages import CacheWarning

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners of POSIX")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    fresh_process(monkeypatch, folder)
    yield folder
    forget()


def plain(make=lambda: PLAIN):
    return load_module("key", "numpy", make)


def numbers(module):
    return module.double(2), module.triple(2)


def kept_file(cache):
    plain()
    forget()
    (path,) = cache.glob("*.py")
    return path


@pytest.mark.parametrize("way", ["owner", "mode"])
def test_module_that_others_wrote_is_made_anew(cache, tmp_path, monkeypatch, way):
    path = kept_file(cache)
    intact = path.read_text()
    path.write_text(planted(tmp_path / "executed"))
    if way == "mode":
        path.chmod(0o666)
    elif os.geteuid() == 0:
        os.chown(path, OTHER, OTHER)
    else:
        pytest.skip("only root gives files away")
    assert plain().march() == 42
    assert not (tmp_path / "executed").exists()
    assert path.read_text() == intact
    forget()
    assert plain(no_source).march() == 42


@pytest.mark.parametrize("way", ["owner", "mode", "folder above"])
def test_folder_that_others_write_is_not_used(cache, tmp_path, monkeypatch, way):
    """One warning, and the solver is made in memory."""
    path = kept_file(cache)
    path.write_text(planted(tmp_path / "executed"))
    if way == "owner":
        give_away(cache, monkeypatch)
    else:
        (cache if way == "mode" else tmp_path).chmod(0o777)
    words = "belongs to the user" if way == "owner" else "may be written by everybody"
    with pytest.warns(CacheWarning, match=words) as caught:
        found = [load_module(key, "numpy", lambda: PLAIN).march() for key in ("key", "key2")]
    assert found == [42, 42]
    assert not (tmp_path / "executed").exists()
    assert len(caught) == 1
    assert "DMFT_SYM_CACHE" in str(caught[0].message)
    assert "\n" not in str(caught[0].message)


def test_folder_above_where_only_owners_rename_is_fine(cache, tmp_path):
    """As /tmp is."""
    kept_file(cache)
    tmp_path.chmod(0o1777)
    assert plain(no_source).march() == 42


def test_group_of_one_user_may_write(tmp_path, monkeypatch):
    """Where every user has a group, the usual umask lets it write."""
    tmp_path.chmod(0o775)
    for own, words in ((True, None), (False, "may be written by the group")):
        monkeypatch.setattr(ownership, "_of_one_user", lambda group, user, own=own: own)
        found = ownership.problem(tmp_path.stat())
        assert found is None if words is None else words in found


@pytest.mark.parametrize(
    ("name", "members", "own"), [("ann", [], True), ("ann", ["ann"], True), ("ann", ["bob"], False), ("lab", [], False)]
)
def test_group_of_one_user_has_the_name_of_the_user_and_no_others(monkeypatch, name, members, own):
    import grp
    import pwd

    person = pwd.struct_passwd(("ann", "x", 7, 8, "", "/home/ann", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda user: person)
    monkeypatch.setattr(grp, "getgrgid", lambda group: grp.struct_group((name, "x", group, members)))
    assert ownership._of_one_user(8, 7) is own
    assert not ownership._of_one_user(9, 7)


def test_compiled_python_file_is_not_executed(cache, tmp_path):
    """A .pyc of the right name, for the right time and size of the source, which Python would take."""
    path = kept_file(cache)
    evil = tmp_path / "evil.py"
    evil.write_text(planted(tmp_path / "executed"))
    planted_file = Path(importlib.util.cache_from_source(str(path)))
    py_compile.compile(str(evil), cfile=str(planted_file))
    code = planted_file.read_bytes()
    source = path.stat()
    planted_file.write_bytes(code[:8] + struct.pack("<II", int(source.st_mtime), source.st_size) + code[16:])
    assert plain(no_source).march() == 42
    assert not (tmp_path / "executed").exists()


def test_what_is_executed_is_what_was_read(cache, tmp_path, monkeypatch):
    path = kept_file(cache)
    stamp_of = module_cache._stamp

    def exchange(text):
        path.write_text(planted(tmp_path / "executed"))
        return stamp_of(text)

    monkeypatch.setattr(module_cache, "_stamp", exchange)
    assert plain(no_source).march() == 42
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(("mask", "modes"), [(0o022, (0o755, 0o644)), (0o077, (0o700, 0o600)), (0o000, (0o755, 0o644))])
def test_others_may_read_as_the_umask_says_but_never_write(cache, mask, modes):
    before = os.umask(mask)
    try:
        assert compiled().double(2) == 4
    finally:
        os.umask(before)
    found = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in (cache, *cache.rglob("*"))}
    assert found == {(True, modes[0]), (False, modes[1])}


@pytest.fixture
def shared():
    """A folder outside of those of pytest, which nobody else may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
    forget()


READER = """
import os, sys, warnings
from dmft_sym.cache import machine_code, modules as module_cache
from fresh_cache import PLAIN, COMPILED, no_source
module_cache.compiler_fingerprint()
module_cache.load_module("warm", "numba", lambda: COMPILED)  # whatever Numba reads on first use, users may not
assert sys.modules["dmft_sym_cache_numba_warm_" + module_cache.compiler_fingerprint()].triple(1.0) == 3
os.environ["DMFT_SYM_CACHE"] = sys.argv[1]
machine_code.checked.cache_clear()
os.setuid(12345)
with warnings.catch_warnings(record=True) as caught:
    module = module_cache.load_module("key", "numba", no_source)
    print(module.double(2), sum(module.double.stats.cache_hits.values()), len(caught))
    print(module.triple(2), len(caught))
    print(module_cache.load_module("key", "numpy", lambda: PLAIN).march(), len(caught), caught[0].message)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_folder_of_root_is_read_by_others(shared, tmp_path, monkeypatch):
    """What is there is used without a word; what is missing is made in memory, with one warning."""
    fresh_process(monkeypatch, shared)
    assert compiled().double(2) == 4
    before = sorted(shared.rglob("*"))
    env = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[1] / "shared"),
        "DMFT_SYM_CACHE": str(tmp_path / "own"),
    }
    code = [sys.executable, "-W", "always", "-c", READER, str(shared)]
    done = subprocess.run(code, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert first == "4 1 0"
    assert second == "6 1"
    assert re.match(r"42 1 cache folder '.*': Permission denied; ", third)
    assert sorted(shared.rglob("*")) == before


def test_full_disk_is_one_warning(cache, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(CacheWarning, match="No space left on device") as caught:
        found = numbers(compiled())
    assert found == (4, 6)
    assert len(caught) == 1
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_writers_that_were_killed_leave_nothing_for_long(cache):
    """Numba's temporary files, ours, and those of earlier versions; not those that may still be written."""
    compiled().double(2)
    forget()
    inner = cache / "__pycache__"
    left = [cache / "tmpab12.tmp", cache / "numba_key.py.tmp.0123abcd", inner / "f-1.py311.nbi.tmp.0123abcd"]
    young = [cache / "numba_key.py.tmp.aa", inner / "f-1.py311.1.nbc.tmp.bb"]
    for path in (*left, *young):
        path.touch()
    for path in left:
        os.utime(path, (0, time.time() - 2 * cache_folders.DAY))
    assert compiled().double(2) == 4
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in young)


@pytest.mark.parametrize("home", ["missing", "a file", "none"])
def test_without_a_home(tmp_path, monkeypatch, home):
    """One warning, no traceback, and no folder is made where none shall be."""
    fresh_process(monkeypatch, tmp_path)
    for variable in ("DMFT_SYM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    if home == "none":
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    else:
        monkeypatch.setenv("HOME", str(tmp_path / ("file" if home == "a file" else "missing")))
    with pytest.warns(CacheWarning, match="home folder") as caught:
        found = (plain().march(), *numbers(compiled()))
    forget()
    assert found == (42, 4, 6)
    assert len(caught) == 1
    assert os.listdir(tmp_path) == ["file"]


def test_home_that_cannot_be_written(tmp_path, monkeypatch):
    """As a container for a user without rights has."""

    def protected(*args, **options):
        raise PermissionError(13, "Permission denied")

    fresh_process(monkeypatch, tmp_path)
    for variable in ("DMFT_SYM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(Path, "mkdir", protected)
    with pytest.warns(CacheWarning, match="Permission denied") as caught:
        found = (plain().march(), *numbers(compiled()))
    forget()
    assert found == (42, 4, 6)
    assert len(caught) == 1


def test_home_in_the_variable(tmp_path, monkeypatch):
    """The shell leaves ``~`` in the middle of a word, as in ``export X="~/cache"``."""
    fresh_process(monkeypatch, Path("~/cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert plain().march() == 42
    forget()
    assert len(list((tmp_path / "cache").glob("*.py"))) == 1


def test_module_in_memory_can_be_read(cache, tmp_path):
    """Its source is there for tracebacks and for `inspect`, though no file is."""
    import inspect

    tmp_path.chmod(0o777)
    with pytest.warns(CacheWarning):
        module = plain()
    assert inspect.getsource(module.march) == PLAIN


def test_folder_above_of_a_user_that_the_container_does_not_know(tmp_path, monkeypatch):
    """Root outside of a container, to whom / belongs there; the folder itself has to be ours all the same."""
    outside = os.stat_result((0o40755, 1, 1, 2, 65534, 65534, 0, 0, 0, 0))
    writable = os.stat_result((0o40777, 1, 1, 2, 65534, 65534, 0, 0, 0, 0))
    for stand_in, found in ((65534, True), (None, False)):
        monkeypatch.setattr(ownership, "_stand_in", lambda stand_in=stand_in: stand_in)
        assert (ownership._parent_problem(outside) is None) is found
        assert ownership._parent_problem(writable) is not None
        assert ownership.problem(outside) is not None


@pytest.fixture
def committed(tmp_path, monkeypatch):
    """A package of generated modules with one that is compiled in no time."""
    folder = tmp_path / "site" / "generated"
    folder.mkdir(parents=True)
    (folder / "tiny.py").write_text(stamped(COMPILED))
    monkeypatch.setattr(generated, "__file__", str(folder / "__init__.py"))
    monkeypatch.setattr(generated, "INDEX", {"committed": "tiny"})
    yield folder
    sys.modules.pop("dmft_sym.generated.tiny", None)
    vars(generated).pop("tiny", None)


def machine_code_in(folder):
    return {path.name.split("-")[0] for path in (folder / "__pycache__").glob("*.nb*")}


def test_machine_code_of_committed_modules_is_beside_them(cache, committed):
    assert load_module("committed", "numba", no_source).double(2) == 4
    assert load_module("committed", "numba", no_source) is sys.modules["dmft_sym.generated.tiny"]
    assert load_module("committed", "numba", no_source).double.stats.cache_misses
    assert machine_code_in(committed) == {"tiny.double"}
    assert not cache.exists()


@pytest.mark.parametrize("way", ["of others", "not writable"])
def test_or_in_the_cache_folder(cache, committed, monkeypatch, way):
    """Where the package is installed for all users, or where others may write into it."""
    if way == "of others":
        committed.parent.chmod(0o777)
    else:
        replacing = cache_folders.replacing

        def protected(path):
            if path.is_relative_to(committed):
                raise PermissionError(13, "Permission denied")
            return replacing(path)

        monkeypatch.setattr(cache_folders, "replacing", protected)
    assert load_module("committed", "numba", no_source).double(2) == 4
    assert machine_code_in(committed) == set()
    assert machine_code_in(cache) == {"tiny.double"}
    del sys.modules["dmft_sym.generated.tiny"]
    forget()
    module = load_module("committed", "numba", no_source)
    assert module.double(2) == 4
    assert sum(module.double.stats.cache_hits.values()) == 1


def test_or_nowhere(cache, committed, tmp_path):
    tmp_path.chmod(0o777)
    with pytest.warns(CacheWarning, match="may be written by everybody") as caught:
        found = numbers(load_module("committed", "numba", no_source))
    assert found == (4, 6)
    assert len(caught) == 1


def test_committed_module_that_was_changed_is_refused(cache, committed):
    (committed / "tiny.py").write_text(stamped(COMPILED).replace("2 * x", "3 * x"))
    with pytest.raises(ImportError, match="does not fit its hash"):
        load_module("committed", "numba", no_source)


@pytest.mark.filterwarnings("default::dmft_sym.support.messages.CacheWarning")
def test_command_line_shows_a_warning_as_one_line(cache, tmp_path, capsys):
    """And goes on."""
    tmp_path.chmod(0o777)
    spec = Path(__file__).parents[2] / "examples" / "deep_linear.toml"
    output = tmp_path / "run.nc"
    steps = ["--set", "training.steps=2", "--set", "training.momentum=0.5", "--backend", "numpy"]
    assert main(["run", str(spec), *steps, "--output", str(output)]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if "cache" in line]
    assert len(notes) == 1
    assert notes[0].startswith(f"dmft-sym: note: cache folder '{cache}': ")
    assert output.exists()
