"""Answers the paper's questions from committed rows: docs/findings.md.

    python -m benchmarks.findings

Takes seconds. Each question names its presets, whose rows answer it, and was stated
with its test before the rows were there; `python -m benchmarks.study --preset=...`
makes them again.
"""

import dataclasses
import pathlib
import typing

from absl import app

from benchmarks import presets
from keras_reinit import effects, sensitivity, verdict
from keras_reinit.results import finished, markdown_table, paired_difference
from keras_reinit.results import verdict as word
from keras_reinit.schedules import Stages

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "findings.md"
DATASETS = {"digits": "Digits", "fashion_mnist": "Fashion-MNIST"}
INTRODUCTION = """# When does it work? Eight questions

<!-- made by python -m benchmarks.findings; do not edit -->

Answers from committed rows, on scikit-learn's digits (600 training images, 100 epochs
in 5 stages, 8 seeds) and Fashion-MNIST (500 real training images, 90 epochs in 3
stages, 4 seeds), small CNNs, with learning rate and weight decay chosen for each method
and setting on validation data. Differences are to standard training with the same
budget, paired by seed, after the last epoch, with 95% intervals (Student's t over
seeds, for one test set). *Helps* and *hurts* are intervals that lie wholly above or
below zero, bold in tables; each cell is judged on its own, so that of twenty cells
without any effect one is expected to be called wrongly. What comes out otherwise than
in Zaidi et al. 2022 is left as it is: these are far smaller networks and data sets, and
the stages on Fashion-MNIST are too short to re-fit.
"""


NORMS = """## Weight norms

*Paper:* without weight decay they grow and Shrink & Perturb cuts them; beside DCW all
methods end with similar norms (Figure 6).

Norm of all trainable weights after the first epoch of each stage → after its last,
means over three seeds, at one learning rate and weight decay
(`--preset=digits/norms`):"""


@dataclasses.dataclass(frozen=True)
class Question:
    """A question with the test that answers it, stated beforehand.

    Attributes:
        text: String, the question.
        paper: What Zaidi et al. 2022 found.
        test: How rows answer it.
        presets: Tuple of names, without the data set.
        answer: Function from a dict of rows, by preset, to Markdown.
    """

    text: str
    paper: str
    test: str
    presets: tuple
    answer: typing.Callable


def page():
    """The whole page, as Markdown."""
    return "\n".join([INTRODUCTION, *map(_section, QUESTIONS), _norms()])


def _section(question):
    parts = [f"## {question.text}", f"*Paper:* {question.paper}"]
    parts += [f"*Test, stated beforehand:* {question.test}"]
    for dataset, name in DATASETS.items():
        rows = _rows(dataset, question.presets)
        if any(rows.values()):
            used = ", ".join(f"`--preset={dataset}/{one}`" for one in rows)
            parts += [f"**{name}** ({used})", question.answer(rows)]
    return "\n\n".join(parts) + "\n"


def _norms():
    """The weight norm at stage ends, and one epoch after each event; Figure 6."""
    groups = verdict.by_setting(finished(presets.rows("digits/norms")))
    lines = [
        (setting, method, *_norm_cells(rows))
        for setting, methods in groups.items()
        for method, rows in methods.items()
    ]
    config = next(iter(groups.values()))["standard"][0]["config"]
    starts = Stages(config["epochs"], config["stages"]).starts
    header = ("Setting", "Method", *(f"Stage from epoch {start}" for start in starts))
    return "\n\n".join([NORMS, markdown_table(header, lines)]) + "\n"


def _norm_cells(rows):
    config = rows[0]["config"]
    starts = Stages(config["epochs"], config["stages"]).starts
    curves = [row["history"]["weight_norm"] for row in rows]
    curve = [sum(values) / len(curves) for values in zip(*curves, strict=True)]
    ends = [*(start - 1 for start in starts[1:]), len(curve) - 1]
    return [
        f"{curve[a]:.1f} → {curve[b]:.1f}" for a, b in zip(starts, ends, strict=True)
    ]


def _rows(dataset, names):
    known = presets.names()
    return {
        name: presets.rows(f"{dataset}/{name}", whole=name == "sensitivity")
        for name in names
        if f"{dataset}/{name}" in known
    }


def without_regularization(rows):
    """(a)"""
    some = [r for r in rows["table"] if r["config"]["regularization"] == "none"]
    return _verdicts(some)


def each_regularizer(rows):
    """(b)"""
    return f"{_verdicts(rows['table'])}\n\n{_left(rows['table'])}"


def less_sensitive(rows):
    """(c)"""
    return sensitivity.markdown(sensitivity.sensitivities(rows["sensitivity"]))


def under_noise(rows):
    """(d)"""
    return f"{_verdicts(rows['noise'])}\n\n{_changes(rows['noise'], 'label_noise')}"


def teachers_and_restarts(rows):
    """(e)"""
    some = ("standard", "born_again", "warm_restart")
    return "\n\n".join(
        _verdicts([row for row in group if row["config"]["method"] in some])
        for group in rows.values()
    )


def size_and_stages(rows):
    """(f)"""
    axes = {"sizes": "train_examples", "stages": "stages"}
    return "\n\n".join(
        f"{_verdicts(rows[name])}\n\n{_changes(rows[name], axis)}"
        for name, axis in axes.items()
        if name in rows
    )


def when_it_hurts(rows):
    """(g)"""
    lines = []
    for name, group in rows.items():
        for one in effects.effects(group):
            if one.interval and word(one.interval) == "hurts":
                lines.append(
                    (
                        name,
                        one.setting,
                        one.method,
                        one.interval.signed(),
                        str(one.steps_per_stage),
                        f"{one.stage_fit:.3f}",
                    )
                )
    header = ("Preset", "Setting", "Method", "Difference", "Steps a stage",
              "Lowest training accuracy at a stage's end")  # fmt: skip
    count = sum(len(effects.effects(group)) for group in rows.values())
    told = f"{len(lines)} of {count} cells hurt."
    parts = [told, markdown_table(header, lines)] if lines else [told]
    for name in ("capacity", "stages"):
        if name in rows:
            parts.append(_changes(rows[name], "stages"))
    return "\n\n".join(parts)


def shorter_standard(rows):
    """(h)"""
    noisy = [row for row in rows["noise"] if row["config"]["label_noise"] > 0]
    early, short = _early_stopped(noisy), _best_budget(rows["budget"])
    lines = []
    for one in verdict.cells(noisy):
        if one.method == "standard":
            continue
        ours = _final(noisy, one.setting, one.method)
        against = [
            paired_difference(ours, base[one.setting]) for base in (early, short)
        ]
        lines.append(
            (one.setting, one.method, one.difference.signed())
            + tuple(_told(difference) for difference in against)
        )
    header = ("Setting", "Method", "To standard", "To standard, early stopping",
              "To standard at its best number of epochs")  # fmt: skip
    return markdown_table(header, lines)


def _told(difference):
    return f"{difference.signed()}, {word(difference)}" if difference else ""


def _final(rows, setting, method):
    found = verdict.by_setting(finished(rows))[setting][method]
    return {row["config"]["seed"]: row["final"]["test_accuracy"] for row in found}


def _early_stopped(rows):
    groups = verdict.by_setting(finished(rows))
    return {
        setting: {
            row["config"]["seed"]: row["best"]["test_accuracy"]
            for row in methods["standard"]
        }
        for setting, methods in groups.items()
    }


def _best_budget(rows):
    """Of each noise rate, standard training at the epochs of the best validation."""
    found = {}
    for noise in sorted({row["config"]["label_noise"] for row in rows}):
        some = [row for row in rows if row["config"]["label_noise"] == noise]
        groups = verdict.by_setting(finished(some)).values()
        best = max((group["standard"] for group in groups), key=_validation)
        setting = verdict.by_setting(best)
        (name,) = setting
        found[name] = {
            row["config"]["seed"]: row["final"]["test_accuracy"] for row in best
        }
    return found


def _validation(rows):
    return sum(row["final"]["validation_accuracy"] for row in rows) / len(rows)


def _verdicts(rows):
    """A sentence and a table of effects: methods by settings."""
    cells = verdict.cells(rows)
    told = {}
    for cell in cells:
        if cell.word:
            told.setdefault(cell.word, []).append(cell)
    total = sum(map(len, told.values()))
    sentence = ", ".join(
        f"{name} in {len(told.get(name, []))}"
        for name in ("helps", "no clear effect", "hurts")
    )
    table = markdown_table(*verdict.matrix(cells))
    return f"Of {total} cells: {sentence}.\n\n{table}"


def _changes(rows, axis):
    found = effects.change(effects.effects(rows, without=(axis,)), axis)
    lines = [
        (*key, f"{low:g} → {high:g}", one.signed(), word(one) or "")
        for key, (low, high), one in found
        if one is not None
    ]
    header = ("Setting", "Method", effects.AXES[axis].capitalize(),
              "Change of the effect", "Grows (helps) or shrinks (hurts)")  # fmt: skip
    return markdown_table(header, lines)


def _left(rows):
    """How much of each effect is left beside all regularizers."""
    found = {}
    for one in effects.effects(rows):
        found.setdefault(one.method, {})[one.setting] = one.by_seed
    lines = [
        (method, _told(paired_difference(by["DCW"], by["no regularization"])))
        for method, by in found.items()
        if {"DCW", "no regularization"} <= by.keys()
    ]
    header = ("Method", "Effect beside DCW − effect without regularization")
    return markdown_table(header, lines)


QUESTIONS = (
    Question(
        "(a) Without regularization, does re-initialization help?",
        "yes, every method, Shrink & Perturb with self-distillation most (CIFAR-100: "
        "55.5% to 63.5%).",
        "each method's difference, setting ∅.",
        ("table",),
        without_regularization,
    ),
    Question(
        "(b) What is left of it beside regularizers, alone and all together?",
        "less with each regularizer; beside all three (DCW) nothing.",
        "each method's difference beside augmentation (D), with cosine annealing (DC) "
        "and weight decay (DCW), and the paired change from ∅ to DCW.",
        ("table",),
        each_regularizer,
    ),
    Question(
        "(c) Is the result less sensitive to learning rate and weight decay?",
        "yes: accuracy varies less over the grid (Figure 3).",
        "the share of the grid within 0.01 of the method's best cell, against standard "
        "training's.",
        ("sensitivity",),
        less_sensitive,
    ),
    Question(
        "(d) With 0, 20, 40, 60% wrong labels: what then?",
        "it helps even beside DCW, the more the more noise (0 to 40%).",
        "each method's difference at each rate, and the paired change from 0 to 60%.",
        ("noise",),
        under_noise,
    ),
    Question(
        "(e) Born-Again networks and warm restarts, at the fixed budget?",
        "neither is ahead of standard training (CIFAR-100: about +1 without "
        "regularization for Born-Again, none else).",
        "their differences in all settings.",
        ("table", "noise"),
        teachers_and_restarts,
    ),
    Question(
        "(f) How does it change with the number of training images and of stages?",
        "without regularization 2 to 25 stages help, best 5 to 20; beside DCW more "
        "stages only cost. Sizes were not studied.",
        "the paired change of the effect from the fewest to the most.",
        ("sizes", "stages"),
        size_and_stages,
    ),
    Question(
        "(g) When does it hurt?",
        "Born-Again with many stages most, beside DCW.",
        "all cells whose interval lies below zero, with steps a stage and the training "
        "accuracy that stages reach; the paired change from few to many stages, for "
        "narrow and wide networks.",
        ("table", "stages", "capacity", "sizes"),
        when_it_hurts,
    ),
    Question(
        "(h) Under noise, do early stopping or a shorter standard training do as well?",
        "tuning the epochs of standard training does not close the gap (Figure 12).",
        "differences, after the last epoch, to standard training with early stopping "
        "on (noisy) validation data, and to that of the number of epochs (of four) "
        "with the best validation accuracy.",
        ("noise", "budget"),
        shorter_standard,
    ),
)


def main(argv):
    """Writes the page."""
    if argv[1:]:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    app.run(main)
