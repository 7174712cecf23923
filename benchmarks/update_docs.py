"""Writes the tables and figures of README and docs/ anew from the committed rows.

    python -m benchmarks.update_docs

Takes seconds. A table stands between `<!-- KIND: NAME -->` and `<!-- end KIND -->`;
NAME is a preset, or a folder with rows. Kinds are those of `tables.TABLES`: `effects`
(a study as methods by settings), `methods` (all there are, with their effects),
`online` (data in chunks), `memorization`, `sensitivity`, `plan` (dry runs), and the
parts of `benchmarks.speed`, of which the last row (for each number of cores) counts.
The verdict of a study stands between `<!-- rows: NAME -->` and `<!-- end -->`. Pages
that a script writes as a whole are not among these: see `benchmarks.pages`.
"""

import pathlib
import re

from absl import app

from benchmarks import presets, tables
from keras_reinit import report, results, study
from keras_reinit.report import memorization as memorization_report
from keras_reinit.report import online as online_report
from keras_reinit.report import sensitivity

REPORTS = {"online": online_report, "memorization": memorization_report}
ROOT = pathlib.Path(__file__).parent.parent
PAGES = (
    "README.md",
    *(f"docs/{name}.md" for name in ("results", "guide", "search", "data")),
)
MARKED = re.compile(r"(<!-- rows: (\S+) -->\n).*?(<!-- end -->)", re.S)
OTHER = re.compile(r"(<!-- (\w+): (\S+) -->\n).*?(<!-- end \2 -->)", re.S)


def updated(text):
    """A page's text with each marked table made from its rows."""

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
    """Rewrites the tables of all pages, and the figures beside their rows."""
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        _draw(text)
        (ROOT / page).write_text(updated(text), encoding="utf-8")


def _draw(text):
    for _, name, _ in MARKED.findall(text):
        figure = report.figure_png(compared(name))
        (folder_of(name) / "verdict.png").write_bytes(figure)
    for _, kind, folder, _ in OTHER.findall(text):
        if kind == "sensitivity":
            rows = results.read_rows(ROOT / folder / "rows.jsonl")
            sensitivity.write(rows, ROOT / folder)
        elif kind in REPORTS:
            REPORTS[kind].write(compared(folder), ROOT / folder)


if __name__ == "__main__":
    app.run(main)
