"""Augmentation that mixes two examples of a batch, their labels included.

Each example is mixed with the one before it in the batch, which a seeded shuffle has
put there. (For label smoothing, give one-hot labels to Keras' own
`CategoricalCrossentropy(label_smoothing=...)`.)
"""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from keras_reinit.data.augment import box_mask, checked_batch
from keras_reinit.data.checks import check_positive_number


@dataclasses.dataclass(frozen=True)
class _OfPairs:
    """What both share: a weight ~ Beta(alpha, alpha)."""

    alpha: float = 1.0

    mixes_labels = True

    def __post_init__(self):
        check_positive_number("alpha", self.alpha)


@dataclasses.dataclass(frozen=True)
class MixUp(_OfPairs):
    """Averages pairs of images and of one-hot labels, with one random weight.

        image = weight * image + (1 - weight) * other, weight ~ Beta(alpha, alpha)

    Zhang et al. 2018 (arXiv 1710.09412). Each example draws its own weight (their
    code: one for a batch).

    Args:
        alpha: Float > 0: near 0, one image hardly shows; at 1, all weights are
            equally frequent. The paper's 0.2 is for ImageNet, 1 for CIFAR.

    Raises:
        ValueError: If `alpha` is not positive.

    Example:

    >>> images, labels = np.array([0.0, 1.0]).reshape(2, 1, 1, 1), np.eye(2)
    >>> mixed, soft = MixUp(1.0)(images, labels, np.array([[0.25], [0.75]]))
    >>> soft.numpy().round(2).tolist()
    [[0.25, 0.75], [0.25, 0.75]]
    """

    num_draws = 1

    def __call__(self, images, labels, draws):
        """Mixes a batch.

        Args:
            images: Tensor of shape (batch, height, width, channels).
            labels: Float tensor of shape (batch, num_classes), one-hot or soft.
            draws: Float tensor of shape (batch, 1), uniform in [0, 1).

        Returns:
            Images and labels; uint8 images are rounded.
        """
        images, draws = checked_batch(self, images, draws)
        labels = _checked_labels(labels)
        weight = _beta(draws[:, 0], self.alpha)
        mixed = _mix(tf.cast(images, tf.float32), weight)
        if images.dtype == tf.uint8:
            mixed = tf.round(mixed)
        return tf.cast(mixed, images.dtype), _mix(labels, weight)


@dataclasses.dataclass(frozen=True)
class CutMix(_OfPairs):
    """Pastes a rectangle of another image; labels are mixed by its area.

    The rectangle has the image's shape, a share 1 - weight of its area before what
    sticks out is cut off, and its center is any pixel: weight ~ Beta(alpha, alpha).
    Yun et al. 2019 (arXiv 1905.04899).

    Args:
        alpha: Float > 0; 1 in the paper: all areas are equally frequent.

    Raises:
        ValueError: If `alpha` is not positive.

    Example:

    >>> images, labels = np.array([0.0, 1.0]).reshape(2, 1, 1, 1), np.eye(2)
    >>> draws = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    >>> mixed, soft = CutMix()(images, labels, draws)
    >>> mixed.numpy().ravel(), soft.numpy()[:, 0]
    (array([1., 1.]), array([0., 0.], dtype=float32))
    """

    num_draws = 3

    def __call__(self, images, labels, draws):
        """Mixes a batch; draws are those of the weight, and row and column."""
        images, draws = checked_batch(self, images, draws)
        labels = _checked_labels(labels)
        shape = tf.constant([*images.shape[1:3]], tf.float32)
        half = tf.sqrt(1 - _beta(draws[:, :1], self.alpha)) * shape / 2
        centers = tf.floor(draws[:, 1:] * shape) + 0.5
        begin, end = tf.round(centers - half), tf.round(centers + half)
        inside = box_mask(images, begin, end)
        other = tf.roll(images, 1, axis=0)
        weight = 1 - tf.reduce_mean(tf.cast(inside, tf.float32), axis=[1, 2, 3])
        return tf.where(inside, other, images), _mix(labels, weight)


def _checked_labels(labels):
    labels = tf.cast(tf.convert_to_tensor(labels), tf.float32)
    if labels.shape.rank != 2:
        raise ValueError(
            "`labels` must be vectors, of shape (batch, num_classes), to be mixed. "
            f"Received: labels of shape {labels.shape}"
        )
    return labels


def _mix(values, weight):
    """`weight` of each row and the rest of the row before."""
    weight = tf.reshape(
        tf.cast(weight, tf.float32), [-1] + [1] * (len(values.shape) - 1)
    )
    return weight * values + (1 - weight) * tf.roll(values, 1, axis=0)


def _beta(uniform, alpha):
    """Numbers of Beta(alpha, alpha), by their quantiles."""
    table = tf.constant(_beta_quantiles(alpha))
    place = tf.cast(uniform, tf.float32) * (table.shape[0] - 1)
    below = tf.floor(place)
    index = tf.cast(below, tf.int32)
    low = tf.gather(table, index)
    high = tf.gather(table, tf.minimum(index + 1, table.shape[0] - 1))
    return low + (place - below) * (high - low)


@functools.cache
def _beta_quantiles(alpha):
    from scipy import stats

    return stats.beta.ppf(np.linspace(0, 1, 4097), alpha, alpha).astype("float32")
