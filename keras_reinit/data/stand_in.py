"""The sizes of a data set without its images: for plans, and networks to be built."""

import dataclasses
import math

import numpy as np

from keras_reinit.arguments import checked_integer, checked_type
from keras_reinit.data.checks import are_labels, as_array
from keras_reinit.data.datasets import DATASETS, check_sizes, load
from keras_reinit.data.splits import PARTS, Splits


@dataclasses.dataclass(frozen=True)
class Facts:
    """How large a data set and its splits are.

    Attributes:
        name: Name of the data set.
        shape: Tuple (height, width, channels) of its images.
        num_classes: Integer.
        train, validation, test: Numbers of examples.
    """

    name: str
    shape: tuple
    num_classes: int
    train: int
    validation: int
    test: int

    def __post_init__(self):
        checked_type("name", self.name, "")
        if not are_labels(as_array(self.shape), 3) or 0 in self.shape:
            raise ValueError(
                f"`shape` must be three integers >= 1. Received: shape={self.shape!r}"
            )
        checked_integer("num_classes", self.num_classes, low=2)
        for part in PARTS:
            checked_integer(part, getattr(self, part))

    @classmethod
    def of(cls, name, *, train_size=None, validation_size=None, folder=None):
        """Of a data set that need not be at hand, if its sizes are known.

        Args:
            name, train_size, validation_size, folder: As of `keras_reinit.data.load`,
                which is called if the sizes are not known.

        Raises:
            ValueError: As `load`, if it is called.

        Example:

        >>> facts = Facts.of("cifar100")
        >>> facts.shape, facts.num_classes, facts.train
        ((32, 32, 3), 100, 45000)
        """
        check_sizes(train_size, validation_size)
        known = DATASETS.get(name) if isinstance(name, str) else None
        if known is None or known.shape is None:
            splits = load(
                name,
                train_size=train_size,
                validation_size=validation_size,
                folder=folder,
            )
            return cls.of_splits(splits)
        test = known.test_examples or known.test_size
        rest = known.examples - (0 if known.test_examples else test)
        validation = validation_size or known.validation_size or rest // 10
        train = train_size or rest - validation
        return cls(name, known.shape, known.num_classes, train, validation, test)

    @classmethod
    def of_splits(cls, splits):
        """Of splits that are at hand."""
        counts = (len(one[1]) for one in (splits.train, splits.validation, splits.test))
        return cls(
            splits.name, tuple(splits.train[0].shape[1:]), splits.num_classes, *counts
        )

    def stand_in(self, train, seed=0):
        """`Splits` of random images: so many for training, others in proportion.

        Args:
            train: Integer in [1, self.train].
            seed: Integer >= 0.
        """
        train = checked_integer("train", train, low=1, high=self.train)
        seed, share = checked_integer("seed", seed), train / self.train
        parts = [self._random(train, seed)] + [
            self._random(math.ceil(count * share), seed + i)
            for i, count in enumerate((self.validation, self.test), 1)
        ]
        names = tuple(map(str, range(self.num_classes)))
        flip = DATASETS[self.name].flip if self.name in DATASETS else True
        behind = train + np.arange(len(parts[1][1]))
        return Splits(self.name, names, *parts, np.arange(train), behind, flip)

    def _random(self, count, seed):
        rng = np.random.default_rng(seed)
        images = rng.integers(0, 256, (count, *self.shape), dtype="uint8")
        return images, (np.arange(count) % self.num_classes).astype("int32")
