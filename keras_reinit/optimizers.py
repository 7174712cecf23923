"""Optimizer state after a re-initialization: fresh, kept, or fresh in part."""

import functools

import keras

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
        fresh = type(part).from_config(part.get_config())
        fresh.build(part._trainable_variables)
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


def per_variable_steps(optimizer):
    """Lets an optimizer count the steps of each variable by itself.

    The bias correction of Adam and its kin divides by one step count. A variable
    whose moments start again amid a training then makes a first step several times
    too large (4.3 times in Adam). Here such a variable begins at step 1. As long as
    nothing is reset, the updates are those of the optimizer itself; schedules follow
    the whole count.

    Args:
        optimizer: A new `keras.optimizers.Optimizer`: `Adam`, `AdamW`, `Adamax`,
            `Lamb`, `Adafactor`, `Muon`, ...; not `Nadam`, whose momentum schedule is
            one product for all, and no wrapper (wrap the optimizer inside of it).

    Returns:
        An optimizer of the same configuration.

    Raises:
        ValueError: For an optimizer that cannot count so, or has been built.

    Example:

    >>> optimizer = per_variable_steps(keras.optimizers.Adam(0.01))
    >>> isinstance(optimizer, keras.optimizers.Adam)
    True
    """
    wraps = hasattr(optimizer, "inner_optimizer") or hasattr(optimizer, "optimizers")
    if wraps or isinstance(optimizer, keras.optimizers.Nadam) or optimizer.built:
        raise ValueError(
            "`optimizer` must be a new one, neither `Nadam` nor a wrapper. "
            f"Received: {optimizer}, built={optimizer.built}"
        )
    return _with_steps(type(optimizer)).from_config(optimizer.get_config())


class PerVariableSteps:
    """Mixin for an optimizer whose `iterations` are those of the variable at hand."""

    _first_step = None

    def build(self, variables):
        super().build(variables)
        self.first_steps = [
            self.add_variable((), dtype="int", name=f"first_step_{i}")
            for i in range(len(variables))
        ]

    @property
    def iterations(self):
        steps = super().iterations
        return steps if self._first_step is None else steps - self._first_step

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        if not hasattr(self, "_parallel_update_step"):
            return super()._backend_update_step(
                grads, trainable_variables, learning_rate
            )
        # Keras' optimizers on PyTorch update all variables at once, by one count.
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            self.update_step(gradient, variable, learning_rate)

    def update_step(self, gradient, variable, learning_rate):
        first = self.first_steps[self._get_variable_index(variable)]
        # Past Keras' tracking of attributes: this is no state.
        object.__setattr__(self, "_first_step", keras.ops.convert_to_tensor(first))
        try:
            super().update_step(gradient, variable, learning_rate)
        finally:
            object.__setattr__(self, "_first_step", None)


@functools.cache
def _with_steps(cls):
    new = type(f"PerVariableSteps{cls.__name__}", (PerVariableSteps, cls), {})
    new.__module__ = __name__
    return keras.saving.register_keras_serializable("keras_reinit")(new)


# Known by name, so that a saved model finds them.
for _cls in ("Adam", "AdamW", "Adamax", "Lamb", "Adafactor"):
    _with_steps(getattr(keras.optimizers, _cls))


def _parts(optimizer, built=True):
    """The optimizers that hold state, inside of wrappers."""
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        return _parts(inner, built)
    parts = getattr(optimizer, "optimizers", [optimizer])
    return [part for part in parts if part.built or not built]


def _indices(part, variables):
    chosen = {id(v) for v in variables}
    return [i for i, v in enumerate(part._trainable_variables) if id(v) in chosen]


def _reset_slots(part, variables):
    """Copies the slots of some variables from a new optimizer of these alone."""
    indices = _indices(part, variables)
    if not indices:
        return
    known = part._trainable_variables
    fresh = type(part).from_config(part.get_config())
    fresh.build([known[i] for i in indices])
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
