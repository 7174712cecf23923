"""Keras' own preprocessing layers as an augmentation."""

import warnings

import tensorflow as tf


class KerasLayer:
    """Any preprocessing layer of Keras, such as `keras.layers.RandomColorJitter`.

    Such a layer draws from a generator of its own, one batch after another: the same
    example looks otherwise when batches are made in another order or a training is
    continued. Use it with `train_dataset(..., parallel_calls=1)`, and do not count on
    a continued training to see the same images. You are warned.

    Args:
        layer: A `keras.layers.Layer` that takes images in [0, 255].

    Example:

    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     augment = KerasLayer(keras.layers.RandomContrast(0.5, seed=1))
    >>> augment(np.zeros((2, 4, 4, 3), "uint8"), None).dtype
    tf.uint8
    """

    num_draws = 0
    mixes_labels = False

    def __init__(self, layer):
        warnings.warn(
            f"{type(layer).__name__} draws from a generator of its own: images are "
            "not the same at another parallelism or after a resume.",
            stacklevel=2,
        )
        self.layer = layer

    def __call__(self, images, draws):
        """Augments a batch; there are no draws."""
        images = tf.convert_to_tensor(images)
        scale = 1.0 if images.dtype == tf.uint8 else 255.0
        pixels = self.layer(tf.cast(images, tf.float32) * scale, training=True)
        pixels = tf.clip_by_value(tf.convert_to_tensor(pixels), 0, 255)
        if images.dtype == tf.uint8:
            pixels = tf.round(pixels)
        return tf.cast(pixels / scale, images.dtype)
