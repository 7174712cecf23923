"""tf.data pipelines: shuffle, gather, augment, standardize, batch, prefetch.

Every random number of a batch depends on (seed, epoch, example index) only, so a
pipeline gives the same batches at any parallelism, and from any epoch on.
"""

import tensorflow as tf

from keras_reinit.data.images import check_examples


def train_dataset(
    images, labels, batch_size, *, seed, standardize, augment=None, initial_epoch=0
):
    """An endless stream of shuffled, augmented training batches.

    Epochs follow one another in the stream; use `fit(..., steps_per_epoch=n //
    batch_size)`. The examples beyond the last full batch of an epoch are left out
    (others in each epoch), so that every step has the same size.

    Args:
        images: Array (n, height, width, channels), uint8 or float in [0, 1].
        labels: Array (n,) of integers.
        batch_size: Integer in [1, n].
        seed: Integer >= 0.
        standardize: A `Standardize`.
        augment: A callable on (images, draws) such as `PadCropFlip`, or `None`.
        initial_epoch: Integer >= 0, the epoch to begin with, to continue a training.

    Returns:
        `tf.data.Dataset` of (float32 images, labels).

    Raises:
        ValueError: If images, labels and batch size do not fit each other.
    """
    images, labels = check_examples(images, labels)
    n, steps = len(images), len(images) // max(batch_size, 1)
    if not (steps and batch_size > 0):
        raise ValueError(
            f"`batch_size` must be in [1, n={n}], the number of training examples. "
            f"Received: batch_size={batch_size!r}"
        )
    images, labels = tf.constant(images), tf.constant(labels)
    num_draws = augment.num_draws if augment else 0

    def batches_of(epoch):
        key = tf.stack([tf.constant(seed, tf.int64), epoch])
        order = tf.random.experimental.stateless_shuffle(tf.range(n), seed=key)
        # A row for each example, not for each place in the order.
        draws = tf.random.stateless_uniform([n, num_draws], seed=key)

        def batch(step):
            index = order[step * batch_size : (step + 1) * batch_size]
            index = tf.ensure_shape(index, [batch_size])
            x = tf.gather(images, index)
            if augment:
                x = augment(x, tf.gather(draws, index))
            return standardize(x), tf.gather(labels, index)

        return tf.data.Dataset.range(steps).map(lambda i: batch(tf.cast(i, tf.int32)))

    epochs = tf.data.Dataset.counter(initial_epoch)
    return epochs.flat_map(batches_of).prefetch(tf.data.AUTOTUNE)


def eval_dataset(images, labels, batch_size=500, *, standardize):
    """The examples in order, standardized; args as in `train_dataset`."""
    images, labels = check_examples(images, labels)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(batch_size)
    return data.map(lambda x, y: (standardize(x), y)).cache()
