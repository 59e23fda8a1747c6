"""What a value of a spec may be: small rules that read one value, or say in words what is allowed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from dmft_sym.support.messages import suggestion

LARGEST_INTEGER = 2**31 - 1


class RefusedError(Exception):
    """A value that a rule does not allow; the text says what is allowed."""


class Rule(Protocol):
    """Reads a value as it comes out of TOML."""

    @property
    def allowed(self) -> str:
        """The allowed values in words."""

    def read(self, value: object) -> Any:
        """The typed value; raise `RefusedError` if it is not allowed."""


@dataclass(frozen=True)
class Integer:
    """An integer from ``low`` to ``high``."""

    low: int
    high: int | None = None

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        return f"an integer >= {self.low}" + ("" if self.high is None else f" and <= {self.high}")

    def read(self, value: object) -> int:
        """The integer."""
        if isinstance(value, bool) or not isinstance(value, int) or value < self.low:
            raise RefusedError(self.allowed)
        high = LARGEST_INTEGER if self.high is None else self.high
        if value > high:
            raise RefusedError(f"an integer >= {self.low} and <= {high}")
        return value


@dataclass(frozen=True)
class Even:
    """An even integer, at least ``low``."""

    low: int

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        return f"an even integer >= {self.low}"

    def read(self, value: object) -> int:
        """The integer."""
        try:
            number = Integer(self.low).read(value)
        except RefusedError as refused:
            raise RefusedError(str(refused).replace("an integer", "an even integer")) from None
        if number % 2:
            raise RefusedError(self.allowed)
        return number


@dataclass(frozen=True)
class Number:
    """A real number above ``low`` and below ``high``; infinity only where a limit is meant."""

    low: float = 0.0
    high: float = math.inf
    open_low: bool = True
    infinite: bool = False

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        low = "" if self.low == -math.inf else f" {'>' if self.open_low else '>='} {self.low:g}"
        high = "" if self.high == math.inf else f" and < {self.high:g}"
        return f"a {'' if self.infinite else 'finite '}number{low}{high}" + (", or inf" if self.infinite else "")

    def read(self, value: object) -> float:
        """The number as a float."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise RefusedError(self.allowed)
        try:
            number = float(value)
        except OverflowError:
            raise RefusedError(self.allowed) from None
        if not self._admits(number):
            raise RefusedError(self.allowed)
        return number

    def _admits(self, number: float) -> bool:
        if math.isnan(number):
            return False
        if math.isinf(number):
            return self.infinite and number > 0
        return (number > self.low if self.open_low else number >= self.low) and number < self.high


@dataclass(frozen=True)
class Flag:
    """``true`` or ``false``."""

    allowed: str = "true or false"

    def read(self, value: object) -> bool:
        """The truth value."""
        if not isinstance(value, bool):
            raise RefusedError(self.allowed)
        return value


@dataclass(frozen=True)
class Choice:
    """One of a few words; ``later`` names words that a later version will understand."""

    words: tuple[str, ...]
    later: tuple[str, ...] = ()
    hints: tuple[tuple[str, str], ...] = ()

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        return " or ".join(f'"{word}"' for word in self.words)

    def read(self, value: object) -> str:
        """The word."""
        if isinstance(value, str):
            if value in self.words:
                return value
            if value in self.later:
                raise RefusedError(f"{self.allowed} (not available yet: {', '.join(self.later)})")
            for word, hint in self.hints:
                if value == word:
                    raise RefusedError(f"{self.allowed}; {hint}")
            raise RefusedError(self.allowed + suggestion(value, self.words))
        raise RefusedError(self.allowed)


@dataclass(frozen=True)
class Exponent:
    """A parametrization: ``"muP"``, ``"NTK"`` or ``{exponent = a}``; read as its exponent."""

    allowed: str = '"muP", "NTK" or {exponent = a} with a finite number a (muP is 0.5, NTK is 0)'

    def read(self, value: object) -> float:
        """The exponent of ``gamma = gamma0 nu^(a - 1/2)``."""
        if isinstance(value, str) and value in ("muP", "NTK"):
            return {"muP": 0.5, "NTK": 0.0}[value]
        if isinstance(value, dict) and set(value) == {"exponent"}:
            try:
                return Number(low=-math.inf).read(value["exponent"])
            except RefusedError:
                raise RefusedError(self.allowed) from None
        raise RefusedError(self.allowed)


@dataclass(frozen=True)
class ListOf:
    """A list whose entries obey ``entry``, each at most once."""

    entry: Rule

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        return f"a list without repetitions, every entry {self.entry.allowed}"

    def read(self, value: object) -> tuple[Any, ...]:
        """The entries."""
        if not isinstance(value, list) or len(value) > 10_000:
            raise RefusedError(self.allowed)
        try:
            entries = tuple(self.entry.read(entry) for entry in value)
        except RefusedError as refused:
            raise RefusedError(f"a list without repetitions, every entry {refused}") from None
        if len(set(entries)) != len(entries):
            raise RefusedError(self.allowed)
        return entries


@dataclass(frozen=True)
class Text:
    """A text, described by ``allowed``."""

    allowed: str = "a text"

    def read(self, value: object) -> str:
        """The text."""
        if not isinstance(value, str):
            raise RefusedError(self.allowed)
        return value
