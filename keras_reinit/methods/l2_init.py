"""L2 Init (regenerative regularization): weights are drawn toward their first values.

    loss + strength * ||theta - theta_0||^2

Kumar, Marklund & Van Roy 2023, "Maintaining Plasticity in Continual Learning via
Regenerative Regularization" (arXiv 2308.11958). There are no events: in place of the
origin, as weight decay has it, the weights decay toward where they began, those that
the loss does not need soonest.
"""

import keras

from keras_reinit.arguments import check_model, check_not_negative
from keras_reinit.optimizers.weight_decay import check_unregularized


def add_l2_init(model, strength):
    """Adds `strength * ||w - w_0||^2` of every trainable weight to the loss.

    Args:
        model: A built `keras.Model` with the weights to be drawn toward; call this
            before the first training step. A copy of them is kept.
        strength: Float >= 0; 0 removes a penalty that this function added.

    The penalty is not part of a saved model: call this again after `load_model`, with
    the first weights in place.

    Raises:
        ValueError: If `strength` is negative, or a weight has another regularizer.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> add_l2_init(model, 0.5)
    >>> _ = model.layers[0].kernel.assign_add(np.full((3, 2), 2.0))
    >>> [round(float(loss), 3) for loss in model.losses]
    [12.0, 0.0]
    """
    check_model(model)
    check_not_negative("strength", strength)
    check_unregularized(model, L2Init)
    for variable in model.trainable_variables:
        first = keras.ops.convert_to_numpy(variable)
        variable.regularizer = L2Init(strength, first) if strength else None


class L2Init(keras.regularizers.Regularizer):
    """The penalty of `add_l2_init` on one weight."""

    def __init__(self, strength, first):
        self.strength = strength
        # As a variable it is no constant of the graph, which would be copied with it.
        self.first = keras.Variable(first, trainable=False, name="first")

    def __call__(self, x):
        return self.strength * keras.ops.sum(keras.ops.square(x - self.first))
