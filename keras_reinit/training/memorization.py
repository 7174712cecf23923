"""Runs that follow what a network memorizes: wrong labels, and how its units fare.

Networks can learn wrong labels by heart (Zhang et al. 2017, arXiv 1611.03530). Does a
re-initialization help under label noise because less is learned so? A run here is one
of `keras_reinit.training`, with more curves.
"""

import keras

from keras_reinit import data
from keras_reinit.diagnostics import Diagnostics
from keras_reinit.training import training
from keras_reinit.training.compiled import one_hot, standardization
from keras_reinit.training.evaluation import Evaluations, evaluator, parts

PROBE = 256  # Training examples that diagnostics are measured on.
ACCURACIES = ("flipped_accuracy", "test_accuracy")
MEASURES = (
    "dormant_units",
    "effective_rank",
    "weight_norm",
    "distance_from_init",
    "gradient_norm",
)


def run(config, folder=None):
    """Trains one model under label noise and returns its result row.

    Args:
        config: A `Config` with `label_noise` above zero.
        folder: See `keras_reinit.data.load`.

    Returns:
        Dict as `training.run` returns, with `curves`: for each epoch, the accuracy on
        the wrongly labelled training examples against these labels
        (`flipped_accuracy`), `test_accuracy`, and `MEASURES` of `Diagnostics` on
        training data without augmentation.

    Raises:
        ValueError: Without label noise, and as `training.run`.
        FloatingPointError: If the training diverges.
    """
    clean = training.load_clean(config, folder)
    splits = training.prepared(config, clean)
    found = parts(splits)
    if "flipped" not in found:
        raise ValueError(
            "`label_noise` must be above 0, and so that a label is wrong. "
            f"Received: label_noise={config.label_noise}"
        )
    curves = Curves(_datasets(config, splits, found))
    x, y = next(iter(curves.datasets.pop("train")))
    callbacks = [Diagnostics(x.numpy(), y.numpy()), curves]
    row = training.run(config, splits=clean, callbacks=callbacks)
    # A config names the data, though they were not loaded again.
    return {**row, "kind": "memorization", "given": [], "curves": curves.curves}


def _datasets(config, splits, found):
    standardize = standardization(config, splits)
    found = {**found, "train": tuple(array[:PROBE] for array in found["train"])}
    return {
        name: data.eval_dataset(
            *found[name],
            standardize=standardize,
            num_classes=one_hot(config, splits),
        )
        for name in ("train", "flipped", "test")
    }


class Curves(keras.callbacks.Callback):
    """Keeps accuracies and diagnostics at the end of each epoch.

    Args:
        datasets: Dict of `tf.data.Dataset`s, `flipped` and `test`.

    Attributes:
        curves: Dict of lists of floats, one for each epoch.
    """

    def __init__(self, datasets):
        super().__init__()
        self.datasets = datasets
        self.curves = {name: [] for name in (*ACCURACIES, *MEASURES)}

    def on_train_begin(self, logs=None):
        self._evaluations = Evaluations(evaluator(self.model), self.datasets)

    def on_epoch_end(self, epoch, logs=None):
        found = {**logs, **self._evaluations()}
        for name, values in self.curves.items():
            values.append(float(f"{found[name]:.5g}"))
