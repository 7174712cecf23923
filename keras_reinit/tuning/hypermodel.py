"""One trial of keras-tuner: hyperparameters in, a training and its row out."""

import collections
import contextlib
import dataclasses
import functools
import json
import pathlib

import keras
import keras_tuner

from keras_reinit import data, training
from keras_reinit.arguments import check_choice, checked_integer
from keras_reinit.config import Config
from keras_reinit.data import Facts
from keras_reinit.results import append_row
from keras_reinit.runs import key_of
from keras_reinit.training.compiled import (
    CompiledModels,
    network_for,
    with_block_normalization,
)
from keras_reinit.tuning.code import code_digest, network_digest

EPOCHS = ("final", "best")
# What keras-tuner itself adds to the arguments of `search`.
CHECKPOINT = "SaveBestEpoch"
OF_TUNER = (CHECKPOINT, "TunerCallback")


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

    Of `tuner.search(...)`, `epochs` sets the budget and `callbacks` are added to each
    training, which they must neither change nor end; the data come from the config.
    `executions_per_trial` trains with as many seeds, from the config's on. `Hyperband`
    sets a smaller budget of epochs for its first rounds: each trial is a training of
    its own at that budget, with no more stages than epochs.

    Tuners of keras-tuner find an earlier search by its folder alone. Give a search
    over another `space` or `base` a new `directory` or `overwrite=True`; `GridSearch`
    needs neither.

    Raises:
        ValueError: For an unknown `epoch`, a field that `Config` does not have, or,
            before the first training, an argument of `search` that has no effect.

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
        if not (build is None or callable(build)):
            raise ValueError(
                "`build` must be a function of `hp` that returns a model. "
                f"Received: build={build!r}"
            )
        self.space = space
        self.base = base or Config()
        self.epoch = epoch
        self.rows = rows and pathlib.Path(rows)
        self.folder = folder
        self._network = build
        self._models = CompiledModels()
        self._checkpoint, self._execution = None, 0
        self._digests = {}  # Of networks, by the values that built them.
        self.fingerprints = {}  # Of data sets, by name; `None` for one not at hand.

    def config(self, hp):
        """The `Config` of a trial."""
        fields = self.space(hp)
        known = {field.name for field in dataclasses.fields(Config)}
        if not isinstance(fields, dict) or not fields.keys() <= known:
            raise ValueError(
                f"`space` must return a dict of fields of `Config`, {sorted(known)}. "
                f"Received: {fields!r}"
            )
        if self._network is not None:
            _check_no_network(fields)
        seed = hp.values.get("seed", self.base.seed)
        return dataclasses.replace(self.base, **{"seed": seed, **fields})

    def build(self, hp):
        """The network of a trial, with what its method needs in it.

        Raises:
            FatalValueError: If `build` returns no uncompiled `keras.Model`.
        """
        config = self.config(hp)
        if self._network is None:
            network = network_for(config, _shapes(config.dataset, self.folder))
        else:
            network = _checked_network(self._network(hp))
        return with_block_normalization(config, network)

    def declare(self, hp):
        """Declares the hyperparameters of a trial, without training it."""
        self.space(hp)
        if self._network is not None:
            values = dict(hp.values)
            network = self._network(hp)
            if values == hp.values:  # Else it opened a value, and comes again.
                self._digests[_key(values)] = network_digest(network)

    def identity(self, hp):
        """All that decides a trial's result, as a value that JSON can hold."""
        identity = {
            "values": dict(hp.values),
            "epoch": self.epoch,
            "build": self._build_code,
            "network": self._digests.get(_key(hp.values)),
        }
        with contextlib.suppress(ValueError):  # Such a trial will fail, and say why.
            config = self.config(hp)
            identity["config"] = key_of(config)
            identity["data"] = self._fingerprint(config.dataset)
        return identity

    @functools.cached_property
    def _build_code(self):
        return self._network and code_digest(self._network)

    def _fingerprint(self, dataset):
        known = self.fingerprints  # It may have a default, and then loads nothing.
        name = data.public_name(dataset)
        if name not in known and not isinstance(known, collections.defaultdict):
            known[name] = None
            with contextlib.suppress(ValueError):
                known[name] = data.fingerprint(dataset, self.folder)
        return known[name]

    def fit(self, hp, model, *args, **kwargs):
        """Trains a network; returns the metrics of the chosen epoch.

        Of what a tuner passes, `epochs` is the budget, `callbacks` are added, and the
        weights of the chosen epoch are saved where the tuner looks for them.
        """
        callbacks = kwargs.pop("callbacks", None) or []
        _check_arguments(hp, model, args, kwargs)
        found = [c for c in callbacks if type(c).__name__ == CHECKPOINT]
        checkpoint = found[0] if found else None
        # All executions of a trial have the same one.
        again = checkpoint is not None and checkpoint is self._checkpoint
        self._checkpoint = checkpoint
        self._execution = self._execution + 1 if again else 0
        weights = _Weights(model, self.epoch)
        own = [c for c in callbacks if type(c).__name__ not in OF_TUNER]
        row = self.run(
            hp, model, kwargs.get("epochs"), [*own, weights], self._execution
        )
        if self.rows:
            append_row(self.rows, row)
        metrics = self.metrics(row)
        weights.save(checkpoint, metrics)
        return metrics

    def run(self, hp, model=None, epochs=None, callbacks=(), execution=0):
        """Trains a network and returns its result row, with all `hyperparameters`.

        Args:
            hp: A `keras_tuner.HyperParameters`.
            model: What `build` returned. By default it is called where there is a
                `build` of the user's; else the network of an earlier trial is trained
                again, if one fits: building and tracing take longer than a small
                network's training.
            epochs: Integer, a budget in place of the config's.
            callbacks: Further callbacks, see `keras_reinit.training.run`.
            execution: Integer, added to the config's seed.
        """
        config = self.config(hp)
        config = dataclasses.replace(config, seed=config.seed + execution)
        if model is None and self._network is not None:
            self.forget()
            model = self.build(hp)
        if epochs is not None:
            stages = min(config.stages, epochs)
            config = dataclasses.replace(config, epochs=epochs, stages=stages)
        row = training.run(
            config,
            self.folder,
            network=model,
            models=self._models,
            callbacks=callbacks,
        )
        if self._network is None:  # A reference network, which the config names.
            row["given"] = []
        name = config.model if model is None else model.name
        return {**row, "hyperparameters": dict(hp.values), "network": name}

    def forget(self):
        """Gives up the networks of earlier trials, and their memory."""
        self._models = CompiledModels()
        keras.utils.clear_session()

    def metrics(self, row):
        """What the tuner is told of a row: `METRICS`, of the chosen epoch."""
        return {name: row[self.epoch][own] for name, own in self.METRICS.items()}


class _Weights(keras.callbacks.Callback):
    """Keeps the network's weights of the chosen epoch.

    Args:
        network: The network that is trained; `model` may be a wrapper of it.
        epoch: One of `EPOCHS`.
    """

    def __init__(self, network, epoch):
        super().__init__()
        self.network, self.epoch = network, epoch

    def on_epoch_end(self, epoch, logs=None):
        if self.epoch == "final":
            self.weights = self.network.get_weights()

    def save(self, checkpoint, metrics):
        """Saves them as keras-tuner would, if no other execution was better."""
        if self.epoch == "final":  # A run ends with the weights of the best epoch.
            self.network.set_weights(self.weights)
        if checkpoint is not None:
            checkpoint.set_model(self.network)
            checkpoint.on_epoch_end(0, metrics)


def _check_arguments(hp, model, args, kwargs):
    """A `FatalValueError` for what a tuner passes and a training does not use."""
    if kwargs.get("epochs") is not None:
        try:
            checked_integer("epochs", kwargs["epochs"], low=1)
        except ValueError as error:
            raise keras_tuner.errors.FatalValueError(str(error)) from error
    known = {"epochs", "verbose"}
    if "tuner/epochs" in hp.values:  # Hyperband's own.
        known.add("initial_epoch")
    unused = ["x", "y", "batch_size"][: len(args)] + sorted(kwargs.keys() - known)
    if unused:
        raise keras_tuner.errors.FatalValueError(
            "`search` must not be given data or arguments of `fit`, which are decided "
            f"by the `Config` of a trial. Received: {', '.join(unused)}"
        )
    _checked_network(model)


def _checked_network(network):
    """Returns a network; a `FatalValueError` unless it is an uncompiled model."""
    if not isinstance(network, keras.Model) or network.compiled:
        raise keras_tuner.errors.FatalValueError(
            "`build` must return an uncompiled `keras.Model`: the `Config` of a trial "
            f"decides optimizer, loss and metrics. Received: {network!r}"
            + (", compiled" if isinstance(network, keras.Model) else "")
        )
    return network


def _check_no_network(fields):
    """A `ValueError` for fields that would be searched over without any effect."""
    for name in ("model", "width", "stem_stride", "dtype_policy"):
        if name in fields:
            raise ValueError(
                f"`space` must not return {name!r} where `build` makes the network. "
                f"Received: {name}={fields[name]!r}"
            )


def _key(values):
    """A string of the values that build a network: all but the seed."""
    kept = {name: value for name, value in values.items() if name != "seed"}
    return json.dumps(kept, sort_keys=True)


@functools.lru_cache(maxsize=2)
def _shapes(dataset, folder):
    """Random images like those that a network is made for."""
    return Facts.of(dataset, folder=folder).stand_in(1)
