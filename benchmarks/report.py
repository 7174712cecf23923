"""Writes the report of a folder of rows: report.html and report.md.

    python -m benchmarks.report results/digits

Takes any folder with a rows.jsonl, of `benchmarks.study`, `benchmarks.search` or
`benchmarks.train`, finished or not, and several of them one after another. The page
needs no other file. Rows of data in chunks, or of memorization, have a report of their
own: a table and a figure.
"""

import collections
import pathlib

from absl import app, flags

from keras_reinit import report, results, runs, study
from keras_reinit.console import say
from keras_reinit.report import memorization, online

# The module that reports on rows of a kind.
MODULES = {
    "training": report,
    "online": online,
    "memorization": memorization,
}


def define_flags():
    """The epoch that is reported."""
    flags.DEFINE_enum(
        "report_epoch",
        "final",
        results.REPORT_EPOCHS,
        "the epoch that trainings are chosen and compared by: the last, or the one "
        "with the best validation accuracy (early stopping)",
    )


def markdown(rows, when="final"):
    """The tables of some rows of one kind.

    Args:
        rows: Those that are compared.
        when: The reported epoch of trainings, see `keras_reinit.report.write`.
    """
    module, options = _module(rows, when)
    return module.markdown(rows, *options)


def write(rows, every, folder, when="final"):
    """Writes the report of some rows of one kind into a folder; returns the paths.

    Args:
        rows: Those that are compared.
        every: Also those that hyperparameters were chosen on.
        folder: Path.
        when: See `markdown`.
    """
    module, options = _module(rows, when)
    return module.write(rows, folder, *([every, *options] if options else []))


def _module(rows, when):
    """What reports on some rows, and its further arguments."""
    kind = results.kind(next(iter(results.finished(rows)), rows[0]))
    return MODULES[kind], [when] if kind == "training" else []


def main(argv):
    """Writes the report of each folder next to its rows."""
    if not argv[1:]:
        raise app.UsageError("name at least one folder with a rows.jsonl")
    for folder in map(pathlib.Path, argv[1:]):
        every = results.read_rows(folder / "rows.jsonl")
        known = runs.known_rows(every)
        rows = [row for row in known if row["config"]]
        if not rows:
            raise app.UsageError(f"{folder / 'rows.jsonl'} has no row of a training")
        if len(every) > len(known):
            say(
                f"{folder}: {len(every) - len(known)} rows of another version are left "
                "out"
            )
        # Failures that have no config are listed, too.
        nameless = [row for row in known if not row["config"]]
        kinds = collections.defaultdict(list)
        for row in rows:
            kinds[results.kind(row)].append(row)
        known = "report_epoch" in flags.FLAGS  # Not where `main` is called by itself.
        when = flags.FLAGS["report_epoch"].value if known else "final"
        for some in kinds.values():
            every = study.in_order(some) + nameless
            written = write(study.compared(some, when), every, folder, when)
            say("\n".join(map(str, written)))


if __name__ == "__main__":
    define_flags()
    app.run(main)
