"""Random forward passes on given samples from the whole language, written as Python that can be pasted.

`forward_pass` of a number is always the same one: labels, softmax, scalars, trained vectors, further inputs, transposes
and sums of matrices, scans whose families are ahead of their index, members outside of scans, and options of arrays.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import sympy as sp

KINDS = ("proportional", "gaussian", "sampled")
FUNCTIONS = ('"tanh"', '"sin"', '"erf"', '"tanh(2*h)"', "lambda h: sp.tanh(h) + h / 2")
OF_TWO = ("lambda a, b: sp.tanh(a) * sp.sin(b)", "lambda a, b: sp.tanh(a + b / 2)")
NUMBERS = ("0.5", "-0.7", "1.5", "strength", "sp.Rational(1, 3)")
ARRAYS = ("", "", "", "", ", init=0.5", ", learning_rate=2", ", init=1.5, learning_rate=0.5", ", train=False")
FAMILIES = ("", "", ", init=lambda l: 1 / (l + 1)", ", learning_rate=lambda l: l + strength")
ALL = ", train=False"


@dataclass(frozen=True)
class Forward:
    """A forward pass as lines of Python; the last one is what it returns.

    Attributes
    ----------
    tokens, further
        Whether inputs have a label, and whether there is a second one.
    """

    lines: tuple[str, ...]
    tokens: bool
    further: bool

    @property
    def layered(self):
        """Whether it has a depth."""
        return any("net.depth" in line for line in self.lines)

    def __call__(self, net, x):
        import dmft_sym as ds

        names = {"net": net, "x": x, "ds": ds, "sp": sp, "np": np}
        exec("\n".join((*self.lines[:-1], f"result = {self.lines[-1]}")), names)  # a test's own text
        return names["result"]

    def __str__(self):
        body = "\n".join(self.lines[:-1]).replace("\n", "\n    ")
        return f"def forward(net, x):\n    {body}\n    return {self.lines[-1]}\n"


class _Writer:
    """Writes statements, keeping the books of what lives where and carries which labels."""

    def __init__(self, rng, kind, tokens=False, further=False):
        self.rng, self.proportional, self.gaussian = rng, kind == "proportional", kind != "sampled"
        self.tokens, self.further = tokens, further
        self.lines, self.count = ["strength = net.parameter('strength', 0.7)", 'n, m = net.hidden("N"), None'], 0
        self.nodes, self.matrices, self.families = {}, [], []
        if rng.random() < 0.5:
            self.lines[1] = 'n, m = net.hidden("N"), net.hidden("M", 0.5)'
        self.narrow = "0.5" in self.lines[1]

    def forward(self):
        """Inputs, a few steps, and readouts."""
        self.inputs()
        kinds = [self.matrix, self.matrix, self.skip, self.scan, self.outside]
        kinds += [] if self.proportional else [self.bias, self.normalise, self.heads]
        kinds += [self.sum_over, self.attention] if self.tokens else []
        kinds += [] if self.gaussian else [self.apply, self.apply, self.of_two, self.gain]
        for number in range(self.rng.randint(2, 4)):
            if not self.gaussian and number == 0:
                self.apply()
            self.rng.choice(kinds)()
        self.lines.append(self.outputs())
        return Forward(tuple(self.lines), self.tokens, self.further)

    def fresh(self, letter):
        self.count += 1
        return f"{letter}{self.count}"

    def node(self, text, space, axes):
        """Assign a vector."""
        name = self.fresh("a")
        self.lines.append(f"{name} = {text}")
        self.nodes[name] = (space, frozenset(axes))
        return name

    def last(self):
        return list(self.nodes)[-1]

    def picked(self):
        """The last vector mostly, so that programs are deep."""
        return self.last() if self.rng.random() < 0.7 else self.rng.choice(list(self.nodes))

    def inputs(self):
        self.lines += ['token = net.label("token", 2)', "other = token.copy()"] if self.tokens else []
        start = self.node(f"{self.declared('net.inputs', 'n')} @ x", "n", {"token"} if self.tokens else ())
        if self.further:
            self.lines.append('x2 = net.given("x2")')
            self.node(f"{start} + {self.declared('x2.space', 'n')} @ x2", "n", self.nodes[start][1])

    def declared(self, source, target):
        """A new matrix; the first one learns."""
        name, options = self.fresh("W"), self.rng.choice(ARRAYS)
        options = "" if not self.matrices and options == ALL else options
        self.lines.append(f'{name} = net.matrix("{name}", {source}, {target}{options})')
        self.matrices.append((name, source, target))
        return name

    def weights(self, source, target):
        """A matrix that fits: new, used already, a transpose, a multiple or a sum."""
        fitting = [name for name, *sides in self.matrices if sides == [source, target]]
        fitting += [f"{name}.T" for name, *sides in self.matrices if sides == [target, source]]
        first = self.rng.choice(fitting) if fitting and self.rng.random() < 0.5 else self.declared(source, target)
        kind = self.rng.random()
        if kind < 0.15:
            return f"({self.rng.choice(NUMBERS)} * {first})"
        if kind < 0.3:
            return f"({first} + {self.declared(source, target)})"
        return first

    def matrix(self):
        vector = self.picked()
        space, axes = self.nodes[vector]
        target = self.rng.choice(["n", "m"]) if self.narrow else "n"
        self.node(f"{self.weights(space, target)} @ {vector}", target, axes)

    def skip(self):
        vector = self.last()
        space, axes = self.nodes[vector]
        others = [name for name, (s, _) in self.nodes.items() if s == space and name != vector]
        if others:
            other = self.rng.choice(others)
            self.node(f"{vector} + {self.rng.choice(NUMBERS)} * {other}", space, axes | self.nodes[other][1])
        else:
            self.matrix()

    def scan(self):
        """Layers of a family, before or behind the index, or of one matrix; with biases by layer."""
        if any("net.scan" in line for line in self.lines):
            return self.matrix()
        vector = self.picked()
        space, axes = self.nodes[vector]
        family, ahead, body = self.fresh("F"), self.rng.random() < 0.3, self.fresh("layer")
        layers = "(0, net.depth - 2)" if ahead else "(1, net.depth - 1)"
        act = "h" if self.gaussian else self.rng.choice(["h", 'net.apply("tanh", h)'])
        if self.rng.random() < 0.3:
            term = f"{self.weights(space, space)} @ {act}"
        else:
            options = self.rng.choice(FAMILIES)
            self.lines.append(
                f'{family} = net.matrix("{family}", {space}, {space}, layers=(1, net.depth - 1){options})'
            )
            term = f"{family}[l{' + 1' if ahead else ''}] @ {act}"
            if self.rng.random() < 0.2:
                term = f"2 * ({term}) / sp.sqrt(net.depth)"
        if not self.proportional and self.rng.random() < 0.3:
            bias = self.fresh("b")
            self.lines.append(f'{bias} = net.vector("{bias}", {space}, layers=(1, net.depth - 1), init=0.5)')
            term += f" + {bias}[l{' + 1' if ahead else ''}]"
        start = self.rng.choice(["h / 2 + ", "", "" if self.of_scalars(vector) else f"{vector} / 2 + "])
        self.lines.append(f"def {body}(l, h):\n    return {start}{term}")
        self.node(f"net.scan({body}, {vector}, layers={layers})", space, axes)
        return None

    def of_scalars(self, vector):
        """Whether a vector is a function of averages, which stay outside of scans."""
        return any(line.startswith(f"{vector} =") and ("mean" in line or "norm" in line) for line in self.lines)

    def outside(self):
        """A member of a family outside of the scan over the others."""
        vector = self.picked()
        space, axes = self.nodes[vector]
        if any("net.scan" in line for line in self.lines):
            return self.matrix()
        family, body = self.fresh("F"), self.fresh("layer")
        act = "h" if self.gaussian else 'net.apply("tanh", h)'
        options = self.rng.choice(FAMILIES)
        self.lines.append(f'{family} = net.matrix("{family}", {space}, {space}, layers=(1, net.depth){options})')
        self.lines.append(f"def {body}(l, h):\n    return h / 2 + {family}[l] @ {act}")
        inner = self.node(f"net.scan({body}, {vector}, layers=(1, net.depth - 1))", space, axes)
        self.node(f"{family}[net.depth] @ {inner}", space, axes)
        return None

    def bias(self):
        vector = self.last()
        space, axes = self.nodes[vector]
        name, options = self.fresh("b"), self.rng.choice([", init=0", "", ", learning_rate=0.5", ", init=0.5"])
        self.node(f'{vector} + net.vector("{name}", {space}{options})', space, axes)

    def gain(self):
        vector = self.last()
        space, axes = self.nodes[vector]
        self.node(f'net.apply("tanh", {vector}) * net.vector("{self.fresh("b")}", {space})', space, axes)

    def apply(self):
        vector = self.last()
        self.node(f"net.apply({self.rng.choice(FUNCTIONS)}, {vector})", *self.nodes[vector])

    def of_two(self):
        vector = self.last()
        space, axes = self.nodes[vector]
        other = self.rng.choice([name for name, (s, _) in self.nodes.items() if s == space])
        text = f"net.apply({self.rng.choice(OF_TWO)}, {vector}, {other})"
        self.node(text, space, axes | self.nodes[other][1])

    def normalise(self):
        """By the size, or the mean, of a vector."""
        vector = self.last()
        text = self.rng.choice(
            [
                f"{vector} / net.apply(lambda s: sp.sqrt(1 + s), ds.mean({vector} * {vector}))",
                f"{vector} * ds.norm({vector})",
                f"{vector} - ds.mean({vector} * {vector}) * {vector} / 4",
                f"{vector} - {self.rng.choice(NUMBERS)} * ds.mean({vector}) * {vector}",
            ][: 3 if self.gaussian else 4]
        )
        self.node(text, *self.nodes[vector])

    def sum_over(self):
        vector = self.last()
        space, axes = self.nodes[vector]
        if "token" not in axes:
            return self.matrix()
        how = self.rng.choice([f"net.sum({vector}, over=token)", f"ds.mean({vector}, over=token)"])
        if self.rng.random() < 0.3:
            how = f"{vector} - ds.mean({vector}, over=token) / 2"
            self.node(how, space, axes)
        else:
            self.node(how, space, axes - {"token"})
        return None

    def attention(self):
        """Scores of the keys of one vector, or known weights of its neighbours."""
        vector = self.last()
        space, axes = self.nodes[vector]
        if "token" not in axes or any("softmax" in line for line in self.lines):
            return self.matrix()
        name = self.fresh("s")
        key = f"({self.weights(space, space)} @ {vector})"
        over = self.rng.choice(
            [
                f"ds.softmax(2 * ds.mean({vector} * {key}.at(other)), over=other)",
                f"ds.mean({vector} * {key}.at(other)) + other.values([[1.0, 0.5], [0.0, -1.0]], token)",
                f"ds.softmax(ds.mean({vector} * {vector}.at(other)) / ds.norm({vector}), over=other)",
            ]
        )
        self.lines.append(f"{name} = {over}")
        self.node(f"net.sum({name} * {vector}.at(other), over=other)", space, axes)
        return None

    def heads(self):
        """A label of known numbers, which is summed over at once or by the readout."""
        vector = self.last()
        space, axes = self.nodes[vector]
        if any("head" in line for line in self.lines):
            return self.matrix()
        self.lines.append('head = net.label("head", 2)')
        self.node(f"{vector} * head.values([0.5, 2.0])", space, axes | {"head"})
        if self.rng.random() < 0.5:
            self.node(f"net.sum({self.last()} * head.values([1.0, -1.0]), over=head)", space, axes)
        return None

    def outputs(self):
        """The last vector is read out, a second one perhaps."""
        chosen = [self.last()] + ([self.rng.choice(list(self.nodes))] if self.rng.random() < 0.4 else [])
        parts = []
        for number, name in enumerate(chosen):
            text = name
            for label in sorted(self.nodes[name][1]):
                text = f"net.sum({text}, over={label})"
            options = self.rng.choice(["", "", ", init=0.5", ", learning_rate=2"])
            coefficient = "" if number == 0 else f"{self.rng.choice(NUMBERS)} * "
            parts.append(f'{coefficient}net.readout("w{number}", {text}{options})')
        return " + ".join(parts)


def forward_pass(number, kind):
    """The forward pass of this number: ``"proportional"``, ``"gaussian"`` on given samples, or ``"sampled"``.

    Those of the second kind are linear at given scalars, so that both methods are exact.
    """
    rng = random.Random(f"forward pass {number} {kind}")
    if kind == "proportional":
        return _Writer(rng, kind).forward()
    return _Writer(rng, kind, rng.random() < 0.45, rng.random() < 0.2).forward()
