"""The verdict as a table: its title, a line for each cell, notes and the rule."""

from keras_reinit.naming import value_of
from keras_reinit.report.verdict import REFIT, cells
from keras_reinit.results import finished, markdown_table

RULE = (
    "*helps* / *hurts*: the 95% interval (Student's t) of the paired differences to "
    "standard training, seed by seed, lies wholly above / below zero; else, or with "
    "fewer than three seeds, *no clear effect*. The interval is over seeds, for this "
    "one test set; each cell is judged on its own. Test accuracy is after the last "
    "epoch; *early stopping* takes the epoch of the best validation accuracy instead. "
    "Learning rate and weight decay were chosen for each method and setting on "
    "validation data. D is augmentation, C cosine annealing in each stage, W weight "
    "decay."
)
HEADER = (
    "Setting",
    "Method",
    "Test accuracy",
    "n",
    "Difference to standard",
    "Verdict",
    "Training accuracy at stage ends",
    "With early stopping",
    "Difference to standard",
    "Verdict",
    "Learning rate, weight decay",
)


def markdown(rows):
    """The verdict as Markdown: title, table, notes and the rule.

    Args:
        rows: List of result rows, one for each method, setting and seed.
    """
    found = cells(rows)
    table = markdown_table(HEADER, map(line, found))
    told = [f"- {note}" for note in notes(found)]
    return "\n".join([title(rows), "", table, "", *told, *[""] * bool(told), RULE])


def title(rows):
    def values_of(name):
        found = {value_of(row, name) for row in finished(rows) or rows}
        # Numbers by size; a field may also be None.
        values = sorted(found, key=lambda one: (isinstance(one, str), one or 0))
        return " / ".join(str(value) for value in values)

    row = next((row for row in rows if row["status"] == "ok"), rows[0])
    config = row["config"]
    steps = {row["steps_per_epoch"] for row in rows if "steps_per_epoch" in row}
    validation = "noisy" if config["noisy_validation"] else "clean"
    return (
        f"{values_of('model')} on {values_of('train_examples')} training images of "
        f"{values_of('dataset')}: {values_of('epochs')} epochs in "
        f"{values_of('stages')} stages, {' / '.join(map(str, sorted(steps))) or None} "
        "steps an epoch; where training labels are noisy, validation labels are "
        f"{validation}; weight decay is "
        f"{config['weight_decay_mode']}."
    )


def line(cell):
    return (
        cell.setting,
        cell.method,
        str(cell.accuracy or "—"),
        str(cell.accuracy.n if cell.accuracy else 0),
        _signed(cell.difference),
        cell.word,
        " → ".join(f"{fit:.3f}" for fit in cell.stage_fits),
        str(cell.early_stopping or "—"),
        _signed(cell.early_stopping_difference),
        cell.early_stopping_word,
        f"{cell.learning_rate:g}, {cell.weight_decay:g}",
    )


def _signed(difference):
    return difference.signed() if difference else ""


def notes(found):
    """What to keep in mind of some cells, a list of sentences."""
    told = []
    if not any(cell.method == "standard" for cell in found):
        told.append("There is no standard training to compare with.")
    for setting in dict.fromkeys(cell.setting for cell in found):
        told += _notes([cell for cell in found if cell.setting == setting])
    return told


def _notes(cells):
    """Of the cells of one setting."""
    told, setting = [], cells[0].setting
    for cell in cells:
        if cell.method == "standard" and min(cell.stage_fits[-1:], default=1) < REFIT:
            told.append(
                f"{setting}: standard training itself fits only "
                f"{cell.stage_fits[-1]:.3f} of the training labels by the last epoch."
            )
    short = [
        f"{cell.method} ({min(cell.stage_fits[1:]):.3f})"
        for cell in cells
        if cell.refits is False
    ]
    if short:
        told.append(
            f"{setting}: stages do not re-fit the training labels to {REFIT:.0%} of "
            f"what standard training reaches with {', '.join(short)}, in brackets the "
            "lowest stage end. Part of the difference may come from fitting less; "
            "longer stages would tell."
        )
    return told + [
        f"{setting}, {cell.method}: {len(cell.failures)} failed run(s): "
        f"{cell.failures[-1]}"
        for cell in cells
        if cell.failures
    ]
