"""Label noise: wrong labels that depend on nothing but seed and example index.

Most noise is a transition matrix, whose row y has the chances of the noisy labels of
an example of class y. Two random numbers belong to each example: the first says
whether its label changes, the second to what. So the labels that are wrong at a low
rate are wrong at a higher one, too.
"""

import dataclasses

import numpy as np

from keras_reinit.arguments import check_share, checked_integer
from keras_reinit.data.checks import (
    are_labels,
    as_array,
    checked_index,
    description,
)
from keras_reinit.data.class_maps import CIFAR10_LOOKALIKES, CIFAR100_NEXT_IN_SUPERCLASS

# Rows of random numbers that are made at a time.
BLOCK = 4096


class LabelNoise:
    """Base of all noise: a frozen value that makes noisy labels of clean ones.

    A noise of one's own overrides `transition_matrix`, or `transition_rows`.
    """

    def transition_matrix(self, num_classes):
        """Returns chances, an array (num_classes, num_classes) with rows of sum 1."""
        raise NotImplementedError

    def transition_rows(self, labels, num_classes, seed, images, index):
        """Returns the chances of each example, an array (n, num_classes)."""
        return self.transition_matrix(num_classes)[labels]

    def __call__(self, labels, num_classes, seed, *, images=None, index=None):
        """Returns a noisy copy of `labels`.

        Args:
            labels: Integer array of shape (n,), each in [0, num_classes).
            num_classes: Integer >= 2.
            seed: Integer >= 0. A label depends on it and on the example's index only
                (and on the image, for `InstanceNoise`).
            images: Array (n, height, width, channels), for noise that looks at them.
            index: Integer array of shape (n,), where the examples stand in the whole
                training set; `None` for 0, ..., n - 1.

        Raises:
            ValueError: If a label is outside its range, or the noise does not fit.
        """
        labels = check_labels(labels, num_classes)
        seed = checked_integer("seed", seed)
        index = checked_index(index, len(labels))
        draws = numbers_of(index, 2, (seed, 0x1ABE1))
        rows = self.transition_rows(labels, num_classes, seed, images, index)
        rows = _checked_rows(rows, (len(labels), num_classes))
        kept = rows[np.arange(len(labels)), labels]
        targets = _sample_others(rows, labels, draws[:, 1])
        return np.where(draws[:, 0] < 1 - kept, targets, labels).astype(labels.dtype)


def numbers_of(index, count, key):
    """Uniform numbers in [0, 1) that belong to examples, an array (n, count).

    Row i of one endless table is that of example i. Blocks of it are made where there
    are examples: memory does not grow with the index.
    """
    blocks, places = np.divmod(np.asarray(index, "int64"), BLOCK)
    numbers = np.empty((len(blocks), count))
    order = np.argsort(blocks, kind="stable")
    begins = np.flatnonzero(np.diff(blocks[order], prepend=-1))
    for some in np.split(order, begins[1:]) if len(order) else ():
        # One step of the generator makes one number.
        steps = int(blocks[some[0]]) * BLOCK * count
        generator = np.random.PCG64(key).advance(steps)
        rows = np.random.Generator(generator).random((BLOCK, count))
        numbers[some] = rows[places[some]]
    return numbers


def check_labels(labels, num_classes):
    """Returns `labels` as an array; a `ValueError` for one outside its range."""
    checked_integer("num_classes", num_classes, low=1)
    labels = as_array(labels)
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise ValueError(
            "`labels` must be a vector of integers. "
            f"Received: labels of shape {labels.shape}, dtype {labels.dtype}"
        )
    if not are_labels(labels, high=num_classes):
        raise ValueError(
            f"`labels` must be in [0, num_classes={num_classes}). "
            f"Received: labels from {labels.min()} to {labels.max()}"
        )
    return labels


def _checked_rows(rows, shape):
    """The chances of a noise, which may be a user's own."""
    rows = as_array(rows)
    fits = rows.shape == shape and rows.dtype.kind in "iuf"
    if not (fits and (rows >= 0).all() and np.allclose(rows.sum(axis=1), 1)):
        raise ValueError(
            "`transition_rows` must return chances, not below 0 and of sum 1 in each "
            f"row, of shape {shape}. Received: {description(rows)}"
        )
    return rows


def _sample_others(rows, labels, draws):
    """Draws from each row, its own class left out."""
    rows = np.array(rows)
    rows[np.arange(len(labels)), labels] = 0
    ends = np.cumsum(rows, axis=1)
    # The first class whose end lies beyond the draw; where nothing is left, the own.
    beyond = draws[:, None] * ends[:, -1:] < ends
    return np.where(beyond.any(axis=1), beyond.argmax(axis=1), labels)


@dataclasses.dataclass(frozen=True)
class SymmetricNoise(LabelNoise):
    """Replaces labels by labels drawn uniformly from all classes.

    Each label is replaced with chance `noise_rate`, by any class with the same
    chance, *its own included*: the share of labels that change is
    `noise_rate * (num_classes - 1) / num_classes` (0.36 for 0.4 and ten classes).
    That is how Zaidi et al. (2022) put it, a random fraction of the labels
    "randomized", and the noise of DivideMix (arXiv 2002.07394).

    Args:
        noise_rate: Float in [0, 1]; 0 changes nothing, 1 leaves no information.

    Raises:
        ValueError: If `noise_rate` is out of its range.

    Example:

    >>> labels = np.zeros(1000, "int32")
    >>> noisy = SymmetricNoise(0.4)(labels, num_classes=10, seed=0)
    >>> 0.3 < float((noisy != labels).mean()) < 0.42
    True
    """

    noise_rate: float

    def __post_init__(self):
        check_share("noise_rate", self.noise_rate)

    def transition_matrix(self, num_classes):
        """`1 - noise_rate` on the diagonal, and `noise_rate / num_classes` all over."""
        checked_integer("num_classes", num_classes, low=1)
        drawn = np.full((num_classes, num_classes), self.noise_rate / num_classes)
        return drawn + (1 - self.noise_rate) * np.eye(num_classes)


@dataclasses.dataclass(frozen=True)
class PairFlipNoise(LabelNoise):
    """Changes labels to the next class, the last one to the first.

    Each label changes with chance `noise_rate`. Above 0.5 most labels are wrong, in a
    way that can be learned: the literature's rate is 0.45 (Co-teaching, Han et al.
    2018, arXiv 1804.06872).

    Args:
        noise_rate: Float in [0, 1], the share of labels that change.

    Raises:
        ValueError: If `noise_rate` is out of its range.

    Example:

    >>> PairFlipNoise(1.0)(np.array([0, 1, 2]), num_classes=3, seed=0)
    array([1, 2, 0])
    """

    noise_rate: float

    def __post_init__(self):
        check_share("noise_rate", self.noise_rate)

    def transition_matrix(self, num_classes):
        """`noise_rate` right of the diagonal."""
        checked_integer("num_classes", num_classes, low=1)
        return _mapped(self.noise_rate, np.arange(1, num_classes + 1) % num_classes)


@dataclasses.dataclass(frozen=True)
class AsymmetricNoise(LabelNoise):
    """Changes labels to the class that each is confused with.

    A label of class c changes to `targets[c]` with chance `noise_rate`, *where that
    is another class*. With CIFAR-10's map five of ten classes do, so that
    `noise_rate / 2` of all labels change; with CIFAR-100's, all of them.

    Args:
        noise_rate: Float in [0, 1].
        targets: Tuple of integers, one for each class; its own for a class that is
            not confused. `AsymmetricNoise.cifar10(rate)` has the five look-alikes of
            Patrini et al. 2017 (arXiv 1609.03683), `AsymmetricNoise.cifar100(rate)`
            the next class of the same superclass. (Some published code takes the
            next of five in the alphabet for that, which is another map.)

    Raises:
        ValueError: If `noise_rate` or a target is out of its range.

    Example:

    >>> AsymmetricNoise(1.0, targets=(0, 2, 1))(np.array([0, 1, 2]), 3, seed=0)
    array([0, 2, 1])
    """

    noise_rate: float
    targets: tuple

    def __post_init__(self):
        check_share("noise_rate", self.noise_rate)
        targets = as_array(self.targets)
        if not are_labels(targets, high=targets.size):
            raise ValueError(
                "`targets` must be classes, one for each class. "
                f"Received: targets={self.targets!r}"
            )
        object.__setattr__(self, "targets", tuple(targets.tolist()))

    @classmethod
    def cifar10(cls, noise_rate):
        """Truck to car, bird to airplane, deer to horse, cat and dog to each other."""
        return cls(noise_rate, CIFAR10_LOOKALIKES)

    @classmethod
    def cifar100(cls, noise_rate):
        """Each class to the next of its superclass, the last to the first."""
        return cls(noise_rate, CIFAR100_NEXT_IN_SUPERCLASS)

    def transition_matrix(self, num_classes):
        """`noise_rate` where a class meets its target."""
        if len(self.targets) != num_classes:
            raise ValueError(
                f"`targets` must have num_classes={num_classes} entries. "
                f"Received: {len(self.targets)} targets"
            )
        return _mapped(self.noise_rate, np.array(self.targets))


@dataclasses.dataclass(frozen=True)
class TransitionNoise(LabelNoise):
    """Changes labels by any transition matrix.

    Args:
        matrix: Nested sequence of floats >= 0, (num_classes, num_classes); row y has
            the chances of the noisy labels of an example of class y, sum 1. The share
            of labels that change is one minus the mean of the diagonal, where classes
            are equally frequent.

    Raises:
        ValueError: If it is no such matrix.

    Example:

    >>> TransitionNoise([[1, 0], [1, 0]])(np.array([0, 1, 1]), 2, seed=0)
    array([0, 0, 0])
    """

    matrix: tuple

    def __post_init__(self):
        matrix = as_array(self.matrix)
        square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] > 0
        fits = square and matrix.dtype.kind in "iuf"
        if not fits or (matrix < 0).any() or not np.allclose(matrix.sum(1), 1):
            sums = f", row sums {matrix.sum(1).tolist()}" if fits else ""
            raise ValueError(
                "`matrix` must be square, with no entry below 0 and rows of sum 1. "
                f"Received: {description(matrix)}{sums}"
            )
        matrix = matrix.astype("float64")
        object.__setattr__(self, "matrix", tuple(map(tuple, matrix.tolist())))

    def transition_matrix(self, num_classes):
        """The matrix that was given."""
        if len(self.matrix) != num_classes:
            raise ValueError(
                f"`matrix` must have num_classes={num_classes} rows. "
                f"Received: {len(self.matrix)} rows"
            )
        return np.array(self.matrix)


def _mapped(noise_rate, targets):
    """The matrix of a map of classes: targets with chance `noise_rate`."""
    eye = np.eye(len(targets))
    return (1 - noise_rate) * eye + noise_rate * eye[targets]
