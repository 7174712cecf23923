"""What all figures share: style, colors, panels and files.

It alone imports matplotlib, and that only to draw: who trains does without. Neither
matplotlib's settings nor pyplot's state, which are a notebook's own, are touched.
"""

import contextlib
import io

# Readable on white and on black.
COLORS = {"helps": "#1f9d5c", "hurts": "#d9534f", "no clear effect": "#808690"}
# matplotlib's own cycle.
PALETTE = tuple(
    f"tab:{name}"
    for name in (
        "blue", "orange", "green", "red", "purple", "brown", "pink", "gray", "olive",
        "cyan",
    )
)  # fmt: skip
# Stands for the color of the page's text, which may be dark or light.
TEXT = "#010203"
STYLE = {
    "text.color": TEXT,
    "text.parse_math": False,  # Names may have dollar signs.
    "axes.labelcolor": TEXT,
    "axes.edgecolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "svg.fonttype": "none",
    "svg.hashsalt": "keras_reinit",
    "legend.framealpha": 0,
}


@contextlib.contextmanager
def styled():
    """What figures are made and written in; a decorator of functions that do so."""
    from matplotlib import style

    with style.context(["default", STYLE]):
        yield


@styled()
def svg(figure):
    """A figure as the text of an SVG element, in the colors of the page around it."""
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
    )
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(TEXT, "currentColor")


@styled()
def png(figure, dpi=110):
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def panels(rows, columns, size, **options):
    """A figure and its axes, an array; `size` is a panel's width and height."""
    from matplotlib.figure import Figure

    shape = size[0] * columns, size[1] * rows
    figure = Figure(figsize=shape, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


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
