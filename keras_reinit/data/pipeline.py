"""tf.data pipelines: shuffle, gather, augment, standardize, mix, prefetch.

The whole order is load, split, noise, cache, shuffle, augment, batch, prefetch: noise
before everything that repeats, for a label to be wrong in the same way in each epoch;
the cache before the shuffle and the augmentation, for both to differ between epochs.
The arrays are the cache. Batches are gathered before they are augmented: an operation
on a batch costs little more than one on an image.

Every random number of a batch depends on (seed, epoch, example index) only, so a
pipeline gives the same batches at any parallelism, and from any epoch on.
"""

import dataclasses
import math

import tensorflow as tf

from keras_reinit.arguments import checked_integer
from keras_reinit.data.augment import check_augmentation, checked_draws
from keras_reinit.data.images import check_examples, in_files
from keras_reinit.data.label_noise import check_labels
from keras_reinit.data.pipeline_checks import (
    check_parallel_calls,
    check_standardize,
    checked_augmentations,
    checked_clean_labels,
    num_steps,
)

# Standardized images for evaluation are kept if they take less.
CACHED_BYTES = 2**28


def train_dataset(
    images,
    labels,
    batch_size,
    *,
    seed,
    standardize,
    augment=(),
    num_classes=None,
    clean_labels=None,
    augmentation_seeds=None,
    initial_epoch=0,
    parallel_calls=tf.data.AUTOTUNE,
):
    """An endless stream of shuffled, augmented training batches.

    Epochs follow one another in the stream; use `fit(..., steps_per_epoch=n //
    batch_size, shuffle=False)`. The examples beyond the last full batch of an epoch
    are left out (others in each epoch), so that every step has the same size.

    Args:
        images: Array (n, height, width, channels), uint8 or float in [0, 1], or
            `ImageFiles`, which are read when they are needed.
        labels: Array (n,) of integers.
        batch_size: Integer in [1, n].
        seed: Integer >= 0.
        standardize: A `Standardize`.
        augment: An augmentation such as `PadCropFlip`, or several in their order.
        num_classes: Integer: labels become one-hot vectors, which mixing needs.
        clean_labels: Array (n,) of the labels before any noise: labels become pairs,
            see `keras_reinit.data.OfPair`.
        augmentation_seeds: Integer >= 1: the augmentations of so many epochs come again
            and again, and images have keys, for `keras_reinit.TeacherCache`.
        initial_epoch: Integer >= 0, the epoch to begin with. `StartAtEpoch` sets it
            where a training is continued.
        parallel_calls: Batches that are made at a time; they are the same for any.

    Returns:
        `tf.data.Dataset` of (float32 images, labels): int labels (batch,); float32
        (batch, num_classes) with `num_classes`; int (batch, 2), the label and the
        clean one, with `clean_labels`. With `augmentation_seeds`, images come as
        `{"inputs": images, "key": example * augmentation_seeds + epoch %
        augmentation_seeds}`, and the attribute `keyed_inputs` is a `tf.data.Dataset`
        of batches of all of them, each once.

    Raises:
        ValueError: If the arguments do not fit each other.
    """
    images, labels = check_examples(images, labels)
    seed = checked_integer("seed", seed)
    checked_integer("seed", seed, high=2**63 - 1)  # As TensorFlow takes them.
    initial_epoch = checked_integer("initial_epoch", initial_epoch)
    steps = num_steps(len(images), batch_size)
    check_parallel_calls(parallel_calls)
    check_standardize(standardize)
    if num_classes is not None:
        check_labels(labels, num_classes)
    augment = checked_augmentations(
        augment, num_classes, clean_labels, augmentation_seeds
    )
    for one in augment:
        shape = (int(batch_size), *images.shape[1:])
        check_augmentation(one, shape, images.dtype, num_classes)
    if clean_labels is not None:
        clean_labels = checked_clean_labels(clean_labels, labels)
        labels = tf.stack([labels, clean_labels], axis=1)
    made = _Epochs(
        _source(images), tf.constant(labels), seed, augment, standardize, num_classes,
        augmentation_seeds,
    )  # fmt: skip
    begin = tf.Variable(initial_epoch, trainable=False, dtype=tf.int64)
    epochs = tf.data.Dataset.range(1).flat_map(
        lambda _: tf.data.Dataset.counter(begin.read_value(), dtype=tf.int64)
    )
    stream = epochs.flat_map(
        lambda epoch: made.batches(epoch, steps, batch_size, parallel_calls)
    ).prefetch(tf.data.AUTOTUNE)
    stream = untuned(stream)
    stream.initial_epoch = begin
    if augmentation_seeds is not None:
        stream.keyed_inputs = untuned(
            tf.data.Dataset.range(augmentation_seeds).flat_map(
                lambda epoch: made.inputs(epoch, batch_size)
            )
        )
    return stream


@dataclasses.dataclass
class _Epochs:
    """Makes the batches of an epoch, a function of its number."""

    take: object
    labels: tf.Tensor
    seed: int
    augment: tuple
    standardize: object
    num_classes: int | None
    augmentation_seeds: int | None

    def batches(self, epoch, steps, batch_size, parallel_calls):
        """Shuffled and whole batches."""
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(self.labels)), seed=self._key(epoch)
        )
        make = self._maker(epoch)

        def batch(step):
            index = order[step * batch_size : (step + 1) * batch_size]
            index = tf.ensure_shape(index, [batch_size])
            y = tf.gather(self.labels, index)
            if self.num_classes is not None:
                y = tf.one_hot(y, self.num_classes)
            return make(index, y)

        steps_of = tf.data.Dataset.range(steps, output_type=tf.int32)
        return steps_of.map(batch, num_parallel_calls=parallel_calls)

    def inputs(self, epoch, batch_size):
        """Every example once, in order, without its label."""
        make = self._maker(epoch)
        index = tf.data.Dataset.range(len(self.labels), output_type=tf.int32).batch(
            batch_size
        )
        return index.map(lambda index: make(index, tf.zeros([]))[0])

    def _maker(self, epoch):
        """A function that makes a batch of the examples at some places."""
        seeds = self.augmentation_seeds
        view = epoch if seeds is None else epoch % seeds
        # A row for each example, not for each place in the order.
        count = sum(one.num_draws for one in self.augment)
        draws = tf.random.stateless_uniform(
            [len(self.labels), count], seed=self._key(view)
        )

        def make(index, y):
            own = tf.gather(draws, index)
            x, y = augment_batch(self.augment, self.take(index), y, own)
            x = self.standardize(x)
            if seeds is not None:
                x = {"inputs": x, "key": index * seeds + tf.cast(view, index.dtype)}
            return x, y

        return make

    def _key(self, epoch):
        return tf.stack([tf.constant(self.seed, tf.int64), epoch])


def eval_dataset(images, labels, batch_size=500, *, standardize, num_classes=None):
    """The examples in order, standardized; args as in `train_dataset`."""
    images, labels = check_examples(images, labels)
    checked_integer("batch_size", batch_size, low=1)
    check_standardize(standardize)
    if num_classes is not None:
        labels = tf.one_hot(check_labels(labels, num_classes), num_classes)
    take = _source(images)
    data = tf.data.Dataset.range(len(images)).batch(batch_size)
    labels = tf.convert_to_tensor(labels)
    data = data.map(lambda i: (standardize(take(i)), tf.gather(labels, i)))
    size = 4 * math.prod(images.shape)
    kept = data.cache() if size < CACHED_BYTES else data.prefetch(tf.data.AUTOTUNE)
    return untuned(kept)


def untuned(dataset):
    """The data set without the thread that tunes its buffers while it is read.

    An iterator that is given up waits for that thread, which sleeps for twice as long
    each time: a training that took a minute could take half a minute more to end.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _source(images):
    """A function that returns the images at some places."""
    if in_files(images):
        paths = tf.constant(images.paths)
        return lambda index: images.read(tf.gather(paths, index))
    with tf.device("CPU"):  # Where tf.data works; a GPU has no use for them.
        images = tf.constant(images)
    return lambda index: tf.gather(images, index)


def augment_batch(augment, images, labels, draws):
    """Applies augmentations one after another.

    Args:
        augment: Sequence of augmentations.
        images: Array or tensor of shape (batch, height, width, channels).
        labels: Float array or tensor of shape (batch, num_classes), if one of them
            mixes labels.
        draws: Array or tensor of shape (batch, count), uniform in [0, 1), where count
            is the sum of their `num_draws`.

    Returns:
        Images and labels.

    Example:

    >>> images = np.zeros((2, 4, 4, 3), "uint8")
    >>> images, labels = augment_batch(
    ...     [data.PadCropFlip(1), data.MixUp()], images, np.eye(2), np.zeros((2, 4)))
    >>> images.shape, labels.shape
    (TensorShape([2, 4, 4, 3]), TensorShape([2, 2]))
    """
    images = tf.convert_to_tensor(images)
    count = sum(one.num_draws for one in augment)
    draws, begin = checked_draws(draws, images.shape[0], count), 0
    for one in augment:
        own = draws[:, begin : begin + one.num_draws]
        begin += one.num_draws
        if one.mixes_labels:
            images, labels = one(images, labels, own)
        else:
            images = one(images, own)
    return images, labels
