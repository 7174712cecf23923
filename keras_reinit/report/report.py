"""The report of a study, from rows: Markdown, a figure, and a page that needs no other.

`markdown` is the verdict alone; `write` makes the whole.
"""

import collections
import pathlib

import numpy as np

from keras_reinit import plots
from keras_reinit.naming import names, value_of
from keras_reinit.report import commands, page, verdict_table
from keras_reinit.report.effects import AXES, axes, change, effects
from keras_reinit.report.page import Figure, Section
from keras_reinit.report.sensitivity import RULE as SENSITIVITY_RULE
from keras_reinit.report.sensitivity import sensitivities
from keras_reinit.report.verdict import cells, matrix
from keras_reinit.report.verdict_table import EPOCHS, markdown
from keras_reinit.results import code_notes, finished, schedule_of, verdict
from keras_reinit.storage import write_page, write_whole

__all__ = ["figure_png", "markdown", "sections", "write"]
TITLE = "When does re-initialization work?"
CHANGES = ("Setting", "Method", "From", "To", "Change of the effect", "Verdict")
# What the history of a row may have, beside its training accuracy.
CURVES = {"validation_accuracy": "validation accuracy", "weight_norm": "weight norm"}


def write(rows, folder, grids=None, when="final"):
    """Writes report.md, verdict.png and report.html; returns their paths.

    Args:
        rows: The rows that are compared.
        folder: Path.
        grids: All rows, of which whole grids of learning rate and weight decay are
            drawn as heat maps; `None` for `rows`.
        when: The epoch that is reported: `"final"`, or `"best"` for early stopping.

    Raises:
        ValueError: If there are no rows.
    """
    if not rows:
        raise ValueError("`rows` must have at least one row. Received: []")
    folder = pathlib.Path(folder)
    paths = [folder / name for name in ("report.md", "verdict.png", "report.html")]
    parts = sections(rows, rows if grids is None else grids, when)
    write_page(paths[0], page.markdown(TITLE, parts))
    write_whole(paths[1], figure_png(rows, when))
    write_page(paths[2], page.html(TITLE, parts))
    return paths


def sections(rows, grids, when="final"):
    """The parts of the report that have content, each a `page.Section`.

    Args:
        rows: The rows that are compared.
        grids, when: See `write`.
    """
    found = cells(rows, when)
    header, lines = matrix(found)
    parts = [
        Section(
            "At a glance",
            (
                f"Test accuracy of standard training {EPOCHS[when]}, and paired "
                "differences to it, with 95% intervals over seeds; bold: clear.",
            ),
            header=tuple(header),
            lines=tuple(map(tuple, lines)),
        ),
        _verdict(rows, found, when),
        *(_curves(rows, *one) for one in CURVES.items()),
        *(_along(rows, axis, when) for axis in axes(rows)),
        _sensitivity(grids, when),
        _failures(grids),
        _configuration(rows),
        commands.section(rows),
    ]
    return [part for part in parts if part is not None]


def figure_png(rows, when="final"):
    """The verdict's figure, as the bytes of a PNG file."""
    found = _mean_curves(rows, "validation_accuracy")
    return plots.png(plots.verdict_figure(cells(rows, when), found, _starts(rows)))


def _verdict(rows, found, when):
    figures = []
    for setting in dict.fromkeys(cell.setting for cell in found):
        here = [c for c in found if c.setting == setting and c.difference is not None]
        if here:
            alt = "; ".join(
                f"{cell.method} {cell.difference.signed()}, {cell.word}"
                for cell in here
            )
            svg = plots.svg(plots.difference_figure(here))
            figures.append(Figure(setting, alt, svg))
    return Section(
        "Verdict",
        (verdict_table.title(rows), verdict_table.rule(when).replace("*", "")),
        tuple(figures),
        verdict_table.header(when),
        tuple(map(verdict_table.line, found)),
        tuple(verdict_table.notes(found)) + tuple(code_notes(rows)),
    )


def _curves(rows, name, label):
    found = collections.defaultdict(dict)
    for (setting, method), curve in _mean_curves(rows, name).items():
        found[setting][method] = curve
    figures = []
    for setting, curves in found.items():
        alt = "; ".join(f"{one}, at last {c[-1]:.4g}" for one, c in curves.items())
        svg = plots.svg(plots.curve_figure(curves, _starts(rows), label))
        figures.append(Figure(setting, f"{label} over epochs: {alt}", svg))
    text = "Means over seeds. Dotted: re-initialization."
    return Section(f"{label.capitalize()} over epochs", (text,), tuple(figures)) if (
        figures
    ) else None  # fmt: skip


def _along(rows, axis, when):
    """How effects change with a number in which settings differ."""
    found = effects(rows, without=(axis,), when=when)
    lines = collections.defaultdict(lambda: collections.defaultdict(list))
    for one in found:
        if one.interval is not None:
            point = value_of(one.row, axis), one.interval
            lines[one.setting][one.method].append(point)
    figures = []
    for setting, methods in lines.items():
        methods = {name: points for name, points in methods.items() if points[1:]}
        if not methods:
            continue
        alt = "; ".join(
            f"{method}: " + ", ".join(f"{at:g} {one.signed()}" for at, one in points)
            for method, points in methods.items()
        )
        svg = plots.svg(plots.effect_figure(methods, AXES[axis]))
        figures.append(Figure(setting, alt, svg))
    if not figures:
        return None
    changes = [
        (*key, *(f"{end:g}" for end in ends), interval.signed(), verdict(interval))
        for key, ends, interval in change(found, axis)
        if interval is not None
    ]
    text = "The change of the effect is paired by seed, with a 95% interval."
    return Section(
        f"Effects along {AXES[axis]}",
        (text,),
        tuple(figures),
        CHANGES,
        tuple(changes),
    )


def _sensitivity(rows, when):
    found = sensitivities(rows, when=when)
    if not found:
        return None
    return Section(
        "Sensitivity to learning rate and weight decay",
        (SENSITIVITY_RULE.replace("*", ""),),
        tuple(_heat_map(one, found) for one in found),
    )


def _heat_map(one, found):
    """Its colors compare the methods of a setting."""
    known = one.accuracy[~np.isnan(one.accuracy)]
    alt = "all trainings failed" if not known.size else (
        f"test accuracy from {known.min():.3f} to {known.max():.3f}; "
        f"{one.share.mean:.0%} of the grid is near the best"
    )  # fmt: skip
    peers = [other for other in found if other.setting == one.setting]
    svg = plots.svg(plots.heat_map_figure(one, peers))
    return Figure(f"{one.method}, {one.setting}", alt, svg)


def _failures(rows):
    failed = [row for row in rows if row["status"] != "ok"]
    if not failed:
        return None
    lines = tuple((commands.command(row), row.get("reason", "")) for row in failed)
    return Section("Failed runs", (), (), ("Run", "Reason"), lines, folded=True)


def _configuration(rows):
    """What all rows share, and what they were made with."""
    shared = commands.shared_fields(rows)
    lines = [(name, str(value)) for name, value in shared.items()]
    for name in ("versions", "device", "commit", "strategy", "threads"):
        values = dict.fromkeys(str(row[name]) for row in rows if name in row)
        if values:
            lines.append((name, " / ".join(values)))
    return Section(
        "Configuration and versions",
        ("What all rows have in common; fields not named here differ.",),
        header=("Field", "Value"),
        lines=tuple(lines),
    )


def _mean_curves(rows, name):
    curves = collections.defaultdict(list)
    rows = finished(rows)
    for row, key in zip(rows, names(rows), strict=True):
        if name in row.get("history", {}):
            curves[key].append(row["history"][name])
    return {
        key: np.mean(group, axis=0)
        for key, group in curves.items()
        if len(set(map(len, group))) == 1  # Others are not whole.
    }


def _starts(rows):
    """Where stages begin, if that is the same in all rows."""
    others = [row for row in rows if row["config"]["method"] != "standard"]
    starts = {schedule_of(row).starts for row in others}
    return starts.pop() if len(starts) == 1 else ()
