"""Sensitivity: accuracy over learning rate × weight decay, for each method.

Zaidi et al. (2022), Figure 3: beside well-tuned regularization, re-initialization adds
little accuracy, but the choice of learning rate and weight decay matters less.
"""

import collections
import dataclasses
import itertools

import numpy as np

from keras_reinit import plots
from keras_reinit.naming import names
from keras_reinit.results import (
    Interval,
    markdown_table,
    paired_difference,
    verdict,
)
from keras_reinit.storage import write_page, write_whole

AXES = ("learning_rate", "weight_decay")
# A cell counts as good if its accuracy is lower than the best by no more.
WITHIN = 0.01
RULE = (
    "*Share within x* is the part of the grid whose test accuracy is lower than that "
    "of the method's own best cell by at most x: for each seed by itself, then mean "
    "and 95% interval (Student's t, cut at 0 and 1) over seeds. A failed training "
    "counts as outside. The difference is paired with standard training, seed by seed. "
    "*Spread* is the standard deviation over the cells of mean accuracies."
)


@dataclasses.dataclass(frozen=True)
class Sensitivity:
    """One method over the grid, in one setting. Accuracies are in [0, 1].

    Attributes:
        setting: String, such as `"DCW"`.
        method: String.
        learning_rates, weight_decays: Tuples, the axes of the grid.
        accuracy: Array (learning rates, weight decays) of mean test accuracies; NaN
            where all trainings failed.
        share: `Interval` over seeds of the share of the grid near its best.
        difference: `Interval` of the paired differences of it to standard training,
            or `None`.
    """

    setting: str
    method: str
    learning_rates: tuple
    weight_decays: tuple
    accuracy: np.ndarray
    share: Interval
    difference: Interval | None


def sensitivities(rows, within=WITHIN, when="final"):
    """Returns a list of `Sensitivity`, of all methods that have a whole grid.

    Args:
        rows: Rows of `training.run` that differ in learning rate, weight decay,
            method, stages, momentum, setting and seed only. A seed counts for a method
            where it has rows, failed ones included, for the whole grid.
        within: Float >= 0, how much below the best still counts.
        when: One of `keras_reinit.results.REPORT_EPOCHS`, for the test accuracy.

    Example:

    >>> config = {"regularization": "W", "label_noise": 0.0, "method": "standard",
    ...           "weight_decay": 0.1, "seed": 0}
    >>> rows = [
    ...     {"status": "ok", "final": {"test_accuracy": accuracy},
    ...      "config": {**config, "learning_rate": rate}}
    ...     for rate, accuracy in ((0.01, 0.9), (0.1, 0.895), (1.0, 0.5))]
    >>> round(sensitivities(rows)[0].share.mean, 2)
    0.67
    """
    rows = [row for row in rows if row["config"] is not None]
    by_setting = collections.defaultdict(list)
    for row, (setting, method) in zip(rows, names(rows), strict=True):
        by_setting[setting].append((method, row))
    return [
        one
        for setting, some in by_setting.items()
        for one in _of_setting(setting, some, within, when)
    ]


def markdown(found, within=WITHIN):
    """The numbers as a Markdown table.

    Args:
        found: Of `sensitivities`.
        within: As given to it.
    """
    header = (
        "Setting", "Method", "Best cell", "Spread", f"Share within {within}", "n",
        "Difference to standard", "Verdict",
    )  # fmt: skip
    return "\n".join([markdown_table(header, map(_line, found)), "", RULE])


def write(rows, folder, within=WITHIN, when="final"):
    """Writes `sensitivity.md` and `.png` into a folder, if there is a whole grid.

    Returns:
        List of the paths that were written.
    """
    found = sensitivities(rows, within, when)
    if not found:
        return []
    write_page(folder / "sensitivity.md", f"{markdown(found, within)}\n")
    figure = plots.png(plots.sensitivity_figure(found), dpi=120)
    write_whole(folder / "sensitivity.png", figure)
    return [folder / "sensitivity.md", folder / "sensitivity.png"]


def _of_setting(setting, rows, within, when):
    axes = [sorted({row["config"][name] for _, row in rows}) for name in AXES]
    places = list(itertools.product(*axes))
    if len(places) < 2:
        return
    known = collections.defaultdict(lambda: collections.defaultdict(dict))
    for method, row in rows:
        config, ok = row["config"], row["status"] == "ok"
        accuracy = row[when]["test_accuracy"] if ok else np.nan
        place = tuple(config[name] for name in AXES)
        known[method][config["seed"]][place] = accuracy
    grids = {
        method: {
            seed: np.reshape([cells[one] for one in places], [*map(len, axes)])
            for seed, cells in by_seed.items()
            if len(cells) == len(places)
        }
        for method, by_seed in known.items()
    }
    shares = {
        method: {seed: _share(grid, within) for seed, grid in by_seed.items()}
        for method, by_seed in grids.items()
    }
    for method, by_seed in grids.items():
        if by_seed:
            is_standard = method == "standard"
            baseline = {} if is_standard else shares.get("standard", {})
            yield Sensitivity(
                setting, method, *map(tuple, axes),
                accuracy=_mean(list(by_seed.values())),
                share=Interval.of(list(shares[method].values())),
                difference=paired_difference(shares[method], baseline),
            )  # fmt: skip


def _share(grid, within):
    """The share of cells near the best; of none if all have failed."""
    best = np.nanmax(grid, initial=0.0)
    return float(np.mean(grid >= best - within))  # NaN is not.


def _mean(grids):
    """Mean over seeds of what there is."""
    return np.ma.masked_invalid(grids).mean(axis=0).filled(np.nan)


def _line(one):
    difference = one.difference
    # Student's t does not know that a share is in [0, 1].
    low, high = max(0.0, one.share.low), min(1.0, one.share.high)
    # What is less sensitive is better, so the words fit.
    return (
        one.setting,
        one.method,
        f"{np.nanmax(one.accuracy):.3f}",
        f"{np.nanstd(one.accuracy):.3f}",
        f"{one.share.mean:.2f} [{low:.2f}, {high:.2f}]",
        str(one.share.n),
        difference.signed(2) if difference else "",
        verdict(difference),
    )
