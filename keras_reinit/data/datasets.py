"""Image classification data sets, split for training, validation and test."""

import dataclasses

import numpy as np

from keras_reinit.data.files import read_folder
from keras_reinit.data.from_tfds import Raw, read_tfds
from keras_reinit.data.idx import read_fashion_mnist
from keras_reinit.data.images import check_examples
from keras_reinit.data.label_noise import check_labels


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


@dataclasses.dataclass(frozen=True)
class Splits:
    """Three parts of a data set that share no example.

    Attributes:
        name: Name of the data set.
        class_names: Tuple of strings, one for each class.
        train, validation, test: Each `(images, labels)`; images (n, height, width,
            channels), uint8 or float32 in [0, 1], or `ImageFiles`; labels (n,) int32.
        train_index, validation_index: Where these examples stand in the whole
            training set.
        flip: Whether a mirrored image keeps its class.
        clean_labels: Labels (n,) of the training examples before any noise; `None`
            where there is no noise.
    """

    name: str
    class_names: tuple
    train: tuple
    validation: tuple
    test: tuple
    train_index: np.ndarray
    validation_index: np.ndarray
    flip: bool = True
    clean_labels: np.ndarray | None = None

    @property
    def num_classes(self):
        """Number of classes."""
        return len(self.class_names)

    def with_noise(self, noise, *, seed, validation):
        """Copies with noisy training labels; test labels always stay clean.

        Args:
            noise: A `LabelNoise` such as `SymmetricNoise(0.4)`, or a callable like it.
            seed: Integer >= 0; an example's label depends on it and on the example's
                place in the whole training set, not on sizes and splits.
            validation: Whether the validation labels are noisy as well.

        Raises:
            ValueError: If there is noise already.
        """

        if self.clean_labels is not None:
            raise ValueError("`splits` must be clean. Received: labels with noise")

        def noisy(part, index):
            images, labels = part
            made = noise(labels, self.num_classes, seed, images=images, index=index)
            return images, made

        changes = {"train": noisy(self.train, self.train_index)}
        if validation:
            changes["validation"] = noisy(self.validation, self.validation_index)
        return dataclasses.replace(self, clean_labels=self.train[1], **changes)


def load(name="digits", *, train_size=None, validation_size=None, seed=0, folder=None):
    """Loads a data set and splits it.

    The test set is the official one (where there is none, a fixed stratified part),
    so it is the same for every seed. Validation and training examples are drawn by
    `seed` from the rest, stratified by class.

    Args:
        name: `"digits"` (scikit-learn's 1,797 images of 8x8, embedded, a fixed part
            of 797 of them for test); `"fashion_mnist"`, `"cifar10"`, `"cifar100"`,
            `"svhn_cropped"`, `"tiny_imagenet"` (its validation images for test) or
            another image classification data set of tensorflow-datasets; or the path
            of a folder with a subfolder of images for each class, or with such below
            `train` and `test`, written with a `/`, as in `"./my_images"`.
        train_size: Integer, number of training examples; `None` for all.
        validation_size: Integer >= num_classes; `None` for 400 of digits' 1,000, for
            5,000 of Fashion-MNIST and CIFAR, for a tenth of others.
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
    is_path = "/" in name
    raw = read_folder(name) if is_path else _READERS.get(name, _read_tfds)(name, folder)
    return _split(name, raw, train_size, validation_size, seed)


def from_arrays(
    train, test=None, *, num_classes=None, train_size=None, validation_size=None,
    flip=True, seed=0,
):  # fmt: skip
    """Splits arrays of your own; arguments as in `load`.

    Args:
        train: `(images, labels)`: uint8 or float images in [0, 1], (n, height, width,
            channels); integer labels (n,).
        test: The same, or `None` to set a stratified fifth aside.
        num_classes: Integer; `None` for one more than the largest label.
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
    for name, part in (("train", train), ("test", test)):
        pair = isinstance(part, (tuple, list)) and len(part) == 2
        if not pair and (part is not None or name == "train"):
            raise ValueError(
                f"`{name}` must be a pair of images and labels. Received: {type(part)}"
            )
    parts = [None if one is None else check_examples(*one) for one in (train, test)]
    if num_classes is None:
        num_classes = int(max(labels.max() for _, labels in filter(None, parts))) + 1
    for _, labels in filter(None, parts):
        check_labels(labels, num_classes)
    raw = Raw(tuple(map(str, range(num_classes))), *parts)
    splits = _split("arrays", raw, train_size, validation_size, seed)
    return dataclasses.replace(splits, flip=flip)


def _split(name, raw, train_size, validation_size, seed):
    known = DATASETS.get(name, DataSet())
    (images, labels), test = raw.train, raw.test
    if test is None:
        size = known.test_size or len(labels) // 5
        rest, held_out = _stratified(labels, size, 0, "test_size")
        test = images[held_out], labels[held_out]
        images, labels = images[rest], labels[rest]
    if validation_size is None:
        validation_size = known.validation_size or len(labels) // 10
    rest, validation = _stratified(labels, validation_size, seed, "validation_size")
    if train_size is not None and train_size != len(rest):
        _, chosen = _stratified(labels[rest], train_size, seed, "train_size")
        rest = rest[chosen]
    return Splits(
        name,
        raw.class_names,
        train=(images[rest], labels[rest]),
        validation=(images[validation], labels[validation]),
        test=test,
        train_index=rest,
        validation_index=validation,
        flip=known.flip,
    )


def _stratified(labels, size, seed, argument):
    """Indices outside and inside of a stratified sample of `size` examples."""
    from sklearn.model_selection import train_test_split

    classes, counts = np.unique(labels, return_counts=True)
    if not len(classes) <= size <= len(labels) - len(classes) or counts.min() < 2:
        raise ValueError(
            f"`{argument}` must be in [{len(classes)}, {len(labels) - len(classes)}], "
            f"of the {len(labels)} examples there are, at least 2 of each class. "
            f"Received: {argument}={size!r}, {counts.min()} of the rarest class"
        )
    index = np.arange(len(labels))
    return train_test_split(index, test_size=size, random_state=seed, stratify=labels)


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
    return read_tfds(name, folder, hint=hint) if raw is None else raw


def _read_tfds(name, folder):
    return read_tfds(name, folder, DATASETS.get(name, DataSet()).test_split)


_READERS = {
    "digits": _read_digits,
    "fashion_mnist": _read_fashion_mnist,
}
