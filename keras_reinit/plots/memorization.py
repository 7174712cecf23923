"""The figure of what is learned of wrong labels."""

from keras_reinit.plots.canvas import panels, stage_marks, styled

MEMORIZATION = {
    "flipped_accuracy": "wrong labels learned",
    "test_accuracy": "test accuracy",
    "effective_rank": "effective rank",
    "weight_norm": "weight norm",
    "dormant_units": "dormant units",
}


@styled()
def memorization_figure(found):
    """Draws curves of memorization and diagnostics, a column for each setting.

    Args:
        found: List of `report.memorization.Memory`.
    """
    settings = list(dict.fromkeys(one.setting for one in found))
    figure, axes = panels(
        len(MEMORIZATION), len(settings), (5.2, 2.4), sharex=True, sharey="row"
    )
    for one in found:
        column = axes[:, settings.index(one.setting)]
        column[0].set_title(one.setting)
        for axis, name in zip(column, MEMORIZATION, strict=True):
            axis.plot(one.curves[name], lw=1.2, label=one.method)
    for axis in axes.flat:
        stage_marks(axis, found[0].stages)
        axis.label_outer()
    for axis, label in zip(axes[:, 0], MEMORIZATION.values(), strict=True):
        axis.set_ylabel(label)
    axes[0, 0].legend(fontsize=8)
    return figure
