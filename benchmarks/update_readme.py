"""Writes the README's tables and figures anew from the committed rows.

    python -m benchmarks.update_readme

Takes seconds. A table stands between `<!-- rows: FOLDER -->` and `<!-- end -->`,
where FOLDER/rows.jsonl are the rows of one study; with `event`, `input` or
`distillation` in place of `rows` (and after `end`, too), those of that part of
`benchmarks.speed`, of which the last (for each number of cores) counts; with
`sensitivity`, those of a search.
"""

import pathlib
import re

from absl import app

from keras_reinit import report, results, sensitivity, study

ROOT = pathlib.Path(__file__).parent.parent
MARKED = re.compile(r"(<!-- rows: (\S+) -->\n).*?(<!-- end -->)", re.S)
OTHER = re.compile(
    r"(<!-- (event|input|distillation|sensitivity): (\S+) -->\n).*?(<!-- end \2 -->)",
    re.S,
)


def updated(text):
    """The README's text with each marked table made from its rows."""

    def table(match):
        return f"{match[1]}\n{report.markdown(compared(match[2]))}\n\n{match[3]}"

    def other(match):
        rows = results.read_rows(ROOT / match[3] / "rows.jsonl")
        return f"{match[1]}\n{TABLES[match[2]](rows)}\n\n{match[4]}"

    return OTHER.sub(other, MARKED.sub(table, text))


def input_table(rows):
    """Images per second of each way, on each number of cores."""
    latest = {row["config"]["cores"]: row for row in rows}
    cells = [
        (cores, cell) for cores, row in sorted(latest.items()) for cell in row["cells"]
    ]
    names = sorted({name for _, cell in cells for name in cell["images_per_second"]})
    names = ["keras_reinit", *(name for name in names if name != "keras_reinit")]
    lines = [f"| Images | Recipe | Cores | {' | '.join(names)} |"]
    lines.append("| --- " * (3 + len(names)) + "|")
    for cores, cell in cells:
        rates = [cell["images_per_second"].get(name) for name in names]
        rates = ["" if rate is None else f"{rate:,.0f}" for rate in rates]
        size = f"{cell['side']}×{cell['side']}×3"
        lines.append(f"| {size} | {cell['recipe']} | {cores} | {' | '.join(rates)} |")
    shares = latest[max(latest)]["input_over_step"] if latest else {}
    lines += [
        "",
        "Making a batch (32×32×3, crop and flip) takes this share of a step: ",
    ]
    lines[-1] += (
        ", ".join(f"{name} {share:.2%}" for name, share in shares.items()) + "."
    )
    return "\n".join(lines)


def event_table(rows):
    """What one event costs, beside what else was timed in the same run."""
    row = rows[-1]
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


def distillation_table(rows):
    """What a teacher costs a training step, beside what it may cost."""
    row = rows[-1]
    device, rounds = row["device"][0], row["config"]["rounds"]
    lines = [
        f"A training step of small_cnn, 32×32×3 in batches of 128, on {device}: "
        f"medians of the ratios in {rounds} rounds, with 95% intervals (`python -m "
        f"benchmarks.speed --part=distillation --rounds={rounds}`).",
        "",
        "| BornAgain | Ratio |",
        "| --- | --- |",
    ]
    for name, ratio in row["ratios"].items():
        low, high = row["ratios_95"][name]
        lines.append(f"| {name} | {ratio:.3f} [{low:.3f}, {high:.3f}] |")
    return "\n".join(lines)


def sensitivity_table(rows):
    """How much of the grid of learning rate and weight decay is near the best."""
    return sensitivity.markdown(sensitivity.sensitivities(rows))


TABLES = {
    "sensitivity": sensitivity_table,
    "event": event_table,
    "input": input_table,
    "distillation": distillation_table,
}


def compared(folder):
    """The rows of a folder that its study compares."""
    return study.compared(results.read_rows(ROOT / folder / "rows.jsonl"))


def main(argv):
    """Rewrites README.md and the report beside each file of rows."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    for _, folder, _ in MARKED.findall(text):
        report.write(compared(folder), ROOT / folder)
    for _, kind, folder, _ in OTHER.findall(text):
        if kind == "sensitivity":
            rows = results.read_rows(ROOT / folder / "rows.jsonl")
            sensitivity.write(rows, ROOT / folder)
    readme.write_text(updated(text), encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
