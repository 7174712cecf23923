"""One run: a `Config` in, a trained model and a result row out."""

import dataclasses
import datetime
import math
import re
import time
import warnings

import keras
import tensorflow as tf

from keras_reinit import data
from keras_reinit.arguments import check_choice, check_model
from keras_reinit.network import network_of
from keras_reinit.provenance import provenance
from keras_reinit.training.compiled import (
    Compiled,
    augmentation,
    num_steps,
    one_hot,
    standardization,
)
from keras_reinit.training.evaluation import Evaluations, StageEnds, Validation, parts

STRATEGIES = ("none", "mirrored", "tpu")


def run(
    config,
    folder=None,
    strategy="none",
    *,
    splits=None,
    network=None,
    callbacks=(),
    models=None,
):
    """Trains one model and returns its result row.

    Args:
        config: A `Config`.
        splits: `Splits` of your own, such as `keras_reinit.data.from_arrays` returns,
            in place of the data set that the config names. Sizes that the config
            names must be theirs.
        network: A built, uncompiled `keras.Model` that returns logits, in place of
            that which `config.model` names. Its first weights are drawn anew, by
            seed; it is trained in place.
        callbacks: Further callbacks of `fit`; they must neither change nor end the
            training.
        models: A `CompiledModels` of this process to take the network from; the row
            is the same, but for its seconds.
        folder: Where the data set lies, see `keras_reinit.data.load`.
        strategy: One of `STRATEGIES`: one device, all GPUs of this machine
            (`tf.distribute.MirroredStrategy`) or a TPU (`TPUStrategy`; written after
            TensorFlow's guide, and never run by us). `batch_size` is that of all
            replicas together; BatchNorm's statistics are of each replica's part.

    Returns:
        Dict that JSON can hold: the config, metrics as fractions in [0, 1] on every
        split after the last epoch (`final`), after the epoch with the best validation
        accuracy (`best`: early stopping at the fixed budget) and at the end of each
        stage (`stages`), curves (`history`), versions, device and seconds. Training
        metrics are against the labels trained on, noisy ones included, without
        augmentation; `flipped` ones are of the wrongly labelled examples alone: what
        the network has memorized.

    Raises:
        ValueError: For a data set that cannot be had or does not fit the config, or
            where a callback ends the training.
        FloatingPointError: If the training diverges.
    """
    began = time.time()
    given = {"splits": splits, "network": network}
    if splits is None:
        splits = load(config, folder)
    else:
        _check_splits(splits, config)
        config = dataclasses.replace(config, dataset=splits.name)
        splits = prepared(config, splits)
    if network is not None:
        _check_network(network, splits)
    keras.utils.set_random_seed(config.seed)
    chosen = _strategy(strategy)
    with chosen.scope():
        if models is None or network is not None:
            models, compiled = None, Compiled(config, splits, network)
        else:
            compiled = models.take(config, splits)
    history, ends, best = _train(config, splits, compiled, callbacks)
    if models is not None:
        models.give_back(config, splits, compiled)
    return {
        "kind": "training",
        "config": config_of_row(config),
        "data": splits.fingerprint,
        "given": [name for name, value in given.items() if value is not None],
        "status": "ok",
        "final": ends[-1],
        "best": best,
        "stages": ends,
        "history": history,
        "train_examples": len(splits.train[1]),
        "steps_per_epoch": num_steps(config, splits),
        "total_epochs": config.schedule.total,
        "parameters": int(compiled.parameters),
        "strategy": strategy,
        "replicas": chosen.num_replicas_in_sync,
        "seconds": round(time.time() - began, 2),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **provenance(),
    }


def failure(config, error):
    """The row of a run that failed, which says why.

    Args:
        config: A `Config`, or `None` where it was that which failed.
        error: The exception.
    """
    return {
        "config": config and config_of_row(config),
        "status": "failed",
        "reason": f"{type(error).__name__}: {without_folders(str(error))[:1000]}",
        **provenance(),
    }


def config_of_row(config):
    """The fields of a config as a row has them, without the path of a folder."""
    dataset = data.public_name(config.dataset)
    return {**dataclasses.asdict(config), "dataset": dataset}


def without_folders(text):
    """A text with the last part of each absolute path alone.

    Example:

    >>> without_folders("cannot open '/home/somebody/x.png': /tmp/y is full, 1/2")
    "cannot open 'x.png': y is full, 1/2"
    """
    return re.sub(r"(?<![\w.~])~?/(?:[^\s'\":,;()/]+/)*(?=[^\s'\":,;()/])", "", text)


def _check_splits(splits, config):
    """A `ValueError` where a row would tell of other sizes than those trained on."""
    if not isinstance(splits, data.Splits):
        raise ValueError(
            "`splits` must be `Splits`, such as `keras_reinit.data.from_arrays` "
            f"returns. Received: {type(splits)}"
        )
    for name in ("train_size", "validation_size"):
        size, wanted = len(getattr(splits, name[:-5])[1]), getattr(config, name)
        if wanted not in (None, size):
            raise ValueError(
                f"`{name}` must be None or that of `splits`, {size}. "
                f"Received: {name}={wanted}"
            )


def _check_network(network, splits):
    """A `ValueError` for a network that does not fit the images or classes."""
    check_model(network)
    images, classes = splits.train[0].shape[1:], splits.num_classes
    shapes = network.input_shape, network.output_shape
    if not all(map(_fit, shapes, ((None, *images), (None, classes)))):
        raise ValueError(
            f"`network` must take images of shape {images} and return {classes} "
            f"logits. Received: inputs {shapes[0]}, outputs {shapes[1]}"
        )


def _fit(shape, wanted):
    """Whether a shape is as wanted, up to unknown sizes."""
    if not isinstance(shape, tuple) or len(shape) != len(wanted):
        return False
    return all(None in p or p[0] == p[1] for p in zip(shape, wanted, strict=True))


def _strategy(name):
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "tpu":
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect("local")
        return tf.distribute.TPUStrategy(resolver)
    check_choice("strategy", name, STRATEGIES)
    return tf.distribute.get_strategy()


def load(config, folder=None):
    """Loads the data of a run, with its noise.

    Raises:
        ValueError: For data that cannot be had or do not fit the config.
    """
    return prepared(config, load_clean(config, folder))


def load_clean(config, folder=None):
    """Loads the data of a run as they are before its noise."""
    return data.load(
        config.dataset,
        train_size=config.train_size,
        validation_size=config.validation_size,
        seed=config.seed,
        folder=folder,
    )


def prepared(config, splits):
    """The data of a run, from clean `Splits`: with its noise.

    Raises:
        ValueError: For data that do not fit the config.
    """
    if config.batch_size > len(splits.train[1]):
        raise ValueError(
            f"`batch_size` must be in [1, n={len(splits.train[1])}], the number of "
            f"training examples. Received: batch_size={config.batch_size}"
        )
    steps = num_steps(config, splits)
    if steps % (config.steps_per_execution or 1):  # Keras would train for more.
        raise ValueError(
            f"`steps_per_execution` must divide the {steps} steps of an epoch. "
            f"Received: steps_per_execution={config.steps_per_execution}"
        )
    if config.normalization != "fitted":
        standardization(config, splits)  # Raises for images that it does not fit.
    noise = config.label_noise_value()
    if noise is None:
        return splits
    return splits.with_noise(
        noise, seed=config.seed, validation=config.noisy_validation
    )


def _train(config, splits, compiled, callbacks):
    classes = one_hot(config, splits)
    standardize = standardization(config, splits)
    stream = data.train_dataset(
        *splits.train,
        config.batch_size,
        seed=config.seed,
        standardize=standardize,
        augment=augmentation(config, splits),
        num_classes=classes,
    )
    datasets = {
        name: data.eval_dataset(*part, standardize=standardize, num_classes=classes)
        for name, part in parts(splits).items()
    }
    evaluations = Evaluations(compiled.evaluate, datasets)
    ends = StageEnds(config.schedule, evaluations)
    norms = WeightNorms()
    best = keras.callbacks.EarlyStopping(
        "val_accuracy",
        mode="max",
        patience=config.schedule.total,
        restore_best_weights=True,
    )
    with warnings.catch_warnings():
        # The best epoch of all stages is what is asked for.
        warnings.filterwarnings("ignore", "`EarlyStopping` compares epochs")
        history = compiled.model.fit(
            stream,
            epochs=config.schedule.total,
            steps_per_epoch=num_steps(config, splits),
            shuffle=False,  # The stream shuffles.
            callbacks=_method_callbacks(config, datasets["train"])
            + [Finite(), Validation(evaluations), ends, norms, *callbacks, best],
            verbose=0,
        ).history
    if len(history["accuracy"]) < config.schedule.total:
        raise ValueError(
            f"`callbacks` must not end a training before its {config.schedule.total} "
            f"epochs. Received: an end after {len(history['accuracy'])} epochs"
        )
    curves = {
        name: [round(float(value), 5) for value in history[key]]
        for name, key in (
            ("train_accuracy", "accuracy"),
            ("validation_accuracy", "val_accuracy"),
        )
    }
    curves["weight_norm"] = norms.values
    return curves, ends.rows, {"epoch": best.best_epoch, **evaluations()}


def _method_callbacks(config, data):
    """The callbacks of a method; `data` are the training data, not augmented."""
    callback = config.callback()
    if config.method == "dash":
        callback.data = data
    if config.method == "hare_tortoise":  # The slow network is what is evaluated.
        return [keras.callbacks.SwapEMAWeights(swap_on_epoch=True), callback]
    return [] if callback is None else [callback]


class WeightNorms(keras.callbacks.Callback):
    """Keeps the norm of all trainable weights at the end of each epoch.

    Normalizations count, as in Figure 6 of Zaidi et al. (2022).

    Attributes:
        values: List of floats.
    """

    def __init__(self):
        super().__init__()
        self.values = []

    def on_epoch_end(self, epoch, logs=None):
        squares = [
            keras.ops.sum(keras.ops.square(keras.ops.cast(variable, "float32")))
            for variable in network_of(self.model).trainable_variables
        ]
        self.values.append(round(float(sum(squares)) ** 0.5, 4))


class Finite(keras.callbacks.Callback):
    """Ends a training that has diverged with an error that says when."""

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise FloatingPointError(
                f"the training loss is not finite after epoch {epoch}"
            )
