"""Writes the README's tables and figures anew from the committed rows.

    python -m benchmarks.update_readme

Takes seconds. A table stands between `<!-- rows: FOLDER -->` and `<!-- end -->`,
where FOLDER/rows.jsonl are the rows of one study.
"""

import pathlib
import re

from absl import app

from keras_reinit import report, results, study

ROOT = pathlib.Path(__file__).parent.parent
MARKED = re.compile(r"(<!-- rows: (\S+) -->\n).*?(<!-- end -->)", re.S)


def updated(text):
    """The README's text with each marked table made from its rows."""

    def table(match):
        return f"{match[1]}\n{report.markdown(compared(match[2]))}\n\n{match[3]}"

    return MARKED.sub(table, text)


def compared(folder):
    """The rows of a folder that its study compares."""
    return study.compared(results.read_rows(ROOT / folder / "rows.jsonl"))


def main(argv):
    """Rewrites README.md and the report beside each file of rows."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    for _, folder, _ in MARKED.findall(text):
        report.write(compared(folder), ROOT / folder)
    readme.write_text(updated(text), encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
