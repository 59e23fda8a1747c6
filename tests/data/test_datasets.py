"""Samples from files and from named sets: what is read, and the one line that refuses everything else."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dmft_sym.data.arrays import NAMES
from dmft_sym.data.datasets import digits, from_csv, from_files, from_npz, named_set
from dmft_sym.data.files import open_npz, read_csv
from dmft_sym.regimes.samples import Samples
from dmft_sym.support.messages import InputError

X = np.array([[1.0, 2.5], [0.0, -1e-3], [3.0, 4.0]])
Y = np.array([1.0, -1.0, 1.0])


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(read: Callable[..., object], *arguments: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read(*arguments, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 400
    return message


def test_npz() -> None:
    np.savez("a.npz", inputs=X, targets=Y)
    assert from_npz("a.npz") == from_npz(Path("a.npz"), "squared") == Samples(X, Y)
    np.savez_compressed("b.npz", inputs=X, targets=Y, test_inputs=X[:1], test_targets=Y[:1], more=np.array(["text"]))
    assert from_npz("b.npz", "logistic") == Samples(X, Y, "logistic", X[:1], Y[:1])
    np.savez("c.npz", inputs=X.astype(">f4"), targets=[0, 2, 1])
    assert from_npz("c.npz", loss="softmax").targets.tolist() == np.eye(3)[[0, 2, 1]].tolist()


def test_csv() -> None:
    lines = [",".join(repr(float(entry)) for entry in [*row, target]) for row, target in zip(X, Y, strict=True)]
    Path("a.csv").write_text("\n".join(lines))
    expected = Samples(X, Y)
    assert from_csv("a.csv") == expected
    Path("b.csv").write_bytes(b"\xef\xbb\xbfheight, width,label\r\n" + "\r\n\r\n".join(lines).encode() + b"\r\n\r\n")
    assert from_csv("b.csv") == expected
    assert from_csv("b.csv", outputs=2) == Samples(X[:, :1], np.column_stack([X[:, 1], Y]))
    Path("c.csv").write_text("0.5, 1\n2,0\n")
    assert from_csv("c.csv", loss="softmax").targets.tolist() == [[0, 1], [1, 0]]


def test_separate_files() -> None:
    np.savez("x.npz", X)
    np.savez("y.npz", targets=Y, other=X)
    np.savez("both.npz", inputs=X, targets=Y, test_inputs=X[1:], test_targets=Y[1:])
    np.savetxt("x.csv", X, delimiter=",", header="a,b")
    np.savetxt("y.csv", Y)
    expected = Samples(X, Y)
    for inputs in ("x.npz", "x.csv"):
        for targets in ("y.npz", "y.csv"):
            assert from_files(inputs, targets) == expected
    assert from_files("both.npz") == from_files("both.npz", "both.npz") == from_npz("both.npz")
    assert from_files("both.npz").total == 5
    assert "test_inputs are missing" in refusal(from_files, "x.npz", "both.npz")


def write_npz(path: str, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)


def npy(header: str) -> bytes:
    text = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("none.npz", "inputs 'none.npz': cannot be read (No such file or directory)"),
        (".", "names end in .npz or .csv"),
        ("folder.npz", "inputs 'folder.npz': cannot be read (Is a directory)"),
        ("null\0.npz", "cannot be read"),
        ("empty.npz", "inputs 'empty.npz': the file is empty"),
        ("text.npz", "inputs 'text.npz': not an .npz file, or half-written (File is not a zip file)"),
        ("half.npz", "inputs 'half.npz': not an .npz file, or half-written"),
        ("zip.npz", "inputs 'zip.npz': no arrays; allowed is what numpy.savez writes"),
        ("near.npz", "array 'test_input' (did you mean test_inputs?)"),
        ("names.npz", "has the arrays 'a, b'; allowed is an array 'inputs'"),
        ("one.npz", "has the arrays 'inputs'; allowed is an array 'targets'"),
        ("objects.npz", "array 'inputs' cannot be read (Object arrays cannot be loaded"),
        ("text_array.npz", "inputs of 'text_array.npz' of type <U1: allowed are real numbers"),
        ("complex.npz", "inputs of 'complex.npz' of type complex128"),
        ("nan.npz", "inputs of 'nan.npz', row 1, column 0 = nan: allowed are finite numbers"),
        ("short.npz", "targets of 2 samples: allowed are as many as inputs has, 3"),
        ("vector.npz", "inputs of 'vector.npz' have shape (3,): allowed is shape (P, D)"),
        ("cut.npz", "array 'inputs' cannot be read"),
        ("huge.npz", "array 'inputs' cannot be read"),
        ("negative.npz", "array 'inputs' cannot be read"),
        ("evil.npz", "array 'inputs' cannot be read"),
        ("header.npz", "array 'inputs' cannot be read"),
    ],
)
def test_bad_npz(path: str, words: str) -> None:
    Path("folder.npz").mkdir()
    Path("empty.npz").touch()
    Path("text.npz").write_text("1,2,3")
    good = {"inputs": X, "targets": Y}
    np.savez("good.npz", **good)
    content = Path("good.npz").read_bytes()
    Path("half.npz").write_bytes(content[: len(content) // 2])
    with zipfile.ZipFile("zip.npz", "w") as file:
        file.writestr("readme.txt", "no arrays")
    np.savez("names.npz", a=X, b=Y)
    np.savez("near.npz", **good, test_input=X, test_targets=Y)
    np.savez("one.npz", inputs=X)
    np.savez("objects.npz", **{**good, "inputs": np.array([[Evil()]], dtype=object)})
    np.savez("text_array.npz", **{**good, "inputs": [["a"]]})
    np.savez("complex.npz", **{**good, "inputs": X * 1j})
    np.savez("nan.npz", **{**good, "inputs": np.where(X == 0.0, np.nan, X)})
    np.savez("short.npz", **{**good, "targets": Y[:2]})
    np.savez("vector.npz", **{**good, "inputs": Y})
    form = "{'descr': '<f8', 'fortran_order': False, 'shape': %s, }"
    write_npz("cut.npz", inputs=npy(form % "(3, 2)") + bytes(40))
    write_npz("huge.npz", inputs=npy(form % "(1000000000000, 1000000000)"))
    write_npz("negative.npz", inputs=npy(form % "(-3, 2)") + bytes(48))
    write_npz("evil.npz", inputs=npy("{'descr': __import__('os').mkdir('ran'), 'fortran_order': False, 'shape': (1,)}"))
    write_npz("header.npz", inputs=npy("{'descr': '<f8', 'shape': ((((("))
    assert words in refusal(from_files, path)
    assert not Path("ran").exists()


class Evil:
    """A pickle of this makes a folder when it is read."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("ran",)


def test_unpacked_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed("bomb.npz", inputs=np.zeros((1000, 100)), targets=np.zeros(1000))
    monkeypatch.setattr("dmft_sym.data.files.MAX_BYTES", 100_000)
    assert "array 'inputs' has 800128 bytes; allowed are 100000" in refusal(from_npz, "bomb.npz")
    Path("large.csv").write_text("1,2\n" * 30_000)
    assert "more than 100000 bytes" in refusal(from_csv, "large.csv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("a,b\n", "no numbers; allowed are lines of numbers with commas between them"),
        ("1,2\n3\n", "line 2: 1 fields; allowed are 2, as in the first line of numbers"),
        ("a,b\n1,2\n3,x\n", "line 3, field 2 = 'x': allowed are finite numbers"),
        ("1,b\n1,2\n", "line 1, field 2 = 'b'"),
        ("1,2\n3,nan\n", "line 2, field 2 = 'nan'"),
        ("1,2\n-inf,1\n", "line 2, field 1 = '-inf'"),
        ("1,2\n1e999,1\n", "line 2, field 1 = '1e999'"),
        ("1,2\n1_0,1\n", "line 2, field 1 = '1_0'"),
        ("1,2\n,1\n", "line 2, field 1 = ''"),
        ("1;2\n3;4\n3,4\n", "line 2: 1 fields|line 2, field 1 = '3;4'"),
        ("1,2\n__import__('os'),1\n", "line 2, field 1 = \"__import__('os')\""),
        ("1,2\n" + "9" * 200_000 + ",1\n", "not a CSV file (field larger than field limit"),
        ('1,2\n"3', "line 2: 1 fields"),
        ("1\n2\n", "one column; allowed are columns of inputs and, last, of targets"),
        ("1,2\0\n", "line 1, field 2"),
    ],
)
def test_bad_csv(text: str, words: str) -> None:
    Path("a.csv").write_text(text)
    message = refusal(from_csv, "a.csv")
    assert any(part in message for part in words.split("|"))
    assert "a.csv" in message


def test_bad_calls() -> None:
    np.savez("a.npz", inputs=X, targets=Y)
    np.savetxt("a.csv", X, delimiter=",")
    Path("latin.csv").write_bytes(b"1,2\n\xe9,1\n")
    assert "not a CSV file" in refusal(from_csv, "latin.csv")
    assert "allowed is an .npz file" in refusal(from_npz, "a.csv")
    assert "names end in .npz or .csv" in refusal(from_files, "a.txt")
    assert "inputs = 3: allowed is the name" in refusal(from_files, 3)
    assert "targets are missing: allowed is a file beside inputs 'a.csv'" in refusal(from_files, "a.csv")
    assert "targets 'none.csv': cannot be read" in refusal(from_files, "a.csv", "none.csv")
    assert "outputs = 2: allowed are integers from 1 to 1" in refusal(from_csv, "a.csv", 2)
    assert "outputs = true: allowed are integers from 1 to 1" in refusal(from_csv, "a.csv", True)
    assert "loss = 'hinge'" in refusal(from_npz, "a.npz", "hinge")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_npz(data: st.DataObject) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, inputs=X, targets=Y)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    Path("damaged.npz").write_bytes(content[: data.draw(st.integers(0, len(content)))])
    message = "fine"
    try:
        from_npz("damaged.npz")
        archive = open_npz("damaged.npz", "inputs")
        for name in archive.names:
            archive.read(name)
    except InputError as error:
        message = str(error)
    assert len(message.splitlines()) == 1


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text("019.,-+e\n\r\"' naif_", max_size=60).map(str.encode))
def test_garbage_csv(content: bytes) -> None:
    Path("garbage.csv").write_bytes(content)
    message = "fine"
    try:
        assert np.isfinite(read_csv("garbage.csv", "inputs")).all()
    except InputError as error:
        message = str(error)
    assert len(message.splitlines()) == 1


def labels_of(samples: Samples) -> list[int]:
    return np.argmax(samples.targets, axis=1).tolist()


def test_digits() -> None:
    pytest.importorskip("sklearn")
    samples = digits(samples=20, seed=3)
    assert (samples.count, samples.total, samples.outputs, samples.loss) == (20, 20, 1, "squared")
    assert samples.targets[:, 0].tolist() == [-1.0, 1.0] * 10
    assert digits(classes=(1, 0), samples=20, seed=3).targets[:, 0].tolist() == [-1.0, 1.0] * 10
    assert digits(samples=20, seed=3) == samples != digits(samples=20, seed=4)
    np.testing.assert_array_equal(digits(samples=7, seed=3).inputs, samples.inputs[:7])
    assert len(np.unique(samples.inputs, axis=0)) == 20


def test_digits_do_not_depend_on_the_version() -> None:
    """The draw is part of what a seed means; pixels are integers, so that this holds on every machine."""
    pytest.importorskip("sklearn")
    assert (
        digits(samples=20, seed=0, standardize=False, test_samples=2).digest
        == "a6249994538a6af7dc6bc0a52000dc5da7d0dcac5a34d0a63fa7266303f296de"
    )


def test_targets_of_named_sets() -> None:
    pytest.importorskip("sklearn")
    three = {loss: named_set("iris", (0, 1, 2), 7, loss=loss) for loss in ("squared", "logistic", "softmax")}
    assert labels_of(three["squared"]) == labels_of(three["logistic"]) == [0, 1, 2, 0, 1, 2, 0]
    assert np.unique(three["squared"].targets).tolist() == [0.0, 1.0]
    assert np.unique(three["logistic"].targets).tolist() == [-1.0, 1.0]
    np.testing.assert_array_equal(three["softmax"].targets, three["squared"].targets)
    two = named_set("wine", (2, 1), 4, loss="softmax")
    assert labels_of(two) == [0, 1, 0, 1]
    assert named_set("wine", [2, 1], np.int64(4), loss="logistic").targets[:, 0].tolist() == [-1.0, 1.0] * 2


def test_test_samples_are_other_samples() -> None:
    pytest.importorskip("sklearn")
    samples = digits(samples=10, test_samples=6, standardize=False)
    assert (samples.count, samples.total) == (10, 16)
    assert len(np.unique(samples.all_inputs, axis=0)) == 16
    assert samples.targets[:, 0].tolist() == [-1.0, 1.0] * 5
    np.testing.assert_array_equal(samples.inputs, digits(samples=10, standardize=False).inputs)


def test_a_class_that_runs_out() -> None:
    """All samples of two classes of 59 and 71: balanced until the first has no more."""
    pytest.importorskip("sklearn")
    samples = named_set("wine", (0, 1), 130)
    assert samples.targets[:118, 0].tolist() == [-1.0, 1.0] * 59
    assert samples.targets[118:, 0].tolist() == [1.0] * 12


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_of_order_one(name: str) -> None:
    pytest.importorskip("sklearn")
    available = {"digits": 360, "iris": 100, "wine": 130, "breast_cancer": 569}[name]
    inputs = named_set(name, samples=available).inputs
    np.testing.assert_allclose(inputs.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose((inputs**2).mean(axis=0), 1.0, rtol=1e-12)
    assert inputs.shape[1] == {"digits": 48, "iris": 4, "wine": 13, "breast_cancer": 30}[name]
    if name == "digits":
        assert (inputs**2).mean(axis=1).max() < 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "mnist"}, "set = 'mnist': allowed are digits, iris, wine, breast_cancer"),
        ({"name": "digit"}, "(did you mean digits?)"),
        ({"name": None}, "set = None"),
        ({"classes": (0,)}, "classes = (0,): allowed for digits are two or more different integers from 0 to 9"),
        ({"classes": (0, 10)}, "classes = (0, 10): allowed for digits"),
        ({"classes": (0, -1)}, "classes = (0, -1)"),
        ({"classes": (0, 0)}, "classes = (0, 0)"),
        ({"classes": (0, 1, 1)}, "classes = (0, 1, 1)"),
        ({"classes": (0, 1.0)}, "classes = (0, 1.0)"),
        ({"classes": (False, True)}, "classes = (False, True)"),
        ({"classes": "01"}, "classes = '01'"),
        ({"classes": 2}, "classes = 2"),
        ({"samples": 1}, "samples = 1: allowed are integers from 2 to 360"),
        ({"samples": 361}, "samples = 361: allowed are integers from 2 to 360"),
        ({"samples": 20.0}, "samples = 20.0: allowed are integers"),
        ({"samples": True}, "samples = true: allowed are integers"),
        ({"samples": 300, "test_samples": 61}, "test_samples = 61: allowed are integers from 0 to 60"),
        ({"test_samples": -1}, "test_samples = -1"),
        ({"seed": -1}, "seed = -1: allowed are integers >= 0"),
        ({"seed": "0"}, "seed = '0': allowed are integers >= 0"),
        ({"loss": "hinge"}, "loss = 'hinge': allowed are"),
    ],
)
def test_bad_requests(options: dict, words: str) -> None:
    pytest.importorskip("sklearn")
    assert words in refusal(named_set, **{"name": "digits", **options})


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    message = refusal(digits)
    assert "set = 'digits'" in message
    assert "pip install 'dmft-sym[data]'" in message
