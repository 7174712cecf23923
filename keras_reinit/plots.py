"""Figures from rows and cells; the only importer of matplotlib."""

import io

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

# Readable on white and on black.
COLORS = {"helps": "#1f9d5c", "hurts": "#d9534f", "no clear effect": "#808690"}
PALETTE = plt.get_cmap("tab10").colors


# Stands for the color of the page's text, which may be dark or light.
TEXT = "#010203"
plt.rcParams.update(
    {name: TEXT for name in ("text.color", "axes.labelcolor", "axes.edgecolor",
                             "xtick.color", "ytick.color")}
    | {"svg.fonttype": "none", "svg.hashsalt": "keras_reinit", "legend.framealpha": 0}
)  # fmt: skip


def svg(figure):
    """A figure as the text of an SVG element, in the colors of the page around it."""
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
    )
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(TEXT, "currentColor")


def png(figure, dpi=110):
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def verdict_figure(cells, curves, stages):
    """Draws the verdict: differences to standard training, and accuracy by epoch.

    Args:
        cells: Tuple of `verdict.Cell`.
        curves: Dict from (setting, method) to the mean validation accuracy, a
            sequence over epochs.
        stages: Tuple of the epochs at which stages begin.
    """
    settings = list(dict.fromkeys(cell.setting for cell in cells))
    figure, axes = _panels(2, len(settings), (4.2, 3.2), height_ratios=(2, 3))
    for column, setting in enumerate(settings):
        here = [cell for cell in cells if cell.setting == setting]
        _differences(axes[0, column], here, labels=column == 0)
        axes[0, column].set_title(setting)
        _curves(axes[1, column], _of_setting(curves, setting), stages)
    axes[1, 0].set_ylabel("validation accuracy")
    _legend_below(figure, axes[1, 0])
    return figure


def difference_figure(cells):
    """Draws the differences of one setting to standard training."""
    figure, axes = _panels(1, 1, (4.4, 0.9 + 0.42 * len(cells)))
    _differences(axes[0, 0], cells, labels=True)
    return figure


def curve_figure(curves, stages, label):
    """Draws curves over epochs.

    Args:
        curves: Dict from method to a sequence over epochs.
        stages: Tuple of the epochs at which stages begin.
        label: What the curves are of.
    """
    figure, axes = _panels(1, 1, (4.4, 3.2))
    _curves(axes[0, 0], curves, stages)
    axes[0, 0].set_ylabel(label)
    _legend_below(figure, axes[0, 0])
    return figure


def effect_figure(lines, label):
    """Draws how effects change with a number.

    Args:
        lines: Dict from a method to a list of pairs: a number, and the `Interval` of
            the effect there.
        label: What the number is.
    """
    figure, axes = _panels(1, 1, (4.4, 3.2))
    axis = axes[0, 0]
    axis.axhline(0, color=TEXT, lw=0.8)
    for number, (method, points) in enumerate(lines.items()):
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
    if min(places) > 0 and max(places) / min(places) > 3:
        axis.set_xscale("log")
        axis.set_xticks(places, places)
        axis.minorticks_off()
    axis.set_xlabel(label)
    axis.set_ylabel("difference to standard")
    axis.legend(fontsize=8)
    return figure


def _legend_below(figure, axis):
    """One legend for all panels, where it hides no curve."""
    columns = max(1, int(figure.get_figwidth() // 2.1))
    known = axis.get_legend_handles_labels()
    figure.legend(*known, loc="outside lower center", ncols=columns, fontsize=8)


def _of_setting(curves, setting):
    return {method: one for (where, method), one in curves.items() if where == setting}


def _curves(axis, curves, stages):
    for number, (method, curve) in enumerate(curves.items()):
        color = PALETTE[number % len(PALETTE)]
        axis.plot(curve, color=color, label=method, lw=1.2)
    _stage_marks(axis, stages)


def sensitivity_figure(found):
    """Draws accuracy over learning rate and weight decay, a heat map a method.

    Args:
        found: List of `sensitivity.Sensitivity`.
    """
    settings = list(dict.fromkeys(one.setting for one in found))
    methods = list(dict.fromkeys(one.method for one in found))
    figure, axes = _panels(len(settings), len(methods), (3.2, 3.0))
    for axis in axes.flat:
        axis.axis("off")
    every = np.concatenate([one.accuracy.ravel() for one in found])
    low, high = np.nanmin(every), np.nanmax(every)
    for one in found:
        axis = axes[settings.index(one.setting), methods.index(one.method)]
        axis.axis("on")
        image = axis.imshow(one.accuracy, "viridis", vmin=low, vmax=high)
        _label_cells(axis, one, (low + high) / 2)
        within = f"{one.share.mean:.0%} of cells near the best"
        axis.set_title(f"{one.method}, {one.setting}\n{within}", fontsize=9)
    figure.colorbar(image, ax=axes, label="test accuracy", shrink=0.8)
    return figure


def _label_cells(axis, one, middle):
    axis.set_xticks(range(len(one.weight_decays)), one.weight_decays, fontsize=7)
    axis.set_yticks(range(len(one.learning_rates)), one.learning_rates, fontsize=7)
    axis.set_xlabel("weight decay", fontsize=8)
    axis.set_ylabel("learning rate", fontsize=8)
    for (row, column), value in np.ndenumerate(one.accuracy):
        text = "failed" if np.isnan(value) else f"{100 * value:.1f}"
        color = "white" if value < middle else "black"
        axis.text(column, row, text, ha="center", va="center", fontsize=6, color=color)


def online_figure(found):
    """Draws accuracy and steps to fit as data grow, a column for each setting.

    Args:
        found: List of `online_report.Curve`.
    """
    settings = list(dict.fromkeys(one.setting for one in found))
    figure, axes = _panels(2, len(settings), (4.6, 3.2))
    for one in found:
        above, below = axes[:, settings.index(one.setting)]
        means = [accuracy.mean for accuracy in one.accuracy]
        above.plot(one.examples, means, marker="o", ms=3, lw=1.2, label=one.method)
        below.plot(one.examples, one.steps_to_fit, marker="o", ms=3, lw=1.2)
        above.set_title(one.setting)
        below.set_xlabel("training examples so far")
    axes[0, 0].set_ylabel("test accuracy at the end of a stage")
    axes[1, 0].set_ylabel("steps to 99% training accuracy")
    axes[0, 0].legend(fontsize=8, loc="lower right")
    return figure


MEMORIZATION = {
    "flipped_accuracy": "wrong labels learned",
    "test_accuracy": "test accuracy",
    "effective_rank": "effective rank",
    "weight_norm": "weight norm",
    "dormant_units": "dormant units",
}


def memorization_figure(found):
    """Draws curves of memorization and diagnostics, a column for each setting.

    Args:
        found: List of `memorization_report.Memory`.
    """
    settings = list(dict.fromkeys(one.setting for one in found))
    figure, axes = _panels(
        len(MEMORIZATION), len(settings), (5.2, 2.4), sharex=True, sharey="row"
    )
    for one in found:
        column = axes[:, settings.index(one.setting)]
        column[0].set_title(one.setting)
        for axis, name in zip(column, MEMORIZATION, strict=True):
            axis.plot(one.curves[name], lw=1.2, label=one.method)
    for axis in axes.flat:
        _stage_marks(axis, found[0].stages)
        axis.label_outer()
    for axis, label in zip(axes[:, 0], MEMORIZATION.values(), strict=True):
        axis.set_ylabel(label)
    axes[0, 0].legend(fontsize=8)
    return figure


def image_figure(columns, titles):
    """Draws images side by side, each with its title.

    Args:
        columns: Sequence of arrays of images, (n, height, width, channels), uint8 or
            floats in [0, 1]; one column each.
        titles: Sequence of lists of n strings, one list for each column.

    Returns:
        A matplotlib figure of n rows.
    """
    rows = len(columns[0])
    figure, axes = _panels(rows, len(columns), (1.25, 1.4))
    for column, images in enumerate(columns):
        for row, image in enumerate(images):
            axis = axes[row, column]
            gray = image.shape[-1] == 1
            most = 255 if image.dtype == np.uint8 else 1
            axis.imshow(image.squeeze(-1) if gray else image, "gray", vmin=0, vmax=most)
            axis.set_title(titles[column][row], fontsize=7)
            axis.axis("off")
    return figure


def _panels(rows, columns, size, **options):
    """A figure and its axes, an array; `size` is a panel's width and height."""
    return plt.subplots(
        rows,
        columns,
        figsize=(size[0] * columns, size[1] * rows),
        squeeze=False,
        layout="constrained",
        **options,
    )


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
    axis.set_xlabel("difference to standard")


def _stage_marks(axis, stages):
    for start in stages[1:]:
        axis.axvline(start, color=TEXT, lw=0.5, ls=":")
    axis.set_xlabel("epoch (dotted: re-initialization)")
