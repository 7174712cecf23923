"""Fresh optimizer state, and the paper's weight decay."""

import keras


def reset_optimizer(optimizer, variables):
    """Gives an optimizer the state of a new one, at the same learning rate.

    Moments, accumulators, the step count (with it learning-rate schedules and bias
    correction) and the loss scale start again; the numbers are copied from a newly
    built optimizer, since not all of them start at zero.

    Args:
        optimizer: A `keras.optimizers.Optimizer`; one that has not been built has
            no state yet and is left alone.
        variables: The trainable variables that it was built with.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.Adam(0.01), loss="mse")
    >>> _ = model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    >>> reset_optimizer(model.optimizer, model.trainable_variables)
    >>> int(model.optimizer.iterations)
    0
    """
    if not optimizer.built:
        return
    fresh = type(optimizer).from_config(optimizer.get_config())
    fresh.build(variables)
    for old, new in zip(optimizer.variables, fresh.variables, strict=True):
        # Through NumPy: two variables must not share a buffer on JAX.
        old.assign(keras.ops.convert_to_numpy(new))


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
    if not weight_decay >= 0:
        raise ValueError(
            f"`weight_decay` must be >= 0. Received: weight_decay={weight_decay!r}"
        )
    own = [
        variable.path
        for variable in model.trainable_variables
        if not isinstance(variable.regularizer, (WeightDecay, type(None)))
    ]
    if own:
        raise ValueError(
            "`model` must have no regularizers of its own where weight decay is added. "
            f"Received: regularized weights {own}"
        )
    penalty = WeightDecay(weight_decay / 2) if weight_decay else None
    for variable in model.trainable_variables:
        variable.regularizer = penalty


class WeightDecay(keras.regularizers.L2):
    """The penalty of `add_weight_decay`, to tell it from a layer's own."""
