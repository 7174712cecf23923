"""Writes the report of a folder of rows: report.html and report.md.

    python -m benchmarks.report results/digits

Takes any folder with a rows.jsonl, of `benchmarks.study`, `benchmarks.search` or
`benchmarks.train`, finished or not, and several of them one after another. The page
needs no other file. Rows of data in chunks, or of memorization, have a report of their
own: a table and a figure.
"""

import pathlib

from absl import app

from keras_reinit import report, results, study
from keras_reinit.report import commands, memorization, online

# The module that reports on rows of a kind, see `keras_reinit.report.commands.kind`.
MODULES = {
    "training": report,
    "online": online,
    "memorization": memorization,
}


def module(rows):
    """The module that reports on some rows."""
    return MODULES[_kind(rows)]


def write(rows, every, folder):
    """Writes the report of some rows into a folder; returns the paths.

    Args:
        rows: Those that are compared.
        every: Also those that hyperparameters were chosen on.
        folder: Path.
    """
    more = (every,) if _kind(rows) == "training" else ()
    return module(rows).write(rows, folder, *more)


def _kind(rows):
    """What the runs were; one that failed does not tell."""
    return commands.kind(next(iter(results.finished(rows)), rows[0]))


def main(argv):
    """Writes the report of each folder beside its rows."""
    if not argv[1:]:
        raise app.UsageError("name at least one folder with a rows.jsonl")
    for folder in map(pathlib.Path, argv[1:]):
        rows = results.read_rows(folder / "rows.jsonl")
        rows = [row for row in rows if "status" in row]
        known = [row for row in rows if row["config"]]
        if not known:
            raise app.UsageError(f"{folder / 'rows.jsonl'} has no row of a training")
        # Failures that have no config are told, too.
        every = study.in_order(known) + [row for row in rows if not row["config"]]
        written = write(study.compared(known), every, folder)
        print("\n".join(map(str, written)))


if __name__ == "__main__":
    app.run(main)
