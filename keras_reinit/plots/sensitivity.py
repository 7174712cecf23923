"""Heat maps of accuracy over learning rate and weight decay."""

import numpy as np

from keras_reinit.plots.canvas import panels, styled

PANEL = (3.2, 3.0)


@styled()
def sensitivity_figure(found):
    """Draws heat maps on one scale, a row for each setting.

    Args:
        found: List of `report.sensitivity.Sensitivity`.
    """
    settings = list(dict.fromkeys(one.setting for one in found))
    methods = list(dict.fromkeys(one.method for one in found))
    figure, axes = panels(len(settings), len(methods), PANEL)
    for axis in axes.flat:
        axis.axis("off")
    for one in found:
        axis = axes[settings.index(one.setting), methods.index(one.method)]
        axis.axis("on")
        image = _heat_map(axis, one, _range(found))
        axis.set_title(f"{one.method}, {one.setting}\n{_within(one)}", fontsize=9)
    figure.colorbar(image, ax=axes, label="test accuracy", shrink=0.8)
    return figure


@styled()
def heat_map_figure(one, found):
    """Draws one heat map, on the scale of several.

    Args:
        one: A `report.sensitivity.Sensitivity`.
        found: List of them, which share the scale.
    """
    figure, axes = panels(1, 1, (PANEL[0] + 0.6, PANEL[1]))
    image = _heat_map(axes[0, 0], one, _range(found))
    axes[0, 0].set_title(_within(one), fontsize=9)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("test accuracy", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def _range(found):
    every = np.concatenate([one.accuracy.ravel() for one in found])
    return np.nanmin(every), np.nanmax(every)


def _within(one):
    return f"{one.share.mean:.0%} of cells near the best"


def _heat_map(axis, one, limits):
    image = axis.imshow(one.accuracy, "viridis", vmin=limits[0], vmax=limits[1])
    axis.set_xticks(range(len(one.weight_decays)), one.weight_decays, fontsize=7)
    axis.set_yticks(range(len(one.learning_rates)), one.learning_rates, fontsize=7)
    axis.set_xlabel("weight decay", fontsize=8)
    axis.set_ylabel("learning rate", fontsize=8)
    for (row, column), value in np.ndenumerate(one.accuracy):
        text = "failed" if np.isnan(value) else f"{100 * value:.1f}"
        color = "white" if value < sum(limits) / 2 else "black"
        axis.text(column, row, text, ha="center", va="center", fontsize=6, color=color)
    return image
