"""Symbols of derived equations by their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sympy as sp

from dmft_sym.program import ProgramError


class Symbols:
    """Symbols by name, one a name: those of docs/mathematics.md.

    Parameters
    ----------
    symbols
        The first one of a name counts.

    See Also
    --------
    Theory.symbols : those of a theory.

    References
    ----------
    docs/conventions.md maps them to the papers.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> symbols = ds.derive(ds.deep_linear(2)).symbols
    >>> symbols.eta0 * symbols.gamma
    eta0*gamma
    """

    def __init__(self, symbols: Iterable[sp.Symbol]) -> None:
        self._by_name: dict[str, sp.Symbol] = {}
        for symbol in symbols:
            self._by_name.setdefault(symbol.name, symbol)

    def __getitem__(self, name: str) -> sp.Symbol:
        """A symbol whose name is no identifier, such as ``"c'"``, or a word of Python, such as ``"lambda"``.

        Raises
        ------
        ProgramError
            If there is none of this name.
        """
        if name not in self._by_name:
            raise ProgramError(f"symbol {name!r}: allowed are {', '.join(self._by_name)}")
        return self._by_name[name]

    def __getattr__(self, name: str) -> sp.Symbol:
        if name.startswith("_") or name not in self._by_name:
            raise AttributeError(f"symbol {name!r}: allowed are {', '.join(self.__dict__.get('_by_name', ()))}")
        return self._by_name[name]

    def __iter__(self) -> Iterator[sp.Symbol]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in self._by_name if name.isidentifier())]

    def __repr__(self) -> str:
        return f"Symbols({', '.join(self._by_name)})"
