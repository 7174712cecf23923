"""A grid search that survives: its state is its rows."""

import contextlib
import os
import socket
import time

import keras_tuner

from keras_reinit import training
from keras_reinit.arguments import checked_integer
from keras_reinit.console import say
from keras_reinit.results import (
    append_row,
    json_line,
    unreadable_lines,
)
from keras_reinit.storage import held, writable_folder
from keras_reinit.tuning.cells import cells
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
    `tensorboard --logdir` on that folder shows under HParams. The same search, started
    again, continues with what is missing, however it ended; a larger grid adds its
    cells. A finished training is found again only if all that decided it is the same:
    its config and values, the contents of the data set, the objective, `epoch`, and
    the code of `build`. A training that fails is a row that says why: it is tried again
    with the next search, unless its loss was not finite.

    Args:
        hypermodel: A `HyperModel`.
        objective: One objective, as any tuner's, see `HyperModel`.
        seeds: Different integers >= 0; trials that share one are pairs, see `Config`.
        directory: Folder of the search, for `rows.jsonl`.
        report: Function that takes lines of progress.

    Raises:
        ValueError: For an unknown objective, seeds that are not different integers, a
            folder that cannot be written to, or hyperparameters whose values cannot be
            listed.

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
        report=say,
    ):  # fmt: skip
        if not isinstance(hypermodel, HyperModel):
            raise ValueError(
                "`hypermodel` must be a `keras_reinit.tuning.HyperModel`. "
                f"Received: hypermodel={hypermodel!r}"
            )
        if hypermodel.rows is not None:
            raise ValueError(
                "`rows` of a `HyperModel` must be None for a grid, whose rows are in "
                f"`directory`. Received: rows={str(hypermodel.rows)!r}"
            )
        folder = writable_folder(directory, "directory")
        self.rows = folder / "rows.jsonl"
        torn = unreadable_lines(self.rows)
        if torn:
            report(
                f"{self.rows}: {torn} lines cannot be read (cut off by a crash or a "
                "full disk); their trials are run again, all others are kept"
            )
        self._seeds, self._cells = checked_seeds(seeds), None
        oracle = GridOracle(objective, folder, self._seeds, self._list_cells, report)
        _check_objective(oracle.objective, hypermodel.METRICS)
        super().__init__(
            oracle, hypermodel,
            directory=str(folder.parent), project_name=folder.name,
        )  # fmt: skip
        if self.oracle is oracle:  # Else a chief has its own.
            oracle.begin()

    def search(self, *args, verbose=0, **kwargs):
        """Trains what is missing; takes no data and no arguments of `fit`."""
        if args or kwargs:
            unused = ["x", "y"][: len(args)] + sorted(kwargs)
            raise ValueError(
                "`search` must not be given data or arguments of `fit`, which are "
                f"decided by the `Config` of a trial. Received: {', '.join(unused)}"
            )
        with contextlib.ExitStack() as stack:
            if isinstance(self.oracle, GridOracle):  # Workers share the chief's folder.
                stack.enter_context(held(self.rows.parent, "directory"))
            if is_chief():
                stack.enter_context(self.oracle.watching())
            heart = Heartbeat(self.rows.parent, self.tuner_id)
            self._heart = stack.enter_context(heart)
            _check_port()
            super().search(verbose=verbose)

    def missing(self):
        """The `Config`s of the trainings that are not done yet, as a list."""
        return [self.hypermodel.config(_hp(v)) for v in self.oracle.missing()]

    def results(self):
        """The last row of each cell that has one, as a list."""
        return self.oracle.rows()

    def get_best_models(self, num_models=1):
        """Is refused: rows are kept, and no weights."""
        raise ValueError(
            "`GridSearch` keeps rows, not weights. Train a network with the best "
            "values: `network = hypermodel.build(hp); hypermodel.fit(hp, network)`, "
            "where `hp = tuner.get_best_hyperparameters()[0]`. "
            f"Received: num_models={num_models}"
        )

    def _list_cells(self):
        def identify(values):
            _check_seed(self.hypermodel, values)
            objective = self.oracle.objective
            named = {"objective": [objective.name, objective.direction]}
            return {**self.hypermodel.identity(_hp(values)), **named}

        return cells(self.hypermodel.declare, self._seeds, identify)

    def run_trial(self, trial, *args, **kwargs):
        """One training, one row."""
        self._check_trial(trial)
        self._heart.runs(trial.trial_id)
        row = {**self._tried(trial.hyperparameters), "trial": trial.trial_id}
        try:
            append_row(self.rows, row)
            judged = row.get(self.hypermodel.epoch, {})
            write_trial(row, self.rows.parent, judged.get("epoch", 0))
        except OSError as error:
            raise keras_tuner.errors.FatalRuntimeError(
                f"{self.rows} cannot be written: {error}. All rows before it are kept; "
                "the same search continues when there is room."
            ) from error
        self._heart.runs(None)
        if row["status"] != "ok":
            raise keras_tuner.errors.FailedTrialError(row["reason"])
        return row["metrics"]

    def _check_trial(self, trial):
        """An error for what a chief of another search, or no chief, hands out."""
        if self._cells is None:
            self._cells = self._list_cells()
        values = dict(trial.hyperparameters.values)
        if self._cells.get(trial.trial_id) != values:
            raise keras_tuner.errors.FatalRuntimeError(
                "The chief must be one of this search, on the same data. Received: "
                f"trial {trial.trial_id!r} with {values}, which it does not have"
            )

    def _tried(self, hp):
        for _ in range(TRIES):
            try:
                row = self.hypermodel.run(hp)
                row = {**row, "metrics": self.hypermodel.metrics(row)}
                json_line(row)  # One that cannot be written has failed.
                return row
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


def _check_port():
    """An error for a chief whose port another program has: gRPC would share it."""
    address = os.environ.get("KERASTUNER_ORACLE_IP")
    if not is_chief() or address == "unix":
        return
    port = int(os.environ["KERASTUNER_ORACLE_PORT"])
    try:
        with socket.create_server((address, port)):
            pass
    except OSError as error:
        raise keras_tuner.errors.FatalRuntimeError(
            f"`KERASTUNER_ORACLE_PORT` must be a port that no other program uses. "
            f"Received: {address}:{port} ({error})"
        ) from error


def is_chief():
    """Whether this process hands out the trials of workers."""
    has_chief = "KERASTUNER_ORACLE_IP" in os.environ
    return has_chief and "chief" in os.environ.get("KERASTUNER_TUNER_ID", "")


def _hp(values):
    """A `keras_tuner.HyperParameters` with some values."""
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    return hp


def checked_seeds(seeds):
    """Returns a tuple of Python integers; a `ValueError` if `seeds` are none."""
    try:
        integers = tuple(checked_integer("seeds", seed) for seed in seeds)
    except (TypeError, ValueError):
        integers = ()
    if not integers or len(set(integers)) < len(integers):
        raise ValueError(
            "`seeds` must be different integers >= 0, at least one. "
            f"Received: seeds={seeds!r}"
        )
    return integers


def _check_seed(hypermodel, values):
    """A `ValueError` where `space` decides the seed, which `seeds` do."""
    try:
        seed = hypermodel.config(_hp(values)).seed
    except Exception:  # A trial that will fail, and say why.
        return
    if seed != values["seed"]:
        raise ValueError(
            "`space` must not return a 'seed' in a grid, which trains every "
            f"combination with each of `seeds`. Received: seed={seed}"
        )


def _check_objective(objective, metrics):
    if objective.name not in metrics:
        raise ValueError(
            f"`objective` must be one of {tuple(metrics)}. Received: {objective}"
        )


def _is_out_of_memory(error):
    return isinstance(error, MemoryError) or "ResourceExhausted" in type(error).__name__
