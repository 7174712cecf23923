"""Writes the README's tables and figures anew from the committed rows.

    python -m benchmarks.update_readme

Takes seconds. A table stands between `<!-- rows: NAME -->` and `<!-- end -->`, where
NAME is a preset, or a folder with the rows.jsonl of one study; with `event`, `input`,
`distillation`, `diagnostics` or `search` in place of `rows` (and after `end`, too), the
rows are those of that part of `benchmarks.speed`, of which the last (for each number of
cores) counts; with `family`, those of a study of many methods, `online` of data in
chunks, `memorization` of what is memorized, `sensitivity` of a search; with `plan`,
NAME/plan.jsonl those of dry runs.
"""

import pathlib
import re

from absl import app

from benchmarks import presets, tables
from keras_reinit import (
    memorization_report,
    online_report,
    report,
    results,
    sensitivity,
    study,
)

REPORTS = {"online": online_report, "memorization": memorization_report}
ROOT = pathlib.Path(__file__).parent.parent
MARKED = re.compile(r"(<!-- rows: (\S+) -->\n).*?(<!-- end -->)", re.S)
OTHER = re.compile(r"(<!-- (\w+): (\S+) -->\n).*?(<!-- end \2 -->)", re.S)


def updated(text):
    """The README's text with each marked table made from its rows."""

    def table(match):
        return f"{match[1]}\n{report.markdown(compared(match[2]))}\n\n{match[3]}"

    def other(match):
        file = "plan.jsonl" if match[2] == "plan" else "rows.jsonl"
        if match[3] in presets.names():
            rows = presets.rows(match[3])
        else:
            rows = results.read_rows(ROOT / match[3] / file)
        return f"{match[1]}\n{tables.TABLES[match[2]](rows)}\n\n{match[4]}"

    return OTHER.sub(other, MARKED.sub(table, text))


def compared(name):
    """The rows that a study compares, by its preset or by its folder."""
    if name in presets.names():
        return presets.rows(name)
    return study.compared(results.read_rows(ROOT / name / "rows.jsonl"))


def folder_of(name):
    """Where the rows of a preset lie, or a folder itself."""
    return presets.folder(name) if name in presets.names() else ROOT / name


def main(argv):
    """Rewrites README.md and the figures beside the rows."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    for _, name, _ in MARKED.findall(text):
        figure = report.figure_png(compared(name))
        (folder_of(name) / "verdict.png").write_bytes(figure)
    for _, kind, folder, _ in OTHER.findall(text):
        if kind == "sensitivity":
            rows = results.read_rows(ROOT / folder / "rows.jsonl")
            sensitivity.write(rows, ROOT / folder)
        elif kind in REPORTS:
            REPORTS[kind].write(compared(folder), ROOT / folder)
    readme.write_text(updated(text), encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
