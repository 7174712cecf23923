"""Optimizer state after a re-initialization: fresh, kept, or fresh in part."""

import keras

from keras_reinit.per_variable_steps import PerVariableSteps

# Their update of a variable does not depend on the number of steps taken.
STEPLESS = (
    keras.optimizers.SGD,
    keras.optimizers.RMSprop,
    keras.optimizers.Adagrad,
    keras.optimizers.Adadelta,
    keras.optimizers.Ftrl,
    keras.optimizers.Lion,
)
# Attributes of every optimizer: lists of variables, but not of slots.
LISTS_OF_ALL = ("_variables", "_trainable_variables")


def reset_optimizer(optimizer, variables=None):
    """Gives an optimizer, or its state of some variables, the state of a new one.

    As a whole, moments, accumulators, the step count (with it learning-rate schedules
    and bias correction) and the loss scale start again; the learning rate stays. The
    numbers are those of a newly built optimizer: not all of them start at zero.
    With `variables`, moments and accumulators of these alone start again, and their
    moving average (`use_ema`) at their present values; steps and schedules run on.

    Args:
        optimizer: A `keras.optimizers.Optimizer`; one that has not been built has
            no state yet and is left alone.
        variables: List of variables, or `None` for the whole optimizer.

    Raises:
        ValueError: If `variables` are given and the optimizer corrects its moments by
            one step count for all, as Adam does: see `per_variable_steps`.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.Adam(0.01), loss="mse")
    >>> _ = model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    >>> reset_optimizer(model.optimizer)
    >>> int(model.optimizer.iterations)
    0
    """
    if variables is not None:
        check_partial_reset(optimizer)
        for part in _parts(optimizer):
            _reset_slots(part, variables)
            restart_averages(part, variables)
        return
    for part in _parts(optimizer):
        fresh = _new(part, part._trainable_variables)
        for old, new in zip(part.variables, fresh.variables, strict=True):
            _copy(new, old)
    optimizer._iterations.assign(0)
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) and optimizer.built:
        optimizer.step_counter.assign(0)
        optimizer.dynamic_scale.assign(optimizer.initial_scale)


def restart_averages(optimizer, variables):
    """Sets the moving averages (`use_ema`) of variables to their present values.

    An average of the past would put back what was re-initialized.
    """
    for part in _parts(optimizer):
        if part.use_ema:
            averages = part._model_variables_moving_average
            for i in _indices(part, variables):
                _copy(part._trainable_variables[i], averages[i])


def check_partial_reset(optimizer):
    """A `ValueError` unless the state of single variables can start again."""
    for part in _parts(optimizer, built=False):
        if not isinstance(part, (*STEPLESS, PerVariableSteps)):
            raise ValueError(
                "`optimizer` must count the steps of each variable by itself, for the "
                "state of some of them to start again: its step count corrects the "
                "moments, and the next step would be too large. Use "
                f"`keras_reinit.per_variable_steps(...)`. Received: {part}"
            )


def _parts(optimizer, built=True):
    """The optimizers that hold state, inside of wrappers."""
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        return _parts(inner, built)
    parts = getattr(optimizer, "optimizers", [optimizer])
    return [part for part in parts if part.built or not built]


def _new(part, variables):
    """A new optimizer of the same configuration, built for some variables."""
    fresh = type(part).from_config(part.get_config())
    fresh.build(variables)
    return fresh


def _indices(part, variables):
    chosen = {id(v) for v in variables}
    return [i for i, v in enumerate(part._trainable_variables) if id(v) in chosen]


def _reset_slots(part, variables):
    """Copies the slots of some variables from a new optimizer of these alone."""
    indices = _indices(part, variables)
    if not indices:
        return
    known = part._trainable_variables
    fresh = _new(part, [known[i] for i in indices])
    for name, slots in vars(part).items():
        if name not in LISTS_OF_ALL and _are_slots(slots, known):
            for i, new in zip(indices, vars(fresh)[name], strict=True):
                if slots[i] is not None:
                    _copy(new, slots[i])
    if isinstance(part, PerVariableSteps):
        for i in indices:
            _copy(part.iterations, part.first_steps[i])


def _are_slots(value, variables):
    """Whether an attribute of an optimizer is a list of one slot for each variable."""
    return (
        isinstance(value, list)
        and len(value) == len(variables)
        and all(slot is None or isinstance(slot, keras.Variable) for slot in value)
    )


def _copy(new, old):
    # Through NumPy: two variables must not share a buffer on JAX.
    old.assign(keras.ops.convert_to_numpy(new))
