"""Optimizer state after a re-initialization: fresh, kept, or fresh in part."""

import math

import keras
import numpy as np

from keras_reinit.keras_internals import (
    LISTS_OF_ALL,
    averages_of,
    momentum_product,
    rate_of,
    steps_of,
    trained_variables,
)
from keras_reinit.optimizers.levels import levels, parts
from keras_reinit.optimizers.step_counts import (
    PerEntrySteps,
    PerVariableSteps,
    check_optimizer,
    new_of_its_kind,
)

# Their update of a variable does not depend on the number of steps taken.
STEPLESS = (
    keras.optimizers.SGD,
    keras.optimizers.RMSprop,
    keras.optimizers.Adagrad,
    keras.optimizers.Adadelta,
    keras.optimizers.Ftrl,
    keras.optimizers.Lion,
)


def reset_optimizer(optimizer, variables=None, masks=None):
    """Gives an optimizer, or its state of some variables, the state of a new one.

    As a whole, moments, accumulators, the step count (with it learning-rate schedules
    and bias correction) and the loss scale start again; the learning rate stays. The
    numbers are those of a newly built optimizer: not all of them start at zero.
    With `variables`, moments and accumulators of these alone start again, and their
    moving average (`use_ema`) at their present values; steps and schedules run on.

    Args:
        optimizer: A `keras.optimizers.Optimizer`; one that has not been built has
            no state yet and is left alone.
        variables: List of variables that it trains, or `None` for the whole optimizer.
        masks: Dict of ids of some of these to boolean arrays of their shape: only the
            state of the true entries starts again; Adam and its kin then need
            `per_entry_steps`.

    Raises:
        ValueError: If `variables` are given and the optimizer corrects its moments by
            one step count for all, as Adam does: see `per_variable_steps`; or for
            what is no optimizer, or no variable of its own.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.Adam(0.01), loss="mse")
    >>> _ = model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    >>> reset_optimizer(model.optimizer)
    >>> int(model.optimizer.iterations)
    0
    """
    check_optimizer(optimizer)
    if variables is not None:
        masks = masks or {}
        check_partial_reset(optimizer, entries=bool(masks))
        _check_variables(optimizer, variables)
        for part in parts(optimizer):
            _reset_slots(part, _indices(part, variables), masks)
            restart_averages(part, variables, masks)
        return
    for level in levels(optimizer):
        if level.built:
            _reset_counts(level)
    for part in parts(optimizer):
        if _has_other_state(part):
            _reset_all(part)
        else:
            _reset_slots(part, range(len(trained_variables(part))), {})


def restart_averages(optimizer, variables, masks=None):
    """Sets the moving averages (`use_ema`) of variables to their present values.

    An average of the past would put back what was re-initialized. Arguments as of
    `reset_optimizer`.
    """
    for part in parts(optimizer):
        averages = averages_of(part)
        for i in _indices(part, variables):
            variable = trained_variables(part)[i]
            for average in averages:
                _copy(variable, average[i], (masks or {}).get(id(variable)))


def keeps_average(optimizer):
    """Whether an optimizer keeps a moving average of the weights (`use_ema`)."""
    return any(part.use_ema for part in parts(optimizer, built=False))


def average_of(optimizer, variable):
    """A variable's moving average, an array; None for one that is not trained."""
    for part in parts(optimizer):
        for i in _indices(part, [variable]):
            if part.use_ema:
                return keras.ops.convert_to_numpy(averages_of(part)[0][i])
    return None


def trained_by(optimizer, variables):
    """Those of the variables that an optimizer trains."""
    known = {id(v) for part in parts(optimizer) for v in trained_variables(part)}
    return [v for v in variables if id(v) in known]


def _check_variables(optimizer, variables):
    one = isinstance(variables, (keras.Variable, str))
    known = [] if one or not optimizer.built else trained_by(optimizer, variables)
    if one or (optimizer.built and len(known) < len(variables)):
        raise ValueError(
            "`variables` must be a list of variables that the optimizer trains. "
            f"Received: {variables!r}"
        )


def check_reset(optimizer):
    """A `ValueError` unless an optimizer tells how a new one of its kind is made."""
    for part in parts(optimizer, built=False):
        try:
            new_of_its_kind(part)
        except Exception as error:
            raise ValueError(
                "`optimizer` must have a `get_config()` that returns its constructor's "
                "arguments, for its state to start again (or choose "
                f"`optimizer_state='keep'`). Received: {part}: {error!r}"
            ) from error


def check_partial_reset(optimizer, entries=False):
    """A `ValueError` unless the state of single variables (entries) can start again."""
    check_reset(optimizer)
    what = "entry" if entries else "variable"
    counting = PerEntrySteps if entries else PerVariableSteps
    for part in parts(optimizer, built=False):
        if not isinstance(part, (*STEPLESS, counting)):
            raise ValueError(
                f"`optimizer` must count the steps of each {what} by itself, for the "
                "state of some of them to start again: its step count corrects the "
                "moments, and the next step would be too large. Use "
                f"`keras_reinit.per_{what}_steps(...)`. Received: {part}"
            )
        if part.built and _has_other_state(part):
            raise ValueError(
                "`optimizer` must keep its state in lists of one variable for each "
                "weight, for the state of some of them to start again. "
                f"Received: {part}"
            )


def _reset_counts(level):
    """The state that is not of single variables: counts, products, the loss scale."""
    steps_of(level).assign(0)
    if isinstance(level, keras.optimizers.LossScaleOptimizer):
        level.step_counter.assign(0)
        level.dynamic_scale.assign(level.initial_scale)
    if momentum_product(level) is not None:
        momentum_product(level).assign(1.0)


def _indices(part, variables):
    chosen = {id(v) for v in variables}
    return [i for i, v in enumerate(trained_variables(part)) if id(v) in chosen]


def _groups(variables, indices):
    """Cuts indices into lists, each of no more numbers than the largest variable."""
    sizes = {i: math.prod(variables[i].shape) for i in indices}
    groups, room = [], -1
    for i, size in sizes.items():
        if size > room:
            groups.append([])
            room = max(sizes.values())
        groups[-1].append(i)
        room -= size
    return groups


def _slots(part):
    """The names of an optimizer's lists of one slot for each variable."""
    count = len(trained_variables(part))
    return [
        name
        for name, slots in vars(part).items()
        if name not in LISTS_OF_ALL
        and isinstance(slots, list)
        and len(slots) == count
        and all(slot is None or isinstance(slot, keras.Variable) for slot in slots)
    ]


def _reset_slots(part, indices, masks):
    """Copies slots from new optimizers of a few variables each, to save memory."""
    known, names = trained_variables(part), _slots(part)
    for group in _groups(known, indices):
        fresh = new_of_its_kind(part)
        fresh.build([known[i] for i in group])
        for name in names:
            for i, new in zip(group, vars(fresh)[name], strict=True):
                if new is not None:
                    _copy(new, vars(part)[name][i], masks.get(id(known[i])))
    if isinstance(part, PerVariableSteps):
        for i in indices:
            # Of updates, as the optimizer counts: not of accumulated gradients.
            mask = masks.get(id(known[i]))
            _copy(part.iterations, part.first_steps[i], mask)


def _has_other_state(part):
    """Whether a user's optimizer keeps variables in other ways than Keras' own."""
    known = {id(v) for name in _slots(part) for v in vars(part)[name]}
    known |= {id(steps_of(part)), id(momentum_product(part))}
    return any(id(v) not in known for v in _state(part))


def _reset_all(part):
    fresh = new_of_its_kind(part)
    fresh.build(trained_variables(part))
    for old, new in zip(_state(part), _state(fresh), strict=True):
        _copy(new, old)


def _state(part):
    return [v for v in part.variables if v is not rate_of(part)]


def _copy(new, old, mask=None):
    # Through NumPy: two variables must not share a buffer on JAX.
    value = keras.ops.convert_to_numpy(new)
    if mask is not None:
        value = np.where(mask, value, keras.ops.convert_to_numpy(old))
    old.assign(np.broadcast_to(value, old.shape))
