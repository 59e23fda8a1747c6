"""A limit as an object: which parameters scale how with ``eps``, and in words why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sympy as sp

from dmft_sym.program import ProgramError
from dmft_sym.support import notebook
from dmft_sym.support.messages import show

from .verdicts import Verdicts

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

EPS = sp.Symbol("eps", positive=True)
"""The small number of all limits."""
CENTERED = "centered = true"
"""The cure of predictors that are large at the first step."""


@dataclass(frozen=True)
class Kind:
    """What a limit makes of a theory, and how that is checked.

    Parameters
    ----------
    of
        The limit of a theory; a `ProgramError` says why there is none.
    checks
        What the three checks find, for a limit and arguments of a run.
    alone
        Name of a symbol, if limits that say no kind are of this one where it alone scales.

    See Also
    --------
    limits.Limit : has one.

    References
    ----------
    docs/limits.md, a limit of your own.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> isinstance(ds.limits.lazy.kind, ds.limits.Kind)
    True
    """

    of: Callable[[Problem, Limit], Any]
    checks: Callable[[Any, Mapping[str, Any]], Verdicts]
    alone: str = ""


@dataclass(frozen=True)
class Limit:
    """A limit of the equations of training: parameters are functions of ``eps``, which goes to zero.

    Parameters
    ----------
    name
        What it is called.
    scaling
        Values of parameters by their symbols (`Theory.symbols`) or the names of these: expressions in `EPS` and in the
        parameters themselves, ``{"nu": 1 / EPS}``, ``{"gamma": EPS * gamma}``.
    why
        What becomes small, in words.
    rate
        Power of ``eps`` with which losses approach the limit, and of the largest term that vanishes; ``None`` if it
        depends on the network, or losses forget that term.
    powers
        Powers of ``eps`` of order parameters, by name, that are claimed; all are derived, and claims are compared.
    even
        Whether the equations are even in ``eps`` by a symmetry, so that corrections of odd order are not there.
    cures
        What to change where an order parameter diverges, by the name of the parameter that makes it.
    needs
        What has a parameter, by its name: where the equations have none.
    kind
        What it makes of a theory; by default that of the parameters that scale.

    Raises
    ------
    ProgramError
        If an entry is not what it should be.

    See Also
    --------
    Theory.limit : takes it.
    limits.check : three checks.

    References
    ----------
    docs/limits.md.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> wide = ds.limits.Limit("wide", {"nu": 1 / ds.limits.EPS}, "the width exceeds the dimension", rate=1)
    >>> limiting = ds.derive(ds.deep_linear(1)).limit(wide)
    >>> limiting.equations["A_Delta_v"]
    Eq(A_Delta_v(t, c, s, c'), -eta0*C_g(1, t, c, 1, s, c')*S_kappa(t, s) - s2*R_g_u_W0(1, t, c, s, c')/gamma)
    """

    name: str
    scaling: Mapping[str, sp.Expr]
    why: str = ""
    rate: sp.Rational | int | None = None
    powers: Mapping[str, sp.Rational | int] = field(default_factory=dict)
    even: bool = False
    cures: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    kind: Kind | None = None
    onward: Callable[[Any], Any] | None = field(default=None, compare=False, repr=False)
    """Of the limit of a theory: what its own limits are."""

    def __post_init__(self) -> None:
        if not isinstance(self.scaling, Mapping) or not (self.scaling or self.kind):
            raise ProgramError(
                f"scaling = {show(self.scaling)}: allowed are parameters with what they become, such as "
                "{'nu': 1 / ds.limits.EPS}"
            )
        for name, value in self.scaling.items():
            if not isinstance(name, str | sp.Symbol):
                raise ProgramError(f"scaling of {show(name)}: allowed is a symbol of the theory, or its name")
            if not isinstance(value, sp.Expr) or EPS not in value.free_symbols:
                raise ProgramError(f"scaling of {name} = {show(value)}: allowed is an expression in ds.limits.EPS")
        named = {str(name): value for name, value in self.scaling.items()}
        object.__setattr__(self, "scaling", named)

    def __hash__(self) -> int:
        return hash((self.name, *sorted(self.scaling.items(), key=str)))

    def __call__(self, other: Limit | str) -> Any:
        """Of a theory in this limit, ``theory.limit(a).limit(b)``: the limit of what is left, see `Theory.limit`.

        Raises
        ------
        ProgramError
            If there is none, naming why.
        """
        if self.onward is None:
            raise ProgramError(f"limit {self.name}: allowed is a limit of a theory, theory.limit(...)")
        return self.onward(other)

    def __str__(self) -> str:
        why = f": {self.why}" if self.why else ""
        return f"limit {self.name}{why}" + "".join(f"; {name} = {value}" for name, value in self.scaling.items())

    def __repr__(self) -> str:
        return notebook.shortened([f"<{self}>"])

    def _repr_html_(self) -> str:
        rows = [(name, value) for name, value in self.scaling.items()]
        return notebook.paragraph(f"limit {self.name}: {self.why}") + notebook.table(("parameter", "becomes"), rows)

    def values(self, symbols: Mapping[str, sp.Symbol]) -> dict[sp.Symbol, sp.Expr]:
        """What the symbols of a theory become.

        Raises
        ------
        ProgramError
            If the theory has no such symbol.
        """
        for name in self.scaling:
            if name not in symbols:
                cure = f"; {self.needs[name]}" if name in self.needs else ""
                known = ", ".join(symbols)
                raise ProgramError(f"limit {self.name}: the equations have no {name}; they have {known}{cure}")
        return {symbols[name]: sp.sympify(value, strict=True) for name, value in self.scaling.items()}
