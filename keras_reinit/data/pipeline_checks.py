"""Checks of what a pipeline is made of, before the first batch is made."""

import numpy as np

from keras_reinit.arguments import checked_integer
from keras_reinit.data.checks import check_vector

AUTOTUNE = -1  # Of tf.data: as many as the machine allows.


def num_steps(n, batch_size):
    """Returns the number of whole batches of n examples; a `ValueError` for none."""
    if checked_integer("batch_size", batch_size, low=1) > n:
        raise ValueError(
            f"`batch_size` must be in [1, n={n}], the number of training examples. "
            f"Received: batch_size={batch_size!r}"
        )
    return n // batch_size


def check_parallel_calls(parallel_calls):
    """A `ValueError` unless it is a number of batches, `tf.data.AUTOTUNE` or `None`."""
    if (
        parallel_calls is not None
        and checked_integer("parallel_calls", parallel_calls, low=AUTOTUNE) == 0
    ):
        raise ValueError(
            "`parallel_calls` must be >= 1, or `tf.data.AUTOTUNE`. Received: "
            "parallel_calls=0"
        )


def check_standardize(standardize):
    """A `ValueError` unless `standardize` is a function of images."""
    if not callable(standardize):
        raise ValueError(
            "`standardize` must be a function of images, such as "
            f"`Standardize.fit(images)`. Received: standardize={standardize!r}"
        )


def checked_clean_labels(clean_labels, labels):
    """Returns the labels before any noise, of the type of those with noise."""
    limits = np.iinfo(labels.dtype)
    found = check_vector("clean_labels", clean_labels, len(labels), int(limits.max) + 1)
    return found.astype(labels.dtype)


def checked_augmentations(augment, num_classes, clean_labels, augmentation_seeds):
    """Returns a tuple of augmentations; a `ValueError` if they do not fit the rest."""
    augment = tuple(augment) if isinstance(augment, (list, tuple)) else (augment,)
    for one in augment:
        _check_kind(one)
    _check_labels_fit(augment, num_classes, clean_labels)
    _check_seeds(augment, augmentation_seeds)
    return augment


def _check_kind(augment):
    facts = callable(augment) and hasattr(augment, "mixes_labels")
    if not facts or isinstance(augment, type) or not hasattr(augment, "num_draws"):
        raise ValueError(
            "`augment` must be augmentations of `keras_reinit.data`, such as "
            "`PadCropFlip(4)`, or `KerasLayer(layer)`; () is none. "
            f"Received: {augment!r}"
        )
    checked_integer("num_draws", augment.num_draws)


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
    drawing = [one for one in augment if not getattr(one, "is_repeatable", True)]
    if drawing:
        raise ValueError(
            "`augmentation_seeds` must be None where an augmentation draws from a "
            "generator of its own: images of one key would differ. "
            f"Received: augmentation_seeds={augmentation_seeds}, augment={drawing}"
        )
