"""Observables of a forward pass: what is recorded for them is taken out of the network, which does not know of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace

import sympy as sp

from dmft_sym.program import (
    Assign,
    Average,
    Axes,
    Compute,
    Field,
    FieldRef,
    ForLayers,
    Linear,
    Product,
    ProgramError,
    Scalar,
    SiteFunction,
    SiteMap,
    Statement,
    reads,
    walk,
)
from dmft_sym.program.declarations import check_name
from dmft_sym.program.expressions import Argument
from dmft_sym.program.observations import Observations

from .scalars import Mean
from .vectors import Vector

Assigning = Assign | SiteMap | Average | Compute
TAKEN = frozenset({
    "f", "target", "NTK", "outlier", "outlier_limit", "bulk_edge", "sharpness", "overlap", "value", "density",
    "spectrum_value", "escape_step", "escape_time", "trained", "matrix", "rank", "side", "seed", "direction", "point",
    "number", "step", "step2", "kernel_step", "spectrum_step", "time", "time2", "kernel_time", "spectrum_time",
    "sample", "sample2", "output", "output2", "layer", "layer2", "NTK_eigenvalue", "eigenvalue", "rate_sharpness",
    "outliers", "bulk_shift", "verdict", "quantile", "initial_std",
})  # fmt: skip
"""Variables and axes of results."""
SUFFIXES = ("_loss", "_accuracy", "_alignment", "_sem", "_bias", "_layer")
PREFIXES = ("C_", "R_")
WRITTEN = 'allowed are a vector, whose average over sites is observed, or a scalar, net.observe("q", ds.mean(h * h))'


def check_observable(name: object, thing: object, known: Collection[str]) -> None:
    """Refuse what cannot be observed, or not under this name.

    Raises
    ------
    ProgramError
        Naming the observable and what is allowed.
    """
    if not isinstance(name, str):
        raise ProgramError(f'observe {name!r}: allowed is a name first, net.observe("q", ds.mean(h * h))')
    check_name(name)
    if not isinstance(thing, Vector | Mean):
        raise ProgramError(f"observe {name}: of a {type(thing).__name__}; {WRITTEN}")
    if name in TAKEN or name.endswith(SUFFIXES) or name.startswith(PREFIXES):
        raise ProgramError(f"observe {name}: results have a variable or an axis of this name; allowed is another")
    if name in known:
        raise ProgramError(f"observe {name}: an observable of this name is already declared")


def check_names(observations: Observations, declared: Iterable[str]) -> None:
    """Refuse observables with the name of something that results may have: a field, its kernel, a matrix.

    Raises
    ------
    ProgramError
        Naming the observable.
    """
    names = set(declared)
    names |= {name[:1].upper() + name[1:] for name in names}
    own = dict(observations.targets)
    for name in observations.names:
        if name in names and own[name].name != name:
            raise ProgramError(
                f"observe {name}: a field, a kernel, a matrix or a label has this name; allowed is another"
            )


def taken_apart(
    statements: tuple[Statement, ...], outputs: Iterable[Field | Scalar], observed: Mapping[str, Scalar]
) -> tuple[tuple[Statement, ...], Observations]:
    """The statements of the network, and what is observed of its fields.

    Parameters
    ----------
    outputs
        What outputs are made of.

    Raises
    ------
    ProgramError
        If an observable needs a product with a matrix that the network does not compute.
    """
    if not observed:
        return statements, Observations()
    computed = _needed(statements, outputs, frozenset())
    fields = frozenset(thing for thing in computed if isinstance(thing, Field))
    cone = _needed(statements, list(observed.values()), fields)
    alone, kept = cone - computed, cone - fields
    network = tuple(_chosen(statements, lambda thing: thing not in alone))
    made = _without_products(tuple(_chosen(statements, lambda thing: thing in kept)), network, " and ".join(observed))
    return network, Observations(_read(_inlined(made), observed.values()), tuple(observed.items()))


def _inlined(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """Functions of functions of fields as functions of fields: polynomials are then seen to be some."""
    known: dict[object, SiteFunction] = {}
    found: list[Statement] = []
    for statement in statements:
        if isinstance(statement, ForLayers):
            statement = replace(statement, body=_inlined(statement.body))
        elif isinstance(statement, Average):
            terms = tuple((c, _expanded(function, known)) for c, function in statement.terms)
            statement = replace(statement, terms=terms)
        elif isinstance(statement, SiteMap):
            statement = replace(statement, function=_expanded(statement.function, known))
            if not statement.over:
                known[statement.target] = statement.function
        elif isinstance(statement, Assign):
            fields = [(c, atom) for c, atom in statement.value.terms if isinstance(atom, FieldRef)]
            if len(fields) == len(statement.value.terms):
                symbols = [sp.Dummy(real=True) for _ in fields]
                total = sp.Add(*(c * symbol for symbol, (c, _) in zip(symbols, fields, strict=True)))
                pairs = tuple((symbol, ref) for symbol, (_, ref) in zip(symbols, fields, strict=True))
                known[statement.target] = _expanded(SiteFunction(total, pairs), known)
        found.append(statement)
    return tuple(found)


def _expanded(function: SiteFunction, known: Mapping[object, SiteFunction]) -> SiteFunction:
    """The function with what its arguments are, where they are known functions of others."""
    symbols: dict[Argument, sp.Symbol] = {}

    def symbol_of(ref: Argument) -> sp.Symbol:
        if ref not in symbols:
            name = str(ref.declared)
            while name in {symbol.name for symbol in (*symbols.values(), *function.parameters)}:
                name += "_"
            symbols[ref] = sp.Symbol(name, real=True)
        return symbols[ref]

    values: dict[sp.Symbol, sp.Expr] = {}
    for symbol, ref in function.arguments:
        inner = known.get(ref)
        if inner is None:
            values[symbol] = symbol_of(ref)
        else:
            values[symbol] = inner.expression.xreplace({s: symbol_of(r) for s, r in inner.arguments})
    expression = function.expression.xreplace(values)
    used = expression.free_symbols
    return SiteFunction(expression, tuple((s, ref) for ref, s in symbols.items() if s in used))


def _read(statements: tuple[Statement, ...], start: Iterable[Scalar]) -> tuple[Statement, ...]:
    """Statements that something is still made of."""
    needed = _needed(statements, list(start), frozenset())
    return tuple(_chosen(statements, lambda thing: thing in needed))


def _without_products(made: tuple[Statement, ...], network: tuple[Statement, ...], names: str) -> tuple[Statement, ...]:
    """The same with products as what is left of the fields of the network that they are terms of."""
    known = tuple(s for _, s in walk(network) if isinstance(s, Assign))
    found: list[Statement] = []
    for statement in made:
        if isinstance(statement, ForLayers):
            statement = replace(statement, body=_without_products(statement.body, network, names))
        elif isinstance(statement, Assign):
            value = _of_fields(statement.value, statement.target.axes, known)
            if value is None:
                (product, *_) = (atom for _, atom in statement.value.terms if isinstance(atom, Product))
                raise ProgramError(
                    f"observe {names}: {product} is no field of the network, and would be computed for this alone; "
                    "allowed are functions of what outputs depend on: name it where it is used, "
                    f'k = ({product.matrix} @ h).named("k")'
                )
            statement = Assign(statement.target, value)
        found.append(statement)
    return tuple(found)


def _of_fields(value: Linear, axes: Axes, known: tuple[Assign, ...]) -> Linear | None:
    """A sum without products: ``A h`` is ``field - rest`` where ``field = A h + rest``; ``None`` where none is."""
    total = Linear()
    for coefficient, atom in value.terms:
        part = _as_rest(atom, axes, known) if isinstance(atom, Product) else Linear.of(atom)
        if part is None:
            return None
        total += part.scaled(coefficient)
    return total


def _as_rest(product: Product, axes: Axes, known: tuple[Assign, ...]) -> Linear | None:
    """A product as a sum of fields with these labels, at most."""
    for place, statement in enumerate(known):
        factors = {atom: factor for factor, atom in statement.value.terms}
        if product in factors and set(statement.target.axes) <= set(axes):
            rest = Linear(tuple(term for term in statement.value.terms if term[1] != product))
            others = _of_fields(rest, axes, known[:place] + known[place + 1 :])
            if others is not None:
                return (Linear.of(statement.target) + others.scaled(-1)).scaled(1 / factors[product])
    return None


def _needed(statements: Iterable[Statement], start: Iterable[Field | Scalar], ends: Collection[Field]) -> set[object]:
    """What is needed to compute ``start``, which is among it; ``ends`` are there already."""
    found: set[object] = set(start)
    size = -1
    inner = [statement for _, statement in walk(statements) if isinstance(statement, Assigning)]
    while size != (size := len(found)):
        for statement in reversed(inner):
            if statement.target.declared in found and statement.target.declared not in ends:
                found.update(ref.declared for ref in reads(statement))
    return found


def _chosen(statements: Iterable[Statement], wanted: Callable[[object], bool]) -> Iterator[Statement]:
    """Statements that assign what is wanted, in their scans."""
    for statement in statements:
        if isinstance(statement, ForLayers):
            body = tuple(_chosen(statement.body, wanted))
            if body:
                yield replace(statement, body=body)
        elif not isinstance(statement, Assigning) or wanted(statement.target.declared):
            yield statement
