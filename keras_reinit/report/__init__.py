"""From rows to verdicts, tables and one page."""

from keras_reinit.report.report import figure_png, markdown, write

__all__ = [
    "figure_png",
    "markdown",
    "write",
]
