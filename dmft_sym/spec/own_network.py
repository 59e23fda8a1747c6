"""A forward pass of the user's own, ``file.py:function``, given on the command line and never by a spec.

The file is a Python program and is run; a spec beside it says all but the kind of network. Whatever goes wrong in the
file is one line with the place.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dmft_sym.support.files import check_regular
from dmft_sym.support.messages import InputError, show, show_path, suggestion

if TYPE_CHECKING:
    from dmft_sym.networks import Network
    from dmft_sym.regimes import Regime
    from dmft_sym.regimes.keys import NetworkKeys

_MODULE = "dmft_sym_own_network"
_KINDS = ("kind", "activation")
_ALLOWED = "allowed is file.py:function, with function(net, x) in the file"


@dataclass(frozen=True)
class OwnNetwork:
    """A forward pass in a file, or a network that was made there with `dmft_sym.network`.

    Parameters
    ----------
    text, path
        ``file.py:function``, and its file.
    found
        The function or network.
    with_depth
        Whether the spec says a depth.
    unread
        Keys of a network that the spec has and nobody reads.
    """

    text: str
    path: str
    found: Any
    with_depth: bool = False
    unread: tuple[str, ...] = ()

    def beside(self, tree: Mapping[str, Any]) -> OwnNetwork:
        """The same beside the tree of a spec."""
        keys = tree.get("network", {})
        given = keys if isinstance(keys, dict) else {}
        return replace(self, with_depth="depth" in given, unread=tuple(key for key in _KINDS if key in given))

    @property
    def notes(self) -> list[str]:
        """What a spec says in vain, a line."""
        keys = " and ".join(self.unread)
        return [f"[network] {keys}: not used, the forward pass is {self.text}"] if keys else []

    def completed(self, tree: Mapping[str, Any], placeholder: Mapping[str, Any]) -> dict[str, Any]:
        """The tree of a spec with the keys of a network that it need not have, and without those that say which."""
        given = tree.get("network", {})
        if not isinstance(given, dict):
            return dict(tree)
        kept = {key: value for key, value in given.items() if key not in _KINDS}
        own: dict[str, Any] = {"depth": getattr(self.found, "depth", None) or 1}
        if (outputs := getattr(self.found, "outputs", None)) is not None:
            own["outputs"] = outputs
        return {**tree, "network": {**own, **kept, **placeholder}}

    def network(self, keys: NetworkKeys, data: Regime) -> Network:
        """The network, with depth, outputs and parametrization of the spec.

        Raises
        ------
        InputError
            If the forward pass fails.
        """
        from dmft_sym.networks import Network, network
        from dmft_sym.networks.parametrization import Parametrization

        made: Network = self.found if isinstance(self.found, Network) else network(self.found)
        outputs = data.outputs_of({"outputs": keys.outputs or made.outputs})
        made = replace(
            made, forward=self._guarded(made.forward), outputs=outputs, parametrization=Parametrization(keys.exponent)
        )
        if not _uses_depth(made, data):
            return replace(made, depth=None)
        if not (self.with_depth or made.depth):
            raise InputError(
                f"--network {show(self.text)}: depth is missing, the forward pass has net.depth; allowed is an integer "
                ">= 1, such as --set network.depth=2"
            )
        return replace(made, depth=keys.depth)

    def _guarded(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any) -> Any:
            from dmft_sym.networks.outputs import check_returned

            with _in_one_line(self.text, self.path):
                returned = forward(*arguments)
                check_returned(returned)
                return returned

        return guarded


def _uses_depth(network: Network, data: Regime) -> bool:
    from dmft_sym.program import DEPTH, Step

    trace = network.trace(data.setting)
    rates = (rate.free_symbols for rate in trace.rates.values())
    return DEPTH in {*Step(trace.statements).parameters}.union(*rates)


def load_network(text: str) -> OwnNetwork:
    """The function that ``file.py:function`` names.

    Raises
    ------
    InputError
        If there is no such file or function, or if the file fails; one line.
    """
    path, colon, name = text.rpartition(":")
    if not colon or not path or not name.isidentifier():
        raise InputError(f"--network {show(text)}: {_ALLOWED}")
    try:
        check_regular(path)
    except OSError as error:
        raise InputError(
            f"--network {show(text)}: file {show_path(path)} cannot be read ({error.strerror}); {_ALLOWED}"
        ) from error
    with _in_one_line(text, path):
        module = _run(path)
    found = getattr(module, name, None)
    if found is None:
        functions = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == _MODULE]
        known = f"; it has {', '.join(functions)}" if functions else ""
        raise InputError(f"--network {show(text)}: {path} has no {name}{suggestion(name, functions)}{known}")
    if not callable(found) and not hasattr(found, "forward"):
        raise InputError(f"--network {show(text)}: {name} is a {type(found).__name__}; {_ALLOWED}")
    return OwnNetwork(text, path, found)


def _run(path: str) -> ModuleType:
    """The file as a module; what stands beside it can be imported, as in a script."""
    import cloudpickle

    spec = importlib.util.spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        raise ImportError("the name of a Python file ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module
    folder = os.path.dirname(os.path.abspath(path))
    if folder not in sys.path:
        sys.path.append(folder)
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)  # other processes cannot import it
    return module


@contextmanager
def _in_one_line(text: str, path: str) -> Iterator[None]:
    """What fails in the file, with the last of its lines that was running."""
    from dmft_sym.program import ProgramError

    try:
        yield
    except (KeyboardInterrupt, MemoryError, InputError):
        raise
    except BaseException as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if _same(frame.filename, path)]
        line = error.lineno if isinstance(error, SyntaxError) and _same(error.filename or "", path) else None
        line = line or (lines[-1] if lines else None)
        where = f", line {line}" if line else ""
        what = "" if isinstance(error, ProgramError) else f"{type(error).__name__}: "
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InputError(f"--network {show(text)}: {path}{where}: {what}{said}") from error


def _same(filename: str, path: str) -> bool:
    return os.path.abspath(filename) == os.path.abspath(path)
