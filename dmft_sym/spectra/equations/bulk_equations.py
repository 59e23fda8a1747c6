"""The matrix Dyson equation of a bulk, symbolic: the (2,2) block of the averaging rule.

``G[F, A] = d F / d (source in the equation of A)`` at one site. A level-two product is replaced by a Gaussian field and
a memory whose strength is the response of its operand to the Gaussian field of the transposed product; that response is
a ``G`` again (docs/mathematics.md, Spectra).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import sympy as sp
from sympy.core.function import AppliedUndef

from dmft_sym.derivation.domain import Domain
from dmft_sym.derivation.equations import Equation, Equations
from dmft_sym.derivation.single_site import SiteEquation
from dmft_sym.derivation.symbols import family
from dmft_sym.program import FieldRef
from dmft_sym.program.printing import latex_name

from .site_group import OTHER_LAYER, OwnTerm, SiteGroups


class BulkResponse(AppliedUndef):
    """``G(z)``: the response of a level-two field to a source in the equation of another, at one site.

    A function of their layers and of the eigenvalue. The resolvent of an eigen-equation is ``m``.

    Attributes
    ----------
    names, layered
        The two fields, and which of them has a layer.
    """

    names: ClassVar[tuple[str, str]] = ("", "")
    layered: ClassVar[tuple[bool, bool]] = (False, False)

    def __new__(cls, *args: sp.Expr, **options: Any) -> Self:
        if cls.names[0] == cls.names[1] and cls.layered == (True, True) and args[0] == args[1]:
            return cls.resolvent(cls.names[0], True)(*args[1:])
        return super().__new__(cls, *args, **options)

    @classmethod
    def resolvent(cls, name: str, layered: bool) -> Any:
        """``m`` of a field, as a function."""
        return family(BulkResponse, f"m_{name}", names=(name, ""), layered=(layered, False))

    @classmethod
    def of(cls, row: FieldRef, source: FieldRef, eigenvalue: sp.Symbol) -> sp.Expr:
        """The response of one field to a source in the equation of another."""
        if row == source:
            made, layers = cls.resolvent(row.field.name, row.layer is not None), [row.layer]
        else:
            names, layers = (row.field.name, source.field.name), [row.layer, source.layer]
            layered = tuple(layer is not None for layer in layers)
            made = family(BulkResponse, f"G_{'_'.join(names)}", names=names, layered=layered)
        return made(*(layer for layer in layers if layer is not None), eigenvalue)

    @property
    def ends(self) -> tuple[tuple[str, sp.Expr | None], tuple[str, sp.Expr | None]]:
        """Names and layers of the field and of the source."""
        layers = list(self.args[:-1])
        first, second = (
            (name, layers.pop(0) if has else None) for name, has in zip(self.names, self.layered, strict=True)
        )
        return first, second if second[0] else first

    def _latex(self, printer: sp.printing.latex.LatexPrinter, exp: str | None = None) -> str:
        row, source = (latex_name(n) + ("" if at is None else f"[{sp.latex(at)}]") for n, at in self.ends)
        body = f"m_{{{row}}}" if row == source else f"G_{{{row},\\, {source}}}"
        return body if exp is None else f"{body}^{{{exp}}}"


@dataclass(frozen=True)
class BulkEquation:
    """``left = right`` for the layers of a domain."""

    left: sp.Expr
    right: sp.Expr
    domain: Domain = field(default_factory=Domain)

    def at(self, index: sp.Symbol, value: sp.Expr) -> BulkEquation:
        """With one value of a layer label."""
        return BulkEquation(self.left.subs(index, value), self.right.subs(index, value), self.domain.at(index, value))

    @property
    def solved(self) -> sp.Expr:
        """The right-hand side after solving for a response that occurs on both sides linearly."""
        return _solved(self.left, self.right)


class BulkEquations(Equations):
    """The Dyson equation of a matrix, solved for each bulk response where it occurs linearly.

    Attributes
    ----------
    matrix
        Its name.
    eigenvalue
        ``z`` (singular values) or ``lambda_S`` (eigenvalues).
    equations
        One per bulk response, as they are before that.

    See Also
    --------
    Theory.bulk : makes it.
    spectrum : densities and edges.

    References
    ----------
    arXiv:2605.07870; Marchenko, Pastur, Math. USSR Sb. 1, 457 (1967).

    Examples
    --------
    >>> import dmft_sym as ds
    >>> bulk = ds.derive(ds.deep_linear(depth=2)).bulk("W1")
    >>> bulk.labels
    ('m_b', 'm_a')
    """

    def __init__(self, groups: SiteGroups, equations: tuple[BulkEquation, ...]) -> None:
        matrix = groups.joint.matrix.name
        text = (
            f"Bulk of {matrix}: $m_F$ is the response of a level-two field $F$ to a source in its own equation and "
            "$G_{F, F'}$ that to a source in the equation of $F'$, at one site. The density is "
            "$-\\mathrm{Im}\\, m/\\pi$ on the branch that continues $1/z$ from large $|z|$ \\cite{spectral}."
        )
        items = (Equation(e.left, (groups.at_present(e.solved),), e.domain) for e in equations)
        super().__init__(items, f"Bulk of {matrix}", text)
        self.matrix = matrix
        self.eigenvalue = groups.joint.eigenvalue
        self.equations = equations


def bulk_equations(groups: SiteGroups) -> BulkEquations:
    """Collect the responses that the self-energies contain, with their equations."""
    found: dict[tuple[object, ...], list[BulkEquation]] = {}
    waiting = [(left, left) for left, _ in groups.joint.matrix.pairs]
    while waiting:
        row, source = waiting.pop(0)
        key = _key(groups, row, source)
        if key in found:
            continue
        found[key] = []
        for equation in groups.equations_of(row.field):
            made, needed = _equation(groups, equation, row, source)
            if made is not None:
                found[key].append(made)
                waiting += needed
    equations = tuple(equation for made in found.values() for equation in made)
    matrix = groups.joint.matrix
    if matrix.index is not None and matrix.member is not None:
        equations = tuple(equation.at(matrix.index, matrix.member) for equation in equations)
    return BulkEquations(groups, equations)


def _key(groups: SiteGroups, row: FieldRef, source: FieldRef) -> tuple[object, ...]:
    """Families of responses are told apart by the offset of their layers, or by none if all layers couple."""
    offset: sp.Expr | None = None
    if row.layer is not None and source.layer is not None and groups.partner(row, source.field)[1] is None:
        offset = sp.expand(source.layer - row.layer)
    return row.field, source.field, offset


def _equation(
    groups: SiteGroups, equation: SiteEquation, row: FieldRef, source: FieldRef
) -> tuple[BulkEquation | None, list[tuple[FieldRef, FieldRef]]]:
    """``zeta G = delta + local + self-energy`` for one equation of a field, and the responses it contains."""
    target = equation.target
    aligned = _aligned_source(groups, target, row, source)
    if aligned is None:
        return None, []
    total: sp.Expr = sp.Integer(0)
    if target.field == aligned.field:
        total += _delta(target, aligned)
    needed: list[tuple[FieldRef, FieldRef]] = []
    factor, z = groups.factor(target.field), groups.joint.eigenvalue
    for term in groups.own_terms(equation):
        value = term.coefficient * BulkResponse.of(term.field, aligned, z)
        if term.loop is not None:
            value *= BulkResponse.of(*term.loop, z)
            needed.append(term.loop)
        total += _sum(term, term.over_sources(value))
        needed.append((term.field, aligned))
    left = BulkResponse.of(target, aligned, z)
    return BulkEquation(left, total / factor, _domain(equation, aligned)), needed


def _aligned_source(groups: SiteGroups, target: FieldRef, row: FieldRef, source: FieldRef) -> FieldRef | None:
    """The source at the layer that belongs to this equation's target."""
    if source.layer is None:
        return source
    if row.layer is None or target.layer is None:
        return source if target == row else None
    partner, layers = groups.partner(target, source.field)
    if layers is not None:
        return partner
    return FieldRef(source.field, sp.expand(target.layer + source.layer - row.layer))


def _delta(target: FieldRef, source: FieldRef) -> sp.Expr:
    if target.layer is None or source.layer is None:
        return sp.Integer(1)
    difference = sp.expand(target.layer - source.layer)
    if difference.is_Integer:
        return sp.Integer(int(difference == 0))
    return sp.KroneckerDelta(target.layer, source.layer)


def _sum(term: OwnTerm, value: sp.Expr) -> sp.Expr:
    """The value under the sum over layers of a term, if it has one."""
    index, layers = term.index, term.layers
    return value if index is None or layers is None else sp.Sum(value, (index, layers.start, layers.stop))


def _domain(equation: SiteEquation, source: FieldRef) -> Domain:
    ranges = [(scan.index, scan.layers) for scan in equation.scans]
    if source.layer is not None and source.field.layers is not None and source.layer.free_symbols == {OTHER_LAYER}:
        ranges.append((OTHER_LAYER, source.field.layers))
    return Domain(tuple(ranges))


def _solved(left: sp.Expr, right: sp.Expr) -> sp.Expr:
    expanded = sp.expand(right)
    if not expanded.has(left) or expanded.has(sp.Sum, sp.KroneckerDelta):
        return right
    slope = sp.diff(expanded.subs(left, sp.Symbol("x_")), sp.Symbol("x_"))
    rest = expanded.subs(left, 0)
    if slope.has(sp.Symbol("x_")):
        return right
    if rest == 0:
        return right
    return 1 / sp.collect(sp.expand((1 - slope) / rest), left)
