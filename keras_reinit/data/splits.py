"""Three parts of a data set that share no example, and how they are drawn."""

import dataclasses

import numpy as np

from keras_reinit.arguments import checked_integer, checked_type
from keras_reinit.data.checks import are_labels, as_array, check_vector, description
from keras_reinit.data.digest import digest

PARTS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Splits:
    """Three parts of a data set that share no example.

    Attributes:
        name: Name of the data set.
        class_names: Tuple of strings, one for each class.
        train, validation, test: Each `(images, labels)`; images (n, height, width,
            channels), uint8 or float32 in [0, 1], or `ImageFiles`; labels (n,) int32.
        train_index, validation_index: Where these examples stand in the whole
            training set. A validation set that is published as such stands behind it.
        flip: Whether a mirrored image keeps its class.
        clean_labels: Labels (n,) of the training examples before any noise; `None`
            where there is no noise.
        fingerprint: Hexadecimal digest of the whole data set as it is published,
            whatever its name and its splits; `None` if it is not known.

    Raises:
        ValueError: If the parts do not fit each other.
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
    fingerprint: str | None = None

    def __post_init__(self):
        # Cheap checks only: each copy with a change passes here.
        if not isinstance(self.name, str):
            raise ValueError(
                f"`name` must be a string. Received: name={type(self.name)}"
            )
        checked_type("flip", self.flip, True)
        _check_class_names(self.class_names)
        for name in PARTS:
            _check_part(name, getattr(self, name), self.num_classes)
        _check_sizes_of_images({name: getattr(self, name)[0] for name in PARTS})
        count = len(self.train[1])
        check_vector("train_index", self.train_index, count)
        check_vector("validation_index", self.validation_index, len(self.validation[1]))
        if self.clean_labels is not None:
            check_vector("clean_labels", self.clean_labels, count, self.num_classes)

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
            ValueError: If there is noise already, or `noise` does not return a label
                for each example.
        """
        if self.clean_labels is not None:
            raise ValueError("`splits` must be clean. Received: labels with noise")
        if not callable(noise):
            raise ValueError(
                "`noise` must be a label noise, such as `SymmetricNoise(0.4)`. "
                f"Received: noise={noise!r}"
            )
        seed = checked_integer("seed", seed)
        changes = {"train": self._noisy(noise, seed, "train")}
        if checked_type("validation", validation, True):
            changes["validation"] = self._noisy(noise, seed, "validation")
        return dataclasses.replace(self, clean_labels=self.train[1], **changes)

    def _noisy(self, noise, seed, name):
        """A part with the labels that a noise made of a copy of its own."""
        images, labels = getattr(self, name)
        labels, index = np.array(labels), np.array(getattr(self, f"{name}_index"))
        made = noise(labels.copy(), self.num_classes, seed, images=images, index=index)
        found = as_array(made)
        if not are_labels(found, len(labels), self.num_classes):
            raise ValueError(
                f"`noise` must return {len(labels)} integer labels in "
                f"[0, num_classes={self.num_classes}), one for each label it is given. "
                f"Received: noise={noise!r}, which returned {description(found)}"
            )
        return images, found.astype(labels.dtype)


def _check_class_names(names):
    strings = isinstance(names, (tuple, list)) and all(
        isinstance(name, str) for name in names
    )
    if not strings or len(names) < 2:
        raise ValueError(
            "`class_names` must be a tuple of two or more strings. "
            f"Received: class_names={names!r}"
        )


def _check_part(name, part, num_classes):
    if not isinstance(part, (tuple, list)) or len(part) != 2:
        raise ValueError(
            f"`{name}` must be a pair of images and labels. Received: {type(part)}"
        )
    images, labels = part
    shape = tuple(getattr(images, "shape", ()))
    if len(shape) != 4:
        raise ValueError(
            f"`{name}` must have images of shape (n, height, width, channels). "
            f"Received: images of shape {shape}"
        )
    found = as_array(labels)
    if not are_labels(found, shape[0], num_classes):
        raise ValueError(
            f"`{name}` must have {shape[0]} integer labels in [0, num_classes="
            f"{num_classes}), one for each image. Received: {description(found)}"
        )


def _check_sizes_of_images(images):
    sizes = {name: tuple(array.shape[1:]) for name, array in images.items()}
    for name in PARTS[1:]:
        if sizes[name] != sizes["train"]:
            raise ValueError(
                f"`{name}` must have images of the (height, width, channels) of "
                f"`train`, {sizes['train']}. Received: images of {sizes[name]}"
            )


def split(name, raw, known, train_size, validation_size, seed):
    """Draws the three parts of a data set; arguments as of `load`.

    Args:
        name: Of the data set.
        raw: The data set, a `Raw`.
        known: What is known of it, a `DataSet`.

    Returns:
        `Splits`.

    Raises:
        ValueError: For sizes that do not fit.
    """
    (images, labels), test = raw.train, raw.test
    if test is None:
        size = known.test_size or len(labels) // 5
        rest, held_out = _stratified(labels, size, 0, "test_size")
        test = images[held_out], labels[held_out]
        images, labels = images[rest], labels[rest]
    rest, validation, index = _validation(
        raw.validation, images, labels, known, validation_size, seed
    )
    if train_size is not None and train_size != len(rest):
        _, chosen = _stratified(labels[rest], train_size, seed, "train_size")
        rest = rest[chosen]
    return Splits(
        name,
        raw.class_names,
        train=(images[rest], labels[rest]),
        validation=validation,
        test=test,
        train_index=rest,
        validation_index=index,
        flip=known.flip,
        fingerprint=digest(raw),
    )


def _validation(published, images, labels, known, size, seed):
    """The places that are left for training; the validation set, and its places."""
    everything = np.arange(len(labels))
    if published is not None:
        if size is not None:
            raise ValueError(
                "`validation_size` must be None where the data set has a validation "
                f"set of its own. Received: validation_size={size!r}"
            )
        # Behind the training examples: label noise depends on the place.
        return everything, published, len(labels) + np.arange(len(published[1]))
    if size is None:
        size = known.validation_size or len(labels) // 10
    rest, chosen = _stratified(labels, size, seed, "validation_size")
    return rest, (images[chosen], labels[chosen]), chosen


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
