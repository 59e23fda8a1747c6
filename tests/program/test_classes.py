"""Classes of sites: where numbers that differ from class to class may stand."""

from __future__ import annotations

import pytest
import sympy as sp

from dmft_sym.program import (
    Assign,
    Field,
    FieldRef,
    Label,
    Linear,
    Observe,
    Program,
    ProgramError,
    RandomVector,
    SiteClasses,
    Space,
    VectorRef,
)

KINDS = SiteClasses(Label.of("kind", "k", "k_s", "K"))
MIXED, PLAIN = Space("D", sp.Integer(1), classes=KINDS), Space("N", sp.Integer(2))
SIZE = KINDS.value("size")


def program(space, coefficient=sp.Integer(1), variance=sp.Integer(1), factor=sp.Integer(1)):
    """A vector of a space, multiplied and looked at."""
    field = FieldRef(Field("h", space))
    value = Linear.of(VectorRef(RandomVector("z", space, variance)), coefficient)
    return Program((Assign(field, value), Observe("norm", ((factor, field, field),))))


def test_programs_say_what_their_classes_are():
    found = program(MIXED, sp.sqrt(SIZE), SIZE)
    assert "space D: 1 * n sites, classes k = 0..K - 1 with shares varrho(k)" in str(found)
    assert found.class_values == ("varrho", "size")
    assert found.parameters == ()
    assert program(PLAIN).class_values == ()


def test_averages_are_sums_with_shares():
    k_s, size = KINDS.label.other, KINDS.label.size
    share, other = KINDS.value("varrho"), KINDS.value("size")
    expected = sp.Sum((share * other).xreplace({KINDS.label.symbol: k_s}), (k_s, 0, size - 1))
    assert KINDS.average(other) == expected
    assert sp.latex(sp.sqrt(KINDS.value("Lambda"))) == r"\sqrt{\Lambda_{k}}"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((PLAIN, SIZE), "size(k) is a number of classes that space N does not have"),
        ((PLAIN, sp.Integer(1), SIZE), "vector z: size(k) is a number of classes that space N does not have"),
        ((MIXED, sp.Integer(1), sp.Integer(1), SIZE), "numbers of classes are for sums of fields"),
        ((MIXED, sp.Symbol("K")), "the name K is used for classes of sites, and for a parameter or a label"),
    ],
)
def test_numbers_of_classes_elsewhere_are_refused(arguments, line):
    with pytest.raises(ProgramError) as error:
        program(*arguments)
    assert line in str(error.value)


def test_given_inputs_have_no_classes():
    with pytest.raises(ProgramError, match="allowed is a space that grows"):
        Space("x", sp.Integer(1), finite=True, classes=KINDS)
