"""Arrays of images: what is accepted, and how it is standardized."""

import dataclasses

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Standardize:
    """`(image - mean) / std` for each channel, of images scaled to [0, 1].

    Attributes:
        mean: Tuple of floats, one for each channel.
        std: Tuple of floats > 0, one for each channel.
    """

    mean: tuple
    std: tuple

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
        scale = 1 / (np.array(self.std) * (255 if images.dtype == np.uint8 else 1))
        shift = -np.array(self.mean) / np.array(self.std)
        scale, shift = scale.astype("float32"), shift.astype("float32")
        if isinstance(images, np.ndarray):
            return images.astype("float32") * scale + shift
        return _scaled(images, scale, shift)


def in_files(images):
    """Whether images are `ImageFiles`, and no array."""
    return hasattr(images, "read")


def pixels_of(images):
    """Returns an array of images, of an array or of files."""
    return images.read().numpy() if in_files(images) else images


def check_examples(images, labels):
    """Returns both as arrays; a `ValueError` if they do not fit each other."""
    images, labels = check_images(images), np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != len(images):
        raise ValueError(
            "`labels` must be integers, one for each image. Received: labels of shape "
            f"{labels.shape}, dtype {labels.dtype}, for {len(images)} images"
        )
    return images, labels


def check_images(images):
    """Returns `images` as an array; a `ValueError` if they are not images."""
    images = images if in_files(images) else np.asarray(images)
    if images.ndim != 4 or not len(images):
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
