"""Arrays of images: what is accepted, and how it is standardized."""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_reinit.data.checks import are_labels, as_array, description


@dataclasses.dataclass(frozen=True)
class Standardize:
    """`(image - mean) / std` for each channel, of images scaled to [0, 1].

    Attributes:
        mean: Tuple of floats, one for each channel.
        std: Tuple of floats > 0, one for each channel.

    Raises:
        ValueError: If they are not that; when called, for images of another number of
            channels.
    """

    mean: tuple
    std: tuple

    def __post_init__(self):
        mean, std = as_array(self.mean), as_array(self.std)
        for name, found in (("mean", mean), ("std", std)):
            numbers = found.dtype.kind in "iuf" and np.isfinite(found).all()
            if not numbers or found.ndim != 1 or not found.size:
                raise ValueError(
                    f"`{name}` must be a finite number for each channel. "
                    f"Received: {name}={getattr(self, name)!r}"
                )
            object.__setattr__(self, name, tuple(found.tolist()))
        if mean.shape != std.shape or not (std > 0).all():
            raise ValueError(
                "`std` must be a number > 0 for each of `mean`. "
                f"Received: mean={self.mean}, std={self.std}"
            )

    @classmethod
    def fit(cls, images):
        """Takes the statistics of training images, (n, height, width, channels)."""
        images = check_images(images)
        count, total, squares = 0, 0.0, 0.0
        for begin in range(0, len(images), 1000):  # Never all of them as floats.
            pixels = unit_range(pixels_of(images[begin : begin + 1000]))
            pixels = pixels.astype("float64").reshape(-1, pixels.shape[-1])
            count += len(pixels)
            total = total + pixels.sum(axis=0)
            squares = squares + (pixels**2).sum(axis=0)
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0))
        return cls(tuple(mean.tolist()), tuple(np.maximum(std, 1e-6).tolist()))

    def __call__(self, images):
        """Returns float32 images, from uint8 ones or floats in [0, 1]."""
        _check_channels(images, len(self.mean))
        scale = 1 / (np.array(self.std) * (255 if images.dtype == np.uint8 else 1))
        shift = -np.array(self.mean) / np.array(self.std)
        scale, shift = scale.astype("float32"), shift.astype("float32")
        if isinstance(images, np.ndarray):
            return images.astype("float32") * scale + shift
        return _scaled(images, scale, shift)


def _check_channels(images, channels):
    shape = getattr(images, "shape", ())
    dtype = tf.as_dtype(images.dtype) if len(shape) else None
    fits = dtype is not None and (dtype == tf.uint8 or dtype.is_floating)
    if not fits or shape[-1] not in (channels, None):
        raise ValueError(
            f"`images` must be uint8 or floats in [0, 1], of {channels} channels, as "
            f"`mean`. Received: images of shape {tuple(shape)}, dtype {dtype}"
        )


def in_files(images):
    """Whether images are `ImageFiles`, and no array."""
    return hasattr(images, "read")


def pixels_of(images):
    """Returns an array of images, of an array or of files."""
    return images.read().numpy() if in_files(images) else images


def check_examples(images, labels):
    """Returns both as arrays; a `ValueError` if they do not fit each other."""
    images, labels = check_images(images), as_array(labels)
    if not are_labels(labels, len(images)):
        raise ValueError(
            "`labels` must be integers >= 0, one for each image. Received: labels of "
            f"{description(labels)}, for {len(images)} images"
        )
    return images, labels


def check_images(images):
    """Returns `images` as an array; a `ValueError` if they are not images."""
    images = images if in_files(images) else as_array(images)
    if images.ndim != 4 or not min(images.shape):
        raise ValueError(
            "`images` must have shape (n, height, width, channels), n >= 1. "
            f"Received: images of shape {images.shape}"
        )
    floats = images.dtype.kind == "f"
    if images.dtype != np.uint8 and not floats:
        raise ValueError(
            "`images` must be uint8 or floats in [0, 1]. "
            f"Received: images of dtype {images.dtype}"
        )
    if floats and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            "`images` of floats must be in [0, 1]. "
            f"Received: images from {images.min()} to {images.max()}"
        )
    return images


# Compiled, it is one pass over the batch, which counts.
@tf.function(jit_compile=True)
def _scaled(images, scale, shift):
    return tf.cast(images, tf.float32) * scale + shift


def unit_range(images):
    """Returns an array of float32 images in [0, 1], from uint8 ones or such floats."""
    scale = 255 if images.dtype == np.uint8 else 1
    return images.astype("float32") / np.float32(scale)
