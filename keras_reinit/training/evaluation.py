"""What a run is measured by: accuracy and cross-entropy on its splits."""

import math

import keras
import numpy as np
import tensorflow as tf


def evaluator(model):
    """A function that evaluates a compiled model on a data set, faster than Keras.

    The numbers are those of `model.evaluate`, and so are the steps; but what `evaluate`
    does around them takes longer than a small network's epoch of training.

    Args:
        model: A compiled `keras.Model` in training. Its metrics are overwritten.

    Returns:
        Function of a `tf.data.Dataset` of batches that returns a dict of floats.
    """
    if keras.backend.backend() != "tensorflow" or tf.distribute.has_strategy():
        # Keras knows how to cut batches for replicas, and how other backends trace.
        return lambda dataset: model.evaluate(dataset, return_dict=True, verbose=0)

    @tf.function
    def reset():
        for metric in model.metrics:
            metric.reset_state()

    @tf.function
    def step(*batch):
        return model.test_step(batch)

    def evaluate(dataset):
        compiled = step.get_concrete_function(*dataset.element_spec)
        reset()
        for batch in dataset:
            result = compiled(*batch)
        return {name: float(value) for name, value in result.items()}

    return evaluate


class Evaluations:
    """Evaluates a model on all splits of a run.

    Args:
        evaluate: What `evaluator` returned.
        datasets: Dict of `tf.data.Dataset`s.
    """

    def __init__(self, evaluate, datasets):
        self._evaluate = evaluate
        self._datasets = datasets

    def __call__(self, *splits):
        """Metrics on some splits, by default all, as `<split>_accuracy`.

        Raises:
            FloatingPointError: For a metric that is not finite.
        """
        metrics = {}
        for split in splits or self._datasets:
            result = self._evaluate(self._datasets[split])
            for name in ("accuracy", "cross_entropy"):
                if not math.isfinite(result[name]):
                    raise FloatingPointError(f"the {split} {name} is not finite")
                metrics[f"{split}_{name}"] = round(result[name], 6)
        return metrics


class Validation(keras.callbacks.Callback):
    """Adds the validation metrics to an epoch's logs, for the callbacks after it."""

    def __init__(self, evaluations):
        super().__init__()
        self.evaluations = evaluations

    def on_epoch_end(self, epoch, logs=None):
        metrics = self.evaluations("validation")
        for name in ("accuracy", "cross_entropy"):
            logs[f"val_{name}"] = metrics[f"validation_{name}"]


class StageEnds(keras.callbacks.Callback):
    """Evaluates on every split at the end of each stage; `rows` holds the results."""

    def __init__(self, schedule, evaluations):
        super().__init__()
        self.schedule = schedule
        self.evaluations = evaluations
        self.rows = []

    def on_epoch_end(self, epoch, logs=None):
        if epoch in self.schedule.ends:
            self.rows.append({"epoch": epoch, **self.evaluations()})


def parts(splits):
    """What is evaluated, by name: the wrongly labelled training examples, too."""
    found = {name: getattr(splits, name) for name in ("train", "validation", "test")}
    images, labels = splits.train
    if splits.clean_labels is not None:
        flipped = np.flatnonzero(splits.clean_labels != labels)
        if len(flipped):
            found["flipped"] = images[flipped], labels[flipped]
    return found
