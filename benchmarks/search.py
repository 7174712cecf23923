"""Trains a grid with keras-tuner: one process, or a chief and workers.

    python -m benchmarks.search --learning_rate=0.03,0.1 --method=standard,born_again \
        --seeds=3 --workers=2 --output=results/search

Every combination of the flags with several values is trained with each seed; rows go
to OUTPUT/rows.jsonl. Stop it at any moment: the same command goes on, and with more
values it adds what is missing. `--dry_run` only says what it costs. `--workers` starts
keras-tuner's chief and workers on this host. On others, start the same command with
keras-tuner's environment variables (KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP,
KERASTUNER_ORACLE_PORT) and a folder that all of them share.
"""

import collections
import contextlib
import functools
import os
import signal
import sys

from absl import app, flags

from benchmarks import flags as shared
from benchmarks import launch
from keras_reinit import results, runs, storage, training
from keras_reinit.config import Config
from keras_reinit.console import say
from keras_reinit.pool import default_processes
from keras_reinit.report import sensitivity

LISTS = (*shared.VARIED, "augment", "momentum", "stages")
# What has values only where another flag has certain ones: its name, and which.
ONLY = {
    "weight_decay": ("regularization", lambda value: "W" in value),
    "stages": ("method", lambda value: value != "standard"),
}


def define_flags():
    """The shared flags, with lists for what is searched over, and its own."""
    shared.define("results/search", LISTS)
    flags.DEFINE_integer("seeds", 1, "seeds from --seed on", lower_bound=1)
    flags.DEFINE_integer(
        "workers",
        default_processes(),
        "processes that train, each on one core or one GPU",
        lower_bound=1,
    )
    flags.DEFINE_enum(
        "epoch",
        "final",
        results.REPORT_EPOCHS,
        "the epoch that a trial is judged by: the last, or the one with the best "
        "validation accuracy (early stopping)",
    )
    flags.DEFINE_alias("report_epoch", "epoch")  # Of presets, as the next two.
    for name in ("tuning_seeds", "tune"):
        flags.DEFINE_string(
            name, None, "of presets; a search trains all on each of --seeds"
        )
    flags.DEFINE_bool("dry_run", False, "only estimate what is missing")


def space(hp):
    """Declares what has several values; returns all fields that flags list."""
    fields = {}
    for name in LISTS:
        values = shared.values(name)
        if values is None:
            continue
        other, fits = ONLY.get(name, (None, None))
        some = (
            [value for value in shared.values(other) or () if fits(value)]
            if other
            else ()
        )
        active = hp.conditional_scope(other, some) if some else contextlib.nullcontext()
        with active:
            fields[name] = hp.Choice(name, values)
    return {name: value for name, value in fields.items() if value is not None}


def base():
    """The `Config` of all that is not searched over."""
    listed = {name: shared.values(name) for name in LISTS}
    defaults = {name: getattr(Config(), name) for name in LISTS}
    if listed["stages"]:  # The default may not fit the epochs.
        defaults["stages"] = listed["stages"][0]
    return shared.config(**defaults)


def tuner(folder, report=None, fingerprints=None):
    """The search that the flags describe.

    Args:
        folder: Path.
        report: Function that takes lines of progress.
        fingerprints: Dict of those of data sets that need not be loaded.
    """
    from keras_reinit import tuning

    hypermodel = tuning.HyperModel(
        space,
        base(),
        epoch=flags.FLAGS.epoch,
        folder=flags.FLAGS.folder,
    )
    if fingerprints is not None:
        hypermodel.fingerprints = fingerprints
    first = flags.FLAGS.seed
    return tuning.GridSearch(
        hypermodel,
        seeds=range(first, first + flags.FLAGS.seeds),
        directory=folder,
        report=report or functools.partial(say, file=sys.stdout),
    )


def main(argv):
    """Trains what is missing; as a chief or worker, plays that part."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        raise SystemExit(_search())
    except KeyboardInterrupt:
        say("\nStopped; finished trials are kept. The same command continues.")
        raise SystemExit(130) from None


def _search():
    alone = launch.TUNER_ID not in os.environ
    try:
        folder = storage.writable_folder(flags.FLAGS.output)
        if flags.FLAGS.dry_run:
            return _estimate(folder)
        storage.check_ours(folder / "sensitivity.md")
        if os.environ.get(launch.TUNER_ID) != "chief":
            training.load(base(), flags.FLAGS.folder)  # Are there data?
        # What is missing is the chief's to report.
        if alone and flags.FLAGS.workers > 1:
            search = tuner(folder, _silent)
            if search.missing():
                code = launch.run(flags.FLAGS.workers, folder)
                _summarize(search, folder)
                return code
        launch.end_with_parent()
        search = tuner(folder)
    except (ValueError, flags.Error) as error:
        raise app.UsageError(str(error)) from error
    _train(search, alone)
    if alone:
        _summarize(search, folder)
    return 0


def _train(search, alone):
    import keras_tuner

    # Of a chief and workers, keras-tuner's own output is for the log.
    with contextlib.redirect_stdout(sys.stdout if alone else sys.stderr):
        try:
            search.search()
        except ValueError as error:  # Another run has the folder.
            raise app.UsageError(str(error)) from error
        except keras_tuner.errors.FatalError as error:
            raise SystemExit(str(error)) from error


def _silent(line):
    """No report."""


def _estimate(folder):
    """Prints what the search would cost, as timed in a process like a worker."""
    from benchmarks import dry_run

    if flags.FLAGS.workers > 1:
        os.environ.update(launch.ONE_CORE)
    # Data need not be at hand: they are taken to be those of the rows that there are.
    rows = runs.known_rows(results.read_rows(folder / "rows.jsonl"))
    rows = [row for row in rows if row["config"]]
    fingerprints = collections.defaultdict(lambda: None)
    fingerprints |= {row["config"]["dataset"]: row.get("data") for row in rows}
    search = tuner(folder, fingerprints=fingerprints)
    dry_run.run(search, flags.FLAGS.workers, folder)
    return 0


def _summarize(search, folder):
    """Where learning rate and weight decay were searched over: how much they matter."""
    rows = runs.known_rows(search.results())
    written = sensitivity.write(rows, folder, when=flags.FLAGS.epoch)
    if written:
        say(f"\n{written[0].read_text()}\n{', '.join(map(str, written))}")


if __name__ == "__main__":
    define_flags()
    shared.run(main)
