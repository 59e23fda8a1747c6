"""Generated modules on disk: found by a hash of the program, written once, imported as ordinary files.

Numba caches compiled code only for real files, so modules made at run time are files in the user's cache folder.
They are named by a hash of the program and the options and by one of the code that derives and writes; the equations
are a function of these, so that a module that exists already spares the derivation. The standard networks are
committed in ``generated/``.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import platformdirs

CACHE_VARIABLE = "DMFT_SYM_CACHE"
GENERATOR_VERSION = 1
_IMPORT = threading.RLock()
_STAMP = re.compile(r"^# source: ([0-9a-f]{64})\n\Z", re.MULTILINE)


def program_key(program: str, backend: str, probes: tuple[str, ...] = ()) -> str:
    """Hash that names the module for a program (its printed form), a back end and options."""
    text = "\n".join([f"generator {GENERATOR_VERSION}", backend, " ".join(probes), program])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def cache_folder() -> Path:
    """Folder of modules made at run time; the environment variable ``DMFT_SYM_CACHE`` moves it."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("dmft-sym"))


def load_module(key: str, backend: str, make: Callable[[], str]) -> ModuleType:
    """The generated module for a key: committed, cached, or made now by ``make``.

    Returns
    -------
    ModuleType
        What was generated (docs/architecture.md); ``__dmft_sym_hash__`` is the hash of its source.
    """
    committed = _committed(key)
    if committed is not None:
        return committed
    name = f"{backend}_{key}_{compiler_fingerprint()}"
    path = cache_folder() / f"{name}.py"
    if _intact(path) is None:
        _write(path, make())
    return _import_file(path, f"dmft_sym_cache_{name}")


@functools.cache
def compiler_fingerprint() -> str:
    """Hash of the code that turns a program into a module: a change of it makes older modules stale."""
    from sympy import __version__

    from dmft_sym import codegen

    digest = hashlib.sha256(__version__.encode())
    here = Path(__file__).parent
    for folder in (here / "program", here / "derivation", Path(str(codegen.__file__)).parent):
        for path in sorted((*folder.glob("*.py"), *folder.glob("*.txt"))):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def stamped(source: str) -> str:
    """Source with a last line that holds its hash."""
    return f"{source.rstrip()}\n\n# source: {hashlib.sha256(source.rstrip().encode()).hexdigest()}\n"


def _intact(path: Path) -> str | None:
    """Hash of a cached file if it fits its contents; ``None`` for a missing, foreign or damaged file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    found = _STAMP.search(text)
    if found is None:
        return None
    body = text[: found.start()].rstrip()
    return found[1] if hashlib.sha256(body.encode()).hexdigest() == found[1] else None


def _write(path: Path, source: str) -> None:
    """Write under a temporary name, then rename: readers see all of the file or none."""
    from filelock import FileLock  # imports asyncio, which a run from the cache need not wait for

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if _intact(path) is not None:
            return  # another process was faster
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(stamped(source))
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _import_file(path: Path, name: str) -> ModuleType:
    with _IMPORT:  # another thread must not find a module that is half executed
        return sys.modules[name] if name in sys.modules else _executed(path, name)


def _executed(path: Path, name: str) -> ModuleType:
    stamp = _intact(path)
    if stamp is None:
        raise ImportError(f"{path}: the generated module does not fit its hash; delete it and run again")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Numba's cache looks the module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    module.__dict__["__dmft_sym_hash__"] = stamp
    return module


def _committed(key: str) -> ModuleType | None:
    from dmft_sym.generated import INDEX

    if key not in INDEX:
        return None
    module = importlib.import_module(f"dmft_sym.generated.{INDEX[key]}")
    stamp = _intact(Path(str(module.__file__)))
    if stamp is None:
        name = f"dmft_sym.generated.{INDEX[key]}"
        raise ImportError(f"{name} does not fit its hash; run python -m dmft_sym.commit_generated")
    module.__dict__["__dmft_sym_hash__"] = stamp
    return module
