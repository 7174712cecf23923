"""Runs of configs in a folder: several at once, resumable, each done once."""

import contextlib
import dataclasses
import functools
import json
import pathlib
import time

from keras_reinit import data, pool
from keras_reinit.arguments import checked_integer, is_finite
from keras_reinit.config import METHODS, REGULARIZATIONS, Config
from keras_reinit.console import say
from keras_reinit.naming import names
from keras_reinit.results import (
    REPORT_EPOCHS,
    append_row,
    finished,
    kind,
    read_rows,
)
from keras_reinit.storage import held, writable_folder

# The fields that decide numbers, with their defaults, and those that do not.
FIELDS = {f.name: f.default for f in dataclasses.fields(Config) if f.compare}
FREE = {f.name for f in dataclasses.fields(Config) if not f.compare}


def known_rows(rows):
    """Those of some rows that this version can use, with all fields of a `Config`.

    Left out are rows of no training, with fields, methods or regularizations that this
    version does not know, and rows of finished runs without their results. A failed run
    may have no config.

    Args:
        rows: List of dicts, such as `keras_reinit.results.read_rows` returns.

    Example:

    >>> rows = [{"status": "failed", "reason": "OOM", "config": {"method": name}}
    ...         for name in ("rifle", "of_a_later_version")]
    >>> [row["config"]["method"] for row in known_rows(rows)]
    ['rifle']
    """
    known = filter(_is_known, rows)
    return [
        {**row, "config": row["config"] and {**FIELDS, **row["config"]}}
        for row in known
    ]


def _is_known(row):
    config, failed = row.get("config"), row.get("status") == "failed"
    if failed and not isinstance(row.get("reason"), str):
        return False
    if not isinstance(config, dict):
        return failed and config is None
    return (
        config.keys() <= FIELDS.keys() | FREE
        and config.get("method", "standard") in METHODS
        and config.get("regularization", "none") in REGULARIZATIONS
        and (failed or row.get("status") == "ok" and _has_results(row))
    )


def _has_results(row):
    epochs = REPORT_EPOCHS if kind(row) == "training" else ("final",)
    return all(
        isinstance(row.get(when), dict) and is_finite(row[when].get(name))
        for when in epochs
        for name in ("test_accuracy", "validation_accuracy")
    ) and _has_stages(row.get("stages", [{"train_accuracy": 0.0}]))


def _has_stages(stages):
    return (
        isinstance(stages, list)
        and bool(stages)
        and all(
            isinstance(one, dict) and is_finite(one.get("train_accuracy"))
            for one in stages
        )
    )


def key_of(config):
    """A string that is the same for equal configs, given as `Config` or as dict."""
    return json.dumps(_decided(config), sort_keys=True)


def cell_of(config):
    """A string that is the same for all candidates and seeds of a cell."""
    shared = {"learning_rate": 1.0, "weight_decay": 0.0, "seed": 0}
    return json.dumps({**_decided(config), **shared}, sort_keys=True)


def _decided(config):
    """All fields that decide numbers; standard training has no stages."""
    given = config if isinstance(config, dict) else vars(config)
    # Rows may be older than a field: they were run with what is its default.
    fields = {**FIELDS, **given}
    if fields["method"] == "standard":
        fields["stages"] = 1
    fields["dataset"] = data.public_name(fields["dataset"])
    return {name: fields[name] for name in fields.keys() - FREE}


def by_key(rows):
    """Dict from `key_of` a config to the last row that has it."""
    return {key_of(row["config"]): row for row in rows}


def context_of(row):
    """All but the config that decided a row, as a hashable value."""
    own = row.get("hyperparameters") if "network" in row.get("given", ()) else None
    return (
        kind(row), row.get("strategy", "none"), row.get("data"),
        tuple(row.get("given", ())), json.dumps(own, sort_keys=True),
    )  # fmt: skip


@dataclasses.dataclass
class Runs:
    """Runs of one kind, and the file with their rows.

    A row counts for a config only if all that decided it is the same: the fields of
    the config, the kind of run, the strategy, and the contents of the data set.

    Attributes:
        path: Path of the `rows.jsonl`.
        folder: Where the data set lies, see `keras_reinit.data.load`.
        kind: `"training"`, `"online"` or `"memorization"`.
        strategy: One of `keras_reinit.training.STRATEGIES`.
    """

    path: pathlib.Path
    folder: str | None = None
    kind: str = "training"
    strategy: str = "none"

    def __post_init__(self):
        self.path = pathlib.Path(self.path)
        self._fingerprint = functools.cache(data.fingerprint)

    def rows(self, configs):
        """The rows of some `Config`s, in the order of the file."""
        known = {key_of(config): config for config in configs}
        rows = [row for row in known_rows(read_rows(self.path)) if row["config"]]
        keyed = [(known.get(key_of(row["config"])), row) for row in rows]
        return [row for config, row in keyed if config and self._are_of(row, config)]

    def skipped(self):
        """How many rows of the file this version cannot use."""
        rows = read_rows(self.path)
        return len(rows) - len(known_rows(rows))

    def _are_of(self, row, config):
        same = kind(row) == self.kind and row.get("strategy", "none") == self.strategy
        # On data or with a network of the caller's own.
        return same and not row.get("given") and self._has_same_data(row, config)

    def _has_same_data(self, row, config):
        dataset = config.dataset  # A row has no path.
        if row["status"] != "ok":
            return True
        if "data" not in row:  # It is older. A published data set does not change.
            return dataset in data.DATASETS
        return row["data"] == self._fingerprint(dataset, self.folder)


def run_all(configs, runs, *, processes=None, report=say, later=0, run=pool.train):
    """Runs each config that has no finished row and appends its row.

    Only this process writes, a row at a time, so an interruption loses nothing but
    the runs in flight. A run that fails leaves a row with its reason and is tried
    again by the next call.

    Args:
        configs: List of `Config`.
        runs: A `Runs`, or the path of the `rows.jsonl`.
        processes: Integer >= 1, runs at once; with more than one, each has one thread.
            By default one for each core.
        report: Called with each line of progress.
        later: Integer, runs that the caller has in store; the estimate of the time
            left counts them.
        run: Function of a module that takes a config and a folder and returns a row,
            of the kind and strategy that `runs` has.
    """
    runs = runs if isinstance(runs, Runs) else Runs(runs)
    processes = pool.default_processes() if processes is None else processes
    checked_integer("processes", processes, low=1)
    with held(writable_folder(runs.path.parent)):
        _run_missing(configs, runs, processes, report, later, run)


def _run_missing(configs, runs, processes, report, later, run):
    done = by_key(finished(runs.rows(configs)))
    waiting = {key_of(c): c for c in configs if key_of(c) not in done}
    skipped = runs.skipped()
    if skipped:
        report(f"  {skipped} rows of another version are left out")
    report(f"  {len(waiting)} runs to do, {len(configs) - len(waiting)} done before")
    if not waiting:
        return
    began = time.time()
    named = dict(
        zip(waiting, names([_as_row(c) for c in waiting.values()]), strict=True)
    )
    running = pool.outcomes(list(waiting.values()), processes, runs.folder, run)
    with contextlib.closing(running) as outcomes:
        for count, (config, row) in enumerate(outcomes, 1):
            # A row of a failed run does not say what it would have been.
            row = {"kind": runs.kind, "strategy": runs.strategy, **row}
            append_row(runs.path, row)
            left = (time.time() - began) / count * (len(waiting) - count + later)
            run_name = ", ".join(reversed(named[key_of(config)]))
            report(
                f"  [{count}/{len(waiting)}] {run_name}, seed {config.seed}: "
                f"{_outcome(row)}, about {_clock(left)} left"
            )


def _as_row(config):
    return {"config": dataclasses.asdict(config)}


def _outcome(row):
    if row["status"] != "ok":
        return f"failed: {row.get('reason')}"
    return f"validation {row['final']['validation_accuracy']:.3f}"


def _clock(seconds):
    return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"
