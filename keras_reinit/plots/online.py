"""The figure of training on data that arrive in chunks."""

from keras_reinit.plots.canvas import panels, styled


@styled()
def online_figure(found):
    """Draws accuracy and steps to fit as data grow, a column for each setting.

    Args:
        found: List of `report.online.Curve`.
    """
    settings = list(dict.fromkeys(one.setting for one in found))
    figure, axes = panels(2, len(settings), (4.6, 3.2))
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
