"""Effects: differences to standard training in the same setting, seed by seed."""

import collections
import dataclasses

from keras_reinit.naming import names, value_of
from keras_reinit.results import (
    Interval,
    by_seed,
    finished,
    paired_difference,
    schedule_of,
    stage_fits,
)

# What an effect may change with, and how an axis calls it.
AXES = {
    "label_noise": "label noise rate",
    "train_examples": "training images",
    "stages": "stages",
    "epochs": "epochs, all stages together",
    "width": "width of the first block",
}


@dataclasses.dataclass(frozen=True)
class Effect:
    """One method in one setting. Accuracies are in [0, 1].

    Attributes:
        setting, method: Strings.
        by_seed: Dict from seed to the difference of the test accuracy to standard
            training's.
        row: One of its rows.
        stage_fit: Float, the lowest mean training accuracy at the end of a stage that
            an event opened.
        standard_fit: Float, that of standard training at its end.
    """

    setting: str
    method: str
    by_seed: dict
    row: dict
    stage_fit: float
    standard_fit: float

    @property
    def interval(self):
        """`Interval` over seeds, or `None` without common seeds."""
        return Interval.of(list(self.by_seed.values())) if self.by_seed else None

    @property
    def steps_per_stage(self):
        """How many steps a stage has."""
        schedule = schedule_of(self.row)
        return self.row["steps_per_epoch"] * schedule.total // schedule.stages


def effects(rows, without=(), when="final"):
    """Returns a list of `Effect`, in the order of the rows; standard has none.

    Args:
        rows: Rows that are compared, of `study.compared`.
        without: See `names`.
        when: One of `keras_reinit.results.REPORT_EPOCHS`, for the test accuracy.

    Example:

    >>> config = {"regularization": "DCW", "label_noise": 0.0, "seed": 0}
    >>> rows = [
    ...     {"status": "ok", "final": {"test_accuracy": accuracy}, "stages": [],
    ...      "config": {**config, "method": method}}
    ...     for method, accuracy in (("standard", 0.5), ("rifle", 0.75))]
    >>> effects(rows)[0].by_seed
    {0: 0.25}
    """
    rows = finished(rows)
    groups = collections.defaultdict(list)
    for row, name, plain in zip(rows, names(rows), names(rows, without), strict=True):
        groups[name, plain].append(row)
    standard = {
        setting: some
        for ((setting, method), _), some in groups.items()
        if method == "standard"
    }
    found = []
    for ((setting, method), plain), some in groups.items():
        if method != "standard":
            baseline = standard.get(setting, [])
            ours, theirs = by_seed(some, when), by_seed(baseline, when)
            gains = {s: ours[s] - theirs[s] for s in ours.keys() & theirs.keys()}
            lowest = min(stage_fits(some)[1:], default=float("nan"))
            last = next(reversed(stage_fits(baseline)), float("nan"))
            found.append(Effect(*plain, gains, some[0], lowest, last))
    return found


def axes(rows):
    """Those of `AXES` in which rows that are compared differ, as a list."""
    return [
        name
        for name in AXES
        if len({value_of(row, name) for row in rows if _has(row, name)}) > 1
    ]


def change(found, axis):
    """How each effect changes from the lowest to the highest value of an axis.

    Args:
        found: Effects named without the axis, see `effects`.
        axis: A name in `AXES`.

    Returns:
        List of ((setting, method), (lowest, highest), `Interval` of the paired
        changes, or `None` without common seeds).
    """
    lines = collections.defaultdict(list)
    for one in found:
        lines[one.setting, one.method].append((value_of(one.row, axis), one.by_seed))
    ends = {
        key: (min(line, key=lambda p: p[0]), max(line, key=lambda p: p[0]))
        for key, line in lines.items()
        if len(line) > 1
    }
    return [
        (key, (low[0], high[0]), paired_difference(high[1], low[1]))
        for key, (low, high) in ends.items()
    ]


def _has(row, name):
    return name != "stages" or row["config"]["method"] != "standard"
