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
        images = _unit_range(check_images(images))
        mean = np.mean(images, axis=(0, 1, 2), dtype="float64")
        std = np.std(images, axis=(0, 1, 2), dtype="float64")
        return cls(tuple(mean.tolist()), tuple(np.maximum(std, 1e-6).tolist()))

    def __call__(self, images):
        """Returns float32 images, from uint8 ones or floats in [0, 1]."""
        return (_unit_range(images) - np.float32(self.mean)) / np.float32(self.std)


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
    images = np.asarray(images)
    if images.ndim != 4 or not images.size:
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


def _unit_range(images):
    scale = 255 if images.dtype == np.uint8 else 1
    if isinstance(images, np.ndarray):
        return images.astype("float32") / np.float32(scale)
    return tf.cast(images, tf.float32) / scale
