"""Answers the paper's questions from committed rows: docs/findings.md.

    python -m benchmarks.findings

Takes seconds. Each question names its presets, whose rows answer it, and was stated
with its test before the rows were there; `python -m benchmarks.study --preset=...`
makes them again.
"""

import dataclasses
import pathlib
import typing

from benchmarks import answers, pages, presets
from keras_reinit import naming
from keras_reinit.results import finished, markdown_table
from keras_reinit.schedules import Stages

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "findings.md"
DATASETS = {"digits": "Digits", "fashion_mnist": "Fashion-MNIST"}
INTRODUCTION = """# When does it work? Nine questions

<!-- made by python -m benchmarks.findings; do not edit -->

Answers from committed rows, on scikit-learn's digits (600 training images, 100 epochs
in 5 stages, 8 seeds) and Fashion-MNIST (500 real training images, 240 epochs in 3
stages, 4 seeds), small CNNs but in (i), with learning rate and weight decay chosen for
each method and setting on validation data. Differences are to standard training with
the same budget, paired by seed, after the last epoch, with 95% intervals (Student's t
over seeds, for one test set). *Helps* and *hurts* are intervals that lie wholly above
or below zero, bold in tables; each cell is judged on its own, so that of twenty cells
without any effect one is expected to be called wrongly. What comes out otherwise than
in Zaidi et al. 2022 is left as it is: these are far smaller networks and data sets, and
the stages on Fashion-MNIST fit less than standard training does.
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
    groups = naming.by_setting(finished(presets.rows("digits/norms")))
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


QUESTIONS = (
    Question(
        "(a) Without regularization, does re-initialization help?",
        "yes, every method, Shrink & Perturb with self-distillation most (CIFAR-100: "
        "55.5% to 63.5%).",
        "each method's difference, setting ∅.",
        ("table",),
        answers.without_regularization,
    ),
    Question(
        "(b) What is left of it beside regularizers, alone and all together?",
        "less with each regularizer; beside all three (DCW) nothing.",
        "each method's difference beside augmentation (D), with cosine annealing (DC) "
        "and weight decay (DCW), and the paired change from ∅ to DCW.",
        ("table",),
        answers.each_regularizer,
    ),
    Question(
        "(c) Is the result less sensitive to learning rate and weight decay?",
        "yes: accuracy varies less over the grid (Figure 3).",
        "the share of the grid within 0.01 of the method's best cell, against standard "
        "training's.",
        ("sensitivity",),
        answers.less_sensitive,
    ),
    Question(
        "(d) With 0, 20, 40, 60% wrong labels: what then?",
        "it helps even beside DCW, the more the more noise (0 to 40%).",
        "each method's difference at each rate, and the paired change from 0 to 60%.",
        ("noise",),
        answers.under_noise,
    ),
    Question(
        "(e) Born-Again networks and warm restarts, at the fixed budget?",
        "neither is ahead of standard training (CIFAR-100: about +1 without "
        "regularization for Born-Again, none else).",
        "their differences in all settings.",
        ("table", "noise"),
        answers.teachers_and_restarts,
    ),
    Question(
        "(f) How does it change with the number of training images and of stages?",
        "without regularization 2 to 25 stages help, best 5 to 20; beside DCW more "
        "stages only cost. Sizes were not studied.",
        "the paired change of the effect from the fewest to the most.",
        ("sizes", "stages"),
        answers.size_and_stages,
    ),
    Question(
        "(g) When does it hurt?",
        "Born-Again with many stages most, beside DCW.",
        "all cells whose interval lies below zero, with steps a stage and the training "
        "accuracy that stages reach; the paired change from few to many stages, for "
        "narrow and wide networks.",
        (
            "table",
            "noise",
            "stages",
            "capacity",
            "sizes",
            "short_stages",
            "short_stages_noise",
        ),
        answers.when_it_hurts,
    ),
    Question(
        "(h) Under noise, do early stopping or a shorter standard training do as well?",
        "tuning the epochs of standard training does not close the gap (Figure 12).",
        "differences, after the last epoch, to standard training with early stopping "
        "on (noisy) validation data, and to that of the number of epochs (of four) "
        "with the best validation accuracy.",
        ("noise", "budget"),
        answers.shorter_standard,
    ),
    Question(
        "(i) And a residual network?",
        "all of the above is of such: ResNet-18, PreAct-ResNet-18, MobileNetV2.",
        "the differences of a PreAct-ResNet-18 of an eighth of the width, in the "
        "settings of the first figure.",
        ("preact_resnet18",),
        answers.residual_network,
    ),
)


if __name__ == "__main__":
    pages.run(PAGE, page)
