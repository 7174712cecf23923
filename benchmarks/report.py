"""Writes the report of a folder of rows: report.html and report.md.

    python -m benchmarks.report results/digits

Takes any folder with a rows.jsonl, of `benchmarks.study`, `benchmarks.search` or
`benchmarks.train`, finished or not, and several of them one after another. The page
needs no other file. Rows of data in chunks, or of memorization, have a report of their
own: a table and a figure.
"""

import pathlib

from absl import app

from keras_reinit import commands, results, study


def main(argv):
    """Writes the report of each folder beside its rows."""
    if not argv[1:]:
        raise app.UsageError("name at least one folder with a rows.jsonl")
    from keras_reinit import memorization_report, online_report, report

    others = {"online": online_report, "memorization": memorization_report}
    for folder in map(pathlib.Path, argv[1:]):
        rows = results.read_rows(folder / "rows.jsonl")
        rows = [row for row in rows if "status" in row and row["config"]]
        if not rows:
            raise app.UsageError(f"{folder / 'rows.jsonl'} has no row of a training")
        kind, compared = commands.kind(rows[0]), study.compared(rows)
        if kind in others:
            paths = others[kind].write(compared, folder)
        else:
            paths = report.write(compared, folder, rows)
        print("\n".join(map(str, paths)))


if __name__ == "__main__":
    app.run(main)
