"""The verdict as a table: its title, a line for each cell, notes and the rule."""

from keras_reinit.naming import value_of
from keras_reinit.report.verdict import OTHER_EPOCH, REFIT, cells
from keras_reinit.results import code_notes, finished, markdown_table

# What tables call the two epochs that can be reported.
EPOCHS = {"final": "after the last epoch", "best": "with early stopping"}
RULE = (
    "*helps* / *hurts*: the 95% interval (Student's t) of the paired differences to "
    "standard training, seed by seed, lies wholly above / below zero; else, or with "
    "fewer than three seeds, *no clear effect*. The interval is over seeds, for this "
    "one test set; each cell is judged on its own. Test accuracy is {epoch}; *early "
    "stopping* takes the epoch of the best validation accuracy. Learning rate and "
    "weight decay were chosen on validation data. D is augmentation, C cosine "
    "annealing in each stage, W weight decay."
)


def rule(when="final"):
    """What the columns mean, with the reported epoch."""
    return RULE.format(epoch=EPOCHS[when])


def header(when="final"):
    """The names of the columns, as a tuple."""
    return (
        "Setting",
        "Method",
        "Test accuracy",
        "n",
        "Difference to standard",
        "Verdict",
        "Training accuracy at stage ends",
        EPOCHS[OTHER_EPOCH[when]].capitalize(),
        "Difference to standard",
        "Verdict",
        "Learning rate, weight decay",
    )


def markdown(rows, when="final"):
    """The verdict as Markdown: title, table, notes and the rule.

    Args:
        rows: List of result rows, one for each method, setting and seed.
        when: The reported epoch, one of `keras_reinit.results.REPORT_EPOCHS`.
    """
    found = cells(rows, when)
    table = markdown_table(header(when), map(line, found))
    told = [f"- {note}" for note in [*notes(found), *code_notes(rows)]]
    return "\n".join(
        [title(rows), "", table, "", *told, *[""] * bool(told), rule(when)]
    )


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
        str(cell.other_accuracy or "—"),
        _signed(cell.other_difference),
        cell.other_word,
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
