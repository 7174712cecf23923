"""Shrink & Perturb: scale the weights down and add a little of a fresh network.

    theta <- shrink * theta + perturb * theta_fresh

Ash & Adams 2020 (arXiv 1910.08475), in the form of their code and of Zaidi et al.
(2022), whose defaults are shrink 0.4, perturb 0.1: `theta_fresh` is a fresh network
of the same architecture (so each layer keeps its own scale), not noise of one size
for all. It covers all trained weights, BatchNorm's scale and offset included (the
weight norms in the paper's Figure 6 fit no other choice: the scale goes 1 -> 0.5
-> 0.3 -> ... -> perturb / (1 - shrink)). Statistics that are not trained, such as
BatchNorm's moving mean and variance, start fresh.
"""

import keras

from keras_reinit.arguments import check_share
from keras_reinit.callback import Reinitialize


def shrink_perturb(weight, fresh, shrink, perturb):
    """Returns `shrink * weight + perturb * fresh`, arrays of one shape."""
    return shrink * weight + perturb * fresh


@keras.saving.register_keras_serializable("keras_reinit")
class ShrinkPerturb(Reinitialize):
    """Shrinks the weights and perturbs them by a fresh draw at each stage.

    Args:
        schedule: A `Stages`.
        shrink: Float in [0, 1], the share of the trained weight that is kept.
            With `perturb=1`, 0 is a full re-initialization.
        perturb: Float in [0, 1], the share of the fresh weight that is added.
            With `shrink=1`, 0 leaves the weights as they are.
        **kwargs: As in `keras_reinit.Reinitialize`: `optimizer_state`, `seed`,
            `initializers`.

    Raises:
        ValueError: For an argument out of its range.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> callback = ShrinkPerturb(Stages(epochs=4, stages=2), shrink=0.4, perturb=0.1)
    >>> _ = model.fit(
    ...     np.ones((8, 3)), np.ones((8, 1)), epochs=4, callbacks=[callback], verbose=0)
    """

    def __init__(self, schedule, shrink=0.4, perturb=0.1, **kwargs):
        super().__init__(schedule, **kwargs)
        check_share("shrink", shrink)
        check_share("perturb", perturb)
        self.shrink = shrink
        self.perturb = perturb

    def rule(self, stage, variable, fresh):
        """Mixes trained weights; what is not trained starts fresh."""
        if (self.shrink, self.perturb) == (1, 0):
            return None  # Nothing happens, to statistics neither.
        if not variable.trainable:
            return fresh()
        weight = variable.numpy()
        return shrink_perturb(weight, fresh(), self.shrink, self.perturb)

    def get_config(self):
        return {
            **super().get_config(),
            "shrink": self.shrink,
            "perturb": self.perturb,
        }
