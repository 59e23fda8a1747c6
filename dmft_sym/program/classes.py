"""Classes of sites: spaces whose sites are of several kinds, with numbers that differ from class to class.

A class is an index of sites, as a label is an index of vectors. Vectors and matrices stay what they are, and so does
the averaging rule: what depends on the class are coefficients of sums in that space and variances of its random
vectors. Averages over the space are sums over classes, weighted by their shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import sympy as sp
from sympy.core.function import AppliedUndef, UndefinedFunction

from .labels import Label

CLASS_INDEX = "class"
"""What functions of labels call the class of a site."""


class ClassValue(AppliedUndef):
    """A number for every class of sites, a function of the class: ``lambda(k)``."""

    def _latex(self, printer: sp.printing.latex.LatexPrinter, exp: str | None = None) -> str:
        body = f"{sp.latex(sp.Symbol(self.func.__name__))}_{{{printer.doprint(self.args[0])}}}"
        return body if exp is None else f"{body}^{{{exp}}}"


@cache
def _function(name: str) -> UndefinedFunction:
    return UndefinedFunction(name, bases=(ClassValue,), positive=True)


def class_value(name: str, index: sp.Expr) -> sp.Expr:
    """The number of that name of a class."""
    return _function(name)(index)


@dataclass(frozen=True)
class SiteClasses:
    """Kinds of sites of a space.

    Parameters
    ----------
    label
        Index and number of classes; the index under a sum is ``label.other``.
    share
        Name of the shares, the fraction of sites that is of a class.

    Examples
    --------
    >>> modes = SiteClasses(Label.of("class", "k", "k_s", "K"))
    >>> dim = Space("D", 1, classes=modes)
    >>> modes.value("lambda")
    lambda(k)
    """

    label: Label
    share: str = "varrho"

    def value(self, name: str) -> sp.Expr:
        """The number of that name that the class of a site has; positive, or zero."""
        return class_value(name, self.label.symbol)

    @property
    def last(self) -> sp.Expr:
        """The last class; the first one is 0."""
        return self.label.size - 1

    def average(self, value: sp.Expr) -> sp.Expr:
        """The average over classes of something that depends on the class."""
        index = self.label.other
        weighted = class_value(self.share, index) * value.xreplace({self.label.symbol: index})
        return sp.Sum(weighted, (index, 0, self.last))

    def __str__(self) -> str:
        return f"classes {self.label.symbol} = 0..{self.last} with shares {self.share}({self.label.symbol})"


def class_values(expression: sp.Expr) -> set[ClassValue]:
    """Numbers of classes that an expression has."""
    found: set[ClassValue] = sp.sympify(expression, strict=True).atoms(ClassValue)
    return found
