"""Image classification data sets, split for training, validation and test."""

import dataclasses
import gzip
import pathlib
import struct

import numpy as np

from keras_reinit.data.images import check_examples

# Where Debian's package dataset-fashion-mnist puts its IDX files.
FASHION_MNIST_FOLDER = "/usr/share/datasets/fashion-mnist"


@dataclasses.dataclass(frozen=True)
class DataSet:
    """What is known of a data set before it is loaded.

    Attributes:
        num_classes: Number of classes.
        validation_size: Examples set aside from the training set, by default.
        flip: Whether a mirrored image keeps its class.
        test_size: Examples to set aside for test where there is no official test
            set, else `None`.
    """

    num_classes: int
    validation_size: int
    flip: bool
    test_size: int | None = None


DATASETS = {
    "digits": DataSet(10, validation_size=400, flip=False, test_size=797),
    "fashion_mnist": DataSet(10, validation_size=5000, flip=True),
    "cifar10": DataSet(10, validation_size=5000, flip=True),
    "cifar100": DataSet(100, validation_size=5000, flip=True),
}


@dataclasses.dataclass(frozen=True)
class Splits:
    """Three parts of a data set that share no example.

    Attributes:
        name: Name of the data set.
        num_classes: Number of classes.
        train, validation, test: Each `(images, labels)`; images (n, height, width,
            channels), uint8 or float32 in [0, 1], labels (n,) int32.
        train_index, validation_index: Where these examples stand in the official
            training set.
    """

    name: str
    num_classes: int
    train: tuple
    validation: tuple
    test: tuple
    train_index: np.ndarray
    validation_index: np.ndarray

    def with_noise(self, noise, *, seed, validation):
        """Copies with noisy training labels; test labels always stay clean.

        Args:
            noise: A callable such as `SymmetricNoise(0.4)`.
            seed: Integer >= 0; an example's label depends on it and on the example's
                place in the official training set, not on sizes and splits.
            validation: Whether the validation labels are noisy as well.
        """
        images, labels = self.train
        size = max(self.train_index.max(), self.validation_index.max()) + 1
        official = np.zeros(size, labels.dtype)
        official[self.train_index] = labels
        official[self.validation_index] = self.validation[1]
        noisy = noise(official, self.num_classes, seed)
        changes = {"train": (images, noisy[self.train_index])}
        if validation:
            changes["validation"] = (self.validation[0], noisy[self.validation_index])
        return dataclasses.replace(self, **changes)


def load(name="digits", *, train_size=None, validation_size=None, seed=0, folder=None):
    """Loads a data set and splits it.

    The test set is the official one (for digits, which has none, a fixed stratified
    third), so it is the same for every seed. Validation and training examples are
    drawn by `seed` from the rest, stratified by class.

    Args:
        name: `"digits"` (scikit-learn's 1,797 images of 8x8, embedded),
            `"fashion_mnist"`, `"cifar10"` or `"cifar100"` (tensorflow-datasets).
        train_size: Integer, number of training examples; `None` for all.
        validation_size: Integer >= num_classes; `None` for 400 of digits' 1,000 and
            5,000 of the others.
        seed: Integer >= 0.
        folder: Where to look: for IDX files of Fashion-MNIST, by default where
            Debian's package `dataset-fashion-mnist` puts them; else the data folder
            of tensorflow-datasets.

    Returns:
        `Splits`.

    Raises:
        ValueError: For an unknown name, sizes that do not fit, or a data set that
            cannot be had; the message says what to do.

    Example:

    >>> digits = load("digits", train_size=600)
    >>> digits.train[0].shape, digits.test[0].shape
    ((600, 8, 8, 1), (797, 8, 8, 1))
    """
    if name not in DATASETS:
        raise ValueError(f"`name` must be one of {list(DATASETS)}. Received: {name!r}")
    known = DATASETS[name]
    (images, labels), test = _READERS.get(name, _read_tfds)(name, folder)
    if validation_size is None:
        validation_size = known.validation_size
    rest, validation = _stratified(labels, validation_size, seed, "validation_size")
    if train_size is not None and train_size != len(rest):
        _, chosen = _stratified(labels[rest], train_size, seed, "train_size")
        rest = rest[chosen]
    return Splits(
        name,
        known.num_classes,
        train=(images[rest], labels[rest]),
        validation=(images[validation], labels[validation]),
        test=test,
        train_index=rest,
        validation_index=validation,
    )


def _stratified(labels, size, seed, argument):
    """Indices outside and inside of a stratified sample of `size` examples."""
    from sklearn.model_selection import train_test_split

    classes = len(np.unique(labels))
    if not classes <= size <= len(labels) - classes:
        raise ValueError(
            f"`{argument}` must be in [{classes}, {len(labels) - classes}], of the "
            f"{len(labels)} examples there are. Received: {argument}={size!r}"
        )
    index = np.arange(len(labels))
    return train_test_split(index, test_size=size, random_state=seed, stratify=labels)


def _read_digits(name, folder):
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images[..., None] / 16).astype("float32")
    labels = data.target.astype("int32")
    rest, test = _stratified(labels, DATASETS[name].test_size, 0, "test_size")
    return (images[rest], labels[rest]), (images[test], labels[test])


def _read_fashion_mnist(name, folder):
    here = pathlib.Path(folder or FASHION_MNIST_FOLDER)
    if not (here / "train-images-idx3-ubyte.gz").exists():
        return _read_tfds(name, folder)
    return tuple(
        check_examples(
            read_idx(here / f"{part}-images-idx3-ubyte.gz")[..., None],
            read_idx(here / f"{part}-labels-idx1-ubyte.gz").astype("int32"),
        )
        for part in ("train", "t10k")
    )


def read_idx(path):
    """Reads a gzipped IDX file of unsigned bytes, the format of MNIST.

    Raises:
        ValueError: If the file is truncated or is no such file.
    """
    try:
        with gzip.open(path) as file:
            content = file.read()
        zeros, dtype, dimensions = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{dimensions}I", content, 4)
        values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
        if (zeros, dtype) != (0, 0x08):
            raise ValueError("it does not begin as an IDX file of unsigned bytes does")
        return values.reshape(shape)
    except (OSError, EOFError, struct.error, ValueError) as error:
        raise ValueError(f"{path} must be a whole IDX file: {error}") from error


def _read_tfds(name, folder):
    try:
        import tensorflow_datasets as tfds

        parts = tfds.load(name, split=["train", "test"], data_dir=folder)
    except Exception as error:
        raise ValueError(_cannot_be_had(name, error)) from error
    return tuple(_as_arrays(part) for part in parts)


def _as_arrays(part):
    batches = list(part.batch(1000).as_numpy_iterator())
    images = np.concatenate([batch["image"] for batch in batches])
    labels = np.concatenate([batch["label"] for batch in batches])
    return check_examples(images, labels.astype("int32"))


def _cannot_be_had(name, error):
    hint = (
        "or install Debian's package dataset-fashion-mnist, or name the `folder` with "
        "its IDX files "
        if name == "fashion_mnist"
        else ""
    )
    return (
        f"Data set {name!r} could not be loaded through tensorflow-datasets. Install "
        "it (`pip install keras_reinit[data]`) and let it download once with internet "
        f"access {hint}(`folder` is its data folder); 'digits' needs no download. "
        f"Cause: {type(error).__name__}: {str(error)[:300]}"
    )


_READERS = {"digits": _read_digits, "fashion_mnist": _read_fashion_mnist}
