"""Augmentation: batched functions of images and of random numbers that are given.

Nothing here draws: `train_dataset` gives each example its own `num_draws` numbers,
which depend on seed, epoch and example alone. An augmentation of one's own is any
callable with these two attributes. Images are uint8, or floats in [0, 1], and stay so.
"""

import dataclasses
import itertools

import tensorflow as tf

from keras_reinit.arguments import (
    check_share,
    checked_integer,
    checked_type,
    is_finite,
)
from keras_reinit.data.checks import as_array


@dataclasses.dataclass(frozen=True)
class PadCropFlip:
    """The literature's standard recipe: zero-pad, crop at random, flip at random.

    Args:
        pad: Integer >= 0, pixels added on each side before cropping to the old size.
        flip: Whether to mirror left-right, with chance one half.

    Raises:
        ValueError: If `pad` is negative.

    Example:

    >>> images = np.arange(4.0).reshape(1, 2, 2, 1)
    >>> PadCropFlip(pad=1)(images, np.array([[0.5, 0.5, 0.9]]))[0, :, :, 0].numpy()
    array([[1., 0.],
           [3., 2.]])
    """

    pad: int = 4
    flip: bool = True

    # Random numbers that one example needs, and whether labels change, too.
    num_draws = 3
    mixes_labels = False

    def __post_init__(self):
        checked_integer("pad", self.pad)
        checked_type("flip", self.flip, True)

    def __call__(self, images, draws):
        """Augments a batch.

        Args:
            images: Tensor of shape (batch, height, width, channels).
            draws: Float tensor of shape (batch, 3), uniform in [0, 1): row offset,
                column offset, and whether to flip.

        Returns:
            Tensor like `images`.
        """
        images, draws = checked_batch(self, images, draws)
        # What is no number of Python's own would be a tensor there.
        return _pad_crop_flip(images, draws, pad=int(self.pad), flip=bool(self.flip))


# Compiled, the two gathers are one loop: three to four times as fast.
@tf.function(jit_compile=True)
def _pad_crop_flip(images, draws, pad, flip):
    height, width = images.shape[1:3]
    padded = tf.pad(images, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    offsets = tf.cast(draws[:, :2] * (2 * pad + 1), tf.int32)
    rows = offsets[:, :1] + tf.range(height)
    columns = offsets[:, 1:] + tf.range(width)
    if flip:
        mirrored = tf.reverse(columns, axis=[1])
        columns = tf.where(draws[:, 2:] < 0.5, columns, mirrored)
    images = tf.gather(padded, rows, axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


@dataclasses.dataclass(frozen=True)
class Cutout:
    """Erases a square around a random pixel; near the edge, what lies inside of it.

    DeVries & Taylor 2017 (arXiv 1708.04552), who erase after standardizing, that is,
    by the mean; here a constant is near it.

    Args:
        size: Integer >= 1, side of the square in pixels (16 for CIFAR-10, 8 for
            CIFAR-100 in the paper).
        fill: Float in [0, 1], from black to white.

    Raises:
        ValueError: For an argument out of its range.

    Example:

    >>> Cutout(1, fill=0.0)(np.ones((1, 1, 3, 1)), np.array([[0.0, 0.5]]))[0, 0, :, 0]
    <tf.Tensor: shape=(3,), dtype=float64, numpy=array([1., 0., 1.])>
    """

    size: int
    fill: float = 0.5

    num_draws = 2
    mixes_labels = False

    def __post_init__(self):
        checked_integer("size", self.size, low=1)
        check_share("fill", self.fill)

    def __call__(self, images, draws):
        """Augments a batch; draws are the row and column of the center."""
        images, draws = checked_batch(self, images, draws)
        sides = tf.constant([*images.shape[1:3]], tf.float32)
        centers = tf.floor(draws * sides)
        begin = centers - self.size // 2
        inside = box_mask(images, begin, begin + self.size)
        return _filled(images, inside, self.fill)


@dataclasses.dataclass(frozen=True)
class RandomErasing:
    """Erases a random rectangle, with some chance.

    Zhong et al. 2017 (arXiv 1708.04896), with the paper's defaults. The rectangle
    lies inside of the image; one that would not fit is cut to its size.

    Args:
        chance: Float in [0, 1].
        area: Pair of floats in [0, 1], limits of its share of the image.
        aspect: Float in (0, 1]: height over width lies between it and its inverse.
        fill: Float in [0, 1], from black to white.

    Raises:
        ValueError: For an argument out of its range.

    Example:

    >>> erase = RandomErasing(chance=1.0, area=(0.25, 0.25), aspect=1.0, fill=0.0)
    >>> erased = erase(np.ones((1, 4, 4, 1)), np.zeros((1, 5)))
    >>> float(tf.reduce_sum(erased))
    12.0
    """

    chance: float = 0.5
    area: tuple = (0.02, 0.4)
    aspect: float = 0.3
    fill: float = 0.5

    num_draws = 5
    mixes_labels = False

    def __post_init__(self):
        check_share("chance", self.chance)
        check_share("fill", self.fill)
        if as_array(self.area).shape != (2,) or not _rise(0, *self.area, 1):
            raise ValueError(
                "`area` must be two numbers in [0, 1], the smaller first. "
                f"Received: area={self.area!r}"
            )
        if not (_rise(0, self.aspect, 1) and self.aspect > 0):
            raise ValueError(
                f"`aspect` must be in (0, 1]. Received: aspect={self.aspect!r}"
            )

    def __call__(self, images, draws):
        """Augments a batch; draws: chance, area, aspect, row, column."""
        images, draws = checked_batch(self, images, draws)
        height, width = images.shape[1:3]
        low, high = self.area
        area = (low + (high - low) * draws[:, 1]) * height * width
        # Of the aspect, log-uniform.
        root = tf.pow(float(self.aspect), draws[:, 2] - 0.5)
        sides = tf.sqrt(area)[:, None] * tf.stack([root, 1 / root], axis=1)
        sides = tf.minimum(tf.round(sides), [height, width])
        begin = tf.floor(draws[:, 3:] * ([height + 1, width + 1] - sides))
        inside = box_mask(images, begin, begin + sides)
        chosen = draws[:, 0] < self.chance
        return _filled(images, inside & chosen[:, None, None, None], self.fill)


def _rise(*values):
    """Whether all are numbers, of which none is below the one before."""
    return all(map(is_finite, values)) and all(
        a <= b for a, b in itertools.pairwise(values)
    )


def box_mask(images, begin, end):
    """Returns which pixels lie in a box of each image: (batch, height, width, 1).

    Args:
        images: Tensor of shape (batch, height, width, channels).
        begin, end: Float tensors of shape (batch, 2): the first row and column
            inside, and the first beyond.
    """
    inside = []
    for axis in (0, 1):
        places = tf.range(images.shape[1 + axis], dtype=tf.float32)[None]
        above = places >= begin[:, axis : axis + 1]
        inside.append(above & (places < end[:, axis : axis + 1]))
    return (inside[0][:, :, None] & inside[1][:, None, :])[..., None]


def checked_batch(augment, images, draws):
    """Returns images and float32 draws as tensors, or a `ValueError`.

    Args:
        augment: The augmentation that takes them.
        images: Array or tensor, which must be of shape (batch, height, width,
            channels), uint8 or floats.
        draws: Array or tensor, which must be of shape (batch, `augment.num_draws`).
    """
    images = tf.convert_to_tensor(images)
    fits = images.dtype == tf.uint8 or images.dtype.is_floating
    if images.shape.rank != 4 or not fits:
        raise ValueError(
            "`images` must have shape (batch, height, width, channels), uint8 or "
            f"floats in [0, 1]. Received: images of shape {images.shape}, dtype "
            f"{images.dtype.name}"
        )
    return images, checked_draws(draws, images.shape[0], augment.num_draws)


def checked_draws(draws, batch, count):
    """Returns draws as a float32 tensor of shape (batch, count), or a `ValueError`."""
    if count == 0:  # Nobody has to make them.
        return tf.zeros((batch or 0, 0))
    shape = draws.shape if hasattr(draws, "shape") else as_array(draws).shape
    if not tf.TensorShape(shape).is_compatible_with((batch, count)):
        raise ValueError(
            "`draws` must be numbers in [0, 1), of shape (batch, num_draws), here "
            f"({batch}, {count}). Received: draws of shape {tuple(shape)}"
        )
    return tf.cast(draws, tf.float32)


def check_augmentation(augment, shape, dtype, num_classes):
    """A `ValueError` if an augmentation changes what evaluation sees: shapes, types.

    Args:
        augment: The augmentation, which is traced and not run.
        shape: Tuple (batch, height, width, channels).
        dtype: Of the images.
        num_classes: Integer, or `None` for labels that are not vectors.
    """
    of_keras = hasattr(augment, "check_labels_stay")
    if of_keras:
        augment.check_labels_stay(shape)
    elif type(augment).__module__.startswith(__package__):
        return  # Ours do.
    given = [tf.TensorSpec(shape, dtype)]
    if augment.mixes_labels:
        given.append(tf.TensorSpec((shape[0], num_classes), tf.float32))
    draws = tf.TensorSpec((shape[0], augment.num_draws), tf.float32)
    traced = tf.function(lambda *given: augment(*given), autograph=not of_keras)
    made = traced.get_concrete_function(*given, draws).structured_outputs
    made = list(made) if augment.mixes_labels else [made]
    for before, after in zip(given, made, strict=True):
        fits = before.shape.is_compatible_with(after.shape)
        if not fits or before.dtype != after.dtype:
            raise ValueError(
                "`augment` must keep shapes and types: evaluation sees what is not "
                f"augmented. Received: {augment!r}, which makes {after.shape}, "
                f"{after.dtype.name} of {before.shape}, {before.dtype.name}"
            )


def _filled(images, inside, fill):
    images = tf.convert_to_tensor(images)
    value = round(fill * 255) if images.dtype == tf.uint8 else fill
    return tf.where(inside, tf.cast(value, images.dtype), images)
