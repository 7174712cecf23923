"""Writes the README's tables and figures anew from the committed rows.

    python -m benchmarks.update_readme

Takes seconds. A table stands between `<!-- rows: FOLDER -->` and `<!-- end -->`,
where FOLDER/rows.jsonl are the rows of one study; with `speed` in place of `rows`
(and `<!-- end speed -->`), of `benchmarks.speed`, whose last row counts.
"""

import pathlib
import re

from absl import app

from keras_reinit import report, results, study

ROOT = pathlib.Path(__file__).parent.parent
MARKED = re.compile(r"(<!-- rows: (\S+) -->\n).*?(<!-- end -->)", re.S)
SPEED = re.compile(r"(<!-- speed: (\S+) -->\n).*?(<!-- end speed -->)", re.S)


def updated(text):
    """The README's text with each marked table made from its rows."""

    def table(match):
        return f"{match[1]}\n{report.markdown(compared(match[2]))}\n\n{match[3]}"

    def speed(match):
        row = results.read_rows(ROOT / match[2] / "rows.jsonl")[-1]
        return f"{match[1]}\n{speed_table(row)}\n\n{match[3]}"

    return SPEED.sub(speed, MARKED.sub(table, text))


def speed_table(row):
    """What one event costs, beside what else was timed in the same run."""
    versions, growth = row["versions"], row["peak_growth_megabytes"]
    lines = [
        "One event of Shrink & Perturb on all 11.2 million weights of "
        f"PreAct-ResNet-18, medians of {row['config']['rounds']} interleaved rounds on "
        f"{', '.join(row['device'])} (TensorFlow {versions['tensorflow']}, Keras "
        f"{versions['keras']}). While it ran, the process grew by "
        f"{growth['event']:.0f} MB, with `clone_model` by "
        f"{growth['clone_model']:.0f} MB; the largest variable has 9.4 MB.",
        "",
        "| | Milliseconds | The event takes |",
        "| --- | --- | --- |",
    ]
    for name, seconds in row["seconds"].items():
        ratio = row["event_over"].get(name)
        times = "" if ratio is None else f"{ratio:.2f} times as long"
        lines.append(f"| {name} | {1000 * seconds:.1f} | {times} |")
    return "\n".join(lines)


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
