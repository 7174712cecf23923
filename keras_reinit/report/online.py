"""What rows of `keras_reinit.training.online` say: accuracy and cost as data grow."""

import dataclasses

import numpy as np

from keras_reinit import plots
from keras_reinit.naming import by_setting
from keras_reinit.results import (
    Interval,
    code_notes,
    finished,
    markdown_table,
    paired_difference,
)
from keras_reinit.storage import write_page, write_whole

BASELINE = "full_reinit"
HEADER = (
    "Setting",
    "Method",
    "Test accuracy",
    "Difference to training anew",
    "n",
    "Steps to fit",
    "Ratio",
    "Learning rate, weight decay",
)
RULE = (
    "Each stage trains on all data so far for as many epochs. Test accuracy is "
    "after the last stage, the difference to training anew (full_reinit) paired by "
    "seed; both with 95% intervals (Student's t). *Steps to fit* are those after "
    "which an epoch's training accuracy was 0.99, all stages together, with a stage "
    "that never got there counted in full; the ratio is to training anew."
)


@dataclasses.dataclass(frozen=True)
class Curve:
    """One method in one setting.

    Attributes:
        setting, method: Strings.
        examples: Tuple of training examples in each stage.
        accuracy: Tuple of `Interval` of the test accuracy at the end of each stage.
        steps_to_fit: Tuple of means over seeds, for each stage.
        difference: `Interval` of the paired differences of the last test accuracy to
            training anew, or `None`.
        learning_rate, weight_decay: The chosen hyperparameters.
    """

    setting: str
    method: str
    examples: tuple
    accuracy: tuple
    steps_to_fit: tuple
    difference: Interval | None
    learning_rate: float
    weight_decay: float


def curves(rows):
    """Returns a list of `Curve`, in the order of the rows."""
    return [
        _curve(setting, method, methods)
        for setting, methods in by_setting(finished(rows)).items()
        for method in methods
    ]


def markdown(rows):
    """A table of the curves' ends, and its rule."""
    found = curves(rows)
    whole = {c.setting: sum(c.steps_to_fit) for c in found if c.method == BASELINE}
    table = markdown_table(
        HEADER, [_line(one, whole.get(one.setting)) for one in found]
    )
    return "\n\n".join([table, RULE, *code_notes(rows)])


def _line(one, whole):
    last, steps = one.accuracy[-1], sum(one.steps_to_fit)
    return (
        one.setting,
        one.method,
        str(last),
        one.difference.signed() if one.difference else "",
        str(last.n),
        f"{steps:,.0f}",
        f"{steps / whole:.2f}" if whole else "",
        f"{one.learning_rate:g}, {one.weight_decay:g}",
    )


def write(rows, folder):
    """Writes `warm_start.md` and `warm_start.png`; returns the list of their paths."""
    write_page(folder / "warm_start.md", f"{markdown(rows)}\n")
    figure = plots.png(plots.online_figure(curves(rows)), dpi=120)
    write_whole(folder / "warm_start.png", figure)
    return [folder / "warm_start.md", folder / "warm_start.png"]


def _curve(setting, method, methods):
    rows, config = methods[method], methods[method][0]["config"]
    stages = list(zip(*(row["stages"] for row in rows), strict=True))
    ends = _ends(rows)
    baseline = {} if method == BASELINE else _ends(methods.get(BASELINE, []))
    return Curve(
        setting,
        method,
        examples=tuple(stage[0]["examples"] for stage in stages),
        accuracy=tuple(
            Interval.of([one["test_accuracy"] for one in stage]) for stage in stages
        ),
        steps_to_fit=tuple(
            float(np.mean([one["steps_to_fit"] or one["steps"] for one in stage]))
            for stage in stages
        ),
        difference=paired_difference(ends, baseline),
        learning_rate=config["learning_rate"],
        weight_decay=config["weight_decay"] if "W" in config["regularization"] else 0.0,
    )


def _ends(rows):
    return {row["config"]["seed"]: row["final"]["test_accuracy"] for row in rows}
