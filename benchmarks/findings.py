"""Answers the paper's questions from committed rows: docs/findings.md.

    python -m benchmarks.findings

Takes seconds. Each question names its presets, whose rows answer it; `python -m
benchmarks.study --preset=...` makes them again. The tables are made from rows; what
they say in words (`told`) is written by hand, to be read again when rows change.
"""

import dataclasses
import pathlib
import typing

from benchmarks import answers, pages, presets
from keras_reinit import naming
from keras_reinit.results import code_notes, finished, markdown_table
from keras_reinit.schedules import Stages

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "findings.md"
DATASETS = {"digits": "Digits", "fashion_mnist": "Fashion-MNIST"}
INTRODUCTION = """# When does it work? Nine questions

<!-- made by python -m benchmarks.findings; do not edit -->

Answers from committed rows, on scikit-learn's digits (600 training images, 100 epochs
in 5 stages, 8 seeds) and Fashion-MNIST (500 real training images, 240 epochs in 3
stages, 4 seeds; in (i) 120), small CNNs but in (i), with learning rate and weight decay
chosen for each method and setting on validation data. Differences are to standard
training with the same budget, paired by seed, after the last epoch, with 95% intervals
(Student's t over seeds, for one test set). *Helps* and *hurts* are intervals that lie
wholly above or below zero, bold in tables; each cell is judged on its own, so that of
twenty cells without any effect one is expected to be called wrongly. The intervals do
not contain the choice of hyperparameters, which was made on two seeds or one: at
another pair of the grid, an effect of half a point may vanish or turn. *No clear
effect* does not mean that there is none: the interval says which effects are not
excluded. What differs from Zaidi et al. 2022 is left as it is: these are far smaller
networks and data sets.

The first eight questions and their tests entered the history together with their
first rows, (i) before the rows on Fashion-MNIST. Fashion-MNIST was lengthened from 90
to 240 epochs after the shorter stages (kept as `short_stages`) were seen.
"""


NORMS = """## Weight norms

*Paper:* without weight decay they grow and Shrink & Perturb cuts them; beside DCW all
methods end with similar norms (Figure 6).

Norm of all trainable weights after the first epoch of each stage → after its last,
means over eight seeds, at one learning rate and weight decay
(`--preset=digits/norms`):"""


VERSIONS = """## Versions of the code

Differences pair rows of one seed. Where presets were extended, some pairs are of two
versions of the code:"""


@dataclasses.dataclass(frozen=True)
class Question:
    """A question with the test that answers it.

    Attributes:
        text: String, the question.
        paper: What Zaidi et al. 2022 found.
        test: How rows answer it.
        told: What they say, in words.
        presets: Tuple of names, without the data set.
        answer: Function from a dict of rows, by preset, to Markdown.
    """

    text: str
    paper: str
    test: str
    told: str
    presets: tuple
    answer: typing.Callable


def page():
    """The whole page, as Markdown."""
    parts = [INTRODUCTION, *map(_section, QUESTIONS), _norms(), _versions()]
    return "\n".join(parts)


def _section(question):
    parts = [f"## {question.text}", f"*Paper:* {question.paper}"]
    parts += [f"*Test:* {question.test}", f"*Here:* {question.told}"]
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


def _versions():
    """Which code made the rows of each preset."""
    used = sorted({name for question in QUESTIONS for name in question.presets})
    lines = [
        (f"{dataset}/{name}", " ".join(code_notes(rows)) or "One version of the code.")
        for dataset in DATASETS
        for name, rows in _rows(dataset, used).items()
        if rows
    ]
    return f"{VERSIONS}\n\n{markdown_table(('Preset', 'Code'), lines)}\n"


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
        "yes, Shrink & Perturb and layer-wise re-initialization clearly, most with "
        "self-distillation (CIFAR-100: 55.5% to 63.5%), Born-Again hardly.",
        "each method's difference without regularization.",
        "on digits Shrink & Perturb does, with and without self-distillation, by less "
        "than a point at the chosen hyperparameters. On Fashion-MNIST no method's "
        "interval lies above zero, and Shrink & Perturb hurts; gains of one to two "
        "points are not excluded for Born-Again and for Shrink & Perturb with "
        "self-distillation.",
        ("table",),
        answers.without_regularization,
    ),
    Question(
        "(b) What is left of it beside regularizers, alone and all together?",
        "less beside augmentation, more again with cosine annealing, nothing beside "
        "all three (CIFAR-100, Shrink & Perturb: +7.6, +1.1, +4.2, -0.4 points; on "
        "Tiny ImageNet +1.9 beside all, with self-distillation).",
        "each method's difference beside augmentation (D), cosine annealing (C) and "
        "weight decay (W), each alone, beside two (DC) and all (DCW), and the paired "
        "change from none to DCW.",
        "on digits Shrink & Perturb helps with annealing alone and with weight decay "
        "alone as well. With augmentation its intervals contain zero; gains of up to "
        "half a point are not excluded. Every effect but that of the warm restart "
        "shrinks from none to DCW, by half a point or less. On Fashion-MNIST no "
        "interval lies above zero with augmentation, annealing or all three; the loss "
        "of Shrink & Perturb without regularization is mostly gone with all three, "
        "unlike in the paper. With weight decay alone, at a constant learning rate, "
        "standard training itself loses five points, of which three methods regain "
        "half; these are last epochs, and with early stopping (in the rows) no method "
        "differs clearly.",
        ("table",),
        answers.each_regularizer,
    ),
    Question(
        "(c) Is the result less sensitive to learning rate and weight decay?",
        "yes: accuracy varies less over the grid (Figure 3).",
        "the share of the grid within 0.01 of the method's best cell, against standard "
        "training's.",
        "this cannot be said: by the share of the grid near the best, the intervals of "
        "the difference contain zero, and on digits they do not exclude a third of the "
        "grid. By the paper's measure, the spread over the grid, Shrink & Perturb is "
        "more sensitive on digits, where stages of 180 steps are too short for the "
        "smallest learning rate; on Fashion-MNIST the spreads differ by little, "
        "without an interval.",
        ("sensitivity",),
        answers.less_sensitive,
    ),
    Question(
        "(d) With 0, 20, 40, 60% of the labels drawn anew: what then?",
        "it helps even beside DCW, mostly the more the more noise (0 to 40%).",
        "each method's difference at each rate, and the paired change from 0 to 60%.",
        "Born-Again helps on digits at 40 and 60% and on Fashion-MNIST at 20 and 40%. "
        "On Fashion-MNIST all five intervals lie above zero at 40% and none at 60%, "
        "where effects of seven points either way are not excluded. Shrink & Perturb "
        "helps on digits at 20%, and its intervals lie below zero at 40 and 60%, "
        "unlike in the paper: after the last epoch, and at hyperparameters chosen on "
        "two seeds; with early stopping the loss at 40% is not clear. For a residual "
        "network see (i).",
        ("noise",),
        answers.under_noise,
    ),
    Question(
        "(e) Born-Again networks and warm restarts, at the fixed budget?",
        "neither is ahead of standard training (CIFAR-100: about +1 without "
        "regularization for Born-Again, none else).",
        "their differences in all settings.",
        "with clean labels neither is, except with weight decay alone on "
        "Fashion-MNIST, see (b); all other intervals of Born-Again contain zero or lie "
        "below it. With noisy labels Born-Again is ahead, see (d). For warm restarts "
        "nothing can be said: the one interval above zero, on digits, begins at zero.",
        ("table", "noise", "family"),
        answers.teachers_and_restarts,
    ),
    Question(
        "(f) How does it change with the number of training images and of stages?",
        "without regularization 2 to 25 stages help with Shrink & Perturb and "
        "layer-wise, best 5 to 20, and with Born-Again up to 10; beside DCW more "
        "stages only cost. Sizes were not studied.",
        "the paired change of the effect from the fewest to the most.",
        "with DCW more stages cost more, as in the paper. Without regularization no "
        "difference between 2, 5 and 10 stages shows on digits, where changes of a "
        "point are not excluded; 20 stages (of 45 steps) cost 26 points with Shrink & "
        "Perturb, 4 with Born-Again, and layer-wise nothing above half a point. No "
        "change with the number of images shows for Shrink & Perturb; changes of a "
        "point are not excluded.",
        ("sizes", "stages"),
        answers.size_and_stages,
    ),
    Question(
        "(g) When does it hurt?",
        "Born-Again with many stages most, beside DCW.",
        "all cells whose interval lies below zero, with steps a stage and the training "
        "accuracy that stages reach; the paired change from few to many stages, for "
        "narrow and wide networks.",
        "with stages that are too short: on digits Shrink & Perturb and Born-Again at "
        "20, beside DCW layer-wise and Born-Again at 10 already, Shrink & Perturb the "
        "more the narrower the network; on Fashion-MNIST in most settings with clean "
        "labels. In longer stages, on digits Born-Again and Shrink & Perturb with "
        "self-distillation beside augmentation alone, and Shrink & Perturb with 40 and "
        "60% noise; on Fashion-MNIST Shrink & Perturb, layer-wise and Born-Again in "
        "many settings with clean labels. Nearly all of these stages fit less than "
        "standard training does.",
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
        "Born-Again stays ahead of a shorter standard training at all rates on digits, "
        "at 40 and 60% on Fashion-MNIST; Shrink & Perturb, with and without "
        "self-distillation, at 20% on digits; no other method does. As in the paper "
        "the gap narrows, and is closed for most methods, other than there.",
        ("noise", "budget"),
        answers.shorter_standard,
    ),
    Question(
        "(i) And a residual network?",
        "all of the above is of such: ResNet-18, PreAct-ResNet-18, MobileNetV2.",
        "the differences of a PreAct-ResNet-18 of an eighth of the width, in the "
        "settings of the first figure; under noise as in (h).",
        "with clean labels no interval lies above zero; on digits gains of more than "
        "half a point are excluded, on Fashion-MNIST without regularization a gain of "
        "a point with Born-Again is not. With DCW Born-Again loses, on Fashion-MNIST "
        "Shrink & Perturb, too. With 40% of the labels resampled both gain 12 to 15 "
        "points on digits, far more than with a small CNN, and still 2 to 4 against "
        "standard training of the best length; on Fashion-MNIST Born-Again gains 2.6, "
        "and against the best length the interval contains zero.",
        ("preact_resnet18", "preact_resnet18_budget"),
        answers.residual_network,
    ),
)


if __name__ == "__main__":
    pages.run(PAGE, page)
