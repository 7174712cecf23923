"""What all figures share: colors, panels and files. It alone imports matplotlib."""

import io

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

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


def panels(rows, columns, size, **options):
    """A figure and its axes, an array; `size` is a panel's width and height."""
    return plt.subplots(
        rows,
        columns,
        figsize=(size[0] * columns, size[1] * rows),
        squeeze=False,
        layout="constrained",
        **options,
    )


def stage_marks(axis, stages):
    """Dotted lines where stages begin, on an axis of epochs."""
    for start in stages[1:]:
        axis.axvline(start, color=TEXT, lw=0.5, ls=":")
    axis.set_xlabel("epoch (dotted: re-initialization)")


def legend_below(figure, axis):
    """One legend for all panels, where it hides no curve."""
    columns = max(1, int(figure.get_figwidth() // 2.1))
    known = axis.get_legend_handles_labels()
    figure.legend(*known, loc="outside lower center", ncols=columns, fontsize=8)
