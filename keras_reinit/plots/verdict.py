"""The figures of a verdict: differences, and curves over epochs or another number."""

import numpy as np

from keras_reinit.plots.canvas import (
    COLORS,
    PALETTE,
    TEXT,
    legend_below,
    panels,
    stage_marks,
    styled,
)


@styled()
def verdict_figure(cells, curves, stages):
    """Draws the verdict: differences to standard training, and accuracy by epoch.

    Args:
        cells: Tuple of `report.verdict.Cell`.
        curves: Dict from (setting, method) to the mean validation accuracy, a
            sequence over epochs.
        stages: Tuple of the epochs at which stages begin.
    """
    settings = list(dict.fromkeys(cell.setting for cell in cells))
    figure, axes = panels(2, len(settings), (4.2, 3.2), height_ratios=(2, 3))
    for column, setting in enumerate(settings):
        here = [cell for cell in cells if cell.setting == setting]
        _differences(axes[0, column], here, labels=column == 0)
        axes[0, column].set_title(setting)
        _curves(axes[1, column], _of_setting(curves, setting), stages)
    axes[1, 0].set_ylabel("validation accuracy")
    legend_below(figure, axes[1, 0])
    return figure


@styled()
def difference_figure(cells):
    """Draws the differences of one setting to standard training."""
    figure, axes = panels(1, 1, (4.4, 0.9 + 0.42 * len(cells)))
    _differences(axes[0, 0], cells, labels=True)
    return figure


@styled()
def curve_figure(curves, stages, label):
    """Draws curves over epochs.

    Args:
        curves: Dict from method to a sequence over epochs.
        stages: Tuple of the epochs at which stages begin.
        label: What the curves are of.
    """
    figure, axes = panels(1, 1, (4.4, 3.2))
    _curves(axes[0, 0], curves, stages)
    axes[0, 0].set_ylabel(label)
    legend_below(figure, axes[0, 0])
    return figure


@styled()
def effect_figure(lines, label):
    """Draws how effects change with a number.

    Args:
        lines: Dict from a method to a list of pairs: a number, and the `Interval` of
            the effect there.
        label: What the number is.
    """
    figure, axes = panels(1, 1, (4.4, 3.2))
    axis = axes[0, 0]
    axis.axhline(0, color=TEXT, lw=0.8)
    # The first color is standard training's, in other figures.
    for number, (method, points) in enumerate(lines.items(), 1):
        places, intervals = zip(*sorted(points, key=lambda p: p[0]), strict=True)
        halves = [one.half_width for one in intervals]
        axis.errorbar(
            places,
            [one.mean for one in intervals],
            yerr=[half if np.isfinite(half) else 0 for half in halves],
            color=PALETTE[number % len(PALETTE)],
            label=method,
            marker="o",
            ms=3,
            lw=1.2,
            capsize=3,
        )
    places = sorted({place for points in lines.values() for place, _ in points})
    if min(places) > 0 and max(places) / min(places) > 3:
        axis.set_xscale("log")
        axis.set_xticks(places, places)
        axis.minorticks_off()
    axis.set_xlabel(label)
    axis.set_ylabel("difference to standard")
    axis.legend(fontsize=8)
    return figure


def _of_setting(curves, setting):
    return {method: one for (where, method), one in curves.items() if where == setting}


def _curves(axis, curves, stages):
    for number, (method, curve) in enumerate(curves.items()):
        color = PALETTE[number % len(PALETTE)]
        axis.plot(curve, color=color, label=method, lw=1.2)
    stage_marks(axis, stages)


def _differences(axis, cells, labels):
    compared = [cell for cell in cells if cell.difference is not None][::-1]
    for height, cell in enumerate(compared):
        half = cell.difference.half_width
        axis.errorbar(
            cell.difference.mean,
            height,
            xerr=half if np.isfinite(half) else 0,
            fmt="o",
            color=COLORS[cell.word],
            capsize=3,
        )
        axis.annotate(
            cell.word.replace("no clear effect", ""),
            (cell.difference.mean, height),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=COLORS[cell.word],
        )
    axis.axvline(0, color=TEXT, lw=0.8)
    axis.set_ylim(-0.6, max(len(compared), 1) - 0.3)
    names = [cell.method for cell in compared] if labels else []
    axis.set_yticks(range(len(names)), names)
    if not labels:
        axis.set_yticks([])
    axis.margins(x=0.15)
    axis.locator_params(axis="x", nbins=4)  # Else their labels may meet.
    axis.set_xlabel("difference to standard")
