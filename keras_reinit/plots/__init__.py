"""Figures from rows and cells, each a function that returns a matplotlib figure."""

from keras_reinit.plots.canvas import png, svg
from keras_reinit.plots.images import image_figure
from keras_reinit.plots.memorization import memorization_figure
from keras_reinit.plots.online import online_figure
from keras_reinit.plots.sensitivity import heat_map_figure, sensitivity_figure
from keras_reinit.plots.verdict import (
    curve_figure,
    difference_figure,
    effect_figure,
    verdict_figure,
)

__all__ = [
    "curve_figure",
    "difference_figure",
    "effect_figure",
    "heat_map_figure",
    "image_figure",
    "memorization_figure",
    "online_figure",
    "png",
    "sensitivity_figure",
    "svg",
    "verdict_figure",
]
