"""One trial of keras-tuner: hyperparameters in, a training and its row out."""

import dataclasses
import functools
import pathlib

import keras
import keras_tuner

from keras_reinit import training
from keras_reinit.arguments import check_choice
from keras_reinit.config import Config
from keras_reinit.data import Facts
from keras_reinit.results import append_row
from keras_reinit.training.compiled import CompiledModels, network_for

EPOCHS = ("final", "best")


class HyperModel(keras_tuner.HyperModel):
    """Lets any keras-tuner tuner search over all that a `Config` has.

    Learning rate, weight decay, augmentation, noise, method and its parameters are
    fields of a `Config`; the method's callback and the data are made for each trial.
    The tuner's objective is `"val_accuracy"`, or `keras_tuner.Objective(
    "val_cross_entropy", "min")`; test data are in the rows alone.

    Args:
        space: Function of a `keras_tuner.HyperParameters` that returns a dict of
            fields of `Config`.
        base: `Config` of all other fields.
        build: Function of a `keras_tuner.HyperParameters` that returns a built,
            uncompiled `keras.Model` that ends in logits; `None` takes `base.model`.
        epoch: Which epoch a trial is judged by: `"final"`, the end of the budget, or
            `"best"`, that of the best validation accuracy (early stopping), which may
            lie in an early stage. keras-tuner by itself takes the best.
        rows: Path of a `rows.jsonl` that each training appends its row to, or `None`.
        folder: Where the data set lies, see `keras_reinit.data.load`.

    `Hyperband` sets a smaller budget of epochs for its first rounds: each trial is a
    training of its own at that budget, with no more stages than epochs.

    Raises:
        ValueError: For an unknown `epoch`, or a field that `Config` does not have.

    Example:

    >>> import tempfile
    >>> import keras_tuner
    >>> hypermodel = HyperModel(
    ...     lambda hp: {"learning_rate": hp.Float("learning_rate", 0.01, 1.0)},
    ...     Config(model="mlp", width=8, train_size=64, epochs=2, stages=2))
    >>> tuner = keras_tuner.RandomSearch(
    ...     hypermodel, "val_accuracy", max_trials=1, directory=tempfile.mkdtemp())
    >>> tuner.search(verbose=0)
    >>> len(tuner.oracle.get_best_trials())
    1
    """

    # What a tuner is told, and what rows call it: training and validation, not test.
    METRICS = {
        "accuracy": "train_accuracy",
        "cross_entropy": "train_cross_entropy",
        "val_accuracy": "validation_accuracy",
        "val_cross_entropy": "validation_cross_entropy",
    }

    def __init__(
        self, space, base=None, *, build=None, epoch="final", rows=None, folder=None
    ):
        super().__init__()
        check_choice("epoch", epoch, EPOCHS)
        if not callable(space):
            raise ValueError(
                "`space` must be a function of `hp` that returns a dict. "
                f"Received: space={space!r}"
            )
        if not isinstance(base or Config(), Config):
            raise ValueError(f"`base` must be a `Config`. Received: base={base!r}")
        self.space = space
        self.base = base or Config()
        self.epoch = epoch
        self.rows = rows and pathlib.Path(rows)
        self.folder = folder
        self._network = build
        self._models = CompiledModels()

    def config(self, hp):
        """The `Config` of a trial."""
        fields = self.space(hp)
        known = {field.name for field in dataclasses.fields(Config)}
        if not isinstance(fields, dict) or not fields.keys() <= known:
            raise ValueError(
                f"`space` must return a dict of fields of `Config`, {sorted(known)}. "
                f"Received: {fields!r}"
            )
        seed = hp.values.get("seed", self.base.seed)
        return dataclasses.replace(self.base, **{"seed": seed, **fields})

    def build(self, hp):
        """The network of a trial."""
        config = self.config(hp)
        if self._network is not None:
            return self._network(hp)
        return network_for(config, _shapes(config.dataset, self.folder))

    def fit(self, hp, model, *args, **kwargs):
        """Trains a network; returns the metrics of the chosen epoch.

        Of what a tuner passes, `epochs` is the budget, and the weights of the chosen
        epoch are saved where the tuner looks for them; data are not used.
        """
        row = self.run(hp, model, kwargs.get("epochs"), _paths(kwargs))
        if self.rows:
            append_row(self.rows, row)
        return self.metrics(row)

    def run(self, hp, model=None, epochs=None, save=()):
        """Trains a network and returns its result row, with all `hyperparameters`.

        Args:
            hp: A `keras_tuner.HyperParameters`.
            model: What `build` returned. By default it is called where there is a
                `build` of the user's; else the network of an earlier trial is trained
                again, if one fits: building and tracing take longer than a small
                network's training.
            epochs: Integer, a budget in place of the config's.
            save: Paths for the network's weights of the chosen epoch.
        """
        config = self.config(hp)
        if model is None and self._network is not None:
            self.forget()
            model = self.build(hp)
        if epochs is not None:
            stages = min(config.stages, epochs)
            config = dataclasses.replace(config, epochs=epochs, stages=stages)
        last = config.schedule.total - 1

        def save_weights(epoch, logs=None):
            for path in save if epoch == last else ():
                model.save_weights(path)

        row = training.run(
            config,
            self.folder,
            network=model,
            models=self._models,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=save_weights)],
        )
        if self.epoch == "best":  # A run ends with the weights of that epoch.
            save_weights(last)
        name = config.model if model is None else model.name
        return {**row, "hyperparameters": dict(hp.values), "network": name}

    def forget(self):
        """Gives up the networks of earlier trials, and their memory."""
        self._models = CompiledModels()
        keras.utils.clear_session()

    def metrics(self, row):
        """What the tuner is told of a row: `METRICS`, of the chosen epoch."""
        return {name: row[self.epoch][own] for name, own in self.METRICS.items()}


def _paths(kwargs):
    """Where a tuner's own callbacks would save weights, at each epoch."""
    callbacks = kwargs.get("callbacks") or ()
    return [one.filepath for one in callbacks if type(one).__name__ == "SaveBestEpoch"]


@functools.lru_cache(maxsize=2)
def _shapes(dataset, folder):
    """Random images like those that a network is made for."""
    return Facts.of(dataset, folder=folder).stand_in(1)
