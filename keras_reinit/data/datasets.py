"""Image classification data sets, split for training, validation and test."""

import dataclasses
import os

import numpy as np

from keras_reinit.arguments import checked_integer, checked_type
from keras_reinit.data.digest import digest
from keras_reinit.data.files import read_folder
from keras_reinit.data.from_tfds import Raw, read_tfds
from keras_reinit.data.idx import read_fashion_mnist
from keras_reinit.data.images import check_examples
from keras_reinit.data.label_noise import check_labels
from keras_reinit.data.splits import split


@dataclasses.dataclass(frozen=True)
class DataSet:
    """What is known of a data set before it is loaded.

    Attributes:
        flip: Whether a mirrored image keeps its class.
        validation_size: Examples set aside from the training set, by default; `None`
            for a tenth.
        test_size: Examples to set aside for test where there is no official test
            set; `None` for a fifth.
        test_split: Where tensorflow-datasets has the test set.
        shape: Tuple (height, width, channels) of the images; `None` if not known.
        num_classes: Integer.
        examples, test_examples: How many there are to train on, and in the official
            test set; `None` for none.
    """

    flip: bool = True
    validation_size: int | None = None
    test_size: int | None = None
    test_split: str = "test"
    shape: tuple | None = None
    num_classes: int | None = None
    examples: int | None = None
    test_examples: int | None = None


DATASETS = {
    "digits": DataSet(
        False, 400, test_size=797, shape=(8, 8, 1), num_classes=10, examples=1797
    ),
    "fashion_mnist": DataSet(
        True, 5000, shape=(28, 28, 1), num_classes=10, examples=60_000,
        test_examples=10_000,
    ),
    "cifar10": DataSet(
        True, 5000, shape=(32, 32, 3), num_classes=10, examples=50_000,
        test_examples=10_000,
    ),
    "cifar100": DataSet(
        True, 5000, shape=(32, 32, 3), num_classes=100, examples=50_000,
        test_examples=10_000,
    ),
    "svhn_cropped": DataSet(
        False, shape=(32, 32, 3), num_classes=10, examples=73_257,
        test_examples=26_032,
    ),
    "tiny_imagenet": DataSet(
        test_split="validation", shape=(64, 64, 3), num_classes=200,
        examples=100_000, test_examples=10_000,
    ),
}  # fmt: skip


def load(name="digits", *, train_size=None, validation_size=None, seed=0, folder=None):
    """Loads a data set and splits it.

    The test set is the official one (where there is none, a fixed stratified part),
    so it is the same for every seed. So is the validation set where there are
    official ones for both. Other validation and training examples are drawn by `seed`
    from the rest, stratified by class.

    Args:
        name: `"digits"` (scikit-learn's 1,797 images of 8x8, embedded, a fixed part
            of 797 of them for test); `"fashion_mnist"`, `"cifar10"`, `"cifar100"`,
            `"svhn_cropped"`, `"tiny_imagenet"` (its validation images for test) or
            another image classification data set of tensorflow-datasets, such as
            `"emnist/letters"` (where it has a validation set and no test set, papers
            test on the validation set, and so does this); or the path of a folder
            with a subfolder of images for each class, or with such below `train` and,
            if there are any, `test` and `validation` (or `valid`, `val`), written
            with a `/`, as in `"./my_images"`.
        train_size: Integer, number of training examples; `None` for all.
        validation_size: Integer >= num_classes; `None` for 400 of digits' 1,000, for
            5,000 of Fashion-MNIST and CIFAR, for a tenth of others. It must be `None`
            where the validation set is the official one.
        seed: Integer >= 0.
        folder: Where to look: for IDX files of Fashion-MNIST, by default where Debian's
            package `dataset-fashion-mnist` puts them; else the data folder of
            tensorflow-datasets.

    Returns:
        `Splits`.

    Raises:
        ValueError: For sizes that do not fit, or a data set that cannot be had; the
            message says what to do.

    Example:

    >>> digits = load("digits", train_size=600)
    >>> digits.train[0].shape, digits.test[0].shape
    ((600, 8, 8, 1), (797, 8, 8, 1))
    """
    check_sizes(train_size, validation_size, seed)
    raw = _published(name, folder)
    known = DATASETS.get(name, DataSet())
    return split(name, raw, known, train_size, validation_size, seed)


def fingerprint(name, folder=None):
    """Returns the fingerprint of a whole data set, as `Splits.fingerprint`.

    Two data sets have the same one if their classes, images and labels are the same,
    whatever they are called and wherever they lie.

    Args:
        name, folder: As of `load`. The whole data set is read.

    Raises:
        ValueError: If the data set cannot be had.

    Example:

    >>> fingerprint("digits") == load("digits", train_size=100, seed=3).fingerprint
    True
    """
    return digest(_published(name, folder))


def check_sizes(train_size, validation_size, seed=0):
    """A `ValueError` for numbers of examples or a seed that are no integers >= 0."""
    sizes = {"train_size": train_size, "validation_size": validation_size}
    for name, size in sizes.items():
        if size is not None:
            checked_integer(name, size)
    seed = checked_integer("seed", seed)
    checked_integer("seed", seed, high=2**32 - 1)  # As scikit-learn takes them.


def _published(name, folder):
    """The data set of a name or a path, before any split."""
    if not isinstance(name, str) or not name:
        raise ValueError(
            "`name` must be a string, the name of a data set or the path of a folder. "
            f"Received: name={name!r}"
        )
    if folder is not None and not isinstance(folder, (str, os.PathLike)):
        raise ValueError(f"`folder` must be a path. Received: folder={folder!r}")
    if _is_path(name):
        return read_folder(os.path.expanduser(name))
    return _READERS.get(name, _read_tfds)(name, folder)


def _is_path(name):
    """Whether a name is a path: it looks like one, or there is such a folder."""
    first = name.replace(os.sep, "/").split("/")[0]
    if os.path.isabs(name) or first in (".", "..") or first.startswith("~"):
        return True
    return "/" in name.replace(os.sep, "/") and os.path.isdir(name)


def public_name(name):
    """The name of a data set as rows have it: of a folder, its last part alone.

    Example:

    >>> public_name("digits"), public_name("/home/somebody/my_images/")
    ('digits', './my_images')
    """
    if not _is_path(name):
        return name
    return f"./{os.path.basename(os.path.abspath(os.path.expanduser(name)))}"


def from_arrays(
    train, test=None, *, num_classes=None, train_size=None, validation_size=None,
    flip=True, seed=0,
):  # fmt: skip
    """Splits arrays of your own; arguments as in `load`.

    Args:
        train: `(images, labels)`: uint8 or float images in [0, 1], (n, height, width,
            channels); integer labels (n,).
        test: The same, or `None` to set a stratified fifth aside.
        num_classes: Integer >= 2; `None` for one more than the largest label. It must
            be given where a class has no training example.
        flip: Whether a mirrored image keeps its class; digits do not.

    Returns:
        `Splits`.

    Raises:
        ValueError: For images, labels or sizes that do not fit.

    Example:

    >>> images, labels = np.zeros((100, 4, 4, 3), "uint8"), np.arange(100) % 2
    >>> splits = from_arrays((images, labels), train_size=50)
    >>> [len(part[1]) for part in (splits.train, splits.validation, splits.test)]
    [50, 8, 20]
    """
    check_sizes(train_size, validation_size, seed)
    checked_type("flip", flip, True)
    parts = [_examples("train", train)]
    parts.append(None if test is None else _examples("test", test))
    num_classes = _checked_classes(num_classes, *parts)
    raw = Raw(tuple(map(str, range(num_classes))), *parts)
    known = DataSet(flip=flip)
    return split("arrays", raw, known, train_size, validation_size, seed)


def _examples(name, part):
    if not isinstance(part, (tuple, list)) or len(part) != 2:
        raise ValueError(
            f"`{name}` must be a pair of images and labels. Received: {type(part)}"
        )
    return check_examples(*part)


def _checked_classes(num_classes, train, test):
    """The number of classes of some examples, of which the labels are checked."""
    labels = train[1]
    if num_classes is None:
        num_classes = int(labels.max()) + 1
        missing = np.setdiff1d(np.arange(num_classes), labels)
        if len(missing):
            raise ValueError(
                "`train` must have examples of each class from 0 to the largest label, "
                "or `num_classes` must be given. Received: labels up to "
                f"{num_classes - 1}, and none of class {missing[0]}"
            )
    elif labels.min() < labels.max():
        checked_integer("num_classes", num_classes, low=2)
    for _, some in filter(None, (train, test)):
        check_labels(some, num_classes)
    if labels.min() == labels.max():
        raise ValueError(
            "`train` must have labels of two or more classes. Received: labels that "
            f"are all {labels[0]}"
        )
    return int(num_classes)


def _read_digits(name, folder):
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images[..., None] / 16).astype("float32")
    names = tuple(map(str, range(10)))
    return Raw(names, (images, data.target.astype("int32")))


def _read_fashion_mnist(name, folder):
    hint = (
        "or install Debian's package dataset-fashion-mnist, or name the `folder` with "
        "its IDX files "
    )
    raw = read_fashion_mnist(folder)
    return read_tfds(name, folder, "test", hint) if raw is None else raw


def _read_tfds(name, folder):
    known = DATASETS.get(name)
    return read_tfds(name, folder, None if known is None else known.test_split)


_READERS = {
    "digits": _read_digits,
    "fashion_mnist": _read_fashion_mnist,
}
