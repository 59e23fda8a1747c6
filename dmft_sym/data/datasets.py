"""Samples from files and from the data sets that come with scikit-learn.

Nothing is downloaded. The named sets need scikit-learn, which is not installed with this package by default:
``pip install 'dmft-sym[data]'``.
"""

from __future__ import annotations

from collections.abc import Sequence

from dmft_sym.regimes.samples import Samples
from dmft_sym.support.messages import show_path
from dmft_sym.support.real_arrays import DataError

from .arrays import PathLike, arrays_of_files, arrays_of_set, arrays_of_table, kind_of


def from_npz(path: PathLike, loss: str = "squared") -> Samples:
    """Samples of an ``.npz`` file.

    Parameters
    ----------
    path
        A file with arrays ``inputs`` and ``targets``, and optionally ``test_inputs`` and ``test_targets``.
    loss
        As for `Samples`, which has the shapes of the arrays.

    Returns
    -------
    Samples
        With the arrays of the file.

    Raises
    ------
    InputError
        If anything is wrong with the file or the numbers; one line.

    See Also
    --------
    from_csv, from_files : other files.

    References
    ----------
    ``.npz`` files are read without pickles (``numpy.load``).

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import dmft_sym as ds
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "samples.npz")
    ...     np.savez(path, inputs=np.eye(2), targets=[1.0, -1.0])
    ...     ds.datasets.from_npz(path)
    <Samples: 2, dimension 2, outputs 1, loss 'squared'>
    """
    if kind_of("inputs", path) != ".npz":
        raise DataError(f"inputs {show_path(path)}: allowed is an .npz file")
    return from_files(path, loss=loss)


def from_csv(path: PathLike, outputs: int = 1, loss: str = "squared") -> Samples:
    """Samples of a CSV file: a line for every sample, its inputs and then its targets.

    Parameters
    ----------
    path
        A file of numbers with commas between them; a first line without numbers is a header.
    outputs
        Number of columns of targets, the last ones. With the loss ``"softmax"``, one column has classes 0, 1, ...
    loss
        As for `Samples`.

    Returns
    -------
    Samples
        A row for every line.

    Raises
    ------
    InputError
        If anything is wrong with the file or the numbers; one line.

    See Also
    --------
    from_npz, from_files : other files.

    References
    ----------
    RFC 4180, numbers only.

    Examples
    --------
    >>> import os, pathlib, tempfile
    >>> import dmft_sym as ds
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "samples.csv")
    ...     _ = path.write_text(os.linesep.join(["a,b,y", "1,0,1", "0,1,-1"]))
    ...     ds.datasets.from_csv(path)
    <Samples: 2, dimension 2, outputs 1, loss 'squared'>
    """
    return Samples(loss=loss, **arrays_of_table(path, outputs))


def from_files(inputs: PathLike, targets: PathLike | None = None, loss: str = "squared") -> Samples:
    """Samples whose inputs and targets are in files of their own, each ``.npz`` or ``.csv``.

    Parameters
    ----------
    inputs
        An ``.npz`` file with an array ``inputs`` or a single array, or a CSV file of inputs.
    targets
        The same for ``targets``. Without it, ``inputs`` is an ``.npz`` file with both.
    loss
        As for `Samples`.

    Returns
    -------
    Samples
        With the rows of both files.

    Raises
    ------
    InputError
        If anything is wrong with a file or the numbers; one line.

    See Also
    --------
    from_npz, from_csv : one file.

    References
    ----------
    Formats as of `from_npz` and `from_csv`.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import dmft_sym as ds
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = [os.path.join(folder, name) for name in ("x.npz", "y.npz")]
    ...     np.savez(paths[0], inputs=np.eye(2))
    ...     np.savez(paths[1], targets=[1.0, -1.0])
    ...     ds.datasets.from_files(*paths)
    <Samples: 2, dimension 2, outputs 1, loss 'squared'>
    """
    return Samples(loss=loss, **arrays_of_files(inputs, targets))


def digits(
    classes: Sequence[int] = (0, 1),
    samples: int = 20,
    seed: int = 0,
    standardize: bool = True,
    loss: str = "squared",
    test_samples: int = 0,
) -> Samples:
    """Handwritten digits, 8 x 8 pixels; see `named_set`.

    Parameters
    ----------
    classes, samples, seed, standardize, loss, test_samples
        As for `named_set`.

    Returns
    -------
    Samples
        Inputs of shape (samples, pixels that differ).

    Raises
    ------
    DataError
        If there is no such class or number of samples, or scikit-learn is not installed; one line.

    See Also
    --------
    named_set : other sets.

    References
    ----------
    scikit-learn, ``load_digits``: Alpaydin, Kaynak, UCI Machine Learning Repository (1998).

    Examples
    --------
    >>> import dmft_sym as ds
    >>> ds.datasets.digits(classes=(3, 8), samples=20)
    <Samples: 20, dimension 48, outputs 1, loss 'squared'>
    """
    return named_set("digits", classes, samples, seed, standardize, loss, test_samples)


def named_set(
    name: str,
    classes: Sequence[int] = (0, 1),
    samples: int = 20,
    seed: int = 0,
    standardize: bool = True,
    loss: str = "squared",
    test_samples: int = 0,
) -> Samples:
    """Samples of a data set that comes with scikit-learn.

    Parameters
    ----------
    name
        ``"digits"`` (10 classes of 8 x 8 pixels), ``"iris"`` (3), ``"wine"`` (3) or ``"breast_cancer"`` (2).
    classes
        Two or more classes, as the set numbers them.
    samples
        Number ``P`` of training samples, as many of every class as far as that is possible. They are drawn without
        repetition and one of each class in turn, so that fewer samples are the first ones of more.
    seed
        Seed of the draw.
    standardize
        Subtract from every feature its mean and divide by its standard deviation, both over all samples of these
        classes in the set, whatever is drawn. Features that have one value in 95 of 100 of these samples are left out:
        divided by their small deviation the few other samples would be huge. So ``|x|^2/D`` averages to 1 over the
        classes. If false, inputs are as in the set.
    loss
        ``"squared"``: two classes have targets -1 (the first of ``classes``) and 1, more are one-hot. ``"logistic"``:
        the same with -1 for 0. ``"softmax"``: one-hot.
    test_samples
        Number of test samples, drawn on from what is left.

    Returns
    -------
    Samples
        Inputs of shape (samples, features), targets (samples, outputs).

    Raises
    ------
    DataError
        If there is no such set, class or number of samples, or scikit-learn is not installed; one line.

    See Also
    --------
    digits : the first of them.
    from_npz : arrays in a file.

    References
    ----------
    scikit-learn, https://scikit-learn.org, toy data sets.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> ds.datasets.named_set("iris", classes=(0, 1, 2), samples=6, loss="softmax")
    <Samples: 6, dimension 4, outputs 3, loss 'softmax'>
    """
    return Samples(loss=loss, **arrays_of_set(name, classes, samples, seed, standardize, loss, test_samples))
