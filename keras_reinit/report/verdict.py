"""From rows to the verdict: one `Cell` for each method in each setting."""

import dataclasses

from keras_reinit.naming import by_setting
from keras_reinit.results import (
    Interval,
    by_seed,
    finished,
    paired_difference,
    stage_fits,
    verdict,
)

# Share of standard training's fit that a stage must reach to count as re-fitted.
REFIT = 0.95
OTHER_EPOCH = {"final": "best", "best": "final"}


@dataclasses.dataclass(frozen=True)
class Cell:
    """What the rows of one method in one setting say. Accuracies are in [0, 1].

    Attributes:
        setting: String, such as `"DCW + 40% noise"`.
        method: String.
        accuracy: `Interval` of the test accuracy at the reported epoch.
        difference: `Interval` of the paired differences to standard training, or
            `None` for standard training itself and without common seeds.
        other_accuracy, other_difference: The same at the other one of
            `keras_reinit.results.REPORT_EPOCHS`.
        stage_fits: Tuple of mean training accuracies at the end of each stage.
        refits: Whether every later stage fits the training set about as well as
            standard training does at its end; `None` where that cannot be said.
        learning_rate, weight_decay: The chosen hyperparameters.
        failures: Tuple of reasons of failed runs.
    """

    setting: str
    method: str
    accuracy: Interval | None
    difference: Interval | None
    other_accuracy: Interval | None
    other_difference: Interval | None
    stage_fits: tuple
    refits: bool | None
    learning_rate: float
    weight_decay: float
    failures: tuple = ()

    @property
    def word(self):
        """The verdict: helps, hurts, no clear effect, or nothing to compare with."""
        return verdict(self.difference)

    @property
    def other_word(self):
        """The verdict at the other epoch."""
        return verdict(self.other_difference)


def cells(rows, when="final"):
    """Returns a tuple of `Cell`, setting by setting, in the order of the rows.

    Args:
        rows: Rows of `training.run`, one for each method, setting and seed.
        when: The reported epoch, one of `keras_reinit.results.REPORT_EPOCHS`.
    """
    return tuple(
        _cell(setting, method, methods, when)
        for setting, methods in by_setting(rows).items()
        for method in methods
    )


def matrix(found):
    """Methods by settings: the accuracy of standard training, and what others differ.

    What clearly helps or hurts is bold.

    Args:
        found: What `cells` returns.

    Returns:
        The header, a list of strings, and the lines, a list of such lists.
    """
    settings = list(dict.fromkeys(cell.setting for cell in found))
    places = {(cell.method, cell.setting): cell for cell in found}
    lines = [
        [method, *(_short(places, method, setting) for setting in settings)]
        for method in dict.fromkeys(cell.method for cell in found)
    ]
    return ["Method", *settings], lines


def _short(places, method, setting):
    if (method, setting) not in places:
        return ""
    cell = places[method, setting]
    if cell.accuracy is None:
        return "failed"
    if cell.difference is None:
        return str(cell.accuracy)
    return emphasized(cell, cell.difference.signed())


def emphasized(cell, text):
    """The text of a cell's difference, bold in Markdown where the effect is clear."""
    strong = "" if cell.word == "no clear effect" else "**"
    return f"{strong}{text}{strong}"


def _cell(setting, method, methods, when):
    rows = finished(methods[method])
    standard = finished(methods.get("standard", []))
    fits = stage_fits(rows)
    config = methods[method][0]["config"]
    is_standard = method == "standard"
    accuracy, difference = _compare(rows, standard, when, is_standard)
    other = OTHER_EPOCH[when]
    other_accuracy, other_difference = _compare(rows, standard, other, is_standard)
    return Cell(
        setting,
        method,
        accuracy=accuracy,
        difference=difference,
        other_accuracy=other_accuracy,
        other_difference=other_difference,
        stage_fits=fits,
        refits=_refits(method, fits, stage_fits(standard)),
        learning_rate=config["learning_rate"],
        weight_decay=config["weight_decay"] if "W" in config["regularization"] else 0.0,
        failures=tuple(r["reason"] for r in methods[method] if r["status"] != "ok"),
    )


def _compare(rows, standard, when, is_standard):
    """Intervals of the test accuracy, and of its differences to standard training."""
    accuracy = by_seed(rows, when, "test_accuracy")
    interval = Interval.of(list(accuracy.values())) if accuracy else None
    if is_standard:
        return interval, None
    baseline = by_seed(standard, when, "test_accuracy")
    return interval, paired_difference(accuracy, baseline)


def _refits(method, fits, standard_fits):
    if method == "standard" or not (fits[1:] and standard_fits):
        return None
    return min(fits[1:]) >= REFIT * standard_fits[-1]
