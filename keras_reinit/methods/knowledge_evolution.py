"""Knowledge Evolution: a slim network inside of the network stays, all else restarts.

    W <- M * W + (1 - M) * W_fresh,   M = 1 where both units of a weight are kept

Taha, Shrivastava & Davis 2021, "Knowledge Evolution in Neural Networks" (arXiv
2103.05152), with the kernel-level split (KELS): of each layer the first ceil(r * n) of
n units are kept (all of the data's features, and all outputs), so that the kept weights
are a network of their own, the same in every generation. Defaults of the public code
(ahmdtaha/knowledge_evolution): r = 0.5, five generations of 200 epochs each, a new
optimizer and schedule in each; normalization layers stay as they are. That code draws
uniform numbers for fresh weights, whatever initializer the model has; here each weight
has its own initializer's. That code never re-draws biases (its convolutions have none);
here those of units that are not kept start fresh, as in the committed rows, unless
`biases=False`. The weight-level split (WELS) is `WeightForgetting(schedule,
choice="fixed")`.
"""

import keras
import numpy as np

from keras_reinit.arguments import check_share, checked_type
from keras_reinit.callback import Reinitialize
from keras_reinit.graph.roles import bias_weights
from keras_reinit.units import Units


def kept_units(index, size, keep):
    """Boolean array: which units are the first ceil(keep * size) of their layer."""
    # As exact decimals have it: 0.1 * 30 is a little more than 3 in floats.
    return index < np.ceil(np.round(keep * size, 9))


@keras.saving.register_keras_serializable("keras_reinit")
class KnowledgeEvolution(Reinitialize):
    """Keeps the weights among the first units of each layer, draws all others anew.

    Args:
        schedule: A `Stages`; a stage is one generation.
        keep: Float in [0, 1], the share of each layer's units that are kept.
        biases: Whether the biases of all other units start fresh, too; in the authors'
            code they stay.
        **kwargs: As in `keras_reinit.Reinitialize`: `optimizer_state`, `seed`,
            `initializers`.

    Weights of layers whose units are not known, such as attention, stay as they are.

    Raises:
        ValueError: For an argument out of its range; when training begins, for a model
            without a layer graph or without hidden units.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(4),
    ...     keras.layers.Dense(1)])
    >>> events = plan(model, KnowledgeEvolution(Stages(epochs=4, stages=2)))
    stage       epochs        fresh        mixed       scaled         kept
    1            2            0           24            0           17
    """

    entries = True

    def __init__(self, schedule, keep=0.5, *, biases=True, **kwargs):
        super().__init__(schedule, **kwargs)
        check_share("keep", keep)
        self.keep = keep
        self.biases = checked_type("biases", biases, True)
        self._masks = None

    def prepare(self):
        super().prepare()
        if Units(self.network).whole.all():
            raise ValueError(
                "`model` must have hidden dense layers or convolutions, whose units "
                "can be split; `WeightForgetting(schedule, choice='fixed')` splits "
                f"single weights of any layer. Received: model={self.network.name!r}"
            )

    def outcomes(self, stage):
        units = Units(self.network)
        kept = kept_units(units.index, units.size, self.keep) | units.whole
        left = {id(use.variable) for use in units.normalized}
        if not self.biases:
            left |= bias_weights(self.network)
        masks = units.masks(~kept)
        self._masks = {i: m for i, m in masks.items() if i not in left}
        yield from super().outcomes(stage)
        self._masks = None

    def rule(self, stage, variable, fresh):
        """Fresh weights wherever one of two units is not kept."""
        lost = self._masks.get(id(variable), np.zeros(1, bool)).any(axis=0)
        return np.ma.array(fresh(), mask=~lost) if lost.any() else None

    def get_config(self):
        return {**super().get_config(), "keep": self.keep, "biases": self.biases}
