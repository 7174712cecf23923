"""tf.data pipelines: shuffle, gather, augment, standardize, mix, prefetch.

The whole order is load, split, noise, cache, shuffle, augment, batch, prefetch: noise
before everything that repeats, for a label to be wrong in the same way in each epoch;
the cache before the shuffle and the augmentation, for both to differ between epochs.
The arrays are the cache. Batches are gathered before they are augmented: an operation
on a batch costs little more than one on an image.

Every random number of a batch depends on (seed, epoch, example index) only, so a
pipeline gives the same batches at any parallelism, and from any epoch on.
"""

import math

import keras
import tensorflow as tf

from keras_reinit.arguments import checked_integer
from keras_reinit.data.images import check_examples, in_files
from keras_reinit.data.label_noise import check_labels

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
    if num_classes is not None:
        check_labels(labels, num_classes)
    steps = _steps(len(images), batch_size)
    augment = tuple(augment) if isinstance(augment, (list, tuple)) else (augment,)
    _check_labels_fit(augment, num_classes, clean_labels)
    _check_seeds(augment, augmentation_seeds)
    take, n = _source(images), len(images)
    if clean_labels is not None:
        labels = tf.stack([labels, tf.cast(clean_labels, labels.dtype)], axis=1)
    labels = tf.constant(labels)
    begin = tf.Variable(initial_epoch, trainable=False, dtype=tf.int64)

    def draws_of(epoch):
        """Which augmentations an epoch has, and their random numbers."""
        view = epoch if augmentation_seeds is None else epoch % augmentation_seeds
        key = tf.stack([tf.constant(seed, tf.int64), view])
        # A row for each example, not for each place in the order.
        count = sum(one.num_draws for one in augment)
        return view, tf.random.stateless_uniform([n, count], seed=key)

    def examples(index, y, view, draws):
        x, y = augment_batch(augment, take(index), y, tf.gather(draws, index))
        if augmentation_seeds is None:
            return standardize(x), y
        key = index * augmentation_seeds + tf.cast(view, index.dtype)
        return {"inputs": standardize(x), "key": key}, y

    def batches_of(epoch):
        key = tf.stack([tf.constant(seed, tf.int64), epoch])
        order = tf.random.experimental.stateless_shuffle(tf.range(n), seed=key)
        view, draws = draws_of(epoch)

        def batch(step):
            index = tf.ensure_shape(
                order[step * batch_size : (step + 1) * batch_size], [batch_size]
            )
            y = tf.gather(labels, index)
            if num_classes is not None:
                y = tf.one_hot(y, num_classes)
            return examples(index, y, view, draws)

        steps_of = tf.data.Dataset.range(steps, output_type=tf.int32)
        return steps_of.map(batch, num_parallel_calls=parallel_calls)

    def inputs_of(view):
        view, draws = draws_of(view)
        index = tf.data.Dataset.range(n, output_type=tf.int32).batch(batch_size)
        return index.map(lambda index: examples(index, tf.zeros([]), view, draws)[0])

    epochs = tf.data.Dataset.range(1).flat_map(
        lambda _: tf.data.Dataset.counter(begin.read_value(), dtype=tf.int64)
    )
    stream = epochs.flat_map(batches_of).prefetch(tf.data.AUTOTUNE)
    stream.initial_epoch = begin
    if augmentation_seeds is not None:
        stream.keyed_inputs = tf.data.Dataset.range(augmentation_seeds).flat_map(
            inputs_of
        )
    return stream


class StartAtEpoch(keras.callbacks.Callback):
    """Lets the data begin where the training begins.

    For `fit(initial_epoch=...)` and after `keras.callbacks.BackupAndRestore`: a stream
    that begins anew would show the first epochs' batches again.

    Args:
        stream: What `train_dataset` returned, and `fit` is given.

    Example:

    >>> images, labels = np.zeros((8, 2, 2, 1), "uint8"), np.arange(8) % 2
    >>> standardize = data.Standardize.fit(images)
    >>> stream = train_dataset(
    ...     images, labels, 4, seed=0, standardize=standardize, num_classes=2)
    >>> model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    >>> model.compile("sgd", "mse")
    >>> _ = model.fit(
    ...     stream, initial_epoch=3, epochs=4, steps_per_epoch=2, verbose=0,
    ...     callbacks=[StartAtEpoch(stream)])
    >>> int(stream.initial_epoch)
    3
    """

    def __init__(self, stream):
        super().__init__()
        self.stream = stream
        self._begins = False

    def on_train_begin(self, logs=None):
        self._begins = True

    def on_epoch_begin(self, epoch, logs=None):
        # Keras makes the iterator after this, and keeps it for the later epochs.
        if self._begins:
            self.stream.initial_epoch.assign(epoch)
        self._begins = False


def eval_dataset(images, labels, batch_size=500, *, standardize, num_classes=None):
    """The examples in order, standardized; args as in `train_dataset`."""
    images, labels = check_examples(images, labels)
    if num_classes is not None:
        labels = tf.one_hot(check_labels(labels, num_classes), num_classes)
    take = _source(images)
    data = tf.data.Dataset.range(len(images)).batch(batch_size)
    labels = tf.convert_to_tensor(labels)
    data = data.map(lambda i: (standardize(take(i)), tf.gather(labels, i)))
    size = 4 * math.prod(images.shape)
    return data.cache() if size < CACHED_BYTES else data.prefetch(tf.data.AUTOTUNE)


def _steps(n, batch_size):
    steps = n // max(batch_size, 1)
    if not (steps and batch_size > 0):
        raise ValueError(
            f"`batch_size` must be in [1, n={n}], the number of training examples. "
            f"Received: batch_size={batch_size!r}"
        )
    return steps


def _check_labels_fit(augment, num_classes, clean_labels):
    if num_classes is None and any(one.mixes_labels for one in augment):
        raise ValueError(
            "`num_classes` must be given where an augmentation mixes labels: they "
            f"become one-hot vectors. Received: num_classes=None, augment={augment}"
        )
    if num_classes is not None and clean_labels is not None:
        raise ValueError(
            "`clean_labels` must be None where labels are one-hot vectors. "
            f"Received: num_classes={num_classes} and clean labels"
        )


def _check_seeds(augment, augmentation_seeds):
    if augmentation_seeds is None:
        return
    checked_integer("augmentation_seeds", augmentation_seeds, low=1)
    mixing = [one for one in augment if one.mixes_labels]
    if mixing:
        raise ValueError(
            "`augmentation_seeds` must be None where an image depends on its "
            "neighbours in the batch, which are others in each epoch. "
            f"Received: augmentation_seeds={augmentation_seeds}, augment={mixing}"
        )


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
    begin = 0
    for one in augment:
        own = draws[:, begin : begin + one.num_draws]
        begin += one.num_draws
        if one.mixes_labels:
            images, labels = one(images, labels, own)
        else:
            images = one(images, own)
    return images, labels
