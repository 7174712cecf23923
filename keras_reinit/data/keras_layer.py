"""Keras' own preprocessing layers as an augmentation."""

import warnings

import tensorflow as tf

from keras_reinit.data.layer_facts import (
    check_layer,
    mixes_labels,
    steps_of,
    value_range_of,
)
from keras_reinit.network import is_users


class KerasLayer:
    """Any random layer of Keras, such as `keras.layers.RandomColorJitter`.

    Such a layer draws from a generator of its own, one batch after another: the same
    example looks different when batches are made in another order or a training is
    continued. Use it with `train_dataset(..., parallel_calls=1)`, and do not count on
    a continued training to see the same images. You are warned.

    Images are scaled to the `value_range` of the layer, [0, 255] for a layer without
    one, and back. A layer that mixes labels, such as `keras.layers.MixUp`, gets them
    as one-hot vectors. `keras.layers.Pipeline` and `keras.Sequential` work as well.

    Args:
        layer: A `keras.layers.Layer` that draws random numbers and keeps the shape of
            the images.

    Attributes:
        mixes_labels: Whether the layer changes labels as well.
        value_range: Pair of floats, from black to white as the layer takes images.

    Raises:
        ValueError: If it is not such a layer.

    Example:

    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     augment = KerasLayer(keras.layers.RandomContrast(0.5, seed=1))
    >>> augment(np.zeros((2, 4, 4, 3), "uint8"), None).dtype
    tf.uint8
    """

    num_draws = 0
    # Whether the same draws make the same images.
    is_repeatable = False

    def __init__(self, layer):
        check_layer(layer)
        self.layer = layer
        self.mixes_labels = any(map(mixes_labels, steps_of(layer)))
        self.value_range = value_range_of(layer)
        warnings.warn(
            f"{type(layer).__name__} draws from a generator of its own: images are "
            "not the same at another parallelism or after a resume.",
            stacklevel=2,
        )

    def __repr__(self):
        return f"KerasLayer({self.layer!r})"

    def __call__(self, images, *labels_and_draws):
        """Augments a batch.

        Args:
            images: Tensor of shape (batch, height, width, channels).
            labels_and_draws: Float labels (batch, num_classes) if labels are mixed;
                then draws, of which there are none.

        Returns:
            Images; a pair of images and float32 labels if labels are mixed.
        """
        images = tf.convert_to_tensor(images)
        low, high = self.value_range
        scale = (high - low) / (255.0 if images.dtype == tf.uint8 else 1.0)
        batch = {"images": tf.cast(images, tf.float32) * scale + low}
        if self.mixes_labels:
            batch["labels"] = tf.cast(labels_and_draws[0], tf.float32)
        made = self._apply(batch)
        pixels = tf.clip_by_value(tf.cast(made["images"], tf.float32), low, high)
        pixels = (pixels - low) / scale
        if images.dtype == tf.uint8:
            pixels = tf.round(pixels)
        pixels = tf.cast(pixels, images.dtype)
        return (pixels, made["labels"]) if self.mixes_labels else pixels

    def _apply(self, batch):
        """Images and labels after each step; a `ValueError` for another shape."""
        made = dict(batch)
        for step in steps_of(self.layer):
            if mixes_labels(step):
                made = dict(step(dict(made), training=True))
            else:
                made["images"] = step(made["images"], training=True)
        made = {key: tf.convert_to_tensor(made[key]) for key in batch}
        for key, before in batch.items():
            if not made[key].shape.is_compatible_with(before.shape):
                raise ValueError(
                    f"`layer` must keep the shape of {key}, of which evaluation sees "
                    f"those without augmentation. Received: layer={self.layer!r}, "
                    f"which makes {made[key].shape} of {before.shape}"
                )
            made[key] = tf.ensure_shape(made[key], before.shape)
        if self.mixes_labels:
            made["labels"] = tf.cast(made["labels"], tf.float32)
        return made

    def check_labels_stay(self, shape):
        """A `ValueError` if a layer changes labels where it is given them, silently.

        Args:
            shape: Tuple (batch, height, width, channels).
        """
        images = tf.TensorSpec(shape, tf.float32)
        labels = tf.TensorSpec((shape[0], 2), tf.float32)
        for step in steps_of(self.layer):
            if not is_users(type(step)) or mixes_labels(step):
                continue
            if _takes_and_changes_labels(step, images, labels):
                raise ValueError(
                    "`layer` must have a method `transform_labels`, as the layers of "
                    "Keras that change labels do. Received: "
                    f"layer={self.layer!r}, where {type(step).__name__} changes labels"
                )


def _takes_and_changes_labels(layer, images, labels):
    found = []

    def trace(images, labels):
        made = layer({"images": images, "labels": labels}, training=True)
        found.append(isinstance(made, dict) and made.get("labels") is not labels)

    try:
        tf.function(trace, autograph=False).get_concrete_function(images, labels)
    except Exception:  # It takes images only.
        return False
    return found[-1]
