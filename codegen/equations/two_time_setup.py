"""What a direct two-time solver makes before its first step."""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp
from dmft_sym.codegen.text.coefficient_text import integer_text, number_text

from dmft_sym.derivation.causal_sites import input_factor, input_place
from dmft_sym.derivation.process_closure import ProcessClosure
from dmft_sym.derivation.single_site import Noise
from dmft_sym.derivation.site_equations import SiteWriter
from dmft_sym.derivation.symbols import NOW, THEN, TwoPoint
from dmft_sym.derivation.uses import Use
from dmft_sym.program import LAYER, ONE, FieldRef

from .two_time_scope import Scope, per_layer, sizes


class SetupWriter:
    """Lines before the loop over steps: constants, fields, Gaussian fields, scalars."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.writer = SiteWriter(scope.derivation.site_builder)

    def lines(self) -> Iterator[str]:
        """In the order of execution."""
        optimizer = self.scope.program.optimizer
        decay = number_text(optimizer.decay)
        kernels = (
            ("" if c == 1 else f"({number_text(c)}) * ") + f"kernel_of_updates(steps, {number_text(q)}, {decay})"
            for c, q in optimizer.modes
        )
        if self.scope.masked:
            yield "train = np.asarray(train, float).reshape(samples, 1)"
        yield f"{self.scope.names.of_samples} = " + ("train.sum()" if self.scope.masked else "samples")
        yield f"kappa = {' + '.join(kernels)}"
        yield f"rho = (1 - {decay}) ** np.arange(steps)"
        yield "y = targets"
        for scalar in self.scope.given_anew:
            name = self.scope.names.of(scalar)
            yield f"{name} = np.asarray({name}, float).reshape(steps, {sizes(scalar.axes)})"
        for scalar in self.scope.known:
            name, values = self.scope.names.of(scalar), ", ".join(map(repr, scalar.values or ()))
            yield f"{name} = np.reshape([{values}], ({sizes(scalar.axes)}))"
        yield from self._inputs()
        for closure in self.scope.derivation.closures:
            yield f"# Space {closure.space}: " + ("closes as matrix algebra." if closure.gaussian else "sampled.")
            for field in closure.process.fields:
                tail = "" if closure.gaussian or field in self.scope.kept else ", kept=False"
                made = f"SiteField(steps, {sizes(field.axes)}, {self._sites(closure)}{tail})"
                yield f"{self.scope.names.of(field)} = {per_layer(made, field.layers)}"
        for closure in self.scope.derivation.closures:
            yield from self._noises(closure)
        for scalar in self.scope.program.scalars:
            if not scalar.data:
                made = f"np.zeros((steps, {sizes(scalar.axes)}))"
                yield f"{self.scope.names.of(scalar)} = {per_layer(made, scalar.layers)}"

    def _sites(self, closure: ProcessClosure) -> str:
        return "0" if closure.gaussian else "sites"

    def _inputs(self) -> Iterator[str]:
        for name in [*self.scope.grams.values()][1:]:
            yield f'{name} = checked_overlaps("{name}", {name}, samples)'
        for ref in self._finite_operands():
            if ref.field == ONE:
                yield f"{self.scope.names.of(ref.field)} = Given(np.ones((1, 1, 1, 1)))"
                continue
            factor = input_factor(self.scope.program, ref)
            gram = self.scope.grams[ref.space]
            tail = "" if factor == 1 else f", {number_text(factor)}"
            place = input_place(self.scope.program, ref)
            if place is not None and self.scope.inputs_of_a_sample > 1:
                yield f"{self.scope.names.of(ref.field)} = Given({gram}, {number_text(factor)}, {place})"
                continue
            yield f"{self.scope.names.of(ref.field)} = Given({gram}[:, None, :, None]{tail})"
        if self.scope.program.vectors:
            yield "identity = Given(np.eye(outputs)[None, :, None, :])"

    def _finite_operands(self) -> list[FieldRef]:
        operands = (product.operand for *_, product in self.scope.program.products())
        return list(dict.fromkeys(ref for ref in operands if ref.space.finite))

    def _noises(self, closure: ProcessClosure) -> Iterator[str]:
        """Families of correlated Gaussian fields, and their members."""
        sites = self._sites(closure)
        families: dict[str, None] = {}
        for noise in closure.process.noises:
            family = self.scope.names.family(noise)
            if family not in families:
                families[family] = None
                variance = number_text(self._variance(noise))
                forward = isinstance(noise.source, Use) and not noise.source.transpose
                kind = "" if closure.gaussian or self.scope.kind is None else f", {self.scope.kind}"
                made = f"GaussianFields(rng, {variance}, {sites}, {1 if forward else -1}{kind})"
                layers = noise.source.matrix.layers if isinstance(noise.source, Use) else None
                yield f"{family} = {per_layer(made, layers)}"
            yield f"{self.scope.names.of(noise)} = {self._member(noise, closure)}"

    def _variance(self, noise: Noise) -> sp.Expr:
        """Coefficient of the overlap of the operands in the printed covariance, which siblings share."""
        layer = None if noise.layers is None else LAYER.symbol
        covariance = self.writer.covariance(noise, layer, NOW, noise, layer, THEN)
        return covariance.xreplace(dict.fromkeys(covariance.atoms(TwoPoint, sp.KroneckerDelta), sp.Integer(1)))

    def _member(self, noise: Noise, closure: ProcessClosure) -> str:
        tracked = "False"
        if noise in closure.tracked and not closure.by_parts:
            tracked = "True" if closure.gaussian else "tangents"
        steps = "1" if noise.static else "steps"
        shape = f"({steps}, {sizes(noise.axes)})"
        family = self.scope.names.family(noise)
        use = noise.source if isinstance(noise.source, Use) else None
        if use is not None and use.family:
            family += f"[{integer_text(use.index if use.member is None else use.member)}]"
        operand = "identity" if use is None else self.scope.at(use.operand.field, use.operand.layer)
        made = f"{family}.member({operand}, {shape}, {tracked})"
        made = f"drawn({made})" if noise.static else made
        return made if use is None else per_layer(made, use.layers, use.index)
