"""Adam and its kin with a step count for each variable, or each entry of one."""

import functools

import keras

from keras_reinit.keras_internals import (
    BOOKKEEPING,
    rate_of,
    set_rate_of,
    updates_all_at_once,
)
from keras_reinit.optimizers.levels import levels

# Their update is made entry by entry, but for a norm.
ENTRYWISE = (
    keras.optimizers.Adam,
    keras.optimizers.AdamW,
    keras.optimizers.Adamax,
    keras.optimizers.Lamb,
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
        ValueError: For an optimizer that cannot count so or has been built, and for
            what is none.

    Example:

    >>> optimizer = per_variable_steps(keras.optimizers.Adam(0.01))
    >>> isinstance(optimizer, keras.optimizers.Adam)
    True
    """
    return _counting(optimizer, PerVariableSteps)


def per_entry_steps(optimizer):
    """Lets an optimizer count the steps of each entry of each variable by itself.

    As `per_variable_steps`, for methods that re-initialize single units or weights; it
    costs an integer for each weight.

    Args:
        optimizer: A new `Adam`, `AdamW`, `Adamax` or `Lamb`, and no wrapper.

    Returns:
        An optimizer of the same configuration.

    Raises:
        ValueError: As `per_variable_steps`, and for an optimizer of another kind.

    Example:

    >>> optimizer = per_entry_steps(keras.optimizers.Adam(0.01))
    >>> isinstance(optimizer, keras.optimizers.Adam)
    True
    """
    check_optimizer(optimizer)
    if not isinstance(optimizer, ENTRYWISE):
        raise ValueError(
            "`optimizer` must be Adam, AdamW, Adamax or Lamb, to count the steps of "
            f"each entry. Received: {optimizer}"
        )
    return _counting(optimizer, PerEntrySteps)


def _counting(optimizer, mixin):
    check_optimizer(optimizer)
    wraps = hasattr(optimizer, "inner_optimizer") or hasattr(optimizer, "optimizers")
    if wraps or isinstance(optimizer, keras.optimizers.Nadam) or optimizer.built:
        raise ValueError(
            "`optimizer` must be a new one, neither `Nadam` nor a wrapper. "
            f"Received: {optimizer}, built={optimizer.built}"
        )
    if isinstance(optimizer, PerVariableSteps):
        return optimizer
    new = new_of_its_kind(optimizer, _with_steps(type(optimizer), mixin))
    rate = rate_of(optimizer)
    new.learning_rate = rate.numpy() if isinstance(rate, keras.Variable) else rate
    for name, value in vars(optimizer).items():
        if _is_setting(name, value):  # Such as `exclude_from_weight_decay`.
            setattr(new, name, value)
    return new


def _is_setting(name, value):
    """Whether an attribute of an optimizer is neither state nor kept for tracking."""
    leaves = value if isinstance(value, (list, tuple)) else [value]
    state = any(isinstance(leaf, keras.Variable) for leaf in leaves)
    return not (state or name.startswith(BOOKKEEPING))


def check_optimizer(optimizer):
    """A `ValueError` for what is no optimizer, such as its name."""
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise ValueError(
            "`optimizer` must be a `keras.optimizers.Optimizer`. "
            f"Received: optimizer={optimizer!r}"
        )


def new_of_its_kind(optimizer, kind=None):
    """A new optimizer of the same configuration, but for a schedule or callable rate.

    In its place stands a number, so a user's own schedule need not be serializable.
    """
    kind, scheduled = kind or type(optimizer), []
    for level in levels(optimizer):
        if not isinstance(rate_of(level), keras.Variable):
            scheduled.append((level, rate_of(level)))
            set_rate_of(level, 1e-3)
    try:
        config = optimizer.get_config()
    finally:
        for level, rate in scheduled:
            set_rate_of(level, rate)
    return kind.from_config(config)


class PerVariableSteps:
    """Mixin for an optimizer whose `iterations` are those of the variable at hand."""

    _first_step = None

    def build(self, variables):
        super().build(variables)
        self.first_steps = [
            self.add_variable(self.counted(v), dtype="int", name=f"first_step_{i}")
            for i, v in enumerate(variables)
        ]

    def counted(self, variable):
        """The shape of a variable's step counts."""
        return ()

    @property
    def iterations(self):
        steps = super().iterations
        return steps if self._first_step is None else steps - self._first_step

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        if not updates_all_at_once(self):
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


class PerEntrySteps(PerVariableSteps):
    """Mixin with a count for each entry of a variable."""

    def counted(self, variable):
        return variable.shape


@functools.cache
def _with_steps(cls, mixin):
    new = type(f"{mixin.__name__}{cls.__name__}", (mixin, cls), {})
    new.__module__ = __name__
    return keras.saving.register_keras_serializable("keras_reinit")(new)


# Known by name, so that a saved model finds them; not all are in every Keras.
for _name in ("Adam", "AdamW", "Adamax", "Lamb", "Adafactor", "Muon"):
    if hasattr(keras.optimizers, _name):
        _with_steps(getattr(keras.optimizers, _name), PerVariableSteps)
for _kind in ENTRYWISE:
    _with_steps(_kind, PerEntrySteps)
