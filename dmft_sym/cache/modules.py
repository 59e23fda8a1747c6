"""Generated modules on disk: found by a hash of the program, written once, executed as they were read.

Modules made at run time are files in the user's cache folder. They are named by a hash of the program and the options
and by one of the code that derives and writes; the equations are a function of these, so that a module that exists
already spares the derivation. The standard networks are committed in ``generated/``.

A file of the cache is executed only if nobody but this user (or root) could have written it and if it fits the hash in
its last line, which covers the library that it imports too. What is executed is the text that was read: the file is not
read again, and Python's ``.pyc`` files are not used. Where there is no cache folder, modules are in memory alone.

The library is compiled for all modules together: what it has of machine code is kept like that of a module. Committed
modules stand alone, for readers and other uses; here they are executed with the library imported, like all others.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import re
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.abc import ExecutionLoader
from pathlib import Path
from types import ModuleType

from . import folders as cache_folders
from .folders import CACHE_VARIABLE, cache_folder

__all__ = ["CACHE_VARIABLE", "cache_folder", "compiler_fingerprint", "load_module", "program_key", "stamped"]

GENERATOR_VERSION = 1
_IMPORT = threading.RLock()
_STAMP = re.compile(r"^# source: ([0-9a-f]{64})\n\Z", re.MULTILINE)
_COMPILED = re.compile(r"^(?:from|import) numba\b", re.MULTILINE)
_LIBRARY = re.compile(r"^from dmft_sym\.codegen\.library\.(\w+) import ", re.MULTILINE)
_MACHINE_CODE = "__pycache__"
_HASH = "__dmft_sym_hash__"


def program_key(program: str, backend: str, probes: tuple[str, ...] = ()) -> str:
    """Hash that names the module for a program (its printed form), a back end and options."""
    text = "\n".join([f"generator {GENERATOR_VERSION}", backend, " ".join(probes), program])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def load_module(key: str, backend: str, make: Callable[[], str]) -> ModuleType:
    """The generated module for a key: committed, cached, or made now by ``make``.

    Returns
    -------
    ModuleType
        What was generated (docs/architecture.md); ``__dmft_sym_hash__`` is the hash of its source and of the library
        that it imports.
    """
    committed = _committed(key)
    if committed is not None:
        return committed
    name = f"{backend}_{key}_{compiler_fingerprint()}"
    return _loaded(f"dmft_sym_cache_{name}") or _cached(name, make)


@functools.cache
def compiler_fingerprint() -> str:
    """Hash of the code that turns a program into a module: a change of it makes older modules stale."""
    from sympy import __version__

    from dmft_sym import codegen

    digest = hashlib.sha256(__version__.encode())
    here = Path(__file__).parent.parent
    for folder in (here / "program", here / "derivation", Path(str(codegen.__file__)).parent):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def stamped(source: str) -> str:
    """Source with a last line that holds its hash, which covers the library that it imports."""
    return f"{source.rstrip()}\n\n# source: {_digest(source)}\n"


def _digest(source: str) -> str:
    """Hash of a source and of all that it imports from the library."""
    return hashlib.sha256("".join([source.rstrip(), *_library_of(source).values()]).encode()).hexdigest()


def _library_folder() -> Path:
    from dmft_sym import codegen

    return Path(str(codegen.__file__)).parent / "library"


def _library_of(source: str, found: dict[str, str] | None = None) -> dict[str, str]:
    """Modules of the library that a source imports, with their texts; each after those that it imports itself.

    Raises
    ------
    OSError
        If there is no such module.
    """
    found = {} if found is None else found
    for module in _LIBRARY.findall(source):
        if module not in found:
            text = (_library_folder() / f"{module}.py").read_text(encoding="utf-8")
            _library_of(text, found)
            found[module] = text
    return found


class _TextLoader(ExecutionLoader):
    """Loads a module from text that is at hand; tracebacks and `inspect` find it here too, file or not."""

    def __init__(self, text: str, path: Path) -> None:
        self._text = text
        self._path = path

    def get_source(self, fullname: str) -> str:
        return self._text

    def get_filename(self, fullname: str) -> str:
        return str(self._path)


def _cached(name: str, make: Callable[[], str]) -> ModuleType:
    """The module of a file in the cache folder; made, and written there, if there is none."""
    folder = _folder()
    path = Path(f"{name}.py") if folder is None else folder / f"{name}.py"
    text = None if folder is None else cache_folders.read(path)
    if text is None or _stamp(text) is None:
        text = stamped(make())
        if folder is not None:
            _write(path, text)
    return _executed(f"dmft_sym_cache_{name}", path, text, () if folder is None else (folder / _MACHINE_CODE,))


def _folder() -> Path | None:
    """The cache folder; ``None``, after a warning, if it cannot be used."""
    try:
        return cache_folders.opened(cache_folder())
    except OSError as error:
        cache_folders.warn_refused(cache_folder(), error)
        return None


def _write(path: Path, text: str) -> None:
    """Write a module; several processes may, as they all write the same."""
    try:
        cache_folders.make_folder(path.parent)  # it may have been deleted while the module was made
        with cache_folders.replacing(path) as file:
            file.write(text.encode())
    except OSError as error:
        cache_folders.warn_refused(cache_folder(), error)


def _stamp(text: str) -> str | None:
    """The hash in the last line of a module if it fits the lines before; ``None`` for anything else."""
    found = _STAMP.search(text)
    if found is None:
        return None
    try:
        return found[1] if _digest(text[: found.start()]) == found[1] else None
    except OSError:  # a library of another version
        return None


def _loaded(name: str) -> ModuleType | None:
    with _IMPORT:  # another thread must not find a module that is half executed
        return sys.modules.get(name)


def _executed(name: str, path: Path, text: str, folders: Sequence[Path]) -> ModuleType:
    """The module of a name: loaded already, or the text executed, with its machine code in the folders."""
    with _IMPORT:
        if name in sys.modules:
            return sys.modules[name]
        _load_library(text)
        stamp = _stamp(text)
        spec = importlib.util.spec_from_file_location(name, path, loader=_TextLoader(text, path))
        assert spec is not None and spec.loader is not None and stamp is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # Numba looks the module up by name
        try:
            with _machine_code(name, stamp, text, folders):
                spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        vars(module)[_HASH] = stamp
        return module


def _load_library(text: str) -> None:
    """Execute what a text imports from the library, so that its machine code is beside it, or in the cache folder.

    A module that was imported in another way has its machine code where Numba chooses, and is not used.
    """
    folder = _library_folder()
    for module, inner in _library_of(text).items():
        name = f"dmft_sym.codegen.library.{module}"
        if _HASH not in vars(sys.modules.get(name, ModuleType(name))):
            sys.modules.pop(name, None)
            _executed(name, folder / f"{module}.py", stamped(inner), _beside(folder))


def _beside(folder: Path) -> tuple[Path, Path]:
    """Where the machine code of modules in a folder of the package is: there, or else in the cache folder."""
    return folder / _MACHINE_CODE, cache_folder() / _MACHINE_CODE


def _machine_code(name: str, stamp: str, text: str, folders: Sequence[Path]) -> AbstractContextManager[None]:
    """What has to be around the execution of a module that Numba compiles."""
    if not _COMPILED.search(text):
        return nullcontext()  # and without an import of Numba
    from .machine_code import ModuleCode, kept

    return kept(ModuleCode.of(name, stamp, folders, cache_folder()))


def _committed(key: str) -> ModuleType | None:
    """The module that comes with the package; its machine code is beside it, or else in the cache folder.

    Raises
    ------
    ImportError
        If the file does not fit its hash.
    """
    from dmft_sym import generated
    from dmft_sym.codegen.text.library_text import linked

    if key not in generated.INDEX:
        return None
    stem = generated.INDEX[key]
    name = f"dmft_sym.generated.{stem}"
    folder = Path(str(generated.__file__)).parent
    path = folder / f"{stem}.py"
    text = path.read_text(encoding="utf-8")
    stamp = _stamp(text)
    if stamp is None:
        raise ImportError(f"{name} does not fit its hash; run python tools/commit_generated.py")
    alone = text[: text.rindex("# source: ")]
    if linked(alone) != alone:
        path, text = path.with_name(f"{stem}_linked.py"), stamped(linked(alone))
    module = _executed(name, path, text, _beside(folder))
    vars(module).setdefault(_HASH, stamp)  # it was imported by its name
    setattr(generated, stem, module)
    return module
