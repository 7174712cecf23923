"""Label noise: wrong labels that depend on nothing but seed and example index."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class SymmetricNoise:
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
        if not 0 <= self.noise_rate <= 1:
            raise ValueError(
                "`noise_rate` must be in [0, 1]. "
                f"Received: noise_rate={self.noise_rate!r}"
            )

    def __call__(self, labels, num_classes, seed):
        """Returns a noisy copy of `labels`.

        Args:
            labels: Integer array of shape (n,), each in [0, num_classes).
            num_classes: Integer >= 2.
            seed: Integer >= 0. The label at index i depends on `seed` and i only,
                not on how many labels there are.

        Raises:
            ValueError: If a label is outside its range.
        """
        labels = np.asarray(labels)
        if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
            raise ValueError(
                f"`labels` must be in [0, num_classes={num_classes}). "
                f"Received: labels from {labels.min()} to {labels.max()}"
            )
        # Row i holds the two numbers of example i, whatever the number of rows.
        draws = np.random.default_rng((seed, 0x1ABE1)).random((len(labels), 2))
        drawn = (draws[:, 1] * num_classes).astype(labels.dtype)
        return np.where(draws[:, 0] < self.noise_rate, drawn, labels)
