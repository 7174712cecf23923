"""What rows of `keras_reinit.training.memorization` say: is less memorized?"""

import collections
import dataclasses

import numpy as np
from scipy import stats

from keras_reinit import plots
from keras_reinit.naming import by_setting
from keras_reinit.results import (
    Interval,
    code_notes,
    finished,
    markdown_table,
    paired_difference,
    schedule_of,
    verdict,
)
from keras_reinit.storage import write_page, write_whole
from keras_reinit.training.memorization import MEASURES

BASELINE = "standard"
RULE = (
    "Test accuracy and the share of the wrong training labels that were learned, after "
    "the last epoch; differences to standard training paired by seed, with 95% "
    "intervals (Student's t); *helps* and *hurts* as in the study."
)
RELATION_RULE = (
    "Spearman's rank correlation over the methods with their test accuracy, all after "
    "the last epoch: for each seed by itself, then mean and 95% interval (Student's t) "
    "over seeds. It says what goes together in these methods, not what is the cause."
)
HEADER = (
    "Setting",
    "Method",
    "Test accuracy",
    "Difference to standard",
    "Verdict",
    "n",
    "Wrong labels learned at stage ends",
    "Difference to standard at the end",
)


@dataclasses.dataclass(frozen=True)
class Memory:
    """One method in one setting.

    Attributes:
        setting, method: Strings.
        stages: Tuple of the epochs at which stages begin.
        accuracy: `Interval` of the test accuracy after the last epoch.
        difference: `Interval` of its paired differences to standard training, or
            `None` for standard training itself.
        learned: Tuple of mean shares of the wrong labels learned, at stage ends.
        learned_difference: As `difference`, of the share learned at the end.
        curves: Dict of arrays, the means over seeds for each epoch.
    """

    setting: str
    method: str
    stages: tuple
    accuracy: Interval
    difference: Interval | None
    learned: tuple
    learned_difference: Interval | None
    curves: dict


def memories(rows):
    """Returns a list of `Memory`, in the order of the rows."""
    return [
        _memory(setting, method, methods)
        for setting, methods in by_setting(finished(rows)).items()
        for method in methods
    ]


def relations(rows):
    """Dict from setting to a dict from curve to an `Interval` of rank correlations.

    Of what each curve ends with, over methods, with the test accuracy; a seed in which
    one of the two has fewer than three different values has none.
    """
    found = {}
    for setting, methods in by_setting(finished(rows)).items():
        seeds = collections.defaultdict(list)
        for row in (row for group in methods.values() for row in group):
            seeds[row["config"]["seed"]].append(row)
        found[setting] = {
            name: _relation(name, seeds.values())
            for name in ("flipped_accuracy", *MEASURES)
        }
    return found


def markdown(rows):
    """Both tables, with what their columns mean."""
    related = relations(rows)
    names = next(iter(related.values()), {})
    lines = [
        [name, *(_correlation(one[name]) for one in related.values())] for name in names
    ]
    return "\n\n".join(
        [
            markdown_table(HEADER, map(_line, memories(rows))),
            RULE,
            markdown_table(["Goes with test accuracy", *related], lines),
            RELATION_RULE,
            *code_notes(rows),
        ]
    )


def write(rows, folder):
    """Writes `memorization.md` and `.png`; returns the list of their paths."""
    paths = [folder / f"memorization.{kind}" for kind in ("md", "png")]
    write_page(paths[0], f"{markdown(rows)}\n")
    write_whole(paths[1], plots.png(plots.memorization_figure(memories(rows)), dpi=120))
    return paths


def _memory(setting, method, methods):
    rows, baseline = methods[method], methods.get(BASELINE, [])
    if method == BASELINE:
        baseline = []
    test, flipped = (_ends(rows, name) for name in ("test", "flipped"))
    ends = [row["stages"] for row in rows]
    return Memory(
        setting,
        method,
        stages=schedule_of(rows[0]).starts,
        accuracy=Interval.of(list(test.values())),
        difference=paired_difference(test, _ends(baseline, "test")),
        learned=tuple(
            float(np.mean([one["flipped_accuracy"] for one in stage]))
            for stage in zip(*ends, strict=True)
        ),
        learned_difference=paired_difference(flipped, _ends(baseline, "flipped")),
        curves={
            name: np.mean([row["curves"][name] for row in rows], axis=0)
            for name in rows[0]["curves"]
        },
    )


def _ends(rows, split):
    return {row["config"]["seed"]: row["final"][f"{split}_accuracy"] for row in rows}


def _relation(name, groups):
    found = []
    for rows in groups:
        pairs = [
            (row["curves"][name][-1], row["curves"]["test_accuracy"][-1])
            for row in rows
        ]
        some, others = zip(*pairs, strict=True)
        if min(len(set(some)), len(set(others))) > 2:
            found.append(float(stats.spearmanr(some, others).statistic))
    return Interval.of(found) if found else None


def _correlation(interval):
    if interval is None:
        return "—"
    # Student's t does not know that a correlation is in [-1, 1].
    low, high = max(-1.0, interval.low), min(1.0, interval.high)
    return f"{interval.mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def _line(one):
    return (
        one.setting,
        one.method,
        str(one.accuracy),
        one.difference.signed() if one.difference else "",
        verdict(one.difference),
        str(one.accuracy.n),
        " → ".join(f"{share:.2f}" for share in one.learned),
        one.learned_difference.signed() if one.learned_difference else "",
    )
