"""The paper's weight decay: L2 in the gradient, under any optimizer."""

import keras

from keras_reinit.arguments import check_model, check_not_negative


def add_weight_decay(model, weight_decay):
    """Adds `weight_decay / 2 * ||w||^2` of every trainable weight to the loss.

    The gradient gains `weight_decay * w` before momentum sees it: the weight decay
    of PyTorch's SGD and of Zaidi et al. (2022), BatchNorm's scale and offset
    included. Keras' `SGD(weight_decay=...)` is decoupled instead (w loses
    `learning_rate * weight_decay * w` a step, past the momentum) and therefore
    about `1 / (1 - momentum)` times weaker for the same number.

    Args:
        model: A built `keras.Model`; call this before the first training step.
        weight_decay: Float >= 0; 0 removes a penalty that this function added.

    The penalty is not part of a saved model: call this again after `load_model`.

    Raises:
        ValueError: If `weight_decay` is negative, or a weight has a regularizer of
            its own already.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> add_weight_decay(model, 5e-4)
    >>> len(model.losses)
    2
    """
    check_model(model)
    check_not_negative("weight_decay", weight_decay)
    check_unregularized(model, WeightDecay)
    penalty = WeightDecay(weight_decay / 2) if weight_decay else None
    for variable in model.trainable_variables:
        variable.regularizer = penalty


class WeightDecay(keras.regularizers.L2):
    """The penalty of `add_weight_decay`, to tell it from a layer's own."""


def check_unregularized(model, kind):
    """A `ValueError` if a weight has a regularizer of another kind."""
    own = [
        variable.path
        for variable in model.trainable_variables
        if not isinstance(variable.regularizer, (kind, type(None)))
    ]
    if own:
        raise ValueError(
            "`model` must have no regularizers of its own where a penalty is added. "
            f"Received: regularized weights {own}"
        )
