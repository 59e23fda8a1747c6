"""Functions of scalars, one operation a line: a scalar is a row of registers, a number for each of its labels."""

import math

import numpy as np
from numba import njit

from .common import _INSIDE, _Floats, _Ints
from .coordinate_tables import Operation, _taken


@njit(nogil=True, error_model="numpy", **_INSIDE)
def _scalars(line: _Ints, lists: _Ints, registers: _Floats) -> None:
    """Operation, place of the result, number of labels, places of up to three arguments (conditions are 0 or 1).

    TAKE has a list of labels, POWER an exponent and SOFTMAX the number of outputs in place of the second argument.
    """
    operation, out, count = line[0], line[1], line[2]
    if operation == Operation.SOFTMAX:
        for first in range(0, count, line[4]):
            _softmax(registers[out + first :], registers[line[3] + first :], line[4])
        return
    for k in range(count):
        x = registers[line[3] + (_taken(lists, line[4], k) if operation == Operation.TAKE else k)]
        if operation == Operation.TAKE:
            registers[out + k] = x
        elif operation == Operation.POWER:
            registers[out + k] = x ** np.float64(line[4])
        elif operation == Operation.SELECT:
            registers[out + k] = registers[(line[4] if x != 0 else line[5]) + k]
        elif operation <= Operation.HEAVISIDE:
            registers[out + k] = _binary(operation, x, registers[line[4] + k])
        else:
            registers[out + k] = _unary(operation, x)


@njit(nogil=True, error_model="numpy", **_INSIDE)
def _softmax(out: _Floats, x: _Floats, count: int) -> None:
    """Shares e^x / sum e^x."""
    largest, total = x[0], 0.0
    for k in range(1, count):
        largest = max(largest, x[k])
    for k in range(count):
        out[k] = math.exp(x[k] - largest)
        total += out[k]
    for k in range(count):
        out[k] /= total


@njit(nogil=True, error_model="numpy", **_INSIDE)
def _binary(operation: int, x: float, y: float) -> float:
    if operation == Operation.PLUS:
        return x + y
    if operation == Operation.MINUS:
        return x - y
    if operation == Operation.TIMES:
        return x * y
    if operation == Operation.DIVIDE:
        return x / y
    if operation == Operation.MAX:
        return x if x > y or x != x else y
    if operation == Operation.MIN:
        return x if x < y or x != x else y
    if operation == Operation.HEAVISIDE:
        return y if x == 0 else x if x != x else np.float64(x > 0)
    if operation == Operation.LESS:
        return np.float64(x < y)
    if operation == Operation.LESS_EQUAL:
        return np.float64(x <= y)
    if operation == Operation.EQUAL:
        return np.float64(x == y)
    if operation == Operation.UNEQUAL:
        return np.float64(x != y)
    if operation == Operation.AND:
        return np.float64(x != 0 and y != 0)
    if operation == Operation.OR:
        return np.float64(x != 0 or y != 0)
    return np.float64(x == 0)


@njit(nogil=True, error_model="numpy", **_INSIDE)
def _unary(operation: int, x: float) -> float:
    if operation == Operation.SQRT:
        return math.sqrt(x) if x >= 0 else math.nan
    if operation == Operation.ABS:
        return abs(x)
    if operation == Operation.SIGN:
        return x if x != x else np.float64(x > 0) - np.float64(x < 0)
    if operation == Operation.EXP:
        return math.exp(x)
    if operation == Operation.EXPM1:
        return math.expm1(x)
    if operation == Operation.LOG:
        return math.log(x)
    if operation == Operation.LOG1P:
        return math.log1p(x)
    if operation == Operation.SIN:
        return math.sin(x)
    if operation == Operation.COS:
        return math.cos(x)
    if operation == Operation.ATAN:
        return math.atan(x)
    if operation == Operation.SINH:
        return math.sinh(x)
    if operation == Operation.COSH:
        return math.cosh(x)
    if operation == Operation.TANH:
        return math.tanh(x)
    return math.erf(x)
