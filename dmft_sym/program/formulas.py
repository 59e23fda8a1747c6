"""Formulas in text become SymPy expressions without being executed.

Python's own parser (`ast`) only builds a tree; the tree is walked here, node by node, and whatever is not on the
list below is refused. Nothing of the text reaches `eval`, `exec` or SymPy's string parsers, which execute it. Length,
nesting, powers and the size of what powers and functions expand to are bounded. Apart from fractions nothing is
computed: the result is unevaluated (``doit()`` evaluates it): SymPy simplifies as it builds, and a short text can make
that take forever.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable
from fractions import Fraction

import sympy as sp

from dmft_sym.support.messages import InputError, show, suggestion

MAX_LENGTH = 200
MAX_DEPTH = 20
MAX_POWER = 20
MAX_SIZE = 600
MAX_DECIDED = 50
LARGEST, SMALLEST = 1e12, 1e-12


class FormulaError(InputError):
    """A formula that is not understood; the message says what is allowed."""


def _held(function: type[sp.Function]) -> Callable[[sp.Expr], sp.Expr]:
    return lambda x: function(x, evaluate=False)


def _add(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    return a + b if a.is_Rational and b.is_Rational else sp.Add(a, b, evaluate=False)


def _multiply(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    return a * b if a.is_Rational and b.is_Rational else sp.Mul(a, b, evaluate=False)


def _raise(a: sp.Expr, power: sp.Rational) -> sp.Expr:
    return a**power if a.is_Rational else sp.Pow(a, power, evaluate=False)


def _subtract(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    return _add(a, _multiply(sp.Integer(-1), b))


def _divide(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    return _multiply(a, _raise(b, sp.Integer(-1)))


_exp, _log, _erf = _held(sp.exp), _held(sp.log), _held(sp.erf)


def _relu(x: sp.Expr) -> sp.Expr:
    return sp.Max(x, 0, evaluate=False)


def _gelu(x: sp.Expr) -> sp.Expr:
    return _multiply(sp.Rational(1, 2), _multiply(x, _add(sp.Integer(1), _erf(_divide(x, sp.sqrt(2))))))


def _softplus(x: sp.Expr) -> sp.Expr:
    return _log(_add(sp.Integer(1), _exp(x)))


def _sigmoid(x: sp.Expr) -> sp.Expr:
    return _divide(sp.Integer(1), _add(sp.Integer(1), _exp(_multiply(sp.Integer(-1), x))))


def _sqrt(x: sp.Expr) -> sp.Expr:
    return _raise(x, sp.Rational(1, 2))


FUNCTIONS: dict[str, Callable[..., sp.Expr]] = {
    "abs": _held(sp.Abs),
    "atan": _held(sp.atan),
    "cos": _held(sp.cos),
    "cosh": _held(sp.cosh),
    "erf": _erf,
    "exp": _exp,
    "gelu": _gelu,
    "heaviside": lambda x: sp.Heaviside(x, 0, evaluate=False),
    "log": _log,
    "max": lambda x, y: sp.Max(x, y, evaluate=False),
    "min": lambda x, y: sp.Min(x, y, evaluate=False),
    "relu": _relu,
    "sigmoid": _sigmoid,
    "sign": _held(sp.sign),
    "sin": _held(sp.sin),
    "sinh": _held(sp.sinh),
    "softplus": _softplus,
    "sqrt": _sqrt,
    "tanh": _held(sp.tanh),
}
CONSTANTS = {"pi": sp.pi}
OF_TWO = ("max", "min")
_DECIDING = ("abs", "cosh", "heaviside", "max", "min", "relu", "sign", "sinh")
"""SymPy asks for the sign of their arguments, which may take it a time that is exponential in the nesting."""

_NOT_REAL = (sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I, sp.AccumBounds)


def _expansion(name: str) -> tuple[int, int]:
    """How often what a function stands for repeats its argument, and how many nodes it has beside."""
    symbol = sp.Symbol("x", real=True)
    nodes = list(sp.preorder_traversal(FUNCTIONS[name](*[symbol] * (2 if name in OF_TWO else 1))))
    repeats = max(1, nodes.count(symbol)) if name not in OF_TWO else 1
    return repeats, len(nodes) - nodes.count(symbol)


_EXPANSIONS = {name: _expansion(name) for name in FUNCTIONS}
_OPERATORS: dict[type, Callable[[sp.Expr, sp.Expr], sp.Expr]] = {
    ast.Add: _add,
    ast.Sub: _subtract,
    ast.Mult: _multiply,
    ast.Div: _divide,
}


def parse_formula(text: str, names: Iterable[str] = ("h",)) -> sp.Expr:
    """The SymPy expression, not yet evaluated, that ``text`` writes in terms of the real symbols ``names``.

    Parameters
    ----------
    text
        For example ``"tanh(h)"`` or ``"h + 0.1*h**3"``: numbers, ``pi``, ``names``, ``+ - * /``, integer powers
        ``**`` and the functions of `FUNCTIONS`. At most 200 characters.
    names
        Names that may occur.

    Raises
    ------
    FormulaError
        If ``text`` is anything else; one line that quotes the part and says what is allowed.

    Examples
    --------
    >>> parse_formula("tanh(2*h)/2").doit()
    tanh(2*h)/2
    """
    if not isinstance(text, str):
        raise FormulaError(f"formula {show(text)}: allowed is a text")
    known = {name: sp.Symbol(name, real=True) for name in names}
    tree = _syntax(text)
    _Size(text).check(tree)
    return _ExpressionBuilder(text, known).build(tree)


def _syntax(text: str) -> ast.expr:
    allowed = f"allowed is ASCII text of 1 to {MAX_LENGTH} characters"
    if not text.strip() or len(text) > MAX_LENGTH or not text.isascii():
        raise FormulaError(f"formula {show(text)}: {allowed}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise FormulaError(
            f"formula {show(text)}: not a formula; an example of an allowed one is 'tanh(2*h)'"
        ) from error


class _Size:
    """Bounds the nesting of a formula and the size of what it expands to, before anything is computed."""

    def __init__(self, text: str) -> None:
        self.text = text

    def check(self, tree: ast.expr) -> None:
        if self.of(tree, 0) > MAX_SIZE:
            raise FormulaError(
                f"formula {show(self.text)}: too large when its powers and functions are expanded; nest fewer of them"
            )

    def of(self, node: ast.AST, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise FormulaError(f"formula {show(self.text)}: nested too deeply; allowed are {MAX_DEPTH} levels")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            return self.of(node.left, depth + 1) * max(1, abs(_power(node.right, self.text)))
        size = sum(self.of(child, depth + 1) for child in ast.iter_child_nodes(node))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in _DECIDING and size > MAX_DECIDED:
                raise FormulaError(
                    f"formula {show(self.text)}: the argument of {node.func.id} is too large; simplify it"
                )
            repeats, nodes = _EXPANSIONS.get(node.func.id, (1, 1))
            size = repeats * size + nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return 1 + node.value.bit_length() // 16
        return 1 + size


class _ExpressionBuilder:
    """Turns allowed nodes into SymPy; everything else is refused by name."""

    def __init__(self, text: str, names: dict[str, sp.Symbol]) -> None:
        self.text = text
        self.names = names

    def build(self, node: ast.expr) -> sp.Expr:
        result = self._build(node)
        if not isinstance(result, sp.Expr) or result.has(*_NOT_REAL):
            raise self._refused(node, "not a finite real number; allowed are formulas that are one everywhere")
        return result

    def _build(self, node: ast.expr) -> sp.Expr:
        if isinstance(node, ast.Constant):
            return self._number(node)
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.UAdd, ast.USub)):
            value = self.build(node.operand)
            return _multiply(sp.Integer(-1), value) if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            return _raise(self.build(node.left), sp.Integer(_power(node.right, self.text)))
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](self.build(node.left), self.build(node.right))
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
            raise self._refused(node, "allowed is ** for powers, not ^")
        raise self._refused(node, "allowed are numbers, names, + - * / **, parentheses and known functions")

    def _number(self, node: ast.Constant) -> sp.Expr:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._refused(node, "allowed are real numbers")
        if value and not SMALLEST <= value <= LARGEST:
            raise self._refused(node, f"allowed are 0 and numbers from {SMALLEST:g} to {LARGEST:g}")
        return sp.Rational(Fraction(repr(value)))

    def _name(self, node: ast.Name) -> sp.Expr:
        if node.id in CONSTANTS:
            return CONSTANTS[node.id]
        if node.id in self.names:
            return self.names[node.id]
        known = sorted([*self.names, *CONSTANTS])
        raise self._refused(node, f"unknown name{suggestion(node.id, known)}; allowed are {', '.join(known)}")

    def _call(self, node: ast.Call) -> sp.Expr:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in FUNCTIONS:
            hint = suggestion(name, FUNCTIONS)
            raise self._refused(node.func, f"unknown function{hint}; allowed are {', '.join(sorted(FUNCTIONS))}")
        count = 2 if name in OF_TWO else 1
        if len(node.args) != count or node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
            form = f"two arguments, {name}(..., ...)" if count == 2 else f"one argument, {name}(...)"
            raise self._refused(node, f"allowed {'are' if count == 2 else 'is'} {form}")
        arguments = [self.build(argument) for argument in node.args]
        if not any(a.free_symbols for a in arguments) and not (name == "sqrt" and arguments[0].is_Rational):
            names = ", ".join(self.names)
            raise self._refused(node, f"allowed are functions of {names}, and sqrt of a fraction; write the number")
        return FUNCTIONS[name](*arguments)

    def _refused(self, node: ast.expr, allowed: str) -> FormulaError:
        part = ast.get_source_segment(self.text.strip(), node) or self.text
        where = "" if part == self.text else f" in {show(self.text)}"
        return FormulaError(f"formula {show(part)}{where}: {allowed}")


def _power(node: ast.expr, text: str) -> int:
    sign = 1
    while isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        sign = -sign if isinstance(node.op, ast.USub) else sign
        node = node.operand
    value = node.value if isinstance(node, ast.Constant) else None
    if type(value) is int and value <= MAX_POWER:
        return sign * value
    part = ast.get_source_segment(text.strip(), node) or text
    raise FormulaError(f"power {show(part)} in {show(text)}: allowed are integers from -{MAX_POWER} to {MAX_POWER}")
