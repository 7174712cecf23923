"""What rows answer to the questions of `benchmarks.findings`, as Markdown.

Each takes a dict from the names of its presets to their rows.
"""

from keras_reinit import naming, study
from keras_reinit.report import effects, sensitivity, verdict
from keras_reinit.results import (
    by_seed,
    finished,
    markdown_table,
    mean_validation,
    paired_difference,
)
from keras_reinit.results import verdict as word


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
    every = {}
    for name in rows:
        for one in effects.effects(rows[name]):
            # A cell that several presets share is told with the first.
            every.setdefault(study.cell_of(one.row["config"]), (name, one))
    lines = [
        (
            name,
            one.setting,
            one.method,
            one.interval.signed(),
            str(one.steps_per_stage),
            f"{one.stage_fit:.3f}",
            f"{one.standard_fit:.3f}",
        )
        for name, one in every.values()
        if word(one.interval) == "hurts"
    ]
    header = ("Preset", "Setting", "Method", "Difference", "Steps a stage",
              "Training accuracy at the end of a later stage, lowest",
              "Of standard training at its end")  # fmt: skip
    told = f"{len(lines)} of {len(every)} cells hurt."
    parts = [told, markdown_table(header, lines)] if lines else [told]
    if "capacity" in rows:
        parts.append(_verdicts(rows["capacity"]))
    for name in ("capacity", "stages"):
        if name in rows:
            parts.append(_changes(rows[name], "stages"))
    return "\n\n".join(parts)


def shorter_standard(rows):
    """(h)"""
    noisy = [row for row in rows["noise"] if row["config"]["label_noise"] > 0]
    groups = naming.by_setting(finished(noisy))
    short = _best_budget(rows["budget"])
    lines = []
    for setting, methods in groups.items():
        standard = methods.pop("standard", [])
        others = by_seed(standard), by_seed(standard, "best"), short.get(setting, {})
        for method, some in methods.items():
            ours = by_seed(some)
            against = [_told(paired_difference(ours, other)) for other in others]
            lines.append((setting, method, *against))
    header = ("Setting", "Method", "To standard", "To standard, early stopping",
              "To standard at its best number of epochs")  # fmt: skip
    return markdown_table(header, lines)


def residual_network(rows):
    """(i)"""
    some, budget = rows["preact_resnet18"], rows["preact_resnet18_budget"]
    shorter = shorter_standard({"noise": some, "budget": budget})
    return f"{_verdicts(some)}\n\n{shorter}"


def _told(difference):
    return f"{difference.signed()}, {word(difference)}" if difference else ""


def _best_budget(rows):
    """Of each setting, standard training at the epochs of the best validation."""
    budgets = {}
    for methods in naming.by_setting(finished(rows)).values():
        some = methods.get("standard")
        if some:  # Named without its epochs, as settings of one budget are.
            budgets.setdefault(naming.names(some)[0][0], []).append(some)
    return {
        setting: by_seed(max(found, key=mean_validation))
        for setting, found in budgets.items()
    }


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
