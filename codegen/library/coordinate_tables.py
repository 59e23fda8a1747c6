"""What lines and tables mean: operations, and columns with a row for every sector, side of a matrix, matrix, field.

Places are those of first numbers in the pool. Side ``2 m`` of matrix ``m`` is that of products with it, side
``2 m + 1`` that of transposed ones. Whoever writes a table does it in this order (``execution/compiled.py``).
"""

from enum import IntEnum, auto

from numba import njit

from .common import _INSIDE, _Ints

# Sectors: number of coordinates, and how many there is room for.
_USED, _CAPACITY = range(2)
# Sides: number of directions; places of their basis and of the probes, and in the list of noises; two sectors.
_COUNT, _BASIS, _PROBE, _NOISE, _NEAR, _FAR = range(6)
# Matrices: two sectors; places of M and V (or -1), of both factors of the increments that are not added yet, and of
# their weights in W and V; how many of them there is room for, and how many there are.
_TARGET, _SOURCE, _DENSE, _MEMORY, _LEFT, _RIGHT, _FACTORS, _REMEMBERED, _ROOM, _PENDING = range(10)
# Numbers of a matrix W = c M + d V + ...: c, d, what is left of V in the present memory, and of the initial matrix in
# M; the optimizer; standard deviations of the noise of both sides.
_C, _D, _PRESENT, _INITIAL, _KEEP, _MOMENTUM, _FROM_MEMORY, _FIRST, _STD = range(9)
# Fields: place and number of the rows, sector, where the squares of their largest norms are kept.
_PLACE, _ROWS, _SECTOR, _SCALES = range(4)


class Operation(IntEnum):
    """The first number of a line. What follows is described where it is carried out."""

    # Of fields and matrices, see `advance`.
    ONCE = auto()
    ZERO = auto()
    SCALE = auto()
    ADD = auto()
    ADD_EACH = auto()
    MULTIPLY = auto()
    DOT = auto()
    KEEP = auto()
    OPEN_VECTOR = auto()
    CLEAR_MATRIX = auto()
    CLEAR_SECTOR = auto()
    ACCUMULATE = auto()
    BEGIN_UPDATE = auto()
    INCREMENT = auto()
    END_UPDATE = auto()
    GIVEN = auto()
    # Of scalars, see `_scalars`: from here to HEAVISIDE they have two arguments, or three, and then one.
    TAKE = auto()
    SOFTMAX = auto()
    PLUS = auto()
    MINUS = auto()
    TIMES = auto()
    DIVIDE = auto()
    POWER = auto()
    SELECT = auto()
    AND = auto()
    OR = auto()
    NOT = auto()
    EQUAL = auto()
    UNEQUAL = auto()
    LESS = auto()
    LESS_EQUAL = auto()
    MAX = auto()
    MIN = auto()
    HEAVISIDE = auto()
    SQRT = auto()
    ABS = auto()
    SIGN = auto()
    EXP = auto()
    EXPM1 = auto()
    LOG = auto()
    LOG1P = auto()
    SIN = auto()
    COS = auto()
    ATAN = auto()
    SINH = auto()
    COSH = auto()
    TANH = auto()
    ERF = auto()


@njit(nogil=True, **_INSIDE)
def _width(sectors: _Ints, sector: int) -> int:
    """Number of coordinates of a sector, in eights."""
    return (sectors[sector, _USED] + 7) // 8 * 8


@njit(nogil=True, **_INSIDE)
def _taken(lists: _Ints, place: int, row: int) -> int:
    """The row of an operand at a row of the result: that of a list, or the same one where there is none."""
    return row if place < 0 else lists[place + row]
