"""Numba's cache of machine code for generated modules and their library: where and whose it is, what damage costs.

Numba's files are pickles, so that reading one is running code. Numba takes the first folder that it can write to,
whoever else can; it ends a program if there is no such folder, if the disk is full, or if a file is damaged. Here its
files are read from folders that are this user's (`cache_folders`), and whatever goes wrong is a function that is
compiled again.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

from numba.core import caching as numba_caching
from numba.core import config as numba_config
from numba.core import dispatcher as numba_dispatcher

from . import folders as cache_folders
from . import ownership
from .folders import CACHE_VARIABLE, CacheError

caching: Any = numba_caching  # not public; the names used here have not changed since Numba 0.60
config: Any = numba_config
dispatcher: Any = numba_dispatcher


@dataclass(frozen=True)
class ModuleCode:
    """Where the machine code of a module is kept.

    Parameters
    ----------
    module
        Name of the module in ``sys.modules``.
    stamp
        Hash of its source: code of another source is not used.
    folders
        Folders to look into, in this order; new code goes to the first that can be written.
    root
        The folder that a warning names if there is none.
    variable
        The environment variable that names another one.
    """

    module: str
    stamp: str
    folders: tuple[Path, ...]
    root: Path
    variable: str = CACHE_VARIABLE

    @classmethod
    def of(cls, module: str, stamp: str, folders: Sequence[Path], root: Path) -> ModuleCode:
        """In the folders given, or in the one that the user has named to Numba."""
        if config.CACHE_DIR:
            root = Path(config.CACHE_DIR)
            return cls(module, stamp, (root / "dmft-sym",), root, "NUMBA_CACHE_DIR")
        return cls(module, stamp, tuple(folders), root)


def at_hand(function: Any, signature: Sequence[Any]) -> bool:
    """Whether a compiled function has machine code for these types, in memory or in its cache."""
    if tuple(signature) in function.overloads:
        return True
    cache = function._cache
    return isinstance(cache, _GuardedCache) and cache.holds(tuple(signature), function.targetctx)


@contextmanager
def kept(code: ModuleCode) -> Iterator[None]:
    """While the module is executed in the body, its functions get this cache instead of Numba's own.

    Functions of other modules, which another thread may define meanwhile, get what they would have got.
    """
    plain = dispatcher.FunctionCache

    def cache_of(function: FunctionType) -> Any:
        if function.__module__ != code.module:
            return plain(function)
        return _GuardedCache(function, code) if code.folders else caching.NullCache()

    dispatcher.FunctionCache = cache_of
    try:
        yield
    finally:
        dispatcher.FunctionCache = plain


class _Locator:
    """What Numba asks a cache locator, of which there is no public class."""

    def __init__(self, function: FunctionType, code: ModuleCode) -> None:
        self._py_file = inspect.getfile(function)  # read by Numba, for a warning
        self._line = function.__code__.co_firstlineno
        self._code = code

    def get_cache_path(self) -> str:
        return os.fspath(self._code.folders[0])

    def get_source_stamp(self) -> str:
        return self._code.stamp

    def get_disambiguator(self) -> str:
        return f"{self._line}-{self._code.stamp[:8]}"

    def ensure_cache_path(self) -> None:
        """Folders are made when something is written."""


class _Implementation(caching.FunctionCache._impl_class):
    def __init__(self, function: FunctionType, code: ModuleCode) -> None:  # in place of Numba's search for a folder
        self._lineno = function.__code__.co_firstlineno
        self._locator = _Locator(function, code)
        stem = Path(inspect.getfile(function)).stem
        self._filename_base = self.get_filename_base(f"{stem}.{function.__qualname__}", getattr(sys, "abiflags", ""))


class _GuardedCache(caching.FunctionCache):
    """A cache of one function that compiles again where Numba's ends with an exception."""

    def __init__(self, function: FunctionType, code: ModuleCode) -> None:
        self._impl_class = functools.partial(_Implementation, code=code)
        super().__init__(function)
        self._cache_file = _Layers(code, self._impl.filename_base)  # in place of files in one folder

    def load_overload(self, signature: Any, context: Any) -> Any:
        try:
            return super().load_overload(signature, context)
        except Exception:  # machine code that Numba cannot put together again: compiled, and saved in its place
            return None

    def holds(self, signature: tuple[Any, ...], context: Any) -> bool:
        """Whether there is machine code for a signature."""
        return self._cache_file.load(self._index_key(signature, context.codegen())) is not None


class _Layers:
    """The files of one function in several folders: found in any, written to the first that takes them."""

    def __init__(self, code: ModuleCode, base: str) -> None:
        self._code = code
        self._base = base

    def load(self, key: Any) -> Any:
        """What was saved for a key; ``None`` if there is nothing."""
        for folder in filter(os.path.isdir, self._code.folders):
            with suppress(OSError):
                found = self._files(folder).load(key)
                if found is not None:
                    return found
        return None

    def save(self, key: Any, data: Any) -> None:
        """Save in the first folder that can be written; a warning if there is none."""
        error = OSError()
        for folder in self._code.folders:
            try:
                return self._files(folder).save(key, data)
            except OSError as found:
                error = found
        return cache_folders.warn_refused(self._code.root, error, self._code.variable)

    def flush(self) -> None:
        """Forget what is saved."""
        for folder in filter(os.path.isdir, self._code.folders):
            with suppress(OSError):
                self._files(folder).flush()

    def _files(self, folder: Path) -> _Files:
        return _Files(checked(folder), self._base, self._code.stamp)


class _Files(caching.IndexDataCacheFile):
    """Numba's files of one function in one folder; damaged ones, and those of others, count as missing."""

    def __init__(self, folder: Path, base: str, stamp: str) -> None:
        super().__init__(cache_path=os.fspath(folder), filename_base=base, source_stamp=stamp)
        self._folder = folder

    def load(self, key: Any) -> Any:
        """What was saved for a key, which is in the data too: two processes may have taken one name for two keys."""
        try:
            saved, data = super().load(key)
        except Exception:  # as for an index
            return None
        return data if saved == key else None

    def save(self, key: Any, data: Any) -> None:
        cache_folders.make_folder(self._folder)  # the cache may have been deleted during the run
        super().save(key, (key, data))

    def _load_index(self) -> Any:
        try:
            _check_owner(self._index_path)
            return super()._load_index()
        except Exception:  # empty, cut short, or of a version with other classes: pickle raises whatever it likes
            return {}

    def _load_data(self, name: str) -> Any:
        _check_owner(self._data_path(name))
        return super()._load_data(name)

    def _open_for_write(self, path: str) -> Any:
        return cache_folders.replacing(Path(path))


checked = functools.cache(cache_folders.opened)
"""The real path of a folder that is this user's; looked at once, as every function asks for it."""


def _check_owner(path: str) -> None:
    found = ownership.problem(os.stat(path))
    if found is not None:
        raise CacheError(found)
