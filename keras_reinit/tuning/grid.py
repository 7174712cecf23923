"""A grid search that survives: its state is its rows."""

import pathlib
import time

import keras_tuner

from keras_reinit import training
from keras_reinit.results import append_row, unreadable_lines, writable_folder
from keras_reinit.tuning.heartbeat import Heartbeat
from keras_reinit.tuning.hparams import write_trial
from keras_reinit.tuning.hypermodel import HyperModel
from keras_reinit.tuning.oracle import GridOracle

# Memory may have been short because of what ran before.
TRIES = 2
IDLE_SECONDS = 1.0


class GridSearch(keras_tuner.Tuner):
    """Trains every combination of hyperparameters with every seed, once.

    Each training appends a row to `rows.jsonl` in its folder, and writes what
    `tensorboard --logdir` on that folder shows under HParams. The same search, begun
    again, goes on with what is missing, after whatever end; a larger grid adds its
    cells. A training that fails is a row that says why: it is tried again with the
    next search, unless its loss was not finite.

    Args:
        hypermodel: A `HyperModel`.
        objective: As any tuner's, see `HyperModel`.
        seeds: Integers; trials that share one are pairs, see `Config`.
        directory: Folder of the search, for `rows.jsonl`.
        report: Function that takes lines of progress.

    Raises:
        ValueError: For an unknown objective, a folder that cannot be written to, or
            hyperparameters whose values cannot be listed.

    Example:

    >>> import tempfile
    >>> from keras_reinit.config import Config
    >>> from keras_reinit.tuning import GridSearch, HyperModel
    >>> hypermodel = HyperModel(
    ...     lambda hp: {"learning_rate": hp.Choice("learning_rate", [0.01, 0.1])},
    ...     Config(model="mlp", width=8, train_size=64, epochs=2, stages=2))
    >>> tuner = GridSearch(hypermodel, seeds=(0, 1), directory=tempfile.mkdtemp())
    4 cells, 0 done before
    >>> tuner.search()  # doctest: +ELLIPSIS
    [1/4] 0 failed, ...
    """

    def __init__(
        self, hypermodel, objective="val_accuracy", *, seeds=(0,), directory,
        report=print,
    ):  # fmt: skip
        if not isinstance(hypermodel, HyperModel):
            raise ValueError(
                "`hypermodel` must be a `keras_reinit.tuning.HyperModel`. "
                f"Received: hypermodel={hypermodel!r}"
            )
        folder = writable_folder(directory, "directory")
        self.rows = folder / "rows.jsonl"
        torn = unreadable_lines(self.rows)
        if torn:
            report(
                f"{self.rows}: {torn} lines cannot be read (cut off by a crash or a "
                "full disk); their trials are run again, all others are kept"
            )
        oracle = GridOracle(objective, folder, tuple(seeds), report)
        _check_objective(oracle.objective, hypermodel.METRICS)
        super().__init__(
            oracle, hypermodel,
            directory=str(folder.parent), project_name=folder.name,
        )  # fmt: skip
        if self.oracle is oracle:  # Else a chief has its own.
            oracle.begin()

    def search(self, *args, **kwargs):
        """Trains what is missing."""
        kwargs.setdefault("verbose", 0)
        with Heartbeat(pathlib.Path(self.project_dir), self.tuner_id) as self._heart:
            super().search(*args, **kwargs)

    def missing(self):
        """The `Config`s of the trainings that are not done yet, as a list."""
        space, configs = self.oracle.get_space(), []
        for values in self.oracle.missing():
            hp = space.copy()
            hp.values = dict(values)
            configs.append(self.hypermodel.config(hp))
        return configs

    def run_trial(self, trial, *args, **kwargs):
        """One training, one row."""
        self._heart.runs(trial.trial_id)
        row = {**self._tried(trial.hyperparameters), "trial": trial.trial_id}
        try:
            append_row(self.rows, row)
            judged = row.get(self.hypermodel.epoch, {})
            write_trial(row, self.rows.parent, judged.get("epoch", 0))
        except OSError as error:
            raise keras_tuner.errors.FatalRuntimeError(
                f"{self.rows} cannot be written: {error}. All rows before it are kept; "
                "the same search goes on when there is room."
            ) from error
        self._heart.runs(None)
        if row["status"] != "ok":
            raise keras_tuner.errors.FailedTrialError(row["reason"])
        return row["metrics"]

    def _tried(self, hp):
        for _ in range(TRIES):
            try:
                row = self.hypermodel.run(hp)
                return {**row, "metrics": self.hypermodel.metrics(row)}
            except Exception as error:
                failed = self._failed(hp, error)
                if not _is_out_of_memory(error):
                    break  # Other trials' compiled models are as good as before.
                self.hypermodel.forget()
        return failed

    def _failed(self, hp, error):
        try:
            config = self.hypermodel.config(hp)
        except Exception:  # It may be that which failed.
            config = None
        row = training.failure(config, error)
        return {**row, "hyperparameters": dict(hp.values)}

    def pre_create_trial(self):
        """Waits a moment where others still run what is left."""
        if getattr(self, "_asked", 0) > time.monotonic() - 0.05:
            time.sleep(IDLE_SECONDS)
        self._asked = time.monotonic()

    def save(self):
        """Nothing: the rows are the state."""


def _check_objective(objective, metrics):
    if not objective.has_value(metrics):
        raise ValueError(
            f"`objective` must be of {tuple(metrics)}. Received: {objective}"
        )


def _is_out_of_memory(error):
    return isinstance(error, MemoryError) or "ResourceExhausted" in type(error).__name__
