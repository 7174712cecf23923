"""RandAugment: a few random operations on each image, all of one strength.

Cubuk et al. 2020 (arXiv 1909.13719). The fourteen operations and the meaning of a
magnitude are those of the widely used versions for 31 levels: 0 changes nothing, 30
is the strongest.
"""

import dataclasses
import math

import tensorflow as tf

from keras_reinit.arguments import checked_integer
from keras_reinit.data.augment import checked_batch

LEVELS = 30


@dataclasses.dataclass(frozen=True)
class RandAugment:
    """Applies `num_ops` random operations to each image, one after another.

    Each is one of: nothing, autocontrast, equalize, rotate, solarize, color,
    posterize, contrast, brightness, sharpness, shear and translate in either
    direction; where there are two directions, each has chance one half. New pixels
    are black.

    Args:
        num_ops: Integer >= 1.
        magnitude: Integer in [0, 30].

    Raises:
        ValueError: For an argument out of its range.

    Example:

    >>> images = np.zeros((2, 8, 8, 3), "uint8")
    >>> RandAugment(num_ops=1)(images, np.array([[0.1, 0.2], [0.3, 0.4]])).shape
    TensorShape([2, 8, 8, 3])
    """

    num_ops: int = 2
    magnitude: int = 9

    mixes_labels = False

    def __post_init__(self):
        checked_integer("num_ops", self.num_ops, low=1)
        checked_integer("magnitude", self.magnitude, high=LEVELS)

    @property
    def num_draws(self):
        """Two for each operation: which one, and its direction."""
        return 2 * self.num_ops

    def __call__(self, images, draws):
        """Augments a batch of shape (batch, height, width, channels)."""
        images, draws = checked_batch(self, images, draws)
        scale = 1.0 if images.dtype == tf.uint8 else 255.0
        pixels = tf.cast(images, tf.float32) * scale
        for i in range(self.num_ops):
            which = tf.cast(draws[:, 2 * i] * len(OPERATIONS), tf.int32)
            sign = tf.where(draws[:, 2 * i + 1] < 0.5, -1.0, 1.0)
            pixels = _apply_one_each(pixels, which, sign, self.magnitude / LEVELS)
        if images.dtype == tf.uint8:
            pixels = tf.round(pixels)
        return tf.cast(pixels / scale, images.dtype)


def _apply_one_each(pixels, which, sign, strength):
    """Each operation on the images that drew it; the rest is never computed."""
    count = len(OPERATIONS)
    places = tf.dynamic_partition(tf.range(tf.shape(pixels)[0]), which, count)
    done = []
    for operation, place in zip(OPERATIONS.values(), places, strict=True):
        some = tf.ensure_shape(tf.gather(pixels, place), [None, *pixels.shape[1:]])
        done.append(operation(some, tf.gather(sign, place), strength))
    return tf.ensure_shape(tf.dynamic_stitch(places, done), pixels.shape)


# --- Geometry: each pixel of the result is looked up in the image ------------------


def _moved(pixels, matrix):
    """Looks pixel (x, y) up at (a x + b y + c, d x + e y + f), nearest neighbour."""
    one = tf.ones_like(pixels[:, 0, 0, 0])
    rows = tf.stack([value * one for value in (*matrix, 0.0, 0.0)], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=rows,
        output_shape=pixels.shape[1:3],
        fill_value=0.0,
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )


def _rotate(pixels, sign, strength):
    angle = sign * strength * math.radians(30)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    y, x = ((side - 1) / 2 for side in pixels.shape[1:3])  # The middle stays.
    return _moved(
        pixels,
        (
            *(cosine, -sine, x - cosine * x + sine * y),
            *(sine, cosine, y - sine * x - cosine * y),
        ),
    )


def _shear_x(pixels, sign, strength):
    return _moved(pixels, (1.0, sign * strength * 0.3, 0.0, 0.0, 1.0, 0.0))


def _shear_y(pixels, sign, strength):
    return _moved(pixels, (1.0, 0.0, 0.0, sign * strength * 0.3, 1.0, 0.0))


def _translate_x(pixels, sign, strength):
    # As far as 150 of 331 pixels, the size of the images in the paper's source.
    shift = tf.round(sign * strength * 150 / 331 * pixels.shape[2])
    return _moved(pixels, (1.0, 0.0, shift, 0.0, 1.0, 0.0))


def _translate_y(pixels, sign, strength):
    shift = tf.round(sign * strength * 150 / 331 * pixels.shape[1])
    return _moved(pixels, (1.0, 0.0, 0.0, 0.0, 1.0, shift))


# --- Colors ------------------------------------------------------------------------


def _blended(pixels, other, sign, strength):
    """From `other` at factor 0 to the image at 1, and beyond."""
    factor = (1 + 0.9 * strength * sign)[:, None, None, None]
    return tf.clip_by_value(other + factor * (pixels - other), 0, 255)


def _gray(pixels):
    if pixels.shape[-1] != 3:
        return tf.reduce_mean(pixels, axis=-1, keepdims=True)
    return tf.reduce_sum(pixels * [0.299, 0.587, 0.114], axis=-1, keepdims=True)


def _color(pixels, sign, strength):
    return _blended(pixels, _gray(pixels), sign, strength)


def _brightness(pixels, sign, strength):
    return _blended(pixels, tf.zeros_like(pixels), sign, strength)


def _contrast(pixels, sign, strength):
    mean = tf.reduce_mean(_gray(pixels), axis=[1, 2, 3], keepdims=True)
    return _blended(pixels, tf.floor(mean + 0.5), sign, strength)


def _sharpness(pixels, sign, strength):
    channels = pixels.shape[-1]
    kernel = tf.constant([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    kernel = tf.tile(kernel[:, :, None, None], [1, 1, channels, 1])
    # Not "VALID": of no images at all, some CPUs' kernels then return another shape.
    smooth = tf.nn.depthwise_conv2d(pixels, kernel, [1, 1, 1, 1], "SAME")
    rows, columns = (
        (tf.range(side) > 0) & (tf.range(side) < side - 1) for side in pixels.shape[1:3]
    )
    # The edge stays as it is; an image one pixel high or wide is all edge.
    inner = (rows[:, None] & columns)[None, :, :, None]
    return _blended(pixels, tf.where(inner, smooth, pixels), sign, strength)


def _solarize(pixels, sign, strength):
    return tf.where(pixels < 255 * (1 - strength), pixels, 255 - pixels)


def _posterize(pixels, sign, strength):
    step = 2.0 ** round(strength * 4)  # Keeps 8 to 4 bits.
    return tf.floor(pixels / step) * step


def _autocontrast(pixels, sign, strength):
    low = tf.reduce_min(pixels, axis=[1, 2], keepdims=True)
    high = tf.reduce_max(pixels, axis=[1, 2], keepdims=True)
    stretched = (pixels - low) * 255 / tf.maximum(high - low, 1e-3)
    return tf.where(high > low, tf.floor(stretched + 1e-3), pixels)


def _equalize(pixels, sign, strength):
    """Makes all values about equally frequent, in each channel by itself."""
    shape = tf.shape(pixels)
    values = tf.reshape(tf.transpose(pixels, [0, 3, 1, 2]), [-1, shape[1] * shape[2]])
    values = tf.cast(tf.round(values), tf.int32)
    counts = tf.math.bincount(values, minlength=256, maxlength=256, axis=-1)
    last = tf.reduce_max(values, axis=1)  # The last value does not count.
    step = (shape[1] * shape[2] - tf.gather(counts, last, batch_dims=1)) // 255
    before = tf.cumsum(counts, axis=1, exclusive=True)
    safe = tf.maximum(step, 1)[:, None]
    table = tf.clip_by_value((before + safe // 2) // safe, 0, 255)
    table = tf.where(step[:, None] == 0, tf.range(256)[None], table)
    new = tf.reshape(
        tf.gather(table, values, batch_dims=1), tf.gather(shape, [0, 3, 1, 2])
    )
    return tf.cast(tf.transpose(new, [0, 2, 3, 1]), tf.float32)


OPERATIONS = {
    "identity": lambda pixels, sign, strength: pixels,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "rotate": _rotate,
    "solarize": _solarize,
    "color": _color,
    "posterize": _posterize,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
