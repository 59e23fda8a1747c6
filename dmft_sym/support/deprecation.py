"""Words that changed: they work until 0.3, and say the new one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

LAST = "0.3"


def warn_old_word(old: str, new: str, stacklevel: int = 4) -> None:
    """Warn that ``old`` is now ``new``."""
    warnings.warn(old_word(old, new), DeprecationWarning, stacklevel=stacklevel)


def old_word(old: str, new: str) -> str:
    """A line that says what to write."""
    return f"{old} is now {new}; the old word works until {LAST}"


class OldModules(MetaPathFinder, Loader):
    """Finds modules under the names that they had, with a warning that says the new one.

    Parameters
    ----------
    names
        Old names and new ones, without the package.
    package
        The package they belong to.
    """

    def __init__(self, names: Mapping[str, str], package: str) -> None:
        self._names = {f"{package}.{old}": f"{package}.{new}" for old, new in names.items()}

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The module, if this is one of the old names."""
        return ModuleSpec(fullname, self) if fullname in self._names else None

    def exec_module(self, module: ModuleType) -> None:
        """Hand on what the module of the new name has."""
        new = self._names[module.__name__]
        warn_old_word(f"module {module.__name__}", new, stacklevel=3)  # frames of importlib do not count
        real = import_module(new)
        module.__dict__["__getattr__"] = lambda name: getattr(real, name)
