"""What a direct two-time solver returns: scalars, correlations and responses by name."""

from __future__ import annotations

from collections.abc import Iterator

from dmft_sym.codegen.text.wrapping import WIDTH, wrapped

from dmft_sym.derivation.single_site import Noise
from dmft_sym.program import Field

from .two_time_scope import Scope


class ResultWriter:
    """Lines after the loop over steps."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def lines(self) -> Iterator[str]:
        """The dictionary that ``march`` returns."""
        yield "return {"
        yield '    "steps": done,'
        yield '    "scalars": {'
        for scalar in self.scope.scalars:
            yield f'        "{scalar.name}": {self.scope.names.scalar(scalar)},'
        yield "    },"
        yield '    "correlations": {'
        for closure in self.scope.derivation.closures:
            for field in closure.process.fields:
                yield f'        "{field.name}": {self._each(field, "correlations({0})")},'
        yield "    },"
        yield '    "responses": {'
        for closure in self.scope.derivation.closures:
            for kind in closure.responses:
                yield f'        "{kind.row.name}, {kind.noise.name}": {self._response(kind.row, kind.noise)},'
        yield "    },"
        yield from wrapped('"tangent_error": max([', ["0.0", *self._tangent_errors()], "]),", "    ", WIDTH - 4)
        yield "}"

    def _tangent_errors(self) -> Iterator[str]:
        rows = [kind.row for closure in self.scope.derivation.closures for kind in closure.responses]
        for row in dict.fromkeys(rows):
            name = self.scope.names.field(row)
            members = f"[{name}]" if row.layers is None else f"{name}.values()"
            yield f"*(one.tangent_error for one in {members})"

    def _each(self, field: Field, call: str) -> str:
        name = self.scope.names.field(field)
        if field.layers is None:
            return call.format(name)
        return f"{{l: {call.format('one')} for l, one in {name}.items()}}"

    def _response(self, row: Field, noise: Noise) -> str:
        """Responses of all members of a family to all members of a Gaussian field: keys (layer, layer)."""
        rows, noises = self.scope.names.field(row), self.scope.names.noise(noise)
        one = rows if row.layers is None else f"{rows}[l]"
        other = noises if noise.layers is None else f"{noises}[k]"
        loops = "" if row.layers is None else f" for l in {rows}"
        loops += "" if noise.layers is None else f" for k in {noises}"
        key = ", ".join(part for part, has in (("l", row.layers is not None), ("k", noise.layers is not None)) if has)
        made = f"responses({one}, {other})"
        return f"{{({key}): {made}{loops}}}" if loops else made
